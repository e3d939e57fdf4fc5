//! `zarr.json`: the description of a Zarr v3 array.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use girih_model::dtype::{DType, Kind, ScalarType, StructType};
use girih_model::{ArrayStructure, Error, Result, ResultExt};
use serde_json::{Value, json};

use super::grid;
use crate::place::Location;

const NAME: &str = "zarr.json";
const MAX_BYTES: u64 = 16 << 20;
/// Fast, and nearly as small as the higher levels on detector data.
const ZSTD_LEVEL: i32 = 1;
/// Largest item whose fill value is written out, in bytes.
const MAX_RAW_ITEM: usize = 1 << 20;

/// What we need to know from a `zarr.json`, and the rest as it is.
#[derive(Debug, Clone)]
pub(super) struct Metadata {
    json: Value,
    pub shape: Vec<u64>,
    pub chunk: Vec<u64>,
    pub codec: Codec,
    big_endian: Option<bool>,
}

/// How the bytes of a chunk become a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Raw,
    Zstd {
        level: i32,
        /// Frames end with a checksum of their content (RFC 8878, 3.1.1), which every decoder verifies.
        checksum: bool,
    },
}

impl Metadata {
    pub(super) fn for_new(structure: &ArrayStructure) -> Result<Self> {
        let chunk = grid::stored_chunk(structure);
        let Described { name, fill_value, endian } = describe(&structure.dtype)?;
        let bytes = match endian {
            Some(endian) => json!({"name": "bytes", "configuration": {"endian": endian}}),
            None => json!({"name": "bytes"}),
        };
        // Also of chunks that are too small to become smaller: the checksum tells whether a file is what was written.
        let codecs = [bytes, json!({"name": "zstd", "configuration": {"level": ZSTD_LEVEL, "checksum": true}})];
        let mut json = json!({
            "zarr_format": 3,
            "node_type": "array",
            "shape": structure.shape,
            "data_type": name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": fill_value,
            "codecs": codecs,
            "attributes": {},
        });
        if let Some(dims) = &structure.dims {
            json["dimension_names"] = json!(dims);
        }
        Self::parse(json)
    }

    /// Whether there is an array in this directory.
    pub(super) fn exists(directory: &Location) -> Result<bool> {
        Ok(directory.child(NAME)?.open_if_exists()?.is_some())
    }

    pub(super) fn load(directory: &Location) -> Result<Self> {
        let file = directory.child(NAME)?;
        let text = file.read_all(MAX_BYTES)?.ok_or_else(|| {
            Error::gone("The directory that holds this array is missing or has no zarr.json.")
                .context(format!("opening {}", directory.absolute().display()))
        })?;
        let context = || format!("reading {}", file.absolute().display());
        let json = serde_json::from_slice(&text)
            .or_error(|e| Error::damaged(format!("The zarr.json of this array is damaged: {e}")).context(context()))?;
        Self::parse(json).map_err(|e| e.context(context()))
    }

    /// The `zarr.json`.
    pub(super) fn json(&self) -> &Value {
        &self.json
    }

    pub(super) fn save(&self, directory: &Location) -> Result<()> {
        let text = serde_json::to_vec_pretty(&self.json).internal(|| "writing zarr.json".into())?;
        directory.child(NAME)?.write_durable(&text)
    }

    /// Makes the recorded shape at least `shape`. The caller holds the array's lock.
    pub(super) fn grow(directory: &Location, shape: &[u64]) -> Result<()> {
        let mut metadata = Self::load(directory)?;
        let grown: Vec<u64> = metadata.shape.iter().zip(shape).map(|(old, new)| *old.max(new)).collect();
        if grown != metadata.shape {
            metadata.json["shape"] = json!(grown);
            metadata.save(directory)?;
        }
        Ok(())
    }

