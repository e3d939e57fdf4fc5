//! Bytes or bits of items that were sorted by their place within an item.

/// Puts the bytes of each item together again; what is less than an item at the end was left alone.
pub(super) fn unshuffle(from: &[u8], to: &mut [u8], size: usize) {
    let items = from.len() / size.max(1);
    let whole = items * size;
    match size {
        2 => weave::<2>(&from[..whole], &mut to[..whole]),
        4 => weave::<4>(&from[..whole], &mut to[..whole]),
        8 => weave::<8>(&from[..whole], &mut to[..whole]),
        _ => {
            for (byte, plane) in from[..whole].chunks_exact(items.max(1)).enumerate() {
                for (item, value) in plane.iter().enumerate() {
                    to[item * size + byte] = *value;
                }
            }
        }
    }
    to[whole..].copy_from_slice(&from[whole..]);
}

/// With the size known, the compiler makes vectors of it.
fn weave<const N: usize>(from: &[u8], to: &mut [u8]) {
    let items = from.len() / N;
    let planes: [&[u8]; N] = std::array::from_fn(|n| &from[n * items..(n + 1) * items]);
    for (n, item) in to.chunks_exact_mut(N).enumerate() {
        for (byte, plane) in item.iter_mut().zip(&planes) {
            *byte = plane[n];
        }
    }
}

/// Puts the bits of each item together again, eight items at a time; what is left was not shuffled.
pub(super) fn unshuffle_bits(from: &[u8], to: &mut [u8], size: usize) {
    let items = from.len() / size.max(1) / 8 * 8;
    let row = items / 8;
    let whole = items * size;
    for byte in 0..size {
        let planes = &from[byte * 8 * row..][..8 * row];
        for group in 0..row {
            let mut bits = 0u64;
            for bit in 0..8 {
                bits |= u64::from(planes[bit * row + group]) << (8 * bit);
            }
            let items = transposed(bits).to_le_bytes();
            for (n, value) in items.into_iter().enumerate() {
                to[(8 * group + n) * size + byte] = value;
            }
        }
    }
    to[whole..].copy_from_slice(&from[whole..]);
}

/// An 8 by 8 matrix of bits, turned (Hacker's Delight, 7-3).
fn transposed(mut x: u64) -> u64 {
    let mut t = (x ^ (x >> 7)) & 0x00aa_00aa_00aa_00aa;
    x = x ^ t ^ (t << 7);
    t = (x ^ (x >> 14)) & 0x0000_cccc_0000_cccc;
    x = x ^ t ^ (t << 14);
    t = (x ^ (x >> 28)) & 0x0000_0000_f0f0_f0f0;
    x ^ t ^ (t << 28)
}
