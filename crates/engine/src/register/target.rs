//! Catalogs that files are registered in.

use async_trait::async_trait;
use girih_model::{DataSource, Family, Json, Management, NodePath, Result, Spec};
use serde_json::{Map, Value};

use super::send::path_of;
use crate::bulk::BulkItem;

/// A catalog that files are registered in. Paths are those that its callers see.
#[async_trait]
pub trait Target: Send + Sync {
    /// Makes nodes, parents first, and tells what became of each. `Conflict` for one that is there with other content.
    ///
    /// # Errors
    /// When the catalog cannot be reached, or refuses all of them.
    async fn create(&self, items: Vec<BulkItem>) -> Result<Vec<Result<()>>>;

    /// What is there; `None` when nothing is.
    ///
    /// # Errors
    /// When the catalog cannot be reached, or does not tell us.
    async fn find(&self, path: &NodePath) -> Result<Option<There>>;

    /// Changes a node that is there: its data source, which keeps its id, and what is said of it.
    ///
    /// # Errors
    /// When the catalog cannot be reached or refuses it: `Forbidden` for files that it may not read.
    async fn change(&self, path: &NodePath, source: DataSource, said: Option<(Json, Vec<Spec>)>) -> Result<()>;

    /// Takes out a node with all that lies below it; that there is none is fine.
    ///
    /// # Errors
    /// `Conflict` when data would be lost that the catalog keeps itself, or when it cannot be reached.
    async fn delete(&self, path: &NodePath) -> Result<()>;

    /// Keys of the children of a container; none when it is not there.
    ///
    /// # Errors
    /// When the catalog cannot be reached, or does not tell us.
    async fn children(&self, path: &NodePath) -> Result<Vec<String>>;

    /// Puts a node in the place of the one that is there: if it can be, that one is only changed, so that whoever reads
    /// it is not disturbed.
    ///
    /// # Errors
    /// Those of [`Target::delete`], [`Target::change`] and, for the one node, [`Target::create`].
    async fn replace(&self, item: BulkItem) -> Result<()> {
        let path = path_of(&item)?;
        let there = self.find(&path).await?;
        match there.as_ref().map_or(Change::Anew, |there| there.change(&item)) {
            Change::Keep => Ok(()),
            Change::Only { source, said } => self.change(&path, *source, said).await,
            Change::Anew => {
                if there.is_some() {
                    self.delete(&path).await?;
                }
                self.create(vec![item]).await?.into_iter().collect()
            }
        }
    }
}

/// A node that is there, as far as it matters for what is to come in its place.
#[derive(Debug, Clone)]
pub struct There {
    pub family: Family,
    pub metadata: Value,
    pub specs: Vec<Spec>,
    pub source: Option<ThereSource>,
}

/// Where its data lies.
#[derive(Debug, Clone)]
pub struct ThereSource {
    pub id: Option<i64>,
    pub is_external: bool,
    pub mimetype: String,
    pub parameters: Map<String, Value>,
    pub uris: Vec<String>,
}

/// What is to be done with a node that is there.
#[derive(Debug)]
enum Change {
    /// It stays what it is.
    Keep,
    /// It is given other data, and if need be said to be something else.
    Only { source: Box<DataSource>, said: Option<(Json, Vec<Spec>)> },
    /// It goes, and a new one comes.
    Anew,
}

impl There {
    fn change(&self, new: &BulkItem) -> Change {
        let new = &new.create;
        let (old, source) = match (&self.source, new.data_sources.first()) {
            (None, None) if self.family == Family::Container => return Change::Keep,
            (Some(old), Some(source)) if self.family == new.family && old.is_grown(source) => (old, source),
            _ => return Change::Anew,
        };
        let is_said = self.metadata == new.metadata.to_value() && self.specs == new.specs;
        let said = (!is_said).then(|| (new.metadata.clone(), new.specs.clone()));
        Change::Only { source: Box::new(DataSource { id: old.id, ..source.clone() }), said }
    }
}

