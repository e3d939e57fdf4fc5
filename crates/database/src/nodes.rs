//! Nodes: finding, creating, changing.

use std::collections::HashMap;

use girih_model::event::Event;
use girih_model::{DataSource, Error, Family, Json, Node, NodeId, NodePath, Result, ResultExt, Spec, Structure};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row, SqliteConnection};

use crate::fault::Sqlx;
use crate::hand::{LookUp, Touched};
use crate::leaf::{Learned, Leaves};
use crate::{Database, now, outbox, sources};

/// What [`node_of`] reads; `n` is the node, `d` its data source.
pub(crate) const COLUMNS: &str = "n.id, n.path, n.family, n.metadata, n.specs, n.children, n.version, n.data_version, \
                                  n.created, n.updated, d.family AS data_family, d.structure, d.management";
pub(crate) const SOURCE: &str = "LEFT JOIN data_source d ON d.node = n.id";

/// Metadata of so many bytes keep a thread busy for a while.
const LARGE_METADATA: usize = 64 << 10;

/// A node to be created.
#[derive(Debug, Clone)]
pub struct NewNode {
    pub key: String,
    pub family: Family,
    pub metadata: Json,
    pub specs: Vec<Spec>,
    pub data_source: Option<DataSource>,
}

/// A node as it was recorded, with the ids of its data source and assets.
#[derive(Debug, Clone)]
pub struct Created {
    pub node: Node,
    pub data_source: Option<DataSource>,
    /// Number of the news of it.
    pub news: i64,
}

/// A node after a change.
#[derive(Debug, Clone)]
pub struct Changed {
    pub node: Node,
    /// Number of the revision that was kept.
    pub revision: Option<i64>,
    /// Number of the news of it; 0 for the root, which has no parent whose watchers would hear it.
    pub news: i64,
}

/// New values for metadata and specs; `None` keeps what is there.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub metadata: Option<Json>,
    pub specs: Option<Vec<Spec>>,
    /// Keep the values from before as a revision.
    pub keep_revision: bool,
}

impl Database {
    /// The deepest existing node on the way to `path` (the root always exists): when its path is
    /// shorter, the rest may name a part of its data (a column, a group in a file).
    pub async fn deepest(&self, path: &NodePath) -> Result<Node> {
        let ticket = match self.hand.find(path) {
            LookUp::Found(node) => return Ok(Node::clone(&node)),
            LookUp::Missing(ticket) => ticket,
        };
        let node = self.look_up(path).await?;
        self.hand.keep(ticket, &node);
        Ok(node)
    }

    async fn look_up(&self, path: &NodePath) -> Result<Node> {
        let text = path.as_str();
        let mut prefixes = vec![""];
        prefixes.extend(text.match_indices('/').map(|(at, _)| &text[..at]));
        if !text.is_empty() {
            prefixes.push(text);
        }
        // One statement for each depth, so that they stay prepared.
        let marks = vec!["?"; prefixes.len()].join(", ");
        let sql =
            format!("SELECT {COLUMNS} FROM node n {SOURCE} WHERE n.path IN ({marks}) ORDER BY n.depth DESC LIMIT 1");
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for prefix in prefixes {
            query = query.bind(prefix);
        }
        let row = query.fetch_one(&self.readers).await.sql(&format!("looking up {path}"))?;
        node_of(&row)
    }

    /// Adds a node. `Conflict` when the key is taken; `NotFound` when the parent is gone.
    pub async fn create(&self, parent: NodeId, new: NewNode) -> Result<Created> {
        let leaves = leaves(&new.metadata, &new.specs, new.family).await?;
        let mut tx = self.write().await?;
        let (created, learned) = insert(&mut tx, parent, new, leaves, &self.paths).await?;
        tx.commit(Touched::Nodes(created.node.path.parent().into_iter().collect())).await?;
        self.paths.remember(learned);
        Ok(created)
    }

