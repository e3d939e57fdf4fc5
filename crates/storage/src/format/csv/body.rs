//! Bodies of CSV read into a table of a known schema.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, StringBuilder};
use arrow::compute::{CastOptions, can_cast_types, cast_with_options};
use arrow::datatypes::{DataType, SchemaRef};
use futures::stream::{self, StreamExt, TryStreamExt};
use girih_model::{ByteStream, Error, Result, ResultExt, TableData, TableStructure};

use super::records::{Record, Splitter};
use crate::pool;

/// A batch is full with this many rows or bytes of text.
const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: usize = 8 << 20;

/// Streams batches of the structure's schema.
pub(super) fn decode(body: ByteStream, structure: &TableStructure) -> Result<TableData> {
    let schema = structure.schema().clone();
    for field in schema.fields() {
        if !can_cast_types(&DataType::Utf8, field.data_type()) {
            return Err(Error::unprocessable(format!(
                "The column {:?} has the type {}, which CSV cannot hold. Send application/vnd.apache.arrow.file instead.",
                field.name(),
                field.data_type()
            )));
        }
    }
    let reader = Reader::new(schema.clone());
    let batches = stream::try_unfold(Some((body, reader)), |state| async move {
        let Some((mut body, mut reader)) = state else { return Ok(None) };
        let piece = body.try_next().await?;
        pool::blocking(move || {
            let mut full = Vec::new();
            let Some(piece) = piece else {
                reader.finish(&mut full)?;
                return Ok(Some((full, None)));
            };
            reader.push(&piece, &mut full)?;
            Ok(Some((full, Some((body, reader)))))
        })
        .await
    });
    let batches = batches.map_ok(|full| stream::iter(full.into_iter().map(Ok))).try_flatten();
    Ok(TableData { schema, batches: batches.boxed() })
}

struct Reader {
    splitter: Splitter,
    rows: Rows,
}

/// Rows of a batch that is being filled, as text.
struct Rows {
    schema: SchemaRef,
    columns: Vec<StringBuilder>,
    /// Line of each row, for messages.
    lines: Vec<u64>,
    bytes: usize,
    /// Which field of a record belongs to which column, once the first record has been seen.
    order: Option<Vec<usize>>,
}

impl Reader {
    fn new(schema: SchemaRef) -> Self {
        let columns = schema.fields().iter().map(|_| StringBuilder::new()).collect();
        Self { splitter: Splitter::new(), rows: Rows { schema, columns, lines: Vec::new(), bytes: 0, order: None } }
    }

    fn push(&mut self, piece: &[u8], full: &mut Vec<RecordBatch>) -> Result<()> {
        let rows = &mut self.rows;
        self.splitter.push(piece, &mut |record, line| rows.push(record, line, full))
    }

    fn finish(mut self, full: &mut Vec<RecordBatch>) -> Result<()> {
        let rows = &mut self.rows;
        self.splitter.finish(&mut |record, line| rows.push(record, line, full))?;
        if !rows.lines.is_empty() {
            full.push(rows.take()?);
        }
        Ok(())
    }
}

impl Rows {
    fn push(&mut self, record: &Record, line: u64, full: &mut Vec<RecordBatch>) -> Result<()> {
        if self.order.is_none() {
            let header = header(record, &self.schema);
            let is_header = header.is_some();
            self.order = Some(header.unwrap_or_else(|| (0..self.columns.len()).collect()));
            if is_header {
                return Ok(());
            }
        }
        if record.len() != self.columns.len() {
            return Err(Error::unprocessable(format!(
                "Line {line} of the CSV body has {} fields, but the table has {} columns.",
                record.len(),
                self.columns.len()
            )));
        }
        let order = self.order.iter().flatten();
        for ((n, builder), field) in order.zip(&mut self.columns).zip(self.schema.fields()) {
            let (bytes, quoted) = record.field(*n).unwrap_or_default();
            let text = std::str::from_utf8(bytes).or_error(|_| {
                Error::unprocessable(format!(
                    "The column {:?} at line {line} of the CSV body is not UTF-8.",
                    field.name()
                ))
            })?;
            if text.is_empty() && !(quoted && is_text(field.data_type())) {
                if !field.is_nullable() && !is_text(field.data_type()) {
                    return Err(Error::unprocessable(format!(
                        "The column {:?} at line {line} of the CSV body is empty, but this column cannot have missing values.",
                        field.name()
                    )));
                }
                if field.is_nullable() { builder.append_null() } else { builder.append_value("") }
            } else {
                builder.append_value(text);
            }
            self.bytes += text.len();
        }
        self.lines.push(line);
        if self.lines.len() == BATCH_ROWS || self.bytes > BATCH_BYTES {
            full.push(self.take()?);
        }
        Ok(())
    }

