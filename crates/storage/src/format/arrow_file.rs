//! Arrow IPC ("Feather version 2"): the format in which tables travel, and one in which they can be kept.
//!
//! Written is the file format; read are the file and the stream format (Arrow columnar format,
//! "Serialization and Interprocess Communication"). Bodies come from strangers: [`message`] checks
//! them before arrow looks at them.

mod dictionary;
mod message;
mod read;
mod write;

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use girih_model::{Asset, ByteStream, Data, DataSource, Error, Family, Result, Structure, TableData};

use super::partition::encode::{BatchWriter, encode};
use super::partition::fit::{self, Fit};
use super::partition::index;
use super::partition::{Batches, PartitionedTable, TableFile, create, inspect};
use crate::dataset::Dataset;
use crate::format::{EncodeOptions, Encoded, Files, Format, Inspected};
use crate::place::scratch::spool;
use crate::place::{Draft, Location, Places};
use crate::pool::{self, blocking};
use message::Budget;
use write::IpcWriter;

pub struct ArrowFile;

#[async_trait]
impl Format for ArrowFile {
    fn media_type(&self) -> &'static str {
        "application/vnd.apache.arrow.file"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["arrow", "feather"]
    }

    fn encodes(&self) -> &'static [Family] {
        &[Family::Table]
    }

    fn decodes(&self) -> &'static [Family] {
        &[Family::Table]
    }

    fn suffixes(&self) -> &'static [&'static str] {
        &["arrow", "feather"]
    }

    fn lists_files(&self) -> bool {
        true
    }

    fn opens(&self) -> &'static [Family] {
        &[Family::Table]
    }

    fn creates(&self) -> &'static [Family] {
        &[Family::Table]
    }

    async fn encode(&self, data: Data, _options: &EncodeOptions) -> Result<Encoded> {
        let Data::Table(table) = data else {
            return Err(Error::not_acceptable("Arrow files hold tables only."));
        };
        let writer = IpcWriter::begin(Vec::new(), &table.schema)?;
        Ok(Encoded {
            media_type: self.media_type().to_owned(),
            length: None,
            body: encode(table, Box::new(writer)),
            itemsize: 1,
        })
    }

    async fn decode(&self, body: ByteStream, structure: &Structure) -> Result<Data> {
        let Structure::Table(structure) = structure else {
            return Err(Error::unprocessable("An Arrow body holds a table, but this node is none."));
        };
        let schema = structure.schema().clone();
        let file = spool(body).await?;
        let (schema, batches) = blocking(move || {
            let (found, batches) = read::open(file, None, None, Budget::for_body())?;
            let schema = index::stored(&found, &fit::refined(&found, &schema));
            let mut fit = Fit::new(&found, &schema)?;
            Ok((schema, batches.map(move |batch| fit.apply(batch?))))
        })
        .await?;
        Ok(Data::Table(TableData { schema, batches: pool::stream(batches) }))
    }

    async fn open(&self, source: &DataSource, places: &Places) -> Result<Arc<dyn Dataset>> {
        PartitionedTable::open(Arc::new(ArrowFile), source, places).await
    }

    async fn inspect(&self, files: &Files, places: &Places) -> Result<Inspected> {
        inspect(Arc::new(ArrowFile), files, places).await
    }

    async fn create(&self, location: &Location, structure: &Structure) -> Result<Vec<Asset>> {
        create(self, location, structure)
    }
}

impl TableFile for ArrowFile {
    fn extension(&self) -> &'static str {
        "arrow"
    }

    fn check(&self, schema: &Schema) -> Result<()> {
        IpcWriter::begin(Vec::new(), schema).map(drop)
    }

    fn read(&self, file: File, wanted: &SchemaRef, rows: Option<Range<u64>>) -> Result<(SchemaRef, Batches)> {
        let damaged = |e: Error| Error::damaged("An Arrow file of this table is damaged.").with_source(e);
        let (schema, batches) =
            read::open(file, Some(&fit::names(wanted)), rows, Budget::unlimited()).map_err(damaged)?;
        Ok((schema, Box::new(batches.map(move |batch| batch.map_err(damaged)))))
    }

    fn schema(&self, file: File) -> Result<SchemaRef> {
        read::schema(file).map(Arc::new)
    }

    fn rows(&self, file: File) -> Result<u64> {
        read::rows(&file)
    }

    fn write(&self, draft: Draft, schema: SchemaRef) -> Result<Box<dyn BatchWriter<Draft>>> {
        Ok(Box::new(IpcWriter::begin(draft, &schema)?))
    }
}

#[cfg(test)]
mod tests;
