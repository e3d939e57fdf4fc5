//! Columns of tables as datasets.
//!
//! | Arrow | dataset |
//! |---|---|
//! | integers, floats | the same type |
//! | integers with missing values | float64 with NaN; where that would lose digits, integers with the attribute `_FillValue` |
//! | booleans | `FALSE`, `TRUE`; with missing values int8, missing ones -1 (`_FillValue`) |
//! | dates, timestamps, times, durations | int64 with the attributes `dtype` (NumPy's) and `units` (CF conventions, as xarray reads them); missing ones NumPy's "not a time" |
//! | decimals | float64 up to 15 digits, text beyond |
//! | text | UTF-8 of variable length; missing ones empty |
//! | binary | uint8 of variable length, or opaque of fixed length |
//! | dictionaries, run ends | as their values |
//! | lists, structs, maps, unions, intervals | their JSON as text |

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Int64Type, TimeUnit, UInt64Type};
use girih_model::DType;

use super::attribute::Attribute;
use super::datatype::{self, REFERENCE};
use crate::item::{Cell, NOT_A_TIME, Real};

/// Integers up to here are doubles without loss.
const EXACT: u64 = 1 << 53;

/// What a column holds, known from its type.
#[derive(Debug, Clone, PartialEq)]
enum Kind {
    /// NumPy's shorthand.
    Number(&'static str),
    Bool,
    Time {
        dtype: String,
        units: String,
        zone: Option<String>,
    },
    /// Anything that is best told as a float64.
    Real,
    Text,
    Bytes,
    Opaque(usize),
}

impl Kind {
    fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Int8 => Self::Number("i1"),
            DataType::Int16 => Self::Number("i2"),
            DataType::Int32 => Self::Number("i4"),
            DataType::Int64 => Self::Number("i8"),
            DataType::UInt8 => Self::Number("u1"),
            DataType::UInt16 => Self::Number("u2"),
            DataType::UInt32 => Self::Number("u4"),
            DataType::UInt64 => Self::Number("u8"),
            DataType::Float16 => Self::Number("f2"),
            DataType::Float32 => Self::Number("f4"),
            DataType::Float64 => Self::Number("f8"),
            DataType::Boolean => Self::Bool,
            DataType::Null => Self::Real,
            DataType::Decimal32(digits, _)
            | DataType::Decimal64(digits, _)
            | DataType::Decimal128(digits, _)
            | DataType::Decimal256(digits, _)
                if *digits <= 15 =>
            {
                Self::Real
            }
            DataType::Date32 | DataType::Date64 => Self::point("D", None),
            DataType::Timestamp(unit, zone) => Self::point(numpy_unit(*unit), zone.as_deref()),
            DataType::Time32(unit) | DataType::Time64(unit) | DataType::Duration(unit) => {
                let unit = numpy_unit(*unit);
                Self::Time { dtype: format!("<m8[{unit}]"), units: cf_unit(unit).unwrap_or(unit).into(), zone: None }
            }
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Self::Bytes,
            DataType::FixedSizeBinary(size) => Self::Opaque(usize::try_from(*size).unwrap_or(0).max(1)),
            DataType::Dictionary(_, values) => Self::of(values),
            DataType::RunEndEncoded(_, values) => Self::of(values.data_type()),
            _ => Self::Text,
        }
    }

    fn point(unit: &str, zone: Option<&str>) -> Self {
        let units = since_epoch(unit).unwrap_or_else(|| unit.into());
        Self::Time { dtype: format!("<M8[{unit}]"), units, zone: zone.map(str::to_owned) }
    }

    fn is_variable(&self) -> bool {
        matches!(self, Self::Text | Self::Bytes)
    }
}

fn numpy_unit(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    }
}

/// The name of one of NumPy's units in the CF conventions, 4.4.
pub(super) fn cf_unit(unit: &str) -> Option<&'static str> {
    Some(match unit {
        "D" => "days",
        "h" => "hours",
        "m" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        _ => return None,
    })
}

