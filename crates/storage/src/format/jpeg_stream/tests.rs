use super::*;

/// Grey, 8 × 8: one block whose first coefficient is 16 × 8, with a table of one code each.
fn stream(entropy: &[u8]) -> Vec<u8> {
    let quanta = [&[0xff, 0xdb, 0, 67, 0][..], &[1; 64]].concat();
    let frame = [0xff, 0xc0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0];
    let codes = |class: u8, value: u8| [&[0xff, 0xc4, 0, 20, class, 1][..], &[0; 15], &[value]].concat();
    let scan = [0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0];
    [&[0xff, 0xd8][..], &quanta, &frame, &codes(0, 8), &codes(0x10, 0), &scan, entropy, &[0xff, 0xd9]].concat()
}

#[test]
fn a_block_is_decoded() {
    // The code 0, 128 in eight bits, the code 0 for the end.
    let picture = decode(&[], &stream(&[0b0100_0000, 0b0011_1111]), 1 << 20).unwrap();
    assert_eq!((picture.header.width, picture.header.height), (8, 8));
    assert_eq!(picture.samples, [128 + 16; 64]);
}

#[test]
fn what_is_wrong_is_told() {
    let whole = stream(&[0b0100_0000, 0b0011_1111]);
    for (at, byte, expected) in [
        (72, 0xc3, Fault::Unsupported("JPEG without loss is not read")),
        (75, 12, Fault::Unsupported("JPEG with other than 8 bits is not read")),
        (82, 5, Fault::Damaged("the header of a JPEG stream makes no sense")),
    ] {
        let mut stream = whole.clone();
        stream[at] = byte;
        assert_eq!(decode(&[], &stream, 1 << 20).err(), Some(expected), "{at}");
    }
    for end in 0..whole.len() - 4 {
        assert!(decode(&[], &whole[..end], 1 << 20).is_err(), "{end}");
    }
    assert!(matches!(decode(&[], &whole, 10).err(), Some(Fault::Unsupported(_))));
}

#[test]
fn coarse_colours_are_spread_between_their_neighbours() {
    let plane = |across, down| upsample::Plane {
        samples: vec![0, 8, 16, 99, 32, 40, 48, 99],
        stride: 4,
        width: 3,
        height: 2,
        across,
        down,
    };
    let row = |across, down, y| {
        let mut row = vec![0; 3 * across];
        plane(across, down).row(y, &mut row);
        row
    };
    assert_eq!(row(1, 1, 1), [32, 40, 48]);
    assert_eq!(row(2, 1, 0), [0, 2, 6, 10, 14, 16]);
    assert_eq!(row(1, 2, 1), [8, 16, 24]);
    assert_eq!(row(2, 2, 0), [0, 2, 6, 10, 14, 16]);
    assert_eq!(row(2, 2, 1), [8, 10, 14, 18, 22, 24]);
    assert_eq!(row(3, 1, 0), [0, 0, 0, 8, 8, 8, 16, 16, 16]);
}
