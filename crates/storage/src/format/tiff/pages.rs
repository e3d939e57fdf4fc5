//! Where the pages of a file lie: the chain of its directories (TIFF 6.0, section 2; BigTIFF), walked once.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, LazyLock};

use girih_model::{Error, Result, ResultExt};
use moka::sync::Cache;
use tiff::decoder::{ChunkType, Decoder, Limits};
use tiff::tags::Tag;

use crate::format::guard::guarded;
use crate::place::file::Stamp;

/// Most pages of a file.
const MAX_PAGES: usize = 1 << 20;
/// Largest strip or tile, decoded, in bytes.
pub(super) const MAX_CHUNK: usize = 256 << 20;
/// About the most pages that are remembered, of all files.
const REMEMBERED: u64 = 1 << 20;

static KNOWN: LazyLock<Cache<Stamp, Arc<Pages>>> = LazyLock::new(|| {
    let weigh = |_: &Stamp, pages: &Arc<Pages>| u32::try_from(pages.offsets.len() + 64).unwrap_or(u32::MAX);
    Cache::builder().max_capacity(REMEMBERED).weigher(weigh).build()
});

#[derive(Debug)]
pub(super) struct Pages {
    pub(super) header: Header,
    /// Of the directory of each page.
    pub(super) offsets: Vec<u64>,
    pub(super) first: Geometry,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    is_big: bool,
    pub(super) is_little: bool,
}

/// How a page is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) samples: u32,
    /// Each sample lies in a plane of its own.
    pub(super) is_planar: bool,
    /// Bits of a sample.
    pub(super) bits: u16,
    /// Zero is white: the decoder turns the values over.
    pub(super) is_inverted: bool,
    pub(super) is_tiled: bool,
    /// Of a tile or strip.
    pub(super) chunk_width: u32,
    pub(super) chunk_height: u32,
    pub(super) is_lzw: bool,
    /// What was done to the samples before they were compressed (section 14): 1 is nothing.
    pub(super) predictor: u16,
}

impl Geometry {
    /// Strips or tiles of a plane.
    pub(super) fn chunks_across(&self) -> u32 {
        self.width.div_ceil(self.chunk_width)
    }

    pub(super) fn chunks_down(&self) -> u32 {
        self.height.div_ceil(self.chunk_height)
    }
}

impl Pages {
    /// # Errors
    /// `Busy` for a file that ends within a directory: it may still be written.
    pub(super) fn of(file: &Arc<File>) -> Result<Arc<Self>> {
        let stamp = Stamp::of(file);
        if let Some(pages) = stamp.and_then(|stamp| KNOWN.get(&stamp)) {
            return Ok(pages);
        }
        let (header, offsets) = walk(file)?;
        let first = offsets.first().ok_or_else(|| damaged(&"it has no pages"))?;
        let first = geometry(&mut decoder(file, header, *first)?)?;
        let pages = Arc::new(Self { header, offsets, first });
        if let Some(stamp) = stamp {
            KNOWN.insert(stamp, pages.clone());
        }
        Ok(pages)
    }

    /// A decoder that begins with this page.
    pub(super) fn decoder(&self, file: &Arc<File>, page: usize) -> Result<Decoder<PageReader>> {
        let offset = self.offsets.get(page).ok_or_else(|| damaged(&"it has fewer pages"))?;
        decoder(file, self.header, *offset)
    }
}

pub(super) fn damaged(why: &dyn std::fmt::Display) -> Error {
    Error::storage_failed(format!("The TIFF file cannot be read: {why}."))
}

/// What the library does may end in a panic when a file contradicts itself.
pub(super) fn decoded<T>(decode: impl FnOnce() -> tiff::TiffResult<T>) -> Result<T> {
    guarded(decode).ok_or_else(|| damaged(&"it contradicts itself"))?.or_error(|e| damaged(&e))
}

fn decoder(file: &Arc<File>, header: Header, offset: u64) -> Result<Decoder<PageReader>> {
    let reader = PageReader::new(file.clone(), header, offset)?;
    let decoder = decoded(|| Decoder::new(reader))?;
    let mut limits = Limits::default();
    limits.decoding_buffer_size = MAX_CHUNK;
    limits.intermediate_buffer_size = MAX_CHUNK;
    limits.ifd_value_size = 64 << 20;
    Ok(decoder.with_limits(limits))
}

pub(super) fn geometry(decoder: &mut Decoder<PageReader>) -> Result<Geometry> {
    decoded(|| {
        let (width, height) = decoder.dimensions()?;
        let samples = decoder.find_tag_unsigned::<u32>(Tag::SamplesPerPixel)?.unwrap_or(1);
        let planar = decoder.find_tag_unsigned::<u16>(Tag::PlanarConfiguration)?.unwrap_or(1);
        let bits = decoder.find_tag_unsigned_vec::<u16>(Tag::BitsPerSample)?.unwrap_or_else(|| vec![1]);
        let photometric = decoder.find_tag_unsigned::<u16>(Tag::PhotometricInterpretation)?;
        let compression = decoder.find_tag_unsigned::<u16>(Tag::Compression)?;
        let predictor = decoder.find_tag_unsigned::<u16>(Tag::Predictor)?.unwrap_or(1);
        let (chunk_width, chunk_height) = decoder.chunk_dimensions();
        let is_tiled = decoder.get_chunk_type() == ChunkType::Tile;
        Ok(Geometry {
            width,
            height,
            samples: samples.max(1),
            is_planar: planar == 2 && samples > 1,
            bits: bits.first().copied().unwrap_or(1),
            is_inverted: photometric == Some(0),
            is_tiled,
            chunk_width: chunk_width.max(1),
            chunk_height: chunk_height.clamp(1, if is_tiled { u32::MAX } else { height.max(1) }),
            is_lzw: compression == Some(5),
            predictor,
        })
    })
}

