//! Draws items as pixels.

use std::io::Write as _;

use girih_model::dtype::Kind;
use girih_model::{DType, Error, Result, ResultExt};
use png::{BitDepth, ColorType, Compression, Encoder, Filter};

use super::display::{Display, Range, Sample, sample};
use crate::item::push_numbers;

/// Longest side of a PNG, in pixels (section 11.2.1 of the standard).
const MAX_SIDE: u64 = (1 << 31) - 1;

/// How an array lies on a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::format) struct Layout {
    width: u32,
    height: u32,
    /// 1 to 4: grey, grey and alpha, RGB, RGBA.
    channels: usize,
}

impl Layout {
    /// # Errors
    /// `NotAcceptable` when the array is no picture; the message says why.
    pub(in crate::format) fn of(dtype: &DType, shape: &[u64]) -> Result<Self> {
        let fail = |why: &str| {
            Err(Error::not_acceptable(format!(
                "Failed to serialize this array as png: {why}. Shape is {shape:?}, dtype is {dtype}."
            )))
        };
        let drawable =
            dtype.as_scalar().is_some_and(|scalar| !matches!(scalar.kind, Kind::Bytes | Kind::Text | Kind::Void));
        if !drawable {
            return fail("its items are not numbers");
        }
        let (height, width, channels) = match *shape {
            [] => (1, 1, 1),
            [width] => (1, width, 1),
            [height, width] => (height, width, 1),
            [height, width, channels @ 1..=4] => (height, width, channels as usize),
            [_, _, _] => return fail("the last of three axes must have 1 to 4 channels; slice it to select one image"),
            _ => return fail("it has more than three axes; slice it to select one image"),
        };
        if width == 0 || height == 0 {
            return fail("it is empty");
        }
        if width > MAX_SIDE || height > MAX_SIDE {
            return fail("it is too long or too wide; slice it to request a smaller part");
        }
        Ok(Self { width: width as u32, height: height as u32, channels })
    }

    pub(in crate::format) fn width(&self) -> u32 {
        self.width
    }

    pub(in crate::format) fn height(&self) -> u32 {
        self.height
    }
}

/// A PNG of all `items`, which are as many as the layout has samples.
///
/// # Errors
/// `Malformed` when the display does not fit the picture.
pub(in crate::format) fn draw(dtype: &DType, layout: Layout, items: &[u8], display: &Display) -> Result<Vec<u8>> {
    let Layout { width, height, channels } = layout;
    let itemsize = dtype.itemsize();
    let count = width as usize * height as usize * channels;
    if items.len() != count * itemsize {
        return Err(
            Error::internal("Internal server error").context("drawing an array: the data do not fit their shape")
        );
    }
    if display.colours.is_some() && channels > 1 {
        return Err(Error::malformed(format!(
            "cmap applies to pictures of one channel, but this one has {channels}. Slice it to select one channel."
        )));
    }
    let row_bytes = width as usize * channels * itemsize;
    let as_is = channels > 1 && *dtype == DType::of("u1") && !display.scales();
    let numbers = Numbers::of(dtype, items, row_bytes);
    let brightness = if as_is { Brightness::AsIs } else { Brightness::Within(numbers.range(display)) };
    let holes = may_have_holes(dtype) && numbers.any_row(|row| row.iter().any(|number| number.is_nan()));
    let palette = display.colours.map(|colours| colours.table());
    let colour_type = match (channels, palette.is_some(), holes) {
        (1, false, false) => ColorType::Grayscale,
        (1, false, true) | (2, ..) => ColorType::GrayscaleAlpha,
        (1, true, false) | (3, _, false) => ColorType::Rgb,
        _ => ColorType::Rgba,
    };
    let mut picture = Vec::new();
    let written = || format!("writing a PNG of {width} by {height}");
    let mut encoder = Encoder::new(&mut picture, width, height);
    encoder.set_color(colour_type);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    encoder.set_filter(Filter::Up);
    let mut writer = encoder.write_header().internal(written)?;
    let mut rows = writer.stream_writer().internal(written)?;
    let samples = colour_type.samples();
    let has_alpha = matches!(colour_type, ColorType::GrayscaleAlpha | ColorType::Rgba);
    let (mut row, mut levels) = (Vec::with_capacity(width as usize * samples), Vec::new());
    numbers.each_row(|numbers| {
        levels.clear();
        brightness.push_levels(numbers, &mut levels);
        if let (None, false) = (&palette, has_alpha) {
            return rows.write_all(&levels).internal(written);
        }
        row.clear();
        for (pixel, levels) in numbers.chunks_exact(channels).zip(levels.chunks_exact(channels)) {
            let start = row.len();
            for level in levels {
                match &palette {
                    Some(table) => row.extend(table[usize::from(*level)]),
                    None => row.push(*level),
                }
            }
            if has_alpha {
                row.resize(start + samples, u8::MAX);
                if pixel.iter().any(|number| number.is_nan()) {
                    row[start..].fill(0);
                }
            }
        }
        rows.write_all(&row).internal(written)
    })?;
    rows.finish().internal(written)?;
    writer.finish().internal(written)?;
    Ok(picture)
}

