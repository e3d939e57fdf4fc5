//! Data sources and their assets.

use std::collections::{HashMap, HashSet};

use girih_model::event::Event;
use girih_model::{Asset, DataSource, Error, Management, NodeId, NodePath, Result, ResultExt, Structure};
use serde_json::{Map, Value};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, SqliteConnection};

use crate::Database;
use crate::fault::Sqlx;
use crate::hand::Touched;
use crate::{outbox, runs};

/// Nodes asked about by one statement.
const BATCH: usize = 300;

impl Database {
    /// Data sources of a node (none or one), with all their assets.
    pub async fn data_sources(&self, id: NodeId) -> Result<Vec<DataSource>> {
        Ok(self.data_sources_of(&[id]).await?.pop().unwrap_or_default())
    }

    /// Data sources of several nodes at once, for listings; in the order of `ids`.
    pub async fn data_sources_of(&self, ids: &[NodeId]) -> Result<Vec<Vec<DataSource>>> {
        let mut db = self.readers.acquire().await.sql("waiting for a connection")?;
        of(&mut db, ids).await
    }

    /// Replaces structure, mimetype, parameters, properties and management of the data source
    /// `source.id`, which must belong to the node; adds new assets. `NotFound` when it does not. Returns the number of the
    /// news of it; 0 where there is none.
    pub async fn put_data_source(&self, id: NodeId, source: DataSource, event: Option<Event>) -> Result<i64> {
        let mut tx = self.write().await?;
        let number = source.id.unwrap_or_default();
        let replaced = sqlx::query(
            "UPDATE data_source SET structure = ?, mimetype = ?, parameters = ?, properties = ?, management = ? \
             WHERE id = ? AND node = ?",
        )
        .bind(source.structure.to_stored())
        .bind(&source.mimetype)
        .bind(text(&source.parameters))
        .bind(text(&source.properties))
        .bind(source.management.name())
        .bind(number)
        .bind(id.0)
        .execute(&mut *tx)
        .await
        .sql("replacing a data source")?;
        if replaced.rows_affected() == 0 {
            return Err(Error::not_found(format!("No data_source {number} on this node.")));
        }
        let known = of(&mut tx, &[id]).await?.into_iter().flatten().flat_map(|source| source.assets);
        let known: HashSet<String> = known.map(|asset| asset.data_uri).collect();
        let mut added: Vec<_> = source.assets.into_iter().filter(|asset| !known.contains(&asset.data_uri)).collect();
        add_assets(&mut tx, number, source.management, &mut added).await?;
        let touched = count_change(&mut tx, id).await?;
        let event: Vec<_> = event.into_iter().map(|event| (id.0, event)).collect();
        let news = outbox::put(&mut tx, &event).await?;
        tx.commit(touched).await?;
        Ok(news)
    }

    /// An asset of this node and how its data source is managed. `None` when the node has no such asset.
    pub async fn asset(&self, id: NodeId, asset: i64) -> Result<Option<(Management, Asset)>> {
        let mut db = self.readers.acquire().await.sql("waiting for a connection")?;
        let row = sqlx::query(
            "SELECT d.management, a.id AS asset_id, a.data_uri, a.is_directory, a.size, x.parameter, x.num \
             FROM data_source_asset x JOIN data_source d ON d.id = x.data_source JOIN asset a ON a.id = x.asset \
             WHERE x.asset = ? AND d.node = ?",
        );
        let row = row.bind(asset).bind(id.0).fetch_optional(&mut *db).await.sql("reading an asset")?;
        match row {
            Some(row) => Ok(Some((management(row.get("management"))?, asset_of(&row)))),
            None => Ok(runs::find(&mut db, id, asset).await?.map(|asset| (Management::External, asset))),
        }
    }

