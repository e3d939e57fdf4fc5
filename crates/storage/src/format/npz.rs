//! NumPy's archives of several arrays (`numpy.savez`): zip files of `.npy` files, as containers of arrays.
//!
//! What is stored as it is, is read where it lies. What is compressed is unpacked as a whole and kept for a while.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufReader, Read};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use girih_model::structure::ContainerStructure;
use girih_model::{ArrayStructure, Data, DataSource, Error, Family, Result, ResultExt, Selection, Structure};
use zip::{CompressionMethod, ZipArchive};

use super::chunked::recent::{self, Key, Use};
use super::chunked::{self, Chunks, Load};
use super::guard::guarded;
use super::npy::{self, Unpacked};
use super::{Files, Format, Inspected, of_source};
use crate::dataset::{Dataset, positions};
use crate::place::file::Stamp;
use crate::place::{Location, Places};
use crate::pool::blocking;

/// Largest compressed array, in bytes.
const MAX_UNPACKED: u64 = 256 << 20;
/// Most arrays of an archive.
const MAX_ENTRIES: usize = 1 << 16;
const ENDING: &str = ".npy";

pub struct Npz;

#[async_trait]
impl Format for Npz {
    fn media_type(&self) -> &'static str {
        "application/x-npz"
    }

    fn suffixes(&self) -> &'static [&'static str] {
        &["npz"]
    }

    fn opens(&self) -> &'static [Family] {
        &[Family::Container]
    }

    async fn inspect(&self, files: &Files, places: &Places) -> Result<Inspected> {
        let location = files.locate_one(places)?;
        Ok(blocking(move || Archive::open(location)).await?.structure().into())
    }

    async fn open(&self, source: &DataSource, places: &Places) -> Result<Arc<dyn Dataset>> {
        let Structure::Container(_) = &source.structure else {
            return Err(Error::unprocessable("A NumPy archive is a container of arrays. Register it as one."));
        };
        let location = of_source(&source.assets, places)?.remove(0);
        Ok(Arc::new(blocking(move || Archive::open(location)).await?))
    }
}

fn damaged(why: &dyn std::fmt::Display) -> Error {
    Error::unprocessable(format!("The NumPy archive cannot be read: {why}."))
}

fn archive(file: File) -> Result<ZipArchive<BufReader<File>>> {
    let open = || ZipArchive::new(BufReader::new(file)).or_error(|e| damaged(e));
    guarded(open).unwrap_or_else(|| Err(damaged(&"it contradicts itself")))
}

struct Archive {
    location: Location,
    keys: Vec<String>,
}

impl Archive {
    fn open(location: Location) -> Result<Self> {
        let context = |e: Error| e.context(format!("reading {}", location.absolute().display()));
        let archive = archive(location.open_file()?).map_err(context)?;
        if archive.len() > MAX_ENTRIES {
            return Err(damaged(&format!("it has more than {MAX_ENTRIES} entries")));
        }
        let keys = archive.file_names().filter_map(|name| Some(name.ok()?.strip_suffix(ENDING)?.to_owned())).collect();
        Ok(Self { location, keys })
    }
}

#[async_trait]
impl Dataset for Archive {
    fn structure(&self) -> Structure {
        Structure::Container(ContainerStructure { keys: self.keys.clone() })
    }

    async fn read(&self, _: &Selection) -> Result<Data> {
        Err(Error::unsupported("A NumPy archive is not read as one. Read its arrays."))
    }

    async fn keys(&self) -> Result<Vec<String>> {
        Ok(self.keys.clone())
    }

    async fn child(&self, key: &str) -> Result<Option<Arc<dyn Dataset>>> {
        if !self.keys.iter().any(|known| known == key) {
            return Ok(None);
        }
        let (location, name) = (self.location.clone(), format!("{key}{ENDING}"));
        blocking(move || {
            let opened = member(location.clone(), &name);
            opened.map(Some).map_err(|e| e.context(format!("reading {}", location.absolute().display())))
        })
        .await
    }
}

fn member(location: Location, name: &str) -> Result<Arc<dyn Dataset>> {
    let mut archive = archive(location.open_file()?)?;
    let entry = archive.by_name(name).or_error(|e| damaged(e))?;
    if entry.compression() == CompressionMethod::Stored && !entry.encrypted() {
        let start = entry.data_start().ok_or_else(|| damaged(&"an entry lies nowhere"))?;
        return npy::part(location, start, entry.size());
    }
    drop(entry);
    let packed = Packed { location, name: name.to_owned() };
    let structure = packed.unpack()?.structure()?;
    Ok(Arc::new(PackedArray(Arc::new(Whole { packed, structure }))))
}

/// An entry that is compressed.
struct Packed {
    location: Location,
    name: String,
}

