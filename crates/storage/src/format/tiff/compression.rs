//! How strips and tiles are compressed, and what undoes it.

use std::convert::Infallible;
use std::io::Read;

use fax::{BitReader, ByteReader, Color, decoder, maps};
use girih_model::{Error, Result, ResultExt};
use lzma_rust2::XzReader;
use weezl::BitOrder;
use weezl::decode::Configuration;

use super::ifd::damaged;
use crate::format::guard::guarded;

/// What the tag `Compression` may say. To read another one, give it a way here.
static COMPRESSIONS: &[(u16, &str, Way)] = &[
    (1, "none", Way::Stored),
    (2, "CCITT modified Huffman", Way::Fax(Fax::Plain)),
    (3, "CCITT Group 3", Way::Fax(Fax::Group3)),
    (4, "CCITT Group 4", Way::Fax(Fax::Group4)),
    (5, "LZW", Way::Lzw),
    (6, "old-style JPEG", Way::Unknown),
    (7, "JPEG", Way::Jpeg),
    (8, "Deflate", Way::Deflate),
    (22610, "JPEG XR", Way::Unknown),
    (32773, "PackBits", Way::PackBits),
    (32809, "ThunderScan", Way::Unknown),
    (32946, "Deflate", Way::Deflate),
    (33003, "JPEG 2000", Way::Unknown),
    (33004, "JPEG 2000", Way::Unknown),
    (33005, "JPEG 2000", Way::Unknown),
    (33007, "JPEG", Way::Jpeg),
    (34661, "JBIG", Way::Unknown),
    (34676, "SGI LogLuv", Way::Unknown),
    (34677, "SGI LogLuv", Way::Unknown),
    (34712, "JPEG 2000", Way::Unknown),
    (34887, "LERC", Way::Unknown),
    (34892, "JPEG", Way::Jpeg),
    (34925, "LZMA", Way::Lzma),
    (34926, "Zstandard", Way::Zstandard),
    (34927, "WebP", Way::Unknown),
    (34933, "PNG", Way::Unknown),
    (34934, "JPEG XR", Way::Unknown),
    (48124, "Jetraw", Way::Unknown),
    (50000, "Zstandard", Way::Zstandard),
    (50001, "WebP", Way::Unknown),
    (50002, "JPEG XL", Way::Unknown),
    (50013, "Deflate", Way::Deflate),
    (52546, "JPEG XL", Way::Unknown),
];

/// What a decoder of LZMA may take, in KiB.
const MAX_LZMA: u32 = 128 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Stored,
    Fax(Fax),
    Lzma,
    Lzw,
    /// Holds samples, not bytes.
    Jpeg,
    Deflate,
    PackBits,
    Zstandard,
    /// It has a name, but is not read.
    Unknown,
}

/// Encodings of facsimile: lines of runs, black is 1 (TIFF 6.0, sections 10 and 11; ITU-T T.4 and T.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fax {
    /// Each line begins with a byte.
    Plain,
    /// Each line begins with a mark.
    Group3,
    Group4,
}

pub(super) const GROUP3: Way = Way::Fax(Fax::Group3);

/// # Errors
/// `Unsupported` for one that is not read.
pub(super) fn way(number: u64) -> Result<Way> {
    match COMPRESSIONS.iter().find(|(known, ..)| u64::from(*known) == number) {
        Some((_, name, Way::Unknown)) => {
            Err(Error::unsupported(format!("TIFF files compressed by {name} ({number}) are not read.")))
        }
        Some((.., way)) => Ok(*way),
        None => Err(Error::unsupported(format!("TIFF files with the compression {number} are not read."))),
    }
}

/// The first `len` bytes of what was compressed, or those that there are. `row` is how many bytes, and bits, a row has.
pub(super) fn unpack(way: Way, packed: Vec<u8>, len: usize, bits: usize) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    match way {
        Way::Stored => out = packed,
        Way::Lzw => out = lzw(&packed, len)?,
        Way::Deflate => fill(flate2::read::ZlibDecoder::new(packed.as_slice()), len, &mut out)?,
        Way::Zstandard => {
            let decoder = zstd::stream::read::Decoder::with_buffer(packed.as_slice()).or_error(|e| damaged(&e))?;
            fill(decoder, len, &mut out)?;
        }
        Way::Lzma => fill(XzReader::new_mem_limit(packed.as_slice(), true, MAX_LZMA), len, &mut out)?,
        Way::PackBits => pack_bits(&packed, len, &mut out),
        Way::Fax(fax) => {
            let lines = guarded(|| lines(fax, &packed, bits, len / bits.div_ceil(8).max(1)));
            out = lines.flatten().ok_or_else(|| damaged(&"a facsimile is damaged"))?;
        }
        Way::Jpeg | Way::Unknown => return Err(damaged(&"it is compressed in another way")),
    }
    out.truncate(len);
    Ok(out)
}

/// What comes after that many bytes does not matter, be it damaged.
fn fill(decoder: impl Read, len: usize, out: &mut Vec<u8>) -> Result<()> {
    match decoder.take(len as u64).read_to_end(out) {
        Err(e) if out.len() < len => Err(damaged(&e)),
        _ => Ok(()),
    }
}

