//! Cells as JSON.

use std::fmt::Write as _;

use arrow::array::{Array, StructArray};

use super::super::json::push_json_string;
use super::Cell;
use super::text::{push_latin, push_time, push_timestamp};

impl Cell<'_> {
    /// - Missing values, NaN and infinities are `null`; decimals are strings, which keeps their digits.
    /// - Dates and times are ISO 8601; a duration is its integer in the column's unit.
    /// - Bytes are their UTF-8 text or, if they are not UTF-8, each byte is one character.
    /// - A struct is an object, a map a list of `[key, value]`, an interval `[months, days, nanoseconds]`.
    pub fn push_json(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Int(value) | Self::Duration(value, _) => {
                let _ = write!(out, "{value}");
            }
            Self::Uint(value) => {
                let _ = write!(out, "{value}");
            }
            Self::Real(value) => value.push_json(out),
            Self::Text(text) => push_json_string(text, out),
            Self::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => push_json_string(text, out),
                Err(_) => {
                    let mut text = String::new();
                    push_latin(bytes, &mut text);
                    push_json_string(&text, out);
                }
            },
            Self::Decimal(_) | Self::Date(_) => {
                out.push('"');
                self.push_text(out);
                out.push('"');
            }
            Self::Time(ticks, unit) => {
                out.push('"');
                push_time(*ticks, *unit, false, out);
                out.push('"');
            }
            Self::Timestamp(timestamp) => {
                out.push('"');
                push_timestamp(*timestamp, 'T', false, out);
                out.push('"');
            }
            Self::Interval { months, days, nanoseconds } => {
                let _ = write!(out, "[{months},{days},{nanoseconds}]");
            }
            Self::List(items) => push_list(items.len(), out, |n, out| Cell::read(items.as_ref(), n).push_json(out)),
            Self::Map(entries) => push_list(entries.len(), out, |n, out| {
                push_list(entries.num_columns(), out, |column, out| {
                    Cell::read(entries.column(column).as_ref(), n).push_json(out);
                });
            }),
            Self::Record(columns, row) => push_record(columns, *row, out),
        }
    }
}

fn push_list(len: usize, out: &mut String, mut push: impl FnMut(usize, &mut String)) {
    out.push('[');
    for n in 0..len {
        if n > 0 {
            out.push(',');
        }
        push(n, out);
    }
    out.push(']');
}

fn push_record(columns: &StructArray, row: usize, out: &mut String) {
    out.push('{');
    for (n, field) in columns.fields().iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        push_json_string(field.name(), out);
        out.push(':');
        Cell::read(columns.column(n).as_ref(), row).push_json(out);
    }
    out.push('}');
}
