//! Tables as an object with one list for each column.

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use girih_model::{ByteStream, Error, Result, TableData};

use crate::format::conversion::small_batches;
use crate::item::{Cell, push_json_string};
use crate::pool;

/// Gathers the text of each column, at most `limit` bytes of all together.
pub(super) async fn encode(data: TableData, limit: u64) -> Result<(Option<u64>, ByteStream)> {
    let mut columns: Vec<String> = Vec::with_capacity(data.schema.fields().len());
    for (n, field) in data.schema.fields().iter().enumerate() {
        let mut text = String::from(if n == 0 { "{" } else { "]," });
        push_json_string(field.name(), &mut text);
        text.push_str(":[");
        columns.push(text);
    }
    let mut batches = small_batches(data.batches);
    let mut first = true;
    while let Some(batch) = batches.try_next().await? {
        let comma = !std::mem::replace(&mut first, false);
        columns = pool::blocking(move || {
            for (column, text) in batch.columns().iter().zip(&mut columns) {
                for row in 0..batch.num_rows() {
                    if comma || row > 0 {
                        text.push(',');
                    }
                    Cell::read(column.as_ref(), row).push_json(text);
                }
            }
            Ok(columns)
        })
        .await?;
        if columns.iter().map(|text| text.len() as u64).sum::<u64>() > limit {
            return Err(Error::not_acceptable(format!(
                "As application/json this table would need more than {limit} bytes at once. Request fewer columns, \
                 one partition, or application/json-seq, which streams row by row."
            )));
        }
    }
    let end = if columns.is_empty() { "{}" } else { "]}" };
    columns.push(end.to_owned());
    let length = columns.iter().map(|text| text.len() as u64).sum();
    let pieces = columns.into_iter().map(|text| Ok(Bytes::from(text)));
    Ok((Some(length), stream::iter(pieces).boxed()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
    use arrow::datatypes::Schema;
    use girih_model::ErrorKind;

    use super::*;
    use crate::format::conversion::{block_on, gather};

    fn batch(a: Vec<Option<i64>>, b: Vec<&str>) -> RecordBatch {
        let a: ArrayRef = Arc::new(Int64Array::from(a));
        let b: ArrayRef = Arc::new(StringArray::from(b));
        RecordBatch::try_from_iter_with_nullable([("a", a, true), ("b\"", b, true)]).unwrap()
    }

    fn json(batches: Vec<RecordBatch>, limit: u64) -> Result<String> {
        let schema = batches.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
        block_on(async {
            let (length, body) = encode(TableData::whole(schema, batches), limit).await?;
            let bytes = gather(body).await?;
            assert_eq!(length, Some(bytes.len() as u64));
            Ok(String::from_utf8(bytes).unwrap())
        })
    }

    #[test]
    fn columns_of_all_batches() {
        let batches =
            vec![batch(vec![Some(1), None], vec!["x", "y"]), batch(vec![], vec![]), batch(vec![Some(3)], vec!["é"])];
        assert_eq!(json(batches, 1000).unwrap(), r#"{"a":[1,null,3],"b\"":["x","y","é"]}"#);
        assert_eq!(json(vec![batch(vec![], vec![])], 1000).unwrap(), r#"{"a":[],"b\"":[]}"#);
        assert_eq!(json(vec![], 1000).unwrap(), "{}");
    }

    #[test]
    fn too_large_is_refused_before_the_body_begins() {
        let column: ArrayRef = Arc::new(Float64Array::from(vec![0.5; 10_000]));
        let batch = RecordBatch::try_from_iter([("a", column)]).unwrap();
        assert_eq!(json(vec![batch.clone()], 39_000).unwrap_err().kind(), ErrorKind::NotAcceptable);
        assert_eq!(json(vec![batch], 50_000).unwrap().len(), 40_000 + "{\"a\":[]}".len() - 1);
    }
}
