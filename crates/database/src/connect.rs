//! Opening, making and upgrading the database file.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use girih_model::{Error, Result, ResultExt};
use serde::Serialize;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};
use tokio::sync::Semaphore;

use crate::Database;
use crate::epoch::Epoch;
use crate::hand::Hand;
use crate::reserve::Reserve;
use crate::transaction::Writer;

/// `girh` in ASCII: marks a database file as ours (`PRAGMA application_id`).
const APPLICATION_ID: i64 = 0x6769_7268;

/// In order; the n-th brings the schema to version n. A released one never changes.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/001-catalog.sql"),
    include_str!("../migrations/002-write-keys.sql"),
    include_str!("../migrations/003-tally.sql"),
    include_str!("../migrations/004-asset-runs.sql"),
    include_str!("../migrations/005-no-statistics.sql"),
    include_str!("../migrations/006-outbox.sql"),
];

/// The schema of this version of girih.
pub const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// Pages that a connection keeps in memory, in KiB.
pub(crate) const CACHE: i64 = 16_000;
const READERS: u32 = 8;
/// Searches at a time: look-ups never wait behind them.
const SEARCHES: usize = 5;
/// A question that takes longer is stopped.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// Instructions of SQLite's virtual machine between two looks at the clock.
const STEPS_PER_LOOK: i32 = 50_000;

/// What to do when there is no database yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    Create,
    Refuse,
}

/// What `girih catalog info` tells.
#[derive(Debug, Clone, Serialize)]
pub struct Info {
    pub file: PathBuf,
    pub schema_version: i64,
    pub current_schema_version: i64,
    /// Nodes below the root.
    pub nodes: i64,
    /// Bytes of the database file.
    pub file_size: u64,
}

/// What a database file is to us.
enum State {
    Missing,
    /// An empty file or an empty database.
    Blank,
    Ours {
        version: i64,
    },
    Foreign,
}

impl Database {
    /// Opens the database of a URI (`sqlite:///path`, or a plain path), which must have this version's schema.
    ///
    /// # Errors
    /// `NotFound` when there is none, `Conflict` when it is older, newer or not girih's; the message names the remedy.
    pub async fn open(uri: &str, missing: Missing) -> Result<Self> {
        let (path, temporary) = match in_memory(uri) {
            true => {
                let folder = tempfile::tempdir().or_error(|e| cannot_open(Path::new(uri), e))?;
                (folder.path().join("catalog.db"), Some(Arc::new(folder)))
            }
            false => (path_of(uri)?, None),
        };
        let missing = if temporary.is_some() { Missing::Create } else { missing };
        let epoch = Epoch::of(&path);
        let was_open = epoch.is_open();
        match (state(&path).await?, missing) {
            (State::Ours { version }, _) if version == SCHEMA_VERSION => {}
            (State::Ours { version }, _) => return Err(wrong_version(&path, version)),
            (State::Foreign, _) => return Err(foreign(&path)),
            (State::Missing | State::Blank, Missing::Create) => migrate(&path, true).await?,
            (State::Missing | State::Blank, Missing::Refuse) => {
                return Err(Error::not_found(format!(
                    "There is no catalog at {0}. Create it with: girih catalog init {0}",
                    path.display()
                )));
            }
        }
        let open = |readers: bool, count: u32| {
            let options = options(&path);
            let options = if readers { options.pragma("query_only", "ON") } else { options };
            SqlitePoolOptions::new()
                .max_connections(count)
                .min_connections(u32::from(!readers))
                // A connection to a file does not go stale, and what it has prepared and cached is worth keeping.
                .idle_timeout(None)
                .max_lifetime(None)
                .acquire_timeout(Duration::from_secs(30))
                .after_connect(move |db, _| Box::pin(async move { if readers { limit(db).await } else { Ok(()) } }))
                .before_acquire(move |db, _| {
                    Box::pin(async move {
                        if readers {
                            limit(db).await?;
                        }
                        Ok(true)
                    })
                })
                .connect_with(options)
        };
        let cannot = |e: &dyn std::fmt::Display| cannot_open(&path, e);
        let writer = open(false, 1).await.or_error(cannot)?;
        let readers = open(true, READERS).await.or_error(cannot)?;
        let health = open(true, 1).await.or_error(cannot)?;
        let searches = Arc::new(Semaphore::new(SEARCHES));
        let reserve = Arc::new(Reserve::beside(&path));
        let hand = Arc::new(Hand::new(&path));
        let database = Self {
            writer: Writer::new(writer, hand.clone()),
            hand,
            readers,
            health,
            searches,
            paths: Default::default(),
            reserve,
            epoch: Arc::new(epoch),
            file: Arc::new(path),
            _temporary: temporary,
        };
        database.resume_epoch(was_open).await?;
        Ok(database)
    }

