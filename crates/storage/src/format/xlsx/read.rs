//! Workbooks read where they lie: a container of tables, one for each sheet, as `pandas.read_excel` reads them.
//!
//! The first row has the names of the columns. A sheet is read as a whole, within limits, and kept for a while.

use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, RecordBatch, StringBuilder, TimestampNanosecondArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use calamine::{DataRef, Reader, Xlsx};
use girih_model::node::Management;
use girih_model::structure::ContainerStructure;
use girih_model::{Asset, Data, DataSource, Error, Result, ResultExt, Selection, Structure, TableStructure};
use moka::sync::Cache;

use super::MEDIA_TYPE;
use crate::dataset::Dataset;
use crate::format::csv::infer::{Column, is_missing, names_of, number};
use crate::format::guard::guarded;
use crate::format::partition::encode::BatchWriter;
use crate::format::partition::{Batches, PartitionedTable, TableFile};
use crate::format::{Files, Inspected, of_source};
use crate::place::file::Stamp;
use crate::place::{Draft, Location, Places};
use crate::pool::blocking;

/// Most bytes of a workbook when it is unpacked.
const MAX_UNPACKED: u64 = 512 << 20;
/// Most cells of a sheet that hold something.
const MAX_CELLS: usize = 8 << 20;
/// Most sheets of a workbook.
const MAX_SHEETS: usize = 1024;
/// Most bytes of sheets that are kept, about.
const REMEMBERED: u64 = 32 << 20;

static KNOWN: LazyLock<Cache<(Stamp, usize), Arc<RecordBatch>>> = LazyLock::new(|| {
    let weigh =
        |_: &_, batch: &Arc<RecordBatch>| u32::try_from(batch.get_array_memory_size() + 256).unwrap_or(u32::MAX);
    Cache::builder().max_capacity(REMEMBERED).weigher(weigh).build()
});

fn damaged(why: &dyn std::fmt::Display) -> Error {
    Error::unprocessable(format!("The workbook cannot be read: {why}."))
}

/// Opens a workbook as a container.
pub(super) async fn open(source: &DataSource, places: &Places) -> Result<Arc<dyn Dataset>> {
    let Structure::Container(_) = &source.structure else {
        return Err(Error::unprocessable("A workbook is a container of tables. Register it as one."));
    };
    open_assets(&source.assets, places).await
}

pub(super) async fn inspect(files: &Files, places: &Places) -> Result<Inspected> {
    Ok(open_assets(&files.assets, places).await?.structure().into())
}

async fn open_assets(assets: &[Asset], places: &Places) -> Result<Arc<dyn Dataset>> {
    let location = of_source(assets, places)?.remove(0);
    let (place, context) = (location.clone(), location.absolute().display().to_string());
    let sheets = blocking(move || sheets(place.open_file()?)).await;
    let sheets = sheets.map_err(|e| e.context(format!("reading {context}")))?;
    Ok(Arc::new(Book { location, places: places.clone(), sheets }))
}

/// Names of the sheets.
fn sheets(file: File) -> Result<Vec<String>> {
    let mut names = workbook(file)?.sheet_names();
    names.truncate(MAX_SHEETS);
    Ok(names)
}

fn workbook(file: File) -> Result<Xlsx<BufReader<File>>> {
    check_size(file.try_clone().internal(|| "opening a workbook again".into())?)?;
    let open = || Xlsx::new(BufReader::new(file)).or_error(|e| damaged(e));
    guarded(open).unwrap_or_else(|| Err(damaged(&"it contradicts itself")))
}

/// Unpacks everything once, into nothing: sizes that a file tells of itself may be lies.
fn check_size(file: File) -> Result<()> {
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).or_error(|e| damaged(e))?;
    let mut left = MAX_UNPACKED;
    for n in 0..archive.len() {
        let entry = archive.by_index(n).or_error(|e| damaged(e))?;
        let read = std::io::copy(&mut entry.take(left + 1), &mut std::io::sink()).or_error(|e| damaged(e))?;
        left = left.checked_sub(read).ok_or_else(|| {
            Error::unsupported(format!("Workbooks of more than {MAX_UNPACKED} bytes, unpacked, are not read."))
        })?;
    }
    Ok(())
}

struct Book {
    location: Location,
    places: Places,
    sheets: Vec<String>,
}

#[async_trait]
impl Dataset for Book {
    fn structure(&self) -> Structure {
        Structure::Container(ContainerStructure { keys: self.sheets.clone() })
    }

    async fn read(&self, _: &Selection) -> Result<Data> {
        Err(Error::unsupported("A workbook is not read as one. Read its sheets."))
    }

    async fn keys(&self) -> Result<Vec<String>> {
        Ok(self.sheets.clone())
    }

