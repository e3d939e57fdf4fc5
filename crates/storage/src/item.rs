//! One item of data as a value: the bridge between bytes and every text format.
//!
//! - [`ItemReader`] reads one item of an array of any NumPy dtype from its bytes.
//! - [`Cell`] reads one value of an Arrow column.
//! - Both write themselves as JSON (`json`) and as the text that NumPy, Python or pandas print (`text`).

use girih_model::DType;
use girih_model::dtype::{Kind, ScalarType, StructType, TimeUnit};

mod cell;
mod json;
mod numbers;
mod real;
mod text;
mod time;

pub use cell::{Cell, Timestamp};
pub use json::push_json_string;
pub use numbers::push_numbers;
pub use real::Real;
pub use text::push_bytes_literal;

/// NumPy's and pandas' "not a time".
pub const NOT_A_TIME: i64 = i64::MIN;

/// The value of one item.
#[derive(Debug, Clone, PartialEq)]
pub enum Item<'a> {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Real(Real),
    Complex(Real, Real),
    /// Ticks of the unit since 1970-01-01.
    Datetime(i64, Option<TimeUnit>),
    /// Ticks of the unit.
    Timedelta(i64, Option<TimeUnit>),
    /// Without the NULs that pad it.
    Bytes(&'a [u8]),
    /// Without the NULs that pad it; what is not Unicode becomes U+FFFD.
    Text(String),
    Void(&'a [u8]),
    Record(Record<'a>),
}

impl Item<'_> {
    /// The value as a number for a plot: complex as magnitude, times as ticks, "not a time" as NaN.
    pub fn number(&self) -> Option<f64> {
        Some(match self {
            Self::Bool(value) => f64::from(u8::from(*value)),
            Self::Int(value) => *value as f64,
            Self::Uint(value) => *value as f64,
            Self::Real(value) => value.to_f64(),
            Self::Complex(re, im) => re.to_f64().hypot(im.to_f64()),
            Self::Datetime(NOT_A_TIME, _) | Self::Timedelta(NOT_A_TIME, _) => f64::NAN,
            Self::Datetime(ticks, _) | Self::Timedelta(ticks, _) => *ticks as f64,
            Self::Bytes(_) | Self::Text(_) | Self::Void(_) | Self::Record(_) => return None,
        })
    }
}

/// One item of a structured dtype.
#[derive(Debug, Clone, PartialEq)]
pub struct Record<'a> {
    fields: &'a [FieldReader],
    bytes: &'a [u8],
}

impl<'a> Record<'a> {
    /// Name, shape and items of each field; the shape is empty for a field that is not a sub-array.
    pub fn fields(&self) -> impl Iterator<Item = Member<'a>> + use<'a> {
        let bytes = self.bytes;
        self.fields.iter().map(move |field| Member {
            name: &field.name,
            shape: &field.shape,
            reader: &field.reader,
            bytes: &bytes[field.start..field.end],
        })
    }
}

/// One field of a [`Record`].
#[derive(Debug, Clone)]
pub struct Member<'a> {
    pub name: &'a str,
    pub shape: &'a [usize],
    reader: &'a ItemReader,
    bytes: &'a [u8],
}

impl<'a> Member<'a> {
    /// The value; `None` for a sub-array.
    pub fn item(&self) -> Option<Item<'a>> {
        self.shape.is_empty().then(|| self.reader.read(self.bytes))
    }

    /// As [`Item::push_text`]; a sub-array is its JSON.
    pub fn push_text(&self, out: &mut String) {
        if self.shape.is_empty() { self.reader.read(self.bytes).push_text(out) } else { self.push_json(out) }
    }
}

/// Reads items of one dtype.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemReader {
    form: Form,
    itemsize: usize,
}

#[derive(Debug, Clone, PartialEq)]
enum Form {
    Scalar { kind: Kind, big: bool, unit: Option<TimeUnit> },
    Struct(Vec<FieldReader>),
}

#[derive(Debug, Clone, PartialEq)]
struct FieldReader {
    name: String,
    shape: Vec<usize>,
    start: usize,
    end: usize,
    reader: ItemReader,
}

impl ItemReader {
    pub fn new(dtype: &DType) -> Self {
        let form = match dtype {
            DType::Scalar(scalar) => scalar_form(scalar),
            DType::Struct(fields) => Form::Struct(field_readers(fields)),
        };
        Self { form, itemsize: dtype.itemsize() }
    }

    /// Bytes of one item.
    pub fn itemsize(&self) -> usize {
        self.itemsize
    }

    /// Reads one item from exactly its bytes.
    pub fn read<'a>(&'a self, bytes: &'a [u8]) -> Item<'a> {
        debug_assert_eq!(bytes.len(), self.itemsize);
        match &self.form {
            Form::Scalar { kind, big, unit } => read_scalar(*kind, *big, *unit, bytes),
            Form::Struct(fields) => Item::Record(Record { fields, bytes }),
        }
    }
}

fn scalar_form(scalar: &ScalarType) -> Form {
    Form::Scalar { kind: scalar.kind, big: scalar.is_big(), unit: scalar.time_unit() }
}

