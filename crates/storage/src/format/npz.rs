//! NumPy's archives of several arrays (`numpy.savez`): zip files of `.npy` files, as containers of arrays.
//!
//! What is stored as it is, is read where it lies. What is compressed can only be unpacked from its beginning on: that goes
//! stretch by stretch, and stretches that are asked for again are kept for a while.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufReader, Read, Seek, SeekFrom, Take};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use flate2::CrcReader;
use flate2::read::DeflateDecoder;
use girih_model::structure::ContainerStructure;
use girih_model::{Data, DataSource, Error, Family, Result, ResultExt, Selection, Structure};
use zip::{CompressionMethod, ZipArchive};

use super::chunked::copy::{Layout, c_strides, copy};
use super::chunked::recent::{self, Key, Use};
use super::chunked::{self, Chunks, Load};
use super::guard::guarded;
use super::npy::{self, Described};
use super::{Files, Format, Inspected, of_source};
use crate::dataset::{Dataset, positions};
use crate::place::file::Stamp;
use crate::place::{Location, Places};
use crate::pool::blocking;
use crate::survey::{distinct, key_of};

/// What compressed arrays are unpacked by, in bytes.
const STRETCH: u64 = 2 << 20;
/// How many stretches before the one that is asked for may be asked for later: readers are few, and about as far.
const PASSED: u64 = 4;
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
    Error::damaged(format!("The NumPy archive cannot be read: {why}."))
}

fn archive(file: File) -> Result<ZipArchive<BufReader<File>>> {
    let open = || ZipArchive::new(BufReader::new(file)).or_error(|e| damaged(e));
    guarded(open).unwrap_or_else(|| Err(damaged(&"it contradicts itself")))
}

struct Archive {
    location: Location,
    /// With the names of their entries: no key has a slash.
    keys: Vec<(String, String)>,
}

impl Archive {
    fn open(location: Location) -> Result<Self> {
        let context = |e: Error| e.context(format!("reading {}", location.absolute().display()));
        let archive = archive(location.open_file()?).map_err(context)?;
        if archive.len() > MAX_ENTRIES {
            return Err(damaged(&format!("it has more than {MAX_ENTRIES} entries")));
        }
        let names = archive.file_names().filter_map(|name| Some(name.ok()?.into_owned()));
        let names: Vec<String> = names.filter(|name| name.ends_with(ENDING)).collect();
        let keys = distinct(names.iter().map(|name| key_of(name.strip_suffix(ENDING).unwrap_or(name), true)));
        Ok(Self { location, keys: keys.into_iter().zip(names).collect() })
    }
}

#[async_trait]
impl Dataset for Archive {
    fn structure(&self) -> Structure {
        Structure::Container(ContainerStructure { keys: self.keys.iter().map(|(key, _)| key.clone()).collect() })
    }

    async fn read(&self, _: &Selection) -> Result<Data> {
        Err(Error::unsupported("A NumPy archive is not read as one. Read its arrays."))
    }

    async fn keys(&self) -> Result<Vec<String>> {
        Ok(self.keys.iter().map(|(key, _)| key.clone()).collect())
    }

    async fn child(&self, key: &str) -> Result<Option<Arc<dyn Dataset>>> {
        let Some((_, name)) = self.keys.iter().find(|(known, _)| known == key) else { return Ok(None) };
        let (location, name) = (self.location.clone(), name.clone());
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
    if entry.encrypted() {
        return Err(Error::unsupported("Archives that are encrypted are not read."));
    }
    let start = entry.data_start().ok_or_else(|| damaged(&"an entry lies nowhere"))?;
    let (stored, size, checksum) = (entry.compressed_size(), entry.size(), entry.crc32());
    match entry.compression() {
        CompressionMethod::Stored => npy::part(location, start, size),
        CompressionMethod::Deflated => {
            drop(entry);
            Ok(Arc::new(PackedArray(Arc::new(Packed::new(location, Entry { start, stored, size, checksum })?))))
        }
        other => Err(Error::unsupported(format!("Archives with the compression {other} are not read."))),
    }
}

/// An entry that is compressed, in bytes.
#[derive(Debug, Clone, Copy, Hash)]
struct Entry {
    start: u64,
    stored: u64,
    /// When it is unpacked.
    size: u64,
    checksum: u32,
}

impl Entry {
    fn unpack(&self, mut file: File) -> Result<Unpacked> {
        file.seek(SeekFrom::Start(self.start)).or_error(|e| damaged(e))?;
        Ok(CrcReader::new(DeflateDecoder::new(file.take(self.stored))))
    }
}

type Unpacked = CrcReader<DeflateDecoder<Take<File>>>;

/// An array that is compressed. From the beginning on, it can be read in stretches.
struct Packed {
    location: Location,
    entry: Entry,
    described: Described,
    /// The shape of a stretch.
    grid: Vec<u64>,
}

impl Packed {
    fn new(location: Location, entry: Entry) -> Result<Self> {
        let described = npy::described(entry.unpack(location.open_file()?)?)?;
        if described.end > entry.size {
            return Err(damaged(&"an array is shorter than it says"));
        }
        let (shape, itemsize) = (described.structure.shape.clone(), described.item.size);
        let turn = |mut axes: Vec<u64>| {
            if described.fortran_order {
                axes.reverse();
            }
            axes
        };
        let grid = turn(chunked::stretch(&turn(shape), itemsize, STRETCH));
        chunked::chunk_bytes(&grid, itemsize)?;
        Ok(Self { location, entry, described, grid })
    }

