//! Directories of Parquet files, as Dask, Spark and Arrow write them.
//!
//! Each file is a partition, in the order in which people sort names. Directories within may be called `key=value`; then
//! the key is a column, as in Hive: whole numbers of 32 bits where all values are such, else text.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int32Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use girih_model::{Asset, Error, Result, ResultExt, TableStructure};
use percent_encoding::percent_decode_str;

use super::Parquet;
use crate::format::partition::encode::BatchWriter;
use crate::format::partition::{Batches, Part, TableFile};
use crate::place::{Draft, Location};
use crate::pool::blocking;
use crate::survey::natural;

/// Most files.
const MAX_FILES: usize = 100_000;
/// Most directories in each other.
const MAX_KEYS: usize = 32;
/// What stands for a missing value.
const MISSING: &str = "__HIVE_DEFAULT_PARTITION__";
const ENDINGS: [&str; 3] = [".parquet", ".parq", ".pq"];

/// The directory, if that is what the data source is.
pub(super) fn of(assets: &[Asset]) -> Option<&Asset> {
    match assets {
        [asset] if asset.is_directory => Some(asset),
        _ => None,
    }
}

/// # Errors
/// `Unprocessable` when files came or went since the directory was registered.
pub(super) fn check(parts: &[Part], structure: &TableStructure) -> Result<()> {
    if parts.len() as u64 == structure.npartitions {
        return Ok(());
    }
    Err(Error::unprocessable(format!(
        "The directory has {} Parquet files by now, but it was registered with {}. Register it again.",
        parts.len(),
        structure.npartitions
    )))
}

/// # Errors
/// `Unprocessable` when there are no Parquet files, or directories do not fit together.
pub(super) async fn parts(directory: Location) -> Result<Vec<Part>> {
    blocking(move || {
        let mut files = directory.list_files_recursive()?;
        files.retain(|path| is_data(path));
        files.sort_by(|a, b| natural(a, b));
        if files.is_empty() || files.len() > MAX_FILES {
            return Err(Error::unprocessable(format!(
                "The directory {:?} has {} Parquet files; a table has between 1 and {MAX_FILES}.",
                directory.name(),
                files.len()
            )));
        }
        let formats = formats(&files)?;
        let parts = files.iter().zip(formats);
        parts.map(|(path, format)| Ok(Part { location: directory.join(path)?, format })).collect()
    })
    .await
}

/// What begins with `_` or `.` says something of the others.
fn is_data(path: &str) -> bool {
    let hidden = path.split('/').any(|part| part.starts_with(['_', '.']));
    !hidden && ENDINGS.iter().any(|ending| path.ends_with(ending))
}

/// How each of the files is read.
fn formats(files: &[String]) -> Result<Vec<Arc<dyn TableFile>>> {
    let keys: Vec<Vec<(String, Option<String>)>> = files.iter().map(|path| keys(path)).collect();
    let names: Vec<&String> = keys.first().into_iter().flatten().map(|(name, _)| name).collect();
    if names.is_empty() && keys.iter().all(Vec::is_empty) {
        return Ok(files.iter().map(|_| Arc::new(Parquet) as Arc<dyn TableFile>).collect());
    }
    if names.len() > MAX_KEYS || keys.iter().any(|keys| keys.iter().map(|(name, _)| name).ne(names.iter().copied())) {
        return Err(Error::unprocessable("The directories of Parquet files have different keys."));
    }
    let columns: Vec<Values> =
        (0..names.len()).map(|n| Values::of(keys.iter().map(|keys| keys[n].1.as_deref()))).collect();
    let formats = (0..files.len()).map(|file| {
        let keys = names.iter().zip(&columns).map(|(name, Values { values, positions })| {
            let data_type = DataType::Dictionary(Box::new(DataType::Int32), Box::new(values.data_type().clone()));
            let field = Arc::new(Field::new(*name, data_type, true));
            Key { field, values: values.clone(), position: positions.get(file).copied().flatten() }
        });
        Arc::new(Keyed(keys.collect())) as Arc<dyn TableFile>
    });
    Ok(formats.collect())
}

