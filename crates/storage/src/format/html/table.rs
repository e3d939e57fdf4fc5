//! The page of a table.

use std::fmt::Write as _;

use girih_model::{ByteStream, Family, TableData};

use super::page::{push_escaped, push_foot, push_head};
use crate::format::EncodeOptions;
use crate::format::conversion::{convert, small_batches};
use crate::item::Cell;

/// Streams row by row; how many rows there are is known, and told, at the end.
pub(super) fn encode(data: TableData, options: &EncodeOptions) -> ByteStream {
    let (schema, options) = (data.schema, options.clone());
    let mut rows: Option<u64> = None;
    convert(small_batches(data.batches), move |batch, out: &mut String| {
        let count = rows.get_or_insert_with(|| {
            push_head(&options, &format!("Table of {} columns", schema.fields().len()), out);
            out.push_str("<div class=\"rows\"><table class=\"dataframe\">\n<thead><tr>");
            for field in schema.fields() {
                let _ = write!(out, "<th title=\"");
                push_escaped(&field.data_type().to_string(), out);
                out.push_str("\">");
                push_escaped(field.name(), out);
                out.push_str("</th>");
            }
            out.push_str("</tr></thead>\n<tbody>\n");
            0
        });
        let Some(batch) = batch else {
            let _ = write!(out, "</tbody>\n</table></div>\n<p>{count} rows</p>\n");
            push_foot(Family::Table, out);
            return Ok(());
        };
        *count += batch.num_rows() as u64;
        let mut text = String::new();
        for row in 0..batch.num_rows() {
            out.push_str("<tr>");
            for column in batch.columns() {
                text.clear();
                Cell::read(column.as_ref(), row).push_text(&mut text);
                out.push_str("<td>");
                push_escaped(&text, out);
                out.push_str("</td>");
            }
            out.push_str("</tr>\n");
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};

    use super::*;
    use crate::format::conversion::{block_on, gather};

    fn page(batches: Vec<RecordBatch>, schema: &RecordBatch) -> String {
        let table = TableData::whole(schema.schema(), batches);
        String::from_utf8(block_on(gather(encode(table, &EncodeOptions::default()))).unwrap()).unwrap()
    }

    #[test]
    fn all_rows_are_there_and_escaped() {
        let a: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let b: ArrayRef = Arc::new(StringArray::from(vec!["<b>", "x"]));
        let batch = RecordBatch::try_from_iter_with_nullable([("a&", a, true), ("b", b, true)]).unwrap();
        let full = page(vec![batch.clone(), batch.slice(1, 1)], &batch);
        let rows =
            "<tr><td>1</td><td>&lt;b&gt;</td></tr>\n<tr><td></td><td>x</td></tr>\n<tr><td></td><td>x</td></tr>\n";
        assert!(full.contains("<th title=\"Int64\">a&amp;</th>"), "{full}");
        assert!(full.contains(&format!("<tbody>\n{rows}</tbody>")) && full.contains("<p>3 rows</p>"), "{full}");
        let empty = page(vec![], &batch);
        assert!(empty.contains("<tbody>\n</tbody>") && empty.contains("<p>0 rows</p>") && empty.ends_with("</html>\n"));
    }
}
