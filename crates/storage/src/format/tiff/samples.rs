//! From the bytes of a row to little-endian items: bits are unpacked, and what a predictor did is undone (TIFF 6.0,
//! section 14; for floats, Adobe Photoshop TIFF Technical Note 3).

use girih_model::dtype::{Kind, ScalarType};
use girih_model::{DType, Error, Result};
use half::f16;

/// What the samples are in the file, and as items.
static SAMPLES: &[(&[u16], std::ops::RangeInclusive<u16>, &str, Packing)] = &[
    (&[1, 4], 1..=1, "b1", Packing::Bits),
    (&[1, 4], 2..=7, "u1", Packing::Bits),
    (&[1, 4], 8..=8, "u1", Packing::Whole),
    (&[1, 4], 9..=15, "u2", Packing::Bits),
    (&[1, 4], 16..=16, "u2", Packing::Whole),
    (&[1, 4], 17..=31, "u4", Packing::Bits),
    (&[1, 4], 32..=32, "u4", Packing::Whole),
    (&[1, 4], 64..=64, "u8", Packing::Whole),
    (&[2], 8..=8, "i1", Packing::Whole),
    (&[2], 16..=16, "i2", Packing::Whole),
    (&[2], 32..=32, "i4", Packing::Whole),
    (&[2], 64..=64, "i8", Packing::Whole),
    (&[3], 16..=16, "f2", Packing::Whole),
    (&[3], 24..=24, "f4", Packing::Float24),
    (&[3], 32..=32, "f4", Packing::Whole),
    (&[3], 64..=64, "f8", Packing::Whole),
    (&[5], 32..=32, "c8", Packing::Integers),
    (&[5], 64..=64, "c16", Packing::Integers),
    (&[6], 64..=64, "c8", Packing::Whole),
    (&[6], 128..=128, "c16", Packing::Whole),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    /// Bits follow one another, the highest first; a row begins with a byte.
    Bits,
    Whole,
    /// Of 7 bits of exponent and 16 of fraction.
    Float24,
    /// A complex number of two integers.
    Integers,
}

/// How samples become items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Samples {
    pub(super) dtype: DType,
    packing: Packing,
    bits: usize,
    is_little: bool,
    predictor: Predictor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Predictor {
    None,
    /// Of each sample to the one so many pixels before.
    Differences(usize),
    /// Of bytes, where the first bytes of a whole row come first.
    Planes(usize),
}

impl Samples {
    /// # Errors
    /// `Unsupported` for what is not read.
    pub(super) fn new(format: u16, bits: u16, predictor: u16, is_little: bool) -> Result<Self> {
        let found = SAMPLES.iter().find(|(formats, widths, ..)| formats.contains(&format) && widths.contains(&bits));
        let (.., dtype, packing) = found.ok_or_else(|| {
            Error::unsupported(format!("TIFF files with samples of {bits} bits (sample format {format}) are not read."))
        })?;
        let predictor = match predictor {
            0 | 1 => Predictor::None,
            2 => Predictor::Differences(1),
            34892 => Predictor::Differences(2),
            34893 => Predictor::Differences(4),
            3 => Predictor::Planes(1),
            34894 => Predictor::Planes(2),
            34895 => Predictor::Planes(4),
            other => return Err(Error::unsupported(format!("TIFF files with the predictor {other} are not read."))),
        };
        let is_plain = match predictor {
            Predictor::None => true,
            Predictor::Differences(_) => !matches!(*dtype, "b1" | "c8" | "c16") && *packing != Packing::Float24,
            Predictor::Planes(_) => !matches!(*dtype, "c8" | "c16") && *packing == Packing::Whole,
        };
        if !is_plain {
            return Err(Error::unsupported(format!(
                "TIFF files with differences of samples of {bits} bits (sample format {format}) are not read."
            )));
        }
        Ok(Self { dtype: DType::of(dtype), packing: *packing, bits: bits.into(), is_little, predictor })
    }

    pub(super) fn itemsize(&self) -> usize {
        self.dtype.itemsize()
    }

