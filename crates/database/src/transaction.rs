//! Transactions of the one writer, committed in groups.
//!
//! A commit waits for the disk, and the disk does not care how much it is given. So each writer works within a
//! savepoint of a transaction that is shared; who has finished queues up again to commit it, behind those who have
//! been waiting to work. Whoever comes first commits for all who have finished, and the others find it done. One
//! writer alone commits at once; of many, each waits for one commit and not for everybody's.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use girih_model::{Error, Result};
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection, SqlitePool};
use tokio::runtime::Handle;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::Database;
use crate::connect::CACHE;
use crate::fault::Sqlx;
use crate::hand::{Hand, Touched};

/// Where writers queue, in the order of their coming.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    desk: Arc<AsyncMutex<Desk>>,
    hand: Arc<Hand>,
}

/// The one connection, while a transaction is open.
#[derive(Debug)]
struct Desk {
    pool: SqlitePool,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    db: PoolConnection<Sqlite>,
    group: Arc<Group>,
    /// The connection keeps more pages in memory than it is to keep afterwards.
    has_more_memory: bool,
}

/// Those who share a commit.
#[derive(Debug, Default)]
struct Group {
    touched: Mutex<Touched>,
    outcome: OnceLock<Result<()>>,
}

/// One writer's part of a transaction; what is not committed is undone when it is dropped.
pub(crate) struct Transaction {
    /// Present until the end.
    desk: Option<OwnedMutexGuard<Desk>>,
    writer: Writer,
    /// The transaction has no other parts.
    alone: bool,
}

impl Database {
    /// Waits for the turn to write.
    pub(crate) async fn write(&self) -> Result<Transaction> {
        to_the_end(self.writer.clone().begin()).await
    }

    /// The same for a writer with very much to write, which is not shared: to be able to undo a part of a transaction,
    /// SQLite copies all that it changes.
    pub(crate) async fn write_alone(&self) -> Result<Transaction> {
        to_the_end(self.writer.clone().begin_alone()).await
    }
}

impl Writer {
    /// `pool` has one connection.
    pub(crate) fn new(pool: SqlitePool, hand: Arc<Hand>) -> Self {
        Self { desk: Arc::new(AsyncMutex::new(Desk { pool, open: None })), hand }
    }

    /// Waits for those who write.
    pub(crate) async fn close(&self) {
        let mut desk = self.desk.lock().await;
        desk.commit(&self.hand).await;
        desk.pool.close().await;
    }

    async fn begin(self) -> Result<Transaction> {
        let mut desk = self.desk.clone().lock_owned().await;
        desk.begin(&self.hand).await?;
        let mut transaction = Transaction { desk: Some(desk), writer: self, alone: false };
        sqlx::query("SAVEPOINT part").execute(&mut *transaction).await.sql("beginning to write")?;
        Ok(transaction)
    }

    async fn begin_alone(self) -> Result<Transaction> {
        let mut desk = self.desk.clone().lock_owned().await;
        desk.commit(&self.hand).await;
        desk.begin(&self.hand).await?;
        Ok(Transaction { desk: Some(desk), writer: self, alone: true })
    }

    /// Commits the group, unless somebody has.
    async fn finish(&self, group: &Arc<Group>) -> Result<()> {
        let mut desk = self.desk.lock().await;
        if desk.open.as_ref().is_some_and(|open| Arc::ptr_eq(&open.group, group)) {
            desk.commit(&self.hand).await;
        }
        group.outcome.get().cloned().unwrap_or_else(|| Err(lost()))
    }
}

impl Desk {
    /// Opens a transaction, unless there is one.
    async fn begin(&mut self, hand: &Hand) -> Result<()> {
        if self.open.is_none() {
            let mut db = self.pool.acquire().await.sql("waiting for the turn to write")?;
            sqlx::query("BEGIN IMMEDIATE").execute(&mut *db).await.sql("beginning to write")?;
            // From here on nobody else writes, in whatever process.
            hand.begin();
            self.open = Some(Open { db, group: Arc::default(), has_more_memory: false });
        }
        Ok(())
    }

