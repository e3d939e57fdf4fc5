//! The variables of a dataset of xarray side by side, as a table: so its clients fetch those that are short and alike.

use std::sync::Arc;

use arrow::array::{ArrayData, ArrayRef, BinaryArray, BooleanArray, RecordBatch, StringArray, make_array};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use futures::stream::{self, StreamExt, TryStreamExt};
use girih_model::dtype::{Endianness, Kind, ScalarType};
use girih_model::{DType, Data, Error, Result, ResultExt, Structure, TableData, TreeData};

use crate::pool::{WORKSPACE, blocking};

/// Most bytes of all variables together.
const MAX_BYTES: u64 = 128 << 20;

/// The arrays of a tree as columns.
///
/// # Errors
/// `NotAcceptable` when they have several axes, different lengths, items that no column has, or are too large.
pub async fn table(tree: TreeData) -> Result<TableData> {
    let refused =
        |name: &str, why: &str| Err(Error::not_acceptable(format!("The variable {name:?} is no column: {why}.")));
    let entries: Vec<_> = tree.entries.try_collect().await?;
    let (mut arrays, mut bytes, mut rows) = (Vec::with_capacity(entries.len()), 0u64, None);
    for entry in entries {
        let name = entry.keys.join("/");
        let (Some(Structure::Array(array)), Some(read)) = (&entry.structure, entry.read) else {
            return refused(&name, "it is no array");
        };
        let len = match array.shape.as_slice() {
            [] => 1,
            [len] => *len,
            _ => return refused(&name, "it has several axes"),
        };
        if *rows.get_or_insert(len) != len {
            return refused(&name, "it is longer or shorter than others");
        }
        let DType::Scalar(scalar) = array.dtype.clone() else { return refused(&name, "its items have fields") };
        let Some(data_type) = data_type(&scalar) else {
            return refused(&name, &format!("its items are {}", scalar.typestr()));
        };
        bytes = bytes.saturating_add(array.nbytes().unwrap_or(u64::MAX));
        arrays.push((Field::new(name, data_type, true), scalar, len as usize, read));
    }
    if bytes > MAX_BYTES {
        return Err(Error::not_acceptable(format!(
            "These variables have {bytes} bytes together; a table of them may have {MAX_BYTES}. Read each as an array."
        )));
    }
    // As they are, and as columns.
    let room = WORKSPACE.take(2 * bytes as usize).await?;
    let (mut fields, mut columns) = (Vec::with_capacity(arrays.len()), Vec::with_capacity(arrays.len()));
    for (field, scalar, len, read) in arrays {
        let Data::Array(data) = read().await? else { return refused(field.name(), "it is no array any more") };
        let items = data.collect(MAX_BYTES).await?;
        let data_type = field.data_type().clone();
        columns.push(blocking(move || column(&scalar, data_type, len, &items)).await?);
        fields.push(field);
    }
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), columns);
    let batch = batch.or_error(|_| Error::conflict("The variables have changed while they were read. Try again."))?;
    let batches = stream::once(async move {
        let _held = room;
        Ok(batch)
    });
    Ok(TableData { schema, batches: batches.boxed() })
}

/// `None` for what Arrow has no type for.
fn data_type(scalar: &ScalarType) -> Option<DataType> {
    let unit = || match scalar.dt_units.as_deref()? {
        "[s]" => Some(TimeUnit::Second),
        "[ms]" => Some(TimeUnit::Millisecond),
        "[us]" => Some(TimeUnit::Microsecond),
        "[ns]" => Some(TimeUnit::Nanosecond),
        _ => None,
    };
    Some(match (scalar.kind, scalar.itemsize) {
        (Kind::Bool, _) => DataType::Boolean,
        (Kind::Int, 1) => DataType::Int8,
        (Kind::Int, 2) => DataType::Int16,
        (Kind::Int, 4) => DataType::Int32,
        (Kind::Int, 8) => DataType::Int64,
        (Kind::Uint, 1) => DataType::UInt8,
        (Kind::Uint, 2) => DataType::UInt16,
        (Kind::Uint, 4) => DataType::UInt32,
        (Kind::Uint, 8) => DataType::UInt64,
        (Kind::Float, 2) => DataType::Float16,
        (Kind::Float, 4) => DataType::Float32,
        (Kind::Float, 8) => DataType::Float64,
        (Kind::Datetime, 8) => DataType::Timestamp(unit()?, None),
        (Kind::Timedelta, 8) => DataType::Duration(unit()?),
        (Kind::Bytes, 1..) => DataType::Binary,
        (Kind::Text, 1..) => DataType::Utf8,
        _ => return None,
    })
}

