//! `image/tiff`: an array with its values untouched, as pages (TIFF 6.0; BigTIFF from 4 GiB on).

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, StreamExt, TryStreamExt};
use girih_model::{Data, DataSource, Family, Result, Structure};

use super::conversion::{Run, convert, runs};
use super::{EncodeOptions, Encoded, Files, Format, Inspected, sequence};
use crate::dataset::Dataset;
use crate::place::Places;
use crate::pool::blocking;

mod compression;
mod directories;
mod directory;
mod ifd;
mod inspect;
mod jpeg;
mod layout;
mod ome;
mod page;
mod read;
mod samples;
mod segment;
mod series;
mod tags;

pub(super) use read::Frames;

use directories::Directories;
use layout::Layout;

/// Files are read where they lie, strip by strip and tile by tile (`segment.rs`): samples of whatever width (`samples.rs`),
/// in strips or tiles, chunky or planar, flat or deep (`page.rs`), compressed in many ways (`compression.rs`). Which pages
/// are the array, and its shape, is what tifffile tells of its first series (`series.rs`).
///
/// What is exported are booleans, integers, floats up to 64 bits and complex numbers, in their own byte order,
/// uncompressed.
///
/// - The last two axes are a page, the axes before them (at most two) are the pages. A last axis of 3 or 4 holds the
///   samples of RGB or RGBA.
/// - The description of the first page is `{"shape": […]}`, from which tifffile restores the shape.
/// - Booleans take one bit, where 1 is white.
/// - The sizes of all pages are known beforehand, so the file streams: first every directory, then the samples of all
///   pages, one after another, where a reader may map them into memory.
pub struct Tiff;

#[async_trait]
impl Format for Tiff {
    fn media_type(&self) -> &'static str {
        "image/tiff"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["tif", "tiff"]
    }

    fn suffixes(&self) -> &'static [&'static str] {
        &["tif", "tiff"]
    }

    fn sequence(&self) -> Option<&'static str> {
        Some(sequence::Frames::media_type(&Frames))
    }

    fn encodes(&self) -> &'static [Family] {
        &[Family::Array]
    }

    fn opens(&self) -> &'static [Family] {
        &[Family::Array]
    }

    async fn inspect(&self, files: &Files, places: &Places) -> Result<Inspected> {
        let location = files.locate_one(places)?;
        let found = blocking(move || inspect::inspect(&location)).await?;
        Ok(Inspected { metadata: found.metadata, ..Structure::Array(found.structure).into() })
    }

    async fn open(&self, source: &DataSource, places: &Places) -> Result<Arc<dyn Dataset>> {
        read::open(source, places).await
    }

    async fn encode(&self, data: Data, _options: &EncodeOptions) -> Result<Encoded> {
        let Data::Array(array) = data else { return Err(self.cannot_encode(data.family())) };
        let layout = Layout::of(&array.dtype, &array.shape)?;
        let itemsize = array.dtype.itemsize();
        let directories = Directories::new(layout.clone());
        let length = directories.total();
        let samples = if layout.bits == 1 {
            let mut packer = Packer::new(layout.width);
            convert(runs(array)?, move |run, out: &mut Vec<u8>| {
                run.iter().flat_map(|run| run.items()).for_each(|item| packer.push(item != [0], out));
                Ok(())
            })
        } else {
            runs(array)?.map_ok(Run::into_bytes).boxed()
        };
        let body = stream::iter(directories.map(|piece| Ok(piece.into()))).chain(samples).boxed();
        Ok(Encoded { media_type: self.media_type().into(), length: Some(length), body, itemsize })
    }
}

/// Packs the booleans of each row into whole bytes, the first in the highest bit.
struct Packer {
    width: u32,
    column: u32,
    byte: u8,
}

impl Packer {
    fn new(width: u32) -> Self {
        Self { width, column: 0, byte: 0 }
    }

    fn push(&mut self, bit: bool, out: &mut Vec<u8>) {
        self.byte |= u8::from(bit) << (7 - self.column % 8);
        self.column += 1;
        let ends_row = self.column == self.width;
        if ends_row || self.column.is_multiple_of(8) {
            out.push(std::mem::take(&mut self.byte));
        }
        if ends_row {
            self.column = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use girih_model::{ArrayData, DType, ErrorKind};

    use super::*;
    use crate::format::conversion::{block_on, gather};

    fn tiff(dtype: &str, shape: &[u64], bytes: Vec<u8>) -> Result<Vec<u8>> {
        let data = Data::Array(ArrayData::whole(DType::of(dtype), shape.to_vec(), bytes));
        block_on(async {
            let encoded = Tiff.encode(data, &EncodeOptions::default()).await?;
            let length = encoded.length;
            let bytes = gather(encoded.body).await?;
            assert_eq!(length, Some(bytes.len() as u64));
            Ok(bytes)
        })
    }

    fn little(bytes: &[u8]) -> usize {
        bytes.iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte))
    }

