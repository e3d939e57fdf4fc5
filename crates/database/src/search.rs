//! Searching: filters to SQL, sort orders to keyset cursors.

use girih_model::filter::KeyPath;
use girih_model::{Family, Filter, Node, NodeId, Result, Spec};
use serde_json::Value;

use crate::Database;

/// Which nodes are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Children,
    /// All below, down to this many levels.
    Descendants {
        max_depth: u32,
    },
}

#[derive(Debug, Clone)]
pub struct Search {
    pub scope: Scope,
    pub filter: Filter,
    pub sort: Vec<Sort>,
    pub page: Page,
    /// At most this many nodes; 0 to only count.
    pub limit: u64,
    /// Count exactly up to here; beyond, a lower bound is enough. `None`: exactly.
    pub count_limit: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    pub key: SortKey,
    pub descending: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SortKey {
    /// The order of creation; only as the last key.
    Created,
    /// The node's key, by code point.
    Key,
    /// A metadata value: numbers, then texts, booleans, lists and objects, null; nodes without the
    /// value come last, whether ascending or descending.
    Value(KeyPath),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    First,
    Offset(u64),
    After(Cursor),
}

/// Where a page ended, opaque to the caller. Works for every sort order; a cursor of another order is refused (`Malformed`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub String);

#[derive(Debug, Clone)]
pub struct SearchPage {
    pub nodes: Vec<Node>,
    /// Present when there are more.
    pub next: Option<Cursor>,
    pub count: Count,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    Exactly(u64),
    AtLeast(u64),
}

/// What `distinct` is asked to tell.
#[derive(Debug, Clone, Default)]
pub struct DistinctWants {
    pub metadata: Vec<KeyPath>,
    pub families: bool,
    pub specs: bool,
    pub counts: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Distinct {
    /// In the order of the request.
    pub metadata: Vec<Vec<Bucket<Value>>>,
    pub families: Option<Vec<Bucket<Family>>>,
    pub specs: Option<Vec<Bucket<Vec<Spec>>>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Bucket<T> {
    pub value: T,
    pub count: Option<u64>,
}

#[allow(unused_variables)]
impl Database {
    pub async fn search(&self, parent: NodeId, search: Search) -> Result<SearchPage> {
        unimplemented!()
    }

    /// Values (in sort order; missing counts as null) among the children of `parent` that pass the filter.
    pub async fn distinct(&self, parent: NodeId, filter: Filter, wants: DistinctWants) -> Result<Distinct> {
        unimplemented!()
    }
}
