//! The tree as readers of Zarr see it: containers and tables are groups, all else that is an array an array.

use bytes::Bytes;

use girih_database::{Page, Scope};
use girih_model::{Error, ErrorKind, Family, Filter, Json, NodePath, Result};
pub use girih_storage::format::zarr::Facade;

use crate::access::Permission;
use crate::find::{Found, no_such_entry};
use crate::search::SearchRequest;
use crate::{Caller, Engine, Want, inside};

/// Most members of a group that are described in its own metadata.
pub const CONSOLIDATED: u64 = 1000;

pub enum ZarrNode {
    /// Attributes; and, of a table, the names of its columns.
    Group {
        attributes: Json,
        columns: Option<Vec<String>>,
    },
    Array {
        attributes: Json,
        facade: Facade,
        version: Option<String>,
    },
}

impl Engine {
    /// # Errors
    /// `NotFound` when there is none, or one that Zarr has no word for.
    pub async fn zarr_node(&self, caller: &Caller, path: &NodePath) -> Result<ZarrNode> {
        caller.require(&[Permission::ReadMetadata])?;
        let found = self.find(path).await?;
        match found.family() {
            Family::Container => Ok(ZarrNode::Group { attributes: found.entry().await.metadata, columns: None }),
            Family::Table => {
                let entry = found.entry().await;
                let table = entry.structure.as_ref().and_then(|structure| structure.as_table());
                let columns = table.map(|table| table.columns.clone()).unwrap_or_default();
                Ok(ZarrNode::Group { attributes: entry.metadata, columns: Some(columns) })
            }
            Family::Array => {
                let opened = found.open().await?;
                let (attributes, facade) = (opened.entry.metadata, Facade::new(opened.dataset)?);
                Ok(ZarrNode::Array { attributes, facade, version: opened.version })
            }
            family => Err(Error::not_found(format!(
                "The node at {path} is of the family {family}, which Zarr does not have."
            ))),
        }
    }

    /// What lies below a group, parents first and siblings together, with paths from there; `None` when there is too much of it.
    pub async fn zarr_members(&self, caller: &Caller, path: &NodePath) -> Result<Option<Vec<(NodePath, ZarrNode)>>> {
        let mut members = Vec::new();
        let mut paths = match self.find(path).await? {
            Found::Above { .. } => return Ok(None),
            Found::Node { node, .. } if node.structure.is_none() => {
                let request = SearchRequest {
                    scope: Scope::Descendants { max_depth: girih_model::path::MAX_DEPTH as u32 },
                    filter: Filter::all(),
                    sort: Vec::new(),
                    page: Page::First,
                    limit: CONSOLIDATED + 1,
                    exact_count: false,
                    want: Want::default(),
                };
                let found = self.search(caller, path, request).await?.entries;
                found.into_iter().map(|entry| entry.path).collect()
            }
            found => vec![found.path()],
        };
        let mut at = 0;
        while let Some(member) = paths.get(at).cloned() {
            at += 1;
            if paths.len() as u64 > CONSOLIDATED {
                return Ok(None);
            }
            let node = match self.find_zarr_node(caller, &member).await {
                Ok(Some(node)) => node,
                Ok(None) => continue,
                // A link in a file that leads nowhere.
                Err(e) if e.kind() == ErrorKind::Gone => continue,
                Err(e) => return Err(e),
            };
            if let ZarrNode::Group { columns: Some(columns), .. } = &node {
                // What no path can name cannot be asked for.
                paths.extend(columns.iter().filter_map(|column| member.child(column).ok()));
            } else if matches!(node, ZarrNode::Group { .. }) {
                paths.extend(self.in_file(&member).await?);
            }
            let below = member.below(path).ok_or_else(|| no_such_entry(&member))?;
            if !below.is_root() {
                members.push((below, node));
            }
        }
        // Siblings together: zarr-python takes each group's members from one run.
        members.sort_by_cached_key(|(path, _)| (path.depth(), path.parent()));
        Ok(Some(members))
    }

    /// The children of a container that lie in a file.
    async fn in_file(&self, path: &NodePath) -> Result<Vec<NodePath>> {
        let dataset = match self.find(path).await? {
            Found::Part { dataset, .. } => dataset,
            Found::Node { mount, node } if node.structure.is_some() => mount.open(&node).await?,
            _ => return Ok(Vec::new()),
        };
        inside::keys(path, &dataset).await?.iter().map(|key| path.child(key)).collect()
    }

    /// The same; `None` for what is not there for readers of Zarr: nothing at all, or what Zarr cannot hold. Everything
    /// else that goes wrong is told, for what is not there reads as zeros.
    pub async fn find_zarr_node(&self, caller: &Caller, path: &NodePath) -> Result<Option<ZarrNode>> {
        match self.zarr_node(caller, path).await {
            Ok(node) => Ok(Some(node)),
            Err(e) => match e.kind() {
                ErrorKind::NotFound | ErrorKind::Unsupported | ErrorKind::Unprocessable => Ok(None),
                _ => Err(e),
            },
        }
    }

    /// A chunk of an array as it is encoded.
    ///
    /// # Errors
    /// `NotFound` for a chunk that is not there (it reads as zeros), or that lies beyond the array.
    pub async fn zarr_chunk(&self, caller: &Caller, array: &Facade, index: &[u64]) -> Result<Bytes> {
        caller.require(&[Permission::ReadData])?;
        let chunk = array.chunk(index).await?;
        chunk.ok_or_else(|| Error::not_found("This chunk has not been written: all its items are zero."))
    }
}