enum Brightness {
    /// The values are levels already.
    AsIs,
    Within(Range),
}

impl Brightness {
    /// From 0 to 255; 0 for NaN.
    fn push_levels(&self, values: &[f64], levels: &mut Vec<u8>) {
        match self {
            Self::AsIs => levels.extend(values.iter().map(|value| *value as u8)),
            Self::Within(range) => match range.linear() {
                Some(brightness) => levels.extend(values.iter().map(|value| rounded(brightness(*value)))),
                None => levels.extend(values.iter().map(|value| rounded(range.brightness(*value)))),
            },
        }
    }
}

/// A brightness to the nearest level, and of two to the even one; 0 for NaN. A sum as large as this has no fractions, and
/// ends with the number: no function is called, so that several are worked on at once.
fn rounded(brightness: f64) -> u8 {
    const LARGE: f64 = (3u64 << 51) as f64;
    (255.0 * brightness.max(0.0) + LARGE).to_bits() as u8
}

/// The items of a picture as numbers, row by row.
struct Numbers<'i> {
    dtype: &'i DType,
    items: &'i [u8],
    row_bytes: usize,
    /// Of a picture that is not very large.
    all: Option<Vec<f64>>,
}

impl<'i> Numbers<'i> {
    fn of(dtype: &'i DType, items: &'i [u8], row_bytes: usize) -> Self {
        let count = items.len() / dtype.itemsize().max(1);
        let all = matches!(sample(count), Sample::All).then(|| {
            let mut all = Vec::with_capacity(count);
            push_numbers(dtype, items, &mut all);
            all
        });
        Self { dtype, items, row_bytes: row_bytes.max(1), all }
    }

    fn each_row(&self, mut see: impl FnMut(&[f64]) -> Result<()>) -> Result<()> {
        let itemsize = self.dtype.itemsize().max(1);
        if let Some(all) = &self.all {
            return all.chunks_exact((self.row_bytes / itemsize).max(1)).try_for_each(see);
        }
        let mut row = Vec::with_capacity(self.row_bytes / itemsize);
        self.items.chunks_exact(self.row_bytes).try_for_each(|items| {
            row.clear();
            push_numbers(self.dtype, items, &mut row);
            see(&row)
        })
    }

    fn any_row(&self, is_wanted: impl Fn(&[f64]) -> bool) -> bool {
        let mut found = false;
        // It does not fail.
        let _ = self.each_row(|row| {
            found |= is_wanted(row);
            Ok(())
        });
        found
    }

    fn range(&self, display: &Display) -> Range {
        if !display.looks() {
            return display.range(&[]);
        }
        let itemsize = self.dtype.itemsize();
        match (&self.all, sample(self.items.len() / itemsize.max(1))) {
            (Some(all), _) => display.range(all),
            (None, Sample::Some(picked)) => {
                let mut numbers = Vec::new();
                picked.for_each(|n| push_numbers(self.dtype, &self.items[n * itemsize..][..itemsize], &mut numbers));
                display.range(&numbers)
            }
            (None, Sample::All) => unreachable!("all are there"),
        }
    }
}

