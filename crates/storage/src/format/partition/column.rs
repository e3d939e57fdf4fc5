//! One column of a table as an array.
//!
//! | Arrow | NumPy |
//! |---|---|
//! | integers, floats, booleans | the same; integers with missing values become `f8` with NaN |
//! | timestamps, dates, durations | `M8`, `m8`; missing is NaT. Time zones are dropped: the values are UTC |
//! | binary | `S` of the longest; missing is empty |
//! | text, times, decimals, booleans with missing values | `U` of the longest; missing is `None` |
//!
//! Dictionaries count as what they hold. The blocks of the array are the partitions of the table.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::StreamExt;
use girih_model::dtype::{DType, Endianness, Kind, ScalarType};
use girih_model::slice::Axis;
use girih_model::structure::array::Chunks;
use girih_model::{ArrayData, ArrayStructure, Data, Error, Result, ResultExt, Selection, Structure};

use super::Part;
use crate::dataset::{Dataset, positions};
use crate::pool;

/// Most bytes that are held to turn a column around.
const MAX_REVERSED: u64 = 256 << 20;

pub(crate) struct Column {
    parts: Vec<Part>,
    schema: SchemaRef,
    structure: ArrayStructure,
    /// First row of each partition.
    starts: Vec<u64>,
}

impl Column {
    /// Looks at the whole column where its type does not tell the dtype: how long is the longest
    /// text, are there missing values?
    pub(crate) fn open(parts: Vec<Part>, field: Field) -> Result<Self> {
        let schema: SchemaRef = Arc::new(Schema::new(vec![field.with_nullable(true)]));
        let mut rows = Vec::with_capacity(parts.len());
        for part in &parts {
            rows.push(part.location.open_verified()?.map_or(Ok(0), |file| part.format.rows(file))?);
        }
        let mut seen = Seen::default();
        let value = value_type(schema.field(0).data_type());
        for part in &parts {
            let Some(file) = part.location.open_verified()? else { continue };
            let told = if value.is_integer() { part.format.has_nulls(file, schema.field(0).name())? } else { None };
            if let Some(has_nulls) = told {
                seen.has_nulls |= has_nulls;
            } else if Seen::is_needed(value) {
                for batch in part.read(&schema, None)? {
                    seen.add(batch?.column(0))?;
                }
            }
        }
        let dtype = dtype(schema.field(0), &seen)?;
        let mut starts = Vec::with_capacity(rows.len());
        let mut total = 0;
        for rows in &rows {
            starts.push(total);
            total += rows;
        }
        let chunks = vec![rows.into_iter().collect::<Chunks>()];
        let structure = ArrayStructure { chunks, ..ArrayStructure::new(dtype, vec![total]) };
        Ok(Self { parts, schema, structure, starts })
    }

    /// Items of the rows in `wanted`, in order.
    fn rows(&self, wanted: Range<u64>) -> impl Iterator<Item = Result<Vec<u8>>> + Send + use<> {
        let ends: Vec<u64> = self.starts.iter().skip(1).copied().chain([self.structure.shape[0]]).collect();
        let parts = self.parts.clone().into_iter().zip(self.starts.clone()).zip(ends);
        let (schema, dtype) = (self.schema.clone(), self.structure.dtype.clone());
        parts.filter(move |((_, start), end)| *start < wanted.end && *end > wanted.start && start < end).flat_map(
            move |((part, start), end)| {
                let within = wanted.start.max(start) - start..wanted.end.min(end) - start;
                let dtype = dtype.clone();
                let batches: Box<dyn Iterator<Item = Result<RecordBatch>> + Send> =
                    part.read(&schema, Some(within)).unwrap_or_else(|e| Box::new(std::iter::once(Err(e))));
                batches.map(move |batch| items(batch?.column(0), &dtype))
            },
        )
    }
}

#[async_trait]
impl Dataset for Column {
    fn structure(&self) -> Structure {
        Structure::Array(self.structure.clone())
    }

