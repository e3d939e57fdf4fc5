//! Removing files and directories, also while others still write there.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use girih_model::{Error, ErrorKind, Result};
use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::{Location, name};

/// Entries of a directory that are taken note of at once.
const BATCH: usize = 4096;
/// Deepest directory that is removed.
const MAX_DEPTH: usize = 128;
/// How often a directory is looked at again because someone has put something into it.
const ATTEMPTS: u32 = 256;

impl Location {
    /// Removes this file, or this directory with all that is in it, and tidies up above. Nothing there is fine.
    pub fn remove_all(&self) -> Result<()> {
        self.remove()?;
        self.parent().map_or(Ok(()), |above| above.tidy())
    }

    /// Removes this file, or this directory with all that is in it. Links are removed, not followed. Nothing there is
    /// fine. Durable only after [`Location::tidy`] of the directory above.
    ///
    /// A directory loses its name first: whoever looks for it finds all of it or nothing.
    pub fn remove(&self) -> Result<()> {
        let Some(above) = self.parent() else {
            return Err(Error::internal("Internal server error").context("removing a whole storage directory"));
        };
        match above.open_dir_if_exists()? {
            Some(parent) => remove(&parent, &self.name()).map_err(|e| self.fault("removing", e)),
            None => Ok(()),
        }
    }

    /// Removes this directory, and those above it, as far as they are empty but for unfinished files; makes durable
    /// what has been removed.
    pub fn tidy(&self) -> Result<()> {
        let mut next = Some(self.clone());
        while let Some(place) = next.filter(|place| !place.path.as_os_str().is_empty()) {
            next = place.parent();
            let Some(parent) = next.as_ref().map(Self::open_dir_if_exists).transpose()?.flatten() else { continue };
            if !place.remove_if_empty(&parent)? {
                // It stays, and with it all above; unless another who tidies up was faster.
                match place.sync_dir() {
                    Err(e) if e.kind() == ErrorKind::Gone => {}
                    synced => return synced,
                }
            }
        }
        self.directory.root().sync_dir()
    }

    /// Whether it is gone.
    fn remove_if_empty(&self, parent: &OwnedFd) -> Result<bool> {
        let fault = |e: Errno| self.fault("removing", e.into());
        let name = self.name();
        for _ in 0..2 {
            match rustix::fs::unlinkat(parent, &name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => return Ok(true),
                Err(Errno::NOTEMPTY | Errno::EXIST) => {}
                Err(_) => return Ok(false),
            }
            let Some(handle) = self.open_dir_if_exists()? else { return Ok(true) };
            let names = entries(handle.as_fd()).map_err(fault)?;
            if names.len() == BATCH || !names.iter().all(|name| name.to_str().is_ok_and(name::is_temporary)) {
                return Ok(false);
            }
            // What nobody will ever finish.
            names.iter().try_for_each(|name| remove_tree(handle.as_fd(), name)).map_err(fault)?;
        }
        Ok(false)
    }

    /// Removes unfinished files and directories in this directory whose writers are no more.
    pub(crate) fn sweep(&self) -> Result<()> {
        let Some(handle) = self.open_dir_if_exists()? else { return Ok(()) };
        let fault = |e: Errno| self.fault("tidying up", e.into());
        let names = entries(handle.as_fd()).map_err(fault)?;
        let unfinished = names.iter().filter(|name| name.to_str().is_ok_and(name::is_temporary));
        for name in unfinished {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let Ok(found) = rustix::fs::openat(&handle, name.as_c_str(), flags, Mode::empty()) else { continue };
            if is_abandoned(&found) {
                remove_tree(handle.as_fd(), name).map_err(fault)?;
            }
        }
        Ok(())
    }

    fn open_dir_if_exists(&self) -> Result<Option<OwnedFd>> {
        match self.open_dir() {
            Ok(handle) => Ok(Some(handle)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.fault("opening", e)),
        }
    }
}