/// Of `year=2020/site=x%20y/part-0.parquet`, the keys and their values.
fn keys(path: &str) -> Vec<(String, Option<String>)> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let directories = path.rsplit_once('/').map_or("", |(directories, _)| directories);
    let pairs = directories.split('/').filter_map(|name| name.split_once('='));
    pairs.map(|(name, value)| (decoded(name), (value != MISSING).then(|| decoded(value)))).collect()
}

/// The values of one key.
struct Values {
    /// All that there are, once.
    values: ArrayRef,
    /// Of each file.
    positions: Vec<Option<i32>>,
}

impl Values {
    fn of<'a>(given: impl Iterator<Item = Option<&'a str>>) -> Self {
        let texts: DictionaryArray<Int32Type> = given.collect();
        let positions = texts.keys().iter().collect();
        let distinct = texts.values().clone();
        let text = distinct.as_any().downcast_ref::<StringArray>();
        let numbers =
            text.and_then(|text| text.iter().flatten().map(|text| text.parse().ok()).collect::<Option<Vec<i32>>>());
        let values: ArrayRef = match numbers {
            Some(numbers) if !numbers.is_empty() => Arc::new(Int32Array::from(numbers)),
            _ => distinct,
        };
        Self { values, positions }
    }
}

/// A key of a file, and what it is there.
#[derive(Clone)]
struct Key {
    field: Arc<Field>,
    /// All values that there are.
    values: ArrayRef,
    position: Option<i32>,
}

impl Key {
    fn column(&self, rows: usize) -> Result<ArrayRef> {
        let positions: Int32Array = std::iter::repeat_n(self.position, rows).collect();
        let column = DictionaryArray::try_new(positions, self.values.clone());
        Ok(Arc::new(column.internal(|| "repeating the value of a key".into())?))
    }
}

/// Files of a directory that has keys in its name.
struct Keyed(Vec<Key>);

impl Keyed {
    /// The keys among these columns. What is in the file itself goes first.
    fn missing<'a>(&'a self, file: &'a Schema, wanted: &'a Schema) -> impl Iterator<Item = &'a Key> + 'a {
        let is_missing = |key: &&Key| file.index_of(key.field.name()).is_err();
        self.0.iter().filter(is_missing).filter(|key| wanted.index_of(key.field.name()).is_ok())
    }
}

impl TableFile for Keyed {
    fn extension(&self) -> &'static str {
        Parquet.extension()
    }

    fn check(&self, schema: &Schema) -> Result<()> {
        Parquet.check(schema)
    }

    fn read(&self, file: File, wanted: &SchemaRef, rows: Option<Range<u64>>) -> Result<(SchemaRef, Batches)> {
        let (found, batches) = Parquet.read(file, wanted, rows)?;
        let keys: Vec<Key> = self.missing(&found, wanted).cloned().collect();
        let fields = found.fields().iter().cloned().chain(keys.iter().map(|key| key.field.clone()));
        let schema = Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), found.metadata().clone()));
        let with_keys = schema.clone();
        let batches = batches.map(move |batch| {
            let batch = batch?;
            let mut columns = batch.columns().to_vec();
            for key in &keys {
                columns.push(key.column(batch.num_rows())?);
            }
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            RecordBatch::try_new_with_options(with_keys.clone(), columns, &options)
                .internal(|| "adding the keys of a directory".into())
        });
        Ok((schema, Box::new(batches)))
    }

    fn schema(&self, file: File) -> Result<SchemaRef> {
        let found = Parquet.schema(file)?;
        let keys = self.0.iter().filter(|key| found.index_of(key.field.name()).is_err()).map(|key| key.field.clone());
        let fields: Vec<_> = found.fields().iter().cloned().chain(keys).collect();
        Ok(Arc::new(Schema::new_with_metadata(fields, found.metadata().clone())))
    }

    fn rows(&self, file: File) -> Result<u64> {
        Parquet.rows(file)
    }

    fn has_nulls(&self, file: File, column: &str) -> Result<Option<bool>> {
        match self.0.iter().find(|key| key.field.name() == column) {
            // It may be in the file, too.
            Some(_) => Ok(None),
            None => Parquet.has_nulls(file, column),
        }
    }

    fn write(&self, _: Draft, _: SchemaRef) -> Result<Box<dyn BatchWriter<Draft>>> {
        Err(Error::unsupported("Registered files are never written."))
    }
}

#[cfg(test)]
mod tests;
