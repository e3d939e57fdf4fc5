//! Data that changed without its version being counted.
//!
//! A write first makes its data durable and then counts it. Between the two the server may be killed, or the catalog may
//! fail: then there is new data under an old version, and what callers keep of the old data must not be taken for it. So
//! there is one more number in every version of data, which becomes another whenever that may have happened. It lies in
//! the row of the root, which has no data of its own.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use girih_model::Result;

use crate::fault::Sqlx;
use crate::hand::Touched;
use crate::{Database, now};

/// How long connections that are on their way back to their pools are waited for, and how often is looked.
const CLOSING: Duration = Duration::from_millis(300);
const LOOK: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(crate) struct Epoch {
    /// The file beside the database that is there while somebody has it open.
    log: PathBuf,
    /// A time, in microseconds: no number comes again.
    number: AtomicI64,
    /// The database has not been told yet.
    untold: AtomicBool,
}

impl Epoch {
    /// Of the database in this file.
    pub(crate) fn of(database: &Path) -> Self {
        let mut log = database.as_os_str().to_owned();
        log.push("-wal");
        Self { log: log.into(), number: AtomicI64::new(0), untold: AtomicBool::new(false) }
    }

    /// Whether the database is open, or was not closed: SQLite keeps what was written last in a file beside it until then.
    pub(crate) fn is_open(&self) -> bool {
        std::fs::metadata(&self.log).is_ok_and(|log| log.len() > 0)
    }

    /// Waits until the database is closed; other processes may have it open for longer.
    pub(crate) async fn closed(&self) {
        let until = Instant::now() + CLOSING;
        while self.is_open() && Instant::now() < until {
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Database {
    /// Part of the version of all data.
    pub fn epoch(&self) -> i64 {
        self.epoch.number.load(Ordering::Acquire)
    }

    /// No version that was told until now says anything about data any more.
    pub async fn begin_epoch(&self) -> Result<()> {
        let number = now();
        self.epoch.number.store(number, Ordering::Release);
        self.epoch.untold.store(true, Ordering::Release);
        self.tell_epoch(number).await
    }

    /// Takes up the epoch of before; a new one if the database was not closed.
    pub(crate) async fn resume_epoch(&self, was_open: bool) -> Result<()> {
        let number = sqlx::query_scalar("SELECT data_version FROM node WHERE id = 0");
        let number: i64 = number.fetch_one(&self.readers).await.sql("reading the epoch")?;
        self.epoch.number.store(number, Ordering::Release);
        if was_open && let Err(error) = self.begin_epoch().await {
            tracing::warn!(%error, "could not record that the catalog was not closed; trying again at the end");
        }
        Ok(())
    }

    /// What could not be told before.
    pub(crate) async fn finish_epoch(&self) -> Result<()> {
        if self.epoch.untold.load(Ordering::Acquire) { self.tell_epoch(self.epoch()).await } else { Ok(()) }
    }

    async fn tell_epoch(&self, number: i64) -> Result<()> {
        let mut tx = self.write().await?;
        sqlx::query("UPDATE node SET data_version = ? WHERE id = 0")
            .bind(number)
            .execute(&mut *tx)
            .await
            .sql("recording an epoch")?;
        tx.commit(Touched::Nothing).await?;
        self.epoch.untold.store(false, Ordering::Release);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::{Database, Missing};

    #[tokio::test]
    async fn what_was_not_closed_begins_a_new_epoch() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("catalog.db");
        let open = async || Database::open(file.to_str().unwrap(), Missing::Create).await.unwrap();
        let first = open().await;
        let begun = first.epoch();
        first.begin_epoch().await.unwrap();
        let next = first.epoch();
        assert!(next > begun);
        first.close().await;
        // On a busy machine a connection may take longer to get there.
        for _ in 0..100 {
            first.epoch.closed().await;
        }
        drop(first);
        let second = open().await;
        assert_eq!(second.epoch(), next, "it was closed");
        second.ready().await.unwrap();
        // As after a crash: the file of the second is still there.
        second.begin_epoch().await.unwrap();
        let third = open().await;
        assert!(third.epoch() > second.epoch());
    }
}
