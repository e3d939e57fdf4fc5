//! Arrays as Zarr v3 directories (Zarr specification, version 3.1): `zarr.json` and one file per chunk.
//!
//! The shape and dtype are the catalog's; `zarr.json` says how the chunks are cut and encoded. Its
//! shape is kept current for other readers. A chunk without a file is all zeros.

mod chunk;
mod facade;
mod grid;
mod metadata;
mod read;
mod staging;
mod stored;
mod write;

use std::sync::Arc;

use async_trait::async_trait;
use girih_model::{ArrayStructure, Asset, Data, DataSource, Error, Family, Management, Result, Selection, Structure};

use crate::dataset::{Dataset, StoredBytes, Write, positions};
use crate::format::chunked::{self, Chunks};
use crate::format::{Files, Format, Inspected};
use crate::place::{Location, Places};
use crate::pool::blocking;
use chunk::Store;
use metadata::Metadata;

pub use facade::{Facade, Stored};

pub struct Zarr;

#[async_trait]
impl Format for Zarr {
    fn media_type(&self) -> &'static str {
        "application/x-zarr"
    }

    fn opens(&self) -> &'static [Family] {
        &[Family::Array, Family::Container]
    }

    fn suffixes(&self) -> &'static [&'static str] {
        &["zarr"]
    }

    async fn inspect(&self, files: &Files, places: &Places) -> Result<Inspected> {
        read::inspect(files, places).await
    }

    fn creates(&self) -> &'static [Family] {
        &[Family::Array]
    }

    async fn open(&self, source: &DataSource, places: &Places) -> Result<Arc<dyn Dataset>> {
        let [asset] = source.assets.as_slice() else {
            return Err(Error::unprocessable("A Zarr data source has one asset, its directory."));
        };
        let location = places.locate(&asset.data_uri)?;
        if source.management == Management::External {
            return read::open(location, source.structure.clone()).await;
        }
        let Structure::Array(structure) = &source.structure else {
            return Err(Error::unprocessable("Only arrays are stored as Zarr."));
        };
        let structure = structure.clone();
        blocking(move || {
            let location = location.pinned()?;
            let metadata = Metadata::load(&location)?;
            metadata.check_fits(&structure)?;
            let store = Store::new(&location, &metadata, structure.dtype.itemsize())?;
            let (store, metadata) = (Arc::new(store), Arc::new(metadata));
            Ok(Arc::new(ZarrArray { store, metadata, structure }) as Arc<dyn Dataset>)
        })
        .await
    }

    async fn create(&self, location: &Location, structure: &Structure) -> Result<Vec<Asset>> {
        let Structure::Array(structure) = structure else {
            return Err(Error::unprocessable("Only arrays are stored as Zarr."));
        };
        structure.check()?;
        let metadata = Metadata::for_new(structure)?;
        let place = location.clone();
        blocking(move || metadata.save(&place)).await?;
        Ok(vec![Asset {
            data_uri: location.uri(),
            is_directory: true,
            size: None,
            parameter: Some("data_uri".into()),
            num: None,
            id: None,
        }])
    }
}

struct ZarrArray {
    store: Arc<Store>,
    metadata: Arc<Metadata>,
    structure: ArrayStructure,
}

#[async_trait]
impl Dataset for ZarrArray {
    fn structure(&self) -> Structure {
        Structure::Array(self.structure.clone())
    }

    async fn read(&self, selection: &Selection) -> Result<Data> {
        let region = positions(&self.structure, selection)?;
        Ok(Data::Array(chunked::read(&self.store, &self.structure.dtype, region).await?))
    }

    async fn stored(&self, selection: &Selection, accept: &[&str]) -> Result<Option<StoredBytes>> {
        let region = positions(&self.structure, selection)?;
        stored::stored(&self.store, region, accept).await
    }

    fn zarr(&self) -> Option<Stored> {
        Some(Stored { store: self.store.clone(), metadata: self.metadata.clone() })
    }

    async fn write(&self, selection: &Selection, data: Data, mode: Write) -> Result<Structure> {
        let Data::Array(data) = data else {
            return Err(Error::unprocessable("Only array data can be written to an array."));
        };
        let region = write::region(&self.structure, selection, mode)?;
        let after = write::grown(&self.structure, &region, self.store.grid())?;
        let grown = (after.shape != self.structure.shape).then(|| after.shape.clone());
        write::write(&self.store, &self.structure.dtype, &region, data, grown).await?;
        Ok(Structure::Array(after))
    }
}

#[cfg(test)]
mod tests;
