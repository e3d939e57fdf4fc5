//! Files where they lie, as strangers may have made them: looked into, and read to their end.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bolero::check;
use futures::TryStreamExt;
use futures::future::BoxFuture;
use girih_model::node::Management;
use girih_model::{Asset, Data, DataSource, ErrorKind, Family, Result, Selection, Structure};
use girih_storage::{Dataset, Directory, Files, Places, Storage, StorageOptions, format};
use tokio::runtime::{Builder, Runtime};

use crate::edits::{Edits, NUMBERS};
use crate::limits::{SHORT, limited};

/// Most memory that a small file may take, in bytes.
const MEMORY: usize = 512 << 20;
/// What an array that a damaged file claims to hold is read up to, in bytes.
const READ: u64 = 4 << 20;
/// Levels of a tree that are looked into.
const DEPTH: usize = 4;

struct Room {
    directory: tempfile::TempDir,
    storage: Storage,
    runtime: Runtime,
}

/// A file that made a reader panic is the last one.
impl std::panic::RefUnwindSafe for Room {}

impl Room {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let places = Places::new(Vec::new(), vec![Directory::open(directory.path(), false).unwrap()]);
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        Self { directory, storage: Storage::new(StorageOptions { places }), runtime }
    }

    fn read(&self, name: &str, bytes: &[u8]) -> Result<()> {
        // Another name each time would leave what was remembered of the last one alone; this is meant to be seen.
        self.write(name, bytes);
        self.read_assets(format::media_type_of(name).unwrap(), &[name])
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Files or a directory that are there, as one data source.
    fn read_assets(&self, media_type: &str, names: &[&str]) -> Result<()> {
        let listed = names.len() > 1 || format::by_media_type(media_type).unwrap().lists_files();
        let assets = names.iter().enumerate().map(|(n, name)| {
            let path = self.directory.path().join(name);
            Asset {
                data_uri: format!("file://localhost{}", path.display()),
                is_directory: path.is_dir(),
                size: None,
                parameter: Some(if listed { "data_uris" } else { "data_uri" }.into()),
                num: listed.then_some(n as u64),
                id: None,
            }
        });
        let assets = assets.collect();
        let files = Files { media_type: media_type.into(), parameters: Default::default(), assets };
        self.runtime.block_on(async {
            let found = self.storage.inspect(&files).await?;
            let source = DataSource {
                id: None,
                structure: found.structure,
                mimetype: files.media_type,
                parameters: files.parameters,
                properties: Default::default(),
                management: Management::External,
                assets: files.assets,
            };
            read_all(self.storage.open(&source).await?, DEPTH).await
        })
    }
}

fn read_all(dataset: Arc<dyn Dataset>, depth: usize) -> BoxFuture<'static, Result<()>> {
    Box::pin(async move {
        let _ = dataset.metadata();
        match dataset.structure() {
            structure if structure.family() == Family::Container => {
                for key in dataset.keys().await?.into_iter().take(50) {
                    if depth > 0
                        && let Some(child) = tolerated(dataset.child(&key).await)?.flatten()
                    {
                        tolerated(read_all(child, depth - 1).await)?;
                    }
                }
                Ok(())
            }
            Structure::Array(array) if array.nbytes().is_none_or(|bytes| bytes > READ) => Ok(()),
            _ => match dataset.read(&Selection::all()).await? {
                Data::Array(array) => array.collect(READ).await.map(drop),
                Data::Table(mut table) => {
                    while table.batches.try_next().await?.is_some() {}
                    Ok(())
                }
                Data::Tree(_) => Ok(()),
            },
        }
    })
}

/// What is wrong with one child is no reason not to look at the next.
fn tolerated<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == ErrorKind::Internal => Err(e),
        Err(_) => Ok(None),
    }
}

/// Names and contents of the files in a directory of `testdata`.
fn contents(directory: &str) -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(directory);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let named =
        |path: PathBuf| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap());
    paths.into_iter().map(named).collect()
}

fn samples(endings: &[&str]) -> Vec<(String, Vec<u8>)> {
    let mut samples = contents("files");
    samples.retain(|(name, _)| endings.iter().any(|ending| name.rsplit('.').next() == Some(ending)));
    samples
}

