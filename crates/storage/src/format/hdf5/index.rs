//! Where the items of a dataset lie in a file, parsed once: afterwards a chunk is one positioned read.
//!
//! No library lock and no file lock is taken, so a file that is being written stays readable. What was parsed is good for as
//! long as the file has the same stamp.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use girih_model::{Error, Result};
use hdf5_reader::btree_v1::{BTreeV1Key, collect_btree_v1_leaves_storage};
use hdf5_reader::chunk_index::{
    ChunkEntry, collect_implicit_chunk_entries, collect_v2_chunk_entries_storage, single_chunk_entry,
};
use hdf5_reader::extensible_array::collect_extensible_array_chunk_entries_storage;
use hdf5_reader::fixed_array::collect_fixed_array_chunk_entries_storage;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::filter_pipeline::FilterDescription;
use hdf5_reader::messages::layout::{ChunkIndexing, DataLayout};
use hdf5_reader::storage::FileStorage;
use hdf5_reader::{Hdf5File, OpenOptions};
use moka::sync::Cache;

use super::dtype::{Item, check};
use super::external::{self, Stretch};
use crate::format::guard::guarded;
use crate::place::file::Stamp;

/// Largest header of an object, in bytes.
pub(super) const MAX_HEADER: usize = 64 << 20;
/// Most bytes that the parser reads at once.
pub(super) const MAX_READ: usize = 1 << 30;
/// Most bytes of indexes that are kept, about.
const REMEMBERED: u64 = 48 << 20;