    /// Bytes of so many samples in the file.
    pub(super) fn stored(&self, samples: u64) -> Option<u64> {
        Some(samples.checked_mul(self.bits as u64)?.div_ceil(8))
    }

    /// Whether the items lie in the file as they are, but for their byte order.
    pub(super) fn is_plain(&self) -> bool {
        self.packing == Packing::Whole && self.predictor == Predictor::None
    }

    /// Whole rows of `width` pixels of `samples` samples, as little-endian items.
    pub(super) fn items(&self, mut bytes: Vec<u8>, width: usize, samples: usize) -> Vec<u8> {
        let (size, row) = (self.itemsize().max(1), width * samples);
        if let Predictor::Planes(distance) = self.predictor {
            bytes.chunks_exact_mut((row * size).max(1)).for_each(|row| planes(row, samples * distance, size));
            return bytes;
        }
        let mut items = match self.packing {
            Packing::Bits => unpacked(&bytes, self.bits, row, size),
            Packing::Float24 => bytes.chunks_exact(3).flat_map(|float| self.float24(float).to_le_bytes()).collect(),
            Packing::Integers => self.complex(bytes),
            Packing::Whole => {
                self.turn(&mut bytes, self.dtype.as_scalar().map_or(1, ScalarType::swap_width));
                bytes
            }
        };
        if let Predictor::Differences(distance) = self.predictor {
            items.chunks_exact_mut((row * size).max(1)).for_each(|row| match size {
                1 => sums::<1>(row, samples * distance),
                2 => sums::<2>(row, samples * distance),
                4 => sums::<4>(row, samples * distance),
                _ => sums::<8>(row, samples * distance),
            });
        }
        items
    }

    /// To little-endian numbers.
    fn turn(&self, bytes: &mut [u8], size: usize) {
        if !self.is_little && size > 1 {
            bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
    }

    fn complex(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let size = self.bits / 16;
        self.turn(&mut bytes, size);
        let integers = bytes.chunks_exact(size);
        match size {
            2 => integers.flat_map(|n| f32::from(i16::from_le_bytes([n[0], n[1]])).to_le_bytes()).collect(),
            _ => integers.flat_map(|n| f64::from(i32::from_le_bytes([n[0], n[1], n[2], n[3]])).to_le_bytes()).collect(),
        }
    }

    /// A sign, 7 bits of exponent (of which 63 is one), 16 bits of fraction.
    fn float24(&self, bytes: &[u8]) -> f32 {
        let number = match self.is_little {
            true => u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]),
            false => u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]),
        };
        let (sign, exponent, fraction) = (number >> 23 << 31, number >> 16 & 0x7f, number & 0xffff);
        match exponent {
            0 => f32::from_bits(sign | (fraction as f32 * f32::from_bits((127 - 62 - 16) << 23)).to_bits()),
            0x7f => f32::from_bits(sign | 0xff << 23 | fraction << 7),
            _ => f32::from_bits(sign | (exponent + 127 - 63) << 23 | fraction << 7),
        }
    }

    /// The item that stands for what is missing: the number that the text says, or zero.
    pub(super) fn missing(&self, text: Option<&str>) -> Vec<u8> {
        let size = self.itemsize();
        let text = text.map(|text| text.trim().replace(',', ".")).unwrap_or_default();
        let (real, whole) = (text.parse().unwrap_or(0.0), text.parse().unwrap_or(0));
        let bits = size as u32 * 8;
        let of = |low: i128, high: i128| {
            if (low..=high).contains(&whole) { whole } else { 0 }.to_le_bytes()[..size].to_vec()
        };
        match (self.dtype.as_scalar().map(|scalar| scalar.kind), size) {
            (Some(Kind::Float), 2) => f16::from_f64(real).to_le_bytes().to_vec(),
            (Some(Kind::Float), 4) => (real as f32).to_le_bytes().to_vec(),
            (Some(Kind::Float), _) => real.to_le_bytes().to_vec(),
            (Some(Kind::Uint), _) => of(0, (1 << bits) - 1),
            (Some(Kind::Int), _) => of(-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
            _ => vec![0; size],
        }
    }
}

