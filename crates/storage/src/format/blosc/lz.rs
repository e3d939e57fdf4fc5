//! BloscLZ: runs of literals, and copies of what came before (c-blosc, blosclz.c).

/// The farthest that a short copy reaches back.
const NEAR: usize = 8191;

/// Bytes written; `None` for what contradicts itself.
pub(super) fn decode(from: &[u8], to: &mut [u8]) -> Option<usize> {
    let mut input = from.iter().copied();
    let mut at = 0usize;
    let mut control = usize::from(input.next()? & 31);
    loop {
        if control >= 32 {
            let mut len = (control >> 5) - 1;
            let mut back = (control & 31) << 8;
            if len == 7 - 1 {
                loop {
                    let more = usize::from(input.next()?);
                    len += more;
                    if more < 255 {
                        break;
                    }
                }
            }
            let low = usize::from(input.next()?);
            len += 3;
            if low == 255 && back == 31 << 8 {
                back = usize::from(input.next()?) << 8;
                back += usize::from(input.next()?) + NEAR;
            } else {
                back += low;
            }
            back += 1;
            let start = at.checked_sub(back)?;
            let end = at.checked_add(len).filter(|end| *end <= to.len())?;
            // What is copied may be what was copied just now.
            for n in 0..end - at {
                to[at + n] = to[start + n];
            }
            at = end;
        } else {
            for _ in 0..=control {
                *to.get_mut(at)? = input.next()?;
                at += 1;
            }
        }
        match input.next() {
            Some(next) => control = usize::from(next),
            None => return Some(at),
        }
    }
}
