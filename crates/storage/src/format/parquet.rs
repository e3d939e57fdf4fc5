//! Apache Parquet: the format in which tables are kept, one file per partition, and one to export to.
//!
//! The Arrow schema travels along in the file's metadata (`ARROW:schema`), so that types that
//! Parquet itself does not have come back as they were. Whole seconds and `date64` are kept as the nearest type that
//! Parquet does have, as all other writers of Parquet do: without one, readers would find bare numbers.

use std::collections::HashSet;
use std::fs::File;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use arrow::array::{RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use bytes::Bytes;
use girih_model::{Asset, ByteStream, Data, DataSource, Error, Family, Result, ResultExt, Structure, TableData};
use moka::sync::Cache;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::schema::types::ColumnPath;

mod directory;
mod pages;
mod write;

use super::guard::guarded;
use super::partition::encode::{BatchWriter, MAX_ROWS, encode};
use super::partition::fit::{self, Fit};
use super::partition::index;
use super::partition::{Batches, PartitionedTable, TableFile, create, inspect, structure_of};
use crate::dataset::Dataset;
use crate::format::{EncodeOptions, Encoded, Files, Format, Inspected};
use crate::place::file::Stamp;
use crate::place::scratch::spool;
use crate::place::{Draft, Location, Places};
use crate::pool::{self, blocking};
use pages::Pages;
use write::ParquetWriter;

/// What a row group may hold, in bytes (encoded): it is built in memory.
const ROW_GROUP_BYTES: usize = 64 << 20;
/// What a batch should measure, in bytes.
const BATCH_BYTES: u64 = 1 << 20;

pub struct Parquet;

#[async_trait]
impl Format for Parquet {
    fn media_type(&self) -> &'static str {
        "application/x-parquet"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["parquet"]
    }

    fn encodes(&self) -> &'static [Family] {
        &[Family::Table]
    }

    fn decodes(&self) -> &'static [Family] {
        &[Family::Table]
    }

    fn suffixes(&self) -> &'static [&'static str] {
        &["parquet"]
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
            return Err(Error::not_acceptable("Parquet holds tables only."));
        };
        self.check(&table.schema).map_err(|e| Error::not_acceptable(e.message()))?;
        let schema = table.schema.clone();
        let writer = blocking(move || ParquetWriter::begin(Vec::new(), schema)).await?;
        Ok(Encoded {
            media_type: self.media_type().to_owned(),
            length: None,
            body: encode(table, Box::new(writer)),
            itemsize: 1,
        })
    }

    async fn decode(&self, body: ByteStream, structure: &Structure) -> Result<Data> {
        let Structure::Table(structure) = structure else {
            return Err(Error::unprocessable("A Parquet body holds a table, but this node is none."));
        };
        let schema = structure.schema().clone();
        let file = spool(body).await?;
        let (schema, batches) = blocking(move || {
            // A body may lack what can be filled in, and have what can be left out: read all.
            let (found, batches) = open(file, None, None).map_err(as_callers_fault)?;
            let schema = index::stored(&found, &fit::refined(&found, &schema));
            let mut fit = Fit::new(&found, &schema)?;
            Ok((schema, batches.map(move |batch| fit.apply(batch.map_err(as_callers_fault)?))))
        })
        .await?;
        Ok(Data::Table(TableData { schema, batches: pool::stream(batches) }))
    }

    async fn open(&self, source: &DataSource, places: &Places) -> Result<Arc<dyn Dataset>> {
        match (&source.structure, directory::of(&source.assets)) {
            (Structure::Table(structure), Some(asset)) => {
                let parts = directory::parts(places.locate(&asset.data_uri)?).await?;
                directory::check(&parts, structure)?;
                Ok(PartitionedTable::of_parts(parts, structure.clone()))
            }
            _ => PartitionedTable::open(Arc::new(Parquet), source, places).await,
        }
    }

    /// Files, each a partition, or a directory of them.
    async fn inspect(&self, files: &Files, places: &Places) -> Result<Inspected> {
        let parts = match directory::of(&files.assets) {
            Some(asset) => directory::parts(places.locate(&asset.data_uri)?).await?,
            None => return inspect(Arc::new(Parquet), files, places).await,
        };
        let structure = blocking(move || structure_of(&parts)).await?;
        Ok(Structure::Table(structure).into())
    }

    async fn create(&self, location: &Location, structure: &Structure) -> Result<Vec<Asset>> {
        create(self, location, structure)
    }
}

