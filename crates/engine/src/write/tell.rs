//! What those who watch hear of a write.

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use girih_database::NewUpdate;
use girih_model::event::{Event, Patch};
use girih_model::{Data, Error, Node, Part, Result, Selection, Structure};
use girih_storage::dataset::positions;
use girih_storage::format::Format;

use super::WriteMode;
use crate::engine::Mount;

/// A write, as far as others hear of it.
pub(super) struct Sent<'a> {
    pub(super) mount: &'a Mount,
    pub(super) node: &'a Node,
    /// What the data must look like.
    pub(super) part: &'a Structure,
    pub(super) selection: &'a Selection,
    /// Where a patch of an array goes.
    pub(super) offset: Option<&'a [u64]>,
    pub(super) mode: WriteMode,
}

impl Sent<'_> {
    /// Passes the body on as it is, once it is sure that it is valid; returns the number that it got. This is before it
    /// is stored, so that those who watch hear it at once.
    pub(super) async fn tell(
        &self,
        media_type: &str,
        whole: &Bytes,
        decoder: &dyn Format,
        key: Option<[u8; 16]>,
    ) -> Result<u64> {
        let body = stream::iter([Ok(whole.clone())]).boxed();
        drain(decoder.decode(body, self.part).await?).await?;
        let told = self.mount.catalog.live.tell(vec![NewUpdate {
            node: self.node.id,
            event: self.event(media_type)?.to_json(),
            payload: whole.clone(),
            key,
        }]);
        Ok(told.await?.first().copied().unwrap_or_default())
    }

    fn event(&self, media_type: &str) -> Result<Event> {
        let mimetype = media_type.split(';').next().unwrap_or_default().trim().to_owned();
        Ok(match self.part {
            Structure::Array(part) => {
                let block = match &self.selection.part {
                    Part::Block(block) => Some(block.clone()),
                    _ => None,
                };
                let offset = self.offset.map(<[u64]>::to_vec);
                Event::ArrayData { mimetype, shape: part.shape.clone(), offset, block }
            }
            _ => Event::TableData { mimetype, partition: self.partition(), append: self.mode == WriteMode::Append },
        })
    }

    fn partition(&self) -> Option<u64> {
        match self.selection.part {
            Part::Partition(n) => Some(n),
            _ => None,
        }
    }

    /// The region of an array; `None` for all of it.
    fn patch(&self) -> Result<Option<Patch>> {
        let (Structure::Array(part), Some(Structure::Array(array))) = (self.part, &self.node.structure) else {
            return Ok(None);
        };
        let offset = match (self.offset, &self.selection.part) {
            (Some(offset), _) => offset.to_vec(),
            (None, Part::Whole) => return Ok(None),
            (None, _) => positions(array, self.selection)?.0.iter().map(|axis| axis.start).collect(),
        };
        Ok(Some(Patch { offset, shape: part.shape.clone() }))
    }

    /// Tells where data is that was too large to be passed on: after it was stored.
    pub(super) async fn tell_stored(&self, after: &Structure, key: Option<[u8; 16]>) {
        if let Err(error) = self.try_tell_stored(after, key).await {
            tracing::warn!(%error, "those who watch were not told of data that was stored");
        }
    }

    async fn try_tell_stored(&self, after: &Structure, key: Option<[u8; 16]>) -> Result<()> {
        let event = match after {
            Structure::Array(array) => {
                let mut sources = self.mount.database().data_sources(self.node.id).await?;
                let source = sources.pop().ok_or_else(|| Error::not_found("The node was deleted."))?;
                Event::array_ref(&source, self.patch()?, &array.shape)
            }
            _ => Event::TableRef { partition: self.partition(), append: self.mode == WriteMode::Append },
        };
        self.put(event, key).await
    }

    /// Tells that what was told is not stored.
    pub(super) async fn tell_failure(&self, told: u64, why: &Error) {
        let event = Event::Failed { failed: told, reason: why.message().to_owned() };
        if let Err(error) = self.put(event, None).await {
            tracing::warn!(%error, "those who watch were not told that data was not stored");
        }
    }

    async fn put(&self, event: Event, key: Option<[u8; 16]>) -> Result<()> {
        let new = NewUpdate { node: self.node.id, event: event.to_json(), payload: Bytes::new(), key };
        self.mount.catalog.live.tell(vec![new]).await.map(drop)
    }
}

/// Reads to the end, so that a damaged body is refused before anybody sees it.
async fn drain(data: Data) -> Result<()> {
    match data {
        Data::Array(array) => array.pieces.try_for_each(|_| async { Ok(()) }).await,
        Data::Table(table) => table.batches.try_for_each(|_| async { Ok(()) }).await,
        Data::Tree(tree) => tree.entries.try_for_each(|_| async { Ok(()) }).await,
    }
}
