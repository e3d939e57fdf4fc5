//! Arrays as contiguous datasets: the bytes go out as they come, only UTF-32 becomes UTF-8.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};
use girih_model::dtype::Kind;
use girih_model::{ArrayStructure, ByteStream, DType, Data, Error, Result};

use super::attribute::Attribute;
use super::column::{cf_unit, since_epoch};
use super::datatype;
use super::header::{Dataspace, Header, Layout, UNDEFINED};
use super::image::Image;
use super::table::changed;
use crate::pool::blocking;

/// Most axes of a dataspace.
const MAX_AXES: usize = 32;
/// Zeros for items without bytes are sent in pieces of this many.
const ZEROS: u64 = 64 << 10;

pub(super) type Read = Arc<dyn Fn() -> BoxFuture<'static, Result<Data>> + Send + Sync>;

pub(super) struct Array {
    dtype: DType,
    shape: Vec<u64>,
    dims: Option<Vec<String>>,
    /// Bytes in the file.
    pub(super) bytes: u64,
}

impl Array {
    pub(super) fn new(structure: &ArrayStructure) -> Result<Self> {
        let ArrayStructure { dtype, shape, dims, .. } = structure;
        if shape.len() > MAX_AXES {
            return Err(Error::not_acceptable(format!(
                "A dataset in an HDF5 file has at most {MAX_AXES} axes; this array has {}.",
                shape.len()
            )));
        }
        let bytes = shape
            .iter()
            .try_fold(datatype::stored_size(dtype) as u64, |bytes, len| bytes.checked_mul(*len))
            .ok_or_else(|| Error::not_acceptable("This array is too large for an HDF5 file."))?;
        Ok(Self { dtype: dtype.clone(), shape: shape.clone(), dims: dims.clone(), bytes })
    }

    /// Writes the header; `start` is where the items begin among all data.
    ///
    /// Dates and spans get the attributes `dtype` (NumPy's) and `units` (CF conventions, 4.4), named
    /// axes `DIMENSION_LABELS` (HDF5 Dimension Scale Specification), unless the metadata have these.
    pub(super) fn write(&self, image: &mut Image, start: u64, mut attributes: Vec<Attribute>) -> Result<u64> {
        let address = if self.bytes == 0 { UNDEFINED } else { image.data(start) };
        let layout = Layout::Contiguous { address, bytes: self.bytes };
        let space = Dataspace::Simple(self.shape.clone());
        let mut header = Header::dataset(&space, &datatype::of(&self.dtype), &layout)?;
        for own in self.attributes() {
            if attributes.iter().all(|given| given.name() != own.name()) {
                attributes.push(own);
            }
        }
        for attribute in attributes {
            attribute.write(&mut header, &mut image.heap)?;
        }
        image.push(&header.encode())
    }

    fn attributes(&self) -> Vec<Attribute> {
        let mut attributes = Vec::new();
        if let DType::Scalar(scalar) = &self.dtype
            && matches!(scalar.kind, Kind::Datetime | Kind::Timedelta)
        {
            attributes.push(Attribute::text("dtype", scalar.typestr()));
            let unit = scalar.time_unit().filter(|unit| unit.count == 1).map(|unit| unit.unit);
            let units = match scalar.kind {
                Kind::Datetime => unit.and_then(since_epoch),
                _ => unit.and_then(cf_unit).map(str::to_owned),
            };
            attributes.extend(units.map(|units| Attribute::text("units", units)));
        }
        attributes.extend(self.dims.clone().map(|dims| Attribute::list_of_texts("DIMENSION_LABELS", dims)));
        attributes
    }

    /// The items.
    ///
    /// # Errors
    /// `Conflict` when the array no longer has the structure that was announced.
    pub(super) fn body(self: Arc<Self>, read: &Read) -> ByteStream {
        if self.dtype.itemsize() == 0 {
            let zeros = Bytes::from(vec![0; ZEROS.min(self.bytes) as usize]);
            let cuts = (0..self.bytes).step_by(ZEROS as usize);
            return stream::iter(cuts.map(move |at| Ok(zeros.slice(..(self.bytes - at).min(ZEROS) as usize)))).boxed();
        }
        let reading = read();
        let pieces = async move {
            let Data::Array(data) = reading.await? else { return Err(changed()) };
            if data.dtype != self.dtype || data.shape != self.shape {
                return Err(changed());
            }
            let texts = datatype::texts(&self.dtype);
            let itemsize = self.dtype.itemsize();
            Ok(match texts.is_empty() {
                true => data.pieces,
                false => data.pieces.and_then(move |piece| to_utf8(piece, itemsize, texts.clone())).boxed(),
            })
        };
        stream::once(pieces).try_flatten().boxed()
    }
}

async fn to_utf8(piece: Bytes, itemsize: usize, texts: Vec<(usize, usize, bool)>) -> Result<Bytes> {
    blocking(move || {
        let mut items = BytesMut::from(&piece[..]);
        for item in items.chunks_exact_mut(itemsize) {
            for (at, len, big) in &texts {
                utf32_to_utf8(&mut item[*at..*at + *len], *big);
            }
        }
        Ok(items.freeze())
    })
    .await
}

/// In place: UTF-8 never takes more than four bytes. What is no character becomes U+FFFD.
fn utf32_to_utf8(text: &mut [u8], big: bool) {
    let mut end = 0;
    for at in (0..text.len()).step_by(4) {
        let unit = [text[at], text[at + 1], text[at + 2], text[at + 3]];
        let code = if big { u32::from_be_bytes(unit) } else { u32::from_le_bytes(unit) };
        let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        end += character.encode_utf8(&mut text[end..]).len();
    }
    text[end..].fill(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_shorter_never_longer() {
        for (text, big) in [("a€😀", false), ("a€😀", true), ("", false), ("ab", true)] {
            let units = text.chars().flat_map(|c| match big {
                true => (c as u32).to_be_bytes(),
                false => (c as u32).to_le_bytes(),
            });
            let mut bytes: Vec<u8> = units.chain([0; 8]).collect();
            utf32_to_utf8(&mut bytes, big);
            assert_eq!(String::from_utf8(bytes).unwrap().trim_end_matches('\0'), text);
        }
        let mut surrogate = 0xd800u32.to_le_bytes();
        utf32_to_utf8(&mut surrogate, false);
        assert_eq!(&surrogate, "\u{fffd}\0".as_bytes());
    }
}
