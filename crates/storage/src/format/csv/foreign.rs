//! CSV files of others: read as `pandas.read_csv` reads them, with the types that the structure says.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use girih_model::structure::table::ArrowSchema;
use girih_model::{Error, Result, TableStructure};
use serde_json::{Map, Value};

use super::file::{Reader, count};
use super::infer::{Header, Inference};
use super::records::{Dialect, Separator, Splitter};
use super::rows::Rows;
use crate::format::partition::encode::BatchWriter;
use crate::format::partition::index::RowIndex;
use crate::format::partition::{Batches, TableFile};
use crate::place::{Draft, Location};

/// Parameters of `pandas.read_csv` and `dask.dataframe.read_csv` that the structure has answered already, or that only say
/// how fast it is done.
const ANSWERED: [&str; 8] =
    ["blocksize", "dtype", "engine", "float_precision", "low_memory", "memory_map", "sample", "sample_rows"];
const KNOWN: &str =
    "sep, delimiter, delim_whitespace, header, names, skiprows, nrows, comment, usecols, dtype and assume_missing";

/// How a file is read.
#[derive(Debug, Clone)]
pub(super) struct Foreign {
    pub dialect: Dialect,
    pub header: Header,
    /// Most rows of a file.
    pub nrows: Option<u64>,
    /// Names or numbers of the columns, of which there are no others.
    pub columns: Option<Vec<Value>>,
    /// Integers may have missing values that nobody has seen yet.
    assume_missing: bool,
}

impl Foreign {
    /// By the parameters of a data source, which are those of `pandas.read_csv`.
    ///
    /// # Errors
    /// `Unsupported` for parameters that are not known, `Unprocessable` for values that are not.
    pub(super) fn of(parameters: &Map<String, Value>, media_type: &str) -> Result<Self> {
        let separator = if media_type.contains("tab-separated-values") { b'\t' } else { b',' };
        let separator = Separator::Byte(separator);
        let dialect = Dialect { separator, is_lenient: true, ..Dialect::STRICT };
        let (mut header, mut names) = (None, None);
        let mut this = Self { dialect, header: Header::FIRST, nrows: None, columns: None, assume_missing: false };
        for (name, value) in parameters {
            match (name.as_str(), value) {
                ("header", Value::Null) => header = Some(None),
                ("header", Value::String(text)) if text == "infer" => {}
                ("header", value) => header = Some(Some(small(name, value)?)),
                (_, Value::Null) => {}
                ("sep" | "delimiter", value) => this.dialect.separator = separator_of(name, value)?,
                ("delim_whitespace", Value::Bool(true)) => this.dialect.separator = Separator::Blanks,
                ("comment", value) => this.dialect.comment = Some(character(name, value)?),
                ("skiprows", value) => this.dialect.skipped = small(name, value)?,
                ("nrows", value) => this.nrows = Some(whole(name, value)?),
                ("names", value) => names = Some(texts(name, value)?),
                ("usecols", Value::Array(columns)) => this.columns = Some(columns.clone()),
                ("assume_missing", Value::Bool(assumed)) => this.assume_missing = *assumed,
                (_, Value::Bool(false)) => {}
                ("encoding", Value::String(text)) if is_utf8(text) => {}
                (name, _) if ANSWERED.contains(&name) => {}
                _ => {
                    return Err(Error::unsupported(format!(
                        "The parameter {name:?} of CSV files is not understood. Known are {KNOWN}."
                    )));
                }
            }
        }
        let record = header.unwrap_or(if names.is_some() { None } else { Some(0) });
        this.header = Header { record, names };
        Ok(this)
    }

    /// The structure of these files, each a partition. May block.
    pub(super) fn inspect(&self, files: &[Location]) -> Result<TableStructure> {
        let inference = self.inferred(files)?;
        let schema = Arc::new(self.chosen(inference.schema()?)?);
        let structure = TableStructure::new(schema.clone(), files.len() as u64);
        let Some(labels) = inference.labels() else { return Ok(structure) };
        // As Tiled has it, labels of the rows are in the schema, but no column.
        let schema = RowIndex::unnamed(labels.data_type()).attach(&schema);
        Ok(TableStructure { arrow_schema: ArrowSchema(schema), ..structure })
    }

    /// What the columns of these files are. May block.
    pub(super) fn inferred(&self, files: &[Location]) -> Result<Inference> {
        let mut inference = Inference::new(self.dialect, self.header.clone(), self.nrows);
        for file in files {
            let looked = inference.look(file.open_file()?);
            looked.map_err(|e| e.context(format!("reading {}", file.absolute().display())))?;
        }
        Ok(inference)
    }

