//! CSV files of others: read as `pandas.read_csv` reads them, with the types that the structure says.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use girih_model::{Error, Result, TableStructure};
use serde_json::{Map, Value};

use super::file::Reader;
use super::infer::Inference;
use super::records::Splitter;
use super::rows::Rows;
use crate::format::partition::encode::BatchWriter;
use crate::format::partition::{Batches, TableFile};
use crate::place::{Draft, Location};

/// Parameters of `pandas.read_csv` that the structure has answered already.
const ANSWERED: [&str; 4] = ["assume_missing", "dtype", "nrows", "usecols"];

/// CSV with another character between the fields than ours may have.
pub(super) struct Foreign {
    separator: u8,
}

static FOREIGN: [Foreign; 128] = {
    let mut all = [const { Foreign { separator: 0 } }; 128];
    let mut separator = 0;
    while separator < 128 {
        all[separator] = Foreign { separator: separator as u8 };
        separator += 1;
    }
    all
};

/// By the parameters of a data source: `sep` or `delimiter`, else as the media type has it.
///
/// # Errors
/// `Unsupported` for other parameters of `pandas.read_csv`, `Unprocessable` for separators of several characters.
pub(super) fn of(parameters: &Map<String, Value>, media_type: &str) -> Result<&'static Foreign> {
    let mut separator = if media_type.contains("tab-separated-values") { b'\t' } else { b',' };
    for (name, value) in parameters {
        match (name.as_str(), value) {
            ("sep" | "delimiter", Value::String(text)) if text.len() == 1 && text.is_ascii() && text != "\"" => {
                separator = text.as_bytes()[0];
            }
            ("sep" | "delimiter", _) => {
                return Err(Error::unprocessable(format!(
                    "The parameter {name:?} is one character, such as \";\", not {value}."
                )));
            }
            (_, Value::Null) => {}
            ("header", _) => {}
            (name, _) if ANSWERED.contains(&name) => {}
            _ => {
                return Err(Error::unsupported(format!(
                    "The parameter {name:?} of CSV files is not understood. Known are sep, delimiter, usecols, dtype and assume_missing."
                )));
            }
        }
    }
    Ok(&FOREIGN[usize::from(separator)])
}

impl Foreign {
    pub(super) fn separator(&self) -> u8 {
        self.separator
    }

    /// The structure of these files, each a partition. May block.
    pub(super) fn inspect(&self, files: &[Location], parameters: &Map<String, Value>) -> Result<TableStructure> {
        let mut inference = Inference::new(self.separator, true);
        for file in files {
            let context = |e: Error| e.context(format!("reading {}", file.absolute().display()));
            inference.look(file.open_file()?).map_err(context)?;
        }
        let schema = chosen(inference.schema()?, parameters)?;
        Ok(TableStructure::new(Arc::new(schema), files.len() as u64))
    }
}

/// Only the columns that `usecols` names, in that order.
pub(super) fn chosen(schema: Schema, parameters: &Map<String, Value>) -> Result<Schema> {
    let Some(Value::Array(wanted)) = parameters.get("usecols") else { return Ok(schema) };
    let fields = wanted.iter().map(|name| {
        let at = match name {
            Value::String(name) => schema.index_of(name).ok(),
            Value::Number(n) => n.as_u64().map(|n| n as usize).filter(|n| *n < schema.fields().len()),
            _ => None,
        };
        let at =
            at.ok_or_else(|| Error::unprocessable(format!("The CSV file has no column {name}, which usecols names.")))?;
        Ok(schema.fields()[at].clone())
    });
    Ok(Schema::new(fields.collect::<Result<Vec<_>>>()?))
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
        let rows = Rows::of_foreign(wanted.clone(), rows.unwrap_or(0..u64::MAX));
        let reader = Reader::new(file, Splitter::with_separator(self.separator), rows, std::convert::identity);
        Ok((wanted.clone(), Box::new(reader)))
    }

    fn keeps_metadata(&self) -> bool {
        false
    }

    fn rows(&self, file: File) -> Result<u64> {
        super::file::count(file, Splitter::with_separator(self.separator), std::convert::identity)
    }

    fn write(&self, _: Draft, _: SchemaRef) -> Result<Box<dyn BatchWriter<Draft>>> {
        Err(Error::unsupported("Registered files are never written."))
    }
}
