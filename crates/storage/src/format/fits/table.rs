//! Columns of tables as fields (FITS standard, sections 7.2 and 7.3).

use girih_model::dtype::{Field, Kind, StructType};
use girih_model::{DType, Error, Result};
use serde_json::{Map, Value};

use super::damaged;
use super::header::Header;
use super::values::{Make, Part, Scaling, Written, scalar};
use crate::survey::distinct;

/// Most columns of a table.
const MAX_COLUMNS: u64 = 999;

/// What a table has for columns.
#[derive(Default)]
pub(super) struct Columns {
    fields: Vec<Field>,
    pub(super) parts: Vec<Part>,
    /// Columns that are left out, and why.
    pub(super) omitted: Map<String, Value>,
}

impl Columns {
    /// Those of a binary table.
    pub(super) fn binary(header: &Header, row: usize) -> Result<Self> {
        let (mut columns, mut at) = (Self::default(), 0usize);
        for n in 1..=count(header)? {
            let form = header.text(&format!("TFORM{n}")).unwrap_or_default().trim();
            let digits = form.len() - form.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let repeat: usize = if digits == 0 { 1 } else { form[..digits].parse().unwrap_or(usize::MAX) };
            let letter = form[digits..].chars().next();
            let too_long = || damaged("the columns of a table are not as long as its rows");
            let (bitpix, kind, size) = match letter {
                Some('L' | 'A') => (0, Kind::Bytes, 1),
                Some('X') => (0, Kind::Uint, 1),
                Some('B') => (8, Kind::Uint, 1),
                Some('I') => (16, Kind::Int, 2),
                Some('J') => (32, Kind::Int, 4),
                Some('K') => (64, Kind::Int, 8),
                Some('E') => (-32, Kind::Float, 4),
                Some('D') => (-64, Kind::Float, 8),
                Some('C') => (0, Kind::Complex, 8),
                Some('M') => (0, Kind::Complex, 16),
                // Where in the heap a list lies: its length and its place.
                Some('P') => (0, Kind::Void, 8),
                Some('Q') => (0, Kind::Void, 16),
                other => return Err(Error::unsupported(format!("Columns of the type {other:?} are not read."))),
            };
            let count = if letter == Some('X') { repeat.div_ceil(8) } else { repeat };
            let len = count.checked_mul(size).filter(|len| *len <= row).ok_or_else(too_long)?;
            let begin = at;
            at += len;
            if at > row {
                return Err(too_long());
            }
            let name = name(header, n);
            let (scale, zero) = scaling(header, n);
            let is_scaled = scale != 1.0 || zero != 0.0;
            let half =
                letter.filter(|letter| matches!(letter, 'I' | 'J' | 'K')).map(|_| (1u128 << (bitpix - 1)) as f64);
            let (dtype, make) = match letter {
                Some('P' | 'Q') => {
                    columns.omitted.insert(name, "lists of any length are not read".into());
                    continue;
                }
                Some('C' | 'M') if is_scaled => {
                    columns.omitted.insert(name, "scaled complex numbers are not read".into());
                    continue;
                }
                _ if len == 0 => continue,
                Some('A') => (scalar(Kind::Bytes, len)?, Make::Copy),
                _ if scale == 1.0 && half == Some(zero) => (scalar(Kind::Uint, size)?, Make::Shift { bytes: size }),
                _ if bitpix != 0 && is_scaled => {
                    let scaling = Scaling { bitpix, scale, zero, blank: None, single: false };
                    (DType::of("f8"), Make::Scale(scaling))
                }
                _ => (scalar(kind, size)?, Make::Copy),
            };
            let shape = (letter == Some('X') || letter != Some('A') && repeat != 1).then(|| vec![count]);
            columns.fields.push(Field { name, dtype, shape });
            columns.parts.push(Part { at: begin, len, make });
        }
        if at != row {
            return Err(damaged("the columns of a table are not as long as its rows"));
        }
        Ok(columns)
    }

    /// Those of a table in characters, with the types that astropy gives them.
    pub(super) fn ascii(header: &Header, row: usize) -> Result<Self> {
        let mut columns = Self::default();
        for n in 1..=count(header)? {
            let form = header.text(&format!("TFORM{n}")).unwrap_or_default().trim();
            let odd = || damaged(&format!("a column has the form {form:?}"));
            let letter = form.chars().next().ok_or_else(odd)?;
            let width = form[letter.len_utf8()..].split('.').next().unwrap_or_default();
            let default = match letter {
                'A' => 1,
                'I' => 10,
                'E' => 15,
                'F' => 16,
                'D' => 25,
                _ => return Err(Error::unsupported(format!("Columns of the form {form:?} are not read."))),
            };
            let len: usize = if width.is_empty() { default } else { width.parse().map_err(|_| odd())? };
            let at = header.count(&format!("TBCOL{n}"))?.checked_sub(1).and_then(|at| usize::try_from(at).ok());
            let at = at.filter(|at| at.checked_add(len).is_some_and(|end| end <= row));
            let at = at.ok_or_else(|| damaged("a column lies outside of its row"))?;
            if len == 0 {
                continue;
            }
            let (scale, zero) = scaling(header, n);
            let integer = match letter {
                'I' if scale == 1.0 && zero == 0.0 => Some(if len <= 4 {
                    2
                } else if len <= 9 {
                    4
                } else {
                    8
                }),
                _ => None,
            };
            let null = header.text(&format!("TNULL{n}")).unwrap_or_default().trim().chars().take(len).collect();
            let (dtype, make) = if letter == 'A' {
                (scalar(Kind::Bytes, len)?, Make::Text)
            } else {
                let written = Written { integer, null, scale, zero };
                (written.dtype(), Make::Number(written))
            };
            columns.fields.push(Field { name: name(header, n), dtype, shape: None });
            columns.parts.push(Part { at, len, make });
        }
        // Then an item is not much larger than its row.
        if columns.parts.iter().map(|part| part.len).sum::<usize>() > row {
            return Err(damaged("the columns of a table lie upon each other"));
        }
        Ok(columns)
    }

    pub(super) fn dtype(&self) -> Result<DType> {
        if self.fields.is_empty() {
            return Err(Error::unsupported("The table has no column that is read."));
        }
        let names = distinct(self.fields.iter().map(|field| field.name.clone()));
        let fields = names.into_iter().zip(&self.fields).map(|(name, field)| Field { name, ..field.clone() });
        StructType::packed(fields.collect()).map(DType::Struct)
    }
}

fn count(header: &Header) -> Result<u64> {
    let count = header.count("TFIELDS")?;
    if count > MAX_COLUMNS {
        return Err(damaged("a table has too many columns"));
    }
    Ok(count)
}

fn name(header: &Header, n: u64) -> String {
    header.text(&format!("TTYPE{n}")).map_or_else(|| format!("col{n}"), String::from)
}

/// What to multiply with, and what to add then.
fn scaling(header: &Header, n: u64) -> (f64, f64) {
    (header.real(&format!("TSCAL{n}")).unwrap_or(1.0), header.real(&format!("TZERO{n}")).unwrap_or(0.0))
}
