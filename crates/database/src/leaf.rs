//! A node's metadata as rows of the index.
//!
//! One row for each value, at each place where it stands: `(parent, path, kind, value, node)`.
//! Kinds are in sort order; numbers and booleans are stored as numbers, texts as they are (long ones
//! by their beginning and a hash), lists and
//! objects as a number made from a hash of their canonical text, `null` as 0. The elements of a list stand
//! at a path of their own, marked as elements. Family and specs are rows as well, at reserved paths.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{PoisonError, RwLock};

use girih_model::filter::KeyPath;
use girih_model::filter::value::{canonical, integer};
use girih_model::{Error, Family, Json, Result, ResultExt, Spec};
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::error::BoxDynError;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, AssertSqlSafe, QueryBuilder, Sqlite, SqliteConnection};

use crate::fault::Sqlx;

/// Reserved paths, as the first migration numbers them.
pub(crate) const FAMILY: i64 = 1;
pub(crate) const SPEC: i64 = 2;
/// All specs of a node as one text, for `distinct`.
pub(crate) const SPECS: i64 = 3;

/// Longest text that is in the index as it is, in bytes.
pub(crate) const WHOLE_TEXT: usize = 1000;
/// Rows inserted by one statement.
const BATCH: usize = 400;
/// Most values of a node's metadata.
const MAX_VALUES: usize = 200_000;
/// Deepest metadata, in levels.
const MAX_DEPTH: usize = 64;

/// Kinds of values, in sort order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Number = 1,
    Text = 2,
    Bool = 3,
    Composite = 4,
    Null = 5,
}

impl Kind {
    /// The kind of this number.
    pub fn of(number: i64) -> Option<Self> {
        [Self::Number, Self::Text, Self::Bool, Self::Composite, Self::Null]
            .into_iter()
            .find(|kind| *kind as i64 == number)
    }
}

/// A value as SQLite keeps it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stored {
    Integer(i64),
    Real(f64),
    Text(String),
}

/// Kind and stored form of a JSON value.
pub(crate) fn stored(value: &Value) -> (Kind, Stored) {
    match value {
        Value::Null => (Kind::Null, Stored::Integer(0)),
        Value::Bool(b) => (Kind::Bool, Stored::Integer((*b).into())),
        Value::Number(number) => match integer(number) {
            Some(n) => (Kind::Number, Stored::Integer(n)),
            None => (Kind::Number, Stored::Real(number.as_f64().unwrap_or_default())),
        },
        Value::String(text) => (Kind::Text, Stored::Text(indexed(text))),
        Value::Array(_) | Value::Object(_) => (Kind::Composite, Stored::Integer(short_hash(&canonical(value)))),
    }
}

