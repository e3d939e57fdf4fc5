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

use super::foreign::{self, chosen};
use super::infer::{Inference, is_missing, names, number};
use super::records::{Record, Splitter};
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
/// Most files whose rows are remembered.
const REMEMBERED: u64 = 1000;

static KNOWN: LazyLock<Cache<(Stamp, Dialect, u64), Arc<Rows>>> =
    LazyLock::new(|| Cache::builder().max_capacity(REMEMBERED).build());

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
        let (dialect, parameters) = (Dialect::of(&files.parameters)?, files.parameters.clone());
        Ok(Structure::Array(blocking(move || structure(&locations, dialect, &parameters)).await?).into())
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
        let (locations, parameters) = (files.locate(places)?, files.parameters);
        let dialect = Dialect::of(&parameters)?;
        let table = blocking(move || Table::new(locations, dialect, &parameters, structure)).await?;
        Ok(Arc::new(CsvArray(Arc::new(table))))
    }
}

/// Where rows begin, and what is between their fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Dialect {
    separator: u8,
    /// Records before the rows.
    skipped: u64,
    /// The last of those has the names of the columns.
    has_header: bool,
}

impl Dialect {
    fn of(parameters: &Map<String, Value>) -> Result<Self> {
        let number = |name: &str| match parameters.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_u64().filter(|n| *n < 1 << 20).map(Some).ok_or_else(|| {
                Error::unprocessable(format!("The parameter {name:?} of CSV files is a small number, not {value}."))
            }),
        };
        let skiprows = number("skiprows")?.unwrap_or(0);
        let header = number("header")?;
        let mut others = parameters.clone();
        others.retain(|name, _| name != "skiprows");
        let separator = foreign::of(&others, "text/csv")?.separator();
        let skipped = skiprows + header.map_or(0, |header| header + 1);
        Ok(Self { separator, skipped, has_header: header.is_some() })
    }
}

/// The structure that the files have together.
fn structure(files: &[Location], dialect: Dialect, parameters: &Map<String, Value>) -> Result<ArrayStructure> {
    let mut inference = Inference::new(dialect.separator, dialect.has_header);
    let before = dialect.skipped - u64::from(dialect.has_header);
    for file in files {
        let looked = inference.look_after(file.open_file()?, before);
        looked.map_err(|e| e.context(format!("reading {}", file.absolute().display())))?;
    }
    let (all, longest) = (inference.schema()?, inference.longest());
    let schema = chosen(all.clone(), parameters)?;
    let mut scalars = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let chars = all.index_of(field.name()).map_or(0, |n| longest[n]);
        scalars.push((field.name().clone(), scalar_of(field.data_type(), chars)?));
    }
    let alike = schema.fields().iter().all(|field| field.data_type() == schema.field(0).data_type());
    let (dtype, columns) = if alike {
        let widest = scalars.iter().max_by_key(|(_, scalar)| scalar.itemsize).map(|(_, scalar)| scalar.clone());
        let widest = widest.ok_or_else(|| Error::unprocessable("The CSV file has no columns."))?;
        (DType::Scalar(widest), scalars.len() as u64)
    } else {
        let fields: Vec<Field> = scalars
            .into_iter()
            .map(|(name, scalar)| Field { name, dtype: DType::Scalar(scalar), shape: None })
            .collect();
        let itemsize = fields.iter().map(Field::itemsize).sum();
        (DType::Struct(StructType { itemsize, fields }), 1)
    };
    let rows: u64 = inference.rows.iter().sum();
    let padded = parameters.get("nrows").and_then(Value::as_u64);
    let lengths = match padded {
        Some(rows) => Lengths::regular(rows, rows),
        None => Lengths::from_runs(inference.rows.iter().map(|rows| (*rows, 1))),
    };
    let chunks = vec![lengths, Lengths::regular(columns, columns)];
    Ok(ArrayStructure { chunks, ..ArrayStructure::new(dtype, vec![padded.unwrap_or(rows), columns]) })
}