    async fn child(&self, key: &str) -> Result<Option<Arc<dyn Dataset>>> {
        let Some(number) = self.sheets.iter().position(|name| name == key) else { return Ok(None) };
        let sheet = &SHEETS[number];
        let location = self.location.clone();
        let schema = blocking(move || sheet.schema(location.open_file()?)).await?;
        let source = DataSource {
            id: None,
            structure: Structure::Table(TableStructure::new(schema, 1)),
            mimetype: MEDIA_TYPE.to_owned(),
            parameters: Default::default(),
            properties: Default::default(),
            management: Management::External,
            assets: vec![Asset {
                data_uri: self.location.uri(),
                is_directory: false,
                size: None,
                parameter: Some("data_uri".to_owned()),
                num: None,
                id: None,
            }],
        };
        PartitionedTable::open(sheet, &source, &self.places).await.map(Some)
    }
}

/// A sheet of whatever workbook, by its number.
struct Sheet(usize);

static SHEETS: [Sheet; MAX_SHEETS] = {
    let mut all = [const { Sheet(0) }; MAX_SHEETS];
    let mut n = 0;
    while n < MAX_SHEETS {
        all[n] = Sheet(n);
        n += 1;
    }
    all
};

impl Sheet {
    fn load(&self, file: File) -> Result<Arc<RecordBatch>> {
        let key = Stamp::of(&file).map(|stamp| (stamp, self.0));
        if let Some(batch) = key.as_ref().and_then(|key| KNOWN.get(key)) {
            return Ok(batch);
        }
        let batch = Arc::new(self.parse(file)?);
        if let Some(key) = key {
            KNOWN.insert(key, batch.clone());
        }
        Ok(batch)
    }

    fn parse(&self, file: File) -> Result<RecordBatch> {
        let mut book = workbook(file)?;
        let names = book.sheet_names();
        let name = names.get(self.0).ok_or_else(|| Error::gone("The workbook has lost a sheet. Register it again."))?;
        let parse = || {
            let mut cells = book.worksheet_cells_reader(name).or_error(|e| damaged(e))?;
            let mut table = Table::default();
            while let Some(cell) = cells.next_cell().or_error(|e| damaged(e))? {
                let (row, column) = cell.get_position();
                table.push(row, column, cell.get_value())?;
            }
            table.finish()
        };
        guarded(parse).unwrap_or_else(|| Err(damaged(&"it contradicts itself")))
    }
}

/// Cells that hold something, column by column.
#[derive(Default)]
struct Table {
    columns: Vec<Vec<(u32, Value)>>,
    count: usize,
    rows: u32,
}

enum Value {
    Text(String),
    /// Nanoseconds since 1970-01-01.
    Time(i64),
}

impl Table {
    fn push(&mut self, row: u32, column: u32, value: &DataRef<'_>) -> Result<()> {
        let value = match value {
            DataRef::Empty => return Ok(()),
            DataRef::Int(number) => Value::Text(number.to_string()),
            DataRef::Float(number) => Value::Text(of_number(*number)),
            DataRef::String(text) => Value::Text(text.clone()),
            DataRef::SharedString(text) => Value::Text((*text).to_owned()),
            DataRef::Bool(truth) => Value::Text(if *truth { "True" } else { "False" }.to_owned()),
            DataRef::DateTime(time) if time.is_datetime() && time.as_f64() >= 1.0 => {
                let (year, month, day, hour, minute, second, milli) = time.to_ymd_hms_milli();
                let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
                let milli = (days(year.into(), month.into(), day.into()) * 86_400 + seconds) * 1000 + i64::from(milli);
                Value::Time(milli.saturating_mul(1_000_000))
            }
            DataRef::DateTime(time) => {
                let seconds = (time.as_f64() * 86_400.0).round() as i64;
                Value::Text(format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60))
            }
            DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => Value::Text(text.clone()),
            DataRef::Error(_) => return Ok(()),
        };
        self.count += 1;
        if self.count > MAX_CELLS {
            return Err(Error::unsupported(format!("Sheets of more than {MAX_CELLS} cells are not read.")));
        }
        let column = column as usize;
        if self.columns.len() <= column {
            self.columns.resize_with(column + 1, Vec::new);
        }
        self.rows = self.rows.max(row + 1);
        self.columns[column].push((row, value));
        Ok(())
    }

    fn finish(self) -> Result<RecordBatch> {
        let rows = self.rows.saturating_sub(1) as usize;
        if rows.saturating_mul(self.columns.len()) > 4 * MAX_CELLS {
            return Err(Error::unsupported("A sheet with so much empty space is not read."));
        }
        let header = self.columns.iter().map(|column| match column.first() {
            Some((0, Value::Text(name))) => name.clone(),
            Some((0, Value::Time(_))) | Some(_) | None => String::new(),
        });
        let names = names_of(header.collect());
        let mut fields = Vec::with_capacity(names.len());
        let mut arrays = Vec::with_capacity(names.len());
        for (name, cells) in names.into_iter().zip(self.columns) {
            let array = of_cells(&name, cells, rows)?;
            fields.push(Field::new(name, array.data_type().clone(), true));
            arrays.push(array);
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
            .internal(|| "putting the columns of a sheet together".into())
    }
}

/// As Python writes it, whole numbers without a point.
fn of_number(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e15 { format!("{number:.0}") } else { format!("{number:?}") }
}