    fn parse(json: Value) -> Result<Self> {
        let unsupported = |what: &str, found: &Value| {
            Err(Error::unsupported(format!("This server cannot read Zarr arrays with this {what}: {found}")))
        };
        let numbers = |value: &Value| -> Option<Vec<u64>> { value.as_array()?.iter().map(Value::as_u64).collect() };
        if json["zarr_format"] != 3 || json["node_type"] != "array" {
            return unsupported("zarr_format", &json["zarr_format"]);
        }
        let grid = &json["chunk_grid"];
        let (Some(shape), Some(chunk)) = (numbers(&json["shape"]), numbers(&grid["configuration"]["chunk_shape"]))
        else {
            return unsupported("shape or chunk grid", grid);
        };
        if grid["name"] != "regular" || chunk.len() != shape.len() || chunk.contains(&0) {
            return unsupported("chunk grid", grid);
        }
        let keys = &json["chunk_key_encoding"];
        let separator = keys["configuration"]["separator"].as_str().unwrap_or("/");
        if keys["name"] != "default" || separator != "/" {
            return unsupported("chunk key encoding", keys);
        }
        if !is_zero(&json["fill_value"]) {
            return unsupported("fill value", &json["fill_value"]);
        }
        let codecs = json["codecs"].as_array().map(Vec::as_slice).unwrap_or_default();
        let (bytes, codec) = match codecs {
            [bytes] => (bytes, Codec::Raw),
            [bytes, zstd] if zstd["name"] == "zstd" => {
                let level = zstd["configuration"]["level"].as_i64().unwrap_or(0).clamp(0, 19) as i32;
                let checksum = zstd["configuration"]["checksum"] == true;
                (bytes, Codec::Zstd { level, checksum })
            }
            _ => return unsupported("list of codecs", &json["codecs"]),
        };
        if bytes["name"] != "bytes" {
            return unsupported("list of codecs", &json["codecs"]);
        }
        let big_endian = bytes["configuration"]["endian"].as_str().map(|endian| endian == "big");
        Ok(Self { shape, chunk, codec, big_endian, json })
    }

    /// Refuses a structure that this array cannot have.
    pub(super) fn check_fits(&self, structure: &ArrayStructure) -> Result<()> {
        let fault = |what: &str| {
            Err(Error::unprocessable(format!(
                "The stored Zarr array does not have the structure that is registered: {what}."
            )))
        };
        if self.shape.len() != structure.shape.len() {
            return fault("it has another number of dimensions");
        }
        let big = structure.dtype.as_scalar().filter(|s| s.swap_width() > 1).map(|s| s.is_big());
        match (big, self.big_endian) {
            (Some(expected), Some(found)) if expected != found => fault("its byte order differs"),
            _ => Ok(()),
        }
    }
}

fn is_zero(fill: &Value) -> bool {
    match fill {
        Value::Null | Value::Bool(false) => true,
        Value::Number(n) => n.as_f64() == Some(0.0),
        // Empty text, zero bytes in base64 or in hexadecimal.
        Value::String(text) => text.strip_prefix("0x").unwrap_or(text).bytes().all(|c| matches!(c, b'A' | b'=' | b'0')),
        Value::Array(parts) => parts.iter().all(is_zero),
        _ => false,
    }
}

/// A dtype in the words of `zarr.json`.
struct Described {
    name: Value,
    fill_value: Value,
    endian: Option<&'static str>,
}

/// The names are those of the Zarr v3 core, and of zarr-python's extensions for NumPy's other types.
/// What neither can say is stored as raw bytes: the catalog knows better.
fn describe(dtype: &DType) -> Result<Described> {
    let (name, fill_value) = match dtype {
        DType::Scalar(scalar) => scalar_name(scalar),
        DType::Struct(fields) => struct_name(fields),
    }
    .map_or_else(|| raw_bytes(dtype.itemsize()), Ok)?;
    let endian = match dtype {
        DType::Scalar(scalar) if scalar.swap_width() > 1 && name["name"] != "raw_bytes" => {
            Some(if scalar.is_big() { "big" } else { "little" })
        }
        _ => None,
    };
    Ok(Described { name, fill_value, endian })
}

fn raw_bytes(itemsize: usize) -> Result<(Value, Value)> {
    if itemsize > MAX_RAW_ITEM {
        return Err(Error::unprocessable(format!(
            "Items of {itemsize} bytes are too large for an array; at most {MAX_RAW_ITEM} are supported. Use another axis instead."
        )));
    }
    let name = json!({"name": "raw_bytes", "configuration": {"length_bytes": itemsize}});
    Ok((name, zero_bytes(itemsize)))
}

fn zero_bytes(itemsize: usize) -> Value {
    STANDARD.encode(vec![0; itemsize]).into()
}

fn scalar_name(scalar: &ScalarType) -> Option<(Value, Value)> {
    let size = scalar.itemsize;
    let bits = size * 8;
    let with_length = |name: &str| (json!({"name": name, "configuration": {"length_bytes": size}}), json!(""));
    // Without a unit a time has no zero, which the fill value has to be: then it is but a number.
    let with_unit = |name: &str| match scalar.time_unit() {
        Some(unit) => {
            (json!({"name": name, "configuration": {"unit": unit.unit, "scale_factor": unit.count}}), json!(0))
        }
        None => (json!("int64"), json!(0)),
    };
    Some(match scalar.kind {
        Kind::Bool => (json!("bool"), json!(false)),
        Kind::Int => (json!(format!("int{bits}")), json!(0)),
        Kind::Uint => (json!(format!("uint{bits}")), json!(0)),
        Kind::Float if size <= 8 => (json!(format!("float{bits}")), json!(0.0)),
        Kind::Complex if size <= 16 => (json!(format!("complex{bits}")), json!([0.0, 0.0])),
        Kind::Datetime => with_unit("numpy.datetime64"),
        Kind::Timedelta => with_unit("numpy.timedelta64"),
        Kind::Bytes if size > 0 => with_length("null_terminated_bytes"),
        Kind::Text if size > 0 => with_length("fixed_length_utf32"),
        _ => return None,
    })
}

