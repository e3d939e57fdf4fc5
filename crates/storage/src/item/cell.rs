//! One value of an Arrow column, whatever its type.

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal32Array, Decimal64Array, Decimal128Array, Decimal256Array, MapArray,
    StructArray, UnionArray,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, DurationMicrosecondType, DurationMillisecondType,
    DurationNanosecondType, DurationSecondType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, RunEndIndexType,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};

use super::Real;

mod json;
mod text;

/// A value of a column.
#[derive(Debug, Clone)]
pub enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Real(Real),
    /// All its digits.
    Decimal(String),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// Days since 1970-01-01.
    Date(i64),
    /// Ticks since midnight.
    Time(i64, TimeUnit),
    Timestamp(Timestamp),
    Duration(i64, TimeUnit),
    /// A calendar interval (Arrow's columnar format, `Interval`).
    Interval {
        months: i32,
        days: i32,
        nanoseconds: i64,
    },
    List(ArrayRef),
    /// A row of a struct.
    Record(&'a StructArray, usize),
    /// The keys and values of one map.
    Map(StructArray),
}

/// A point in time of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp {
    /// Ticks since 1970-01-01, in UTC if there is an offset.
    pub ticks: i64,
    pub unit: TimeUnit,
    /// Seconds east of UTC, where the column has a time zone. Zones that are names rather than offsets are told in UTC.
    pub offset: Option<i32>,
}

impl<'a> Cell<'a> {
    /// Reads one row of a column. Dictionaries, run-end encodings and unions give the value they stand for.
    ///
    /// # Panics
    /// When the row lies beyond the column, as arrow does.
    pub fn read(column: &'a dyn Array, row: usize) -> Self {
        if column.is_null(row) {
            return Self::Null;
        }
        match column.data_type() {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Bool(bool_at(column.as_boolean(), row)),
            DataType::Int8 => Self::Int(value::<Int8Type>(column, row).into()),
            DataType::Int16 => Self::Int(value::<Int16Type>(column, row).into()),
            DataType::Int32 => Self::Int(value::<Int32Type>(column, row).into()),
            DataType::Int64 => Self::Int(value::<Int64Type>(column, row)),
            DataType::UInt8 => Self::Uint(value::<UInt8Type>(column, row).into()),
            DataType::UInt16 => Self::Uint(value::<UInt16Type>(column, row).into()),
            DataType::UInt32 => Self::Uint(value::<UInt32Type>(column, row).into()),
            DataType::UInt64 => Self::Uint(value::<UInt64Type>(column, row)),
            DataType::Float16 => Self::Real(Real::Half(value::<Float16Type>(column, row))),
            DataType::Float32 => Self::Real(Real::Single(value::<Float32Type>(column, row))),
            DataType::Float64 => Self::Real(Real::Double(value::<Float64Type>(column, row))),
            DataType::Decimal32(..) => {
                decimal(column.as_any().downcast_ref::<Decimal32Array>(), |a| a.value_as_string(row))
            }
            DataType::Decimal64(..) => {
                decimal(column.as_any().downcast_ref::<Decimal64Array>(), |a| a.value_as_string(row))
            }
            DataType::Decimal128(..) => {
                decimal(column.as_any().downcast_ref::<Decimal128Array>(), |a| a.value_as_string(row))
            }
            DataType::Decimal256(..) => {
                decimal(column.as_any().downcast_ref::<Decimal256Array>(), |a| a.value_as_string(row))
            }
            DataType::Utf8 => Self::Text(column.as_string::<i32>().value(row)),
            DataType::LargeUtf8 => Self::Text(column.as_string::<i64>().value(row)),
            DataType::Utf8View => Self::Text(column.as_string_view().value(row)),
            DataType::Binary => Self::Bytes(column.as_binary::<i32>().value(row)),
            DataType::LargeBinary => Self::Bytes(column.as_binary::<i64>().value(row)),
            DataType::BinaryView => Self::Bytes(column.as_binary_view().value(row)),
            DataType::FixedSizeBinary(_) => Self::Bytes(column.as_fixed_size_binary().value(row)),
            DataType::Date32 => Self::Date(value::<Date32Type>(column, row).into()),
            DataType::Date64 => Self::Date(value::<Date64Type>(column, row).div_euclid(86_400_000)),
            DataType::Time32(TimeUnit::Second) => {
                Self::Time(value::<Time32SecondType>(column, row).into(), TimeUnit::Second)
            }
            DataType::Time32(unit) => Self::Time(value::<Time32MillisecondType>(column, row).into(), *unit),
            DataType::Time64(TimeUnit::Microsecond) => {
                Self::Time(value::<Time64MicrosecondType>(column, row), TimeUnit::Microsecond)
            }
            DataType::Time64(unit) => Self::Time(value::<Time64NanosecondType>(column, row), *unit),
            DataType::Timestamp(unit, zone) => Self::Timestamp(Timestamp {
                ticks: timestamp(column, *unit, row),
                unit: *unit,
                offset: zone.as_deref().map(offset),
            }),
            DataType::Duration(unit) => Self::Duration(duration(column, *unit, row), *unit),
            DataType::Interval(unit) => interval(column, *unit, row),
            DataType::List(_) => Self::List(column.as_list::<i32>().value(row)),
            DataType::LargeList(_) => Self::List(column.as_list::<i64>().value(row)),
            DataType::ListView(_) => Self::List(column.as_list_view::<i32>().value(row)),
            DataType::LargeListView(_) => Self::List(column.as_list_view::<i64>().value(row)),
            DataType::FixedSizeList(..) => Self::List(column.as_fixed_size_list().value(row)),
            DataType::Struct(_) => Self::Record(column.as_struct(), row),
            DataType::Map(..) => Self::Map(map_at(column.as_map(), row)),
            DataType::Union(..) => union_at(column.as_union(), row),
            DataType::Dictionary(..) => {
                let dictionary = column.as_any_dictionary();
                let key = dictionary.keys();
                match Cell::read(key, row) {
                    Cell::Int(key) => Self::read(dictionary.values().as_ref(), key as usize),
                    Cell::Uint(key) => Self::read(dictionary.values().as_ref(), key as usize),
                    _ => Self::Null,
                }
            }
            DataType::RunEndEncoded(ends, _) => match ends.data_type() {
                DataType::Int16 => run_at::<Int16Type>(column, row),
                DataType::Int32 => run_at::<Int32Type>(column, row),
                _ => run_at::<Int64Type>(column, row),
            },
        }
    }