    /// Makes a new catalog. False when there is one already and `if_missing`.
    ///
    /// # Errors
    /// `Conflict` when there is one already, or a file that is not girih's.
    pub async fn init(uri: &str, if_missing: bool) -> Result<bool> {
        let path = path_of(uri)?;
        match state(&path).await? {
            State::Missing | State::Blank => migrate(&path, true).await.map(|()| true),
            State::Ours { .. } if if_missing => Ok(false),
            State::Ours { .. } => Err(Error::conflict(format!("There is a catalog at {} already.", path.display()))),
            State::Foreign => Err(foreign(&path)),
        }
    }

    /// Brings the schema to this version; returns the version before.
    pub async fn upgrade(uri: &str) -> Result<i64> {
        let path = path_of(uri)?;
        match state(&path).await? {
            State::Ours { version } if version <= SCHEMA_VERSION => {
                migrate(&path, false).await?;
                Ok(version)
            }
            State::Ours { version } => Err(wrong_version(&path, version)),
            State::Foreign => Err(foreign(&path)),
            State::Missing | State::Blank => {
                Err(Error::not_found(format!("There is no catalog at {}.", path.display())))
            }
        }
    }

    pub async fn info(uri: &str) -> Result<Info> {
        let path = path_of(uri)?;
        let version = match state(&path).await? {
            State::Ours { version } => version,
            State::Foreign => return Err(foreign(&path)),
            State::Missing | State::Blank => {
                return Err(Error::not_found(format!("There is no catalog at {}.", path.display())));
            }
        };
        let mut db = connect(&path).await?;
        let nodes: i64 = sqlx::query_scalar("SELECT count(*) - 1 FROM node")
            .fetch_one(&mut db)
            .await
            .internal(|| "counting nodes".into())?;
        db.close().await.internal(|| "closing the catalog".into())?;
        let file_size = std::fs::metadata(&path).map(|m| m.len()).unwrap_or_default();
        Ok(Info { file: path, schema_version: version, current_schema_version: SCHEMA_VERSION, nodes, file_size })
    }

    /// Finishes what is running and closes the files.
    pub async fn close(&self) {
        if let Err(error) = self.finish_epoch().await {
            tracing::warn!(%error, "could not record that versions of data may be wrong: copies that callers keep may be stale");
        }
        self.health.close().await;
        self.readers.close().await;
        self.writer.close().await;
        self.epoch.closed().await;
    }

    /// A name beside the database file: `catalog.db` and `updates` give `catalog.db-updates`.
    pub fn beside(&self, what: &str) -> PathBuf {
        let mut name = self.file.as_os_str().to_owned();
        name.push("-");
        name.push(what);
        name.into()
    }

    /// Answers when the database does.
    pub async fn ready(&self) -> Result<()> {
        let one: std::result::Result<i64, _> = sqlx::query_scalar("SELECT 1").fetch_one(&self.health).await;
        one.map(drop).internal(|| "asking the database for a sign of life".into())
    }
}

/// A catalog that is to be forgotten. SQLite's memory databases belong to one connection, so ours
/// lies in a temporary folder for as long as it is open.
fn in_memory(uri: &str) -> bool {
    let rest = uri.split_once(':').filter(|(scheme, _)| scheme.starts_with("sqlite")).map(|(_, rest)| rest);
    rest.is_some_and(|rest| {
        let name = rest.trim_start_matches('/');
        name.is_empty() || name == ":memory:" || name.starts_with("file::memory:") || name.contains("mode=memory")
    })
}

