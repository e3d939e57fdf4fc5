//! Text conditions, tested on the metadata of a node: to ask the index of words for a single node takes many times as
//! long.

use girih_model::filter::texts;
use girih_model::{Result, ResultExt};
use serde_json::Value;
use sqlx::SqliteConnection;

use super::condition::{Condition, Tested};
use super::sql::Sql;
use crate::fault::Sqlx;

/// Conditions on the words of a node.
pub(crate) struct TextTests<'c>(Vec<&'c Condition>);

impl<'c> TextTests<'c> {
    /// Those of a condition that need a test yet.
    pub fn of(condition: &'c Condition, answered: Option<&Condition>) -> Self {
        Self(condition.conjuncts().iter().filter(|c| c.is_of_words() && Some(*c) != answered).collect())
    }

    pub fn none() -> Self {
        Self(Vec::new())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn has(&self, condition: &Condition) -> bool {
        self.0.contains(&condition)
    }

    /// Whether the node with this number and metadata passes.
    pub async fn pass(&self, db: &mut SqliteConnection, node: i64, metadata: &str) -> Result<bool> {
        let metadata: Value = serde_json::from_str(metadata).internal(|| format!("reading the metadata of {node}"))?;
        if is_plain(&metadata) {
            let texts = texts(&metadata);
            return Ok(self.0.iter().all(|test| test.holds_for(&texts)));
        }
        let mut number = Sql::default();
        number.bind(node);
        let mut sql = Sql::new("SELECT 1");
        for test in &self.0 {
            sql.push(" AND ").add(&test.sql(&Tested { id: number.clone(), parent: Sql::new("NULL") }, None));
        }
        Ok(sql.fetch_count(db).await.sql("looking for words")? > 0)
    }
}

/// Whether the index of words is certain to take the texts apart just as we do: it folds accents and has letters of its
/// own.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_ascii() || text.chars().all(|c| c.is_ascii() || is_sign(c)),
        Value::Array(items) => items.iter().all(is_plain),
        Value::Object(fields) => fields.values().all(is_plain),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

/// Signs that stand in units and titles, and are no part of a word.
fn is_sign(c: char) -> bool {
    matches!(c, '°' | '±' | '·' | '×' | '\u{2010}'..='\u{2027}')
}
