use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use girih_model::{Data, Result, Selection, Structure, TableStructure};

use super::*;
use crate::conformance::Room;
use crate::dataset::{Dataset, Write};
use crate::format::conversion::gather;
use crate::format::{EncodeOptions, FORMATS, Format};

fn range(start: i64, stop: i64) -> String {
    format!(
        r#"{{"columns":[{}],"index_columns":[{{"kind":"range","name":null,"start":{start},"stop":{stop},"step":1}}]}}"#,
        r#"{"name":"x","field_name":"x"}"#
    )
}

fn named(index: &str) -> String {
    format!(
        r#"{{"columns":[{{"name":"x","field_name":"x"}},{{"name":null,"field_name":"{index}"}}],"index_columns":["{index}"]}}"#
    )
}

/// A table with the column `x`, and an index column if `index` is one.
fn batch(x: &[i64], pandas: &str, index: Option<(&str, ArrayRef)>) -> RecordBatch {
    let x: ArrayRef = Arc::new(Int64Array::from(x.to_vec()));
    let columns = [("x", x)].into_iter().chain(index);
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap();
    let metadata = [(PANDAS.to_owned(), pandas.to_owned())].into();
    let schema = batch.schema().as_ref().clone().with_metadata(metadata);
    batch.with_schema(Arc::new(schema)).unwrap()
}

fn words(words: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(words.to_vec()))
}

fn formats() -> impl Iterator<Item = &'static dyn Format> {
    let stores = |format: &&dyn Format| {
        ["application/x-parquet", "application/vnd.apache.arrow.file"].contains(&format.media_type())
    };
    FORMATS.iter().copied().filter(stores)
}

async fn read(dataset: &Arc<dyn Dataset>, selection: &Selection) -> RecordBatch {
    let Data::Table(table) = dataset.read(selection).await.unwrap() else { panic!("not a table") };
    let batches: Vec<RecordBatch> = table.batches.try_collect().await.unwrap();
    concat_batches(&table.schema, &batches).unwrap()
}

/// As Python would write its list of rows labels: `range(0, 3)`, `x = ["a", "b"]`, or nothing.
fn index(batch: &RecordBatch) -> String {
    let index = RowIndex::of(&batch.schema());
    match &index.levels {
        Levels::None => String::new(),
        Levels::Range(range) => format!("range({}, {})", range.start, range.stop),
        Levels::Columns(columns) => {
            let name = columns[0].name();
            let column = arrow::compute::cast(batch.column_by_name(name).unwrap(), &DataType::Utf8).unwrap();
            let column = column.as_any().downcast_ref::<StringArray>().unwrap();
            let items: Vec<_> = column.iter().map(|item| item.unwrap_or("-")).collect();
            format!("{name} = {}", items.join(" "))
        }
    }
}

/// Writes the parts into partitions; gives the index of each, of all, and of a selection of columns.
async fn stored_as(format: &dyn Format, declared: &RecordBatch, parts: &[RecordBatch]) -> Vec<String> {
    let room = Room::new();
    let structure = TableStructure::new(declared.schema(), parts.len() as u64);
    let source = room.create(&Structure::Table(structure.clone()), format.media_type()).await;
    let dataset = room.open(&source).await;
    for (n, part) in parts.iter().enumerate() {
        // Through a body, as it comes over the wire.
        let after = dataset
            .write(&Selection::partition(n as u64), through_body(format, part, &structure).await, Write::Replace)
            .await
            .unwrap();
        assert_eq!(after, Structure::Table(structure.clone()), "the structure does not list the index");
    }
    let mut found = Vec::new();
    for n in 0..parts.len() as u64 {
        found.push(index(&read(&dataset, &Selection::partition(n)).await));
    }
    found.push(index(&read(&dataset, &Selection::all()).await));
    let column = Selection { fields: Some(vec!["x".into()]), ..Selection::all() };
    let selected = read(&dataset, &column).await;
    assert_eq!(index(&selected), *found.last().unwrap());
    let x: i64 = parts.iter().map(RecordBatch::num_rows).sum::<usize>() as i64;
    assert_eq!(selected.num_rows() as i64, x);
    found
}

