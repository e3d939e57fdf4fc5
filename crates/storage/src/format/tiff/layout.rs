//! How an array lies on pages.

use girih_model::dtype::Kind;
use girih_model::{DType, Error, Result};

/// Most axes: two of pages, two of a page.
const MAX_AXES: usize = 4;
/// Each page has a directory of a few hundred bytes.
const MAX_PAGES: u64 = 1 << 20;

/// What the samples are (tag `SampleFormat`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SampleFormat {
    Uint = 1,
    Int = 2,
    Float = 3,
    /// Of Adobe's TIFF Technical Note 3, "Complex IEEE floating point".
    Complex = 6,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) big_endian: bool,
    /// At least two axes.
    pub(super) shape: Vec<u64>,
    pub(super) pages: u64,
    pub(super) width: u32,
    pub(super) height: u32,
    /// 1, or 3 and 4 for RGB and RGBA.
    pub(super) samples: u16,
    pub(super) bits: u16,
    pub(super) format: SampleFormat,
}

impl Layout {
    /// # Errors
    /// `NotAcceptable` when the array cannot be pages; the message says why.
    pub(super) fn of(dtype: &DType, shape: &[u64]) -> Result<Self> {
        let fail = |why: &str| {
            Err(Error::not_acceptable(format!(
                "Failed to serialize this array as tiff: {why}. Shape is {shape:?}, dtype is {dtype}."
            )))
        };
        let Some(scalar) = dtype.as_scalar() else { return fail("its items are not numbers") };
        let bits = 8 * scalar.itemsize as u16;
        let (bits, format) = match (scalar.kind, scalar.itemsize) {
            (Kind::Bool, _) => (1, SampleFormat::Uint),
            (Kind::Uint, _) => (bits, SampleFormat::Uint),
            (Kind::Int, _) => (bits, SampleFormat::Int),
            (Kind::Float, ..=8) => (bits, SampleFormat::Float),
            (Kind::Complex, ..=16) => (bits, SampleFormat::Complex),
            (Kind::Float | Kind::Complex, _) => return fail("its items have more than 64 bits of precision"),
            _ => return fail("its items are not numbers"),
        };
        if shape.contains(&0) {
            return fail("it is empty");
        }
        if shape.len() > MAX_AXES {
            return fail("it has more than four axes; slice it");
        }
        let mut padded = vec![1; 2usize.saturating_sub(shape.len())];
        padded.extend(shape);
        let colours = matches!(scalar.kind, Kind::Uint | Kind::Int | Kind::Float);
        let (page, samples) = match padded.as_slice() {
            [page @ .., samples @ 3..=4] if page.len() >= 2 && colours => (page, *samples as u16),
            page => (page, 1),
        };
        let (pages, page) = page.split_at(page.len() - 2);
        let (Ok(height), Ok(width)) = (u32::try_from(page[0]), u32::try_from(page[1])) else {
            return fail("it is too long or too wide; slice it to request a smaller part");
        };
        let pages = pages.iter().fold(1u64, |pages, len| pages.saturating_mul(*len));
        if pages > MAX_PAGES {
            return fail("it has more than a million pages; slice it");
        }
        Ok(Self { big_endian: scalar.is_big(), pages, width, height, samples, bits, format, shape: padded })
    }

    /// Bytes of one row of a page: whole bytes, also where samples are bits.
    pub(super) fn row_bytes(&self) -> u64 {
        (u64::from(self.width) * u64::from(self.samples) * u64::from(self.bits)).div_ceil(8)
    }

    /// Bytes of one page's samples.
    pub(super) fn page_bytes(&self) -> u64 {
        self.row_bytes() * u64::from(self.height)
    }
}
