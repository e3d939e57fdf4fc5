//! A contiguous frame (c-blosc2, README_CFRAME_FORMAT.rst): chunks, and a chunk that says where they begin. If it has the
//! metalayer `b2nd` (README_B2ND_METALAYER.rst), its items are an array whose chunks are cut into blocks along all axes.

use girih_model::{Error, Result};

use super::chunk::Chunk;
use super::damaged;
use crate::format::chunked::copy::{Layout, c_strides, copy};

/// An array of MessagePack with 14 members, the first of them a text of 8 bytes. What follows has its fixed places, too.
const MAGIC: &[u8] = b"\x9e\xa8b2frame\0";
/// Where the list of metalayers begins.
const METALAYERS: usize = 0x5e;
/// What the metalayer of arrays is called, and was called.
const ARRAYS: [&[u8]; 2] = [b"b2nd", b"caterva"];
/// Most axes of an array.
const MAX_AXES: usize = 16;
/// Most blocks of all chunks.
const MAX_BLOCKS: u64 = 1 << 20;
/// Blocks may be as large, even if there is less in them, in bytes.
const MAX_BLOCK: u64 = 64 << 20;

pub(super) fn begins(stored: &[u8]) -> bool {
    stored.starts_with(MAGIC)
}

pub(super) fn decode(stored: &[u8], limit: usize) -> Result<Vec<u8>> {
    let frame = Frame::parse(stored)?;
    if let Some(array) = frame.array()? {
        return array.read(&frame, limit as u64);
    }
    let (nbytes, chunk) = (frame.nbytes, frame.chunk);
    if nbytes > limit as u64 {
        return Err(damaged(&format!("it says that it has {nbytes} bytes, and can have {limit}")));
    }
    let mut out = vec![0; nbytes as usize];
    if nbytes > 0 {
        let chunk = usize::try_from(chunk).ok().filter(|chunk| *chunk > 0);
        let chunk = chunk.ok_or_else(|| damaged("its chunks have no size"))?;
        let starts = frame.starts(nbytes.div_ceil(chunk as u64))?;
        for (start, to) in starts.into_iter().zip(out.chunks_mut(chunk)) {
            frame.chunk(start, to.len())?.read(to)?;
        }
    }
    Ok(out)
}

struct Frame<'a> {
    stored: &'a [u8],
    header: usize,
    /// Decoded.
    nbytes: u64,
    /// All chunks, as they are stored.
    cbytes: u64,
    typesize: usize,
    /// Decoded.
    chunk: i32,
}

/// A number as MessagePack has it, behind its mark.
fn number<const N: usize>(stored: &[u8], at: usize) -> Result<[u8; N]> {
    let bytes = stored.get(at..).and_then(|rest| rest.first_chunk());
    bytes.copied().ok_or_else(|| damaged("a frame is too short"))
}

impl<'a> Frame<'a> {
    fn parse(stored: &'a [u8]) -> Result<Self> {
        let header = i32::from_be_bytes(number(stored, 0x0b)?);
        let typesize = i32::from_be_bytes(number(stored, 0x30)?);
        Ok(Self {
            stored,
            header: usize::try_from(header).map_err(|_| damaged("a frame has no header"))?,
            nbytes: u64::from_be_bytes(number(stored, 0x1e)?),
            cbytes: u64::from_be_bytes(number(stored, 0x27)?),
            typesize: usize::try_from(typesize.max(1)).unwrap_or(1),
            chunk: i32::from_be_bytes(number(stored, 0x3a)?),
        })
    }

    fn from(&self, at: u64) -> Result<&'a [u8]> {
        let at = usize::try_from(at).ok().and_then(|at| self.header.checked_add(at));
        at.and_then(|at| self.stored.get(at..)).ok_or_else(|| damaged("a chunk lies outside of its frame"))
    }

    /// Where the chunks begin.
    fn starts(&self, count: u64) -> Result<Vec<i64>> {
        if count > MAX_BLOCKS {
            return Err(damaged(&format!("a frame has {count} chunks")));
        }
        let mut bytes = vec![0; 8 * count as usize];
        let mut index = Chunk::parse(self.from(self.cbytes)?, bytes.len())?;
        if index.nbytes != bytes.len() {
            return Err(damaged("a frame does not have the chunks that it should"));
        }
        index.read(&mut bytes)?;
        let (starts, _) = bytes.as_chunks();
        Ok(starts.iter().map(|start| i64::from_le_bytes(*start)).collect())
    }

    fn chunk(&self, start: i64, nbytes: usize) -> Result<Chunk<'a>> {
        // The highest byte is a kind of value then.
        let chunk = match u64::try_from(start) {
            Err(_) => Chunk::special(start.to_le_bytes()[7] & 7, nbytes, self.typesize)?,
            Ok(start) => Chunk::parse(self.from(start)?, nbytes)?,
        };
        match chunk.nbytes == nbytes {
            true => Ok(chunk),
            false => Err(damaged("a chunk has another size than it should")),
        }
    }

    /// What the metalayer of arrays says.
    fn array(&self) -> Result<Option<Array>> {
        let count = u16::from_be_bytes(number(self.stored, METALAYERS - 2)?);
        let mut at = METALAYERS;
        for _ in 0..count {
            // Each is a short text, and where its content is.
            let [mark] = number(self.stored, at)?;
            let len = usize::from(mark & 0x1f);
            let name = self.stored.get(at + 1..at + 1 + len).ok_or_else(|| damaged("a frame is too short"))?;
            at += 1 + len;
            if ARRAYS.contains(&name) {
                let start = u32::from_be_bytes(number(self.stored, at + 1)?) as usize;
                // Behind a mark and its length.
                return Array::parse(self.stored.get(start + 5..).unwrap_or_default()).map(Some);
            }
            at += 5;
        }
        Ok(None)
    }
}

