//! Writing the file format.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::ipc::writer::{DictionaryHandling, FileWriter, IpcWriteOptions};
use girih_model::{Error, Result};

use super::dictionary::Dictionaries;
use crate::format::partition::encode::BatchWriter;

pub(super) struct IpcWriter<W: Write> {
    file: FileWriter<W>,
    dictionaries: Dictionaries,
}

impl<W: Write + Send> IpcWriter<W> {
    pub(super) fn begin(out: W, schema: &Schema) -> Result<Self> {
        // In a file a dictionary cannot be replaced, but it can grow.
        let options = IpcWriteOptions::default().with_dictionary_handling(DictionaryHandling::Delta);
        let file = FileWriter::try_new_with_options(out, schema, options).map_err(fault)?;
        Ok(Self { file, dictionaries: Dictionaries::new(schema) })
    }
}

impl<W: Write + Send> BatchWriter<W> for IpcWriter<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let batch = self.dictionaries.unify(batch)?;
        self.file.write(&batch).map_err(fault)
    }

    fn out(&mut self) -> &mut W {
        self.file.get_mut()
    }

    fn finish(mut self: Box<Self>) -> Result<W> {
        self.file.finish().map_err(fault)?;
        self.file.into_inner().map_err(fault)
    }
}

fn fault(e: ArrowError) -> Error {
    let full = match &e {
        ArrowError::IoError(_, io) => crate::place::file::of_disk(io),
        ArrowError::InvalidArgumentError(what) if what.contains("Dictionary replacement") => {
            Some(Error::not_acceptable(
                "This table has dictionaries inside of lists or structs that change from row to row, which an Arrow file cannot hold. Choose Parquet instead.",
            ))
        }
        _ => None,
    };
    full.unwrap_or_else(|| Error::internal("Internal server error").context("writing an Arrow file").with_source(e))
}
