use super::*;

#[test]
fn bits_and_bytes_come_back() {
    for size in [1usize, 2, 3, 4, 8] {
        let items: Vec<u8> = (0..size * 19 + 1).map(|n| (n * 37 % 251) as u8).collect();
        let count = items.len() / size;
        let mut shuffled = items.clone();
        for item in 0..count {
            for byte in 0..size {
                shuffled[byte * count + item] = items[item * size + byte];
            }
        }
        let mut back = vec![0; items.len()];
        unshuffle(&shuffled, &mut back, size);
        assert_eq!(back, items);

        let whole = count / 8 * 8;
        let mut shuffled = vec![0; items.len()];
        for item in 0..whole {
            for bit in 0..8 * size {
                let value = items[item * size + bit / 8] >> (bit % 8) & 1;
                shuffled[bit * whole / 8 + item / 8] |= value << (item % 8);
            }
        }
        shuffled[whole * size..].copy_from_slice(&items[whole * size..]);
        unshuffle_bits(&shuffled, &mut back, size);
        assert_eq!(back, items);
    }
}

#[test]
fn copies_may_overlap() {
    let mut to = [0; 10];
    // One literal, then nine copies of it.
    assert_eq!(lz::decode(&[0, b'x', 0b1110_0000, 0, 0], &mut to), Some(10));
    assert_eq!(&to, b"xxxxxxxxxx");
    assert_eq!(lz::decode(&[0, b'x', 0b0010_0000, 5], &mut to), None, "before the beginning");
}

#[test]
fn damage_is_an_error() {
    let stored =
        [2, 1, 0b0010_0000, 4, 64, 0, 0, 0, 64, 0, 0, 0, 40, 0, 0, 0, 20, 0, 0, 0, 8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    for n in 0..stored.len() {
        for value in [0, 1, 127, 255] {
            let mut changed = stored;
            changed[n] = value;
            let _ = decode(&changed, 1 << 16);
        }
        let _ = decode(&stored[..n], 1 << 16);
    }
    assert!(decode(&[2, 1, 2, 1, 0xff, 0xff, 0xff, 0x7f, 1, 0, 0, 0, 0, 0, 0, 0], 100).is_err(), "a bomb");
}