    /// Changes metadata and specs if the node still has this `version` (`Conflict` otherwise).
    pub async fn update(&self, id: NodeId, version: i64, change: Change) -> Result<Changed> {
        let mut tx = self.write().await?;
        let before = by_id(&mut tx, id).await?;
        if before.version != version {
            return Err(Error::conflict("The node was changed by someone else at the same time. Try again."));
        }
        let metadata = change.metadata.unwrap_or_else(|| before.metadata.clone());
        let specs = change.specs.unwrap_or_else(|| before.specs.clone());
        let revision = match change.keep_revision {
            true => Some(crate::revisions::keep(&mut tx, &before).await?),
            false => None,
        };
        // Nobody searches for the root, so it is not in the index.
        let mut learned = Learned::default();
        let parent = parent_of(&mut tx, id).await?;
        if let Some(parent) = parent {
            let old = leaves(&before.metadata, &before.specs, before.family).await?;
            let new = leaves(&metadata, &specs, before.family).await?;
            old.remove(&mut tx, parent, id.0, &self.paths).await?;
            learned = new.insert(&mut tx, parent, id.0, &self.paths).await?;
        }
        sqlx::query("UPDATE node SET metadata = ?, specs = ?, version = version + 1, updated = ? WHERE id = ?")
            .bind(metadata.text())
            .bind(crate::leaf::specs_text(&specs))
            .bind(now())
            .bind(id.0)
            .execute(&mut *tx)
            .await
            .sql("changing a node")?;
        let node = by_id(&mut tx, id).await?;
        let news = match parent {
            Some(parent) => {
                let (key, specs, metadata) = (node.path.key().to_owned(), node.specs.clone(), node.metadata.clone());
                let event = Event::ChildMetadataUpdated { key, specs, metadata, revision_number: revision };
                outbox::put(&mut tx, &[(parent, event)]).await?
            }
            None => 0,
        };
        tx.commit(Touched::node(node.path.clone())).await?;
        self.paths.remember(learned);
        Ok(Changed { node, revision, news })
    }

    /// The commit point of a write: counts a new version of the node's data and, when the structure
    /// has become another, replaces it if it is still `before` (`Conflict` otherwise). Of a table, whose types are
    /// told by the first rows, somebody else may have told them already.
    ///
    /// With a `key`, a repetition of the write can be told by [`Database::is_written`].
    pub async fn record_write(
        &self,
        id: NodeId,
        before: &Structure,
        after: &Structure,
        key: Option<&str>,
    ) -> Result<()> {
        let mut tx = self.write().await?;
        let grown = i64::from(before != after);
        if before != after {
            let replaced = sqlx::query(
                "UPDATE data_source SET structure = ?1 WHERE node = ?2 \
                 AND (structure = ?3 OR (structure = ?1 AND family = 'table'))",
            )
            .bind(after.to_stored())
            .bind(id.0)
            .bind(before.to_stored())
            .execute(&mut *tx)
            .await
            .sql("recording a structure")?;
            if replaced.rows_affected() == 0 {
                return Err(Error::conflict("The data was resized by someone else at the same time. Try again."));
            }
        }
        let counted: Option<String> = sqlx::query_scalar(
            "UPDATE node SET data_version = data_version + 1, version = version + ?, updated = ? WHERE id = ? \
             RETURNING path",
        )
        .bind(grown)
        .bind(now())
        .bind(id.0)
        .fetch_optional(&mut *tx)
        .await
        .sql("counting a write")?;
        let Some(path) = counted else {
            return Err(Error::not_found("The node was deleted while its data was being written."));
        };
        if let Some(key) = key {
            keep_key(&mut tx, key, id).await?;
        }
        tx.commit(Touched::node(NodePath::parse(&path)?)).await
    }

    /// Whether the write with this key is done.
    pub async fn is_written(&self, key: &str) -> Result<bool> {
        let found: i64 = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM write_key WHERE key = ?)")
            .bind(key)
            .fetch_one(&self.readers)
            .await
            .sql("looking up a key")?;
        Ok(found != 0)
    }
}

/// How long keys of writes are kept, in microseconds: a week.
const KEPT: i64 = 7 * 86_400 * 1_000_000;

async fn keep_key(tx: &mut SqliteConnection, key: &str, id: NodeId) -> Result<()> {
    sqlx::query("DELETE FROM write_key WHERE at < ?")
        .bind(now() - KEPT)
        .execute(&mut *tx)
        .await
        .sql("forgetting keys")?;
    sqlx::query("INSERT INTO write_key (key, node, at) VALUES (?, ?, ?)")
        .bind(key)
        .bind(id.0)
        .bind(now())
        .execute(tx)
        .await
        .map(drop)
        .sql("keeping a key")
}

