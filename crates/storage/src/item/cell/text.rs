//! Cells as the text that pandas writes into CSV files.

use std::fmt::Write as _;

use arrow::datatypes::TimeUnit;

use super::super::text::push_bytes_literal;
use super::super::time::{push_date, push_fraction};
use super::{Cell, Timestamp};

impl Cell<'_> {
    /// Missing values and NaN are empty; `True`, `0.1`, `1e+20`, `b'a'`, `2020-01-01 00:00:00.000`,
    /// `1 days 00:00:00`; lists, structs, maps and intervals are their JSON.
    ///
    /// Times have all the digits of their column's unit, so that a column keeps one form.
    pub fn push_text(&self, out: &mut String) {
        match self {
            Self::Null => {}
            Self::Bool(value) => out.push_str(if *value { "True" } else { "False" }),
            Self::Int(value) => {
                let _ = write!(out, "{value}");
            }
            Self::Uint(value) => {
                let _ = write!(out, "{value}");
            }
            Self::Real(value) if value.is_nan() => {}
            Self::Real(value) => value.push_text(out),
            Self::Decimal(digits) => out.push_str(digits),
            Self::Text(text) => out.push_str(text),
            Self::Bytes(bytes) => push_bytes_literal(bytes, out),
            Self::Date(days) => push_date(*days, out),
            Self::Time(ticks, unit) => push_time(*ticks, *unit, true, out),
            Self::Timestamp(timestamp) => push_timestamp(*timestamp, ' ', true, out),
            Self::Duration(ticks, unit) => {
                let per_day = 86_400 * per_second(*unit);
                let _ = write!(out, "{} days ", ticks.div_euclid(per_day));
                if *ticks < 0 {
                    out.push('+');
                }
                push_time(ticks.rem_euclid(per_day), *unit, false, out);
            }
            Self::List(_) | Self::Record(..) | Self::Map(_) | Self::Interval { .. } => self.push_json(out),
        }
    }
}

fn digits(unit: TimeUnit) -> u32 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

fn per_second(unit: TimeUnit) -> i64 {
    10i64.pow(digits(unit))
}

