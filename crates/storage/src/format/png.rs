//! `image/png`: an array as a picture for the eye (ISO/IEC 15948).

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use girih_model::{ByteStream, Data, DataSource, Family, Result, Structure};

use super::raster::PNG;
use super::{EncodeOptions, Encoded, Files, Format, Inspected};
use crate::dataset::Dataset;
use crate::place::Places;
use crate::pool;

mod body;
mod colours;
mod display;
mod picture;

pub(super) use display::Display;
pub(super) use picture::{Layout, draw};

/// Arrays of numbers, times and booleans; complex numbers show their magnitude.
///
/// - No or one axis is a picture of one row; two axes `(y, x)` are grey; `(y, x, channels)` is grey, grey and alpha,
///   RGB or RGBA for 1 to 4 channels.
/// - The 1st percentile of the finite values is black, the 99th white; of more than a million values, an evenly spread
///   sample is taken. A constant picture is mid grey. `uint8` colours are left as they are.
/// - NaN and "not a time" are transparent, infinities lie at the ends of the range.
/// - `vmin`, `vmax`, `log` and `cmap` in the query change the range, the scale and the colours of grey pictures.
pub struct Png;

#[async_trait]
impl Format for Png {
    fn media_type(&self) -> &'static str {
        "image/png"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["png"]
    }

    fn suffixes(&self) -> &'static [&'static str] {
        &["png"]
    }

    fn sequence(&self) -> Option<&'static str> {
        Some(PNG.sequence())
    }

    fn opens(&self) -> &'static [Family] {
        &[Family::Array]
    }

    async fn inspect(&self, files: &Files, places: &Places) -> Result<Inspected> {
        PNG.inspect(files, places).await
    }

    async fn open(&self, source: &DataSource, places: &Places) -> Result<Arc<dyn Dataset>> {
        PNG.open(source, places).await
    }

    fn encodes(&self) -> &'static [Family] {
        &[Family::Array]
    }

    fn decodes(&self) -> &'static [Family] {
        &[Family::Array]
    }

    /// Needs the whole array, for its range is not known before its end.
    async fn encode(&self, data: Data, options: &EncodeOptions) -> Result<Encoded> {
        let Data::Array(array) = data else { return Err(self.cannot_encode(data.family())) };
        let display = Display::parse(&options.query)?;
        let (dtype, shape) = (array.dtype.clone(), array.shape.clone());
        let layout = Layout::of(&dtype, &shape)?;
        // The items, the numbers that tell the range, and the picture.
        let samples = shape.iter().product::<u64>() as usize;
        let room = pool::WORKSPACE.take(samples.saturating_mul(2 * dtype.itemsize() + 1)).await?;
        let items = array.collect(options.memory_limit).await?;
        let picture = pool::blocking(move || draw(&dtype, layout, &items, &display)).await?;
        Ok(Encoded {
            media_type: self.media_type().into(),
            length: Some(picture.len() as u64),
            body: stream::once(async { Ok(room.hold(Bytes::from(picture))) }).boxed(),
            itemsize: 1,
        })
    }

    /// Reads the samples of a picture of 8 or 16 bits, cast to the structure's dtype. Apart from axes of length one, the
    /// shape must be the picture's: `(y, x)`, or `(y, x, channels)` for colours.
    async fn decode(&self, body: ByteStream, structure: &Structure) -> Result<Data> {
        match structure {
            Structure::Array(array) => Ok(Data::Array(body::decode(body, array).await?)),
            other => Err(self.cannot_decode(other.family())),
        }
    }
}