fn column(scalar: &ScalarType, data_type: DataType, len: usize, items: &[u8]) -> Result<ArrayRef> {
    let (size, is_big) = (scalar.itemsize, scalar.endianness == Endianness::Big);
    if items.len() != len * size {
        return Err(Error::conflict("A variable has changed while it was read. Try again."));
    }
    let each = items.chunks_exact(size);
    Ok(match scalar.kind {
        Kind::Bool => Arc::new(BooleanArray::from_iter(each.map(|item| Some(item != [0])))),
        Kind::Bytes => Arc::new(BinaryArray::from_iter_values(each.map(|item| {
            let end = item.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            &item[..end]
        }))),
        Kind::Text => Arc::new(StringArray::from_iter_values(each.map(|item| {
            let (units, _) = item.as_chunks();
            let codes =
                units.iter().map(|unit| if is_big { u32::from_be_bytes(*unit) } else { u32::from_le_bytes(*unit) });
            let text: String = codes.map(|code| char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
            text.trim_end_matches('\0').to_owned()
        }))),
        _ => {
            let native = match is_big {
                true => Buffer::from(each.flat_map(|item| item.iter().rev().copied()).collect::<Vec<u8>>().as_slice()),
                false => Buffer::from(items),
            };
            let data = ArrayData::builder(data_type).len(len).add_buffer(native).build();
            make_array(data.internal(|| "making a column of an array".into())?)
        }
    })
}

#[cfg(test)]
mod tests {
    use arrow::util::display::array_value_to_string;

    use super::*;

    fn scalar(kind: Kind, itemsize: usize, endianness: Endianness, units: Option<&str>) -> ScalarType {
        ScalarType { endianness, kind, itemsize, dt_units: units.map(str::to_owned) }
    }

    fn check(scalar: &ScalarType, items: &[u8], expected: [&str; 2]) {
        let column = column(scalar, data_type(scalar).unwrap(), 2, items).unwrap();
        for (n, expected) in expected.into_iter().enumerate() {
            assert_eq!(array_value_to_string(&column, n).unwrap(), expected, "{}", scalar.typestr());
        }
    }

    #[test]
    fn items_become_values() {
        let (little, big, none) = (Endianness::Little, Endianness::Big, Endianness::NotApplicable);
        check(&scalar(Kind::Bool, 1, none, None), &[0, 1], ["false", "true"]);
        check(&scalar(Kind::Int, 2, little, None), &[1, 0, 0xff, 0xff], ["1", "-1"]);
        check(&scalar(Kind::Uint, 4, big, None), &[0, 0, 1, 0, 0, 0, 0, 7], ["256", "7"]);
        check(&scalar(Kind::Float, 8, big, None), &[1.5f64, -2.0].map(f64::to_be_bytes).concat(), ["1.5", "-2.0"]);
        let days = [0i64, 86_400].map(i64::to_le_bytes).concat();
        check(&scalar(Kind::Datetime, 8, little, Some("[s]")), &days, ["1970-01-01T00:00:00", "1970-01-02T00:00:00"]);
        check(&scalar(Kind::Bytes, 2, none, None), b"a\0bc", ["61", "6263"]);
        check(&scalar(Kind::Text, 4, little, None), &[0xe9, 0, 0, 0, 0, 0, 0, 0], ["é", ""]);
        for odd in [scalar(Kind::Complex, 8, little, None), scalar(Kind::Void, 3, none, None)] {
            assert_eq!(data_type(&odd), None, "{}", odd.typestr());
        }
        assert_eq!(data_type(&scalar(Kind::Datetime, 8, little, Some("[D]"))), None, "days");
    }
}