fn struct_name(fields: &StructType) -> Option<(Value, Value)> {
    let packed: usize = fields.fields().iter().map(|field| field.itemsize()).sum();
    if fields.fields().is_empty() || packed != fields.itemsize() || fields.itemsize() > MAX_RAW_ITEM {
        return None;
    }
    let names = fields.fields().iter().map(|field| {
        let (name, _) = match &field.dtype {
            _ if field.shape.is_some() => return None,
            // Within an item there is only one byte order.
            DType::Scalar(scalar) if scalar.is_big() => return None,
            DType::Scalar(scalar) => scalar_name(scalar)?,
            DType::Struct(inner) => struct_name(inner)?,
        };
        Some(json!([field.name, name]))
    });
    let names: Vec<Value> = names.collect::<Option<_>>()?;
    Some((json!({"name": "structured", "configuration": {"fields": names}}), zero_bytes(fields.itemsize())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(dtype: &str) -> String {
        let dtype: DType = serde_json::from_str(dtype).unwrap();
        let Described { name, fill_value, endian } = describe(&dtype).unwrap();
        format!("{name} {fill_value} {}", endian.unwrap_or("-"))
    }

    #[test]
    fn dtypes_have_zarr_names() {
        for (dtype, expected) in [
            (r#"{"kind":"f","itemsize":8,"endianness":"big"}"#, r#""float64" 0.0 big"#),
            (r#"{"kind":"u","itemsize":1}"#, r#""uint8" 0 -"#),
            (r#"{"kind":"b","itemsize":1}"#, r#""bool" false -"#),
            (r#"{"kind":"c","itemsize":8}"#, r#""complex64" [0.0,0.0] little"#),
            (
                r#"{"kind":"M","itemsize":8,"dt_units":"[10ms]"}"#,
                r#"{"name":"numpy.datetime64","configuration":{"unit":"ms","scale_factor":10}} 0 little"#,
            ),
            (r#"{"kind":"M","itemsize":8}"#, r#""int64" 0 little"#),
            (
                r#"{"kind":"U","itemsize":12}"#,
                r#"{"name":"fixed_length_utf32","configuration":{"length_bytes":12}} "" little"#,
            ),
            (r#"{"kind":"V","itemsize":3}"#, r#"{"name":"raw_bytes","configuration":{"length_bytes":3}} "AAAA" -"#),
            (
                r#"{"kind":"f","itemsize":16}"#,
                r#"{"name":"raw_bytes","configuration":{"length_bytes":16}} "AAAAAAAAAAAAAAAAAAAAAA==" -"#,
            ),
            (
                r#"{"itemsize":3,"fields":[{"name":"a","dtype":{"kind":"i","itemsize":1},"shape":null},{"name":"b","dtype":{"kind":"f","itemsize":2},"shape":null}]}"#,
                r#"{"name":"structured","configuration":{"fields":[["a","int8"],["b","float16"]]}} "AAAA" -"#,
            ),
            (
                r#"{"itemsize":3,"fields":[{"name":"a","dtype":{"kind":"i","itemsize":1},"shape":[3]}]}"#,
                r#"{"name":"raw_bytes","configuration":{"length_bytes":3}} "AAAA" -"#,
            ),
        ] {
            assert_eq!(described(dtype), expected);
        }
    }

    #[test]
    fn foreign_arrays_that_would_read_wrongly_are_refused() {
        let fine = Metadata::for_new(&ArrayStructure::new(DType::of("f8"), vec![100, 100])).unwrap().json;
        Metadata::parse(fine.clone()).unwrap();
        for (at, value) in [
            ("/fill_value", json!("NaN")),
            ("/fill_value", json!(1)),
            ("/zarr_format", json!(2)),
            ("/chunk_grid/name", json!("rectilinear")),
            ("/chunk_grid/configuration/chunk_shape", json!([0, 5])),
            ("/chunk_grid/configuration/chunk_shape", json!([5])),
            ("/chunk_key_encoding/name", json!("v2")),
            ("/codecs/1/name", json!("blosc")),
            ("/codecs/0/name", json!("sharding_indexed")),
            ("/shape", json!([-1, 5])),
        ] {
            let mut bad = fine.clone();
            *bad.pointer_mut(at).unwrap() = value;
            assert!(Metadata::parse(bad).is_err(), "{at}");
        }
    }
}
