//! Sort orders as terms that compare, and the cursors made of their values.
//!
//! A value sorts by three terms: whether it is missing (always last), its kind, itself. When
//! the order leads the query, nodes with the value are walked along the index (stage `With`) and those without it
//! follow (stage `Without`); otherwise there is one stage, `All`. Nodes that are the same in the first key are a
//! question of their own, in what is left of the order. A cursor holds the values of all terms, whatever the way
//! that led to a node.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use girih_model::{Error, Result, ResultExt};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection, TypeInfo, ValueRef};

use super::condition::{Condition, Place};
use super::driver::Driver;
use super::sql::Sql;
use super::{Cursor, Room, Scope, Sort, SortKey};
use crate::leaf::{KeyPaths, Kind, Stored};

/// The node's number and its metadata come before the terms.
const FIRST_TERM: usize = 2;
/// Stands for the kind of a value that is not there.
const MISSING: i64 = 6;
/// Most sort keys.
const MAX_KEYS: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    All,
    With,
    Without,
}

#[derive(Debug)]
pub(crate) struct Order {
    keys: Vec<Key>,
    /// Direction of the last tie-break, creation.
    descending: bool,
    /// Nodes without the value come first.
    from_behind: bool,
    /// Tells the cursors of one order from those of another; empty for the order of creation.
    tag: String,
}

#[derive(Debug, Clone)]
enum Key {
    Node { descending: bool },
    Value { place: Place, descending: bool },
}

pub(crate) struct OrderTerm {
    pub sql: Sql,
    pub descending: bool,
}

/// Where a node stands: the values of all terms.
#[derive(Debug, Clone)]
pub(crate) struct Position(Vec<Stored>);

/// A value of the index, and its kind before it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Value {
    kind: Stored,
    value: Stored,
}

impl Value {
    pub fn read(row: &SqliteRow) -> Result<Self> {
        Ok(Self { kind: read(row, 0)?, value: read(row, 1)? })
    }

    fn sql(&self) -> Sql {
        let mut sql = Sql::new("(");
        sql.value(self.kind.clone()).push(", ").value(self.value.clone()).push(")");
        sql
    }
}

impl Order {
    pub fn created() -> Self {
        Self { keys: Vec::new(), descending: false, from_behind: false, tag: String::new() }
    }

    pub async fn new(sort: &[Sort], room: &Room, db: &mut SqliteConnection, paths: &KeyPaths) -> Result<Self> {
        let mut order = Self::created();
        if sort.len() > MAX_KEYS {
            return Err(Error::malformed(format!("At most {MAX_KEYS} sort keys are allowed.")));
        }
        for (n, key) in sort.iter().enumerate() {
            if sort[..n].iter().any(|other| other.key == key.key) {
                return Err(Error::malformed(format!("Duplicate sorting key: {}", name(&key.key))));
            }
            let descending = key.descending;
            match &key.key {
                SortKey::Created if n + 1 < sort.len() => {
                    return Err(Error::malformed(
                        "Default sorting (empty string) must be the last item in the sort list",
                    ));
                }
                SortKey::Created => order.descending = descending,
                SortKey::Key => order.keys.push(Key::Node { descending }),
                SortKey::Value(path) => {
                    // What no node has orders nothing.
                    if let Some(id) = paths.find(db, path, false).await? {
                        order.keys.push(Key::Value { place: Place { path: id, keys: path.clone() }, descending });
                    }
                }
            }
        }
        let named = sort.iter().any(|key| key.key != SortKey::Created);
        if named && room.scope != Scope::Children {
            return Err(Error::malformed("Sorting is not supported for deep search."));
        }
        if named {
            let text: Vec<_> = sort.iter().map(|key| format!("{}{}", name(&key.key), key.descending)).collect();
            let digest = Sha256::digest(text.join("\0").as_bytes());
            order.tag = URL_SAFE_NO_PAD.encode(&digest[..6]);
        }
        Ok(order)
    }

    pub fn is_created(&self) -> bool {
        self.keys.is_empty()
    }

