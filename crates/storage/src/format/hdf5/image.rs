//! The metadata of a file as it grows in memory: superblock, heap of variable-length values, objects.
//!
//! Everything is built bottom-up, so that every address is known when it is written down. How long
//! the parts are is known only after they were built: so a file is built twice, the first time to
//! measure.

use girih_model::{Error, Result};

use super::header::{SUPERBLOCK, superblock};
use super::heap::Heap;

/// Where the parts of a file begin, one behind the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts {
    /// Objects: headers, trees and tables.
    pub(super) objects: u64,
    /// Data of the datasets.
    pub(super) data: u64,
}

pub(super) struct Image {
    parts: Parts,
    pub(super) heap: Heap,
    values: Vec<u8>,
    objects: Vec<u8>,
    limit: u64,
}

impl Image {
    /// Builds with two passes of `build`, which returns the address of the root group; the result is
    /// all metadata, and where the `data_bytes` of data begin.
    ///
    /// # Errors
    /// `NotAcceptable` for more than `limit` bytes of metadata.
    pub(super) fn build(
        data_bytes: u64,
        limit: u64,
        build: impl Fn(&mut Self) -> Result<u64>,
    ) -> Result<(Vec<u8>, u64)> {
        let start = SUPERBLOCK as u64;
        let mut measured = Self::new(Parts { objects: start, data: start }, limit);
        build(&mut measured)?;
        measured.finish_values();
        let objects = start + measured.values.len() as u64;
        let data = objects + measured.objects.len() as u64;
        drop((measured.values, measured.objects));

        let mut image = Self::new(Parts { objects, data }, limit);
        let root = build(&mut image)?;
        image.finish_values();
        let end =
            data.checked_add(data_bytes).ok_or_else(|| Error::not_acceptable("This export would be too large."))?;
        let mut bytes = superblock(end, root);
        bytes.append(&mut image.values);
        bytes.append(&mut image.objects);
        debug_assert_eq!(bytes.len() as u64, data);
        Ok((bytes, data))
    }

    fn new(parts: Parts, limit: u64) -> Self {
        Self { parts, heap: Heap::new(SUPERBLOCK as u64), values: Vec::new(), objects: Vec::new(), limit }
    }

    fn finish_values(&mut self) {
        let mut last = self.heap.finish();
        self.values.append(&mut last);
    }

    /// Where the next object will lie.
    pub(super) fn next(&self) -> u64 {
        self.parts.objects + self.objects.len() as u64
    }

    /// Appends an object; returns its address, a multiple of eight.
    pub(super) fn push(&mut self, object: &[u8]) -> Result<u64> {
        let address = self.next();
        self.objects.extend_from_slice(object);
        self.objects.resize(self.objects.len().next_multiple_of(8), 0);
        let mut closed = self.heap.take();
        self.values.append(&mut closed);
        if (self.objects.len() + self.values.len()) as u64 > self.limit {
            return Err(Error::not_acceptable(format!(
                "The metadata of this export would need more than {} bytes at once. Export a part of it.",
                self.limit
            )));
        }
        Ok(address)
    }

    /// The address of a byte of the data.
    pub(super) fn data(&self, offset: u64) -> u64 {
        self.parts.data + offset
    }
}
