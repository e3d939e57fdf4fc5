//! `application/json-seq`: a table as one JSON object for each row, streamed (RFC 7464).

use async_trait::async_trait;
use girih_model::{Data, Family, Result};

use super::conversion::{convert, small_batches};
use super::partition::index::columns_only;
use super::{EncodeOptions, Encoded, Format};
use crate::item::{Cell, push_json_string};

/// Each row is U+001E, an object, a line feed.
pub struct JsonSeq;

#[async_trait]
impl Format for JsonSeq {
    fn media_type(&self) -> &'static str {
        "application/json-seq"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["json-seq"]
    }

    fn encodes(&self) -> &'static [Family] {
        &[Family::Table]
    }

    async fn encode(&self, data: Data, _options: &EncodeOptions) -> Result<Encoded> {
        let Data::Table(table) = data else { return Err(self.cannot_encode(data.family())) };
        let table = columns_only(table);
        let names = table.schema.fields().iter().enumerate().map(|(n, field)| {
            let mut name = String::from(if n == 0 { "" } else { "," });
            push_json_string(field.name(), &mut name);
            name.push(':');
            name
        });
        let names: Vec<String> = names.collect();
        let body = convert(small_batches(table.batches), move |batch, out: &mut String| {
            let Some(batch) = batch else { return Ok(()) };
            for row in 0..batch.num_rows() {
                out.push_str("\u{1e}{");
                for (name, column) in names.iter().zip(batch.columns()) {
                    out.push_str(name);
                    Cell::read(column.as_ref(), row).push_json(out);
                }
                out.push_str("}\n");
            }
            Ok(())
        });
        Ok(Encoded { media_type: self.media_type().into(), length: None, body, itemsize: 1 })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
    use girih_model::TableData;

    use super::*;
    use crate::format::conversion::{block_on, gather};

    #[test]
    fn one_record_for_each_row() {
        let a: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let b: ArrayRef = Arc::new(BooleanArray::from(vec![true, false]));
        let batch = RecordBatch::try_from_iter_with_nullable([("a", a, true), ("b", b, true)]).unwrap();
        let table = TableData::whole(batch.schema(), vec![batch.clone(), batch.slice(0, 1)]);
        let bytes = block_on(async {
            let encoded = JsonSeq.encode(Data::Table(table), &EncodeOptions::default()).await?;
            assert_eq!(encoded.length, None);
            gather(encoded.body).await
        });
        let expected = "\u{1e}{\"a\":1,\"b\":true}\n\u{1e}{\"a\":null,\"b\":false}\n\u{1e}{\"a\":1,\"b\":true}\n";
        assert_eq!(String::from_utf8(bytes.unwrap()).unwrap(), expected);
    }
}
