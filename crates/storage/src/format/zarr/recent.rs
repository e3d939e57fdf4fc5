//! Chunks that were decoded lately: where one slice of a chunk is read, the next is often not far.
//!
//! A chunk is known by its file. Ours are never changed, only replaced by others; should somebody else change one in
//! place, its times tell, unless that was just now: then it is not kept.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use girih_model::Result;
use moka::sync::Cache;

/// Most bytes of chunks that are kept.
const CAPACITY: u64 = 80 << 20;
/// Larger chunks would push out too many others.
const LARGEST: usize = 8 << 20;
/// Times of files are not finer than this.
const SETTLED: Duration = Duration::from_millis(100);

static CHUNKS: LazyLock<Cache<Stamp, Bytes>> = LazyLock::new(|| {
    let weigh = |_: &Stamp, chunk: &Bytes| u32::try_from(chunk.len() + size_of::<Stamp>()).unwrap_or(u32::MAX);
    Cache::builder().max_capacity(CAPACITY).weigher(weigh).build()
});

/// Which file, in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The chunk in a file, decoded now or lately.
pub(super) fn chunk(file: &Metadata, nbytes: usize, decode: impl FnOnce() -> Result<Vec<u8>>) -> Result<Bytes> {
    let settled =
        || file.modified().is_ok_and(|time| SystemTime::now().duration_since(time).is_ok_and(|d| d > SETTLED));
    if nbytes > LARGEST || !settled() {
        return decode().map(Bytes::from);
    }
    let stamp = Stamp {
        device: file.dev(),
        inode: file.ino(),
        size: file.size(),
        modified: (file.mtime(), file.mtime_nsec()),
        changed: (file.ctime(), file.ctime_nsec()),
    };
    if let Some(chunk) = CHUNKS.get(&stamp) {
        return Ok(chunk);
    }
    let chunk = Bytes::from(decode()?);
    CHUNKS.insert(stamp, chunk.clone());
    Ok(chunk)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_changed_file_is_another() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("0");
        let past = SystemTime::now() - Duration::from_secs(60);
        let read = |what: &str| chunk(&fs::metadata(&path).unwrap(), 1, || Ok(what.as_bytes().to_vec())).unwrap();
        let write = |name: &str, time: SystemTime| {
            let file = fs::File::create(temp.path().join(name)).unwrap();
            file.set_modified(time).unwrap();
        };
        write("0", past);
        assert_eq!(read("old"), "old");
        assert_eq!(read("new"), "old", "kept");
        write("aside", past);
        fs::rename(temp.path().join("aside"), &path).unwrap();
        assert_eq!(read("new"), "new");
        write("0", SystemTime::now());
        assert_eq!(read("newer"), "newer");
        assert_eq!(read("newest"), "newest", "not kept so early");
    }
}
