//! Workbooks of Excel 97 to 2003 (\[MS-XLS\] in \[MS-CFB\]): arrays and tables out, for programs
//! that read nothing newer.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use futures::TryStreamExt;
use girih_model::{ArrayData, ByteStream, DType, Data, Error, Family, Result, TableData};

use super::conversion::{empty_runs, runs, small_batches};
use super::partition::index::columns_only;
use super::spreadsheet::{Value, check_size};
use super::{EncodeOptions, Encoded, Format};
use crate::item::{Cell, Item, ItemReader};
use crate::place::scratch;
use crate::pool::blocking;

mod biff;
mod compound;
mod strings;

use strings::Strings;

const MEDIA_TYPE: &str = "application/vnd.ms-excel";
const MAX_ROWS: u64 = 1 << 16;
const MAX_COLUMNS: u64 = 1 << 8;
const SHEET: &str = "Sheet1";

/// One sheet. An array of one axis has one item in each row, of two axes one row in each row, of no
/// axis one cell; there is no header. A structured array of at most one axis has its fields as
/// columns. A table has a row of column names first. What becomes of each value is told at
/// [`Value::of_cell`]. The sheet is made in scratch files, so memory is bounded.
pub struct Xls;

#[async_trait]
impl Format for Xls {
    fn media_type(&self) -> &'static str {
        MEDIA_TYPE
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["xls", "xlb", "xlm", "xla", "xlc", "xlt", "xlw"]
    }

    fn encodes(&self) -> &'static [Family] {
        &[Family::Array, Family::Table]
    }

    /// # Errors
    /// `NotAcceptable` for more rows or columns than a sheet has, for arrays of more than two axes,
    /// and for text that is too long for a cell.
    async fn encode(&self, data: Data, _options: &EncodeOptions) -> Result<Encoded> {
        let (body, length) = match data {
            Data::Array(array) => of_array(array).await?,
            Data::Table(table) => of_table(columns_only(table)).await?,
            Data::Tree(_) => return Err(self.cannot_encode(Family::Container)),
        };
        Ok(Encoded { media_type: MEDIA_TYPE.into(), length: Some(length), body, itemsize: 1 })
    }
}

async fn of_table(table: TableData) -> Result<(ByteStream, u64)> {
    let columns: Vec<String> = table.schema.fields().iter().map(|field| field.name().clone()).collect();
    check_size(1, columns.len() as u64, MAX_ROWS, MAX_COLUMNS)?;
    let mut sheet = blocking({
        let columns = columns.clone();
        move || {
            let mut sheet = Sheet::new(columns.len() as u64)?;
            for (n, name) in columns.iter().enumerate() {
                sheet.push(Value::Text(name.into()), || format!("The name of column {n}"))?;
            }
            Ok(sheet)
        }
    })
    .await?;
    let columns = std::sync::Arc::new(columns);
    let mut batches = small_batches(table.batches);
    while let Some(batch) = batches.try_next().await? {
        let columns = columns.clone();
        sheet = blocking(move || {
            push_rows(&mut sheet, &batch, &columns)?;
            Ok(sheet)
        })
        .await?;
    }
    blocking(move || sheet.finish()).await
}

fn push_rows(sheet: &mut Sheet, batch: &RecordBatch, columns: &[String]) -> Result<()> {
    for row in 0..batch.num_rows() {
        for (column, name) in batch.columns().iter().zip(columns) {
            let cell = Cell::read(column.as_ref(), row);
            sheet.push(Value::of_cell(&cell), || format!("The column {name:?}"))?;
        }
    }
    Ok(())
}

async fn of_array(data: ArrayData) -> Result<(ByteStream, u64)> {
    let (rows, columns) = match (&data.dtype, &data.shape[..]) {
        (DType::Struct(fields), []) => (1, fields.fields().len() as u64),
        (DType::Struct(fields), [rows]) => (*rows, fields.fields().len() as u64),
        (DType::Scalar(_), []) => (1, 1),
        (DType::Scalar(_), [rows]) => (*rows, 1),
        (DType::Scalar(_), [rows, columns]) => (*rows, *columns),
        (_, shape) => {
            let lengths: Vec<_> = shape.iter().map(u64::to_string).collect();
            return Err(Error::not_acceptable(format!(
                "The shape of this data ({}) is incompatible with the requested format ({MEDIA_TYPE}). Slice it or choose a different format.",
                lengths.join(", ")
            )));
        }
    };
    check_size(rows, columns, MAX_ROWS, MAX_COLUMNS)?;
    let reader = std::sync::Arc::new(ItemReader::new(&data.dtype));
    let mut sheet = blocking(move || Sheet::new(columns)).await?;
    let mut items = if columns == 0 { empty_runs(&[0])? } else { runs(data)? };
    while let Some(run) = items.try_next().await? {
        let reader = reader.clone();
        sheet = blocking(move || {
            for item in run.items() {
                push_item(&mut sheet, &reader.read(item))?;
            }
            Ok(sheet)
        })
        .await?;
    }
    blocking(move || sheet.finish()).await
}

