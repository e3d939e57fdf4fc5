//! The inverse cosine transform of 8 × 8 coefficients, as in libjpeg's `jidctint.c`: Loeffler, Ligtenberg and Moschytz,
//! "Practical fast 1-D DCT algorithms with 11 multiplications", in 13 bits of fraction.

use std::num::Wrapping;

type Number = Wrapping<i32>;

const BITS: usize = 13;
/// What the first pass keeps of the fraction.
const KEPT: usize = 2;

/// Eight numbers, transformed; `shift` bits of fraction are rounded away.
fn pass(x: [Number; 8], shift: usize) -> [Number; 8] {
    let by = |number: Number, factor: i32| number * Wrapping(factor);
    // Even part.
    let z = by(x[2] + x[6], 4433);
    let (low, high) = (z - by(x[6], 15137), z + by(x[2], 6270));
    let (sum, difference) = ((x[0] + x[4]) << BITS, (x[0] - x[4]) << BITS);
    let even = [sum + high, difference + low, difference - low, sum - high];
    // Odd part.
    let z5 = by(x[7] + x[3] + x[5] + x[1], 9633);
    let (z1, z2) = (by(x[7] + x[1], -7373), by(x[5] + x[3], -20995));
    let (z3, z4) = (by(x[7] + x[3], -16069) + z5, by(x[5] + x[1], -3196) + z5);
    let odd =
        [by(x[1], 12299) + z1 + z4, by(x[3], 25172) + z2 + z3, by(x[5], 16819) + z2 + z4, by(x[7], 2446) + z1 + z3];
    let round = Wrapping(1 << (shift - 1));
    std::array::from_fn(|n| match n {
        0..4 => (even[n] + odd[n] + round) >> shift,
        _ => (even[7 - n] - odd[7 - n] + round) >> shift,
    })
}

/// The samples of a block, row by row, of coefficients that are not yet multiplied.
pub(super) fn inverse(coefficients: &[i16; 64], quanta: &[u16; 64]) -> [u8; 64] {
    let mut between = [Wrapping(0); 64];
    let at = |n: usize| Wrapping(i32::from(coefficients[n].wrapping_mul(quanta[n] as i16)));
    for column in 0..8 {
        if (1..8).all(|row| coefficients[row * 8 + column] == 0) {
            (0..8).for_each(|row| between[row * 8 + column] = at(column) << KEPT);
            continue;
        }
        let column_of = pass(std::array::from_fn(|row| at(row * 8 + column)), BITS - KEPT);
        column_of.into_iter().enumerate().for_each(|(row, number)| between[row * 8 + column] = number);
    }
    let mut samples = [0; 64];
    for (to, from) in samples.chunks_exact_mut(8).zip(between.chunks_exact(8)) {
        let row = pass(std::array::from_fn(|n| from[n]), BITS + KEPT + 3);
        to.iter_mut().zip(row).for_each(|(to, number)| *to = (number.0.wrapping_add(128)).clamp(0, 255) as u8);
    }
    samples
}
