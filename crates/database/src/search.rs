//! Searching: filters to SQL, sort orders to keyset cursors.
//!
//! [`condition`] resolves a filter to conditions that an index answers; [`driver`] chooses which of them leads the
//! query; [`order`] turns a sort order into comparable terms and cursors; [`distinct`] counts values.

mod condition;
mod distinct;
mod driver;
mod order;
mod sql;
mod text;

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
use order::{Order, Position, Stage, Value};
use sql::Sql;
use text::TextTests;

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
    let next = found.last().filter(|_| more).map(|found| order.cursor(&found.at));
    let ids: Vec<NodeId> = found.into_iter().map(|found| found.id).collect();
    Ok((nodes::by_ids(db, &ids).await?, next))
}

/// From here on it is worth knowing how many there are.
const FAR: u64 = if cfg!(test) { 2 } else { 1000 };

/// Index rows that are sorted at once where the index is not in the wanted order by itself.
const WINDOW: u64 = if cfg!(test) { 2 } else { 1000 };

/// Nodes whose text is tested at a time.
const TESTED: u64 = if cfg!(test) { 2 } else { 256 };

/// Which nodes are wanted, and what leads to them.
struct Question<'q> {
    room: &'q Room,
    condition: &'q Condition,
    driver: &'q Driver,
}

/// A node, and where it stands in the order.
struct Found {
    id: NodeId,
    at: Position,
}

/// What is still to be found.
struct Want {
    nodes: Vec<Found>,
    limit: u64,
    offset: u64,
}

impl Want {
    fn missing(&self) -> u64 {
        self.limit - self.nodes.len() as u64
    }
}

