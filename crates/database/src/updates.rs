//! Updates that watchers heard, kept for a while: for those who come later, or whose connection broke.
//!
//! They are in a database of their own beside the catalog, for an update must reach its watchers before any disk has
//! moved. What was added survives the end of the process at once. A loss of power may take the last ones with it; the
//! numbers then go on far beyond them ([`BEYOND`]), so that none is given twice. Large payloads are files.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use girih_model::{Error, Json, NodeId, Result, ResultExt};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{Connection, Row, SqliteConnection, SqlitePool};
use tokio::sync::Mutex;

use crate::fault::Sqlx;
use crate::now;

const SCHEMA: &str = include_str!("updates.sql");
/// `PRAGMA user_version`; what another version kept is refused, with the advice to remove it.
const VERSION: i64 = 1;
/// More updates than can get lost with the power.
pub const BEYOND: u64 = 1 << 20;
/// Larger payloads are files.
const INLINE: usize = 64 << 10;
/// Nodes whose last number is at hand.
const AT_HAND: usize = 100_000;
/// Rows that are taken away, or read, by one statement.
const BATCH: i64 = 500;
/// What a row takes beside event and payload, about.
const ROW: u64 = 100;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Of events and payloads.
    pub bytes: u64,
    pub age: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { bytes: 1 << 30, age: Duration::from_secs(3600) }
    }
}

/// Something that is to be told.
#[derive(Debug, Clone)]
pub struct NewUpdate {
    pub node: NodeId,
    /// A JSON object.
    pub event: Json,
    pub payload: Bytes,
    /// Of a write that may be repeated: it is told once.
    pub key: Option<[u8; 16]>,
}

#[derive(Debug, Clone)]
pub struct Update {
    /// Ascends within a node, from 1.
    pub sequence: u64,
    /// The number that was given before, or may have been: whoever has heard it misses nothing.
    pub previous: u64,
    /// Microseconds since 1970-01-01 UTC.
    pub time: i64,
    /// A JSON object.
    pub event: Json,
    pub payload: Bytes,
}

impl Update {
    /// Bytes, about.
    pub fn size(&self) -> usize {
        self.event.text().len() + self.payload.len()
    }
}

/// Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Updates {
    writer: Arc<Mutex<Writer>>,
    readers: SqlitePool,
    folder: Arc<PathBuf>,
    retention: Retention,
}

#[derive(Debug)]
struct Writer {
    db: SqliteConnection,
    folder: Arc<PathBuf>,
    /// Last numbers.
    last: HashMap<NodeId, u64>,
    life: i64,
    /// The newest node when this life began.
    newest: i64,
    /// Bytes that are kept.
    kept: u64,
}

