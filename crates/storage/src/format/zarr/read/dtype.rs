//! Data types of Zarr in NumPy's words, and fill values.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use girih_model::dtype::{Endianness, Kind, ScalarType};
use girih_model::{DType, Error, Result};
use half::f16;
use serde_json::Value;

use super::node::damaged;

/// A dtype, and the name of its kind for what is known of it.
#[derive(Debug, Clone)]
pub(super) struct Typed {
    pub(super) dtype: DType,
}

fn unsupported(name: &Value) -> Error {
    Error::unsupported(format!("Zarr arrays with the data type {name} are not read."))
}

/// Extension names are those of zarr-python.
pub(super) fn of_v3(name: &Value) -> Result<Typed> {
    let (text, configuration) = match name {
        Value::String(text) => (text.as_str(), &Value::Null),
        Value::Object(object) => {
            (object.get("name").and_then(Value::as_str).unwrap_or_default(), &name["configuration"])
        }
        _ => return Err(unsupported(name)),
    };
    let length = configuration["length_bytes"].as_u64().and_then(|len| usize::try_from(len).ok());
    let unit = || {
        let unit = configuration["unit"].as_str()?;
        let scale = configuration["scale_factor"].as_u64().unwrap_or(1);
        (unit != "generic").then(|| if scale == 1 { format!("[{unit}]") } else { format!("[{scale}{unit}]") })
    };
    let (kind, size, units) = match text {
        "bool" => (Kind::Bool, 1, None),
        "int8" | "int16" | "int32" | "int64" => (Kind::Int, bits(text, 3)?, None),
        "uint8" | "uint16" | "uint32" | "uint64" => (Kind::Uint, bits(text, 4)?, None),
        "float16" | "float32" | "float64" => (Kind::Float, bits(text, 5)?, None),
        "complex64" | "complex128" => (Kind::Complex, bits(text, 7)?, None),
        "complex_float32" => (Kind::Complex, 8, None),
        "complex_float64" => (Kind::Complex, 16, None),
        "numpy.datetime64" => (Kind::Datetime, 8, unit()),
        "numpy.timedelta64" => (Kind::Timedelta, 8, unit()),
        "null_terminated_bytes" => (Kind::Bytes, length.ok_or_else(|| unsupported(name))?, None),
        "raw_bytes" => (Kind::Void, length.ok_or_else(|| unsupported(name))?, None),
        "fixed_length_utf32" => (Kind::Text, length.ok_or_else(|| unsupported(name))?, None),
        raw if raw.starts_with('r') => (Kind::Void, bits(raw, 1).map_err(|_| unsupported(name))?, None),
        _ => return Err(unsupported(name)),
    };
    let scalar = ScalarType::new(kind, size, Endianness::Little, units).map_err(|_| unsupported(name))?;
    Ok(Typed { dtype: DType::Scalar(scalar) })
}

fn bits(name: &str, prefix: usize) -> Result<usize> {
    let bits: usize =
        name.get(prefix..).and_then(|bits| bits.parse().ok()).ok_or_else(|| unsupported(&Value::from(name)))?;
    if bits.is_multiple_of(8) { Ok(bits / 8) } else { Err(unsupported(&Value::from(name))) }
}

/// NumPy's type strings, or lists of fields.
pub(super) fn of_v2(name: &Value) -> Result<Typed> {
    let text = match name {
        Value::String(text) => text.clone(),
        Value::Array(_) => numpy(name).ok_or_else(|| unsupported(name))?,
        _ => return Err(unsupported(name)),
    };
    let dtype = crate::format::npy::dtype_of(&text).map_err(|_| unsupported(name))?;
    Ok(Typed { dtype })
}