    async fn read(&self, selection: &Selection) -> Result<Data> {
        let region = positions(&self.structure, selection)?;
        let shape = region.shape();
        let dtype = self.structure.dtype.clone();
        let axis = region.0.first().copied().unwrap_or(Axis::all(0));
        let itemsize = dtype.itemsize();
        if axis.count == 0 || itemsize == 0 {
            return Ok(Data::Array(ArrayData { dtype, shape, pieces: futures::stream::empty().boxed() }));
        }
        let ends = (axis.start, axis.at(axis.count - 1));
        let rows = self.rows(ends.0.min(ends.1)..ends.0.max(ends.1) + 1);
        let step = axis.step.unsigned_abs() as usize;
        let mut skip = 0;
        let picked = rows.map(move |items| Ok(pick(&items?, itemsize, step, &mut skip)));
        let pieces = if axis.step > 0 {
            pool::stream(picked)
        } else {
            if axis.count * itemsize as u64 > MAX_REVERSED {
                return Err(Error::unprocessable(
                    "This part of the column is too large to be read backwards. Use a positive step.",
                ));
            }
            pool::stream(std::iter::once_with(move || reversed(picked, itemsize)))
        };
        Ok(Data::Array(ArrayData { dtype, shape, pieces }))
    }
}

/// Every `step`-th item; `skip` carries over how many to leave out at the start.
fn pick(items: &[u8], itemsize: usize, step: usize, skip: &mut usize) -> Bytes {
    if step == 1 {
        return Bytes::copy_from_slice(items);
    }
    let count = items.len() / itemsize;
    let chosen: Vec<u8> =
        items.chunks_exact(itemsize).skip(*skip).step_by(step).flat_map(|item| item.iter().copied()).collect();
    let next = *skip + chosen.len() / itemsize * step;
    *skip = next - count;
    chosen.into()
}

fn reversed(pieces: impl Iterator<Item = Result<Bytes>>, itemsize: usize) -> Result<Bytes> {
    let mut items = Vec::new();
    for piece in pieces {
        items.extend_from_slice(&piece?);
    }
    Ok(items.chunks_exact(itemsize).rev().flat_map(|item| item.iter().copied()).collect::<Vec<u8>>().into())
}

/// What only the values tell.
#[derive(Debug, Default)]
struct Seen {
    has_nulls: bool,
    /// Characters of the longest text, or bytes of the longest binary.
    longest: usize,
}

impl Seen {
    fn is_needed(value: &DataType) -> bool {
        value.is_integer() || as_text(value) || as_bytes(value) || *value == DataType::Boolean
    }

    fn add(&mut self, array: &ArrayRef) -> Result<()> {
        let value = value_type(array.data_type()).clone();
        self.has_nulls |= array.logical_null_count() > 0;
        if as_text(&value) || (value == DataType::Boolean && self.has_nulls) {
            let texts = texts(array)?;
            let longest = texts.as_string::<i64>().iter().flatten().map(|text| text.chars().count()).max();
            self.longest = self.longest.max(longest.unwrap_or(0)).max(if self.has_nulls { MISSING.len() } else { 0 });
        } else if as_bytes(&value) {
            let values = convert(array, &DataType::LargeBinary)?;
            let longest = values.as_binary::<i64>().iter().flatten().map(<[u8]>::len).max();
            self.longest = self.longest.max(longest.unwrap_or(0));
        }
        if value == DataType::Boolean {
            self.longest = self.longest.max("False".len());
        }
        Ok(())
    }
}

const MISSING: &str = "None";

fn value_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, value) => value_type(value),
        other => other,
    }
}

fn as_text(value: &DataType) -> bool {
    use DataType as T;
    matches!(value, T::Utf8 | T::LargeUtf8 | T::Utf8View | T::Time32(_) | T::Time64(_)) || value.is_decimal()
}

