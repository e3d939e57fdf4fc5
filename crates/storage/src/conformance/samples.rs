//! Files as the programs that define their formats write them: what is read whole, is read in parts, and what is not there is
//! refused.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use futures::TryStreamExt;
use futures::future::LocalBoxFuture;
use girih_model::node::Management;
use girih_model::{
    ArrayStructure, Asset, Data, DataSource, ErrorKind, Family, Selection, Slice, Structure, TableStructure,
};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::{block_on, gather, pick, slices};
use crate::dataset::{Dataset, positions};
use crate::format::{self, FORMATS, Files};
use crate::place::{Directory, Places};
use crate::{Storage, StorageOptions};

/// For every format that opens files, some of `testdata`, and how many arrays and tables are in them. Several are a list.
const SAMPLES: &[(&str, &[&str], usize)] = &[
    ("application/octet-stream", &["files/array.npy"], 0),
    ("application/x-zarr", &["directories/zarr-2.zarr"], 2),
    ("application/x-zarr", &["directories/zarr-3.zarr"], 3),
    ("application/vnd.apache.arrow.file", &["files/table.feather"], 1),
    ("application/x-parquet", &["files/table.parquet"], 1),
    ("application/x-parquet", &["directories/parts.parquet"], 1),
    ("application/x-hdf5", &["files/old.h5"], 12),
    ("application/x-hdf5", &["files/new.h5"], 12),
    ("application/x-netcdf", &["files/classic.nc"], 3),
    ("application/x-netcdf", &["files/four.nc"], 4),
    ("application/fits", &["files/units.fits"], 3),
    ("text/csv", &["files/table.csv"], 1),
    ("multipart/related;type=text/csv", &["directories/frames/0.csv", "directories/frames/1.csv"], 1),
    ("text/csv;header=absent", &["files/header-absent.csv"], 1),
    ("text/csv; header=absent", &["files/header-absent.csv"], 1),
    ("text/tab-separated-values", &["files/table.tsv"], 1),
    ("application/x-npy", &["files/array.npy"], 1),
    ("multipart/related;type=application/x-npy", &["directories/frames/0.npy", "directories/frames/1.npy"], 1),
    ("application/x-npz", &["files/arrays.npz"], 2),
    ("application/x-npz", &["files/plain.npz"], 1),
    ("image/png", &["files/grey.png"], 1),
    ("image/png", &["files/palette.png"], 1),
    ("multipart/related;type=image/png", &["directories/frames/0.png", "directories/frames/1.png"], 1),
    ("image/jpeg", &["files/colour.jpg"], 1),
    ("image/jpeg", &["files/progressive.jpg"], 1),
    ("multipart/related;type=image/jpeg", &["directories/frames/0.jpg", "directories/frames/1.jpg"], 1),
    ("image/tiff", &["files/strips.tif"], 1),
    ("image/tiff", &["files/jpeg.tif"], 1),
    ("image/tiff", &["files/ome.tif"], 1),
    ("image/tiff", &["files/volume.tif"], 1),
    ("image/tiff", &["files/fax.tif"], 1),
    ("multipart/related;type=image/tiff", &["directories/frames/0.tif", "directories/frames/1.tif"], 1),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", &["files/book.xlsx"], 1),
];
/// Slices that are tried of each array.
const SLICES: usize = 12;

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").canonicalize().unwrap()
}

fn files(media_type: &str, paths: &[&str]) -> Files {
    let listed = paths.len() > 1 || format::by_media_type(media_type).unwrap().lists_files();
    let assets = paths.iter().enumerate().map(|(n, path)| {
        let path = testdata().join(path);
        Asset {
            data_uri: format!("file://localhost{}", path.display()),
            is_directory: path.is_dir(),
            size: None,
            parameter: Some(if listed { "data_uris" } else { "data_uri" }.into()),
            num: listed.then_some(n as u64),
            id: None,
        }
    });
    Files { media_type: media_type.into(), parameters: Default::default(), assets: assets.collect() }
}

#[test]
fn every_format_that_opens_files_has_a_sample() {
    for format in FORMATS.iter().filter(|format| !format.opens().is_empty()) {
        let has_one = SAMPLES.iter().any(|(media_type, ..)| *media_type == format.media_type());
        assert!(has_one, "{} opens files: put a sample into testdata and into SAMPLES", format.media_type());
    }
}

#[test]
fn samples_read_whole_as_in_parts() {
    let places = Places::new(Vec::new(), vec![Directory::open(&testdata(), false).unwrap()]);
    let storage = Storage::new(StorageOptions { places });
    for (media_type, paths, expected) in SAMPLES {
        let found = block_on(async {
            let at = paths.join(", ");
            let files = files(media_type, paths);
            let inspected = storage.inspect(&files).await.unwrap_or_else(|e| panic!("{at}: {e}"));
            let source = DataSource {
                id: None,
                structure: inspected.structure.clone(),
                mimetype: files.media_type,
                parameters: files.parameters,
                properties: Default::default(),
                management: Management::External,
                assets: files.assets,
            };
            let dataset = storage.open(&source).await.unwrap_or_else(|e| panic!("{at}: {e}"));
            if inspected.structure.family() == Family::Bytes {
                return 0;
            }
            assert_eq!(dataset.structure().family(), inspected.structure.family(), "{at}");
            check(dataset, at).await
        });
        assert_eq!(found, *expected, "{paths:?}");
    }
}