async fn insert(
    tx: &mut SqliteConnection,
    parent: NodeId,
    new: NewNode,
    leaves: Leaves,
    paths: &crate::leaf::KeyPaths,
) -> Result<(Created, Learned)> {
    let above: Option<String> = sqlx::query_scalar("SELECT path FROM node WHERE id = ?")
        .bind(parent.0)
        .fetch_optional(&mut *tx)
        .await
        .sql("looking up the parent")?;
    let above = above.ok_or_else(|| Error::not_found("The container was deleted at the same time."))?;
    let path = NodePath::parse(&above)?.child(&new.key)?;
    let now = now();
    let inserted = sqlx::query(
        "INSERT INTO node (parent, key, path, depth, family, metadata, specs, created, updated) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(parent.0)
    .bind(&new.key)
    .bind(path.as_str())
    .bind(path.depth() as i64)
    .bind(new.family.name())
    .bind(new.metadata.text())
    .bind(crate::leaf::specs_text(&new.specs))
    .bind(now)
    .bind(now)
    .execute(&mut *tx)
    .await
    .sql("adding a node")?;
    if inserted.rows_affected() == 0 {
        return Err(Error::conflict(format!("There is already an entry at {path}.")));
    }
    let id = inserted.last_insert_rowid();
    sqlx::query("UPDATE node SET children = children + 1 WHERE id = ?")
        .bind(parent.0)
        .execute(&mut *tx)
        .await
        .sql("counting children")?;
    let learned = leaves.insert(tx, parent.0, id, paths).await?;
    let data_source = match new.data_source {
        Some(source) => Some(sources::insert(tx, id, source).await?),
        None => None,
    };
    let event = Event::child_created(&new.key, new.family, &new.specs, &new.metadata, data_source.as_ref());
    let news = outbox::put(tx, &[(parent.0, event)]).await?;
    let node = Node {
        id: NodeId(id),
        path,
        family: new.family,
        metadata: new.metadata,
        specs: new.specs,
        structure: data_source.as_ref().map(|source| source.structure.clone()),
        management: data_source.as_ref().map(|source| source.management),
        children: 0,
        version: 1,
        data_version: 0,
        created: now,
        updated: now,
    };
    Ok((Created { node, data_source, news }, learned))
}

/// Takes metadata apart; large ones where nobody waits for it.
pub(crate) async fn leaves(metadata: &Json, specs: &[Spec], family: Family) -> Result<Leaves> {
    if metadata.text().len() < LARGE_METADATA {
        return Leaves::of(metadata, specs, family);
    }
    let (metadata, specs) = (metadata.clone(), specs.to_vec());
    let work = tokio::task::spawn_blocking(move || Leaves::of(&metadata, &specs, family));
    work.await.internal(|| "taking metadata apart".into())?
}

pub(crate) async fn by_id(db: &mut SqliteConnection, id: NodeId) -> Result<Node> {
    let sql = format!("SELECT {COLUMNS} FROM node n {SOURCE} WHERE n.id = ?");
    let row = sqlx::query(AssertSqlSafe(sql)).bind(id.0).fetch_optional(db).await;
    let row = row.sql(&format!("reading node {}", id.0))?;
    node_of(&row.ok_or_else(gone)?)
}

/// In the order of `ids`; without those that are gone.
pub(crate) async fn by_ids(db: &mut SqliteConnection, ids: &[NodeId]) -> Result<Vec<Node>> {
    let sql = format!("SELECT {COLUMNS} FROM json_each(?) wanted CROSS JOIN node n ON n.id = wanted.value {SOURCE}");
    let list = serde_json::to_string(ids).internal(|| "listing nodes".into())?;
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(list).fetch_all(db).await.sql("reading nodes")?;
    let mut nodes: HashMap<NodeId, Node> = HashMap::with_capacity(rows.len());
    for row in &rows {
        let node = node_of(row)?;
        nodes.insert(node.id, node);
    }
    Ok(ids.iter().filter_map(|id| nodes.remove(id)).collect())
}

/// `None` for the root.
pub(crate) async fn parent_of(db: &mut SqliteConnection, id: NodeId) -> Result<Option<i64>> {
    let parent = sqlx::query_scalar("SELECT parent FROM node WHERE id = ?").bind(id.0).fetch_optional(db).await;
    parent.sql("looking up a parent")?.ok_or_else(gone)
}

pub(crate) fn gone() -> Error {
    Error::not_found("The node was deleted at the same time.")
}

pub(crate) fn node_of(row: &SqliteRow) -> Result<Node> {
    let text = |column: &str| row.get::<&str, _>(column);
    let damaged = |what: &str| format!("reading the {what} of node {}", row.get::<i64, _>("id"));
    let structure = match (row.get::<Option<&str>, _>("data_family"), row.get::<Option<&str>, _>("structure")) {
        (Some(family), Some(structure)) => Some(Structure::from_stored(family.parse()?, structure)?),
        _ => None,
    };
    Ok(Node {
        id: NodeId(row.get("id")),
        path: NodePath::parse(text("path"))?,
        family: text("family").parse()?,
        metadata: Json::parse(text("metadata"))?,
        specs: serde_json::from_str(text("specs")).internal(|| damaged("specs"))?,
        structure,
        management: row.get::<Option<&str>, _>("management").map(sources::management).transpose()?,
        children: row.get::<i64, _>("children") as u64,
        version: row.get("version"),
        data_version: row.get("data_version"),
        created: row.get("created"),
        updated: row.get("updated"),
    })
}
