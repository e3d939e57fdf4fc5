//! Bytes to data and back: the only crate that knows file formats and the places where files lie.
//!
//! - [`format::FORMATS`] lists every media type, one file each.
//! - [`place`] knows the configured directories and lets nothing outside them be touched.
//! - [`Storage`] joins the two: it opens, creates and removes what a data source names.

mod buffers;
#[cfg(test)]
pub(crate) mod conformance;
pub mod dataset;
pub mod format;
mod growing;
pub mod item;
pub mod place;
pub mod pool;
mod storage;
pub mod survey;
pub mod variables;

pub use dataset::{Dataset, StoredBytes, Write, WriteId};
pub use format::{EncodeOptions, Encoded, FORMATS, Files, Format, Inspected};
pub use place::{Directory, Location, Places};
pub use storage::{Storage, StorageOptions, default_media_type};
