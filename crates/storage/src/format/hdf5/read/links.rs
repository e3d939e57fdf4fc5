//! The links of a group, as they are written: also those that lead nowhere.

use girih_model::Result;
use hdf5_reader::Hdf5File;
use hdf5_reader::btree_v1::collect_btree_v1_leaves_storage;
use hdf5_reader::btree_v2::{BTreeV2Header, BTreeV2Record, collect_btree_v2_records_storage};
use hdf5_reader::fractal_heap::{FractalHeap, FractalHeapDirectBlockCache};
use hdf5_reader::io::Cursor;
use hdf5_reader::local_heap::LocalHeap;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::link::{self, LinkMessage, LinkTarget};
use hdf5_reader::messages::link_info::LinkInfoMessage;
use hdf5_reader::messages::symbol_table_msg::SymbolTableMessage;
use hdf5_reader::symbol_table::SymbolTableNode;

use super::super::storage::damaged;

/// Most links of a group.
const MAX_LINKS: usize = 1 << 20;

#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) name: String,
    pub(super) target: Target,
}

#[derive(Debug, Clone)]
pub(super) enum Target {
    /// The address of an object in the same file.
    Object(u64),
    /// A path in the same file, from this group or from the root.
    Path(String),
    /// A path in another file.
    File { name: String, path: String },
}

/// The links of the group at this address: in the order of their creation where the group keeps it, else by name.
pub(super) fn of_group(file: &Hdf5File, address: u64) -> Result<Vec<Link>> {
    let header = file.get_or_parse_header(address).map_err(damaged)?;
    let mut found: Vec<(Option<u64>, Link)> = Vec::new();
    let mut ordered = false;
    for message in &header.messages {
        match message {
            HdfMessage::Link(link) => found.push(from_message(link.clone())),
            HdfMessage::SymbolTable(table) => old_style(file, table, &mut found)?,
            HdfMessage::LinkInfo(info) => {
                ordered = info.creation_order_tracked;
                dense(file, info, &mut found)?;
            }
            _ => {}
        }
        if found.len() > MAX_LINKS {
            return Err(damaged(format!("a group has more than {MAX_LINKS} links")));
        }
    }
    if ordered && found.iter().all(|(order, _)| order.is_some()) {
        found.sort_by_key(|(order, _)| *order);
    } else {
        found.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
    }
    Ok(found.into_iter().map(|(_, link)| link).collect())
}

fn from_message(link: LinkMessage) -> (Option<u64>, Link) {
    let target = match link.target {
        LinkTarget::Hard { address } => Target::Object(address),
        LinkTarget::Soft { path } => Target::Path(path),
        LinkTarget::External { filename, path } => Target::File { name: filename, path },
    };
    (link.creation_order, Link { name: link.name, target })
}

/// A symbol table: names in a local heap, entries in the leaves of a B-tree.
fn old_style(file: &Hdf5File, table: &SymbolTableMessage, found: &mut Vec<(Option<u64>, Link)>) -> Result<()> {
    let (storage, superblock) = (file.storage(), file.superblock());
    let (offset, length) = (superblock.offset_size, superblock.length_size);
    let heap = LocalHeap::parse_at_storage(storage, table.heap_address, offset, length).map_err(damaged)?;
    let names = usize::try_from(heap.data_segment_size).map_err(damaged)?;
    let names = storage.read_range(heap.data_segment_address, names).map_err(damaged)?;
    let text = |at: u64| {
        let bytes = usize::try_from(at).ok().and_then(|at| names.as_ref().get(at..));
        let bytes = bytes.ok_or_else(|| damaged("the name of a link lies outside its heap"))?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
    };
    let leaves = collect_btree_v1_leaves_storage(storage, table.btree_address, offset, length, None, &[], None);
    for (_, address) in leaves.map_err(damaged)? {
        let entry = 2 * usize::from(offset) + 24;
        let start = storage.read_range(address, 8).map_err(damaged)?;
        let symbols = usize::from(u16::from_le_bytes([start.as_ref()[6], start.as_ref()[7]]));
        let node = storage.read_range(address, 8 + symbols * entry).map_err(damaged)?;
        let node = SymbolTableNode::parse(&mut Cursor::new(node.as_ref()), offset, length).map_err(damaged)?;
        for entry in &node.entries {
            let target = match entry.cache_type {
                // The value of a soft link lies in the heap, too.
                2 => {
                    let at = entry.scratch.first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes));
                    Target::Path(text(at.into())?)
                }
                _ => Target::Object(entry.object_header_address),
            };
            found.push((None, Link { name: text(entry.link_name_offset)?, target }));
        }
        if found.len() > MAX_LINKS {
            return Err(damaged(format!("a group has more than {MAX_LINKS} links")));
        }
    }
    Ok(())
}

/// Many links: messages in a fractal heap, found through a B-tree.
fn dense(file: &Hdf5File, info: &LinkInfoMessage, found: &mut Vec<(Option<u64>, Link)>) -> Result<()> {
    let (storage, superblock) = (file.storage(), file.superblock());
    let (offset, length) = (superblock.offset_size, superblock.length_size);
    if Cursor::is_undefined_offset(info.fractal_heap_address, offset) {
        return Ok(());
    }
    let heap = FractalHeap::parse_at_storage(storage, info.fractal_heap_address, offset, length).map_err(damaged)?;
    let tree = BTreeV2Header::parse_at_storage(storage, info.btree_name_index_address, offset, length);
    let tree = tree.map_err(damaged)?;
    let records = collect_btree_v2_records_storage(storage, &tree, offset, length, None, &[], None);
    let mut blocks = FractalHeapDirectBlockCache::default();
    for record in records.map_err(damaged)? {
        let (BTreeV2Record::LinkNameHash { heap_id, .. } | BTreeV2Record::CreationOrder { heap_id, .. }) = &record
        else {
            continue;
        };
        let message = heap.get_object_storage_cached(heap_id, storage, offset, length, &mut blocks).map_err(damaged)?;
        let message = link::parse(&mut Cursor::new(&message), offset, length, message.len()).map_err(damaged)?;
        found.push(from_message(message));
    }
    Ok(())
}
