use std::sync::Arc;

use arrow::array::*;
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::Field;
use futures::TryStreamExt;
use girih_model::{Data, ErrorKind, Selection, Structure, TableData, TableStructure};

use super::*;
use crate::conformance::Room;
use crate::dataset::{Dataset, Write as Mode};
use crate::format::csv::CSV;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

async fn create(room: &Room, schema: SchemaRef) -> Arc<dyn Dataset> {
    let source = room.create(&Structure::Table(TableStructure::new(schema, 1)), "text/csv").await;
    room.open(&source).await
}

async fn write(dataset: &Arc<dyn Dataset>, batch: &RecordBatch, mode: Mode) -> Result<()> {
    let data = Data::Table(TableData::whole(batch.schema(), vec![batch.clone()]));
    dataset.write(&Selection::partition(0), data, mode).await.map(drop)
}

async fn read(dataset: &Arc<dyn Dataset>) -> Result<RecordBatch> {
    let Data::Table(table) = dataset.read(&Selection::all()).await? else { panic!("not a table") };
    let batches: Vec<RecordBatch> = table.batches.try_collect().await?;
    Ok(concat_batches(&table.schema, &batches).unwrap())
}

fn text(room: &Room) -> String {
    std::fs::read_to_string(room.directory.path().join("a/b/partition-0.csv")).unwrap()
}

#[tokio::test]
async fn files_are_as_pandas_writes_them_and_keep_more_apart() {
    let room = Room::new();
    let part = batch(vec![
        ("a", Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]))),
        ("b,", Arc::new(StringArray::from(vec![None, Some(""), Some("x,\"\r\n")]))),
        ("c", Arc::new(Float64Array::from(vec![Some(f64::NAN), None, Some(f64::NEG_INFINITY)]))),
        ("d", Arc::new(TimestampMillisecondArray::from(vec![Some(0), None, Some(-1)]))),
    ]);
    let dataset = create(&room, part.schema()).await;
    write(&dataset, &part, Mode::Append(None)).await.unwrap();
    let first =
        "a,\"b,\",c,d\n1,,NaN,1970-01-01 00:00:00.000\n,\"\",,\n3,\"x,\"\"\r\n\",-inf,1969-12-31 23:59:59.999\n";
    assert_eq!(text(&room), first);
    let debug = |batch: &RecordBatch| format!("{batch:?}");
    assert_eq!(debug(&read(&dataset).await.unwrap()), debug(&part));

    write(&dataset, &part.slice(0, 1), Mode::Append(None)).await.unwrap();
    assert_eq!(text(&room), format!("{first}1,,NaN,1970-01-01 00:00:00.000\n"));
    // The last line was left open, or the columns are in another order: rows still go where they belong.
    let path = room.directory.path().join("a/b/partition-0.csv");
    std::fs::write(&path, "a,\"b,\",c,d\n7,,,").unwrap();
    write(&dataset, &part.slice(0, 1), Mode::Append(None)).await.unwrap();
    assert_eq!(text(&room), "a,\"b,\",c,d\n7,,,\n1,,NaN,1970-01-01 00:00:00.000\n");
    std::fs::write(&path, "\u{feff}d,more,c,\"b,\",a\r\n,x,,,7\r\n").unwrap();
    write(&dataset, &part.slice(0, 1), Mode::Append(None)).await.unwrap();
    assert_eq!(text(&room), "a,\"b,\",c,d\n7,,,\n1,,NaN,1970-01-01 00:00:00.000\n");
}

#[tokio::test]
async fn in_one_column_missing_and_empty_texts_are_one() {
    let room = Room::new();
    let part = batch(vec![("a", Arc::new(StringArray::from(vec![Some(""), None, Some("x")])))]);
    let dataset = create(&room, part.schema()).await;
    write(&dataset, &part, Mode::Replace).await.unwrap();
    assert_eq!(text(&room), "a\n\"\"\n\"\"\nx\n");
    let expected = StringArray::from(vec![None, None, Some("x")]);
    assert_eq!(read(&dataset).await.unwrap().column(0).as_ref(), &expected as &dyn Array);
}

