//! NumPy's files of one array (NEP 1: `\x93NUMPY`, version, length of the header, header, items), read where they lie.
//!
//! The structure is the catalog's. A file that is still growing may have fewer rows than that, and one that went on
//! growing more: what is there is read, for the rest the caller is asked to come again.

mod descr;
mod header;

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use girih_model::slice::{Axis, Fitted};
use girih_model::{
    ArrayData, ArrayStructure, Data, DataSource, Error, Family, Json, Result, ResultExt, Selection, Slice, Structure,
};

use super::chunked::copy::{Layout, c_strides, copy};
use super::chunked::recent::{self, Key, Use};
use super::chunked::{self, Chunks, Load};
use super::sequence::{self, Frame};
use crate::dataset::{Dataset, positions};
use crate::format::reshaped::reshaped;
use crate::format::{Files, Format, Inspected};
use crate::place::file::Stamp;
use crate::place::{Location, Places};
use crate::pool::{ANSWERS, blocking};
use descr::Item;
pub(super) use descr::dtype_of;
use header::Header;

/// The least that is read at once, in bytes.
const PIECE: u64 = 256 << 10;
/// Largest file in Fortran order that is turned around, in bytes.
const MAX_TURNED: u64 = 256 << 20;
/// Largest file of a sequence, in bytes.
const MAX_FRAME: u64 = 256 << 20;

pub struct Npy;

#[async_trait]
impl Format for Npy {
    fn media_type(&self) -> &'static str {
        "application/x-npy"
    }

    fn suffixes(&self) -> &'static [&'static str] {
        &["npy"]
    }

    fn sequence(&self) -> Option<&'static str> {
        Some(sequence::Frames::media_type(&Frames))
    }

    fn opens(&self) -> &'static [Family] {
        &[Family::Array]
    }

    async fn inspect(&self, files: &Files, places: &Places) -> Result<Inspected> {
        let location = files.locate_one(places)?;
        Ok(Structure::Array(blocking(move || structure_of(&location)).await?).into())
    }

    async fn open(&self, source: &DataSource, places: &Places) -> Result<Arc<dyn Dataset>> {
        let Structure::Array(structure) = &source.structure else {
            return Err(Error::unprocessable("A NumPy file holds an array."));
        };
        let [asset] = source.assets.as_slice() else {
            return Err(Error::unprocessable("An array in a NumPy file has one asset, the file."));
        };
        let (file, wanted) = (places.locate(&asset.data_uri)?, structure.clone());
        let (location, structure) = (file.clone(), structure.clone());
        let found = blocking(move || structure_of(&location)).await;
        match found {
            // A file that grows has other rows than it had.
            Ok(found) if found.shape.get(1..) != wanted.shape.get(1..) => {
                reshaped(Arc::new(NpyArray { file, base: 0, structure: found }), &wanted)
            }
            _ => Ok(Arc::new(NpyArray { file, base: 0, structure })),
        }
    }
}

/// What a file holds.
fn structure_of(location: &Location) -> Result<ArrayStructure> {
    let described = || {
        let header = Header::read(&location.open_file()?)?;
        Ok(chunked::unchunked(Item::of(&header.descr)?.dtype, header.shape))
    };
    described().map_err(|e: Error| e.context(format!("reading {}", location.absolute().display())))
}

/// An array whose file begins within another, and has so many bytes. May block.
pub(super) fn part(file: Location, base: u64, size: u64) -> Result<Arc<dyn Dataset>> {
    let header = Header::read_at(&file.open_file()?, base)?;
    let item = Item::of(&header.descr)?;
    if stored(&header.shape, item.size, header.length.saturating_sub(base)).is_none_or(|end| end > size) {
        return Err(Error::unprocessable("An array is shorter than it says."));
    }
    let structure = chunked::unchunked(item.dtype, header.shape);
    Ok(Arc::new(NpyArray { file, base, structure }))
}

/// Bytes of a file: of its header and its items.
fn stored(shape: &[u64], itemsize: usize, header: u64) -> Option<u64> {
    let items = shape.iter().try_fold(itemsize as u64, |bytes, len| bytes.checked_mul(*len))?;
    items.checked_add(header)
}

