//! B-trees of version 1 ("HDF5 File Format Specification", III.A.1): over the names of a group and
//! over the chunks of a dataset.

use girih_model::Result;

use super::header::UNDEFINED;
use super::image::Image;

const HEADER: usize = 24;

/// What kind of tree it is.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Names,
    /// Bytes of every chunk.
    Chunks(u32),
}

impl Kind {
    /// Most children of a node: the defaults, which hold without a message in the superblock.
    fn children(self) -> usize {
        match self {
            Self::Names => 32,
            Self::Chunks(_) => 64,
        }
    }

    fn key_size(self) -> usize {
        match self {
            Self::Names => 8,
            Self::Chunks(_) => 24,
        }
    }

    fn node_size(self) -> usize {
        HEADER + self.children() * (self.key_size() + 8) + self.key_size()
    }

    fn push_key(self, key: u64, node: &mut Vec<u8>) {
        if let Self::Chunks(bytes) = self {
            // No filter is skipped.
            node.extend_from_slice(&u64::from(bytes).to_le_bytes());
        }
        node.extend_from_slice(&key.to_le_bytes());
        if let Self::Chunks(_) = self {
            // The offset within an item.
            node.extend_from_slice(&[0; 8]);
        }
    }
}

/// Over symbol tables: `(key before it, address)`, keys being offsets into the local heap.
pub(super) fn of_names(image: &mut Image, tables: Vec<(u64, u64)>, last: u64) -> Result<u64> {
    build(image, Kind::Names, tables, last)
}

/// Over chunks without filters of a dataset with one axis: `(first row, address)`; `rows` is where the last one ends.
pub(super) fn of_chunks(image: &mut Image, chunk_bytes: u32, chunks: Vec<(u64, u64)>, rows: u64) -> Result<u64> {
    build(image, Kind::Chunks(chunk_bytes), chunks, rows)
}

fn build(image: &mut Image, kind: Kind, entries: Vec<(u64, u64)>, last: u64) -> Result<u64> {
    let mut level = 0;
    let mut entries = entries;
    loop {
        let start = image.next();
        let (size, most) = (kind.node_size() as u64, kind.children());
        let nodes = entries.len().div_ceil(most).max(1);
        let mut parents = Vec::with_capacity(nodes);
        for n in 0..nodes {
            let children = &entries[n * most..entries.len().min((n + 1) * most)];
            let next = entries.get((n + 1) * most).map_or(last, |entry| entry.0);
            let left = if n == 0 { UNDEFINED } else { start + (n as u64 - 1) * size };
            let right = if n + 1 == nodes { UNDEFINED } else { start + (n as u64 + 1) * size };
            let address = image.push(&node(kind, level, children, next, left, right))?;
            parents.push((children.first().map_or(last, |entry| entry.0), address));
        }
        if let [(_, root)] = parents[..] {
            return Ok(root);
        }
        entries = parents;
        level += 1;
    }
}

fn node(kind: Kind, level: u8, children: &[(u64, u64)], last: u64, left: u64, right: u64) -> Vec<u8> {
    let mut node = b"TREE".to_vec();
    node.extend_from_slice(&[u8::from(matches!(kind, Kind::Chunks(_))), level]);
    node.extend_from_slice(&(children.len() as u16).to_le_bytes());
    node.extend_from_slice(&left.to_le_bytes());
    node.extend_from_slice(&right.to_le_bytes());
    for (key, child) in children {
        kind.push_key(*key, &mut node);
        node.extend_from_slice(&child.to_le_bytes());
    }
    kind.push_key(last, &mut node);
    node.resize(kind.node_size(), 0);
    node
}

#[cfg(test)]
mod tests {
    use super::super::header::SUPERBLOCK;
    use super::*;

    fn number(bytes: &[u8], at: usize, len: usize) -> u64 {
        bytes[at..at + len].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }

    /// Goes down to the one child that a row can be in, as a reader does.
    fn find(file: &[u8], root: u64, row: u64) -> u64 {
        let mut at = root as usize;
        loop {
            assert_eq!(&file[at..at + 5], b"TREE\x01");
            let (level, used) = (file[at + 5], number(file, at + 6, 2) as usize);
            let first_row = |n: usize| number(file, at + HEADER + n * 32 + 8, 8);
            let n =
                (0..used).find(|n| (first_row(*n)..first_row(n + 1)).contains(&row)).expect("the keys cover all rows");
            assert_eq!(number(file, at + HEADER + n * 32, 4), 80);
            let child = number(file, at + HEADER + n * 32 + 24, 8);
            if level == 0 {
                return child;
            }
            at = child as usize;
        }
    }

    #[test]
    fn every_chunk_is_found() {
        for count in [1u64, 64, 65, 64 * 64, 64 * 64 + 1] {
            let chunks: Vec<_> = (0..count).map(|n| (10 * n, 1_000_000 + n)).collect();
            let root = std::cell::Cell::new(0);
            let (file, _) = Image::build(0, 1 << 30, |image| {
                root.set(of_chunks(image, 80, chunks.clone(), 10 * count)?);
                Ok(root.get())
            })
            .unwrap();
            assert!(root.get() >= SUPERBLOCK as u64);
            for (row, address) in chunks {
                assert_eq!(find(&file, root.get(), row), address);
                assert_eq!(find(&file, root.get(), row + 9), address);
            }
        }
    }
}
