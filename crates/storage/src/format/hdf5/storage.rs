//! A file as the parser reads it: never much at once, nor more than a budget for what a file can make as large as it
//! likes. What is made of what was read is about as large.

use std::cell::Cell;
use std::fs::File;
use std::sync::Arc;

use girih_model::{Error, Result};
use hdf5_reader::error::Error as Fault;
use hdf5_reader::storage::{FileStorage, Storage, StorageBuffer};
use hdf5_reader::{Hdf5File, OpenOptions};

use crate::format::guard::guarded;

/// Largest header of an object, in bytes.
pub(super) const MAX_HEADER: usize = 16 << 20;
/// Most bytes that are read at once.
const MAX_READ: usize = 64 << 20;

pub(super) fn damaged(why: impl std::fmt::Display) -> Error {
    Error::damaged(format!("The HDF5 file cannot be read: {why}."))
}

pub(super) fn open(file: File) -> Result<Hdf5File> {
    let open = || {
        let storage = Arc::new(Bounded(FileStorage::from_file(file).map_err(damaged)?));
        let options = OpenOptions::default().with_max_object_header_bytes(MAX_HEADER).with_max_read_bytes(MAX_READ);
        Hdf5File::from_storage_with_options(storage, options).map_err(damaged)
    };
    guarded(open).unwrap_or_else(|| Err(damaged("it contradicts itself")))
}

struct Bounded(FileStorage);

thread_local! {
    /// What may still be read on this thread.
    static LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
}

/// Parses with a budget: most bytes that are read for it in all.
pub(super) fn within<T>(bytes: u64, parse: impl FnOnce() -> T) -> T {
    struct Outer {
        left: u64,
        granted: u64,
    }
    impl Drop for Outer {
        fn drop(&mut self) {
            let used = self.granted.saturating_sub(LEFT.get());
            LEFT.set(if self.left == u64::MAX { u64::MAX } else { self.left.saturating_sub(used) });
        }
    }
    let left = LEFT.get();
    let granted = bytes.min(left);
    LEFT.set(granted);
    let _outer = Outer { left, granted };
    parse()
}

impl Storage for Bounded {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_range(&self, offset: u64, len: usize) -> Result<StorageBuffer, Fault> {
        let left = LEFT.get().checked_sub(len as u64).filter(|_| len <= MAX_READ);
        let left = left.ok_or_else(|| Fault::InvalidData(format!("too much would have to be read at {offset}")))?;
        if left < u64::MAX - MAX_READ as u64 {
            LEFT.set(left);
        }
        self.0.read_range(offset, len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_has_a_limit() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(2 * MAX_READ as u64).unwrap();
        let storage = Bounded(FileStorage::from_file(file).unwrap());
        let read = |len: usize| storage.read_range(0, len).is_ok();
        assert!(read(MAX_READ) && !read(MAX_READ + 1));
        within(100, || {
            assert!(read(60));
            within(1000, || assert!(read(30) && !read(20)));
            assert!(read(10) && !read(1));
        });
        assert!(read(1000));
        let _ = guarded(|| within(10, || [1][std::hint::black_box(1)]));
        assert!(read(1000));
    }
}
