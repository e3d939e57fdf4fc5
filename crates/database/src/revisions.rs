//! Metadata and specs as they were.

use girih_model::node::Revision;
use girih_model::{Error, Json, Node, NodeId, Result, ResultExt};
use sqlx::{Row, SqliteConnection};

use crate::Database;
use crate::fault::Sqlx;
use crate::hand::Touched;

#[derive(Debug, Clone)]
pub struct RevisionPage {
    pub revisions: Vec<Revision>,
    pub count: u64,
}

impl Database {
    /// Revisions of a node, oldest first.
    pub async fn revisions(&self, id: NodeId, offset: u64, limit: u64) -> Result<RevisionPage> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM revision WHERE node = ?")
            .bind(id.0)
            .fetch_one(&self.readers)
            .await
            .sql("counting revisions")?;
        let rows = sqlx::query(
            "SELECT number, metadata, specs, updated FROM revision WHERE node = ? ORDER BY number LIMIT ? OFFSET ?",
        )
        .bind(id.0)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .bind(i64::try_from(offset).unwrap_or(i64::MAX))
        .fetch_all(&self.readers)
        .await
        .sql("reading revisions")?;
        let revisions = rows.iter().map(|row| {
            Ok(Revision {
                number: row.get("number"),
                metadata: Json::parse(row.get::<&str, _>("metadata"))?,
                specs: serde_json::from_str(row.get("specs")).internal(|| "reading the specs of a revision".into())?,
                updated: row.get("updated"),
            })
        });
        Ok(RevisionPage { revisions: revisions.collect::<Result<_>>()?, count: count as u64 })
    }

    /// `NotFound` when there is no such revision.
    pub async fn delete_revision(&self, id: NodeId, number: i64) -> Result<()> {
        let mut tx = self.write().await?;
        let deleted = sqlx::query("DELETE FROM revision WHERE node = ? AND number = ?")
            .bind(id.0)
            .bind(number)
            .execute(&mut *tx)
            .await
            .sql("deleting a revision")?;
        if deleted.rows_affected() == 0 {
            return Err(Error::not_found(format!("No revision {number} for this node")));
        }
        tx.commit(Touched::Nothing).await
    }
}

/// Keeps the present values; returns the number of the revision. Numbers are not used again while later ones exist.
pub(crate) async fn keep(db: &mut SqliteConnection, node: &Node) -> Result<i64> {
    sqlx::query_scalar(
        "INSERT INTO revision (node, number, metadata, specs, updated) \
         SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4 FROM revision WHERE node = ?1 RETURNING number",
    )
    .bind(node.id.0)
    .bind(node.metadata.text())
    .bind(crate::leaf::specs_text(&node.specs))
    .bind(node.updated)
    .fetch_one(db)
    .await
    .sql("keeping a revision")
}
