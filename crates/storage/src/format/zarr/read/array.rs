//! Arrays: each chunk is a file, or part of one.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use girih_model::structure::array::Chunks as Lengths;
use girih_model::{ArrayStructure, Data, Error, Json, Result, Selection, Structure};

use super::node::{Described, damaged};
use crate::dataset::{Dataset, positions};
use crate::format::chunked::recent::{self, Key, Use};
use crate::format::chunked::{self, Chunks, Load};
use crate::place::Location;
use crate::place::file::Stamp;

/// Most bytes that a chunk has as it is stored beyond what it has without codecs: headers, checksums.
const SLACK: usize = 64 << 10;
/// An entry of a shard's index for a chunk that is not there.
const NOWHERE: u64 = u64::MAX;

pub(super) struct ZarrArray(Arc<Stored>);

pub(super) struct Stored {
    directory: Location,
    described: Described,
    structure: ArrayStructure,
    /// The smallest that can be decoded alone.
    grid: Vec<u64>,
    /// Bytes of a chunk.
    nbytes: usize,
    /// Bytes of the index of a shard.
    index_len: usize,
    layout: u64,
}

impl ZarrArray {
    /// # Errors
    /// `Unprocessable` for chunks that are too large.
    pub(super) fn new(directory: Location, described: Described) -> Result<Self> {
        let grid = described.pipeline.shard.as_ref().map_or(&described.chunk, |shard| &shard.chunk).clone();
        let nbytes = chunked::chunk_bytes(&grid, described.typed.dtype.itemsize())?;
        let shard = described.pipeline.shard.as_ref();
        let index_len = shard.map_or(Ok(0), |shard| shard.index_len(&described.chunk))?;
        let chunks = described.shape.iter().zip(&grid).map(|(len, chunk)| Lengths::listed(*len, *chunk));
        let structure = ArrayStructure {
            chunks: chunks.collect(),
            dims: described.dims.clone(),
            ..ArrayStructure::new(described.typed.dtype.clone(), described.shape.clone())
        };
        structure.check()?;
        let mut hasher = DefaultHasher::new();
        (&grid, structure.dtype.to_string()).hash(&mut hasher);
        let layout = hasher.finish();
        Ok(Self(Arc::new(Stored { directory, described, structure, grid, nbytes, index_len, layout })))
    }
}

#[async_trait]
impl Dataset for ZarrArray {
    fn structure(&self) -> Structure {
        Structure::Array(self.0.structure.clone())
    }

    fn metadata(&self) -> Json {
        Json::from_value(&self.0.described.attributes)
    }

    async fn read(&self, selection: &Selection) -> Result<Data> {
        let region = positions(&self.0.structure, selection)?;
        Ok(Data::Array(chunked::read(&self.0, &self.0.structure.dtype, region).await?))
    }
}

/// The same array, of which a structure shows another part: chunks are whole beyond its end, and what was never written
/// has the fill value.
pub(super) fn with_shape(array: Arc<dyn Dataset>, structure: ArrayStructure) -> Arc<dyn Dataset> {
    Arc::new(Shaped { array, structure })
}

struct Shaped {
    array: Arc<dyn Dataset>,
    structure: ArrayStructure,
}

#[async_trait]
impl Dataset for Shaped {
    fn structure(&self) -> Structure {
        Structure::Array(self.structure.clone())
    }

    fn metadata(&self) -> Json {
        self.array.metadata()
    }

    async fn read(&self, selection: &Selection) -> Result<Data> {
        use girih_model::slice::{Dim, Slice};
        let region = positions(&self.structure, selection)?;
        let there = self.array.structure();
        let there = there.as_array().map(|array| array.shape.clone()).unwrap_or_default();
        let dims = region.0.iter().zip(&there).map(|(axis, len)| {
            let last = if axis.count == 0 { axis.start } else { axis.start.max(axis.at(axis.count - 1)) };
            if axis.count > 0 && last >= *len {
                return Err(Error::busy(format!(
                    "The array has the shape {there:?} so far, and position {last} was asked for. It may still be growing: try again."
                )));
            }
            if !axis.keep {
                return Ok(Dim::Index(axis.start as i64));
            }
            let start = axis.start as i64;
            let end = start + axis.step * axis.count as i64;
            let stop = (end >= 0).then_some(end);
            Ok(Dim::Range { start: Some(start), stop: if axis.count == 0 { Some(start) } else { stop }, step: Some(axis.step) })
        });
        let slice = Slice(dims.collect::<Result<Vec<_>>>()?);
        self.array.read(&Selection::slice(slice)).await
    }
}

impl Chunks for Stored {
    type Open = Arc<Stored>;

    fn grid(&self) -> &[u64] {
        &self.grid
    }