impl Updates {
    /// Opens what is kept in a folder, which is made. `newest` is the newest node of the catalog.
    pub async fn open(folder: &Path, newest: NodeId, retention: Retention) -> Result<Self> {
        let cannot = |e: &dyn std::fmt::Display| {
            Error::storage_failed(format!("The folder {} cannot be used to keep updates: {e}", folder.display()))
        };
        std::fs::create_dir_all(folder).or_error(|e| cannot(&e))?;
        let options = SqliteConnectOptions::new()
            .filename(folder.join("updates.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(10));
        let mut db = SqliteConnection::connect_with(&options).await.or_error(|e| cannot(&e))?;
        prepare(&mut db, folder).await?;
        let (life, newest) = begin_life(&mut db, newest.0).await?;
        let kept: i64 = sqlx::query_scalar("SELECT coalesce(sum(size), 0) FROM heard")
            .fetch_one(&mut db)
            .await
            .sql("measuring what is kept of updates")?;
        let readers = SqlitePoolOptions::new().max_connections(4).idle_timeout(None).max_lifetime(None);
        let readers = readers.connect_with(options.pragma("query_only", "ON")).await.or_error(|e| cannot(&e))?;
        let folder = Arc::new(folder.to_owned());
        let writer = Writer { db, folder: folder.clone(), last: HashMap::new(), life, newest, kept: kept as u64 };
        let updates = Self { writer: Arc::new(Mutex::new(writer)), readers, folder, retention };
        updates.sweep().await?;
        Ok(updates)
    }

    /// Gives updates their numbers and keeps them, in order. One with a key that is known is not told again: it comes
    /// back with the number that it had.
    pub async fn add(&self, new: Vec<NewUpdate>) -> Result<Vec<Update>> {
        let (writer, most) = (self.writer.clone(), self.retention.bytes);
        // Not given up halfway: a number must not be taken that nobody hears.
        let added = tokio::spawn(async move {
            let mut writer = writer.lock().await;
            let added = writer.add(new).await?;
            if writer.kept > most + most / 8 {
                let too_much = writer.kept - most;
                writer.trim(i64::MIN, too_much).await?;
            }
            Ok(added)
        });
        added.await.unwrap_or_else(|e| Err(Error::internal("Internal server error").with_source(e)))
    }

    /// What is kept of a node from a number on, in order: at least one, and not much more than so many bytes.
    pub async fn read(&self, node: NodeId, from: u64, bytes: usize) -> Result<Vec<Update>> {
        let rows = sqlx::query(
            "SELECT sequence, previous, time, event, payload, size, checksum FROM heard WHERE node = ? AND sequence >= ? \
             ORDER BY sequence LIMIT ?",
        );
        let mut rows = rows.bind(node.0).bind(from as i64).bind(BATCH).fetch(&self.readers);
        let (mut updates, mut size) = (Vec::new(), 0);
        while let Some(row) = rows.try_next().await.sql("reading updates")? {
            if size > 0 && size + row.get::<i64, _>("size") as usize > bytes {
                break;
            }
            // One that was lost with the power, or taken away meanwhile, is a gap.
            let Some(update) = self.unpack(node, &row).await? else { continue };
            size += update.size().max(1);
            updates.push(update);
        }
        Ok(updates)
    }

    /// The number of the first update that is kept, and the last number that was given; 0 for none.
    pub async fn range(&self, node: NodeId) -> Result<(u64, u64)> {
        let last = self.writer.lock().await.last(node).await?;
        let first: Option<i64> = sqlx::query_scalar("SELECT min(sequence) FROM heard WHERE node = ?")
            .bind(node.0)
            .fetch_one(&self.readers)
            .await
            .sql("looking up updates")?;
        Ok((first.unwrap_or_default() as u64, last))
    }

    /// Takes away what is too old or too much; to be called now and then.
    pub async fn trim(&self) -> Result<()> {
        let before = now() - i64::try_from(self.retention.age.as_micros()).unwrap_or(i64::MAX);
        loop {
            let mut writer = self.writer.lock().await;
            let too_much = writer.kept.saturating_sub(self.retention.bytes);
            if !writer.trim(before, too_much).await? {
                break;
            }
        }
        // What a loss of power would take is little.
        let mut writer = self.writer.lock().await;
        sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&mut writer.db).await.map(drop).sql("keeping updates")
    }

    pub async fn close(&self) {
        self.readers.close().await;
        let mut writer = self.writer.lock().await;
        if let Err(error) = sqlx::query("UPDATE life SET closed = 1").execute(&mut writer.db).await {
            tracing::warn!(%error, "could not record that the updates were closed");
        }
        let _ = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut writer.db).await;
    }

    async fn unpack(&self, node: NodeId, row: &SqliteRow) -> Result<Option<Update>> {
        let sequence = row.get::<i64, _>("sequence") as u64;
        let payload = match row.get::<Option<Vec<u8>>, _>("payload") {
            Some(payload) => Bytes::from(payload),
            None => {
                let path = file(&self.folder, node, sequence);
                match tokio::task::spawn_blocking(move || std::fs::read(path)).await {
                    Ok(Ok(payload)) => Bytes::from(payload),
                    _ => return Ok(None),
                }
            }
        };
        if i64::from(crc32c::crc32c(&payload)) != row.get::<i64, _>("checksum") {
            return Ok(None);
        }
        let event = Json::parse(row.get::<String, _>("event"))?;
        let previous = row.get::<i64, _>("previous") as u64;
        Ok(Some(Update { sequence, previous, time: row.get("time"), event, payload }))
    }

