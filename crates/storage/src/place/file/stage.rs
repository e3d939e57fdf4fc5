//! Several files of a directory that become visible together, or not at all.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use girih_model::{Error, Result, ResultExt};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::{Location, name, remove};

/// Files under way, in a directory with a temporary name beside their targets. They go away unless they are published.
#[derive(Debug)]
pub struct Stage {
    directory: Location,
    parent: OwnedFd,
    handle: OwnedFd,
    name: CString,
    /// Files may be left in it.
    in_use: bool,
}

impl Stage {
    /// # Errors
    /// `Gone` when the directory does not exist, `StorageFull`.
    pub fn begin(directory: &Location) -> Result<Self> {
        let fault = |e: Errno| directory.fault("preparing to write to", e.into());
        let parent = directory.open_dir().map_err(|e| directory.fault("opening", e))?;
        let name = CString::new(name::temporary()).internal(|| "naming a temporary directory".into())?;
        rustix::fs::mkdirat(&parent, name.as_c_str(), Mode::from_raw_mode(0o777)).map_err(fault)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(&parent, name.as_c_str(), flags, Mode::empty()).map_err(fault)?;
        // Tells those who tidy up that it is not abandoned. Some file systems cannot tell.
        let _ = rustix::fs::flock(&handle, FlockOperation::NonBlockingLockExclusive);
        Ok(Self { directory: directory.clone(), parent, handle, name, in_use: true })
    }

    /// Writes a file that is to be published; when this returns, its bytes are durable.
    ///
    /// # Errors
    /// `StorageFull`; `Gone` when the directory has been removed.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.handle, name, flags, Mode::from_raw_mode(0o666));
        let mut file = File::from(file.map_err(|e| self.fault("creating", name, e.into()))?);
        file.write_all(bytes).and_then(|()| file.sync_data()).map_err(|e| self.fault("writing", name, e))
    }

    /// The bytes of a file that has been written, if it has.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut bytes = Vec::new();
        match rustix::fs::openat(&self.handle, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            Err(e) => return Err(self.fault("opening", name, e.into())),
            Ok(file) => File::from(file).read_to_end(&mut bytes).map_err(|e| self.fault("reading", name, e))?,
        };
        Ok(Some(bytes))
    }

    /// Gives files their names in `directory`, in place of any before: pairs of the name here and there. The names are
    /// durable only after [`Location::sync_dir`].
    pub fn publish(&self, directory: &Location, files: impl IntoIterator<Item = (String, String)>) -> Result<()> {
        let target = directory.open_dir().map_err(|e| directory.fault("opening", e))?;
        files.into_iter().try_for_each(|(from, to)| {
            rustix::fs::renameat(&self.handle, &from, &target, &to).map_err(|e| self.fault("publishing", &to, e.into()))
        })
    }

    /// Removes what has not been published.
    pub fn end(mut self) -> Result<()> {
        self.in_use = false;
        remove::remove_tree(self.parent.as_fd(), &self.name).map_err(|e| self.directory.fault("tidying up", e.into()))
    }

    fn fault(&self, doing: &str, name: &str, e: std::io::Error) -> Error {
        match self.directory.child(name) {
            Ok(file) => file.fault(doing, e),
            Err(other) => other,
        }
    }
}

impl Drop for Stage {
    /// Only when a writer was interrupted. What cannot be removed is recognised by its name later.
    fn drop(&mut self) {
        let Some(parent) = self.parent.try_clone().ok().filter(|_| self.in_use) else { return };
        let name = std::mem::take(&mut self.name);
        let remove = move || remove::remove_tree(parent.as_fd(), &name);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => drop(remove()),
        }
    }
}

#[cfg(test)]
mod tests {
    use girih_model::ErrorKind;

    use super::*;
    use crate::place::Directory;

    #[test]
    fn files_become_visible_together() {
        let temp = tempfile::tempdir().unwrap();
        let root = Directory::open(temp.path(), true).unwrap().root();
        root.child("x").unwrap().write_durable(b"old").unwrap();
        let below = root.child("below").unwrap();
        below.create_dir_all().unwrap();

        let stage = Stage::begin(&root).unwrap();
        stage.write("0", b"first").unwrap();
        stage.write("0", b"new").unwrap();
        stage.write("1", b"one").unwrap();
        assert_eq!(stage.read("0").unwrap().unwrap(), b"new");
        assert_eq!(stage.read("2").unwrap(), None);
        assert_eq!(root.list_files_recursive().unwrap(), ["x"]);
        assert_eq!(&root.child("x").unwrap().read(0..3).unwrap()[..], b"old");
        stage.publish(&root, [("0".into(), "x".into())]).unwrap();
        stage.publish(&below, [("1".into(), "y".into())]).unwrap();
        stage.end().unwrap();
        assert_eq!(&root.child("x").unwrap().read(0..3).unwrap()[..], b"new");
        assert_eq!(root.list_files_recursive().unwrap(), ["below/y", "x"]);

        let stage = Stage::begin(&root).unwrap();
        stage.write("0", b"lost").unwrap();
        drop(stage);
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_removed_directory_takes_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let root = Directory::open(temp.path(), true).unwrap().root();
        let place = root.child("a").unwrap();
        place.create_dir_all().unwrap();
        let stage = Stage::begin(&place.pinned().unwrap()).unwrap();
        stage.write("0", b"x").unwrap();
        place.remove_all().unwrap();
        place.create_dir_all().unwrap();
        assert_eq!(stage.write("1", b"x").unwrap_err().kind(), ErrorKind::Gone);
        assert_eq!(stage.publish(&place, [("0".into(), "x".into())]).unwrap_err().kind(), ErrorKind::Gone);
        stage.end().unwrap();
        assert_eq!(Stage::begin(&root.child("b").unwrap()).unwrap_err().kind(), ErrorKind::Gone);
    }
}
