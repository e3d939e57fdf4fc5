//! The members of a group as a list of URLs, which is how file systems over HTTP list a directory.

use axum::response::Response;
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use girih_engine::search::{Page, Scope, SearchRequest};
use girih_engine::{Caller, Engine, Want};
use girih_model::{Filter, NodePath, Result};

use crate::ask::Ask;
use crate::data::streaming;
use crate::error::Reply;
use crate::links::encode;

/// Members that are looked up at a time.
const PAGE: u64 = 1000;

/// Without a media type, as in the protocol: fsspec looks for links only in pages and in what says not what it is.
pub(super) async fn send(ask: &Ask, version: &str, path: &NodePath, columns: Option<Vec<String>>) -> Reply {
    let base = format!("{}/zarr/{version}", ask.visit.base.root());
    if let Some(columns) = columns {
        let paths: Vec<NodePath> = columns.iter().map(|column| path.child(column)).collect::<Result<_>>()?;
        let body = format!("[{}]", urls(&base, &paths));
        return Ok(Response::new(body.into()));
    }
    let start = Listing {
        engine: ask.engine().clone(),
        caller: ask.caller().clone(),
        path: path.clone(),
        base,
        next: Some(Page::First),
        begun: false,
    };
    let pieces = stream::try_unfold(start, |listing| listing.step());
    let end = stream::once(async { Ok(Bytes::from_static(b"]")) });
    let body = stream::once(async { Ok(Bytes::from_static(b"[")) }).chain(pieces).chain(end);
    Ok(Response::new(streaming(body.boxed())))
}

struct Listing {
    engine: Engine,
    caller: Caller,
    path: NodePath,
    base: String,
    next: Option<Page>,
    begun: bool,
}

impl Listing {
    async fn step(mut self) -> Result<Option<(Bytes, Self)>> {
        let Some(page) = self.next.take() else { return Ok(None) };
        let request = SearchRequest {
            scope: Scope::Children,
            filter: Filter::all(),
            sort: Vec::new(),
            page,
            limit: PAGE,
            exact_count: false,
            want: Want::default(),
        };
        let found = self.engine.search(&self.caller, &self.path, request).await?;
        self.next = found.next.map(Page::After);
        let paths: Vec<NodePath> = found.entries.into_iter().map(|entry| entry.path).collect();
        if paths.is_empty() {
            return Ok(None);
        }
        let comma = if self.begun { "," } else { "" };
        self.begun = true;
        Ok(Some((format!("{comma}{}", urls(&self.base, &paths)).into(), self)))
    }
}

/// In quotes, with commas between them; what has to be escaped in JSON is percent-encoded.
fn urls(base: &str, paths: &[NodePath]) -> String {
    paths.iter().map(|path| format!("\"{base}/{}\"", encode(path))).collect::<Vec<_>>().join(",")
}
