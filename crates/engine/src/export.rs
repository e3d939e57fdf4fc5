//! Data out of the house, in the format of choice.

use std::collections::BTreeMap;

use girih_model::{Family, NodePath, Result, Selection};
use girih_storage::Encoded;

use crate::{Caller, Engine};

/// Media types that the caller would take, best first, as the door has understood `Accept` or `?format=`.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// `?format=`: media types or extensions; the first that the family can be exported to.
    Format(Vec<MediaRange>),
    /// `Accept`, sorted by preference.
    Accept(Vec<MediaRange>),
}

/// `text/csv;header=absent`, `image/*`, `*/*`, or an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaRange {
    pub name: String,
    pub parameters: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
pub struct ExportRequest {
    pub families: Vec<Family>,
    pub selection: Selection,
    /// What the caller believes the result's shape to be.
    pub expected_shape: Option<Vec<u64>>,
    pub wanted: Wanted,
    /// Content codings in which stored bytes may go out untouched.
    pub accept_encoding: Vec<String>,
    /// `vmin`, `vmax`, `cmap`, `log`.
    pub query: BTreeMap<String, String>,
    /// ETags (without quotes) that the caller has; `*` matches all.
    pub if_none_match: Vec<String>,
}

pub enum Exported {
    /// The caller's copy is current.
    NotModified { etag: String },
    Body {
        encoded: Encoded,
        /// Without quotes; absent where it cannot be told cheaply.
        etag: Option<String>,
        /// Set when `encoded` is already in this content coding.
        content_encoding: Option<&'static str>,
    },
}

impl Engine {
    /// Reads and encodes the selected part. The cheap checks (family, shape, media type, size limit, ETag) come before any byte is read.
    pub async fn export(&self, _caller: &Caller, _path: &NodePath, _request: ExportRequest) -> Result<Exported> {
        unimplemented!()
    }

    /// For each family that can be exported: its media types, the default first.
    pub fn formats(&self) -> BTreeMap<Family, Vec<&'static str>> {
        unimplemented!()
    }

    /// For each family: media type to the short names that `?format=` takes.
    pub fn aliases(&self) -> BTreeMap<Family, BTreeMap<&'static str, Vec<&'static str>>> {
        unimplemented!()
    }
}
