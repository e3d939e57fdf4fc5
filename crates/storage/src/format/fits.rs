//! FITS (version 4.0): a container of its header-data units. Images are arrays as `astropy.io.fits` gives them, with `BZERO`
//! and `BSCALE` applied; tables are arrays of one axis whose items have the columns as fields. The cards of a header are
//! metadata.

mod header;
mod table;
mod unit;
mod values;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use girih_model::structure::ContainerStructure;
use girih_model::{ArrayStructure, Data, DataSource, Error, Family, Json, Result, ResultExt, Selection, Structure};
use serde_json::Value;

use super::chunked::recent::Use;
use super::chunked::{self, Chunks, Load};
use super::{Files, Format, Inspected, of_source};
use crate::dataset::{Dataset, positions};
use crate::place::{Location, Places};
use crate::pool::blocking;
use unit::Unit;

/// Stretches that are read as one, in bytes.
const PIECE: u64 = 256 << 10;

pub struct Fits;

#[async_trait]
impl Format for Fits {
    fn media_type(&self) -> &'static str {
        "application/fits"
    }

    fn suffixes(&self) -> &'static [&'static str] {
        &["fits", "fit", "fts"]
    }

    fn opens(&self) -> &'static [Family] {
        &[Family::Container]
    }

    async fn inspect(&self, files: &Files, places: &Places) -> Result<Inspected> {
        let location = files.locate_one(places)?;
        let found = blocking(move || Units::open(location)).await?;
        Ok(Inspected { metadata: found.metadata(), ..found.structure().into() })
    }

    async fn open(&self, source: &DataSource, places: &Places) -> Result<Arc<dyn Dataset>> {
        let Structure::Container(_) = &source.structure else {
            return Err(Error::unprocessable("A FITS file is a container of its units. Register it as one."));
        };
        let location = of_source(&source.assets, places)?.remove(0);
        Ok(Arc::new(blocking(move || Units::open(location)).await?))
    }
}

fn damaged(why: &str) -> Error {
    Error::damaged(format!("The FITS file cannot be read: {why}."))
}

/// The units that hold data, by name.
struct Units {
    location: Location,
    /// Cards of the first header.
    metadata: Value,
    units: Vec<(String, Unit)>,
}

impl Units {
    fn open(location: Location) -> Result<Self> {
        let context = |e: Error| e.context(format!("reading {}", location.absolute().display()));
        let (metadata, units) = unit::all(&location.open_file()?).map_err(context)?;
        Ok(Self { location, metadata, units })
    }
}

#[async_trait]
impl Dataset for Units {
    fn structure(&self) -> Structure {
        Structure::Container(ContainerStructure { keys: self.units.iter().map(|(name, _)| name.clone()).collect() })
    }

    fn metadata(&self) -> Json {
        Json::from_value(&self.metadata)
    }

    async fn read(&self, _: &Selection) -> Result<Data> {
        Err(Error::unsupported("A FITS file is not read as one. Read its units."))
    }

    async fn keys(&self) -> Result<Vec<String>> {
        Ok(self.units.iter().map(|(name, _)| name.clone()).collect())
    }

    async fn child(&self, key: &str) -> Result<Option<Arc<dyn Dataset>>> {
        let Some((_, unit)) = self.units.iter().find(|(name, _)| name == key) else { return Ok(None) };
        let unit = unit.clone();
        let structure = chunked::unchunked(unit.dtype()?, unit.shape.clone());
        structure.check()?;
        let grid = chunked::stretch(&unit.shape, unit.itemsize, PIECE);
        chunked::chunk_bytes(&grid, unit.itemsize)?;
        let location = self.location.clone();
        Ok(Some(Arc::new(Array(Arc::new(Stored { location, unit, structure, grid })))))
    }
}

struct Array(Arc<Stored>);

struct Stored {
    location: Location,
    unit: Unit,
    structure: ArrayStructure,
    grid: Vec<u64>,
}

#[async_trait]
impl Dataset for Array {
    fn structure(&self) -> Structure {
        Structure::Array(self.0.structure.clone())
    }

    fn metadata(&self) -> Json {
        Json::from_value(&self.0.unit.metadata)
    }

    async fn read(&self, selection: &Selection) -> Result<Data> {
        let region = positions(&self.0.structure, selection)?;
        Ok(Data::Array(chunked::read(&self.0, &self.0.structure.dtype, region).await?))
    }
}

impl Chunks for Stored {
    type Open = Open;

    fn grid(&self) -> &[u64] {
        &self.grid
    }

    fn open(self: &Arc<Self>) -> Result<Open> {
        Ok(Open { file: self.location.open_file()?, stored: self.clone() })
    }
}

struct Open {
    file: File,
    stored: Arc<Stored>,
}

impl Load for Open {
    fn load(&self, index: &[u64], _: Use) -> Result<Option<Bytes>> {
        let Stored { unit, grid, location, .. } = &*self.stored;
        let span = chunked::span(index, grid, &unit.shape, unit.itemsize)?;
        let mut items = vec![0; chunked::chunk_bytes(grid, unit.itemsize)?];
        // What follows at the end of an axis is not looked at.
        let len = (span.end - span.start) as usize;
        self.file.read_exact_at(&mut items[..len], unit.begin.saturating_add(span.start)).or_error(|_| {
            Error::damaged("The FITS file is shorter than it says.")
                .context(format!("reading {}", location.absolute().display()))
        })?;
        let whole = items.len() / unit.itemsize * self.stored.structure.dtype.itemsize();
        items.truncate(len);
        let mut items =
            unit.items(items).map_err(|e| e.context(format!("reading {}", location.absolute().display())))?;
        items.resize(whole, 0);
        Ok(Some(items.into()))
    }
}

#[cfg(test)]
mod tests;
