//! Deleting costs what it deletes: the index rows of all children of a container are one range.

use std::collections::HashSet;

use girih_model::{Asset, Error, ErrorKind, NodeId, Result};
use sqlx::{QueryBuilder, Row, SqliteConnection};

use crate::fault::Sqlx;
use crate::hand::Touched;
use crate::nodes::{by_id, leaves, parent_of};
use crate::{Database, sources};

/// Rows that one statement deletes by number.
const BATCH: usize = 500;

/// What a delete took out of the catalog.
#[derive(Debug, Clone, Default)]
pub struct Deleted {
    pub nodes: u64,
    /// Internally managed assets that nothing refers to any more: their bytes can go.
    pub assets: Vec<Asset>,
}

/// The subtree, as a range of paths: `?1` the node itself, `?2` inclusive, `?3` exclusive. The root
/// itself always stays.
const SUBTREE: &str = "SELECT id FROM node WHERE id <> 0 AND (?1 = '' OR path = ?1 OR path >= ?2 AND path < ?3)";

impl Database {
    /// Deletes a node and, with `recursive`, all below it. Of the root only what is below goes.
    /// `Conflict` when it has children and not `recursive`, or when something in the subtree is
    /// internally managed and `external_only`.
    ///
    /// Deleting is how a full disk is freed, so there is some space kept for it.
    pub async fn delete(&self, id: NodeId, recursive: bool, external_only: bool) -> Result<Deleted> {
        match self.try_delete(id, recursive, external_only).await {
            Err(e) if e.kind() == ErrorKind::StorageFull && self.reserve.release() => {
                let deleted = self.try_delete(id, recursive, external_only).await;
                self.reserve.keep();
                deleted
            }
            deleted => deleted,
        }
    }

    async fn try_delete(&self, id: NodeId, recursive: bool, external_only: bool) -> Result<Deleted> {
        let mut tx = self.write().await?;
        let node = by_id(&mut tx, id).await?;
        if node.children > 0 && !recursive {
            return Err(Error::conflict(
                "Cannot delete a node that is not empty. Delete its contents first or pass `recursive=True`.",
            ));
        }
        let path = node.path.as_str();
        // '0' follows '/' in the order of bytes.
        let range = Range { path: path.to_owned(), from: format!("{path}/"), to: format!("{path}0") };
        if external_only && range.exists(&mut tx, "management <> 'external'").await? {
            return Err(Error::conflict(
                "Some items in this tree are internally managed. Deleting the records will also delete the underlying data files. If you want to delete them, pass external_only=False.",
            ));
        }
        let assets = range.assets(&mut tx).await?;
        let above = node.path.parent();
        if let Some(parent) = parent_of(&mut tx, id).await? {
            let leaves = leaves(&node.metadata, &node.specs, node.family).await?;
            leaves.remove(&mut tx, parent, id.0, &self.paths).await?;
            sqlx::query("UPDATE node SET children = children - 1 WHERE id = ?")
                .bind(parent)
                .execute(&mut *tx)
                .await
                .sql("counting children")?;
        } else {
            sqlx::query("UPDATE node SET children = 0 WHERE id = 0")
                .execute(&mut *tx)
                .await
                .sql("counting children")?;
        }
        // The root is no part of its subtree.
        let parents = if node.path.is_root() { format!("SELECT 0 UNION ALL {SUBTREE}") } else { SUBTREE.to_owned() };
        range.run(&mut tx, &format!("DELETE FROM leaf WHERE parent IN ({parents})")).await?;
        range.run(&mut tx, &format!("DELETE FROM tally WHERE parent IN ({parents})")).await?;
        range.run(&mut tx, &format!("DELETE FROM words WHERE rowid IN ({SUBTREE})")).await?;
        range.run(&mut tx, &format!("DELETE FROM data_source WHERE node IN ({SUBTREE})")).await?;
        range.run(&mut tx, &format!("DELETE FROM revision WHERE node IN ({SUBTREE})")).await?;
        // Children refer to their parents: the check at the end of the statement sees all gone.
        let nodes = range.run(&mut tx, &format!("DELETE FROM node WHERE id IN ({SUBTREE})")).await?;
        let unused = drop_unused(&mut tx, assets).await?;
        tx.commit(if nodes > 1 {
            Touched::Everything
        } else {
            Touched::Nodes(above.into_iter().chain([node.path]).collect())
        })
        .await?;
        Ok(Deleted { nodes, assets: unused })
    }
}

struct Range {
    path: String,
    from: String,
    to: String,
}

impl Range {
    async fn run(&self, db: &mut SqliteConnection, sql: &str) -> Result<u64> {
        let done = sqlx::query(sqlx::AssertSqlSafe(sql.to_owned()))
            .bind(&self.path)
            .bind(&self.from)
            .bind(&self.to)
            .execute(db)
            .await
            .sql(&format!("deleting {}", self.path))?;
        Ok(done.rows_affected())
    }

    async fn exists(&self, db: &mut SqliteConnection, condition: &str) -> Result<bool> {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM data_source WHERE {condition} AND node IN ({SUBTREE}))");
        let found: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(&self.path)
            .bind(&self.from)
            .bind(&self.to)
            .fetch_one(db)
            .await
            .sql("looking for managed data")?;
        Ok(found != 0)
    }

    /// All assets of the subtree, and whether we keep their bytes.
    async fn assets(&self, db: &mut SqliteConnection) -> Result<Vec<(Asset, bool)>> {
        let sql = format!(
            "SELECT d.management, a.id AS asset_id, a.data_uri, a.is_directory, a.size, x.parameter, x.num \
             FROM data_source d JOIN data_source_asset x ON x.data_source = d.id JOIN asset a ON a.id = x.asset \
             WHERE d.node IN ({SUBTREE})"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(&self.path)
            .bind(&self.from)
            .bind(&self.to)
            .fetch_all(db)
            .await
            .sql("reading assets")?;
        Ok(rows.iter().map(|row| (sources::asset_of(row), row.get::<&str, _>("management") != "external")).collect())
    }
}

/// Deletes the rows of assets that nothing refers to; returns those whose bytes are ours.
async fn drop_unused(db: &mut SqliteConnection, assets: Vec<(Asset, bool)>) -> Result<Vec<Asset>> {
    let mut unused = Vec::new();
    for batch in assets.chunks(BATCH) {
        let mut query = QueryBuilder::new("DELETE FROM asset WHERE id IN (");
        let mut list = query.separated(", ");
        for (asset, _) in batch {
            list.push_bind(asset.id);
        }
        query.push(") AND NOT EXISTS (SELECT 1 FROM data_source_asset x WHERE x.asset = asset.id) RETURNING id");
        let deleted: Vec<i64> = query.build_query_scalar().fetch_all(&mut *db).await.sql("deleting assets")?;
        let deleted: HashSet<_> = deleted.into_iter().collect();
        let ours = batch.iter().filter(|(asset, ours)| *ours && asset.id.is_some_and(|id| deleted.contains(&id)));
        unused.extend(ours.map(|(asset, _)| asset.clone()));
    }
    Ok(unused)
}
