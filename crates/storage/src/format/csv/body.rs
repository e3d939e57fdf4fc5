//! Bodies of CSV read into a table of a known schema.

use arrow::array::RecordBatch;
use arrow::compute::can_cast_types;
use arrow::datatypes::DataType;
use futures::stream::{self, StreamExt, TryStreamExt};
use girih_model::{ByteStream, Error, Result, TableData, TableStructure};

use super::records::Splitter;
use super::rows::Rows;
use crate::pool;

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
    let reader = Reader { splitter: Splitter::new(), rows: Rows::of_body(schema.clone()) };
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

impl Reader {
    fn push(&mut self, piece: &[u8], full: &mut Vec<RecordBatch>) -> Result<()> {
        let rows = &mut self.rows;
        self.splitter.push(piece, &mut |record, line| rows.push(record, line, full))
    }

    fn finish(mut self, full: &mut Vec<RecordBatch>) -> Result<()> {
        let rows = &mut self.rows;
        self.splitter.finish(&mut |record, line| rows.push(record, line, full))?;
        rows.finish(full)
    }
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
            ("a,b,c,d,e\n1,x,,\n", "Line 2 of the CSV text has 4 fields, but the table has 5 columns."),
            (
                "1,x,,,\nzz,x,,,\n",
                "The column \"a\" at line 2 of the CSV text is \"zz\", which is not a value of the type Int64.",
            ),
            (
                "a,x,c,d,e\n",
                "The column \"a\" at line 1 of the CSV text is \"a\", which is not a value of the type Int64.",
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
