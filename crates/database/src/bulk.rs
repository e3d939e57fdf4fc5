//! Many nodes in one transaction.

use std::collections::{HashMap, HashSet};

use girih_model::event::Event;
use girih_model::{DataSource, Error, Family, Node, NodeId, NodePath, Result};
use sqlx::QueryBuilder;

use crate::fault::Sqlx;
use crate::hand::Touched;
use crate::leaf::{Learned, Leaves, Rows, specs_text};
use crate::nodes::{COLUMNS, SOURCE, node_of};
use crate::transaction::Transaction;
use crate::{Database, NewNode, now, outbox, sources};

/// Rows inserted by one statement.
const BATCH: usize = 250;
/// Pages of the database that are kept in memory meanwhile, in KiB: an index grows in many places.
const CACHE: i64 = 96 << 10;

/// A node for a [`Bulk`]; made before the turn to write has come, for it takes the metadata apart.
pub struct BulkNode {
    /// Where it goes; may be a node of the same bulk that came before it.
    parent: NodePath,
    path: NodePath,
    node: NewNode,
    leaves: Leaves,
}

impl BulkNode {
    /// # Errors
    /// `Unprocessable` when the metadata is too deep or holds too many values.
    pub fn new(parent: NodePath, node: NewNode) -> Result<Self> {
        let path = parent.child(&node.key)?;
        let leaves = Leaves::of(&node.metadata, &node.specs, node.family)?;
        Ok(Self { parent, path, node, leaves })
    }

    pub fn path(&self) -> &NodePath {
        &self.path
    }
}

/// What became of a node of a bulk.
#[derive(Debug)]
pub enum Outcome {
    Created,
    /// There is a node of this path, which may be the same: what was to be made, and what is there.
    Exists(Box<Existing>),
    /// `NotFound` when the parent is not there, `Unsupported` when it is no container.
    Refused(Error),
}

#[derive(Debug)]
pub struct Existing {
    pub new: NewNode,
    pub there: Node,
    pub source: Option<DataSource>,
}

/// A transaction that makes nodes. What is not committed is undone.
pub struct Bulk {
    tx: Transaction,
    database: Database,
    learned: Learned,
    parents: HashMap<NodePath, Option<Parent>>,
    next: i64,
    news: i64,
}

struct Parent {
    id: i64,
    is_container: bool,
    added: i64,
}

/// A node that is about to be written.
struct Pending {
    /// Its place in the order.
    at: usize,
    id: i64,
    parent: i64,
    node: BulkNode,
}

impl Database {
    /// Begins a bulk; other writers wait until it ends.
    pub async fn bulk(&self) -> Result<Bulk> {
        let mut tx = self.write_alone().await?;
        tx.take_memory(CACHE).await?;
        let last: Option<i64> = sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'node'")
            .fetch_optional(&mut *tx)
            .await
            .sql("looking up the last node")?;
        let next = last.unwrap_or_default() + 1;
        Ok(Bulk { tx, database: self.clone(), learned: Learned::default(), parents: HashMap::new(), next, news: 0 })
    }
}

impl Bulk {
    /// Adds nodes, in order; returns what became of each.
    pub async fn insert(&mut self, nodes: Vec<BulkNode>) -> Result<Vec<Outcome>> {
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(nodes.len());
        let mut pending: Vec<Pending> = Vec::new();
        let mut waiting: HashSet<NodePath> = HashSet::new();
        for (at, node) in nodes.into_iter().enumerate() {
            outcomes.push(Outcome::Created);
            // A parent of the same batch has to be there first; of two nodes with one path, the first.
            if waiting.contains(&node.parent) || !waiting.insert(node.path.clone()) {
                self.write(std::mem::take(&mut pending), &mut outcomes).await?;
                waiting = HashSet::from([node.path.clone()]);
            }
            match self.parent(&node.parent).await? {
                None => outcomes[at] = Outcome::Refused(no_parent(&node.parent)),
                Some(parent) if !parent.is_container => {
                    outcomes[at] = Outcome::Refused(Error::unsupported(format!(
                        "Children can only be created in containers, and {} is none.",
                        node.parent
                    )));
                }
                Some(parent) => {
                    let parent = parent.id;
                    pending.push(Pending { at, id: self.next, parent, node });
                    self.next += 1;
                }
            }
        }
        self.write(pending, &mut outcomes).await?;
        Ok(outcomes)
    }

    /// When this returns, all is durable. Returns the number of the last news of it; 0 for none.
    pub async fn commit(mut self) -> Result<i64> {
        let mut touched = Vec::new();
        for (path, parent) in &self.parents {
            let Some(parent) = parent.as_ref().filter(|parent| parent.added > 0) else { continue };
            sqlx::query("UPDATE node SET children = children + ? WHERE id = ?")
                .bind(parent.added)
                .bind(parent.id)
                .execute(&mut *self.tx)
                .await
                .sql("counting children")?;
            touched.push(path.clone());
        }
        self.tx.commit(Touched::Nodes(touched)).await?;
        self.database.paths.remember(self.learned);
        Ok(self.news)
    }

