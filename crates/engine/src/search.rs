//! Listing, searching, distinct values.

pub use girih_database::{Bucket, Count, Cursor, Distinct, DistinctWants, Page, Scope, Sort, SortKey};
use girih_model::{Error, Family, Filter, Node, NodePath, Result};

use crate::access::Permission;
use crate::engine::Mount;
use crate::find::Found;
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
    pub async fn search(&self, caller: &Caller, path: &NodePath, request: SearchRequest) -> Result<SearchReply> {
        caller.require(&[Permission::ReadMetadata])?;
        let found = self.find(path).await?;
        found.must_be(&[Family::Container])?;
        match found {
            Found::Above { path, children } => self.search_above(caller, &path, &children, request).await,
            Found::Part { .. } => Err(inside_data("Search")),
            Found::Node { mount, node } => self.search_catalog(&mount, &node, request).await,
        }
    }

    async fn search_catalog(&self, mount: &Mount, node: &Node, request: SearchRequest) -> Result<SearchReply> {
        let search = girih_database::Search {
            scope: request.scope,
            filter: request.filter,
            sort: request.sort,
            page: request.page,
            limit: request.limit,
            count_limit: self.inner.options.exact_count_limit.filter(|_| !request.exact_count),
        };
        let page = mount.database().search(node.id, search).await?;
        let mut sources = if request.want.data_sources {
            let ids: Vec<_> = page.nodes.iter().map(|node| node.id).collect();
            Some(mount.database().data_sources_of(&ids).await?.into_iter())
        } else {
            None
        };
        let entries = page.nodes.into_iter().map(|node| {
            let data_sources = sources.as_mut().map(|all| all.next().unwrap_or_default());
            Entry { data_sources, ..mount.entry(node) }
        });
        Ok(SearchReply { entries: entries.collect(), next: page.next, count: page.count })
    }

    /// The few containers above the mount points are listed from the configuration.
    async fn search_above(
        &self,
        caller: &Caller,
        path: &NodePath,
        children: &[String],
        request: SearchRequest,
    ) -> Result<SearchReply> {
        if request.scope != Scope::Children {
            return Err(Error::unsupported(
                "Deep search starts inside one catalog; several are mounted below this container. Search each of them.",
            ));
        }
        let mut entries = Vec::new();
        for key in children {
            let entry = Box::pin(self.entry(caller, &path.child(key)?, Want::default())).await?;
            if request.filter.matches(&girih_model::filter::Facts {
                key,
                metadata: &entry.metadata.to_value(),
                specs: &entry.specs,
                family: entry.family,
            })? {
                entries.push(entry);
            }
        }
        sort_entries(&mut entries, &request.sort);
        let count = Count::Exactly(entries.len() as u64);
        let start = match &request.page {
            Page::First => 0,
            Page::Offset(offset) => usize::try_from(*offset).unwrap_or(usize::MAX),
            Page::After(cursor) => {
                cursor.0.parse().map_err(|_| Error::malformed("This page[cursor] is not of this list."))?
            }
        };
        let end = start.saturating_add(usize::try_from(request.limit).unwrap_or(usize::MAX));
        let more = end < entries.len() && request.limit > 0;
        let page = entries.into_iter().skip(start).take(end - start).collect();
        Ok(SearchReply { entries: page, next: more.then(|| Cursor(end.to_string())), count })
    }

    pub async fn distinct(
        &self,
        caller: &Caller,
        path: &NodePath,
        filter: Filter,
        wants: DistinctWants,
    ) -> Result<Distinct> {
        caller.require(&[Permission::ReadMetadata])?;
        let found = self.find(path).await?;
        found.must_be(&[Family::Container])?;
        match found {
            Found::Node { mount, node } => mount.database().distinct(node.id, filter, wants).await,
            Found::Above { .. } => Err(Error::unsupported(
                "Distinct values are found inside one catalog; several are mounted below this container.",
            )),
            Found::Part { .. } => Err(inside_data("Distinct")),
        }
    }
}

fn inside_data(what: &str) -> Error {
    Error::malformed(format!("{what} is not supported inside data-source-backed nodes."))
}

/// By key where that is asked for; the containers above the mount points have no metadata to sort by.
fn sort_entries(entries: &mut [Entry], sort: &[Sort]) {
    for sort in sort.iter().rev() {
        match (&sort.key, sort.descending) {
            (SortKey::Key, false) => entries.sort_by(|a, b| a.path.key().cmp(b.path.key())),
            (SortKey::Key, true) => entries.sort_by(|a, b| b.path.key().cmp(a.path.key())),
            (SortKey::Created, true) => entries.reverse(),
            (SortKey::Created, false) | (SortKey::Value(_), _) => {}
        }
    }
}
