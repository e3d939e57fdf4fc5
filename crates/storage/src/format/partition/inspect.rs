//! What registered files hold together.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use girih_model::{Error, Result, Structure, TableStructure};

use super::{Part, TableFile, index};
use crate::format::{Files, Inspected};
use crate::place::Places;
use crate::pool::blocking;

/// The structure of registered files, each a partition.
pub(crate) async fn inspect(format: Arc<dyn TableFile>, files: &Files, places: &Places) -> Result<Inspected> {
    let locations = files.locate(places)?;
    let parts = locations.into_iter().map(|location| Part { location, format: format.clone() });
    let parts: Vec<Part> = parts.collect();
    Ok(Structure::Table(blocking(move || structure_of(&parts)).await?).into())
}

/// The columns of the first file, which all must have. May block.
///
/// # Errors
/// `Unprocessable` when they do not fit together.
pub(crate) fn structure_of(parts: &[Part]) -> Result<TableStructure> {
    let mut common: Option<Schema> = None;
    for part in parts {
        let schema = part.location.open_file().and_then(|file| part.format.schema(file));
        let found = index::columns_of(&*schema.map_err(|e| part.context(e))?);
        common = Some(match common {
            None => found,
            Some(schema) => joined(&schema, &found).map_err(|e| part.context(e))?,
        });
    }
    Ok(TableStructure::new(Arc::new(common.unwrap_or_else(Schema::empty)), parts.len() as u64))
}

/// A column that is nothing but missing values in one file may be of any type in the others.
fn joined(schema: &Schema, other: &Schema) -> Result<Schema> {
    if schema.fields() == other.fields() {
        return Ok(schema.clone());
    }
    if schema.fields().len() != other.fields().len() {
        return Err(Error::unprocessable("The files have different columns. Register them one by one."));
    }
    let fields = schema.fields().iter().map(|field| {
        let name = field.name();
        let found = other.field_with_name(name);
        let found = found.map_err(|_| {
            Error::unprocessable(format!("One of the files has no column {name:?}. Register them one by one."))
        })?;
        let data_type = match (field.data_type(), found.data_type()) {
            (DataType::Null, other) => other.clone(),
            (one, DataType::Null) => one.clone(),
            (one, other) if one == other => one.clone(),
            (one, other) => {
                return Err(Error::unprocessable(format!(
                    "The column {name:?} has the type {one} in one file and {other} in another. Register them one by one."
                )));
            }
        };
        Ok(Field::new(name, data_type, field.is_nullable() || found.is_nullable()).with_metadata(field.metadata().clone()))
    });
    Ok(Schema::new_with_metadata(fields.collect::<Result<Vec<_>>>()?, schema.metadata().clone()))
}