    /// As they lie in the archive.
    fn itemsize(&self) -> usize {
        self.described.item.size
    }

    /// Bytes of a whole stretch.
    fn stretch(&self) -> usize {
        self.grid.iter().product::<u64>() as usize * self.itemsize()
    }

    /// Axes in the order in which the items lie, slowest first.
    fn axes(&self) -> Vec<usize> {
        let axes = 0..self.grid.len();
        if self.described.fortran_order { axes.rev().collect() } else { axes.collect() }
    }

    /// How many stretches come before this one.
    fn number(&self, index: &[u64]) -> u64 {
        let shape = &self.described.structure.shape;
        self.axes().into_iter().fold(0, |number, axis| number * shape[axis].div_ceil(self.grid[axis]) + index[axis])
    }

    /// Bytes of a stretch; those at the end of an axis are shorter.
    fn nbytes(&self, mut number: u64) -> usize {
        let shape = &self.described.structure.shape;
        let mut items = 1;
        for axis in self.axes().into_iter().rev() {
            let (len, count) = (self.grid[axis], shape[axis].div_ceil(self.grid[axis]).max(1));
            items *= len.min(shape[axis] - (number % count) * len);
            number /= count;
        }
        items as usize * self.itemsize()
    }

    /// In C order, as they lie in the archive in whatever order.
    fn turned(&self, items: Vec<u8>) -> Vec<u8> {
        let items = self.described.item.pack(items);
        if !self.described.fortran_order {
            return items;
        }
        let itemsize = self.described.structure.dtype.itemsize();
        let reversed: Vec<u64> = self.grid.iter().rev().copied().collect();
        let from = Layout { start: 0, strides: c_strides(&reversed, itemsize).into_iter().rev().collect() };
        let to = Layout { start: 0, strides: c_strides(&self.grid, itemsize) };
        let mut turned = vec![0; items.len()];
        copy(&mut turned, &to, &items, &from, &self.grid, itemsize);
        turned
    }
}

struct PackedArray(Arc<Packed>);

#[async_trait]
impl Dataset for PackedArray {
    fn structure(&self) -> Structure {
        Structure::Array(self.0.described.structure.clone())
    }

    async fn read(&self, selection: &Selection) -> Result<Data> {
        let structure = &self.0.described.structure;
        let region = positions(structure, selection)?;
        Ok(Data::Array(chunked::read(&self.0, &structure.dtype, region).await?))
    }
}

impl Chunks for Packed {
    type Open = Stretches;

    fn grid(&self) -> &[u64] {
        &self.grid
    }

    fn open(self: &Arc<Self>) -> Result<Stretches> {
        let stamp = Stamp::of(&self.location.open_file()?);
        let mut hasher = DefaultHasher::new();
        (&self.entry, &self.grid).hash(&mut hasher);
        Ok(Stretches { packed: self.clone(), stamp, layout: hasher.finish(), state: Mutex::default() })
    }
}

/// The stretches of an array, unpacked one after another.
struct Stretches {
    packed: Arc<Packed>,
    stamp: Option<Stamp>,
    layout: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    unpacked: Option<Unpacked>,
    /// The stretch that comes next.
    next: u64,
    /// Those that were passed on the way to a later one, and may be asked for yet.
    passed: Vec<(u64, Vec<u8>)>,
}

impl Stretches {
    fn unpack(&self, number: u64) -> Result<Vec<u8>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = state.passed.iter().position(|(passed, _)| *passed == number) {
            return Ok(state.passed.swap_remove(at).1);
        }
        let unpacked = state.unpacked.take().filter(|_| state.next <= number);
        let mut unpacked = match unpacked {
            Some(unpacked) => unpacked,
            None => self.begin(&mut state)?,
        };
        let size = self.packed.stretch();
        loop {
            let (next, nbytes) = (state.next, self.packed.nbytes(state.next));
            let mut items = vec![0; nbytes];
            unpacked.read_exact(&mut items).or_error(|e| damaged(e))?;
            state.next += 1;
            items.resize(size, 0);
            if next == number {
                self.check(&mut unpacked)?;
                state.unpacked = Some(unpacked);
                return Ok(items);
            }
            if number - next <= PASSED {
                state.passed.retain(|(passed, _)| number - passed <= PASSED);
                state.passed.push((next, items));
            }
        }
    }

