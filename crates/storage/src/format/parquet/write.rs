//! Batches into a Parquet file.

use std::io;
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use girih_model::{Error, Result};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::{ROW_GROUP_BYTES, kept};
use crate::format::partition::encode::BatchWriter;
use crate::format::partition::fit::Fit;
use crate::place::file::of_disk;

pub(super) struct ParquetWriter<W: io::Write + Send> {
    writer: ArrowWriter<Heard<W>>,
    fit: Fit,
    heard: Arc<OnceLock<i32>>,
}

/// A writer that remembers what the system said: the library below tells some faults as text only.
struct Heard<W> {
    out: W,
    /// The first error number.
    fault: Arc<OnceLock<i32>>,
}

impl<W> Heard<W> {
    fn noted<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|e| {
            let _ = e.raw_os_error().map(|number| self.fault.set(number));
        })
    }
}

impl<W: io::Write> io::Write for Heard<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes);
        self.noted(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.noted(flushed)
    }
}

impl<W: io::Write + Send> ParquetWriter<W> {
    pub(super) fn begin(out: W, schema: SchemaRef) -> Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
            .build();
        let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_data_type(kept(field.data_type())));
        let in_file = Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()));
        let fit = Fit::new(&schema, &in_file)?;
        let heard = Arc::default();
        let out = Heard { out, fault: Arc::clone(&heard) };
        let writer = ArrowWriter::try_new(out, in_file, Some(properties)).map_err(|e| write_fault(e, &heard))?;
        Ok(Self { writer, fit, heard })
    }
}

impl<W: io::Write + Send> BatchWriter<W> for ParquetWriter<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(&self.fit.apply(batch.clone())?).map_err(|e| write_fault(e, &self.heard))
    }

    fn out(&mut self) -> &mut W {
        &mut self.writer.inner_mut().out
    }

    fn finish(self: Box<Self>) -> Result<W> {
        let heard = self.heard;
        self.writer.into_inner().map(|heard| heard.out).map_err(|e| write_fault(e, &heard))
    }
}

fn write_fault(e: ParquetError, heard: &OnceLock<i32>) -> Error {
    let disk = heard.get().and_then(|number| of_disk(&io::Error::from_raw_os_error(*number)));
    disk.unwrap_or_else(|| Error::internal("Internal server error")).context("writing Parquet").with_source(e)
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};
    use girih_model::ErrorKind;
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_full_or_failing_disk_is_told() {
        /// Takes some bytes, and no more.
        struct Disk(usize, i32);
        impl io::Write for Disk {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 = self.0.checked_sub(bytes.len()).ok_or(io::Error::from_raw_os_error(self.1))?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100_000));
        let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
        for (errno, kind) in [
            (Errno::NOSPC, ErrorKind::StorageFull),
            (Errno::IO, ErrorKind::StorageFailed),
            (Errno::INVAL, ErrorKind::Internal),
        ] {
            for room in [0, 100, 10_000, 400_000] {
                let disk = Disk(room, errno.raw_os_error());
                let written = ParquetWriter::begin(disk, batch.schema()).and_then(|mut writer| {
                    writer.write(&batch)?;
                    Box::new(writer).finish()
                });
                assert_eq!(written.err().map(|e| e.kind()), Some(kind), "{errno:?} after {room} bytes");
            }
        }
    }
}
