//! What lies in a directory, for those who look for what nobody refers to.

use std::time::{Duration, SystemTime};

use girih_model::Result;
use rustix::fs::{FileType, FlockOperation, OFlags};

use super::{Location, name};

/// An entry of a directory.
#[derive(Debug, Clone)]
pub struct Found {
    pub place: Location,
    pub is_directory: bool,
    /// Left behind by a writer who was interrupted, or still being written.
    pub is_unfinished: bool,
}

impl Location {
    /// All that is in this directory, in the order of names; links count as files.
    pub fn contents(&self) -> Result<Vec<Found>> {
        let mut all = self.all_entries()?;
        all.sort_by(|a, b| a.name.cmp(&b.name));
        let found = all.into_iter().map(|entry| {
            Ok(Found {
                place: self.child(&entry.name)?,
                is_directory: entry.kind == FileType::Directory,
                is_unfinished: name::is_temporary(&entry.name),
            })
        });
        found.collect()
    }

    /// Whether nothing has happened here for so long, and nobody has it in use.
    pub fn is_idle(&self, since: Duration) -> bool {
        let Ok(handle) = self.open(OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK) else { return false };
        let file = std::fs::File::from(handle);
        let age = file.metadata().and_then(|file| file.modified()).ok();
        let age = age.and_then(|modified| SystemTime::now().duration_since(modified).ok());
        let free = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        free && age.is_some_and(|age| age >= since)
    }
}
