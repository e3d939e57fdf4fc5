//! A table that comes once, made readable again and again: it is kept in a scratch file.

use std::fs::File;
use std::io::{BufReader, BufWriter, Seek};
use std::sync::Arc;

use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use futures::stream::{self, StreamExt, TryStreamExt};
use girih_model::{Error, Result, ResultExt, TableData};

use super::table::Source;
use crate::place::scratch;
use crate::pool::blocking;

/// # Errors
/// Those of the batches; `StorageFull` when there is no room for scratch files.
pub(super) async fn keep(table: TableData) -> Result<Source> {
    let schema = table.schema;
    let mut batches = table.batches;
    let mut writer =
        blocking(move || StreamWriter::try_new(BufWriter::new(scratch::create()?), &schema).map_err(fault)).await?;
    while let Some(batch) = batches.try_next().await? {
        writer = blocking(move || {
            writer.write(&batch).map_err(fault)?;
            Ok(writer)
        })
        .await?;
    }
    let file = blocking(move || {
        let out = writer.into_inner().map_err(fault)?;
        out.into_inner().map_err(|e| scratch::fault(e.into_error()))
    })
    .await?;
    let file = Arc::new(file);
    Ok(Arc::new(move || {
        let file = file.clone();
        Box::pin(async move {
            let reader = blocking(move || open(&file)).await?;
            let batches = stream::try_unfold(reader, |mut reader| async {
                let (batch, reader) = blocking(move || Ok((reader.next().transpose().map_err(fault)?, reader))).await?;
                Ok(batch.map(|batch| (batch, reader)))
            });
            Ok(batches.boxed())
        })
    }))
}

/// One reader at a time: they share the position in the file.
fn open(file: &File) -> Result<StreamReader<BufReader<File>>> {
    let mut file = file.try_clone().map_err(scratch::fault)?;
    file.rewind().map_err(scratch::fault)?;
    StreamReader::try_new(BufReader::new(file), None).map_err(fault)
}

fn fault(e: arrow::error::ArrowError) -> Error {
    match e {
        arrow::error::ArrowError::IoError(_, e) => scratch::fault(e),
        other => Err::<(), _>(other).internal(|| "keeping a table in a scratch file".into()).expect_err("an error"),
    }
}