/// Numbers of a few bits, the highest first; each row begins with a byte.
fn unpacked(bytes: &[u8], bits: usize, row: usize, size: usize) -> Vec<u8> {
    let stored = (row * bits).div_ceil(8).max(1);
    let mut items = Vec::with_capacity(bytes.len() / stored * row * size);
    for line in bytes.chunks_exact(stored) {
        let (mut held, mut count, mut rest) = (0u64, 0, line.iter());
        for _ in 0..row {
            while count < bits {
                held = held << 8 | u64::from(*rest.next().unwrap_or(&0));
                count += 8;
            }
            count -= bits;
            items.extend_from_slice(&(held >> count & ((1 << bits) - 1)).to_le_bytes()[..size]);
        }
    }
    items
}

/// Adds to each number the one that lies `distance` numbers before it.
fn sums<const SIZE: usize>(row: &mut [u8], distance: usize) {
    for at in (distance * SIZE..row.len()).step_by(SIZE) {
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes[..SIZE].copy_from_slice(&row[at..at + SIZE]);
            u64::from_le_bytes(bytes)
        };
        let sum = number(at).wrapping_add(number(at - distance * SIZE));
        row[at..at + SIZE].copy_from_slice(&sum.to_le_bytes()[..SIZE]);
    }
}

/// Differences of bytes; then the first bytes of all samples, the second bytes of all, and so on.
fn planes(row: &mut [u8], distance: usize, size: usize) {
    for at in distance..row.len() {
        row[at] = row[at].wrapping_add(row[at - distance]);
    }
    let (planes, count) = (row.to_vec(), row.len() / size);
    for (n, sample) in row.chunks_exact_mut(size).enumerate() {
        sample.iter_mut().rev().enumerate().for_each(|(plane, byte)| *byte = planes[plane * count + n]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of two pixels of one sample.
    fn check(format: u16, bits: u16, predictor: u16, is_little: bool, bytes: &[u8], expected: &[u8]) {
        let samples = Samples::new(format, bits, predictor, is_little).unwrap();
        assert_eq!(samples.items(bytes.to_vec(), 2, 1), expected, "{format} {bits} {predictor} {is_little}");
    }

    #[test]
    fn samples_become_little_endian_items() {
        check(1, 1, 1, true, &[0b0100_0000, 0x80], &[0, 1, 1, 0]);
        check(1, 4, 1, true, &[0x5a], &[5, 10]);
        check(1, 12, 1, true, &[0x12, 0x34, 0x56], &[0x23, 0x01, 0x56, 0x04]);
        check(1, 16, 1, false, &[1, 2, 3, 4], &[2, 1, 4, 3]);
        check(6, 64, 1, false, &(0..16).collect::<Vec<_>>(), &[3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12]);
        check(5, 32, 1, false, &[0, 1, 0, 2, 0, 0, 0, 0], &[[0, 0, 128, 63, 0, 0, 0, 64], [0; 8]].concat());
        check(3, 24, 1, true, &[0, 0, 0x3f, 0, 0, 0xbf], &[0, 0, 128, 63, 0, 0, 128, 191]);
    }

    #[test]
    fn predictors_are_undone() {
        check(1, 8, 2, true, &[250, 10], &[250, 4]);
        check(2, 16, 2, false, &[0, 255, 0, 1], &[255, 0, 0, 1]);
        check(3, 16, 3, true, &[1, 1, 1, 1], &[3, 1, 4, 2]);
        assert!(Samples::new(6, 64, 2, true).is_err() && Samples::new(1, 8, 9, true).is_err());
    }

    #[test]
    fn what_is_missing_is_a_number_if_the_file_says_so() {
        for (format, bits, text, expected) in [
            (1, 8, Some("255"), vec![255]),
            (1, 8, Some("256"), vec![0]),
            (2, 16, Some("-2"), vec![0xfe, 0xff]),
            (3, 32, Some("1"), vec![0, 0, 128, 63]),
            (3, 64, None, vec![0; 8]),
            (6, 64, Some("1"), vec![0; 8]),
        ] {
            assert_eq!(Samples::new(format, bits, 1, true).unwrap().missing(text), expected);
        }
    }
}