fn scalar_of(data_type: &DataType, chars: usize) -> Result<ScalarType> {
    let (kind, size) = match data_type {
        DataType::Int64 => (Kind::Int, 8),
        DataType::UInt64 => (Kind::Uint, 8),
        DataType::Float64 => (Kind::Float, 8),
        DataType::Boolean => (Kind::Bool, 1),
        _ => (Kind::Text, 4 * chars.max(1)),
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
    fn new(
        files: Vec<Location>,
        dialect: Dialect,
        parameters: &Map<String, Value>,
        structure: ArrayStructure,
    ) -> Result<Self> {
        let [_, width] = structure.shape[..] else {
            return Err(Error::unprocessable("An array in CSV files has two axes: rows and columns."));
        };
        let scalars = match &structure.dtype {
            DType::Scalar(scalar) => vec![scalar.clone(); usize::try_from(width).unwrap_or_default()],
            DType::Struct(fields) => {
                let scalars = fields.fields.iter().map(|field| match (&field.dtype, &field.shape) {
                    (DType::Scalar(scalar), None) => Ok(scalar.clone()),
                    _ => Err(Error::unprocessable("Fields within fields are not read from CSV files.")),
                });
                scalars.collect::<Result<_>>()?
            }
        };
        let columns = match parameters.get("usecols") {
            Some(Value::Array(wanted)) => named(&files, dialect, wanted)?,
            _ => (0..scalars.len()).collect(),
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
        let is_padded = parameters.get("nrows").is_some_and(|rows| !rows.is_null());
        Ok(Self { files, dialect, columns, scalars, grid: vec![rows, width], structure, is_padded })
    }

    fn row_bytes(&self) -> usize {
        self.scalars.iter().map(|scalar| scalar.itemsize).sum()
    }

    /// Adds the items of a row.
    fn push(&self, record: &Record, line: u64, out: &mut Vec<u8>) -> Result<()> {
        for (n, scalar) in self.columns.iter().zip(&self.scalars) {
            let (bytes, _) = record.field(*n).unwrap_or_default();
            let text = std::str::from_utf8(bytes)
                .or_error(|_| Error::unprocessable(format!("Line {line} of the CSV file is not UTF-8.")))?;
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

/// Which fields these columns are, by their number or, with a header, their name.
fn named(files: &[Location], dialect: Dialect, wanted: &[Value]) -> Result<Vec<usize>> {
    let mut header = Vec::new();
    if dialect.has_header
        && let Some(first) = files.first()
    {
        let mut number = 0;
        records(first.open_file()?, dialect, &mut |record, _| {
            number += 1;
            if number == dialect.skipped {
                header = names(record);
            }
            Ok(number < dialect.skipped)
        })?;
    }
    let find = |name: &Value| match name {
        Value::Number(n) => n.as_u64().and_then(|n| usize::try_from(n).ok()),
        Value::String(name) => header.iter().position(|known| known == name),
        _ => None,
    };
    let missing = |name| Error::unprocessable(format!("The CSV file has no column {name}, which usecols names."));
    wanted.iter().map(|name| find(name).ok_or_else(|| missing(name))).collect()
}

fn push_item(text: &str, scalar: &ScalarType, out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    let size = scalar.itemsize;
    match scalar.kind {
        Kind::Int => out.extend_from_slice(&number(text).parse::<i64>().ok()?.to_le_bytes()[..size]),
        Kind::Uint => out.extend_from_slice(&number(text).parse::<u64>().ok()?.to_le_bytes()[..size]),
        Kind::Float => {
            let value = if is_missing(text) { f64::NAN } else { number(text).parse().ok()? };
            match size {
                2 => out.extend_from_slice(&f16::from_f64(value).to_le_bytes()),
                4 => out.extend_from_slice(&(value as f32).to_le_bytes()),
                8 => out.extend_from_slice(&value.to_le_bytes()),
                _ => return None,
            }
        }
        Kind::Bool => out.push(match text {
            "True" | "TRUE" | "true" | "1" => 1,
            "False" | "FALSE" | "false" | "0" => 0,
            _ => return None,
        }),
        Kind::Bytes => out.extend_from_slice(text.as_bytes().get(..size.min(text.len()))?),
        Kind::Text => text.chars().take(size / 4).for_each(|c| out.extend_from_slice(&u32::from(c).to_le_bytes())),
        _ => return None,
    }
    out.resize(start + size, 0);
    if scalar.is_big() {
        out[start..].chunks_exact_mut(scalar.swap_width().max(1)).for_each(<[u8]>::reverse);
    }
    Some(())
}

/// Gives records one by one, for as long as more are wanted.
fn records(file: File, dialect: Dialect, each: &mut dyn FnMut(&Record, u64) -> Result<bool>) -> Result<()> {
    let mut splitter = Splitter::with_separator(dialect.separator);
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
    fn of(file: &File, dialect: Dialect, band: u64) -> Result<Arc<Self>> {
        let key = Stamp::of(file).map(|stamp| (stamp, dialect, band));
        if let Some(rows) = key.as_ref().and_then(|key| KNOWN.get(key)) {
            return Ok(rows);
        }
        let again = file.try_clone().internal(|| "opening a CSV file again".into())?;
        let (mut number, mut end, mut offsets) = (0u64, 0, Vec::new());
        records(again, dialect, &mut |record, _| {
            if number >= dialect.skipped && (number - dialect.skipped).is_multiple_of(band) {
                offsets.push(end);
            }
            number += 1;
            end = record.end();
            Ok(true)
        })?;
        offsets.push(end);
        let rows = Arc::new(Self { count: number.saturating_sub(dialect.skipped), offsets });
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
            let rows = Rows::of(&file, self.dialect, self.grid[0]);
            let rows = rows.map_err(|e| e.context(format!("reading {}", location.absolute().display())))?;
            files.push((file, rows));
        }
        let (there, wanted) = (files.iter().map(|(_, rows)| rows.count).sum::<u64>(), self.structure.shape[0]);
        if there < wanted && !self.is_padded {
            return Err(Error::busy(format!(
                "The file has {there} rows so far, and {wanted} are registered. It may still be growing: try again."
            )));
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
    let mut text = vec![0; usize::try_from(to.saturating_sub(*from)).map_err(|_| changed())?];
    file.read_exact_at(&mut text, *from).or_error(|_| changed())?;
    let mut splitter = Splitter::with_separator(table.dialect.separator);
    let (mut seen, mut taken) = (0, 0);
    let mut each = |record: &Record, line: u64| {
        if seen >= skip && taken < take {
            table.push(record, line, items)?;
            taken += 1;
        }
        seen += 1;
        Ok(())
    };
    splitter.push(&text, &mut each)?;
    splitter.finish(&mut each)?;
    if taken == 0 { Err(changed()) } else { Ok(taken) }
}

#[cfg(test)]
mod tests {
    use girih_model::Asset;
    use proptest::prelude::*;
    use serde_json::json;

    use crate::conformance::{Room, block_on, gather, pick, slices, source};

    use super::*;

    async fn registered(room: &Room, texts: &[&str], parameters: Value) -> Result<(Arc<dyn Dataset>, ArrayStructure)> {
        let assets = texts.iter().enumerate().map(|(n, text)| {
            let path = room.directory.path().join(format!("{n}.csv"));
            std::fs::write(&path, text).unwrap();
            Asset {
                data_uri: format!("file://localhost{}", path.display()),
                is_directory: false,
                size: None,
                parameter: Some("data_uris".into()),
                num: Some(n as u64),
                id: None,
            }
        });
        let parameters = parameters.as_object().cloned().unwrap_or_default();
        let media_type = CsvArrays.media_type().to_owned();
        let files = Files { media_type: media_type.clone(), parameters: parameters.clone(), assets: assets.collect() };
        let found = room.storage.inspect(&files).await?;
        let mut source = source(found.structure.clone(), media_type, files.assets);
        source.parameters = parameters;
        let structure = found.structure.as_array().unwrap().clone();
        Ok((room.storage.open(&source).await?, structure))
    }

    fn check(texts: &[&str], parameters: Value, dtype: &str, shape: &[u64], expected: &[u8]) {
        block_on(async {
            let room = Room::new();
            let (dataset, structure) = registered(&room, texts, parameters).await.unwrap();
            assert_eq!((structure.dtype.to_string().as_str(), structure.shape.as_slice()), (dtype, shape), "{texts:?}");
            assert_eq!(gather(dataset.read(&Selection::all()).await.unwrap()).await.1, expected, "{texts:?}");
        });
    }

    fn ints(items: &[i64]) -> Vec<u8> {
        items.iter().flat_map(|item| item.to_le_bytes()).collect()
    }

    #[test]
    fn columns_alike_are_an_axis_and_others_are_fields() {
        check(&["1,2\n3,4\n"], json!({}), "<i8", &[2, 2], &ints(&[1, 2, 3, 4]));
        check(&["1,2\n", "3,4\n5,6\n"], json!({}), "<i8", &[3, 2], &ints(&[1, 2, 3, 4, 5, 6]));
        check(&["a;b\n1;2\n"], json!({"sep": ";", "header": 0}), "<i8", &[1, 2], &ints(&[1, 2]));
        check(
            &["x\na,b,c\n1,2,3\n"],
            json!({"skiprows": 1, "header": 0, "usecols": ["c", "a"]}),
            "<i8",
            &[1, 2],
            &ints(&[3, 1]),
        );
        check(&["1\n2\n3\n"], json!({"nrows": 2}), "<i8", &[2, 1], &ints(&[1, 2]));
        check(&["1\n"], json!({"nrows": 2}), "<i8", &[2, 1], &ints(&[1, 0]));
        check(&["True\nFalse\n"], json!({}), "|b1", &[2, 1], &[1, 0]);
        let text = |text: &str| text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect::<Vec<_>>();
        check(&["a,\"b\n\"\n"], json!({}), "<U2", &[1, 2], &text("a\0b\n"));
        let record = [ints(&[1]), text("ab")].concat();
        check(&["1,ab\n"], json!({}), r#"[["0","<i8"],["1","<U2"]]"#, &[1, 1], &record);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn any_slice_is_that_of_the_array(slice in slices(vec![9000, 3])) {
            block_on(async {
                let room = Room::new();
                let items: Vec<i64> = (0..27_000).collect();
                let lines: Vec<String> = items.chunks(3).map(|row| format!("{},{},{}\r\n", row[0], row[1], row[2])).collect();
                let (first, second) = (lines[..5000].concat(), lines[5000..].concat());
                let (dataset, structure) = registered(&room, &[&first, &second], json!({})).await.unwrap();
                assert_eq!(structure.shape, [9000, 3]);
                let region = slice.fit(&structure.shape).unwrap();
                let got = gather(dataset.read(&Selection::slice(slice)).await.unwrap()).await.1;
                assert_eq!(got, pick(&ints(&items), &structure.shape, 8, &region));
            });
        }
    }

    #[test]
    fn what_is_no_table_is_refused() {
        block_on(async {
            let room = Room::new();
            for (text, parameters) in [("", json!({})), ("1,2\n1,2,3\n", json!({})), ("1\n", json!({"usecols": ["a"]}))]
            {
                let error = registered(&room, &[text], parameters).await.map(drop).unwrap_err();
                assert_ne!(error.kind(), girih_model::ErrorKind::Internal, "{text:?}");
            }
        });
    }
}
