//! Datatype messages ("HDF5 File Format Specification", IV.A.2.d).
//!
//! | NumPy | HDF5 |
//! |---|---|
//! | `b` | enumeration of int8, `FALSE` and `TRUE`, as h5py writes it |
//! | `i` `u` `f` | integer, IEEE float (16 bytes: x87 extended), in the same byte order |
//! | `c` | compound of `r` and `i` |
//! | `M` `m` | int64 |
//! | `S` | fixed-length string, padded with NUL, ASCII |
//! | `U` | fixed-length string, padded with NUL, UTF-8, of the same number of bytes as NumPy's UTF-32 |
//! | `V` | opaque |
//! | structured | compound, sub-arrays as array datatypes |
//!
//! HDF5 has no items without bytes; those take one.

use girih_model::DType;
use girih_model::dtype::{Kind, ScalarType, StructType};

const FIXED_POINT: u8 = 0;
const FLOATING_POINT: u8 = 1;
const STRING: u8 = 3;
const OPAQUE: u8 = 5;
const COMPOUND: u8 = 6;
const ENUMERATION: u8 = 8;
const VARIABLE_LENGTH: u8 = 9;
const ARRAY: u8 = 10;

const NUL_PADDED: u8 = 1;
const UTF_8: u8 = 1;

/// Bytes of one item in the file.
pub(super) fn stored_size(dtype: &DType) -> usize {
    dtype.itemsize().max(1)
}

/// Bytes of a reference to a value of variable length.
pub(super) const REFERENCE: usize = 16;

pub(super) fn of(dtype: &DType) -> Vec<u8> {
    match dtype {
        DType::Scalar(scalar) => of_scalar(scalar),
        DType::Struct(fields) if fields.itemsize() == 0 => opaque(1),
        DType::Struct(fields) => of_struct(fields),
    }
}

fn of_scalar(scalar: &ScalarType) -> Vec<u8> {
    let size = scalar.itemsize.max(1);
    let big = u8::from(scalar.is_big());
    match scalar.kind {
        Kind::Bool => boolean(),
        Kind::Int | Kind::Datetime | Kind::Timedelta => integer(size, big, true),
        Kind::Uint => integer(size, big, false),
        Kind::Float => float(size, big),
        Kind::Complex => {
            let part = float(size / 2, big);
            compound(size, [("r", 0, part.clone()), ("i", size / 2, part)])
        }
        Kind::Bytes => string(size, 0),
        Kind::Text => string(size, UTF_8),
        Kind::Void => opaque(size),
    }
}

fn of_struct(fields: &StructType) -> Vec<u8> {
    let mut offset = 0;
    let members = fields.fields().iter().filter_map(|field| {
        let start = offset;
        offset += field.itemsize();
        let base = of(&field.dtype);
        let member = match &field.shape {
            Some(shape) => array(field.itemsize(), shape, &base),
            None => base,
        };
        (field.itemsize() > 0).then_some((field.name.as_str(), start, member))
    });
    compound(fields.itemsize(), members.collect::<Vec<_>>())
}

/// Class, version, bit field and size.
fn header(class: u8, version: u8, bits: [u8; 3], size: usize) -> Vec<u8> {
    let mut message = vec![version << 4 | class];
    message.extend_from_slice(&bits);
    message.extend_from_slice(&(size as u32).to_le_bytes());
    message
}

fn integer(size: usize, big: u8, signed: bool) -> Vec<u8> {
    let mut message = header(FIXED_POINT, 1, [big | u8::from(signed) << 3, 0, 0], size);
    message.extend_from_slice(&0u16.to_le_bytes());
    message.extend_from_slice(&(8 * size as u16).to_le_bytes());
    message
}

fn float(size: usize, big: u8) -> Vec<u8> {
    // Bits of precision, exponent and mantissa; the bias; whether the leading bit of the mantissa is implied.
    let (precision, exponent, mantissa, bias, implied) = match size {
        2 => (16u16, 5u8, 10u8, 15u32, true),
        4 => (32, 8, 23, 127, true),
        8 => (64, 11, 52, 1023, true),
        _ => (80, 15, 64, 16_383, false),
    };
    let normalization = if implied { 2 << 4 } else { 0 };
    let mut message = header(FLOATING_POINT, 1, [big | normalization, precision as u8 - 1, 0], size);
    message.extend_from_slice(&0u16.to_le_bytes());
    message.extend_from_slice(&precision.to_le_bytes());
    message.extend_from_slice(&[mantissa, exponent, 0, mantissa]);
    message.extend_from_slice(&bias.to_le_bytes());
    message
}

fn string(size: usize, charset: u8) -> Vec<u8> {
    header(STRING, 1, [NUL_PADDED | charset << 4, 0, 0], size)
}

pub(super) fn opaque(size: usize) -> Vec<u8> {
    header(OPAQUE, 1, [0, 0, 0], size)
}

