//! CSV files without a header as arrays: `text/csv;header=absent`. Columns of one type are the second axis; of several,
//! each row is an item with fields.
//!
//! A file is looked through once, for where its rows begin; then a slice reads only the rows that it touches.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use async_trait::async_trait;
use bytes::Bytes;
use girih_model::dtype::{Field, Kind, ScalarType, StructType};
use girih_model::structure::array::Chunks as Lengths;
use girih_model::{ArrayStructure, DType, Data, DataSource, Error, Family, Result, ResultExt, Selection, Structure};
use half::f16;
use moka::sync::Cache;
use serde_json::{Map, Value};

use super::foreign::{Foreign, no_such_column};
use super::infer::{Column, MAX_COLUMNS, is_missing, number, truth};
use super::records::{Dialect, Record, Splitter, not_utf8};
use crate::dataset::{Dataset, positions};
use crate::format::chunked::recent::Use;
use crate::format::chunked::{self, Chunks, Load};
use crate::format::{Files, Format, Inspected};
use crate::place::file::Stamp;
use crate::place::{Location, Places};
use crate::pool::blocking;

/// Items that are read as one, in bytes, and the most rows of them.
const BAND_BYTES: usize = 256 << 10;
const BAND_ROWS: usize = 4096;
/// Bytes that are read at once.
const PIECE: usize = 256 << 10;
/// Most bytes of where rows begin that are kept.
const REMEMBERED: u64 = 16 << 20;

/// A file, how it is split, records before its rows, and rows of a band.
type Key = (Stamp, Dialect, u64, u64);

static KNOWN: LazyLock<Cache<Key, Arc<Rows>>> = LazyLock::new(|| {
    let weigh = |_: &_, rows: &Arc<Rows>| u32::try_from(8 * rows.offsets.len() + 256).unwrap_or(u32::MAX);
    Cache::builder().max_capacity(REMEMBERED).weigher(weigh).build()
});

pub struct CsvArrays;

#[async_trait]
impl Format for CsvArrays {
    fn media_type(&self) -> &'static str {
        "text/csv;header=absent"
    }

    fn lists_files(&self) -> bool {
        true
    }

    fn opens(&self) -> &'static [Family] {
        &[Family::Array]
    }

    async fn inspect(&self, files: &Files, places: &Places) -> Result<Inspected> {
        let locations = files.locate(places)?;
        let foreign = foreign(&files.parameters)?;
        Ok(Structure::Array(blocking(move || structure(&locations, &foreign)).await?).into())
    }

    async fn open(&self, source: &DataSource, places: &Places) -> Result<Arc<dyn Dataset>> {
        let Structure::Array(structure) = source.structure.clone() else {
            return Err(Error::unprocessable("A CSV file without a header holds an array."));
        };
        let files = Files {
            media_type: source.mimetype.clone(),
            parameters: source.parameters.clone(),
            assets: source.assets.clone(),
        };
        let (locations, foreign) = (files.locate(places)?, foreign(&files.parameters)?);
        let table = blocking(move || Table::new(locations, &foreign, structure)).await?;
        Ok(Arc::new(CsvArray(Arc::new(table))))
    }
}

/// The parameters, with which there is no header unless they say so.
fn foreign(parameters: &Map<String, Value>) -> Result<Foreign> {
    let mut all = parameters.clone();
    all.entry("header").or_insert(Value::Null);
    Foreign::of(&all, "text/csv")
}

/// Longest row, in bytes.
const MAX_ROW: u64 = 64 << 20;
/// Missing text, as NumPy writes it.
const MISSING: &str = "nan";

