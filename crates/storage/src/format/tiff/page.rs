//! How a page is made: what its tags say of its samples, and where its strips and tiles lie.

use girih_model::{DType, Error, Result};

use super::compression::{self, Way};
use super::ifd::{Directory, damaged};
use super::samples::Samples;

/// Tags (TIFF 6.0, part 2; `ImageDepth` and `TileDepth` are of SGI).
pub(super) mod tag {
    pub const WIDTH: u16 = 256;
    pub const LENGTH: u16 = 257;
    pub const BITS: u16 = 258;
    pub const COMPRESSION: u16 = 259;
    pub const PHOTOMETRIC: u16 = 262;
    pub const FILL_ORDER: u16 = 266;
    pub const DESCRIPTION: u16 = 270;
    pub const STRIP_OFFSETS: u16 = 273;
    pub const SAMPLES: u16 = 277;
    pub const ROWS_PER_STRIP: u16 = 278;
    pub const STRIP_BYTES: u16 = 279;
    pub const PLANAR: u16 = 284;
    pub const T4_OPTIONS: u16 = 292;
    pub const PREDICTOR: u16 = 317;
    pub const TILE_WIDTH: u16 = 322;
    pub const TILE_LENGTH: u16 = 323;
    pub const TILE_OFFSETS: u16 = 324;
    pub const TILE_BYTES: u16 = 325;
    pub const EXTRA_SAMPLES: u16 = 338;
    pub const FORMAT: u16 = 339;
    pub const JPEG_TABLES: u16 = 347;
    pub const SUBSAMPLING: u16 = 530;
    pub const DEPTH: u16 = 32997;
    pub const TILE_DEPTH: u16 = 32998;
    pub const NO_DATA: u16 = 42113;
}

/// Largest strip or tile, decoded, in bytes.
pub(super) const MAX_CHUNK: u64 = 256 << 20;
/// Strips are put together, and rows that are not compressed taken, to chunks of about so many bytes.
const CHUNK: u64 = 1 << 20;
/// Most strips of a page that are looked at to see whether they follow one another.
const MAX_STRIPS: u64 = 1 << 14;

/// Pages that are equal are alike: they are positions of one array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) width: u64,
    pub(super) height: u64,
    pub(super) depth: u64,
    pub(super) samples: u64,
    /// Each sample lies in a plane of its own.
    pub(super) is_planar: bool,
    /// The samples are an axis, be there only one.
    has_samples: bool,
    pub(super) photometric: u64,
    pub(super) compression: u64,
    /// Each byte begins with its lowest bit.
    pub(super) is_reversed: bool,
    pub(super) extra: Vec<u64>,
    pub(super) tile: Option<Tile>,
    /// Zero with tiles.
    pub(super) rows_per_strip: u64,
    bits: Vec<u64>,
    format: Vec<u64>,
    predictor: u64,
    /// Colours are coarser than the light.
    is_subsampled: bool,
    /// Lines are coded by the difference to the one before.
    is_two_dimensional: bool,
    is_little: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) depth: u64,
    pub(super) length: u64,
    pub(super) width: u64,
}

/// How the samples of a page are decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decoding {
    pub(super) way: Way,
    pub(super) samples: Samples,
}