pub(super) fn since_epoch(unit: &str) -> Option<String> {
    cf_unit(unit).map(|unit| format!("{unit} since 1970-01-01"))
}

/// A column while it is looked through.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    kind: Kind,
    nulls: bool,
    /// Integers that are no doubles.
    large: bool,
}

impl Column {
    pub(super) fn new(field: &Field) -> Self {
        Self { name: field.name().clone(), kind: Kind::of(field.data_type()), nulls: false, large: false }
    }

    pub(super) fn is_variable(&self) -> bool {
        self.kind.is_variable()
    }

    /// Most bytes of one row, outside of heaps.
    pub(super) fn widest(&self) -> usize {
        match self.kind {
            Kind::Opaque(size) => size,
            Kind::Text | Kind::Bytes => REFERENCE,
            _ => 8,
        }
    }

    pub(super) fn look(&mut self, values: &dyn Array) {
        self.nulls |= values.logical_null_count() > 0;
        if matches!(self.kind, Kind::Number("i8" | "u8")) && !self.large {
            self.large = match values.data_type() {
                DataType::Int64 => values.as_primitive::<Int64Type>().values().iter().any(|v| v.unsigned_abs() > EXACT),
                DataType::UInt64 => values.as_primitive::<UInt64Type>().values().iter().any(|v| *v > EXACT),
                _ => (0..values.len()).any(|row| match Cell::read(values, row) {
                    Cell::Int(value) => value.unsigned_abs() > EXACT,
                    Cell::Uint(value) => value > EXACT,
                    _ => false,
                }),
            };
        }
    }

    /// How to write the column, when all of it has been seen.
    pub(super) fn form(&self) -> Form {
        let number = |shorthand: &str, missing: Missing, attributes| {
            let dtype = DType::of(shorthand);
            Form { datatype: datatype::of(&dtype), width: dtype.itemsize(), put: Put::Number(missing), attributes }
        };
        match &self.kind {
            Kind::Number(shorthand) if shorthand.starts_with('f') => number(shorthand, Missing::NaN, Vec::new()),
            Kind::Number(shorthand) if !self.nulls => number(shorthand, Missing::Never, Vec::new()),
            Kind::Number("i8") if self.large => number("i8", Missing::Is(i64::MIN), vec![fill("i8", i64::MIN)]),
            Kind::Number("u8") if self.large => number("u8", Missing::Is(-1), vec![fill("u8", -1)]),
            Kind::Number(_) | Kind::Real => number("f8", Missing::NaN, Vec::new()),
            Kind::Bool if self.nulls => number("i1", Missing::Is(-1), vec![fill("i1", -1)]),
            Kind::Bool => Form { datatype: datatype::boolean(), ..number("i1", Missing::Never, Vec::new()) },
            Kind::Time { dtype, units, zone } => {
                let mut attributes = vec![Attribute::text("dtype", dtype), Attribute::text("units", units)];
                attributes.extend(zone.as_ref().map(|zone| Attribute::text("timezone", zone)));
                number("i8", Missing::Is(NOT_A_TIME), attributes)
            }
            Kind::Text => variable(datatype::variable_text()),
            Kind::Bytes => variable(datatype::variable_bytes()),
            Kind::Opaque(size) => {
                Form { datatype: datatype::opaque(*size), width: *size, put: Put::Bytes, attributes: Vec::new() }
            }
        }
    }
}

fn fill(shorthand: &str, value: i64) -> Attribute {
    let dtype = DType::of(shorthand);
    Attribute::item("_FillValue", &dtype, &value.to_le_bytes()[..dtype.itemsize()])
}

fn variable(datatype: Vec<u8>) -> Form {
    Form { datatype, width: REFERENCE, put: Put::Reference, attributes: Vec::new() }
}

/// How a column lies in the file.
pub(super) struct Form {
    pub(super) datatype: Vec<u8>,
    /// Bytes of one row.
    pub(super) width: usize,
    put: Put,
    pub(super) attributes: Vec<Attribute>,
}

