//! Space on the disk that is kept for deleting: SQLite writes before it frees.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Bytes kept.
const SIZE: usize = 4 << 20;

/// A file beside the catalog that is given up when the disk is full.
#[derive(Debug)]
pub(crate) struct Reserve(PathBuf);

impl Reserve {
    pub(crate) fn beside(catalog: &Path) -> Self {
        let mut name = catalog.as_os_str().to_owned();
        name.push("-reserve");
        let reserve = Self(name.into());
        reserve.keep();
        reserve
    }

    /// Takes the space, if it is to be had. Real blocks: a file with a hole keeps nothing.
    pub(crate) fn keep(&self) {
        if std::fs::metadata(&self.0).is_ok_and(|file| file.len() == SIZE as u64) {
            return;
        }
        let written = OpenOptions::new().write(true).create(true).truncate(true).open(&self.0).and_then(fill);
        if let Err(e) = written {
            tracing::debug!(error = %e, "no space is kept for deleting");
            self.release();
        }
    }

    /// Gives the space back; false when there is none.
    pub(crate) fn release(&self) -> bool {
        std::fs::remove_file(&self.0).is_ok()
    }
}

fn fill(mut file: File) -> std::io::Result<()> {
    // Not zeros, which some file systems do not store.
    file.write_all(&vec![0x67; SIZE])?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_kept_given_back_and_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve::beside(&folder.path().join("c.db"));
        assert_eq!(std::fs::metadata(folder.path().join("c.db-reserve")).unwrap().len(), SIZE as u64);
        assert!(reserve.release());
        assert!(!reserve.release());
        reserve.keep();
        assert!(reserve.release());
    }
}
