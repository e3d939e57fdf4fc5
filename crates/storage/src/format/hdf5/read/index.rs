//! Where the items of a dataset lie in a file, parsed once: afterwards a chunk is one positioned read.
//!
//! No library lock and no file lock is taken, so a file that is being written stays readable. What was parsed is good for as
//! long as the file has the same stamp.

use std::fs::File;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use bytes::Bytes;
use girih_model::{Error, ErrorKind, Result};
use hdf5_reader::Hdf5File;
use hdf5_reader::btree_v1::{BTreeV1Key, collect_btree_v1_leaves_storage};
use hdf5_reader::chunk_index::{
    ChunkEntry, collect_implicit_chunk_entries, collect_v2_chunk_entries_storage, single_chunk_entry,
};
use hdf5_reader::extensible_array::collect_extensible_array_chunk_entries_storage;
use hdf5_reader::fixed_array::collect_fixed_array_chunk_entries_storage;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::dataspace::DataspaceMessage;
use hdf5_reader::messages::datatype::{Datatype, StringSize};
use hdf5_reader::messages::filter_pipeline::FilterDescription;
use hdf5_reader::messages::layout::{ChunkIndexing, DataLayout};
use moka::sync::Cache;

use super::super::dtype::{self, Item};
use super::super::external::{self, Stretch};
use super::super::storage::{damaged, within};
use super::at;
use super::walk::{Kind, Object, Opened};
use crate::format::guard::guarded;
use crate::place::file::Stamp;
use crate::place::{Location, Places};

/// Most chunks of a dataset: an index is parsed as a whole, and needs a hundred bytes or two for each while it is.
const MAX_CHUNKS: u64 = 1 << 21;
/// Where there may be more, indexes are parsed one at a time.
const MANY_CHUNKS: u64 = 1 << 17;
/// Most bytes that are read beside the index: headers, links on the way.
const MAX_BESIDE: u64 = 256 << 20;
/// Most bytes of indexes that are kept, about: the largest is among them.
const REMEMBERED: u64 = 64 << 20;

static KNOWN: LazyLock<Cache<(Stamp, String), Arc<Index>>> = LazyLock::new(|| {
    let weigh = |key: &(Stamp, String), index: &Arc<Index>| {
        let chunks = match &index.layout {
            Layout::Chunked { entries, .. } => size_of_val(entries.all.as_slice()),
            Layout::Compact(items) => items.len(),
            Layout::Contiguous { .. } => 0,
            Layout::External(stretches) => 256 * stretches.len(),
        };
        u32::try_from(256 + key.1.len() + chunks).unwrap_or(u32::MAX)
    };
    Cache::builder().max_capacity(REMEMBERED).weigher(weigh).build()
});

pub(super) struct Index {
    /// As the file says; a scalar has one item.
    pub(super) shape: Vec<u64>,
    pub(super) itemsize: usize,
    /// What the items are; why there are none, for what no array can hold.
    pub(super) item: Result<Item>,
    pub(super) layout: Layout,
    /// What a chunk holds that was never written: an item, or zeros.
    pub(super) fill: Option<Vec<u8>>,
}

pub(super) enum Layout {
    Compact(Bytes),
    /// `None` when nothing was written.
    Contiguous {
        address: Option<u64>,
    },
    /// As contiguous, in other files.
    External(Vec<Stretch>),
    Chunked {
        entries: Entries,
        filters: Vec<FilterDescription>,
    },
}

/// The chunks that were written.
pub(super) struct Entries {
    /// The shape of a chunk.
    pub(super) chunk: Vec<u64>,
    /// Chunks along each axis.
    counts: Vec<u64>,
    /// By their numbers.
    all: Vec<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// How many chunks come before it, in C order.
    pub(super) number: u64,
    pub(super) address: u64,
    /// As it is stored, in bytes.
    pub(super) size: u32,
    /// Filters that were left out.
    pub(super) mask: u32,
}

impl Entries {
    fn new(chunk: Vec<u64>, shape: &[u64]) -> Self {
        let counts = shape.iter().zip(&chunk).map(|(len, chunk)| len.div_ceil(*chunk)).collect();
        Self { chunk, counts, all: Vec::new() }
    }

    /// `None` for a chunk beyond the end.
    fn number(&self, index: impl Iterator<Item = u64>) -> Option<u64> {
        let mut axes = index.zip(&self.counts);
        axes.try_fold(0u64, |number, (n, count)| {
            (n < *count).then_some(())?;
            number.checked_mul(*count)?.checked_add(n)
        })
    }

    /// The chunk with this number along each axis.
    pub(super) fn get(&self, index: &[u64]) -> Option<Entry> {
        let number = self.number(index.iter().copied())?;
        let at = self.all.binary_search_by_key(&number, |entry| entry.number).ok()?;
        self.all.get(at).copied()
    }
}

