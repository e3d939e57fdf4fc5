//! The front of the crate: opens, creates and removes what a data source names.

use std::fs::File;
use std::sync::Arc;

use girih_model::node::Management;
use girih_model::{Asset, DataSource, Error, ErrorKind, Family, NodePath, Result, Structure};

use crate::dataset::Dataset;
use crate::format::{self, Files, Inspected};
use crate::growing::{Growing, Judge, check, sound};
use crate::place::{Location, Places};
use crate::pool::blocking;

#[derive(Debug, Clone)]
pub struct StorageOptions {
    pub places: Places,
}

/// Assets that are removed at once.
const REMOVED: usize = 1000;

/// Everything that lies outside the catalog's database.
#[derive(Debug)]
pub struct Storage {
    options: StorageOptions,
}

impl Storage {
    pub fn new(options: StorageOptions) -> Self {
        Self { options }
    }

    pub fn places(&self) -> &Places {
        &self.options.places
    }

    /// # Errors
    /// `UnsupportedMediaType` when no format reads this media type; `Gone` or `Forbidden` for the files behind it.
    pub async fn open(&self, source: &DataSource) -> Result<Arc<dyn Dataset>> {
        let format = format::by_media_type(&source.mimetype)
            .filter(|format| format.opens().contains(&source.family()))
            .ok_or_else(|| unreadable(&source.mimetype))?;
        let opened = format.open(source, &self.options.places).await.and_then(sound);
        let files = source.assets.iter().filter_map(|asset| self.options.places.locate(&asset.data_uri).ok());
        let judge = match source.management {
            Management::External => Judge::of(files),
            _ => Judge::Ours,
        };
        match opened {
            Ok(dataset) => Ok(Arc::new(Growing { dataset, judge })),
            Err(e) => Err(judge.judge(e)),
        }
    }

    /// Finds out what is in files, so that they can be registered.
    ///
    /// # Errors
    /// `UnsupportedMediaType` when no format reads this media type; `Gone` or `Forbidden` for the files; those of
    /// [`format::Format::inspect`].
    pub async fn inspect(&self, files: &Files) -> Result<Inspected> {
        let format = format::by_media_type(&files.media_type).filter(|format| !format.opens().is_empty());
        let found = format.ok_or_else(|| unreadable(&files.media_type))?.inspect(files, &self.options.places).await?;
        check(&found.structure).map(|()| found)
    }

    /// Checks that files can be registered: some format reads them, and they lie where we may read, links
    /// followed. Files that do not exist yet are fine: detectors write later.
    ///
    /// # Errors
    /// `UnsupportedMediaType`, `Forbidden`, `Unprocessable` for other schemes than `file:`.
    pub async fn check_readable(&self, source: &DataSource) -> Result<()> {
        let format = format::by_media_type(&source.mimetype);
        format.filter(|f| f.opens().contains(&source.family())).ok_or_else(|| unreadable(&source.mimetype))?;
        let places = self.options.places.clone();
        let uris: Vec<String> = source.assets.iter().map(|asset| asset.data_uri.clone()).collect();
        blocking(move || {
            uris.iter().try_for_each(|uri| match places.locate(uri)?.metadata() {
                Err(e) if e.kind() == ErrorKind::Gone => Ok(()),
                looked => looked.map(drop),
            })
        })
        .await
    }

