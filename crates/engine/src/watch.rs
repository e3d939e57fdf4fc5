//! Those who watch a node.

use futures::stream::{self, StreamExt, TryStreamExt};
use girih_database::{NewUpdate, Update};
use girih_model::event::Event;
use girih_model::{ArrayStructure, Error, Family, NodePath, Result, ResultExt, Structure};
use girih_storage::{EncodeOptions, format};
use serde::Deserialize;

use crate::access::Permission;
use crate::find::Found;
use crate::live::Watcher;
use crate::write::decoder;
use crate::{Caller, Engine, Entry};

/// Families that tell of themselves.
const WATCHED: [Family; 5] = [Family::Container, Family::Array, Family::Sparse, Family::Table, Family::Ragged];

/// A node that is watched.
pub struct Watch {
    /// As it is now.
    pub entry: Entry,
    pub watcher: Watcher,
}

impl Watch {
    /// The data of an update as JSON: nested lists, or columns.
    pub async fn payload_as_json(&self, update: &Update) -> Result<Vec<u8>> {
        #[derive(Deserialize)]
        struct About {
            mimetype: String,
            #[serde(default)]
            shape: Vec<u64>,
        }
        let about: About = serde_json::from_str(update.event.text()).internal(|| "reading an update".into())?;
        let structure = match &self.entry.structure {
            Some(Structure::Array(array)) => Structure::Array(ArrayStructure::new(array.dtype.clone(), about.shape)),
            Some(other) => other.clone(),
            None => return Err(Error::internal("Internal server error").context("data of a container")),
        };
        let body = stream::iter([Ok(update.payload.clone())]).boxed();
        let data = decoder(self.entry.family, &about.mimetype)?.decode(body, &structure).await?;
        let json = format::encoder(self.entry.family, "application/json")
            .ok_or_else(|| Error::unsupported("Data of this family has no form in JSON."))?;
        let body = json.encode(data, &EncodeOptions::default()).await?.body;
        body.try_fold(Vec::new(), async |mut all, piece| {
            all.extend_from_slice(&piece);
            Ok(all)
        })
        .await
    }
}

impl Engine {
    /// Watches a node: all that happens from the update of number `start` on; `None` for what is new, 0 for all that is
    /// kept.
    ///
    /// # Errors
    /// `NotFound` for what is not there and families that tell nothing, `Unsupported` for parts of files.
    pub async fn watch(&self, caller: &Caller, path: &NodePath, start: Option<u64>) -> Result<Watch> {
        caller.require(&[Permission::ReadMetadata, Permission::ReadData])?;
        let found = self.find(path).await?;
        found.must_be(&WATCHED)?;
        match found {
            Found::Node { mount, node } => {
                let watcher = mount.catalog.live.watch(node.id, start).await?;
                // What it is, after the ear is open: nothing changes that is not heard.
                let (mount, node) = self.find_node(path, "watching").await?;
                Ok(Watch { entry: mount.entry(node), watcher })
            }
            Found::Above { .. } | Found::Part { .. } => Err(Error::unsupported(
                "Only entries of the catalog can be watched, not what lies above or within them.",
            )),
        }
    }

    /// Tells those who watch a node that nothing is to follow.
    pub async fn close_stream(&self, caller: &Caller, path: &NodePath) -> Result<()> {
        caller.require(&[Permission::WriteData])?;
        let (mount, node) = self.find_node(path, "streams").await?;
        let end = NewUpdate { node: node.id, event: Event::Closed.to_json(), payload: Default::default(), key: None };
        mount.catalog.live.tell(vec![end]).await.map(drop)
    }
}