/// The structure that the files have together.
fn structure(files: &[Location], foreign: &Foreign) -> Result<ArrayStructure> {
    // Rows beyond those that are wanted tell the types, too.
    let mut whole = foreign.clone();
    whole.nrows = None;
    let inference = whole.inferred(files)?;
    let all = inference.schema()?;
    let schema = foreign.chosen(all.clone())?;
    let mut scalars = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let column = all.index_of(field.name()).ok().and_then(|n| inference.columns().get(n));
        scalars.push((field.name().clone(), scalar_of(field.data_type(), column)?));
    }
    let alike = scalars.iter().all(|(_, scalar)| scalar.kind == scalars[0].1.kind);
    let (dtype, columns) = if alike {
        let widest = scalars.iter().max_by_key(|(_, scalar)| scalar.itemsize).map(|(_, scalar)| scalar.clone());
        let widest = widest.ok_or_else(|| Error::unprocessable("The CSV file has no columns."))?;
        (DType::Scalar(widest), scalars.len() as u64)
    } else {
        let fields: Vec<Field> = scalars
            .into_iter()
            .map(|(name, scalar)| Field { name, dtype: DType::Scalar(scalar), shape: None })
            .collect();
        (DType::Struct(StructType::packed(fields)?), 1)
    };
    let rows: u64 = inference.rows.iter().sum();
    let lengths = match foreign.nrows {
        Some(rows) => Lengths::regular(rows, rows),
        None => Lengths::from_runs(inference.rows.iter().map(|rows| (*rows, 1))),
    };
    let chunks = vec![lengths, Lengths::regular(columns, columns)];
    Ok(ArrayStructure { chunks, ..ArrayStructure::new(dtype, vec![foreign.nrows.unwrap_or(rows), columns]) })
}

fn scalar_of(data_type: &DataType, column: Option<&Column>) -> Result<ScalarType> {
    let has_missing = column.is_some_and(Column::has_missing);
    let chars = column.map_or(0, Column::longest).max(if has_missing { MISSING.len() } else { 1 });
    let (kind, size) = match data_type {
        DataType::Int64 => (Kind::Int, 8),
        DataType::UInt64 => (Kind::Uint, 8),
        DataType::Float64 => (Kind::Float, 8),
        DataType::Boolean if !has_missing => (Kind::Bool, 1),
        _ => (Kind::Text, 4 * chars),
    };
    ScalarType::new(kind, size, girih_model::dtype::Endianness::Little, None)
}

struct CsvArray(Arc<Table>);

#[async_trait]
impl Dataset for CsvArray {
    fn structure(&self) -> Structure {
        Structure::Array(self.0.structure.clone())
    }

    async fn read(&self, selection: &Selection) -> Result<Data> {
        let region = positions(&self.0.structure, selection)?;
        Ok(Data::Array(chunked::read(&self.0, &self.0.structure.dtype, region).await?))
    }
}

struct Table {
    files: Vec<Location>,
    dialect: Dialect,
    /// Records before the rows.
    before: u64,
    /// Of each column, which field of a record it is.
    columns: Vec<usize>,
    /// Of each column, one after another in a row.
    scalars: Vec<ScalarType>,
    structure: ArrayStructure,
    /// The structure has other rows than the files.
    is_padded: bool,
    grid: Vec<u64>,
}

impl Table {
    fn new(files: Vec<Location>, foreign: &Foreign, structure: ArrayStructure) -> Result<Self> {
        let [_, width] = structure.shape[..] else {
            return Err(Error::unprocessable("An array in CSV files has two axes: rows and columns."));
        };
        let row = width.saturating_mul(structure.dtype.itemsize() as u64);
        if row > MAX_ROW {
            return Err(Error::unsupported(format!(
                "Rows of {row} bytes are not read: every column is as wide as the widest text. Register the file as a table (text/csv)."
            )));
        }
        if width > MAX_COLUMNS as u64 {
            return Err(Error::unprocessable(format!(
                "An array in CSV files has at most {MAX_COLUMNS} columns, and {width} are registered. Register it again."
            )));
        }
        let scalars = match &structure.dtype {
            DType::Scalar(scalar) => vec![scalar.clone(); usize::try_from(width).unwrap_or_default()],
            DType::Struct(fields) => {
                let scalars = fields.fields().iter().map(|field| match (&field.dtype, &field.shape) {
                    (DType::Scalar(scalar), None) => Ok(scalar.clone()),
                    _ => Err(Error::unprocessable("Fields within fields are not read from CSV files.")),
                });
                scalars.collect::<Result<_>>()?
            }
        };
        let columns = match &foreign.columns {
            Some(wanted) => named(&files, foreign, wanted)?,
            None => (0..scalars.len()).collect(),
        };
        if columns.len() != scalars.len() {
            return Err(Error::unprocessable(format!(
                "The structure has {} columns, but {} are to be read from the files.",
                scalars.len(),
                columns.len()
            )));
        }
        let row: usize = scalars.iter().map(|scalar| scalar.itemsize).sum();
        let rows = (BAND_BYTES / row.max(1)).clamp(1, BAND_ROWS) as u64;
        let (dialect, before, is_padded) = (foreign.dialect, foreign.header.records(), foreign.nrows.is_some());
        Ok(Self { files, dialect, before, columns, scalars, grid: vec![rows, width], structure, is_padded })
    }

