//! How the words look in the JSON and MessagePack of requests and replies.
//!
//! Only server and client import this module. Fields are declared in the order in which they go over
//! the wire; both encodings are made from the same types.

use serde::Serialize;

mod about;
mod bulk;
mod node;
mod request;
mod search;

pub use about::{About, AboutAuthentication, AboutLinks, AboutMeta, Provider};
pub use bulk::{BulkFailure, BulkPlace, Bulked};
pub use node::{
    AssetReply, Attributes, ContainerReply, Created, DataSourceReply, Direction, Links, NodeStructure, Resource,
    SortItem, Updated,
};
pub use request::{
    DataSourceRequest, MAX_SPECS, PatchMetadataRequest, PostMetadataRequest, PutDataSourceRequest, PutMetadataRequest,
    object_text,
};
pub use search::{BucketReply, DistinctReply, PageLinks, RevisionAttributes, RevisionReply, timestamp};

/// What most replies are wrapped in.
#[derive(Debug, Clone, Serialize)]
pub struct Envelope<T> {
    pub data: T,
    /// Always null: errors have their own shape, `{"detail": …}`.
    pub error: (),
    pub links: Option<PageLinks>,
    pub meta: Meta,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Meta {
    /// Where the server is mounted; only on request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_path: Option<String>,
    /// Number of items on all pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

impl<T> Envelope<T> {
    pub fn of(data: T) -> Self {
        Self { data, error: (), links: None, meta: Meta::default() }
    }

    pub fn page(data: T, links: PageLinks, count: u64) -> Self {
        Self { data, error: (), links: Some(links), meta: Meta { root_path: None, count: Some(count) } }
    }
}
