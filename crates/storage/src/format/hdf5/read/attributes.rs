//! Attributes as metadata: numbers as numbers, text as text, arrays as lists.

use girih_model::{Json, Result};
use half::f16;
use hdf5_reader::btree_v2::{BTreeV2Header, BTreeV2Record, collect_btree_v2_records_storage};
use hdf5_reader::error::ByteOrder;
use hdf5_reader::fractal_heap::{FractalHeap, FractalHeapDirectBlockCache};
use hdf5_reader::group::Group;
use hdf5_reader::io::Cursor;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::attribute::{self, AttributeMessage};
use hdf5_reader::messages::attribute_info::AttributeInfoMessage;
use hdf5_reader::messages::dataspace::DataspaceType;
use hdf5_reader::messages::datatype::{Datatype, StringSize, VarLenKind};
use serde_json::{Map, Number, Value};

use super::super::storage::{damaged, within};
use super::walk::Object;
use crate::format::guard::guarded;

/// Longest attribute that is shown, in bytes.
const MAX_BYTES: usize = 256 << 10;
/// Most attributes of an object, as many as netCDF allows; the others are left out.
const MAX_ATTRIBUTES: usize = 8192;
/// Most bytes of memory, about, for the values of all attributes of an object.
const MAX_MEMORY: usize = 32 << 20;
/// Most bytes that are read for them: of what lies apart, and of what tells where that is.
const MAX_READ: u64 = 64 << 20;
const MAX_TREE: u64 = 4 << 20;
/// Attributes that say how a library has laid out the file, by references.
const INTERNAL: [&str; 2] = ["DIMENSION_LIST", "REFERENCE_LIST"];

/// An attribute as it lies in the file.
pub(super) struct Attribute {
    pub(super) name: String,
    shape: Vec<u64>,
    datatype: Datatype,
    /// `None` for what is too large to be shown.
    pub(super) items: Option<Vec<u8>>,
    /// Texts of any length, to which the items refer.
    texts: Option<Vec<String>>,
}

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

/// The attributes of an object as they lie there, as far as they can be read.
pub(super) fn all(object: &Object) -> Vec<Attribute> {
    let reference = 8 + usize::from(object.file.hdf5.superblock().offset_size);
    let mut found = Found { reference, left: MAX_MEMORY, all: Vec::new() };
    // Those that were found before one that is damaged are kept.
    let _ = guarded(|| within(MAX_READ, || found.read(object)));
    found.all
}

struct Found {
    /// Bytes of what refers to a text: its length, where it lies, and a number.
    reference: usize,
    /// Of [`MAX_MEMORY`].
    left: usize,
    all: Vec<Attribute>,
}