enum Put {
    Number(Missing),
    Bytes,
    Reference,
}

#[derive(Clone, Copy, PartialEq)]
enum Missing {
    Never,
    NaN,
    Is(i64),
}

impl Form {
    pub(super) fn is_variable(&self) -> bool {
        matches!(self.put, Put::Reference)
    }

    /// Writes all values of a column of fixed width, `out` being as long as they are.
    /// False when there is something that had not been there when the column was looked through.
    pub(super) fn put(&self, values: &dyn Array, out: &mut [u8]) -> bool {
        if self.copy(values, out) {
            return true;
        }
        let mut rows = out.chunks_exact_mut(self.width).enumerate();
        rows.all(|(row, to)| self.put_cell(&Cell::read(values, row), to))
    }

    /// Numbers that lie in memory as they do in the file.
    fn copy(&self, values: &dyn Array, out: &mut [u8]) -> bool {
        let width = match values.data_type() {
            DataType::Timestamp(..) | DataType::Duration(_) => 8,
            DataType::Time64(_) => 8,
            number if number.is_numeric() && matches!(Kind::of(number), Kind::Number(_)) => {
                number.primitive_width().unwrap_or(0)
            }
            _ => return false,
        };
        if width != self.width || values.null_count() > 0 || self.is_converted(values.data_type()) {
            return false;
        }
        let data = values.to_data();
        let Some(bytes) = data.buffers().first() else { return false };
        let start = data.offset() * width;
        out.copy_from_slice(&bytes.as_slice()[start..start + out.len()]);
        true
    }

    /// Whether integers become floats.
    fn is_converted(&self, data_type: &DataType) -> bool {
        matches!(self.put, Put::Number(Missing::NaN)) && data_type.is_integer()
    }

    fn put_cell(&self, cell: &Cell<'_>, to: &mut [u8]) -> bool {
        let missing = match self.put {
            Put::Number(missing) => missing,
            Put::Bytes => {
                if let Cell::Bytes(bytes) = cell {
                    to[..bytes.len()].copy_from_slice(bytes);
                }
                return true;
            }
            Put::Reference => return false,
        };
        let integer = match cell {
            Cell::Null => match missing {
                Missing::Never => return false,
                Missing::NaN => return put_real(f64::NAN, to),
                Missing::Is(value) => value,
            },
            _ if missing == Missing::NaN => match cell {
                Cell::Real(Real::Half(value)) if to.len() == 2 => {
                    to.copy_from_slice(&value.to_le_bytes());
                    return true;
                }
                cell => return cell.number().is_some_and(|value| put_real(value, to)),
            },
            Cell::Bool(value) => i64::from(*value),
            Cell::Int(value) | Cell::Date(value) | Cell::Time(value, _) | Cell::Duration(value, _) => *value,
            Cell::Uint(value) => *value as i64,
            Cell::Timestamp(time) => time.ticks,
            _ => return false,
        };
        to.copy_from_slice(&integer.to_le_bytes()[..to.len()]);
        true
    }
}

/// Narrower floats were widened without loss, so they are narrowed without loss.
fn put_real(value: f64, to: &mut [u8]) -> bool {
    match to.len() {
        2 => to.copy_from_slice(&half::f16::from_f64(value).to_le_bytes()),
        4 => to.copy_from_slice(&(value as f32).to_le_bytes()),
        _ => to.copy_from_slice(&value.to_le_bytes()),
    }
    true
}

/// The value of a cell of variable length; text that is not one yet is written into `text`.
pub(super) fn variable_value<'a>(cell: &'a Cell<'a>, text: &'a mut String) -> &'a [u8] {
    match cell {
        Cell::Text(text) => text.as_bytes(),
        Cell::Bytes(bytes) => bytes,
        other => {
            text.clear();
            other.push_text(text);
            text.as_bytes()
        }
    }
}
