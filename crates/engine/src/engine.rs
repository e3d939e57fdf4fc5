//! What the engine is made of.

use std::sync::Arc;

use girih_database::Database;
use girih_model::{Error, Json, NodeId, NodePath, Result, Spec};
use girih_storage::{Dataset, Storage};
use moka::sync::Cache;
use tokio::sync::Mutex;

use crate::live::Live;
use crate::live::news::tend;
use crate::locks::Locks;

/// Open data sources that are kept at hand; one of many files counts for several.
const OPEN_DATASETS: u64 = 1024;
/// Files that count for one data source.
const FILES: usize = 100;

#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Most bytes of data in one reply; larger selections are refused. `None`: any size streams.
    pub response_bytesize_limit: Option<u64>,
    /// A page of search results counts exactly up to here. `None`: always exactly.
    pub exact_count_limit: Option<u64>,
    /// The number of a container's children is told exactly up to here. `None`: always exactly, which costs nothing.
    pub children_count_limit: Option<u64>,
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
            exact_count_limit: Some(100),
            children_count_limit: None,
            expose_raw_assets: true,
            specs: Vec::new(),
            reject_undeclared_specs: false,
        }
    }
}

/// A catalog, mounted into the tree.
pub struct Mount {
    /// Where its root appears.
    pub at: NodePath,
    /// The node of the catalog that becomes that root.
    pub node: NodePath,
    pub catalog: Arc<Catalog>,
    pub storage: Storage,
    /// Metadata and specs of the catalog's root, from the configuration.
    pub metadata: Option<Json>,
    pub specs: Vec<Spec>,
    /// Data sources that are open, by node, time of creation and version: a changed node is another key.
    pub(crate) open: Cache<(NodeId, i64, i64), Open>,
}

#[derive(Clone)]
pub(crate) struct Open {
    pub(crate) dataset: Arc<dyn Dataset>,
    pub(crate) files: usize,
}

/// A catalog's database, what must not overlap in it and who watches, however often it is mounted.
pub struct Catalog {
    pub database: Database,
    pub(crate) locks: Locks,
    pub(crate) live: Live,
    /// The last news that was told.
    pub(crate) told: Mutex<i64>,
}

impl Catalog {
    /// Tells what an earlier process left untold.
    pub async fn new(database: Database, live: Live) -> Arc<Self> {
        let catalog = Arc::new(Self { database, locks: Locks::default(), live, told: Mutex::default() });
        catalog.tell(i64::MAX).await;
        tokio::spawn(tend(Arc::downgrade(&catalog)));
        catalog
    }
}

impl Mount {
    pub fn new(at: NodePath, node: NodePath, catalog: Arc<Catalog>, storage: Storage) -> Self {
        let weigh = |_: &_, open: &Open| u32::try_from(1 + open.files / FILES).unwrap_or(u32::MAX);
        let open = Cache::builder().max_capacity(OPEN_DATASETS).weigher(weigh).build();
        Self { at, node, catalog, storage, metadata: None, specs: Vec::new(), open }
    }

    pub(crate) fn database(&self) -> &Database {
        &self.catalog.database
    }
}

/// The house. Cloning is cheap.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub options: EngineOptions,
    pub mounts: Vec<Arc<Mount>>,
}

impl Engine {
    /// # Errors
    /// `Malformed` when a mount point is used twice or lies below another.
    pub fn new(options: EngineOptions, mounts: Vec<Mount>) -> Result<Self> {
        for (n, mount) in mounts.iter().enumerate() {
            if let Some(other) = mounts[..n].iter().find(|o| mount.at.below(&o.at).or(o.at.below(&mount.at)).is_some())
            {
                return Err(Error::malformed(format!(
                    "Two trees are mounted at {} and {}: one lies within the other. Choose separate paths.",
                    other.at, mount.at
                )));
            }
        }
        Ok(Self { inner: Arc::new(Inner { options, mounts: mounts.into_iter().map(Arc::new).collect() }) })
    }

    /// Answers when the databases do.
    pub async fn ready(&self) -> Result<()> {
        for mount in &self.inner.mounts {
            mount.database().ready().await?;
        }
        Ok(())
    }

    /// Finishes what is running and closes the catalogs.
    pub async fn close(&self) {
        for mount in &self.inner.mounts {
            mount.catalog.close().await;
        }
    }

    pub fn options(&self) -> &EngineOptions {
        &self.inner.options
    }
}