/// Nobody holds it, and it is not so young that its writer may not have got hold of it yet.
fn is_abandoned(unfinished: &OwnedFd) -> bool {
    const YOUNG: std::time::Duration = std::time::Duration::from_secs(60);
    let modified = unfinished.try_clone().and_then(|found| std::fs::File::from(found).metadata()?.modified());
    let is_old = modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > YOUNG));
    is_old && rustix::fs::flock(unfinished, FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Removes what has this name, if there is anything.
fn remove(parent: &OwnedFd, name: &str) -> io::Result<()> {
    let unlinked = rustix::fs::unlinkat(parent, name, AtFlags::empty());
    if unlinked != Err(Errno::ISDIR) {
        return if unlinked == Err(Errno::NOENT) { Ok(()) } else { Ok(unlinked?) };
    }
    let aside = CString::new(name::temporary())?;
    match rustix::fs::renameat(parent, name, parent, aside.as_c_str()) {
        Err(Errno::NOENT) => Ok(()),
        renamed => Ok(renamed.and_then(|()| remove_tree(parent.as_fd(), &aside))?),
    }
}

/// A directory that is being emptied.
struct Open {
    handle: OwnedFd,
    name: CString,
    /// Directories in it that are still to be emptied.
    below: Vec<CString>,
    attempts: u32,
}

/// Removes a file, or a directory from the deepest up, following no link. Nothing there is fine.
pub(super) fn remove_tree(parent: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(e) => return Err(e),
    }
    let mut open: Vec<Open> = open_below(parent, name)?.into_iter().collect();
    while let Some(mut top) = open.pop() {
        if let Some(name) = top.below.pop() {
            let next = open_below(top.handle.as_fd(), &name)?;
            open.push(top);
            open.extend(next);
            if open.len() > MAX_DEPTH {
                return Err(Errno::LOOP);
            }
            continue;
        }
        let names = entries(top.handle.as_fd())?;
        let is_empty = names.is_empty();
        for name in names {
            match rustix::fs::unlinkat(&top.handle, name.as_c_str(), AtFlags::empty()) {
                Err(Errno::ISDIR) => top.below.push(name),
                Ok(()) | Err(Errno::NOENT) => {}
                Err(e) => return Err(e),
            }
        }
        if top.below.is_empty() {
            let above = open.last().map_or(parent, |above| above.handle.as_fd());
            match rustix::fs::unlinkat(above, top.name.as_c_str(), AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => continue,
                // There is more than was listed, or a writer has not yet noticed.
                Err(Errno::NOTEMPTY | Errno::EXIST) if top.attempts < ATTEMPTS => top.attempts += u32::from(is_empty),
                Err(e) => return Err(e),
            }
        }
        open.push(top);
    }
    Ok(())
}

fn open_below(parent: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<Option<Open>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(parent, name, flags, Mode::empty()) {
        Ok(handle) => Ok(Some(Open { handle, name: name.to_owned(), below: Vec::new(), attempts: 0 })),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Some of the names in a directory, the last in the alphabet first: the description of an array goes before its data.
fn entries(directory: BorrowedFd<'_>) -> rustix::io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
        if names.len() == BATCH {
            break;
        }
    }
    names.sort_unstable_by(|a, b| b.cmp(a));
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Directory;

    fn room(files: &[&str]) -> (tempfile::TempDir, Location) {
        let temp = tempfile::tempdir().unwrap();
        let root = Directory::open(temp.path(), true).unwrap().root();
        for file in files {
            let file = temp.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        (temp, root)
    }

    #[test]
    fn everything_goes_and_empty_parents_but_no_link_is_followed() {
        use std::os::unix::ffi::OsStrExt;
        let (outside, _) = room(&["keep"]);
        let (temp, root) = room(&["a/b/c/0/0", "a/b/c/1/0", "a/b/zarr.json", "a/.girih=1", "other/x"]);
        std::os::unix::fs::symlink(outside.path(), temp.path().join("a/b/link")).unwrap();
        std::fs::write(temp.path().join("a/b").join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
        for n in 0..BATCH + 10 {
            std::fs::write(temp.path().join(format!("a/b/c/0/{n}")), "").unwrap();
        }
        let place = root.join("a/b").unwrap();
        place.remove_all().unwrap();
        place.remove_all().unwrap();
        assert!(!temp.path().join("a").exists());
        assert!(temp.path().join("other/x").exists());
        assert!(outside.path().join("keep").exists());
        root.join("other/x").unwrap().remove_all().unwrap();
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
        assert!(root.remove_all().is_err());
    }

    #[test]
    fn writers_who_have_not_noticed_do_not_keep_a_directory_alive() {
        let (temp, root) = room(&["a/b/zarr.json"]);
        let place = root.join("a/b").unwrap();
        let pinned = place.pinned().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| while pinned.join("c/0").and_then(|place| place.create_dir_all()).is_ok() {});
            std::thread::sleep(std::time::Duration::from_millis(5));
            place.remove_all().unwrap();
        });
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[test]
    fn only_what_is_abandoned_is_swept() {
        let (temp, root) = room(&["a/.girih=old", "a/.girih=young", "a/.girih=dir/0", "a/.girih=held", "a/data"]);
        let place = root.child("a").unwrap();
        let at = |name: &str| std::fs::File::open(temp.path().join("a").join(name)).unwrap();
        let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
        for name in [".girih=old", ".girih=dir", ".girih=held", "data"] {
            at(name).set_modified(long_ago).unwrap();
        }
        let held = at(".girih=held");
        rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
        place.sweep().unwrap();
        let mut left: Vec<_> =
            std::fs::read_dir(temp.path().join("a")).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".girih=held", ".girih=young", "data"]);
    }
}
