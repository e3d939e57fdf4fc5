//! The header: a Python dictionary such as `{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }`.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use girih_model::{Error, Result, ResultExt};

const MAGIC: &[u8] = b"\x93NUMPY";
/// Longest header, in bytes.
const MAX_HEADER: u64 = 1 << 20;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// As it stands there.
    pub descr: String,
    pub fortran_order: bool,
    pub shape: Vec<u64>,
    /// Where the items begin, in bytes.
    pub length: u64,
}

impl Header {
    /// # Errors
    /// `Unprocessable` when the file is no NumPy file, or holds Python objects.
    pub(super) fn read(file: &File) -> Result<Self> {
        Self::read_at(file, 0)
    }

    /// The same, of a file that begins within another.
    pub(super) fn read_at(file: &File, base: u64) -> Result<Self> {
        let mut start = [0; 12];
        let known = file.read_at(&mut start, base).internal(|| "reading the beginning of a file".into())?;
        let start = &start[..known];
        let (from, length) = Self::extent(start)?;
        let mut text = vec![0; length as usize];
        file.read_exact_at(&mut text, base + from).or_error(|_| damaged("its header is cut off"))?;
        Self::parse(&String::from_utf8_lossy(&text), base + from + length)
            .ok_or_else(|| damaged("its header cannot be read"))
    }

    /// The same, of a file that can only be read from its beginning on.
    pub(super) fn take(mut file: impl Read) -> Result<Self> {
        let mut text = vec![0; 12];
        file.read_exact(&mut text).or_error(|_| damaged("it is too short"))?;
        let (from, length) = Self::extent(&text)?;
        let (from, end) = (from as usize, (from + length) as usize);
        text.resize(end.max(12), 0);
        file.read_exact(&mut text[12..]).or_error(|_| damaged("its header is cut off"))?;
        Self::parse(&String::from_utf8_lossy(&text[from..end]), end as u64)
            .ok_or_else(|| damaged("its header cannot be read"))
    }

    /// Where the text of the header begins, and how long it is.
    fn extent(start: &[u8]) -> Result<(u64, u64)> {
        if start.len() < 12 || !start.starts_with(MAGIC) {
            return Err(damaged("it does not begin like one"));
        }
        let (from, length) = match start[6] {
            1 => (10, u64::from(u16::from_le_bytes([start[8], start[9]]))),
            2 | 3 => (12, u64::from(u32::from_le_bytes([start[8], start[9], start[10], start[11]]))),
            other => return Err(damaged(&format!("its version {other} is not known"))),
        };
        if length > MAX_HEADER {
            return Err(damaged("its header is too long"));
        }
        Ok((from, length))
    }

    fn parse(text: &str, length: u64) -> Option<Self> {
        let after = |key: &str| Some(text.split_once(&format!("'{key}':"))?.1.trim_start());
        let descr = match after("descr")? {
            rest if rest.starts_with('\'') => rest[1..].split_once('\'')?.0.to_owned(),
            rest => rest
                .split_once("'fortran_order'")
                .map_or(rest, |(descr, _)| descr)
                .trim_end_matches([',', ' '])
                .to_owned(),
        };
        if descr.contains('O') && !descr.starts_with('[') {
            return None;
        }
        let fortran_order = match after("fortran_order")? {
            rest if rest.starts_with("True") => true,
            rest if rest.starts_with("False") => false,
            _ => return None,
        };
        let inner = after("shape")?.strip_prefix('(')?.split_once(')')?.0;
        let lengths = inner.split(',').map(str::trim).filter(|len| !len.is_empty());
        let shape = lengths.map(|len| len.trim_end_matches('L').parse().ok()).collect::<Option<Vec<u64>>>()?;
        shape.iter().try_fold(1u64, |product, len| product.checked_mul(*len))?;
        Some(Self { descr, fortran_order, shape, length })
    }
}

fn damaged(how: &str) -> Error {
    Error::damaged(format!("The file is not a NumPy file that can be read: {how}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_numpy_are_read() {
        let check = |text: &str, descr: &str, fortran: bool, shape: &[u64]| {
            let header = Header::parse(text, 128).unwrap();
            assert_eq!(
                (header.descr.as_str(), header.fortran_order, &*header.shape),
                (descr, fortran, shape),
                "{text}"
            );
        };
        check("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }   \n", "<f8", false, &[3, 4]);
        check("{'descr': '|u1', 'fortran_order': True, 'shape': (3,), }\n", "|u1", true, &[3]);
        check("{'descr': '<U3', 'fortran_order': False, 'shape': (), }\n", "<U3", false, &[]);
        check("{'descr': '<M8[ns]', 'fortran_order': False, 'shape': (2L, 3L), }", "<M8[ns]", false, &[2, 3]);
        let fields = "{'descr': [('x', '<i4'), ('y', '<f8')], 'fortran_order': False, 'shape': (2,), }";
        check(fields, "[('x', '<i4'), ('y', '<f8')]", false, &[2]);
        for bad in [
            "",
            "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }",
            "{'descr': '<f8', 'fortran_order': None, 'shape': (2,), }",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (-2,), }",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (9223372036854775807, 9), }",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (2",
        ] {
            assert_eq!(Header::parse(bad, 128), None, "{bad}");
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let read = |bytes: &[u8]| {
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(bytes, 0).unwrap();
            Header::read(&file).unwrap_err().message().to_owned()
        };
        assert!(read(b"").contains("does not begin like one"));
        assert!(read(b"\x93NUMPY\x09\x00\x01\x00\x00\x00\x00").contains("version 9"));
        assert!(read(b"\x93NUMPY\x01\x00\xff\x00{'descr'").contains("cut off"));
        assert!(read(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{").contains("too long"));
    }
}