/// Days since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// A column without its name, with a value or nothing for each row.
fn of_cells(name: &str, cells: Vec<(u32, Value)>, rows: usize) -> Result<ArrayRef> {
    let cells = cells.into_iter().filter_map(|(row, value)| Some(((row as usize).checked_sub(1)?, value)));
    let mut values: Vec<Option<Value>> = (0..rows).map(|_| None).collect();
    for (row, value) in cells {
        if let Some(place) = values.get_mut(row) {
            *place = Some(value);
        }
    }
    let mut found = values.iter().flatten().peekable();
    if found.peek().is_some() && found.all(|value| matches!(value, Value::Time(_))) {
        let times = values.iter().map(|value| match value {
            Some(Value::Time(time)) => Some(*time),
            _ => None,
        });
        return Ok(Arc::new(times.collect::<TimestampNanosecondArray>()));
    }
    let mut inferred = Column::new(name.to_owned());
    let texts: Vec<Option<String>> = values
        .into_iter()
        .map(|value| match value {
            Some(Value::Text(text)) => Some(text),
            Some(Value::Time(time)) => Some(time_text(time)),
            None => None,
        })
        .collect();
    texts.iter().for_each(|text| inferred.see(text.as_deref().unwrap_or_default()));
    let wanted = inferred.data_type();
    let mut builder = StringBuilder::new();
    for text in &texts {
        match text {
            Some(text) if !is_missing(text) => {
                builder.append_value(if wanted == DataType::LargeUtf8 { text } else { number(text) });
            }
            _ => builder.append_null(),
        }
    }
    let options = CastOptions { safe: true, ..CastOptions::default() };
    cast_with_options(&builder.finish(), &wanted, &options).or_error(|e| damaged(e))
}

fn time_text(nanoseconds: i64) -> String {
    let array = TimestampNanosecondArray::from(vec![nanoseconds]);
    let text = arrow::util::display::array_value_to_string(&array, 0).unwrap_or_default();
    text.replace('T', " ")
}

impl TableFile for Sheet {
    fn extension(&self) -> &'static str {
        "xlsx"
    }

    fn check(&self, _: &Schema) -> Result<()> {
        Ok(())
    }

    fn read(&self, file: File, wanted: &SchemaRef, rows: Option<Range<u64>>) -> Result<(SchemaRef, Batches)> {
        let batch = self.load(file)?;
        let places = wanted.fields().iter().filter_map(|field| batch.schema_ref().index_of(field.name()).ok());
        let batch = batch.project(&places.collect::<Vec<_>>()).internal(|| "choosing the columns of a sheet".into())?;
        let all = batch.num_rows();
        let rows = rows.map_or(0..all, |rows| (rows.start as usize).min(all)..(rows.end.min(all as u64) as usize));
        let batch = batch.slice(rows.start, rows.len());
        Ok((batch.schema(), Box::new(std::iter::once(Ok(batch)))))
    }

    fn keeps_metadata(&self) -> bool {
        false
    }

    fn schema(&self, file: File) -> Result<SchemaRef> {
        Ok(self.load(file)?.schema())
    }

    fn rows(&self, file: File) -> Result<u64> {
        Ok(self.load(file)?.num_rows() as u64)
    }

    fn write(&self, _: Draft, _: SchemaRef) -> Result<Box<dyn BatchWriter<Draft>>> {
        Err(Error::unsupported("Registered files are never written."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted() {
        for (date, expected) in
            [((1970, 1, 1), 0), ((2000, 3, 1), 11_017), ((1969, 12, 31), -1), ((1900, 1, 1), -25_567)]
        {
            assert_eq!(days(date.0, date.1, date.2), expected, "{date:?}");
        }
    }

    fn column(cells: &[&str]) -> (DataType, Vec<String>) {
        let cells = cells.iter().zip(1..).map(|(text, row)| (row, Value::Text((*text).to_owned())));
        let cells: Vec<_> = cells.collect();
        let rows = cells.len();
        let array = of_cells("a", cells, rows).unwrap();
        let shown = (0..rows).map(|row| arrow::util::display::array_value_to_string(&array, row).unwrap());
        (array.data_type().clone(), shown.collect())
    }

    #[test]
    fn types_are_those_of_pandas() {
        assert_eq!(column(&["1", "2"]), (DataType::Int64, vec!["1".into(), "2".into()]));
        assert_eq!(column(&["1", "2.5"]).0, DataType::Float64);
        assert_eq!(column(&["1", "NA"]).0, DataType::Float64);
        assert_eq!(column(&["True", "False"]).0, DataType::Boolean);
        assert_eq!(column(&["1", "x"]), (DataType::LargeUtf8, vec!["1".into(), "x".into()]));
        assert_eq!(of_number(3.0), "3");
        assert_eq!(of_number(0.1), "0.1");
    }

    #[test]
    fn what_is_no_workbook_is_an_error() {
        use std::io::{Seek, Write};
        for content in [&b""[..], b"PK\x03\x04 and nonsense", b"hello"] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(content).unwrap();
            file.rewind().unwrap();
            assert_eq!(sheets(file).unwrap_err().kind(), girih_model::ErrorKind::Unprocessable);
        }
    }
}
