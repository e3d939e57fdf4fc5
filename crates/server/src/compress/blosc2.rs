//! Blosc2 chunks: LZ4 after a byte shuffle.
//!
//! Source: c-blosc2, "Blosc2 chunk format" (README_CHUNK_FORMAT.rst). A chunk is a header of 32
//! bytes, the offsets of its blocks, and the blocks; a block is the length of its compressed stream
//! and the stream. All integers are 32 bits, little-endian.

use lz4_flex::block::{compress_into, get_maximum_output_size};

/// Plain bytes of one chunk, at most; the format's limit is 2 GiB.
pub(super) const CHUNK: usize = 1 << 20;
/// Plain bytes of one block: shuffled, it still fits into a core's cache.
const BLOCK: usize = 128 << 10;

const HEADER: usize = 32;
const FORMAT_VERSION: u8 = 5;
const LZ4_VERSION: u8 = 1;
/// Both shuffle bits at once say that the header has its second half.
const EXTENDED_HEADER: u8 = 0b0000_0101;
const STORED: u8 = 0b0000_0010;
const ONE_STREAM_PER_BLOCK: u8 = 0b0001_0000;
const LZ4: u8 = 1 << 5;
const SHUFFLE: u8 = 1;

/// Compresses bytes to as many chunks as they need.
pub(super) fn encode(plain: &[u8], itemsize: usize) -> Vec<u8> {
    let itemsize = typesize(itemsize);
    let mut encoded = Vec::with_capacity(plain.len() / 2 + HEADER);
    for chunk in plain.chunks(aligned(CHUNK, itemsize)) {
        encode_chunk(chunk, itemsize, &mut encoded);
    }
    encoded
}

/// What the header's one byte can say; items wider than that are not shuffled.
pub(super) fn typesize(itemsize: usize) -> usize {
    if (1..=255).contains(&itemsize) { itemsize } else { 1 }
}

/// The largest multiple of the item size up to `limit`.
pub(super) fn aligned(limit: usize, itemsize: usize) -> usize {
    limit - limit % itemsize
}

fn encode_chunk(plain: &[u8], itemsize: usize, encoded: &mut Vec<u8>) {
    let start = encoded.len();
    let block = aligned(BLOCK, itemsize).min(plain.len());
    encoded.resize(start + HEADER, 0);
    let offsets = encoded.len();
    encoded.resize(offsets + 4 * plain.len().div_ceil(block), 0);
    let mut shuffled = vec![0; block];
    for (n, bytes) in plain.chunks(block).enumerate() {
        let at = encoded.len();
        put(encoded, offsets + 4 * n, at - start);
        let shuffled = &mut shuffled[..bytes.len()];
        shuffle(bytes, itemsize, shuffled);
        encode_block(shuffled, encoded);
    }
    let mut flags = EXTENDED_HEADER | ONE_STREAM_PER_BLOCK | LZ4;
    if encoded.len() - start >= plain.len() + HEADER {
        flags |= STORED;
        encoded.truncate(start + HEADER);
        encoded.extend_from_slice(plain);
    }
    encoded[start..start + 4].copy_from_slice(&[FORMAT_VERSION, LZ4_VERSION, flags, itemsize as u8]);
    put(encoded, start + 4, plain.len());
    put(encoded, start + 8, block);
    let length = encoded.len() - start;
    put(encoded, start + 12, length);
    // Six filters, applied in order; a stored chunk skips them.
    encoded[start + 21] = SHUFFLE;
}

/// A stream as long as its block means that the block is stored.
fn encode_block(shuffled: &[u8], encoded: &mut Vec<u8>) {
    let at = encoded.len();
    encoded.resize(at + 4 + get_maximum_output_size(shuffled.len()), 0);
    match compress_into(shuffled, &mut encoded[at + 4..]) {
        Ok(length) if length < shuffled.len() => {
            put(encoded, at, length);
            encoded.truncate(at + 4 + length);
        }
        _ => {
            put(encoded, at, shuffled.len());
            encoded.truncate(at + 4);
            encoded.extend_from_slice(shuffled);
        }
    }
}