fn as_bytes(value: &DataType) -> bool {
    matches!(value, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

fn unit(unit: &TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "[s]",
        TimeUnit::Millisecond => "[ms]",
        TimeUnit::Microsecond => "[us]",
        TimeUnit::Nanosecond => "[ns]",
    }
}

fn dtype(field: &Field, seen: &Seen) -> Result<DType> {
    use DataType as T;
    let scalar = |kind, size, units: Option<&str>| {
        ScalarType::new(kind, size, Endianness::Little, units.map(str::to_owned)).map(DType::Scalar)
    };
    let value = value_type(field.data_type());
    match value {
        T::Boolean if seen.has_nulls => scalar(Kind::Text, 4 * seen.longest, None),
        T::Boolean => scalar(Kind::Bool, 1, None),
        integer if integer.is_integer() && seen.has_nulls => scalar(Kind::Float, 8, None),
        integer if integer.is_integer() => {
            let kind = if integer.is_signed_integer() { Kind::Int } else { Kind::Uint };
            scalar(kind, integer.primitive_width().unwrap_or(8), None)
        }
        float if float.is_floating() => scalar(Kind::Float, float.primitive_width().unwrap_or(8), None),
        T::Null => scalar(Kind::Float, 8, None),
        T::Timestamp(u, _) => scalar(Kind::Datetime, 8, Some(unit(u))),
        T::Date32 => scalar(Kind::Datetime, 8, Some("[D]")),
        T::Date64 => scalar(Kind::Datetime, 8, Some("[ms]")),
        T::Duration(u) => scalar(Kind::Timedelta, 8, Some(unit(u))),
        T::FixedSizeBinary(size) => scalar(Kind::Void, usize::try_from(*size).unwrap_or(0), None),
        value if as_text(value) => scalar(Kind::Text, 4 * seen.longest.max(1), None),
        value if as_bytes(value) => scalar(Kind::Bytes, seen.longest.max(1), None),
        other => Err(Error::unprocessable(format!(
            "The column {:?} has the type {other}, which is no array. Read it as a column of the table.",
            field.name()
        ))),
    }
}

fn convert(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    cast(array, to).internal(|| format!("converting a column from {} to {to}", array.data_type()))
}

/// As text; booleans as Python writes them.
fn texts(array: &ArrayRef) -> Result<ArrayRef> {
    let array = convert(array, &value_type(array.data_type()).clone())?;
    if let Some(booleans) = array.as_boolean_opt() {
        let words = booleans.iter().map(|value| value.map(|value| if value { "True" } else { "False" }));
        return Ok(Arc::new(words.collect::<arrow::array::LargeStringArray>()));
    }
    convert(&array, &DataType::LargeUtf8)
}

/// The values in C order, in `dtype`.
fn items(array: &ArrayRef, dtype: &DType) -> Result<Vec<u8>> {
    let Some(scalar) = dtype.as_scalar() else { return Ok(Vec::new()) };
    let size = scalar.itemsize;
    let mut out = Vec::with_capacity(array.len() * size);
    match scalar.kind {
        Kind::Text => {
            for text in texts(array)?.as_string::<i64>().iter() {
                let end = out.len() + size;
                text.unwrap_or(MISSING).chars().take(size / 4).for_each(|c| out.extend((c as u32).to_le_bytes()));
                out.resize(end, 0);
            }
        }
        Kind::Bytes | Kind::Void => {
            for bytes in convert(array, &DataType::LargeBinary)?.as_binary::<i64>().iter() {
                let end = out.len() + size;
                let bytes = bytes.unwrap_or_default();
                out.extend_from_slice(&bytes[..bytes.len().min(size)]);
                out.resize(end, 0);
            }
        }
        Kind::Bool => {
            let booleans = convert(array, &DataType::Boolean)?;
            out.extend(booleans.as_boolean().iter().map(|value| u8::from(value.unwrap_or(false))));
        }
        Kind::Float if !value_type(array.data_type()).is_floating() => {
            let floats = convert(array, &DataType::Float64)?;
            for value in floats.as_primitive::<Float64Type>() {
                out.extend(value.unwrap_or(f64::NAN).to_le_bytes());
            }
        }
        Kind::Datetime | Kind::Timedelta => {
            // Their 64-bit integers; days are kept in 32 bits.
            let values = convert(array, &value_type(array.data_type()).clone())?;
            let values = match values.data_type() {
                DataType::Date32 => convert(&convert(&values, &DataType::Int32)?, &DataType::Int64)?,
                _ => convert(&values, &DataType::Int64)?,
            };
            for value in values.as_primitive::<Int64Type>() {
                out.extend(value.unwrap_or(i64::MIN).to_le_bytes());
            }
        }
        _ => plain(&convert(array, &value_type(array.data_type()).clone())?, size, &mut out),
    }
    Ok(out)
}

/// Integers and floats: their memory as it is, NaN where a float is missing.
fn plain(array: &ArrayRef, size: usize, out: &mut Vec<u8>) {
    let data = array.to_data();
    let start = data.offset() * size;
    out.extend_from_slice(&data.buffers()[0][start..start + array.len() * size]);
    let nan: &[u8] = match size {
        2 => &[0x00, 0x7e],
        4 => &[0, 0, 0xc0, 0x7f],
        _ => &[0, 0, 0, 0, 0, 0, 0xf8, 0x7f],
    };
    if array.null_count() > 0 && array.data_type().is_floating() {
        for n in (0..array.len()).filter(|n| array.is_null(*n)) {
            out[n * size..][..size].copy_from_slice(nan);
        }
    }
}
