//! Which index leads a query.
//!
//! A condition that holds for few nodes leads: its nodes are looked at, and sorted if need be. Otherwise the
//! wanted order leads: nodes are walked in it and tested one by one until the page is full. A
//! single value's index rows are in the order of creation already, so for that order they always lead.

use girih_model::Result;
use sqlx::SqliteConnection;

use super::condition::Condition;
use super::order::{Order, Stage};
use super::sql::{Sql, bounded_count};
use super::{Room, Scope};
use crate::fault::Sqlx;
use crate::leaf::{Kind, Stored};

/// So many nodes are sorted faster than an order is walked.
const FEW: u64 = 2000;
/// Most alternatives that are looked up one by one; SQLite takes 500.
const MANY_BRANCHES: usize = 50;
/// Most keys that are looked up one by one.
const MANY_KEYS: usize = 1000;

#[derive(Debug)]
pub(crate) enum Driver {
    /// The order leads.
    Walk,
    /// The rows of one value, which are in the order of creation.
    Point {
        path: i64,
        kind: Kind,
        value: Stored,
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

pub(crate) async fn choose(
    db: &mut SqliteConnection,
    room: &Room,
    condition: &Condition,
    order: &Order,
) -> Result<Driver> {
    let conjuncts = condition.conjuncts();
    let words = conjuncts.iter().find_map(|c| match c {
        Condition::Words(query) => Some(Driver::Words { query: query.clone(), answers: c.clone() }),
        _ => None,
    });
    let children = room.scope == Scope::Children;
    if !children && (words.is_some() || !room.has_few_containers(db).await?) {
        return Ok(words.unwrap_or(Driver::Walk));
    }
    // The words of all nodes are in one index: a small container is walked.
    if words.is_some() && room.parent.children <= FEW && children && conjuncts.len() == 1 {
        return Ok(Driver::Walk);
    }
    if children && conjuncts.iter().any(|c| matches!(c, Condition::Keys(keys) if keys.len() <= MANY_KEYS)) {
        return Ok(Driver::Keys);
    }
    let points = conjuncts.iter().filter_map(|c| match c {
        Condition::Points { path, values } => match values.as_slice() {
            [(kind, value)] => {
                Some(Driver::Point { path: *path, kind: *kind, value: value.clone(), answers: c.clone() })
            }
            _ => None,
        },
        _ => None,
    });
    let mut points: Vec<_> = points.collect();
    let selections: Vec<(Sql, &Condition)> =
        conjuncts.iter().filter_map(|c| selection(c, room).map(|nodes| (nodes, c))).collect();
    if children && order.is_created() && points.len() == 1 && selections.len() == 1 {
        return Ok(points.swap_remove(0));
    }
    let mut best: Option<(u64, Sql, &Condition)> = None;
    for (nodes, c) in selections {
        let count = bounded_count(&nodes, Some(FEW + 1)).fetch_count(db).await.sql("searching")?;
        if best.as_ref().is_none_or(|(least, ..)| count < *least) {
            best = Some((count, nodes, c));
        }
    }
    Ok(match best {
        Some((count, nodes, c)) if count <= FEW => Driver::Few { nodes, answers: c.clone() },
        _ if children && order.is_created() && !points.is_empty() => points.swap_remove(0),
        _ if order.is_created() => words.unwrap_or(Driver::Walk),
        _ => Driver::Walk,
    })
}

/// The numbers of the nodes that pass, from an index.
fn selection(condition: &Condition, room: &Room) -> Option<Sql> {
    let mut sql = Sql::new("SELECT node AS id ");
    match condition {
        Condition::Words(query) => {
            let mut sql = Sql::new("SELECT rowid AS id FROM words WHERE words MATCH ");
            sql.text(query.clone());
            return Some(sql);
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

impl Driver {
    /// The condition that needs no test any more.
    pub fn answers(&self) -> Option<&Condition> {
        match self {
            Self::Point { answers, .. } | Self::Few { answers, .. } | Self::Words { answers, .. } => {
                Some(answers).filter(|answered| answered.is_exact())
            }
            Self::Walk | Self::Keys => None,
        }
    }

    /// The column that holds the node's number.
    pub fn id(&self, stage: Stage) -> &'static str {
        match (self, stage) {
            (Self::Point { .. }, _) => "f.node",
            (Self::Words { .. }, _) => "w.rowid",
            (_, Stage::With) => "l.node",
            _ => "n.id",
        }
    }

    /// The FROM clause; `CROSS JOIN` keeps the order of the tables.
    pub fn from(&self, room: &Room, order: &Order, stage: Stage) -> Sql {
        match self {
            Self::Walk if stage == Stage::With => Sql::new("FROM leaf l CROSS JOIN node n ON n.id = l.node"),
            Self::Walk if room.scope != Scope::Children => Sql::new("FROM node n"),
            Self::Walk if order.is_by_key() => Sql::new("FROM node n INDEXED BY node_key"),
            Self::Walk => Sql::new("FROM node n INDEXED BY node_order"),
            Self::Keys => Sql::new("FROM node n INDEXED BY node_key"),
            Self::Point { .. } => Sql::new("FROM leaf f CROSS JOIN node n ON n.id = f.node"),
            Self::Few { nodes, .. } => {
                let mut sql = Sql::new("FROM (SELECT DISTINCT id FROM (");
                sql.add(nodes).push(")) f CROSS JOIN node n ON n.id = f.id");
                sql
            }
            Self::Words { .. } => Sql::new("FROM words w CROSS JOIN node n ON n.id = w.rowid"),
        }
    }

    /// Conditions that keep the query to this driver's rows and to the room.
    pub fn within(&self, room: &Room, order: &Order, stage: Stage) -> Sql {
        let mut sql = Sql::default();
        match self {
            Self::Walk if stage == Stage::With => {
                sql.push("l.parent = ").bind(room.parent.id.0).push(" AND l.path = ").bind(order.first_path());
            }
            Self::Point { path, kind, value, .. } => {
                sql.push("f.parent = ").bind(room.parent.id.0).push(" AND f.path = ").bind(*path);
                sql.push(" AND f.kind = ").bind(*kind as i64).push(" AND f.value = ").value(value.clone());
            }
            Self::Words { query, .. } => {
                sql.push("words MATCH ").text(query.clone()).push(" AND ").add(&room.sql());
            }
            Self::Walk | Self::Keys | Self::Few { .. } => {
                sql.add(&room.sql());
            }
        }
        sql
    }
}