    /// Makes room for new data of a node; returns the data source's media type and assets.
    ///
    /// The directory is always a new one: what a crash has left behind, or another request has just
    /// made for the same key, is not touched. When the catalog then refuses the node, give the assets
    /// to [`Storage::remove`].
    ///
    /// # Errors
    /// `UnsupportedMediaType` when no format writes this family in this media type, `Unsupported`
    /// without writable storage, `Unprocessable` when the format cannot hold the structure, `StorageFull`.
    pub async fn create(
        &self,
        path: &NodePath,
        structure: &Structure,
        mimetype: Option<&str>,
    ) -> Result<(String, Vec<Asset>)> {
        let family = structure.family();
        let mimetype = match mimetype.filter(|name| !name.is_empty()) {
            Some(name) => name,
            None => default_media_type(family).ok_or_else(|| {
                Error::unsupported_media_type(format!(
                    "Data of the structure family {family} cannot be written to this server."
                ))
            })?,
        };
        let format = format::by_media_type(mimetype)
            .filter(|format| format.creates().contains(&family))
            .ok_or_else(|| unwritable(mimetype, family))?;
        let wanted = self.options.places.writable()?.location_of(path);
        if path.is_root() {
            return Err(Error::unprocessable("The root of the tree cannot hold data."));
        }
        let location = blocking(move || wanted.create_dir_new()).await?;
        match format.create(&location, structure).await {
            Ok(assets) => Ok((format.media_type().to_owned(), assets)),
            Err(e) => {
                let removed = blocking(move || location.remove_all()).await;
                if let Err(e) = removed {
                    tracing::warn!("could not tidy up after a failed creation: {e}");
                }
                Err(e)
            }
        }
    }

    /// Removes assets that nothing refers to any more, with their bytes. Those outside the writable
    /// directories are left alone. Tries all before it reports the first error.
    ///
    /// # Errors
    /// `Forbidden` when the file system refuses, `Internal` for its other faults.
    pub async fn remove(&self, assets: &[Asset]) -> Result<()> {
        let mut places: Vec<Location> = Vec::new();
        for asset in assets {
            match self.options.places.locate_writable(&asset.data_uri) {
                Ok(location) => places.push(location),
                Err(e) => tracing::warn!("not removing an asset: {e}"),
            }
        }
        let mut result = Ok(());
        for some in places.chunks(REMOVED) {
            let some = some.to_vec();
            let removed = blocking(move || {
                let all: Vec<_> = some.iter().map(Location::remove).collect();
                let mut above: Vec<_> = some.iter().filter_map(Location::parent).collect();
                above.dedup_by_key(|place| place.absolute());
                let tidied: Vec<_> = above.iter().map(Location::tidy).collect();
                all.into_iter().chain(tidied).collect::<Result<()>>()
            });
            result = result.and(removed.await);
        }
        result
    }

    /// Opens an asset's file, or the file at `relative` below a directory asset: regular files only.
    ///
    /// # Errors
    /// `Malformed` when `relative` is missing for a directory, given for a file, or not a plain
    /// relative path; `Gone`, `Forbidden`.
    pub async fn open_asset(&self, asset: &Asset, relative: Option<&str>) -> Result<(File, Location)> {
        let location = self.options.places.locate(&asset.data_uri)?;
        let location = match (asset.is_directory, relative) {
            (true, Some(relative)) => location.join(relative)?,
            (false, None) => location,
            (true, None) => {
                return Err(Error::malformed(
                    "This asset is a directory. Name a file in it with relative_path, from the manifest at /asset/manifest.",
                ));
            }
            (false, Some(_)) => {
                return Err(Error::malformed("This asset is a file. Leave out relative_path."));
            }
        };
        blocking(move || Ok((location.open_file()?, location))).await
    }

    /// Relative paths of all files below a directory asset, sorted.
    ///
    /// # Errors
    /// `Malformed` when the asset is a file.
    pub async fn manifest(&self, asset: &Asset) -> Result<Vec<String>> {
        if !asset.is_directory {
            return Err(Error::malformed("This asset is not a directory. There is no manifest."));
        }
        let location = self.options.places.locate(&asset.data_uri)?;
        blocking(move || location.list_files_recursive()).await
    }
}

fn unreadable(mimetype: &str) -> Error {
    Error::unsupported_media_type(format!(
        "The given data source mimetype, {mimetype}, is not one that this server knows how to read."
    ))
}

