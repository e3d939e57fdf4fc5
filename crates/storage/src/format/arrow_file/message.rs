//! Checks of messages that come from outside, before arrow reads them.
//!
//! arrow trusts lengths: it allocates what the prefix of a compressed buffer promises, slices where
//! a buffer says it lies, and panics, or aborts the process, when that is a lie.

use std::io::Read;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type, Schema};
use arrow::ipc::{CompressionType, Endianness, Message, MessageHeader, MetadataVersion};
use girih_model::{Error, Result};

use crate::format::guard::guarded;

/// Largest metadata of a message, and of a footer, in bytes.
pub(super) const MAX_METADATA: u64 = 64 << 20;
/// Largest batch, in bytes: it has to be held as a whole.
pub(super) const MAX_BATCH: u64 = 1 << 30;
/// What a whole body may grow to when its compression and repetitions are undone, in bytes.
const MAX_BODY: u64 = 16 << 30;
/// A batch may have more rows than bits by this many: columns of nulls take no space.
const FREE_ROWS: u64 = 1 << 20;

pub(super) fn bad(what: impl std::fmt::Display) -> Error {
    Error::unprocessable(format!("This is not a valid Arrow file: {what}."))
}

/// How many bytes may still be made from a body.
#[derive(Debug, Clone)]
pub(super) struct Budget(u64);

impl Budget {
    pub(super) fn for_body() -> Self {
        Self(MAX_BODY)
    }

    /// For files that we have written ourselves.
    pub(super) fn unlimited() -> Self {
        Self(u64::MAX)
    }

    pub(super) fn spend(&mut self, bytes: u64) -> Result<()> {
        self.0 = self.0.checked_sub(bytes).ok_or_else(|| {
            Error::too_large("The body becomes far too large when it is decompressed. Send it in smaller parts.")
        })?;
        Ok(())
    }
}

/// The metadata of an encapsulated message, without its prefix.
pub(super) fn metadata(message: &[u8]) -> Result<&[u8]> {
    match message {
        [0xff, 0xff, 0xff, 0xff, _, _, _, _, metadata @ ..] => Ok(metadata),
        [_, _, _, _, metadata @ ..] => Ok(metadata),
        _ => Err(bad("a message is too short")),
    }
}

pub(super) fn parse(message: &[u8]) -> Result<Message<'_>> {
    arrow::ipc::root_as_message(metadata(message)?).map_err(|e| bad(format!("a message is damaged ({e})")))
}

/// arrow's conversion panics on what it does not know.
pub(super) fn schema(schema: arrow::ipc::Schema<'_>) -> Result<Schema> {
    if schema.endianness() != Endianness::Little {
        return Err(bad("it is big-endian"));
    }
    guarded(|| arrow::ipc::convert::fb_to_schema(schema))
        .ok_or_else(|| bad("its schema has a type that is not known here"))
}

pub(super) fn check_version(version: MetadataVersion) -> Result<MetadataVersion> {
    match version {
        MetadataVersion::V4 | MetadataVersion::V5 => Ok(version),
        other => Err(bad(format!("its metadata version {other:?} is not supported"))),
    }
}

/// Checks the lengths in a record or dictionary batch against the body that comes with it.
pub(super) fn check_batch(message: &Message<'_>, body: &[u8], budget: &mut Budget) -> Result<()> {
    let batch = match message.header_type() {
        MessageHeader::RecordBatch => message.header_as_record_batch(),
        MessageHeader::DictionaryBatch => message.header_as_dictionary_batch().and_then(|batch| batch.data()),
        other => return Err(bad(format!("there is a message of the kind {other:?} where a batch should be"))),
    };
    let batch = batch.ok_or_else(|| bad("a batch is empty"))?;
    let codec = batch.compression().map(|compression| compression.codec());
    let mut total = 0u64;
    for buffer in batch.buffers().into_iter().flatten() {
        let start = usize::try_from(buffer.offset()).map_err(|_| bad("a buffer lies before its batch"))?;
        let len = usize::try_from(buffer.length()).map_err(|_| bad("a buffer has a negative length"))?;
        let bytes = start
            .checked_add(len)
            .and_then(|end| body.get(start..end))
            .ok_or_else(|| bad("a buffer reaches beyond its batch"))?;
        let size = match codec {
            Some(codec) if !bytes.is_empty() => uncompressed_size(codec, bytes, MAX_BATCH.saturating_sub(total))?,
            _ => len as u64,
        };
        total = total.saturating_add(size);
        if total > MAX_BATCH {
            return Err(Error::too_large(format!(
                "A batch of the table is larger than {MAX_BATCH} bytes. Send the table in more partitions, or write smaller batches."
            )));
        }
    }
    budget.spend(total)?;
    let max_rows = total.saturating_mul(8).saturating_add(FREE_ROWS) as i64;
    let fits = |rows: i64| (0..=max_rows).contains(&rows);
    if !fits(batch.length()) {
        return Err(bad(format!("a batch of {total} bytes claims to have {} rows", batch.length())));
    }
    for node in batch.nodes().into_iter().flatten() {
        if !fits(node.length()) || !(0..=node.length()).contains(&node.null_count()) {
            return Err(bad("a column's length does not fit its batch"));
        }
    }
    for count in batch.variadicBufferCounts().into_iter().flatten() {
        if !(0..=batch.buffers().map_or(0, |buffers| buffers.len()) as i64).contains(&count) {
            return Err(bad("a number of buffers is wrong"));
        }
    }
    Ok(())
}