impl Packed {
    fn unpack(&self) -> Result<Unpacked> {
        let mut archive = archive(self.location.open_file()?)?;
        let entry = archive.by_name(&self.name).or_error(|e| damaged(e))?;
        let mut bytes = Vec::new();
        entry.take(MAX_UNPACKED + 1).read_to_end(&mut bytes).or_error(|e| damaged(e))?;
        if bytes.len() as u64 > MAX_UNPACKED {
            return Err(Error::unsupported(format!(
                "Compressed arrays of more than {MAX_UNPACKED} bytes are not read. Save them with numpy.savez instead of savez_compressed."
            )));
        }
        Unpacked::new(bytes)
    }
}

struct Whole {
    packed: Packed,
    structure: ArrayStructure,
}

struct PackedArray(Arc<Whole>);

#[async_trait]
impl Dataset for PackedArray {
    fn structure(&self) -> Structure {
        Structure::Array(self.0.structure.clone())
    }

    async fn read(&self, selection: &Selection) -> Result<Data> {
        let region = positions(&self.0.structure, selection)?;
        Ok(Data::Array(chunked::read(&self.0, &self.0.structure.dtype, region).await?))
    }
}

impl Chunks for Whole {
    type Open = Arc<Whole>;

    fn grid(&self) -> &[u64] {
        &self.structure.shape
    }

    fn open(self: &Arc<Self>) -> Result<Arc<Whole>> {
        Ok(self.clone())
    }
}

impl Load for Arc<Whole> {
    fn load(&self, _: &[u64], wanted: Use) -> Result<Option<Bytes>> {
        let mut hasher = DefaultHasher::new();
        self.packed.name.hash(&mut hasher);
        let stamp = Stamp::of(&self.packed.location.open_file()?);
        let key = stamp.map(|stamp| Key { stamp, layout: hasher.finish(), number: 0 });
        let nbytes = self.structure.nbytes().unwrap_or_default() as usize;
        let items = recent::chunk(key, nbytes, wanted, || self.packed.unpack()?.items());
        let context = |e: Error| e.context(format!("reading {}", self.packed.location.absolute().display()));
        Ok(Some(items.map_err(context)?))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use girih_model::{Asset, ErrorKind};
    use proptest::prelude::*;
    use zip::write::SimpleFileOptions;

    use crate::conformance::{Room, block_on, gather, pick, slices, source};

    use super::*;

    const SHAPE: [u64; 2] = [5, 6];

    fn items() -> Vec<u8> {
        (0..30u16).flat_map(u16::to_le_bytes).collect()
    }

    fn packed() -> Vec<u8> {
        let mut npy = b"\x93NUMPY\x01\x00\x46\x00{'descr': '<u2', 'fortran_order': False, 'shape': (5, 6), }".to_vec();
        npy.resize(79, b' ');
        npy.push(b'\n');
        npy.extend(items());
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, method) in [("plain.npy", CompressionMethod::Stored), ("small.npy", CompressionMethod::Deflated)] {
            zip.start_file(name, SimpleFileOptions::default().compression_method(method)).unwrap();
            zip.write_all(&npy).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    async fn opened(room: &Room, content: &[u8]) -> Result<Arc<dyn Dataset>> {
        let path = room.directory.path().join("a.npz");
        std::fs::write(&path, content).unwrap();
        let asset = Asset {
            data_uri: format!("file://localhost{}", path.display()),
            is_directory: false,
            size: None,
            parameter: Some("data_uri".into()),
            num: None,
            id: None,
        };
        let media_type = Npz.media_type().to_owned();
        let files = Files { media_type: media_type.clone(), parameters: Default::default(), assets: vec![asset] };
        let found = room.storage.inspect(&files).await?;
        room.storage.open(&source(found.structure, media_type, files.assets)).await
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_slice_is_that_of_the_array(slice in slices(SHAPE.to_vec()), is_plain: bool) {
            block_on(async {
                let room = Room::new();
                let archive = opened(&room, &packed()).await.unwrap();
                assert_eq!(archive.keys().await.unwrap(), ["plain", "small"]);
                let array = archive.child(if is_plain { "plain" } else { "small" }).await.unwrap().unwrap();
                let region = slice.fit(&SHAPE).unwrap();
                let got = gather(array.read(&Selection::slice(slice)).await.unwrap()).await.1;
                assert_eq!(got, pick(&items(), &SHAPE, 2, &region));
            });
        }

        #[test]
        fn damage_is_an_error(at: prop::sample::Index, byte: u8) {
            block_on(async {
                let room = Room::new();
                let mut content = packed();
                let n = at.index(content.len());
                content[n] = byte;
                let read = async {
                    let archive = opened(&room, &content).await?;
                    for key in archive.keys().await? {
                        if let Some(array) = archive.child(&key).await?
                            && let Data::Array(data) = array.read(&Selection::all()).await?
                        {
                            data.collect(1 << 30).await?;
                        }
                    }
                    Ok::<_, Error>(())
                };
                if let Err(e) = read.await {
                    assert_ne!(e.kind(), ErrorKind::Internal, "{e}");
                }
            });
        }
    }
}