impl TableFile for Parquet {
    fn extension(&self) -> &'static str {
        "parquet"
    }

    fn check(&self, schema: &Schema) -> Result<()> {
        for field in schema.fields() {
            let data_type = field.data_type();
            let holds = !has_union(data_type) && guarded(|| comes_back(data_type)).is_some_and(|back| back.is_ok());
            if !holds {
                return Err(Error::unprocessable(format!(
                    "The column {:?} has the type {}, which Parquet does not have. Use application/vnd.apache.arrow.file instead.",
                    field.name(),
                    field.data_type()
                )));
            }
        }
        Ok(())
    }

    fn read(&self, file: File, wanted: &SchemaRef, rows: Option<Range<u64>>) -> Result<(SchemaRef, Batches)> {
        open(file, Some(&fit::names(wanted)), rows)
    }

    fn schema(&self, file: File) -> Result<SchemaRef> {
        Ok(footer(&file)?.schema().clone())
    }

    fn rows(&self, file: File) -> Result<u64> {
        Ok(footer(&file)?.metadata().file_metadata().num_rows().max(0).unsigned_abs())
    }

    fn has_nulls(&self, file: File, column: &str) -> Result<Option<bool>> {
        let footer = footer(&file)?;
        let path = ColumnPath::new(vec![column.to_owned()]);
        let Some(leaf) = footer.parquet_schema().columns().iter().position(|leaf| *leaf.path() == path) else {
            return Ok(None);
        };
        let groups = footer.metadata().row_groups().iter();
        let counts = groups.map(|group| group.columns().get(leaf)?.statistics()?.null_count_opt());
        let any = counts.map(|count| count.map(|count| count > 0)).collect::<Option<Vec<bool>>>();
        Ok(any.map(|any| any.contains(&true)))
    }

    fn write(&self, draft: Draft, schema: SchemaRef) -> Result<Box<dyn BatchWriter<Draft>>> {
        Ok(Box::new(ParquetWriter::begin(draft, schema)?))
    }
}

/// Writes a value of this type and reads it again.
fn comes_back(data_type: &DataType) -> Result<()> {
    let schema = Arc::new(Schema::new(vec![Field::new("x", kept(data_type), true)]));
    let missing = new_null_array(schema.field(0).data_type(), 1);
    let batch = RecordBatch::try_new(schema.clone(), vec![missing]).internal(|| "making a row".into())?;
    let mut writer = ParquetWriter::begin(Vec::new(), schema.clone())?;
    writer.write(&batch)?;
    let mut reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(Box::new(writer).finish()?))
        .and_then(ParquetRecordBatchReaderBuilder::build)
        .or_error(|e| damaged(e))?;
    let read = reader.next().transpose().or_error(|e| damaged(e))?;
    if read.is_none_or(|read| read.column(0).data_type() != schema.field(0).data_type()) {
        return Err(damaged(&"it has another type"));
    }
    Ok(())
}

/// The type in the file.
fn kept(data_type: &DataType) -> DataType {
    let inner = |field: &FieldRef| Arc::new(field.as_ref().clone().with_data_type(kept(field.data_type())));
    match data_type {
        DataType::Timestamp(TimeUnit::Second, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
        DataType::Time32(TimeUnit::Second) => DataType::Time32(TimeUnit::Millisecond),
        DataType::Date64 => DataType::Date32,
        DataType::List(field) => DataType::List(inner(field)),
        DataType::LargeList(field) => DataType::LargeList(inner(field)),
        DataType::FixedSizeList(field, len) => DataType::FixedSizeList(inner(field), *len),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        DataType::Map(field, sorted) => DataType::Map(inner(field), *sorted),
        _ => data_type.clone(),
    }
}

/// The parquet crate panics on these.
fn has_union(data_type: &DataType) -> bool {
    match data_type {
        DataType::Union(..) => true,
        DataType::Dictionary(_, value) => has_union(value),
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _)
        | DataType::RunEndEncoded(_, field) => has_union(field.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_union(field.data_type())),
        _ => false,
    }
}

