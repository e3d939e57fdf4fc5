//! Sequences of files, each with one frame of an array: `multipart/related;type=…`.
//!
//! The first axes of the structure number the files, the others are those of a frame. Only the files that a selection
//! touches are opened.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use girih_model::structure::array::Chunks as Lengths;
use girih_model::{ArrayStructure, Data, DataSource, Error, Family, Json, Result, Selection, Structure};

use super::chunked::recent::Use;
use super::chunked::{self, Chunks, Load};
use super::{npy, raster, tiff};
use crate::dataset::{Dataset, positions};
use crate::format::{Format, Inspected};
use crate::place::{Location, Places};
use crate::pool::blocking;

/// A format whose files can be frames.
pub(super) trait Frames: Send + Sync + 'static {
    fn media_type(&self) -> &'static str;

    /// What a file holds.
    fn inspect(&self, file: &Location) -> Result<Frame>;

    /// The shape of the chunks of a frame, of which this file is one.
    fn grid(&self, file: &Location, frame: &ArrayStructure) -> Result<Vec<u64>>;

    /// The frame in a file.
    ///
    /// # Errors
    /// `Unprocessable` when it is not one of these.
    fn open(&self, file: &Location, frame: &ArrayStructure) -> Result<Box<dyn Load>>;
}

/// What a file of a sequence holds.
pub(super) struct Frame {
    pub(super) structure: ArrayStructure,
    pub(super) metadata: Json,
}

/// Files that are looked into by one task.
const AT_ONCE: usize = 64;
/// Tasks at the same time.
const TASKS: usize = 8;

/// What the reference calls its sequences.
pub struct Sequence(&'static dyn Frames);

pub static TIFF: Sequence = Sequence(&tiff::Frames);
pub static NPY: Sequence = Sequence(&npy::Frames);
pub static JPEG: Sequence = Sequence(&raster::JPEG);
pub static PNG: Sequence = Sequence(&raster::PNG);

#[async_trait]
impl Format for Sequence {
    fn media_type(&self) -> &'static str {
        self.0.media_type()
    }

    fn opens(&self) -> &'static [Family] {
        &[Family::Array]
    }

    fn lists_files(&self) -> bool {
        true
    }

    /// Every file is looked into: all frames must be alike.
    async fn inspect(&self, files: &super::Files, places: &Places) -> Result<Inspected> {
        let frames = self.0;
        let (files, places) = (files.clone(), places.clone());
        let files = blocking(move || files.locate(&places)).await?;
        let count = files.len() as u64;
        let first = files[0].clone();
        let first = blocking(move || frames.inspect(&first)).await?;
        let frame = first.structure.clone();
        let parts: Vec<Vec<Location>> = files[1..].chunks(AT_ONCE).map(<[Location]>::to_vec).collect();
        let looked = stream::iter(parts).map(|part| {
            let frame = frame.clone();
            blocking(move || part.iter().try_for_each(|file| alike(frames, file, &frame)))
        });
        looked.buffered(TASKS).try_collect::<()>().await?;
        let mut chunks = vec![Lengths::regular(count, 1)];
        chunks.extend(frame.shape.iter().map(|len| Lengths::regular(*len, *len)));
        let shape = [&[count], frame.shape.as_slice()].concat();
        let structure = ArrayStructure { chunks, ..ArrayStructure::new(frame.dtype, shape) };
        Ok(Structure::Array(structure).into())
    }

    async fn open(&self, source: &DataSource, places: &Places) -> Result<Arc<dyn Dataset>> {
        let Structure::Array(structure) = &source.structure else {
            return Err(Error::unprocessable("A sequence of files holds an array."));
        };
        let leading = leading(&structure.shape, source.assets.len() as u64)?;
        let (mut assets, places) = (source.assets.clone(), places.clone());
        let frame = ArrayStructure::new(structure.dtype.clone(), structure.shape[leading..].to_vec());
        let (frames, structure) = (self.0, structure.clone());
        let files = blocking(move || {
            assets.sort_by_key(|asset| asset.num);
            let files = assets.iter().map(|asset| places.locate(&asset.data_uri)).collect::<Result<Vec<_>>>()?;
            let first = files.first().ok_or_else(|| Error::unprocessable("A sequence has at least one file."))?;
            let mut grid = vec![1; leading];
            grid.extend(frames.grid(first, &frame)?);
            Ok(Files { frames, files, structure, frame, leading, grid })
        })
        .await?;
        Ok(Arc::new(Stack(Arc::new(files))))
    }
}

/// How many axes number the files: the fewest that have as many positions. A sequence that has grown since may have more
/// files than the structure says.
fn leading(shape: &[u64], files: u64) -> Result<usize> {
    let positions =
        (1..=shape.len()).map(|axes| shape[..axes].iter().fold(1, |all: u64, len| all.saturating_mul(*len)));
    let exact = positions.into_iter().position(|count| count == files).map(|n| n + 1);
    let grown = shape.first().is_some_and(|len| *len <= files).then_some(1);
    exact.or(grown).ok_or_else(|| {
        Error::unprocessable(format!(
            "The structure of the shape {shape:?} does not fit {files} files: its first axes number them. Register the files again."
        ))
    })
}

fn alike(frames: &dyn Frames, file: &Location, frame: &ArrayStructure) -> Result<()> {
    let found = frames.inspect(file)?.structure;
    if found.shape == frame.shape && found.dtype == frame.dtype {
        return Ok(());
    }
    Err(Error::unprocessable(format!(
        "The files do not fit together: {:?} holds an array of the shape {:?} with the dtype {}, the first one of the shape {:?} with the dtype {}.",
        file.name(),
        found.shape,
        found.dtype,
        frame.shape,
        frame.dtype
    )))
}

struct Stack(Arc<Files>);

#[async_trait]
impl Dataset for Stack {
    fn structure(&self) -> Structure {
        Structure::Array(self.0.structure.clone())
    }

    async fn read(&self, selection: &Selection) -> Result<Data> {
        let region = positions(&self.0.structure, selection)?;
        Ok(Data::Array(chunked::read(&self.0, &self.0.structure.dtype, region).await?))
    }
}

struct Files {
    frames: &'static dyn Frames,
    files: Vec<Location>,
    structure: ArrayStructure,
    frame: ArrayStructure,
    leading: usize,
    grid: Vec<u64>,
}

impl Chunks for Files {
    type Open = Arc<Files>;

    fn grid(&self) -> &[u64] {
        &self.grid
    }

    fn open(self: &Arc<Self>) -> Result<Arc<Files>> {
        Ok(self.clone())
    }
}

impl Load for Arc<Files> {
    fn load(&self, index: &[u64], wanted: Use) -> Result<Option<Bytes>> {
        let (leading, within) = index.split_at(self.leading);
        let number = leading.iter().zip(&self.structure.shape).fold(0, |number, (n, len)| number * len + n);
        let file = usize::try_from(number).ok().and_then(|number| self.files.get(number));
        let file = file.ok_or_else(|| Error::busy(format!("File {number} of the sequence is not there yet.")))?;
        self.frames.open(file, &self.frame)?.load(within, wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_axes_number_the_files() {
        for (shape, files, expected) in [
            (&[10, 4, 5][..], 10, Some(1)),
            (&[2, 5, 4, 5], 10, Some(2)),
            (&[1, 4], 1, Some(1)),
            (&[9, 4], 10, Some(1)),
            (&[11, 4], 10, None),
            (&[], 1, None),
        ] {
            assert_eq!(leading(shape, files).ok(), expected, "{shape:?}");
        }
    }
}
