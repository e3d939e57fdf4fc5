//! Office Open XML workbooks (ECMA-376): tables out, for Excel and everything that reads its files.

use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt;
use girih_model::{ByteStream, Data, DataSource, Error, Family, Result, ResultExt, TableData};
use rust_xlsxwriter::{Format as CellFormat, Workbook, Worksheet, XlsxError};

use super::conversion::small_batches;
use super::partition::index::columns_only;
use super::spreadsheet::{Style, Value, check_size};
use super::{EncodeOptions, Encoded, Files, Format, Inspected};
use crate::dataset::Dataset;
use crate::item::Cell;
use crate::place::{Places, scratch};
use crate::pool::blocking;

mod read;

const MEDIA_TYPE: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
/// Size of a sheet (ECMA-376-1, 18.3.1.73; Excel's specifications).
const MAX_ROWS: u64 = 1 << 20;
const MAX_COLUMNS: u64 = 1 << 14;

/// One sheet: a row of column names, then the rows of the table. What becomes of each value is told
/// at [`Value::of_cell`]. Rows are written into a scratch file as they come, so memory is bounded.
pub struct Xlsx;

#[async_trait]
impl Format for Xlsx {
    fn media_type(&self) -> &'static str {
        MEDIA_TYPE
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["xlsx"]
    }

    fn suffixes(&self) -> &'static [&'static str] {
        &["xlsx"]
    }

    fn opens(&self) -> &'static [Family] {
        &[Family::Container]
    }

    async fn inspect(&self, files: &Files, places: &Places) -> Result<Inspected> {
        read::inspect(files, places).await
    }

    async fn open(&self, source: &DataSource, places: &Places) -> Result<Arc<dyn Dataset>> {
        read::open(source, places).await
    }

    fn encodes(&self) -> &'static [Family] {
        &[Family::Table]
    }

    /// # Errors
    /// `NotAcceptable` for more rows or columns than a sheet has, and for text that is too long for a cell.
    async fn encode(&self, data: Data, _options: &EncodeOptions) -> Result<Encoded> {
        let Data::Table(table) = data else {
            return Err(self.cannot_encode(data.family()));
        };
        let (body, length) = encode(columns_only(table)).await?;
        Ok(Encoded { media_type: MEDIA_TYPE.into(), length: Some(length), body, itemsize: 1 })
    }
}

async fn encode(table: TableData) -> Result<(ByteStream, u64)> {
    let columns: Vec<String> = table.schema.fields().iter().map(|field| field.name().clone()).collect();
    check_size(1, columns.len() as u64, MAX_ROWS, MAX_COLUMNS)?;
    let mut sheet = blocking(move || Sheet::new(columns)).await?;
    let mut batches = small_batches(table.batches);
    while let Some(batch) = batches.try_next().await? {
        sheet = blocking(move || {
            for row in 0..batch.num_rows() {
                let cells = batch.columns().iter().map(|column| Cell::read(column.as_ref(), row));
                sheet.push(cells)?;
            }
            Ok(sheet)
        })
        .await?;
    }
    blocking(move || scratch::body(sheet.finish()?)).await
}

struct Sheet {
    workbook: Workbook,
    columns: Vec<String>,
    /// Rows so far.
    rows: u64,
    formats: [CellFormat; Style::ALL.len()],
}

impl Sheet {
    fn new(columns: Vec<String>) -> Result<Self> {
        let mut workbook = Workbook::new();
        let sheet = workbook.add_worksheet_with_constant_memory().map_err(fault)?;
        for (column, name) in columns.iter().enumerate() {
            let name = Value::Text(name.into()).fitting(|| format!("The name of column {column}"))?;
            write(sheet, 0, column as u16, name, &[])?;
        }
        let formats = Style::ALL.map(|style| CellFormat::new().set_num_format(style.code()));
        Ok(Self { workbook, columns, rows: 1, formats })
    }

    fn push<'a>(&mut self, cells: impl Iterator<Item = Cell<'a>>) -> Result<()> {
        check_size(self.rows + 1, 0, MAX_ROWS, MAX_COLUMNS)?;
        let sheet = self.workbook.worksheet_from_index(0).map_err(fault)?;
        for (column, cell) in cells.enumerate() {
            let value = Value::of_cell(&cell).fitting(|| format!("The column {:?}", self.columns[column]))?;
            write(sheet, self.rows as u32, column as u16, value, &self.formats)?;
        }
        self.rows += 1;
        Ok(())
    }

    fn finish(mut self) -> Result<std::fs::File> {
        let file = scratch::create()?;
        self.workbook.save_to_writer(std::io::BufWriter::new(&file)).map_err(fault)?;
        Ok(file)
    }
}