    async fn parent(&mut self, path: &NodePath) -> Result<Option<&mut Parent>> {
        if !self.parents.contains_key(path) {
            let parent = self.look_up(&[path]).await?.pop().map(|node| Parent {
                id: node.id.0,
                is_container: node.family == Family::Container && node.structure.is_none(),
                added: 0,
            });
            self.parents.insert(path.clone(), parent);
        }
        Ok(self.parents.get_mut(path).and_then(Option::as_mut))
    }

    async fn write(&mut self, pending: Vec<Pending>, outcomes: &mut [Outcome]) -> Result<()> {
        let now = now();
        let mut taken = HashSet::new();
        for batch in pending.chunks(BATCH) {
            let mut query = QueryBuilder::new(
                "INSERT INTO node (id, parent, key, path, depth, family, metadata, specs, created, updated) ",
            );
            query.push_values(batch, |mut row, pending| {
                let (path, node) = (&pending.node.path, &pending.node.node);
                row.push_bind(pending.id).push_bind(pending.parent).push_bind(node.key.clone());
                row.push_bind(path.as_str().to_owned()).push_bind(path.depth() as i64);
                row.push_bind(node.family.name()).push_bind(node.metadata.text().to_owned());
                row.push_bind(specs_text(&node.specs)).push_bind(now).push_bind(now);
            });
            query.push(" ON CONFLICT DO NOTHING");
            let inserted = query.build().execute(&mut *self.tx).await.sql("adding nodes")?;
            if inserted.rows_affected() < batch.len() as u64 {
                taken.extend(self.missing(batch).await?);
            }
        }
        let (taken, new): (Vec<_>, Vec<_>) = pending.into_iter().partition(|pending| taken.contains(&pending.id));
        let paths: Vec<&NodePath> = taken.iter().map(|pending| &pending.node.path).collect();
        let there = self.look_up(&paths).await?;
        let ids: Vec<NodeId> = there.iter().map(|node| node.id).collect();
        let sources = sources::of(&mut self.tx, &ids).await?;
        let there = there.into_iter().zip(sources);
        let mut there: HashMap<_, _> = there.map(|(node, sources)| (node.path.clone(), (node, sources))).collect();
        for Pending { at, node: BulkNode { path, node, .. }, .. } in taken {
            let found = there.remove(&path).ok_or_else(|| Error::conflict(format!("{path} is taken.")))?;
            let (there, source) = (found.0, found.1.into_iter().next_back());
            outcomes[at] = Outcome::Exists(Box::new(Existing { new: node, there, source }));
        }
        self.index(new).await
    }

    /// Those that are there.
    async fn look_up(&mut self, paths: &[&NodePath]) -> Result<Vec<Node>> {
        let mut nodes = Vec::with_capacity(paths.len());
        for batch in paths.chunks(BATCH) {
            let mut query = QueryBuilder::new(format!("SELECT {COLUMNS} FROM node n {SOURCE} WHERE n.path IN ("));
            let mut list = query.separated(", ");
            for path in batch {
                list.push_bind(path.as_str());
            }
            query.push(")");
            let rows = query.build().fetch_all(&mut *self.tx).await.sql("looking up nodes")?;
            nodes.extend(rows.iter().map(node_of).collect::<Result<Vec<_>>>()?);
        }
        Ok(nodes)
    }

    /// Numbers of the rows that are not there.
    async fn missing(&mut self, batch: &[Pending]) -> Result<Vec<i64>> {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return Ok(Vec::new()) };
        let there: Vec<i64> = sqlx::query_scalar("SELECT id FROM node WHERE id BETWEEN ? AND ?")
            .bind(first.id)
            .bind(last.id)
            .fetch_all(&mut *self.tx)
            .await
            .sql("looking up new nodes")?;
        let there: HashSet<i64> = there.into_iter().collect();
        Ok(batch.iter().map(|row| row.id).filter(|id| !there.contains(id)).collect())
    }

    async fn index(&mut self, new: Vec<Pending>) -> Result<()> {
        let mut index = Rows::default();
        let mut news = Vec::with_capacity(new.len());
        for Pending { id, parent, node: BulkNode { parent: above, path, node, leaves }, .. } in new {
            let tx = &mut *self.tx;
            index.add(leaves, tx, parent, id, &self.database.paths, &mut self.learned).await?;
            let source = match node.data_source {
                Some(source) => Some(sources::insert(&mut self.tx, id, source).await?),
                None => None,
            };
            let event = Event::child_created(&node.key, node.family, &node.specs, &node.metadata, source.as_ref());
            news.push((parent, event));
            if let Some(Some(parent)) = self.parents.get_mut(&above) {
                parent.added += 1;
            }
            // It may have been looked for in vain before.
            self.parents.remove(&path);
        }
        if !news.is_empty() {
            self.news = outbox::put(&mut self.tx, &news).await?;
        }
        index.insert(&mut self.tx).await
    }
}

fn no_parent(path: &NodePath) -> Error {
    Error::not_found(format!("There is no container at {path}. Create it first, or in a line before this one."))
}
