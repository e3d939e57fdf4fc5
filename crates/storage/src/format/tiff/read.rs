//! TIFF read where it lies: the pages of a file as one array, of which only the strips and tiles are decoded that a
//! selection touches.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use girih_model::dtype::{Kind, ScalarType};
use girih_model::{ArrayStructure, Data, DataSource, Error, ErrorKind, Result, Selection, Structure};
use tiff::decoder::Decoder;

use super::pages::{Geometry, PageReader, Pages, damaged, decoded, geometry};
use super::{inspect, lzw};
use crate::dataset::{Dataset, positions};
use crate::format::chunked::recent::{self, Key, Use};
use crate::format::chunked::{self, Chunks, Load};
use crate::format::reshaped::reshaped;
use crate::format::sequence::{self, Frame};
use crate::place::file::Stamp;
use crate::place::{Location, Places};
use crate::pool::blocking;

/// Strips are put together to chunks of about so many bytes.
const CHUNK: u64 = 1 << 20;

pub(super) async fn open(source: &DataSource, places: &Places) -> Result<Arc<dyn Dataset>> {
    let Structure::Array(structure) = &source.structure else {
        return Err(Error::unprocessable("A TIFF file holds an array."));
    };
    let [asset] = source.assets.as_slice() else {
        return Err(Error::unprocessable("An array in a TIFF file has one asset, the file."));
    };
    let (location, structure) = (places.locate(&asset.data_uri)?, structure.clone());
    blocking(move || -> Result<Arc<dyn Dataset>> {
        match TiffChunks::new(location.clone(), structure.clone()) {
            Ok(chunks) => Ok(Arc::new(TiffArray(Arc::new(chunks)))),
            Err(e) if e.kind() == ErrorKind::Unprocessable => {
                // The same items under another shape.
                let natural = inspect::pages(&location)?;
                let chunks = TiffChunks::new(location, natural)?;
                reshaped(Arc::new(TiffArray(Arc::new(chunks))), &structure)
            }
            Err(e) => Err(e),
        }
    })
    .await
}

/// Files of a sequence.
pub(in crate::format) struct Frames;

impl sequence::Frames for Frames {
    fn media_type(&self) -> &'static str {
        "multipart/related;type=image/tiff"
    }

    fn inspect(&self, file: &Location) -> Result<Frame> {
        inspect::inspect(file)
    }

    fn grid(&self, file: &Location, frame: &ArrayStructure) -> Result<Vec<u64>> {
        Ok(TiffChunks::new(file.clone(), frame.clone())?.grid)
    }

    fn open(&self, file: &Location, frame: &ArrayStructure) -> Result<Box<dyn Load>> {
        Ok(Box::new(Arc::new(TiffChunks::new(file.clone(), frame.clone())?).open()?))
    }
}

struct TiffArray(Arc<TiffChunks>);

#[async_trait]
impl Dataset for TiffArray {
    fn structure(&self) -> Structure {
        Structure::Array(self.0.structure.clone())
    }

    async fn read(&self, selection: &Selection) -> Result<Data> {
        let region = positions(&self.0.structure, selection)?;
        Ok(Data::Array(chunked::read(&self.0, &self.0.structure.dtype, region).await?))
    }
}

/// The file as it was when it was opened.
struct TiffChunks {
    location: Location,
    structure: ArrayStructure,
    geometry: Geometry,
    grid: Vec<u64>,
    /// Strips that make a chunk.
    strips: u32,
    /// Axes before those of a page.
    leading: usize,
    /// Stands for all of this among the chunks of the file.
    layout: u64,
}

impl TiffChunks {
    fn new(location: Location, structure: ArrayStructure) -> Result<Self> {
        let pages = Pages::of(&Arc::new(location.open_file()?)).map_err(|e| at(e, &location))?;
        let geometry = pages.first;
        let (h, w, s) = (u64::from(geometry.height), u64::from(geometry.width), u64::from(geometry.samples));
        let page = match (geometry.samples, geometry.is_planar) {
            (1, _) => vec![h, w],
            (_, false) => vec![h, w, s],
            (_, true) => vec![s, h, w],
        };
        let leading = structure.shape.len().checked_sub(page.len());
        let leading = leading.filter(|leading| structure.shape[*leading..] == page).ok_or_else(|| {
            Error::unprocessable(format!(
                "The file does not have the structure that is registered: its pages have the shape {page:?}. Register it again."
            ))
        })?;
        let itemsize = structure.dtype.itemsize().max(1) as u64;
        let strip = u64::from(geometry.chunk_height) * w * if geometry.is_planar { 1 } else { s } * itemsize;
        let strips = match geometry.is_tiled {
            true => 1,
            false => (CHUNK / strip.max(1)).clamp(1, u64::from(geometry.chunks_down())) as u32,
        };
        let rows = u64::from(geometry.chunk_height).saturating_mul(strips.into());
        let rows = if geometry.is_tiled { rows } else { rows.min(h) };
        let columns = u64::from(geometry.chunk_width);
        let mut grid = vec![1; leading];
        grid.extend(match (geometry.samples, geometry.is_planar) {
            (1, _) => vec![rows, columns],
            (_, false) => vec![rows, columns, s],
            (_, true) => vec![1, rows, columns],
        });
        let mut hasher = DefaultHasher::new();
        (structure.dtype.to_string(), &grid).hash(&mut hasher);
        let layout = hasher.finish();
        Ok(Self { location, structure, geometry, grid, strips, leading, layout })
    }