/// A text as the index keeps it: of a long one the beginning, and a hash that tells it from others.
fn indexed(text: &str) -> String {
    if text.len() <= WHOLE_TEXT {
        return text.to_owned();
    }
    let beginning = &text[..text.floor_char_boundary(WHOLE_TEXT)];
    // Behind every text that goes on from here.
    format!("{beginning}\u{10ffff}{}", hash(text))
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// For lists and objects, which nobody looks for by their order; a row less wide counts for more.
fn short_hash(text: &str) -> i64 {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(8).fold(0, |hash, byte| hash << 8 | i64::from(*byte))
}

pub(crate) fn push(query: &mut QueryBuilder<Sqlite>, value: Stored) {
    match value {
        Stored::Integer(n) => query.push_bind(n),
        Stored::Real(x) => query.push_bind(x),
        Stored::Text(text) => query.push_bind(text),
    };
}

/// A place in the metadata, with the mark for elements of a list.
type Place = (String, bool);

/// Places that got their numbers in a transaction.
#[derive(Default)]
#[must_use = "to be remembered after the commit"]
pub(crate) struct Learned(HashMap<Place, i64>);

/// All rows of a node, without parent and node.
pub(crate) struct Leaves {
    rows: Vec<(Place, Kind, Stored)>,
    reserved: Vec<(i64, String)>,
    /// The texts, for the words index; a private-use word between them keeps phrases apart.
    pub text: String,
}

impl Leaves {
    /// # Errors
    /// `Unprocessable` when the metadata is nested too deeply.
    pub fn of(metadata: &Json, specs: &[Spec], family: Family) -> Result<Self> {
        let value: Value = serde_json::from_str(metadata.text())
            .or_error(|e| Error::unprocessable(format!("The metadata cannot be read: {e}")))?;
        let mut leaves = Self { rows: Vec::new(), reserved: vec![(FAMILY, family.name().into())], text: String::new() };
        for spec in specs {
            let spec = (SPEC, spec.name.clone());
            if !leaves.reserved.contains(&spec) {
                leaves.reserved.push(spec);
            }
        }
        leaves.reserved.push((SPECS, specs_text(specs)));
        if let Value::Object(fields) = value {
            let mut path = String::new();
            for (key, value) in fields {
                leaves.collect(&mut path, 0, &key, value)?;
            }
        }
        Ok(leaves)
    }

    /// The value of `key` at a path of `depth` steps.
    fn collect(&mut self, path: &mut String, depth: usize, key: &str, value: Value) -> Result<()> {
        if self.rows.len() > MAX_VALUES {
            return Err(Error::unprocessable(format!(
                "The metadata holds more than {MAX_VALUES} values. Store large lists as arrays or tables."
            )));
        }
        if depth >= MAX_DEPTH {
            return Err(Error::unprocessable(format!("Metadata can be nested at most {MAX_DEPTH} levels deep.")));
        }
        let above = path.len();
        KeyPath::append(path, depth, key);
        let (kind, form) = stored(&value);
        self.rows.push(((path.clone(), false), kind, form));
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    self.collect(path, depth + 1, &key, value)?;
                }
            }
            Value::Array(items) => {
                let mut seen = HashSet::new();
                for item in items {
                    let (kind, form) = stored(&item);
                    if seen.insert((kind, canonical(&item))) {
                        self.rows.push(((path.clone(), true), kind, form));
                    }
                    self.texts(&item, depth + 1)?;
                }
            }
            Value::String(text) => self.words(&text),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        path.truncate(above);
        Ok(())
    }

    /// Texts inside lists count as words, but have no path.
    fn texts(&mut self, value: &Value, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(Error::unprocessable(format!("Metadata can be nested at most {MAX_DEPTH} levels deep.")));
        }
        match value {
            Value::String(text) => self.words(text),
            Value::Array(items) => items.iter().try_for_each(|item| self.texts(item, depth + 1))?,
            Value::Object(fields) => fields.values().try_for_each(|value| self.texts(value, depth + 1))?,
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        Ok(())
    }

    fn words(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push_str(" \u{e000} ");
    }

    pub async fn insert(self, db: &mut SqliteConnection, parent: i64, node: i64, paths: &KeyPaths) -> Result<Learned> {
        let mut learned = Learned::default();
        let mut rows = Rows::default();
        rows.add(self, db, parent, node, paths, &mut learned).await?;
        rows.insert(db).await?;
        Ok(learned)
    }

    pub async fn remove(self, db: &mut SqliteConnection, parent: i64, node: i64, paths: &KeyPaths) -> Result<()> {
        let mut learned = Learned::default();
        let mut tally = Tally::default();
        for (path, kind, value) in self.resolve(db, paths, &mut learned).await? {
            tally.add(parent, path, -1);
            let mut query = QueryBuilder::new("DELETE FROM leaf WHERE parent = ");
            query.push_bind(parent).push(" AND path = ").push_bind(path).push(" AND kind = ").push_bind(kind as i64);
            query.push(" AND value = ");
            push(&mut query, value);
            query.push(" AND node = ").push_bind(node);
            query.build().execute(&mut *db).await.sql("removing metadata from the index")?;
        }
        sqlx::query("DELETE FROM words WHERE rowid = ?")
            .bind(node)
            .execute(&mut *db)
            .await
            .sql("removing words from the index")?;
        tally.record(db).await
    }

    /// Places to numbers; new ones are recorded.
    async fn resolve(
        self,
        db: &mut SqliteConnection,
        paths: &KeyPaths,
        learned: &mut Learned,
    ) -> Result<Vec<(i64, Kind, Stored)>> {
        let reserved = self.reserved.into_iter().map(|(path, text)| (path, Kind::Text, Stored::Text(text)));
        let mut all: Vec<_> = reserved.collect();
        for (place, kind, value) in self.rows {
            let path = match paths.known(&place).or_else(|| learned.0.get(&place).copied()) {
                Some(path) => path,
                None => {
                    let path = record(db, &place).await?;
                    learned.0.insert(place, path);
                    path
                }
            };
            all.push((path, kind, value));
        }
        Ok(all)
    }
}

