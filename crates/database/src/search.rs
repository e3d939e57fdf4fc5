//! Searching: filters to SQL, sort orders to keyset cursors.
//!
//! [`condition`] resolves a filter to conditions that an index answers; [`driver`] chooses which of them leads the
//! query; [`order`] turns a sort order into comparable terms and cursors; [`distinct`] counts values.

mod condition;
mod distinct;
mod driver;
mod order;
mod sql;

use std::ops::{Deref, DerefMut};

use girih_model::filter::KeyPath;
use girih_model::{Error, Filter, Node, NodeId, Result};
use sqlx::pool::PoolConnection;
use sqlx::{Row, SqliteConnection};
use tokio::sync::OwnedSemaphorePermit;

use crate::fault::Sqlx;
use crate::{Database, nodes};
use condition::{Condition, Tested};
use driver::{Driver, Source};
use order::{Order, Stage};
use sql::Sql;

pub use distinct::{Bucket, Distinct, DistinctWants};

/// Which nodes are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Children,
    /// All below, down to this many levels.
    Descendants {
        max_depth: u32,
    },
}

#[derive(Debug, Clone)]
pub struct Search {
    pub scope: Scope,
    pub filter: Filter,
    pub sort: Vec<Sort>,
    pub page: Page,
    /// At most this many nodes; 0 to only count.
    pub limit: u64,
    /// Count exactly up to here; beyond, a lower bound is enough. `None`: exactly.
    pub count_limit: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    pub key: SortKey,
    pub descending: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SortKey {
    /// The order of creation; only as the last key.
    Created,
    /// The node's key, by code point.
    Key,
    /// A metadata value: numbers, then texts, booleans, lists and objects, null; nodes without the
    /// value come last, whether ascending or descending.
    Value(KeyPath),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    First,
    Offset(u64),
    After(Cursor),
}

/// Where a page ended, opaque to the caller. Works for every sort order; a cursor of another order is refused (`Malformed`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub String);

#[derive(Debug, Clone)]
pub struct SearchPage {
    pub nodes: Vec<Node>,
    /// Present when there are more.
    pub next: Option<Cursor>,
    pub count: Count,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    Exactly(u64),
    AtLeast(u64),
}

/// A connection of one who searches.
pub(crate) struct Searching {
    db: PoolConnection<sqlx::Sqlite>,
    _turn: OwnedSemaphorePermit,
}

impl Deref for Searching {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.db
    }
}

impl DerefMut for Searching {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.db
    }
}

/// The nodes that a search looks at.
pub(crate) struct Room {
    parent: Node,
    scope: Scope,
}

impl Database {
    pub async fn search(&self, parent: NodeId, search: Search) -> Result<SearchPage> {
        let mut db = self.reader().await?;
        let room = Room { parent: nodes::by_id(&mut db, parent).await?, scope: search.scope };
        let condition = condition::resolve(&search.filter, &mut db, &self.paths).await?;
        let count = count(&mut db, &room, &condition, search.count_limit).await?;
        if search.limit == 0 {
            return Ok(SearchPage { nodes: Vec::new(), next: None, count });
        }
        let order = Order::new(&search.sort, &room, &mut db, &self.paths).await?;
        let (nodes, next) = page(&mut db, &room, &condition, &order, &search).await?;
        Ok(SearchPage { nodes, next, count })
    }

    /// A connection for a search, which has its turn; what it does ends after a while.
    pub(crate) async fn reader(&self) -> Result<Searching> {
        let turn = self.searches.clone().acquire_owned().await.map_err(|_| Error::busy("The server is stopping."))?;
        let db = self.readers.acquire().await.sql("waiting for a connection")?;
        Ok(Searching { db, _turn: turn })
    }

    /// The same for work that may take its time.
    pub(crate) async fn unhurried(&self) -> Result<Searching> {
        let mut searching = self.reader().await?;
        searching.db.lock_handle().await.sql("waiting for a connection")?.remove_progress_handler();
        Ok(searching)
    }
}

async fn page(
    db: &mut SqliteConnection,
    room: &Room,
    condition: &Condition,
    order: &Order,
    search: &Search,
) -> Result<(Vec<Node>, Option<Cursor>)> {
    // One more than the page tells whether there is another.
    let wanted = search.limit.saturating_add(1);
    let driver = driver::choose(db, room, condition, order).await?;
    let question = Question { room, condition, driver: &driver };
    let (mut found, more) = match &search.page {
        Page::Offset(offset) if *offset >= FAR => match question.total(db).await? {
            // Nearer from behind.
            Some(total) if *offset > total / 2 => {
                let on_page = total.saturating_sub(*offset).min(search.limit);
                let behind = total.saturating_sub(offset.saturating_add(on_page));
                let mut found = question.ids(db, &order.reversed(), None, on_page, behind).await?;
                found.reverse();
                (found, behind > 0)
            }
            _ => (question.ids(db, order, None, wanted, *offset).await?, false),
        },
        Page::Offset(offset) => (question.ids(db, order, None, wanted, *offset).await?, false),
        Page::First => (question.ids(db, order, None, wanted, 0).await?, false),
        Page::After(cursor) => (question.ids(db, order, Some(&order.read(cursor)?), wanted, 0).await?, false),
    };
    let more = more || found.len() as u64 >= wanted;
    found.truncate(usize::try_from(search.limit).unwrap_or(usize::MAX));
    let next = found.last().filter(|_| more).map(|(_, cursor)| cursor.clone());
    let ids: Vec<NodeId> = found.into_iter().map(|(id, _)| id).collect();
    Ok((nodes::by_ids(db, &ids).await?, next))
}

