//! What one can wish of a server.

use girih_model::wire::{Bulked, DataSourceReply};
use girih_model::{DataSource, Error, ErrorKind, Family, Json, Management, NodePath, Result, Spec};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::Client;
use crate::request::{Body, kind};

/// Keys that are asked for at once.
const PAGE: &str = "300";

/// A node that is to be made.
#[derive(Debug, Clone)]
pub struct New {
    pub parent: NodePath,
    pub key: String,
    pub family: Family,
    pub metadata: Json,
    pub specs: Vec<Spec>,
    pub data_source: Option<DataSource>,
}

/// A node as the server describes it.
#[derive(Debug, Clone, Deserialize)]
pub struct Described {
    pub structure_family: Family,
    #[serde(default)]
    pub metadata: Value,
    #[serde(default)]
    pub specs: Vec<Spec>,
    #[serde(default)]
    pub data_sources: Option<Vec<DescribedSource>>,
}

/// Where the data of a node lies, as the server describes it.
#[derive(Debug, Clone, Deserialize)]
pub struct DescribedSource {
    #[serde(default)]
    pub id: Option<i64>,
    #[serde(default)]
    pub management: Option<Management>,
    #[serde(default)]
    pub mimetype: String,
    #[serde(default)]
    pub parameters: Map<String, Value>,
    #[serde(default)]
    pub assets: Vec<DescribedAsset>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct DescribedAsset {
    pub data_uri: String,
}

#[derive(Deserialize)]
struct Enveloped<T> {
    data: T,
}

#[derive(Deserialize)]
struct Resource<T> {
    #[serde(default)]
    id: String,
    attributes: T,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Resource<Value>>,
    links: PageLinks,
}

#[derive(Deserialize)]
struct PageLinks {
    next: Option<String>,
}

impl New {
    fn body(&self) -> Value {
        let sources: Vec<_> = self.data_source.iter().cloned().map(DataSourceReply::from).collect();
        json!({
            "id": self.key,
            "structure_family": self.family,
            "metadata": self.metadata,
            "specs": self.specs,
            "data_sources": sources,
        })
    }
}

impl Client {
    /// Makes nodes in one request, parents first; what became of each. One that is there just so counts as made.
    ///
    /// # Errors
    /// When the request as a whole is refused.
    pub async fn create(&self, nodes: &[New]) -> Result<Vec<Result<()>>> {
        let mut lines = String::new();
        for node in nodes {
            let mut line = node.body();
            line["parent"] = Value::String(node.parent.as_str().to_owned());
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        let reply: Enveloped<Bulked> =
            self.send(Method::POST, "bulk", &NodePath::root(), &[], Body::Lines(&lines)).await?;
        let mut made: Vec<Result<()>> = nodes.iter().map(|_| Ok(())).collect();
        for failure in reply.data.errors {
            let status = StatusCode::from_u16(failure.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            if let Some(made) = usize::try_from(failure.line).ok().and_then(|n| made.get_mut(n.checked_sub(1)?)) {
                *made = Err(Error::new(kind(status), failure.detail));
            }
        }
        Ok(made)
    }

    /// `None` when there is none.
    pub async fn describe(&self, path: &NodePath) -> Result<Option<Described>> {
        let query = [("include_data_sources", "true")];
        let found: Result<Enveloped<Resource<Described>>> =
            self.send(Method::GET, "metadata", path, &query, Body::None).await;
        match found {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            found => Ok(Some(found?.data.attributes)),
        }
    }

    /// Takes out a node with all that lies below it, unless its data would be lost; that it is gone already is fine.
    pub async fn delete(&self, path: &NodePath) -> Result<()> {
        let query = [("recursive", "true"), ("external_only", "true")];
        match self.respond(Method::DELETE, "metadata", path, &query, Body::None).await {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            deleted => deleted.map(drop),
        }
    }

    /// Keys of the children of a container; none when it is not there.
    pub async fn keys(&self, path: &NodePath) -> Result<Vec<String>> {
        let (mut keys, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let mut query = vec![("fields", ""), ("page[limit]", PAGE)];
            if let Some(cursor) = &cursor {
                query.push(("page[cursor]", cursor));
            }
            let page: Result<Page> = self.send(Method::GET, "search", path, &query, Body::None).await;
            let page = match page {
                Err(e) if e.kind() == ErrorKind::NotFound => return Ok(keys),
                page => page?,
            };
            keys.extend(page.data.into_iter().map(|resource| resource.id));
            let next = page.links.next.as_deref().and_then(|next| reqwest::Url::parse(next).ok());
            let next = next.and_then(|next| {
                next.query_pairs().find(|(name, _)| name == "page[cursor]").map(|(_, cursor)| cursor.into_owned())
            });
            match next {
                Some(next) => cursor = Some(next),
                None => return Ok(keys),
            }
        }
    }

    /// Replaces the description of the data of a node.
    pub async fn put_data_source(&self, path: &NodePath, source: DataSource) -> Result<()> {
        let body = json!({ "data_source": DataSourceReply::from(source) });
        self.respond(Method::PUT, "data_source", path, &[], Body::Json(&body)).await.map(drop)
    }

    pub async fn put_metadata(&self, path: &NodePath, metadata: &Json, specs: &[Spec]) -> Result<()> {
        let body = json!({ "metadata": metadata, "specs": specs });
        self.respond(Method::PUT, "metadata", path, &[], Body::Json(&body)).await.map(drop)
    }
}