/// Rows of the index on their way into the database.
#[derive(Default)]
pub(crate) struct Rows {
    leaves: Vec<Row>,
    words: Vec<(i64, String)>,
}

struct Row {
    parent: i64,
    path: i64,
    kind: Kind,
    value: Stored,
    node: i64,
}

impl Rows {
    pub async fn add(
        &mut self,
        leaves: Leaves,
        db: &mut SqliteConnection,
        parent: i64,
        node: i64,
        paths: &KeyPaths,
        learned: &mut Learned,
    ) -> Result<()> {
        let mut leaves = leaves;
        let text = std::mem::take(&mut leaves.text);
        if !text.is_empty() {
            self.words.push((node, text));
        }
        let rows = leaves.resolve(db, paths, learned).await?;
        self.leaves.extend(rows.into_iter().map(|(path, kind, value)| Row { parent, path, kind, value, node }));
        Ok(())
    }

    pub async fn insert(mut self, db: &mut SqliteConnection) -> Result<()> {
        // In the order of the index, so that neighbours are written together.
        self.leaves.sort_unstable_by(|a, b| {
            let place = |row: &Row| (row.parent, row.path, row.kind);
            place(a).cmp(&place(b)).then_with(|| a.value.order(&b.value)).then(a.node.cmp(&b.node))
        });
        let mut tally = Tally::default();
        for row in &self.leaves {
            tally.add(row.parent, row.path, 1);
        }
        tally.record(db).await?;
        let mut rows = self.leaves.into_iter();
        let mut next = Statement::of(rows.by_ref().take(BATCH).collect())?;
        while let Some(statement) = next {
            let after: Vec<Row> = rows.by_ref().take(BATCH).collect();
            if after.is_empty() {
                statement.execute(db).await?;
                break;
            }
            // While SQLite works on one statement, the next is made.
            let made = tokio::task::spawn_blocking(|| Statement::of(after));
            let (executed, made) = tokio::join!(statement.execute(db), made);
            executed?;
            next = made.internal(|| "making a statement".into())??;
        }
        let mut words = self.words.into_iter().peekable();
        while words.peek().is_some() {
            let mut query = QueryBuilder::new("INSERT INTO words (rowid, text) ");
            query.push_values(words.by_ref().take(BATCH), |mut row, (node, text)| {
                row.push_bind(node).push_bind(text);
            });
            query.build().execute(&mut *db).await.sql("indexing words")?;
        }
        Ok(())
    }
}

/// How many rows come and go, by parent and place.
#[derive(Default)]
struct Tally(BTreeMap<(i64, i64), i64>);

impl Tally {
    fn add(&mut self, parent: i64, path: i64, rows: i64) {
        *self.0.entry((parent, path)).or_default() += rows;
    }

    async fn record(self, db: &mut SqliteConnection) -> Result<()> {
        let mut counts = self.0.into_iter().peekable();
        while counts.peek().is_some() {
            let mut query = QueryBuilder::new("INSERT INTO tally (parent, path, leaves) ");
            query.push_values(counts.by_ref().take(BATCH), |mut row, ((parent, path), rows)| {
                row.push_bind(parent).push_bind(path).push_bind(rows);
            });
            query.push(" ON CONFLICT DO UPDATE SET leaves = leaves + excluded.leaves");
            query.build().execute(&mut *db).await.sql("counting values")?;
        }
        Ok(())
    }
}

/// An insertion of many rows.
struct Statement {
    sql: String,
    values: SqliteArguments,
}