impl Found {
    fn read(&mut self, object: &Object) -> Result<()> {
        let header = object.header()?;
        let root = object.file.hdf5.root_group().map_err(damaged)?;
        for message in &header.messages {
            match message {
                HdfMessage::Attribute(message) => self.add(message.clone(), &root),
                HdfMessage::AttributeInfo(info) => self.dense(object, info, &root)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Many attributes: messages in a fractal heap, found through a B-tree.
    fn dense(&mut self, object: &Object, info: &AttributeInfoMessage, root: &Group) -> Result<()> {
        let (storage, superblock) = (object.file.hdf5.storage(), object.file.hdf5.superblock());
        let (offset, length) = (superblock.offset_size, superblock.length_size);
        if Cursor::is_undefined_offset(info.fractal_heap_address, offset) {
            return Ok(());
        }
        let heap = FractalHeap::parse_at_storage(storage, info.fractal_heap_address, offset, length);
        let heap = heap.map_err(damaged)?;
        let records = |address: u64| {
            let tree = BTreeV2Header::parse_at_storage(storage, address, offset, length).map_err(damaged)?;
            let read = || collect_btree_v2_records_storage(storage, &tree, offset, length, None, &[], None);
            within(MAX_TREE, read).map_err(damaged)
        };
        // In the order in which they were made, where the file keeps it.
        let created = info.btree_creation_order_address.filter(|at| !Cursor::is_undefined_offset(*at, offset));
        let records = match created.map(records) {
            Some(Ok(records)) => records,
            _ => records(info.btree_name_index_address)?,
        };
        let mut blocks = FractalHeapDirectBlockCache::default();
        for record in records.iter().take(MAX_ATTRIBUTES) {
            let (BTreeV2Record::AttributeNameHash { heap_id, .. }
            | BTreeV2Record::AttributeCreationOrder { heap_id, .. }) = record
            else {
                continue;
            };
            let message = heap.get_object_storage_cached(heap_id, storage, offset, length, &mut blocks);
            let message = message.map_err(damaged)?;
            let message = attribute::parse(&mut Cursor::new(&message), offset, length, message.len());
            self.add(message.map_err(damaged)?, root);
        }
        Ok(())
    }

    /// Those of an attribute of texts.
    fn references<'a>(&self, attribute: &Attribute, items: &'a [u8]) -> Option<Vec<&'a [u8]>> {
        let count = attribute.shape.iter().try_fold(1u64, |count, len| count.checked_mul(*len))?;
        let count = usize::try_from(count).ok().filter(|count| *count <= items.len() / self.reference)?;
        Some(items.chunks_exact(self.reference).take(count).collect())
    }

    fn add(&mut self, message: AttributeMessage, root: &Group) {
        let AttributeMessage { name, datatype, dataspace, raw_data } = message;
        let shape = match dataspace.dataspace_type {
            DataspaceType::Scalar => Vec::new(),
            DataspaceType::Null => vec![0],
            DataspaceType::Simple => dataspace.dims,
        };
        let own = name.len().saturating_add(of_type(&datatype)).saturating_add(256);
        let Some(left) = self.left.checked_sub(own).filter(|_| self.all.len() < MAX_ATTRIBUTES) else { return };
        self.left = left;
        let mut attribute = Attribute { name, shape, datatype, items: None, texts: None };
        let references = is_text(&attribute.datatype).then(|| self.references(&attribute, &raw_data)).flatten();
        let texts = references.as_ref().map_or(0, |all| all.iter().copied().map(len).fold(0, usize::saturating_add));
        let memory = memory(&attribute, raw_data.len(), texts).filter(|_| raw_data.len().max(texts) <= MAX_BYTES);
        if let Some(left) = memory.and_then(|memory| self.left.checked_sub(memory)) {
            self.left = left;
            let text = |reference: &[u8]| text(root, reference);
            attribute.texts = references.and_then(|all| all.into_iter().map(text).collect());
            attribute.items = Some(raw_data);
        }
        self.all.push(attribute);
    }
}

fn is_text(datatype: &Datatype) -> bool {
    matches!(
        datatype,
        Datatype::String { size: StringSize::Variable, .. } | Datatype::VarLen { kind: VarLenKind::String, .. }
    )
}

/// Bytes of the text that a reference leads to.
fn len(reference: &[u8]) -> usize {
    reference.first_chunk::<4>().map_or(0, |len| u32::from_le_bytes(*len) as usize)
}

fn text(root: &Group, reference: &[u8]) -> Option<String> {
    let mut bytes = root.resolve_vlen_reference_bytes(reference, 1).ok()?;
    bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
    String::from_utf8(bytes).ok()
}

/// Bytes of memory that the value takes, about, as it is stored and as it is shown.
fn memory(attribute: &Attribute, bytes: usize, texts: usize) -> Option<usize> {
    let size = size_of(&attribute.datatype).unwrap_or(16).max(1);
    let item = weight(&attribute.datatype).checked_add(64 * attribute.shape.len())?;
    (bytes / size + 1).checked_mul(item)?.checked_add(bytes)?.checked_add(texts.checked_mul(2)?)
}

/// Bytes of memory for an item as a value, about.
fn weight(datatype: &Datatype) -> usize {
    match datatype {
        Datatype::Compound { fields, .. } => {
            let fields = fields.iter().map(|field| weight(&field.datatype).saturating_add(field.name.len() + 128));
            fields.fold(64, usize::saturating_add)
        }
        Datatype::Array { base, dims } => {
            dims.iter().fold(weight(base), |all, len| all.saturating_mul(usize::try_from(*len).unwrap_or(usize::MAX)))
        }
        Datatype::Enum { base, .. } => weight(base),
        Datatype::String { size: StringSize::Fixed(size), .. } | Datatype::Opaque { size, .. } => 64 + *size as usize,
        _ => 64,
    }
}

/// Bytes of memory for a datatype, about.
fn of_type(datatype: &Datatype) -> usize {
    match datatype {
        Datatype::Compound { fields, .. } => {
            let fields = fields.iter().map(|field| of_type(&field.datatype).saturating_add(field.name.len() + 64));
            fields.fold(64, usize::saturating_add)
        }
        Datatype::Enum { base, members } => {
            members.iter().fold(of_type(base), |all, member| all.saturating_add(member.name.len() + 64))
        }
        Datatype::Array { base, .. } | Datatype::VarLen { base, .. } => of_type(base).saturating_add(64),
        _ => 64,
    }
}

pub(super) fn value_of(attribute: &Attribute) -> Option<Value> {
    guarded(|| told(attribute)).flatten()
}

fn told(attribute: &Attribute) -> Option<Value> {
    let Some(bytes) = &attribute.items else {
        return Some(Value::String(format!("(too large to be shown: an array of the shape {:?})", attribute.shape)));
    };
    if attribute.shape.contains(&0) {
        return Some(Value::Array(Vec::new()));
    }
    let items: Vec<Value> = match (&attribute.texts, &attribute.datatype) {
        (Some(texts), _) => texts.iter().map(|text| Value::String(text.clone())).collect(),
        (None, datatype) => {
            let size = size_of(datatype)?;
            let count = attribute.shape.iter().try_fold(1u64, |count, len| count.checked_mul(*len))?;
            let items = bytes.chunks_exact(size.max(1)).take(usize::try_from(count).ok()?);
            items.map(|item| item_of(datatype, item)).collect::<Option<_>>()?
        }
    };
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
        Datatype::Array { base, dims } => {
            let items = dims.iter().try_fold(1u64, |items, len| items.checked_mul(*len))?;
            usize::try_from(items).ok()?.checked_mul(size_of(base)?)?
        }
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
        Datatype::Array { dims, .. } if dims.contains(&0) => Value::Array(Vec::new()),
        Datatype::Array { base, dims } => {
            let items = item.chunks_exact(size_of(base)?.max(1)).map(|item| item_of(base, item));
            nested(&mut items.collect::<Option<Vec<_>>>()?.into_iter(), dims)?
        }
        Datatype::Compound { fields, .. } => {
            let members = fields.iter().map(|field| {
                let start = field.byte_offset as usize;
                let end = start.checked_add(size_of(&field.datatype)?)?;
                let value = item_of(&field.datatype, item.get(start..end)?)?;
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
