//! From settings to a running engine.

use std::path::PathBuf;

use girih_model::{Json, NodePath, Result, Spec};

use crate::{Engine, EngineOptions};

/// Everything an engine needs to know, with paths and defaults resolved.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub options: EngineOptions,
    pub catalogs: Vec<CatalogSettings>,
}

/// One catalog and where it appears.
#[derive(Debug, Clone)]
pub struct CatalogSettings {
    /// Where the catalog's root appears in the tree.
    pub at: NodePath,
    /// `sqlite:///path`, or a plain path.
    pub uri: String,
    /// Make the database when there is none.
    pub create: bool,
    /// Serve this node of the catalog as its root.
    pub node: NodePath,
    /// Make that node (as containers) when it does not exist.
    pub create_node: bool,
    /// Directories for new data; made when missing.
    pub writable: Vec<PathBuf>,
    /// Directories whose files may be registered.
    pub readable: Vec<PathBuf>,
    /// Metadata of the root.
    pub metadata: Option<Json>,
    /// Specs of the root.
    pub specs: Vec<Spec>,
}

impl Engine { pub async fn start(_s: Settings) -> Result<Self> { Err(girih_model::Error::internal("local stand-in")) } }
