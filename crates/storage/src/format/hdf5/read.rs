//! Datasets of HDF5 files, read where they lie: of a slice, the chunks that it touches.

use std::cell::RefCell;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use girih_model::slice::Fitted;
use girih_model::{ArrayStructure, Asset, DType, Data, DataSource, Error, Family, Result, Selection, Structure};
use hdf5_reader::messages::filter_pipeline::FilterDescription;
use serde_json::Value;

mod attributes;
mod container;
mod dataset;
mod index;
mod links;
mod mapping;
mod netcdf4;
mod raw;
mod text;
mod virtual_dataset;
mod walk;

use super::dtype::Item;
use super::storage::damaged;
use super::{external, filters};
use crate::dataset::{Dataset, positions};
use crate::format::chunked::recent::{self, Key, Use};
use crate::format::chunked::{self, Chunks, Load};
use crate::format::guard::guarded;
use crate::format::netcdf::NetCdf;
use crate::format::{Files, Format, Inspected, of_source};
use crate::place::file::Stamp;
use crate::place::{Location, Places};
use crate::pool::blocking;
use container::Source;
use index::{Entry, Index, Layout};
use walk::Object;

/// Stretches of a contiguous dataset that are read as one, in bytes.
const PIECE: u64 = 256 << 10;

/// # Errors
/// `Unprocessable` when the source does not name a dataset, or one of another shape.
pub(super) async fn open(source: &DataSource, places: &Places) -> Result<Arc<dyn Dataset>> {
    for name in ["slice", "squeeze"] {
        if source.parameters.get(name).is_some_and(|value| *value != Value::Bool(false) && !value.is_null()) {
            return Err(Error::unsupported(format!("The parameter {name:?} of HDF5 files is not understood yet.")));
        }
    }
    let path = path(source.parameters.get("dataset"))?;
    let files = of_assets(&source.mimetype, &source.assets, places)?;
    let structure = source.structure.clone();
    let dataset = blocking(move || match structure {
        Structure::Container(_) => {
            let opened = container::open(&files, &path)?;
            if opened.structure().family() == Family::Container {
                Ok(opened)
            } else {
                Err(Error::unprocessable(format!("{path:?} is a dataset, not a group. Register it as an array.")))
            }
        }
        Structure::Array(structure) => dataset::with_structure(files.objects(&path)?, structure, &files.places),
        _ => Err(Error::unprocessable("An HDF5 file holds arrays and containers of them.")),
    });
    dataset.await
}

fn of_assets(media_type: &str, assets: &[Asset], places: &Places) -> Result<Source> {
    let files = of_source(assets, places)?;
    let is_netcdf = files.len() == 1 && media_type == NetCdf.media_type();
    Ok(Source { files: Arc::new(files), places: places.clone(), is_netcdf })
}

/// Finds out what is at the path that the parameters name, or in the whole file.
pub(super) async fn inspect(files: &Files, places: &Places) -> Result<Inspected> {
    let path = path(files.parameters.get("dataset"))?;
    let source = of_assets(&files.media_type, &files.assets, places)?;
    let found = blocking(move || container::open(&source, &path)).await?;
    Ok(Inspected { structure: found.structure(), metadata: found.metadata(), specs: found.specs() })
}

/// `"/entry/data"` or `["entry", "data"]`; the root where nothing is named.
fn path(given: Option<&Value>) -> Result<String> {
    let keys: Option<Vec<&str>> = match given {
        Some(Value::String(path)) => Some(path.split('/').collect()),
        Some(Value::Array(keys)) => keys.iter().map(Value::as_str).collect(),
        None | Some(Value::Null) => Some(Vec::new()),
        _ => None,
    };
    let keys = keys.ok_or_else(|| {
        Error::unprocessable("The parameter \"dataset\" is a path in the file, as in {\"dataset\": \"/entry/data\"}.")
    })?;
    Ok(keys.into_iter().filter(|key| !key.is_empty()).map(|key| format!("/{key}")).collect())
}

/// Largest memory for encoded chunks that a thread keeps, in bytes.
const MAX_KEPT: usize = 4 << 20;

