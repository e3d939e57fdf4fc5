//! From settings to a running engine.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use girih_database::{Database, Missing, Retention, Updates};
use girih_model::{Error, ErrorKind, Family, Json, NodePath, Result, Spec};
use girih_storage::place::{Directory, Places};
use girih_storage::{Storage, StorageOptions};

use crate::engine::{Catalog, Mount};
use crate::live::Live;
use crate::{Engine, EngineOptions};

/// Everything an engine needs to know, with paths and defaults resolved.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub options: EngineOptions,
    pub catalogs: Vec<CatalogSettings>,
    /// How much of what watchers heard is kept.
    pub retention: Retention,
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

impl Engine {
    /// Opens the catalogs and their storage.
    pub async fn start(settings: Settings) -> Result<Self> {
        let mut mounts = Vec::with_capacity(settings.catalogs.len());
        // Two trees of one catalog share its one writer.
        let mut catalogs: HashMap<String, Arc<Catalog>> = HashMap::new();
        for catalog in settings.catalogs {
            let open = match catalogs.get(&catalog.uri) {
                Some(open) => open.clone(),
                None => {
                    let missing = if catalog.create { Missing::Create } else { Missing::Refuse };
                    let database = Database::open(&catalog.uri, missing).await?;
                    let log = Updates::open(&database.beside("updates"), database.newest().await?, settings.retention)
                        .await?;
                    Catalog::new(database, Live::new(Arc::new(log))).await
                }
            };
            catalogs.insert(catalog.uri.clone(), open.clone());
            mounts.push(mount(catalog, open).await?);
        }
        Self::new(settings.options, mounts)
    }
}

async fn mount(settings: CatalogSettings, catalog: Arc<Catalog>) -> Result<Mount> {
    let open = |paths: &[PathBuf], writable| -> Result<Vec<Arc<Directory>>> {
        paths.iter().map(|path| Directory::open(path, writable)).collect()
    };
    let places = Places::new(open(&settings.writable, true)?, open(&settings.readable, false)?);
    ensure_node(&catalog.database, &settings).await?;
    let storage = Storage::new(StorageOptions { places });
    let mount = Mount::new(settings.at, settings.node, catalog, storage);
    Ok(Mount { metadata: settings.metadata, specs: settings.specs, ..mount })
}

/// Makes sure that the node which is to be the root exists.
async fn ensure_node(database: &Database, settings: &CatalogSettings) -> Result<()> {
    loop {
        let found = database.deepest(&settings.node).await?;
        if found.path == settings.node {
            return Ok(());
        }
        if !settings.create_node {
            return Err(Error::not_found(format!(
                "The catalog {} has no node {}, which is to be mounted. Create it, or set create_mount_nodes_if_not_exist.",
                settings.uri, settings.node
            )));
        }
        let rest = settings.node.below(&found.path).unwrap_or_else(NodePath::root);
        let Some(key) = rest.keys().next() else { return Ok(()) };
        let new = girih_database::NewNode {
            key: key.to_owned(),
            family: Family::Container,
            metadata: Json::object(),
            specs: Vec::new(),
            data_source: None,
        };
        match database.create(found.id, new).await {
            Ok(_) => {}
            // Another server on the same catalog was faster.
            Err(e) if e.kind() == ErrorKind::Conflict => {}
            Err(e) => return Err(e),
        }
    }
}
