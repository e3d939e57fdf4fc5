//! Containers whose children lie in a file: listed, searched and walked as those of the catalog are.
//!
//! A child that is there but cannot be opened (a link that leads nowhere) is an empty container whose metadata say why,
//! and does not keep its siblings from being seen.

use std::cmp::Ordering;
use std::sync::Arc;

use girih_database::{Bucket, Count, Cursor, Distinct, DistinctWants, Page, Scope, Sort, SortKey};
use girih_model::filter::Facts;
use girih_model::{Error, Family, Filter, Json, NodePath, Result};
use girih_storage::Dataset;
use serde_json::{Value, json};

use crate::Entry;
use crate::find::entry_above;
use crate::search::{SearchReply, SearchRequest};

/// Children that are opened at once.
pub(crate) const BATCH: usize = 256;

/// Lists or searches the children of a container in a file.
pub(crate) async fn search(
    path: &NodePath,
    dataset: &Arc<dyn Dataset>,
    request: &SearchRequest,
) -> Result<SearchReply> {
    if request.scope != Scope::Children {
        return Err(Error::malformed("Deep search is not supported inside data-source-backed nodes."));
    }
    let mut keys = keys(path, dataset).await?;
    let by_value = request.sort.iter().any(|sort| matches!(sort.key, SortKey::Value(_)));
    if request.filter == Filter::all() && !by_value {
        // Only those of the page are looked at.
        sort_keys(&mut keys, &request.sort);
        let count = keys.len();
        let (page, next) = cut(keys, request)?;
        let entries = match request.want.only_names {
            true => page.iter().map(|key| Ok(entry_above(path.child(key)?, 0))).collect::<Result<_>>()?,
            false => entries(path, dataset, &page).await?,
        };
        return Ok(SearchReply { entries, next, count: Count::Exactly(count as u64) });
    }
    let mut found = matching(path, dataset, &keys, &request.filter).await?;
    sort_entries(&mut found, &request.sort);
    let count = Count::Exactly(found.len() as u64);
    let (entries, next) = cut(found, request)?;
    Ok(SearchReply { entries, next, count })
}

/// Distinct values among the children that pass the filter.
pub(crate) async fn distinct(
    path: &NodePath,
    dataset: &Arc<dyn Dataset>,
    filter: &Filter,
    wants: &DistinctWants,
) -> Result<Distinct> {
    let entries = matching(path, dataset, &keys(path, dataset).await?, filter).await?;
    let counts = wants.counts;
    let metadata = wants.metadata.iter().map(|key| {
        let values = entries.iter().map(|entry| key.find(&entry.metadata.to_value()).cloned().unwrap_or(Value::Null));
        let mut values: Vec<Value> = values.collect();
        values.sort_by(compare);
        buckets(values, counts)
    });
    let families = wants.families.then(|| {
        let mut families: Vec<Family> = entries.iter().map(|entry| entry.family).collect();
        families.sort();
        buckets(families, counts)
    });
    let specs = wants.specs.then(|| {
        let mut specs: Vec<_> = entries.iter().map(|entry| entry.specs.clone()).collect();
        specs.sort_by_cached_key(|specs| json!(specs).to_string());
        buckets(specs, counts)
    });
    Ok(Distinct { metadata: metadata.collect(), families, specs })
}

/// Equal neighbours as one.
fn buckets<T: PartialEq>(values: Vec<T>, counts: bool) -> Vec<Bucket<T>> {
    let mut buckets: Vec<Bucket<T>> = Vec::new();
    for value in values {
        match buckets.last_mut().filter(|last| last.value == value) {
            Some(last) => last.count = last.count.map(|count| count + 1),
            None => buckets.push(Bucket { value, count: counts.then_some(1) }),
        }
    }
    buckets
}

/// Those that a path can name.
pub(crate) async fn keys(path: &NodePath, dataset: &Arc<dyn Dataset>) -> Result<Vec<String>> {
    let mut keys = dataset.keys().await?;
    keys.retain(|key| path.child(key).is_ok());
    Ok(keys)
}

async fn matching(path: &NodePath, dataset: &Arc<dyn Dataset>, keys: &[String], filter: &Filter) -> Result<Vec<Entry>> {
    let mut matching = Vec::new();
    for some in keys.chunks(BATCH) {
        for entry in entries(path, dataset, some).await? {
            if passes(filter, entry.path.key(), &entry)? {
                matching.push(entry);
            }
        }
    }
    Ok(matching)
}

pub(crate) fn passes(filter: &Filter, key: &str, entry: &Entry) -> Result<bool> {
    let metadata = entry.metadata.to_value();
    filter.matches(&Facts { key, metadata: &metadata, specs: &entry.specs, family: entry.family })
}