/// From here on it is worth knowing how many there are.
const FAR: u64 = if cfg!(test) { 2 } else { 1000 };

/// Which nodes are wanted, and what leads to them.
struct Question<'q> {
    room: &'q Room,
    condition: &'q Condition,
    driver: &'q Driver,
}

impl Question<'_> {
    /// The numbers of nodes, in order, each with the cursor behind it. The nodes themselves are only looked at where a
    /// condition or the order asks for what the index does not have.
    async fn ids(
        &self,
        db: &mut SqliteConnection,
        order: &Order,
        after: Option<&order::Position>,
        wanted: u64,
        mut offset: u64,
    ) -> Result<Vec<(NodeId, Cursor)>> {
        let mut found: Vec<(NodeId, Cursor)> = Vec::new();
        for stage in order.stages(self.driver).iter().copied() {
            if after.is_some_and(|after| after.is_past(stage)) {
                continue;
            }
            if stage == Stage::Without && self.all_have(db, order).await? {
                continue;
            }
            let missing = wanted - found.len() as u64;
            let sql = self.sql(order, stage, after, missing, offset);
            let rows = sql.fetch_all(db).await.sql("searching")?;
            if rows.is_empty() && offset > 0 {
                // The page begins in a later stage: take away what this one holds.
                offset -= self.count(db, order, stage).await?.min(offset);
                continue;
            }
            offset = 0;
            for row in &rows {
                found.push((NodeId(row.get(0)), order.cursor(row, stage)?));
            }
            if found.len() as u64 >= wanted {
                break;
            }
        }
        Ok(found)
    }

    fn sql(&self, order: &Order, stage: Stage, after: Option<&order::Position>, limit: u64, offset: u64) -> Sql {
        let terms = order.terms(self.driver, stage);
        let id = self.driver.id(stage);
        let mut columns = Sql::new(format!("SELECT {id}"));
        for term in &terms {
            columns.push(", ").add(&term.sql);
        }
        let after = after.filter(|after| after.is_in(stage));
        let merged = after.map(|after| after.beyond_node(order));
        let source = self.driver.source(self.room, order, stage, merged.as_ref());
        let mut rest = Sql::new(" WHERE ");
        rest.add(&self.conditions(order, stage));
        if let Some(after) = after.filter(|_| !source.is_ordered) {
            rest.push(" AND ").add(&after.beyond(&terms));
        }
        if !source.is_ordered {
            rest.push(" ORDER BY ");
            for (n, term) in terms.iter().enumerate() {
                rest.push(if n > 0 { ", " } else { "" }).add(&term.sql);
                rest.push(if term.descending { " DESC" } else { "" });
            }
        }
        rest.push(" LIMIT ").bind(limit).push(" OFFSET ").bind(offset);
        self.joined(columns, source, rest, id)
    }

    /// Nodes of a stage.
    async fn count(&self, db: &mut SqliteConnection, order: &Order, stage: Stage) -> Result<u64> {
        let mut rest = Sql::new(" WHERE ");
        rest.add(&self.conditions(order, stage));
        let source = self.driver.source(self.room, order, stage, None);
        let sql = self.joined(Sql::new("SELECT count(*)"), source, rest, self.driver.id(stage));
        sql.fetch_count(db).await.sql("searching")
    }

    /// Whether no node lacks the value that leads the order: to find those that do, all nodes are looked at.
    async fn all_have(&self, db: &mut SqliteConnection, order: &Order) -> Result<bool> {
        let mut leaves = Sql::new("SELECT count(*) FROM leaf WHERE parent = ");
        leaves.bind(self.room.parent.id.0).push(" AND path = ").bind(order.first_path());
        Ok(leaves.fetch_count(db).await.sql("searching")? >= self.room.parent.children)
    }

    /// A query for the numbers of all nodes.
    fn all(&self) -> Sql {
        let order = Order::created();
        let id = self.driver.id(Stage::All);
        let mut rest = Sql::new(" WHERE ");
        rest.add(&self.conditions(&order, Stage::All));
        let source = self.driver.source(self.room, &order, Stage::All, None);
        self.joined(Sql::new(format!("SELECT {id} AS id")), source, rest, id)
    }

    /// How many nodes there are, if that is easily told.
    async fn total(&self, db: &mut SqliteConnection) -> Result<Option<u64>> {
        if self.condition.is_always() && self.room.scope == Scope::Children {
            return Ok(Some(self.room.parent.children));
        }
        let Some(leaves) = self.condition.sole_leaves(self.room) else { return Ok(None) };
        Ok(Some(sql::bounded_count(&leaves, None).fetch_count(db).await.sql("searching")?))
    }

    fn conditions(&self, order: &Order, stage: Stage) -> Sql {
        let mut sql = self.driver.within(self.room, order, stage);
        let parent = match self.room.scope {
            Scope::Children => {
                let mut sql = Sql::default();
                sql.bind(self.room.parent.id.0);
                sql
            }
            Scope::Descendants { .. } => Sql::new("n.parent"),
        };
        let tested = Tested { id: self.driver.id(stage), parent };
        sql.push(" AND ").add(&self.condition.sql(&tested, self.driver.answers()));
        if let Some(only) = order.only(stage) {
            sql.push(" AND ").add(&only);
        }
        sql
    }

    /// `CROSS JOIN` keeps the order of the tables.
    fn joined(&self, mut columns: Sql, source: Source, rest: Sql, id: &str) -> Sql {
        let join = !source.has_node && (columns.mentions('n') || rest.mentions('n'));
        columns.push(" ").add(&source.sql);
        if join {
            columns.push(format!(" CROSS JOIN node n ON n.id = {id}"));
        }
        columns.add(&rest);
        columns
    }
}