    /// Reads the pages of a little-endian classic file: the values of each tag.
    fn read(file: &[u8]) -> Vec<std::collections::BTreeMap<usize, Vec<usize>>> {
        assert_eq!(&file[..4], b"II\x2a\0");
        let mut pages = Vec::new();
        let mut at = little(&file[4..8]);
        while at != 0 {
            assert_eq!(at % 2, 0, "directories begin on a word boundary");
            let count = little(&file[at..at + 2]);
            let entry = |n: usize| {
                let entry = &file[at + 2 + 12 * n..at + 14 + 12 * n];
                let size = [0, 1, 1, 2, 4, 8][little(&entry[2..4])];
                let len = size * little(&entry[4..8]);
                let start = if len <= 4 { at + 10 + 12 * n } else { little(&entry[8..12]) };
                (little(&entry[..2]), file[start..start + len].chunks(size).map(little).collect())
            };
            pages.push((0..count).map(entry).collect());
            at = little(&file[at + 2 + 12 * count..][..4]);
        }
        pages
    }

    fn check(dtype: &str, shape: &[u64], bytes: &[u8], tags: &[(usize, &[usize])], strips: &[&[u8]]) {
        let file = tiff(dtype, shape, bytes.to_vec()).unwrap();
        let pages = read(&file);
        assert_eq!(pages.len(), strips.len());
        for (page, strip) in pages.iter().zip(strips) {
            assert_eq!(&file[page[&273][0]..][..page[&279][0]], *strip, "{dtype} {shape:?}");
            for (tag, values) in tags {
                assert_eq!(page.get(tag).map(Vec::as_slice), Some(*values), "tag {tag} of {dtype} {shape:?}");
            }
        }
        let description: Vec<u8> = pages[0][&270].iter().map(|byte| *byte as u8).collect();
        assert!(description.starts_with(b"{\"shape\": ["));
    }

    #[test]
    fn pages_hold_the_values_untouched() {
        check(
            "u1",
            &[2, 3],
            &[1, 2, 3, 4, 5, 6],
            &[(256, &[3]), (257, &[2]), (258, &[8]), (339, &[1])],
            &[&[1, 2, 3, 4, 5, 6]],
        );
        check("i2", &[2, 1, 1], &[1, 2, 3, 4], &[(258, &[16]), (339, &[2])], &[&[1, 2], &[3, 4]]);
        check("u1", &[3, 1, 1, 1], &[1, 2, 3], &[(262, &[1])], &[&[1], &[2], &[3]]);
        check("u1", &[], &[7], &[(256, &[1]), (257, &[1])], &[&[7]]);
        check("f8", &[1], &[0; 8], &[(258, &[64]), (339, &[3])], &[&[0; 8]]);
        check("c8", &[1], &[1; 8], &[(258, &[64]), (339, &[6])], &[&[1; 8]]);
    }

    #[test]
    fn colours_are_samples() {
        let rgb = [1, 2, 3, 4, 5, 6];
        check("u1", &[1, 2, 3], &rgb, &[(262, &[2]), (277, &[3]), (258, &[8, 8, 8]), (339, &[1, 1, 1])], &[&rgb]);
        check("u1", &[2, 1, 1, 3], &rgb, &[(262, &[2])], &[&[1, 2, 3], &[4, 5, 6]]);
        check("u1", &[1, 1, 4], &[1, 2, 3, 4], &[(277, &[4]), (338, &[2])], &[&[1, 2, 3, 4]]);
    }

    #[test]
    fn booleans_take_one_bit() {
        let bits = [1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0];
        check("b1", &[2, 9], &bits, &[(258, &[1]), (262, &[1])], &[&[0b1010_0000, 0x80, 0b0100_0000, 0]]);
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        for (dtype, shape, bytes) in [
            ("S1", &[1, 1][..], 1),
            ("M8", &[1], 8),
            ("f16", &[1], 16),
            ("u1", &[1; 5], 1),
            ("u1", &[0, 2], 0),
            ("u1", &[1 << 11, 1 << 10, 1, 1], 1 << 21),
        ] {
            let error = tiff(dtype, shape, vec![0; bytes]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotAcceptable, "{dtype} {shape:?}");
        }
    }
}
