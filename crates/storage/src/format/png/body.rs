//! Pictures read into an array of a known dtype and shape.

use std::io::Cursor;

use futures::TryStreamExt;
use girih_model::dtype::{Kind, ScalarType};
use girih_model::{ArrayData, ArrayStructure, ByteStream, DType, Error, Result, ResultExt};
use half::f16;
use png::{BitDepth, Decoder, Limits, Transformations};

use crate::format::guard::guarded;
use crate::pool;

/// Largest body, and largest array made of it, in bytes.
const MAX_BYTES: usize = 256 << 20;

pub(super) async fn decode(mut body: ByteStream, structure: &ArrayStructure) -> Result<ArrayData> {
    let Some(nbytes) = structure.nbytes().filter(|nbytes| *nbytes <= MAX_BYTES as u64) else {
        return Err(Error::too_large(format!("Arrays made of pictures have at most {MAX_BYTES} bytes.")));
    };
    let mut picture = Vec::new();
    while let Some(piece) = body.try_next().await? {
        if picture.len() + piece.len() > MAX_BYTES {
            return Err(Error::too_large(format!("Pictures have at most {MAX_BYTES} bytes.")));
        }
        picture.extend_from_slice(&piece);
    }
    let (dtype, shape) = (structure.dtype.clone(), structure.shape.clone());
    let items = {
        let (dtype, shape) = (dtype.clone(), shape.clone());
        let read = move || guarded(|| read(&picture, &dtype, &shape, nbytes as usize));
        let damaged = || Error::unprocessable("The body is not a valid PNG: it contradicts itself.");
        pool::blocking(move || read().ok_or_else(damaged)?).await?
    };
    Ok(ArrayData::whole(dtype, shape, items))
}

fn read(picture: &[u8], dtype: &DType, shape: &[u64], nbytes: usize) -> Result<Vec<u8>> {
    let damaged = |e: &dyn std::fmt::Display| Error::unprocessable(format!("The body is not a valid PNG: {e}"));
    let scalar = dtype.as_scalar().filter(|scalar| numeric(scalar)).ok_or_else(|| {
        Error::unprocessable(format!("A picture cannot be stored in an array of dtype {dtype}. Use a numeric dtype."))
    })?;
    let mut decoder = Decoder::new_with_limits(Cursor::new(picture), Limits { bytes: MAX_BYTES });
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().or_error(damaged)?;
    let (colours, depth) = reader.output_color_type();
    let (width, height) = reader.info().size();
    let found = [u64::from(height), u64::from(width), colours.samples() as u64];
    let long = |lengths: &[u64]| lengths.iter().copied().filter(|len| *len != 1).collect::<Vec<_>>();
    if long(&found) != long(shape) {
        return Err(Error::unprocessable(format!(
            "The picture is {height} pixels high, {width} wide and has {} channels, which does not fit the shape {shape:?}.",
            colours.samples()
        )));
    }
    let wide = depth == BitDepth::Sixteen;
    let samples = reader
        .output_buffer_size()
        .filter(|bytes| *bytes <= 2 * MAX_BYTES)
        .ok_or_else(|| Error::too_large(format!("Arrays made of pictures have at most {MAX_BYTES} bytes.")))?;
    let mut buffer = vec![0; samples];
    reader.next_frame(&mut buffer).or_error(damaged)?;
    if *dtype == DType::of("u1") && !wide {
        return Ok(buffer);
    }
    let mut items = Vec::with_capacity(nbytes);
    for sample in buffer.chunks_exact(if wide { 2 } else { 1 }) {
        let value = sample.iter().fold(0, |value, byte| value << 8 | u16::from(*byte));
        push(value, scalar, &mut items)?;
    }
    Ok(items)
}

fn numeric(scalar: &ScalarType) -> bool {
    match scalar.kind {
        Kind::Bool | Kind::Int | Kind::Uint => true,
        Kind::Float => scalar.itemsize <= 8,
        Kind::Complex => scalar.itemsize <= 16,
        _ => false,
    }
}