fn push_item(sheet: &mut Sheet, item: &Item<'_>) -> Result<()> {
    let place = || "This array".to_owned();
    match item {
        Item::Record(record) => record.fields().try_for_each(|field| match field.item() {
            Some(item) => sheet.push(Value::of_item(&item), || format!("The field {:?}", field.name)),
            None => {
                let mut text = String::new();
                field.push_text(&mut text);
                sheet.push(Value::Text(text.into()), || format!("The field {:?}", field.name))
            }
        }),
        item => sheet.push(Value::of_item(item), place),
    }
}

/// A sheet that is written cell by cell, row by row.
struct Sheet {
    cells: BufWriter<File>,
    strings: Strings,
    columns: u64,
    /// Cells so far, empty ones included.
    count: u64,
}

impl Sheet {
    fn new(columns: u64) -> Result<Self> {
        let strings = Strings::new(scratch::create()?).map_err(scratch::fault)?;
        Ok(Self { cells: BufWriter::new(scratch::create()?), strings, columns, count: 0 })
    }

    fn push(&mut self, value: Value<'_>, place: impl FnOnce() -> String) -> Result<()> {
        let (row, column) = (self.count / self.columns, self.count % self.columns);
        check_size(row + 1, 0, MAX_ROWS, MAX_COLUMNS)?;
        self.count += 1;
        let cell = |style| [row as u16, column as u16, biff::cell_format(style)];
        match value.fitting(place)? {
            Value::Empty => Ok(()),
            Value::Bool(value) => biff::boolean(&mut self.cells, cell(None), value),
            Value::Number(value) => biff::number(&mut self.cells, cell(None), value),
            Value::Time(days, style) => biff::number(&mut self.cells, cell(Some(style)), days),
            Value::Text(text) => {
                let string = self.strings.add(&text).map_err(scratch::fault)?;
                biff::label(&mut self.cells, cell(None), string)
            }
        }
        .map_err(scratch::fault)
    }

    fn finish(self) -> Result<(ByteStream, u64)> {
        let file = scratch::create()?;
        scratch::body(self.assemble(file).map_err(scratch::fault)?)
    }

    fn assemble(self, mut file: File) -> std::io::Result<File> {
        let rows = self.count.checked_div(self.columns).unwrap_or(0) as u32;
        let mut cells = self.cells.into_inner().map_err(|e| e.into_error())?;
        cells.rewind()?;
        let (mut strings, strings_len) = self.strings.finish()?;
        // Before the sheet lie the globals, the strings and the end of both.
        let mut globals = Vec::new();
        biff::globals(&mut globals, SHEET, 0)?;
        let sheet_at = globals.len() as u64 + strings_len + 4;
        globals.clear();
        biff::globals(&mut globals, SHEET, sheet_at as u32)?;

        file.seek(SeekFrom::Start(compound::STREAM_START))?;
        file.write_all(&globals)?;
        std::io::copy(&mut strings, &mut file)?;
        let mut head = Vec::new();
        biff::end(&mut head)?;
        biff::sheet(&mut head, rows, self.columns as u16)?;
        file.write_all(&head)?;
        std::io::copy(&mut cells, &mut file)?;
        let mut tail = Vec::new();
        biff::sheet_end(&mut tail)?;
        file.write_all(&tail)?;
        compound::complete(&mut file, "Workbook")?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BooleanArray, Date32Array, Float64Array, RecordBatch, StringArray};
    use girih_model::ErrorKind;

    use super::*;
    use crate::format::conversion::gather;

    async fn workbook(data: Data) -> Result<Vec<u8>> {
        let encoded = Xls.encode(data, &EncodeOptions::default()).await?;
        let bytes = gather(encoded.body).await?;
        assert_eq!(encoded.length, Some(bytes.len() as u64));
        Ok(bytes)
    }

    fn word(bytes: &[u8], at: usize) -> usize {
        usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
    }