struct Array {
    shape: Vec<u64>,
    chunk: Vec<u64>,
    block: Vec<u64>,
}

impl Array {
    fn parse(meta: &[u8]) -> Result<Self> {
        let axes = usize::from(number::<3>(meta, 0)?[2]);
        if !(1..=MAX_AXES).contains(&axes) {
            return Err(Error::unsupported(format!("Blosc arrays with {axes} axes are not read.")));
        }
        let (wide, narrow) = (1 + 9 * axes, 1 + 5 * axes);
        let lengths = |at: usize| {
            let lengths = (0..axes).map(|n| Ok(u32::from_be_bytes(number(meta, at + 2 + 5 * n)?).into()));
            lengths.collect::<Result<Vec<u64>>>()
        };
        let shape = (0..axes).map(|n| Ok(u64::from_be_bytes(number(meta, 5 + 9 * n)?)));
        let array = Self {
            shape: shape.collect::<Result<_>>()?,
            chunk: lengths(3 + wide)?,
            block: lengths(3 + wide + narrow)?,
        };
        let is_sound = array.block.iter().zip(&array.chunk).all(|(block, chunk)| (1..=*chunk).contains(block));
        if is_sound { Ok(array) } else { Err(damaged("an array has blocks that do not fit into its chunks")) }
    }

    /// All items, in C order: each block has its own, and reaches over the end of its chunk where it does not fit.
    fn read(&self, frame: &Frame, limit: u64) -> Result<Vec<u8>> {
        let bytes = |shape: &[u64]| {
            shape.iter().try_fold(frame.typesize as u64, |bytes, len| bytes.checked_mul(*len)).unwrap_or(u64::MAX)
        };
        let over =
            |many: &[u64], one: &[u64]| -> Vec<u64> { many.iter().zip(one).map(|(n, d)| n.div_ceil(*d)).collect() };
        let (chunks, blocks) = (over(&self.shape, &self.chunk), over(&self.chunk, &self.block));
        let total =
            |counts: &[u64]| counts.iter().try_fold(1, |total: u64, n| total.checked_mul(*n)).unwrap_or(u64::MAX);
        let (nbytes, block) = (bytes(&self.shape), bytes(&self.block));
        if nbytes > limit || block > limit.max(MAX_BLOCK) {
            return Err(damaged(&format!("it says that it has {nbytes} bytes, and can have {limit}")));
        }
        if total(&chunks).saturating_mul(total(&blocks)) > MAX_BLOCKS {
            return Err(damaged("an array has too many blocks"));
        }
        let chunk = usize::try_from(total(&blocks).saturating_mul(block)).unwrap_or(usize::MAX);
        let (mut out, mut items) = (vec![0; nbytes as usize], vec![0; block as usize]);
        let (to, from) = (c_strides(&self.shape, frame.typesize), c_strides(&self.block, frame.typesize));
        for (n, start) in frame.starts(total(&chunks))?.into_iter().enumerate() {
            let mut decoder = frame.chunk(start, chunk)?;
            if !decoder.has_blocks_of(items.len()) {
                return Err(damaged("an array has other blocks than its chunks"));
            }
            let outer = place(n, &chunks);
            for m in 0..total(&blocks) as usize {
                let inner = place(m, &blocks);
                let (mut begin, mut counts) = (0, Vec::with_capacity(outer.len()));
                for axis in 0..outer.len() {
                    let first = outer[axis] * self.chunk[axis] + inner[axis] * self.block[axis];
                    let end = ((outer[axis] + 1) * self.chunk[axis]).min(self.shape[axis]);
                    begin += first as usize * to[axis] as usize;
                    counts.push(end.saturating_sub(first).min(self.block[axis]));
                }
                if counts.contains(&0) {
                    continue;
                }
                decoder.block(m, &mut items)?;
                let (to, from) = (to.clone(), from.clone());
                let (to, from) = (Layout { start: begin, strides: to }, Layout { start: 0, strides: from });
                copy(&mut out, &to, &items, &from, &counts, frame.typesize);
            }
        }
        Ok(out)
    }
}

/// Number `n` of a grid, along each axis.
fn place(n: usize, counts: &[u64]) -> Vec<u64> {
    let mut rest = n as u64;
    let mut place = vec![0; counts.len()];
    for (at, count) in place.iter_mut().zip(counts).rev() {
        *at = rest % count;
        rest /= count;
    }
    place
}