/// What lies where in a file that is packed within another.
pub(super) struct Described {
    pub(super) structure: ArrayStructure,
    pub(super) item: Item,
    /// Bytes of all.
    pub(super) end: u64,
    pub(super) fortran_order: bool,
    /// Bytes before the items.
    pub(super) start: u64,
}

/// Takes the header off a file.
pub(super) fn described(file: impl Read) -> Result<Described> {
    let header = Header::take(file)?;
    let item = Item::of(&header.descr)?;
    let end = stored(&header.shape, item.size, header.length);
    let end = end.ok_or_else(|| Error::damaged("The NumPy file says that it is larger than any file."))?;
    let structure = chunked::unchunked(item.dtype.clone(), header.shape);
    Ok(Described { structure, item, end, fortran_order: header.fortran_order, start: header.length })
}

struct NpyArray {
    file: Location,
    /// Where it begins.
    base: u64,
    structure: ArrayStructure,
}

#[async_trait]
impl Dataset for NpyArray {
    fn structure(&self) -> Structure {
        Structure::Array(self.structure.clone())
    }

    async fn read(&self, selection: &Selection) -> Result<Data> {
        let region = positions(&self.structure, selection)?;
        let (location, base, structure) = (self.file.clone(), self.base, self.structure.clone());
        let shape = region.shape();
        let (items, region) = blocking(move || {
            let items = Items::open(&location, base, &structure)?;
            items.check_there(&region)?;
            Ok((items, region))
        })
        .await?;
        let dtype = self.structure.dtype.clone();
        if !items.header.fortran_order {
            let grid = chunked::stretch(&items.header.shape, items.item.size, PIECE);
            return Ok(Data::Array(
                chunked::read(&Arc::new(Rows { items: Arc::new(items), grid }), &dtype, region).await?,
            ));
        }
        // All of the file, and what is wanted of it.
        let all = stored(&items.header.shape, items.item.size, 0).and_then(|all| usize::try_from(all).ok());
        let room = ANSWERS.take(all.unwrap_or(usize::MAX).saturating_mul(2)).await?;
        let turned = blocking(move || items.turned(&region)).await?;
        let pieces = stream::iter([Ok(room.hold(turned.into()))]).boxed();
        Ok(Data::Array(ArrayData { dtype, shape, pieces }))
    }
}

/// Files of a sequence.
pub(super) struct Frames;

impl sequence::Frames for Frames {
    fn media_type(&self) -> &'static str {
        "multipart/related;type=application/x-npy"
    }

    /// A frame is read as a whole.
    fn inspect(&self, file: &Location) -> Result<Frame> {
        Ok(Frame { structure: structure_of(file)?, metadata: Json::object() })
    }

    fn grid(&self, _: &Location, frame: &ArrayStructure) -> Result<Vec<u64>> {
        if frame.nbytes().is_none_or(|bytes| bytes > MAX_FRAME) {
            return Err(Error::unsupported(format!("NumPy files of a sequence have at most {MAX_FRAME} bytes.")));
        }
        Ok(frame.shape.iter().map(|len| (*len).max(1)).collect())
    }

    fn open(&self, file: &Location, frame: &ArrayStructure) -> Result<Box<dyn Load>> {
        let items = Items::open(file, 0, frame)?;
        if items.header.shape != frame.shape {
            return Err(Error::unprocessable(format!(
                "A file of the sequence has the shape {:?} instead of {:?}. Register the files again.",
                items.header.shape, frame.shape
            ))
            .context(items.context));
        }
        Ok(Box::new(items))
    }
}

impl Load for Items {
    fn load(&self, _: &[u64], wanted: Use) -> Result<Option<Bytes>> {
        let nbytes = chunked::chunk_bytes(&self.header.shape, self.item.size)?;
        let key = Stamp::of(&self.file).map(|stamp| Key { stamp, layout: 0, number: 0 });
        let all = || match self.header.fortran_order {
            true => self.turned(&Slice::all().fit(&self.header.shape)?),
            false => {
                let mut items = vec![0; nbytes];
                self.read_at(&mut items, 0)?;
                Ok(self.item.pack(items))
            }
        };
        recent::chunk(key, nbytes, wanted, all).map(Some)
    }
}

/// A file in C order, in stretches.
struct Rows {
    items: Arc<Items>,
    grid: Vec<u64>,
}

