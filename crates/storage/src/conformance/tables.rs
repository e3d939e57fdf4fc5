//! Tables, in every format that keeps them.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::*;
use futures::{StreamExt, TryStreamExt};
use girih_model::{Data, ErrorKind, Family, Result, Selection, Structure, TableData, TableStructure};

use super::{Room, gather};
use crate::dataset::{Dataset, Write};
use crate::format::{EncodeOptions, FORMATS, Format};

fn formats() -> impl Iterator<Item = &'static dyn Format> {
    FORMATS.iter().copied().filter(|format| format.creates().contains(&Family::Table))
}

/// A table with every type that this format has, and missing values in each column.
fn sample_for(format: &dyn Format, rows: usize, seed: i64) -> RecordBatch {
    let all = sample(rows, seed);
    let positions: Vec<usize> = (0..all.num_columns()).filter(|n| has_type(format, all.schema().field(*n))).collect();
    all.project(&positions).unwrap()
}

/// CSV has only what has a text.
fn has_type(format: &dyn Format, field: &Field) -> bool {
    use DataType as T;
    let has_text = !matches!(
        field.data_type(),
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) | T::Duration(_)
    );
    format.media_type() != "text/csv" || (has_text && !field.data_type().is_nested())
}

/// A table with every type that any format has, and missing values in each column.
fn sample(rows: usize, seed: i64) -> RecordBatch {
    let missing = |n: usize| (n as i64 + seed) % 5 == 3;
    let number = |n: usize| (!missing(n)).then_some(n as i64 * 37 + seed);
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter((0..rows).map(number)));
    let small: ArrayRef = Arc::new(Int64Array::from_iter((0..rows).map(|n| number(n).map(|n| n % 100))));
    let words: ArrayRef =
        Arc::new(StringArray::from_iter((0..rows).map(|n| number(n).map(|n| "ä😀x".repeat((n % 4) as usize)))));
    let nulls: NullBuffer = (0..rows).map(|n| !missing(n)).collect();
    let offsets = OffsetBuffer::from_lengths((0..rows).map(|_| 1));
    let item = Arc::new(Field::new("item", DataType::Int64, true));
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    for data_type in [
        DataType::Boolean,
        DataType::Int8,
        DataType::UInt8,
        DataType::Int16,
        DataType::UInt16,
        DataType::Int32,
        DataType::UInt32,
        DataType::Int64,
        DataType::UInt64,
        DataType::Float16,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal128(30, 2),
        DataType::Decimal256(60, 5),
        DataType::Date32,
        DataType::Timestamp(TimeUnit::Second, None),
        DataType::Timestamp(TimeUnit::Nanosecond, Some("Europe/Paris".into())),
        DataType::Timestamp(TimeUnit::Microsecond, Some("+05:30".into())),
        DataType::Duration(TimeUnit::Millisecond),
    ] {
        columns.push((data_type.to_string(), cast(&small, &data_type).unwrap()));
    }
    for data_type in [
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Utf8View,
        DataType::Binary,
        DataType::LargeBinary,
        DataType::BinaryView,
        DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)),
        DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::LargeUtf8)),
    ] {
        columns.push((data_type.to_string(), cast(&words, &data_type).unwrap()));
    }
    let seconds = Int32Array::from_iter((0..rows).map(|n| number(n).map(|n| n as i32 % 1000)));
    columns.push(("time32".into(), Arc::new(seconds.reinterpret_cast::<Time32SecondType>())));
    columns.push(("time64".into(), cast(&small, &DataType::Time64(TimeUnit::Nanosecond)).unwrap()));
    let fixed =
        FixedSizeBinaryArray::try_from_sparse_iter_with_size((0..rows).map(|n| number(n).map(|n| n.to_le_bytes())), 8);
    columns.push(("fixed".into(), Arc::new(fixed.unwrap())));
    columns.push((
        "list".into(),
        Arc::new(ListArray::new(item.clone(), offsets.clone(), numbers.clone(), Some(nulls.clone()))),
    ));
    let pairs = FixedSizeListArray::new(item.clone(), 1, numbers.clone(), Some(nulls.clone()));
    columns.push(("pairs".into(), Arc::new(pairs)));
    let fields = Fields::from(vec![Field::new("n", DataType::Int64, true), Field::new("w", DataType::Utf8, true)]);
    columns.push(("struct".into(), Arc::new(StructArray::new(fields, vec![numbers, words], Some(nulls)))));
    let keys: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|n| format!("k{n}"))));
    let entries =
        Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int64, true)]);
    let entries = StructArray::new(entries, vec![keys, small], None);
    let entry = Arc::new(Field::new("entries", entries.data_type().clone(), false));
    columns.push(("map".into(), Arc::new(MapArray::new(entry, offsets, entries, None, false))));
    columns.push(("null".into(), Arc::new(NullArray::new(rows))));
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap();
    let metadata = [("pandas".to_owned(), r#"{"index_columns":[]}"#.to_owned())].into();
    let schema = batch.schema().as_ref().clone().with_metadata(metadata);
    batch.with_schema(Arc::new(schema)).unwrap()
}

fn table(batches: Vec<RecordBatch>) -> Data {
    Data::Table(TableData::whole(batches[0].schema(), batches))
}

async fn read(dataset: &Arc<dyn Dataset>, selection: &Selection) -> Result<RecordBatch> {
    let Data::Table(table) = dataset.read(selection).await? else { panic!("not a table") };
    let batches: Vec<RecordBatch> = table.batches.try_collect().await?;
    assert!(batches.iter().all(|batch| batch.schema() == table.schema));
    Ok(concat_batches(&table.schema, &batches).unwrap())
}

fn columns(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(|name| name.to_string()).collect())
}

