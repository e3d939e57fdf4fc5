//! Nodes, their data sources and revisions.

use girih_model::{Asset, DataSource, Family, Json, Node, NodeId, NodePath, Result, Spec};

use crate::Database;

/// A node to be created.
#[derive(Debug, Clone)]
pub struct NewNode {
    pub key: String,
    pub family: Family,
    pub metadata: Json,
    pub specs: Vec<Spec>,
    pub data_source: Option<DataSource>,
}

/// A node as it was recorded, with the ids of its data source and assets.
#[derive(Debug, Clone)]
pub struct Created {
    pub node: Node,
    pub data_source: Option<DataSource>,
}

/// New values for metadata and specs; `None` keeps what is there.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub metadata: Option<Json>,
    pub specs: Option<Vec<Spec>>,
    /// Keep the values from before as a revision.
    pub keep_revision: bool,
}

/// What a delete took out of the catalog.
#[derive(Debug, Clone, Default)]
pub struct Deleted {
    pub nodes: u64,
    /// Internally managed assets that nothing refers to any more: their bytes can go.
    pub assets: Vec<Asset>,
}

#[derive(Debug, Clone)]
pub struct RevisionPage {
    pub revisions: Vec<girih_model::node::Revision>,
    pub count: u64,
}

#[allow(unused_variables)]
impl Database {
    /// The deepest existing node on the way to `path` (the root always exists): when its path is
    /// shorter, the rest may name a part of its data (a column, a group in a file).
    pub async fn deepest(&self, path: &NodePath) -> Result<Node> {
        unimplemented!()
    }

    /// Data sources of a node (none or one), with all their assets.
    pub async fn data_sources(&self, id: NodeId) -> Result<Vec<DataSource>> {
        unimplemented!()
    }

    /// Data sources of several nodes at once, for listings; in the order of `ids`.
    pub async fn data_sources_of(&self, ids: &[NodeId]) -> Result<Vec<Vec<DataSource>>> {
        unimplemented!()
    }

    /// Adds a node. `Conflict` when the key is taken; `NotFound` when the parent is gone.
    pub async fn create(&self, parent: NodeId, new: NewNode) -> Result<Created> {
        unimplemented!()
    }

    /// Changes metadata and specs if the node still has this `version` (`Conflict` otherwise);
    /// returns the node and the number of the revision that was kept.
    pub async fn update(&self, id: NodeId, version: i64, change: Change) -> Result<(Node, Option<i64>)> {
        unimplemented!()
    }

    /// Replaces the structure of the node's data source if the node still has this `version`, and
    /// counts a new version of its data. `structure: None` only counts.
    pub async fn record_write(
        &self,
        id: NodeId,
        version: i64,
        structure: Option<girih_model::Structure>,
    ) -> Result<Node> {
        unimplemented!()
    }

    /// Replaces structure, mimetype, parameters, properties and management of the data source
    /// `source.id`, which must belong to the node; adds new assets. `NotFound` when it does not.
    pub async fn put_data_source(&self, id: NodeId, source: DataSource) -> Result<()> {
        unimplemented!()
    }

    /// An asset of this node. `None` when the node has no such asset.
    pub async fn asset(&self, id: NodeId, asset: i64) -> Result<Option<(DataSource, Asset)>> {
        unimplemented!()
    }

    /// Takes an asset from the node's data source. `Conflict` for an internally managed one unless
    /// `external_only` is false. True in the answer when nothing else refers to the asset any more.
    pub async fn delete_asset(&self, id: NodeId, asset: i64, external_only: bool) -> Result<(Asset, bool)> {
        unimplemented!()
    }

    /// Deletes a node and, with `recursive`, all below it. Of the root only what is below goes.
    /// `Conflict` when it has children and not `recursive`, or when something in the subtree is
    /// internally managed and `external_only`.
    pub async fn delete(&self, id: NodeId, recursive: bool, external_only: bool) -> Result<Deleted> {
        unimplemented!()
    }

    /// Revisions of a node, oldest first.
    pub async fn revisions(&self, id: NodeId, offset: u64, limit: u64) -> Result<RevisionPage> {
        unimplemented!()
    }

    /// `NotFound` when there is no such revision.
    pub async fn delete_revision(&self, id: NodeId, number: i64) -> Result<()> {
        unimplemented!()
    }
}