    /// Newest first, if in the order of creation.
    pub fn is_descending(&self) -> bool {
        self.descending
    }

    /// The same nodes from the other end.
    pub fn reversed(&self) -> Self {
        let keys = self.keys.iter().map(|key| match key {
            Key::Node { descending } => Key::Node { descending: !descending },
            Key::Value { place, descending } => Key::Value { place: place.clone(), descending: !descending },
        });
        Self {
            keys: keys.collect(),
            descending: !self.descending,
            from_behind: !self.from_behind,
            tag: self.tag.clone(),
        }
    }

    pub fn is_by_key(&self) -> bool {
        matches!(self.keys.first(), Some(Key::Node { .. }))
    }

    /// The index path of the first key, where it leads.
    pub fn first_path(&self) -> i64 {
        match self.keys.first() {
            Some(Key::Value { place, .. }) => place.path,
            _ => 0,
        }
    }

    pub fn stages(&self, driver: &Driver) -> &'static [Stage] {
        match (self.keys.first(), driver) {
            (Some(Key::Value { .. }), Driver::Walk { .. }) if self.from_behind => &[Stage::Without, Stage::With],
            (Some(Key::Value { .. }), Driver::Walk { .. }) => &[Stage::With, Stage::Without],
            _ => &[Stage::All],
        }
    }

    /// The index of the first key is in this order to the last.
    pub fn is_of_index(&self) -> bool {
        matches!(self.keys.as_slice(), [Key::Value { descending, .. }] if *descending == self.descending)
    }

    /// What orders the nodes that are the same in the first key.
    pub fn rest(&self) -> Self {
        let keys = self.keys.iter().skip(1).cloned().collect();
        Self { keys, descending: self.descending, from_behind: self.from_behind, tag: String::new() }
    }

    /// The first key is a value that nodes with it have.
    pub fn has_first(&self) -> Condition {
        match self.keys.first() {
            Some(Key::Value { place, .. }) => Condition::Present(place.clone()),
            _ => Condition::And(Vec::new()),
        }
    }

    /// The first key has this value; `None` for what no index holds.
    pub fn first_is(&self, value: &Value) -> Option<Condition> {
        let Stored::Integer(kind) = value.kind else { return None };
        Some(Condition::Points { path: self.first_path(), values: vec![(Kind::of(kind)?, value.value.clone())] })
    }

    /// `SELECT` of one value of the first key, `offset` index rows from the first, or from another on or behind it.
    pub fn values(&self, room: &Room, from: Option<(&Value, bool)>, offset: u64) -> Sql {
        let mut sql = Sql::new("SELECT kind, value FROM leaf WHERE parent = ");
        sql.bind(room.parent.id.0).push(" AND path = ").bind(self.first_path());
        if let Some((from, inclusive)) = from {
            sql.push(" AND (kind, value) ").push(self.onward(inclusive)).push(" ").add(&from.sql());
        }
        let direction = if self.first_descends() { " DESC" } else { "" };
        sql.push(format!(" ORDER BY kind{direction}, value{direction} LIMIT 1 OFFSET ")).bind(offset);
        sql
    }

    /// A condition on the rows of the first key's index: from a value on, up to another.
    pub fn between(&self, from: &Value, to: Option<&Value>) -> Sql {
        let mut sql = Sql::new("(l.kind, l.value) ");
        sql.push(self.onward(true)).push(" ").add(&from.sql());
        if let Some(to) = to {
            let before = if self.first_descends() { ">" } else { "<" };
            sql.push(" AND (l.kind, l.value) ").push(before).push(" ").add(&to.sql());
        }
        sql
    }

    fn first_descends(&self) -> bool {
        matches!(self.keys.first(), Some(Key::Node { descending: true } | Key::Value { descending: true, .. }))
    }

    fn onward(&self, inclusive: bool) -> &'static str {
        match (self.first_descends(), inclusive) {
            (false, true) => ">=",
            (false, false) => ">",
            (true, true) => "<=",
            (true, false) => "<",
        }
    }

    pub fn terms(&self, driver: &Driver, stage: Stage) -> Vec<OrderTerm> {
        let mut terms = Vec::new();
        let mut add = |sql: Sql, descending: bool| terms.push(OrderTerm { sql, descending });
        for (n, key) in self.keys.iter().enumerate() {
            match key {
                Key::Node { descending } => add(Sql::new("n.key"), *descending),
                Key::Value { descending, .. } if n == 0 && stage == Stage::With => {
                    add(Sql::new("l.kind"), *descending);
                    add(Sql::new("l.value"), *descending);
                }
                Key::Value { place, descending } => {
                    let mut missing = Sql::new("(");
                    missing.add(&kind(place)).push(format!(" = {MISSING})"));
                    add(missing, self.from_behind);
                    add(kind(place), *descending);
                    add(value(place), *descending);
                }
            }
        }
        add(Sql::new(driver.id(stage)), self.descending);
        terms
    }

    /// Where the node of this row stands.
    pub fn position(&self, row: &SqliteRow, stage: Stage) -> Result<Position> {
        let mut values = match stage {
            Stage::With => vec![Stored::Integer(0)],
            Stage::All | Stage::Without => Vec::new(),
        };
        for column in FIRST_TERM..row.len() {
            values.push(read(row, column)?);
        }
        Ok(Position(values))
    }

    /// The cursor behind a position.
    pub fn cursor(&self, at: &Position) -> Cursor {
        let values: Vec<Json> = at.0.iter().map(to_json).collect();
        match (self.tag.as_str(), values.last()) {
            ("", Some(id)) => Cursor(id.to_string()),
            (tag, _) => Cursor(URL_SAFE_NO_PAD.encode(json!([tag, values]).to_string())),
        }
    }

    pub fn read(&self, cursor: &Cursor) -> Result<Position> {
        let bad = || {
            Error::malformed(
                "This page[cursor] does not belong to this sort order. Take it from the \"next\" link of the page before.",
            )
        };
        if self.tag.is_empty() {
            let id = cursor.0.parse().map_err(|_| bad())?;
            return Ok(Position(vec![Stored::Integer(id)]));
        }
        let text = URL_SAFE_NO_PAD.decode(&cursor.0).map_err(|_| bad())?;
        let (tag, values): (String, Vec<Json>) = serde_json::from_slice(&text).map_err(|_| bad())?;
        let width = |key: &Key| if matches!(key, Key::Node { .. }) { 1 } else { 3 };
        if tag != self.tag || values.len() != self.keys.iter().map(width).sum::<usize>() + 1 {
            return Err(bad());
        }
        let stored = values.into_iter().map(|value| match value {
            Json::Number(n) if n.is_i64() => Ok(Stored::Integer(n.as_i64().unwrap_or_default())),
            Json::Number(n) => Ok(Stored::Real(n.as_f64().unwrap_or_default())),
            Json::String(text) => Ok(Stored::Text(text)),
            _ => Err(bad()),
        });
        Ok(Position(stored.collect::<Result<_>>()?))
    }
}

