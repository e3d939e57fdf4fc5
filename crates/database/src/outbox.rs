//! What happened and is still to be told.
//!
//! A change of the catalog and the news of it are one transaction, so that neither comes without the other, whenever the
//! process ends. Numbers of news ascend in the order in which the changes were committed.

use girih_model::event::Event;
use girih_model::{Json, NodeId, Result, ResultExt};
use sqlx::{QueryBuilder, Row, SqliteConnection};

use crate::Database;
use crate::fault::Sqlx;
use crate::hand::Touched;

/// Rows inserted by one statement.
const BATCH: usize = 250;

/// Something that happened.
#[derive(Debug, Clone)]
pub struct News {
    pub id: i64,
    /// Whose watchers hear it.
    pub node: NodeId,
    pub event: Json,
}

impl Database {
    /// What happened after the news of this number, in order; not more than so many.
    pub async fn news(&self, after: i64, most: u32) -> Result<Vec<News>> {
        let rows = sqlx::query("SELECT id, node, event FROM outbox WHERE id > ? ORDER BY id LIMIT ?")
            .bind(after)
            .bind(most)
            .fetch_all(&self.readers)
            .await
            .sql("reading news")?;
        let news = rows.iter().map(|row| {
            let event = Json::parse(row.get::<&str, _>("event"))?;
            Ok(News { id: row.get("id"), node: NodeId(row.get("node")), event })
        });
        news.collect()
    }

    /// Strikes out all news up to this number, for they were told.
    pub async fn strike_news(&self, told: i64) -> Result<()> {
        let mut tx = self.write().await?;
        sqlx::query("DELETE FROM outbox WHERE id <= ?").bind(told).execute(&mut *tx).await.sql("striking out news")?;
        tx.commit(Touched::Nothing).await
    }

    /// Those of these nodes that are not there.
    pub async fn gone(&self, nodes: Vec<NodeId>) -> Result<Vec<NodeId>> {
        let list = serde_json::to_string(&nodes).internal(|| "listing nodes".into())?;
        let gone = "SELECT value FROM json_each(?) WHERE NOT EXISTS (SELECT 1 FROM node WHERE id = value)";
        let gone: Vec<i64> =
            sqlx::query_scalar(gone).bind(list).fetch_all(&self.readers).await.sql("looking for nodes")?;
        Ok(gone.into_iter().map(NodeId).collect())
    }

    /// The newest node.
    pub async fn newest(&self) -> Result<NodeId> {
        let newest = sqlx::query_scalar("SELECT max(id) FROM node").fetch_one(&self.readers).await;
        newest.map(NodeId).sql("looking up the newest node")
    }
}

/// Records news; returns the number of the last.
pub(crate) async fn put(db: &mut SqliteConnection, news: &[(i64, Event)]) -> Result<i64> {
    let mut last = 0;
    for batch in news.chunks(BATCH) {
        let mut query = QueryBuilder::new("INSERT INTO outbox (node, event) ");
        query.push_values(batch, |mut row, (node, event)| {
            row.push_bind(*node).push_bind(event.to_json().text().to_owned());
        });
        last = query.build().execute(&mut *db).await.sql("recording news")?.last_insert_rowid();
    }
    Ok(last)
}