fn write(sheet: &mut Worksheet, row: u32, column: u16, value: Value<'_>, formats: &[CellFormat]) -> Result<()> {
    match value {
        Value::Empty => return Ok(()),
        Value::Bool(value) => sheet.write_boolean(row, column, value),
        Value::Number(value) => sheet.write_number(row, column, value),
        Value::Time(days, style) => match Style::ALL.iter().position(|known| *known == style) {
            Some(n) if n < formats.len() => sheet.write_number_with_format(row, column, days, &formats[n]),
            _ => sheet.write_number(row, column, days),
        },
        Value::Text(text) => sheet.write_string(row, column, text),
    }
    .map(|_| ())
    .map_err(fault)
}

fn fault(e: XlsxError) -> Error {
    match e {
        XlsxError::IoError(e) | XlsxError::TempFileError(_, e) => scratch::fault(e),
        other => Err::<(), _>(other).internal(|| "writing a workbook".into()).expect_err("an error"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt8Array};
    use futures::stream::{self, StreamExt};
    use girih_model::ErrorKind;

    use super::*;
    use crate::format::conversion::gather;

    async fn workbook(columns: Vec<(&str, ArrayRef)>, times: usize) -> Result<Vec<u8>> {
        let columns = columns.into_iter().map(|(name, column)| (name, column, true));
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let batches = stream::iter((0..times).map({
            let batch = batch.clone();
            move |_| Ok(batch.clone())
        }));
        let table = TableData { schema: batch.schema(), batches: batches.boxed() };
        let encoded = Xlsx.encode(Data::Table(table), &EncodeOptions::default()).await?;
        let bytes = gather(encoded.body).await?;
        assert_eq!(encoded.length, Some(bytes.len() as u64));
        Ok(bytes)
    }

    /// The sheet's XML, found through the archive's central directory (APPNOTE.TXT, 4.3.12).
    fn sheet(archive: &[u8]) -> String {
        use std::io::Read;
        let number = |at: usize, len: usize| {
            archive[at..at + len].iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
        };
        let name = b"xl/worksheets/sheet1.xml";
        let entry = (0..archive.len() - 46)
            .find(|at| archive[*at..].starts_with(b"PK\x01\x02") && archive[at + 46..].starts_with(name))
            .unwrap();
        let local = number(entry + 42, 4);
        let data = local + 30 + number(local + 26, 2) + number(local + 28, 2);
        let compressed = &archive[data..data + number(entry + 20, 4)];
        let mut xml = String::new();
        flate2::read::DeflateDecoder::new(compressed).read_to_string(&mut xml).unwrap();
        xml
    }

    #[tokio::test]
    async fn rows_follow_their_header() {
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("x<y"), None]));
        let values: ArrayRef = Arc::new(Float64Array::from(vec![1.5, f64::NAN]));
        let xml = sheet(&workbook(vec![("name", names), ("value", values)], 2).await.unwrap());
        for part in [
            r#"<c r="A1" t="inlineStr"><is><t>name</t></is></c>"#,
            r#"<c r="A2" t="inlineStr"><is><t>x&lt;y</t></is></c><c r="B2"><v>1.5</v></c>"#,
            r#"<c r="A4" t="inlineStr"><is><t>x&lt;y</t></is></c><c r="B4"><v>1.5</v></c>"#,
        ] {
            assert!(xml.contains(part), "{part} in {xml}");
        }
        assert!(!xml.contains("A3") && !xml.contains("NaN"), "{xml}");
    }

    #[tokio::test]
    async fn what_does_not_fit_is_refused_and_never_cut() {
        let refused = |result: Result<Vec<u8>>, part: &str| {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotAcceptable);
            assert!(error.message().contains(part), "{error}");
        };
        let long: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(40_000)]));
        refused(workbook(vec![("prose", long)], 1).await, "\"prose\"");
        let empty: ArrayRef = arrow::array::new_null_array(&arrow::datatypes::DataType::Int8, 1 << 19);
        refused(workbook(vec![("a", empty)], 2).await, "1048576 rows");
        let one: ArrayRef = Arc::new(UInt8Array::from(vec![1]));
        let names: Vec<String> = (0..=MAX_COLUMNS).map(|n| n.to_string()).collect();
        let wide = names.iter().map(|name| (name.as_str(), one.clone())).collect();
        refused(workbook(wide, 1).await, "16384 columns");
    }
}
