//! Tables kept as CSV, one file per partition, with a header.
//!
//! pandas reads them as it reads its own. The types are those of the declared schema. What `to_csv` writes alike is
//! kept apart, in ways that pandas reads alike: a missing value is nothing, an empty text is `""`, NaN is `NaN`.
//! In a file of one column, where a line with nothing on it would not count as a row, missing values and empty texts
//! are both `""`, and are read as missing.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::ops::{Range, RangeInclusive};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use girih_model::{Error, Result, ResultExt};

use super::records::{MAX_RECORD, Record, Splitter};
use super::rows::Rows;
use super::{Csv, push_field};
use crate::format::partition::encode::BatchWriter;
use crate::format::partition::{Batches, TableFile};
use crate::item::Cell;
use crate::place::Draft;

/// Bytes that are read or written at once.
const PIECE: usize = 256 << 10;

impl TableFile for Csv {
    fn extension(&self) -> &'static str {
        "csv"
    }

    fn check(&self, schema: &Schema) -> Result<()> {
        let mut names = HashSet::new();
        for field in schema.fields() {
            if !is_held(field.data_type()) {
                return Err(Error::unprocessable(format!(
                    "The column {:?} has the type {}, which CSV cannot hold. Use application/x-parquet or application/vnd.apache.arrow.file instead.",
                    field.name(),
                    field.data_type()
                )));
            }
            if !names.insert(field.name()) {
                return Err(Error::unprocessable(format!(
                    "The column {:?} appears twice. In CSV the columns need names of their own.",
                    field.name()
                )));
            }
        }
        Ok(())
    }

    fn read(&self, file: File, wanted: &SchemaRef, rows: Option<Range<u64>>) -> Result<(SchemaRef, Batches)> {
        self.check(wanted)?;
        let rows = Rows::of_file(wanted.clone(), rows.unwrap_or(0..u64::MAX));
        Ok((wanted.clone(), Box::new(Reader::new(file, Splitter::new(), rows, damaged))))
    }

    fn rows(&self, file: File) -> Result<u64> {
        Ok(count(file, Splitter::new(), damaged)?.saturating_sub(1))
    }

    /// CSV has no place for it.
    fn keeps_metadata(&self) -> bool {
        false
    }

    fn write(&self, draft: Draft, schema: SchemaRef) -> Result<Box<dyn BatchWriter<Draft>>> {
        let mut text = String::new();
        push_line(&mut text, schema.fields().iter(), |name, out| {
            push_field(out, |out| out.push_str(name.name()));
            Ok(())
        })?;
        Ok(Box::new(Writer { out: draft, text }))
    }

    /// The old bytes as they are. A reader never sees half a row, for the file is replaced as a whole.
    fn extend(
        &self,
        mut old: File,
        mut draft: Draft,
        schema: &SchemaRef,
    ) -> Result<Option<Box<dyn BatchWriter<Draft>>>> {
        if header(&mut old)? != schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>() {
            return Ok(None);
        }
        old.rewind().internal(reading)?;
        let copied =
            std::io::copy(&mut BufReader::with_capacity(PIECE, &old), &mut draft).map_err(|e| draft.fault(e))?;
        // Another program may have left the last line open.
        let mut last = [b'\n'];
        if copied > 0 {
            old.seek(SeekFrom::Start(copied - 1)).internal(reading)?;
            old.read_exact(&mut last).internal(reading)?;
        }
        let text = if last == [b'\n'] { String::new() } else { "\n".to_owned() };
        Ok(Some(Box::new(Writer { out: draft, text })))
    }
}

/// Records of a file, its header among them.
pub(super) fn count(file: File, mut splitter: Splitter, blame: fn(Error) -> Error) -> Result<u64> {
    let mut records: u64 = 0;
    let mut count = |_: &Record, _| {
        records += 1;
        Ok(())
    };
    let mut pieces = BufReader::with_capacity(PIECE, file);
    loop {
        let piece = pieces.fill_buf().internal(reading)?;
        if piece.is_empty() {
            break;
        }
        let read = piece.len();
        splitter.push(piece, &mut count).map_err(blame)?;
        pieces.consume(read);
    }
    splitter.finish(&mut count).map_err(blame)?;
    Ok(records)
}

fn reading() -> String {
    "reading a CSV file".into()
}

fn damaged(e: Error) -> Error {
    Error::internal("A CSV file of this table is damaged.").with_source(e)
}

/// Types whose values are read as they were written.
fn is_held(data_type: &DataType) -> bool {
    use DataType as T;
    match data_type {
        T::Null | T::Boolean | T::Utf8 | T::LargeUtf8 | T::Utf8View => true,
        T::Date32 | T::Time32(_) | T::Time64(_) | T::Timestamp(..) => true,
        T::Dictionary(_, value) => matches!(**value, T::Utf8 | T::LargeUtf8 | T::Utf8View),
        other => other.is_integer() || other.is_floating() || matches!(other, T::Decimal128(..) | T::Decimal256(..)),
    }
}

