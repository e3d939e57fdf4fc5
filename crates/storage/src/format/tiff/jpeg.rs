//! Strips and tiles that are JPEG streams (ITU-T T.81; TIFF Technical Note 2), whose tables may lie in a tag.
//!
//! What colours they hold is told as libjpeg finds it out, and what becomes of them as tifffile wants it: light and two
//! differences become red, green and blue, all else stays as it is. The conversion is that of libjpeg, digit by digit.

use girih_model::{Error, Result};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::ifd::damaged;
use super::page::{MAX_CHUNK, Page};
use crate::format::guard::guarded;

/// Longest side of a picture (T.81, B.2.2).
const MAX_SIDE: usize = 65_535;

const HUFFMAN: u8 = 0xc4;
const ARITHMETIC: u8 = 0xcc;
const START: u8 = 0xd8;
const SCAN: u8 = 0xda;
const QUANTA: u8 = 0xdb;
const JFIF: u8 = 0xe0;
const ADOBE: u8 = 0xee;

/// What the components of a pixel are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colours {
    Grey,
    /// Red, green, blue; or what else there is of three.
    Three,
    /// Light and two differences.
    Light,
    Four,
    /// As `Light`, of what is not printed, and black.
    LightAndBlack,
}

/// Width, height and components of a stream, and its samples, pixel by pixel.
pub(super) struct Decoded {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) components: usize,
    pub(super) samples: Vec<u8>,
}

pub(super) fn decode(page: &Page, tables: Option<&[u8]>, stream: &[u8]) -> Result<Decoded> {
    if page.extra.is_empty() && !page.is_planar && (page.photometric == 4 || page.photometric > 6) {
        return Err(Error::unsupported(format!(
            "JPEG in TIFF files with the photometric interpretation {} is not read.",
            page.photometric
        )));
    }
    let (colours, plain) = rewritten(page, tables, stream).ok_or_else(|| damaged(&"a JPEG stream has no header"))?;
    let same = match colours {
        Colours::Grey => ColorSpace::Luma,
        Colours::Three => ColorSpace::RGB,
        Colours::Light => ColorSpace::YCbCr,
        Colours::Four => ColorSpace::CMYK,
        Colours::LightAndBlack => ColorSpace::YCCK,
    };
    let decoded = guarded(|| {
        let options = DecoderOptions::default().set_max_width(MAX_SIDE).set_max_height(MAX_SIDE);
        let options = options.jpeg_set_out_colorspace(same);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(plain.as_slice()), options);
        decoder.decode_headers().map_err(|e| damaged(&e))?;
        let (width, height) = decoder.info().map_or((0, 0), |info| (info.width.into(), info.height.into()));
        let components = same.num_components();
        if width as u64 * height as u64 * components as u64 > MAX_CHUNK {
            return Err(damaged(&"a JPEG stream is too large"));
        }
        let samples = decoder.decode().map_err(|e| damaged(&e))?;
        Ok(Decoded { width, height, components, samples })
    });
    let mut decoded = decoded.unwrap_or_else(|| Err(damaged(&"it contradicts itself")))?;
    if decoded.samples.len() != decoded.width * decoded.height * decoded.components {
        return Err(damaged(&"a JPEG stream is cut off"));
    }
    match colours {
        Colours::Light => decoded.samples.chunks_exact_mut(3).for_each(to_red_green_blue),
        Colours::LightAndBlack => decoded.samples.chunks_exact_mut(4).for_each(|pixel| {
            to_red_green_blue(pixel);
            pixel[..3].iter_mut().for_each(|colour| *colour = 255 - *colour);
        }),
        Colours::Grey | Colours::Three | Colours::Four => {}
    }
    Ok(decoded)
}

/// Section 7 of JFIF, in 16 bits of fraction, as in libjpeg.
fn to_red_green_blue(pixel: &mut [u8]) {
    const HALF: i32 = 1 << 15;
    let (light, blue, red) = (i32::from(pixel[0]), i32::from(pixel[1]) - 128, i32::from(pixel[2]) - 128);
    pixel[0] = (light + ((91881 * red + HALF) >> 16)).clamp(0, 255) as u8;
    pixel[1] = (light + ((-22554 * blue - 46802 * red + HALF) >> 16)).clamp(0, 255) as u8;
    pixel[2] = (light + ((116130 * blue + HALF) >> 16)).clamp(0, 255) as u8;
}

/// The stream with its tables, and with a marker that says what its colours are, in place of those that hint at it.
fn rewritten(page: &Page, tables: Option<&[u8]>, stream: &[u8]) -> Option<(Colours, Vec<u8>)> {
    let mut out = vec![0xff, START];
    for (marker, segment) in segments(tables.unwrap_or_default()) {
        // All else is of one stream only.
        if matches!(marker, HUFFMAN | ARITHMETIC | QUANTA) {
            out.extend_from_slice(segment);
        }
    }
    let (mut has_jfif, mut adobe, mut components) = (false, None, Vec::new());
    let mut rest = stream;
    for (marker, segment) in segments(stream) {
        rest = &stream[segment.as_ptr() as usize - stream.as_ptr() as usize..];
        match marker {
            SCAN => break,
            JFIF => has_jfif |= segment[4..].starts_with(b"JFIF"),
            ADOBE if segment[4..].starts_with(b"Adobe") => adobe = segment.get(15).copied(),
            // The header of the frame.
            0xc0..=0xcf if !matches!(marker, HUFFMAN | ARITHMETIC | 0xc8) => {
                components = segment.get(10..)?.chunks_exact(3).map(|component| component[0]).collect();
                out.extend_from_slice(segment);
            }
            ADOBE => {}
            _ => out.extend_from_slice(segment),
        }
    }
    let is_plain = page.extra.is_empty() && !page.is_planar && page.photometric == 2 && stream.get(6..10)? != b"JFIF";
    let colours = match (components.as_slice(), adobe) {
        ([_], _) => Colours::Grey,
        ([..], _) if components.len() == 3 && is_plain => Colours::Three,
        ([_, _, _], Some(0)) if !has_jfif => Colours::Three,
        (b"RGB", None) if !has_jfif => Colours::Three,
        ([_, _, _], _) => Colours::Light,
        ([_, _, _, _], None | Some(0)) => Colours::Four,
        ([_, _, _, _], _) => Colours::LightAndBlack,
        _ => return None,
    };
    let transform = match colours {
        Colours::Grey => return Some((colours, [out.as_slice(), rest].concat())),
        Colours::Three | Colours::Four => 0,
        Colours::Light => 1,
        Colours::LightAndBlack => 2,
    };
    out.extend_from_slice(&[0xff, ADOBE, 0, 14]);
    out.extend_from_slice(b"Adobe\0\x64\0\0\0\0");
    out.push(transform);
    out.extend_from_slice(rest);
    Some((colours, out))
}

/// The markers with a length, each from its beginning, up to the first scan.
fn segments(stream: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let [0xff, marker] = *stream.get(at..at + 2)? else {
                at += 1;
                continue;
            };
            match marker {
                // What fills, and what has no length.
                0xff => at += 1,
                0 | 1 | 0xd0..=0xd9 => at += 2,
                _ => {
                    let length = usize::from(u16::from_be_bytes([*stream.get(at + 2)?, *stream.get(at + 3)?]));
                    let segment = stream.get(at..at + 2 + length.max(2))?;
                    at += segment.len();
                    return Some((marker, segment));
                }
            }
        }
    })
}
