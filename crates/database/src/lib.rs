//! The catalog: the only crate that knows SQL.
//!
//! One concrete [`Database`]. Writers queue for one connection, readers have a pool of their own
//! (docs/decisions/002-one-writer.md). Every metadata value is in an index
//! (docs/decisions/003-values-in-an-index.md).

mod bulk;
mod check;
mod connect;
mod delete;
mod epoch;
mod fault;
mod hand;
mod leaf;
mod nodes;
mod outbox;
mod reserve;
mod revisions;
mod runs;
mod search;
mod sources;
mod transaction;
mod updates;

pub use bulk::{Bulk, BulkNode, Existing, Outcome};
pub use check::{Known, Miscounted};
pub use connect::{Info, Missing, SCHEMA_VERSION};
pub use delete::Deleted;
pub use nodes::{Change, Changed, Created, NewNode};
pub use outbox::News;
pub use revisions::RevisionPage;
pub use search::{Bucket, Count, Cursor, Distinct, DistinctWants, Page, Scope, Search, SearchPage, Sort, SortKey};
pub use updates::{BEYOND, NewUpdate, Retention, Update, Updates};

use std::path::PathBuf;
use std::sync::Arc;

use girih_model::NodeId;

use sqlx::SqlitePool;
use tokio::sync::Semaphore;

/// Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Database {
    writer: transaction::Writer,
    /// Nodes that need not be looked up.
    hand: Arc<hand::Hand>,
    readers: SqlitePool,
    /// A connection that nobody else waits for.
    health: SqlitePool,
    /// Turns of those who search.
    searches: Arc<Semaphore>,
    paths: Arc<leaf::KeyPaths>,
    reserve: Arc<reserve::Reserve>,
    epoch: Arc<epoch::Epoch>,
    file: Arc<PathBuf>,
    /// Goes when the last one who uses it does.
    _temporary: Option<Arc<tempfile::TempDir>>,
}

/// Microseconds since 1970-01-01 UTC.
fn now() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

#[cfg(test)]
mod tests;