    /// The value as a number, where it is one.
    pub fn number(&self) -> Option<f64> {
        Some(match self {
            Self::Bool(value) => f64::from(u8::from(*value)),
            Self::Int(value) => *value as f64,
            Self::Uint(value) => *value as f64,
            Self::Real(value) => value.to_f64(),
            Self::Decimal(digits) => return digits.parse().ok(),
            _ => return None,
        })
    }
}

fn value<T: ArrowPrimitiveType>(column: &dyn Array, row: usize) -> T::Native {
    column.as_primitive::<T>().value(row)
}

fn bool_at(column: &BooleanArray, row: usize) -> bool {
    column.value(row)
}

fn decimal<'a, A>(column: Option<&A>, text: impl FnOnce(&A) -> String) -> Cell<'a> {
    column.map_or(Cell::Null, |column| Cell::Decimal(text(column)))
}

fn timestamp(column: &dyn Array, unit: TimeUnit, row: usize) -> i64 {
    match unit {
        TimeUnit::Second => value::<TimestampSecondType>(column, row),
        TimeUnit::Millisecond => value::<TimestampMillisecondType>(column, row),
        TimeUnit::Microsecond => value::<TimestampMicrosecondType>(column, row),
        TimeUnit::Nanosecond => value::<TimestampNanosecondType>(column, row),
    }
}

fn duration(column: &dyn Array, unit: TimeUnit, row: usize) -> i64 {
    match unit {
        TimeUnit::Second => value::<DurationSecondType>(column, row),
        TimeUnit::Millisecond => value::<DurationMillisecondType>(column, row),
        TimeUnit::Microsecond => value::<DurationMicrosecondType>(column, row),
        TimeUnit::Nanosecond => value::<DurationNanosecondType>(column, row),
    }
}

fn interval<'a>(column: &dyn Array, unit: IntervalUnit, row: usize) -> Cell<'a> {
    match unit {
        IntervalUnit::YearMonth => {
            Cell::Interval { months: value::<IntervalYearMonthType>(column, row), days: 0, nanoseconds: 0 }
        }
        IntervalUnit::DayTime => {
            let value = value::<IntervalDayTimeType>(column, row);
            Cell::Interval { months: 0, days: value.days, nanoseconds: i64::from(value.milliseconds) * 1_000_000 }
        }
        IntervalUnit::MonthDayNano => {
            let value = value::<IntervalMonthDayNanoType>(column, row);
            Cell::Interval { months: value.months, days: value.days, nanoseconds: value.nanoseconds }
        }
    }
}

fn map_at(column: &MapArray, row: usize) -> StructArray {
    column.value(row)
}

fn union_at(column: &UnionArray, row: usize) -> Cell<'_> {
    Cell::read(column.child(column.type_id(row)).as_ref(), column.value_offset(row))
}

fn run_at<T: RunEndIndexType>(column: &dyn Array, row: usize) -> Cell<'_> {
    match column.as_run_opt::<T>() {
        Some(runs) => Cell::read(runs.values().as_ref(), runs.get_physical_index(row)),
        None => Cell::Null,
    }
}

/// Seconds east of UTC from `+02:00`, `-0930` or `+09`; names of zones are told in UTC.
fn offset(zone: &str) -> i32 {
    let parse = || {
        let (sign, digits) = match zone.split_at_checked(1)? {
            ("+", digits) => (1, digits),
            ("-", digits) => (-1, digits),
            _ => return None,
        };
        let digits = digits.replace(':', "");
        let two = |at: usize| digits.get(at..at + 2)?.parse::<i32>().ok();
        let minutes = if digits.len() > 2 { two(2)? } else { 0 };
        Some(sign * (two(0)? * 3_600 + minutes * 60))
    };
    parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets() {
        for (zone, seconds) in [
            ("+02:00", 7_200),
            ("-0930", -34_200),
            ("+09", 32_400),
            ("UTC", 0),
            ("Europe/Berlin", 0),
            ("+é", 0),
            ("", 0),
        ] {
            assert_eq!(offset(zone), seconds, "{zone}");
        }
    }
}
