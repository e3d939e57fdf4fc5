//! Listing, searching, distinct values.

pub use girih_database::{Bucket, Count, Cursor, Distinct, DistinctWants, Page, Scope, Sort, SortKey};
use girih_model::{Filter, NodePath, Result};

use crate::{Caller, Engine, Entry, Want};

#[derive(Debug, Clone)]
pub struct SearchRequest {
    pub scope: Scope,
    pub filter: Filter,
    pub sort: Vec<Sort>,
    pub page: Page,
    /// 0 to only count.
    pub limit: u64,
    /// Count exactly, whatever it takes.
    pub exact_count: bool,
    pub want: Want,
}

#[derive(Debug, Clone)]
pub struct SearchReply {
    pub entries: Vec<Entry>,
    pub next: Option<Cursor>,
    pub count: Count,
}

impl Engine {
    pub async fn search(&self, _caller: &Caller, _path: &NodePath, _request: SearchRequest) -> Result<SearchReply> {
        unimplemented!()
    }

    pub async fn distinct(
        &self,
        _caller: &Caller,
        _path: &NodePath,
        _filter: Filter,
        _wants: DistinctWants,
    ) -> Result<Distinct> {
        unimplemented!()
    }
}
