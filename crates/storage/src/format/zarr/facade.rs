//! Any array as readers of Zarr see it: the description in the words of Zarr 3 and Zarr 2, and its chunks.
//!
//! What we store as Zarr goes out as it is stored. Everything else is cut along the grid that it would be stored in,
//! and encoded like that.

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use girih_model::slice::Dim;
use girih_model::{ArrayStructure, Data, Error, Result, Selection, Slice};
use serde_json::{Value, json};

use super::chunk::Store;
use super::metadata::{Codec, Metadata};
use crate::dataset::Dataset;
use crate::format::chunked::Load;
use crate::pool::{ANSWERS, WORKSPACE, blocking};

/// An array that lies in a directory of Zarr chunks.
#[derive(Debug, Clone)]
pub struct Stored {
    pub(super) store: Arc<Store>,
    pub(super) metadata: Arc<Metadata>,
}

pub struct Facade {
    dataset: Arc<dyn Dataset>,
    structure: ArrayStructure,
    metadata: Arc<Metadata>,
    store: Option<Arc<Store>>,
}

impl Facade {
    /// # Errors
    /// `Unsupported` for what is no array, `Unprocessable` when Zarr cannot hold its items.
    pub fn new(dataset: Arc<dyn Dataset>) -> Result<Self> {
        let structure = dataset.structure();
        let array = structure.as_array().ok_or_else(|| Error::unsupported("Only arrays have Zarr chunks."))?.clone();
        let (metadata, store) = match dataset.zarr() {
            Some(stored) => (stored.metadata, Some(stored.store)),
            None => (Arc::new(Metadata::for_new(&array)?), None),
        };
        Ok(Self { dataset, structure: array, metadata, store })
    }

    /// The `zarr.json` of the array (Zarr 3.1, "Array metadata").
    pub fn version_3(&self, attributes: Value) -> Value {
        let mut json = self.metadata.json().clone();
        json["shape"] = json!(self.structure.shape);
        json["attributes"] = attributes;
        if let Some(dims) = &self.structure.dims {
            json["dimension_names"] = json!(dims);
        }
        json
    }

    /// The `.zarray` (Zarr 2, "Arrays: Metadata").
    pub fn version_2(&self) -> Value {
        let compressor = match self.metadata.codec {
            Codec::Raw => Value::Null,
            Codec::Zstd { level, .. } => json!({"id": "zstd", "level": level}),
        };
        json!({
            "zarr_format": 2,
            "shape": self.structure.shape,
            "chunks": self.metadata.chunk,
            "dtype": self.structure.dtype.descr(),
            "compressor": compressor,
            "fill_value": self.metadata.json()["fill_value"],
            "order": "C",
            "filters": null,
            "dimension_separator": ".",
        })
    }

    /// Names of the axes.
    pub fn dims(&self) -> Option<&[String]> {
        self.structure.dims.as_deref()
    }

    pub fn axes(&self) -> usize {
        self.structure.shape.len()
    }

    /// A chunk, encoded, in its full size also at the edge; `None` when it is not there and counts as zeros.
    ///
    /// # Errors
    /// `Malformed` for another number of axes; `NotFound` beyond the array.
    pub async fn chunk(&self, index: &[u64]) -> Result<Option<Bytes>> {
        let shape = &self.structure.shape;
        if index.len() != shape.len() {
            return Err(Error::malformed(format!(
                "Requested zarr block index {index:?} is inconsistent with the shape of array, {shape:?}."
            )));
        }
        let mut ranges = Vec::with_capacity(shape.len());
        for ((n, len), size) in index.iter().zip(&self.metadata.chunk).zip(shape) {
            let start = n.checked_mul(*len).filter(|start| start < size);
            let start = start.ok_or_else(|| {
                Error::not_found(format!("There is no chunk {index:?}: the array has the shape {shape:?}."))
            })?;
            ranges.push((start, (*size).min(start + len)));
        }
        match &self.store {
            Some(store) => {
                let room = ANSWERS.take(store.nbytes()).await?;
                let (store, index) = (store.clone(), index.to_vec());
                let stored = blocking(move || {
                    let store = store.pinned()?;
                    let stored = store.load_encoded(&index)?;
                    if stored.is_none() {
                        store.check_present()?;
                    }
                    Ok(stored)
                });
                Ok(stored.await?.map(|chunk| room.hold(chunk.into())))
            }
            None => self.encoded(&ranges).await.map(Some),
        }
    }

    /// Reads a region, fills it up to a whole chunk, and encodes it.
    async fn encoded(&self, ranges: &[(u64, u64)]) -> Result<Bytes> {
        let dims = ranges.iter().map(|(start, stop)| Dim::Range {
            start: Some(*start as i64),
            stop: Some(*stop as i64),
            step: None,
        });
        let selection = Selection::slice(Slice(dims.collect()));
        let counts: Vec<u64> = ranges.iter().map(|(start, stop)| stop - start).collect();
        let (metadata, itemsize) = (self.metadata.clone(), self.structure.dtype.itemsize());
        // The items, the chunk, and the chunk encoded.
        let chunk = metadata.chunk.iter().fold(itemsize, |bytes, len| bytes.saturating_mul(*len as usize));
        let room = WORKSPACE.take(chunk.saturating_mul(3)).await?;
        let Data::Array(data) = self.dataset.read(&selection).await? else {
            return Err(Error::internal("Internal server error").context("reading an array that is none"));
        };
        let pieces: Vec<Bytes> = data.pieces.try_collect().await?;
        let items = pieces.concat();
        blocking(move || {
            let whole = super::chunk::padded(items, &counts, &metadata.chunk, itemsize);
            super::chunk::encode(metadata.codec, &whole).map(|chunk| room.hold(Bytes::from(chunk.into_owned())))
        })
        .await
        .map_err(|e| e.context("encoding a chunk"))
    }
}
