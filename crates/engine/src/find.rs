//! From a path to what is there.

use girih_database::Sort;
use girih_model::{DataSource, Family, Json, NodePath, Result, Spec, Structure};

use crate::{Caller, Engine};

/// Something with a path: a node of a catalog, a mount point, or a named part of a node's data.
#[derive(Debug, Clone)]
pub struct Entry {
    pub path: NodePath,
    pub family: Family,
    pub metadata: Json,
    pub specs: Vec<Spec>,
    /// `None` for a container of the catalog.
    pub structure: Option<Structure>,
    /// Number of children of a container.
    pub count: u64,
    /// Default order of a container's children.
    pub sorting: Vec<Sort>,
    /// `None` where tags do not apply (inside a file).
    pub access_tags: Option<Vec<String>>,
    /// Filled in when wanted.
    pub data_sources: Option<Vec<DataSource>>,
}

/// What costs extra and is only looked up when wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Want {
    pub data_sources: bool,
}

impl Engine {
    /// # Errors
    /// `NotFound` when there is no such entry, or the caller may not know of it.
    pub async fn entry(&self, _caller: &Caller, _path: &NodePath, _want: Want) -> Result<Entry> {
        unimplemented!()
    }
}
