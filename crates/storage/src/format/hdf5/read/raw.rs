//! The messages of an object header as they are encoded (HDF5 File Format Specification, IV.A), for the kind of layout
//! that the library does not know: virtual datasets.

use std::collections::HashSet;

use girih_model::Result;
use hdf5_reader::Hdf5File;
use hdf5_reader::io::Cursor;

use super::super::storage::{MAX_HEADER, damaged};

const CONTINUATION: u16 = 0x10;
/// Bit of a message's flags: what follows is a reference to a message of another object.
const SHARED: u8 = 2;

pub(super) struct Message {
    pub(super) kind: u16,
    pub(super) is_shared: bool,
    pub(super) body: Vec<u8>,
}

/// All messages of the object at this address.
pub(super) fn messages(file: &Hdf5File, address: u64) -> Result<Vec<Message>> {
    let start = read(file, address, 16)?;
    let (mut blocks, is_new, has_order) = match start.get(..4) {
        Some(b"OHDR") => {
            let flags = start[5];
            let mut at = 6;
            at += if flags & 0x20 != 0 { 16 } else { 0 };
            at += if flags & 0x10 != 0 { 4 } else { 0 };
            let width = 1usize << (flags & 3);
            let at = address.saturating_add(at);
            let size = number(&read(file, at, width)?);
            (vec![(at.saturating_add(width as u64), size)], true, flags & 4 != 0)
        }
        Some(start) if start[0] == 1 => {
            let size = number(&read(file, address.saturating_add(8), 4)?);
            (vec![(address.saturating_add(16), size)], false, false)
        }
        _ => return Err(damaged("an object has no header")),
    };
    let (mut found, mut seen, mut total) = (Vec::new(), HashSet::new(), 0u64);
    while let Some((at, size)) = blocks.pop() {
        total = total.saturating_add(size);
        if !seen.insert(at) || total > MAX_HEADER as u64 {
            return Err(damaged("the header of an object has no end"));
        }
        let block = read(file, at, size as usize)?;
        split(&block, is_new, has_order, &mut found)?;
        let offsets = file.superblock();
        for message in found.extract_if(.., |message| message.kind == CONTINUATION) {
            let mut cursor = Cursor::new(&message.body);
            let at = cursor.read_offset(offsets.offset_size).map_err(damaged)?;
            let size = cursor.read_length(offsets.length_size).map_err(damaged)?;
            // A new one has a signature before its messages, and a checksum after them.
            blocks.push(if is_new { (at.saturating_add(4), size.saturating_sub(8)) } else { (at, size) });
        }
    }
    Ok(found)
}

fn split(block: &[u8], is_new: bool, has_order: bool, found: &mut Vec<Message>) -> Result<()> {
    let prefix = match (is_new, has_order) {
        (false, _) => 8,
        (true, false) => 4,
        (true, true) => 6,
    };
    let mut rest = block;
    while rest.len() > prefix {
        let (kind, size, flags) = match is_new {
            true => (u16::from(rest[0]), usize::from(u16::from_le_bytes([rest[1], rest[2]])), rest[3]),
            false => {
                let short = |at: usize| u16::from_le_bytes([rest[at], rest[at + 1]]);
                (short(0), usize::from(short(2)), rest[4])
            }
        };
        let body = rest.get(prefix..prefix + size).ok_or_else(|| damaged("a message is longer than its header"))?;
        found.push(Message { kind, is_shared: flags & SHARED != 0, body: body.to_vec() });
        rest = &rest[prefix + size..];
    }
    Ok(())
}

fn read(file: &Hdf5File, at: u64, len: usize) -> Result<Vec<u8>> {
    Ok(file.storage().read_range(at, len).map_err(damaged)?.as_ref().to_vec())
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
