//! From a path to what is there.

use std::sync::Arc;

use girih_database::{Sort, SortKey};
use girih_model::{DataSource, Error, Family, Json, Node, NodePath, Result, Spec, Structure};
use girih_storage::Dataset;

use crate::access::Permission;
use crate::engine::{Mount, Open};
use crate::{Caller, Engine, inside};

/// Something with a path: a node of a catalog, a mount point, or a named part of a node's data.
#[derive(Debug, Clone)]
pub struct Entry {
    pub path: NodePath,
    pub family: Family,
    pub metadata: Json,
    pub specs: Vec<Spec>,
    /// `None` for a container of the catalog.
    pub structure: Option<Structure>,
    /// Number of children of a container.
    pub count: u64,
    /// Default order of a container's children.
    pub sorting: Vec<Sort>,
    /// `None` where tags do not apply (inside a file).
    pub access_tags: Option<Vec<String>>,
    /// Filled in when wanted.
    pub data_sources: Option<Vec<DataSource>>,
}

/// What costs extra and is only looked up when wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Want {
    pub data_sources: bool,
    /// Nothing but paths matters, not even families.
    pub only_names: bool,
}

/// What a path leads to.
pub(crate) enum Found {
    /// A container above the mount points; its children by name.
    Above {
        path: NodePath,
        children: Vec<String>,
    },
    Node {
        mount: Arc<Mount>,
        node: Node,
    },
    /// A named part of a node's data: a column of a table, something inside a file.
    Part {
        mount: Arc<Mount>,
        node: Node,
        path: NodePath,
        dataset: Arc<dyn Dataset>,
    },
}

impl Found {
    pub(crate) fn path(&self) -> NodePath {
        match self {
            Found::Above { path, .. } | Found::Part { path, .. } => path.clone(),
            Found::Node { mount, node } => mount.served_path(node),
        }
    }

    pub(crate) fn family(&self) -> Family {
        match self {
            Found::Above { .. } => Family::Container,
            Found::Node { node, .. } => node.family,
            Found::Part { dataset, .. } => dataset.structure().family(),
        }
    }

    /// What clients of xarray take for a dataset.
    pub(crate) fn is_xarray(&self) -> bool {
        let is = |specs: &[Spec]| specs.iter().any(|spec| spec.name == "xarray_dataset");
        match self {
            Found::Above { .. } => false,
            Found::Node { node, .. } => is(&node.specs),
            Found::Part { dataset, .. } => is(&dataset.specs()),
        }
    }

    /// As its callers see it.
    pub(crate) async fn entry(self) -> Entry {
        match self {
            Found::Above { path, children } => entry_above(path, children.len()),
            Found::Node { mount, node } => mount.entry(node),
            Found::Part { path, dataset, .. } => inside::entry(path, &dataset).await,
        }
    }

    /// Refuses an entry that is not of one of these families.
    pub(crate) fn must_be(&self, families: &[Family]) -> Result<()> {
        let family = self.family();
        if families.contains(&family) {
            return Ok(());
        }
        let names: Vec<_> = families.iter().map(|f| f.name()).collect();
        Err(Error::not_found(format!(
            "The node at {} has structure family {family} and this endpoint is compatible with structure families {}",
            self.path().as_str(),
            names.join(", ")
        )))
    }
}

impl Mount {
    /// The path under which a node of this catalog is served.
    pub(crate) fn served_path(&self, node: &Node) -> NodePath {
        let below = node.path.below(&self.node).unwrap_or_else(|| node.path.clone());
        self.at.join(&below).unwrap_or(below)
    }

    /// Opens the data of a node, or takes it from those that are open.
    pub(crate) async fn open(&self, node: &Node) -> Result<Arc<dyn Dataset>> {
        let key = (node.id, node.created, node.version);
        if let Some(open) = self.open.get(&key) {
            return Ok(open.dataset);
        }
        let source = self.database().data_sources(node.id).await?.into_iter().next();
        let source = source.ok_or_else(|| Error::unsupported("This node has no data."))?;
        let dataset = self.storage.open(&source).await?;
        self.open.insert(key, Open { dataset: dataset.clone(), files: source.assets.len() });
        Ok(dataset)
    }

