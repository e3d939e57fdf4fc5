//! From the strips and tiles of a page to the items of a chunk.

use girih_model::Result;

use super::compression::{Way, unpack};
use super::ifd::{Directory, Source, damaged};
use super::jpeg;
use super::page::{MAX_CHUNK, Page, tag};
use super::read::Place;
use super::series::{Frames, Series};
use crate::format::jpeg_stream::Picture;

pub(super) struct Segments<'a> {
    pub(super) source: &'a Source,
    pub(super) series: &'a Series,
}

/// The strip or tile that is read: how it is stored, and how much of it belongs to the page.
struct Part {
    number: u64,
    depth: u64,
    rows: u64,
    width: u64,
    rows_within: u64,
    width_within: u64,
}

impl Segments<'_> {
    /// The items of a chunk of a page, little-endian; at the end of a page of strips, no more than there are.
    pub(super) fn chunk(&self, frame: u64, place: Place) -> Result<Vec<u8>> {
        let at = match &self.series.frames {
            Frames::Stack { at, .. } => at.saturating_add(frame * self.page_bytes()),
            Frames::Items(all) => all[frame as usize],
            Frames::Directories(all) => {
                let directory = self.source.directory(all[frame as usize])?;
                if Page::of(&directory, self.source.header.is_little)? != self.series.page {
                    return Err(damaged(&format!("page {frame} is another than the first")));
                }
                return match self.series.page.tile {
                    Some(_) => self.tile(&directory, place),
                    None => self.strips(&directory, place),
                };
            }
        };
        let page = &self.series.page;
        let [depth, rows, _] = page.chunk(&self.series.decoding);
        let (lines, first) = match page.tile {
            Some(_) => (depth * rows, place.plane * depth * rows),
            None => {
                let row = place.row * rows;
                (rows.min(page.height - row), (place.plane * page.depth + place.depth) * page.height + row)
            }
        };
        let line = self.line(page.width)?;
        let bytes = self.source.read(at.saturating_add(first * line), lines * line)?;
        Ok(self.items(bytes, page.width))
    }

    fn page_bytes(&self) -> u64 {
        self.series.page.nbytes(self.series.dtype()).unwrap_or_default()
    }

    /// Bytes of a row in the file.
    fn line(&self, width: u64) -> Result<u64> {
        let samples = self.series.page.line_samples().checked_mul(width);
        let bytes = samples.and_then(|samples| self.series.decoding.samples.stored(samples));
        bytes.ok_or_else(|| damaged(&"a row is too long"))
    }

    fn items(&self, bytes: Vec<u8>, width: u64) -> Vec<u8> {
        self.series.decoding.samples.items(bytes, width as usize, self.series.page.line_samples() as usize)
    }

    /// As often as the items of so many pixels.
    fn missing(&self, pixels: u64) -> Vec<u8> {
        self.series.missing.repeat((pixels * self.series.page.line_samples()) as usize)
    }

    fn tile(&self, directory: &Directory, place: Place) -> Result<Vec<u8>> {
        let page = &self.series.page;
        let [deep, down, across] = page.segments();
        let [depth, rows, width] = page.chunk(&self.series.decoding);
        let number = ((place.plane * deep + place.depth) * down + place.row) * across + place.column;
        self.part(
            directory,
            &Part {
                number,
                depth,
                rows,
                width,
                rows_within: rows.min(page.height - place.row * rows),
                width_within: width.min(page.width - place.column * width),
            },
        )
    }

    fn strips(&self, directory: &Directory, place: Place) -> Result<Vec<u8>> {
        let page = &self.series.page;
        let [_, down, _] = page.segments();
        let [_, rows, width] = page.chunk(&self.series.decoding);
        let end = page.height.min((place.row + 1) * rows);
        let (mut row, mut items) = (place.row * rows, Vec::new());
        while row < end {
            let (strip, skip) = (row / page.rows_per_strip, row % page.rows_per_strip);
            let rows = page.rows_per_strip.min(page.height - strip * page.rows_per_strip);
            let number = (place.plane * page.depth + place.depth) * down + strip;
            let taken = (rows - skip).min(end - row);
            items.extend(match self.series.decoding.way {
                Way::Stored => self.rows(directory, number, skip, taken)?,
                _ => {
                    let part = Part { number, depth: 1, rows, width, rows_within: rows, width_within: width };
                    self.part(directory, &part)?
                }
            });
            row += taken;
        }
        Ok(items)
    }

    /// Some rows of a strip that is not compressed.
    fn rows(&self, directory: &Directory, number: u64, first: u64, count: u64) -> Result<Vec<u8>> {
        let page = &self.series.page;
        let (line, (_, bytes)) = (self.line(page.width)?, Page::places(directory));
        let Some((at, len)) = self.place(directory, number)? else { return Ok(self.missing(count * page.width)) };
        // One strip is as long as it has to be.
        if directory.count(bytes) > 1 && len < (first + count) * line {
            return Err(damaged(&format!("strip {number} has {len} bytes, not {}", (first + count) * line)));
        }
        let bytes = self.source.read(at.saturating_add(first * line), count * line)?;
        Ok(self.items(self.turned(bytes), page.width))
    }

    fn turned(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        if self.series.page.is_reversed {
            bytes.iter_mut().for_each(|byte| *byte = byte.reverse_bits());
        }
        bytes
    }

    /// Where a strip or tile lies, and how many bytes it has; `None` for one that is left out.
    fn place(&self, directory: &Directory, number: u64) -> Result<Option<(u64, u64)>> {
        let (offsets, counts) = Page::places(directory);
        let at = directory.number(offsets, number)?.filter(|at| *at > 0);
        let len = match directory.has(counts) {
            true => directory.number(counts, number)?,
            // As far as the file goes.
            false => at.and_then(|at| self.source.len().checked_sub(at)).map(|len| len.min(MAX_CHUNK)),
        };
        let is_one = self.series.decoding.way == Way::Stored && directory.count(offsets) == 1;
        Ok(at.zip(len.filter(|len| *len > 0 || is_one)))
    }

    /// A strip or tile, whole.
    fn part(&self, directory: &Directory, part: &Part) -> Result<Vec<u8>> {
        let (page, way) = (&self.series.page, self.series.decoding.way);
        let (lines, line) = (part.depth * part.rows, self.line(part.width)?);
        let Some((at, len)) = self.place(directory, part.number)? else { return Ok(self.missing(lines * part.width)) };
        if len > MAX_CHUNK {
            return Err(damaged(&format!("part {} says that it has {len} bytes", part.number)));
        }
        if way == Way::Jpeg {
            let tables = directory.bytes(tag::JPEG_TABLES)?;
            return self.pixels(part, jpeg::decode(page, &tables.unwrap_or_default(), &self.source.read(at, len)?)?);
        }
        let is_one = way == Way::Stored && directory.count(Page::places(directory).0) == 1;
        let packed = self.turned(self.source.read(at, if is_one { lines * line } else { len })?);
        let bits = part.width * page.line_samples();
        let mut bytes = unpack(way, packed, (lines * line) as usize, bits as usize)?;
        // Some leave out what lies beyond the page.
        let needed = if part.depth == 1 { part.rows_within } else { lines };
        if (bytes.len() as u64) < needed * line {
            return Err(damaged(&format!("part {} has {} bytes, not {}", part.number, bytes.len(), lines * line)));
        }
        bytes.resize((lines * line) as usize, 0);
        Ok(self.items(bytes, part.width))
    }

    /// What a JPEG stream holds, in the place of the part: it may be smaller at the edge of a page, or larger.
    fn pixels(&self, part: &Part, picture: Picture) -> Result<Vec<u8>> {
        let samples = self.series.page.line_samples() as usize;
        let (rows, width) = ((part.depth * part.rows) as usize, part.width as usize);
        let (there, header) = (picture.samples, picture.header);
        if header.components.len() != samples
            || header.width < part.width_within as usize
            || header.height < part.rows_within as usize
        {
            return Err(damaged(&format!(
                "the JPEG stream of part {} has {} × {} pixels of {} samples",
                part.number,
                header.width,
                header.height,
                header.components.len()
            )));
        }
        if (header.width, header.height) == (width, rows) {
            return Ok(there);
        }
        let mut items = vec![0; rows * width * samples];
        let taken = header.width.min(width) * samples;
        let lines = there.chunks_exact(header.width * samples);
        for (to, from) in items.chunks_exact_mut(width * samples).zip(lines) {
            to[..taken].copy_from_slice(&from[..taken]);
        }
        Ok(items)
    }
}
