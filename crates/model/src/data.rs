//! Data on its way through the house: always a stream, never a whole.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::json::Json;
use crate::node::Spec;
use crate::structure::{Family, Structure};

pub type ByteStream = BoxStream<'static, Result<Bytes>>;
pub type BatchStream = BoxStream<'static, Result<RecordBatch>>;

pub enum Data {
    Array(ArrayData),
    Table(TableData),
    Tree(TreeData),
}

/// Items in C order, in pieces that end between items.
pub struct ArrayData {
    pub dtype: DType,
    pub shape: Vec<u64>,
    pub pieces: ByteStream,
}

/// Rows, in batches that all have `schema`.
pub struct TableData {
    pub schema: SchemaRef,
    pub batches: BatchStream,
}

/// A container and all that lies below it.
pub struct TreeData {
    pub metadata: Json,
    /// Parents before their children; children of one parent in the catalog's order.
    pub entries: BoxStream<'static, Result<TreeEntry>>,
}

#[derive(Clone)]
pub struct TreeEntry {
    /// Keys from the exported container down; never empty.
    pub keys: Vec<String>,
    pub family: Family,
    pub metadata: Json,
    pub specs: Vec<Spec>,
    /// `None` for a container.
    pub structure: Option<Structure>,
    /// Opens the data of this entry; `None` for a container. May be called more than once.
    pub read: Option<Arc<dyn Fn() -> BoxFuture<'static, Result<Data>> + Send + Sync>>,
}

impl Data {
    pub fn family(&self) -> Family {
        match self {
            Self::Array(_) => Family::Array,
            Self::Table(_) => Family::Table,
            Self::Tree(_) => Family::Container,
        }
    }
}

impl ArrayData {
    /// An array that is in memory.
    pub fn whole(dtype: DType, shape: Vec<u64>, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        debug_assert_eq!(crate::structure::array::nbytes(&dtype, &shape), Some(bytes.len() as u64));
        Self { dtype, shape, pieces: stream::once(async { Ok(bytes) }).boxed() }
    }

    /// Bytes of all items.
    pub fn nbytes(&self) -> u64 {
        crate::structure::array::nbytes(&self.dtype, &self.shape).expect("checked when the array was made")
    }

    /// Gathers the pieces, for encoders that need the whole; refuses more than `limit` bytes.
    pub async fn collect(mut self, limit: u64) -> Result<Bytes> {
        let total = self.nbytes();
        if total > limit {
            return Err(Error::malformed(format!(
                "This would need {total} bytes at once; at most {limit} are allowed. Use slicing ('?slice=...') to request a smaller part."
            )));
        }
        let Some(first) = self.pieces.try_next().await? else { return Ok(Bytes::new()) };
        if first.len() as u64 == total {
            return Ok(first);
        }
        let mut all = Vec::with_capacity(total as usize);
        all.extend_from_slice(&first);
        while let Some(piece) = self.pieces.try_next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all.into())
    }
}

impl TableData {
    /// A table that is in memory.
    pub fn whole(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self { schema, batches: stream::iter(batches.into_iter().map(Ok)).boxed() }
    }
}
