//! The header: dimensions, attributes, and where each variable lies.

use std::fs::File;
use std::os::unix::fs::FileExt;

use girih_model::dtype::{Endianness, Kind, ScalarType};
use girih_model::{DType, Error, Result, ResultExt};
use serde_json::{Map, Number, Value};

/// Longest header, in bytes.
const MAX_HEADER: u64 = 64 << 20;
/// What is read at first.
const START: u64 = 64 << 10;
/// Longest name, in bytes (`NC_MAX_NAME`), and most axes of a variable (`NC_MAX_VAR_DIMS`).
const MAX_NAME: usize = 256;
const MAX_AXES: u64 = 1024;
/// Longest attribute of numbers that is shown, in bytes.
const MAX_ATTRIBUTE: usize = 64 << 10;
const DIMENSIONS: u64 = 0x0a;
const VARIABLES: u64 = 0x0b;
const ATTRIBUTES: u64 = 0x0c;
/// The number of records when the writer did not know it.
const STREAMING: u64 = u32::MAX as u64;

#[derive(Debug)]
pub(super) struct Header {
    pub(super) attributes: Map<String, Value>,
    pub(super) variables: Vec<Variable>,
}

#[derive(Debug, Clone)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) dims: Vec<String>,
    pub(super) shape: Vec<u64>,
    pub(super) dtype: DType,
    pub(super) attributes: Map<String, Value>,
    /// Where its items begin, in bytes.
    pub(super) begin: u64,
    /// Bytes from one record to the next, for one that has records.
    pub(super) record: Option<u64>,
}

fn damaged(why: &str) -> Error {
    Error::damaged(format!("The netCDF file cannot be read: {why}."))
}

/// What is being read, and whether it was too short.
struct Text<'a> {
    rest: &'a [u8],
    /// Numbers have eight bytes.
    is_wide: bool,
}

impl Header {
    pub(super) fn read(file: &File) -> Result<Self> {
        let size = file.metadata().internal(|| "looking at a file".into())?.len();
        let mut len = START;
        loop {
            let mut bytes = vec![0; len.min(size) as usize];
            file.read_exact_at(&mut bytes, 0).internal(|| "reading the beginning of a file".into())?;
            match Self::parse(&bytes, size)? {
                Some(header) => return Ok(header),
                None if len >= size => return Err(damaged("its header is cut off")),
                None if len >= MAX_HEADER => return Err(damaged("its header is too long")),
                None => len *= 4,
            }
        }
    }

