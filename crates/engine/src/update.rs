//! Metadata, specs and their history.

use girih_model::node::Revision;
use girih_model::{Json, NodePath, Result, Spec};
use serde_json::Value;

use crate::{Caller, Engine, Entry};

/// New values; `None` keeps what is there.
#[derive(Debug, Clone, Default)]
pub struct Replace {
    pub metadata: Option<Json>,
    pub specs: Option<Vec<Spec>>,
    pub access_tags: Option<Vec<String>>,
}

/// How patches are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchKind {
    /// RFC 6902.
    Json,
    /// RFC 7396.
    Merge,
}

#[derive(Debug, Clone)]
pub struct Patch {
    pub kind: PatchKind,
    pub metadata: Option<Value>,
    pub specs: Option<Value>,
    pub access_tags: Option<Value>,
}

impl Engine {
    pub async fn replace_metadata(
        &self,
        _caller: &Caller,
        _path: &NodePath,
        _new: Replace,
        _keep_revision: bool,
    ) -> Result<Entry> {
        unimplemented!()
    }

    /// # Errors
    /// `Unprocessable` when the patch does not apply, or its result is not an object, or the specs are not unique.
    pub async fn patch_metadata(
        &self,
        _caller: &Caller,
        _path: &NodePath,
        _patch: Patch,
        _keep_revision: bool,
    ) -> Result<Entry> {
        unimplemented!()
    }

    /// A page of revisions, oldest first, and how many there are.
    pub async fn revisions(
        &self,
        _caller: &Caller,
        _path: &NodePath,
        _offset: u64,
        _limit: u64,
    ) -> Result<(Vec<Revision>, u64)> {
        unimplemented!()
    }

    pub async fn delete_revision(&self, _caller: &Caller, _path: &NodePath, _number: i64) -> Result<()> {
        unimplemented!()
    }
}
