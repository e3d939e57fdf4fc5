//! Memory for chunks that are decoded, sent and forgotten: used again, because making it (zeros, and pages of the system)
//! costs as much as a tenth of the decoding.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// Smaller ones the allocator has at hand.
const SMALLEST: usize = 256 << 10;
const LARGEST: usize = 8 << 20;
/// Bytes that are kept.
const CAPACITY: usize = 32 << 20;

static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A buffer of this size, with whatever was in it before: who takes it fills it.
pub(crate) fn take(size: usize) -> Vec<u8> {
    if (SMALLEST..=LARGEST).contains(&size) {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(n) = kept.iter().rposition(|buffer| buffer.len() == size) {
            return kept.swap_remove(n);
        }
    }
    vec![0; size]
}

pub(crate) fn give(buffer: Vec<u8>) {
    if !(SMALLEST..=LARGEST).contains(&buffer.len()) {
        return;
    }
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let mut bytes: usize = kept.iter().map(Vec::len).sum();
    // Those of sizes that nobody asks for any more go first.
    while bytes + buffer.len() > CAPACITY {
        bytes -= kept.remove(0).len();
    }
    kept.push(buffer);
}

/// The buffer as bytes to be sent; it comes back when the last one who holds them lets go.
pub(crate) fn lend(buffer: Vec<u8>) -> Bytes {
    if (SMALLEST..=LARGEST).contains(&buffer.len()) { Bytes::from_owner(Lent(buffer)) } else { Bytes::from(buffer) }
}

struct Lent(Vec<u8>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        give(std::mem::take(&mut self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(buffer: &[u8]) -> usize {
        buffer.as_ptr().addr()
    }

    #[test]
    fn what_is_given_back_is_used_again_and_there_is_an_end_to_it() {
        let size = SMALLEST + 7;
        let mut buffer = take(size);
        buffer.fill(7);
        let place = address(&buffer);
        let bytes = lend(buffer);
        let other = bytes.slice(5..9);
        drop(bytes);
        assert_ne!(address(&take(size)), place, "it is still in use");
        assert_eq!(&other[..], [7; 4]);
        drop(other);
        assert_eq!(address(&take(size)), place);

        for _ in 0..100 {
            give(vec![0; LARGEST]);
        }
        assert!(KEPT.lock().unwrap().iter().map(Vec::len).sum::<usize>() <= CAPACITY);
    }
}
