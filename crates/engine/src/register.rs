//! Files become nodes where they lie: a directory is surveyed, what could be a node is inspected, and a catalog is
//! brought to agree with what was found.
//!
//! The same for a catalog in this process ([`Local`]) and one behind a server (a [`Target`] of the command line), once
//! ([`Registrar::run`]) and for as long as the files change ([`watch`]).

mod inspect;
mod local;
mod report;
mod seen;
mod send;
mod sync;
mod target;
mod watch;

use std::path::Path;

use girih_model::{Error, ErrorKind, Result};
pub use girih_storage::survey::{Hook, SurveyOptions};
use girih_storage::{Directory, Location, Places, Storage, StorageOptions};

pub use local::Local;
pub use report::{Outcome, Record, Totals};
pub use sync::Registrar;
pub use target::{DryRun, Target, There, ThereSource};
pub use watch::Watch;

/// Files to be registered: a directory, or a single file, opened so that nothing outside is read.
pub struct Files {
    storage: Storage,
    start: Location,
}

impl Files {
    /// # Errors
    /// `Gone` when there is nothing at this path, `Forbidden` when it may not be read.
    pub fn open(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).map_err(|e| Error::unprocessable(format!("{}: {e}", path.display())))?;
        let missing =
            |e: std::io::Error| Error::new(ErrorKind::Gone, format!("{} cannot be read: {e}", path.display()));
        let is_directory = std::fs::metadata(&path).map_err(missing)?.is_dir();
        let base = if is_directory { path.as_path() } else { path.parent().unwrap_or(Path::new("/")) };
        let directory = Directory::open(base, false)?;
        let unusable = || Error::unprocessable(format!("The name of {} is not UTF-8. Rename it.", path.display()));
        let start = match path.file_name().filter(|_| !is_directory) {
            Some(name) => directory.root().child(name.to_str().ok_or_else(unusable)?)?,
            None => directory.root(),
        };
        let places = Places::new(Vec::new(), vec![directory]);
        Ok(Self { storage: Storage::new(StorageOptions { places }), start })
    }

    pub fn path(&self) -> std::path::PathBuf {
        self.start.absolute()
    }
}