    fn row_bytes(&self) -> usize {
        self.scalars.iter().map(|scalar| scalar.itemsize).sum()
    }

    /// Adds the items of a row.
    fn push(&self, record: &Record, line: u64, out: &mut Vec<u8>) -> Result<()> {
        for (n, scalar) in self.columns.iter().zip(&self.scalars) {
            let (bytes, _) = record.field(*n).unwrap_or_default();
            let text = std::str::from_utf8(bytes).or_error(|_| not_utf8(format!("Line {line} of the CSV file")))?;
            push_item(text, scalar, out).ok_or_else(|| {
                Error::unprocessable(format!(
                    "Line {line} of the CSV file has {text:?} in column {n}, which is no {}. Register it again.",
                    scalar.typestr()
                ))
            })?;
        }
        Ok(())
    }
}

/// Which fields these columns are, by their number or their name.
fn named(files: &[Location], foreign: &Foreign, wanted: &[Value]) -> Result<Vec<usize>> {
    let mut names = Vec::new();
    if let Some(first) = files.first() {
        let mut number = 0;
        records(first.open_file()?, foreign.dialect, &mut |record, _| {
            names = foreign.header.names(number, record)?.unwrap_or_default();
            number += 1;
            Ok(names.is_empty())
        })?;
    }
    let find = |name: &Value| match name {
        Value::Number(n) => n.as_u64().and_then(|n| usize::try_from(n).ok()),
        Value::String(name) => names.iter().position(|known| known == name),
        _ => None,
    };
    wanted.iter().map(|name| find(name).ok_or_else(|| no_such_column(name))).collect()
}

fn push_item(text: &str, scalar: &ScalarType, out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    let size = scalar.itemsize;
    match scalar.kind {
        Kind::Int => out.extend_from_slice(&whole::<i64>(text, |real| real as i64)?.to_le_bytes()[..size]),
        Kind::Uint => out.extend_from_slice(&whole::<u64>(text, |real| real as u64)?.to_le_bytes()[..size]),
        Kind::Float => {
            let value = real(text)?;
            match size {
                2 => out.extend_from_slice(&f16::from_f64(value).to_le_bytes()),
                4 => out.extend_from_slice(&(value as f32).to_le_bytes()),
                8 => out.extend_from_slice(&value.to_le_bytes()),
                _ => return None,
            }
        }
        Kind::Bool => out.push(truth(text).or_else(|| real(text).map(|value| value != 0.0))?.into()),
        Kind::Bytes => out.extend_from_slice(text.as_bytes().get(..size.min(text.len()))?),
        Kind::Text => {
            let text = if is_missing(text) { MISSING } else { text };
            text.chars().take(size / 4).for_each(|c| out.extend_from_slice(&u32::from(c).to_le_bytes()));
        }
        _ => return None,
    }
    out.resize(start + size, 0);
    if scalar.is_big() {
        out[start..].chunks_exact_mut(scalar.swap_width().max(1)).for_each(<[u8]>::reverse);
    }
    Some(())
}

/// A whole number; of others, what comes before the point.
fn whole<T: std::str::FromStr>(text: &str, of_real: impl Fn(f64) -> T) -> Option<T> {
    let text = number(text);
    text.parse().ok().or_else(|| text.parse().ok().filter(|real: &f64| real.is_finite()).map(of_real))
}

fn real(text: &str) -> Option<f64> {
    if is_missing(text) { Some(f64::NAN) } else { number(text).parse().ok() }
}

/// Gives records one by one, for as long as more are wanted.
fn records(file: File, dialect: Dialect, each: &mut dyn FnMut(&Record, u64) -> Result<bool>) -> Result<()> {
    let mut splitter = Splitter::of(dialect);
    let mut pieces = BufReader::with_capacity(PIECE, file);
    let mut more = true;
    loop {
        let piece = pieces.fill_buf().internal(|| "reading a CSV file".into())?;
        let read = piece.len();
        let mut one = |record: &Record, line| {
            more = more && each(record, line)?;
            Ok(())
        };
        if read == 0 {
            return splitter.finish(&mut one);
        }
        splitter.push(piece, &mut one)?;
        if !more {
            return Ok(());
        }
        pieces.consume(read);
    }
}

