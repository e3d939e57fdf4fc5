//! TIFF read where it lies: the pages of a file as one array, of which only the strips and tiles are decoded, and only the
//! rows are read, that a selection touches.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use girih_model::slice::Axis;
use girih_model::{ArrayStructure, Data, DataSource, Error, Result, Selection, Structure};

use super::ifd::Source;
use super::inspect;
use super::page::Page;
use super::segment::Segments;
use super::series::{Frames as Pages, Series};
use crate::dataset::{Dataset, positions};
use crate::format::chunked::recent::{self, Key, Use};
use crate::format::chunked::{self, Chunks, Load};
use crate::format::reshaped::reshaped;
use crate::format::sequence::{self, Frame};
use crate::place::file::Stamp;
use crate::place::{Location, Places};
use crate::pool::blocking;

pub(super) async fn open(source: &DataSource, places: &Places) -> Result<Arc<dyn Dataset>> {
    let Structure::Array(structure) = &source.structure else {
        return Err(Error::unprocessable("A TIFF file holds an array."));
    };
    let [asset] = source.assets.as_slice() else {
        return Err(Error::unprocessable("An array in a TIFF file has one asset, the file."));
    };
    let (location, structure) = (places.locate(&asset.data_uri)?, structure.clone());
    blocking(move || {
        let chunks = TiffChunks::new(location, &structure)?;
        if chunks.structure == structure {
            return Ok(Arc::new(TiffArray(Arc::new(chunks))) as Arc<dyn Dataset>);
        }
        // The same items under another shape.
        reshaped(Arc::new(TiffArray(Arc::new(chunks))), &structure)
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
        let chunks = TiffChunks::new(file.clone(), frame)?;
        Ok(if chunks.structure.shape == frame.shape { chunks.grid } else { frame.shape.clone() })
    }

    fn open(&self, file: &Location, frame: &ArrayStructure) -> Result<Box<dyn Load>> {
        let open = Arc::new(TiffChunks::new(file.clone(), frame)?).open()?;
        if open.chunks.structure.shape == frame.shape {
            return Ok(Box::new(open));
        }
        let items = |shape: &[u64]| shape.iter().try_fold(1u64, |items, len| items.checked_mul(*len));
        match items(&frame.shape) == items(&open.chunks.structure.shape) {
            true => Ok(Box::new(Whole(open))),
            false => Err(another(&open.chunks.series.shape, &frame.shape)),
        }
    }
}

fn another(there: &[u64], registered: &[u64]) -> Error {
    Error::unprocessable(format!(
        "The file does not have the structure that is registered: it has the shape {there:?} instead of {registered:?}. Register it again."
    ))
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
    /// As it is registered, or as the pages lie in the file.
    structure: ArrayStructure,
    series: Arc<Series>,
    grid: Vec<u64>,
    /// Axes before those of a page.
    leading: usize,
    /// Stands for all of this among the chunks of the file.
    layout: u64,
}

impl TiffChunks {
    fn new(location: Location, registered: &ArrayStructure) -> Result<Self> {
        let series = series(&location, &Arc::new(location.open_file()?))?;
        let alike = |dtype: &girih_model::DType| dtype.as_scalar().map(|scalar| (scalar.kind, scalar.itemsize));
        if alike(&registered.dtype) != alike(series.dtype()) {
            return Err(Error::unprocessable(format!(
                "The file does not have the structure that is registered: its samples are {}. Register it again.",
                series.dtype()
            )));
        }
        let page = series.page.shape();
        // A file that grows may have fewer pages than are registered, or more.
        let structure = match registered.shape.ends_with(&page) {
            true => registered.clone(),
            false => ArrayStructure::new(registered.dtype.clone(), series.natural()),
        };
        let leading = structure.shape.len() - page.len();
        let grid = [vec![1; leading], series.page.grid(&series.decoding)].concat();
        let mut hasher = DefaultHasher::new();
        (structure.dtype.to_string(), &grid).hash(&mut hasher);
        let layout = hasher.finish();
        Ok(Self { location, structure, series, grid, leading, layout })
    }

    fn nbytes(&self) -> usize {
        self.grid.iter().product::<u64>() as usize * self.structure.dtype.itemsize()
    }
}

pub(super) fn series(location: &Location, file: &Arc<File>) -> Result<Arc<Series>> {
    Series::of(file, &location.name()).map_err(|e| at(e, location))
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
        let series = series(&self.location, &file)?;
        if series.page != self.series.page {
            return Err(Error::gone("The file was replaced by one of another structure. Register it again."));
        }
        let stamp = Stamp::of(&file);
        let source = Source::open(file).map_err(|e| at(e, &self.location))?;
        Ok(OpenTiff { chunks: self.clone(), stamp, source, series })
    }
}

