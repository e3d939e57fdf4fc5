//! netCDF: classic files (CDF-1, 2 and 5; "The NetCDF Classic Format Specification") as containers of their variables, which
//! clients of xarray read as a dataset. Files of netCDF-4 are HDF5, and are read as such.
//!
//! Values are those of the file: packed ones are not unpacked, their `scale_factor` is among the attributes.

mod header;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use girih_model::structure::ContainerStructure;
use girih_model::{
    ArrayStructure, Data, DataSource, Error, Family, Json, Result, ResultExt, Selection, Spec, Structure,
};
use serde_json::json;

use super::chunked::recent::Use;
use super::chunked::{self, Chunks, Load};
use super::hdf5::Hdf5;
use super::{Files, Format, Inspected, of_source};
use crate::dataset::{Dataset, positions};
use crate::place::{Location, Places};
use crate::pool::blocking;
use header::{Header, Variable};

/// Stretches that are read as one, in bytes.
const PIECE: u64 = 256 << 10;
/// How files of HDF5, and with that of netCDF-4, begin.
const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";

pub struct NetCdf;

#[async_trait]
impl Format for NetCdf {
    fn media_type(&self) -> &'static str {
        "application/x-netcdf"
    }

    fn suffixes(&self) -> &'static [&'static str] {
        &["nc", "cdf", "nc4"]
    }

    fn opens(&self) -> &'static [Family] {
        &[Family::Container]
    }

    async fn inspect(&self, files: &Files, places: &Places) -> Result<Inspected> {
        let location = files.locate_one(places)?;
        if is_hdf5(location.clone()).await? {
            return Hdf5.inspect(files, places).await;
        }
        let found = blocking(move || Classic::open(location)).await?;
        Ok(Inspected { structure: found.structure(), metadata: found.metadata(), specs: found.specs() })
    }

    async fn open(&self, source: &DataSource, places: &Places) -> Result<Arc<dyn Dataset>> {
        let location = of_source(&source.assets, places)?.remove(0);
        if is_hdf5(location.clone()).await? {
            return Hdf5.open(source, places).await;
        }
        let Structure::Container(_) = &source.structure else {
            return Err(Error::unprocessable("A netCDF file is a container of its variables. Register it as one."));
        };
        Ok(Arc::new(blocking(move || Classic::open(location)).await?))
    }
}

async fn is_hdf5(location: Location) -> Result<bool> {
    blocking(move || {
        let mut start = [0; 8];
        let read =
            location.open_file()?.read_at(&mut start, 0).internal(|| "reading the beginning of a file".into())?;
        Ok(&start[..read] == HDF5)
    })
    .await
}

struct Classic {
    location: Location,
    header: Header,
}

impl Classic {
    fn open(location: Location) -> Result<Self> {
        let header = Header::read(&location.open_file()?);
        let header = header.map_err(|e| e.context(format!("reading {}", location.absolute().display())))?;
        Ok(Self { location, header })
    }
}

#[async_trait]
impl Dataset for Classic {
    fn structure(&self) -> Structure {
        let keys = self.header.variables.iter().map(|variable| variable.name.clone()).collect();
        Structure::Container(ContainerStructure { keys })
    }

    fn metadata(&self) -> Json {
        Json::from_value(&json!({ "attrs": self.header.attributes }))
    }

    fn specs(&self) -> Vec<Spec> {
        vec![Spec { name: "xarray_dataset".into(), version: None }]
    }

    async fn read(&self, _: &Selection) -> Result<Data> {
        Err(Error::unsupported("A netCDF file is not read as one. Read its variables."))
    }

    async fn keys(&self) -> Result<Vec<String>> {
        Ok(self.header.variables.iter().map(|variable| variable.name.clone()).collect())
    }

    async fn child(&self, key: &str) -> Result<Option<Arc<dyn Dataset>>> {
        let location = self.location.clone();
        // Records may have been added.
        let now = blocking(move || Self::open(location)).await?;
        let found = now.header.variables.iter().find(|variable| variable.name == key).cloned();
        let Some(variable) = found else { return Ok(None) };
        let structure = chunked::unchunked(variable.dtype.clone(), variable.shape.clone());
        let structure = ArrayStructure { dims: Some(variable.dims.clone()), ..structure };
        structure.check()?;
        let itemsize = structure.dtype.itemsize();
        let grid = match (variable.record, variable.shape.split_first()) {
            // Records of all variables take turns.
            (Some(_), Some((_, inner))) => [&[1], chunked::stretch(inner, itemsize, PIECE).as_slice()].concat(),
            _ => chunked::stretch(&variable.shape, itemsize, PIECE),
        };
        let stored = Stored { location: now.location, variable, structure, grid };
        Ok(Some(Arc::new(Array(Arc::new(stored)))))
    }
}

struct Array(Arc<Stored>);

struct Stored {
    location: Location,
    variable: Variable,
    structure: ArrayStructure,
    grid: Vec<u64>,
}

#[async_trait]
impl Dataset for Array {
    fn structure(&self) -> Structure {
        Structure::Array(self.0.structure.clone())
    }

    fn metadata(&self) -> Json {
        Json::from_value(&json!({ "attrs": self.0.variable.attributes }))
    }

    fn specs(&self) -> Vec<Spec> {
        let variable = &self.0.variable;
        let is_coordinate = variable.dims == [variable.name.as_str()];
        vec![Spec { name: if is_coordinate { "xarray_coord" } else { "xarray_data_var" }.into(), version: None }]
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
        let Stored { variable, grid, location, .. } = &*self.stored;
        let itemsize = self.stored.structure.dtype.itemsize();
        // Records are apart from each other; within one, items are in C order.
        let (at, outer) = match variable.record {
            Some(record) => (index.first().map_or(0, |n| n.saturating_mul(record)), 1),
            None => (0, 0),
        };
        let inner = |axes: &[u64]| axes.get(outer..).unwrap_or_default().to_vec();
        let span = chunked::span(&inner(index), &inner(grid), &inner(&variable.shape), itemsize)?;
        let start = variable.begin.saturating_add(at).saturating_add(span.start);
        let mut items = vec![0; chunked::chunk_bytes(grid, itemsize)?];
        // What follows at the end of an axis is not looked at.
        self.file.read_exact_at(&mut items[..(span.end - span.start) as usize], start).or_error(|_| {
            Error::damaged("The netCDF file is shorter than it says.")
                .context(format!("reading {}", location.absolute().display()))
        })?;
        Ok(Some(items.into()))
    }
}

#[cfg(test)]
mod tests;