impl Page {
    pub(super) fn of(directory: &Directory, is_little: bool) -> Result<Self> {
        let or = |tag, default| Ok::<u64, Error>(directory.number(tag, 0)?.unwrap_or(default));
        let needed = |tag, what: &str| {
            let number = directory.number(tag, 0)?.filter(|number| (1..=u32::MAX.into()).contains(number));
            number.ok_or_else(|| damaged(&format!("a page has no {what}")))
        };
        let (width, height) = (needed(tag::WIDTH, "width")?, needed(tag::LENGTH, "height")?);
        let samples = or(tag::SAMPLES, 1)?.clamp(1, u16::MAX.into());
        let photometric = or(tag::PHOTOMETRIC, 0)?;
        let tile = match directory.has(tag::TILE_WIDTH) {
            true => Some(Tile {
                depth: or(tag::TILE_DEPTH, 1)?.clamp(1, u32::MAX.into()),
                length: needed(tag::TILE_LENGTH, "height of its tiles")?,
                width: needed(tag::TILE_WIDTH, "width of its tiles")?,
            }),
            false => None,
        };
        let rows_per_strip = match (tile, directory.count(tag::ROWS_PER_STRIP)) {
            (Some(_), _) => 0,
            (None, 1) => needed(tag::ROWS_PER_STRIP, "rows in its strips")?.min(height),
            (None, _) => height,
        };
        let of_samples = |tag| {
            let mut all = directory.numbers(tag, samples)?;
            // As often as there are samples, or once.
            all.dedup();
            Ok::<_, Error>(all)
        };
        let subsampling = directory.numbers(tag::SUBSAMPLING, 2)?;
        Ok(Self {
            width,
            height,
            depth: or(tag::DEPTH, 1)?.clamp(1, u32::MAX.into()),
            samples,
            is_planar: or(tag::PLANAR, 1)? == 2 && (samples > 1 || photometric == 2),
            has_samples: samples > 1 || photometric == 2,
            photometric,
            compression: or(tag::COMPRESSION, 1)?,
            is_reversed: or(tag::FILL_ORDER, 1)? == 2,
            extra: directory.numbers(tag::EXTRA_SAMPLES, 64)?,
            tile,
            rows_per_strip,
            bits: of_samples(tag::BITS)?,
            format: of_samples(tag::FORMAT)?,
            predictor: or(tag::PREDICTOR, 1)?,
            is_subsampled: if subsampling.is_empty() { photometric == 6 } else { subsampling != [1, 1] },
            is_two_dimensional: or(tag::T4_OPTIONS, 0)? & 1 == 1,
            is_little,
        })
    }

    /// # Errors
    /// `Unsupported` for what is not read.
    pub(super) fn decoding(&self) -> Result<Decoding> {
        let way = compression::way(self.compression)?;
        let one = |all: &[u64], default: u16| match all {
            [] => Some(default),
            [one] => u16::try_from(*one).ok(),
            _ => None,
        };
        let (Some(bits), Some(format)) = (one(&self.bits, 1), one(&self.format, 1)) else {
            return Err(Error::unsupported("TIFF files whose samples are not alike are not read."));
        };
        if self.is_subsampled && (way != Way::Jpeg || self.is_planar) {
            return Err(Error::unsupported("TIFF files with coarser colours are read only with JPEG."));
        }
        if way == Way::Jpeg && (bits, format) != (8, 1) {
            return Err(Error::unsupported(format!("JPEG in TIFF files is read with 8 bits, not {bits}.")));
        }
        if matches!(way, Way::Fax(_)) && (bits, self.line_samples()) != (1, 1) {
            return Err(Error::unsupported("TIFF files of facsimile are read with one bit."));
        }
        if way == compression::GROUP3 && self.is_two_dimensional {
            return Err(Error::unsupported("TIFF files of two-dimensional CCITT Group 3 are not read."));
        }
        // What holds samples, not bytes, knows nothing of differences.
        let predictor = if way == Way::Jpeg { 1 } else { u16::try_from(self.predictor).unwrap_or(u16::MAX) };
        let samples = Samples::new(format, bits, predictor, self.is_little)?;
        let row = self.line_samples().checked_mul(self.segment_width()).and_then(|row| samples.stored(row));
        let items = self.segment_items().and_then(|items| items.checked_mul(samples.itemsize() as u64));
        let whole = if way == Way::Stored && self.tile.is_none() { row } else { items };
        if whole.is_none_or(|bytes| bytes > MAX_CHUNK) {
            return Err(Error::unsupported(format!(
                "TIFF files with strips or tiles of more than {MAX_CHUNK} bytes are not read."
            )));
        }
        Ok(Decoding { way, samples })
    }

    /// Samples of a pixel that lie side by side.
    pub(super) fn line_samples(&self) -> u64 {
        if self.is_planar { 1 } else { self.samples }
    }

    pub(super) fn segment_width(&self) -> u64 {
        self.tile.map_or(self.width, |tile| tile.width)
    }

    /// Items of a strip or a tile.
    fn segment_items(&self) -> Option<u64> {
        let (depth, rows) = self.tile.map_or((1, self.rows_per_strip), |tile| (tile.depth, tile.length));
        depth.checked_mul(rows)?.checked_mul(self.segment_width())?.checked_mul(self.line_samples())
    }

