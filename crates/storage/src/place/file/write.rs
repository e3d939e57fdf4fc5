//! Writing so that a file is either the old one or the new one, and stays after a power cut.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use girih_model::{Error, Result};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::seal::{Sealing, WriteId};
use super::{Location, name};

/// A file under a temporary name, which goes away unless it is published.
#[derive(Debug)]
pub struct Draft {
    file: File,
    parent: OwnedFd,
    temporary: String,
    target: Location,
    sealing: Option<Sealing>,
    published: bool,
}

impl Draft {
    /// The file gets a checksum of its bytes, and the names of the writes that are in it. Nothing has been written yet.
    #[must_use]
    pub(crate) fn sealed(mut self, writes: Vec<WriteId>) -> Self {
        self.sealing = Some(Sealing::new(writes));
        self
    }

    /// Makes the bytes durable. Nothing is written any more.
    pub fn synced(mut self) -> Result<Self> {
        let synced = match self.sealing.take() {
            None => self.file.sync_data(),
            // Attributes are synced with all else, not with the data alone.
            Some(sealing) => sealing.put_on(&self.file).and_then(|()| self.file.sync_all()),
        };
        synced.map_err(|e| self.target.fault("writing", e))?;
        Ok(self)
    }

    /// Makes the bytes durable and gives the file its name, in place of any before. The name itself
    /// is durable only after [`Location::sync_dir`] of its directory.
    pub fn publish(mut self) -> Result<()> {
        self = self.synced()?;
        let name = self.target.name();
        rustix::fs::renameat(&self.parent, &self.temporary, &self.parent, &name)
            .map_err(|e| self.target.fault("publishing", e.into()))?;
        self.published = true;
        Ok(())
    }

    /// Publishes and makes the name durable too.
    pub fn publish_durable(self) -> Result<()> {
        let parent = self.parent.try_clone().map_err(|e| self.target.fault("writing", e))?;
        let target = self.target.clone();
        self.publish()?;
        rustix::fs::fsync(parent).map_err(|e| target.fault("making durable", e.into()))
    }

    /// What a failed write to this file means.
    pub fn fault(&self, e: io::Error) -> Error {
        self.target.fault("writing", e)
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        if let Some(sealing) = &mut self.sealing {
            sealing.add(&bytes[..written]);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed is recognised by its name later.
            let _ = rustix::fs::unlinkat(&self.parent, &self.temporary, AtFlags::empty());
        }
    }
}

