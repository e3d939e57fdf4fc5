//! Nodes on their way into the catalog, and out of it.

use std::collections::HashSet;

use futures::stream::{self, StreamExt};
use girih_model::{Error, ErrorKind, Family, Json, NodePath, Result};

use super::inspect::Inspected;
use super::report::{Outcome, Record};
use super::{Registrar, Target};
use crate::bulk::BulkItem;
use crate::create::CreateRequest;

/// Nodes that are sent to the catalog at once.
const BATCH: usize = 1000;
/// Files of sequences that are sent at once.
const BATCH_FILES: usize = 40_000;
/// Nodes that are taken out at the same time: they share the wait for the disk.
const DELETED_AT_ONCE: usize = 32;

/// Nodes that wait to be made; containers have no record.
#[derive(Default)]
pub(super) struct Pending {
    nodes: Vec<(Option<Record>, BulkItem)>,
    files: usize,
}

impl Registrar {
    /// Sends what was looked into, or tells why it cannot be.
    pub(super) async fn add(&mut self, found: Inspected) -> Result<()> {
        let Inspected { candidate, item } = found;
        let above = candidate.members.first().and_then(|member| member.location.absolute().parent().map(Into::into));
        let above: std::path::PathBuf = above.unwrap_or_default();
        let file = format!("{}{}", self.prefix_of(&above), candidate.name());
        let files = candidate.members.len();
        match item {
            Ok(item) => {
                let path = item.parent.child(&candidate.key)?;
                let path = path.as_str().to_owned();
                let outcome =
                    Outcome::Registered { path, family: item.create.family, media_type: candidate.media_type };
                self.push(Some(Record { file, files, outcome }), item).await
            }
            Err(e) => {
                (self.report)(Record { file, files, outcome: Outcome::failed(&e) });
                Ok(())
            }
        }
    }

    pub(super) async fn add_container(&mut self, parent: &NodePath, key: &str) -> Result<()> {
        self.push(None, container(parent, key)).await
    }

    async fn push(&mut self, record: Option<Record>, item: BulkItem) -> Result<()> {
        self.pending.files += record.as_ref().map_or(1, |record| record.files);
        self.pending.nodes.push((record, item));
        if self.pending.nodes.len() >= BATCH || self.pending.files >= BATCH_FILES {
            self.flush().await?;
        }
        Ok(())
    }

    /// Sends what waits.
    pub(super) async fn flush(&mut self) -> Result<()> {
        let (records, items): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending).nodes.into_iter().unzip();
        if items.is_empty() {
            return Ok(());
        }
        let mut made = self.target.create(items.clone()).await?;
        if self.overwrite {
            make_room(&*self.target, &items, &mut made).await?;
        }
        for ((record, item), made) in records.into_iter().zip(items).zip(made) {
            self.finish(record, item, made).await?;
        }
        Ok(())
    }

    /// What became of a node that was to be made: one that is there with other content is replaced.
    async fn finish(&mut self, record: Option<Record>, item: BulkItem, made: Result<()>) -> Result<()> {
        let is_there = made.as_ref().is_err_and(|e| e.kind() == ErrorKind::Conflict);
        if is_there && !self.overwrite {
            // What cannot go into a container that is none is told one by one.
            if let Some(record) = record {
                let outcome = Outcome::skipped("there is an entry already, and it is to be left alone");
                (self.report)(Record { outcome, ..record });
            }
            return Ok(());
        }
        let path = path_of(&item)?;
        let done = if is_there && record.is_some() { self.target.replace(item).await } else { made };
        let outcome = match done {
            Ok(()) => {
                record.into_iter().for_each(|record| (self.report)(record));
                return Ok(());
            }
            Err(e) if is_there && e.kind() == ErrorKind::Conflict => Outcome::in_the_way(&path),
            Err(e) if record.is_none() => return Err(e),
            Err(e) => {
                self.is_incomplete |= is_passing(&e);
                Outcome::failed(&e)
            }
        };
        let container = || Record { file: String::new(), files: 0, outcome: Outcome::in_the_way(&path) };
        (self.report)(Record { outcome, ..record.unwrap_or_else(container) });
        Ok(())
    }

    /// Takes nodes out of the catalog.
    pub(super) async fn remove(&mut self, paths: Vec<NodePath>) -> Result<()> {
        if paths.is_empty() {
            return Ok(());
        }
        // What waits to be made must not come after.
        self.flush().await?;
        let target = self.target.clone();
        let deleted = stream::iter(paths).map(async |path| (target.delete(&path).await, path));
        let mut deleted = deleted.buffered(DELETED_AT_ONCE);
        while let Some((deleted, path)) = deleted.next().await {
            match deleted {
                // There is data in it that the server keeps itself.
                Err(e) if e.kind() == ErrorKind::Conflict => continue,
                deleted => deleted?,
            }
            let outcome = Outcome::Removed { path: path.as_str().to_owned() };
            self.seen.retain(|_, seen| seen.container.below(&path).is_none());
            (self.report)(Record { file: String::new(), files: 0, outcome });
        }
        Ok(())
    }
}

/// What is in the place of a container gives way to it; then comes what could not be made in it.
async fn make_room(target: &dyn Target, items: &[BulkItem], made: &mut [Result<()>]) -> Result<()> {
    let mut containers = HashSet::new();
    for (item, made) in items.iter().zip(made.iter_mut()).filter(|(item, _)| item.create.data_sources.is_empty()) {
        if made.as_ref().is_err_and(|e| e.kind() == ErrorKind::Conflict) {
            *made = target.replace(item.clone()).await;
            containers.insert(path_of(item)?);
        }
    }
    let is_within = |item: &BulkItem| {
        std::iter::successors(Some(item.parent.clone()), NodePath::parent).any(|above| containers.contains(&above))
    };
    let failed = |made: &Result<()>| made.as_ref().is_err_and(|e| e.kind() != ErrorKind::Conflict);
    let again: Vec<usize> = (0..items.len()).filter(|n| failed(&made[*n]) && is_within(&items[*n])).collect();
    if !again.is_empty() {
        let results = target.create(again.iter().map(|n| items[*n].clone()).collect()).await?;
        again.into_iter().zip(results).for_each(|(n, result)| made[n] = result);
    }
    Ok(())
}

/// Another time it might not happen.
pub(super) fn is_passing(e: &Error) -> bool {
    matches!(e.kind(), ErrorKind::Busy | ErrorKind::StorageFull | ErrorKind::StorageFailed)
}

pub(super) fn path_of(item: &BulkItem) -> Result<NodePath> {
    item.parent.child(item.create.key.as_deref().unwrap_or_default())
}

pub(super) fn container(parent: &NodePath, key: &str) -> BulkItem {
    let create = CreateRequest {
        key: Some(key.to_owned()),
        family: Family::Container,
        metadata: Json::object(),
        specs: Vec::new(),
        data_sources: Vec::new(),
        access_tags: None,
    };
    BulkItem { parent: parent.clone(), create }
}
