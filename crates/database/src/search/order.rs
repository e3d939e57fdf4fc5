//! Sort orders as terms that compare, and the cursors made of their values.
//!
//! A value sorts by three terms: whether it is missing (always last), its kind, itself. When
//! the order leads the query, nodes with the value are walked along the index (stage `With`) and those without it
//! follow (stage `Without`); otherwise there is one stage, `All`. A cursor holds the values of all
//! terms, whatever the stage.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use girih_model::{Error, Result, ResultExt};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection, TypeInfo, ValueRef};

use super::condition::Place;
use super::driver::Driver;
use super::sql::Sql;
use super::{Cursor, Room, Scope, Sort, SortKey};
use crate::leaf::{KeyPaths, Stored};

/// The node's number comes before the terms.
const FIRST_TERM: usize = 1;
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

#[derive(Debug)]
enum Key {
    Node { descending: bool },
    Value { place: Place, descending: bool },
}

pub(crate) struct OrderTerm {
    pub sql: Sql,
    pub descending: bool,
}

/// Where a page ended: the values of all terms.
pub(crate) struct Position {
    values: Vec<Stored>,
    /// Whether the first key is a value, and missing there.
    missing: Option<bool>,
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

    /// Only these nodes belong to the stage.
    pub fn only(&self, stage: Stage) -> Option<Sql> {
        match (stage, self.keys.first()) {
            (Stage::Without, Some(Key::Value { place, .. })) => {
                let mut sql = kind(place);
                sql.push(format!(" = {MISSING}"));
                Some(sql)
            }
            _ => None,
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
                Key::Value { .. } if n == 0 && stage == Stage::Without => {}
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

    /// The cursor behind this row.
    pub fn cursor(&self, row: &SqliteRow, stage: Stage) -> Result<Cursor> {
        let mut values: Vec<Value> = match stage {
            Stage::All => Vec::new(),
            Stage::With => vec![json!(0)],
            Stage::Without => vec![json!(1), json!(MISSING), json!(0)],
        };
        for column in FIRST_TERM..row.len() {
            let raw = row.try_get_raw(column).internal(|| "reading a sort term".into())?;
            values.push(match raw.type_info().name() {
                "INTEGER" => json!(row.get::<i64, _>(column)),
                "REAL" => json!(row.get::<f64, _>(column)),
                _ => json!(row.get::<String, _>(column)),
            });
        }
        if self.tag.is_empty() {
            return Ok(Cursor(values.pop().unwrap_or_default().to_string()));
        }
        Ok(Cursor(URL_SAFE_NO_PAD.encode(json!([self.tag, values]).to_string())))
    }

    pub fn read(&self, cursor: &Cursor) -> Result<Position> {
        let bad = || {
            Error::malformed(
                "This page[cursor] does not belong to this sort order. Take it from the \"next\" link of the page before.",
            )
        };
        if self.tag.is_empty() {
            let id = cursor.0.parse().map_err(|_| bad())?;
            return Ok(Position { values: vec![Stored::Integer(id)], missing: None });
        }
        let text = URL_SAFE_NO_PAD.decode(&cursor.0).map_err(|_| bad())?;
        let (tag, values): (String, Vec<Value>) = serde_json::from_slice(&text).map_err(|_| bad())?;
        let width = |key: &Key| if matches!(key, Key::Node { .. }) { 1 } else { 3 };
        if tag != self.tag || values.len() != self.keys.iter().map(width).sum::<usize>() + 1 {
            return Err(bad());
        }
        let stored = values.into_iter().map(|value| match value {
            Value::Number(n) if n.is_i64() => Ok(Stored::Integer(n.as_i64().unwrap_or_default())),
            Value::Number(n) => Ok(Stored::Real(n.as_f64().unwrap_or_default())),
            Value::String(text) => Ok(Stored::Text(text)),
            _ => Err(bad()),
        });
        let values = stored.collect::<Result<Vec<_>>>()?;
        let missing = match self.keys.first() {
            Some(Key::Value { .. }) => Some(values[0] == Stored::Integer(1)),
            _ => None,
        };
        Ok(Position { values, missing })
    }
}

impl Position {
    /// The stage has been walked to its end.
    pub fn is_past(&self, stage: Stage) -> bool {
        stage == Stage::With && self.missing == Some(true)
    }

    /// The position lies within this stage.
    pub fn is_in(&self, stage: Stage) -> bool {
        match stage {
            Stage::All => true,
            Stage::With => self.missing == Some(false),
            Stage::Without => self.missing == Some(true),
        }
    }

    /// The same as a condition on the node's number alone, in the order of creation.
    pub fn beyond_node(&self, order: &Order) -> Sql {
        let mut sql = Sql::new(if order.is_descending() { "node < " } else { "node > " });
        sql.value(self.values[self.values.len() - 1].clone());
        sql
    }

    /// What comes behind this position, in the order of the terms.
    pub fn beyond(&self, terms: &[OrderTerm]) -> Sql {
        // The stage leaves out leading terms that are the same for all of it.
        let values = &self.values[self.values.len() - terms.len()..];
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
