//! What a file holds: its shape as tifffile tells it, and its tags.

use std::sync::Arc;

use girih_model::{Error, Json, Result};
use serde_json::{Map, Value, json};

use super::ifd::{Directory, Entry, Of, Source, text};
use super::{read, tags};
use crate::format::chunked;
use crate::format::sequence::Frame;
use crate::place::Location;

/// Longest list of a tag that is shown.
const MAX_VALUES: u64 = 1000;
/// Longest text of a tag that is shown.
const MAX_TEXT: u64 = 1 << 20;

/// The structure and the tags of the first page. May block.
pub(super) fn inspect(location: &Location) -> Result<Frame> {
    let file = Arc::new(location.open_file()?);
    let series = read::series(location, &file)?;
    let metadata = metadata(file).map_err(|e| e.context(format!("reading {}", location.absolute().display())))?;
    let structure = chunked::unchunked(series.dtype().clone(), series.shape.clone());
    if structure.nbytes().is_none() {
        return Err(Error::unsupported(format!("A TIFF file of the shape {:?} is too large.", series.shape)));
    }
    Ok(Frame { structure, metadata })
}

fn metadata(file: Arc<std::fs::File>) -> Result<Json> {
    let source = Source::open(file)?;
    let first = source.directory(source.header.first)?;
    let shown = first.entries.iter().filter_map(|entry| Some((tags::name(entry.tag), shown(&first, entry)?)));
    Ok(Json::from_value(&Value::Object(shown.collect::<Map<_, _>>())))
}

/// As tifffile gives it; what is long is left out.
fn shown(directory: &Directory, entry: &Entry) -> Option<Value> {
    let most = if entry.kind.of == Of::Text { MAX_TEXT } else { MAX_VALUES };
    if entry.count > most {
        return None;
    }
    let unsigned = |bytes: &[u8]| bytes.iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
    let signed = |bytes: &[u8]| {
        let unused = 64 - 8 * bytes.len() as u32;
        (unsigned(bytes) << unused) as i64 >> unused
    };
    let mut values: Vec<Value> = match entry.kind.of {
        Of::Text => return Some(json!(text(&directory.each(entry, |byte| byte[0]).ok()?))),
        Of::Unsigned | Of::Ratio | Of::Bytes => directory.each(entry, |bytes| json!(unsigned(bytes))),
        Of::Signed | Of::SignedRatio => directory.each(entry, |bytes| json!(signed(bytes))),
        Of::Real => directory.each(entry, |bytes| match bytes.len() {
            4 => json!(f32::from_bits(unsigned(bytes) as u32)),
            _ => json!(f64::from_bits(unsigned(bytes))),
        }),
    }
    .ok()?;
    Some(if values.len() == 1 { values.remove(0) } else { Value::Array(values) })
}