    fn nbytes(&self) -> usize {
        self.grid.iter().product::<u64>() as usize * self.structure.dtype.itemsize()
    }
}

fn at(e: Error, location: &Location) -> Error {
    e.context(format!("reading {}", location.absolute().display()))
}

impl Chunks for TiffChunks {
    type Open = OpenTiff;

    fn grid(&self) -> &[u64] {
        &self.grid
    }

    fn open(self: &Arc<Self>) -> Result<OpenTiff> {
        let file = Arc::new(self.location.open_file()?);
        let pages = Pages::of(&file).map_err(|e| at(e, &self.location))?;
        if pages.first != self.geometry {
            return Err(Error::gone("The file was replaced by one of another structure. Register it again."));
        }
        Ok(OpenTiff { chunks: self.clone(), stamp: Stamp::of(&file), file, pages })
    }
}

struct OpenTiff {
    chunks: Arc<TiffChunks>,
    file: Arc<File>,
    stamp: Option<Stamp>,
    pages: Arc<Pages>,
}

impl Load for OpenTiff {
    fn load(&self, index: &[u64], wanted: Use) -> Result<Option<Bytes>> {
        let chunks = &self.chunks;
        let (leading, shape) = (&index[..chunks.leading], &chunks.structure.shape);
        let page = leading.iter().zip(shape).fold(0, |page, (n, len)| page * len + n);
        if page >= self.pages.offsets.len() as u64 {
            return Err(at(
                Error::busy(format!(
                    "The file has {} pages so far, and page {page} was asked for. It may still be growing: try again.",
                    self.pages.offsets.len()
                )),
                &chunks.location,
            ));
        }
        let within = &index[chunks.leading..];
        let (plane, row, column) = match (chunks.geometry.is_planar, within) {
            (true, [plane, row, column]) => (*plane, *row, *column),
            (_, [row, column, ..]) => (0, *row, *column),
            _ => return Err(damaged(&"its pages have no axes")),
        };
        let (down, across) = (chunks.geometry.chunks_down(), chunks.geometry.chunks_across());
        let planes = page * u64::from(chunks.geometry.samples) + plane;
        let number = (planes * u64::from(down) + row) * u64::from(across) + column;
        let decode = || {
            let mut decoder = self.pages.decoder(&self.file, page as usize)?;
            if geometry(&mut decoder)? != chunks.geometry {
                return Err(damaged(&format!("page {page} is another than the first")));
            }
            self.decode(&mut decoder, plane as u32, row as u32, column as u32)
        };
        let key = self.stamp.map(|stamp| Key { stamp, layout: chunks.layout, number });
        recent::chunk(key, chunks.nbytes(), wanted, decode).map(Some).map_err(|e| at(e, &chunks.location))
    }
}

impl OpenTiff {
    fn decode(&self, decoder: &mut Decoder<PageReader>, plane: u32, row: u32, column: u32) -> Result<Vec<u8>> {
        let geometry = &self.chunks.geometry;
        let per_plane = geometry.chunks_across() * geometry.chunks_down();
        let mut items = Vec::with_capacity(self.chunks.nbytes());
        if geometry.is_tiled {
            let number = plane * per_plane + row * geometry.chunks_across() + column;
            let (tile, width) = self.part(decoder, number)?;
            // At the right edge it is narrower.
            let full = self.row_bytes(geometry.chunk_width);
            for line in tile.chunks_exact(self.row_bytes(width).max(1)) {
                items.extend_from_slice(line);
                items.resize(items.len().next_multiple_of(full.max(1)), 0);
            }
        } else {
            let first = row * self.chunks.strips;
            for strip in first..(first + self.chunks.strips).min(geometry.chunks_down()) {
                items.extend(self.part(decoder, plane * per_plane + strip)?.0);
            }
        }
        items.resize(self.chunks.nbytes(), 0);
        Ok(items)
    }

    fn row_bytes(&self, width: u32) -> usize {
        let geometry = &self.chunks.geometry;
        let samples = if geometry.is_planar { 1 } else { geometry.samples };
        width as usize * samples as usize * self.chunks.structure.dtype.itemsize()
    }

    /// A strip or tile, as items of the structure's dtype, and how wide it is.
    fn part(&self, decoder: &mut Decoder<PageReader>, number: u32) -> Result<(Vec<u8>, u32)> {
        let geometry = &self.chunks.geometry;
        let (width, height) = decoder.chunk_data_dimensions(number);
        if geometry.is_lzw && geometry.bits >= 8 {
            let mut items = lzw::decode(&self.file, decoder, geometry, self.pages.header, number, (width, height))?;
            self.check(&items, width, height)?;
            self.turn(&mut items)?;
            return Ok((items, width));
        }
        let mut part = decoded(|| decoder.read_chunk(number))?;
        let buffer = part.as_buffer(0);
        let mut items = match geometry.bits {
            1 => unpacked(buffer.as_bytes(), width as usize),
            _ => buffer.as_bytes().to_vec(),
        };
        self.check(&items, width, height)?;
        self.restore(&mut items)?;
        self.turn(&mut items)?;
        Ok((items, width))
    }

