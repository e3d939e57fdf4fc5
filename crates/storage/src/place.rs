//! Where bytes lie: the configured directories, and nothing outside them.

pub mod file;
pub mod scratch;

use std::path::{Component, Path};
use std::sync::Arc;

use girih_model::{Error, Result};

pub use file::{Directory, Draft, Location, Stage, Turn};

/// The directories that may be read, and those that may be written. Writable ones are readable.
#[derive(Debug, Clone, Default)]
pub struct Places {
    writable: Vec<Arc<Directory>>,
    readable: Vec<Arc<Directory>>,
}

impl Places {
    pub fn new(writable: Vec<Arc<Directory>>, readable: Vec<Arc<Directory>>) -> Self {
        Self { writable, readable }
    }

    /// Where new data goes: the first writable directory.
    pub fn writable(&self) -> Result<&Arc<Directory>> {
        self.writable.first().ok_or_else(|| {
            Error::unsupported(
                "This catalog has no writable storage. Start the server with --write or configure writable_storage.",
            )
        })
    }

    /// All directories that may be written.
    pub fn all_writable(&self) -> impl Iterator<Item = &Arc<Directory>> {
        self.writable.iter()
    }

    /// Finds the place of a `file:` URI, which must lie under one of the directories.
    ///
    /// # Errors
    /// `Forbidden` when it lies elsewhere, `Unprocessable` for other schemes.
    pub fn locate(&self, uri: &str) -> Result<Location> {
        self.at(&file::path_of_uri(uri)?)
    }

    fn at(&self, path: &Path) -> Result<Location> {
        let directories = self.writable.iter().chain(&self.readable);
        directories.into_iter().find_map(|directory| directory.locate(path)).ok_or_else(|| {
            Error::forbidden("The data lies outside the directories that this server may read (readable_storage).")
                .context(format!("locating {}", path.display()))
        })
    }

    /// The place of a file that another file names: by its absolute path, or by one from the directory of the other.
    ///
    /// # Errors
    /// As [`Places::locate`].
    pub(crate) fn beside(&self, file: &Location, name: &str) -> Result<Location> {
        let mut path = file.absolute().parent().unwrap_or(Path::new("/")).to_path_buf();
        for part in Path::new(name).components() {
            match part {
                Component::ParentDir => drop(path.pop()),
                Component::CurDir => {}
                part => path.push(part),
            }
        }
        self.at(&path)
    }

    /// Like [`Places::locate`], but only where we may write and delete.
    pub fn locate_writable(&self, uri: &str) -> Result<Location> {
        let path = file::path_of_uri(uri)?;
        self.writable.iter().find_map(|directory| directory.locate(&path)).ok_or_else(|| {
            Error::forbidden("The data lies outside the directories that this server may write (writable_storage).")
                .context(format!("locating {uri}"))
        })
    }
}