    fn open(self: &Arc<Self>) -> Result<Arc<Stored>> {
        Ok(self.clone())
    }
}

impl Load for Arc<Stored> {
    fn load(&self, index: &[u64], wanted: Use) -> Result<Option<Bytes>> {
        // An array without axes is taken as one of one axis.
        let index = &index[..index.len().min(self.grid.len())];
        let loaded = match &self.described.pipeline.shard {
            None => self.chunk(index, wanted),
            Some(shard) => {
                let counts = shard.counts(&self.described.chunk);
                let outer: Vec<u64> = index.iter().zip(&counts).map(|(n, count)| n / count).collect();
                let within = index.iter().zip(&counts).fold(0, |number, (n, count)| number * count + n % count);
                self.of_shard(&outer, within, wanted)
            }
        };
        let context = |e: Error| e.context(format!("reading {}", self.directory.absolute().display()));
        Ok(Some(loaded.map_err(context)?.unwrap_or_else(|| self.filled())))
    }

    fn check_present(&self) -> Result<()> {
        self.directory.metadata().map(drop)
    }
}

impl Stored {
    fn itemsize(&self) -> usize {
        self.structure.dtype.itemsize()
    }

    fn file(&self, index: &[u64]) -> Result<Option<std::fs::File>> {
        self.directory.join(&self.described.keys.of(index))?.open_if_exists()
    }

    fn chunk(&self, index: &[u64], wanted: Use) -> Result<Option<Bytes>> {
        let Some(file) = self.file(index)? else { return Ok(None) };
        let key = Stamp::of(&file).map(|stamp| Key { stamp, layout: self.layout, number: 0 });
        let decode = || {
            let len = file.metadata().map_err(|e| damaged("chunks", e))?.len();
            let stored = self.read(&file, 0, len)?;
            self.described.pipeline.decode(stored, &self.grid, self.itemsize())
        };
        recent::chunk(key, self.nbytes, wanted, decode).map(Some)
    }

    fn of_shard(&self, index: &[u64], within: u64, wanted: Use) -> Result<Option<Bytes>> {
        let Some(shard) = &self.described.pipeline.shard else { return Ok(None) };
        let Some(file) = self.file(index)? else { return Ok(None) };
        let stamp = Stamp::of(&file);
        let key = stamp.map(|stamp| Key { stamp, layout: self.layout, number: 1 + within });
        let size = file.metadata().map_err(|e| damaged("chunks", e))?.len();
        let len = self.index_len;
        let start = if shard.index_at_start { Some(0) } else { size.checked_sub(len as u64) };
        let start = start.ok_or_else(|| damaged("shards", "one is shorter than its index"))?;
        let entries =
            recent::chunk(stamp.map(|stamp| Key { stamp, layout: self.layout, number: 0 }), len, Use::Part, || {
                let mut entries = exact(&file, start, len)?;
                for codec in shard.index_codecs.iter().rev() {
                    entries = codec.decode(&entries, len)?;
                }
                Ok(entries)
            })?;
        let entry = usize::try_from(within).ok().and_then(|within| entries.chunks_exact(16).nth(within));
        let entry = entry.ok_or_else(|| damaged("shards", "an index is too short"))?;
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let (offset, len) = (number(&entry[..8]), number(&entry[8..]));
        if (offset, len) == (NOWHERE, NOWHERE) {
            return Ok(None);
        }
        let decode = || shard.pipeline.decode(self.read(&file, offset, len)?, &self.grid, self.itemsize());
        recent::chunk(key, self.nbytes, wanted, decode).map(Some)
    }

    fn filled(&self) -> Bytes {
        let fill = &self.described.fill;
        if fill.iter().all(|byte| *byte == 0) {
            return vec![0; self.nbytes].into();
        }
        fill.repeat(self.nbytes / fill.len()).into()
    }

    /// A chunk as it is stored.
    fn read(&self, file: &std::fs::File, at: u64, len: u64) -> Result<Vec<u8>> {
        let most = self.nbytes.saturating_add(self.nbytes >> 4).saturating_add(SLACK);
        let len = usize::try_from(len).ok().filter(|len| *len <= most);
        exact(file, at, len.ok_or_else(|| damaged("chunks", "one is stored with more bytes than it can have"))?)
    }
}

fn exact(file: &std::fs::File, at: u64, len: usize) -> Result<Vec<u8>> {
    let mut stored = vec![0; len];
    file.read_exact_at(&mut stored, at).map_err(|e| match e.kind() {
        std::io::ErrorKind::UnexpectedEof => Error::busy("A chunk is cut off. It may still be written: try again."),
        _ => damaged("chunks", e),
    })?;
    Ok(stored)
}
