//! JPEG (ITU-T T.81): grey values, or red, green and blue.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use async_trait::async_trait;
use girih_model::{DType, DataSource, Error, Family, Json, Result, ResultExt};

use super::{Decoder, JPEG, MAX_PICTURE, Picture, damaged};
use crate::dataset::Dataset;
use crate::format::jpeg_stream::{self, Fault, Header};
use crate::format::{Files, Format, Inspected};
use crate::place::Places;

const NAME: &str = "JPEG";

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

/// Headers are looked for in the beginning; behind long notes they lie further on.
const BEGINNING: u64 = 64 << 10;

fn read(file: &File, most: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; file.metadata().or_error(|e| damaged(NAME, &e))?.len().min(most) as usize];
    file.read_exact_at(&mut bytes, 0).or_error(|e| damaged(NAME, &e))?;
    Ok(bytes)
}

fn faulty(fault: Fault) -> Error {
    match fault {
        Fault::Damaged(why) => damaged(NAME, &why),
        Fault::Unsupported(why) => Error::unsupported(format!("The JPEG file cannot be read: {why}.")),
    }
}

impl Decoder for Decode {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sequence(&self) -> &'static str {
        "multipart/related;type=image/jpeg"
    }

    fn header(&self, file: &File) -> Result<Picture> {
        let header = Header::read(&read(file, BEGINNING)?);
        let header = header.or_else(|_| Header::read(&read(file, MAX_PICTURE)?).map_err(faulty))?;
        let mut shape = vec![header.height as u64, header.width as u64];
        match header.components.len() {
            1 => {}
            2 => return Err(Error::unsupported("JPEG files of two components are not read.")),
            components => shape.push(components as u64),
        }
        Ok(Picture { dtype: DType::of("u1"), shape, metadata: Json::object() })
    }

    fn decode(&self, file: &File) -> Result<Vec<u8>> {
        let mut picture = jpeg_stream::decode(&[], &read(file, MAX_PICTURE)?, MAX_PICTURE).map_err(faulty)?;
        picture.convert(picture.header.colours());
        if picture.header.components.len() == 4 {
            // Inks are stored as what is left of the light, and given by Pillow as what is put on.
            picture.samples.iter_mut().for_each(|ink| *ink = 255 - *ink);
        }
        Ok(picture.samples)
    }
}
