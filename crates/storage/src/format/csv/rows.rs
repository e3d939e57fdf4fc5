//! Records of CSV as rows of a known schema.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, StringBuilder, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, SchemaRef};
use girih_model::{Error, Result, ResultExt};

use super::infer::{Header, is_missing, number};
use super::records::{Record, not_utf8};
use crate::format::partition::index::FIRST_UNNAMED;

/// A batch is full with this many rows or bytes of text.
const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: usize = 8 << 20;
/// What a field takes beside its text, in bytes.
const CELL_BYTES: usize = 8;

/// Rows of a batch that is being filled, as text.
pub(super) struct Rows {
    schema: SchemaRef,
    columns: Vec<StringBuilder>,
    /// Line of each row, for messages.
    lines: Vec<u64>,
    bytes: usize,
    layout: Layout,
    /// Which rows are wanted, and the number of the next one.
    wanted: Range<u64>,
    next: u64,
}

/// Which field of a record belongs to which column.
enum Layout {
    /// The first record may be a header.
    Unknown,
    /// The first record is the header, and may have more columns.
    Header,
    /// A file by somebody else, with the names as pandas calls them; so many records have come.
    Foreign(Header, u64),
    /// The names of such a file are known: for each column its name, if it is not that of labels, and how many there are.
    Named { order: Vec<Option<usize>>, width: usize, has_names: bool },
    Known {
        order: Vec<usize>,
        width: usize,
        /// Short rows end with missing values, which have many names, and blanks around numbers do not matter.
        is_foreign: bool,
    },
}

impl Rows {
    pub(super) fn of_body(schema: SchemaRef) -> Self {
        Self::new(schema, Layout::Unknown, 0..u64::MAX)
    }

    pub(super) fn of_file(schema: SchemaRef, wanted: Range<u64>) -> Self {
        Self::new(schema, Layout::Header, wanted)
    }

    pub(super) fn of_foreign(schema: SchemaRef, header: Header, wanted: Range<u64>) -> Self {
        Self::new(schema, Layout::Foreign(header, 0), wanted)
    }

    fn new(schema: SchemaRef, layout: Layout, wanted: Range<u64>) -> Self {
        let columns = schema.fields().iter().map(|_| StringBuilder::with_capacity(0, 0)).collect();
        Self { schema, columns, lines: Vec::new(), bytes: 0, layout, wanted, next: 0 }
    }

    /// No more rows are wanted.
    pub(super) fn is_done(&self) -> bool {
        self.next >= self.wanted.end
    }

    pub(super) fn push(&mut self, record: &Record, line: u64, full: &mut Vec<RecordBatch>) -> Result<()> {
        let (order, width, is_foreign) = match &self.layout {
            Layout::Known { order, width, is_foreign } => (order, *width, *is_foreign),
            Layout::Foreign(header, number) => {
                let (header, number) = (header.clone(), *number);
                return self.push_head(header, number, record, line, full);
            }
            Layout::Named { order, width, has_names } => {
                // A first field without a name is a label of the row.
                let label = usize::from(*has_names && record.len() == width + 1);
                if label == 0 && order.contains(&None) {
                    return Err(Error::unprocessable("The rows of the CSV file have no labels. Register it again."));
                }
                let order = order.iter().map(|n| n.map_or(0, |n| n + label)).collect();
                self.layout = Layout::Known { order, width: width + label, is_foreign: true };
                return self.push(record, line, full);
            }
            unknown => {
                let must_be_header = matches!(unknown, Layout::Header);
                let header = header(record, &self.schema, must_be_header)?;
                let is_header = header.is_some();
                let order = header.unwrap_or_else(|| (0..self.columns.len()).collect());
                let width = if is_header { record.len() } else { self.columns.len() };
                self.layout = Layout::Known { order, width, is_foreign: false };
                return if is_header { Ok(()) } else { self.push(record, line, full) };
            }
        };
        if self.is_done() {
            return Ok(());
        }
        if record.len() > width || (record.len() < width && !is_foreign) {
            return Err(Error::unprocessable(format!(
                "Line {line} of the CSV text has {} fields, but the table has {width} columns.",
                record.len()
            )));
        }
        let is_wanted = self.wanted.contains(&self.next);
        self.next = self.next.saturating_add(1);
        if !is_wanted {
            return Ok(());
        }
        for ((n, builder), field) in order.iter().zip(&mut self.columns).zip(self.schema.fields()) {
            let (bytes, quoted) = record.field(*n).unwrap_or_default();
            let text = std::str::from_utf8(bytes)
                .or_error(|_| not_utf8(format!("The column {:?} at line {line} of the CSV text", field.name())))?;
            // A line with nothing on it would be no record: there quotes mean nothing.
            let quoted = quoted && width > 1 && !is_foreign;
            let text = if is_foreign && !is_text(field.data_type()) { number(text) } else { text };
            let is_nothing = text.is_empty() && !(quoted && is_text(field.data_type()));
            if is_nothing || (is_foreign && is_missing(text)) {
                push_missing(builder, field, line)?;
            } else {
                builder.append_value(text);
            }
            self.bytes += text.len() + CELL_BYTES;
        }
        self.lines.push(line);
        if self.lines.len() == BATCH_ROWS || self.bytes > BATCH_BYTES {
            self.finish(full)?;
        }
        Ok(())
    }

