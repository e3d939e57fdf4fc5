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
mod watch;

use std::path::Path;

use async_trait::async_trait;
use girih_model::{Error, ErrorKind, NodePath, Result};
pub use girih_storage::survey::{Hook, SurveyOptions};
use girih_storage::{Directory, Location, Places, Storage, StorageOptions};

use crate::bulk::BulkItem;

pub use local::Local;
pub use report::{Outcome, Record, Totals};
pub use sync::Registrar;
pub use watch::Watch;

/// A catalog that files are registered in. Paths are those that its callers see.
#[async_trait]
pub trait Target: Send + Sync {
    /// Makes nodes, parents first, and tells what became of each. `Conflict` for one that is there with other content.
    async fn create(&self, items: Vec<BulkItem>) -> Result<Vec<Result<()>>>;

    /// Puts a node in the place of the one that is there: if it can be, that one is only changed, so that whoever reads
    /// it is not disturbed.
    async fn replace(&self, item: BulkItem) -> Result<()>;

    /// Takes out a node with all that lies below it.
    async fn delete(&self, path: &NodePath) -> Result<()>;

    /// Keys of the children of a container; none when it is not there.
    async fn children(&self, path: &NodePath) -> Result<Vec<String>>;
}

/// Whether a plan is only made, or carried out.
pub struct DryRun;

#[async_trait]
impl Target for DryRun {
    async fn create(&self, items: Vec<BulkItem>) -> Result<Vec<Result<()>>> {
        Ok(items.iter().map(|_| Ok(())).collect())
    }

    async fn replace(&self, _: BulkItem) -> Result<()> {
        Ok(())
    }

    async fn delete(&self, _: &NodePath) -> Result<()> {
        Ok(())
    }

    async fn children(&self, _: &NodePath) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

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