fn check(endings: &[&str]) {
    let room = Room::new();
    let samples = samples(endings);
    assert!(!samples.is_empty());
    for (name, bytes) in &samples {
        room.read(name, bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    check!().with_test_time(SHORT).with_type::<(u8, Edits)>().for_each(|(which, edits)| {
        let (name, bytes) = &samples[usize::from(*which) % samples.len()];
        let damaged = edits.apply(std::slice::from_ref(bytes), NUMBERS);
        if let Err(e) = limited(MEMORY, || room.read(name, &damaged)) {
            assert_ne!(e.kind(), ErrorKind::Internal, "{name}: {e}");
        }
    });
}

/// All files below a path of `testdata`, by their paths.
fn below(path: &str) -> Vec<(String, Vec<u8>)> {
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(path);
    if !whole.is_dir() {
        return vec![(path.to_owned(), std::fs::read(whole).unwrap())];
    }
    let mut names: Vec<String> = std::fs::read_dir(whole)
        .unwrap()
        .map(|entry| format!("{path}/{}", entry.unwrap().file_name().to_string_lossy()))
        .collect();
    names.sort();
    names.iter().flat_map(|name| below(name)).collect()
}

/// One file after the other is damaged of those that are data only together, or of which no ending tells what they are.
fn check_assets(sources: &[(&str, &[&str])]) {
    let room = Room::new();
    let mut samples = Vec::new();
    for (media_type, names) in sources {
        let files: Vec<_> = names.iter().flat_map(|name| below(name)).collect();
        files.iter().for_each(|(name, bytes)| room.write(name, bytes));
        room.read_assets(media_type, names).unwrap_or_else(|e| panic!("{names:?}: {e}"));
        samples.extend(files.into_iter().map(|file| (*media_type, *names, file)));
    }
    check!().with_test_time(SHORT).with_type::<(u8, Edits)>().for_each(|(which, edits)| {
        let (media_type, names, (name, bytes)) = &samples[usize::from(*which) % samples.len()];
        room.write(name, &edits.apply(std::slice::from_ref(bytes), NUMBERS));
        if let Err(e) = limited(MEMORY, || room.read_assets(media_type, names)) {
            assert_ne!(e.kind(), ErrorKind::Internal, "{name}: {e}");
        }
        room.write(name, bytes);
    });
}

#[test]
fn hostile() {
    let room = Room::new();
    let files = contents("hostile");
    assert!(files.len() > 40);
    for (name, bytes) in &files {
        if let Err(e) = limited(MEMORY, || room.read(name, bytes)) {
            assert_ne!(e.kind(), ErrorKind::Internal, "{name}: {e}");
        }
    }
}

#[test]
fn tiff() {
    check(&["tif"]);
}

#[test]
fn pictures() {
    check(&["png", "jpg"]);
}

#[test]
fn numpy() {
    check(&["npy", "npz"]);
}

#[test]
fn hdf5() {
    check(&["h5"]);
}

#[test]
fn netcdf_and_fits() {
    check(&["nc", "fits"]);
}

#[test]
fn tables() {
    check(&["csv", "tsv", "parquet", "feather", "xlsx"]);
}

#[test]
fn zarr() {
    check_assets(&[
        ("application/x-zarr", &["directories/zarr-2.zarr"]),
        ("application/x-zarr", &["directories/zarr-3.zarr"]),
    ]);
}

#[test]
fn partitions() {
    check_assets(&[
        ("application/x-parquet", &["directories/parts.parquet"]),
        ("multipart/related;type=text/csv", &["directories/frames/0.csv", "directories/frames/1.csv"]),
        ("text/csv;header=absent", &["files/header-absent.csv"]),
    ]);
}

#[test]
fn sequences() {
    check_assets(&[
        ("multipart/related;type=application/x-npy", &["directories/frames/0.npy", "directories/frames/1.npy"]),
        ("multipart/related;type=image/png", &["directories/frames/0.png", "directories/frames/1.png"]),
        ("multipart/related;type=image/jpeg", &["directories/frames/0.jpg", "directories/frames/1.jpg"]),
        ("multipart/related;type=image/tiff", &["directories/frames/0.tif", "directories/frames/1.tif"]),
    ]);
}