fn put(encoded: &mut [u8], at: usize, value: usize) {
    encoded[at..at + 4].copy_from_slice(&(value as u32).to_le_bytes());
}

/// First the first byte of every item, then the second of every item, and so on; bytes beyond the
/// last whole item stay where they are.
fn shuffle(bytes: &[u8], itemsize: usize, shuffled: &mut [u8]) {
    match itemsize {
        2 => shuffle_items::<2>(bytes, shuffled),
        4 => shuffle_items::<4>(bytes, shuffled),
        8 => shuffle_items::<8>(bytes, shuffled),
        16 => shuffle_items::<16>(bytes, shuffled),
        1 => shuffled.copy_from_slice(bytes),
        _ => {
            let items = bytes.len() / itemsize;
            for (byte, plane) in shuffled.chunks_exact_mut(items.max(1)).take(itemsize).enumerate() {
                for (item, to) in plane.iter_mut().enumerate().take(items) {
                    *to = bytes[item * itemsize + byte];
                }
            }
            shuffled[items * itemsize..].copy_from_slice(&bytes[items * itemsize..]);
        }
    }
}

/// The same with a width that the compiler knows.
fn shuffle_items<const N: usize>(bytes: &[u8], shuffled: &mut [u8]) {
    let (items, rest) = bytes.as_chunks::<N>();
    for byte in 0..N {
        let plane = &mut shuffled[byte * items.len()..][..items.len()];
        for (to, item) in plane.iter_mut().zip(items) {
            *to = item[byte];
        }
    }
    shuffled[N * items.len()..].copy_from_slice(rest);
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn get(bytes: &[u8], at: usize) -> usize {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
    }

    /// Decodes chunks one after another, as the protocol's client does.
    pub(crate) fn decode_all(mut encoded: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        while !encoded.is_empty() {
            let length = get(encoded, 12);
            decode(&encoded[..length], &mut plain);
            encoded = &encoded[length..];
        }
        plain
    }

    fn decode(chunk: &[u8], plain: &mut Vec<u8>) {
        let (itemsize, nbytes, block) = (chunk[3] as usize, get(chunk, 4), get(chunk, 8));
        if chunk[2] & STORED != 0 {
            assert_eq!(chunk.len(), HEADER + nbytes);
            return plain.extend_from_slice(&chunk[HEADER..]);
        }
        for n in 0..nbytes.div_ceil(block) {
            let at = get(chunk, HEADER + 4 * n);
            let expected = block.min(nbytes - n * block);
            let stream = &chunk[at + 4..][..get(chunk, at)];
            let shuffled = match stream.len() == expected {
                true => stream.to_vec(),
                false => lz4_flex::block::decompress(stream, expected).unwrap(),
            };
            let items = expected / itemsize;
            let whole = items * itemsize;
            let unshuffled = (0..whole).map(|i| shuffled[i % itemsize * items + i / itemsize]);
            plain.extend(unshuffled.chain(shuffled[whole..].iter().copied()));
        }
    }

    #[test]
    fn chunks_shrink_and_come_back() {
        for itemsize in [1, 2, 3, 4, 7, 8, 12, 16, 20, 255, 256, 100_000] {
            for len in [1, 15, 16, 127, 1000, BLOCK - 1, BLOCK, BLOCK + 1, CHUNK, 2 * CHUNK + 77] {
                let ramp: Vec<u8> = (0..len.div_ceil(4) as u32).flat_map(u32::to_le_bytes).take(len).collect();
                let encoded = encode(&ramp, itemsize);
                assert_eq!(decode_all(&encoded), ramp, "{itemsize} {len}");
                assert!(encoded.len() <= len + HEADER * (1 + len / (CHUNK / 2)), "{itemsize} {len}");
            }
        }
        let ramp: Vec<u8> = (0..100_000u64).flat_map(u64::to_le_bytes).collect();
        assert!(encode(&ramp, 8).len() * 5 < ramp.len());
        assert!(encode(&[], 8).is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(plain in proptest::collection::vec(any::<u8>(), 0..5000), itemsize in 0usize..300) {
            prop_assert_eq!(decode_all(&encode(&plain, itemsize)), plain);
        }
    }
}
