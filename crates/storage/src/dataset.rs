//! Data that can be read, and perhaps written, part by part.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use girih_model::slice::{Axis, Fitted};
use girih_model::{ArrayStructure, Data, Error, Json, Part, Result, Selection, Spec, Structure};

use crate::format::zarr::Stored;
pub use crate::place::file::WriteId;

/// What a container has under a key, if anything.
pub type Child = Result<Option<Arc<dyn Dataset>>>;

/// An open data source, or a part of one that has a name (a column, a group in a file).
#[async_trait]
pub trait Dataset: Send + Sync {
    /// What the data looks like, as the catalog recorded it or as the file says.
    fn structure(&self) -> Structure;

    /// Streams the selected part. Only what the selection touches is read.
    ///
    /// # Errors
    /// `Unprocessable` when the selection does not fit the structure.
    async fn read(&self, selection: &Selection) -> Result<Data>;

    /// The selected part exactly as it is stored, when it is one stored piece whose encoding is in
    /// `accept` (`zstd`, `identity`): nothing is decoded on the way out.
    async fn stored(&self, _selection: &Selection, _accept: &[&str]) -> Result<Option<StoredBytes>> {
        Ok(None)
    }

    /// The Zarr array that the data is stored as.
    fn zarr(&self) -> Option<Stored> {
        None
    }

    /// Writes `data` to the selected part and makes it durable; returns the structure afterwards.
    async fn write(&self, _selection: &Selection, _data: Data, _mode: Write) -> Result<Structure> {
        Err(Error::unsupported("This node does not support writing."))
    }

    /// What the file itself says of its content (attributes, tags): a JSON object.
    fn metadata(&self) -> Json {
        Json::object()
    }

    /// Conventions that the content follows.
    fn specs(&self) -> Vec<Spec> {
        Vec::new()
    }

    /// The names of a container's children, in the order of the file. Those that cannot be opened are among them.
    async fn keys(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// A named part: a column of a table, the child of a group in a file.
    ///
    /// # Errors
    /// When there is such a child that cannot be opened: `Gone` for a link that leads nowhere.
    async fn child(&self, _key: &str) -> Child {
        Ok(None)
    }

    /// Several children, in the order of `keys`: where looking one up costs more than opening it, all of them cost one look.
    ///
    /// # Errors
    /// When the container itself cannot be read any more.
    async fn children(&self, keys: &[String]) -> Result<Vec<Child>> {
        let mut children = Vec::with_capacity(keys.len());
        for key in keys {
            children.push(self.child(key).await);
        }
        Ok(children)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// Put in place of what is there; the selection must lie within the structure.
    Replace,
    /// Like `Replace`, but a slice (of plain ranges) that reaches beyond the array makes it grow; gaps read as zero.
    Extend,
    /// Add rows to the end of the selected partition of a table, unless the write of this name is there already.
    Append(Option<WriteId>),
}

/// Bytes that go out untouched.
pub struct StoredBytes {
    /// An HTTP content coding: `identity`, `zstd`.
    pub encoding: &'static str,
    pub bytes: Bytes,
}

/// The positions that a selection takes of an array, axis by axis: a slice within a block becomes
/// one of the whole array.
///
/// # Errors
/// `Unprocessable` when the block or slice does not fit, or the selection is one of a table.
pub fn positions(structure: &ArrayStructure, selection: &Selection) -> Result<Fitted> {
    if selection.fields.is_some() {
        return Err(Error::unprocessable("An array has no named columns to select."));
    }
    match &selection.part {
        Part::Whole => selection.slice.fit(&structure.shape),
        Part::Partition(_) => Err(Error::unprocessable("An array has blocks, not partitions.")),
        Part::Block(block) => {
            let base = structure.block(block)?;
            let shape: Vec<u64> = base.iter().map(|axis| axis.count).collect();
            let within = selection.slice.fit(&shape)?;
            let axes = base.iter().zip(within.0).map(|(base, axis)| Axis { start: base.start + axis.start, ..axis });
            Ok(Fitted(axes.collect()))
        }
    }
}
