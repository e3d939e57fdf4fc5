//! Blosc, version 1, as Zarr and HDF5 have it (c-blosc, README_CHUNK_FORMAT.rst): a header, where each block begins, and
//! blocks that are compressed in one or more streams, with their bytes or bits shuffled before.

use std::io::Read;

use girih_model::{Error, Result, ResultExt};

mod lz;

use super::shuffle::{unshuffle, unshuffle_bits};

const HEADER: usize = 16;
const SHUFFLED: u8 = 1;
const COPIED: u8 = 2;
const BITS_SHUFFLED: u8 = 4;
const NOT_SPLIT: u8 = 0x10;
/// Blocks are only split for items up to so many bytes, and into streams of at least so many.
const MAX_SPLITS: usize = 16;
const MIN_STREAM: usize = 128;

fn damaged(why: &str) -> Error {
    Error::storage_failed(format!("A chunk that Blosc has compressed is damaged: {why}."))
}

/// # Errors
/// `StorageFailed` for what is damaged or has more than `limit` bytes, `Unsupported` for other versions.
pub(super) fn decode(stored: &[u8], limit: usize) -> Result<Vec<u8>> {
    let header = stored.get(..HEADER).ok_or_else(|| damaged("it is too short"))?;
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]) as usize;
    let (version, flags, typesize) = (header[0], header[2], usize::from(header[3]).max(1));
    let (nbytes, blocksize) = (number(4), number(8));
    if version > 2 {
        return Err(Error::unsupported("Chunks in the format of Blosc 2 are not read here."));
    }
    if nbytes > limit {
        return Err(damaged(&format!("it says that it has {nbytes} bytes, and can have {limit}")));
    }
    if nbytes == 0 {
        return Ok(Vec::new());
    }
    if flags & COPIED != 0 {
        let items = stored.get(HEADER..HEADER + nbytes).ok_or_else(|| damaged("it is too short"))?;
        return Ok(items.to_vec());
    }
    if blocksize == 0 || blocksize > nbytes.max(1 << 20) {
        return Err(damaged("its blocks have no size"));
    }
    let mut out = vec![0; nbytes];
    let blocks = nbytes.div_ceil(blocksize);
    let mut scratch = vec![0; blocksize.min(nbytes)];
    for (block, to) in out.chunks_mut(blocksize).enumerate() {
        let at = HEADER + 4 * block;
        let start = stored.get(at..at + 4).ok_or_else(|| damaged("it is too short"))?;
        let start = u32::from_le_bytes([start[0], start[1], start[2], start[3]]) as usize;
        let from = stored.get(start..).filter(|_| start >= HEADER + 4 * blocks);
        let from = from.ok_or_else(|| damaged("a block lies outside of it"))?;
        let is_last = to.len() < blocksize;
        let splits = flags & NOT_SPLIT == 0 && typesize <= MAX_SPLITS && !is_last && blocksize / typesize >= MIN_STREAM;
        let streams = if splits { typesize } else { 1 };
        let len = to.len();
        if flags & (SHUFFLED | BITS_SHUFFLED) == 0 || typesize == 1 && flags & BITS_SHUFFLED == 0 {
            decode_block(from, to, streams, flags >> 5)?;
            continue;
        }
        let block = &mut scratch[..len];
        decode_block(from, block, streams, flags >> 5)?;
        if flags & BITS_SHUFFLED != 0 && !(len / typesize).is_multiple_of(8) {
            // Blosc 1 leaves such blocks as they are.
            to.copy_from_slice(block);
        } else if flags & BITS_SHUFFLED != 0 {
            unshuffle_bits(block, to, typesize);
        } else {
            unshuffle(block, to, typesize);
        }
    }
    Ok(out)
}

fn decode_block(mut from: &[u8], to: &mut [u8], streams: usize, codec: u8) -> Result<()> {
    if !to.len().is_multiple_of(streams) {
        return Err(damaged("a block cannot be split"));
    }
    let len = to.len() / streams;
    for stream in to.chunks_mut(len.max(1)) {
        let size = from.get(..4).ok_or_else(|| damaged("a stream is cut off"))?;
        let size = i32::from_le_bytes([size[0], size[1], size[2], size[3]]);
        let size = usize::try_from(size).map_err(|_| damaged("a stream has no length"))?;
        let compressed = from.get(4..4 + size).ok_or_else(|| damaged("a stream is cut off"))?;
        from = &from[4 + size..];
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

#[cfg(test)]
mod tests;