fn may_have_holes(dtype: &DType) -> bool {
    dtype
        .as_scalar()
        .is_some_and(|scalar| matches!(scalar.kind, Kind::Float | Kind::Complex | Kind::Datetime | Kind::Timedelta))
}

#[cfg(test)]
mod tests {
    use girih_model::ErrorKind;

    use super::super::colours::Colours;
    use super::*;

    fn read(png: &[u8]) -> (ColorType, u32, u32, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        (info.color_type, info.width, info.height, pixels)
    }

    fn check(dtype: &str, shape: &[u64], items: &[u8], display: Display, colour_type: ColorType, expected: &[u8]) {
        let dtype = DType::of(dtype);
        let layout = Layout::of(&dtype, shape).unwrap();
        let (found, width, height, pixels) = read(&draw(&dtype, layout, items, &display).unwrap());
        assert_eq!((found, width, height), (colour_type, layout.width, layout.height), "{dtype} {shape:?}");
        assert_eq!(pixels, expected, "{dtype} {shape:?}");
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    /// The first picture is the reference's: `rint(255 * clip((x - p1) / (p99 - p1), 0, 1))`.
    #[test]
    fn pictures_of_one_channel() {
        let plain = Display::default();
        let ramp = floats(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        check("f4", &[2, 3], &ramp, plain, ColorType::Grayscale, &[0, 49, 101, 154, 206, 255]);
        check("u1", &[], &[9], plain, ColorType::Grayscale, &[128]);
        check("b1", &[2], &[0, 1], plain, ColorType::Grayscale, &[0, 255]);
        check("i2", &[2, 1, 1], &[0, 0, 255, 255], plain, ColorType::Grayscale, &[255, 0]);
        check("c8", &[1], &floats(&[3.0, 4.0]), plain, ColorType::Grayscale, &[128]);
        let holes = floats(&[f32::NAN, 7.0]);
        check("f4", &[1, 2], &holes, plain, ColorType::GrayscaleAlpha, &[0, 0, 128, 255]);
    }

    #[test]
    fn pictures_in_colour() {
        let plain = Display::default();
        check("u1", &[1, 1, 2], &[1, 2], plain, ColorType::GrayscaleAlpha, &[1, 2]);
        check("u1", &[1, 2, 3], &[1, 2, 3, 4, 5, 6], plain, ColorType::Rgb, &[1, 2, 3, 4, 5, 6]);
        check("u1", &[1, 1, 4], &[1, 2, 3, 4], plain, ColorType::Rgba, &[1, 2, 3, 4]);
        let stretched = Display { vmin: Some(0.0), vmax: Some(51.0), ..plain };
        check("u1", &[1, 1, 3], &[0, 10, 60], stretched, ColorType::Rgb, &[0, 50, 255]);
        let holes = floats(&[f32::NAN, 1.0, 1.0, 0.0, 1.0, 0.0]);
        let range = Display { vmin: Some(0.0), vmax: Some(1.0), ..plain };
        check("f4", &[2, 1, 3], &holes, range, ColorType::Rgba, &[0, 0, 0, 0, 0, 255, 0, 255]);
        let map = Display { colours: Some(Colours::named("viridis").unwrap()), ..range };
        check("f4", &[2], &floats(&[0.0, 1.0]), map, ColorType::Rgb, &[68, 1, 84, 253, 231, 37]);
        check("f4", &[2], &floats(&[f32::NAN, 1.0]), map, ColorType::Rgba, &[0, 0, 0, 0, 253, 231, 37, 255]);
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        for (dtype, shape) in
            [("S3", &[2, 2][..]), ("u1", &[2, 3, 5]), ("u1", &[1, 2, 3, 4]), ("u1", &[0, 2]), ("u1", &[2, 1 << 32])]
        {
            let error = Layout::of(&DType::of(dtype), shape).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotAcceptable, "{dtype} {shape:?}");
        }
        let map = Display { colours: Some(Colours::named("magma").unwrap()), ..Display::default() };
        let dtype = DType::of("u1");
        let error = draw(&dtype, Layout::of(&dtype, &[1, 1, 3]).unwrap(), &[0; 3], &map).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
    }
}
