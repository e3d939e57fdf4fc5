//! What both of Excel's formats have in common: values as cells of a sheet.
//!
//! A sheet knows numbers (IEEE doubles), truth values and text; times are numbers of days that a
//! number format shows as times (ECMA-376-1, 18.17.4.1, the 1900 date system).

use std::borrow::Cow;

use arrow::datatypes::TimeUnit;
use girih_model::Error;

use crate::item::{Cell, Item, NOT_A_TIME, Real, Timestamp};

/// Most UTF-16 code units of text in one cell.
const MAX_TEXT: usize = 32_767;
/// Integers up to here are doubles without loss.
const EXACT: u64 = 1 << 53;
const DAY: i128 = 86_400;
/// Days from 1899-12-30, which the numbers count from, to 1970-01-01.
const EPOCH: f64 = 25_569.0;
/// From 1900-03-01 (earlier days are off by one, for Excel takes 1900 for a leap year) to 9999-12-31.
const DAYS: std::ops::RangeInclusive<f64> = 61.0..=2_958_465.999_999_999;

/// The value of a cell.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Empty,
    Bool(bool),
    Number(f64),
    /// Days, and how they are shown.
    Time(f64, Style),
    Text(Cow<'a, str>),
}

/// How a number of days is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Date,
    Seconds,
    Milliseconds,
    TimeOfDay,
    Span,
}

impl Style {
    pub(super) const ALL: [Self; 5] = [Self::Date, Self::Seconds, Self::Milliseconds, Self::TimeOfDay, Self::Span];

    /// The number format code (ECMA-376-1, 18.8.31).
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Date => "yyyy\\-mm\\-dd",
            Self::Seconds => "yyyy\\-mm\\-dd\\ hh:mm:ss",
            Self::Milliseconds => "yyyy\\-mm\\-dd\\ hh:mm:ss.000",
            Self::TimeOfDay => "hh:mm:ss.000",
            Self::Span => "[h]:mm:ss.000",
        }
    }
}

impl<'a> Value<'a> {
    /// - Missing values, NaN and "not a time" are empty; infinities are text.
    /// - Integers and decimals that a double cannot hold are text, so that no digit is lost.
    /// - Dates and times are Excel's; before 1900-03-01, after 9999-12-31 and with a time zone they are
    ///   text, as in CSV. Negative spans are text: Excel cannot show them.
    /// - Bytes are text where they are UTF-8; lists, structs and maps are JSON.
    pub(super) fn of_cell(cell: &Cell<'a>) -> Self {
        let special = match cell {
            Cell::Null | Cell::Duration(NOT_A_TIME, _) => Some(Self::Empty),
            Cell::Bool(value) => Some(Self::Bool(*value)),
            Cell::Int(value) => integer(*value as f64, value.unsigned_abs()),
            Cell::Uint(value) => integer(*value as f64, *value),
            Cell::Real(value) => real(*value),
            Cell::Decimal(digits) => decimal(digits),
            Cell::Text(text) => return Self::Text(Cow::Borrowed(text)),
            Cell::Bytes(bytes) => std::str::from_utf8(bytes).ok().map(|text| Self::Text(text.into())),
            Cell::Date(days) => date(*days as f64 + EPOCH, Style::Date),
            Cell::Time(ticks, unit) => Some(Self::Time(days_of(*ticks, *unit), Style::TimeOfDay)),
            Cell::Timestamp(Timestamp { ticks, unit, offset: None }) => {
                let style = if *unit == TimeUnit::Second { Style::Seconds } else { Style::Milliseconds };
                date(days_of(*ticks, *unit) + EPOCH, style)
            }
            Cell::Duration(ticks, unit) if *ticks >= 0 => Some(Self::Time(days_of(*ticks, *unit), Style::Span)),
            _ => None,
        };
        special.unwrap_or_else(|| as_text(|out| cell.push_text(out)))
    }

