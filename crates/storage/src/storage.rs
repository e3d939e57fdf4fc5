//! The front of the crate: opens, creates and removes what a data source names.

use std::sync::Arc;

use girih_model::{Asset, DataSource, Error, Family, NodePath, Result, Structure};

use crate::dataset::Dataset;
use crate::format;
use crate::place::Places;

#[derive(Debug, Clone)]
pub struct StorageOptions {
    pub places: Places,
}

/// Everything that lies outside the catalog's database.
#[derive(Debug)]
pub struct Storage {
    options: StorageOptions,
}

impl Storage {
    pub fn new(options: StorageOptions) -> Self {
        Self { options }
    }

    pub async fn open(&self, source: &DataSource) -> Result<Arc<dyn Dataset>> {
        let format = format::by_media_type(&source.mimetype).ok_or_else(|| unreadable(&source.mimetype))?;
        format.open(source, &self.options.places).await
    }

    /// Makes room for new data of a node; returns the data source's media type and assets.
    pub async fn create(
        &self,
        _path: &NodePath,
        _structure: &Structure,
        _mimetype: Option<&str>,
    ) -> Result<(String, Vec<Asset>)> {
        Err(Error::unsupported("todo"))
    }

    /// Removes assets that nothing refers to any more.
    pub async fn remove(&self, _assets: &[Asset]) -> Result<()> {
        Ok(())
    }
}

fn unreadable(mimetype: &str) -> Error {
    Error::unsupported_media_type(format!(
        "The given data source mimetype, {mimetype}, is not one that this server knows how to read."
    ))
}

/// The media type that new data of a family gets.
pub fn default_media_type(family: Family) -> Option<&'static str> {
    match family {
        Family::Array => Some("application/x-zarr"),
        Family::Table => Some("application/x-parquet"),
        _ => None,
    }
}