    /// Only the columns that `usecols` names, in that order.
    pub(super) fn chosen(&self, schema: Schema) -> Result<Schema> {
        let schema = if self.assume_missing { with_missing(&schema) } else { schema };
        let Some(wanted) = &self.columns else { return Ok(schema) };
        let fields = wanted.iter().map(|name| {
            let at = match name {
                Value::String(name) => schema.index_of(name).ok(),
                Value::Number(n) => n.as_u64().map(|n| n as usize).filter(|n| *n < schema.fields().len()),
                _ => None,
            };
            at.map(|at| schema.fields()[at].clone()).ok_or_else(|| no_such_column(name))
        });
        Ok(Schema::new(fields.collect::<Result<Vec<_>>>()?))
    }
}

fn is_utf8(encoding: &str) -> bool {
    ["utf-8", "utf8", "utf_8", "utf-8-sig", "ascii"].iter().any(|known| encoding.eq_ignore_ascii_case(known))
}

pub(super) fn no_such_column(name: &Value) -> Error {
    Error::unprocessable(format!("The CSV file has no column {name}, which usecols names."))
}

/// Integers as floats, which can be missing.
fn with_missing(schema: &Schema) -> Schema {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        integer if integer.is_integer() => Arc::new(Field::new(field.name(), DataType::Float64, true)),
        _ => field.clone(),
    });
    Schema::new(fields.collect::<Vec<_>>())
}

fn separator_of(name: &str, value: &Value) -> Result<Separator> {
    match value.as_str() {
        Some(r"\s+" | r"[ \t]+") => Ok(Separator::Blanks),
        _ => character(name, value).map(Separator::Byte),
    }
}

fn character(name: &str, value: &Value) -> Result<u8> {
    match value.as_str().map(str::as_bytes) {
        Some([byte]) if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(*byte),
        _ => Err(Error::unprocessable(format!("The parameter {name:?} is one character, such as \";\", not {value}."))),
    }
}

fn whole(name: &str, value: &Value) -> Result<u64> {
    value.as_u64().ok_or_else(|| {
        Error::unprocessable(format!("The parameter {name:?} of CSV files is a whole number, not {value}."))
    })
}

/// A number of lines at the beginning of a file.
fn small(name: &str, value: &Value) -> Result<u64> {
    match value {
        Value::Bool(_) => None,
        value => whole(name, value).ok().filter(|n| *n < 1 << 20),
    }
    .ok_or_else(|| Error::unprocessable(format!("The parameter {name:?} of CSV files is a small number, not {value}.")))
}

fn texts(name: &str, value: &Value) -> Result<Arc<[String]>> {
    let texts = value.as_array().and_then(|all| {
        all.iter().map(|text| text.as_str().map(str::to_owned).or_else(|| Some(text.as_i64()?.to_string()))).collect()
    });
    texts.ok_or_else(|| Error::unprocessable(format!("The parameter {name:?} of CSV files is a list of texts.")))
}

impl TableFile for Foreign {
    fn extension(&self) -> &'static str {
        "csv"
    }

    fn check(&self, schema: &Schema) -> Result<()> {
        super::CSV.check(schema)
    }

    fn read(&self, file: File, wanted: &SchemaRef, rows: Option<Range<u64>>) -> Result<(SchemaRef, Batches)> {
        self.check(wanted)?;
        let most = self.nrows.unwrap_or(u64::MAX);
        let rows = rows.map_or(0..most, |rows| rows.start.min(most)..rows.end.min(most));
        let rows = Rows::of_foreign(wanted.clone(), self.header.clone(), rows);
        let reader = Reader::new(file, Splitter::of(self.dialect), rows, std::convert::identity);
        Ok((wanted.clone(), Box::new(reader)))
    }

    fn keeps_metadata(&self) -> bool {
        false
    }

    fn rows(&self, file: File) -> Result<u64> {
        let records = count(file, Splitter::of(self.dialect), std::convert::identity)?;
        Ok(records.saturating_sub(self.header.records()).min(self.nrows.unwrap_or(u64::MAX)))
    }

    fn write(&self, _: Draft, _: SchemaRef) -> Result<Box<dyn BatchWriter<Draft>>> {
        Err(Error::unsupported("Registered files are never written."))
    }
}

