//! HDF5 files ("HDF5 File Format Specification", version 3.0): tables and whole containers out, datasets read where they
//! lie ([`read`]).
//!
//! A file is written front to back, whatever its size: superblock, metadata of all objects, data.
//! Before the first byte all structures are known and every table has been looked through once, so
//! every address is known beforehand; arrays are read only when their turn comes.

use std::sync::Arc;

use async_trait::async_trait;
use girih_model::{Data, DataSource, Family, Result};

use super::partition::index::columns_only;
use super::{EncodeOptions, Encoded, Files, Format, Inspected};
use crate::dataset::Dataset;
use crate::place::Places;

mod array;
mod attribute;
mod checksum;
mod column;
mod datatype;
mod dtype;
mod external;
mod filters;
mod group;
mod header;
mod heap;
mod image;
mod plan;
mod read;
mod replay;
mod series;
mod storage;
mod table;
#[cfg(test)]
mod tests;
mod tree;

use plan::Plan;

const MEDIA_TYPE: &str = "application/x-hdf5";

/// - A container is a group, its children in their order (by name, where there are more than 2048).
/// - An array is a contiguous dataset; what its dtype becomes is told in `datatype.rs`.
/// - A table is a group with one dataset for each column (see `column.rs`); a table that is exported
///   alone has its columns at the root.
/// - Metadata are attributes (see `attribute.rs`).
/// - A node of another family is an empty group with its metadata.
pub struct Hdf5;

#[async_trait]
impl Format for Hdf5 {
    fn media_type(&self) -> &'static str {
        MEDIA_TYPE
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["h5", "hdf5"]
    }

    fn encodes(&self) -> &'static [Family] {
        &[Family::Container, Family::Table]
    }

    fn opens(&self) -> &'static [Family] {
        &[Family::Array, Family::Container]
    }

    fn suffixes(&self) -> &'static [&'static str] {
        &["h5", "hdf5", "hdf", "nxs", "nx5", "nexus"]
    }

    async fn inspect(&self, files: &Files, places: &Places) -> Result<Inspected> {
        read::inspect(files, places).await
    }

    async fn open(&self, source: &DataSource, places: &Places) -> Result<Arc<dyn Dataset>> {
        read::open(source, places).await
    }

    /// # Errors
    /// `NotAcceptable` for what HDF5 cannot hold: arrays of more than 32 axes, structured dtypes or
    /// names of more than 64 KiB.
    async fn encode(&self, data: Data, options: &EncodeOptions) -> Result<Encoded> {
        let limit = options.memory_limit;
        let plan = match data {
            Data::Table(table) => {
                let table = columns_only(table);
                let schema = table.schema.clone();
                Plan::of_table(options.metadata.clone(), &schema, replay::keep(table).await?).await?
            }
            Data::Tree(tree) => Plan::of_tree(tree.metadata, tree.entries, limit).await?,
            Data::Array(_) => return Err(self.cannot_encode(data.family())),
        };
        let (body, length) = crate::pool::blocking(move || plan.body(limit)).await?;
        Ok(Encoded { media_type: MEDIA_TYPE.into(), length: Some(length), body, itemsize: 1 })
    }
}