    /// Takes an asset from the node's data source. `Conflict` for an internally managed one unless
    /// `external_only` is false. True in the answer when nothing else refers to the asset any more.
    pub async fn delete_asset(&self, id: NodeId, asset: i64, external_only: bool) -> Result<(Asset, bool)> {
        let mut tx = self.write().await?;
        let row = sqlx::query(
            "SELECT d.id AS source, d.management, a.id AS asset_id, a.data_uri, a.is_directory, a.size, x.parameter, x.num \
             FROM data_source d JOIN data_source_asset x ON x.data_source = d.id JOIN asset a ON a.id = x.asset \
             WHERE d.node = ? AND a.id = ?",
        )
        .bind(id.0)
        .bind(asset)
        .fetch_optional(&mut *tx)
        .await
        .sql("reading an asset")?;
        let Some(row) = row else {
            let taken = runs::take(&mut tx, id, asset).await?.ok_or_else(|| {
                Error::not_found(format!("This node exists but it does not have an Asset with id {asset}"))
            })?;
            let touched = count_change(&mut tx, id).await?;
            tx.commit(touched).await?;
            return Ok((taken, true));
        };
        if external_only && management(row.get("management"))? != Management::External {
            return Err(Error::conflict(
                "This asset is internally managed. Deleting it would also delete the underlying data. If you want to delete it, pass external_only=False.",
            ));
        }
        let found = asset_of(&row);
        sqlx::query("DELETE FROM data_source_asset WHERE data_source = ? AND asset = ?")
            .bind(row.get::<i64, _>("source"))
            .bind(asset)
            .execute(&mut *tx)
            .await
            .sql("taking an asset from a data source")?;
        let deleted = sqlx::query(
            "DELETE FROM asset WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM data_source_asset WHERE asset = ?1)",
        )
        .bind(asset)
        .execute(&mut *tx)
        .await
        .sql("deleting an asset")?;
        let touched = count_change(&mut tx, id).await?;
        tx.commit(touched).await?;
        Ok((found, deleted.rows_affected() > 0))
    }
}

/// Data sources of nodes, in the order of `ids`.
pub(crate) async fn of(db: &mut SqliteConnection, ids: &[NodeId]) -> Result<Vec<Vec<DataSource>>> {
    let mut found = vec![Vec::new(); ids.len()];
    for (batch, ids) in ids.chunks(BATCH).enumerate() {
        let mut query = QueryBuilder::new(
            "SELECT d.*, a.id AS asset_id, a.data_uri, a.is_directory, a.size, x.parameter, x.num FROM data_source d \
                 LEFT JOIN data_source_asset x ON x.data_source = d.id LEFT JOIN asset a ON a.id = x.asset \
                 WHERE d.node IN (",
        );
        let mut list = query.separated(", ");
        for id in ids {
            list.push_bind(id.0);
        }
        query.push(") ORDER BY d.id, x.position");
        let rows = query.build().fetch_all(&mut *db).await.sql("reading data sources")?;
        for row in &rows {
            let node: i64 = row.get("node");
            let Some(place) = ids.iter().position(|id| id.0 == node) else { continue };
            let sources: &mut Vec<DataSource> = &mut found[batch * BATCH + place];
            if sources.last().and_then(|source| source.id) != Some(row.get("id")) {
                sources.push(source_of(row)?);
            }
            if let (Some(source), Some(_)) = (sources.last_mut(), row.get::<Option<i64>, _>("asset_id")) {
                source.assets.push(asset_of(row));
            }
        }
        let mut query = QueryBuilder::new(
            "SELECT r.*, d.node, (SELECT count(*) FROM data_source_asset x WHERE x.data_source = d.id \
             AND x.position < r.position) AS before FROM asset_run r JOIN data_source d ON d.id = r.data_source \
             WHERE d.node IN (",
        );
        let mut list = query.separated(", ");
        for id in ids {
            list.push_bind(id.0);
        }
        query.push(") ORDER BY d.id, r.position");
        let rows = query.build().fetch_all(&mut *db).await.sql("reading runs of assets")?;
        let mut inserted = (0, 0);
        for row in rows {
            let (node, source): (i64, i64) = (row.get("node"), row.get("data_source"));
            let Some(place) = ids.iter().position(|id| id.0 == node) else { continue };
            let sources = &mut found[batch * BATCH + place];
            let Some(source_of_run) = sources.iter_mut().find(|found| found.id == Some(source)) else { continue };
            if inserted.0 != source {
                inserted = (source, 0);
            }
            let at = inserted.1 + row.get::<i64, _>("before") as usize;
            let run = runs::assets_of(row).await?;
            inserted.1 += run.len();
            source_of_run.assets.splice(at..at, run);
        }
    }
    Ok(found)
}

/// What was open and what was known of the data is no longer true.
async fn count_change(db: &mut SqliteConnection, id: NodeId) -> Result<Touched> {
    let path: Option<String> = sqlx::query_scalar(
        "UPDATE node SET version = version + 1, data_version = data_version + 1, updated = ? WHERE id = ? RETURNING path",
    )
    .bind(crate::now())
    .bind(id.0)
    .fetch_optional(db)
    .await
    .sql("counting a change")?;
    path.map_or(Ok(Touched::Nothing), |path| Ok(Touched::node(NodePath::parse(&path)?)))
}

