//! A chunk (c-blosc2, README_CHUNK_FORMAT.rst): a header, where each block begins, and blocks that are compressed in one or
//! more streams, after filters. The header of version 1 is the beginning of that of version 2.

use std::io::Read;
use std::mem::swap;

use girih_model::{Error, Result, ResultExt};

use super::{damaged, lz};
use crate::format::shuffle::{unshuffle, unshuffle_bits};

const HEADER: usize = 16;
const LONG_HEADER: usize = 32;
const SHUFFLED: u8 = 1;
const COPIED: u8 = 2;
const BITS_SHUFFLED: u8 = 4;
/// Both together: the header is a long one, and says more.
const LONG: u8 = SHUFFLED | BITS_SHUFFLED;
const NOT_SPLIT: u8 = 0x10;
/// Version 1 splits blocks only for items up to so many bytes, and into streams of at least so many.
const MAX_SPLITS: usize = 16;
const MIN_STREAM: usize = 128;
/// Among the flags of a long header: the codec has a dictionary, blocks lie elsewhere, values are no data.
const STRANGE: u8 = 0x01 | 0x08 | 0x80;
/// Filters of a long header.
const FILTERS: usize = 6;

pub(super) struct Chunk<'a> {
    /// Decoded.
    pub(super) nbytes: usize,
    pub(super) blocksize: usize,
    content: Content<'a>,
    scratch: Vec<u8>,
}

enum Content<'a> {
    Copied(&'a [u8]),
    /// One item again and again.
    Same(Vec<u8>),
    Blocks(Blocks<'a>),
}

struct Blocks<'a> {
    stored: &'a [u8],
    is_old: bool,
    flags: u8,
    header: usize,
    typesize: usize,
    /// In the order in which they were applied.
    filters: Vec<Filter>,
    /// The first block decoded, for those that were told apart from it.
    first: Vec<u8>,
}

/// What was done to the bytes of a block, with the size of an item.
#[derive(Clone, Copy)]
enum Filter {
    Bytes(usize),
    Bits(usize),
    Delta(usize),
}