    fn begin(&self, state: &mut State) -> Result<Unpacked> {
        let mut unpacked = self.packed.entry.unpack(self.packed.location.open_file()?)?;
        let start = self.packed.described.start;
        std::io::copy(&mut Read::by_ref(&mut unpacked).take(start), &mut std::io::sink()).or_error(|e| damaged(e))?;
        (state.next, state.passed) = (0, Vec::new());
        Ok(unpacked)
    }

    /// What was read to its end must be what was packed.
    fn check(&self, unpacked: &mut Unpacked) -> Result<()> {
        let entry = &self.packed.entry;
        if unpacked.get_ref().total_out() == entry.size && unpacked.crc().sum() != entry.checksum {
            return Err(damaged(&"its checksum does not fit"));
        }
        Ok(())
    }
}

impl Load for Stretches {
    fn load(&self, index: &[u64], wanted: Use) -> Result<Option<Bytes>> {
        let number = self.packed.number(index);
        let key = self.stamp.map(|stamp| Key { stamp, layout: self.layout, number });
        let nbytes = self.packed.stretch();
        let items = recent::chunk(key, nbytes, wanted, || Ok(self.packed.turned(self.unpack(number)?)));
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

    fn npy(shape: &str, fortran_order: &str, items: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '<u2', 'fortran_order': {fortran_order}, 'shape': {shape}, }}");
        let mut npy = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        npy.extend(format!("{header:117}\n").bytes());
        npy.extend(items);
        npy
    }

    fn zipped(entries: &[(&str, CompressionMethod, Vec<u8>)]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, method, npy) in entries {
            zip.start_file(*name, SimpleFileOptions::default().compression_method(*method)).unwrap();
            zip.write_all(npy).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn packed() -> Vec<u8> {
        let npy = npy("(5, 6)", "False", &items());
        zipped(&[
            ("plain.npy", CompressionMethod::Stored, npy.clone()),
            ("small.npy", CompressionMethod::Deflated, npy),
        ])
    }

    #[test]
    fn keys_have_no_slashes() {
        let npy = npy("(5, 6)", "False", &items());
        let content = zipped(&["a/b.npy", "a_b.npy", "c"].map(|name| (name, CompressionMethod::Stored, npy.clone())));
        block_on(async {
            let room = Room::new();
            let archive = opened(&room, &content).await.unwrap();
            assert_eq!(archive.keys().await.unwrap(), ["a_b", "a_b~2"]);
            for key in ["a_b", "a_b~2"] {
                let array = archive.child(key).await.unwrap().unwrap();
                assert_eq!(gather(array.read(&Selection::all()).await.unwrap()).await.1, items());
            }
        });
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

    #[test]
    fn large_arrays_are_unpacked_in_stretches() {
        let shape = [3 * (STRETCH / 8), 7];
        let numbers = |n: u64| (n as u16).to_le_bytes();
        let rows: Vec<u8> = (0..shape[0] * 7).flat_map(numbers).collect();
        let columns: Vec<u8> = (0..7).flat_map(|x| (0..shape[0]).flat_map(move |y| numbers(y * 7 + x))).collect();
        let text = format!("({}, 7)", shape[0]);
        let content = zipped(&[
            ("rows.npy", CompressionMethod::Deflated, npy(&text, "False", &rows)),
            ("columns.npy", CompressionMethod::Deflated, npy(&text, "True", &columns)),
        ]);
        block_on(async {
            let room = Room::new();
            let archive = opened(&room, &content).await.unwrap();
            for key in ["rows", "columns"] {
                let array = archive.child(key).await.unwrap().unwrap();
                for slice in ["", "5:,6", "::-7", "-1", "::300000,1:3"] {
                    let slice = girih_model::Slice::parse(slice).unwrap();
                    let region = slice.fit(&shape).unwrap();
                    let got = gather(array.read(&Selection::slice(slice)).await.unwrap()).await.1;
                    assert!(got == pick(&rows, &shape, 2, &region), "{key} {region:?}");
                }
            }
        });
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
