//! Groups as containers.

use std::sync::Arc;

use async_trait::async_trait;
use girih_model::structure::ContainerStructure;
use girih_model::{Data, Error, Json, Result, Selection, Structure};
use rustix::fs::FileType;
use serde_json::{Map, Value};

use super::node::Node;
use crate::dataset::Dataset;
use crate::place::Location;
use crate::pool::blocking;

pub(super) struct ZarrGroup {
    directory: Location,
    metadata: Value,
    /// Consolidated: of all that lies below, by path.
    members: Option<Arc<Map<String, Value>>>,
    keys: Vec<String>,
}

impl ZarrGroup {
    pub(super) fn new(directory: Location, metadata: Value, members: Option<Map<String, Value>>) -> Result<Self> {
        let keys = match &members {
            Some(members) => members.keys().filter(|path| !path.contains('/')).cloned().collect(),
            None => listed(&directory)?,
        };
        let members = members.map(Arc::new);
        Ok(Self { directory, metadata, members, keys })
    }
}

/// Directories that are nodes, by name.
fn listed(directory: &Location) -> Result<Vec<String>> {
    let mut keys = Vec::new();
    for entry in directory.entries()? {
        if entry.name.starts_with('.') || !matches!(entry.kind, FileType::Directory | FileType::Symlink) {
            continue;
        }
        let below = directory.child(&entry.name)?;
        let has = |name: &str| below.child(name).is_ok_and(|file| file.metadata().is_ok());
        if has("zarr.json") || has(".zarray") || has(".zgroup") {
            keys.push(entry.name);
        }
    }
    keys.sort();
    Ok(keys)
}

/// What lies below one of the members, by path from there, in the order of the file.
fn below(members: &Map<String, Value>, key: &str) -> Map<String, Value> {
    let prefix = format!("{key}/");
    let all = members.iter().filter_map(|(path, json)| Some((path.strip_prefix(&prefix)?, json)));
    all.map(|(path, json)| (path.to_owned(), json.clone())).collect()
}

#[async_trait]
impl Dataset for ZarrGroup {
    fn structure(&self) -> Structure {
        Structure::Container(ContainerStructure { keys: self.keys.clone() })
    }

    fn metadata(&self) -> Json {
        Json::from_value(&self.metadata)
    }

    async fn read(&self, _: &Selection) -> Result<Data> {
        Err(Error::unsupported("A Zarr group is not read as one. Read its children."))
    }

    async fn keys(&self) -> Result<Vec<String>> {
        if self.members.is_some() {
            return Ok(self.keys.clone());
        }
        // It may have grown.
        let directory = self.directory.clone();
        blocking(move || listed(&directory)).await
    }

    async fn child(&self, key: &str) -> Result<Option<Arc<dyn Dataset>>> {
        // What cannot be the name of a directory is not there.
        let Ok(directory) = self.directory.child(key) else { return Ok(None) };
        let (members, key) = (self.members.clone(), key.to_owned());
        blocking(move || {
            let members = members.as_deref();
            let node = match members.and_then(|members| members.get(&key)) {
                Some(json) => Some(match Node::of_member(json)? {
                    Node::Group { metadata, members: own } => {
                        // Some writers leave it to the group above.
                        let own = own.filter(|own| !own.is_empty());
                        Node::Group { metadata, members: own.or_else(|| members.map(|members| below(members, &key))) }
                    }
                    array => array,
                }),
                None if key.starts_with('.') => None,
                None => Node::load(&directory)?,
            };
            node.map(|node| node.open(directory)).transpose()
        })
        .await
    }
}