/// The header and the place of each directory.
fn walk(file: &File) -> Result<(Header, Vec<u64>)> {
    let len = file.metadata().or_error(|e| damaged(&e))?.len();
    let read = |at: u64, buffer: &mut [u8]| {
        if at.checked_add(buffer.len() as u64).is_none_or(|end| end > len) {
            return Err(Error::busy("The TIFF file ends within a directory. It may still be written: try again."));
        }
        file.read_exact_at(buffer, at).or_error(|e| damaged(&e))
    };
    let mut start = [0; 16];
    read(0, &mut start[..8])?;
    let is_little = match &start[..2] {
        b"II" => true,
        b"MM" => false,
        _ => return Err(damaged(&"it does not begin like one")),
    };
    let number = |bytes: &[u8]| {
        let fold = |n: u64, byte: &u8| n << 8 | u64::from(*byte);
        if is_little { bytes.iter().rev().fold(0, fold) } else { bytes.iter().fold(0, fold) }
    };
    let is_big = match number(&start[2..4]) {
        42 => false,
        43 => true,
        _ => return Err(damaged(&"it does not begin like one")),
    };
    if is_big {
        read(8, &mut start[8..])?;
    }
    let mut next = if is_big { number(&start[8..16]) } else { number(&start[4..8]) };
    let (count_bytes, entry_bytes, next_bytes) = if is_big { (8, 20, 8) } else { (2, 12, 4) };
    let (mut offsets, mut seen) = (Vec::new(), HashSet::new());
    while next != 0 {
        if !seen.insert(next) {
            return Err(damaged(&"its pages follow one another in a circle"));
        }
        if offsets.len() == MAX_PAGES {
            return Err(damaged(&format!("it has more than {MAX_PAGES} pages")));
        }
        offsets.push(next);
        let mut bytes = [0; 8];
        read(next, &mut bytes[..count_bytes])?;
        let entries = number(&bytes[..count_bytes]);
        let end = entries
            .checked_mul(entry_bytes)
            .and_then(|len| len.checked_add(next)?.checked_add(count_bytes as u64))
            .ok_or_else(|| damaged(&"a directory is too long"))?;
        read(end, &mut bytes[..next_bytes])?;
        next = number(&bytes[..next_bytes]);
    }
    Ok((Header { is_big, is_little }, offsets))
}

/// The file, whose header names one of its pages as the first: so no directory before it is looked at.
#[derive(Debug)]
pub(super) struct PageReader {
    file: Arc<File>,
    header: Vec<u8>,
    at: u64,
    len: u64,
    /// What was read last, for the library asks for a few bytes at a time.
    window: Vec<u8>,
    window_at: u64,
}

/// Bytes that are read at once where few are asked for.
const WINDOW: usize = 4096;

impl PageReader {
    fn new(file: Arc<File>, header: Header, offset: u64) -> Result<Self> {
        let mut bytes = if header.is_little { b"II".to_vec() } else { b"MM".to_vec() };
        let mut push = |number: u64, len: usize| match header.is_little {
            true => bytes.extend(&number.to_le_bytes()[..len]),
            false => bytes.extend(&number.to_be_bytes()[8 - len..]),
        };
        if header.is_big {
            push(43, 2);
            push(8, 2);
            push(0, 2);
            push(offset, 8);
        } else {
            push(42, 2);
            push(offset, 4);
        }
        let len = file.metadata().or_error(|e| damaged(&e))?.len();
        Ok(Self { file, header: bytes, at: 0, len, window: Vec::new(), window_at: 0 })
    }
}

impl Read for PageReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let given = if let Some(rest) = self.header.get(self.at as usize..).filter(|rest| !rest.is_empty()) {
            let len = rest.len().min(buffer.len());
            buffer[..len].copy_from_slice(&rest[..len]);
            len
        } else if buffer.len() >= WINDOW {
            self.file.read_at(buffer, self.at)?
        } else {
            let start = self.at.checked_sub(self.window_at).filter(|start| *start < self.window.len() as u64);
            if start.is_none() {
                self.window.resize(WINDOW, 0);
                let read = self.file.read_at(&mut self.window, self.at)?;
                self.window.truncate(read);
                self.window_at = self.at;
            }
            let rest = &self.window[start.unwrap_or_default() as usize..];
            let len = rest.len().min(buffer.len());
            buffer[..len].copy_from_slice(&rest[..len]);
            len
        };
        self.at += given as u64;
        Ok(given)
    }
}

impl Seek for PageReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}
