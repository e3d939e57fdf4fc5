//! PNG (W3C, third edition) as Pillow decodes it: palettes as numbers, fewer than eight bits of grey spread to eight, one
//! bit as truth. Sixteen bits stay sixteen.

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};

use girih_model::{DType, Error, Json, Result, ResultExt};
use png::{BitDepth, ColorType, Limits, Transformations};
use serde_json::{Map, Value};

use super::{Decoder, MAX_PICTURE, Picture, damaged};

const NAME: &str = "PNG";
/// Longest text that is shown.
const MAX_TEXT: usize = 4096;

pub(super) struct Decode;

fn reader(file: &File) -> Result<png::Reader<BufReader<File>>> {
    let mut file = file.try_clone().internal(|| "opening a picture again".into())?;
    file.seek(SeekFrom::Start(0)).internal(|| "reading a picture".into())?;
    let limits = Limits { bytes: MAX_PICTURE as usize };
    let mut decoder = png::Decoder::new_with_limits(BufReader::new(file), limits);
    decoder.set_transformations(Transformations::IDENTITY);
    decoder.read_info().or_error(|e| damaged(NAME, e))
}

impl Decoder for Decode {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sequence(&self) -> &'static str {
        "multipart/related;type=image/png"
    }

    fn header(&self, file: &File) -> Result<Picture> {
        let reader = reader(file)?;
        let info = reader.info();
        let dtype = match (info.color_type, info.bit_depth) {
            (ColorType::Grayscale, BitDepth::One) => "b1",
            (_, BitDepth::Sixteen) => "u2",
            _ => "u1",
        };
        let mut shape = vec![u64::from(info.height), u64::from(info.width)];
        match info.color_type {
            ColorType::Grayscale | ColorType::Indexed => {}
            ColorType::GrayscaleAlpha => shape.push(2),
            ColorType::Rgb => shape.push(3),
            ColorType::Rgba => shape.push(4),
        }
        let texts = info.uncompressed_latin1_text.iter().filter(|chunk| chunk.text.len() <= MAX_TEXT);
        let texts: Map<String, Value> =
            texts.map(|chunk| (chunk.keyword.clone(), Value::from(chunk.text.clone()))).collect();
        Ok(Picture { dtype: DType::of(dtype), shape, metadata: Json::from_value(&Value::Object(texts)) })
    }

    fn decode(&self, file: &File) -> Result<Vec<u8>> {
        let mut reader = reader(file)?;
        let size = reader.output_buffer_size().filter(|size| *size as u64 <= MAX_PICTURE);
        let mut stored = vec![0; size.ok_or_else(|| Error::unsupported("PNG files so large are not read."))?];
        let frame = reader.next_frame(&mut stored).or_error(|e| damaged(NAME, e))?;
        stored.truncate(frame.buffer_size());
        let info = reader.info();
        let (width, is_grey) = (info.width as usize, info.color_type == ColorType::Grayscale);
        Ok(match info.bit_depth {
            BitDepth::Eight => stored,
            BitDepth::Sixteen => {
                stored.chunks_exact_mut(2).for_each(|sample| sample.swap(0, 1));
                stored
            }
            depth => {
                let bits = depth as usize;
                // Grey is spread over all of its range, truth is 0 and 1, and numbers of a palette stay.
                let factor = if is_grey && bits > 1 { 255 / ((1 << bits) - 1) } else { 1 };
                let rows = stored.chunks_exact((width * bits).div_ceil(8).max(1));
                let sample = |row: &[u8], n: usize| {
                    let at = n * bits;
                    (row[at / 8] >> (8 - bits - at % 8) & ((1u16 << bits) - 1) as u8) * factor as u8
                };
                rows.flat_map(|row| (0..width).map(move |n| sample(row, n))).collect()
            }
        })
    }
}