    /// `None` when there is more of it.
    fn parse(bytes: &[u8], size: u64) -> Result<Option<Self>> {
        let Some((start, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
        let version = start[3];
        if &start[..3] != b"CDF" || !matches!(version, 1 | 2 | 5) {
            return Err(damaged("it does not begin like one"));
        }
        let mut text = Text { rest, is_wide: version == 5 };
        text.header(version != 1, size)
    }
}

/// Leaves with `None` where the text ends too early.
macro_rules! some {
    ($found:expr) => {
        match $found {
            Some(found) => found,
            None => return Ok(None),
        }
    };
}

impl Text<'_> {
    fn header(&mut self, has_wide_offsets: bool, size: u64) -> Result<Option<Header>> {
        let records = some!(self.number());
        let dims = some!(self.dimensions()?);
        let attributes = some!(self.attributes()?);
        let count = some!(self.list(VARIABLES)?);
        let mut variables = Vec::new();
        let mut sizes = Vec::new();
        for _ in 0..count {
            let name = some!(self.name()?);
            let axes = some!(self.number());
            if axes > MAX_AXES {
                return Err(damaged("a variable has too many axes"));
            }
            let mut ids = Vec::new();
            for _ in 0..axes {
                let id = some!(self.number());
                let dim: &(String, u64) = usize::try_from(id)
                    .ok()
                    .and_then(|id| dims.get(id))
                    .ok_or_else(|| damaged("a variable has a dimension that is not there"))?;
                ids.push(dim.clone());
            }
            let attributes = some!(self.attributes()?);
            let kind = some!(self.fixed(4));
            let _ = some!(self.number());
            let begin = some!(self.fixed(if has_wide_offsets { 8 } else { 4 }));
            let dtype = dtype(kind)?;
            let has_records = ids.first().is_some_and(|(_, len)| *len == 0);
            let inner = ids.iter().skip(usize::from(has_records)).map(|(_, len)| *len);
            let bytes = inner.clone().try_fold(dtype.itemsize() as u64, u64::checked_mul);
            sizes.push(bytes.ok_or_else(|| damaged("a variable is too large"))?);
            let shape = ids.iter().map(|(_, len)| *len).collect();
            let dims = ids.into_iter().map(|(name, _)| name).collect();
            variables.push(Variable { name, dims, shape, dtype, attributes, begin, record: has_records.then_some(0) });
        }
        set_records(&mut variables, &sizes, records, size);
        Ok(Some(Header { attributes, variables }))
    }

    fn dimensions(&mut self) -> Result<Option<Vec<(String, u64)>>> {
        let count = some!(self.list(DIMENSIONS)?);
        let mut dims = Vec::new();
        for _ in 0..count {
            dims.push((some!(self.name()?), some!(self.number())));
        }
        Ok(Some(dims))
    }

    fn attributes(&mut self) -> Result<Option<Map<String, Value>>> {
        let count = some!(self.list(ATTRIBUTES)?);
        let mut attributes = Map::new();
        for _ in 0..count {
            let name = some!(self.name()?);
            let kind = some!(self.fixed(4));
            let count = some!(self.number());
            let itemsize = dtype(kind)?.itemsize();
            let len = usize::try_from(count).ok().and_then(|count| count.checked_mul(itemsize));
            let bytes = some!(self.padded(len.ok_or_else(|| damaged("an attribute is too long"))?));
            let value = match kind {
                2 => Value::String(String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()),
                _ if bytes.len() > MAX_ATTRIBUTE => Value::String(format!("(too large to be shown: {count} numbers)")),
                _ => {
                    let mut items: Vec<Value> = bytes.chunks_exact(itemsize).map(|item| number(kind, item)).collect();
                    if items.len() == 1 { items.remove(0) } else { Value::Array(items) }
                }
            };
            attributes.insert(name, value);
        }
        Ok(Some(attributes))
    }

    /// How many elements a list has; one that is absent has none.
    fn list(&mut self, tag: u64) -> Result<Option<u64>> {
        let found = some!(self.fixed(4));
        let count = some!(self.number());
        match found {
            found if found == tag => Ok(Some(count)),
            0 if count == 0 => Ok(Some(0)),
            _ => Err(damaged("its lists are in disorder")),
        }
    }

    fn name(&mut self) -> Result<Option<String>> {
        let len = some!(self.number());
        let len = usize::try_from(len).ok().filter(|len| *len <= MAX_NAME);
        let name = some!(self.padded(len.ok_or_else(|| damaged("a name is too long"))?));
        Ok(Some(String::from_utf8_lossy(name).into_owned()))
    }

    fn number(&mut self) -> Option<u64> {
        self.fixed(if self.is_wide { 8 } else { 4 })
    }

    fn fixed(&mut self, len: usize) -> Option<u64> {
        let (bytes, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// So many bytes, and those up to a multiple of four.
    fn padded(&mut self, len: usize) -> Option<&[u8]> {
        let (bytes, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest.get(len.next_multiple_of(4) - len..).unwrap_or_default();
        Some(bytes)
    }
}

/// How many records there are, and how far they lie apart.
fn set_records(variables: &mut [Variable], sizes: &[u64], records: u64, size: u64) {
    let of_records = || variables.iter().zip(sizes).filter(|(variable, _)| variable.record.is_some());
    let padded = |bytes: u64| bytes.checked_next_multiple_of(4).unwrap_or(u64::MAX);
    let apart = match of_records().count() {
        // Records of one variable alone are not padded.
        1 => of_records().map(|(_, bytes)| *bytes).sum(),
        _ => of_records().map(|(_, bytes)| padded(*bytes)).fold(0, u64::saturating_add),
    };
    let begin = of_records().map(|(variable, _)| variable.begin).min().unwrap_or(size);
    let records = match records {
        STREAMING | u64::MAX => size.saturating_sub(begin).checked_div(apart).unwrap_or(0),
        known => known,
    };
    for variable in variables.iter_mut().filter(|variable| variable.record.is_some()) {
        variable.record = Some(apart);
        variable.shape[0] = records;
    }
}

fn dtype(kind: u64) -> Result<DType> {
    let (kind, size) = match kind {
        1 => (Kind::Int, 1),
        2 => (Kind::Bytes, 1),
        3 => (Kind::Int, 2),
        4 => (Kind::Int, 4),
        5 => (Kind::Float, 4),
        6 => (Kind::Float, 8),
        7 => (Kind::Uint, 1),
        8 => (Kind::Uint, 2),
        9 => (Kind::Uint, 4),
        10 => (Kind::Int, 8),
        11 => (Kind::Uint, 8),
        other => return Err(damaged(&format!("a type is {other}"))),
    };
    ScalarType::new(kind, size, Endianness::Big, None).map(DType::Scalar)
}

/// A value of an attribute; what is not finite is null.
fn number(kind: u64, item: &[u8]) -> Value {
    let bits = item.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    let real = |real: f64| Number::from_f64(real).map_or(Value::Null, Value::Number);
    let unused = 64 - 8 * item.len() as u32;
    match kind {
        5 => real(f32::from_bits(bits as u32).into()),
        6 => real(f64::from_bits(bits)),
        7 | 8 | 9 | 11 => Value::from(bits),
        _ => Value::from((bits as i64).wrapping_shl(unused).wrapping_shr(unused)),
    }
}