/// The file that a URI names: `sqlite:///relative`, `sqlite:////absolute`, also with a driver
/// (`sqlite+aiosqlite:`), or a plain path.
pub(crate) fn path_of(uri: &str) -> Result<PathBuf> {
    let Some((scheme, rest)) = uri.split_once(':').filter(|(scheme, _)| scheme.len() > 1 && !scheme.contains('/'))
    else {
        return Ok(PathBuf::from(uri));
    };
    match scheme.split('+').next() {
        Some("sqlite") => {
            let path = rest.strip_prefix("///").unwrap_or(rest.trim_start_matches("//"));
            let path = path.split('?').next().unwrap_or_default();
            if path.is_empty() || in_memory(uri) {
                return Err(Error::malformed(format!("{uri:?} names no file. Use sqlite:///path.")));
            }
            Ok(PathBuf::from(path))
        }
        Some("postgresql" | "postgres") => {
            Err(Error::malformed("Catalogs in PostgreSQL are not supported yet. Use sqlite:///path."))
        }
        _ => Err(Error::malformed(format!("{uri:?} is not a catalog that girih can open. Use sqlite:///path."))),
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(10))
        .statement_cache_capacity(256)
        .row_buffer_size(1024)
        .pragma("cache_size", format!("-{CACHE}"))
        .with_regexp()
        .disable_statement_logging()
}

/// From now on, what this connection does ends after a while.
async fn limit(db: &mut SqliteConnection) -> sqlx::Result<()> {
    let deadline = Instant::now() + TIME_LIMIT;
    db.lock_handle().await?.set_progress_handler(STEPS_PER_LOOK, move || Instant::now() < deadline);
    Ok(())
}

async fn connect(path: &Path) -> Result<SqliteConnection> {
    options(path).connect().await.or_error(|e| cannot_open(path, e))
}

async fn state(path: &Path) -> Result<State> {
    match std::fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(State::Missing),
        Err(e) => return Err(cannot_open(path, &e)),
        Ok(file) if file.is_dir() => {
            return Err(Error::malformed(format!("{} is a directory, not a catalog file.", path.display())));
        }
        Ok(file) if file.len() == 0 => return Ok(State::Blank),
        Ok(_) => {}
    }
    // Without changing the journal mode of a file that may be another program's.
    let plain = SqliteConnectOptions::from_str("sqlite:").unwrap_or_default().filename(path);
    let mut db = match plain.disable_statement_logging().connect().await {
        Ok(db) => db,
        Err(e) => return Err(cannot_open(path, &e)),
    };
    let pragma = |name: &'static str| sqlx::query(name);
    let id = pragma("PRAGMA application_id").fetch_one(&mut db).await;
    let id = match id {
        Ok(row) => row.get::<i64, _>(0),
        Err(sqlx::Error::Database(e)) if e.code().as_deref() == Some("26") => return Ok(State::Foreign),
        Err(e) => return Err(cannot_open(path, &e)),
    };
    let version: i64 =
        pragma("PRAGMA user_version").fetch_one(&mut db).await.or_error(|e| cannot_open(path, e))?.get(0);
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut db)
        .await
        .or_error(|e| cannot_open(path, e))?;
    db.close().await.or_error(|e| cannot_open(path, e))?;
    Ok(match (id, tables) {
        (APPLICATION_ID, _) => State::Ours { version },
        (0, 0) => State::Blank,
        _ => State::Foreign,
    })
}