#[cfg(test)]
mod tests {
    use girih_model::{Asset, Data, ErrorKind, Management, Selection, Structure};
    use serde_json::json;

    use super::*;
    use crate::conformance::{Room, block_on, source};
    use crate::format::conversion::gather;
    use crate::format::{EncodeOptions, Files, Format};

    /// What is read from a file, as CSV again.
    fn read(text: &str, media_type: &str, parameters: Value) -> Result<String> {
        block_on(async {
            let room = Room::new();
            let path = room.directory.path().join("a.csv");
            std::fs::write(&path, text).unwrap();
            let asset = Asset {
                data_uri: format!("file://localhost{}", path.display()),
                is_directory: false,
                size: None,
                parameter: Some("data_uris".into()),
                num: Some(0),
                id: None,
            };
            let parameters = parameters.as_object().cloned().unwrap_or_default();
            let media_type = media_type.to_owned();
            let files = Files { media_type: media_type.clone(), parameters: parameters.clone(), assets: vec![asset] };
            let Structure::Table(found) = room.storage.inspect(&files).await?.structure else { panic!("no table") };
            let mut source = source(Structure::Table(found), media_type, files.assets);
            (source.parameters, source.management) = (parameters, Management::External);
            let Data::Table(table) = room.storage.open(&source).await?.read(&Selection::all()).await? else {
                panic!("no table")
            };
            let encoded = super::super::CSV.encode(Data::Table(table), &EncodeOptions::default()).await?;
            Ok(String::from_utf8(gather(encoded.body).await?).unwrap())
        })
    }

    fn check(text: &str, parameters: Value, expected: &str) {
        assert_eq!(read(text, "text/csv", parameters.clone()).unwrap(), expected, "{text:?} {parameters}");
    }

    /// As `pandas.read_csv` 2.3 reads them.
    #[test]
    fn parameters_are_those_of_pandas() {
        check("a;b\n1;2\n", json!({"sep": ";"}), "a,b\n1,2\n");
        check("  a   b \n1\t 2\n\n 3  x y\n", json!({"sep": r"\s+", "nrows": 1}), "a,b\n1,2\n");
        check("# made by x\n#\na,b # names\n1,2\n#3,4\n", json!({"comment": "#"}), "a,b \n1,2\n");
        check("x\n\"y\n\"\na,b\n1,2\n", json!({"skiprows": 3}), "a,b\n1,2\n");
        check("x,y\na,b\n1,2\n", json!({"header": 1}), "a,b\n1,2\n");
        check("1,2\n3,\n", json!({"header": null}), "0,1\n1,2.0\n3,\n");
        check("1,2\n3,4\n", json!({"names": ["u", "v"]}), "u,v\n1,2\n3,4\n");
        check("a,b\n3,4\n", json!({"names": ["u", "v"], "header": 0}), "u,v\n3,4\n");
        check("a,b,c\n1,2,3\n", json!({"usecols": ["c", "a"]}), "c,a\n3,1\n");
        check("a,b\n1,x\n", json!({"assume_missing": true}), "a,b\n1.0,x\n");
        check("a,b\n1,2\n3,4\n5,6\n", json!({"nrows": 2}), "a,b\n1,2\n3,4\n");
        check("a,b\nx,1,2\ny,3,4\n", json!({}), "a,b\n1,2\n3,4\n");
        check("\u{feff}\"a\",b\n\"x\"y,TRUE\n \nnull,NA\n", json!({}), "a,b\nxy,True\n,\n");
        assert_eq!(read("a\tb\n1,5\t2\n", "text/tab-separated-values", json!({})).unwrap(), "a,b\n\"1,5\",2\n");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (parameters, kind, named) in [
            (json!({"thousands": "."}), ErrorKind::Unsupported, "thousands"),
            (json!({"encoding": "latin-1"}), ErrorKind::Unsupported, "encoding"),
            (json!({"sep": ";;"}), ErrorKind::Unprocessable, "sep"),
            (json!({"skiprows": [1, 2]}), ErrorKind::Unprocessable, "skiprows"),
            (json!({"usecols": ["z"]}), ErrorKind::Unprocessable, "z"),
            (json!({"header": 5}), ErrorKind::Unprocessable, "header"),
            (json!({"names": "a"}), ErrorKind::Unprocessable, "names"),
        ] {
            let error = read("a,b\n1,2\n", "text/csv", parameters).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.message().contains(named), "{error}");
        }
    }
}
