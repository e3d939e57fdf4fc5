//! What became of each file.

use girih_model::{Error, Family, NodePath};
use serde::Serialize;

/// What became of a file, a directory or a sequence of files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// From where the registration began.
    pub file: String,
    /// How many files it stands for.
    pub files: usize,
    #[serde(flatten)]
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    Registered {
        path: String,
        family: Family,
        media_type: String,
    },
    /// Nothing was tried.
    Skipped {
        reason: String,
    },
    /// It cannot be read, or the catalog refuses it.
    Failed {
        reason: String,
    },
    /// The file is not there any more, nor is its node.
    Removed {
        path: String,
    },
}

/// How many files there were of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub files: u64,
    pub nodes: u64,
    pub skipped: u64,
    pub failed: u64,
    pub removed: u64,
}

impl Totals {
    pub fn count(&mut self, record: &Record) {
        let files = record.files as u64;
        match record.outcome {
            Outcome::Registered { .. } => {
                self.nodes += 1;
                self.files += files;
            }
            Outcome::Skipped { .. } => self.skipped += files,
            Outcome::Failed { .. } => self.failed += files,
            Outcome::Removed { .. } => self.removed += 1,
        }
    }
}

impl Outcome {
    /// What the server keeps itself is in the way.
    pub(super) fn in_the_way(path: &NodePath) -> Self {
        Self::Failed {
            reason: format!(
                "There is an entry at /{} already, with data that the server keeps itself. Choose another --prefix.",
                path.as_str()
            ),
        }
    }

    pub(super) fn skipped(reason: &str) -> Self {
        Self::Skipped { reason: reason.to_owned() }
    }

    pub(super) fn failed(e: &Error) -> Self {
        Self::Failed { reason: e.message().to_owned() }
    }
}
