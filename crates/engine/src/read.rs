//! Data out of the house.

use std::sync::Arc;

use girih_model::{Data, Family, NodePath, Result, Selection};
use girih_storage::Dataset;

use crate::{Caller, Engine, Entry};

/// An entry and its open data; the caller may read it.
pub struct Opened {
    pub entry: Entry,
    pub dataset: Arc<dyn Dataset>,
    /// Changes whenever the data may have changed; part of ETags.
    pub version: String,
}

impl Engine {
    /// Finds the data of an entry of one of `families`; nothing has been read yet.
    pub async fn open(&self, _caller: &Caller, _path: &NodePath, _families: &[Family]) -> Result<Opened> {
        unimplemented!()
    }

    /// Streams the selected part of an entry; a container as the tree below it.
    pub async fn read(
        &self,
        _caller: &Caller,
        _path: &NodePath,
        _families: &[Family],
        _selection: &Selection,
    ) -> Result<Data> {
        unimplemented!()
    }
}
