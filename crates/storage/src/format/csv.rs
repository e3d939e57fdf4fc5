//! Comma-separated values (RFC 4180), under the three media types that clients ask for.

use std::sync::Arc;

pub use grid::CsvArrays;

use async_trait::async_trait;
use girih_model::{Asset, ByteStream, Data, DataSource, Error, Family, Management, Result, Structure};

use super::partition::index::columns_only;
use super::partition::{PartitionedTable, TableFile, create};
use super::{EncodeOptions, Encoded, Files, Format, Inspected};
use crate::dataset::Dataset;
use crate::place::{Location, Places};
use crate::pool::blocking;

use foreign::Foreign;

mod array;
mod body;
mod file;
mod foreign;
mod grid;
pub(super) mod infer;
mod records;
mod rows;
mod table;

/// - An array of one axis has one item on each line, of two axes one row; there is no header. A structured array of at
///   most one axis has its fields as columns. Items are NumPy's text: see [`crate::item::Item::push_text`].
/// - A table has a header, unless the media type says `header=absent`. Values are pandas' text: see
///   [`crate::item::Cell::push_text`].
///
/// Fields with commas, quotes or line breaks are quoted. Lines end with a line feed.
#[derive(Clone, Copy)]
pub struct Csv {
    media_type: &'static str,
    extensions: &'static [&'static str],
    reads: &'static [Family],
}

pub static CSV: Csv = Csv { media_type: "text/csv", extensions: &["csv"], reads: &[Family::Table] };
pub static CSV_UNREGISTERED: Csv = Csv { media_type: "text/x-comma-separated-values", extensions: &[], reads: &[] };
pub static PLAIN: Csv = Csv { media_type: "text/plain", extensions: &["txt", "text"], reads: &[] };

#[async_trait]
impl Format for Csv {
    fn media_type(&self) -> &'static str {
        self.media_type
    }

    fn extensions(&self) -> &'static [&'static str] {
        self.extensions
    }

    fn encodes(&self) -> &'static [Family] {
        &[Family::Array, Family::Table]
    }

    fn decodes(&self) -> &'static [Family] {
        self.reads
    }

    async fn encode(&self, data: Data, options: &EncodeOptions) -> Result<Encoded> {
        let header = self.header(options)?;
        let body = match data {
            Data::Array(array) => array::encode(array, self.media_type)?,
            Data::Table(table) => table::encode(columns_only(table), header),
            Data::Tree(_) => return Err(self.cannot_encode(Family::Container)),
        };
        let parameter = if header { "" } else { ";header=absent" };
        let media_type = format!("{}{parameter}; charset=utf-8", self.media_type);
        Ok(Encoded { media_type, length: None, body, itemsize: 1 })
    }

    fn suffixes(&self) -> &'static [&'static str] {
        // Only what is a table is read from files.
        if self.reads.is_empty() { &[] } else { &["csv"] }
    }

    fn lists_files(&self) -> bool {
        true
    }

    fn opens(&self) -> &'static [Family] {
        self.reads
    }

    fn creates(&self) -> &'static [Family] {
        self.reads
    }

    async fn open(&self, source: &DataSource, places: &Places) -> Result<Arc<dyn Dataset>> {
        let format: Arc<dyn TableFile> = match source.management {
            Management::External => Arc::new(Foreign::of(&source.parameters, &source.mimetype)?),
            _ => Arc::new(CSV),
        };
        PartitionedTable::open(format, source, places).await
    }

    async fn inspect(&self, files: &Files, places: &Places) -> Result<Inspected> {
        let foreign = Foreign::of(&files.parameters, &files.media_type)?;
        let locations = files.locate(places)?;
        let structure = blocking(move || foreign.inspect(&locations)).await?;
        Ok(Structure::Table(structure).into())
    }

    async fn create(&self, location: &Location, structure: &Structure) -> Result<Vec<Asset>> {
        create(&CSV, location, structure)
    }

    /// Reads a table. The first record may name the columns, in any order; otherwise the columns come in
    /// the order of the structure. Empty fields are missing values, but `""` in a text column is an empty text,
    /// unless it is the only column.
    async fn decode(&self, body: ByteStream, structure: &Structure) -> Result<Data> {
        match structure {
            Structure::Table(table) if !self.reads.is_empty() => Ok(Data::Table(body::decode(body, table)?)),
            other => Err(self.cannot_decode(other.family())),
        }
    }
}

impl Csv {
    /// The parameter `header` of RFC 4180, section 3.
    fn header(&self, options: &EncodeOptions) -> Result<bool> {
        match options.parameters.get("header").map(String::as_str) {
            None | Some("present") => Ok(true),
            Some("absent") => Ok(false),
            Some(other) => Err(Error::malformed(format!(
                "The parameter \"header\" of {} is either \"present\" or \"absent\", not {other:?}.",
                self.media_type
            ))),
        }
    }
}

/// Files of others that are only read: tables in several files, and with other characters between the fields.
pub struct CsvFiles {
    media_type: &'static str,
    suffixes: &'static [&'static str],
}

pub static SEVERAL: CsvFiles = CsvFiles { media_type: "multipart/related;type=text/csv", suffixes: &[] };
pub static TABS: CsvFiles = CsvFiles { media_type: "text/tab-separated-values", suffixes: &["tsv"] };

#[async_trait]
impl Format for CsvFiles {
    fn media_type(&self) -> &'static str {
        self.media_type
    }

    fn suffixes(&self) -> &'static [&'static str] {
        self.suffixes
    }

    fn lists_files(&self) -> bool {
        true
    }

    fn opens(&self) -> &'static [Family] {
        CSV.opens()
    }

    async fn inspect(&self, files: &Files, places: &Places) -> Result<Inspected> {
        CSV.inspect(files, places).await
    }

    async fn open(&self, source: &DataSource, places: &Places) -> Result<Arc<dyn Dataset>> {
        CSV.open(source, places).await
    }
}

/// Appends a field that `push` writes, in quotes if it needs them.
fn push_field(out: &mut String, push: impl FnOnce(&mut String)) {
    let start = out.len();
    push(out);
    if out.as_bytes()[start..].iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')) {
        let field = out.split_off(start).replace('"', "\"\"");
        out.push('"');
        out.push_str(&field);
        out.push('"');
    }
}

#[cfg(test)]
mod tests {
    use girih_model::{ArrayData, DType, ErrorKind};

    use super::*;
    use crate::format::conversion::block_on;

    fn media_type(header: &str) -> Result<String> {
        let mut options = EncodeOptions::default();
        options.parameters.insert("header".into(), header.into());
        let data = Data::Array(ArrayData::whole(DType::of("u1"), vec![1], vec![1]));
        Ok(block_on(CSV.encode(data, &options))?.media_type)
    }

    #[test]
    fn the_header_parameter() {
        assert_eq!(media_type("present").unwrap(), "text/csv; charset=utf-8");
        assert_eq!(media_type("absent").unwrap(), "text/csv;header=absent; charset=utf-8");
        assert_eq!(media_type("maybe").unwrap_err().kind(), ErrorKind::Malformed);
    }
}
