//! Which file, in which state: what was made from its bytes is good for as long as it has this stamp.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

/// Times of files are not finer than this.
const SETTLED: Duration = Duration::from_millis(100);

/// Files of ours are never changed, only replaced by others. Should somebody else change one in place, its times tell,
/// unless that was just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// `None` for a file that was changed just now, or cannot be asked.
    pub(crate) fn of(file: &File) -> Option<Self> {
        let file = file.metadata().ok()?;
        let age = SystemTime::now().duration_since(file.modified().ok()?).ok()?;
        (age > SETTLED).then(|| Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_changed_file_is_another() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("0");
        let write = |name: &str, time: SystemTime| {
            let file = fs::File::create(temp.path().join(name)).unwrap();
            file.set_modified(time).unwrap();
        };
        let stamp = || Stamp::of(&File::open(&path).unwrap());
        let past = SystemTime::now() - Duration::from_secs(60);
        write("0", past);
        let first = stamp().unwrap();
        assert_eq!(stamp(), Some(first));
        write("aside", past);
        fs::rename(temp.path().join("aside"), &path).unwrap();
        assert_ne!(stamp().unwrap(), first);
        write("0", SystemTime::now());
        assert_eq!(stamp(), None, "just now");
    }
}
