use arrow::array::{Array, Int64Array};
use arrow::compute::cast;
use futures::TryStreamExt;
use girih_model::{Data, DataSource, ErrorKind, Management, Selection, Structure};

use super::*;
use crate::conformance::{Room, block_on, gather, source};
use crate::dataset::Dataset;
use crate::format::Files;

fn write(room: &Room, path: &str, numbers: &[i64]) {
    let path = room.directory.path().join("t.parquet").join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let column: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
    let batch = RecordBatch::try_from_iter_with_nullable([("n", column, true)]).unwrap();
    let mut writer = super::super::ParquetWriter::begin(Vec::new(), batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    std::fs::write(path, Box::new(writer).finish().unwrap()).unwrap();
}

async fn registered(room: &Room) -> Result<DataSource> {
    let asset = Asset {
        data_uri: format!("file://localhost{}", room.directory.path().join("t.parquet").display()),
        is_directory: true,
        size: None,
        parameter: Some("data_uris".into()),
        num: Some(0),
        id: None,
    };
    let media_type = "application/x-parquet".to_owned();
    let files = Files { media_type: media_type.clone(), parameters: Default::default(), assets: vec![asset] };
    let structure = room.storage.inspect(&files).await?.structure;
    Ok(DataSource { management: Management::External, ..source(structure, media_type, files.assets) })
}

/// Each row as text.
async fn rows(dataset: &dyn Dataset, selection: Selection) -> Vec<String> {
    let Data::Table(table) = dataset.read(&selection).await.unwrap() else { panic!("no table") };
    let batches: Vec<RecordBatch> = table.batches.try_collect().await.unwrap();
    let row = |batch: &RecordBatch, row: usize| {
        let columns = batch.columns().iter().map(|column| {
            let text = cast(column, &DataType::Utf8).unwrap();
            let text = text.as_any().downcast_ref::<StringArray>().unwrap();
            if text.is_null(row) { "-".to_owned() } else { text.value(row).to_owned() }
        });
        columns.collect::<Vec<_>>().join(" ")
    };
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |n| row(batch, n))).collect()
}

fn fields(names: &[&str]) -> Selection {
    Selection { fields: Some(names.iter().map(|name| (*name).to_owned()).collect()), ..Selection::all() }
}

#[test]
fn keys_of_directories_are_columns() {
    block_on(async {
        let room = Room::new();
        write(&room, "year=2021/site=x%20y/0.parquet", &[1, 2]);
        write(&room, "year=2020/site=__HIVE_DEFAULT_PARTITION__/0.parquet", &[3]);
        write(&room, "_metadata.parquet", &[9]);
        write(&room, ".hidden/year=1/site=2/0.parquet", &[9]);
        let source = registered(&room).await.unwrap();
        let structure = source.structure.as_table().unwrap().clone();
        let types: Vec<_> = structure.schema().fields().iter().map(|field| field.data_type().to_string()).collect();
        assert_eq!(structure.columns, ["n", "year", "site"]);
        assert_eq!(types, ["Int64", "Dictionary(Int32, Int32)", "Dictionary(Int32, Utf8)"]);
        let table = room.open(&source).await;
        assert_eq!(rows(&*table, Selection::all()).await, ["3 2020 -", "1 2021 x y", "2 2021 x y"]);
        assert_eq!(rows(&*table, fields(&["site", "n"])).await, ["- 3", "x y 1", "x y 2"]);
        assert_eq!(rows(&*table, fields(&["year"])).await, ["2020", "2021", "2021"]);
        let year = table.child("year").await.unwrap().unwrap();
        assert_eq!(year.structure().as_array().unwrap().dtype.to_string(), "<i4");
        let numbers = [2020, 2021, 2021].map(i32::to_le_bytes).concat();
        assert_eq!(gather(year.read(&Selection::all()).await.unwrap()).await.1, numbers);
        assert!(table.child("site").await.unwrap().is_some());
    });
}

#[test]
fn files_are_partitions_in_the_order_of_their_numbers() {
    block_on(async {
        let room = Room::new();
        for n in [10, 2, 1] {
            write(&room, &format!("part.{n}.parquet"), &[n]);
        }
        let source = registered(&room).await.unwrap();
        assert_eq!(source.structure.as_table().unwrap().npartitions, 3);
        assert_eq!(rows(&*room.open(&source).await, Selection::all()).await, ["1", "2", "10"]);
        write(&room, "part.3.parquet", &[3]);
        let error = room.storage.open(&source).await.map(drop).unwrap_err();
        assert!(error.kind() == ErrorKind::Unprocessable && error.message().contains("4 Parquet files"), "{error}");
    });
}

#[test]
fn what_does_not_fit_together_is_refused() {
    block_on(async {
        let room = Room::new();
        std::fs::create_dir(room.directory.path().join("t.parquet")).unwrap();
        assert_eq!(registered(&room).await.unwrap_err().kind(), ErrorKind::Unprocessable);
        write(&room, "a=1/0.parquet", &[1]);
        write(&room, "b=1/0.parquet", &[1]);
        assert_eq!(registered(&room).await.unwrap_err().kind(), ErrorKind::Unprocessable);
        let Structure::Table(_) = ({
            std::fs::remove_dir_all(room.directory.path().join("t.parquet/b=1")).unwrap();
            registered(&room).await.unwrap().structure
        }) else {
            panic!("no table")
        };
        std::fs::write(room.directory.path().join("t.parquet/a=1/1.parquet"), "PAR1 no").unwrap();
        assert_ne!(registered(&room).await.unwrap_err().kind(), ErrorKind::Internal);
    });
}
