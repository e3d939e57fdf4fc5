//! JPEG streams (ITU-T T.81): sequential and progressive, Huffman coded, of 8 bits.
//!
//! The samples are those that libjpeg gives, digit by digit: what a program has read from a picture is what is served.
//! So the inverse transform, the way from coarse colours to fine ones and the conversion of colours are libjpeg's.

mod entropy;
mod header;
mod scan;
mod transform;
mod upsample;

pub(super) use header::Header;
use scan::Scans;

/// Why a stream is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Damaged(&'static str),
    Unsupported(&'static str),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Damaged(why) | Self::Unsupported(why) => f.write_str(why),
        }
    }
}

type Result<T> = std::result::Result<T, Fault>;

/// What the components of a pixel are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colours {
    /// Grey; red, green and blue; or what else there is.
    Plain,
    /// Light and two differences.
    Light,
    /// As `Light`, of what is not printed, and black.
    LightAndBlack,
}

/// A picture, pixel by pixel.
pub(super) struct Picture {
    pub(super) header: Header,
    pub(super) samples: Vec<u8>,
}

/// Decodes a stream whose tables may come before it, in one of their own, up to so many bytes.
pub(super) fn decode(tables: &[u8], stream: &[u8], most: u64) -> Result<Picture> {
    let mut scans = Scans::default();
    scans.tables(tables)?;
    let header = scans.read(stream, most)?;
    let (width, count) = (header.width, header.components.len());
    let mut samples = vec![0; width * header.height * count];
    let mut row = vec![0; width];
    for (n, plane) in scans.planes().iter().enumerate() {
        for (y, pixels) in samples.chunks_exact_mut((width * count).max(1)).enumerate() {
            plane.row(y, &mut row);
            pixels.iter_mut().skip(n).step_by(count).zip(&row).for_each(|(to, from)| *to = *from);
        }
    }
    Ok(Picture { header, samples })
}

impl Picture {
    /// Light and differences become red, green and blue; what is not printed becomes what is.
    pub(super) fn convert(&mut self, colours: Colours) {
        match colours {
            Colours::Plain => {}
            Colours::Light => self.samples.chunks_exact_mut(3).for_each(to_red_green_blue),
            Colours::LightAndBlack => self.samples.chunks_exact_mut(4).for_each(|pixel| {
                to_red_green_blue(pixel);
                pixel[..3].iter_mut().for_each(|colour| *colour = 255 - *colour);
            }),
        }
    }
}

/// JFIF 1.02, page 3, in 16 bits of fraction.
fn to_red_green_blue(pixel: &mut [u8]) {
    const HALF: i32 = 1 << 15;
    let (light, blue, red) = (i32::from(pixel[0]), i32::from(pixel[1]) - 128, i32::from(pixel[2]) - 128);
    pixel[0] = (light + ((91881 * red + HALF) >> 16)).clamp(0, 255) as u8;
    pixel[1] = (light + ((-22554 * blue - 46802 * red + HALF) >> 16)).clamp(0, 255) as u8;
    pixel[2] = (light + ((116130 * blue + HALF) >> 16)).clamp(0, 255) as u8;
}

#[cfg(test)]
mod tests;
