//! Items as the text that NumPy and Python print.

use std::fmt::Write as _;

use super::time::{Precision, plural, push_datetime};
use super::{Item, NOT_A_TIME};

impl Item<'_> {
    /// `str` of NumPy's scalar: `True`, `1.5`, `1e-07`, `nan`, `(1.0+2.0j)`, `b'a'`, `2020-01-01T00:00:00`,
    /// `10 milliseconds`, `NaT`. A record is its JSON.
    pub fn push_text(&self, out: &mut String) {
        match self {
            Self::Bool(value) => out.push_str(if *value { "True" } else { "False" }),
            Self::Int(value) => {
                let _ = write!(out, "{value}");
            }
            Self::Uint(value) => {
                let _ = write!(out, "{value}");
            }
            Self::Real(value) => value.push_text(out),
            Self::Complex(re, im) => {
                out.push('(');
                re.push_text(out);
                let mut imaginary = String::new();
                im.push_text(&mut imaginary);
                if !imaginary.starts_with('-') {
                    out.push('+');
                }
                out.push_str(&imaginary);
                out.push_str("j)");
            }
            Self::Datetime(NOT_A_TIME, _) | Self::Timedelta(NOT_A_TIME, _) => out.push_str("NaT"),
            Self::Datetime(ticks, Some(unit)) => push_datetime(*ticks, *unit, Precision::OfUnit, out),
            Self::Datetime(ticks, None) => {
                let _ = write!(out, "{ticks}");
            }
            Self::Timedelta(ticks, unit) => {
                let count = unit.map_or(1, |unit| unit.count);
                let name = unit.map_or("generic time units", |unit| plural(unit.unit));
                let _ = write!(out, "{} {name}", i128::from(*ticks) * i128::from(count));
            }
            Self::Bytes(bytes) => push_bytes_literal(bytes, out),
            Self::Text(text) => out.push_str(text),
            Self::Void(bytes) => {
                out.push_str("b'");
                for byte in *bytes {
                    let _ = write!(out, "\\x{byte:02X}");
                }
                out.push('\'');
            }
            Self::Record(_) => self.push_json(out),
        }
    }
}

/// Python's literal of a byte string: `b'a\x00'`.
pub fn push_bytes_literal(bytes: &[u8], out: &mut String) {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    out.push('b');
    out.push(quote);
    for byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b'\'' if quote == '\'' => out.push_str("\\'"),
            0x20..0x7f => out.push(char::from(*byte)),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push(quote);
}

#[cfg(test)]
mod tests {
    use girih_model::dtype::TimeUnit;

    use super::super::Real;
    use super::*;

    fn check(item: Item<'_>, expected: &str) {
        let mut out = String::new();
        item.push_text(&mut out);
        assert_eq!(out, expected);
    }

    /// Expected texts printed by NumPy 2.4.
    #[test]
    fn as_numpy_prints() {
        let unit = |text| TimeUnit::parse(text).ok();
        check(Item::Bool(false), "False");
        check(Item::Int(-5), "-5");
        check(Item::Complex(Real::Double(1.0), Real::Double(2.0)), "(1.0+2.0j)");
        check(Item::Complex(Real::Double(-1.0), Real::Double(-2.0)), "(-1.0-2.0j)");
        check(Item::Complex(Real::Double(f64::NAN), Real::Double(f64::INFINITY)), "(nan+infj)");
        check(Item::Timedelta(3, unit("[10ms]")), "30 milliseconds");
        check(Item::Timedelta(1, unit("[D]")), "1 days");
        check(Item::Timedelta(3, None), "3 generic time units");
        check(Item::Timedelta(i64::MIN, None), "NaT");
        check(Item::Datetime(0, unit("[ms]")), "1970-01-01T00:00:00.000");
        check(Item::Bytes(b"\0\xff"), r"b'\x00\xff'");
        check(Item::Bytes(b"it's"), r#"b"it's""#);
        check(Item::Bytes(b"'\""), r#"b'\'"'"#);
        check(Item::Bytes(b"\"\n\\"), r#"b'"\n\\'"#);
        check(Item::Void(b"a\xfe"), r"b'\x61\xFE'");
    }
}
