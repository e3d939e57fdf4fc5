//! A catalog behind a server.

use async_trait::async_trait;
use girih_client::{Client, New};
use girih_engine::bulk::BulkItem;
use girih_engine::register::Target;
use girih_model::{DataSource, Family, NodePath, Result};
use serde_json::{Value, json};

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

    async fn replace(&self, item: BulkItem) -> Result<()> {
        let node = new(item);
        let path = node.parent.child(&node.key)?;
        let Some(there) = self.0.describe(&path).await? else { return self.0.create_one(&node).await };
        let old = there.data_sources.unwrap_or_default();
        let (old, source) = match (old.first(), &node.data_source) {
            // A container stays what it is.
            (None, None) if there.structure_family == Family::Container => return Ok(()),
            (Some(old), Some(source)) if there.structure_family == node.family && is_grown(old, source) => {
                (old, source)
            }
            _ => {
                self.0.delete(&path).await?;
                return self.0.create_one(&node).await;
            }
        };
        let id = old.get("id").and_then(Value::as_i64);
        self.0.put_data_source(&path, DataSource { id, ..source.clone() }).await?;
        if there.metadata != node.metadata.to_value() || there.specs != node.specs {
            self.0.put_metadata(&path, &node.metadata, &node.specs).await?;
        }
        Ok(())
    }

    async fn delete(&self, path: &NodePath) -> Result<()> {
        self.0.delete(path).await
    }

    async fn children(&self, path: &NodePath) -> Result<Vec<String>> {
        self.0.keys(path).await
    }
}

/// Whether the new data source is the old one with other content, or more files after those that it has: a frame that
/// joins among the others moves those after it.
fn is_grown(old: &Value, new: &DataSource) -> bool {
    let field = |name: &str| old.get(name).cloned().unwrap_or_default();
    let assets = field("assets");
    let uris: Vec<_> = assets.as_array().into_iter().flatten().map(|asset| asset.get("data_uri")).collect();
    field("management") == json!("external")
        && field("mimetype") == json!(new.mimetype)
        && field("parameters") == json!(new.parameters)
        && uris.len() <= new.assets.len()
        && uris.iter().zip(&new.assets).all(|(old, new)| old.and_then(Value::as_str) == Some(&new.data_uri))
}
