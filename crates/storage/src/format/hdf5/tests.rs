//! Whole files, read back by a reader that is not ours.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Float16Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampSecondArray,
};
use futures::future::FutureExt;
use futures::stream::{self, StreamExt};
use girih_model::data::TreeData;
use girih_model::{
    ArrayData, ArrayStructure, DType, Data, Error, ErrorKind, Family, Json, Result, Structure, TableData,
    TableStructure, TreeEntry,
};
use hdf5_reader::Hdf5File;

use super::Hdf5;
use crate::format::conversion::gather;
use crate::format::{EncodeOptions, Format};

async fn encode(data: Data, metadata: &str) -> Result<Vec<u8>> {
    let options = EncodeOptions { metadata: Json::parse(metadata).unwrap(), ..Default::default() };
    let encoded = Hdf5.encode(data, &options).await?;
    let bytes = gather(encoded.body).await?;
    assert_eq!(encoded.length, Some(bytes.len() as u64));
    Ok(bytes)
}

async fn write(data: Data, metadata: &str) -> Hdf5File {
    Hdf5File::from_vec(encode(data, metadata).await.unwrap()).unwrap()
}

fn entry(path: &str, metadata: &str, family: Family) -> TreeEntry {
    TreeEntry {
        keys: path.split('|').map(str::to_owned).collect(),
        family,
        metadata: Json::parse(metadata).unwrap(),
        specs: Vec::new(),
        structure: None,
        read: None,
    }
}

fn group(path: &str) -> TreeEntry {
    entry(path, "{}", Family::Container)
}

fn array(path: &str, metadata: &str, dtype: DType, shape: &[u64], bytes: Vec<u8>) -> TreeEntry {
    let shape = shape.to_vec();
    let structure = Some(Structure::Array(ArrayStructure::new(dtype.clone(), shape.clone())));
    let read = move || {
        let data = Data::Array(ArrayData::whole(dtype.clone(), shape.clone(), bytes.clone()));
        FutureExt::boxed(async { Ok(data) })
    };
    TreeEntry { structure, read: Some(Arc::new(read)), ..entry(path, metadata, Family::Array) }
}

fn table(path: &str, batches: Vec<RecordBatch>) -> TreeEntry {
    let schema = batches[0].schema();
    let structure = Some(Structure::Table(TableStructure::new(schema.clone(), 1)));
    let read = move || {
        let data = Data::Table(TableData::whole(schema.clone(), batches.clone()));
        FutureExt::boxed(async { Ok(data) })
    };
    TreeEntry { structure, read: Some(Arc::new(read)), ..entry(path, "{}", Family::Table) }
}

fn tree(entries: Vec<TreeEntry>) -> Data {
    Data::Tree(TreeData { metadata: Json::object(), entries: stream::iter(entries.into_iter().map(Ok)).boxed() })
}

#[tokio::test]
async fn arrays_of_every_kind_keep_their_bytes() {
    let dtypes = ["b1", "i1", "i8", "u2", "f2", "f4", "f8", "c8", "M8", "S3", "V5"];
    let bytes = |n: usize| (0..n).map(|i| (i % 2) as u8).collect::<Vec<_>>();
    let mut entries: Vec<_> = dtypes
        .iter()
        .map(|name| {
            let dtype = DType::of(name);
            let items = bytes(6 * dtype.itemsize());
            array(name, "{}", dtype, &[2, 3], items)
        })
        .collect();
    entries.push(array("scalar", "{}", DType::of("i4"), &[], 7i32.to_le_bytes().to_vec()));
    entries.push(array("nothing", "{}", DType::of("i4"), &[0, 3], Vec::new()));
    entries.push(array("no bytes", "{}", DType::of("S0"), &[100_000], Vec::new()));
    let text =
        ["aé", "€"].iter().flat_map(|text| text.chars().chain(['\0']).take(2)).flat_map(|c| (c as u32).to_le_bytes());
    entries.push(array("text", "{}", DType::of("U8"), &[2], text.collect()));
    let file = write(tree(entries), "{}").await;
    for name in dtypes {
        let dataset = file.dataset(name).unwrap();
        assert_eq!(dataset.shape(), [2, 3], "{name}");
        assert_eq!(dataset.read_raw_bytes().unwrap(), bytes(6 * DType::of(name).itemsize()), "{name}");
    }
    assert_eq!(file.dataset("scalar").unwrap().read_raw_bytes().unwrap(), 7i32.to_le_bytes());
    assert_eq!(file.dataset("nothing").unwrap().shape(), [0, 3]);
    assert_eq!(file.dataset("no bytes").unwrap().read_raw_bytes().unwrap(), vec![0; 100_000]);
    assert_eq!(file.dataset("text").unwrap().read_strings().unwrap(), ["aé", "€"]);
}

