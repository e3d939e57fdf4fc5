//! Transactions of the one writer.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use girih_model::Result;
use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqliteConnection};

use crate::Database;
use crate::fault::Sqlx;

/// A transaction; what is not committed is undone when it is dropped.
///
/// Not sqlx's own: when a commit fails (the disk is full), that one leaves the connection within the
/// transaction, and there is only this connection.
pub(crate) struct Transaction {
    db: PoolConnection<Sqlite>,
    open: bool,
    unfinished: Arc<AtomicBool>,
}

impl Database {
    /// Waits for the turn to write.
    pub(crate) async fn write(&self) -> Result<Transaction> {
        let db = self.writer.acquire().await.sql("waiting for the turn to write")?;
        let mut transaction = Transaction { db, open: true, unfinished: self.unfinished.clone() };
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *transaction).await.sql("beginning to write")?;
        Ok(transaction)
    }
}

impl Transaction {
    pub(crate) async fn commit(mut self) -> Result<()> {
        sqlx::query("COMMIT").execute(&mut *self).await.sql("committing")?;
        self.open = false;
        Ok(())
    }
}

/// The connection goes back to its pool, where [`undo`] looks at it before the next one gets it.
impl Drop for Transaction {
    fn drop(&mut self) {
        if self.open {
            self.unfinished.store(true, Ordering::Release);
        }
    }
}

/// Undoes what the last one left behind.
pub(crate) async fn undo(db: &mut SqliteConnection, unfinished: &AtomicBool) {
    if unfinished.swap(false, Ordering::AcqRel) {
        // SQLite may have rolled back by itself; then this says so, and nobody minds.
        let _ = sqlx::query("ROLLBACK").execute(db).await;
    }
}

impl Deref for Transaction {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.db
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.db
    }
}