impl Index {
    /// The dataset at a path of a file, which was opened there.
    pub(super) fn of(file: &File, location: &Location, path: &str) -> Result<Arc<Self>> {
        // While it is being written, what is read may not be whole: look again.
        let again = |e: Error| if e.kind() == ErrorKind::Unprocessable { Err(e) } else { parse(file, location, path) };
        let parse = || parse(file, location, path).or_else(again).map(Arc::new);
        let index = match Stamp::of(file) {
            // Who asks for the same meanwhile waits for it.
            Some(stamp) => KNOWN.try_get_with((stamp, path.to_owned()), parse).map_err(|e| (*e).clone()),
            None => parse(),
        };
        index.map_err(|e| at(e, location))
    }

    /// The dataset that is open: its groups need not be walked again.
    pub(super) fn of_object(object: &Object) -> Result<Arc<Self>> {
        let parse = || {
            let parsed = guarded(|| parse_object(object));
            parsed.unwrap_or_else(|| Err(damaged("it contradicts itself"))).map(Arc::new)
        };
        let index = match object.file.stamp {
            Some(stamp) => KNOWN.try_get_with((stamp, object.path.clone()), parse).map_err(|e| (*e).clone()),
            None => parse(),
        };
        // While it is being written, what is read may not be whole: look again.
        let location = &object.file.location;
        index.or_else(|_| Self::of(&location.open_file()?, location, &object.path))
    }
}

fn parse(file: &File, location: &Location, path: &str) -> Result<Index> {
    let file = file.try_clone().map_err(damaged)?;
    let parsed = guarded(|| {
        let object = Object::root(Opened::of(file, location.clone())?)?;
        // The path leads there without other files.
        let object = within(MAX_BESIDE, || object.at(path, &Places::default()))?;
        let object = object.filter(|object| object.kind().is_ok_and(|kind| kind == Kind::Dataset));
        parse_object(
            &object.ok_or_else(|| Error::gone(format!("The file has no dataset {path:?}. Register it again.")))?,
        )
    });
    parsed.unwrap_or_else(|| Err(damaged("it contradicts itself")))
}

fn parse_object(object: &Object) -> Result<Index> {
    let (file, header) = (&object.file.hdf5, object.header()?);
    let mut filters = Vec::new();
    let (mut layout, mut outside, mut fill, mut space, mut datatype) = (None, None, None, None, None);
    for message in &header.messages {
        match message {
            HdfMessage::FilterPipeline(pipeline) => filters.clone_from(&pipeline.filters),
            HdfMessage::DataLayout(message) => layout = Some(&message.layout),
            HdfMessage::FillValue(message) => fill = message.value.clone().or(fill),
            HdfMessage::ExternalFiles(message) => outside = Some(message),
            HdfMessage::Dataspace(message) => space = Some(message),
            HdfMessage::Datatype(message) => datatype = Some(&message.datatype),
            _ => {}
        }
    }
    let space = space.ok_or_else(|| damaged("a dataset has no shape"))?;
    let datatype = datatype.ok_or_else(|| damaged("a dataset has no type"))?;
    let itemsize = match datatype {
        // The length, where the items lie, and a number.
        Datatype::VarLen { .. } | Datatype::String { size: StringSize::Variable, .. } => {
            8 + usize::from(file.superblock().offset_size)
        }
        datatype => dtype::size_of(datatype),
    };
    let shape = if space.dims.is_empty() { vec![1] } else { space.dims.clone() };
    let bytes = shape.iter().try_fold(itemsize as u64, |bytes, len| bytes.checked_mul(*len));
    if !shape.contains(&0) && bytes.is_none_or(|bytes| bytes > i64::MAX as u64) {
        return Err(damaged(format!("a dataset of the shape {shape:?} is larger than any file")));
    }
    let base = file.superblock().base_address;
    let there = |address: u64| (address != u64::MAX).then(|| address.saturating_add(base));
    let layout = match layout.ok_or_else(|| damaged("a dataset has no layout"))? {
        DataLayout::Compact { data } => Layout::Compact(data.clone().into()),
        DataLayout::Contiguous { .. } if let Some(outside) = outside => {
            Layout::External(external::stretches(file, outside)?)
        }
        DataLayout::Contiguous { address, .. } => Layout::Contiguous { address: there(*address) },
        DataLayout::Chunked { address, dims, chunk_indexing, .. } => {
            // Some versions count the size of an item as an axis.
            let dims = dims.get(..shape.len()).ok_or_else(|| damaged("chunks have other axes than their dataset"))?;
            if dims.contains(&0) {
                return Err(damaged("chunks have no length"));
            }
            let full = dims.iter().fold(itemsize as u64, |bytes, len| bytes.saturating_mul(u64::from(*len)));
            let mut entries = Entries::new(dims.iter().map(|len| u64::from(*len)).collect(), &shape);
            if there(*address).is_some() {
                let array = Array { file, address: *address, dims, shape: &shape, space, itemsize };
                array.read(chunk_indexing.as_ref(), |entry| {
                    let offsets = entry.offsets.iter().zip(dims).map(|(offset, len)| offset / u64::from(*len));
                    let (Some(address), Some(number)) = (there(entry.address), entries.number(offsets)) else { return };
                    let size = if entry.size == 0 || filters.is_empty() { full } else { entry.size };
                    // What is larger than that is not decoded.
                    let size = u32::try_from(size).unwrap_or(u32::MAX);
                    entries.all.push(Entry { number, address, size, mask: entry.filter_mask });
                })?;
            }
            entries.all.sort_by_key(|entry| entry.number);
            entries.all.shrink_to_fit();
            Layout::Chunked { entries, filters }
        }
    };
    let fill = fill.filter(|fill| fill.len() == itemsize && fill.iter().any(|byte| *byte != 0));
    let item = object.raw_datatype().and_then(|raw| dtype::check(&raw)).and_then(|()| Item::of(datatype));
    Ok(Index { shape, itemsize, item, layout, fill })
}