    /// Removes files that nothing refers to: the process ended before the row was written, or before the file was gone.
    async fn sweep(&self) -> Result<()> {
        let files = "SELECT node, sequence FROM heard WHERE payload IS NULL";
        let rows = sqlx::query(files).fetch_all(&self.readers).await.sql("listing payloads")?;
        let known: HashSet<PathBuf> = rows
            .iter()
            .map(|row| file(&self.folder, NodeId(row.get("node")), row.get::<i64, _>("sequence") as u64))
            .collect();
        let Ok(found) = std::fs::read_dir(&*self.folder) else { return Ok(()) };
        for path in found.flatten().map(|entry| entry.path()) {
            if path.extension().is_some_and(|extension| extension == "payload") && !known.contains(&path) {
                let _ = std::fs::remove_file(path);
            }
        }
        Ok(())
    }
}

impl Writer {
    async fn add(&mut self, new: Vec<NewUpdate>) -> Result<Vec<Update>> {
        let many = new.len() > 1;
        if many {
            sqlx::query("BEGIN IMMEDIATE").execute(&mut self.db).await.sql("keeping updates")?;
        }
        let mut added = Vec::with_capacity(new.len());
        for update in new {
            match self.add_one(update).await {
                Ok(update) => added.push(update),
                Err(e) => {
                    self.last.clear();
                    if many {
                        let _ = sqlx::query("ROLLBACK").execute(&mut self.db).await;
                    }
                    return Err(e);
                }
            }
        }
        if many {
            let committed = sqlx::query("COMMIT").execute(&mut self.db).await;
            if let Err(e) = committed {
                self.last.clear();
                let _ = sqlx::query("ROLLBACK").execute(&mut self.db).await;
                return Err(e).sql("keeping updates");
            }
        }
        Ok(added)
    }

