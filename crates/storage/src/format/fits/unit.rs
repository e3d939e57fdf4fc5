//! Header-data units: where their data lie, and what they are.

use std::collections::HashSet;
use std::fs::File;

use girih_model::dtype::{Endianness, Field, Kind, ScalarType, StructType};
use girih_model::{DType, Error, Result, ResultExt};
use serde_json::Value;

use super::damaged;
use super::header::{BLOCK, Header};

/// Most units of a file, and most axes of one.
const MAX_UNITS: usize = 1 << 16;
const MAX_AXES: u64 = 64;
/// Most columns of a table.
const MAX_COLUMNS: u64 = 999;

#[derive(Debug, Clone)]
pub(super) struct Unit {
    pub(super) metadata: Value,
    /// In C order.
    pub(super) shape: Vec<u64>,
    /// Bytes of an item in the file.
    pub(super) itemsize: usize,
    pub(super) begin: u64,
    pub(super) values: Values,
}

/// What the items are made of what lies in the file.
#[derive(Debug, Clone)]
pub(super) enum Values {
    Stored(DType),
    /// Integers of which half of their range is taken away, and which are meant as unsigned ones; of one byte, as signed.
    Shifted {
        bytes: usize,
    },
    Scaled {
        bitpix: i64,
        scale: f64,
        zero: f64,
    },
    Unknown(String),
}

/// Cards of the first header, and all units with data.
pub(super) fn all(file: &File) -> Result<(Value, Vec<(String, Unit)>)> {
    let size = file.metadata().internal(|| "looking at a file".into())?.len();
    let (mut at, mut first, mut units, mut used) = (0, None, Vec::new(), HashSet::new());
    let mut number = 0;
    while let Some(header) = Header::read(file, at, size)? {
        if number == 0 && !header.cards.contains_key("SIMPLE") {
            return Err(damaged("it does not begin like one"));
        }
        let (unit, bytes) = unit(&header)?;
        let metadata = Value::Object(header.cards.clone());
        if let Some(unit) = unit {
            let name = header.text("EXTNAME").filter(|name| !name.is_empty()).map(String::from);
            let name = name.unwrap_or_else(|| if number == 0 { "PRIMARY".to_owned() } else { format!("HDU{number}") });
            let name = if used.insert(name.clone()) { name } else { format!("{name}_{number}") };
            used.insert(name.clone());
            units.push((name, Unit { metadata: metadata.clone(), ..unit }));
        }
        first.get_or_insert(metadata);
        number += 1;
        if number > MAX_UNITS {
            return Err(damaged("it has too many units"));
        }
        let padded = bytes.checked_next_multiple_of(BLOCK).and_then(|bytes| header.end.checked_add(bytes));
        at = padded.ok_or_else(|| damaged("a unit is too large"))?;
    }
    Ok((first.ok_or_else(|| damaged("it has no header"))?, units))
}

/// A unit, if it holds data, and the bytes of its data.
fn unit(header: &Header) -> Result<(Option<Unit>, u64)> {
    let bitpix = header.integer("BITPIX").filter(|bits| matches!(bits, 8 | 16 | 32 | 64 | -32 | -64));
    let bitpix = bitpix.ok_or_else(|| damaged("the samples of a unit have an odd number of bits"))?;
    let axes = header.count("NAXIS")?;
    if axes > MAX_AXES {
        return Err(damaged("a unit has too many axes"));
    }
    let lengths = (1..=axes).rev().map(|n| header.count(&format!("NAXIS{n}"))).collect::<Result<Vec<_>>>()?;
    let itemsize = (bitpix.unsigned_abs() / 8) as usize;
    let too_large = || damaged("a unit is too large");
    let (groups, heap) = (header.count("GCOUNT").unwrap_or(1), header.count("PCOUNT").unwrap_or(0));
    let product = |lengths: &[u64]| lengths.iter().try_fold(1u64, |all, len| all.checked_mul(*len));
    let items = if lengths.is_empty() { Some(0) } else { product(&lengths) };
    let bytes = items.and_then(|items| items.checked_add(heap)?.checked_mul(groups)?.checked_mul(itemsize as u64));
    let bytes = bytes.filter(|bytes| *bytes < 1 << 62).ok_or_else(too_large)?;
    if lengths.is_empty() || lengths.contains(&0) {
        return Ok((None, bytes));
    }
    let made = |shape, itemsize, values| Unit { metadata: Value::Null, shape, itemsize, begin: header.end, values };
    Ok((
        match header.text("XTENSION") {
            Some("BINTABLE") => {
                let row = usize::try_from(lengths[1..].first().copied().unwrap_or(0)).map_err(|_| too_large())?;
                let values =
                    columns(header, row).map_or_else(|e| Values::Unknown(e.message().to_owned()), Values::Stored);
                (row > 0).then(|| made(vec![lengths[0]], row, values))
            }
            None | Some("IMAGE") => Some(made(lengths, itemsize, samples(header, bitpix)?)),
            Some(other) => {
                let reason = format!("Units of the kind {other} are not read.");
                Some(made(lengths, itemsize, Values::Unknown(reason)))
            }
        },
        bytes,
    ))
}

fn scalar(kind: Kind, size: usize) -> Result<DType> {
    ScalarType::new(kind, size, Endianness::Big, None).map(DType::Scalar)
}