/// Values of every type come back, the extreme ones too.
#[tokio::test]
async fn types_hold_their_extremes() {
    let years: ArrayRef = Arc::new(Int64Array::from(vec![-719_162 * 86_400, 0, 2_932_896 * 86_400 + 86_399]));
    let timestamp = |unit, zone: Option<&str>| DataType::Timestamp(unit, zone.map(Into::into));
    let seconds = |zone| cast(&years, &timestamp(TimeUnit::Second, zone)).unwrap();
    let micro = |zone| cast(&seconds(None), &timestamp(TimeUnit::Microsecond, zone)).unwrap();
    let nano = |zone: Option<&str>| -> ArrayRef {
        let ticks = TimestampNanosecondArray::from(vec![i64::MIN + 1, -1, i64::MAX]);
        Arc::new(ticks.with_timezone_opt(zone.map(str::to_owned)))
    };
    let days: ArrayRef = Arc::new(Date32Array::from(vec![-719_162, 0, 2_932_896]));
    let decimal = |precision, scale, value: i128| -> ArrayRef {
        let values = Decimal128Array::from(vec![value, -value, 1]);
        Arc::new(values.with_precision_and_scale(precision, scale).unwrap())
    };
    let words = StringArray::from(vec!["NaN", " x ", "ä\0\u{feff}'"]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("u8", Arc::new(UInt64Array::from(vec![u64::MAX, 0, 1]))),
        ("i8", Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX, -1]))),
        ("f2", cast(&Float32Array::from(vec![65504.0, 6e-8, 0.1]), &DataType::Float16).unwrap()),
        ("f4", Arc::new(Float32Array::from(vec![f32::MAX, 1e-45, 0.1]))),
        ("f8", Arc::new(Float64Array::from(vec![f64::MAX, 5e-324, -0.0]))),
        ("inf", Arc::new(Float64Array::from(vec![f64::INFINITY, f64::NEG_INFINITY, 1e16]))),
        ("seconds", seconds(None)),
        ("utc", seconds(Some("+00:00"))),
        ("UTC", seconds(Some("UTC"))),
        ("named", nano(Some("Europe/Berlin"))),
        ("micro", micro(None)),
        ("nano", nano(None)),
        ("nano utc", nano(Some("+00:00"))),
        ("offset", nano(Some("-09:30"))),
        ("days", days),
        ("time", Arc::new(Time64NanosecondArray::from(vec![0, 86_399_999_999_999, 1]))),
        ("time32", Arc::new(Time32SecondArray::from(vec![0, 86_399, 1]))),
        ("decimal", decimal(38, 10, 10i128.pow(38) - 1)),
        ("integral", decimal(20, 0, 10i128.pow(20) - 1)),
        ("bool", Arc::new(BooleanArray::from(vec![true, false, true]))),
        ("view", cast(&words, &DataType::Utf8View).unwrap()),
        ("text", Arc::new(words)),
        ("null", Arc::new(NullArray::new(3))),
    ];
    for (name, column) in columns {
        let room = Room::new();
        let part = batch(vec![(name, column), ("other", Arc::new(Int8Array::from(vec![1, 2, 3])))]);
        let dataset = create(&room, part.schema()).await;
        write(&dataset, &part, Mode::Replace).await.unwrap();
        assert_eq!(read(&dataset).await.unwrap(), part, "{name}: {}", text(&room));
    }
}

#[tokio::test]
async fn what_csv_cannot_hold_is_refused() {
    let schema = |data_type: DataType| Schema::new(vec![Field::new("odd", data_type, true)]);
    for data_type in [
        DataType::Binary,
        DataType::Duration(TimeUnit::Second),
        DataType::new_list(DataType::Int8, true),
        DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Binary)),
    ] {
        let e = CSV.check(&schema(data_type)).unwrap_err();
        assert!(e.kind() == ErrorKind::Unprocessable && e.message().contains("\"odd\""), "{e}");
    }
    let twice = Schema::new(vec![Field::new("odd", DataType::Int8, true), Field::new("odd", DataType::Int8, true)]);
    assert!(CSV.check(&twice).unwrap_err().message().contains("twice"));

    let room = Room::new();
    let early = batch(vec![("t", Arc::new(TimestampSecondArray::from(vec![-719_162 * 86_400 - 1])))]);
    let dataset = create(&room, early.schema()).await;
    let e = write(&dataset, &early, Mode::Replace).await.unwrap_err();
    assert!(e.kind() == ErrorKind::Unprocessable && e.message().contains("\"t\""), "{e}");
    let room = Room::new();
    let long = batch(vec![("t", Arc::new(StringArray::from(vec!["x".repeat(MAX_RECORD)])))]);
    let dataset = create(&room, long.schema()).await;
    assert!(write(&dataset, &long, Mode::Replace).await.unwrap_err().message().contains("longer than"));
    assert_eq!(read(&dataset).await.unwrap().num_rows(), 0);
}

/// Parts whose categories fit into their dictionaries may together have too many.
#[tokio::test]
async fn small_dictionaries_are_read_in_small_batches() {
    let room = Room::new();
    let part = |n: usize| {
        let words: DictionaryArray<arrow::datatypes::Int8Type> =
            (0..100).map(|word| format!("{n}:{word}")).collect::<Vec<_>>().iter().map(String::as_str).collect();
        batch(vec![("w", Arc::new(words))])
    };
    let dataset = create(&room, part(0).schema()).await;
    for n in 0..3 {
        write(&dataset, &part(n), Mode::Append(None)).await.unwrap();
    }
    let Data::Table(table) = dataset.read(&Selection::all()).await.unwrap() else { panic!() };
    let batches: Vec<RecordBatch> = table.batches.try_collect().await.unwrap();
    let words = batches.iter().flat_map(|batch| {
        let words = cast(batch.column(0), &DataType::Utf8).unwrap();
        words.as_string::<i32>().iter().map(|word| word.unwrap().to_owned()).collect::<Vec<_>>()
    });
    assert!(words.eq((0..3).flat_map(|n| (0..100).map(move |word| format!("{n}:{word}")))));
}

#[tokio::test]
async fn damage_is_the_servers_fault() {
    let room = Room::new();
    let part = batch(vec![("a", Arc::new(Int64Array::from(vec![1])))]);
    let dataset = create(&room, part.schema()).await;
    write(&dataset, &part, Mode::Replace).await.unwrap();
    for damaged in ["b\n1\n", "a\nx\n", "a\n1,2\n", "a\n\"1"] {
        std::fs::write(room.directory.path().join("a/b/partition-0.csv"), damaged).unwrap();
        assert_eq!(read(&dataset).await.unwrap_err().kind(), ErrorKind::Internal, "{damaged:?}");
    }
}