    /// Casts the rows to the schema.
    fn take(&mut self) -> Result<RecordBatch> {
        let texts: Vec<StringArray> = self.columns.iter_mut().map(StringBuilder::finish).collect();
        let lines = std::mem::take(&mut self.lines);
        self.bytes = 0;
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(texts.len());
        for (text, field) in texts.into_iter().zip(self.schema.fields()) {
            let options = CastOptions { safe: true, ..CastOptions::default() };
            let column = cast_with_options(&text, field.data_type(), &options)
                .or_error(|e| Error::unprocessable(format!("The column {:?} cannot be read: {e}", field.name())))?;
            if column.null_count() > text.null_count()
                && let Some(row) = (0..text.len()).find(|row| column.is_null(*row) && text.is_valid(*row))
            {
                return Err(Error::unprocessable(format!(
                    "The column {:?} at line {} of the CSV body is {:?}, which is not a value of the type {}.",
                    field.name(),
                    lines[row],
                    text.value(row),
                    field.data_type()
                )));
            }
            columns.push(column);
        }
        RecordBatch::try_new(self.schema.clone(), columns).internal(|| "putting columns of CSV together".into())
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// For each column its field, if this record is exactly the names of the columns.
fn header(record: &Record, schema: &SchemaRef) -> Option<Vec<usize>> {
    if record.len() != schema.fields().len() {
        return None;
    }
    let names = (0..record.len()).filter_map(|n| record.field(n).map(|(name, _)| (without_bom(name, n), n)));
    let numbers: HashMap<&[u8], usize> = names.collect();
    schema.fields().iter().map(|field| numbers.get(field.name().as_bytes()).copied()).collect()
}

/// Some programs begin UTF-8 files with a byte-order mark.
fn without_bom(name: &[u8], n: usize) -> &[u8] {
    name.strip_prefix(b"\xef\xbb\xbf").filter(|_| n == 0).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{Field, Schema, TimeUnit};
    use bytes::Bytes;
    use girih_model::ErrorKind;

    use std::sync::Arc;

    use super::*;
    use crate::format::conversion::{block_on, gather};
    use crate::format::csv::table;

    fn structure() -> TableStructure {
        let schema = Schema::new(vec![
            Field::new("a", DataType::Int64, true),
            Field::new("b", DataType::Utf8, true),
            Field::new("c", DataType::Float64, true),
            Field::new("d", DataType::Timestamp(TimeUnit::Millisecond, None), true),
            Field::new("e", DataType::Boolean, true),
        ]);
        TableStructure::new(Arc::new(schema), 1)
    }

    /// Reads a body and writes it again.
    fn again(text: &str) -> Result<String> {
        let pieces: Vec<_> = text.as_bytes().chunks(7).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        block_on(async {
            let table = decode(stream::iter(pieces).boxed(), &structure())?;
            Ok(String::from_utf8(gather(table::encode(table, true)).await?).unwrap())
        })
    }

    const BODY: &str =
        "a,b,c,d,e\n1,x,0.1,2020-01-01 00:00:00.000,True\n,,,,\n-3,\"y,\",1e+20,1969-12-31 23:59:59.999,False\n";

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(again(BODY).unwrap(), BODY);
    }

    #[test]
    fn the_header_may_be_missing_or_in_another_order() {
        assert_eq!(again(BODY.split_once('\n').unwrap().1).unwrap(), BODY);
        let expected = "a,b,c,d,e\n1,x,,,\n";
        assert_eq!(again("\u{feff}b,a,c,e,d\r\nx,1,,,\r\n").unwrap(), expected);
    }

    #[test]
    fn many_rows_come_in_batches() {
        let text: String = (0..20_000).map(|n| format!("{n},t,,,\n")).collect();
        assert_eq!(again(&text).unwrap(), format!("a,b,c,d,e\n{text}"));
    }

    #[test]
    fn damage_is_named() {
        for (text, message) in [
            ("a,b,c,d,e\n1,x,,\n", "Line 2 of the CSV body has 4 fields, but the table has 5 columns."),
            (
                "1,x,,,\nzz,x,,,\n",
                "The column \"a\" at line 2 of the CSV body is \"zz\", which is not a value of the type Int64.",
            ),
            (
                "a,x,c,d,e\n",
                "The column \"a\" at line 1 of the CSV body is \"a\", which is not a value of the type Int64.",
            ),
        ] {
            let error = again(text).unwrap_err();
            assert_eq!((error.kind(), error.message()), (ErrorKind::Unprocessable, message));
        }
    }

    #[test]
    fn types_that_csv_cannot_hold_are_refused() {
        let list = DataType::new_list(
            DataType::Map(
                Arc::new(Field::new(
                    "entries",
                    DataType::Struct(
                        vec![Field::new("k", DataType::Utf8, false), Field::new("v", DataType::Utf8, true)].into(),
                    ),
                    false,
                )),
                false,
            ),
            true,
        );
        let structure = TableStructure::new(Arc::new(Schema::new(vec![Field::new("l", list, true)])), 1);
        let error = decode(stream::empty().boxed(), &structure).err().unwrap();
        assert!(error.message().starts_with("The column \"l\" has the type"), "{error}");
    }
}