fn field_readers(fields: &StructType) -> Vec<FieldReader> {
    let mut end = 0;
    let readers = fields.fields().iter().map(|field| {
        let start = end;
        end += field.itemsize();
        FieldReader {
            name: field.name.clone(),
            shape: field.shape.clone().unwrap_or_default(),
            start,
            end,
            reader: ItemReader::new(&field.dtype),
        }
    });
    readers.collect()
}

fn read_scalar(kind: Kind, big: bool, unit: Option<TimeUnit>, bytes: &[u8]) -> Item<'_> {
    match kind {
        Kind::Bool => Item::Bool(bytes[0] != 0),
        Kind::Int => Item::Int(signed(bytes, big)),
        Kind::Uint => Item::Uint(unsigned(bytes, big)),
        Kind::Float => Item::Real(Real::read(bytes, big)),
        Kind::Complex => {
            let (re, im) = bytes.split_at(bytes.len() / 2);
            Item::Complex(Real::read(re, big), Real::read(im, big))
        }
        Kind::Datetime => Item::Datetime(signed(bytes, big), unit),
        Kind::Timedelta => Item::Timedelta(signed(bytes, big), unit),
        Kind::Bytes => Item::Bytes(without_padding(bytes)),
        Kind::Text => Item::Text(unicode(bytes, big)),
        Kind::Void => Item::Void(bytes),
    }
}

/// An integer of 1 to 8 bytes.
fn unsigned(bytes: &[u8], big: bool) -> u64 {
    let mut little = [0; 8];
    let used = &mut little[..bytes.len()];
    used.copy_from_slice(bytes);
    if big {
        used.reverse();
    }
    u64::from_le_bytes(little)
}

fn signed(bytes: &[u8], big: bool) -> i64 {
    let unused = 64 - 8 * bytes.len() as u32;
    (unsigned(bytes, big) as i64).wrapping_shl(unused).wrapping_shr(unused)
}

fn without_padding(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    &bytes[..end]
}

fn unicode(bytes: &[u8], big: bool) -> String {
    let code = |unit: &[u8]| unsigned(unit, big) as u32;
    let units = bytes.len() / 4;
    let end = (0..units).rev().find(|n| code(&bytes[4 * n..4 * n + 4]) != 0).map_or(0, |last| last + 1);
    bytes[..4 * end]
        .chunks_exact(4)
        .map(|unit| char::from_u32(code(unit)).unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(descr: &str) -> DType {
        let (order, rest) = descr.split_at(1);
        let (kind, rest) = rest.split_at(1);
        let (size, units) = rest.split_once('[').map_or((rest, None), |(size, _)| (size, Some(&rest[size.len()..])));
        let size: usize = size.parse().unwrap();
        let json = serde_json::json!({
            "endianness": if order == ">" { "big" } else { "little" },
            "kind": kind,
            "itemsize": if kind == "U" { 4 * size } else { size },
            "dt_units": units,
        });
        serde_json::from_value(json).unwrap()
    }

    fn check(descr: &str, bytes: &[u8], expected: Item<'_>) {
        assert_eq!(ItemReader::new(&scalar(descr)).read(bytes), expected, "{descr}");
    }

    #[test]
    fn every_kind_in_both_byte_orders() {
        check("|b1", &[2], Item::Bool(true));
        check("<i2", &[0xfe, 0xff], Item::Int(-2));
        check(">i2", &[0xff, 0xfe], Item::Int(-2));
        check("|i1", &[0x80], Item::Int(-128));
        check("<i8", &i64::MIN.to_le_bytes(), Item::Int(i64::MIN));
        check(">u4", &[0, 0, 1, 0], Item::Uint(256));
        check("<u8", &[0xff; 8], Item::Uint(u64::MAX));
        check(">f8", &1.5f64.to_be_bytes(), Item::Real(Real::Double(1.5)));
        check(
            ">c8",
            &[1f32.to_be_bytes(), (-2f32).to_be_bytes()].concat(),
            Item::Complex(Real::Single(1.0), Real::Single(-2.0)),
        );
        check("|S4", b"a\0b\0", Item::Bytes(b"a\0b"));
        check("|V2", &[0, 7], Item::Void(&[0, 7]));
        check("<U3", &[0xac, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Item::Text("€".into()));
        check(">U1", &[0, 0x11, 0, 0], Item::Text("\u{fffd}".into()));
        check("<M8[10ms]", &[5, 0, 0, 0, 0, 0, 0, 0], Item::Datetime(5, TimeUnit::parse("[10ms]").ok()));
    }

    #[test]
    fn empty_items_have_values() {
        check("|S0", &[], Item::Bytes(b""));
        check("<U0", &[], Item::Text(String::new()));
        check("|V0", &[], Item::Void(b""));
    }

    #[test]
    fn numbers_for_plots() {
        let number = |descr: &str, bytes: &[u8]| ItemReader::new(&scalar(descr)).read(bytes).number();
        assert_eq!(number("|b1", &[1]), Some(1.0));
        assert_eq!(number("<c8", &[3f32.to_le_bytes(), 4f32.to_le_bytes()].concat()), Some(5.0));
        assert!(number("<M8[s]", &i64::MIN.to_le_bytes()).unwrap().is_nan());
        assert_eq!(number("|S1", b"1"), None);
    }
}
