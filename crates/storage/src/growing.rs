//! Files that others may still be writing: what is not whole there may be so in a moment.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::stream::{StreamExt, TryStreamExt};
use girih_model::{
    ArrayData, ArrayStructure, Data, Error, ErrorKind, Json, Result, Selection, Spec, Structure, TableData,
};

use crate::dataset::{Child, Dataset, StoredBytes, Write};
use crate::format::zarr::Stored;
use crate::place::Location;

/// A file that was changed so recently may still be written.
const GROWING: Duration = Duration::from_secs(60);
/// Files of a sequence that are looked at: it grows at its end.
const LAST: usize = 100;

/// Refuses what a reader says of an array if it contradicts itself, or is more than can be counted: from here on, nobody has
/// to ask.
pub(crate) fn check(structure: &Structure) -> Result<()> {
    structure.as_array().map_or(Ok(()), ArrayStructure::check)
}

/// A dataset whose structure is one.
pub(crate) fn sound(dataset: Arc<dyn Dataset>) -> Result<Arc<dyn Dataset>> {
    check(&dataset.structure()).map(|()| dataset)
}

/// Whose trouble it is when files are damaged.
#[derive(Clone)]
pub(crate) enum Judge {
    /// We keep them.
    Ours,
    /// Others write them.
    Others(Arc<[Location]>),
}

impl Judge {
    pub(crate) fn of(files: impl DoubleEndedIterator<Item = Location>) -> Self {
        Self::Others(files.rev().take(LAST).collect())
    }

    /// What was damaged when it was read, is worth another try if others changed it just now.
    pub(crate) fn judge(&self, e: Error) -> Error {
        match (self, e.kind()) {
            (Self::Ours, ErrorKind::Damaged) => Error::storage_failed(e.message()).with_source(e),
            (Self::Others(files), ErrorKind::Damaged | ErrorKind::StorageFailed) if files.iter().any(is_young) => {
                Error::busy(format!("{} It may still be written: try again.", e.message())).with_source(e)
            }
            _ => e,
        }
    }
}

fn is_young(file: &Location) -> bool {
    let modified = file.metadata().ok().and_then(|metadata| metadata.modified().ok());
    modified.is_some_and(|time| SystemTime::now().duration_since(time).map_or(true, |age| age < GROWING))
}

/// A dataset whose errors are judged.
pub(crate) struct Growing {
    pub(crate) dataset: Arc<dyn Dataset>,
    pub(crate) judge: Judge,
}

impl Growing {
    fn judged(&self, child: Child) -> Child {
        let child = child.and_then(|child| child.map(sound).transpose()).map_err(|e| self.judge.judge(e))?;
        Ok(child.map(|dataset| Arc::new(Self { dataset, judge: self.judge.clone() }) as _))
    }
}

#[async_trait]
impl Dataset for Growing {
    fn structure(&self) -> Structure {
        self.dataset.structure()
    }

    async fn read(&self, selection: &Selection) -> Result<Data> {
        let data = self.dataset.read(selection).await.map_err(|e| self.judge.judge(e))?;
        let judge = self.judge.clone();
        Ok(match data {
            Data::Array(array) => {
                let pieces = array.pieces.map_err(move |e| judge.judge(e)).boxed();
                Data::Array(ArrayData { pieces, ..array })
            }
            Data::Table(table) => {
                let batches = table.batches.map_err(move |e| judge.judge(e)).boxed();
                Data::Table(TableData { batches, ..table })
            }
            tree => tree,
        })
    }

    async fn stored(&self, selection: &Selection, accept: &[&str]) -> Result<Option<StoredBytes>> {
        self.dataset.stored(selection, accept).await.map_err(|e| self.judge.judge(e))
    }

    fn zarr(&self) -> Option<Stored> {
        self.dataset.zarr()
    }

    async fn write(&self, selection: &Selection, data: Data, mode: Write) -> Result<Structure> {
        self.dataset.write(selection, data, mode).await.map_err(|e| self.judge.judge(e))
    }

    fn metadata(&self) -> Json {
        self.dataset.metadata()
    }

    fn specs(&self) -> Vec<Spec> {
        self.dataset.specs()
    }

    async fn keys(&self) -> Result<Vec<String>> {
        self.dataset.keys().await.map_err(|e| self.judge.judge(e))
    }

    async fn child(&self, key: &str) -> Child {
        self.judged(self.dataset.child(key).await)
    }

    async fn children(&self, keys: &[String]) -> Result<Vec<Child>> {
        let children = self.dataset.children(keys).await.map_err(|e| self.judge.judge(e))?;
        Ok(children.into_iter().map(|child| self.judged(child)).collect())
    }
}