/// The size that a compressed buffer really has, which must be what its prefix says.
fn uncompressed_size(codec: CompressionType, bytes: &[u8], limit: u64) -> Result<u64> {
    let Some((prefix, data)) = bytes.split_first_chunk::<8>() else {
        return Err(bad("a compressed buffer is too short"));
    };
    let claimed = match i64::from_le_bytes(*prefix) {
        -1 => return Ok(data.len() as u64),
        claimed => u64::try_from(claimed).map_err(|_| bad("a compressed buffer claims a negative size"))?,
    };
    if claimed > limit {
        return Err(Error::too_large(format!(
            "A batch of the table would be larger than {MAX_BATCH} bytes when decompressed. Send it in smaller batches."
        )));
    }
    if codec == CompressionType::LZ4_FRAME {
        // Nothing else stops arrow from decompressing more than the prefix says.
        let mut decoder = lz4_flex::frame::FrameDecoder::new(data).take(claimed + 1);
        let real =
            std::io::copy(&mut decoder, &mut std::io::sink()).map_err(|e| bad(format!("a buffer is damaged ({e})")))?;
        if real != claimed {
            return Err(bad("a compressed buffer does not have the size that it claims"));
        }
    }
    Ok(claimed)
}

/// Bytes that an array takes when nothing is shared: views and dictionaries can name the same long
/// text a million times. An estimate where elements differ in size.
pub(super) fn expanded_size(array: &ArrayRef) -> u64 {
    let scaled = |child: &ArrayRef, elements: u64| match child.len() as u64 {
        0 => 0,
        len => (u128::from(expanded_size(child)) * u128::from(elements) / u128::from(len)).min(u64::MAX.into()) as u64,
    };
    match array.data_type() {
        DataType::Utf8View => array.as_string_view().views().iter().map(|view| u64::from(*view as u32)).sum(),
        DataType::BinaryView => array.as_binary_view().views().iter().map(|view| u64::from(*view as u32)).sum(),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let longest = longest(dictionary.values());
            longest.saturating_mul(array.len() as u64)
        }
        DataType::ListView(_) => {
            let list = array.as_list_view::<i32>();
            scaled(list.values(), list.sizes().iter().map(|n| (*n).max(0) as u64).sum())
        }
        DataType::LargeListView(_) => {
            let list = array.as_list_view::<i64>();
            scaled(list.values(), list.sizes().iter().fold(0, |sum, n| sum.saturating_add((*n).max(0) as u64)))
        }
        DataType::List(_) => expanded_size(array.as_list::<i32>().values()),
        DataType::LargeList(_) => expanded_size(array.as_list::<i64>().values()),
        DataType::FixedSizeList(..) => expanded_size(array.as_fixed_size_list().values()),
        DataType::Map(..) => array.as_map().entries().columns().iter().map(expanded_size).sum(),
        DataType::Struct(_) => array.as_struct().columns().iter().map(expanded_size).sum(),
        DataType::RunEndEncoded(ends, _) => {
            let values = match ends.data_type() {
                DataType::Int16 => array.as_run::<arrow::datatypes::Int16Type>().values(),
                DataType::Int32 => array.as_run::<Int32Type>().values(),
                _ => array.as_run::<Int64Type>().values(),
            };
            longest(values).saturating_mul(array.len() as u64)
        }
        // Not the memory size: all columns of a batch lie in one allocation.
        _ => array.to_data().get_slice_memory_size().map_or(u64::MAX, |size| size as u64),
    }
}

/// Bytes of the largest element.
fn longest(values: &ArrayRef) -> u64 {
    let longest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0) as u64;
    match values.data_type() {
        DataType::Utf8 => longest(&mut values.as_string::<i32>().offsets().lengths()),
        DataType::LargeUtf8 => longest(&mut values.as_string::<i64>().offsets().lengths()),
        DataType::Binary => longest(&mut values.as_binary::<i32>().offsets().lengths()),
        DataType::LargeBinary => longest(&mut values.as_binary::<i64>().offsets().lengths()),
        DataType::Utf8View => longest(&mut values.as_string_view().views().iter().map(|view| *view as u32 as usize)),
        DataType::BinaryView => longest(&mut values.as_binary_view().views().iter().map(|view| *view as u32 as usize)),
        other => match other.primitive_width() {
            Some(width) => width as u64,
            // Of unknown shape: as if it were all in one element.
            None => expanded_size(values),
        },
    }
}