    /// Row, column, kind of record and value of all cells; text as its index.
    fn cells(file: &[u8]) -> BTreeMap<(usize, usize), (u16, f64)> {
        assert!(file.starts_with(b"\xd0\xcf\x11\xe0") && file.len().is_multiple_of(512));
        let stream = &file[compound::STREAM_START as usize..];
        let (mut at, mut found, mut sheet) = (0, BTreeMap::new(), None);
        loop {
            let (kind, len) = (word(stream, at), word(stream, at + 2));
            let body = &stream[at + 4..at + 4 + len];
            match kind {
                0x0085 => sheet = Some(word(body, 0) | word(body, 2) << 16),
                0x0809 if at > 0 => assert_eq!(sheet, Some(at), "the globals say where the sheet begins"),
                0x000a if at > sheet.unwrap() => return found,
                0x0203 | 0x0205 | 0x00fd => {
                    let value = match kind {
                        0x0203 => f64::from_le_bytes(body[6..].try_into().unwrap()),
                        _ => word(body, 6) as f64,
                    };
                    found.insert((word(body, 0), word(body, 2)), (word(body, 4) as u16, value));
                }
                _ => {}
            }
            at += 4 + len;
        }
    }

    #[tokio::test]
    async fn a_table_has_a_header_and_an_array_has_none() {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("x", Arc::new(Float64Array::from(vec![1.5, f64::NAN]))),
            ("t", Arc::new(BooleanArray::from(vec![true, false]))),
            ("s", Arc::new(StringArray::from(vec!["x", "new"]))),
            ("d", Arc::new(Date32Array::from(vec![Some(0), None]))),
        ];
        let batch = RecordBatch::try_from_iter(columns.into_iter()).unwrap();
        let table = TableData::whole(batch.schema(), vec![batch.slice(0, 1), batch.slice(1, 1)]);
        let found = cells(&workbook(Data::Table(table)).await.unwrap());
        let (plain, date) = (biff::cell_format(None), biff::cell_format(Some(super::super::spreadsheet::Style::Date)));
        let expected = [
            ((0, 0), (plain, 0.0)),
            ((0, 1), (plain, 1.0)),
            ((0, 2), (plain, 2.0)),
            ((0, 3), (plain, 3.0)),
            ((1, 0), (plain, 1.5)),
            ((1, 1), (plain, 1.0)),
            ((1, 2), (plain, 0.0)),
            ((1, 3), (date, 25_569.0)),
            ((2, 1), (plain, 0.0)),
            ((2, 2), (plain, 4.0)),
        ];
        assert_eq!(found, BTreeMap::from(expected));

        let items: Vec<u8> = (1..=6i16).flat_map(i16::to_le_bytes).collect();
        let found = cells(&workbook(Data::Array(ArrayData::whole(DType::of("i2"), vec![3, 2], items))).await.unwrap());
        let values: Vec<_> = found.into_iter().map(|(place, (_, value))| (place, value)).collect();
        let expected = [((0, 0), 1.0), ((0, 1), 2.0), ((1, 0), 3.0), ((1, 1), 4.0), ((2, 0), 5.0), ((2, 1), 6.0)];
        assert_eq!(values, expected);
    }

    #[tokio::test]
    async fn fields_of_records_are_columns() {
        let dtype: DType = serde_json::from_str(
            r#"{"itemsize":6,"fields":[{"name":"a","dtype":{"kind":"i","itemsize":4}},{"name":"b","dtype":{"kind":"b","itemsize":1},"shape":[2]}]}"#,
        )
        .unwrap();
        let items = vec![5, 0, 0, 0, 1, 0, 6, 0, 0, 0, 1, 1];
        let found = cells(&workbook(Data::Array(ArrayData::whole(dtype, vec![2], items))).await.unwrap());
        let values: Vec<_> = found.into_iter().map(|(place, (_, value))| (place, value)).collect();
        assert_eq!(values, [((0, 0), 5.0), ((0, 1), 0.0), ((1, 0), 6.0), ((1, 1), 1.0)]);
    }

    async fn check_refused(dtype: &str, shape: &[u64], part: &str) {
        let dtype = DType::of(dtype);
        let bytes = vec![b'x'; dtype.itemsize() * shape.iter().product::<u64>() as usize];
        let error = workbook(Data::Array(ArrayData::whole(dtype, shape.to_vec(), bytes))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotAcceptable);
        assert!(error.message().contains(part), "{error}");
    }

    #[tokio::test]
    async fn what_does_not_fit_is_refused_and_never_cut() {
        check_refused("i1", &[65_537], "65536 rows").await;
        check_refused("i1", &[1, 257], "256 columns").await;
        check_refused("i1", &[1, 1, 1], "(1, 1, 1)").await;
        check_refused("S40000", &[1], "32767 characters").await;
        let empty = arrow::array::new_null_array(&arrow::datatypes::DataType::Int8, 65_536);
        let batch = RecordBatch::try_from_iter_with_nullable([("a", empty, true)]).unwrap();
        let error = workbook(Data::Table(TableData::whole(batch.schema(), vec![batch]))).await.unwrap_err();
        assert!(error.message().contains("65536 rows"), "{error}");
    }
}