    /// Strips or tiles along each axis: depth, height, width.
    pub(super) fn segments(&self) -> [u64; 3] {
        match self.tile {
            Some(tile) => {
                [self.depth.div_ceil(tile.depth), self.height.div_ceil(tile.length), self.width.div_ceil(tile.width)]
            }
            None => [self.depth, self.height.div_ceil(self.rows_per_strip), 1],
        }
    }

    /// The axes with their lengths, named as in tifffile.
    pub(super) fn axes(&self) -> Vec<(char, u64)> {
        let samples = ('S', self.samples);
        let mut axes = vec![('Y', self.height), ('X', self.width)];
        if self.depth > 1 {
            axes.insert(0, ('Z', self.depth));
        }
        match (self.has_samples, self.is_planar) {
            (false, _) => {}
            (true, false) => axes.push(samples),
            (true, true) => axes.insert(0, samples),
        }
        axes
    }

    pub(super) fn shape(&self) -> Vec<u64> {
        self.axes().into_iter().map(|(_, len)| len).collect()
    }

    /// The part of a page that is decoded at once: depth, height, width.
    pub(super) fn chunk(&self, decoding: &Decoding) -> [u64; 3] {
        if let Some(tile) = self.tile {
            return [tile.depth, tile.length, tile.width];
        }
        let row = (self.width * self.line_samples() * decoding.samples.itemsize() as u64).max(1);
        let rows = match decoding.way {
            // Rows lie where they can be reckoned to lie.
            Way::Stored => (CHUNK / row).max(1),
            _ => (CHUNK / (row * self.rows_per_strip)).max(1) * self.rows_per_strip,
        };
        [1, rows.min(self.height), self.width]
    }

    /// The shape of a chunk, axis by axis as those of the page.
    pub(super) fn grid(&self, decoding: &Decoding) -> Vec<u64> {
        let [depth, rows, columns] = self.chunk(decoding);
        let of = |(axis, _): (char, u64)| match axis {
            'Z' => depth,
            'Y' => rows,
            'X' => columns,
            _ => self.line_samples(),
        };
        self.axes().into_iter().map(of).collect()
    }

    /// Bytes of the items of a page.
    pub(super) fn nbytes(&self, dtype: &DType) -> Option<u64> {
        self.shape().iter().try_fold(dtype.itemsize() as u64, |bytes, len| bytes.checked_mul(*len))
    }

    /// Where the items of the page lie, if they do so as they are and one after another.
    pub(super) fn contiguous(&self, directory: &Directory, decoding: &Decoding) -> Result<Option<u64>> {
        if decoding.way != Way::Stored || !decoding.samples.is_plain() || self.is_reversed || self.is_subsampled {
            return Ok(None);
        }
        let (offsets, bytes) = Self::places(directory);
        let count = directory.count(offsets);
        let Some(first) = directory.number(offsets, 0)?.filter(|first| *first > 0) else { return Ok(None) };
        if self.tile.is_some_and(|tile| [tile.depth, tile.length, tile.width] != [self.depth, self.height, self.width])
        {
            return Ok(None);
        }
        if count == 1 {
            return Ok(Some(first));
        }
        if count > MAX_STRIPS {
            return Ok(None);
        }
        let (offsets, bytes) = (directory.numbers(offsets, count)?, directory.numbers(bytes, count)?);
        let mut end = first;
        for (offset, bytes) in offsets.iter().zip(&bytes) {
            if *offset != end || *bytes == 0 {
                return Ok(None);
            }
            end = end.saturating_add(*bytes);
        }
        let whole = offsets.len() == bytes.len() && Some(end - first) == self.nbytes(&decoding.samples.dtype);
        Ok(whole.then_some(first))
    }

    /// The tags that say where strips or tiles lie, and how many bytes they have; some give tiles those of strips.
    pub(super) fn places(directory: &Directory) -> (u16, u16) {
        let either = |tile, strip| if directory.has(tile) { tile } else { strip };
        (either(tag::TILE_OFFSETS, tag::STRIP_OFFSETS), either(tag::TILE_BYTES, tag::STRIP_BYTES))
    }
}
