//! What SQLite's errors mean to a caller.

use girih_model::{Error, ErrorKind, Result};

/// How an error of SQLite enters the house: a full or read-only disk is no riddle to the caller.
pub(crate) trait Sqlx<T> {
    fn sql(self, what: &str) -> Result<T>;
}

/// Primary result codes of SQLite.
const BUSY: i64 = 5;
const LOCKED: i64 = 6;
const READONLY: i64 = 8;
const INTERRUPT: i64 = 9;
const IOERR: i64 = 10;
const FULL: i64 = 13;

impl<T> Sqlx<T> for sqlx::Result<T> {
    fn sql(self, what: &str) -> Result<T> {
        self.map_err(|e| {
            let code = e.as_database_error().and_then(|e| e.code()).and_then(|code| code.parse::<i64>().ok());
            let error = match code.map(|code| code & 0xff) {
                Some(FULL) => Error::new(ErrorKind::StorageFull, "The disk that holds the catalog is full."),
                Some(READONLY) => {
                    Error::storage_failed("The catalog is on a read-only disk, or its file may not be written.")
                }
                Some(IOERR) => Error::storage_failed(
                    "The disk that holds the catalog failed (input/output error). What was acknowledged before is not touched; ask the operator of this server.",
                ),
                Some(BUSY | LOCKED) => Error::busy("The catalog is busy. Try again."),
                Some(INTERRUPT) => Error::busy("The query took too long. Narrow it down, or sort by one key only."),
                _ if matches!(e, sqlx::Error::PoolTimedOut) => Error::busy("The catalog is busy. Try again."),
                _ => Error::internal("Internal server error"),
            };
            error.context(what).with_source(e)
        })
    }
}
