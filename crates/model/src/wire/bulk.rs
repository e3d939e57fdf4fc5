//! Many new nodes at once: each a [`PostMetadataRequest`](super::PostMetadataRequest) with an `id`.

use serde::{Deserialize, Serialize};

/// What such a request may hold besides.
#[derive(Debug, Clone, Deserialize)]
#[serde(expecting = "an object")]
pub struct BulkPlace {
    /// Path of the container that the node goes to, from the one that was addressed; that one itself when missing.
    #[serde(default)]
    pub parent: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Bulked {
    pub created: u64,
    /// There already, just as they were to be.
    pub unchanged: u64,
    pub failed: u64,
    /// The first failures, in order.
    pub errors: Vec<BulkFailure>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BulkFailure {
    /// Number of the line, or of the place in the list, from 1.
    pub line: u64,
    pub id: Option<String>,
    /// As an HTTP status.
    pub status: u16,
    pub detail: String,
}