    /// The same for an item of an array.
    pub(super) fn of_item(item: &Item<'_>) -> Self {
        let special = match item {
            Item::Datetime(NOT_A_TIME, _) | Item::Timedelta(NOT_A_TIME, _) => Some(Self::Empty),
            Item::Bool(value) => Some(Self::Bool(*value)),
            Item::Int(value) => integer(*value as f64, value.unsigned_abs()),
            Item::Uint(value) => integer(*value as f64, *value),
            Item::Real(value) => real(*value),
            Item::Datetime(ticks, Some(unit)) => {
                let style = match unit.unit {
                    "W" | "D" => Style::Date,
                    "h" | "m" | "s" => Style::Seconds,
                    _ => Style::Milliseconds,
                };
                numpy_days(*ticks, unit.count, unit.unit).and_then(|days| date(days + EPOCH, style))
            }
            Item::Timedelta(ticks, Some(unit)) if *ticks >= 0 => {
                numpy_days(*ticks, unit.count, unit.unit).map(|days| Self::Time(days, Style::Span))
            }
            Item::Bytes(bytes) => std::str::from_utf8(bytes).ok().map(|text| Self::Text(text.to_owned().into())),
            _ => None,
        };
        special.unwrap_or_else(|| as_text(|out| item.push_text(out)))
    }

    /// The same, with text no longer than a cell holds.
    ///
    /// # Errors
    /// `NotAcceptable`, naming the place, for longer text.
    pub(super) fn fitting(self, place: impl FnOnce() -> String) -> Result<Self, Error> {
        if let Self::Text(text) = &self
            && text.len() > MAX_TEXT
            && text.encode_utf16().count() > MAX_TEXT
        {
            return Err(Error::not_acceptable(format!(
                "{} has a text of more than {MAX_TEXT} characters, which does not fit into a cell of a spreadsheet. {REMEDY}",
                place()
            )));
        }
        Ok(self)
    }
}

/// What to do with data that does not fit.
const REMEDY: &str = "Request a smaller part, or another format such as text/csv.";

/// Refuses what is larger than a sheet, before or while it is written: nothing is ever cut off.
pub(super) fn check_size(rows: u64, columns: u64, most_rows: u64, most_columns: u64) -> Result<(), Error> {
    if columns > most_columns {
        return Err(Error::not_acceptable(format!(
            "A sheet of this format has at most {most_columns} columns; this data has {columns}. {REMEDY}"
        )));
    }
    if rows > most_rows {
        return Err(Error::not_acceptable(format!(
            "A sheet of this format has at most {most_rows} rows; this data has more. {REMEDY}"
        )));
    }
    Ok(())
}

fn as_text<'a>(push: impl FnOnce(&mut String)) -> Value<'a> {
    let mut text = String::new();
    push(&mut text);
    Value::Text(Cow::Owned(text))
}

fn integer<'a>(value: f64, magnitude: u64) -> Option<Value<'a>> {
    (magnitude <= EXACT).then_some(Value::Number(value))
}

fn real<'a>(value: Real) -> Option<Value<'a>> {
    let value = value.to_f64();
    if value.is_nan() {
        return Some(Value::Empty);
    }
    value.is_finite().then_some(Value::Number(value))
}

/// Up to 15 digits survive in a double.
fn decimal<'a>(digits: &str) -> Option<Value<'a>> {
    let significant = digits.trim_start_matches(['-', '0', '.']).chars().filter(char::is_ascii_digit).count();
    if significant <= 15 { digits.parse().ok().map(Value::Number) } else { None }
}

fn date<'a>(days: f64, style: Style) -> Option<Value<'a>> {
    DAYS.contains(&days).then_some(Value::Time(days, style))
}

fn days_of(ticks: i64, unit: TimeUnit) -> f64 {
    let per_second = match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    fraction(ticks.into(), DAY * per_second)
}

/// `None` for units that are not a fixed part of a day.
fn numpy_days(ticks: i64, count: u64, unit: &str) -> Option<f64> {
    let per_day = match unit {
        "W" => return Some(ticks as f64 * count as f64 * 7.0),
        "D" => 1,
        "h" => 24,
        "m" => 1_440,
        "s" => DAY,
        "ms" => DAY * 1_000,
        "us" => DAY * 1_000_000,
        "ns" => DAY * 1_000_000_000,
        "ps" => DAY * 1_000_000_000_000,
        "fs" => DAY * 1_000_000_000_000_000,
        "as" => DAY * 1_000_000_000_000_000_000,
        _ => return None,
    };
    Some(fraction(i128::from(ticks) * i128::from(count), per_day))
}