impl Position {
    /// Before all nodes without the first value.
    pub fn without() -> Self {
        Self(vec![Stored::Integer(1), Stored::Integer(MISSING), Stored::Integer(0)])
    }

    /// Before all nodes with this first value.
    pub fn with(value: &Value) -> Self {
        Self(vec![Stored::Integer(0), value.kind.clone(), value.value.clone()])
    }

    /// A position in what is the same in the first key, as one in all.
    pub fn then(&self, rest: Self) -> Self {
        Self(self.0.iter().cloned().chain(rest.0).collect())
    }

    /// The position in what is the same in the first key.
    pub fn rest(&self) -> Self {
        Self(self.0[3..].to_vec())
    }

    /// The first value of this position.
    pub fn first(&self) -> Value {
        Value { kind: self.0[1].clone(), value: self.0[2].clone() }
    }

    fn is_missing(&self) -> bool {
        self.0[0] == Stored::Integer(1)
    }

    /// The stage has been walked to its end.
    pub fn is_past(&self, stage: Stage) -> bool {
        stage == Stage::With && self.is_missing()
    }

    /// The position lies within this stage.
    pub fn is_in(&self, stage: Stage) -> bool {
        match stage {
            Stage::All => true,
            Stage::With => !self.is_missing(),
            Stage::Without => self.is_missing(),
        }
    }

