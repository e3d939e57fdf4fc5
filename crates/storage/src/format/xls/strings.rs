//! The table of all strings of a workbook (\[MS-XLS\], 2.4.265), kept in a scratch file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Result, Seek, SeekFrom, Write};

use super::biff::{CONTINUE, MAX_RECORD, SST};

/// Strings that are remembered, so that they are stored once only.
const REMEMBERED: usize = 1 << 16;
const LONGEST_REMEMBERED: usize = 256;

const WIDE: u8 = 1;

pub(super) struct Strings {
    out: BufWriter<File>,
    known: HashMap<String, u32>,
    /// Cells with strings.
    uses: u32,
    count: u32,
    /// Where the current record begins.
    start: u64,
    /// Bytes in the current record.
    used: usize,
}

impl Strings {
    pub(super) fn new(file: File) -> Result<Self> {
        let mut strings =
            Self { out: BufWriter::new(file), known: HashMap::new(), uses: 0, count: 0, start: 0, used: 0 };
        strings.out.write_all(&SST.to_le_bytes())?;
        strings.out.write_all(&[0; 2])?;
        // The two counts are filled in at the end.
        strings.put(&[0; 8])?;
        Ok(strings)
    }

    /// The index of a string.
    pub(super) fn add(&mut self, text: &str) -> Result<u32> {
        self.uses += 1;
        if let Some(index) = self.known.get(text) {
            return Ok(*index);
        }
        let index = self.count;
        self.count += 1;
        if text.len() <= LONGEST_REMEMBERED && self.known.len() < REMEMBERED {
            self.known.insert(text.to_owned(), index);
        }
        self.write(text)?;
        Ok(index)
    }

    /// Length and kind stay together with the first character. Where the characters go on in
    /// another record, their kind is repeated (2.5.293).
    fn write(&mut self, text: &str) -> Result<()> {
        let units: Vec<u16> = text.encode_utf16().collect();
        let wide = u8::from(units.iter().any(|unit| *unit > 0xff));
        let width = usize::from(wide) + 1;
        if self.used + 3 + width > MAX_RECORD {
            self.next_record()?;
        }
        self.put(&(units.len() as u16).to_le_bytes())?;
        self.put(&[wide])?;
        let mut rest = &units[..];
        loop {
            let (now, later) = rest.split_at(rest.len().min((MAX_RECORD - self.used) / width));
            let bytes: Vec<u8> = match wide {
                WIDE => now.iter().flat_map(|unit| unit.to_le_bytes()).collect(),
                _ => now.iter().map(|unit| *unit as u8).collect(),
            };
            self.put(&bytes)?;
            rest = later;
            if rest.is_empty() {
                return Ok(());
            }
            self.next_record()?;
            self.put(&[wide])?;
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.used += bytes.len();
        self.out.write_all(bytes)
    }

    fn next_record(&mut self) -> Result<()> {
        self.end_record()?;
        self.out.write_all(&CONTINUE.to_le_bytes())?;
        self.out.write_all(&[0; 2])?;
        self.used = 0;
        Ok(())
    }

    /// Fills in the length of the current record.
    fn end_record(&mut self) -> Result<()> {
        let end = self.start + 4 + self.used as u64;
        self.patch(self.start + 2, &(self.used as u16).to_le_bytes(), end)?;
        self.start = end;
        Ok(())
    }

    fn patch(&mut self, at: u64, bytes: &[u8], end: u64) -> Result<()> {
        self.out.seek(SeekFrom::Start(at))?;
        self.out.write_all(bytes)?;
        self.out.seek(SeekFrom::Start(end))?;
        Ok(())
    }

    /// The file, at its beginning, and its length.
    pub(super) fn finish(mut self) -> Result<(File, u64)> {
        self.end_record()?;
        let counts = [self.uses.to_le_bytes(), self.count.to_le_bytes()].concat();
        let end = self.start;
        self.patch(4, &counts, end)?;
        let mut file = self.out.into_inner().map_err(|e| e.into_error())?;
        file.rewind()?;
        Ok((file, end))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// Reads the table back, record by record.
    fn read(mut file: File) -> Vec<String> {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        let mut records = Vec::new();
        while !bytes.is_empty() {
            let len = usize::from(u16::from_le_bytes([bytes[2], bytes[3]]));
            assert!(len <= MAX_RECORD);
            let rest = bytes.split_off(4 + len);
            records.push(bytes[4..].to_vec());
            bytes = rest;
        }
        let count = u32::from_le_bytes(records[0][4..8].try_into().unwrap());
        let (mut record, mut at) = (0, 8);
        let mut strings = Vec::new();
        for _ in 0..count {
            if at == records[record].len() {
                (record, at) = (record + 1, 0);
            }
            let head = &records[record][at..at + 3];
            let (len, mut wide) = (usize::from(u16::from_le_bytes([head[0], head[1]])), head[2]);
            at += 3;
            let mut units = Vec::new();
            while units.len() < len {
                if at == records[record].len() {
                    (record, at) = (record + 1, 1);
                    wide = records[record][0];
                }
                let here = &records[record][at..];
                units.push(if wide == 1 { u16::from_le_bytes([here[0], here[1]]) } else { here[0].into() });
                at += usize::from(wide) + 1;
            }
            strings.push(String::from_utf16(&units).unwrap());
        }
        strings
    }

    #[test]
    fn strings_come_back_whatever_their_lengths() {
        let long: Vec<String> = (0..40).map(|n| ["é", "€", "a"][n % 3].repeat(n * 613)).collect();
        let short: Vec<String> = (0..3000).map(|n| format!("{n}{}", ["ü", "λ"][n % 2])).collect();
        let all = [long, short].concat();
        let mut strings = Strings::new(tempfile::tempfile().unwrap()).unwrap();
        let indices: Vec<u32> = all.iter().map(|text| strings.add(text).unwrap()).collect();
        assert_eq!(strings.add(&all[100]).unwrap(), indices[100]);
        let back = read(strings.finish().unwrap().0);
        for (text, index) in all.iter().zip(indices) {
            assert_eq!(&back[index as usize], text);
        }
    }
}