fn samples(header: &Header, bitpix: i64) -> Result<Values> {
    let (scale, zero) = (header.real("BSCALE").unwrap_or(1.0), header.real("BZERO").unwrap_or(0.0));
    let bytes = (bitpix.unsigned_abs() / 8) as usize;
    if bitpix > 0 && scale == 1.0 {
        let half = (1u128 << (bitpix - 1)) as f64;
        if bitpix > 8 && zero == half || bitpix == 8 && zero == -128.0 {
            return Ok(Values::Shifted { bytes });
        }
    }
    if scale != 1.0 || zero != 0.0 {
        return Ok(Values::Scaled { bitpix, scale, zero });
    }
    let kind = match bitpix {
        8 => Kind::Uint,
        bits if bits > 0 => Kind::Int,
        _ => Kind::Float,
    };
    scalar(kind, bytes).map(Values::Stored)
}

/// The columns of a table as fields (section 7.3).
fn columns(header: &Header, row: usize) -> Result<DType> {
    let count = header.count("TFIELDS")?;
    if count > MAX_COLUMNS {
        return Err(damaged("a table has too many columns"));
    }
    let mut fields = Vec::new();
    for n in 1..=count {
        let form = header.text(&format!("TFORM{n}")).unwrap_or_default().trim().to_owned();
        let digits = form.len() - form.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let repeat: usize = if digits == 0 { 1 } else { form[..digits].parse().unwrap_or(usize::MAX) };
        let (kind, size) = match form[digits..].chars().next() {
            Some('L') | Some('A') => (Kind::Bytes, 1),
            Some('B' | 'X') => (Kind::Uint, 1),
            Some('I') => (Kind::Int, 2),
            Some('J') => (Kind::Int, 4),
            Some('K') => (Kind::Int, 8),
            Some('E') => (Kind::Float, 4),
            Some('D') => (Kind::Float, 8),
            Some('C') => (Kind::Complex, 8),
            Some('M') => (Kind::Complex, 16),
            // Where in the heap a list lies: its length and its place.
            Some('P') => (Kind::Int, 4),
            Some('Q') => (Kind::Int, 8),
            other => return Err(Error::unsupported(format!("Columns of the type {other:?} are not read."))),
        };
        let kind_of = form[digits..].chars().next().unwrap_or(' ');
        let (dtype, shape) = match kind_of {
            'A' => (scalar(Kind::Bytes, repeat)?, None),
            'X' => (scalar(kind, size)?, Some(vec![repeat.div_ceil(8)])),
            'P' | 'Q' => (scalar(kind, size)?, Some(vec![2 * repeat.min(1)])),
            _ if repeat == 1 => (scalar(kind, size)?, None),
            _ => (scalar(kind, size)?, Some(vec![repeat])),
        };
        let name = header.text(&format!("TTYPE{n}")).map(String::from).unwrap_or_else(|| format!("col{n}"));
        let field = Field { name, dtype, shape };
        let empty = field.shape.as_ref().is_some_and(|shape| shape.contains(&0)) || field.dtype.itemsize() == 0;
        if !empty {
            fields.push(field);
        }
    }
    let itemsize = fields.iter().try_fold(0usize, |all, field| {
        let count = field.shape.iter().flatten().try_fold(1usize, |all, len| all.checked_mul(*len))?;
        all.checked_add(count.checked_mul(field.dtype.itemsize())?)
    });
    if itemsize != Some(row) || fields.is_empty() {
        return Err(damaged("the columns of a table are not as long as its rows"));
    }
    Ok(DType::Struct(StructType { itemsize: row, fields }))
}

impl Unit {
    /// # Errors
    /// `Unsupported` for units of other kinds.
    pub(super) fn dtype(&self) -> Result<DType> {
        match &self.values {
            Values::Stored(dtype) => Ok(dtype.clone()),
            Values::Shifted { bytes: 1 } => scalar(Kind::Int, 1),
            Values::Shifted { bytes } => scalar(Kind::Uint, *bytes),
            // As astropy does it: what fits into single precision has that.
            Values::Scaled { bitpix, .. } => Ok(DType::of(if matches!(bitpix, 8 | 16 | -32) { "f4" } else { "f8" })),
            Values::Unknown(reason) => Err(Error::unsupported(reason.clone())),
        }
    }
}

impl Values {
    /// Items of what was read.
    pub(super) fn of(&self, stored: &[u8]) -> Vec<u8> {
        match self {
            Self::Stored(_) | Self::Unknown(_) => stored.to_vec(),
            Self::Shifted { bytes } => {
                let mut items = stored.to_vec();
                items.iter_mut().step_by(*bytes).for_each(|byte| *byte ^= 0x80);
                items
            }
            Self::Scaled { bitpix, scale, zero } => {
                let bytes = (bitpix.unsigned_abs() / 8) as usize;
                let mut items = Vec::with_capacity(stored.len() / bytes * 8);
                for item in stored.chunks_exact(bytes) {
                    let bits = item.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
                    let unused = 64 - 8 * bytes as u32;
                    let number = match bitpix {
                        -64 => f64::from_bits(bits),
                        -32 => f64::from(f32::from_bits(bits as u32)),
                        8 => bits as f64,
                        _ => ((bits as i64) << unused >> unused) as f64,
                    };
                    let value = number * scale + zero;
                    match bitpix {
                        8 | 16 | -32 => items.extend_from_slice(&(value as f32).to_le_bytes()),
                        _ => items.extend_from_slice(&value.to_le_bytes()),
                    }
                }
                items
            }
        }
    }
}
