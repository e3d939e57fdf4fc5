//! Making, describing and upgrading catalogs, for the command line.

use girih_database::Database;
pub use girih_database::{Info, SCHEMA_VERSION};
use girih_model::Result;

/// Makes a new catalog; false when there is one already and `if_missing`.
pub async fn init(uri: &str, if_missing: bool) -> Result<bool> {
    Database::init(uri, if_missing).await
}

pub async fn info(uri: &str) -> Result<Info> {
    Database::info(uri).await
}

/// Brings the schema to this version; says what was done.
pub async fn upgrade(uri: &str) -> Result<String> {
    let before = Database::upgrade(uri).await?;
    Ok(if before == SCHEMA_VERSION {
        format!("The catalog has the current schema {SCHEMA_VERSION} already.")
    } else {
        format!("Upgraded the catalog from schema {before} to {SCHEMA_VERSION}.")
    })
}