    /// The same as a condition on the node's number alone, in the order of creation.
    pub fn beyond_node(&self, order: &Order) -> Sql {
        let mut sql = Sql::new(if order.is_descending() { "node < " } else { "node > " });
        sql.value(self.0[self.0.len() - 1].clone());
        sql
    }

    /// What comes behind this position, in the order of the terms.
    pub fn beyond(&self, terms: &[OrderTerm]) -> Sql {
        // The stage leaves out leading terms that are the same for all of it.
        let values = &self.0[self.0.len() - terms.len()..];
        let mut sql = Sql::new("(");
        let leading = &terms[0];
        // Said apart, so that the index is entered here.
        sql.add(&leading.sql).push(if leading.descending { " <= " } else { " >= " }).value(values[0].clone());
        if let [first, second, _, ..] = terms
            && first.descending == second.descending
        {
            sql.push(" AND (").add(&first.sql).push(", ").add(&second.sql);
            sql.push(if first.descending { ") <= (" } else { ") >= (" });
            sql.value(values[0].clone()).push(", ").value(values[1].clone()).push(")");
        }
        sql.push(" AND (");
        for (n, (term, value)) in terms.iter().zip(values).enumerate() {
            sql.push(if n > 0 { " OR (" } else { "(" });
            for (equal, value) in terms[..n].iter().zip(values) {
                sql.add(&equal.sql).push(" = ").value(value.clone()).push(" AND ");
            }
            sql.add(&term.sql).push(if term.descending { " < " } else { " > " }).value(value.clone()).push(")");
        }
        sql.push("))");
        sql
    }
}

fn read(row: &SqliteRow, column: usize) -> Result<Stored> {
    let raw = row.try_get_raw(column).internal(|| "reading a sort term".into())?;
    Ok(match raw.type_info().name() {
        "INTEGER" => Stored::Integer(row.get(column)),
        "REAL" => Stored::Real(row.get(column)),
        _ => Stored::Text(row.get(column)),
    })
}

fn to_json(value: &Stored) -> Json {
    match value {
        Stored::Integer(n) => json!(n),
        Stored::Real(x) => json!(x),
        Stored::Text(text) => json!(text),
    }
}

fn name(key: &SortKey) -> String {
    match key {
        SortKey::Created => String::new(),
        SortKey::Key => "id".into(),
        SortKey::Value(path) => format!("metadata.{path}"),
    }
}

/// The kind of the value at a place, in sort order.
fn kind(place: &Place) -> Sql {
    let mut sql = Sql::default();
    match place.json_path() {
        Some(path) => {
            sql.push("CASE json_type(n.metadata, ").text(path).push(format!(
                ") WHEN 'integer' THEN 1 WHEN 'real' THEN 1 WHEN 'text' THEN 2 WHEN 'true' THEN 3 WHEN 'false' THEN 3 \
                 WHEN 'object' THEN 4 WHEN 'array' THEN 4 WHEN 'null' THEN 5 ELSE {MISSING} END"
            ));
        }
        None => {
            leaf(&mut sql, place, "kind", &MISSING.to_string());
        }
    }
    sql
}

/// The value at a place; 0 where there is none.
fn value(place: &Place) -> Sql {
    let mut sql = Sql::default();
    match place.json_path() {
        Some(path) => {
            sql.push("coalesce(json_extract(n.metadata, ").text(path).push("), 0)");
        }
        None => leaf(&mut sql, place, "value", "0"),
    }
    sql
}

fn leaf(sql: &mut Sql, place: &Place, column: &str, missing: &str) {
    sql.push(format!("coalesce((SELECT {column} FROM leaf WHERE parent = n.parent AND path = ")).bind(place.path);
    sql.push(format!(" AND node = n.id), {missing})"));
}
