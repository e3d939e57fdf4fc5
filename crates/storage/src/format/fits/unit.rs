//! Header-data units: where their data lie, and what they are.

use std::fs::File;

use girih_model::dtype::Kind;
use girih_model::{DType, Error, Result, ResultExt};
use serde_json::Value;

use super::damaged;
use super::header::{BLOCK, Header};
use super::table::Columns;
use super::values::{Make, Part, Scaling, scalar};
use crate::survey::{distinct, key_of};

/// Most units of a file, and most axes of one.
const MAX_UNITS: usize = 1 << 16;
const MAX_AXES: u64 = 64;
/// Columns that are left out, and why, beside the cards: no card is written like that.
const OMITTED: &str = "omitted";

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
    Made(DType, Vec<Part>),
    Unknown(String),
}

/// Cards of the first header, and all units with data.
pub(super) fn all(file: &File) -> Result<(Value, Vec<(String, Unit)>)> {
    let size = file.metadata().internal(|| "looking at a file".into())?.len();
    let (mut at, mut first, mut units, mut names) = (0, None, Vec::new(), Vec::new());
    let mut number = 0;
    while let Some(header) = Header::read(file, at, size)? {
        if number == 0 && !header.cards.contains_key("SIMPLE") {
            return Err(damaged("it does not begin like one"));
        }
        let (unit, bytes) = unit(&header)?;
        if let Some(unit) = unit {
            let name = header.text("EXTNAME").filter(|name| !name.is_empty()).map(String::from);
            let name = name.unwrap_or_else(|| if number == 0 { "PRIMARY".to_owned() } else { format!("HDU{number}") });
            names.push(key_of(&name, true));
            units.push(unit);
        }
        first.get_or_insert(Value::Object(header.cards));
        number += 1;
        if number > MAX_UNITS {
            return Err(damaged("it has too many units"));
        }
        let padded = bytes.checked_next_multiple_of(BLOCK).and_then(|bytes| header.end.checked_add(bytes));
        at = padded.ok_or_else(|| damaged("a unit is too large"))?;
    }
    let units = distinct(names.into_iter()).into_iter().zip(units).collect();
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
    let (mut metadata, rows) = (header.cards.clone(), lengths[0]);
    let row = usize::try_from(*lengths.last().unwrap_or(&0)).map_err(|_| too_large())?;
    let (shape, itemsize, values) = match header.text("XTENSION") {
        Some(kind @ ("BINTABLE" | "TABLE")) if axes == 2 => {
            let columns = if kind == "TABLE" { Columns::ascii(header, row) } else { Columns::binary(header, row) };
            let values = columns.and_then(|columns| {
                if !columns.omitted.is_empty() {
                    metadata.insert(OMITTED.into(), columns.omitted.clone().into());
                }
                Ok(Values::Made(columns.dtype()?, columns.parts))
            });
            (vec![rows], row, values.unwrap_or_else(|e| Values::Unknown(e.message().to_owned())))
        }
        None | Some("IMAGE") => (lengths, itemsize, samples(header, bitpix)?),
        Some(other) => {
            let reason = format!("Units of the kind {other} with {axes} axes are not read.");
            (lengths, itemsize, Values::Unknown(reason))
        }
    };
    let unit = Unit { metadata: Value::Object(metadata), shape, itemsize, begin: header.end, values };
    Ok((Some(unit), bytes))
}

/// As astropy does it: what fits into single precision has that.
fn samples(header: &Header, bitpix: i64) -> Result<Values> {
    let (scale, zero) = (header.real("BSCALE").unwrap_or(1.0), header.real("BZERO").unwrap_or(0.0));
    let len = (bitpix.unsigned_abs() / 8) as usize;
    let blank = header.integer("BLANK").filter(|_| bitpix > 0);
    let half = if bitpix == 8 { -128.0 } else { 2f64.powi(bitpix as i32 - 1) };
    let (dtype, make) = if bitpix > 0 && scale == 1.0 && zero == half {
        (scalar(if bitpix == 8 { Kind::Int } else { Kind::Uint }, len)?, Make::Shift { bytes: len })
    } else if scale != 1.0 || zero != 0.0 || blank.is_some() {
        let single = matches!(bitpix, 8 | 16 | -32);
        let scaling = Scaling { bitpix, scale, zero, blank, single };
        (DType::of(if single { "f4" } else { "f8" }), Make::Scale(scaling))
    } else {
        let kind = match bitpix {
            8 => Kind::Uint,
            bits if bits > 0 => Kind::Int,
            _ => Kind::Float,
        };
        (scalar(kind, len)?, Make::Copy)
    };
    Ok(Values::Made(dtype, vec![Part { at: 0, len, make }]))
}

impl Unit {
    /// # Errors
    /// `Unsupported` for units of other kinds.
    pub(super) fn dtype(&self) -> Result<DType> {
        match &self.values {
            Values::Made(dtype, _) => Ok(dtype.clone()),
            Values::Unknown(reason) => Err(Error::unsupported(reason.clone())),
        }
    }

    /// Items of what was read.
    pub(super) fn items(&self, stored: Vec<u8>) -> Result<Vec<u8>> {
        let Values::Made(dtype, parts) = &self.values else { return Ok(stored) };
        let mut items = Vec::with_capacity(stored.len() / self.itemsize * dtype.itemsize());
        match parts.as_slice() {
            [Part { make: Make::Copy, len, .. }] if *len == self.itemsize => return Ok(stored),
            [part] if part.len == self.itemsize => part.append(&stored, &mut items)?,
            parts => {
                for row in stored.chunks_exact(self.itemsize) {
                    parts.iter().try_for_each(|part| part.append(&row[part.at..part.at + part.len], &mut items))?;
                }
            }
        }
        Ok(items)
    }
}