/// A list of fields as Python writes it.
fn numpy(fields: &Value) -> Option<String> {
    let written = fields.as_array()?.iter().map(|field| {
        let [name, dtype, rest @ ..] = field.as_array()?.as_slice() else { return None };
        let name = name.as_str().filter(|name| !name.contains(['\'', '\\']))?;
        let dtype = match dtype {
            Value::String(text) => format!("'{text}'"),
            nested => numpy(nested)?,
        };
        let shape = match rest {
            [] => String::new(),
            [shape] => {
                let lengths: Option<Vec<String>> =
                    shape.as_array()?.iter().map(|len| Some(len.as_u64()?.to_string())).collect();
                format!(", ({},)", lengths?.join(", "))
            }
            _ => return None,
        };
        Some(format!("('{name}', {dtype}{shape})"))
    });
    Some(format!("[{}]", written.collect::<Option<Vec<_>>>()?.join(", ")))
}

/// The bytes of an item that was never written. `null` counts as zero.
pub(super) fn fill(value: &Value, typed: &Typed) -> Result<Vec<u8>> {
    let itemsize = typed.dtype.itemsize();
    let bad = || damaged("metadata", format!("the fill value {value} is none of the data type {}", typed.dtype));
    let zeros = || Ok(vec![0; itemsize]);
    let Some(scalar) = typed.dtype.as_scalar() else {
        return match value {
            Value::String(text) if !text.is_empty() => {
                STANDARD.decode(text).ok().filter(|bytes| bytes.len() == itemsize).ok_or_else(bad)
            }
            _ => zeros(),
        };
    };
    let mut item = match (scalar.kind, value) {
        (_, Value::Null) => return zeros(),
        (Kind::Bool, Value::Bool(truth)) => vec![u8::from(*truth)],
        (Kind::Bool, Value::Number(number)) => vec![u8::from(number.as_f64() != Some(0.0))],
        (Kind::Int | Kind::Datetime | Kind::Timedelta, Value::Number(number)) => {
            let number = number.as_i64().or_else(|| number.as_f64().map(|real| real as i64)).ok_or_else(bad)?;
            number.to_le_bytes()[..itemsize].to_vec()
        }
        (Kind::Datetime | Kind::Timedelta, Value::String(text)) if text == "NaT" => i64::MIN.to_le_bytes().to_vec(),
        (Kind::Uint, Value::Number(number)) => {
            let number = number.as_u64().or_else(|| number.as_f64().map(|real| real as u64)).ok_or_else(bad)?;
            number.to_le_bytes()[..itemsize].to_vec()
        }
        (Kind::Float, value) => real(value, itemsize).ok_or_else(bad)?,
        (Kind::Complex, Value::Array(parts)) if parts.len() == 2 => {
            let parts = parts.iter().map(|part| real(part, itemsize / 2)).collect::<Option<Vec<_>>>();
            parts.ok_or_else(bad)?.concat()
        }
        (Kind::Complex, value) => [real(value, itemsize / 2).ok_or_else(bad)?, vec![0; itemsize / 2]].concat(),
        (Kind::Bytes | Kind::Void, Value::String(text)) => STANDARD.decode(text).map_err(|_| bad())?,
        (Kind::Text, Value::String(text)) => text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect(),
        (Kind::Bytes | Kind::Void | Kind::Text, Value::Number(_)) => Vec::new(),
        _ => return Err(bad()),
    };
    item.resize(itemsize, 0);
    if scalar.is_big() {
        item.chunks_exact_mut(scalar.swap_width().max(1)).for_each(<[u8]>::reverse);
    }
    Ok(item)
}

/// A number, `NaN`, `Infinity`, `-Infinity`, or the bits of one in hexadecimal.
fn real(value: &Value, size: usize) -> Option<Vec<u8>> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => match text.as_str() {
            "NaN" => f64::NAN,
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            bits => {
                let bits = u64::from_str_radix(bits.strip_prefix("0x")?, 16).ok()?;
                return bits.to_le_bytes().get(..size).map(<[u8]>::to_vec);
            }
        },
        _ => return None,
    };
    Some(match size {
        2 => f16::from_f64(number).to_le_bytes().to_vec(),
        4 => (number as f32).to_le_bytes().to_vec(),
        8 => number.to_le_bytes().to_vec(),
        _ => return None,
    })
}