impl Question<'_> {
    /// The numbers of nodes, in order. The nodes themselves are only looked at where a condition or the order asks
    /// for what the index does not have.
    async fn ids(
        &self,
        db: &mut SqliteConnection,
        order: &Order,
        after: Option<&Position>,
        limit: u64,
        offset: u64,
    ) -> Result<Vec<Found>> {
        let mut want = Want { nodes: Vec::new(), limit, offset };
        for stage in order.stages(self.driver).iter().copied() {
            if want.missing() == 0 || after.is_some_and(|after| after.is_past(stage)) {
                continue;
            }
            let after = after.filter(|after| after.is_in(stage));
            match stage {
                Stage::With if !order.is_of_index() => self.groups(db, order, after, &mut want).await?,
                Stage::All | Stage::With => self.rows(db, order, stage, &Sql::new("1"), after, &mut want).await?,
                Stage::Without if self.all_have(db, order).await? => {}
                Stage::Without => {
                    let lacking = Condition::Not(Box::new(order.has_first()));
                    self.part(db, order, lacking, Position::without(), after, &mut want).await?;
                }
            }
        }
        Ok(want.nodes)
    }

    /// The conditions that are tested on what a statement finds.
    fn text_tests(&self) -> TextTests<'_> {
        TextTests::of(self.condition, self.driver.answers())
    }

    /// Nodes of a stage within a part of its index.
    async fn rows(
        &self,
        db: &mut SqliteConnection,
        order: &Order,
        stage: Stage,
        within: &Sql,
        after: Option<&Position>,
        want: &mut Want,
    ) -> Result<()> {
        if !self.text_tests().is_empty() {
            return self.tested_rows(db, order, stage, within, after, want).await;
        }
        let sql = self.sql(order, stage, within, after, want.missing(), want.offset);
        let rows = sql.fetch_all(db).await.sql("searching")?;
        if rows.is_empty() && want.offset > 0 {
            // The page begins later: take away what is here.
            want.offset -= self.count(db, order, stage, within).await?.min(want.offset);
            return Ok(());
        }
        want.offset = 0;
        for row in &rows {
            want.nodes.push(Found { id: NodeId(row.get(0)), at: order.position(row, stage)? });
        }
        Ok(())
    }

    /// The same where text is to be tested: a batch at a time.
    async fn tested_rows(
        &self,
        db: &mut SqliteConnection,
        order: &Order,
        stage: Stage,
        within: &Sql,
        after: Option<&Position>,
        want: &mut Want,
    ) -> Result<()> {
        let tests = self.text_tests();
        let mut after = after.cloned();
        loop {
            let sql = self.sql(order, stage, within, after.as_ref(), TESTED, 0);
            let rows = sql.fetch_all(db).await.sql("searching")?;
            for row in &rows {
                let (id, at) = (row.get(0), order.position(row, stage)?);
                after = Some(at.clone());
                if !tests.pass(db, id, row.get(1)).await? {
                    continue;
                }
                if want.offset > 0 {
                    want.offset -= 1;
                    continue;
                }
                want.nodes.push(Found { id: NodeId(id), at });
                if want.missing() == 0 {
                    return Ok(());
                }
            }
            if (rows.len() as u64) < TESTED {
                return Ok(());
            }
        }
    }

    /// The nodes that have the first value of the order, where its index says nothing of what comes next: many nodes
    /// of the same value are a question of their own, others are sorted a window at a time.
    async fn groups(
        &self,
        db: &mut SqliteConnection,
        order: &Order,
        after: Option<&Position>,
        want: &mut Want,
    ) -> Result<()> {
        let mut after = after;
        let mut window = WINDOW;
        let mut begin = match after {
            Some(after) => Some(after.first()),
            None => self.value(db, order, None, 0).await?,
        };
        while let Some(first) = begin {
            if want.missing() == 0 {
                break;
            }
            let end = self.value(db, order, Some((&first, true)), window).await?;
            if end.as_ref() == Some(&first)
                && let Some(same) = order.first_is(&first)
            {
                self.part(db, order, same, Position::with(&first), after, want).await?;
                begin = self.value(db, order, Some((&first, false)), 0).await?;
            } else {
                let within = order.between(&first, end.as_ref());
                self.rows(db, order, Stage::With, &within, after, want).await?;
                begin = end;
                // Where a condition lets few pass, the way is long.
                window *= 2;
            }
            after = None;
        }
        Ok(())
    }

    /// The nodes that have the same first value of the order, or none, which `condition` says; what remains of the order
    /// sorts them.
    async fn part(
        &self,
        db: &mut SqliteConnection,
        order: &Order,
        condition: Condition,
        at: Position,
        after: Option<&Position>,
        want: &mut Want,
    ) -> Result<()> {
        let condition = self.condition.and(condition);
        let rest = order.rest();
        let driver = driver::choose(db, self.room, &condition, &rest).await?;
        let question = Question { room: self.room, condition: &condition, driver: &driver };
        let after = after.map(Position::rest);
        let found = Box::pin(question.ids(db, &rest, after.as_ref(), want.missing(), want.offset)).await?;
        if found.is_empty() && want.offset > 0 {
            let here = match count(db, self.room, &condition, Some(want.offset)).await? {
                Count::Exactly(here) | Count::AtLeast(here) => here,
            };
            want.offset -= here.min(want.offset);
            return Ok(());
        }
        want.offset = 0;
        want.nodes.extend(found.into_iter().map(|found| Found { at: at.then(found.at), ..found }));
        Ok(())
    }

    /// The first value of the order that is `offset` index rows on, from a value on or behind it.
    async fn value(
        &self,
        db: &mut SqliteConnection,
        order: &Order,
        from: Option<(&Value, bool)>,
        offset: u64,
    ) -> Result<Option<Value>> {
        let sql = order.values(self.room, from, offset);
        let rows = sql.fetch_all(db).await.sql("walking an index")?;
        rows.first().map(Value::read).transpose()
    }

    fn sql(&self, order: &Order, stage: Stage, within: &Sql, after: Option<&Position>, limit: u64, offset: u64) -> Sql {
        let terms = order.terms(self.driver, stage);
        let id = self.driver.id(stage);
        let later = self.text_tests();
        let mut columns = Sql::new(format!("SELECT {id}, {}", if later.is_empty() { "NULL" } else { "n.metadata" }));
        for term in &terms {
            columns.push(", ").add(&term.sql);
        }
        let merged = after.map(|after| after.beyond_node(order));
        let source = self.driver.source(self.room, order, stage, merged.as_ref());
        let mut rest = Sql::new(" WHERE ");
        rest.add(&self.conditions(order, stage, &later)).push(" AND ").add(within);
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
    async fn count(&self, db: &mut SqliteConnection, order: &Order, stage: Stage, within: &Sql) -> Result<u64> {
        let mut rest = Sql::new(" WHERE ");
        rest.add(&self.conditions(order, stage, &TextTests::none())).push(" AND ").add(within);
        let source = self.driver.source(self.room, order, stage, None);
        let sql = self.joined(Sql::new("SELECT count(*)"), source, rest, self.driver.id(stage));
        sql.fetch_count(db).await.sql("searching")
    }

    /// Whether no node lacks the value that leads the order: to find those that do, all nodes are looked at.
    async fn all_have(&self, db: &mut SqliteConnection, order: &Order) -> Result<bool> {
        let held = sqlx::query_scalar("SELECT leaves FROM tally WHERE parent = ? AND path = ?");
        let held: Option<i64> = held
            .bind(self.room.parent.id.0)
            .bind(order.first_path())
            .fetch_optional(db)
            .await
            .sql("counting values")?;
        Ok(held.unwrap_or_default() as u64 >= self.room.parent.children)
    }

    /// A query for the numbers of all nodes.
    fn all(&self) -> Sql {
        let order = Order::created();
        let id = self.driver.id(Stage::All);
        let mut rest = Sql::new(" WHERE ");
        rest.add(&self.conditions(&order, Stage::All, &TextTests::none()));
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

    /// All conditions but those that are tested later.
    fn conditions(&self, order: &Order, stage: Stage, later: &TextTests<'_>) -> Sql {
        let mut sql = self.driver.within(self.room, order, stage);
        let parent = match self.room.scope {
            Scope::Children => {
                let mut sql = Sql::default();
                sql.bind(self.room.parent.id.0);
                sql
            }
            Scope::Descendants { .. } => Sql::new("n.parent"),
        };
        let tested = Tested { id: Sql::new(self.driver.id(stage)), parent };
        for condition in self.condition.conjuncts().iter().filter(|condition| !later.has(condition)) {
            sql.push(" AND ").add(&condition.sql(&tested, self.driver.answers()));
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
    question.sql(&order, stage, &Sql::new("1"), None, 100, 0).plan(&mut db).await
}
