//! The house itself: one method per wish of a caller. HTTP, the CLI and Python's in-process server
//! all come here; access, order of effects and limits are decided here and nowhere else.
//!
//! Reading: `find` (one query) → access → `storage.open` → stream. Writing: find → access → decode
//! and check (a bad body stops here, nothing has happened) → store durably → record in the catalog →
//! answer.

pub mod access;
pub mod asset;
pub mod bulk;
pub mod catalog;
pub mod check;
pub mod create;
pub mod delete;
pub mod export;
pub mod find;
mod inside;
pub mod live;
pub mod read;
pub mod register;
pub mod search;
pub mod settings;
pub mod update;
pub mod watch;
pub mod write;
pub mod zarr;

mod engine;
mod locks;

pub use access::{Caller, Permission};
pub use engine::{Catalog, Engine, EngineOptions, Mount};
pub use find::{Entry, Want};
pub use girih_database::Retention;
pub use settings::{CatalogSettings, Settings};

/// Puts a body that has to be read again, or as a whole, into a file without a name.
pub use girih_storage::place::scratch::spool;
/// The door has blocking work too (its content codings); all of it runs in one bounded pool.
pub use girih_storage::pool::blocking;
/// Then callers who do not take their answers must go.
pub use girih_storage::pool::is_short as is_short_of_memory;