/// Where the rows of a file lie.
struct Rows {
    count: u64,
    /// Where each band of rows begins, and where the last one ends, in bytes.
    offsets: Vec<u64>,
}

impl Rows {
    fn of(file: &File, dialect: Dialect, before: u64, band: u64) -> Result<Arc<Self>> {
        let key = Stamp::of(file).map(|stamp| (stamp, dialect, before, band));
        if let Some(rows) = key.as_ref().and_then(|key| KNOWN.get(key)) {
            return Ok(rows);
        }
        let again = file.try_clone().internal(|| "opening a CSV file again".into())?;
        let (mut number, mut end, mut offsets) = (0u64, 0, Vec::new());
        records(again, dialect, &mut |record, _| {
            if number >= before && (number - before).is_multiple_of(band) {
                offsets.push(record.start());
            }
            number += 1;
            end = record.end();
            Ok(true)
        })?;
        offsets.push(end);
        let rows = Arc::new(Self { count: number.saturating_sub(before), offsets });
        if let Some(key) = key {
            KNOWN.insert(key, rows.clone());
        }
        Ok(rows)
    }
}

struct Open {
    table: Arc<Table>,
    files: Vec<(File, Arc<Rows>)>,
}

impl Chunks for Table {
    type Open = Open;

    fn grid(&self) -> &[u64] {
        &self.grid
    }

    fn open(self: &Arc<Self>) -> Result<Open> {
        let mut files = Vec::with_capacity(self.files.len());
        for location in &self.files {
            let file = location.open_file()?;
            let rows = Rows::of(&file, self.dialect, self.before, self.grid[0]);
            let rows = rows.map_err(|e| e.context(format!("reading {}", location.absolute().display())))?;
            files.push((file, rows));
        }
        let (there, wanted) = (files.iter().map(|(_, rows)| rows.count).sum::<u64>(), self.structure.shape[0]);
        if there < wanted && !self.is_padded {
            return Err(Error::damaged(format!("The file has {there} rows so far, and {wanted} are registered.")));
        }
        Ok(Open { table: self.clone(), files })
    }
}

impl Load for Open {
    fn load(&self, index: &[u64], _: Use) -> Result<Option<Bytes>> {
        let table = &self.table;
        let band = table.grid[0];
        let (mut next, end) = (index[0] * band, (index[0] + 1) * band);
        let mut items = Vec::with_capacity(band as usize * table.row_bytes());
        let mut before = 0;
        for ((file, rows), location) in self.files.iter().zip(&table.files) {
            while next < end && next < before + rows.count {
                let within = next - before;
                let part = usize::try_from(within / band).unwrap_or(usize::MAX);
                let (skip, take) = (within % band, end - next);
                let read = read_band(table, file, rows, part, skip, take, &mut items);
                next += read.map_err(|e| e.context(format!("reading {}", location.absolute().display())))?;
            }
            before += rows.count;
        }
        items.resize(band as usize * table.row_bytes(), 0);
        Ok(Some(items.into()))
    }
}

/// Adds rows of one band of a file; returns how many.
fn read_band(
    table: &Table,
    file: &File,
    rows: &Rows,
    part: usize,
    skip: u64,
    take: u64,
    items: &mut Vec<u8>,
) -> Result<u64> {
    let changed = || Error::busy("The CSV file is being changed. Try again.");
    let (Some(from), Some(to)) = (rows.offsets.get(part), rows.offsets.get(part + 1)) else { return Err(changed()) };
    let mut splitter = Splitter::of(table.dialect.further_on());
    let (mut seen, mut taken) = (0, 0);
    let mut each = |record: &Record, line: u64| {
        if seen >= skip && taken < take {
            table.push(record, line, items)?;
            taken += 1;
        }
        seen += 1;
        Ok(())
    };
    // Between rows there may be comments without end.
    let (mut at, mut piece) = (*from, Vec::new());
    while at < *to {
        piece.resize(usize::try_from(to - at).map_or(PIECE, |left| left.min(PIECE)), 0);
        file.read_exact_at(&mut piece, at).or_error(|_| changed())?;
        splitter.push(&piece, &mut each)?;
        at = at.saturating_add(piece.len() as u64);
    }
    splitter.finish(&mut each)?;
    if taken == 0 { Err(changed()) } else { Ok(taken) }
}

#[cfg(test)]
mod tests;
