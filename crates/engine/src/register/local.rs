//! A catalog in this process.

use async_trait::async_trait;
use girih_model::{ErrorKind, Family, Management, NodePath, Result};

use super::Target;
use crate::bulk::{BulkItem, BulkItems};
use crate::find::Want;
use crate::search::{Page, Scope, SearchRequest};
use crate::update::Replace;
use crate::{Caller, Engine};

/// Keys that are looked up at a time.
const PAGE: u64 = 1000;

/// A catalog of this engine, used in a caller's name.
pub struct Local {
    pub engine: Engine,
    pub caller: Caller,
}

#[async_trait]
impl Target for Local {
    async fn create(&self, items: Vec<BulkItem>) -> Result<Vec<Result<()>>> {
        let mut made: Vec<Result<()>> = items.iter().map(|_| Ok(())).collect();
        let items: BulkItems = Box::new((0u64..).zip(items.into_iter().map(Ok)));
        let reply = self.engine.create_bulk(&self.caller, &NodePath::root(), items, false).await?;
        for failure in reply.failures {
            if let Some(made) = usize::try_from(failure.line).ok().and_then(|line| made.get_mut(line)) {
                *made = Err(failure.error);
            }
        }
        Ok(made)
    }

    async fn replace(&self, item: BulkItem) -> Result<()> {
        let BulkItem { parent, create } = item;
        let path = parent.child(create.key.as_deref().unwrap_or_default())?;
        let there = self.engine.entry(&self.caller, &path, Want { data_sources: true, ..Want::default() }).await?;
        let sources = there.data_sources.unwrap_or_default();
        let (old, new) = match (sources.first(), create.data_sources.first()) {
            // A container stays what it is.
            (None, None) if there.family == Family::Container => return Ok(()),
            (Some(old), Some(new)) => (old, new),
            _ => return self.put_anew(&path, &parent, create).await,
        };
        // A frame that joins among the others moves those after it.
        let begins_alike = old.assets.len() <= new.assets.len()
            && old.assets.iter().zip(&new.assets).all(|(old, new)| old.data_uri == new.data_uri);
        let is_same_kind = old.management == Management::External
            && old.mimetype == new.mimetype
            && old.parameters == new.parameters
            && there.family == create.family
            && begins_alike;
        if !is_same_kind {
            return self.put_anew(&path, &parent, create).await;
        }
        let mut source = new.clone();
        source.id = old.id;
        self.engine.put_data_source(&self.caller, &path, source).await?;
        if there.metadata.to_value() != create.metadata.to_value() || there.specs != create.specs {
            let new = Replace { metadata: Some(create.metadata), specs: Some(create.specs), access_tags: None };
            self.engine.replace_metadata(&self.caller, &path, new, true).await?;
        }
        Ok(())
    }

    async fn delete(&self, path: &NodePath) -> Result<()> {
        match self.engine.delete(&self.caller, path, true, true).await {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            deleted => deleted,
        }
    }

    async fn children(&self, path: &NodePath) -> Result<Vec<String>> {
        let (mut keys, mut page) = (Vec::new(), Page::First);
        loop {
            let request = SearchRequest {
                scope: Scope::Children,
                filter: girih_model::Filter::all(),
                sort: Vec::new(),
                page,
                limit: PAGE,
                exact_count: false,
                want: Want { only_names: true, ..Want::default() },
            };
            let found = match self.engine.search(&self.caller, path, request).await {
                Err(e) if e.kind() == ErrorKind::NotFound => return Ok(keys),
                found => found?,
            };
            keys.extend(found.entries.iter().map(|entry| entry.path.key().to_owned()));
            match found.next {
                Some(next) => page = Page::After(next),
                None => return Ok(keys),
            }
        }
    }
}

impl Local {
    async fn put_anew(&self, path: &NodePath, parent: &NodePath, create: crate::create::CreateRequest) -> Result<()> {
        self.delete(path).await?;
        let register = !create.data_sources.is_empty();
        self.engine.create(&self.caller, parent, create, register).await.map(drop)
    }
}
