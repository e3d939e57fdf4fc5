//! Filters of HDF5, undone. Those that its library does not have by itself, by their registered numbers: bzip2, LZF as
//! h5py writes it, Blosc and Blosc2, Bitshuffle (with LZ4 or Zstandard) as detectors write it, and Zstandard; and LZ4, of
//! which the library reads one block only.

use std::cell::RefCell;
use std::io::Read;

use girih_model::ErrorKind;
use hdf5_reader::error::Error;
use hdf5_reader::filters::apply_pipeline_with_limit;
use hdf5_reader::messages::filter_pipeline::FilterDescription;
use libdeflater::Decompressor;

use crate::buffers;
use crate::format::blosc;
use crate::format::shuffle::{unshuffle, unshuffle_bits};

type Result<T> = std::result::Result<T, Error>;

const DEFLATE: u16 = 1;
const SHUFFLE: u16 = 2;
const FLETCHER32: u16 = 3;
const BZIP2: u16 = 307;
const LZF: u16 = 32000;
const BLOSC: u16 = 32001;
const LZ4: u16 = 32004;
const BITSHUFFLE: u16 = 32008;
const ZSTD: u16 = 32015;
const BLOSC2: u16 = 32026;

thread_local! {
    static INFLATE: RefCell<Decompressor> = RefCell::new(Decompressor::new());
}

/// Most bytes that a chunk of `nbytes` has between its filters and as it is stored: what cannot be made smaller becomes a
/// little larger, with checksums and with headers of blocks.
pub(super) fn most(nbytes: usize) -> usize {
    nbytes.saturating_add(nbytes >> 4).saturating_add(SLACK)
}

const SLACK: usize = 64 << 10;

/// Undoes the filters of a chunk, the last first. `nbytes` is what it has without them.
pub(super) fn decode(
    stored: &[u8],
    filters: &[FilterDescription],
    mask: u32,
    itemsize: usize,
    nbytes: usize,
) -> Result<Vec<u8>> {
    let mut decoded: Option<Vec<u8>> = None;
    // There are no bits for more than 32 filters: those are always on.
    let is_on = |n: usize| u32::try_from(n).ok().and_then(|n| 1u32.checked_shl(n)).is_none_or(|bit| mask & bit == 0);
    for (n, filter) in filters.iter().enumerate().rev().filter(|(n, _)| is_on(*n)) {
        // How much comes out is known where all that is left keeps the size.
        let left: Option<usize> = (0..n).filter(|n| is_on(*n)).try_fold(nbytes, |bytes, n| match filters[n].id {
            SHUFFLE => Some(bytes),
            FLETCHER32 => bytes.checked_add(4),
            _ => None,
        });
        let limit = left.unwrap_or_else(|| most(nbytes));
        let items = decoded.as_deref().unwrap_or(stored);
        let next = match (filter.id, left) {
            (DEFLATE, Some(size)) => inflate(items, size)?,
            (SHUFFLE, _) => {
                let size = filter.client_data.first().map_or(itemsize, |size| *size as usize).max(1);
                let mut whole = buffers::take(items.len());
                unshuffle(items, &mut whole, size);
                whole
            }
            (BLOSC | BLOSC2, _) => blosc_chunk(items, limit)?,
            (LZ4, _) => lz4_blocks(items, limit)?,
            (LZF, _) => lzf(items, filter.client_data.get(2).copied(), limit)?,
            (BZIP2, _) => bzip2_stream(items, limit)?,
            (BITSHUFFLE, _) => bitshuffle(items, &filter.client_data, itemsize, limit)?,
            (ZSTD, _) => zstd_frame(items, limit)?,
            _ => {
                // Some of the library's filters give a little more than is asked for.
                let limit = Some(limit.saturating_add(64));
                apply_pipeline_with_limit(items, std::slice::from_ref(filter), 0, itemsize, None, limit)?
            }
        };
        if let Some(used) = decoded.replace(next) {
            buffers::give(used);
        }
    }
    Ok(decoded.unwrap_or_else(|| stored.to_vec()))
}

fn inflate(data: &[u8], size: usize) -> Result<Vec<u8>> {
    let mut out = buffers::take(size);
    let written = INFLATE.with_borrow_mut(|inflate| inflate.zlib_decompress(data, &mut out));
    let written = written.map_err(|e| bad(&e.to_string()))?;
    out.truncate(written);
    Ok(out)
}

fn bzip2_stream(data: &[u8], limit: usize) -> Result<Vec<u8>> {
    whole(bzip2::read::MultiBzDecoder::new(data), limit)
}

/// All that comes out of a decoder.
fn whole(decoder: impl Read, limit: usize) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    decoder.take((limit as u64).saturating_add(1)).read_to_end(&mut out)?;
    bounded(out.len() as u64, limit)?;
    Ok(out)
}

fn blosc_chunk(data: &[u8], limit: usize) -> Result<Vec<u8>> {
    blosc::decode(data, limit).map_err(|e| match e.kind() {
        ErrorKind::Unsupported => Error::UnsupportedFilter(e.message().to_owned()),
        _ => bad(e.message()),
    })
}

