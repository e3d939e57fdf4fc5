//! Global heaps: where values of variable length lie ("HDF5 File Format Specification", III.E).
//!
//! A heap is a row of collections, each at least 4096 bytes.

use super::datatype::REFERENCE;

/// Bytes of a collection, unless one value needs more.
const COLLECTION: u64 = 64 << 10;
const SMALLEST: u64 = 4096;
/// Of a collection and of every object in it.
const HEADER: u64 = 16;
const MAX_OBJECTS: u16 = u16::MAX;

/// Foretells how many bytes a heap takes.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter {
    /// Bytes of the open collection; 0 when none is open.
    used: u64,
    objects: u16,
    closed: u64,
}

impl Meter {
    /// Whether a value of this length needs a new collection.
    fn is_full_for(&self, len: u64) -> bool {
        self.used > 0 && (self.used + object(len) > COLLECTION || self.objects == MAX_OBJECTS)
    }

    pub(super) fn add(&mut self, len: usize) {
        let len = len as u64;
        if len == 0 {
            return;
        }
        if self.is_full_for(len) {
            self.close();
        }
        if self.used == 0 {
            (self.used, self.objects) = (HEADER, 0);
        }
        self.used += object(len);
        self.objects += 1;
    }

    fn close(&mut self) {
        if self.used > 0 {
            self.closed += self.used.max(SMALLEST);
            self.used = 0;
        }
    }

    /// Bytes so far, after closing the open collection.
    pub(super) fn total(&mut self) -> u64 {
        self.close();
        self.closed
    }
}

fn object(len: u64) -> u64 {
    HEADER + len.next_multiple_of(8)
}

/// Writes a heap that begins at a known address.
#[derive(Debug)]
pub(super) struct Heap {
    start: u64,
    meter: Meter,
    /// The open collection.
    open: Vec<u8>,
    /// Closed collections that have not been taken yet.
    done: Vec<u8>,
}

impl Heap {
    pub(super) fn new(start: u64) -> Self {
        Self { start, meter: Meter::default(), open: Vec::new(), done: Vec::new() }
    }

    /// Stores a value; returns the reference that a dataset or attribute keeps (III.E, IV.A.2.d).
    pub(super) fn add(&mut self, value: &[u8]) -> [u8; REFERENCE] {
        let mut reference = [0; REFERENCE];
        if value.is_empty() {
            return reference;
        }
        let len = value.len() as u64;
        if self.meter.is_full_for(len) {
            self.close();
        }
        self.meter.add(value.len());
        if self.open.is_empty() {
            self.open.resize(HEADER as usize, 0);
        }
        let index = self.meter.objects;
        self.open.extend_from_slice(&index.to_le_bytes());
        self.open.extend_from_slice(&[1, 0, 0, 0, 0, 0]);
        self.open.extend_from_slice(&len.to_le_bytes());
        self.open.extend_from_slice(value);
        self.open.resize(self.open.len().next_multiple_of(8), 0);
        reference[..4].copy_from_slice(&(len as u32).to_le_bytes());
        reference[4..12].copy_from_slice(&(self.start + self.meter.closed).to_le_bytes());
        reference[12..].copy_from_slice(&u32::from(index).to_le_bytes());
        reference
    }

    fn close(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let used = self.open.len() as u64;
        let size = used.max(SMALLEST);
        self.open.resize(size as usize, 0);
        self.open[..8].copy_from_slice(b"GCOL\x01\0\0\0");
        self.open[8..16].copy_from_slice(&size.to_le_bytes());
        if size - used >= HEADER {
            // Object 0 is the free space, its header included.
            let at = used as usize + 8;
            self.open[at..at + 8].copy_from_slice(&(size - used).to_le_bytes());
        }
        self.done.append(&mut self.open);
        self.meter.close();
    }

    /// Takes the closed collections.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.done)
    }

    /// Closes the open collection and takes all; what is added later begins right behind.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        self.close();
        self.take()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_meter_foretells_the_heap(lengths in proptest::collection::vec(0usize..70_000, 0..200)) {
            let mut meter = Meter::default();
            let mut heap = Heap::new(1000);
            let mut file = vec![0; 1000];
            let mut references = Vec::new();
            for len in &lengths {
                meter.add(*len);
                references.push(heap.add(&vec![*len as u8; *len]));
                file.extend(heap.take());
            }
            file.extend(heap.finish());
            prop_assert_eq!(meter.total(), file.len() as u64 - 1000);
            for (len, reference) in lengths.iter().zip(references) {
                prop_assert_eq!(find(&file, reference), vec![*len as u8; *len]);
            }
        }
    }

    /// Follows a reference, walking over the objects of its collection.
    fn find(file: &[u8], reference: [u8; REFERENCE]) -> Vec<u8> {
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
        let len = number(&reference[..4]);
        if len == 0 {
            return Vec::new();
        }
        let collection = &file[number(&reference[4..12])..];
        assert_eq!(&collection[..4], b"GCOL");
        let end = number(&collection[8..16]);
        let mut at = 16;
        while at < end {
            let size = number(&collection[at + 8..at + 16]);
            if number(&collection[at..at + 2]) == number(&reference[12..]) {
                assert_eq!(size, len);
                return collection[at + 16..at + 16 + len].to_vec();
            }
            at += 16 + size.next_multiple_of(8);
        }
        panic!("no such object");
    }
}