/// Applies what is missing, each migration in a transaction of its own.
async fn migrate(path: &Path, create: bool) -> Result<()> {
    if create && let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).or_error(|e| cannot_open(path, e))?;
    }
    let mut db = options(path).create_if_missing(create).connect().await.or_error(|e| cannot_open(path, e))?;
    let cannot = |e: &dyn std::fmt::Display| cannot_open(path, e);
    loop {
        // Another process may be at it as well: ask again under the lock.
        let mut tx = db.begin_with("BEGIN IMMEDIATE").await.or_error(cannot)?;
        let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *tx).await.or_error(cannot)?;
        let Some(migration) = usize::try_from(version).ok().and_then(|n| MIGRATIONS.get(n)) else {
            tx.rollback().await.or_error(cannot)?;
            // Otherwise it would be closed some time later, and the database not be when everybody else has closed it.
            return db.close().await.or_error(cannot);
        };
        sqlx::raw_sql(*migration).execute(&mut *tx).await.or_error(cannot)?;
        let mark = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {};", version + 1);
        sqlx::raw_sql(sqlx::AssertSqlSafe(mark)).execute(&mut *tx).await.or_error(cannot)?;
        tx.commit().await.or_error(cannot)?;
    }
}

fn cannot_open(path: &Path, why: &(impl std::fmt::Display + ?Sized)) -> Error {
    Error::internal(format!("Cannot open the catalog {}: {why}", path.display()))
}

fn wrong_version(path: &Path, version: i64) -> Error {
    let path = path.display();
    Error::conflict(if version < SCHEMA_VERSION {
        format!(
            "The catalog {path} has the older schema {version}; this girih needs {SCHEMA_VERSION}. Back it up, then: girih catalog upgrade {path}"
        )
    } else {
        format!(
            "The catalog {path} has the schema {version} of a newer girih; this one knows {SCHEMA_VERSION}. Use the newer girih."
        )
    })
}

fn foreign(path: &Path) -> Error {
    Error::conflict(format!(
        "{0} is not a girih catalog. Choose another file, and create it with: girih catalog init FILE",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use girih_model::ErrorKind;

    use super::*;

    #[test]
    fn uris_name_files() {
        for (uri, path) in [
            ("sqlite:///rel/c.db", "rel/c.db"),
            ("sqlite:////abs/c.db", "/abs/c.db"),
            ("sqlite+aiosqlite:////abs/c.db?x=1", "/abs/c.db"),
            ("plain.db", "plain.db"),
            ("/abs/plain.db", "/abs/plain.db"),
        ] {
            assert_eq!(path_of(uri).unwrap(), Path::new(path), "{uri}");
        }
        for uri in ["postgresql://host/db", "sqlite://", "sqlite:///:memory:", "http://x"] {
            assert!(path_of(uri).is_err(), "{uri}");
        }
    }

    #[tokio::test]
    async fn a_memory_catalog_works_and_leaves_nothing() {
        for uri in ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&cache=shared&uri=true"] {
            let database = Database::open(uri, Missing::Refuse).await.unwrap();
            database.ready().await.unwrap();
            let folder = database._temporary.as_ref().unwrap().path().to_owned();
            database.close().await;
            drop(database);
            assert!(!folder.exists(), "{uri}");
        }
    }

    #[tokio::test]
    async fn foreign_newer_and_missing_databases_are_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let refused = async |uri: &str| Database::open(uri, Missing::Refuse).await.unwrap_err();
        let missing = refused(&file("none.db")).await;
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert!(missing.message().contains("girih catalog init"));

        std::fs::write(file("text.db"), "this is a text file, and quite long enough to be looked at").unwrap();
        assert!(refused(&file("text.db")).await.message().contains("not a girih catalog"));

        let other = SqliteConnectOptions::new().filename(file("other.db")).create_if_missing(true);
        let mut db = other.connect().await.unwrap();
        sqlx::raw_sql("CREATE TABLE nodes (id INTEGER)").execute(&mut db).await.unwrap();
        db.close().await.unwrap();
        assert!(refused(&file("other.db")).await.message().contains("not a girih catalog"));

        assert!(Database::init(&file("new.db"), false).await.unwrap());
        assert!(Database::init(&file("new.db"), false).await.is_err());
        assert!(!Database::init(&file("new.db"), true).await.unwrap());
        let mut db = connect(Path::new(&file("new.db"))).await.unwrap();
        sqlx::raw_sql("PRAGMA user_version = 99").execute(&mut db).await.unwrap();
        db.close().await.unwrap();
        assert!(refused(&file("new.db")).await.message().contains("newer girih"));
    }
}