/// The size of all and of a block, then the blocks, each after its size; one that would not become smaller is stored.
fn lz4_blocks(data: &[u8], limit: usize) -> Result<Vec<u8>> {
    let short = || bad("LZ4 data end too early");
    let (total, rest) = data.split_first_chunk::<8>().ok_or_else(short)?;
    let (block, mut rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
    let total = bounded(u64::from_be_bytes(*total), limit)?;
    let mut out = vec![0; total];
    for to in out.chunks_mut((u32::from_be_bytes(*block) as usize).max(1)) {
        let (len, after) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        let (packed, after) = after.split_at_checked(u32::from_be_bytes(*len) as usize).ok_or_else(short)?;
        rest = after;
        if packed.len() == to.len() {
            to.copy_from_slice(packed);
        } else if lz4_flex::block::decompress_into(packed, to).map_err(|e| bad(&e.to_string()))? != to.len() {
            return Err(short());
        }
    }
    Ok(out)
}

fn bad(why: &str) -> Error {
    Error::InvalidData(why.into())
}

/// A size that a file names, if what comes out of the filter can have it.
fn bounded(bytes: u64, limit: usize) -> Result<usize> {
    let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes <= limit);
    bytes.ok_or_else(|| bad("what was compressed is longer than its chunk"))
}

fn zstd_frame(data: &[u8], limit: usize) -> Result<Vec<u8>> {
    match zstd::zstd_safe::get_frame_content_size(data).ok().flatten() {
        Some(size) => Ok(zstd::bulk::decompress(data, bounded(size, limit)?)?),
        None => whole(zstd::stream::read::Decoder::new(data)?, limit),
    }
}

/// Marc Lehmann's LZF: runs of literals, and copies of what came before.
fn lzf(data: &[u8], size: Option<u32>, limit: usize) -> Result<Vec<u8>> {
    let size = bounded(size.unwrap_or_default().into(), limit)?;
    let mut out = Vec::with_capacity(size);
    let mut rest = data;
    let short = || bad("LZF data end too early");
    let next = |rest: &mut &[u8]| -> Result<usize> {
        let (first, after) = rest.split_first().ok_or_else(short)?;
        *rest = after;
        Ok(usize::from(*first))
    };
    while !rest.is_empty() {
        let control = next(&mut rest)?;
        if control < 32 {
            let (literals, after) = rest.split_at_checked(control + 1).ok_or_else(short)?;
            out.extend_from_slice(literals);
            rest = after;
        } else {
            let mut len = control >> 5;
            if len == 7 {
                len += next(&mut rest)?;
            }
            let offset = (control & 0x1f) << 8 | next(&mut rest)?;
            let from =
                out.len().checked_sub(offset + 1).ok_or_else(|| bad("LZF data refer to before their beginning"))?;
            // It may run into what it makes.
            for at in from..from + len + 2 {
                out.push(out[at]);
            }
        }
        if out.len() > size {
            return Err(bad("LZF data are longer than their chunk"));
        }
    }
    Ok(out)
}

/// Elements of a block come in multiples of so many; the last ones of a chunk, if fewer, are stored as they are.
const MULTIPLE: usize = 8;