/// Section 13. Writers leave out the code for the end; very old ones began with the lowest bit, and switched later.
fn lzw(packed: &[u8], len: usize) -> Result<Vec<u8>> {
    let is_old = packed.len() > 1 && packed[0] == 0 && packed[1] & 1 == 1;
    let configuration = match is_old {
        true => Configuration::new(BitOrder::Lsb, 8),
        false => Configuration::with_tiff_size_switch(BitOrder::Msb, 8),
    };
    let mut decoder = configuration.with_yield_on_full_buffer(true).build();
    let mut items = vec![0; len];
    let (mut from, mut at) = (packed, 0);
    while at < len {
        let step = decoder.decode_bytes(from, &mut items[at..]);
        step.status.or_error(|e| damaged(&e))?;
        if step.consumed_in == 0 && step.consumed_out == 0 {
            break;
        }
        from = &from[step.consumed_in..];
        at += step.consumed_out;
    }
    items.truncate(at);
    Ok(items)
}

/// Section 9: a length, then so many bytes; or a negative one, then a byte to repeat.
fn pack_bits(mut packed: &[u8], len: usize, out: &mut Vec<u8>) {
    while let Some((count, rest)) = packed.split_first()
        && out.len() < len
    {
        let count = *count as i8;
        packed = match count {
            0.. => {
                let (run, rest) = rest.split_at(rest.len().min(count as usize + 1));
                out.extend_from_slice(run);
                rest
            }
            -128 => rest,
            _ => {
                let Some((byte, rest)) = rest.split_first() else { return };
                out.extend(std::iter::repeat_n(*byte, 1 + count.unsigned_abs() as usize));
                rest
            }
        };
    }
}

/// Rows of bits, each in whole bytes.
fn lines(fax: Fax, packed: &[u8], width: usize, rows: usize) -> Option<Vec<u8>> {
    let width = u16::try_from(width).ok()?;
    let mut out = Vec::with_capacity(rows * usize::from(width).div_ceil(8));
    let mut push = |line: &[u16]| {
        let (mut byte, mut bit) = (0, 0);
        for colour in decoder::pels(line, width) {
            byte |= u8::from(colour == Color::Black) << (7 - bit);
            bit += 1;
            if bit == 8 {
                out.push(std::mem::take(&mut byte));
                bit = 0;
            }
        }
        if bit > 0 {
            out.push(byte);
        }
    };
    // The reader looks ahead; behind the last line it may want a mark.
    let bytes = packed.iter().copied().chain([0, 1, 0xff, 0xff]);
    let read = bytes.clone().map(Ok::<u8, Infallible>);
    match fax {
        Fax::Group4 => decoder::decode_g4(bytes, width, u16::try_from(rows).ok(), push)?,
        Fax::Group3 => {
            let mut decoder = decoder::Group3Decoder::new(read).ok()?;
            for _ in 0..rows {
                decoder.advance().ok()?;
                push(decoder.transitions());
            }
        }
        Fax::Plain => {
            let mut reader = ByteReader::new(read).ok()?;
            for _ in 0..rows {
                push(&runs(&mut reader, width)?);
                reader.consume(reader.bits_to_byte_boundary()).ok()?;
            }
        }
    }
    Some(out)
}

/// Where a line changes its colour, beginning with white.
fn runs<R: BitReader>(reader: &mut R, width: u16) -> Option<Vec<u16>> {
    let (mut at, mut is_black, mut changes) = (0u16, false, Vec::new());
    while at < width {
        let mut run = 0u16;
        loop {
            let part = if is_black { maps::black::decode(reader) } else { maps::white::decode(reader) }?;
            run = run.checked_add(part)?;
            // Longer ones come in parts, of which the last is short.
            if part < 64 {
                break;
            }
        }
        at = at.checked_add(run)?;
        changes.push(at);
        is_black = !is_black;
    }
    Some(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(way: Way, packed: &[u8], len: usize, expected: &[u8]) {
        assert_eq!(unpack(way, packed.to_vec(), len, 8).unwrap(), expected, "{way:?}");
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        // The example of section 9.
        let packed = [0xfe, 0xaa, 2, 0x80, 0, 0x2a, 0xfd, 0xaa, 3, 0x80, 0, 0x2a, 0x22, 0xf7, 0xaa];
        let (a, b) = ([0xaa; 3], [0x80, 0, 0x2a]);
        let unpacked = [&a[..], &b, &[0xaa; 4], &b, &[0x22], &[0xaa; 10]].concat();
        check(Way::PackBits, &packed, 24, &unpacked);
        check(Way::PackBits, &packed, 5, &unpacked[..5]);
        check(Way::PackBits, &[0xfe], 5, &[]);
        check(Way::Stored, &[1, 2, 3], 2, &[1, 2]);
        // Clear, 7, 7, and no end: from the highest bit, and from the lowest.
        check(Way::Lzw, &[0x80, 0x01, 0xc0, 0xe0], 2, &[7, 7]);
        check(Way::Lzw, &[0x00, 0x0f, 0x1c, 0x00], 2, &[7, 7]);
    }

    #[test]
    fn facsimile_is_lines_of_runs() {
        // White 3 (1000), black 5 (0011).
        check(Way::Fax(Fax::Plain), &[0b1000_0011], 1, &[0b0001_1111]);
        assert!(unpack(Way::Fax(Fax::Plain), vec![0, 0], 1, 8).is_err());
    }

    #[test]
    fn each_has_one_line_and_what_is_not_read_is_named() {
        let numbers: Vec<_> = COMPRESSIONS.iter().map(|(number, ..)| number).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b));
        assert!(way(50001).unwrap_err().message().contains("WebP"));
        assert!(way(4711).unwrap_err().message().contains("4711"));
    }
}
