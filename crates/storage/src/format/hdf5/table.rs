//! Tables: looked through once to learn how long everything will be, then written row group by row group.
//!
//! A row group is: a heap with the values of variable length, then the rows of each column, one
//! column after another. A table of one row group has contiguous datasets; larger ones have chunks.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};
use girih_model::data::BatchStream;
use girih_model::{ByteStream, Error, Result};

use super::column::{Column, Form, variable_value};
use super::datatype::REFERENCE;
use super::group::link_names;
use super::header::{Dataspace, Header, Layout, UNDEFINED};
use super::heap::{Heap, Meter};
use super::image::Image;
use super::tree;
use crate::format::conversion::small_batches;
use crate::item::Cell;
use crate::pool::blocking;

/// Bytes of a row group outside of its heap, unless one row has more.
const GROUP_BYTES: usize = 8 << 20;
const MAX_GROUP_ROWS: usize = 64 << 10;

/// Opens the rows of a table, again and again.
pub(super) type Source = Arc<dyn Fn() -> BoxFuture<'static, Result<BatchStream>> + Send + Sync>;

/// All that must be known about a table before the first byte is written.
pub(super) struct Table {
    names: Vec<String>,
    forms: Vec<Form>,
    rows: u64,
    /// Rows of every group but the last, which has as many or fewer.
    group_rows: u64,
    groups: Vec<Group>,
    /// Bytes in all.
    pub(super) bytes: u64,
}

/// Places relative to the beginning of the table's data.
struct Group {
    start: u64,
    heap_bytes: u64,
}

impl Table {
    /// Looks through all rows.
    pub(super) async fn scan(schema: &SchemaRef, source: &Source) -> Result<Self> {
        let columns: Vec<_> = schema.fields().iter().map(|field| Column::new(field)).collect();
        let names = link_names(columns.iter().map(|column| column.name.as_str()))?;
        let row_bytes = columns.iter().map(Column::widest).sum::<usize>().max(1);
        let group_rows = (GROUP_BYTES / row_bytes).clamp(1, MAX_GROUP_ROWS);
        let mut scan = Scan { columns, group_rows, rows: 0, meter: Meter::default(), heaps: Vec::new() };
        let mut batches = small_batches(source().await?);
        while let Some(batch) = batches.try_next().await? {
            scan = blocking(move || {
                scan.push(&batch)?;
                Ok(scan)
            })
            .await?;
        }
        Ok(scan.finish(names))
    }

    /// Bytes of a column's rows in every group.
    fn chunk_bytes(&self, form: &Form) -> u64 {
        (self.group_rows * form.width as u64).next_multiple_of(8)
    }

    /// Writes the headers of the columns; `start` is where the table's data begin among all data.
    pub(super) fn write(&self, image: &mut Image, start: u64) -> Result<Vec<(String, u64)>> {
        let mut links = Vec::with_capacity(self.names.len());
        let mut before = 0;
        for (name, form) in self.names.iter().zip(&self.forms) {
            let place = |group: &Group| start + group.start + group.heap_bytes + before;
            let layout = match &self.groups[..] {
                [] => Layout::Contiguous { address: UNDEFINED, bytes: 0 },
                [only] => Layout::Contiguous { address: image.data(place(only)), bytes: self.rows * form.width as u64 },
                groups => {
                    let chunk_bytes = (self.group_rows * form.width as u64) as u32;
                    let rows = (0..).step_by(self.group_rows as usize);
                    let chunks = rows.zip(groups.iter().map(|group| image.data(place(group)))).collect();
                    let end = groups.len() as u64 * self.group_rows;
                    let index = tree::of_chunks(image, chunk_bytes, chunks, end)?;
                    Layout::Chunked { index, rows: self.group_rows as u32, itemsize: form.width as u32 }
                }
            };
            let mut header = Header::dataset(&Dataspace::Simple(vec![self.rows]), &form.datatype, &layout)?;
            for attribute in &form.attributes {
                attribute.write(&mut header, &mut image.heap)?;
            }
            links.push((name.clone(), image.push(&header.encode())?));
            before += self.chunk_bytes(form);
        }
        Ok(links)
    }

    /// The table's data, which lie at `address` in the file.
    ///
    /// # Errors
    /// `Conflict` when the rows are no longer those that were looked through.
    pub(super) fn body(self: Arc<Self>, source: &Source, address: u64) -> ByteStream {
        let opening = source();
        let pieces = async move {
            let batches = small_batches(opening.await?);
            let state = Some((batches, Writer::new(self, address)));
            Ok(stream::try_unfold(state, |state| async {
                let Some((mut batches, mut writer)) = state else { return Ok(None) };
                let batch = batches.try_next().await?;
                let more = batch.is_some();
                let (bytes, writer) = blocking(move || {
                    let bytes = match batch {
                        Some(batch) => writer.push(&batch)?,
                        None => writer.finish()?,
                    };
                    Ok((bytes, writer))
                })
                .await?;
                Ok(Some((Bytes::from(bytes), more.then_some((batches, writer)))))
            }))
        };
        stream::once(pieces).try_flatten().boxed()
    }
}

