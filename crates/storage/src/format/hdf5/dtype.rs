//! What the datatypes of HDF5 are called here.

use girih_model::{DType, Error, Result};
use hdf5_reader::error::ByteOrder;
use hdf5_reader::messages::datatype::{Datatype, StringSize};
use serde_json::json;

pub(super) fn dtype_of(datatype: &Datatype) -> Result<DType> {
    let order = |order: &ByteOrder| if matches!(order, ByteOrder::BigEndian) { "big" } else { "little" };
    let (kind, size, order) = match datatype {
        Datatype::FixedPoint { size, signed, byte_order } => {
            (if *signed { "i" } else { "u" }, usize::from(*size), order(byte_order))
        }
        Datatype::FloatingPoint { size, byte_order } => ("f", usize::from(*size), order(byte_order)),
        Datatype::String { size: StringSize::Fixed(size), .. } => ("S", *size as usize, "not_applicable"),
        Datatype::Enum { members, .. } if members.len() == 2 && members[0].name == "FALSE" => {
            ("b", 1, "not_applicable")
        }
        Datatype::Enum { base, .. } => return dtype_of(base),
        _ => return Err(Error::unsupported("Not yet.")),
    };
    serde_json::from_value(json!({ "kind": kind, "itemsize": size, "endianness": if size == 1 { "not_applicable" } else { order }, "dt_units": null }))
        .map_err(|e| Error::unsupported(e.to_string()))
}
