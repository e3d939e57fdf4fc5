//! A catalog in this process.

use async_trait::async_trait;
use girih_model::{DataSource, ErrorKind, Json, NodePath, Result, Spec};

use super::{Target, There, ThereSource};
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

    async fn find(&self, path: &NodePath) -> Result<Option<There>> {
        let want = Want { data_sources: true, ..Want::default() };
        let there = match self.engine.entry(&self.caller, path, want).await {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            there => there?,
        };
        let source = there.data_sources.as_ref().and_then(|sources| sources.first()).map(ThereSource::from);
        Ok(Some(There { family: there.family, metadata: there.metadata.to_value(), specs: there.specs, source }))
    }

    async fn change(&self, path: &NodePath, source: DataSource, said: Option<(Json, Vec<Spec>)>) -> Result<()> {
        self.engine.put_data_source(&self.caller, path, source, None).await?;
        if let Some((metadata, specs)) = said {
            let new = Replace { metadata: Some(metadata), specs: Some(specs), access_tags: None };
            self.engine.replace_metadata(&self.caller, path, new, true).await?;
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