#[track_caller]
fn assert_same(got: &RecordBatch, expected: &RecordBatch) {
    assert_eq!(got.schema(), expected.schema());
    assert_eq!(got.num_rows(), expected.num_rows());
    for (n, field) in expected.schema().fields().iter().enumerate() {
        // Dictionaries may be numbered anew.
        let plain = |array: &ArrayRef| match array.data_type() {
            DataType::Dictionary(_, value) => cast(array, value).unwrap(),
            _ => array.clone(),
        };
        assert_eq!(&plain(got.column(n)), &plain(expected.column(n)), "{}", field.name());
    }
}

#[tokio::test]
async fn partitions_and_columns_come_back() {
    for format in formats() {
        let room = Room::new();
        let parts = [sample_for(format, 100, 1), sample_for(format, 66_000, 2), sample_for(format, 1, 3)];
        let structure = TableStructure::new(parts[0].schema(), 3);
        let source = room.create(&Structure::Table(structure.clone()), format.media_type()).await;
        let dataset = room.open(&source).await;
        assert_eq!(read(&dataset, &Selection::all()).await.unwrap().num_rows(), 0);
        for (n, part) in parts.iter().enumerate().rev() {
            // In pieces, as it would come over the wire.
            let half = part.num_rows() / 2;
            let pieces = vec![part.slice(0, half), part.slice(half, part.num_rows() - half)];
            let after = dataset.write(&Selection::partition(n as u64), table(pieces), Write::Replace).await.unwrap();
            assert_eq!(after, Structure::Table(structure.clone()));
        }
        let dataset = room.open(&source).await;
        for (n, part) in parts.iter().enumerate() {
            assert_same(&read(&dataset, &Selection::partition(n as u64)).await.unwrap(), part);
        }
        let all = concat_batches(&parts[0].schema(), &parts).unwrap();
        assert_same(&read(&dataset, &Selection::all()).await.unwrap(), &all);
        let selected = [if all.schema().index_of("struct").is_ok() { "struct" } else { "time64" }, "Int8", "Utf8"];
        let some = Selection { fields: columns(&selected), ..Selection::all() };
        let got = read(&dataset, &some).await.unwrap();
        let indices: Vec<usize> = selected.iter().map(|name| all.schema().index_of(name).unwrap()).collect();
        assert_same(&got, &all.project(&indices).unwrap());

        dataset
            .write(&Selection::partition(0), table(vec![sample_for(format, 5, 9)]), Write::Append(None))
            .await
            .unwrap();
        let grown = concat_batches(&parts[0].schema(), &[parts[0].clone(), sample_for(format, 5, 9)]).unwrap();
        assert_same(&read(&dataset, &Selection::partition(0)).await.unwrap(), &grown);
        let files = std::fs::read_dir(room.directory.path().join("a/b")).unwrap().count();
        assert_eq!(files, 3, "nothing but the partitions is left");
        room.storage.remove(&source.assets).await.unwrap();
        assert_eq!(std::fs::read_dir(room.directory.path()).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn what_does_not_fit_changes_nothing() {
    for format in formats() {
        let room = Room::new();
        let part = sample_for(format, 10, 1);
        let source = room.create(&Structure::Table(TableStructure::new(part.schema(), 2)), format.media_type()).await;
        let dataset = room.open(&source).await;
        dataset.write(&Selection::partition(1), table(vec![part.clone()]), Write::Replace).await.unwrap();
        let check = async |selection: Selection, data: Data, kind: ErrorKind| {
            for mode in [Write::Replace, Write::Append(None)] {
                let Data::Table(table) = &data else { panic!() };
                let copy = Data::Table(TableData::whole(table.schema.clone(), vec![part.clone()]));
                assert_eq!(dataset.write(&selection, copy, mode).await.unwrap_err().kind(), kind, "{selection:?}");
            }
        };
        check(Selection::partition(2), table(vec![part.clone()]), ErrorKind::Malformed).await;
        check(Selection::all(), table(vec![part.clone()]), ErrorKind::Unprocessable).await;
        let fewer = part.project(&[0, 1]).unwrap();
        check(Selection::partition(1), table(vec![fewer]), ErrorKind::Unprocessable).await;
        let broken = futures::stream::iter([Ok(part.clone()), Err(girih_model::Error::malformed("lost"))]);
        let broken = Data::Table(TableData { schema: part.schema(), batches: Box::pin(broken) });
        dataset.write(&Selection::partition(1), broken, Write::Replace).await.unwrap_err();
        assert_same(&read(&dataset, &Selection::partition(1)).await.unwrap(), &part);

        let unknown = Selection { fields: columns(&["zz"]), ..Selection::all() };
        let e = read(&dataset, &unknown).await.unwrap_err();
        assert!(
            e.kind() == ErrorKind::Malformed && e.message().contains("\"zz\"") && e.message().contains("\"Int8\""),
            "{e}"
        );
        assert!(dataset.child("zz").await.unwrap().is_none());
    }
}

/// A table that was described by an empty one does not know what its columns hold.
#[tokio::test]
async fn a_column_of_unknown_type_takes_the_first_that_comes() {
    for format in formats() {
        let room = Room::new();
        let part = sample_for(format, 10, 1);
        let schema = part.schema();
        let fields = schema.fields().iter().map(|field| match field.name().as_str() {
            "Utf8" => Arc::new(Field::new("Utf8", DataType::Null, true)),
            _ => field.clone(),
        });
        let open = Schema::new_with_metadata(fields.collect::<Vec<_>>(), part.schema().metadata().clone());
        let mut source =
            room.create(&Structure::Table(TableStructure::new(Arc::new(open), 1)), format.media_type()).await;
        let dataset = room.open(&source).await;
        source.structure = dataset.write(&Selection::all(), table(vec![part.clone()]), Write::Replace).await.unwrap();
        assert_eq!(source.structure.as_table().unwrap().schema(), &part.schema());
        assert_same(&read(&room.open(&source).await, &Selection::all()).await.unwrap(), &part);
    }
}

/// What an encoder writes, its decoder reads.
#[tokio::test]
async fn bodies_come_back() {
    for format in FORMATS.iter().filter(|format| format.decodes().contains(&Family::Table)) {
        // What pandas writes as CSV has one text for missing values and empty texts.
        if format.media_type() == "text/csv"
            || !format.encodes().contains(&Family::Table)
            || !format.creates().contains(&Family::Table)
        {
            continue;
        }
        let parts = vec![sample_for(*format, 100, 1), sample_for(*format, 900, 2)];
        let structure = Structure::Table(TableStructure::new(parts[0].schema(), 1));
        let encoded = format.encode(table(parts.clone()), &EncodeOptions::default()).await.unwrap();
        let Data::Table(decoded) = format.decode(encoded.body, &structure).await.unwrap() else { panic!() };
        let batches: Vec<RecordBatch> = decoded.batches.try_collect().await.unwrap();
        let schema = parts[0].schema();
        assert_same(&concat_batches(&schema, &batches).unwrap(), &concat_batches(&schema, &parts).unwrap());
    }
}

#[tokio::test]
async fn a_column_is_an_array() {
    for format in formats() {
        let room = Room::new();
        let parts = [sample_for(format, 3, 0), sample_for(format, 4, 1)];
        let source =
            room.create(&Structure::Table(TableStructure::new(parts[0].schema(), 2)), format.media_type()).await;
        let dataset = room.open(&source).await;
        for (n, part) in parts.iter().enumerate() {
            dataset.write(&Selection::partition(n as u64), table(vec![part.clone()]), Write::Replace).await.unwrap();
        }
        let check = async |name: &str, typestr: &str, slice: &str, expected: &[u8]| {
            let column = dataset.child(name).await.unwrap().unwrap();
            let Structure::Array(structure) = column.structure() else { panic!() };
            assert_eq!(structure.dtype.to_string(), typestr, "{name}");
            assert_eq!(structure.chunks[0].lengths().collect::<Vec<_>>(), [3, 4]);
            let selection = Selection::slice(girih_model::Slice::parse(slice).unwrap());
            let (_, items) = gather(column.read(&selection).await.unwrap()).await;
            assert_eq!(items, expected, "{name}[{slice}]");
        };
        let f8 = |values: &[f64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let i8 = |values: &[i64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let text = |words: &[&str], len: usize| {
            let word = |word: &&str| word.chars().chain(std::iter::repeat('\0')).take(len).collect::<Vec<char>>();
            words.iter().flat_map(word).flat_map(|c| (c as u32).to_le_bytes()).collect::<Vec<u8>>()
        };
        // Numbers: 0 37 74 | 1 38 missing 112 (of a hundred: 12).
        check("Int64", "<f8", "", &f8(&[0.0, 37.0, 74.0, 1.0, 38.0, f64::NAN, 12.0])).await;
        check("Int16", "<f8", "::-3", &f8(&[12.0, 1.0, 0.0])).await;
        check("Float64", "<f8", "1::2", &f8(&[37.0, 1.0, f64::NAN])).await;
        check("Timestamp(s)", "<M8[s]", "2:6", &i8(&[74, 1, 38, i64::MIN])).await;
        check("Boolean", "<U5", "3:", &text(&["True", "True", "None", "True"], 5)).await;
        check("Utf8", "<U6", "2:6", &text(&["ä😀xä😀x", "ä😀x", "ä😀xä😀x", "None"], 6)).await;
        check("Dictionary(Int8, Utf8)", "<U6", "5:6", &text(&["None"], 6)).await;
        check("null", "<f8", "0", &f8(&[f64::NAN])).await;
        check("Int8", "<f8", "-1", &f8(&[12.0])).await;
        if parts[0].schema().index_of("struct").is_err() {
            continue;
        }
        check("Binary", "|S14", "0:1", &[0; 14]).await;
        let e = dataset.child("struct").await.err().expect("no array");
        assert_eq!(e.kind(), ErrorKind::Unprocessable);
    }
}

#[tokio::test]
async fn damage_is_noticed() {
    for format in formats() {
        let room = Room::new();
        let part = sample_for(format, 50, 1);
        let source = room.create(&Structure::Table(TableStructure::new(part.schema(), 1)), format.media_type()).await;
        let dataset = room.open(&source).await;
        dataset.write(&Selection::all(), table(vec![part.clone()]), Write::Replace).await.unwrap();
        dataset.write(&Selection::all(), table(vec![part.clone()]), Write::Append(None)).await.unwrap();
        let directory = std::fs::read_dir(room.directory.path().join("a/b")).unwrap();
        let file = directory.map(|entry| entry.unwrap().path()).next().unwrap();
        let time = file.metadata().unwrap().modified().unwrap();
        let bytes = std::fs::read(&file).unwrap();
        for at in (0..bytes.len()).step_by(bytes.len() / 10) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            let writable = std::fs::File::options().write(true).open(&file).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&writable, &damaged, 0).unwrap();
            writable.set_modified(time).unwrap();
            assert_eq!(read(&dataset, &Selection::all()).await.unwrap_err().kind(), ErrorKind::StorageFailed, "{at}");
            assert_eq!(dataset.child("Int8").await.err().unwrap().kind(), ErrorKind::StorageFailed, "{at}");
            let more = dataset.write(&Selection::all(), table(vec![part.clone()]), Write::Append(None)).await;
            assert_eq!(more.unwrap_err().kind(), ErrorKind::StorageFailed, "{at}");
        }
    }
}

/// As after a crash between the rows and their mention in the catalog.
#[tokio::test]
async fn an_append_with_a_name_is_done_once() {
    for format in formats() {
        let room = Room::new();
        let part = sample_for(format, 5, 1);
        let source = room.create(&Structure::Table(TableStructure::new(part.schema(), 2)), format.media_type()).await;
        let append = async |partition: u64, name: Option<u8>| {
            let id = name.map(|name| [name; 16]);
            let data = table(vec![part.clone()]);
            room.open(&source).await.write(&Selection::partition(partition), data, Write::Append(id)).await.unwrap();
            read(&room.open(&source).await, &Selection::partition(partition)).await.unwrap().num_rows()
        };
        for (partition, name, rows) in [
            (0, Some(1), 5),
            (0, Some(1), 5),
            (0, None, 10),
            (0, Some(2), 15),
            (0, Some(1), 15),
            (0, None, 20),
            (1, Some(1), 5),
            (0, Some(2), 20),
        ] {
            assert_eq!(append(partition, name).await, rows, "{name:?} to {partition}");
        }
    }
}

/// The writer began with a table that is no more; another has its name.
#[tokio::test]
async fn a_slow_writer_does_not_write_into_the_next_table() {
    for format in formats() {
        for mode in [Write::Replace, Write::Append(None)] {
            let room = Room::new();
            let part = sample_for(format, 10, 1);
            let structure = Structure::Table(TableStructure::new(part.schema(), 2));
            let source = room.create(&structure, format.media_type()).await;
            let dataset = room.open(&source).await;
            dataset.write(&Selection::partition(0), table(vec![part.clone()]), Write::Replace).await.unwrap();
            let (go, wait) = tokio::sync::oneshot::channel::<()>();
            let rest = part.clone();
            let batches = futures::stream::iter([Ok(part.clone())]).chain(futures::stream::once(async move {
                wait.await.unwrap();
                Ok(rest)
            }));
            let data = Data::Table(TableData { schema: part.schema(), batches: Box::pin(batches) });
            let slow = tokio::spawn({
                let dataset = dataset.clone();
                async move { dataset.write(&Selection::partition(0), data, mode).await }
            });
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            room.storage.remove(&source.assets).await.unwrap();
            assert_eq!(std::fs::read_dir(room.directory.path()).unwrap().count(), 0, "nothing is left");
            for selection in [Selection::partition(0), Selection::partition(1)] {
                assert_eq!(read(&dataset, &selection).await.unwrap_err().kind(), ErrorKind::Gone);
            }
            let again = room.create(&structure, format.media_type()).await;
            assert_eq!(again.assets, source.assets, "it has the same place");
            go.send(()).unwrap();
            assert_eq!(slow.await.unwrap().unwrap_err().kind(), ErrorKind::Gone);
            let late = dataset.write(&Selection::partition(0), table(vec![part.clone()]), mode).await;
            assert_eq!(late.unwrap_err().kind(), ErrorKind::Gone);
            assert_eq!(read(&room.open(&again).await, &Selection::all()).await.unwrap().num_rows(), 0);
        }
    }
}
