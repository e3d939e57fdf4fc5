//! NumPy's data types, and how the protocol spells them.
//!
//! Source: NumPy's array interface protocol (`__array_interface__`, `typestr` and `descr`).

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Error, Result};

/// Deepest nesting of structured types, and most fields of one.
const MAX_STRUCT_DEPTH: usize = 16;
const MAX_FIELDS: usize = 4096;
/// Largest item, in bytes.
pub const MAX_ITEMSIZE: usize = 1 << 26;

/// The type of one item of an array.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum DType {
    Struct(StructType),
    Scalar(ScalarType),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[serde(expecting = "big, little or not_applicable")]
pub enum Endianness {
    Big,
    Little,
    NotApplicable,
}

/// NumPy's one-letter kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(expecting = "a letter that names a kind of items")]
pub enum Kind {
    #[serde(rename = "b")]
    Bool,
    #[serde(rename = "i")]
    Int,
    #[serde(rename = "u")]
    Uint,
    #[serde(rename = "f")]
    Float,
    #[serde(rename = "c")]
    Complex,
    #[serde(rename = "m")]
    Timedelta,
    #[serde(rename = "M")]
    Datetime,
    /// Fixed-length bytes, padded with NUL.
    #[serde(rename = "S")]
    Bytes,
    /// Fixed-length text, UTF-32, padded with NUL.
    #[serde(rename = "U")]
    Text,
    /// Raw bytes.
    #[serde(rename = "V")]
    Void,
}

impl Kind {
    pub fn letter(self) -> char {
        match self {
            Self::Bool => 'b',
            Self::Int => 'i',
            Self::Uint => 'u',
            Self::Float => 'f',
            Self::Complex => 'c',
            Self::Timedelta => 'm',
            Self::Datetime => 'M',
            Self::Bytes => 'S',
            Self::Text => 'U',
            Self::Void => 'V',
        }
    }