    /// The node as its callers see it.
    pub(crate) fn entry(&self, node: Node) -> Entry {
        let container = node.family == Family::Container;
        let is_root = node.path.is_root();
        let in_file = match &node.structure {
            Some(Structure::Container(container)) => container.keys.len() as u64,
            _ => 0,
        };
        Entry {
            path: self.served_path(&node),
            family: node.family,
            metadata: self.metadata.clone().filter(|_| is_root).unwrap_or(node.metadata),
            specs: if is_root && !self.specs.is_empty() { self.specs.clone() } else { node.specs },
            structure: node.structure,
            count: node.children.max(in_file),
            sorting: if container { vec![Sort { key: SortKey::Created, descending: false }] } else { Vec::new() },
            access_tags: Some(Vec::new()),
            data_sources: None,
        }
    }
}

/// An entry above the mount points.
pub(crate) fn entry_above(path: NodePath, children: usize) -> Entry {
    Entry {
        path,
        family: Family::Container,
        metadata: Json::object(),
        specs: Vec::new(),
        structure: None,
        count: children as u64,
        sorting: vec![Sort { key: SortKey::Created, descending: false }],
        access_tags: None,
        data_sources: None,
    }
}

pub(crate) fn no_such_entry(path: &NodePath) -> Error {
    let keys: Vec<String> = path.keys().map(|key| format!("'{}'", key.replace('\'', "\\'"))).collect();
    Error::not_found(format!("No such entry: [{}]", keys.join(", ")))
}

impl Engine {
    /// # Errors
    /// `NotFound` when there is no such entry, or the caller may not know of it.
    pub async fn entry(&self, caller: &Caller, path: &NodePath, want: Want) -> Result<Entry> {
        caller.require(&[Permission::ReadMetadata])?;
        match self.find(path).await? {
            Found::Node { mount, node } => {
                let sources =
                    if want.data_sources { Some(mount.database().data_sources(node.id).await?) } else { None };
                let limit = self.inner.options.children_count_limit.map(|limit| limit.saturating_add(1));
                let in_file = match &node.structure {
                    // Who registered it has not said.
                    Some(Structure::Container(container)) if container.keys.is_empty() => match mount.open(&node).await
                    {
                        Ok(dataset) => dataset.keys().await.map_or(0, |keys| keys.len() as u64),
                        Err(_) => 0,
                    },
                    _ => 0,
                };
                let entry = mount.entry(node);
                let count = entry.count.max(in_file).min(limit.unwrap_or(u64::MAX));
                Ok(Entry { data_sources: sources, count, ..entry })
            }
            found => Ok(found.entry().await),
        }
    }

    pub(crate) async fn find(&self, path: &NodePath) -> Result<Found> {
        let mounts = &self.inner.mounts;
        let Some((mount, rest)) = mounts.iter().find_map(|mount| Some((mount, path.below(&mount.at)?))) else {
            return self.find_above(path);
        };
        let wanted = mount.node.join(&rest)?;
        let node = mount.database().deepest(&wanted).await?;
        let Some(inside) = wanted.below(&node.path) else { return Err(no_such_entry(path)) };
        if inside.is_root() {
            return Ok(Found::Node { mount: mount.clone(), node });
        }
        // Only data has named parts, and only below the mounted node.
        if node.structure.is_none() || node.path.below(&mount.node).is_none() {
            return Err(no_such_entry(path));
        }
        let mut dataset = mount.open(&node).await?;
        for key in inside.keys() {
            dataset = dataset.child(key).await?.ok_or_else(|| no_such_entry(path))?;
        }
        Ok(Found::Part { mount: mount.clone(), node, path: path.clone(), dataset })
    }

    fn find_above(&self, path: &NodePath) -> Result<Found> {
        let mut children: Vec<String> = Vec::new();
        for mount in &self.inner.mounts {
            let Some(below) = mount.at.below(path) else { continue };
            if let Some(key) = below.keys().next()
                && !children.iter().any(|child| child == key)
            {
                children.push(key.to_owned());
            }
        }
        if children.is_empty() && !path.is_root() {
            return Err(no_such_entry(path));
        }
        Ok(Found::Above { path: path.clone(), children })
    }

    /// The node of a catalog at this path; what else can be found does not support `what`.
    pub(crate) async fn find_node(&self, path: &NodePath, what: &str) -> Result<(Arc<Mount>, Node)> {
        match self.find(path).await? {
            Found::Node { mount, node } => Ok((mount, node)),
            Found::Above { .. } | Found::Part { .. } => {
                Err(Error::unsupported(format!("This node does not support {what}.")))
            }
        }
    }
}