#[tokio::test]
async fn containers_keep_their_tree_and_their_metadata() {
    let long = "x".repeat(100_000);
    let metadata = format!(r#"{{"n": 5, "t": "é", "l": ["a", "b"], "o": {{"deep": [1]}}, "long": "{long}"}}"#);
    let file = write(
        tree(vec![
            group("z"),
            group("a"),
            group("z|inner"),
            array("z|inner|values", &metadata, DType::of("u1"), &[3], vec![1, 2, 3]),
            entry("blob", r#"{"kept": true}"#, Family::Bytes),
        ]),
        "{}",
    )
    .await;
    let names: Vec<_> = file.root_group().unwrap().groups().unwrap().iter().map(|g| g.name().to_owned()).collect();
    assert_eq!(names, ["z", "a", "blob"]);
    let dataset = file.dataset("z/inner/values").unwrap();
    assert_eq!(dataset.read_raw_bytes().unwrap(), [1, 2, 3]);
    assert_eq!(dataset.attribute("n").unwrap().read_scalar::<i64>().unwrap(), 5);
    assert_eq!(dataset.attribute("t").unwrap().read_string().unwrap(), "é");
    assert_eq!(dataset.attribute("l").unwrap().read_strings().unwrap(), ["a", "b"]);
    assert_eq!(dataset.attribute("o").unwrap().read_string().unwrap(), r#"{"deep":[1]}"#);
    assert_eq!(dataset.attribute("long").unwrap().read_string().unwrap(), long);
}

#[tokio::test]
async fn a_group_of_thousands_is_searched_by_name() {
    let count = 5000u32;
    let mut entries = vec![group("many")];
    entries.extend(
        (0..count)
            .map(|n| array(&format!("many|{}", n * 7 % count), "{}", DType::of("u4"), &[], n.to_le_bytes().to_vec())),
    );
    let file = write(tree(entries), "{}").await;
    assert_eq!(file.root_group().unwrap().group("many").unwrap().datasets().unwrap().len(), count as usize);
    for n in [0, 1, 8, 2500, 4999] {
        let dataset = file.dataset(&format!("many/{}", n * 7 % count)).unwrap();
        assert_eq!(dataset.read_raw_bytes().unwrap(), n.to_le_bytes());
    }
}

/// More rows than a row group has, so that there are chunks; in batches that do not fit them.
#[tokio::test]
async fn long_tables_come_back_whole() {
    let rows = 150_000i64;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("n", Arc::new(Int64Array::from_iter_values(0..rows))),
        ("text", Arc::new(StringArray::from_iter((0..rows).map(|n| (n % 5 > 0).then(|| format!("row {n}")))))),
        ("bytes", Arc::new(BinaryArray::from_iter_values((0..rows).map(|n| vec![n as u8; n as usize % 4])))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let starts = (0..rows as usize).step_by(40_003);
    let batches: Vec<_> = starts.map(|at| batch.slice(at, 40_003.min(rows as usize - at))).collect();
    let alone = Data::Table(TableData::whole(batch.schema(), batches.clone()));
    for (data, prefix) in [(tree(vec![table("t", batches)]), "t/"), (alone, "")] {
        let file = write(data, "{}").await;
        let numbers = file.dataset(&format!("{prefix}n")).unwrap();
        assert!(numbers.chunks().is_some());
        let expected: Vec<u8> = (0..rows).flat_map(i64::to_le_bytes).collect();
        assert_eq!(numbers.read_raw_bytes().unwrap(), expected);
        let texts = file.dataset(&format!("{prefix}text")).unwrap().read_strings().unwrap();
        assert!(texts.iter().enumerate().all(|(n, text)| match n % 5 {
            0 => text.is_empty(),
            _ => *text == format!("row {n}"),
        }));
        let bytes = file.dataset(&format!("{prefix}bytes")).unwrap();
        let references = bytes.read_raw_bytes().unwrap();
        for n in [0, 1, 77_777, 149_999] {
            let value = bytes.resolve_vlen_reference_bytes(&references[16 * n..16 * n + 16], 1).unwrap();
            assert_eq!(value, vec![n as u8; n % 4]);
        }
    }
}

async fn check_column(column: ArrayRef, bytes: &[u8], attributes: &[&str]) {
    let batch = RecordBatch::try_from_iter_with_nullable([("c", column, true)]).unwrap();
    let file = write(Data::Table(TableData::whole(batch.schema(), vec![batch])), r#"{"k": 1}"#).await;
    let dataset = file.dataset("c").unwrap();
    assert_eq!(dataset.read_raw_bytes().unwrap(), bytes);
    let names: Vec<_> = dataset.attributes().iter().map(|attribute| attribute.name.clone()).collect();
    assert_eq!(names, attributes);
    assert_eq!(file.root_group().unwrap().attribute("k").unwrap().read_scalar::<i64>().unwrap(), 1);
}

#[tokio::test]
async fn missing_values() {
    let large = (1 << 53) + 1;
    let bytes = |values: &[f64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
    let ints = |values: &[i64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
    check_column(Arc::new(Int32Array::from(vec![1, 2])), &[1, 0, 0, 0, 2, 0, 0, 0], &[]).await;
    check_column(Arc::new(Int32Array::from(vec![Some(1), None])), &bytes(&[1.0, f64::NAN]), &[]).await;
    check_column(Arc::new(Int64Array::from(vec![Some(large), None])), &ints(&[large, i64::MIN]), &["_FillValue"]).await;
    check_column(Arc::new(BooleanArray::from(vec![Some(true), Some(false)])), &[1, 0], &[]).await;
    check_column(Arc::new(BooleanArray::from(vec![Some(true), None])), &[1, 0xff], &["_FillValue"]).await;
    let half = half::f16::from_f32(1.5);
    let halves = Float16Array::from(vec![Some(half), None]);
    check_column(Arc::new(halves), &[half.to_le_bytes(), half::f16::NAN.to_le_bytes()].concat(), &[]).await;
    let time = TimestampSecondArray::from(vec![Some(5), None]).with_timezone("UTC");
    check_column(Arc::new(time), &ints(&[5, i64::MIN]), &["dtype", "units", "timezone"]).await;
}

#[tokio::test]
async fn what_does_not_fit_is_refused_before_the_first_byte() {
    let fields: Vec<_> = (0..4000)
        .map(|n| format!(r#"{{"name":"a field with a long name {n}","dtype":{{"kind":"u","itemsize":1}}}}"#))
        .collect();
    let wide: DType = serde_json::from_str(&format!(r#"{{"fields":[{}]}}"#, fields.join(","))).unwrap();
    for entries in [
        vec![array("wide", "{}", wide, &[0], Vec::new())],
        vec![array("axes", "{}", DType::of("u1"), &[1; 33], vec![1])],
        vec![group("a/b"), group("a\u{2215}b")],
    ] {
        let error = encode(tree(entries), "{}").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotAcceptable, "{error}");
    }
    let options = EncodeOptions { memory_limit: 100_000, ..Default::default() };
    let entries = (0..1000).map(|n| group(&n.to_string())).collect();
    let error = Hdf5.encode(tree(entries), &options).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotAcceptable, "{error}");
}

#[tokio::test]
async fn what_cannot_be_read_says_why_and_keeps_nobody_from_the_rest() {
    let broken = |error: Error, after: usize| {
        let pieces =
            vec![Ok(vec![0].into()); after].into_iter().chain([Err(error)]).collect::<Vec<Result<bytes::Bytes>>>();
        let read = move || {
            let data = match pieces.as_slice() {
                [Err(e)] if e.kind() == ErrorKind::Gone => Err(e.clone()),
                pieces => Ok(Data::Array(ArrayData {
                    dtype: DType::of("u1"),
                    shape: vec![2],
                    pieces: stream::iter(pieces.to_vec()).boxed(),
                })),
            };
            FutureExt::boxed(async { data })
        };
        TreeEntry { read: Some(Arc::new(read)), ..array("g|x", r#"{"kept": 1}"#, DType::of("u1"), &[2], vec![0, 0]) }
    };
    let tree = |entry: TreeEntry| tree(vec![group("g"), entry, array("y", "{}", DType::of("u1"), &[1], vec![5])]);
    for error in [Error::gone("no such file"), Error::damaged("no such chunk"), Error::unsupported("no such filter")] {
        let file = write(tree(broken(error.clone(), 0)), "{}").await;
        let x = file.root_group().unwrap().group("g").unwrap().group("x").unwrap();
        assert_eq!(x.attribute("error").unwrap().read_string().unwrap(), error.message());
        assert_eq!(x.attribute("kept").unwrap().read_scalar::<i64>().unwrap(), 1);
        assert_eq!(file.dataset("y").unwrap().read_raw_bytes().unwrap(), [5]);
    }
    for (error, after) in
        [(Error::busy("later"), 0), (Error::storage_failed("the disk"), 0), (Error::damaged("late"), 1)]
    {
        let e = encode(tree(broken(error.clone(), after)), "{}").await.unwrap_err();
        assert_eq!(e.kind(), error.kind());
        assert_eq!(e.message().starts_with("g/x: "), after == 0, "told before the first byte: {e}");
    }
}

#[tokio::test]
async fn data_that_change_on_the_way_end_the_stream_with_an_error() {
    let mut shrunk = array("a", "{}", DType::of("u1"), &[3], vec![1, 2, 3]);
    shrunk.read = array("a", "{}", DType::of("u1"), &[2], vec![1, 2]).read;
    let error = encode(tree(vec![shrunk]), "{}").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");

    let column: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let batch = RecordBatch::try_from_iter([("c", column)]).unwrap();
    let mut grown = table("t", vec![batch.clone()]);
    let calls = std::sync::atomic::AtomicUsize::new(1);
    let schema = batch.schema();
    grown.read = Some(Arc::new(move || {
        let times = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let data = Data::Table(TableData::whole(schema.clone(), vec![batch.clone(); times]));
        FutureExt::boxed(async { Ok(data) })
    }));
    let error = encode(tree(vec![grown]), "{}").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
}