struct OpenTiff {
    chunks: Arc<TiffChunks>,
    stamp: Option<Stamp>,
    source: Source,
    series: Arc<Series>,
}

/// Which chunk of a page, axis by axis.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    pub(super) plane: u64,
    pub(super) depth: u64,
    pub(super) row: u64,
    pub(super) column: u64,
}

impl Place {
    fn of(page: &Page, index: &[u64]) -> Self {
        let mut place = Self::default();
        for ((axis, _), n) in page.axes().into_iter().zip(index) {
            *match axis {
                'Z' => &mut place.depth,
                'Y' => &mut place.row,
                'X' => &mut place.column,
                _ => &mut place.plane,
            } = *n;
        }
        place
    }
}

impl Load for OpenTiff {
    fn load(&self, index: &[u64], wanted: Use) -> Result<Option<Bytes>> {
        let chunks = &self.chunks;
        let (leading, within) = index.split_at(chunks.leading);
        let frame = leading.iter().zip(&chunks.structure.shape).fold(0, |frame, (n, len)| frame * len + n);
        let there = self.series.frames.count();
        if frame >= there {
            let what = format!("The file has {there} pages so far, and page {frame} was asked for.");
            return Err(at(Error::damaged(what), &chunks.location));
        }
        if matches!(&self.series.frames, Pages::Directories(all) if all[frame as usize] == 0) {
            return Ok(None);
        }
        let shape = &chunks.structure.shape[chunks.leading..];
        let counts = shape.iter().zip(&chunks.grid[chunks.leading..]).map(|(len, chunk)| len.div_ceil(*chunk));
        let number = within.iter().zip(counts).fold(frame, |number, (n, count)| number * count + n);
        let key = self.stamp.map(|stamp| Key { stamp, layout: chunks.layout, number });
        let decode = || self.decode(frame, Place::of(&self.series.page, within));
        recent::chunk(key, chunks.nbytes(), wanted, decode).map(Some).map_err(|e| at(e, &chunks.location))
    }
}

impl OpenTiff {
    fn decode(&self, frame: u64, place: Place) -> Result<Vec<u8>> {
        let mut items = Segments { source: &self.source, series: &self.series }.chunk(frame, place)?;
        items.resize(self.chunks.nbytes(), 0);
        if let Some(scalar) = self.chunks.structure.dtype.as_scalar().filter(|scalar| scalar.is_big()) {
            items.chunks_exact_mut(scalar.swap_width().max(1)).for_each(<[u8]>::reverse);
        }
        Ok(items)
    }
}

/// All items of a file as one chunk, whatever their shape.
struct Whole(OpenTiff);

impl Load for Whole {
    fn load(&self, _: &[u64], _: Use) -> Result<Option<Bytes>> {
        let chunks = &self.0.chunks;
        let axes: Vec<Axis> = chunks.structure.shape.iter().map(|len| Axis::all(*len)).collect();
        let items = chunked::gather(&self.0, &axes, &chunks.grid, chunks.structure.dtype.itemsize())?;
        Ok(Some(items.into()))
    }
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