/// `HH:MM:SS` and a fraction.
pub(super) fn push_time(ticks: i64, unit: TimeUnit, all_digits: bool, out: &mut String) {
    let seconds = ticks.div_euclid(per_second(unit));
    let _ = write!(out, "{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    push_fraction(ticks.rem_euclid(per_second(unit)).into(), digits(unit), all_digits, out);
}

/// Date, separator, time and offset (`+00:00`).
pub(super) fn push_timestamp(timestamp: Timestamp, separator: char, all_digits: bool, out: &mut String) {
    let Timestamp { ticks, unit, offset } = timestamp;
    let per_second = per_second(unit);
    let local = ticks.div_euclid(per_second).saturating_add(offset.unwrap_or(0).into());
    push_date(local.div_euclid(86_400), out);
    out.push(separator);
    let seconds = local.rem_euclid(86_400);
    push_time(seconds * per_second + ticks.rem_euclid(per_second), unit, all_digits, out);
    if let Some(offset) = offset {
        let sign = if offset < 0 { '-' } else { '+' };
        let minutes = offset.abs() / 60;
        let _ = write!(out, "{sign}{:02}:{:02}", minutes / 60, minutes % 60);
    }
}

/// Each byte as the character of the same number (ISO 8859-1).
pub(super) fn push_latin(bytes: &[u8], out: &mut String) {
    out.extend(bytes.iter().map(|byte| char::from(*byte)));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::*;
    use arrow::datatypes::{DataType, Field, Int8Type, Int32Type};

    use super::*;

    fn check(column: impl Array, text: &[&str], json: &[&str]) {
        let write = |push: fn(&Cell<'_>, &mut String)| -> Vec<String> {
            let rows = (0..column.len()).map(|row| {
                let mut out = String::new();
                push(&Cell::read(&column, row), &mut out);
                out
            });
            rows.collect()
        };
        assert_eq!(write(|cell, out| cell.push_text(out)), text, "text of {}", column.data_type());
        assert_eq!(write(|cell, out| cell.push_json(out)), json, "JSON of {}", column.data_type());
    }

    #[test]
    fn numbers() {
        check(Int64Array::from(vec![Some(-1), None]), &["-1", ""], &["-1", "null"]);
        check(UInt64Array::from(vec![u64::MAX]), &["18446744073709551615"], &["18446744073709551615"]);
        check(Float32Array::from(vec![0.1, f32::NAN]), &["0.1", ""], &["0.1", "null"]);
        check(Float64Array::from(vec![1e20, f64::INFINITY]), &["1e+20", "inf"], &["1e20", "null"]);
        check(BooleanArray::from(vec![true, false]), &["True", "False"], &["true", "false"]);
        let decimals = Decimal128Array::from(vec![110, -5]).with_precision_and_scale(9, 2).unwrap();
        check(decimals, &["1.10", "-0.05"], &["\"1.10\"", "\"-0.05\""]);
        check(NullArray::new(1), &[""], &["null"]);
    }

    #[test]
    fn texts_and_bytes() {
        check(StringArray::from(vec!["a\"b"]), &["a\"b"], &[r#""a\"b""#]);
        check(StringViewArray::from(vec!["a"]), &["a"], &["\"a\""]);
        check(BinaryArray::from(vec![&b"a\xff"[..], b"ok"]), &[r"b'a\xff'", "b'ok'"], &["\"aÿ\"", "\"ok\""]);
        let words: DictionaryArray<Int8Type> = vec![Some("x"), None, Some("x")].into_iter().collect();
        check(words, &["x", "", "x"], &["\"x\"", "null", "\"x\""]);
        let runs = RunArray::try_new(&Int32Array::from(vec![2, 3]), &StringArray::from(vec![Some("p"), None])).unwrap();
        check(runs.slice(1, 2), &["p", ""], &["\"p\"", "null"]);
    }

    #[test]
    fn times() {
        check(Date32Array::from(vec![18262, -1]), &["2020-01-01", "1969-12-31"], &["\"2020-01-01\"", "\"1969-12-31\""]);
        check(Date64Array::from(vec![86_400_000 * 18262]), &["2020-01-01"], &["\"2020-01-01\""]);
        check(Time64MicrosecondArray::from(vec![3_723_004_000]), &["01:02:03.004000"], &["\"01:02:03.004\""]);
        check(
            TimestampMillisecondArray::from(vec![1_577_836_800_000, -1]),
            &["2020-01-01 00:00:00.000", "1969-12-31 23:59:59.999"],
            &["\"2020-01-01T00:00:00\"", "\"1969-12-31T23:59:59.999\""],
        );
        check(
            TimestampNanosecondArray::from(vec![i64::MIN, i64::MAX]).with_timezone("-03:30"),
            &["1677-09-20 20:42:43.145224192-03:30", "2262-04-11 20:17:16.854775807-03:30"],
            &["\"1677-09-20T20:42:43.145224192-03:30\"", "\"2262-04-11T20:17:16.854775807-03:30\""],
        );
        check(
            DurationMillisecondArray::from(vec![1, -2_000, 90_061_000]),
            &["0 days 00:00:00.001", "-1 days +23:59:58", "1 days 01:01:01"],
            &["1", "-2000", "90061000"],
        );
        check(
            TimestampSecondArray::from(vec![i64::MAX]),
            &["292277026596-12-04 15:30:07"],
            &["\"292277026596-12-04T15:30:07\""],
        );
        check(IntervalYearMonthArray::from(vec![14]), &["[14,0,0]"], &["[14,0,0]"]);
    }

    #[test]
    fn nested() {
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None]), None]);
        check(lists, &["[1,null]", ""], &["[1,null]", "null"]);
        let a: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        let record = StructArray::from(vec![(Arc::new(Field::new("a", DataType::Int32, false)), a)]);
        check(record, &[r#"{"a":1}"#, r#"{"a":2}"#], &[r#"{"a":1}"#, r#"{"a":2}"#]);
        let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
        map.keys().append_value("k");
        map.values().append_value(7);
        map.append(true).unwrap();
        check(map.finish(), &[r#"[["k",7]]"#], &[r#"[["k",7]]"#]);
    }
}