fn unwritable(mimetype: &str, family: Family) -> Error {
    if mimetype.split(';').next().is_some_and(|bare| bare.trim() == "application/x-tiled-sql-table") {
        return Error::unprocessable(
            "Appendable tables in an SQL database cannot be created yet. Create a table with the mimetype application/x-parquet and append to its partitions.",
        );
    }
    let known: Vec<_> = format::FORMATS
        .iter()
        .filter(|format| format.creates().contains(&family))
        .map(|format| format.media_type())
        .collect();
    Error::unsupported_media_type(format!(
        "The given data source mimetype, {mimetype}, is not one that this server knows how to write. For the structure family {family} it writes: {}.",
        if known.is_empty() { "none".to_owned() } else { known.join(", ") }
    ))
}

/// The media type that new data of a family gets.
pub fn default_media_type(family: Family) -> Option<&'static str> {
    match family {
        Family::Array => Some("application/x-zarr"),
        Family::Table => Some("application/x-parquet"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use girih_model::{ArrayStructure, DType, ErrorKind};

    use super::*;
    use crate::conformance::{Room, source};

    fn structure() -> Structure {
        Structure::Array(ArrayStructure::new(DType::of("f8"), vec![4]))
    }

    #[tokio::test]
    async fn new_data_never_takes_the_place_of_old() {
        let room = Room::new();
        let path = NodePath::parse("a/b").unwrap();
        let (media_type, first) = room.storage.create(&path, &structure(), None).await.unwrap();
        assert_eq!(media_type, "application/x-zarr");
        let (_, second) = room.storage.create(&path, &structure(), Some("")).await.unwrap();
        assert_ne!(first[0].data_uri, second[0].data_uri);
        room.storage.remove(&second).await.unwrap();
        room.storage.open(&source(structure(), media_type, first)).await.unwrap();
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_refused_and_leaves_nothing() {
        let room = Room::new();
        let check = async |path: &str, structure: &Structure, media_type: &str, kind: ErrorKind| {
            let path = NodePath::parse(path).unwrap();
            let e = room.storage.create(&path, structure, Some(media_type)).await.unwrap_err();
            assert_eq!(e.kind(), kind, "{e}");
            assert_eq!(std::fs::read_dir(room.directory.path()).unwrap().count(), 0);
            e.message().to_owned()
        };
        let message = check("a", &structure(), "x/y", ErrorKind::UnsupportedMediaType).await;
        assert!(message.contains("x/y") && message.contains("application/x-zarr"), "{message}");
        check("a", &structure(), "application/x-parquet", ErrorKind::UnsupportedMediaType).await;
        check("", &structure(), "application/x-zarr", ErrorKind::Unprocessable).await;
        let container = Structure::Container(Default::default());
        check("a", &container, "", ErrorKind::UnsupportedMediaType).await;
        let huge = Structure::Array(ArrayStructure::new(DType::of("V2000000"), vec![1]));
        check("a/b", &huge, "", ErrorKind::Unprocessable).await;
        let readers = Storage::new(StorageOptions { places: Places::default() });
        let e = readers.create(&NodePath::parse("a").unwrap(), &structure(), None).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported);
    }

    #[tokio::test]
    async fn assets_are_files_within() {
        let room = Room::new();
        let data = room.create(&structure(), "application/x-zarr").await;
        let asset = &data.assets[0];
        let (mut file, place) = room.storage.open_asset(asset, Some("zarr.json")).await.unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert!(text.contains("zarr_format") && place.name() == "zarr.json");
        for (relative, kind) in [
            (None, ErrorKind::Malformed),
            (Some("../../../../etc/hostname"), ErrorKind::Malformed),
            (Some("/etc/hostname"), ErrorKind::Malformed),
            (Some("c/9"), ErrorKind::Gone),
        ] {
            assert_eq!(room.storage.open_asset(asset, relative).await.unwrap_err().kind(), kind, "{relative:?}");
        }
        let outside = Asset { data_uri: "file://localhost/etc/hostname".into(), is_directory: false, ..asset.clone() };
        assert_eq!(room.storage.open_asset(&outside, None).await.unwrap_err().kind(), ErrorKind::Forbidden);
        assert_eq!(room.storage.manifest(&outside).await.unwrap_err().kind(), ErrorKind::Malformed);
        room.storage.remove(&[outside]).await.unwrap();
    }
}