pub(crate) async fn insert(db: &mut SqliteConnection, node: i64, mut source: DataSource) -> Result<DataSource> {
    let inserted = sqlx::query(
        "INSERT INTO data_source (node, family, structure, mimetype, parameters, properties, management) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(node)
    .bind(source.family().name())
    .bind(source.structure.to_stored())
    .bind(&source.mimetype)
    .bind(text(&source.parameters))
    .bind(text(&source.properties))
    .bind(source.management.name())
    .execute(&mut *db)
    .await
    .sql("adding a data source")?;
    let id = inserted.last_insert_rowid();
    source.id = Some(id);
    add_assets(db, id, source.management, &mut source.assets).await?;
    Ok(source)
}

/// Adds assets at the end; those with the same URI are shared.
async fn add_assets(
    db: &mut SqliteConnection,
    source: i64,
    management: Management,
    assets: &mut [Asset],
) -> Result<()> {
    let mut position: i64 = sqlx::query_scalar(
        "SELECT max((SELECT coalesce(max(position) + 1, 0) FROM data_source_asset WHERE data_source = ?1), \
         (SELECT coalesce(max(position + count), 0) FROM asset_run WHERE data_source = ?1))",
    )
    .bind(source)
    .fetch_one(&mut *db)
    .await
    .sql("counting assets")?;
    if management == Management::External && runs::is_run(assets) {
        return runs::insert(db, source, position, assets).await;
    }
    for batch in assets.chunks_mut(BATCH) {
        let mut query = QueryBuilder::new("INSERT INTO asset (data_uri, is_directory, size) ");
        query.push_values(batch.iter(), |mut row, asset| {
            row.push_bind(asset.data_uri.clone()).push_bind(asset.is_directory);
            row.push_bind(asset.size.map(|size| size as i64));
        });
        // An update, because only then is the row of one that was there returned.
        query.push(" ON CONFLICT (data_uri) DO UPDATE SET size = coalesce(excluded.size, size) RETURNING id, data_uri");
        let rows = query.build().fetch_all(&mut *db).await.sql("adding assets")?;
        let ids: HashMap<String, i64> = rows.iter().map(|row| (row.get("data_uri"), row.get("id"))).collect();
        for asset in batch.iter_mut() {
            asset.id = ids.get(&asset.data_uri).copied();
        }
        let mut query =
            QueryBuilder::new("INSERT INTO data_source_asset (data_source, position, asset, parameter, num) ");
        query.push_values(batch.iter(), |mut row, asset| {
            row.push_bind(source).push_bind(position).push_bind(asset.id);
            row.push_bind(asset.parameter.clone()).push_bind(asset.num.map(|num| num as i64));
            position += 1;
        });
        query.build().execute(&mut *db).await.sql("adding assets to a data source")?;
    }
    Ok(())
}

fn text(map: &Map<String, Value>) -> String {
    serde_json::to_string(map).expect("a map of JSON values always serializes")
}

fn source_of(row: &SqliteRow) -> Result<DataSource> {
    let map = |column: &str| -> Result<Map<String, Value>> {
        serde_json::from_str(row.get(column)).internal(|| format!("reading the {column} of a data source"))
    };
    Ok(DataSource {
        id: Some(row.get("id")),
        structure: Structure::from_stored(row.get::<&str, _>("family").parse()?, row.get("structure"))?,
        mimetype: row.get("mimetype"),
        parameters: map("parameters")?,
        properties: map("properties")?,
        management: management(row.get("management"))?,
        assets: Vec::new(),
    })
}

pub(crate) fn management(name: &str) -> Result<Management> {
    Management::ALL
        .into_iter()
        .find(|m| m.name() == name)
        .ok_or_else(|| Error::internal("Internal server error").context(format!("unknown management {name:?}")))
}

pub(crate) fn asset_of(row: &SqliteRow) -> Asset {
    Asset {
        data_uri: row.get("data_uri"),
        is_directory: row.get("is_directory"),
        size: row.get::<Option<i64>, _>("size").map(|size| size as u64),
        parameter: row.get("parameter"),
        num: row.get::<Option<i64>, _>("num").map(|num| num as u64),
        id: row.get("asset_id"),
    }
}
