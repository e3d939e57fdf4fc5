//! Strips and tiles compressed by LZW (TIFF 6.0, section 13), and what predictors did to their samples (section 14; for
//! floats, Adobe Photoshop TIFF Technical Note 3).
//!
//! The library that reads everything else insists on a code for the end, which writers leave out.

use std::fs::File;
use std::os::unix::fs::FileExt;

use girih_model::{Error, Result, ResultExt};
use tiff::decoder::Decoder;
use tiff::tags::Tag;
use weezl::BitOrder;
use weezl::decode::Configuration;

use super::pages::{Geometry, Header, MAX_CHUNK, PageReader, damaged, decoded};

/// The samples of a strip or tile, little-endian, as far as they belong to the page: `size` is width and height.
pub(super) fn decode(
    file: &File,
    decoder: &mut Decoder<PageReader>,
    geometry: &Geometry,
    header: Header,
    number: u32,
    (width, height): (u32, u32),
) -> Result<Vec<u8>> {
    let (offsets, counts) = match geometry.is_tiled {
        true => (Tag::TileOffsets, Tag::TileByteCounts),
        false => (Tag::StripOffsets, Tag::StripByteCounts),
    };
    let mut of = |tag| -> Result<u64> {
        let all = decoded(|| decoder.find_tag_unsigned_vec::<u64>(tag))?.unwrap_or_default();
        all.get(number as usize).copied().ok_or_else(|| damaged(&format!("it does not say where part {number} lies")))
    };
    let (offset, count) = (of(offsets)?, of(counts)?);
    if count > MAX_CHUNK as u64 {
        return Err(damaged(&format!("part {number} says that it has {count} bytes")));
    }
    let mut packed = vec![0; count as usize];
    file.read_exact_at(&mut packed, offset).or_error(|e| damaged(&e))?;

    let samples = if geometry.is_planar { 1 } else { geometry.samples as usize };
    let bytes = usize::from(geometry.bits) / 8;
    // A tile is stored whole, also at the edge.
    let (stored_width, stored_height) = match geometry.is_tiled {
        true => (geometry.chunk_width, geometry.chunk_height),
        false => (width, height),
    };
    let row = stored_width as usize * samples * bytes;
    let total = row.checked_mul(stored_height as usize).filter(|total| *total <= MAX_CHUNK);
    let mut items = vec![0; total.ok_or_else(|| damaged(&"a strip or tile is too large"))?];
    unpack(&packed, &mut items)?;
    for row in items.chunks_exact_mut(row.max(1)) {
        undo(geometry.predictor, row, samples, bytes, header.is_little)?;
    }
    let wanted = width as usize * samples * bytes;
    if wanted == row {
        items.truncate(wanted * height as usize);
        return Ok(items);
    }
    let rows = items.chunks_exact(row.max(1)).take(height as usize);
    Ok(rows.flat_map(|row| &row[..wanted]).copied().collect())
}

/// Fills `items`; what comes after that does not matter.
fn unpack(mut packed: &[u8], mut items: &mut [u8]) -> Result<()> {
    let configuration = Configuration::with_tiff_size_switch(BitOrder::Msb, 8).with_yield_on_full_buffer(true);
    let mut decoder = configuration.build();
    while !items.is_empty() {
        let step = decoder.decode_bytes(packed, items);
        step.status.or_error(|e| damaged(&e))?;
        if step.consumed_in == 0 && step.consumed_out == 0 {
            return Err(damaged(&"the samples end too early"));
        }
        packed = &packed[step.consumed_in..];
        items = &mut items[step.consumed_out..];
    }
    Ok(())
}

/// Undoes a predictor in a row, and turns its samples to little-endian.
fn undo(predictor: u16, row: &mut [u8], samples: usize, bytes: usize, is_little: bool) -> Result<()> {
    if predictor == 3 {
        // Differences of bytes; then the first bytes of all samples, the second bytes of all, and so on.
        for at in samples..row.len() {
            row[at] = row[at].wrapping_add(row[at - samples]);
        }
        let planes = row.to_vec();
        let count = row.len() / bytes.max(1);
        for (n, sample) in row.chunks_exact_mut(bytes.max(1)).enumerate() {
            sample.iter_mut().rev().enumerate().for_each(|(plane, byte)| *byte = planes[plane * count + n]);
        }
        return Ok(());
    }
    if !is_little {
        row.chunks_exact_mut(bytes.max(1)).for_each(<[u8]>::reverse);
    }
    match predictor {
        1 => {}
        2 => {
            let stride = samples * bytes;
            for at in (stride..row.len()).step_by(bytes.max(1)) {
                // A sum of little-endian numbers, byte by byte.
                let mut carry = false;
                for byte in at..at + bytes {
                    let (sum, first) = row[byte].overflowing_add(row[byte - stride]);
                    let (sum, second) = sum.overflowing_add(carry.into());
                    (row[byte], carry) = (sum, first || second);
                }
            }
        }
        other => return Err(Error::unsupported(format!("The predictor {other} of TIFF is not known here."))),
    }
    Ok(())
}