/// Looks through a table.
struct Scan {
    columns: Vec<Column>,
    group_rows: usize,
    rows: u64,
    /// Of the group that is being filled.
    meter: Meter,
    heaps: Vec<u64>,
}

impl Scan {
    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        for (column, values) in self.columns.iter_mut().zip(batch.columns()) {
            column.look(values.as_ref());
        }
        let variable: Vec<_> = (0..self.columns.len()).filter(|n| self.columns[*n].is_variable()).collect();
        let mut text = String::new();
        for row in 0..batch.num_rows() {
            for column in &variable {
                let cell = Cell::read(batch.column(*column).as_ref(), row);
                let len = variable_value(&cell, &mut text).len();
                if u32::try_from(len).is_err() {
                    return Err(Error::not_acceptable(format!(
                        "The column {:?} has a value of {len} bytes, which does not fit into an HDF5 file. Request another format.",
                        self.columns[*column].name
                    )));
                }
                self.meter.add(len);
            }
            self.rows += 1;
            if self.rows.is_multiple_of(self.group_rows as u64) {
                self.heaps.push(std::mem::take(&mut self.meter).total());
            }
        }
        Ok(())
    }

    fn finish(mut self, names: Vec<String>) -> Table {
        let forms: Vec<_> = self.columns.iter().map(Column::form).collect();
        if !self.rows.is_multiple_of(self.group_rows as u64) {
            self.heaps.push(self.meter.total());
        }
        // A single group is as long as the table.
        let group_rows = self.rows.min(self.group_rows as u64);
        let mut table = Table { names, forms, rows: self.rows, group_rows, groups: Vec::new(), bytes: 0 };
        let chunks: u64 = table.forms.iter().map(|form| table.chunk_bytes(form)).sum();
        for heap_bytes in self.heaps {
            table.groups.push(Group { start: table.bytes, heap_bytes });
            table.bytes += heap_bytes + chunks;
        }
        table
    }
}

/// Writes a table's data front to back.
struct Writer {
    table: Arc<Table>,
    /// Of the table's data in the file.
    address: u64,
    heap: Heap,
    /// Bytes of the current group's heap that are out.
    heap_bytes: u64,
    group: usize,
    /// Rows in the current group.
    filled: usize,
    rows: u64,
    chunks: Vec<Vec<u8>>,
}

impl Writer {
    fn new(table: Arc<Table>, address: u64) -> Self {
        let chunks = table.forms.iter().map(|form| vec![0; table.chunk_bytes(form) as usize]).collect();
        Self { table, address, heap: Heap::new(address), heap_bytes: 0, group: 0, filled: 0, rows: 0, chunks }
    }

    fn push(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut at = 0;
        if batch.num_columns() != self.table.forms.len() {
            return Err(changed());
        }
        while at < batch.num_rows() {
            if self.group == self.table.groups.len() {
                return Err(changed());
            }
            let count = (self.table.group_rows as usize - self.filled).min(batch.num_rows() - at);
            self.put(&batch.slice(at, count))?;
            at += count;
            self.filled += count;
            self.rows += count as u64;
            self.send_heap(&mut out, false);
            if self.filled as u64 == self.table.group_rows {
                self.end_group(&mut out)?;
            }
        }
        Ok(out)
    }

    /// Puts rows into the chunks.
    fn put(&mut self, rows: &RecordBatch) -> Result<()> {
        let table = self.table.clone();
        let forms = table.forms.iter().zip(rows.columns()).zip(&mut self.chunks);
        let mut variable = Vec::new();
        for ((form, values), chunk) in forms {
            let from = self.filled * form.width;
            let to = &mut chunk[from..from + rows.num_rows() * form.width];
            if form.is_variable() {
                variable.push((values, to));
            } else if !form.put(values.as_ref(), to) {
                return Err(changed());
            }
        }
        let mut text = String::new();
        for row in 0..rows.num_rows() {
            for (values, to) in &mut variable {
                let cell = Cell::read(values.as_ref(), row);
                let reference = self.heap.add(variable_value(&cell, &mut text));
                to[row * REFERENCE..(row + 1) * REFERENCE].copy_from_slice(&reference);
            }
        }
        Ok(())
    }

    fn send_heap(&mut self, out: &mut Vec<u8>, all: bool) {
        let bytes = if all { self.heap.finish() } else { self.heap.take() };
        self.heap_bytes += bytes.len() as u64;
        out.extend_from_slice(&bytes);
    }

    fn end_group(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.send_heap(out, true);
        if self.heap_bytes != self.table.groups[self.group].heap_bytes {
            return Err(changed());
        }
        for chunk in &mut self.chunks {
            out.extend_from_slice(chunk);
            chunk.fill(0);
        }
        (self.filled, self.heap_bytes) = (0, 0);
        self.group += 1;
        if let Some(next) = self.table.groups.get(self.group) {
            self.heap = Heap::new(self.address + next.start);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        if self.rows != self.table.rows {
            return Err(changed());
        }
        if self.filled > 0 {
            self.end_group(&mut out)?;
        }
        Ok(out)
    }
}

/// For data that are no longer what they were when the export began.
pub(super) fn changed() -> Error {
    Error::conflict("The data changed while they were being exported. Try again.")
}