    fn check(&self, items: &[u8], width: u32, height: u32) -> Result<()> {
        if items.len() != height as usize * self.row_bytes(width) {
            return Err(Error::unprocessable(format!(
                "The file does not have the structure that is registered: its samples have {} bits. Register it again.",
                self.chunks.geometry.bits
            )));
        }
        Ok(())
    }

    fn scalar(&self) -> Result<&ScalarType> {
        let scalar = self.chunks.structure.dtype.as_scalar();
        scalar.ok_or_else(|| Error::unprocessable("The items of a TIFF file are numbers."))
    }

    /// Undoes what the library has done for the eye.
    fn restore(&self, items: &mut [u8]) -> Result<()> {
        let scalar = self.scalar()?;
        if self.chunks.geometry.is_inverted {
            match scalar.kind {
                Kind::Uint => items.iter_mut().for_each(|byte| *byte = !*byte),
                Kind::Bool => items.iter_mut().for_each(|byte| *byte ^= 1),
                _ => {
                    return Err(Error::unsupported(
                        "TIFF files of signed or real numbers where zero is white are not read.",
                    ));
                }
            }
        }
        Ok(())
    }

    /// From little-endian to what the structure wants.
    fn turn(&self, items: &mut [u8]) -> Result<()> {
        let scalar = self.scalar()?;
        if scalar.is_big() {
            items.chunks_exact_mut(scalar.swap_width().max(1)).for_each(<[u8]>::reverse);
        }
        Ok(())
    }
}

/// Samples of one bit, the first in the highest, each row in whole bytes.
fn unpacked(bytes: &[u8], width: usize) -> Vec<u8> {
    let rows = bytes.chunks_exact(width.div_ceil(8).max(1));
    rows.flat_map(|row| (0..width).map(move |n| row[n / 8] >> (7 - n % 8) & 1)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use futures::{StreamExt, TryStreamExt, stream};
    use girih_model::{ArrayData, Asset, DType, ErrorKind};
    use proptest::prelude::*;

    use crate::conformance::{Room, block_on, pick, slices, source};
    use crate::format::{EncodeOptions, Format};

    use super::super::Tiff;
    use super::*;

    const SHAPE: [u64; 3] = [3, 20, 31];

    fn structure() -> ArrayStructure {
        ArrayStructure::new(DType::of("u2"), SHAPE.to_vec())
    }

    fn items() -> Vec<u8> {
        (0..SHAPE.iter().product::<u64>()).flat_map(|n| (n as u16).wrapping_mul(331).to_le_bytes()).collect()
    }

    /// As we write it ourselves.
    async fn file() -> Vec<u8> {
        let pieces = stream::iter([Ok(Bytes::from(items()))]).boxed();
        let data = Data::Array(ArrayData { dtype: DType::of("u2"), shape: SHAPE.to_vec(), pieces });
        let encoded = Tiff.encode(data, &EncodeOptions::default()).await.unwrap();
        encoded.body.try_collect::<Vec<_>>().await.unwrap().concat()
    }

    async fn read(room: &Room, content: &[u8], selection: &Selection) -> Result<Vec<u8>> {
        let path = room.directory.path().join("a.tif");
        std::fs::write(&path, content).unwrap();
        // Old enough for what is read of it to be remembered.
        let old = SystemTime::now() - Duration::from_secs(9);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
        let asset = Asset {
            data_uri: format!("file://localhost{}", path.display()),
            is_directory: false,
            size: None,
            parameter: Some("data_uri".into()),
            num: None,
            id: None,
        };
        let source = source(Structure::Array(structure()), "image/tiff".into(), vec![asset]);
        let Data::Array(data) = room.storage.open(&source).await?.read(selection).await? else { panic!("an array") };
        Ok(data.pieces.try_collect::<Vec<_>>().await?.concat())
    }

    proptest! {
        #[test]
        fn any_slice_is_that_of_the_array(slice in slices(SHAPE.to_vec())) {
            block_on(async {
                let room = Room::new();
                let fitted = slice.fit(&SHAPE).unwrap();
                let got = read(&room, &file().await, &Selection::slice(slice)).await.unwrap();
                assert_eq!(got, pick(&items(), &SHAPE, 2, &fitted));
            });
        }

        #[test]
        fn damage_is_an_error(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            block_on(async {
                let room = Room::new();
                let mut content = file().await;
                // The directories come first.
                let head = content.len() - items().len();
                for (at, byte) in changes {
                    content[at.index(head)] = byte;
                }
                if let Some(cut) = cut {
                    content.truncate(cut.index(content.len()));
                }
                if let Err(e) = read(&room, &content, &Selection::all()).await {
                    assert_ne!(e.kind(), ErrorKind::Internal, "{e}");
                }
            });
        }
    }
}
