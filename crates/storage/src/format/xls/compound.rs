//! A compound file with one stream (\[MS-CFB\], version 3): header, the stream, the directory, the
//! allocation table and, if that is long, the table that finds it.

use std::fs::File;
use std::io::{BufWriter, Result, Seek, SeekFrom, Write};

const SECTOR: u64 = 512;
/// Shorter streams would lie elsewhere (2.3).
const SMALLEST_STREAM: u64 = 4096;
/// Sector numbers in one sector.
const PER_SECTOR: u64 = SECTOR / 4;
/// Sector numbers of the allocation table in the header.
const IN_HEADER: u64 = 109;

const FREE: u32 = 0xffff_ffff;
const END_OF_CHAIN: u32 = 0xffff_fffe;
const ALLOCATION_TABLE: u32 = 0xffff_fffd;
const TABLE_OF_TABLES: u32 = 0xffff_fffc;
const NO_STREAM: u32 = 0xffff_ffff;

/// Where the stream begins in the file.
pub(super) const STREAM_START: u64 = SECTOR;

/// Completes a file in which the stream has been written from [`STREAM_START`] on to the end.
pub(super) fn complete(file: &mut File, name: &str) -> Result<()> {
    let end = file.seek(SeekFrom::End(0))?;
    let length = (end - STREAM_START).max(SMALLEST_STREAM);
    let layout = Layout::new(length.div_ceil(SECTOR));
    let mut out = BufWriter::new(file);
    // The rest of the last sector; records do not care for zeros after the end.
    let padding = STREAM_START + layout.stream * SECTOR - end;
    out.write_all(&vec![0; padding as usize])?;
    out.write_all(&directory(name, length))?;
    layout.write_tables(&mut out)?;
    out.seek(SeekFrom::Start(0))?;
    out.write_all(&layout.header())?;
    out.flush()
}

/// Numbers of sectors; they lie in the order of the fields.
struct Layout {
    stream: u64,
    directory: u64,
    table: u64,
    table_of_tables: u64,
}

impl Layout {
    fn new(stream: u64) -> Self {
        let mut layout = Self { stream, directory: 1, table: 0, table_of_tables: 0 };
        // The tables have entries for themselves.
        loop {
            let table = layout.sectors().div_ceil(PER_SECTOR);
            let table_of_tables = table.saturating_sub(IN_HEADER).div_ceil(PER_SECTOR - 1);
            if (table, table_of_tables) == (layout.table, layout.table_of_tables) {
                return layout;
            }
            (layout.table, layout.table_of_tables) = (table, table_of_tables);
        }
    }

    fn sectors(&self) -> u64 {
        self.stream + self.directory + self.table + self.table_of_tables
    }

    fn first_table(&self) -> u64 {
        self.stream + self.directory
    }

    /// 2.2
    fn header(&self) -> Vec<u8> {
        let mut header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec();
        header.resize(24, 0);
        // Minor and major version, byte order, sector sizes as powers of two (of the main and the mini stream).
        for field in [0x003e, 3, 0xfffe, 9, 6u16] {
            header.extend_from_slice(&field.to_le_bytes());
        }
        header.resize(44, 0);
        let first_of_tables = match self.table_of_tables {
            0 => END_OF_CHAIN,
            _ => (self.first_table() + self.table) as u32,
        };
        let fields = [
            self.table as u32,
            self.stream as u32,
            0,
            SMALLEST_STREAM as u32,
            END_OF_CHAIN,
            0,
            first_of_tables,
            self.table_of_tables as u32,
        ];
        fields.iter().for_each(|field| header.extend_from_slice(&field.to_le_bytes()));
        for n in 0..IN_HEADER {
            let sector = if n < self.table { (self.first_table() + n) as u32 } else { FREE };
            header.extend_from_slice(&sector.to_le_bytes());
        }
        header
    }

    /// 2.3 and 2.5
    fn write_tables(&self, out: &mut impl Write) -> Result<()> {
        let mut put = |sector: u32| out.write_all(&sector.to_le_bytes());
        for n in 1..self.stream {
            put(n as u32)?;
        }
        put(END_OF_CHAIN)?;
        put(END_OF_CHAIN)?;
        for _ in 0..self.table {
            put(ALLOCATION_TABLE)?;
        }
        for _ in 0..self.table_of_tables {
            put(TABLE_OF_TABLES)?;
        }
        for _ in self.sectors()..self.table * PER_SECTOR {
            put(FREE)?;
        }
        for n in 0..self.table_of_tables {
            let first = IN_HEADER + n * (PER_SECTOR - 1);
            for table in first..first + PER_SECTOR - 1 {
                put(if table < self.table { (self.first_table() + table) as u32 } else { FREE })?;
            }
            let next = self.first_table() + self.table + n + 1;
            put(if n + 1 < self.table_of_tables { next as u32 } else { END_OF_CHAIN })?;
        }
        Ok(())
    }
}

/// Root and stream, and two empty entries (2.6).
fn directory(name: &str, length: u64) -> Vec<u8> {
    let mut entries = entry("Root Entry", 5, 1, END_OF_CHAIN, 0);
    entries.extend(entry(name, 2, NO_STREAM, 0, length));
    for _ in 0..2 {
        entries.extend(entry("", 0, NO_STREAM, 0, 0));
    }
    entries
}

fn entry(name: &str, kind: u8, child: u32, start: u32, length: u64) -> Vec<u8> {
    let mut entry: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let name_bytes = if name.is_empty() { 0 } else { entry.len() as u16 + 2 };
    entry.resize(64, 0);
    entry.extend_from_slice(&name_bytes.to_le_bytes());
    // Black, with neither siblings.
    entry.extend_from_slice(&[kind, 1]);
    for link in [NO_STREAM, NO_STREAM, child] {
        entry.extend_from_slice(&link.to_le_bytes());
    }
    // Class, state, times.
    entry.resize(116, 0);
    entry.extend_from_slice(&start.to_le_bytes());
    entry.extend_from_slice(&length.to_le_bytes());
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_have_room_for_all_sectors() {
        for stream in [8, 126, 127, 128, 109 * 128 - 200, 109 * 128, 20_000, 500_000] {
            let layout = Layout::new(stream);
            assert!(layout.table * PER_SECTOR >= layout.sectors(), "{stream}");
            assert!((layout.table - 1) * PER_SECTOR < layout.sectors(), "{stream}");
            let found = IN_HEADER + layout.table_of_tables * (PER_SECTOR - 1);
            assert!(layout.table <= found, "{stream}");
            let mut tables = Vec::new();
            layout.write_tables(&mut tables).unwrap();
            assert_eq!(tables.len() as u64, (layout.table + layout.table_of_tables) * SECTOR);
            assert_eq!(layout.header().len() as u64, SECTOR);
        }
        assert_eq!(directory("Workbook", 5000).len() as u64, SECTOR);
    }
}
