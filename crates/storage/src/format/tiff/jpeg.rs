//! Strips and tiles that are JPEG streams (TIFF Technical Note 2), whose tables may lie in a tag.

use girih_model::{Error, Result};

use super::ifd::damaged;
use super::page::{MAX_CHUNK, Page};
use crate::format::jpeg_stream::{self, Colours, Fault, Picture};

/// What tifffile makes of a stream: light and two differences become red, green and blue, unless the page says that they
/// are such already; all else stays as it is.
pub(super) fn decode(page: &Page, tables: &[u8], stream: &[u8]) -> Result<Picture> {
    let is_told = page.extra.is_empty() && !page.is_planar;
    if is_told && (page.photometric == 4 || page.photometric > 6) {
        return Err(Error::unsupported(format!(
            "JPEG in TIFF files with the photometric interpretation {} is not read.",
            page.photometric
        )));
    }
    let mut picture = jpeg_stream::decode(tables, stream, MAX_CHUNK).map_err(|fault| match fault {
        Fault::Damaged(why) => damaged(&why),
        Fault::Unsupported(why) => Error::unsupported(format!("The TIFF file cannot be read: {why}.")),
    })?;
    let is_plain = is_told && page.photometric == 2 && stream.get(6..10) != Some(b"JFIF");
    picture.convert(if is_plain { Colours::Plain } else { picture.header.colours() });
    Ok(picture)
}
