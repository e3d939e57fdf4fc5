//! A piece of SQL with its values.

use girih_model::Result;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row, SqliteConnection};

use crate::leaf::Stored;

/// Longest statement that stays prepared, in bytes.
const KEPT: usize = 4096;

/// Text that we wrote and values that came from outside: they never mix.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sql {
    text: String,
    values: Vec<Stored>,
}

impl Sql {
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), values: Vec::new() }
    }

    pub fn push(&mut self, text: impl AsRef<str>) -> &mut Self {
        self.text.push_str(text.as_ref());
        self
    }

    pub fn value(&mut self, value: Stored) -> &mut Self {
        self.text.push('?');
        self.values.push(value);
        self
    }

    pub fn bind(&mut self, number: impl TryInto<i64>) -> &mut Self {
        self.value(Stored::Integer(number.try_into().unwrap_or(i64::MAX)))
    }

    pub fn text(&mut self, text: impl Into<String>) -> &mut Self {
        self.value(Stored::Text(text.into()))
    }

    pub fn add(&mut self, other: &Sql) -> &mut Self {
        self.text.push_str(&other.text);
        self.values.extend(other.values.iter().cloned());
        self
    }

    /// Whether a column of the table `alias` is mentioned.
    pub fn mentions(&self, alias: char) -> bool {
        let before = |at: usize| self.text[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_');
        self.text.match_indices(&format!("{alias}.")).any(|(at, _)| before(at))
    }

    pub async fn fetch_all(self, db: &mut SqliteConnection) -> Result<Vec<SqliteRow>, sqlx::Error> {
        // A statement with long lists will hardly come again.
        let keep = self.text.len() <= KEPT;
        let mut query = sqlx::query(AssertSqlSafe(self.text)).persistent(keep);
        for value in self.values {
            query = match value {
                Stored::Integer(n) => query.bind(n),
                Stored::Real(x) => query.bind(x),
                Stored::Text(text) => query.bind(text),
            };
        }
        query.fetch_all(db).await
    }

    pub async fn fetch_count(self, db: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
        let rows = self.fetch_all(db).await?;
        Ok(rows.first().map_or(0, |row| row.get::<i64, _>(0)) as u64)
    }

    #[cfg(test)]
    pub async fn plan(mut self, db: &mut SqliteConnection) -> String {
        self.text.insert_str(0, "EXPLAIN QUERY PLAN ");
        let rows = self.fetch_all(db).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>("detail")).collect::<Vec<_>>().join("; ")
    }
}

/// Counts rows of a query, but not more than `bound`.
pub(crate) fn bounded_count(rows: &Sql, bound: Option<u64>) -> Sql {
    let mut sql = Sql::new("SELECT count(*) FROM (");
    sql.add(rows);
    if let Some(bound) = bound {
        sql.push(" LIMIT ").bind(bound);
    }
    sql.push(")");
    sql
}
