//! Attributes as metadata: numbers as numbers, text as text, arrays as lists.

use girih_model::Json;
use half::f16;
use hdf5_reader::Attribute;
use hdf5_reader::error::ByteOrder;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::datatype::{Datatype, StringSize};
use serde_json::{Map, Number, Value};

use super::walk::{Kind, Object};
use crate::format::guard::guarded;

/// Longest attribute that is shown, in bytes.
const MAX_BYTES: usize = 256 << 10;
/// Attributes that say how a library has laid out the file, by references.
const INTERNAL: [&str; 2] = ["DIMENSION_LIST", "REFERENCE_LIST"];

/// The attributes of an object as metadata.
pub(super) fn of(object: &Object) -> Json {
    Json::from_value(&Value::Object(shown(object)))
}

/// The attributes of an object as values. What cannot be told is left out: nobody is kept from the data by an odd attribute.
pub(super) fn shown(object: &Object) -> Map<String, Value> {
    let mut shown = Map::new();
    for attribute in all(object) {
        if INTERNAL.contains(&attribute.name.as_str()) {
            continue;
        }
        if let Some(value) = value_of(&attribute) {
            shown.insert(attribute.name, value);
        }
    }
    shown
}

/// The attributes of an object as they lie there.
pub(super) fn all(object: &Object) -> Vec<Attribute> {
    guarded(|| read(object)).unwrap_or_default()
}

fn read(object: &Object) -> Vec<Attribute> {
    let hdf5 = &object.file.hdf5;
    let found = match object.kind() {
        Ok(Kind::Group) => hdf5.group(&object.path).and_then(|group| group.attributes()).ok(),
        Ok(Kind::Dataset) => hdf5.dataset(&object.path).map(|dataset| dataset.attributes()).ok(),
        _ => None,
    };
    found.unwrap_or_else(|| {
        // Those that lie with the object itself.
        let header = object.header().map(|header| header.messages.clone()).unwrap_or_default();
        let messages = header.into_iter().filter_map(|message| match message {
            HdfMessage::Attribute(message) => Some(Attribute::from_message(message)),
            _ => None,
        });
        messages.collect()
    })
}

pub(super) fn value_of(attribute: &Attribute) -> Option<Value> {
    guarded(|| told(attribute)).flatten()
}

fn told(attribute: &Attribute) -> Option<Value> {
    let text = |text: &String| Value::String(text.trim_end_matches('\0').to_owned());
    if attribute.raw_data.len() > MAX_BYTES {
        return Some(Value::String(format!("(too large to be shown: an array of the shape {:?})", attribute.shape)));
    }
    let items: Vec<Value> = match (&attribute.decoded_strings, &attribute.datatype) {
        (Some(strings), _) => strings.iter().map(text).collect(),
        (None, datatype) => {
            let size = size_of(datatype)?;
            let count = attribute.shape.iter().product::<u64>() as usize;
            let items = attribute.raw_data.chunks_exact(size.max(1)).take(count.max(1));
            items.map(|item| item_of(datatype, item)).collect::<Option<_>>()?
        }
    };
    if attribute.shape.contains(&0) {
        return Some(Value::Array(Vec::new()));
    }
    nested(&mut items.into_iter(), &attribute.shape)
}

/// As lists of lists.
fn nested(items: &mut impl Iterator<Item = Value>, shape: &[u64]) -> Option<Value> {
    let Some((len, rest)) = shape.split_first() else { return items.next() };
    (0..*len).map(|_| nested(items, rest)).collect::<Option<Vec<_>>>().map(Value::Array)
}

/// Bytes of an item.
fn size_of(datatype: &Datatype) -> Option<usize> {
    Some(match datatype {
        Datatype::FixedPoint { size, .. } | Datatype::FloatingPoint { size, .. } | Datatype::Bitfield { size, .. } => {
            usize::from(*size)
        }
        Datatype::String { size: StringSize::Fixed(size), .. }
        | Datatype::Compound { size, .. }
        | Datatype::Opaque { size, .. } => *size as usize,
        Datatype::Enum { base, .. } => size_of(base)?,
        Datatype::Array { base, dims } => dims.iter().product::<u64>() as usize * size_of(base)?,
        Datatype::String { .. } | Datatype::VarLen { .. } | Datatype::Reference { .. } => return None,
    })
}

fn item_of(datatype: &Datatype, item: &[u8]) -> Option<Value> {
    Some(match datatype {
        Datatype::FixedPoint { size, signed, byte_order } => {
            integer(item.get(..usize::from(*size))?, *signed, *byte_order)?
        }
        Datatype::Bitfield { size, byte_order } => integer(item.get(..usize::from(*size))?, false, *byte_order)?,
        Datatype::FloatingPoint { byte_order, .. } => real(item, *byte_order)?,
        Datatype::String { .. } | Datatype::Opaque { .. } => {
            let end = item.iter().position(|byte| *byte == 0).unwrap_or(item.len());
            Value::String(String::from_utf8_lossy(&item[..end]).trim_end_matches(' ').to_owned())
        }
        Datatype::Enum { base, members } => match members.as_slice() {
            // How h5py writes booleans.
            [no, yes] if no.name == "FALSE" && yes.name == "TRUE" => Value::Bool(item == yes.value),
            _ => item_of(base, item)?,
        },
        Datatype::Array { base, dims } => {
            let items = item.chunks_exact(size_of(base)?.max(1)).map(|item| item_of(base, item));
            nested(&mut items.collect::<Option<Vec<_>>>()?.into_iter(), dims)?
        }
        Datatype::Compound { fields, .. } => {
            let members = fields.iter().map(|field| {
                let start = field.byte_offset as usize;
                let value = item_of(&field.datatype, item.get(start..start + size_of(&field.datatype)?)?)?;
                Some((field.name.clone(), value))
            });
            Value::Object(members.collect::<Option<_>>()?)
        }
        Datatype::VarLen { .. } | Datatype::Reference { .. } => return None,
    })
}

fn little(item: &[u8], order: ByteOrder) -> Option<[u8; 8]> {
    let mut bytes = [0; 8];
    bytes.get_mut(..item.len())?.copy_from_slice(item);
    if matches!(order, ByteOrder::BigEndian) {
        bytes[..item.len()].reverse();
    }
    Some(bytes)
}

fn integer(item: &[u8], signed: bool, order: ByteOrder) -> Option<Value> {
    let number = u64::from_le_bytes(little(item, order)?);
    let unused = 64 - 8 * u32::try_from(item.len()).ok().filter(|len| (1..=8).contains(len))?;
    Some(match signed {
        true => Value::from((number as i64).wrapping_shl(unused).wrapping_shr(unused)),
        false => Value::from(number),
    })
}

/// What is not finite is null, as in all metadata.
fn real(item: &[u8], order: ByteOrder) -> Option<Value> {
    let bytes = little(item, order)?;
    let number = match item.len() {
        2 => f64::from(f16::from_le_bytes([bytes[0], bytes[1]])),
        4 => f64::from(f32::from_le_bytes(*bytes.first_chunk()?)),
        8 => f64::from_le_bytes(bytes),
        _ => return None,
    };
    Some(Number::from_f64(number).map_or(Value::Null, Value::Number))
}