async fn through_body(format: &dyn Format, part: &RecordBatch, structure: &TableStructure) -> Data {
    let data = Data::Table(TableData::whole(part.schema(), vec![part.clone()]));
    let encoded = format.encode(data, &EncodeOptions::default()).await.unwrap();
    format.decode(encoded.body, &Structure::Table(structure.clone())).await.unwrap()
}

#[tokio::test]
async fn each_partition_keeps_the_index_that_it_came_with() {
    for format in formats() {
        let check = async |declared: &RecordBatch, parts: &[RecordBatch], expected: &[&str]| {
            assert_eq!(stored_as(format, declared, parts).await, expected, "{}", format.media_type());
        };
        let plain = batch(&[], &range(0, 0), None);
        let ranges = [batch(&[1, 2], &range(0, 2), None), batch(&[3], &range(2, 3), None)];
        check(&plain, &ranges, &["range(0, 2)", "range(2, 3)", "range(0, 3)"]).await;
        let again = [ranges[0].clone(), batch(&[3], &range(0, 1), None)];
        check(&plain, &again, &["range(0, 2)", "range(0, 1)", ""]).await;
        let stale = [batch(&[3], &range(0, 9), None)];
        check(&plain, &stale, &["", ""]).await;

        let unnamed = "__index_level_0__";
        let a = batch(&[1, 2], &named(unnamed), Some((unnamed, words(&["a", "b"]))));
        let b = batch(&[3], &named(unnamed), Some((unnamed, words(&["c"]))));
        let all = "__index_level_0__ = a b c";
        check(&plain, &[a.clone(), b.clone()], &["__index_level_0__ = a b", "__index_level_0__ = c", all]).await;
        check(&plain, &[a.clone(), ranges[1].clone()], &["__index_level_0__ = a b", "range(2, 3)", ""]).await;
        // One that was declared stays in its place; a range is spelled out.
        check(&b, std::slice::from_ref(&a), &["__index_level_0__ = a b", "__index_level_0__ = a b"]).await;
        let numbers = batch(&[], &named(unnamed), Some((unnamed, Arc::new(Int64Array::from(Vec::<i64>::new())))));
        check(&numbers, &ranges[..1], &["__index_level_0__ = 0 1", "__index_level_0__ = 0 1"]).await;
        let time = batch(&[1, 2], &named("time"), Some(("time", words(&["a", "b"]))));
        check(&plain, &[time], &["time = a b", "time = a b"]).await;
    }
}

#[tokio::test]
async fn appended_rows_take_the_kind_of_index_that_is_there() {
    let unnamed = "__index_level_0__";
    for format in formats() {
        let check = async |parts: &[RecordBatch], expected: &str| {
            let room = Room::new();
            let structure = TableStructure::new(batch(&[], &range(0, 0), None).schema(), 1);
            let source = room.create(&Structure::Table(structure.clone()), format.media_type()).await;
            let dataset = room.open(&source).await;
            for part in parts {
                let body = through_body(format, part, &structure).await;
                dataset.write(&Selection::partition(0), body, Write::Append(None)).await.unwrap();
            }
            assert_eq!(index(&read(&dataset, &Selection::all()).await), expected);
        };
        let (two, one) = (batch(&[1, 2], &range(0, 2), None), batch(&[3], &range(0, 1), None));
        check(&[two.clone(), one.clone()], "range(0, 3)").await;
        check(&[two.clone(), batch(&[3], &range(2, 3), None)], "range(0, 3)").await;
        check(&[two.clone(), batch(&[3], &range(7, 8), None)], "__index_level_0__ = 0 1 7").await;
        check(&[two.clone(), batch(&[3], "{}", None)], "range(0, 3)").await;
        check(&[batch(&[], &range(0, 0), None), batch(&[3], &range(7, 8), None)], "range(7, 8)").await;
        let numbered = batch(&[3], &named(unnamed), Some((unnamed, Arc::new(Int64Array::from(vec![5])))));
        check(&[two.clone(), numbered], "__index_level_0__ = 0 1 5").await;
        let lettered = batch(&[4, 5], &named("time"), Some(("time", words(&["a", "b"]))));
        check(&[lettered.clone(), lettered.clone(), one.clone()], "time = a b a b -").await;
        check(&[one.clone(), lettered], "range(0, 3)").await;
    }
}