impl Location {
    /// Begins a file here; the directory must exist.
    ///
    /// # Errors
    /// `StorageFull` on a full disk.
    pub fn draft(&self) -> Result<Draft> {
        let place = self.parent().ok_or_else(|| Error::internal("a directory is not a file"))?;
        let parent = place.open_dir().map_err(|e| place.fault("opening", e))?;
        let temporary = name::temporary();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&parent, &temporary, flags, Mode::from_raw_mode(0o666))
            .map_err(|e| self.fault("creating", e.into()))?;
        // Tells those who tidy up that it is not abandoned. Some file systems cannot tell.
        let _ = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
        Ok(Draft { file: file.into(), parent, temporary, target: self.clone(), sealing: None, published: false })
    }

    /// Writes a whole file; when this returns, it is durable.
    pub fn write_durable(&self, bytes: &[u8]) -> Result<()> {
        let mut draft = self.draft()?;
        draft.write_all(bytes).map_err(|e| self.fault("writing", e))?;
        draft.publish_durable()
    }

    /// Makes the names in this directory durable.
    pub fn sync_dir(&self) -> Result<()> {
        let handle = self.open_dir().map_err(|e| self.fault("opening", e))?;
        rustix::fs::fsync(handle).map_err(|e| self.fault("making durable", e.into()))
    }

    /// Makes this directory in one that is there; it may exist. Its name is durable only after
    /// [`Location::sync_dir`] of the latter.
    pub(crate) fn create_dir_within(&self) -> Result<()> {
        let place = self.parent().ok_or_else(|| Error::internal("Internal server error"))?;
        let parent = place.open_dir().map_err(|e| place.fault("opening", e))?;
        match rustix::fs::mkdirat(&parent, self.name(), Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(e) => Err(self.fault("creating", e.into())),
        }
    }

    /// Makes this directory and those above it, durably; it may exist.
    pub fn create_dir_all(&self) -> Result<()> {
        self.create_dir().map(drop)
    }

    /// Makes this directory, and those above it, durably. False when it exists already: it is someone else's.
    pub fn create_dir(&self) -> Result<bool> {
        let mut missing = Vec::new();
        let mut place = self.clone();
        loop {
            match place.open_dir() {
                Ok(_) => break,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(place.fault("opening", e)),
            }
            let Some(parent) = place.parent() else {
                return Err(place.fault("opening", io::ErrorKind::NotFound.into()));
            };
            missing.push(std::mem::replace(&mut place, parent));
        }
        let mut ours = false;
        // Someone may tidy up empty directories while we go down: then begin again above.
        let mut attempts = 0;
        while let Some(next) = missing.pop() {
            let parent = place.open_dir();
            let made = match &parent {
                Ok(parent) => rustix::fs::mkdirat(parent, next.name(), Mode::from_raw_mode(0o777)),
                Err(_) => Err(Errno::NOENT),
            };
            match made {
                Ok(()) => {
                    ours = true;
                    if let Ok(parent) = parent {
                        rustix::fs::fsync(parent).map_err(|e| place.fault("making durable", e.into()))?;
                    }
                }
                Err(Errno::EXIST) => ours = false,
                Err(Errno::NOENT) if attempts < 256 && place.parent().is_some() => {
                    attempts += 1;
                    missing.push(next);
                    let above = place.parent().unwrap_or_else(|| place.clone());
                    missing.push(std::mem::replace(&mut place, above));
                    continue;
                }
                Err(e) => return Err(next.fault("creating", e.into())),
            }
            place = next;
        }
        Ok(ours)
    }

    /// Makes a directory that was not there before: this one, or one beside it with a longer name.
    ///
    /// What is there already is never touched: it may be a leftover of a crash, but as well the data
    /// of another who was faster.
    pub fn create_dir_new(&self) -> Result<Self> {
        if self.create_dir()? {
            return Ok(self.clone());
        }
        for _ in 0..16 {
            let stem: String = self.name().chars().take(200).collect();
            let mut other = self.clone();
            other.path.set_file_name(format!("{stem}={}", name::unique()));
            if other.create_dir()? {
                return Ok(other);
            }
        }
        Err(Error::internal("Internal server error")
            .context(format!("no free name for a directory beside {}", self.absolute().display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Directory;

    fn room() -> (tempfile::TempDir, Location) {
        let temp = tempfile::tempdir().unwrap();
        let root = Directory::open(temp.path(), true).unwrap().root();
        (temp, root)
    }

    #[test]
    fn a_file_is_old_or_new_and_nothing_else_is_left() {
        let (temp, root) = room();
        let file = root.child("x").unwrap();
        file.write_durable(b"one").unwrap();
        let mut draft = file.draft().unwrap();
        draft.write_all(b"half").unwrap();
        assert_eq!(&file.read(0..3).unwrap()[..], b"one");
        assert_eq!(root.list_files_recursive().unwrap(), ["x"]);
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 2);
        drop(draft);
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1);
        file.write_durable(b"two!").unwrap();
        assert_eq!(file.read_all(4).unwrap().unwrap(), b"two!");
        assert!(file.read_all(3).is_err());
    }

    #[test]
    fn what_exists_belongs_to_someone_else() {
        let (_temp, root) = room();
        let place = root.join("a/b/c").unwrap();
        let first = place.create_dir_new().unwrap();
        let second = place.create_dir_new().unwrap();
        assert_eq!(first.absolute(), place.absolute());
        assert!(second.name().starts_with("c="), "{second:?}");
        place.create_dir_all().unwrap();
    }

    #[test]
    fn directories_are_made_while_others_tidy_up() {
        let (_temp, root) = room();
        std::thread::scope(|scope| {
            for n in 0..4 {
                let place = root.join(&format!("a/b/{n}")).unwrap();
                scope.spawn(move || {
                    for _ in 0..50 {
                        let made = place.create_dir_new().unwrap();
                        made.remove_all().unwrap();
                    }
                });
            }
        });
    }
}