/// Bitshuffle: `[version, version, size of an element, elements of a block, compressor, level]`.
fn bitshuffle(data: &[u8], parameters: &[u32], itemsize: usize, limit: usize) -> Result<Vec<u8>> {
    let parameter = |n: usize| parameters.get(n).map_or(0, |value| *value as usize);
    let element = Some(parameter(2)).filter(|size| *size > 0).unwrap_or(itemsize);
    if element == 0 || element > 1 << 16 {
        return Err(bad("Bitshuffle elements have an odd size"));
    }
    let compressor = parameter(4);
    if compressor == 0 {
        let block = Some(parameter(3)).filter(|block| *block > 0).unwrap_or_else(|| default_block(element));
        let mut out = vec![0; data.len()];
        let mut at = 0;
        for count in blocks(data.len() / element, block)? {
            unshuffle_bits(&data[at..][..count * element], &mut out[at..][..count * element], element);
            at += count * element;
        }
        out[at..].copy_from_slice(&data[at..]);
        return Ok(out);
    }
    let short = || bad("Bitshuffle data end too early");
    let (total, rest) = data.split_first_chunk::<8>().ok_or_else(short)?;
    let (block, mut rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
    let total = bounded(u64::from_be_bytes(*total), limit)?;
    let mut out = vec![0; total];
    let mut at = 0;
    for count in blocks(total / element, u32::from_be_bytes(*block) as usize / element)? {
        let (len, after) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        let (packed, after) = after.split_at_checked(u32::from_be_bytes(*len) as usize).ok_or_else(short)?;
        rest = after;
        let size = count * element;
        let shuffled = match compressor {
            2 => lz4_flex::block::decompress(packed, size).map_err(|e| bad(&e.to_string()))?,
            3 => zstd::bulk::decompress(packed, size)?,
            other => return Err(Error::UnsupportedFilter(format!("Bitshuffle with compressor {other}"))),
        };
        if shuffled.len() != size {
            return Err(bad("a block of Bitshuffle has another size than it should"));
        }
        unshuffle_bits(&shuffled, &mut out[at..][..size], element);
        at += size;
    }
    let left = rest.get(..total - at).ok_or_else(short)?;
    out[at..].copy_from_slice(left);
    Ok(out)
}

/// As Bitshuffle chooses it: blocks of 8 KiB.
fn default_block(element: usize) -> usize {
    (8192 / element / MULTIPLE * MULTIPLE).max(128)
}

/// The elements of each block; what is left is fewer than a multiple.
fn blocks(elements: usize, block: usize) -> Result<impl Iterator<Item = usize>> {
    let block = block / MULTIPLE * MULTIPLE;
    if block == 0 {
        return Err(bad("blocks of Bitshuffle are empty"));
    }
    let last = elements % block / MULTIPLE * MULTIPLE;
    Ok(std::iter::repeat_n(block, elements / block).chain((last > 0).then_some(last)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lzf_copies_what_came_before() {
        // "abc", then nine bytes from three back; h5py's filter writes the like.
        let packed = [2, b'a', b'b', b'c', 7 << 5, 0, 2];
        assert_eq!(lzf(&packed, Some(12), 12).unwrap(), b"abcabcabcabc");
        assert!(lzf(&packed, Some(12), 11).is_err());
        for (packed, size) in [(&packed[..], 11), (&packed[..6], 12), (&[32, 5][..], 12)] {
            assert!(lzf(packed, Some(size), 100).is_err());
        }
    }

    #[test]
    fn lz4_comes_in_blocks() {
        let packed = lz4_flex::block::compress(&[7; 40]);
        let size = |size: u32| size.to_be_bytes();
        let mut data = [size(0), size(83), size(40), size(packed.len() as u32)].concat();
        data.extend([&packed[..], &size(packed.len() as u32), &packed, &size(3), &[1, 2, 3]].concat());
        assert_eq!(lz4_blocks(&data, 83).unwrap(), [&[7; 80][..], &[1, 2, 3]].concat());
        assert!(lz4_blocks(&data, 82).is_err() && lz4_blocks(&data[..data.len() - 1], 83).is_err());
    }

    /// Filters whose output is not known beforehand, such as two compressors, have a limit too.
    #[test]
    fn no_filter_gives_much_more_than_a_chunk() {
        let zeros = vec![0; 4 << 20];
        let filters = |ids: &[u16]| -> Vec<FilterDescription> {
            ids.iter().map(|id| FilterDescription { id: *id, name: None, client_data: vec![0, 0, 4, 0, 2] }).collect()
        };
        let lz4 = lz4_flex::block::compress(&zeros);
        let size = |size: u32| size.to_be_bytes();
        let in_blocks = [&size(0)[..], &size(4 << 20), &size(4 << 20), &size(lz4.len() as u32), &lz4].concat();
        let mut deflated = Vec::new();
        flate2::read::ZlibEncoder::new(&zeros[..], flate2::Compression::fast()).read_to_end(&mut deflated).unwrap();
        let mut bzipped = Vec::new();
        bzip2::read::BzEncoder::new(&zeros[..], bzip2::Compression::fast()).read_to_end(&mut bzipped).unwrap();
        let streamed = zstd::stream::encode_all(&zeros[..], 1).unwrap();
        for (id, data) in [
            (ZSTD, zstd::bulk::compress(&zeros, 1).unwrap()),
            (ZSTD, streamed),
            (BZIP2, bzipped),
            (LZ4, in_blocks.clone()),
            (BITSHUFFLE, in_blocks),
            (DEFLATE, deflated),
        ] {
            assert!(decode(&data, &filters(&[DEFLATE, id]), 0, 4, 1000).is_err(), "{id}");
        }
        assert_eq!(most(1 << 20), (1 << 20) + (1 << 16) + SLACK);
    }

    /// More filters than the mask has bits for.
    #[test]
    fn filters_without_a_bit_are_on() {
        let shuffle = FilterDescription { id: SHUFFLE, name: None, client_data: vec![1] };
        assert_eq!(decode(&[1, 2, 3], &vec![shuffle; 40], u32::MAX, 1, 3).unwrap(), [1, 2, 3]);
    }

    proptest! {
        #[test]
        fn nonsense_is_an_error_or_something(data in prop::collection::vec(any::<u8>(), 0..200), element in 0u32..9, kind in 0u32..4) {
            let _ = lzf(&data, Some(1000), 1000);
            let _ = bitshuffle(&data, &[0, 0, element, 0, kind], 4, 1000);
            let _ = zstd_frame(&data, 1000);
            let _ = lz4_blocks(&data, 1000);
        }
    }
}