/// How many nodes pass, exactly up to `limit`.
pub(crate) async fn count(
    db: &mut SqliteConnection,
    room: &Room,
    condition: &Condition,
    limit: Option<u64>,
) -> Result<Count> {
    if condition.is_always() && room.scope == Scope::Children {
        return Ok(bounded(room.parent.children, limit));
    }
    let bound = limit.map(|limit| limit.saturating_add(1));
    let counted = match condition.sole_leaves(room) {
        // The index alone knows.
        Some(leaves) => sql::bounded_count(&leaves, bound),
        None => {
            let driver = driver::choose(db, room, condition, &Order::created()).await?;
            sql::bounded_count(&Question { room, condition, driver: &driver }.all(), bound)
        }
    };
    let counted = counted.fetch_count(db).await.sql("searching")?;
    Ok(bounded(counted, limit))
}

/// Clients take a count up to the limit for exact and one more for "there are more".
fn bounded(counted: u64, limit: Option<u64>) -> Count {
    match limit {
        Some(limit) if counted > limit => Count::AtLeast(limit + 1),
        _ => Count::Exactly(counted),
    }
}

/// A subtree with so many containers is walked node by node.
const FEW_CONTAINERS: u64 = 10_000;

impl Room {
    /// The containers of the subtree, this one included, as `container`.
    fn containers(&self) -> Sql {
        let mut sql = Sql::new("SELECT id AS container FROM node INDEXED BY node_inner WHERE children > 0");
        let path = self.parent.path.as_str();
        if !path.is_empty() {
            sql.push(" AND (path = ").text(path).push(" OR path > ").text(format!("{path}/"));
            sql.push(" AND path < ").text(format!("{path}0")).push(")");
        }
        sql
    }

    async fn has_few_containers(&self, db: &mut SqliteConnection) -> Result<bool> {
        let count = sql::bounded_count(&self.containers(), Some(FEW_CONTAINERS + 1));
        Ok(count.fetch_count(db).await.sql("counting containers")? <= FEW_CONTAINERS)
    }

    /// Conditions that hold exactly for the nodes of this room.
    fn sql(&self) -> Sql {
        match self.scope {
            Scope::Children => {
                let mut sql = Sql::new("n.parent = ");
                sql.bind(self.parent.id.0);
                sql
            }
            Scope::Descendants { max_depth } => {
                let depth = self.parent.path.depth() as u64 + u64::from(max_depth);
                let mut sql = Sql::new("n.id <> 0 AND n.depth <= ");
                sql.bind(depth);
                if !self.parent.path.is_root() {
                    let path = self.parent.path.as_str();
                    // '0' follows '/' in the order of bytes.
                    sql.push(" AND n.path > ").text(format!("{path}/")).push(" AND n.path < ").text(format!("{path}0"));
                }
                sql
            }
        }
    }
}

/// How SQLite would go about the first page.
#[cfg(test)]
pub(crate) async fn plan(database: &Database, parent: NodeId, search: &Search) -> String {
    let mut db = database.reader().await.unwrap();
    let room = Room { parent: nodes::by_id(&mut db, parent).await.unwrap(), scope: search.scope };
    let condition = condition::resolve(&search.filter, &mut db, &database.paths).await.unwrap();
    let order = Order::new(&search.sort, &room, &mut db, &database.paths).await.unwrap();
    let driver = driver::choose(&mut db, &room, &condition, &order).await.unwrap();
    let stage = order.stages(&driver)[0];
    let question = Question { room: &room, condition: &condition, driver: &driver };
    question.sql(&order, stage, None, 100, 0).plan(&mut db).await
}