    fn from_letter(letter: &str) -> Result<Self> {
        Ok(match letter {
            "b" => Self::Bool,
            "i" => Self::Int,
            "u" => Self::Uint,
            "f" => Self::Float,
            "c" => Self::Complex,
            "m" => Self::Timedelta,
            "M" => Self::Datetime,
            "S" => Self::Bytes,
            "U" => Self::Text,
            "V" => Self::Void,
            "O" => {
                return Err(Error::unprocessable(
                    "Arrays of Python objects cannot be stored. Convert the array to a numeric, string or structured dtype first.",
                ));
            }
            other => {
                return Err(Error::unprocessable(format!(
                    "Unknown dtype kind {other:?}. Known are b, i, u, f, c, m, M, S, U, V."
                )));
            }
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct ScalarType {
    pub endianness: Endianness,
    pub kind: Kind,
    /// Bytes.
    pub itemsize: usize,
    /// Unit of a datetime or timedelta as NumPy prints it, e.g. `[ns]` or `[10ms]`; `None` is NumPy's generic unit.
    pub dt_units: Option<String>,
}

/// A structured type: its fields lie one after another, without padding.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct StructType {
    /// Bytes; at least the sum of the fields. What is beyond them is padding at the end.
    itemsize: usize,
    fields: Vec<Field>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Field {
    pub name: String,
    pub dtype: DType,
    /// Shape of a sub-array field.
    pub shape: Option<Vec<usize>>,
}

impl Field {
    /// Bytes of this field within an item.
    pub fn itemsize(&self) -> usize {
        let lengths = self.shape.iter().flatten();
        lengths.fold(self.dtype.itemsize(), |bytes, len| bytes.saturating_mul(*len))
    }
}

impl StructType {
    /// Fields one after another, without gaps.
    ///
    /// # Errors
    /// `Unprocessable` when an item would be larger than [`MAX_ITEMSIZE`], when two fields have one name, or when they are
    /// too many or nested too deeply.
    pub fn packed(fields: Vec<Field>) -> Result<Self> {
        Self::padded(fields, None)
    }

    /// With padding at the end, up to so many bytes.
    fn padded(fields: Vec<Field>, itemsize: Option<usize>) -> Result<Self> {
        let depth = fields.iter().map(|field| field.dtype.depth()).max().unwrap_or(0);
        if depth >= MAX_STRUCT_DEPTH || fields.len() > MAX_FIELDS {
            return Err(Error::unprocessable("This structured dtype is nested too deeply or has too many fields."));
        }
        let mut names = HashSet::with_capacity(fields.len());
        if let Some(twice) = fields.iter().find(|field| !names.insert(field.name.as_str())) {
            return Err(Error::unprocessable(format!("The structured dtype has two fields named {:?}.", twice.name)));
        }
        let sum = fields.iter().map(Field::itemsize).fold(0, usize::saturating_add);
        let itemsize = itemsize.unwrap_or(sum);
        if sum > MAX_ITEMSIZE {
            return Err(Error::unprocessable("An item of this structured dtype would be too large."));
        }
        if itemsize < sum || itemsize > MAX_ITEMSIZE {
            return Err(Error::unprocessable(format!(
                "The structured dtype claims {itemsize} bytes, but its fields take {sum}."
            )));
        }
        Ok(Self { itemsize, fields })
    }

    /// Bytes of an item.
    pub fn itemsize(&self) -> usize {
        self.itemsize
    }

    pub fn fields(&self) -> &[Field] {
        &self.fields
    }
}

impl ScalarType {
    /// Checks that NumPy has such a type and brings its endianness into NumPy's form.
    pub fn new(kind: Kind, itemsize: usize, endianness: Endianness, dt_units: Option<String>) -> Result<Self> {
        let sizes: &[usize] = match kind {
            Kind::Bool => &[1],
            Kind::Int | Kind::Uint => &[1, 2, 4, 8],
            Kind::Float => &[2, 4, 8, 16],
            Kind::Complex => &[8, 16, 32],
            Kind::Timedelta | Kind::Datetime => &[8],
            Kind::Bytes | Kind::Text | Kind::Void => &[],
        };
        let fits = match kind {
            Kind::Text => itemsize.is_multiple_of(4),
            Kind::Bytes | Kind::Void => true,
            _ => sizes.contains(&itemsize),
        };
        if !fits || itemsize > MAX_ITEMSIZE {
            return Err(Error::unprocessable(format!(
                "There is no dtype of kind {:?} with {itemsize} bytes.",
                kind.letter()
            )));
        }
        let dt_units = match (kind, dt_units) {
            (Kind::Datetime | Kind::Timedelta, Some(units)) => Some(TimeUnit::parse(&units).map(|_| units)?),
            (Kind::Datetime | Kind::Timedelta, None) | (_, None) => None,
            (_, Some(units)) if units.is_empty() => None,
            (_, Some(units)) => {
                return Err(Error::unprocessable(format!(
                    "A dtype of kind {:?} has no units, but {units:?} was given.",
                    kind.letter()
                )));
            }
        };
        let single = itemsize == 1 || matches!(kind, Kind::Bool | Kind::Bytes | Kind::Void);
        let endianness = match endianness {
            _ if single => Endianness::NotApplicable,
            Endianness::NotApplicable => Endianness::Little,
            given => given,
        };
        Ok(Self { endianness, kind, itemsize, dt_units })
    }

    pub fn is_big(&self) -> bool {
        self.endianness == Endianness::Big
    }

    /// Width of the units that byte order applies to; 1 where it does not apply.
    pub fn swap_width(&self) -> usize {
        match self.kind {
            Kind::Bool | Kind::Bytes | Kind::Void => 1,
            Kind::Text => 4,
            Kind::Complex => self.itemsize / 2,
            _ => self.itemsize,
        }
    }

    /// Count and unit of a datetime or timedelta.
    pub fn time_unit(&self) -> Option<TimeUnit> {
        self.dt_units.as_deref().and_then(|u| TimeUnit::parse(u).ok())
    }

    /// NumPy's type string, e.g. `<f8`, `|S5`, `<U3`, `<M8[ns]`.
    pub fn typestr(&self) -> String {
        let order = match self.endianness {
            Endianness::Big => '>',
            Endianness::Little => '<',
            Endianness::NotApplicable => '|',
        };
        let size = if self.kind == Kind::Text { self.itemsize / 4 } else { self.itemsize };
        format!("{order}{}{size}{}", self.kind.letter(), self.dt_units.as_deref().unwrap_or(""))
    }
}

/// `[10ms]`: a count of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeUnit {
    pub count: u64,
    pub unit: &'static str,
}

impl TimeUnit {
    /// NumPy's date and time units, coarsest first.
    pub const UNITS: [&str; 13] = ["Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as"];

    pub fn parse(text: &str) -> Result<Self> {
        let bad =
            || Error::unprocessable(format!("Unknown time unit {text:?}. Use for example \"[ns]\" or \"[10ms]\"."));
        let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).ok_or_else(bad)?;
        let digits = inner.len() - inner.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let count = if digits == 0 { 1 } else { inner[..digits].parse().ok().filter(|n| *n > 0).ok_or_else(bad)? };
        let unit = Self::UNITS.into_iter().find(|unit| *unit == &inner[digits..]).ok_or_else(bad)?;
        Ok(Self { count, unit })
    }
}

impl DType {
    /// A little-endian scalar type from NumPy's shorthand without byte order, e.g. `f8`, `u1`, `b1`.
    ///
    /// # Panics
    /// When there is no such type: for constants in code only.
    pub fn of(shorthand: &str) -> Self {
        let (kind, size) = shorthand.split_at(1);
        let kind = Kind::from_letter(kind).expect("a known kind");
        let scalar = ScalarType::new(kind, size.parse().expect("a size"), Endianness::Little, None);
        Self::Scalar(scalar.expect("a NumPy dtype"))
    }

    /// Bytes of one item.
    pub fn itemsize(&self) -> usize {
        match self {
            Self::Scalar(scalar) => scalar.itemsize,
            Self::Struct(fields) => fields.itemsize,
        }
    }

    /// How deeply structured types are nested.
    fn depth(&self) -> usize {
        match self {
            Self::Scalar(_) => 0,
            Self::Struct(fields) => 1 + fields.fields.iter().map(|field| field.dtype.depth()).max().unwrap_or(0),
        }
    }

    pub fn as_scalar(&self) -> Option<&ScalarType> {
        match self {
            Self::Scalar(scalar) => Some(scalar),
            Self::Struct(_) => None,
        }
    }

    /// NumPy's `descr`: a type string, or a list of `[name, descr]` or `[name, descr, shape]`.
    pub fn descr(&self) -> serde_json::Value {
        use serde_json::{Value, json};
        match self {
            Self::Scalar(scalar) => Value::String(scalar.typestr()),
            Self::Struct(fields) => {
                let list = fields.fields.iter().map(|f| match &f.shape {
                    Some(shape) => json!([f.name, f.dtype.descr(), shape]),
                    None => json!([f.name, f.dtype.descr()]),
                });
                Value::Array(list.collect())
            }
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(scalar) => f.write_str(&scalar.typestr()),
            Self::Struct(_) => write!(f, "{}", self.descr()),
        }
    }
}

/// The protocol's JSON, before it is checked.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct RawDType {
    endianness: Option<Endianness>,
    kind: Option<String>,
    itemsize: Option<usize>,
    dt_units: Option<String>,
    fields: Option<Vec<RawField>>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct RawField {
    name: String,
    dtype: RawDType,
    shape: Option<Vec<usize>>,
}

impl RawDType {
    fn check(self, depth: usize) -> Result<DType> {
        let Some(fields) = self.fields else {
            let kind = self.kind.ok_or_else(|| Error::unprocessable("A dtype needs either \"kind\" or \"fields\"."))?;
            let itemsize = self.itemsize.ok_or_else(|| Error::unprocessable("A dtype needs \"itemsize\"."))?;
            let endianness = self.endianness.unwrap_or(Endianness::NotApplicable);
            return Ok(DType::Scalar(ScalarType::new(Kind::from_letter(&kind)?, itemsize, endianness, self.dt_units)?));
        };
        if depth >= MAX_STRUCT_DEPTH || fields.len() > MAX_FIELDS {
            return Err(Error::unprocessable("This structured dtype is nested too deeply or has too many fields."));
        }
        let mut checked = Vec::with_capacity(fields.len());
        for field in fields {
            let dtype = field.dtype.check(depth + 1)?;
            let shape = field.shape.filter(|shape| !shape.is_empty());
            checked.push(Field { name: field.name, dtype, shape });
        }
        StructType::padded(checked, self.itemsize).map(DType::Struct)
    }
}

impl<'de> Deserialize<'de> for DType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        RawDType::deserialize(deserializer)?.check(0).map_err(|e| serde::de::Error::custom(e.message()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, descr: &str) {
        let dtype: DType = serde_json::from_str(json).unwrap();
        assert_eq!(dtype.descr().to_string(), descr);
        let again: DType = serde_json::from_str(&serde_json::to_string(&dtype).unwrap()).unwrap();
        assert_eq!(again, dtype);
    }

    #[test]
    fn protocol_json_is_numpys_descr() {
        check(r#"{"endianness":"little","kind":"f","itemsize":8,"dt_units":null}"#, r#""<f8""#);
        check(r#"{"endianness":"big","kind":"u","itemsize":2}"#, r#"">u2""#);
        check(r#"{"endianness":"little","kind":"u","itemsize":1}"#, r#""|u1""#);
        check(r#"{"endianness":"little","kind":"U","itemsize":12}"#, r#""<U3""#);
        check(r#"{"endianness":"not_applicable","kind":"S","itemsize":5}"#, r#""|S5""#);
        check(r#"{"endianness":"little","kind":"M","itemsize":8,"dt_units":"[10ms]"}"#, r#""<M8[10ms]""#);
        check(
            r#"{"itemsize":20,"fields":[{"name":"a","dtype":{"endianness":"little","kind":"i","itemsize":4},"shape":null},
                {"name":"b","dtype":{"endianness":"little","kind":"f","itemsize":8},"shape":[2]}]}"#,
            r#"[["a","<i4"],["b","<f8",[2]]]"#,
        );
    }

    #[test]
    fn impossible_types_are_refused() {
        for json in [
            r#"{"endianness":"little","kind":"f","itemsize":3}"#,
            r#"{"endianness":"little","kind":"O","itemsize":8}"#,
            r#"{"endianness":"little","kind":"x","itemsize":8}"#,
            r#"{"endianness":"little","kind":"M","itemsize":8,"dt_units":"[parsec]"}"#,
            r#"{"endianness":"little","kind":"U","itemsize":5}"#,
            r#"{"fields":[{"name":"a","dtype":{"kind":"i","itemsize":4}},{"name":"a","dtype":{"kind":"i","itemsize":4}}]}"#,
            r#"{"itemsize":1,"fields":[{"name":"a","dtype":{"endianness":"little","kind":"i","itemsize":4}}]}"#,
            r#"{"itemsize":99999999999999,"fields":[{"name":"a","dtype":{"kind":"i","itemsize":4},"shape":[4294967296,4294967296]}]}"#,
        ] {
            assert!(serde_json::from_str::<DType>(json).is_err(), "{json}");
        }
    }
}
