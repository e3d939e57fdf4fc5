//! Which index leads a query.
//!
//! A condition that holds for few nodes leads: its nodes are looked at, and sorted if need be. Otherwise the
//! wanted order leads: nodes are walked in it and tested one by one until the page is full. A
//! single value's index rows are in the order of creation already, so for that order they always lead.

use girih_model::Result;
use sqlx::SqliteConnection;

use super::condition::{Condition, matching};
use super::order::{Order, Stage};
use super::sql::{Sql, bounded_count};
use super::{Room, Scope};
use crate::fault::Sqlx;
use crate::leaf::{Kind, Stored};

/// So many nodes are sorted faster than an order is walked. Tests have few nodes, and shall see every way.
const FEW: u64 = if cfg!(test) { 2 } else { 2000 };
/// To ask whether one node has certain words takes as long as to list so many that do.
const PROBE: u64 = 50;
/// Most alternatives that are looked up one by one; SQLite takes 500.
const MANY_BRANCHES: usize = 50;
/// Most keys that are looked up one by one.
const MANY_KEYS: usize = 1000;

#[derive(Debug)]
pub(crate) enum Driver {
    /// The order leads; what it comes by may have to be one of a set of nodes that is made beforehand.
    Walk {
        among: Option<(Sql, Condition)>,
    },
    /// The rows of some values, which are in the order of creation.
    Points {
        path: i64,
        values: Vec<(Kind, Stored)>,
        answers: Condition,
    },
    /// A selection of few nodes.
    Few {
        nodes: Sql,
        answers: Condition,
    },
    Words {
        query: String,
        answers: Condition,
    },
    Keys,
}

/// From where the rows of a query come.
pub(crate) struct Source {
    pub sql: Sql,
    /// The node itself is there, as `n`; otherwise it can be joined.
    pub has_node: bool,
    /// The rows come in the order that is wanted.
    pub is_ordered: bool,
}

/// How many nodes are put into a set to be walked by: making it costs for each of its members, and walking without it
/// costs for each node that is come by in vain; this is where both are the same.
fn set_limit(children: u64) -> u64 {
    let cost = if cfg!(test) { 1.0 } else { 2000.0 };
    ((cost * children as f64).sqrt() as u64).max(FEW)
}

pub(crate) async fn choose(
    db: &mut SqliteConnection,
    room: &Room,
    condition: &Condition,
    order: &Order,
) -> Result<Driver> {
    let walk = Driver::Walk { among: None };
    let conjuncts = condition.conjuncts();
    let words = conjuncts.iter().find_map(|c| match c {
        Condition::Words(terms) => Some(Driver::Words { query: matching(terms), answers: c.clone() }),
        _ => None,
    });
    let children = room.scope == Scope::Children;
    if !children && (words.is_some() || !room.has_few_containers(db).await?) {
        return Ok(words.unwrap_or(walk));
    }
    // The words of all nodes are in one index: a small container is walked.
    if let Some(Driver::Words { query, answers }) = &words
        && room.parent.children <= FEW
        && children
        && conjuncts.len() == 1
    {
        let nodes = with_words(query);
        let limit = room.parent.children * PROBE;
        let count = bounded_count(&nodes, Some(limit + 1)).fetch_count(db).await.sql("searching")?;
        return Ok(if count <= limit { Driver::Walk { among: Some((nodes, answers.clone())) } } else { walk });
    }
    if children && conjuncts.iter().any(|c| matches!(c, Condition::Keys(keys) if keys.len() <= MANY_KEYS)) {
        return Ok(Driver::Keys);
    }
    let points = conjuncts.iter().filter_map(|c| match c {
        Condition::Points { path, values } if values.len() <= MANY_BRANCHES => {
            Some(Driver::Points { path: *path, values: distinct(values), answers: c.clone() })
        }
        _ => None,
    });
    // What is in the order of creation by itself leads there: words first, for a value is sooner tested than they.
    let in_order = words.or_else(|| points.into_iter().next()).filter(|_| children && order.is_created());
    let selections: Vec<(Sql, &Condition)> = conjuncts
        .iter()
        .filter(|c| !(c.has_words() && matches!(in_order, Some(Driver::Words { .. }))))
        .filter_map(|c| selection(c, room).map(|nodes| (nodes, c)))
        .collect();
    if in_order.is_some() && conjuncts.len() == 1 {
        return Ok(in_order.unwrap_or(walk));
    }
    let limit = if children && in_order.is_none() { set_limit(room.parent.children) } else { FEW };
    let mut best: Option<(u64, Sql, &Condition)> = None;
    for (nodes, c) in selections {
        let most = best.as_ref().map_or(limit, |(least, ..)| *least);
        let count = bounded_count(&nodes, Some(most + 1)).fetch_count(db).await.sql("searching")?;
        if count <= most {
            best = Some((count, nodes, c));
        }
    }
    Ok(match (best, in_order) {
        (Some((count, nodes, c)), _) if count <= FEW => Driver::Few { nodes, answers: c.clone() },
        (_, Some(in_order)) => in_order,
        (Some((_, nodes, c)), None) if children => Driver::Walk { among: Some((nodes, c.clone())) },
        _ => walk,
    })
}

fn distinct(values: &[(Kind, Stored)]) -> Vec<(Kind, Stored)> {
    let mut distinct: Vec<(Kind, Stored)> = Vec::with_capacity(values.len());
    for value in values {
        if !distinct.contains(value) {
            distinct.push(value.clone());
        }
    }
    distinct
}

