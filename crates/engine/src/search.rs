//! Listing, searching, distinct values.

pub use girih_database::{Bucket, Count, Cursor, Distinct, DistinctWants, Page, Scope, Sort, SortKey};
use girih_model::{Error, Family, Filter, Node, NodePath, Result, Structure};

use crate::access::Permission;
use crate::engine::Mount;
use crate::find::Found;
use crate::inside::{self, cut, passes, sort_entries};
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
            Found::Part { path, dataset, .. } => inside::search(&path, &dataset, &request).await,
            Found::Node { mount, node } if matches!(node.structure, Some(Structure::Container(_))) => {
                inside::search(path, &mount.open(&node).await?, &request).await
            }
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
            if passes(&request.filter, key, &entry)? {
                entries.push(entry);
            }
        }
        sort_entries(&mut entries, &request.sort);
        let count = Count::Exactly(entries.len() as u64);
        let (entries, next) = cut(entries, &request)?;
        Ok(SearchReply { entries, next, count })
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
            Found::Part { path, dataset, .. } => inside::distinct(&path, &dataset, &filter, &wants).await,
            Found::Node { mount, node } if matches!(node.structure, Some(Structure::Container(_))) => {
                inside::distinct(path, &mount.open(&node).await?, &filter, &wants).await
            }
            Found::Node { mount, node } => mount.database().distinct(node.id, filter, wants).await,
            Found::Above { .. } => Err(Error::unsupported(
                "Distinct values are found inside one catalog; several are mounted below this container.",
            )),
        }
    }
}
