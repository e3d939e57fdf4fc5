//! How an array is cut into stored chunks.

use girih_model::ArrayStructure;
use girih_model::structure::array::Chunks;

/// Larger chunks are cut, in bytes: one chunk is the least that is read, decoded and held.
const MAX_CHUNK: u64 = 64 << 20;
/// What a cut chunk measures at most, in bytes.
const CUT_CHUNK: u64 = 8 << 20;
/// A great many chunks smaller than this, in bytes, are stored together.
const SMALL_CHUNK: u64 = 64 << 10;
const MANY_CHUNKS: u64 = 10_000;
/// Chunks of an axis that has no length yet, in bytes.
const NEW_CHUNK: u64 = 1 << 20;

/// The stored chunk shape for a new array: the longest chunk of each axis as the client wants it, so
/// that a block can go out as it is stored, unless that would be far too large or too small.
pub(super) fn stored_chunk(structure: &ArrayStructure) -> Vec<u64> {
    let itemsize = structure.dtype.itemsize().max(1) as u64;
    let mut chunk: Vec<u64> = structure.chunks.iter().map(|chunks| chunks.longest().max(1)).collect();
    for (axis, len) in structure.shape.iter().enumerate() {
        // Made to be extended: a chunk of one would mean one file per appended row.
        if *len == 0 {
            chunk[axis] = 1;
            chunk[axis] = (NEW_CHUNK / bytes(&chunk, itemsize).max(1)).max(1);
        }
    }
    if bytes(&chunk, itemsize) > MAX_CHUNK {
        let mut left = (CUT_CHUNK / itemsize).max(1);
        for len in chunk.iter_mut().rev() {
            *len = (*len).min(left);
            left = (left / *len).max(1);
        }
    }
    let counts: Vec<u64> = structure.shape.iter().zip(&chunk).map(|(len, chunk)| len.div_ceil(*chunk)).collect();
    let total = counts.iter().fold(1u64, |product, count| product.saturating_mul(*count));
    if total > MANY_CHUNKS {
        for (axis, count) in counts.iter().enumerate().rev() {
            let together = SMALL_CHUNK / bytes(&chunk, itemsize).max(1);
            chunk[axis] = chunk[axis].saturating_mul(together.clamp(1, (*count).max(1)));
        }
    }
    chunk
}

fn bytes(chunk: &[u64], itemsize: u64) -> u64 {
    chunk.iter().fold(itemsize, |product, len| product.saturating_mul(*len))
}

/// The chunks of an array that has grown to `shape`.
pub(super) fn regular_chunks(shape: &[u64], chunk: &[u64]) -> Vec<Chunks> {
    shape.iter().zip(chunk).map(|(len, chunk)| Chunks::regular(*len, *chunk)).collect()
}

#[cfg(test)]
mod tests {
    use girih_model::DType;

    use super::*;

    fn check(dtype: &str, shape: &[u64], declared: &[&[(u64, u64)]], stored: &[u64]) {
        let mut structure = ArrayStructure::new(DType::of(dtype), shape.to_vec());
        structure.chunks = declared.iter().map(|runs| Chunks::from_runs(runs.iter().copied())).collect();
        structure.check().unwrap();
        assert_eq!(stored_chunk(&structure), stored, "{shape:?} in {declared:?}");
    }

    #[test]
    fn declared_chunks_decide_unless_they_are_absurd() {
        check("f8", &[4, 4], &[&[(3, 1), (1, 1)], &[(4, 1)]], &[3, 4]);
        check("u2", &[30_000, 512, 512], &[&[(1, 30_000)], &[(512, 1)], &[(512, 1)]], &[1, 512, 512]);
        check("f8", &[], &[], &[]);
        // Irregular.
        check("f8", &[6], &[&[(1, 1), (3, 1), (2, 1)]], &[3]);
        check("f8", &[29_971], &[&[(7, 1), (13, 1), (29_951, 1)]], &[29_951]);
        // One huge chunk is cut into whole rows.
        check("f8", &[100_000, 1000], &[&[(100_000, 1)], &[(1000, 1)]], &[1048, 1000]);
        check("u1", &[1 << 40], &[&[(1 << 40, 1)]], &[8 << 20]);
        // A million files of eight bytes.
        check("f8", &[1_000_000], &[&[(1, 1_000_000)]], &[8192]);
        check("u1", &[1000, 1000], &[&[(1, 1000)], &[(1, 1000)]], &[65, 1000]);
        // To be appended to.
        check("f8", &[0, 16], &[&[(0, 1)], &[(16, 1)]], &[8192, 16]);
        check("u2", &[0, 2048, 2048], &[&[(0, 1)], &[(2048, 1)], &[(2048, 1)]], &[1, 2048, 2048]);
    }
}
