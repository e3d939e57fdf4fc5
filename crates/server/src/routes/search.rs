//! Listing and searching the children of a container, or all that lies below it.

use axum::body::Body;
use girih_engine::search::{Count, DistinctWants, Scope, SearchRequest, SortKey};
use girih_model::filter::KeyPath;
use girih_model::query;
use girih_model::wire::{BucketReply, DistinctReply, Envelope};
use girih_model::{Error, Result};

use crate::ask::Ask;
use crate::error::Reply;
use crate::links::encode;
use crate::paging::{Next, Paging};
use crate::present::View;
use crate::{envelope, sorting};

/// Deepest level that a deep search reaches.
const MAX_SEARCH_DEPTH: u64 = 64;
/// Most metadata keys of one request for distinct values.
const MAX_DISTINCT_KEYS: usize = 32;

pub(super) async fn children(ask: Ask, _: Body) -> Reply {
    View::check_inline_depth(&ask)?;
    search(ask, "search", Scope::Children).await
}

pub(super) async fn descendants(ask: Ask, _: Body) -> Reply {
    let depth = ask.query().integer("max_depth", 1..=MAX_SEARCH_DEPTH)?.unwrap_or(MAX_SEARCH_DEPTH);
    if ask.query().all("sort").any(|sort| !sort.is_empty()) {
        return Err(Error::malformed("Sorting is not supported for deep search.").into());
    }
    search(ask, "search-deep", Scope::Descendants { max_depth: u32::try_from(depth).unwrap_or(u32::MAX) }).await
}

async fn search(ask: Ask, endpoint: &str, scope: Scope) -> Reply {
    let view = View::of(&ask)?;
    let query = ask.query();
    let sort = sorting::parse(query)?;
    let custom_order = sort.iter().any(|sort| sort.key != SortKey::Created);
    let paging = Paging::of(query, custom_order)?;
    let path = ask.path()?;
    let limit = if view.only_counts() { 0 } else { paging.limit };
    let request = SearchRequest {
        scope,
        filter: query::parse(query.parameters())?,
        sort,
        page: paging.page.clone(),
        limit,
        exact_count: view.only_counts(),
        want: view.want(),
    };
    let found = ask.read(ask.engine().search(ask.caller(), &path, request)).await?;
    let next_offset = paging.offset.map(|offset| offset.saturating_add(found.entries.len() as u64));
    let next = match (found.next.filter(|_| limit > 0), next_offset.filter(|_| custom_order)) {
        (None, _) => Next::None,
        (Some(cursor), Some(offset)) => Next::Both(offset, cursor),
        (Some(cursor), None) => Next::Cursor(cursor),
    };
    let url = format!("{}/{endpoint}/{}", ask.api(), encode(&path));
    let links = paging.links(&url, query, next);
    let (Count::Exactly(count) | Count::AtLeast(count)) = found.count;
    let resources = view.resources(found.entries).await?;
    envelope::reply(&ask, &Envelope::page(resources, links, count))
}

pub(super) async fn distinct(ask: Ask, _: Body) -> Reply {
    let query = ask.query();
    let keys = query.list("metadata");
    if keys.as_ref().is_some_and(|keys| keys.len() > MAX_DISTINCT_KEYS) {
        return Err(Error::unprocessable(format!(
            "At most {MAX_DISTINCT_KEYS} metadata keys can be asked for at once."
        ))
        .into());
    }
    let parsed = keys.iter().flatten().map(|key| KeyPath::parse(key.strip_prefix("metadata.").unwrap_or(key)));
    let wants = DistinctWants {
        metadata: parsed.collect::<Result<_>>()?,
        families: query.boolean("structure_families", false)?,
        specs: query.boolean("specs", false)?,
        counts: query.boolean("counts", false)?,
    };
    let filter = query::parse(query.parameters())?;
    let path = ask.path()?;
    let found = ask.read(ask.engine().distinct(ask.caller(), &path, filter, wants)).await?;
    let reply = DistinctReply {
        metadata: keys.map(|keys| keys.into_iter().zip(found.metadata.into_iter().map(buckets)).collect()),
        structure_families: found.families.map(buckets),
        specs: found.specs.map(buckets),
    };
    envelope::reply(&ask, &reply)
}

fn buckets<T>(buckets: Vec<girih_engine::search::Bucket<T>>) -> Vec<BucketReply<T>> {
    buckets.into_iter().map(|bucket| BucketReply { value: bucket.value, count: bucket.count }).collect()
}
