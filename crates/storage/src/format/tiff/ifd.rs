//! The directories of a file that is read, and the values of their tags (TIFF 6.0, section 2; BigTIFF).
//!
//! A value is read when it is asked for, and of a long list only the number that is.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use girih_model::{Error, Result, ResultExt};

/// Most tags of a directory, as in tifffile.
const MAX_TAGS: u64 = 4096;
/// What is read at once of a directory: few are longer, and what their tags point at often follows them.
const WINDOW: u64 = 1024;
/// Longest value that is read whole, in bytes.
const MAX_VALUE: u64 = 64 << 20;

pub(super) fn damaged(why: &dyn std::fmt::Display) -> Error {
    Error::damaged(format!("The TIFF file cannot be read: {why}."))
}

/// A file that begins like a TIFF.
#[derive(Debug, Clone)]
pub(super) struct Source {
    file: Arc<File>,
    len: u64,
    pub(super) header: Header,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    is_big: bool,
    pub(super) is_little: bool,
    /// Where the first directory lies.
    pub(super) first: u64,
}

impl Source {
    /// # Errors
    /// `Damaged` for a file that ends too early.
    pub(super) fn open(file: Arc<File>) -> Result<Self> {
        let len = file.metadata().or_error(|e| damaged(&e))?.len();
        let mut source = Self { file, len, header: Header { is_big: false, is_little: true, first: 0 } };
        if len == 0 {
            return Err(Error::damaged("The TIFF file is empty."));
        }
        let start = source.read(0, 8)?;
        source.header.is_little = match &start[..2] {
            b"II" => true,
            b"MM" => false,
            _ => return Err(damaged(&"it does not begin like one")),
        };
        source.header.is_big = match source.number(&start[2..4]) {
            42 => false,
            43 => true,
            _ => return Err(damaged(&"it does not begin like one")),
        };
        source.header.first = match source.header.is_big {
            true => source.number(&source.read(8, 8)?),
            false => source.number(&start[4..]),
        };
        Ok(source)
    }

    /// Bytes of the file.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn read(&self, at: u64, len: u64) -> Result<Vec<u8>> {
        if at.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(Error::damaged("The TIFF file is shorter than it says."));
        }
        let mut bytes = vec![0; len as usize];
        self.file.read_exact_at(&mut bytes, at).or_error(|e| damaged(&e))?;
        Ok(bytes)
    }

    fn number(&self, bytes: &[u8]) -> u64 {
        let fold = |n: u64, byte: &u8| n << 8 | u64::from(*byte);
        if self.header.is_little { bytes.iter().rev().fold(0, fold) } else { bytes.iter().fold(0, fold) }
    }

    pub(super) fn directory(&self, at: u64) -> Result<Directory<'_>> {
        let (count_bytes, entry_bytes, next_bytes) = if self.header.is_big { (8, 20, 8) } else { (2, 12, 4) };
        let mut window = self.read(at, WINDOW.min(self.len.saturating_sub(at)).max(count_bytes))?;
        let count = self.number(&window[..count_bytes as usize]);
        if count > MAX_TAGS {
            return Err(damaged(&format!("a directory says that it has {count} tags")));
        }
        let end = (count_bytes + count * entry_bytes) as usize;
        if window.len() < end + next_bytes {
            window = self.read(at, (end + next_bytes) as u64)?;
        }
        let mut entries = Vec::with_capacity(count as usize);
        let (wide, inline) = if self.header.is_big { (8, 8) } else { (4, 4) };
        for n in 0..count {
            let start = (count_bytes + n * entry_bytes) as usize;
            let entry = &window[start..start + entry_bytes as usize];
            let (tag, kind) = (self.number(&entry[..2]) as u16, self.number(&entry[2..4]) as u16);
            let (Some(kind), count) = (Kind::of(kind), self.number(&entry[4..4 + wide])) else { continue };
            let fits = count.checked_mul(kind.bytes).is_some_and(|len| len <= inline);
            let place = if fits { at + (start + 4 + wide) as u64 } else { self.number(&entry[4 + wide..]) };
            entries.push(Entry { tag, kind, count, at: place });
        }
        let next = self.number(&window[end..end + next_bytes]);
        Ok(Directory { source: self, at, window, entries, next })
    }
}

/// The tags of a page.
pub(super) struct Directory<'a> {
    source: &'a Source,
    at: u64,
    window: Vec<u8>,
    pub(super) entries: Vec<Entry>,
    /// Where the next directory lies, or zero.
    pub(super) next: u64,
}

/// Where the values of a tag lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) tag: u16,
    pub(super) kind: Kind,
    pub(super) count: u64,
    at: u64,
}