/// Whole days first: so a midnight is exactly a whole number.
fn fraction(ticks: i128, per_day: i128) -> f64 {
    ticks.div_euclid(per_day) as f64 + ticks.rem_euclid(per_day) as f64 / per_day as f64
}

#[cfg(test)]
mod tests {
    use girih_model::dtype::TimeUnit as Unit;

    use super::*;

    #[test]
    fn values_of_columns() {
        let text = |text: &'static str| Value::Text(text.into());
        let stamp = |ticks, offset| Cell::Timestamp(Timestamp { ticks, unit: TimeUnit::Millisecond, offset });
        for (cell, expected) in [
            (Cell::Null, Value::Empty),
            (Cell::Bool(true), Value::Bool(true)),
            (Cell::Int(-3), Value::Number(-3.0)),
            (Cell::Int(i64::MIN), text("-9223372036854775808")),
            (Cell::Uint(1 << 53), Value::Number(9_007_199_254_740_992.0)),
            (Cell::Uint((1 << 53) + 1), text("9007199254740993")),
            (Cell::Real(Real::Double(f64::NAN)), Value::Empty),
            (Cell::Real(Real::Single(f32::NEG_INFINITY)), text("-inf")),
            (Cell::Decimal("-0.0012345".into()), Value::Number(-0.0012345)),
            (Cell::Decimal("12345678901234567.8".into()), text("12345678901234567.8")),
            (Cell::Bytes(b"ab"), text("ab")),
            (Cell::Bytes(b"\xff"), text("b'\\xff'")),
            (Cell::Date(0), Value::Time(25_569.0, Style::Date)),
            (Cell::Date(-25_508), Value::Time(61.0, Style::Date)),
            (Cell::Date(-25_509), text("1900-02-28")),
            (stamp(43_200_000, None), Value::Time(25_569.5, Style::Milliseconds)),
            (stamp(0, Some(3_600)), text("1970-01-01 01:00:00.000+01:00")),
            (Cell::Time(21_600, TimeUnit::Second), Value::Time(0.25, Style::TimeOfDay)),
            (Cell::Duration(129_600, TimeUnit::Second), Value::Time(1.5, Style::Span)),
            (Cell::Duration(NOT_A_TIME, TimeUnit::Second), Value::Empty),
        ] {
            assert_eq!(Value::of_cell(&cell), expected, "{cell:?}");
        }
    }

    #[test]
    fn values_of_arrays() {
        let unit = |text| Unit::parse(text).ok();
        for (item, expected) in [
            (Item::Datetime(1, unit("[2W]")), Value::Time(25_583.0, Style::Date)),
            (Item::Datetime(18, unit("[h]")), Value::Time(25_569.75, Style::Seconds)),
            (Item::Datetime(i64::MAX, unit("[as]")), Value::Time(25_569.000_106_751_9, Style::Milliseconds)),
            (Item::Datetime(50, unit("[Y]")), Value::Text("2020".into())),
            (Item::Timedelta(-1, unit("[s]")), Value::Text("-1 seconds".into())),
            (Item::Complex(Real::Double(1.0), Real::Double(2.0)), Value::Text("(1.0+2.0j)".into())),
        ] {
            match (Value::of_item(&item), expected) {
                (Value::Time(days, style), Value::Time(close, same)) => {
                    assert!((days - close).abs() < 1e-9 && style == same, "{item:?}: {days}");
                }
                (value, expected) => assert_eq!(value, expected, "{item:?}"),
            }
        }
    }

    #[test]
    fn long_text_is_refused_with_its_place() {
        let fits = Value::Text("é".repeat(MAX_TEXT).into());
        assert!(fits.fitting(String::new).is_ok());
        let long = Value::Text("😀".repeat(MAX_TEXT / 2 + 1).into());
        let error = long.fitting(|| "The column \"a\"".into()).unwrap_err();
        assert!(error.message().starts_with("The column \"a\" has"), "{error}");
    }
}
