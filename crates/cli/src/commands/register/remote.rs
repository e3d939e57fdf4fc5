//! A catalog behind a server.

use async_trait::async_trait;
use girih_client::{Client, DescribedSource, New};
use girih_engine::bulk::BulkItem;
use girih_engine::register::{Target, There, ThereSource};
use girih_model::{DataSource, Json, Management, NodePath, Result, Spec};

pub(super) struct Remote(pub(super) Client);

fn new(item: BulkItem) -> New {
    let BulkItem { parent, create } = item;
    New {
        parent,
        key: create.key.unwrap_or_default(),
        family: create.family,
        metadata: create.metadata,
        specs: create.specs,
        data_source: create.data_sources.into_iter().next(),
    }
}

#[async_trait]
impl Target for Remote {
    async fn create(&self, items: Vec<BulkItem>) -> Result<Vec<Result<()>>> {
        let nodes: Vec<New> = items.into_iter().map(new).collect();
        self.0.create(&nodes).await
    }

    async fn find(&self, path: &NodePath) -> Result<Option<There>> {
        let Some(there) = self.0.describe(path).await? else { return Ok(None) };
        let source = there.data_sources.unwrap_or_default().into_iter().next().map(source);
        Ok(Some(There { family: there.structure_family, metadata: there.metadata, specs: there.specs, source }))
    }

    async fn change(&self, path: &NodePath, source: DataSource, said: Option<(Json, Vec<Spec>)>) -> Result<()> {
        self.0.put_data_source(path, source).await?;
        match said {
            Some((metadata, specs)) => self.0.put_metadata(path, &metadata, &specs).await,
            None => Ok(()),
        }
    }

    async fn delete(&self, path: &NodePath) -> Result<()> {
        self.0.delete(path).await
    }

    async fn children(&self, path: &NodePath) -> Result<Vec<String>> {
        self.0.keys(path).await
    }
}

/// Of an unknown server some of it may be missing.
fn source(described: DescribedSource) -> ThereSource {
    ThereSource {
        id: described.id,
        is_external: described.management == Some(Management::External),
        mimetype: described.mimetype,
        parameters: described.parameters,
        uris: described.assets.into_iter().map(|asset| asset.data_uri).collect(),
    }
}
