//! New nodes.

use girih_model::{DataSource, Family, Json, NodePath, Result, Spec};

use crate::{Caller, Engine, Entry};

#[derive(Debug, Clone)]
pub struct CreateRequest {
    /// A random one (UUID) when not given.
    pub key: Option<String>,
    pub family: Family,
    /// A JSON object.
    pub metadata: Json,
    pub specs: Vec<Spec>,
    /// Exactly one for every family but containers. An empty mimetype means the family's default.
    pub data_sources: Vec<DataSource>,
    pub access_tags: Option<Vec<String>>,
}

#[derive(Debug, Clone)]
pub struct CreateReply {
    /// With its data sources.
    pub entry: Entry,
}

impl Engine {
    /// Creates a node whose data girih keeps (`register: false`), or one whose data lies in existing files (`register: true`).
    ///
    /// # Errors
    /// `Conflict` when the key is taken, `NotFound`/`Unsupported` for the parent, `Unprocessable` for the rest.
    pub async fn create(
        &self,
        _caller: &Caller,
        _parent: &NodePath,
        _request: CreateRequest,
        _register: bool,
    ) -> Result<CreateReply> {
        unimplemented!()
    }

    /// Replaces a data source's description; it must belong to the node.
    pub async fn put_data_source(&self, _caller: &Caller, _path: &NodePath, _source: DataSource) -> Result<()> {
        unimplemented!()
    }
}
