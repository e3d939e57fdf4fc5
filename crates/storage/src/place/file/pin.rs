//! Directories held open, so that a name that has come to mean something else is noticed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use girih_model::Result;
use rustix::fs::{AtFlags, StatxFlags};

use super::Location;

#[derive(Debug)]
pub(super) struct Pin {
    handle: OwnedFd,
    /// Where it was found.
    at: PathBuf,
}

/// Tells a directory from another that took its name, and even its number, later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    device: (u32, u32),
    inode: u64,
    /// Time of birth, in seconds and nanoseconds; zero where the file system does not tell.
    born: (i64, u32),
}

impl Pin {
    pub(super) fn handle(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }

    pub(super) fn is_at(&self, path: &Path) -> bool {
        self.at == path
    }

    /// The rest of a path that lies beneath.
    pub(super) fn below<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        path.strip_prefix(&self.at).ok()
    }
}

impl Location {
    /// This directory, held open: what is found beneath it is in this very directory, or nowhere once it has been
    /// removed, even when another takes its name.
    ///
    /// # Errors
    /// `Gone` when there is no such directory.
    pub fn pinned(&self) -> Result<Self> {
        let handle = self.open_dir().map_err(|e| self.fault("opening", e))?;
        Ok(Self { pin: Some(Arc::new(Pin { handle, at: self.path.clone() })), ..self.clone() })
    }

    /// The same place, found by its name.
    pub fn unpinned(&self) -> Self {
        Self { pin: None, ..self.clone() }
    }

    /// Which directory this is.
    ///
    /// # Errors
    /// `Gone` when there is no such directory, or it is held open but has been removed.
    pub fn identity(&self) -> Result<Identity> {
        let handle = self.open_dir().map_err(|e| self.fault("looking at", e))?;
        let wanted = StatxFlags::INO | StatxFlags::NLINK | StatxFlags::BTIME;
        let found = rustix::fs::statx(&handle, "", AtFlags::EMPTY_PATH, wanted);
        let found = found.map_err(|e| self.fault("looking at", e.into()))?;
        if found.stx_nlink == 0 {
            return Err(self.fault("looking at", std::io::ErrorKind::NotFound.into()));
        }
        let has_birth = found.stx_mask & StatxFlags::BTIME.bits() != 0;
        Ok(Identity {
            device: (found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
            born: if has_birth { (found.stx_btime.tv_sec, found.stx_btime.tv_nsec) } else { (0, 0) },
        })
    }
}

#[cfg(test)]
mod tests {
    use girih_model::ErrorKind;

    use crate::place::Directory;

    #[test]
    fn a_pinned_directory_is_not_the_one_that_takes_its_name() {
        let temp = tempfile::tempdir().unwrap();
        let root = Directory::open(temp.path(), true).unwrap().root();
        let place = root.join("a/b").unwrap();
        assert_eq!(place.pinned().unwrap_err().kind(), ErrorKind::Gone);
        place.create_dir_all().unwrap();
        place.child("x").unwrap().write_durable(b"old").unwrap();
        let (pinned, identity) = (place.pinned().unwrap(), place.identity().unwrap());
        assert_eq!(pinned.identity().unwrap(), identity);
        assert_eq!(&pinned.child("x").unwrap().read(0..3).unwrap()[..], b"old");
        pinned.join("c/0").unwrap().create_dir_all().unwrap();
        assert!(pinned.parent().is_none() && pinned.child("x").unwrap().parent().is_some());

        place.remove_all().unwrap();
        assert_eq!(pinned.identity().unwrap_err().kind(), ErrorKind::Gone);
        place.create_dir_all().unwrap();
        place.child("x").unwrap().write_durable(b"new").unwrap();
        assert_ne!(place.identity().unwrap(), identity);
        for fate in [
            pinned.child("x").unwrap().open_file().map(drop),
            pinned.child("x").unwrap().write_durable(b"lost"),
            pinned.join("c/1").unwrap().create_dir_all(),
        ] {
            assert_eq!(fate.unwrap_err().kind(), ErrorKind::Gone);
        }
        assert_eq!(place.list_files_recursive().unwrap(), ["x"]);
        assert_eq!(&place.child("x").unwrap().read(0..3).unwrap()[..], b"new");
    }
}
