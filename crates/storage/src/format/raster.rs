//! Pictures that are decoded as a whole: a file is an array, and files are frames of one.

mod jpeg;
mod png;

use std::fs::File;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use girih_model::{ArrayStructure, DType, Data, DataSource, Error, Json, Result, Selection, Structure};

use super::chunked::recent::{self, Key, Use};
use super::chunked::{self, Chunks, Load};
use super::guard::guarded;
use super::reshaped::reshaped;
use super::sequence::{self, Frame};
use super::{Files, Inspected, of_source};
use crate::dataset::{Dataset, positions};
use crate::place::file::Stamp;
use crate::place::{Location, Places};
use crate::pool::blocking;

pub use jpeg::Jpeg;

/// Largest picture, in bytes.
const MAX_PICTURE: u64 = 256 << 20;

/// How a picture of one kind is decoded, as Pillow decodes it.
pub(super) trait Decoder: Send + Sync + 'static {
    fn name(&self) -> &'static str;

    /// The media type of sequences of such files.
    fn sequence(&self) -> &'static str;

    /// Reads no more than the beginning.
    fn header(&self, file: &File) -> Result<Picture>;

    /// The items, in C order.
    fn decode(&self, file: &File) -> Result<Vec<u8>>;
}

pub(super) static JPEG: Raster = Raster(&jpeg::Decode);
pub(super) static PNG: Raster = Raster(&png::Decode);

/// What a picture is.
pub(super) struct Picture {
    pub(super) dtype: DType,
    pub(super) shape: Vec<u64>,
    pub(super) metadata: Json,
}

#[derive(Clone, Copy)]
pub(super) struct Raster(&'static dyn Decoder);

impl Raster {
    pub(super) fn sequence(&self) -> &'static str {
        self.0.sequence()
    }

    pub(super) async fn inspect(&self, files: &Files, places: &Places) -> Result<Inspected> {
        let (location, raster) = (files.locate_one(places)?, *self);
        let found = blocking(move || raster.look(&location)).await?;
        Ok(Inspected { metadata: found.metadata, ..Structure::Array(found.structure).into() })
    }

    pub(super) async fn open(&self, source: &DataSource, places: &Places) -> Result<Arc<dyn Dataset>> {
        let Structure::Array(structure) = source.structure.clone() else {
            return Err(Error::unprocessable("A picture is an array."));
        };
        let (location, raster) = (of_source(&source.assets, places)?.remove(0), *self);
        blocking(move || {
            let natural = raster.look(&location)?.structure;
            let whole = Whole { location, raster, structure: natural };
            reshaped(Arc::new(Shown(Arc::new(whole))), &structure)
        })
        .await
    }

    fn look(&self, location: &Location) -> Result<Frame> {
        let file = location.open_file()?;
        let found = guarded(|| self.0.header(&file)).unwrap_or_else(|| Err(self.damaged(&"it contradicts itself")));
        let found = found.map_err(|e| e.context(format!("reading {}", location.absolute().display())))?;
        let structure = ArrayStructure::new(found.dtype, found.shape);
        match structure.nbytes() {
            Some(bytes) if bytes <= MAX_PICTURE => Ok(Frame { structure, metadata: found.metadata }),
            _ => Err(Error::unsupported(format!(
                "{} files of more than {MAX_PICTURE} bytes are not read.",
                self.0.name()
            ))),
        }
    }

    fn damaged(&self, why: &dyn std::fmt::Display) -> Error {
        damaged(self.0.name(), why)
    }
}

fn damaged(name: &str, why: &dyn std::fmt::Display) -> Error {
    Error::damaged(format!("The {name} file cannot be read: {why}."))
}

impl sequence::Frames for Raster {
    fn media_type(&self) -> &'static str {
        self.0.sequence()
    }

    fn inspect(&self, file: &Location) -> Result<Frame> {
        self.look(file)
    }

    fn grid(&self, _: &Location, frame: &ArrayStructure) -> Result<Vec<u64>> {
        Ok(frame.shape.iter().map(|len| (*len).max(1)).collect())
    }

    fn open(&self, file: &Location, frame: &ArrayStructure) -> Result<Box<dyn Load>> {
        let natural = self.look(file)?.structure;
        if natural.shape != frame.shape || natural.dtype != frame.dtype {
            return Err(Error::unprocessable(format!(
                "A file of the sequence has the shape {:?} instead of {:?}. Register the files again.",
                natural.shape, frame.shape
            )));
        }
        Ok(Box::new(Arc::new(Whole { location: file.clone(), raster: *self, structure: natural })))
    }
}

struct Whole {
    location: Location,
    raster: Raster,
    structure: ArrayStructure,
}

struct Shown(Arc<Whole>);

#[async_trait]
impl Dataset for Shown {
    fn structure(&self) -> Structure {
        Structure::Array(self.0.structure.clone())
    }

    async fn read(&self, selection: &Selection) -> Result<Data> {
        let region = positions(&self.0.structure, selection)?;
        Ok(Data::Array(chunked::read(&self.0, &self.0.structure.dtype, region).await?))
    }
}

impl Chunks for Whole {
    type Open = Arc<Whole>;

    fn grid(&self) -> &[u64] {
        &self.structure.shape
    }

    fn open(self: &Arc<Self>) -> Result<Arc<Whole>> {
        Ok(self.clone())
    }
}

impl Load for Arc<Whole> {
    fn load(&self, _: &[u64], wanted: Use) -> Result<Option<Bytes>> {
        let nbytes = self.structure.nbytes().unwrap_or_default() as usize;
        let file = self.location.open_file()?;
        let key = Stamp::of(&file).map(|stamp| Key { stamp, layout: 1, number: 0 });
        let decode = || {
            let raster = self.raster;
            let decoded = guarded(|| raster.0.decode(&file));
            let items = decoded.unwrap_or_else(|| Err(raster.damaged(&"it contradicts itself")))?;
            if items.len() != nbytes {
                return Err(Error::gone("The picture was replaced by one of another size. Register it again."));
            }
            Ok(items)
        };
        let loaded = recent::chunk(key, nbytes, wanted, decode);
        loaded.map(Some).map_err(|e| e.context(format!("reading {}", self.location.absolute().display())))
    }
}

#[cfg(test)]
mod tests;