impl<'a> Chunk<'a> {
    /// Takes no memory.
    pub(super) fn parse(stored: &'a [u8], limit: usize) -> Result<Self> {
        let short = || damaged("it is too short");
        let header = stored.first_chunk::<HEADER>().ok_or_else(short)?;
        let number =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]) as usize;
        let (version, flags, typesize) = (header[0], header[2], usize::from(header[3]).max(1));
        let (nbytes, blocksize) = (number(4), number(8));
        if nbytes > limit {
            return Err(damaged(&format!("it says that it has {nbytes} bytes, and can have {limit}")));
        }
        let is_old = version <= 2;
        let is_long = !is_old && flags & LONG == LONG;
        let long = is_long.then(|| stored.first_chunk::<LONG_HEADER>().ok_or_else(short)).transpose()?;
        let header = if is_long { LONG_HEADER } else { HEADER };
        let blocksize = blocksize.min(nbytes);
        let chunk = |content| Ok(Self { nbytes, blocksize, content, scratch: Vec::new() });
        if let Some(long) = long {
            if long[30] != 0 || long[31] & STRANGE != 0 {
                return Err(Error::unsupported(
                    "Blosc's blocks of any length, dictionaries and lazy chunks are not read.",
                ));
            }
            match long[31] >> 4 & 7 {
                0 => {}
                3 => {
                    let value = stored.get(LONG_HEADER..number(12)).filter(|value| !value.is_empty());
                    return chunk(Content::Same(value.ok_or_else(short)?.to_vec()));
                }
                special => return Self::special(special, nbytes, typesize),
            }
        }
        if flags & COPIED != 0 || nbytes == 0 {
            return chunk(Content::Copied(stored.get(header..header + nbytes).ok_or_else(short)?));
        }
        if blocksize == 0 {
            return Err(damaged("its blocks have no size"));
        }
        let filters = match long {
            Some(long) => {
                let pairs = long[16..16 + FILTERS].iter().zip(&long[24..24 + FILTERS]);
                pairs.filter_map(|(id, meta)| Filter::of(*id, *meta, typesize).transpose()).collect::<Result<_>>()?
            }
            None if flags & BITS_SHUFFLED != 0 => vec![Filter::Bits(typesize)],
            None if flags & SHUFFLED != 0 && typesize > 1 => vec![Filter::Bytes(typesize)],
            None => Vec::new(),
        };
        let first = Vec::new();
        chunk(Content::Blocks(Blocks { stored, is_old, flags, header, typesize, filters, first }))
    }

    /// What has a kind of value instead of values: zeros, NaN, or whatever was in memory.
    pub(super) fn special(kind: u8, nbytes: usize, typesize: usize) -> Result<Self> {
        let item = match (kind, typesize) {
            (1 | 4, _) => vec![0],
            (2, 4) => f32::NAN.to_le_bytes().to_vec(),
            (2, 8) => f64::NAN.to_le_bytes().to_vec(),
            _ => return Err(damaged("it has values of an unknown kind")),
        };
        Ok(Self { nbytes, blocksize: nbytes, content: Content::Same(item), scratch: Vec::new() })
    }

    /// Whether it is cut into blocks of so many bytes.
    pub(super) fn has_blocks_of(&self, bytes: usize) -> bool {
        matches!(self.content, Content::Same(_)) || self.blocksize == bytes
    }

    /// All of it; `out` has its length.
    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<()> {
        out.chunks_mut(self.blocksize.max(1)).enumerate().try_for_each(|(n, to)| self.block(n, to))
    }

    /// Block number `n`; `to` has its length.
    pub(super) fn block(&mut self, n: usize, to: &mut [u8]) -> Result<()> {
        match &mut self.content {
            Content::Copied(items) => {
                let items = n.checked_mul(self.blocksize).and_then(|at| items.get(at..)?.get(..to.len()));
                to.copy_from_slice(items.ok_or_else(|| damaged("it is too short"))?);
            }
            Content::Same(item) => to.chunks_mut(item.len()).for_each(|to| to.copy_from_slice(&item[..to.len()])),
            Content::Blocks(blocks) => {
                let is_told_apart = blocks.filters.iter().any(|filter| matches!(filter, Filter::Delta(_)));
                if is_told_apart && n > 0 && blocks.first.is_empty() {
                    let mut first = vec![0; self.blocksize];
                    blocks.block(0, &mut first, &mut self.scratch, self.nbytes, self.blocksize)?;
                    blocks.first = first;
                }
                blocks.block(n, to, &mut self.scratch, self.nbytes, self.blocksize)?;
            }
        }
        Ok(())
    }
}

impl Filter {
    /// `None` for what leaves nothing to be undone: nothing, and bits that were cut off.
    fn of(id: u8, meta: u8, typesize: usize) -> Result<Option<Self>> {
        Ok(match id {
            0 | 4 => None,
            1 => Some(Self::Bytes(if meta == 0 { typesize } else { meta.into() })).filter(|filter| filter.size() > 1),
            2 => Some(Self::Bits(typesize)),
            3 => Some(Self::Delta(match typesize {
                2 | 4 => typesize,
                size if size.is_multiple_of(8) => 8,
                _ => 1,
            })),
            _ => return Err(Error::unsupported(format!("Blosc's filter number {id} is not known."))),
        })
    }

    fn size(self) -> usize {
        let (Self::Bytes(size) | Self::Bits(size) | Self::Delta(size)) = self;
        size
    }
}