/// The children that have these keys.
async fn entries(path: &NodePath, dataset: &Arc<dyn Dataset>, keys: &[String]) -> Result<Vec<Entry>> {
    let mut entries = Vec::with_capacity(keys.len());
    for some in keys.chunks(BATCH) {
        for (key, child) in some.iter().zip(open_children(dataset, some).await?) {
            let path = path.child(key)?;
            entries.push(match child {
                Ok(child) => entry(path, &child).await,
                Err(e) => broken(path, &e),
            });
        }
    }
    Ok(entries)
}

/// Children that are listed, in the order of their keys.
pub(crate) async fn open_children(
    dataset: &Arc<dyn Dataset>,
    keys: &[String],
) -> Result<Vec<Result<Arc<dyn Dataset>>>> {
    let gone = |key: &String| Error::gone(format!("{key:?} is not there any more."));
    let children = dataset.children(keys).await?;
    Ok(keys.iter().zip(children).map(|(key, child)| child.and_then(|child| child.ok_or_else(|| gone(key)))).collect())
}

/// Something in a file, as its callers see it.
pub(crate) async fn entry(path: NodePath, dataset: &Arc<dyn Dataset>) -> Entry {
    let structure = dataset.structure();
    let family = structure.family();
    let count = match family {
        Family::Container => dataset.keys().await.map_or(0, |keys| keys.len() as u64),
        _ => 0,
    };
    let sorting = if family == Family::Container { entry_above(NodePath::root(), 0).sorting } else { Vec::new() };
    Entry {
        path,
        family,
        metadata: dataset.metadata(),
        specs: dataset.specs(),
        structure: Some(structure),
        count,
        sorting,
        access_tags: None,
        data_sources: None,
    }
}

pub(crate) fn broken(path: NodePath, e: &Error) -> Entry {
    Entry { metadata: reason(e), ..entry_above(path, 0) }
}

/// Why something cannot be opened, as metadata.
pub(crate) fn reason(e: &Error) -> Json {
    Json::object().with_error(e)
}

/// The wanted page of what is all at hand.
pub(crate) fn cut<T>(all: Vec<T>, request: &SearchRequest) -> Result<(Vec<T>, Option<Cursor>)> {
    let start = match &request.page {
        Page::First => 0,
        Page::Offset(offset) => usize::try_from(*offset).unwrap_or(usize::MAX),
        Page::After(cursor) => {
            cursor.0.parse().map_err(|_| Error::malformed("This page[cursor] is not of this list."))?
        }
    };
    let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
    let end = start.saturating_add(limit);
    let more = end < all.len() && limit > 0;
    Ok((all.into_iter().skip(start).take(limit).collect(), more.then(|| Cursor(end.to_string()))))
}

fn sort_keys(keys: &mut [String], sort: &[Sort]) {
    for sort in sort.iter().rev() {
        match (&sort.key, sort.descending) {
            (SortKey::Key, false) => keys.sort(),
            (SortKey::Key, true) => keys.sort_by(|a, b| b.cmp(a)),
            (SortKey::Created, true) => keys.reverse(),
            (SortKey::Created, false) | (SortKey::Value(_), _) => {}
        }
    }
}

/// Stable, so that the first sort key counts most. What has no value comes last.
pub(crate) fn sort_entries(entries: &mut [Entry], sort: &[Sort]) {
    for sort in sort.iter().rev() {
        let order = |order: Ordering| if sort.descending { order.reverse() } else { order };
        match &sort.key {
            SortKey::Key => entries.sort_by(|a, b| order(a.path.key().cmp(b.path.key()))),
            SortKey::Created if sort.descending => entries.reverse(),
            SortKey::Created => {}
            SortKey::Value(key) => {
                let value = |entry: &Entry| key.find(&entry.metadata.to_value()).cloned();
                let mut valued: Vec<_> = entries.iter().map(|entry| (value(entry), entry.clone())).collect();
                valued.sort_by(|(a, _), (b, _)| match (a, b) {
                    (Some(a), Some(b)) => order(compare(a, b)),
                    (a, b) => b.is_some().cmp(&a.is_some()),
                });
                valued.into_iter().zip(entries.iter_mut()).for_each(|((_, sorted), entry)| *entry = sorted);
            }
        }
    }
}

/// Null, truth values, numbers, texts, the rest by its text.
fn compare(a: &Value, b: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) | Value::Object(_) => 4,
    };
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
        },
        (Value::String(a), Value::String(b)) => a.cmp(b),
        _ => rank(a).cmp(&rank(b)).then_with(|| a.to_string().cmp(&b.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_all_kinds_have_an_order() {
        let mut values = vec![json!("b"), json!(2.5), json!([1]), json!(null), json!(true), json!(2), json!("a")];
        values.sort_by(compare);
        assert_eq!(json!(values), json!([null, true, 2, 2.5, "a", "b", [1]]));
        let counted: Vec<_> = buckets(vec![1, 1, 2], true).into_iter().map(|b| (b.value, b.count)).collect();
        assert_eq!(counted, [(1, Some(2)), (2, Some(1))]);
    }
}