fn damaged(e: &dyn std::fmt::Display) -> Error {
    Error::damaged(format!("A Parquet file of this table is damaged: {e}"))
}

fn as_callers_fault(e: Error) -> Error {
    Error::unprocessable("The body is not a Parquet file that can be read.").with_source(e)
}

/// Most bytes of footers that are kept.
const FOOTERS: u64 = 16 << 20;

static KNOWN: LazyLock<Cache<Stamp, ArrowReaderMetadata>> = LazyLock::new(|| {
    let weigh =
        |_: &Stamp, footer: &ArrowReaderMetadata| u32::try_from(footer.metadata().memory_size()).unwrap_or(u32::MAX);
    Cache::builder().max_capacity(FOOTERS).weigher(weigh).build()
});

/// What the file says of itself at its end, read now or lately.
fn footer(file: &File) -> Result<ArrowReaderMetadata> {
    let stamp = Stamp::of(file);
    if let Some(footer) = stamp.and_then(|stamp| KNOWN.get(&stamp)) {
        return Ok(footer);
    }
    let footer = decoded(|| ArrowReaderMetadata::load(file, ArrowReaderOptions::new()))?;
    if let Some(stamp) = stamp {
        KNOWN.insert(stamp, footer.clone());
    }
    Ok(footer)
}

fn open(file: File, columns: Option<&[&str]>, rows: Option<Range<u64>>) -> Result<(SchemaRef, Batches)> {
    let footer = footer(&file)?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(Pages(file), footer);
    let metadata = builder.metadata();
    let sizes = metadata.row_groups().iter().map(|group| group.total_byte_size().max(0).unsigned_abs());
    let bytes = sizes.fold(0, u64::saturating_add);
    let per_row = bytes / metadata.file_metadata().num_rows().max(1).unsigned_abs();
    let mut batch_rows = (BATCH_BYTES / per_row.max(1)).clamp(256, MAX_ROWS as u64) as usize;
    // The reader forgets it.
    let about = builder.schema().metadata().clone();
    let mut builder = builder;
    if let Some(columns) = columns {
        let columns: HashSet<&str> = columns.iter().copied().collect();
        let wanted = builder.schema().fields().iter().enumerate();
        let wanted = wanted.filter(|(_, field)| columns.contains(field.name().as_str())).map(|(n, _)| n);
        let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
        builder = builder.with_projection(mask);
    }
    if let Some(rows) = rows {
        let count = rows.end.saturating_sub(rows.start) as usize;
        batch_rows = batch_rows.min(count.max(1));
        builder = builder.with_offset(rows.start as usize).with_limit(count);
    }
    let mut reader = decoded(|| builder.with_batch_size(batch_rows).build())?;
    let fields = arrow::array::RecordBatchReader::schema(&reader).fields().clone();
    let schema = Arc::new(Schema::new_with_metadata(fields, about));
    Ok((schema, Box::new(std::iter::from_fn(move || decoded(|| reader.next().transpose()).transpose()))))
}

/// The decoder panics on odd input, such as an unknown time unit in the embedded Arrow schema.
fn decoded<T, E: std::error::Error + Send + Sync + 'static>(decode: impl FnOnce() -> Result<T, E>) -> Result<T> {
    guarded(decode).ok_or_else(|| damaged(&"it contradicts itself"))?.or_error(|e| damaged(e))
}

#[cfg(test)]
mod tests {
    use girih_model::{ErrorKind, TableStructure};
    use parquet::basic::{LogicalType, TimeUnit as Unit};

    use super::*;