impl Statement {
    /// `None` without rows.
    fn of(rows: Vec<Row>) -> Result<Option<Self>> {
        if rows.is_empty() {
            return Ok(None);
        }
        let mut sql =
            String::from("INSERT OR IGNORE INTO leaf (parent, path, kind, value, node) VALUES (?, ?, ?, ?, ?)");
        sql.push_str(&", (?, ?, ?, ?, ?)".repeat(rows.len() - 1));
        let mut values = SqliteArguments::default();
        let all = || -> Result<(), BoxDynError> {
            values.reserve(5 * rows.len(), 0);
            for row in rows {
                values.add(row.parent)?;
                values.add(row.path)?;
                values.add(row.kind as i64)?;
                match row.value {
                    Stored::Integer(n) => values.add(n)?,
                    Stored::Real(x) => values.add(x)?,
                    Stored::Text(text) => values.add(text)?,
                }
                values.add(row.node)?;
            }
            Ok(())
        };
        all().map_err(|e| Error::internal("Internal server error").context(format!("making a statement: {e}")))?;
        Ok(Some(Self { sql, values }))
    }

    async fn execute(self, db: &mut SqliteConnection) -> Result<()> {
        let executed = sqlx::query_with(AssertSqlSafe(self.sql), self.values).execute(db).await;
        executed.map(drop).sql("indexing metadata")
    }
}

impl Stored {
    /// About the order of the index: numbers, then texts by their bytes.
    fn order(&self, other: &Self) -> Ordering {
        let number = |value: &Self| match value {
            Self::Integer(n) => Some(*n as f64),
            Self::Real(x) => Some(*x),
            Self::Text(_) => None,
        };
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Text(_), _) => Ordering::Greater,
            (_, Self::Text(_)) => Ordering::Less,
            (a, b) => number(a).partial_cmp(&number(b)).unwrap_or(Ordering::Equal),
        }
    }
}

pub(crate) fn specs_text(specs: &[Spec]) -> String {
    serde_json::to_string(specs).expect("specs always serialize")
}

async fn record(db: &mut SqliteConnection, (path, element): &Place) -> Result<i64> {
    sqlx::query("INSERT OR IGNORE INTO key_path (path, element) VALUES (?, ?)")
        .bind(path)
        .bind(element)
        .execute(&mut *db)
        .await
        .sql("recording a key path")?;
    sqlx::query_scalar("SELECT id FROM key_path WHERE path = ? AND element = ?")
        .bind(path)
        .bind(element)
        .fetch_one(db)
        .await
        .sql("looking up a key path")
}

/// Numbers of the places that have been looked up. They never change and never go, so what was read
/// from a committed state stays true.
#[derive(Debug, Default)]
pub(crate) struct KeyPaths(RwLock<HashMap<Place, i64>>);

impl KeyPaths {
    /// Most places that are remembered.
    const REMEMBERED: usize = 100_000;

    fn known(&self, place: &Place) -> Option<i64> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(place).copied()
    }

    /// Remembers what was recorded, once it is committed.
    pub fn remember(&self, learned: Learned) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (place, id) in learned.0 {
            if known.len() < Self::REMEMBERED {
                known.insert(place, id);
            }
        }
    }

    /// The number of a place, if any node has a value there. Only for connections that see committed rows.
    pub async fn find(&self, db: &mut SqliteConnection, path: &KeyPath, element: bool) -> Result<Option<i64>> {
        let place = (path.to_string(), element);
        match self.known(&place) {
            Some(id) => Ok(Some(id)),
            None => self.look_up(db, place).await,
        }
    }

    async fn look_up(&self, db: &mut SqliteConnection, place: Place) -> Result<Option<i64>> {
        let id: Option<i64> = sqlx::query_scalar("SELECT id FROM key_path WHERE path = ? AND element = ?")
            .bind(&place.0)
            .bind(place.1)
            .fetch_optional(db)
            .await
            .sql("looking up a key path")?;
        if let Some(id) = id {
            self.remember(Learned(HashMap::from([(place, id)])));
        }
        Ok(id)
    }
}