    /// Takes a record of a file by somebody else before it is known which field is which column.
    fn push_head(
        &mut self,
        header: Header,
        number: u64,
        record: &Record,
        line: u64,
        full: &mut Vec<RecordBatch>,
    ) -> Result<()> {
        let is_row = number >= header.records();
        self.layout = match header.names(number, record)? {
            Some(names) => {
                let has_names = header != Header::ABSENT;
                Layout::Named { order: order_of(&names, &self.schema)?, width: names.len(), has_names }
            }
            None => Layout::Foreign(header, number + 1),
        };
        if is_row { self.push(record, line, full) } else { Ok(()) }
    }

    /// Gives the rows so far.
    pub(super) fn finish(&mut self, full: &mut Vec<RecordBatch>) -> Result<()> {
        let lines = std::mem::take(&mut self.lines);
        self.bytes = 0;
        if lines.is_empty() {
            return Ok(());
        }
        let texts: Vec<StringArray> = self.columns.iter_mut().map(StringBuilder::finish).collect();
        // A dictionary with few keys may be too small for a whole batch.
        let mut parts = vec![(0, lines.len())];
        while let Some((start, end)) = parts.pop() {
            let columns: Result<Vec<ArrayRef>> = texts
                .iter()
                .zip(self.schema.fields())
                .map(|(text, field)| cast(&text.slice(start, end - start), field, &lines[start..end]))
                .collect();
            match columns {
                Err(_) if end - start > 1 && self.has_dictionary() => {
                    let half = start + (end - start) / 2;
                    parts.extend([(half, end), (start, half)]);
                }
                columns => full.push(
                    RecordBatch::try_new(self.schema.clone(), columns?)
                        .internal(|| "putting columns of CSV together".into())?,
                ),
            }
        }
        Ok(())
    }

    fn has_dictionary(&self) -> bool {
        self.schema.fields().iter().any(|field| matches!(field.data_type(), DataType::Dictionary(..)))
    }
}

/// The place of each column among the names; labels of the rows have none.
fn order_of(names: &[String], schema: &SchemaRef) -> Result<Vec<Option<usize>>> {
    let numbers: HashMap<&str, usize> = names.iter().map(String::as_str).zip(0..).collect();
    let place = |field: &Arc<Field>| match numbers.get(field.name().as_str()) {
        None if field.name() != FIRST_UNNAMED => Err(Error::unprocessable(format!(
            "The CSV file has no column {:?} in its header. Register it again.",
            field.name()
        ))),
        place => Ok(place.copied()),
    };
    schema.fields().iter().map(place).collect()
}

fn push_missing(builder: &mut StringBuilder, field: &Field, line: u64) -> Result<()> {
    if field.is_nullable() {
        builder.append_null();
    } else if is_text(field.data_type()) {
        builder.append_value("");
    } else {
        return Err(Error::unprocessable(format!(
            "The column {:?} at line {line} of the CSV text is empty, but this column cannot have missing values.",
            field.name()
        )));
    }
    Ok(())
}

fn cast(text: &StringArray, field: &Field, lines: &[u64]) -> Result<ArrayRef> {
    let column = if *field.data_type() == DataType::Null {
        new_null_array(&DataType::Null, text.len())
    } else {
        let options = CastOptions { safe: true, ..CastOptions::default() };
        let told = match field.data_type() {
            // Rules of named zones are not known here: their times have an offset, or are UTC.
            DataType::Timestamp(unit, Some(zone)) if !zone.starts_with(['+', '-']) => {
                DataType::Timestamp(*unit, Some("+00:00".into()))
            }
            other => other.clone(),
        };
        cast_with_options(text, &told, &options)
            .and_then(|column| cast_with_options(&column, field.data_type(), &options))
            .or_error(|e| Error::unprocessable(format!("The column {:?} cannot be read: {e}", field.name())))?
    };
    if column.logical_null_count() > text.null_count() {
        let nulls = column.logical_nulls();
        let lost = (0..text.len()).find(|row| text.is_valid(*row) && nulls.as_ref().is_some_and(|n| n.is_null(*row)));
        if let Some(row) = lost {
            return Err(Error::unprocessable(format!(
                "The column {:?} at line {} of the CSV text is {:?}, which is not a value of the type {}.",
                field.name(),
                lines[row],
                text.value(row),
                field.data_type()
            )));
        }
    }
    Ok(column)
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// For each column its field, if this record is exactly the names of the columns; if it must be a header, others may
/// be among them.
fn header(record: &Record, schema: &SchemaRef, must_be_header: bool) -> Result<Option<Vec<usize>>> {
    if record.len() != schema.fields().len() && !must_be_header {
        return Ok(None);
    }
    let names = (0..record.len()).filter_map(|n| record.field(n).map(|(name, _)| (name, n)));
    let numbers: HashMap<&[u8], usize> = names.collect();
    let place = |field: &Field| numbers.get(field.name().as_bytes()).copied();
    if must_be_header && let Some(missing) = schema.fields().iter().find(|field| place(field).is_none()) {
        return Err(Error::unprocessable(format!("The CSV file has no column {:?} in its header.", missing.name())));
    }
    Ok(schema.fields().iter().map(|field| place(field)).collect())
}
