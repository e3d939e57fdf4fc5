//! Replacing the rows of a partition, and adding to them.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use futures::stream::TryStreamExt;
use girih_model::{Error, Result, TableData};

use super::encode::BatchWriter;
use super::fit::Fit;
use super::index::RowIndex;
use super::{TableFile, deleted, file_index, read_file, write_batch};
use crate::place::file::{WriteId, with_write};
use crate::place::{Draft, Location, Turn};
use crate::pool::{INTAKE, blocking};

pub(super) async fn replace(
    format: Arc<dyn TableFile>,
    location: &Location,
    schema: SchemaRef,
    mut fit: Fit,
    mut table: TableData,
) -> Result<()> {
    let place = location.clone();
    let mut writer = blocking(move || format.write(place.draft()?.sealed(Vec::new()), schema)).await?;
    while let Some(batch) = table.batches.try_next().await? {
        (writer, fit) = blocking(move || {
            write_batch(&mut *writer, fit.apply(batch)?)?;
            Ok((writer, fit))
        })
        .await?;
    }
    let draft = blocking(move || writer.finish()?.synced()).await?;
    let _turn = turn(location).await?;
    blocking(move || draft.publish_durable()).await
}

/// Adds rows by writing the file anew, unless the write of this name has added them already. The rows are taken in
/// before the partition is locked: a slow sender holds up nobody.
pub(super) async fn append(
    format: Arc<dyn TableFile>,
    location: &Location,
    declared: &SchemaRef,
    schema: SchemaRef,
    mut fit: Fit,
    mut table: TableData,
    id: Option<WriteId>,
) -> Result<()> {
    let mut batches = Vec::new();
    let (mut bytes, mut rows) = (0, 0);
    while let Some(batch) = table.batches.try_next().await? {
        let (batch, fitted) = blocking(move || fit.apply(batch).map(|batch| (batch, fit))).await?;
        fit = fitted;
        let size = memory_size(&batch);
        bytes += size;
        if bytes > MAX_APPEND {
            return Err(Error::too_large(format!(
                "At most {MAX_APPEND} bytes of rows can be appended at once. Append them in several requests."
            )));
        }
        rows += batch.num_rows() as u64;
        batches.push((batch, INTAKE.take(size).await?));
    }
    let _turn = turn(location).await?;
    let merged = blocking({
        let (format, location, declared) = (format.clone(), location.clone(), declared.clone());
        move || merged(&*format, &location, &declared, &schema, rows).map(|merged| (merged, schema))
    });
    let (merged, schema) = merged.await?;
    let mut fit = Fit::new(&schema, &merged)?;
    let location = location.clone();
    blocking(move || {
        let writes = location.writes()?;
        if id.is_some_and(|id| writes.contains(&id)) {
            return Ok(());
        }
        let mut writer = begin_with_rows(&*format, &location, &merged, with_write(writes, id))?;
        for (batch, _room) in batches {
            write_batch(&mut *writer, fit.apply(batch)?)?;
        }
        writer.finish()?.publish_durable()
    })
    .await
}

/// The partitions of a table take turns: what is done in one is short, and an order among them harms nobody.
async fn turn(location: &Location) -> Result<Turn> {
    let directory = location.parent().ok_or_else(|| Error::internal("a file lies in no directory"))?;
    directory.turn().await.map_err(deleted)
}

/// Begins a file with the rows that are there.
fn begin_with_rows(
    format: &dyn TableFile,
    location: &Location,
    schema: &SchemaRef,
    writes: Vec<WriteId>,
) -> Result<Box<dyn BatchWriter<Draft>>> {
    let draft = || location.draft().map(|draft| draft.sealed(writes.clone()));
    if let Some(old) = location.open_verified()?
        && let Some(writer) = format.extend(old, draft()?, schema)?
    {
        return Ok(writer);
    }
    let mut writer = format.write(draft()?, schema.clone())?;
    for batch in read_file(format, location, schema, None)? {
        writer.write(&batch?)?;
    }
    Ok(writer)
}

/// The schema of a file to which `rows` rows of the schema `new` have been appended.
fn merged(
    format: &dyn TableFile,
    location: &Location,
    declared: &SchemaRef,
    new: &SchemaRef,
    rows: u64,
) -> Result<SchemaRef> {
    if !format.keeps_metadata() || RowIndex::of(declared).has_columns() {
        return Ok(new.clone());
    }
    Ok(match file_index(format, location, declared)? {
        None | Some((_, 0)) => new.clone(),
        Some((index, _)) => {
            let index = index.extended(&RowIndex::of(new), rows);
            index.without(|name| declared.index_of(name).is_ok()).attach(declared)
        }
    })
}

/// Bytes of these rows alone: a batch may be a slice of a larger one.
fn memory_size(batch: &RecordBatch) -> usize {
    let sizes = batch.columns().iter().map(|array| array.to_data().get_slice_memory_size());
    sizes.map(|size| size.unwrap_or(usize::MAX)).fold(0, usize::saturating_add)
}

/// Most bytes of rows that are appended at once.
const MAX_APPEND: usize = 256 << 20;