impl Chunks for Rows {
    type Open = Arc<Rows>;

    fn grid(&self) -> &[u64] {
        &self.grid
    }

    fn open(self: &Arc<Self>) -> Result<Arc<Rows>> {
        Ok(self.clone())
    }
}

impl Load for Arc<Rows> {
    fn load(&self, index: &[u64], _: Use) -> Result<Option<Bytes>> {
        let Items { header, item, .. } = &*self.items;
        let span = chunked::span(index, &self.grid, &header.shape, item.size)?;
        let mut items = vec![0; chunked::chunk_bytes(&self.grid, item.size)?];
        // What follows at the end of an axis is not looked at.
        self.items.read_at(&mut items[..(span.end - span.start) as usize], span.start)?;
        Ok(Some(item.pack(items).into()))
    }
}

/// The items of an open file.
struct Items {
    file: File,
    header: Header,
    item: Item,
    context: String,
}

impl Items {
    fn open(location: &Location, base: u64, structure: &ArrayStructure) -> Result<Self> {
        let file = location.open_file()?;
        let context = format!("reading {}", location.absolute().display());
        let header = Header::read_at(&file, base).map_err(|e| e.context(context.clone()))?;
        let item = Item::of(&header.descr).map_err(|e| e.context(context.clone()))?;
        let fits = item.dtype.itemsize() == structure.dtype.itemsize()
            && header.shape.len() == structure.shape.len()
            && header.shape.iter().skip(1).eq(structure.shape.iter().skip(1));
        if !fits {
            return Err(Error::unprocessable(format!(
                "The file does not have the structure that is registered: it holds an array of the shape {:?} with the dtype {}. Register it again.",
                header.shape, header.descr
            ))
            .context(context));
        }
        Ok(Self { file, header, item, context })
    }

    /// # Errors
    /// `Damaged` when the file does not reach so far yet.
    fn check_there(&self, region: &Fitted) -> Result<()> {
        let (Some(rows), Some(axis)) = (self.header.shape.first(), region.0.first()) else { return Ok(()) };
        let empty = region.0.iter().any(|axis| axis.count == 0);
        let last = if axis.step > 0 && axis.count > 0 { axis.at(axis.count - 1) } else { axis.start };
        if !empty && last >= *rows {
            return Err(Error::damaged(format!("The file has {rows} rows so far, and row {last} was asked for."))
                .context(self.context.clone()));
        }
        Ok(())
    }

    /// Fills the buffer with the bytes from here on.
    fn read_at(&self, buffer: &mut [u8], start: u64) -> Result<()> {
        let read = self.file.read_exact_at(buffer, self.header.length.saturating_add(start));
        read.or_error(|_| Error::damaged("The file is shorter than it says."))
            .map_err(|e| e.context(self.context.clone()))
    }

    /// The region of an array in Fortran order.
    fn turned(&self, region: &Fitted) -> Result<Vec<u8>> {
        let total = stored(&self.header.shape, self.item.size, 0).unwrap_or(u64::MAX);
        if total > MAX_TURNED {
            return Err(Error::unsupported(format!(
                "Files in Fortran order are read up to {MAX_TURNED} bytes; this one has {total}. Save it with numpy.ascontiguousarray."
            )));
        }
        let mut all = vec![0; total as usize];
        self.read_at(&mut all, 0)?;
        let (all, itemsize) = (self.item.pack(all), self.item.dtype.itemsize());
        let reversed: Vec<u64> = self.header.shape.iter().rev().copied().collect();
        let strides: Vec<isize> = c_strides(&reversed, itemsize).into_iter().rev().collect();
        let counts: Vec<u64> = region.0.iter().map(|axis: &Axis| axis.count).collect();
        let from = Layout {
            start: region.0.iter().zip(&strides).map(|(axis, stride)| axis.start as usize * *stride as usize).sum(),
            strides: region.0.iter().zip(&strides).map(|(axis, stride)| axis.step as isize * stride).collect(),
        };
        let mut items = vec![0; chunked::chunk_bytes(&counts, itemsize)?];
        let to = Layout { start: 0, strides: c_strides(&counts, itemsize) };
        copy(&mut items, &to, &all, &from, &counts, itemsize);
        Ok(items)
    }
}

#[cfg(test)]
mod tests;
