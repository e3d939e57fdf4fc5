//! How large a workbook is when it is unpacked: sizes that a file tells of itself may be lies.

use std::fs::File;
use std::io::{BufReader, Read};

use girih_model::{Error, Result, ResultExt};

use super::damaged;

/// Most bytes of a workbook, unpacked: whatever part of it may have to be held as a whole.
const MAX_UNPACKED: u64 = 256 << 20;
/// Most parts.
const MAX_PARTS: usize = 10_000;

/// Bytes that it may take to look into a packed workbook of so many.
pub(super) fn guess(packed: u64) -> usize {
    packed.saturating_mul(8).min(MAX_UNPACKED) as usize
}

/// Unpacks everything once, into nothing. Returns how many bytes it takes to read a sheet, about: a cell is as long in
/// XML as in memory.
pub(super) fn check(file: File) -> Result<usize> {
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).or_error(|e| damaged(e))?;
    if archive.len() > MAX_PARTS {
        return Err(damaged(&"it has too many parts"));
    }
    let mut left = MAX_UNPACKED;
    for n in 0..archive.len() {
        let part = archive.by_index(n).or_error(|e| damaged(e))?;
        let read = std::io::copy(&mut part.take(left + 1), &mut std::io::sink()).or_error(|e| damaged(e))?;
        left = left.checked_sub(read).ok_or_else(|| {
            Error::unsupported(format!(
                "A workbook of more than {MAX_UNPACKED} bytes, unpacked, is not read. Save its sheets as CSV or Parquet."
            ))
        })?;
    }
    Ok((MAX_UNPACKED - left) as usize)
}