static KNOWN: LazyLock<Cache<(Stamp, String), Arc<Index>>> = LazyLock::new(|| {
    let weigh = |key: &(Stamp, String), index: &Arc<Index>| {
        let chunks = match &index.layout {
            Layout::Chunked { entries, .. } => entries.len() * (80 + 8 * index.shape.len()),
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
        chunk: Vec<u64>,
        /// By the number of the chunk along each axis.
        entries: HashMap<Vec<u64>, Entry>,
        filters: Vec<FilterDescription>,
    },
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) address: u64,
    /// As it is stored.
    pub(super) size: u64,
    /// Filters that were left out.
    pub(super) mask: u32,
}

pub(super) fn damaged(why: impl std::fmt::Display) -> Error {
    Error::damaged(format!("The HDF5 file cannot be read: {why}."))
}

impl Index {
    /// The dataset at a path of a file.
    pub(super) fn of(file: &File, path: &str) -> Result<Arc<Self>> {
        let key = Stamp::of(file).map(|stamp| (stamp, path.to_owned()));
        if let Some(index) = key.as_ref().and_then(|key| KNOWN.get(key)) {
            return Ok(index);
        }
        // While it is being written, what is read may not be whole: look again.
        let index = parse(file, path).or_else(|_| parse(file, path))?;
        let index = Arc::new(index);
        if let Some(key) = key {
            KNOWN.insert(key, index.clone());
        }
        Ok(index)
    }
}

fn parse(file: &File, path: &str) -> Result<Index> {
    let file = file.try_clone().map_err(damaged)?;
    let parsed = guarded(|| parse_with(file, path));
    parsed.unwrap_or_else(|| Err(damaged("it contradicts itself")))
}

fn parse_with(file: File, path: &str) -> Result<Index> {
    let storage = Arc::new(FileStorage::from_file(file).map_err(damaged)?);
    let options = OpenOptions::default().with_max_object_header_bytes(MAX_HEADER).with_max_read_bytes(MAX_READ);
    let file = Hdf5File::from_storage_with_options(storage, options).map_err(damaged)?;
    let dataset = file.dataset(path).map_err(|e| match is_missing(&e) {
        true => Error::gone(format!("The file has no dataset {path:?}: {e}. Register it again.")).with_source(e),
        false => damaged(e),
    })?;
    let itemsize = dataset.raw_element_size().map_err(damaged)?;
    let header = file.get_or_parse_header(dataset.address()).map_err(damaged)?;
    let mut filters = Vec::new();
    let (mut layout, mut outside, mut fill) = (None, None, None);
    for message in &header.messages {
        match message {
            HdfMessage::FilterPipeline(pipeline) => filters.clone_from(&pipeline.filters),
            HdfMessage::DataLayout(message) => layout = Some(&message.layout),
            // The library would also take an attribute for it.
            HdfMessage::FillValue(message) => fill = message.value.clone().or(fill),
            HdfMessage::ExternalFiles(message) => outside = Some(message),
            _ => {}
        }
    }
    let shape = match dataset.shape() {
        [] => vec![1],
        shape => shape.to_vec(),
    };
    let base = file.superblock().base_address;
    let there = |address: u64| (address != u64::MAX).then(|| address.saturating_add(base));
    let layout = match layout.ok_or_else(|| damaged("a dataset has no layout"))? {
        DataLayout::Compact { data } => Layout::Compact(data.clone().into()),
        DataLayout::Contiguous { .. } if let Some(outside) = outside => {
            Layout::External(external::stretches(&file, outside)?)
        }
        DataLayout::Contiguous { address, .. } => Layout::Contiguous { address: there(*address) },
        DataLayout::Chunked { address, dims, chunk_indexing, .. } => {
            // Some versions count the size of an item as an axis.
            let dims = dims.get(..shape.len()).ok_or_else(|| damaged("chunks have other axes than their dataset"))?;
            if dims.contains(&0) {
                return Err(damaged("chunks have no length"));
            }
            let found = match there(*address) {
                Some(_) => entries(&file, *address, dims, chunk_indexing.as_ref(), &shape, itemsize, &dataset)?,
                None => Vec::new(),
            };
            let full = dims.iter().fold(itemsize as u64, |bytes, len| bytes.saturating_mul(u64::from(*len)));
            let mut entries = HashMap::with_capacity(found.len());
            for entry in found {
                let Some(address) = there(entry.address) else { continue };
                let offsets = entry.offsets.iter().zip(dims);
                let number: Vec<u64> = offsets.map(|(offset, len)| offset / u64::from(*len)).collect();
                let size = if entry.size == 0 || filters.is_empty() { full } else { entry.size };
                entries.insert(number, Entry { address, size, mask: entry.filter_mask });
            }
            Layout::Chunked { chunk: dims.iter().map(|len| u64::from(*len)).collect(), entries, filters }
        }
    };
    let fill = fill.filter(|fill| fill.len() == itemsize && fill.iter().any(|byte| *byte != 0));
    let item = dataset.raw_datatype().map_err(damaged).and_then(|raw| check(&raw));
    let item = item.and_then(|()| Item::of(dataset.dtype()));
    Ok(Index { shape, itemsize, item, layout, fill })
}

fn is_missing(e: &hdf5_reader::error::Error) -> bool {
    use hdf5_reader::error::Error::{Context, DatasetNotFound, GroupNotFound, TypeMismatch};
    match e {
        Context { source, .. } => is_missing(source),
        DatasetNotFound(_) | GroupNotFound(_) | TypeMismatch { .. } => true,
        _ => false,
    }
}

/// All chunks that were written, by whatever index the file has.
fn entries(
    file: &Hdf5File,
    address: u64,
    dims: &[u32],
    indexing: Option<&ChunkIndexing>,
    shape: &[u64],
    itemsize: usize,
    dataset: &hdf5_reader::Dataset,
) -> Result<Vec<ChunkEntry>> {
    let (storage, superblock) = (file.storage(), file.superblock());
    let (offset, length) = (superblock.offset_size, superblock.length_size);
    let found = match indexing {
        None => collect_btree_v1_leaves_storage(storage, address, offset, length, Some(shape.len() as u32), dims, None)
            .map(|leaves| leaves.into_iter().filter_map(|leaf| of_leaf(leaf, shape.len())).collect()),
        Some(ChunkIndexing::SingleChunk { filtered_size, filters }) => {
            Ok(vec![single_chunk_entry(address, *filtered_size, *filters, shape.len())])
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
            dataset.max_dims(),
            dims,
            None,
        ),
        Some(ChunkIndexing::BTreeV2) => {
            collect_v2_chunk_entries_storage(storage, address, offset, length, shape.len() as u32, dims, None)
        }
    };
    found.map_err(damaged)
}

fn of_leaf((key, address): (BTreeV1Key, u64), axes: usize) -> Option<ChunkEntry> {
    let BTreeV1Key::RawData { chunk_size, filter_mask, offsets } = key else { return None };
    Some(ChunkEntry { address, size: chunk_size.into(), filter_mask, offsets: offsets.get(..axes)?.to_vec() })
}
