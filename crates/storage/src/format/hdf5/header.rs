//! Object headers and the messages in them ("HDF5 File Format Specification", IV.A).

use girih_model::{Error, Result};

use super::checksum::checksum;

/// An address that stands for "nothing there".
pub(super) const UNDEFINED: u64 = u64::MAX;

const DATASPACE: u8 = 0x01;
const LINK_INFO: u8 = 0x02;
const DATATYPE: u8 = 0x03;
const FILL_VALUE: u8 = 0x05;
const LINK: u8 = 0x06;
const DATA_LAYOUT: u8 = 0x08;
const GROUP_INFO: u8 = 0x0a;
const ATTRIBUTE: u8 = 0x0c;
const SYMBOL_TABLE: u8 = 0x11;

/// Extent of a dataset or attribute.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Dataspace {
    /// Nothing at all: h5py's `Empty`.
    Null,
    /// No axes: one item.
    Simple(Vec<u64>),
}

impl Dataspace {
    /// Version 2 of the message (IV.A.2.b).
    pub(super) fn encode(&self) -> Vec<u8> {
        let (kind, shape): (u8, &[u64]) = match self {
            Self::Null => (2, &[]),
            Self::Simple(shape) => (u8::from(!shape.is_empty()), shape),
        };
        let mut message = vec![2, shape.len() as u8, 0, kind];
        shape.iter().for_each(|len| message.extend_from_slice(&len.to_le_bytes()));
        message
    }
}

/// Where the items of a dataset lie.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Layout {
    Contiguous {
        address: u64,
        bytes: u64,
    },
    /// Chunks of rows of a dataset with one axis, found through a B-tree.
    Chunked {
        index: u64,
        rows: u32,
        itemsize: u32,
    },
}

/// An object header under construction; version 2 (IV.A.1.b), without times.
pub(super) struct Header {
    messages: Vec<u8>,
}

impl Header {
    /// A group whose links are in its header, in their order of creation.
    pub(super) fn group(links: u64) -> Result<Self> {
        let mut header = Self { messages: Vec::new() };
        // Creation order is tracked, not indexed; neither heap nor B-trees.
        let mut info = vec![0, 1];
        for field in [links, UNDEFINED, UNDEFINED] {
            info.extend_from_slice(&field.to_le_bytes());
        }
        header.push(LINK_INFO, &info)?;
        header.push(GROUP_INFO, &[0, 0])?;
        Ok(header)
    }

    /// A group whose links are in a symbol table, in the order of their names.
    pub(super) fn large_group(tree: u64, heap: u64) -> Result<Self> {
        let mut header = Self { messages: Vec::new() };
        header.push(SYMBOL_TABLE, &[tree.to_le_bytes(), heap.to_le_bytes()].concat())?;
        Ok(header)
    }

    pub(super) fn dataset(space: &Dataspace, datatype: &[u8], layout: &Layout) -> Result<Self> {
        let mut header = Self { messages: Vec::new() };
        header.push(DATASPACE, &space.encode())?;
        header.push(DATATYPE, datatype)?;
        let mut message = vec![3];
        let allocation_time = match layout {
            Layout::Contiguous { address, bytes } => {
                message.push(1);
                message.extend_from_slice(&address.to_le_bytes());
                message.extend_from_slice(&bytes.to_le_bytes());
                2
            }
            Layout::Chunked { index, rows, itemsize } => {
                message.extend_from_slice(&[2, 2]);
                message.extend_from_slice(&index.to_le_bytes());
                message.extend_from_slice(&rows.to_le_bytes());
                message.extend_from_slice(&itemsize.to_le_bytes());
                3
            }
        };
        // Version 3; written if the user sets it; the default, zero.
        header.push(FILL_VALUE, &[3, 2 << 2 | allocation_time])?;
        header.push(DATA_LAYOUT, &message)?;
        Ok(header)
    }

    /// A hard link, the n-th of its group.
    pub(super) fn link(&mut self, n: u64, name: &str, address: u64) -> Result<()> {
        // Creation order and character set are given; the length of the name takes four bytes.
        let mut message = vec![1, 1 << 4 | 1 << 2 | 2];
        message.extend_from_slice(&n.to_le_bytes());
        message.push(1);
        message.extend_from_slice(&(name.len() as u32).to_le_bytes());
        message.extend_from_slice(name.as_bytes());
        message.extend_from_slice(&address.to_le_bytes());
        self.push(LINK, &message)
    }

    /// Version 3 of the message (IV.A.2.m).
    pub(super) fn attribute(&mut self, name: &str, datatype: &[u8], space: &Dataspace, data: &[u8]) -> Result<()> {
        let space = space.encode();
        let mut message = vec![3, 0];
        for len in [name.len() + 1, datatype.len(), space.len()] {
            let len = u16::try_from(len).map_err(|_| too_large(ATTRIBUTE))?;
            message.extend_from_slice(&len.to_le_bytes());
        }
        message.push(1);
        message.extend_from_slice(name.as_bytes());
        message.push(0);
        message.extend_from_slice(datatype);
        message.extend_from_slice(&space);
        message.extend_from_slice(data);
        self.push(ATTRIBUTE, &message)
    }

    fn push(&mut self, kind: u8, message: &[u8]) -> Result<()> {
        let len = u16::try_from(message.len()).map_err(|_| too_large(kind))?;
        self.messages.push(kind);
        self.messages.extend_from_slice(&len.to_le_bytes());
        self.messages.push(0);
        self.messages.extend_from_slice(message);
        Ok(())
    }

    pub(super) fn encode(self) -> Vec<u8> {
        let mut block = b"OHDR\x02\x02".to_vec();
        block.extend_from_slice(&(self.messages.len() as u32).to_le_bytes());
        block.extend_from_slice(&self.messages);
        seal(block)
    }
}

/// Appends its checksum to a metadata block.
fn seal(mut block: Vec<u8>) -> Vec<u8> {
    let sum = checksum(&block);
    block.extend_from_slice(&sum.to_le_bytes());
    block
}

/// Bytes of a superblock.
pub(super) const SUPERBLOCK: usize = 48;

/// The superblock, version 2 (II.A).
pub(super) fn superblock(end_of_file: u64, root: u64) -> Vec<u8> {
    let mut block = b"\x89HDF\r\n\x1a\n\x02\x08\x08\x00".to_vec();
    for field in [0, UNDEFINED, end_of_file, root] {
        block.extend_from_slice(&field.to_le_bytes());
    }
    seal(block)
}

fn too_large(kind: u8) -> Error {
    let what = match kind {
        DATATYPE => "A structured dtype with so many fields",
        LINK => "A key as long as this",
        _ => "An attribute as large as this",
    };
    Error::not_acceptable(format!(
        "{what} does not fit into an HDF5 file: a header message has at most 65535 bytes. Request another format."
    ))
}