thread_local! {
    static STORED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct H5Array(Arc<H5Dataset>);

#[async_trait]
impl Dataset for H5Array {
    fn structure(&self) -> Structure {
        Structure::Array(self.0.structure.clone())
    }

    async fn read(&self, selection: &Selection) -> Result<Data> {
        let region = positions(&self.0.structure, selection)?;
        let dataset = self.0.clone();
        let region = blocking(move || dataset.check_there(&region).map(|()| region)).await?;
        Ok(Data::Array(chunked::read(&self.0, &self.0.structure.dtype, region).await?))
    }
}

pub(super) struct H5Dataset {
    location: Location,
    path: String,
    structure: ArrayStructure,
    /// Of an item as it lies in the file, in bytes.
    itemsize: usize,
    grid: Vec<u64>,
    /// Of a chunk as it lies in the file.
    nbytes: usize,
    /// Stands for the dataset among the chunks of its file.
    layout: u64,
    /// Other files that its items lie in.
    outside: Vec<Location>,
    /// Beyond its end it has the fill value, as far as the structure goes.
    is_padded: bool,
}

impl H5Dataset {
    fn new(object: &Object, structure: ArrayStructure, places: &Places) -> Result<Self> {
        let (location, path) = (object.file.location.clone(), object.path.clone());
        Self::with_index(location, path, structure, &*Index::of_object(object)?, places)
    }

    fn with_index(
        location: Location,
        path: String,
        structure: ArrayStructure,
        index: &Index,
        places: &Places,
    ) -> Result<Self> {
        let packed = match &index.item {
            Ok(Item::Gaps(dtype, _)) => dtype.itemsize(),
            _ => index.itemsize,
        };
        let fits = packed == structure.dtype.itemsize()
            && (index.shape.len() == structure.shape.len() || (index.shape == [1] && structure.shape.is_empty()));
        if !fits {
            return Err(Error::unprocessable(format!(
                "The dataset {path} does not have the structure that is registered: it has the shape {:?} and items of {} bytes. Register it again.",
                index.shape, packed
            )));
        }
        let grid = grid(index, &structure);
        let nbytes = chunked::chunk_bytes(&grid, index.itemsize)?;
        let mut hasher = DefaultHasher::new();
        (&path, &grid).hash(&mut hasher);
        let outside = match &index.layout {
            Layout::External(stretches) => {
                external::locate(stretches, &location, places).map_err(|e| at(e, &location))?
            }
            _ => Vec::new(),
        };
        let itemsize = index.itemsize;
        let layout = hasher.finish();
        Ok(Self { location, path, structure, itemsize, grid, nbytes, layout, outside, is_padded: false })
    }

    /// One of several files that continue each other along the first axis, and how long it is there.
    pub(super) fn part(
        location: Location,
        path: &str,
        dtype: &DType,
        others: &[u64],
        places: &Places,
    ) -> Result<(u64, Self)> {
        let index = Index::of(&location.open_file()?, &location, path)?;
        let len = index.shape.first().copied().unwrap_or_default();
        if index.shape.get(1..) != Some(others) {
            return Err(at(
                Error::unprocessable(format!(
                    "The files do not have the structure that is registered: one has the shape {:?}. Register them again.",
                    index.shape
                )),
                &location,
            ));
        }
        let structure = ArrayStructure::new(dtype.clone(), index.shape.clone());
        Ok((len, Self::with_index(location, path.to_owned(), structure, &index, places)?))
    }

    /// # Errors
    /// `Damaged` when the dataset does not reach so far yet.
    fn check_there(&self, region: &Fitted) -> Result<()> {
        let index = Index::of(&self.location.open_file()?, &self.location, &self.path)?;
        if self.is_padded || region.0.iter().any(|axis| axis.count == 0) {
            return Ok(());
        }
        for (axis, len) in region.0.iter().zip(&index.shape) {
            let last = axis.start.max(axis.at(axis.count - 1));
            if last >= *len {
                return Err(Error::damaged(format!(
                    "The dataset has the shape {:?} so far, and position {last} was asked for.",
                    index.shape
                )));
            }
        }
        Ok(())
    }
}

fn at(e: Error, location: &Location) -> Error {
    e.context(format!("reading {}", location.absolute().display()))
}

/// The chunks of the file; of what has none, stretches.
fn grid(index: &Index, structure: &ArrayStructure) -> Vec<u64> {
    match &index.layout {
        _ if structure.shape.is_empty() => Vec::new(),
        Layout::Chunked { entries, .. } => entries.chunk.clone(),
        Layout::Contiguous { .. } | Layout::External(_) | Layout::Compact(_) => {
            chunked::stretch(&index.shape, index.itemsize, PIECE)
        }
    }
}

impl Chunks for H5Dataset {
    type Open = OpenDataset;

    fn grid(&self) -> &[u64] {
        &self.grid
    }

    fn open(self: &Arc<Self>) -> Result<OpenDataset> {
        let file = self.location.open_file()?;
        let index = Index::of(&file, &self.location, &self.path)?;
        if grid(&index, &self.structure) != self.grid || index.itemsize != self.itemsize {
            // A contiguous dataset never grows.
            return Err(Error::gone("The file was replaced by one of another structure. Register it again."));
        }
        Ok(OpenDataset { dataset: self.clone(), stamp: Stamp::of(&file), file, index })
    }
}

pub(super) struct OpenDataset {
    dataset: Arc<H5Dataset>,
    file: File,
    stamp: Option<Stamp>,
    index: Arc<Index>,
}

impl Load for OpenDataset {
    fn load(&self, index: &[u64], wanted: Use) -> Result<Option<Bytes>> {
        let loaded = match &self.index.layout {
            Layout::Chunked { entries, filters } => match entries.get(index) {
                Some(entry) => {
                    let key = self.stamp.map(|stamp| Key { stamp, layout: self.dataset.layout, number: entry.number });
                    let decode = || self.chunk(index, entry, filters).map(|items| self.packed(items));
                    recent::chunk(key, self.dataset.nbytes, wanted, decode).map(Some)
                }
                None => Ok(self.filled()),
            },
            Layout::Contiguous { address: Some(address) } => {
                let read = |start: u64, items: &mut [u8]| self.read(items, address.saturating_add(start));
                self.stretch(index, read).map(Some)
            }
            Layout::Contiguous { address: None } => Ok(self.filled()),
            Layout::External(stretches) => {
                let read = |start, items: &mut [u8]| external::read(stretches, &self.dataset.outside, start, items);
                self.stretch(index, read).map(Some)
            }
            Layout::Compact(all) => {
                let read = |start: u64, items: &mut [u8]| {
                    let from = usize::try_from(start).ok().and_then(|start| all.get(start..)?.get(..items.len()));
                    items.copy_from_slice(from.ok_or_else(|| damaged("a dataset is shorter than its shape"))?);
                    Ok(())
                };
                self.stretch(index, read).map(Some)
            }
        };
        loaded.map_err(|e| at(e, &self.dataset.location))
    }
}

impl OpenDataset {
    /// Items without the gaps between their fields, and the spaces behind texts.
    fn packed(&self, mut items: Vec<u8>) -> Vec<u8> {
        if let Ok(Item::Spaces(_)) = &self.index.item {
            for item in items.chunks_exact_mut(self.index.itemsize) {
                item.iter_mut().rev().take_while(|byte| **byte == b' ').for_each(|byte| *byte = 0);
            }
        }
        let Ok(Item::Gaps(_, runs)) = &self.index.item else { return items };
        runs.pack(&items, self.index.itemsize)
    }

    fn chunk(&self, index: &[u64], entry: Entry, filters: &[FilterDescription]) -> Result<Vec<u8>> {
        let nbytes = self.dataset.nbytes;
        let size = usize::try_from(entry.size).ok().filter(|size| *size <= filters::most(nbytes));
        let size = size.ok_or_else(|| damaged(format!("a chunk says that it has {} bytes", entry.size)))?;
        if filters.is_empty() {
            let mut items = vec![0; size];
            self.read(&mut items, entry.address)?;
            return Ok(items);
        }
        // The same memory again and again: it is only there to be decoded.
        let mut stored = STORED.take();
        stored.resize(size.max(stored.len()), 0);
        self.read(&mut stored[..size], entry.address)?;
        let itemsize = self.index.itemsize;
        let decode = || filters::decode(&stored[..size], filters, entry.mask, itemsize, nbytes);
        let items = guarded(decode).ok_or_else(|| damaged("a chunk contradicts itself"))?.map_err(|e| match e {
            hdf5_reader::error::Error::UnsupportedFilter(filter) => {
                Error::unsupported(format!("The dataset is compressed by a filter that is not known here: {filter}."))
            }
            e => damaged(format!("the chunk {index:?} is damaged: {e}")),
        })?;
        if stored.len() <= MAX_KEPT {
            STORED.set(stored);
        }
        if items.len() != nbytes {
            return Err(damaged(format!("the chunk {index:?} has {} bytes instead of {nbytes}", items.len())));
        }
        Ok(items)
    }

    /// A stretch of a contiguous dataset; at the end of an axis it is shorter, and zeros follow.
    fn stretch(&self, index: &[u64], read: impl Fn(u64, &mut [u8]) -> Result<()>) -> Result<Bytes> {
        let mut items = vec![0; self.dataset.nbytes];
        let span = chunked::span(index, &self.dataset.grid, &self.index.shape, self.index.itemsize)?;
        read(span.start, &mut items[..(span.end - span.start) as usize])?;
        Ok(self.packed(items).into())
    }

    fn read(&self, buffer: &mut [u8], address: u64) -> Result<()> {
        self.file.read_exact_at(buffer, address).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => Error::damaged("The HDF5 file is shorter than it says."),
            _ => Error::storage_failed(format!("The HDF5 file cannot be read: {e}.")),
        })
    }

    /// A chunk that was never written.
    fn filled(&self) -> Option<Bytes> {
        let fill = self.index.fill.as_ref()?;
        Some(self.packed(fill.repeat(self.dataset.nbytes / fill.len().max(1))).into())
    }
}
