//! Items as JSON.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::time::{Precision, push_datetime};
use super::{Item, ItemReader, Member, NOT_A_TIME};

impl Item<'_> {
    /// - NaN, infinities and "not a time" are `null`; complex is `[re, im]`.
    /// - Bytes are a `data:` URI in base64.
    /// - A datetime is ISO 8601 down to the second, and below it as far as it is not zero.
    /// - A timedelta (and a datetime without a unit) is its integer, in the dtype's `dt_units`.
    /// - A record is an object, a sub-array in it nested lists.
    pub fn push_json(&self, out: &mut String) {
        match self {
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Int(value) => {
                let _ = write!(out, "{value}");
            }
            Self::Uint(value) => {
                let _ = write!(out, "{value}");
            }
            Self::Real(value) => value.push_json(out),
            Self::Complex(re, im) => {
                out.push('[');
                re.push_json(out);
                out.push(',');
                im.push_json(out);
                out.push(']');
            }
            Self::Datetime(NOT_A_TIME, _) | Self::Timedelta(NOT_A_TIME, _) => out.push_str("null"),
            Self::Datetime(ticks, Some(unit)) => {
                out.push('"');
                push_datetime(*ticks, *unit, Precision::Full, out);
                out.push('"');
            }
            Self::Datetime(ticks, None) | Self::Timedelta(ticks, _) => {
                let _ = write!(out, "{ticks}");
            }
            Self::Bytes(bytes) | Self::Void(bytes) => {
                out.push_str("\"data:application/octet-stream;base64,");
                STANDARD.encode_string(bytes, out);
                out.push('"');
            }
            Self::Text(text) => push_json_string(text, out),
            Self::Record(record) => {
                out.push('{');
                for (n, field) in record.fields().enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    push_json_string(field.name, out);
                    out.push(':');
                    field.push_json(out);
                }
                out.push('}');
            }
        }
    }
}

impl Member<'_> {
    /// As [`Item::push_json`]; a sub-array is nested lists.
    pub fn push_json(&self, out: &mut String) {
        push_nested(self.shape, self.reader, self.bytes, out);
    }
}

/// A sub-array as nested lists; one without bytes is `[]`, for its lengths may be anything.
fn push_nested(shape: &[usize], reader: &ItemReader, bytes: &[u8], out: &mut String) {
    let Some((len, inner)) = shape.split_first() else { return reader.read(bytes).push_json(out) };
    if bytes.is_empty() {
        return out.push_str("[]");
    }
    let stride = inner.iter().product::<usize>() * reader.itemsize();
    out.push('[');
    for n in 0..*len {
        if n > 0 {
            out.push(',');
        }
        push_nested(inner, reader, &bytes[n * stride..(n + 1) * stride], out);
    }
    out.push(']');
}

/// A JSON string with its quotes (RFC 8259, section 7).
pub fn push_json_string(text: &str, out: &mut String) {
    out.push('"');
    let mut clean = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[clean..at]);
        clean = at + 1;
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(escape);
        }
    }
    out.push_str(&text[clean..]);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use girih_model::DType;
    use girih_model::dtype::TimeUnit;
    use proptest::prelude::*;

    use super::super::Real;
    use super::*;

    fn json(item: &Item<'_>) -> String {
        let mut out = String::new();
        item.push_json(&mut out);
        out
    }

    #[test]
    fn values() {
        let seconds = TimeUnit::parse("[s]").ok();
        assert_eq!(json(&Item::Uint(u64::MAX)), "18446744073709551615");
        assert_eq!(json(&Item::Complex(Real::Double(1.0), Real::Double(f64::NAN))), "[1.0,null]");
        assert_eq!(json(&Item::Datetime(0, seconds)), r#""1970-01-01T00:00:00""#);
        assert_eq!(json(&Item::Datetime(i64::MIN, seconds)), "null");
        assert_eq!(json(&Item::Timedelta(-3, seconds)), "-3");
        assert_eq!(json(&Item::Bytes(b"ab")), r#""data:application/octet-stream;base64,YWI=""#);
    }

    #[test]
    fn records_are_objects() {
        let dtype: DType = serde_json::from_str(
            r#"{"itemsize":8,"fields":[{"name":"a\"","dtype":{"kind":"i","itemsize":1}},
                {"name":"b","dtype":{"kind":"u","itemsize":1},"shape":[2,2]},
                {"name":"c","dtype":{"itemsize":2,"fields":[{"name":"d","dtype":{"kind":"i","itemsize":2,"endianness":"big"}}]}},
                {"name":"e","dtype":{"kind":"b","itemsize":1},"shape":[2,0]}]}"#,
        )
        .unwrap();
        let reader = ItemReader::new(&dtype);
        assert_eq!(
            json(&reader.read(&[255, 1, 2, 3, 4, 1, 0, 99])),
            r#"{"a\"":-1,"b":[[1,2],[3,4]],"c":{"d":256},"e":[]}"#
        );
    }

    proptest! {
        #[test]
        fn strings_read_back(text in any::<String>()) {
            let mut out = String::new();
            push_json_string(&text, &mut out);
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }
}
