//! What the catalog keeps about each entry.

use serde::{Deserialize, Serialize};

use crate::json::Json;
use crate::path::NodePath;
use crate::structure::{Family, Structure};

/// The catalog's own number of a node; clients see it only inside cursors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub i64);

/// One entry of the tree.
#[derive(Debug, Clone)]
pub struct Node {
    pub id: NodeId,
    pub path: NodePath,
    pub family: Family,
    /// A JSON object.
    pub metadata: Json,
    pub specs: Vec<Spec>,
    /// Shape, dtype, columns … of the stored data; `None` for a container without data of its own.
    pub structure: Option<Structure>,
    /// Who owns that data; `None` without data.
    pub management: Option<Management>,
    /// Number of direct children in the catalog.
    pub children: u64,
    /// Grows with every change of metadata, specs or data source; two writers who both start from
    /// the same version conflict.
    pub version: i64,
    /// Grows with every write of data.
    pub data_version: i64,
    /// Microseconds since 1970-01-01 UTC.
    pub created: i64,
    pub updated: i64,
}

/// A named convention that a node promises to follow, most specific first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(expecting = "an object")]
pub struct Spec {
    pub name: String,
    #[serde(default)]
    pub version: Option<String>,
}

/// Who owns the bytes. Only `External` matters to us: such data is never written or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
#[serde(expecting = "one of external, writable, immutable, locked")]
pub enum Management {
    External,
    Immutable,
    Locked,
    #[default]
    Writable,
}

impl Management {
    pub const ALL: [Self; 4] = [Self::External, Self::Immutable, Self::Locked, Self::Writable];

    pub fn name(self) -> &'static str {
        match self {
            Self::External => "external",
            Self::Immutable => "immutable",
            Self::Locked => "locked",
            Self::Writable => "writable",
        }
    }
}

/// How a node's data is stored: a media type, its structure and the assets that hold the bytes.
#[derive(Debug, Clone)]
pub struct DataSource {
    /// `None` until the catalog has recorded it.
    pub id: Option<i64>,
    pub structure: Structure,
    /// Media type, with parameters; chooses the format that reads it.
    pub mimetype: String,
    /// Arguments of the format.
    pub parameters: serde_json::Map<String, serde_json::Value>,
    /// Descriptive only.
    pub properties: serde_json::Map<String, serde_json::Value>,
    pub management: Management,
    pub assets: Vec<Asset>,
}

impl DataSource {
    pub fn family(&self) -> Family {
        self.structure.family()
    }
}

/// A file, directory or database that holds bytes of a data source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(expecting = "an object")]
pub struct Asset {
    pub data_uri: String,
    pub is_directory: bool,
    /// Bytes, when known.
    #[serde(default)]
    pub size: Option<u64>,
    /// The name under which the format receives it.
    #[serde(default)]
    pub parameter: Option<String>,
    /// Place in a list of assets of the same parameter; `None` for a single one.
    #[serde(default)]
    pub num: Option<u64>,
    #[serde(default)]
    pub id: Option<i64>,
}

/// Metadata and specs as they were before a change.
#[derive(Debug, Clone)]
pub struct Revision {
    /// 1, 2, 3 …
    pub number: i64,
    pub metadata: Json,
    pub specs: Vec<Spec>,
    /// Microseconds since 1970-01-01 UTC.
    pub updated: i64,
}