/// The numbers of the nodes that pass, from an index.
fn selection(condition: &Condition, room: &Room) -> Option<Sql> {
    let mut sql = Sql::new("SELECT node AS id ");
    match condition {
        Condition::Words(terms) => {
            return Some(with_words(&matching(terms)));
        }
        Condition::Or(any) if (1..=MANY_BRANCHES).contains(&any.len()) => {
            let mut all = Sql::default();
            for (n, one) in any.iter().enumerate() {
                all.push(if n > 0 { " UNION " } else { "" }).add(&selection(one, room)?);
            }
            return Some(all);
        }
        one => sql.add(&one.leaves(room)?),
    };
    Some(sql)
}

/// The numbers of all nodes with these words.
fn with_words(query: &str) -> Sql {
    let mut sql = Sql::new("SELECT rowid AS id FROM words WHERE words MATCH ");
    sql.text(query);
    sql
}

impl Driver {
    /// The condition that needs no test any more.
    pub fn answers(&self) -> Option<&Condition> {
        match self {
            Self::Points { answers, .. }
            | Self::Few { answers, .. }
            | Self::Words { answers, .. }
            | Self::Walk { among: Some((_, answers)) } => Some(answers).filter(|answered| answered.is_exact()),
            Self::Walk { among: None } | Self::Keys => None,
        }
    }

    /// The column that holds the node's number.
    pub fn id(&self, stage: Stage) -> &'static str {
        match (self, stage) {
            (Self::Points { .. }, _) => "f.node",
            (Self::Few { .. }, _) => "f.id",
            (Self::Words { .. }, _) => "w.rowid",
            (_, Stage::With) => "l.node",
            _ => "n.id",
        }
    }

    /// The FROM clause. `beyond` is a condition on `node` that the rows of the index must meet.
    pub fn source(&self, room: &Room, order: &Order, stage: Stage, beyond: Option<&Sql>) -> Source {
        let table = |sql: &str, has_node| Source { sql: Sql::new(sql), has_node, is_ordered: false };
        match self {
            Self::Walk { .. } if stage == Stage::With => table("FROM leaf l", false),
            Self::Walk { .. } if room.scope != Scope::Children => table("FROM node n", true),
            Self::Walk { .. } if order.is_by_key() => table("FROM node n INDEXED BY node_key", true),
            Self::Walk { .. } => table("FROM node n INDEXED BY node_order", true),
            Self::Keys => table("FROM node n INDEXED BY node_key", true),
            Self::Points { path, values, .. } => match values.as_slice() {
                [_] => table("FROM leaf f", false),
                _ => merged(room, order, *path, values, beyond),
            },
            Self::Few { nodes, .. } => {
                let mut sql = Sql::new("FROM (SELECT DISTINCT id FROM (");
                sql.add(nodes).push(")) f");
                Source { sql, has_node: false, is_ordered: false }
            }
            Self::Words { .. } => table("FROM words w", false),
        }
    }

    /// Conditions that keep the query to this driver's rows and to the room.
    pub fn within(&self, room: &Room, order: &Order, stage: Stage) -> Sql {
        let mut sql = Sql::default();
        match self {
            Self::Walk { .. } if stage == Stage::With => {
                sql.push("l.parent = ").bind(room.parent.id.0).push(" AND l.path = ").bind(order.first_path());
            }
            Self::Points { path, values, .. } => match values.as_slice() {
                [(kind, value)] => {
                    sql.push("f.parent = ").bind(room.parent.id.0).push(" AND f.path = ").bind(*path);
                    sql.push(" AND f.kind = ").bind(*kind as i64).push(" AND f.value = ").value(value.clone());
                }
                _ => {
                    sql.push("1");
                }
            },
            Self::Words { query, .. } => {
                sql.push("words MATCH ").text(query.clone()).push(" AND ").add(&room.sql());
            }
            // The index rows were this room's.
            Self::Few { answers, .. } if room.scope == Scope::Children && !answers.has_words() => {
                sql.push("1");
            }
            Self::Walk { .. } | Self::Keys | Self::Few { .. } => {
                sql.add(&room.sql());
            }
        }
        if let Self::Walk { among: Some((nodes, _)) } = self {
            sql.push(format!(" AND {} IN (", self.id(stage))).add(nodes).push(")");
        }
        sql
    }
}

/// The index rows of several values, in the order of creation: each value's are, so they are merged.
fn merged(room: &Room, order: &Order, path: i64, values: &[(Kind, Stored)], beyond: Option<&Sql>) -> Source {
    let mut sql = Sql::new("FROM (");
    for (n, (kind, value)) in values.iter().enumerate() {
        sql.push(if n > 0 { " UNION ALL " } else { "" }).push("SELECT node FROM leaf WHERE parent = ");
        sql.bind(room.parent.id.0).push(" AND path = ").bind(path);
        sql.push(" AND kind = ").bind(*kind as i64).push(" AND value = ").value(value.clone());
        if let Some(beyond) = beyond {
            sql.push(" AND ").add(beyond);
        }
    }
    // The limit keeps SQLite from dropping this order as that of an inner query.
    sql.push(if order.is_descending() { " ORDER BY node DESC" } else { " ORDER BY node" }).push(" LIMIT -1) f");
    Source { sql, has_node: false, is_ordered: true }
}
