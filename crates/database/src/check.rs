//! Does the database agree with itself, and with what it says it holds?

use girih_model::{Asset, DataSource, NodePath, Result};
use sqlx::Row;

use crate::fault::Sqlx;
use crate::hand::Touched;
use crate::sources::asset_of;
use crate::{Database, NodeId};

/// Faults of one kind that are told one by one.
const MOST: i64 = 100;

/// A container that is wrong about how many children or values it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miscounted {
    pub path: NodePath,
    pub of: String,
    pub told: i64,
    pub found: i64,
}

/// What a URI is to a catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    Asset,
    /// Assets lie below it.
    Above,
    Nothing,
}

/// Containers whose count is wrong, with what it should be.
const MISCOUNTED: &str = "SELECT n.id, n.path, n.children, coalesce(c.found, 0) AS found FROM node n \
                          LEFT JOIN (SELECT parent, count(*) AS found FROM node GROUP BY parent) c ON c.parent = n.id \
                          WHERE n.children <> coalesce(c.found, 0)";

/// The same of places in the metadata of its children.
const MISTALLIED: &str = "SELECT coalesce(l.parent, t.parent) AS parent, coalesce(l.path, t.path) AS place, \
                          coalesce(t.leaves, 0) AS told, coalesce(l.found, 0) AS found FROM tally t \
                          FULL JOIN (SELECT parent, path, count(*) AS found FROM leaf GROUP BY parent, path) l \
                          ON l.parent = t.parent AND l.path = t.path \
                          WHERE coalesce(l.found, 0) <> coalesce(t.leaves, 0)";

impl Database {
    /// What SQLite finds wrong with the file: pages, indexes, references.
    pub async fn integrity(&self) -> Result<Vec<String>> {
        let mut db = self.unhurried().await?;
        let mut faults: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("PRAGMA integrity_check({MOST})")))
                .fetch_all(&mut *db)
                .await
                .sql("checking the database")?;
        faults.retain(|fault| fault != "ok");
        let loose = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut *db).await.sql("checking references")?;
        let loose = loose.iter().take(MOST as usize).map(|row| {
            format!(
                "row {} of {} refers to nothing in {}",
                row.get::<i64, _>(1),
                row.get::<&str, _>(0),
                row.get::<&str, _>(2)
            )
        });
        faults.extend(loose);
        Ok(faults)
    }

    /// The first containers whose number of children or values is wrong.
    pub async fn miscounted(&self) -> Result<Vec<Miscounted>> {
        let mut db = self.unhurried().await?;
        let sql = format!(
            "SELECT path, 'children' AS of, children AS told, found FROM ({MISCOUNTED}) UNION ALL \
             SELECT n.path, 'values at ' || ltrim(k.path, char(0)), w.told, w.found FROM ({MISTALLIED}) w \
             JOIN node n ON n.id = w.parent JOIN key_path k ON k.id = w.place LIMIT {MOST}"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&mut *db).await.sql("counting")?;
        let read = rows.iter().map(|row| {
            Ok(Miscounted {
                path: NodePath::parse(row.get("path"))?,
                of: row.get("of"),
                told: row.get("told"),
                found: row.get("found"),
            })
        });
        read.collect()
    }

    /// Counts all children and values anew.
    pub async fn recount(&self) -> Result<u64> {
        let mut tx = self.write_alone().await?;
        let mut counted = 0;
        for sql in [
            format!("UPDATE node SET children = wrong.found FROM ({MISCOUNTED}) wrong WHERE node.id = wrong.id"),
            format!(
                "INSERT OR REPLACE INTO tally (parent, path, leaves) SELECT parent, place, found FROM ({MISTALLIED})"
            ),
        ] {
            let done = sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut *tx).await.sql("counting anew")?;
            counted += done.rows_affected();
        }
        tx.commit(Touched::Everything).await?;
        Ok(counted)
    }

    /// Assets that no data source refers to.
    pub async fn unused_assets(&self) -> Result<Vec<Asset>> {
        let mut db = self.unhurried().await?;
        let rows = sqlx::query(
            "SELECT a.id AS asset_id, a.data_uri, a.is_directory, a.size, NULL AS parameter, NULL AS num FROM asset a \
             WHERE NOT EXISTS (SELECT 1 FROM data_source_asset x WHERE x.asset = a.id)",
        );
        Ok(rows.fetch_all(&mut *db).await.sql("looking for unused assets")?.iter().map(asset_of).collect())
    }

    /// Forgets assets that no data source refers to.
    pub async fn forget_unused_assets(&self) -> Result<u64> {
        let mut tx = self.write_alone().await?;
        let forgotten = sqlx::query(
            "DELETE FROM asset WHERE NOT EXISTS (SELECT 1 FROM data_source_asset x WHERE x.asset = asset.id)",
        );
        let forgotten = forgotten.execute(&mut *tx).await.sql("forgetting unused assets")?;
        tx.commit(Touched::Nothing).await?;
        Ok(forgotten.rows_affected())
    }

    /// The next data sources that are kept here, by the numbers of their nodes.
    pub async fn kept_sources(&self, after: NodeId, limit: u32) -> Result<Vec<(NodeId, NodePath, DataSource)>> {
        let rows = sqlx::query(
            "SELECT n.id, n.path FROM data_source d JOIN node n ON n.id = d.node \
             WHERE d.node > ? AND d.management <> 'external' ORDER BY d.node LIMIT ?",
        );
        let rows = rows.bind(after.0).bind(limit).fetch_all(&self.readers).await.sql("listing data sources")?;
        let ids: Vec<NodeId> = rows.iter().map(|row| NodeId(row.get("id"))).collect();
        let sources = self.data_sources_of(&ids).await?;
        let mut kept = Vec::with_capacity(rows.len());
        for (row, sources) in rows.iter().zip(sources) {
            for source in sources {
                kept.push((NodeId(row.get("id")), NodePath::parse(row.get("path"))?, source));
            }
        }
        Ok(kept)
    }

    pub async fn known(&self, uri: &str) -> Result<Known> {
        // '0' follows '/' in the order of bytes.
        let first: Option<String> = sqlx::query_scalar(
            "SELECT data_uri FROM asset WHERE data_uri = ?1 OR (data_uri > ?1 || '/' AND data_uri < ?1 || '0') \
             UNION ALL SELECT directory FROM asset_run WHERE directory >= ?1 || '/' AND directory < ?1 || '0' \
             ORDER BY data_uri LIMIT 1",
        )
        .bind(uri)
        .fetch_optional(&self.readers)
        .await
        .sql("looking up an asset")?;
        Ok(match first {
            Some(found) if found == uri => Known::Asset,
            Some(_) => Known::Above,
            None if self.is_in_run(uri).await? => Known::Asset,
            None => Known::Nothing,
        })
    }
}