impl ThereSource {
    /// Whether the new data source is this one with other content, or with more files after those that it has: a frame
    /// that joins among the others moves those after it.
    fn is_grown(&self, new: &DataSource) -> bool {
        self.is_external
            && self.mimetype == new.mimetype
            && self.parameters == new.parameters
            && self.uris.len() <= new.assets.len()
            && self.uris.iter().zip(&new.assets).all(|(old, new)| *old == new.data_uri)
    }
}

impl From<&DataSource> for ThereSource {
    fn from(source: &DataSource) -> Self {
        Self {
            id: source.id,
            is_external: source.management == Management::External,
            mimetype: source.mimetype.clone(),
            parameters: source.parameters.clone(),
            uris: source.assets.iter().map(|asset| asset.data_uri.clone()).collect(),
        }
    }
}

/// No catalog: nothing is there, and nothing is made.
pub struct DryRun;

#[async_trait]
impl Target for DryRun {
    async fn create(&self, items: Vec<BulkItem>) -> Result<Vec<Result<()>>> {
        Ok(items.iter().map(|_| Ok(())).collect())
    }

    async fn find(&self, _: &NodePath) -> Result<Option<There>> {
        Ok(None)
    }

    async fn change(&self, _: &NodePath, _: DataSource, _: Option<(Json, Vec<Spec>)>) -> Result<()> {
        Ok(())
    }

    async fn delete(&self, _: &NodePath) -> Result<()> {
        Ok(())
    }

    async fn children(&self, _: &NodePath) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use girih_model::{ArrayStructure, Asset, DType, Structure};
    use serde_json::json;

    use super::*;
    use crate::create::CreateRequest;
    use crate::register::send::container;

    fn array(mimetype: &str, uris: &[&str]) -> BulkItem {
        let assets = uris.iter().map(|uri| Asset {
            data_uri: (*uri).to_owned(),
            is_directory: false,
            size: None,
            parameter: None,
            num: None,
            id: None,
        });
        let source = DataSource {
            id: None,
            structure: Structure::Array(ArrayStructure::new(DType::of("f8"), vec![4])),
            mimetype: mimetype.to_owned(),
            parameters: Map::new(),
            properties: Default::default(),
            management: Management::External,
            assets: assets.collect(),
        };
        let create = CreateRequest {
            key: Some("x".to_owned()),
            family: Family::Array,
            metadata: Json::object(),
            specs: Vec::new(),
            data_sources: vec![source],
            access_tags: None,
        };
        BulkItem { parent: NodePath::root(), create }
    }

    fn there(item: &BulkItem) -> There {
        let source = item.create.data_sources.first().map(|source| ThereSource { id: Some(7), ..source.into() });
        There { family: item.create.family, metadata: json!({}), specs: Vec::new(), source }
    }

    #[test]
    fn what_can_be_only_changed_is_not_made_anew() {
        let (a, folder) = (array("a/b", &["1", "2"]), container(&NodePath::root(), "x"));
        assert!(matches!(there(&folder).change(&folder), Change::Keep));
        for (new, is_only) in [
            (&a, true),
            (&array("a/b", &["1", "2", "3"]), true),
            (&array("a/b", &["1"]), false),
            (&array("a/b", &["0", "1", "2"]), false),
            (&array("c/d", &["1", "2"]), false),
            (&folder, false),
        ] {
            let change = there(&a).change(new);
            assert_eq!(matches!(change, Change::Only { .. }), is_only, "{change:?}");
            if let Change::Only { source, said } = change {
                assert_eq!((source.id, said), (Some(7), None));
            }
        }
        assert!(matches!(there(&folder).change(&a), Change::Anew));
        let kept = There {
            source: Some(ThereSource { is_external: false, ..(&a.create.data_sources[0]).into() }),
            ..there(&a)
        };
        assert!(matches!(kept.change(&a), Change::Anew));
        let said = There { metadata: json!({"other": 1}), ..there(&a) };
        assert!(matches!(said.change(&a), Change::Only { said: Some(_), .. }));
    }
}
