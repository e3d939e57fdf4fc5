//! JPEG (ITU-T T.81): grey values, or red, green and blue.

use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use async_trait::async_trait;
use girih_model::{DType, DataSource, Family, Json, Result, ResultExt};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{Decoder, JPEG, Picture, damaged};
use crate::dataset::Dataset;
use crate::format::{Files, Format, Inspected};
use crate::place::Places;

const NAME: &str = "JPEG";
/// Longest side of a picture (T.81, B.2.2).
const MAX_SIDE: usize = 65_535;

pub struct Jpeg;

#[async_trait]
impl Format for Jpeg {
    fn media_type(&self) -> &'static str {
        "image/jpeg"
    }

    fn suffixes(&self) -> &'static [&'static str] {
        &["jpg", "jpeg"]
    }

    fn sequence(&self) -> Option<&'static str> {
        Some(JPEG.sequence())
    }

    fn opens(&self) -> &'static [Family] {
        &[Family::Array]
    }

    async fn inspect(&self, files: &Files, places: &Places) -> Result<Inspected> {
        JPEG.inspect(files, places).await
    }

    async fn open(&self, source: &DataSource, places: &Places) -> Result<Arc<dyn Dataset>> {
        JPEG.open(source, places).await
    }
}

pub(super) struct Decode;

fn decoder(file: &File) -> Result<JpegDecoder<BufReader<File>>> {
    let file = file.try_clone().internal(|| "opening a picture again".into())?;
    std::io::Seek::seek(&mut &file, std::io::SeekFrom::Start(0)).internal(|| "reading a picture".into())?;
    let options = DecoderOptions::default().set_max_width(MAX_SIDE).set_max_height(MAX_SIDE);
    let mut decoder = JpegDecoder::new_with_options(BufReader::new(file), options);
    decoder.decode_headers().map_err(|e| damaged(NAME, &e))?;
    // Colours as they are stored, but for the one that every reader turns to red, green and blue.
    let colours = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => ColorSpace::Luma,
        Some(ColorSpace::CMYK | ColorSpace::YCCK) => ColorSpace::CMYK,
        _ => ColorSpace::RGB,
    };
    decoder.set_options(options.jpeg_set_out_colorspace(colours));
    Ok(decoder)
}

impl Decoder for Decode {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sequence(&self) -> &'static str {
        "multipart/related;type=image/jpeg"
    }

    fn header(&self, file: &File) -> Result<Picture> {
        let decoder = decoder(file)?;
        let info = decoder.info().ok_or_else(|| damaged(NAME, &"it has no header"))?;
        let mut shape = vec![u64::from(info.height), u64::from(info.width)];
        match decoder.input_colorspace() {
            Some(ColorSpace::Luma) => {}
            Some(ColorSpace::CMYK | ColorSpace::YCCK) => shape.push(4),
            _ => shape.push(3),
        }
        Ok(Picture { dtype: DType::of("u1"), shape, metadata: Json::object() })
    }

    fn decode(&self, file: &File) -> Result<Vec<u8>> {
        decoder(file)?.decode().map_err(|e| damaged(NAME, &e))
    }
}
