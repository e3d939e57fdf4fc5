//! Many items as numbers: what [`Item::number`](super::Item::number) gives, without asking for each what it is.

use girih_model::DType;
use girih_model::dtype::Kind;

use super::ItemReader;

/// Appends the items in `bytes` as numbers; what is no number becomes NaN.
pub fn push_numbers(dtype: &DType, bytes: &[u8], numbers: &mut Vec<f64>) {
    macro_rules! plain {
        ($type:ty, $from:ident) => {{
            let items = bytes.as_chunks::<{ size_of::<$type>() }>().0;
            numbers.extend(items.iter().map(|item| <$type>::$from(*item) as f64))
        }};
    }
    let scalar = dtype.as_scalar();
    match scalar.map(|scalar| (scalar.kind, scalar.itemsize, scalar.is_big())) {
        Some((Kind::Uint, 1, _)) => plain!(u8, from_ne_bytes),
        Some((Kind::Uint, 2, false)) => plain!(u16, from_le_bytes),
        Some((Kind::Uint, 2, true)) => plain!(u16, from_be_bytes),
        Some((Kind::Uint, 4, false)) => plain!(u32, from_le_bytes),
        Some((Kind::Uint, 4, true)) => plain!(u32, from_be_bytes),
        Some((Kind::Int, 1, _)) => plain!(i8, from_ne_bytes),
        Some((Kind::Int, 2, false)) => plain!(i16, from_le_bytes),
        Some((Kind::Int, 2, true)) => plain!(i16, from_be_bytes),
        Some((Kind::Int, 4, false)) => plain!(i32, from_le_bytes),
        Some((Kind::Int, 4, true)) => plain!(i32, from_be_bytes),
        Some((Kind::Float, 4, false)) => plain!(f32, from_le_bytes),
        Some((Kind::Float, 4, true)) => plain!(f32, from_be_bytes),
        Some((Kind::Float, 8, false)) => plain!(f64, from_le_bytes),
        Some((Kind::Float, 8, true)) => plain!(f64, from_be_bytes),
        _ => {
            let reader = ItemReader::new(dtype);
            let items = bytes.chunks_exact(reader.itemsize().max(1));
            numbers.extend(items.map(|item| reader.read(item).number().unwrap_or(f64::NAN)));
        }
    }
}

#[cfg(test)]
mod tests {
    use girih_model::dtype::Endianness;

    use super::*;

    #[test]
    fn they_are_the_numbers_of_single_items() {
        let bytes: Vec<u8> = (0..=255).flat_map(|n: u8| [n, n.wrapping_mul(37)]).collect();
        let kinds = ["b1", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "c8", "M8", "S4"];
        let orders = [Endianness::Little, Endianness::Big];
        for (name, order) in kinds.iter().flat_map(|kind| orders.map(|order| (kind, order))) {
            let mut dtype = DType::of(name);
            if let DType::Scalar(scalar) = &mut dtype {
                scalar.endianness = order;
            }
            let reader = ItemReader::new(&dtype);
            let one = |item: &[u8]| reader.read(item).number().unwrap_or(f64::NAN);
            let expected: Vec<f64> = bytes.chunks_exact(reader.itemsize()).map(one).collect();
            let mut numbers = Vec::new();
            push_numbers(&dtype, &bytes, &mut numbers);
            let bits = |numbers: &[f64]| numbers.iter().map(|n| n.to_bits()).collect::<Vec<_>>();
            let nan = |numbers: &[f64]| numbers.iter().map(|n| n.is_nan()).collect::<Vec<_>>();
            assert_eq!(nan(&numbers), nan(&expected), "{name}");
            let (numbers, expected): (Vec<f64>, Vec<f64>) =
                numbers.into_iter().zip(expected).filter(|(a, _)| !a.is_nan()).unzip();
            assert_eq!(bits(&numbers), bits(&expected), "{name}");
        }
    }
}