/// The number of arrays and tables in it.
fn check(dataset: Arc<dyn Dataset>, at: String) -> LocalBoxFuture<'static, usize> {
    Box::pin(async move {
        match dataset.structure() {
            Structure::Array(array) => {
                check_array(&*dataset, &array, &at).await;
                1
            }
            Structure::Table(table) => {
                check_table(&*dataset, &table, &at).await;
                1
            }
            _ => {
                let keys = dataset.keys().await.unwrap();
                let children = dataset.children(&keys).await.unwrap();
                assert_eq!(children.len(), keys.len(), "{at}");
                let mut found = 0;
                for (key, child) in keys.iter().zip(children) {
                    let at = format!("{at}/{key}");
                    match child {
                        Ok(child) => found += check(child.unwrap_or_else(|| panic!("{at} is gone")), at).await,
                        Err(e) => assert_eq!(e.kind(), ErrorKind::Gone, "{at}: {e}"),
                    }
                }
                assert!(dataset.child("no such child").await.unwrap().is_none(), "{at}");
                found
            }
        }
    })
}

async fn check_array(dataset: &dyn Dataset, structure: &ArrayStructure, at: &str) {
    structure.check().unwrap();
    let (shape, itemsize) = (&structure.shape, structure.dtype.itemsize());
    let (read, whole) = gather(dataset.read(&Selection::all()).await.unwrap_or_else(|e| panic!("{at}: {e}"))).await;
    assert_eq!(read, *shape, "{at}");
    let check = async |selection: Selection| {
        let region = positions(structure, &selection).unwrap();
        let read = dataset.read(&selection).await.unwrap_or_else(|e| panic!("{at} {selection:?}: {e}"));
        let (part, bytes) = gather(read).await;
        assert_eq!(part, region.shape(), "{at} {selection:?}");
        assert!(bytes == pick(&whole, shape, itemsize, &region), "{at} {selection:?}");
    };
    let mut runner = TestRunner::deterministic();
    for _ in 0..SLICES {
        check(Selection::slice(slices(shape.clone()).new_tree(&mut runner).unwrap().current())).await;
    }
    // The last of the blocks, which may be short, and one that is not there.
    let last: Vec<u64> = structure.chunks.iter().map(|chunks| chunks.count().saturating_sub(1)).collect();
    if !shape.contains(&0) {
        check(Selection::block(last.clone())).await;
    }
    for axis in 0..shape.len() {
        let mut beyond = last.clone();
        beyond[axis] += 1;
        let index = vec![":".to_owned(); axis].into_iter().chain([shape[axis].to_string()]).collect::<Vec<_>>();
        for selection in [Selection::block(beyond), Selection::slice(Slice::parse(&index.join(",")).unwrap())] {
            let e = dataset.read(&selection).await.err().unwrap_or_else(|| panic!("{at} {selection:?} is there"));
            assert_eq!(e.kind(), ErrorKind::Unprocessable, "{at} {selection:?}: {e}");
        }
    }
    let e = dataset.read(&Selection::partition(0)).await.err().unwrap();
    assert_eq!(e.kind(), ErrorKind::Unprocessable, "{at}: {e}");
}

async fn rows(dataset: &dyn Dataset, selection: &Selection, at: &str) -> RecordBatch {
    let data = dataset.read(selection).await.unwrap_or_else(|e| panic!("{at} {selection:?}: {e}"));
    let Data::Table(table) = data else { panic!("{at} is no table") };
    let batches: Vec<_> = table.batches.try_collect().await.unwrap_or_else(|e| panic!("{at} {selection:?}: {e}"));
    concat_batches(&table.schema, &batches).unwrap()
}

async fn check_table(dataset: &dyn Dataset, structure: &TableStructure, at: &str) {
    let whole = rows(dataset, &Selection::all(), at).await;
    assert!(whole.num_rows() > 0, "{at}");
    let names: Vec<&str> = whole.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, structure.columns, "{at}");
    let mut parts = Vec::new();
    for partition in 0..structure.npartitions {
        parts.push(rows(dataset, &Selection::partition(partition), at).await);
    }
    assert_eq!(concat_batches(whole.schema_ref(), &parts).unwrap(), whole, "{at}");
    for (n, name) in structure.columns.iter().enumerate() {
        let one = Selection { fields: Some(vec![name.clone()]), ..Selection::all() };
        assert_eq!(rows(dataset, &one, at).await.column(0), whole.column(n), "{at} {name}");
    }
    let fields = Some(vec!["no such column".to_owned()]);
    for (selection, kinds) in [
        (Selection::partition(structure.npartitions), &[ErrorKind::Unprocessable, ErrorKind::Malformed][..]),
        (Selection { fields, ..Selection::all() }, &[ErrorKind::Unprocessable, ErrorKind::Malformed]),
        (Selection::block(vec![0]), &[ErrorKind::Unprocessable]),
    ] {
        let e = dataset.read(&selection).await.err().unwrap_or_else(|| panic!("{at} {selection:?} is there"));
        assert!(kinds.contains(&e.kind()), "{at} {selection:?}: {e}");
    }
}
