//! Tables as lines, as pandas' `to_csv(index=False)` writes them.

use girih_model::{ByteStream, TableData};

use super::push_field;
use crate::format::conversion::{convert, small_batches};
use crate::item::Cell;

/// Streams batch by batch.
pub(super) fn encode(data: TableData, header: bool) -> ByteStream {
    let schema = data.schema;
    let mut header = header;
    convert(small_batches(data.batches), move |batch, out: &mut String| {
        if std::mem::take(&mut header) {
            let names = schema.fields().iter();
            push_record(out, names.map(|field| |out: &mut String| out.push_str(field.name())));
        }
        if let Some(batch) = batch {
            for row in 0..batch.num_rows() {
                let cells = batch.columns().iter();
                push_record(
                    out,
                    cells.map(|column| move |out: &mut String| Cell::read(column.as_ref(), row).push_text(out)),
                );
            }
        }
        Ok(())
    })
}

fn push_record<F: FnOnce(&mut String)>(out: &mut String, fields: impl ExactSizeIterator<Item = F>) {
    let single = fields.len() == 1;
    let start = out.len();
    for (n, push) in fields.enumerate() {
        if n > 0 {
            out.push(',');
        }
        push_field(out, push);
    }
    // A line with nothing on it would not count as a record.
    if single && out.len() == start {
        out.push_str("\"\"");
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};

    use super::*;
    use crate::format::conversion::{block_on, gather};

    fn csv(columns: Vec<(&str, ArrayRef)>, header: bool) -> String {
        let columns = columns.into_iter().map(|(name, column)| (name, column, true));
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let table = TableData::whole(batch.schema(), vec![batch.slice(0, 1), batch.slice(1, batch.num_rows() - 1)]);
        String::from_utf8(block_on(gather(encode(table, header))).unwrap()).unwrap()
    }

    /// Expected texts written by pandas 2.3, except that it makes integers with missing values floats.
    #[test]
    fn as_pandas_writes() {
        let columns = || -> Vec<(&str, ArrayRef)> {
            vec![
                ("a b", Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]))),
                ("c\"d", Arc::new(StringArray::from(vec![Some("a,b"), Some("\"y\""), Some("l\nm")]))),
                ("", Arc::new(Float64Array::from(vec![0.1, 1e20, f64::NAN]))),
                ("t", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
            ]
        };
        let rows = "1,\"a,b\",0.1,True\n,\"\"\"y\"\"\",1e+20,\n3,\"l\nm\",,False\n";
        assert_eq!(csv(columns(), true), format!("a b,\"c\"\"d\",,t\n{rows}"));
        assert_eq!(csv(columns(), false), rows);
    }

    #[test]
    fn a_missing_value_alone_is_quoted() {
        let column: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("")]));
        assert_eq!(csv(vec![("c", column)], true), "c\na\n\"\"\n\"\"\n");
    }

    #[test]
    fn no_rows_still_have_a_header() {
        let column: ArrayRef = Arc::new(Int64Array::from(Vec::<i64>::new()));
        let batch = RecordBatch::try_from_iter([("a", column)]).unwrap();
        let table = TableData::whole(batch.schema(), vec![]);
        assert_eq!(block_on(gather(encode(table, true))).unwrap(), b"a\n");
    }
}