/// Appends a sample as an item.
fn push(value: u16, scalar: &ScalarType, items: &mut Vec<u8>) -> Result<()> {
    let start = items.len();
    let real = |width: usize, items: &mut Vec<u8>| match width {
        2 => items.extend(f16::from_f32(value.into()).to_le_bytes()),
        4 => items.extend(f32::from(value).to_le_bytes()),
        _ => items.extend(f64::from(value).to_le_bytes()),
    };
    match scalar.kind {
        Kind::Bool => items.push(u8::from(value != 0)),
        Kind::Float => real(scalar.itemsize, items),
        Kind::Complex => {
            real(scalar.itemsize / 2, items);
            items.resize(start + scalar.itemsize, 0);
        }
        _ => {
            let bits = 8 * scalar.itemsize as u32 - u32::from(scalar.kind == Kind::Int);
            if bits < 16 && value >> bits != 0 {
                return Err(Error::unprocessable(format!(
                    "The picture has the sample {value}, which does not fit into items of dtype {}.",
                    scalar.typestr()
                )));
            }
            items.extend(&u64::from(value).to_le_bytes()[..scalar.itemsize]);
        }
    }
    if scalar.is_big() {
        let width = scalar.swap_width();
        items[start..].chunks_exact_mut(width).for_each(<[u8]>::reverse);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::stream::{self, StreamExt};
    use girih_model::ErrorKind;
    use girih_model::dtype::Endianness;
    use proptest::prelude::*;

    use super::*;
    use crate::format::conversion::block_on;

    fn picture(width: u32, colours: png::ColorType, depth: BitDepth, samples: &[u8]) -> Vec<u8> {
        let mut picture = Vec::new();
        let row = width as usize * colours.samples() * if depth == BitDepth::Sixteen { 2 } else { 1 };
        let mut encoder = png::Encoder::new(&mut picture, width, (samples.len() / row) as u32);
        encoder.set_color(colours);
        encoder.set_depth(depth);
        encoder.write_header().unwrap().write_image_data(samples).unwrap();
        picture
    }

    fn array(picture: Vec<u8>, dtype: DType, shape: &[u64]) -> Result<Bytes> {
        let structure = ArrayStructure::new(dtype, shape.to_vec());
        let body = stream::once(async { Ok(Bytes::from(picture)) }).boxed();
        block_on(async { decode(body, &structure).await?.collect(1 << 20).await })
    }

    fn check(dtype: &str, shape: &[u64], expected: &[u8]) {
        let picture = picture(2, png::ColorType::Grayscale, BitDepth::Eight, &[1, 2, 3, 100]);
        assert_eq!(array(picture, DType::of(dtype), shape).unwrap(), expected, "{dtype} {shape:?}");
    }

    #[test]
    fn samples_are_cast() {
        check("u1", &[2, 2], &[1, 2, 3, 100]);
        check("i1", &[2, 2, 1], &[1, 2, 3, 100]);
        check("b1", &[1, 2, 2], &[1, 1, 1, 1]);
        check("i2", &[2, 2], &[1, 0, 2, 0, 3, 0, 100, 0]);
        check("f4", &[2, 2], &[1f32, 2.0, 3.0, 100.0].map(f32::to_le_bytes).concat());
        check("c16", &[2, 2], &[1f64, 0.0, 2.0, 0.0, 3.0, 0.0, 100.0, 0.0].map(f64::to_le_bytes).concat());
        let big = ScalarType::new(Kind::Uint, 2, Endianness::Big, None).unwrap();
        let wide = picture(1, png::ColorType::Rgb, BitDepth::Sixteen, &[1, 2, 3, 4, 5, 6]);
        assert_eq!(array(wide, DType::Scalar(big), &[1, 1, 3]).unwrap(), [1, 2, 3, 4, 5, 6][..]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let wide = || picture(2, png::ColorType::Grayscale, BitDepth::Sixteen, &[1, 0, 0, 7]);
        for (picture, dtype, shape, message) in [
            (wide(), "u2", &[2, 2][..], "does not fit the shape [2, 2]"),
            (wide(), "u1", &[1, 2], "has the sample 256, which does not fit into items of dtype |u1"),
            (wide(), "S2", &[1, 2], "Use a numeric dtype."),
            (b"nope".to_vec(), "u1", &[1, 2], "The body is not a valid PNG"),
        ] {
            let error = array(picture, DType::of(dtype), shape).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unprocessable);
            assert!(error.message().contains(message), "{error}");
        }
        let error = array(wide(), DType::of("f8"), &[1 << 20, 1 << 20]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
    }

    /// The png crate panics when a palette ends within a colour.
    #[test]
    fn half_a_colour_is_refused() {
        let mut picture = b"\x89PNG\r\n\x1a\n".to_vec();
        for (kind, content) in [
            (&b"IHDR"[..], &[0, 0, 0, 1, 0, 0, 0, 1, 1, 3, 0, 0, 0][..]),
            (b"PLTE", &[1, 2, 3, 4, 5]),
            (b"IDAT", &[0x78, 1, 1, 2, 0, 0xfd, 0xff, 0, 0, 0, 2, 0, 1]),
            (b"IEND", &[]),
        ] {
            picture.extend((content.len() as u32).to_be_bytes());
            picture.extend([kind, content].concat());
            let mut sum = flate2::Crc::new();
            sum.update(&[kind, content].concat());
            picture.extend(sum.sum().to_be_bytes());
        }
        let error = array(picture, DType::of("u1"), &[1, 1, 3]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unprocessable, "{error}");
    }

    proptest! {
        #[test]
        fn damage_is_an_error(at in 8usize..70, byte in any::<u8>()) {
            let mut picture = picture(2, png::ColorType::Grayscale, BitDepth::Eight, &[1, 2, 3, 100]);
            let at = at % picture.len();
            picture[at] = byte;
            if let Err(error) = array(picture, DType::of("u1"), &[2, 2]) {
                prop_assert_ne!(error.kind(), ErrorKind::Internal);
            }
        }
    }
}
