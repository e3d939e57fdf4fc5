//! Structure of a table: an Arrow schema and a number of partitions.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::writer::{IpcDataGenerator, IpcWriteOptions};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result, ResultExt};

const URI_PREFIX: &str = "data:application/vnd.apache.arrow.file;base64,";
/// Largest schema message, in bytes.
const MAX_SCHEMA_BYTES: usize = 16 << 20;
/// Deepest nesting of lists, structs and maps: readers and writers of Arrow recurse.
pub const MAX_TYPE_DEPTH: usize = 24;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(expecting = "an object")]
pub struct TableStructure {
    pub arrow_schema: ArrowSchema,
    pub npartitions: u64,
    pub columns: Vec<String>,
    #[serde(default)]
    pub resizable: super::array::Resizable,
}

impl TableStructure {
    pub fn new(schema: SchemaRef, npartitions: u64) -> Self {
        let columns = schema.fields().iter().map(|field| field.name().clone()).collect();
        Self { arrow_schema: ArrowSchema(schema), npartitions, columns, resizable: Default::default() }
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.arrow_schema.0
    }

    pub fn check(&self) -> Result<()> {
        if self.npartitions == 0 {
            return Err(Error::unprocessable("Invalid table structure: a table has at least one partition."));
        }
        let known: HashSet<&String> = self.schema().fields().iter().map(|field| field.name()).collect();
        let mut seen = HashSet::new();
        for column in &self.columns {
            if !seen.insert(column) {
                return Err(Error::unprocessable(format!(
                    "Invalid table structure: the column {column:?} is listed twice."
                )));
            }
            if !known.contains(column) {
                return Err(Error::unprocessable(format!(
                    "Invalid table structure: the column {column:?} is not in the Arrow schema."
                )));
            }
        }
        Ok(())
    }
}

/// An Arrow schema; in JSON a `data:` URI of the encapsulated IPC schema message
/// (Arrow columnar format, "Encapsulated message format").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrowSchema(pub SchemaRef);

impl ArrowSchema {
    pub fn from_uri(uri: &str) -> Result<Self> {
        let (_, base64) = uri.split_once("base64,").ok_or_else(|| {
            Error::unprocessable(format!("arrow_schema must be a data URI that starts with {URI_PREFIX:?}."))
        })?;
        let message = STANDARD
            .decode(base64)
            .or_error(|e| Error::unprocessable(format!("arrow_schema is not valid base64: {e}")))?;
        if message.len() > MAX_SCHEMA_BYTES {
            return Err(Error::unprocessable(format!("arrow_schema is larger than {MAX_SCHEMA_BYTES} bytes.")));
        }
        let schema = read_schema_message(&message)?;
        Ok(Self(Arc::new(schema)))
    }

    pub fn to_uri(&self) -> String {
        let options = IpcWriteOptions::default();
        let mut tracker = arrow::ipc::writer::DictionaryTracker::new(false);
        let encoded =
            IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(&self.0, &mut tracker, &options);
        let mut message = Vec::with_capacity(encoded.ipc_message.len() + 16);
        arrow::ipc::writer::write_message(&mut message, encoded, &options).expect("writing to memory");
        format!("{URI_PREFIX}{}", STANDARD.encode(message))
    }
}

/// Reads an encapsulated schema message, checking it before arrow looks at it: arrow converts an
/// unverified flatbuffer by panicking.
fn read_schema_message(message: &[u8]) -> Result<Schema> {
    let bad = |why: &str| Error::unprocessable(format!("arrow_schema is not an Arrow schema message: {why}"));
    let body = match message {
        [0xff, 0xff, 0xff, 0xff, _, _, _, _, body @ ..] => body,
        [_, _, _, _, body @ ..] => body,
        _ => return Err(bad("it is too short")),
    };
    let parsed = arrow::ipc::root_as_message(body).map_err(|e| bad(&e.to_string()))?;
    let schema = parsed.header_as_schema().ok_or_else(|| bad("it holds another kind of message"))?;
    check_depth(schema)?;
    std::panic::catch_unwind(|| arrow::ipc::convert::fb_to_schema(schema))
        .map_err(|_| bad("it has a type that is not known here"))
}

/// Looks at the nesting of all fields, without recursion.
fn check_depth(schema: arrow::ipc::Schema<'_>) -> Result<()> {
    let mut open: Vec<_> = schema.fields().into_iter().flatten().map(|field| (field, 1)).collect();
    while let Some((field, depth)) = open.pop() {
        if depth > MAX_TYPE_DEPTH {
            return Err(Error::unprocessable(format!(
                "A column's type is nested more than {MAX_TYPE_DEPTH} levels deep."
            )));
        }
        open.extend(field.children().into_iter().flatten().map(|child| (child, depth + 1)));
    }
    Ok(())
}

impl Serialize for ArrowSchema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_uri())
    }
}

impl<'de> Deserialize<'de> for ArrowSchema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let uri = String::deserialize(deserializer)?;
        Self::from_uri(&uri).map_err(|e| serde::de::Error::custom(e.message()))
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, TimeUnit};
    use proptest::prelude::*;

    use super::*;

    fn schema() -> SchemaRef {
        Arc::new(
            Schema::new(vec![
                Field::new("a", DataType::Int64, true),
                Field::new("t", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), false),
                Field::new("d", DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)), true),
            ])
            .with_metadata([("pandas".to_owned(), "{}".to_owned())].into()),
        )
    }

    #[test]
    fn schema_survives_the_uri_with_its_metadata() {
        let uri = ArrowSchema(schema()).to_uri();
        assert!(uri.starts_with("data:application/vnd.apache.arrow.file;base64,/////"), "{uri}");
        assert_eq!(ArrowSchema::from_uri(&uri).unwrap().0, schema());
    }

    #[test]
    fn deep_types_are_refused() {
        let nested = |depth: usize| {
            let inner = Field::new("x", DataType::Int8, true);
            let field = (1..depth).fold(inner, |field, _| Field::new("x", DataType::List(Arc::new(field)), true));
            ArrowSchema(Arc::new(Schema::new(vec![field]))).to_uri()
        };
        assert!(ArrowSchema::from_uri(&nested(MAX_TYPE_DEPTH)).is_ok());
        assert!(ArrowSchema::from_uri(&nested(MAX_TYPE_DEPTH + 1)).is_err());
    }

    #[test]
    fn columns_must_exist() {
        let mut table = TableStructure::new(schema(), 1);
        table.check().unwrap();
        table.columns.push("a".into());
        assert!(table.check().unwrap_err().message().contains("twice"));
        table.columns[3] = "zz".into();
        assert!(table.check().unwrap_err().message().contains("zz"));
    }

    proptest! {
        #[test]
        fn damaged_schemas_are_refused_not_fatal(at in 0usize..400, byte in any::<u8>()) {
            let uri = ArrowSchema(schema()).to_uri();
            let mut message = STANDARD.decode(uri.split_once("base64,").unwrap().1).unwrap();
            let at = at % message.len();
            message[at] = byte;
            let _ = read_schema_message(&message);
        }
    }
}