fn compound<'a>(
    size: usize,
    members: impl IntoIterator<Item = (&'a str, usize, Vec<u8>), IntoIter: ExactSizeIterator>,
) -> Vec<u8> {
    let members = members.into_iter();
    let count = (members.len() as u16).to_le_bytes();
    let mut message = header(COMPOUND, 3, [count[0], count[1], 0], size);
    // Offsets take as many bytes as the size needs.
    let offset_size = (u64::BITS - (size as u64).leading_zeros()).div_ceil(8).max(1) as usize;
    for (name, offset, member) in members {
        push_name(name, &mut message);
        message.extend_from_slice(&(offset as u64).to_le_bytes()[..offset_size]);
        message.extend_from_slice(&member);
    }
    message
}

fn array(size: usize, shape: &[usize], base: &[u8]) -> Vec<u8> {
    let mut message = header(ARRAY, 3, [0, 0, 0], size);
    message.push(shape.len() as u8);
    shape.iter().for_each(|len| message.extend_from_slice(&(*len as u32).to_le_bytes()));
    message.extend_from_slice(base);
    message
}

pub(super) fn boolean() -> Vec<u8> {
    let mut message = header(ENUMERATION, 3, [2, 0, 0], 1);
    message.extend_from_slice(&integer(1, 0, true));
    push_name("FALSE", &mut message);
    push_name("TRUE", &mut message);
    message.extend_from_slice(&[0, 1]);
    message
}

/// Text of any length, UTF-8, ended by NUL.
pub(super) fn variable_text() -> Vec<u8> {
    let mut message = header(VARIABLE_LENGTH, 1, [1, UTF_8, 0], REFERENCE);
    message.extend_from_slice(&string(1, UTF_8));
    message
}

/// Bytes of any length.
pub(super) fn variable_bytes() -> Vec<u8> {
    let mut message = header(VARIABLE_LENGTH, 1, [0, 0, 0], REFERENCE);
    message.extend_from_slice(&integer(1, 0, false));
    message
}

/// A NUL ends a name, so that none can be inside.
fn push_name(name: &str, message: &mut Vec<u8>) {
    message.extend(name.bytes().filter(|byte| *byte != 0));
    message.push(0);
}

/// Places within an item that hold UTF-32 and must become UTF-8: offset, bytes, whether big-endian.
pub(super) fn texts(dtype: &DType) -> Vec<(usize, usize, bool)> {
    match dtype {
        DType::Scalar(scalar) if scalar.kind == Kind::Text && scalar.itemsize > 0 => {
            vec![(0, scalar.itemsize, scalar.is_big())]
        }
        DType::Scalar(_) => Vec::new(),
        DType::Struct(fields) => {
            let mut offset = 0;
            let mut found = Vec::new();
            for field in fields.fields() {
                let within = texts(&field.dtype);
                let items = if within.is_empty() { 0 } else { field.shape.iter().flatten().product() };
                for n in 0..items {
                    let start = offset + n * field.dtype.itemsize();
                    found.extend(within.iter().map(|(at, len, big)| (start + at, *len, *big)));
                }
                offset += field.itemsize();
            }
            found
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(dtype: &DType, expected: &[u8]) {
        assert_eq!(of(dtype), expected, "{dtype}");
    }

    /// Bytes that libhdf5 writes for the same types, except those of version 3.
    #[test]
    fn as_libhdf5_encodes_them() {
        check(&DType::of("i4"), &[0x10, 0x08, 0, 0, 4, 0, 0, 0, 0, 0, 32, 0]);
        check(&DType::of("f8"), &[0x11, 0x20, 0x3f, 0, 8, 0, 0, 0, 0, 0, 64, 0, 52, 11, 0, 52, 0xff, 3, 0, 0]);
        check(&DType::of("f2"), &[0x11, 0x20, 0x0f, 0, 2, 0, 0, 0, 0, 0, 16, 0, 10, 5, 0, 10, 15, 0, 0, 0]);
        check(&DType::of("S5"), &[0x13, 0x01, 0, 0, 5, 0, 0, 0]);
        check(&DType::of("U8"), &[0x13, 0x11, 0, 0, 8, 0, 0, 0]);
        check(&DType::of("V3"), &[0x15, 0, 0, 0, 3, 0, 0, 0]);
        check(&DType::of("S0"), &[0x13, 0x01, 0, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn texts_are_found_inside_records() {
        let dtype: DType = serde_json::from_str(
            r#"{"itemsize":29,"fields":[{"name":"a","dtype":{"kind":"i","itemsize":4}},
                {"name":"b","dtype":{"itemsize":12,"fields":[{"name":"x","dtype":{"kind":"u","itemsize":4}},
                    {"name":"y","dtype":{"kind":"U","itemsize":8,"endianness":"big"}}]},"shape":[2]}]}"#,
        )
        .unwrap();
        assert_eq!(texts(&dtype), [(8, 8, true), (20, 8, true)]);
    }
}
