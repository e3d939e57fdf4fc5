use proptest::prelude::*;

use super::*;
use crate::format::shuffle::{unshuffle, unshuffle_bits};

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

/// A chunk of version 2 that holds its blocks as they are.
fn copied(items: &[u8], block: usize) -> Vec<u8> {
    let mut chunk = vec![5, 1, 0x17, 2];
    for number in [items.len(), block, items.len() + 32] {
        chunk.extend_from_slice(&(number as u32).to_le_bytes());
    }
    chunk.resize(32, 0);
    chunk.extend_from_slice(items);
    chunk
}

/// A frame of an array of `u16`: its chunks, a list of where they begin, and before all a header.
fn framed(shape: &[u64], chunk: &[u64], block: &[u64], chunks: &[Vec<u8>]) -> Vec<u8> {
    let marked = |mark: u8, number: &[u8]| [&[mark], number].concat();
    let lengths = |lens: &[u64]| -> Vec<u8> {
        let lens = lens.iter().flat_map(|len| marked(0xd2, &(*len as u32).to_be_bytes()));
        std::iter::once(0x90).chain(lens).collect()
    };
    let axes = shape.len() as u8;
    let mut meta = vec![0x97, 0, axes, 0x90 | axes];
    meta.extend(shape.iter().flat_map(|len| marked(0xd3, &len.to_be_bytes())));
    meta.extend([lengths(chunk), lengths(block)].concat());
    let header = 0x6b + 5 + meta.len();
    let stored: usize = chunks.iter().map(Vec::len).sum();
    let mut frame = b"\x9e\xa8b2frame\0".to_vec();
    frame.extend(marked(0xd2, &(header as u32).to_be_bytes()));
    frame.resize(0x26, 0);
    frame.extend(marked(0xd3, &(stored as u64).to_be_bytes()));
    frame.extend(marked(0xd2, &2u32.to_be_bytes()));
    frame.resize(0x5c, 0);
    frame.extend([0, 1, 0xa4]);
    frame.extend(b"b2nd");
    frame.extend(marked(0xd2, &0x6bu32.to_be_bytes()));
    frame.resize(0x6b, 0);
    frame.extend(marked(0xc6, &(meta.len() as u32).to_be_bytes()));
    frame.extend(meta);
    frame.extend(chunks.concat());
    let starts: Vec<u8> = (0..chunks.len()).flat_map(|n| (n * chunks[0].len()).to_le_bytes()).collect();
    frame.extend(copied(&starts, starts.len()));
    frame
}

/// An array from 0 on, cut into blocks as Blosc cuts it, and that array.
fn blocks_of(shape: &[u64], chunk: &[u64], block: &[u64]) -> (Vec<u8>, Vec<u8>) {
    let over = |many: &[u64], one: &[u64]| many.iter().zip(one).map(|(n, d)| n.div_ceil(*d)).collect::<Vec<_>>();
    let all = |counts: &[u64]| {
        let counts = counts.to_vec();
        (0..counts.iter().product()).map(move |n| place(n, &counts))
    };
    let mut chunks = Vec::new();
    for outer in all(&over(shape, chunk)) {
        let mut items = Vec::new();
        for (middle, inner) in
            all(&over(chunk, block)).flat_map(|middle| all(block).map(move |inner| (middle.clone(), inner)))
        {
            let mut number = 0;
            for axis in 0..shape.len() {
                let within = middle[axis] * block[axis] + inner[axis];
                let at = outer[axis] * chunk[axis] + within;
                let is_there = within < chunk[axis] && at < shape[axis] && number != u64::MAX;
                number = if is_there { number * shape[axis] + at } else { u64::MAX };
            }
            items.extend_from_slice(&(number as u16).to_le_bytes());
        }
        chunks.push(copied(&items, 2 * block.iter().product::<u64>() as usize));
    }
    let items = (0..shape.iter().product::<u64>() as u16).flat_map(u16::to_le_bytes).collect();
    (framed(shape, chunk, block, &chunks), items)
}

fn place(n: u64, counts: &[u64]) -> Vec<u64> {
    let inner = |axis: usize| counts[axis + 1..].iter().product::<u64>();
    (0..counts.len()).map(|axis| n / inner(axis) % counts[axis]).collect()
}

proptest! {
    #[test]
    fn blocks_of_arrays_are_put_in_order(axes in prop::collection::vec((1u64..6, 1u64..6, 1u64..6), 1..4)) {
        let shape: Vec<u64> = axes.iter().map(|axis| axis.0).collect();
        let chunk: Vec<u64> = axes.iter().map(|axis| axis.1).collect();
        let block: Vec<u64> = axes.iter().map(|axis| axis.2.min(axis.1)).collect();
        let (frame, items) = blocks_of(&shape, &chunk, &block);
        prop_assert_eq!(decode(&frame, items.len()).unwrap(), items);
    }

    #[test]
    fn a_damaged_frame_is_an_error_or_something(at in 0usize..300, value: u8, cut in 0usize..600) {
        let (mut frame, items) = blocks_of(&[5, 6], &[3, 4], &[2, 2]);
        frame.truncate(cut.max(at + 1));
        if let Some(byte) = frame.get_mut(at) {
            *byte = value;
        }
        let _ = decode(&frame, items.len());
    }
}

#[test]
fn the_first_block_tells_the_others() {
    let mut chunk = copied(&[], 4);
    (chunk[2], chunk[4], chunk[21], chunk[3]) = (0x15, 8, 3, 4);
    chunk.extend([40, 0, 0, 0, 48, 0, 0, 0]);
    chunk.extend([4, 0, 0, 0, 9, 8, 7, 6]);
    chunk.extend([4, 0, 0, 0, 1, 2, 3, 4]);
    assert_eq!(decode(&chunk, 8).unwrap(), [9, 8, 7, 6, 8, 10, 4, 2]);
    chunk[31] = 2 << 4;
    assert_eq!(decode(&chunk, 8).unwrap(), [f32::NAN.to_le_bytes(); 2].concat());
    chunk[31] = 1;
    assert_eq!(decode(&chunk, 8).unwrap_err().kind(), girih_model::ErrorKind::Unsupported);
}