    async fn add_one(&mut self, new: NewUpdate) -> Result<Update> {
        if let Some(key) = &new.key
            && let Some((sequence, previous, time)) = self.known(new.node, key).await?
        {
            return Ok(Update { sequence, previous, time, event: new.event, payload: new.payload });
        }
        let previous = self.last(new.node).await?;
        let sequence = previous + 1;
        let (size, time) = (new.event.text().len() as u64 + new.payload.len() as u64 + ROW, now());
        let is_file = new.payload.len() > INLINE;
        if is_file {
            let (path, payload) = (file(&self.folder, new.node, sequence), new.payload.clone());
            let written = tokio::task::spawn_blocking(move || std::fs::write(path, &payload)).await;
            let written = written.internal(|| "keeping the payload of an update".into())?;
            written.or_error(|e| Error::storage_failed(format!("The disk that keeps updates failed: {e}")))?;
        }
        let insert = sqlx::query(
            "INSERT INTO heard (node, sequence, previous, life, time, key, event, payload, size, checksum) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        );
        let insert = insert
            .bind(new.node.0)
            .bind(sequence as i64)
            .bind(previous as i64)
            .bind(self.life)
            .bind(time)
            .bind(new.key.as_ref().map(|key| &key[..]))
            .bind(new.event.text())
            .bind((!is_file).then_some(&new.payload[..]))
            .bind(size as i64)
            .bind(i64::from(crc32c::crc32c(&new.payload)))
            .execute(&mut self.db)
            .await;
        insert.sql("keeping an update")?;
        if self.last.len() >= AT_HAND {
            self.last.clear();
        }
        self.last.insert(new.node, sequence);
        self.kept += size;
        Ok(Update { sequence, previous, time, event: new.event, payload: new.payload })
    }

    /// Numbers and time of an update with this key.
    async fn known(&mut self, node: NodeId, key: &[u8; 16]) -> Result<Option<(u64, u64, i64)>> {
        let known = sqlx::query("SELECT sequence, previous, time FROM heard WHERE node = ? AND key = ?");
        let known = known.bind(node.0).bind(&key[..]).fetch_optional(&mut self.db).await.sql("looking up an update")?;
        let number = |row: &SqliteRow, column: &str| row.get::<i64, _>(column) as u64;
        Ok(known.map(|row| (number(&row, "sequence"), number(&row, "previous"), row.get("time"))))
    }

    /// The last number that was given, or may have been given.
    async fn last(&mut self, node: NodeId) -> Result<u64> {
        if let Some(last) = self.last.get(&node) {
            return Ok(*last);
        }
        let last = sqlx::query(
            "SELECT sequence, life FROM heard WHERE node = ?1 \
             UNION ALL SELECT sequence, life FROM last WHERE node = ?1 ORDER BY sequence DESC LIMIT 1",
        );
        let last = last.bind(node.0).fetch_optional(&mut self.db).await.sql("looking up the last update")?;
        let last = match last {
            Some(row) => {
                let lost = if row.get::<i64, _>("life") < self.life { BEYOND } else { 0 };
                row.get::<i64, _>("sequence") as u64 + lost
            }
            None if self.life > 0 && node.0 <= self.newest => BEYOND,
            None => 0,
        };
        self.last.insert(node, last);
        Ok(last)
    }

    /// Takes away some of what is too old or too much; true if there may be more.
    async fn trim(&mut self, before: i64, too_much: u64) -> Result<bool> {
        let oldest =
            "SELECT id, node, sequence, life, time, size, payload IS NULL AS is_file FROM heard ORDER BY id LIMIT ?";
        let oldest = sqlx::query(oldest).bind(BATCH).fetch_all(&mut self.db).await.sql("looking for old updates")?;
        let mut freed = 0;
        let old = oldest.iter().take_while(|row| {
            let goes = freed < too_much || row.get::<i64, _>("time") < before;
            freed += row.get::<i64, _>("size") as u64;
            goes
        });
        let gone = &oldest[..old.count()];
        let Some(last) = gone.last() else { return Ok(false) };
        let mut tx = self.db.begin().await.sql("taking old updates away")?;
        // The numbers are not forgotten.
        sqlx::query(
            "INSERT INTO last (node, sequence, life) SELECT node, max(sequence), life FROM heard WHERE id <= ? GROUP BY node \
             ON CONFLICT (node) DO UPDATE SET sequence = excluded.sequence, life = excluded.life",
        )
        .bind(last.get::<i64, _>("id"))
        .execute(&mut *tx)
        .await
        .sql("keeping numbers of updates")?;
        sqlx::query("DELETE FROM heard WHERE id <= ?")
            .bind(last.get::<i64, _>("id"))
            .execute(&mut *tx)
            .await
            .sql("taking old updates away")?;
        tx.commit().await.sql("taking old updates away")?;
        self.drop_files(gone).await;
        Ok(gone.len() as i64 == BATCH)
    }

    /// Removes the files of rows that are gone.
    async fn drop_files(&mut self, rows: &[SqliteRow]) {
        let size: i64 = rows.iter().map(|row| row.get::<i64, _>("size")).sum();
        self.kept = self.kept.saturating_sub(size as u64);
        let files = rows.iter().filter(|row| row.get::<bool, _>("is_file"));
        let files = files.map(|row| file(&self.folder, NodeId(row.get("node")), row.get::<i64, _>("sequence") as u64));
        let files: Vec<PathBuf> = files.collect();
        if files.is_empty() {
            return;
        }
        // One that stays is swept away at the next start.
        let removed =
            tokio::task::spawn_blocking(move || files.iter().for_each(|file| drop(std::fs::remove_file(file))));
        let _ = removed.await;
    }
}

fn file(folder: &Path, node: NodeId, sequence: u64) -> PathBuf {
    folder.join(format!("{}-{sequence}.payload", node.0))
}

/// Makes the tables, anew if they are of another version.
async fn prepare(db: &mut SqliteConnection, folder: &Path) -> Result<()> {
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *db).await.sql("opening updates")?;
    if version == VERSION {
        return Ok(());
    }
    if version != 0 {
        return Err(Error::conflict(format!(
            "The updates in {} are of another version of girih ({version}). They are kept for those who watch only: remove the folder.",
            folder.display()
        )));
    }
    let mut tx = db.begin_with("BEGIN IMMEDIATE").await.sql("making tables of updates")?;
    // Somebody else may have been faster.
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *tx).await.sql("opening updates")?;
    if version == 0 {
        sqlx::raw_sql(SCHEMA).execute(&mut *tx).await.sql("making tables of updates")?;
        sqlx::raw_sql("PRAGMA user_version = 1").execute(&mut *tx).await.sql("making tables of updates")?;
    }
    tx.commit().await.sql("making tables of updates")
}