/// A type of numbers (section 2 and Supplement 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) of: Of,
    /// Of one value.
    pub(super) bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Unsigned,
    Signed,
    Text,
    Bytes,
    /// Two numbers, of which the second is the denominator.
    Ratio,
    SignedRatio,
    Real,
}

impl Kind {
    fn of(number: u16) -> Option<Self> {
        let (of, bytes) = match number {
            1 => (Of::Unsigned, 1),
            2 => (Of::Text, 1),
            3 => (Of::Unsigned, 2),
            4 | 13 => (Of::Unsigned, 4),
            5 => (Of::Ratio, 8),
            6 => (Of::Signed, 1),
            7 => (Of::Bytes, 1),
            8 => (Of::Signed, 2),
            9 => (Of::Signed, 4),
            10 => (Of::SignedRatio, 8),
            11 => (Of::Real, 4),
            12 => (Of::Real, 8),
            16 | 18 => (Of::Unsigned, 8),
            17 => (Of::Signed, 8),
            _ => return None,
        };
        Some(Self { of, bytes })
    }
}

impl Directory<'_> {
    fn entry(&self, tag: u16) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.tag == tag)
    }

    pub(super) fn has(&self, tag: u16) -> bool {
        self.entry(tag).is_some()
    }

    pub(super) fn count(&self, tag: u16) -> u64 {
        self.entry(tag).map_or(0, |entry| entry.count)
    }

    /// The bytes of some values.
    fn values(&self, entry: &Entry, first: u64, count: u64) -> Result<Vec<u8>> {
        let (start, len) = (entry.at.checked_add(first * entry.kind.bytes), count * entry.kind.bytes);
        let start = start.ok_or_else(|| damaged(&"a tag lies nowhere"))?;
        if len > MAX_VALUE {
            return Err(damaged(&format!("the tag {} has {count} values", entry.tag)));
        }
        let within = start.checked_sub(self.at).and_then(|at| self.window.get(at as usize..)?.get(..len as usize));
        within.map_or_else(|| self.source.read(start, len), |bytes| Ok(bytes.to_vec()))
    }

    /// One number of a tag; `None` when there are not so many.
    pub(super) fn number(&self, tag: u16, n: u64) -> Result<Option<u64>> {
        let Some(entry) = self.entry(tag).filter(|entry| n < entry.count && entry.is_whole()) else { return Ok(None) };
        Ok(Some(self.source.number(&self.values(entry, n, 1)?)))
    }

    /// The numbers of a tag, at most so many.
    pub(super) fn numbers(&self, tag: u16, most: u64) -> Result<Vec<u64>> {
        let Some(entry) = self.entry(tag).filter(|entry| entry.is_whole()) else { return Ok(Vec::new()) };
        let bytes = self.values(entry, 0, entry.count.min(most))?;
        Ok(bytes.chunks_exact(entry.kind.bytes as usize).map(|number| self.source.number(number)).collect())
    }

    pub(super) fn bytes(&self, tag: u16) -> Result<Option<Vec<u8>>> {
        self.entry(tag).filter(|entry| entry.kind.bytes == 1).map(|entry| self.raw(entry)).transpose()
    }

    /// All bytes of a tag.
    fn raw(&self, entry: &Entry) -> Result<Vec<u8>> {
        self.values(entry, 0, entry.count.min(MAX_VALUE))
    }

    /// The texts of a tag, which may stand in a directory more than once.
    pub(super) fn texts(&self, tag: u16) -> Result<Vec<String>> {
        let of = self.entries.iter().filter(|entry| entry.tag == tag && entry.kind.of == Of::Text);
        of.map(|entry| Ok(text(&self.raw(entry)?))).collect()
    }

    /// The values of a tag, each made of its bytes, the most significant first.
    pub(super) fn each<T>(&self, entry: &Entry, mut make: impl FnMut(&[u8]) -> T) -> Result<Vec<T>> {
        let mut bytes = self.raw(entry)?;
        let width = match entry.kind.of {
            Of::Ratio | Of::SignedRatio => 4,
            _ => entry.kind.bytes as usize,
        };
        if self.source.header.is_little {
            bytes.chunks_exact_mut(width).for_each(<[u8]>::reverse);
        }
        Ok(bytes.chunks_exact(width).map(&mut make).collect())
    }
}

impl Entry {
    fn is_whole(&self) -> bool {
        matches!(self.kind.of, Of::Unsigned | Of::Signed)
    }
}

/// Without what pads it; bytes that are not UTF-8 are taken as Latin-1.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let text = match std::str::from_utf8(&bytes[..end]) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes[..end].iter().map(|byte| char::from(*byte)).collect(),
    };
    text.trim().to_owned()
}
