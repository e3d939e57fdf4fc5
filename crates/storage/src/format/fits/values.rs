//! How items are made of what lies in a file.

use girih_model::dtype::{Endianness, Kind, ScalarType};
use girih_model::{DType, Result};

use super::damaged;

/// A stretch of each item in the file, and what becomes of it.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) at: usize,
    /// Bytes.
    pub(super) len: usize,
    pub(super) make: Make,
}

#[derive(Debug, Clone)]
pub(super) enum Make {
    /// It is what lies there.
    Copy,
    /// Integers of which half of their range is taken away, and which are meant as unsigned ones; of one byte, as signed.
    Shift {
        bytes: usize,
    },
    Scale(Scaling),
    /// Characters, filled up with blanks.
    Text,
    /// A number in characters.
    Number(Written),
}

#[derive(Debug, Clone)]
pub(super) struct Scaling {
    /// As `BITPIX` says it: bits, negative for real numbers.
    pub(super) bitpix: i64,
    pub(super) scale: f64,
    pub(super) zero: f64,
    /// What stands for an unknown value.
    pub(super) blank: Option<i64>,
    /// In single precision.
    pub(super) single: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Written {
    /// Bytes of an integer; `None` for a real number.
    pub(super) integer: Option<usize>,
    /// What stands for an unknown value, besides blanks.
    pub(super) null: String,
    pub(super) scale: f64,
    pub(super) zero: f64,
}

pub(super) fn scalar(kind: Kind, size: usize) -> Result<DType> {
    ScalarType::new(kind, size, Endianness::Big, None).map(DType::Scalar)
}

impl Part {
    /// Appends items, of any number of such stretches.
    pub(super) fn append(&self, stored: &[u8], items: &mut Vec<u8>) -> Result<()> {
        let start = items.len();
        match &self.make {
            Make::Copy => items.extend_from_slice(stored),
            Make::Shift { bytes } => {
                items.extend_from_slice(stored);
                items[start..].iter_mut().step_by(*bytes).for_each(|byte| *byte ^= 0x80);
            }
            Make::Scale(scaling) => scaling.append(stored, items),
            Make::Text => {
                for text in stored.chunks_exact(self.len) {
                    items.extend_from_slice(text);
                    let filling = text.iter().rev().take_while(|byte| **byte == b' ').count();
                    let end = items.len();
                    items[end - filling..].fill(0);
                }
            }
            Make::Number(written) => stored.chunks_exact(self.len).try_for_each(|text| written.append(text, items))?,
        }
        Ok(())
    }
}

impl Scaling {
    pub(super) fn bytes(&self) -> usize {
        (self.bitpix.unsigned_abs() / 8) as usize
    }

    fn append(&self, stored: &[u8], items: &mut Vec<u8>) {
        let bytes = self.bytes();
        let unused = 64 - 8 * bytes as u32;
        for item in stored.chunks_exact(bytes) {
            let bits = item.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
            let integer = if self.bitpix == 8 { bits as i64 } else { (bits as i64) << unused >> unused };
            let number = match self.bitpix {
                -64 => f64::from_bits(bits),
                -32 => f64::from(f32::from_bits(bits as u32)),
                _ if self.blank == Some(integer) => f64::NAN,
                _ => integer as f64,
            };
            if self.single {
                // As astropy does it, in single precision at each step.
                let value = number as f32 * self.scale as f32 + self.zero as f32;
                items.extend_from_slice(&value.to_le_bytes());
            } else {
                items.extend_from_slice(&(number * self.scale + self.zero).to_le_bytes());
            }
        }
    }
}

impl Written {
    pub(super) fn dtype(&self) -> DType {
        match self.integer {
            Some(2) => DType::of("i2"),
            Some(4) => DType::of("i4"),
            Some(_) => DType::of("i8"),
            None => DType::of("f8"),
        }
    }

    fn append(&self, text: &[u8], items: &mut Vec<u8>) -> Result<()> {
        let text = String::from_utf8_lossy(text);
        let text = text.trim_matches([' ', '\0']);
        let is_null = text.is_empty() || text == self.null;
        let odd = || damaged(&format!("a column of numbers holds {text:?}"));
        if let Some(bytes) = self.integer {
            let number: i64 = if is_null { 0 } else { text.parse().map_err(|_| odd())? };
            let little = number.to_le_bytes();
            let fits = bytes == 8 || number >> (8 * bytes - 1) == 0 || number >> (8 * bytes - 1) == -1;
            items.extend_from_slice(little.get(..bytes).filter(|_| fits).ok_or_else(odd)?);
        } else {
            let number: f64 =
                if is_null { f64::NAN } else { text.replace(['D', 'd'], "E").parse().map_err(|_| odd())? };
            items.extend_from_slice(&(number * self.scale + self.zero).to_le_bytes());
        }
        Ok(())
    }
}