/// Another life has begun when the power was lost: the machine was started anew and nobody had closed. Returns its
/// number and the newest node at its beginning.
async fn begin_life(db: &mut SqliteConnection, newest: i64) -> Result<(i64, i64)> {
    let row = sqlx::query("SELECT number, newest, boot, closed FROM life").fetch_one(&mut *db).await;
    let row = row.sql("opening updates")?;
    let (mut number, mut begun) = (row.get::<i64, _>("number"), row.get::<i64, _>("newest"));
    let boot = boot();
    if !row.get::<bool, _>("closed") && (boot.is_empty() || row.get::<&str, _>("boot") != boot) {
        (number, begun) = (number + 1, newest);
    }
    // That it is open must be known after a loss of power.
    sqlx::raw_sql("PRAGMA synchronous = FULL").execute(&mut *db).await.sql("opening updates")?;
    sqlx::query("UPDATE life SET number = ?, newest = ?, boot = ?, closed = 0")
        .bind(number)
        .bind(begun)
        .bind(boot)
        .execute(&mut *db)
        .await
        .sql("opening updates")?;
    sqlx::raw_sql("PRAGMA synchronous = NORMAL").execute(&mut *db).await.sql("opening updates")?;
    Ok((number, begun))
}

/// What the running system calls this start of the machine; empty where it does not say.
fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Retention = Retention { bytes: 1 << 30, age: Duration::from_secs(3600) };

    async fn open(folder: &Path, retention: Retention) -> Updates {
        Updates::open(folder, NodeId(10), retention).await.unwrap()
    }

    fn new(node: i64, payload: &[u8]) -> NewUpdate {
        let event = Json::parse(r#"{"type":"array-data"}"#).unwrap();
        NewUpdate { node: NodeId(node), event, payload: Bytes::copy_from_slice(payload), key: None }
    }

    async fn sequences(updates: &Updates, node: i64, from: u64) -> Vec<u64> {
        let found = updates.read(NodeId(node), from, usize::MAX).await.unwrap();
        found.iter().map(|update| update.sequence).collect()
    }

    #[tokio::test]
    async fn numbers_ascend_in_each_node_and_survive_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let updates = open(folder.path(), ALL).await;
        let large = vec![7; INLINE + 1];
        let added = updates.add(vec![new(1, b"a"), new(2, b"b"), new(1, &large)]).await.unwrap();
        assert_eq!(added.iter().map(|update| update.sequence).collect::<Vec<_>>(), [1, 1, 2]);
        // As after a kill: nobody closed.
        drop(updates);
        let updates = open(folder.path(), ALL).await;
        assert_eq!(updates.range(NodeId(1)).await.unwrap(), (1, 2));
        let kept = updates.read(NodeId(1), 0, usize::MAX).await.unwrap();
        assert_eq!(kept.iter().map(|update| update.payload.len()).collect::<Vec<_>>(), [1, large.len()]);
        assert_eq!(updates.add(vec![new(1, b"c")]).await.unwrap()[0].sequence, 3);
        assert_eq!(sequences(&updates, 1, 2).await, [2, 3]);
        assert_eq!(updates.read(NodeId(1), 1, 2).await.unwrap().len(), 1, "about as many bytes as asked for");
        assert_eq!(updates.range(NodeId(3)).await.unwrap(), (0, 0));
    }

    #[tokio::test]
    async fn a_repetition_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let updates = open(folder.path(), ALL).await;
        let keyed = || NewUpdate { key: Some([3; 16]), ..new(1, b"a") };
        assert_eq!(updates.add(vec![keyed()]).await.unwrap()[0].sequence, 1);
        updates.add(vec![new(1, b"b")]).await.unwrap();
        assert_eq!(updates.add(vec![keyed()]).await.unwrap()[0].sequence, 1);
        assert_eq!(sequences(&updates, 1, 0).await, [1, 2]);
    }

    #[tokio::test]
    async fn what_is_too_much_or_too_old_goes_and_its_numbers_stay() {
        let folder = tempfile::tempdir().unwrap();
        let payloads = || {
            std::fs::read_dir(folder.path())
                .unwrap()
                .flatten()
                .filter(|file| file.path().extension().is_some_and(|extension| extension == "payload"))
        };
        let most = Retention { bytes: 3 * INLINE as u64, ..ALL };
        let updates = open(folder.path(), most).await;
        for _ in 0..10 {
            updates.add(vec![new(1, &vec![0; INLINE + 1])]).await.unwrap();
        }
        let kept = sequences(&updates, 1, 0).await;
        assert!(kept.len() <= 3 && kept.ends_with(&[10]), "{kept:?}");
        assert_eq!(payloads().count(), kept.len());
        drop(updates);
        let updates = open(folder.path(), Retention { age: Duration::ZERO, ..ALL }).await;
        updates.trim().await.unwrap();
        assert_eq!(updates.range(NodeId(1)).await.unwrap(), (0, 10));
        assert_eq!(payloads().count(), 0);
        assert_eq!(updates.add(vec![new(1, b"")]).await.unwrap()[0].sequence, 11);
    }

    #[tokio::test]
    async fn no_number_comes_twice_after_a_loss_of_power() {
        let folder = tempfile::tempdir().unwrap();
        let updates = open(folder.path(), ALL).await;
        updates.add(vec![new(1, b"a"), new(1, b"b")]).await.unwrap();
        // As if the machine had been started anew.
        let mut writer = updates.writer.lock().await;
        sqlx::query("UPDATE life SET boot = 'another'").execute(&mut writer.db).await.unwrap();
        drop(writer);
        drop(updates);
        let updates = open(folder.path(), ALL).await;
        assert_eq!(updates.add(vec![new(1, b"c")]).await.unwrap()[0].sequence, BEYOND + 3);
        assert_eq!(updates.add(vec![new(1, b"d")]).await.unwrap()[0].sequence, BEYOND + 4);
        assert_eq!(updates.add(vec![new(2, b"e")]).await.unwrap()[0].sequence, BEYOND + 1, "it may have had updates");
        assert_eq!(updates.add(vec![new(11, b"e")]).await.unwrap()[0].sequence, 1, "it is newer");
        updates.close().await;
        let mut db = SqliteConnection::connect(folder.path().join("updates.db").to_str().unwrap()).await.unwrap();
        sqlx::query("UPDATE life SET boot = 'yet another'").execute(&mut db).await.unwrap();
        db.close().await.unwrap();
        let updates = open(folder.path(), ALL).await;
        assert_eq!(updates.add(vec![new(1, b"f")]).await.unwrap()[0].sequence, BEYOND + 5, "it was closed");
    }

    #[tokio::test]
    async fn a_payload_that_was_lost_is_a_gap() {
        let folder = tempfile::tempdir().unwrap();
        let updates = open(folder.path(), ALL).await;
        let large = vec![1; INLINE + 1];
        updates.add(vec![new(1, &large), new(1, &large), new(1, &large)]).await.unwrap();
        std::fs::write(file(folder.path(), NodeId(1), 1), vec![0; INLINE + 1]).unwrap();
        std::fs::remove_file(file(folder.path(), NodeId(1), 2)).unwrap();
        assert_eq!(sequences(&updates, 1, 0).await, [3]);
        std::fs::write(folder.path().join("1-99.payload"), b"of nobody").unwrap();
        drop(updates);
        open(folder.path(), ALL).await;
        assert!(!folder.path().join("1-99.payload").exists());
    }
}
