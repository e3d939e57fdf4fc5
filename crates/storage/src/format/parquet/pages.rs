//! A file whose pages have a limit: the library makes room for a page as its header says, before it has read it.

use std::fs::File;
use std::io::{BufRead, BufReader};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

/// Most bytes of a page. Writers make pages of a megabyte, unless a single value is longer.
const MAX_PAGE: u64 = 128 << 20;

pub(super) struct Pages(pub(super) File);

impl Length for Pages {
    fn len(&self) -> u64 {
        Length::len(&self.0)
    }
}

impl ChunkReader for Pages {
    type T = BufReader<File>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let mut read = self.0.get_read(start)?;
        match size(read.fill_buf()?) {
            Some(size) if size > MAX_PAGE => Err(ParquetError::General(format!(
                "a page has {size} bytes, and at most {MAX_PAGE} are read; write it with smaller pages"
            ))),
            _ => Ok(read),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        self.0.get_bytes(start, length)
    }
}

/// The size of a page once it is decompressed: the second field of its header, a struct in Thrift's compact protocol,
/// where the first two are numbers (parquet.thrift, `PageHeader`). `None` where there is no such header.
fn size(header: &[u8]) -> Option<u64> {
    /// A field with the next number, of type i32.
    const NEXT_NUMBER: u8 = 0x15;
    let (_type, rest) = varint(header.strip_prefix(&[NEXT_NUMBER])?)?;
    let (size, _) = varint(rest.strip_prefix(&[NEXT_NUMBER])?)?;
    // Zigzag: the lowest bit is the sign.
    Some(size >> 1)
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (n, byte) in bytes.iter().take(9).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[n + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    #[test]
    fn a_page_that_says_it_is_huge_is_refused() {
        // A data page, of 2^31 - 1 bytes and of 100.
        let huge = [0x15, 0x00, 0x15, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0x15];
        let small = [0x15, 0x00, 0x15, 0xc8, 0x01, 0x15];
        assert_eq!(size(&huge), Some(i32::MAX as u64));
        assert_eq!(size(&small), Some(100));
        assert_eq!(size(&huge[..6]), None);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&small).unwrap();
        file.write_all(&huge).unwrap();
        file.rewind().unwrap();
        let pages = Pages(file);
        assert!(pages.get_read(0).is_ok());
        let e = pages.get_read(small.len() as u64).expect_err("a refusal");
        assert!(e.to_string().contains("smaller pages"), "{e}");
    }
}