/// An index column that is asked for is a column, and one that is declared as a column too.
#[tokio::test]
async fn what_is_asked_for_by_name_is_a_column() {
    let room = Room::new();
    let part = batch(&[1, 2], &named("time"), Some(("time", words(&["a", "b"]))));
    let structure = TableStructure::new(part.schema(), 1);
    let source = room.create(&Structure::Table(structure), "application/x-parquet").await;
    let dataset = room.open(&source).await;
    let data = Data::Table(TableData::whole(part.schema(), vec![part.clone()]));
    dataset.write(&Selection::partition(0), data, Write::Replace).await.unwrap();
    let time = Selection { fields: Some(vec!["time".into()]), ..Selection::all() };
    let got = read(&dataset, &time).await;
    assert_eq!((index(&got).as_str(), columns_of(&got.schema()).fields().len()), ("", 1));
    assert_eq!(index(&read(&dataset, &Selection::all()).await), "time = a b");

    let undescribed = part.schema().as_ref().clone().with_metadata(Default::default());
    assert!(!RowIndex::of(&stored(&part.schema(), &Arc::new(undescribed))).has_columns());
}

#[tokio::test]
async fn formats_without_a_description_leave_the_index_out() {
    let part = batch(&[1, 2], &named("time"), Some(("time", words(&["a", "b"]))));
    for media_type in ["text/csv", "text/html", "application/json", "application/json-seq"] {
        let format = FORMATS.iter().find(|format| format.media_type() == media_type).unwrap();
        let data = Data::Table(TableData::whole(part.schema(), vec![part.clone()]));
        let encoded = format.encode(data, &EncodeOptions::default()).await.unwrap();
        let text = String::from_utf8(gather(encoded.body).await.unwrap()).unwrap();
        assert!(text.contains('x') && !text.contains("time"), "{text}");
    }
}

#[test]
fn ranges_are_counted() {
    let check = |start: i64, stop: i64, step: i64, rows: u64| {
        let range = Range { start, stop, step, name: Value::Null };
        assert_eq!(range.rows(), rows, "{range:?}");
    };
    check(0, 3, 1, 3);
    check(0, 4, 3, 2);
    check(0, 3, 3, 1);
    check(5, 0, -2, 3);
    check(5, 0, 1, 0);
    check(i64::MIN, i64::MAX, 1, u64::MAX);
    check(i64::MAX, i64::MIN, -1, u64::MAX);
}

/// Descriptions come from strangers.
#[test]
fn nonsense_counts_as_no_index() -> Result<()> {
    for pandas in [
        "",
        "[]",
        "{}",
        r#"{"index_columns":7}"#,
        r#"{"index_columns":[7]}"#,
        r#"{"index_columns":["x"]}"#,
        r#"{"index_columns":["zz"],"columns":[{"name":"zz","field_name":"zz"}]}"#,
        r#"{"index_columns":["x"],"columns":{"name":"x"}}"#,
        r#"{"index_columns":[{"kind":"range","start":0,"stop":1e99,"step":1}]}"#,
        r#"{"index_columns":[{"kind":"range","start":0,"stop":1,"step":0}]}"#,
        r#"{"index_columns":[{"kind":"other","start":0,"stop":1,"step":1}]}"#,
    ] {
        let schema = batch(&[1], pandas, None).schema();
        let index = RowIndex::of(&schema);
        assert!(!index.is_kept(), "{pandas}");
        // And is replaced without trouble.
        RowIndex::of(&batch(&[1], &range(0, 1), None).schema()).attach(&schema);
    }
    let huge = Range { start: i64::MIN, stop: i64::MAX, step: 1, name: Value::Null };
    assert!(huge.grown(1).is_none());
    Ok(())
}