    #[test]
    fn types_that_parquet_lacks_are_named() {
        let union = arrow::datatypes::UnionFields::from_fields(vec![Field::new("a", DataType::Int8, true)]);
        let union = DataType::Union(union, arrow::datatypes::UnionMode::Sparse);
        let list = DataType::new_list(union, true);
        let empty = DataType::Struct(arrow::datatypes::Fields::empty());
        let interval = DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano);
        let numbers = DataType::new_list(DataType::Int8, true);
        let categories = DataType::Dictionary(Box::new(DataType::Int8), Box::new(numbers));
        let runs = DataType::RunEndEncoded(
            Arc::new(Field::new("run_ends", DataType::Int32, false)),
            Arc::new(Field::new("values", DataType::Int8, true)),
        );
        for data_type in [list, empty, interval, categories, runs] {
            let schema = Schema::new(vec![Field::new("odd", data_type, true)]);
            let e = Parquet.check(&schema).unwrap_err();
            assert!(e.kind() == ErrorKind::Unprocessable && e.message().contains("\"odd\""), "{e}");
        }
    }

    #[test]
    fn times_are_times_for_every_reader() {
        let wanted = [
            (DataType::Timestamp(TimeUnit::Second, Some("UTC".into())), LogicalType::timestamp(true, Unit::MILLIS)),
            (DataType::Time32(TimeUnit::Second), LogicalType::time(false, Unit::MILLIS)),
            (DataType::Date64, LogicalType::Date),
        ];
        for (data_type, expected) in wanted {
            let writer =
                ParquetWriter::begin(Vec::new(), Arc::new(Schema::new(vec![Field::new("a", data_type.clone(), true)])));
            let file = Bytes::from(Box::new(writer.unwrap()).finish().unwrap());
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            assert_eq!(reader.parquet_schema().column(0).logical_type_ref(), Some(&expected), "{data_type}");
        }
    }

    #[tokio::test]
    async fn what_is_no_parquet_is_refused() {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int8, true)]));
        let structure = Structure::Table(TableStructure::new(schema, 1));
        for body in ["", "PAR1", "PAR1PAR1PAR1", "hello world, this is text"] {
            let body = futures::stream::iter([Ok(bytes::Bytes::from(body))]);
            let e = Parquet.decode(Box::pin(body), &structure).await.err().expect("a refusal");
            assert_eq!(e.kind(), ErrorKind::Unprocessable);
        }
    }

    /// arrow panics on some of these.
    #[tokio::test]
    async fn no_embedded_schema_makes_it_panic() {
        use arrow::array::{RecordBatch, TimestampNanosecondArray};
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        use parquet::arrow::ARROW_SCHEMA_META_KEY;
        use parquet::arrow::ArrowWriter;
        use parquet::arrow::arrow_writer::ArrowWriterOptions;
        use parquet::file::metadata::KeyValue;
        use parquet::file::properties::WriterProperties;
        let column = Arc::new(TimestampNanosecondArray::from(vec![1]));
        let batch = RecordBatch::try_from_iter([("at", column as arrow::array::ArrayRef)]).unwrap();
        let table = TableStructure::new(batch.schema(), 1);
        let uri = table.arrow_schema.to_uri();
        let message = STANDARD.decode(uri.split_once("base64,").unwrap().1).unwrap();
        let structure = Structure::Table(table);
        for at in 8..message.len() {
            let mut message = message.clone();
            message[at] ^= 0xff;
            let embedded = KeyValue::new(ARROW_SCHEMA_META_KEY.into(), STANDARD.encode(message));
            let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![embedded])).build();
            let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
            let mut writer = ArrowWriter::try_new_with_options(Vec::new(), batch.schema(), options).unwrap();
            writer.write(&batch).unwrap();
            let body = futures::stream::iter([Ok(bytes::Bytes::from(writer.into_inner().unwrap()))]);
            if let Err(e) = Parquet.decode(Box::pin(body), &structure).await {
                assert_eq!(e.kind(), ErrorKind::Unprocessable, "{at}: {e}");
            }
        }
    }
}