/// The names of the columns.
fn header(file: &mut File) -> Result<Vec<String>> {
    let mut names: Option<Vec<String>> = None;
    let mut splitter = Splitter::new();
    let mut piece = vec![0; 4096];
    loop {
        let read = file.read(&mut piece).internal(reading)?;
        let mut first = |record: &Record, _| {
            let fields = (0..record.len()).filter_map(|n| record.field(n).map(|(name, _)| name));
            names.get_or_insert_with(|| fields.map(|name| String::from_utf8_lossy(name).into_owned()).collect());
            Ok(())
        };
        if read == 0 {
            splitter.finish(&mut first).map_err(damaged)?;
            return Ok(names.unwrap_or_default());
        }
        splitter.push(&piece[..read], &mut first).map_err(damaged)?;
        if let Some(names) = names {
            return Ok(names);
        }
    }
}

pub(super) struct Reader {
    file: File,
    /// `None` at the end.
    splitter: Option<Splitter>,
    rows: Rows,
    ready: VecDeque<RecordBatch>,
    /// Whose fault it is when something is wrong.
    blame: fn(Error) -> Error,
}

impl Reader {
    pub(super) fn new(file: File, splitter: Splitter, rows: Rows, blame: fn(Error) -> Error) -> Self {
        Self { file, splitter: Some(splitter), rows, ready: VecDeque::new(), blame }
    }

    fn read_piece(&mut self, mut splitter: Splitter) -> Result<()> {
        let mut piece = Vec::with_capacity(PIECE);
        (&self.file).take(PIECE as u64).read_to_end(&mut piece).internal(reading)?;
        let mut full = Vec::new();
        let rows = &mut self.rows;
        splitter.push(&piece, &mut |record, line| rows.push(record, line, &mut full)).map_err(self.blame)?;
        if piece.is_empty() {
            splitter.finish(&mut |record, line| rows.push(record, line, &mut full)).map_err(self.blame)?;
            rows.finish(&mut full).map_err(self.blame)?;
        } else if rows.is_done() {
            rows.finish(&mut full).map_err(self.blame)?;
        } else {
            self.splitter = Some(splitter);
        }
        self.ready.extend(full);
        Ok(())
    }
}

impl Iterator for Reader {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Some(Ok(batch));
            }
            let splitter = self.splitter.take()?;
            if let Err(e) = self.read_piece(splitter) {
                return Some(Err(e));
            }
        }
    }
}

struct Writer {
    out: Draft,
    /// What is not yet written.
    text: String,
}

impl Writer {
    fn flush(&mut self) -> Result<()> {
        self.out.write_all(self.text.as_bytes()).map_err(|e| self.out.fault(e))?;
        self.text.clear();
        Ok(())
    }
}

impl BatchWriter<Draft> for Writer {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        for row in 0..batch.num_rows() {
            let start = self.text.len();
            push_line(&mut self.text, batch.columns().iter().enumerate(), |(n, column), out| {
                push_cell(&Cell::read(column.as_ref(), row), batch.schema_ref().field(n).name(), out)
            })?;
            if self.text.len() - start > MAX_RECORD {
                return Err(Error::unprocessable(format!(
                    "A row is longer than {MAX_RECORD} bytes, the most for tables that are kept as CSV."
                )));
            }
            if self.text.len() >= PIECE {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn out(&mut self) -> &mut Draft {
        &mut self.out
    }

    fn finish(mut self: Box<Self>) -> Result<Draft> {
        self.flush()?;
        Ok(self.out)
    }
}

fn push_line<T>(
    out: &mut String,
    fields: impl ExactSizeIterator<Item = T>,
    mut push: impl FnMut(T, &mut String) -> Result<()>,
) -> Result<()> {
    let single = fields.len() == 1;
    let start = out.len();
    for (n, field) in fields.enumerate() {
        if n > 0 {
            out.push(',');
        }
        push(field, out)?;
    }
    if single && out.len() == start {
        out.push_str("\"\"");
    }
    out.push('\n');
    Ok(())
}

fn push_cell(cell: &Cell<'_>, column: &str, out: &mut String) -> Result<()> {
    check_year(cell, column)?;
    match cell {
        Cell::Text("") => out.push_str("\"\""),
        Cell::Real(value) if value.is_nan() => out.push_str("NaN"),
        other => push_field(out, |out| other.push_text(out)),
    }
    Ok(())
}

/// The text of years that do not have four digits is not read again.
fn check_year(cell: &Cell<'_>, column: &str) -> Result<()> {
    /// Days of 0001-01-01 and 9999-12-31.
    const DAYS: RangeInclusive<i64> = -719_162..=2_932_896;
    let days = match cell {
        Cell::Date(days) => *days,
        Cell::Timestamp(timestamp) => {
            let per_second = match timestamp.unit {
                TimeUnit::Second => 1,
                TimeUnit::Millisecond => 1_000,
                TimeUnit::Microsecond => 1_000_000,
                TimeUnit::Nanosecond => 1_000_000_000,
            };
            let seconds = timestamp.ticks.div_euclid(per_second);
            seconds.saturating_add(timestamp.offset.unwrap_or(0).into()).div_euclid(86_400)
        }
        _ => return Ok(()),
    };
    if DAYS.contains(&days) {
        return Ok(());
    }
    Err(Error::unprocessable(format!(
        "The column {column:?} has a date outside of the years 1 to 9999, which are all that CSV holds."
    )))
}

#[cfg(test)]
mod tests;