    /// Commits what is open, and tells the group.
    async fn commit(&mut self, hand: &Hand) {
        let Some(mut open) = self.open.take() else { return };
        let touched = std::mem::take(&mut *open.group.touched.lock().unwrap_or_else(PoisonError::into_inner));
        let committing = hand.commit(touched);
        let outcome = sqlx::query("COMMIT").execute(&mut *open.db).await.map(drop).sql("committing");
        drop(committing);
        if outcome.is_err() {
            // When a commit fails (the disk is full), SQLite may leave us within the transaction.
            let _ = sqlx::query("ROLLBACK").execute(&mut *open.db).await;
        }
        open.give_back_memory().await;
        let _ = open.group.outcome.set(outcome);
    }

    /// Undoes the part that was begun last. Where SQLite has undone everything by itself, the others hear it.
    async fn undo(&mut self) {
        let Some(open) = &mut self.open else { return };
        let undone = sqlx::raw_sql("ROLLBACK TO part; RELEASE part").execute(&mut *open.db).await;
        if undone.is_err() {
            self.give_up(lost()).await;
        }
    }

    async fn give_up(&mut self, why: Error) {
        let Some(mut open) = self.open.take() else { return };
        let _ = sqlx::query("ROLLBACK").execute(&mut *open.db).await;
        open.give_back_memory().await;
        let _ = open.group.outcome.set(Err(why));
    }
}

impl Open {
    /// Pages that the connection keeps in memory, in KiB.
    async fn set_memory(&mut self, kib: i64) -> Result<()> {
        let set = AssertSqlSafe(format!("PRAGMA cache_size = -{kib}"));
        sqlx::query(set).execute(&mut *self.db).await.map(drop).sql("setting aside memory")
    }

    async fn give_back_memory(&mut self) {
        if self.has_more_memory {
            let _ = self.set_memory(CACHE).await;
        }
    }
}

impl Transaction {
    /// Keeps so many KiB of pages in memory until the end.
    pub(crate) async fn take_memory(&mut self, kib: i64) -> Result<()> {
        let open = self.desk.as_mut().and_then(|desk| desk.open.as_mut()).ok_or_else(lost)?;
        open.has_more_memory = true;
        open.set_memory(kib).await
    }

    /// When this returns, what was written is durable. `touched` is what others may have at hand and must not any more.
    pub(crate) async fn commit(self, touched: Touched) -> Result<()> {
        to_the_end(self.share_commit(touched)).await
    }

    async fn share_commit(mut self, touched: Touched) -> Result<()> {
        if !self.alone {
            sqlx::query("RELEASE part").execute(&mut *self).await.sql("committing")?;
        }
        let Some(desk) = self.desk.take() else { return Err(lost()) };
        let Some(group) = desk.open.as_ref().map(|open| open.group.clone()) else { return Err(lost()) };
        group.touched.lock().unwrap_or_else(PoisonError::into_inner).add(touched);
        drop(desk);
        self.writer.finish(&group).await
    }
}

/// Runs a step that must not be left halfway, also when its caller does not wait for it: an open transaction keeps
/// everybody else from writing.
async fn to_the_end<T: Send + 'static>(step: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let ended = |e| Error::internal("Internal server error").context("working on a transaction").with_source(e);
    tokio::spawn(step).await.unwrap_or_else(|e| Err(ended(e)))
}

/// What those hear whose part was undone, and can be sent again.
fn lost() -> Error {
    Error::busy("This write was undone together with another that failed. Try again.")
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let (Some(mut desk), Ok(runtime)) = (self.desk.take(), Handle::try_current()) {
            let (hand, alone) = (self.writer.hand.clone(), self.alone);
            runtime.spawn(async move {
                if alone {
                    desk.give_up(lost()).await;
                } else {
                    desk.undo().await;
                }
                // Others who have finished may be waiting behind us; but if there are none, nobody comes to commit.
                desk.commit(&hand).await;
            });
        }
    }
}

impl Deref for Transaction {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        let open = self.desk.as_ref().and_then(|desk| desk.open.as_ref());
        &open.expect("a transaction is open until it ends").db
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        let open = self.desk.as_mut().and_then(|desk| desk.open.as_mut());
        &mut open.expect("a transaction is open until it ends").db
    }
}