impl Blocks<'_> {
    fn block(&self, n: usize, to: &mut [u8], scratch: &mut Vec<u8>, nbytes: usize, blocksize: usize) -> Result<()> {
        let at = self.header + 4 * n;
        let start = self.stored.get(at..at + 4).ok_or_else(|| damaged("it is too short"))?;
        let start = u32::from_le_bytes([start[0], start[1], start[2], start[3]]) as usize;
        let from = self.stored.get(start..).filter(|_| start >= self.header + 4 * nbytes.div_ceil(blocksize));
        let from = from.ok_or_else(|| damaged("a block lies outside of it"))?;
        let is_last = to.len() < blocksize;
        let is_large = self.typesize <= MAX_SPLITS && blocksize / self.typesize >= MIN_STREAM;
        let splits = self.flags & NOT_SPLIT == 0 && !is_last && (!self.is_old || is_large);
        let streams = if splits { self.typesize } else { 1 };

        // Filters that move the bytes take turns between two memories, and the last one ends where it should.
        scratch.resize(scratch.len().max(to.len()), 0);
        let moves = self.filters.iter().filter(|filter| !matches!(filter, Filter::Delta(_))).count();
        let (mut here, mut there) = (to, &mut scratch[..]);
        there = &mut there[..here.len()];
        if !moves.is_multiple_of(2) {
            swap(&mut here, &mut there);
        }
        decode_streams(from, here, streams, self.flags >> 5)?;
        for filter in self.filters.iter().rev() {
            match *filter {
                // Version 1 leaves such blocks as they are.
                Filter::Bits(size) if self.is_old && !(here.len() / size).is_multiple_of(8) => {
                    there.copy_from_slice(here)
                }
                Filter::Bits(size) => unshuffle_bits(here, there, size),
                Filter::Bytes(size) => unshuffle(here, there, size),
                Filter::Delta(size) => {
                    undelta(here, if n == 0 { None } else { Some(&self.first) }, size);
                    continue;
                }
            }
            swap(&mut here, &mut there);
        }
        Ok(())
    }
}

/// The first block was told apart from itself, an item earlier; all others from the first. What is less than an item at the end was left alone.
fn undelta(items: &mut [u8], first: Option<&[u8]>, size: usize) {
    let whole = items.len() / size * size;
    match first {
        None => (size..whole).for_each(|n| items[n] ^= items[n - size]),
        Some(first) => items[..whole].iter_mut().zip(first).for_each(|(item, first)| *item ^= first),
    }
}

fn decode_streams(mut from: &[u8], to: &mut [u8], streams: usize, codec: u8) -> Result<()> {
    if !to.len().is_multiple_of(streams) {
        return Err(damaged("a block cannot be split"));
    }
    let cut = || damaged("a stream is cut off");
    let len = to.len() / streams;
    for stream in to.chunks_mut(len.max(1)) {
        let (size, rest) = from.split_first_chunk::<4>().ok_or_else(cut)?;
        let size = i32::from_le_bytes(*size);
        if size <= 0 {
            // All bytes are the same: zero, or what the number says and a mark confirms.
            let marks = usize::from(size < 0);
            let (mark, rest) = rest.split_at_checked(marks).ok_or_else(cut)?;
            let byte = u8::try_from(size.unsigned_abs()).ok().filter(|_| mark.iter().all(|mark| mark & 1 == 1));
            stream.fill(byte.ok_or_else(|| damaged("a stream has no length"))?);
            from = rest;
            continue;
        }
        let size = size as usize;
        let (compressed, rest) = rest.split_at_checked(size).ok_or_else(cut)?;
        from = rest;
        if size == len {
            stream.copy_from_slice(compressed);
            continue;
        }
        let written = match codec {
            0 => lz::decode(compressed, stream).ok_or_else(|| damaged("a stream of BloscLZ contradicts itself"))?,
            1 => lz4_flex::block::decompress_into(compressed, stream).or_error(|e| damaged(&e.to_string()))?,
            2 => snap::raw::Decoder::new().decompress(compressed, stream).or_error(|e| damaged(&e.to_string()))?,
            3 => inflate(compressed, stream)?,
            4 => zstd::bulk::decompress_to_buffer(compressed, stream).or_error(|e| damaged(&e.to_string()))?,
            other => return Err(Error::unsupported(format!("Blosc's codec number {other} is not known."))),
        };
        if written != len {
            return Err(damaged("a stream is too short"));
        }
    }
    Ok(())
}

fn inflate(compressed: &[u8], to: &mut [u8]) -> Result<usize> {
    let mut decoder = flate2::read::ZlibDecoder::new(compressed);
    decoder.read_exact(to).or_error(|e| damaged(&e.to_string()))?;
    Ok(to.len())
}