/// A dataset in chunks.
struct Array<'a> {
    file: &'a Hdf5File,
    /// Of the index.
    address: u64,
    dims: &'a [u32],
    shape: &'a [u64],
    space: &'a DataspaceMessage,
    itemsize: usize,
}

impl Array<'_> {
    /// Gives all chunks that were written, by whatever index the file has.
    ///
    /// # Errors
    /// `Unprocessable` when there are more than [`MAX_CHUNKS`].
    fn read(&self, indexing: Option<&ChunkIndexing>, give: impl FnMut(ChunkEntry)) -> Result<()> {
        static ONE: Mutex<()> = Mutex::new(());
        let too_many = || {
            Error::unprocessable(format!(
                "The dataset has more than {MAX_CHUNKS} chunks, and their index has to be in memory. Write it in larger ones (h5repack -l CHUNK=...)."
            ))
        };
        let counts = self.shape.iter().zip(self.dims).map(|(len, chunk)| len.div_ceil(u64::from(*chunk)));
        let most = counts.fold(1, u64::saturating_mul);
        let axes = self.shape.len() as u64;
        // What the index takes for a chunk that is there; the nodes of a tree are at least half full.
        let bytes = match indexing {
            None => 2 * (24 + 8 * axes),
            Some(ChunkIndexing::BTreeV2) => 2 * (8 + 8 * axes),
            // They tell of all chunks.
            Some(_) if most > MAX_CHUNKS => return Err(too_many()),
            Some(_) => 24,
        };
        let _one = (most > MANY_CHUNKS).then(|| ONE.lock().unwrap_or_else(PoisonError::into_inner));
        let found = within(MAX_CHUNKS.saturating_mul(bytes), || self.collect(indexing))?;
        if found.len() as u64 > MAX_CHUNKS {
            return Err(too_many());
        }
        found.into_iter().for_each(give);
        Ok(())
    }

    fn collect(&self, indexing: Option<&ChunkIndexing>) -> Result<Vec<ChunkEntry>> {
        let Self { file, address, dims, shape, space, itemsize } = *self;
        let (storage, superblock) = (file.storage(), file.superblock());
        let (offset, length, axes) = (superblock.offset_size, superblock.length_size, shape.len());
        let found = match indexing {
            None => collect_btree_v1_leaves_storage(storage, address, offset, length, Some(axes as u32), dims, None)
                .map(|leaves| leaves.into_iter().filter_map(|leaf| of_leaf(leaf, axes)).collect()),
            Some(ChunkIndexing::SingleChunk { filtered_size, filters }) => {
                Ok(vec![single_chunk_entry(address, *filtered_size, *filters, axes)])
            }
            Some(ChunkIndexing::Implicit) => {
                collect_implicit_chunk_entries(address, shape, dims, itemsize, None, storage.len())
            }
            Some(ChunkIndexing::FixedArray { .. }) => {
                collect_fixed_array_chunk_entries_storage(storage, address, offset, length, shape, dims, None)
            }
            Some(ChunkIndexing::ExtensibleArray { .. }) => collect_extensible_array_chunk_entries_storage(
                storage,
                address,
                offset,
                length,
                shape,
                space.max_dims.as_deref(),
                dims,
                None,
            ),
            Some(ChunkIndexing::BTreeV2) => {
                collect_v2_chunk_entries_storage(storage, address, offset, length, axes as u32, dims, None)
            }
        };
        found.map_err(damaged)
    }
}

fn of_leaf((key, address): (BTreeV1Key, u64), axes: usize) -> Option<ChunkEntry> {
    let BTreeV1Key::RawData { chunk_size, filter_mask, offsets } = key else { return None };
    Some(ChunkEntry { address, size: chunk_size.into(), filter_mask, offsets: offsets.get(..axes)?.to_vec() })
}
