//! What a file holds: its shape as tifffile tells it, and its tags.

use std::sync::Arc;

use girih_model::{ArrayStructure, DType, Error, Json, Result};
use serde_json::{Map, Value, json};
use tiff::decoder::ifd;
use tiff::tags::Tag;

use super::pages::{Geometry, Pages, damaged, decoded, geometry};
use crate::format::chunked;
use crate::format::sequence::Frame;
use crate::place::Location;

/// Longest list of a tag that is shown.
const MAX_VALUES: usize = 1000;

/// The tags that say how the samples are to be read.
struct Samples {
    format: u16,
    photometric: u16,
    description: Option<String>,
}

/// The structure and the tags of the first page. May block.
pub(super) fn inspect(location: &Location) -> Result<Frame> {
    look(location).map_err(|e| e.context(format!("reading {}", location.absolute().display())))
}

fn look(location: &Location) -> Result<Frame> {
    let (pages, samples, metadata) = open(location)?;
    let natural = natural(&pages, &samples)?;
    let described = samples.description.as_deref().and_then(described);
    let items = |shape: &[u64]| shape.iter().try_fold(1u64, |items, len| items.checked_mul(*len));
    let shape =
        described.filter(|shape| items(shape) == items(&natural.shape)).unwrap_or_else(|| natural.shape.clone());
    let structure = chunked::unchunked(natural.dtype, shape);
    Ok(Frame { structure, metadata })
}

/// The pages as the first axis, as they lie in the file.
pub(super) fn pages(location: &Location) -> Result<ArrayStructure> {
    let (pages, samples, _) = open(location)?;
    natural(&pages, &samples)
}

fn open(location: &Location) -> Result<(Arc<Pages>, Samples, Json)> {
    let file = Arc::new(location.open_file()?);
    let pages = Pages::of(&file)?;
    let mut decoder = pages.decoder(&file, 0)?;
    let (samples, tags) = decoded(|| {
        let format = decoder.find_tag_unsigned_vec::<u16>(Tag::SampleFormat)?.and_then(|all| all.first().copied());
        let photometric = decoder.find_tag_unsigned::<u16>(Tag::PhotometricInterpretation)?;
        let description = decoder.find_tag(Tag::ImageDescription)?.and_then(|text| text.into_string().ok());
        let samples = Samples { format: format.unwrap_or(1), photometric: photometric.unwrap_or(1), description };
        let tags: Vec<(Tag, ifd::Value)> = decoder.tag_iter().filter_map(|tag| tag.ok()).collect();
        Ok((samples, tags))
    })?;
    // One that is not like the first would be read as something else.
    for page in 1..pages.offsets.len() {
        if geometry(&mut pages.decoder(&file, page)?)? != pages.first {
            return Err(Error::unsupported(format!(
                "The pages of the TIFF file are not alike: page {page} differs from the first in its shape or its kind of samples."
            )));
        }
    }
    let shown = tags.into_iter().filter_map(|(tag, value)| Some((name(tag), shown(value)?)));
    Ok((pages, samples, Json::from_value(&Value::Object(shown.collect::<Map<_, _>>()))))
}

fn natural(pages: &Pages, samples: &Samples) -> Result<ArrayStructure> {
    let Geometry { width, height, samples: planes, is_planar, bits, .. } = pages.first;
    let (h, w, s) = (u64::from(height), u64::from(width), u64::from(planes));
    let dtype = match (samples.format, bits) {
        (1 | 2, 1) => "b1",
        (1 | 4, 8) => "u1",
        (1 | 4, 16) => "u2",
        (1 | 4, 32) => "u4",
        (1 | 4, 64) => "u8",
        (2, 8) => "i1",
        (2, 16) => "i2",
        (2, 32) => "i4",
        (2, 64) => "i8",
        (3, 16) => "f2",
        (3, 32) => "f4",
        (3, 64) => "f8",
        (format, bits) => {
            return Err(Error::unsupported(format!(
                "TIFF files with samples of {bits} bits (sample format {format}) are not read."
            )));
        }
    };
    if samples.photometric == 3 {
        return Err(Error::unsupported("TIFF files with a palette of colours are not read."));
    }
    let page = match (planes, is_planar) {
        (1, _) => vec![h, w],
        (_, false) => vec![h, w, s],
        (_, true) => vec![s, h, w],
    };
    let count = pages.offsets.len() as u64;
    let shape = if count == 1 { page } else { [vec![count], page].concat() };
    if shape.contains(&0) {
        return Err(damaged(&"a page has no size"));
    }
    Ok(ArrayStructure::new(DType::of(dtype), shape))
}

/// The shape that the description tells: of tifffile, ImageJ or OME.
fn described(description: &str) -> Option<Vec<u64>> {
    if description.starts_with("{\"shape\":") {
        let told: Value = serde_json::from_str(description).ok()?;
        return told.get("shape")?.as_array()?.iter().map(Value::as_u64).collect();
    }
    None
}

fn name(tag: Tag) -> String {
    match tag {
        Tag::Unknown(number) => number.to_string(),
        known => format!("{known:?}"),
    }
}

/// As tifffile gives it; what is long is left out.
fn shown(value: ifd::Value) -> Option<Value> {
    Some(match value {
        ifd::Value::Byte(n) => json!(n),
        ifd::Value::Short(n) => json!(n),
        ifd::Value::Unsigned(n) | ifd::Value::Ifd(n) => json!(n),
        ifd::Value::UnsignedBig(n) | ifd::Value::IfdBig(n) => json!(n),
        ifd::Value::SignedByte(n) => json!(n),
        ifd::Value::SignedShort(n) => json!(n),
        ifd::Value::Signed(n) => json!(n),
        ifd::Value::SignedBig(n) => json!(n),
        ifd::Value::Float(n) => json!(n),
        ifd::Value::Double(n) => json!(n),
        ifd::Value::Rational(n, d) => json!([n, d]),
        ifd::Value::SRational(n, d) => json!([n, d]),
        ifd::Value::Ascii(text) => json!(text),
        ifd::Value::List(values) if values.len() == 1 => shown(values.into_iter().next()?)?,
        ifd::Value::List(values) if values.len() <= MAX_VALUES => {
            Value::Array(values.into_iter().map(shown).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}
