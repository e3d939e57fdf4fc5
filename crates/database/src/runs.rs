//! Assets of long sequences, many to a row: files of one directory, one after the other in a list. A stack of 30,000
//! frames is 100 KB in the database instead of 10 MB, and is recorded by one statement.
//!
//! Only external files are kept so: nothing is asked of them one by one but their names.

use std::io::Read;

use girih_model::{Asset, Error, NodeId, Result, ResultExt};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::Database;
use crate::fault::Sqlx;

/// Fewer are rows of their own.
const LEAST: usize = 64;
/// Bytes of names that one row may unpack to.
const MOST: u64 = 1 << 28;
/// So many are packed and unpacked at once.
const AT_ONCE: usize = 1000;

/// Whether the assets can be one row: files of one directory, whose numbers follow each other.
pub(crate) fn is_run(assets: &[Asset]) -> bool {
    let Some(first) = assets.first().filter(|_| assets.len() >= LEAST) else { return false };
    let (Some(parameter), Some(num), (directory, _)) = (&first.parameter, first.num, cut(&first.data_uri)) else {
        return false;
    };
    let names: usize = assets.iter().map(|asset| asset.data_uri.len() + 24).sum();
    names as u64 <= MOST
        && assets.iter().zip(num..).all(|(asset, num)| {
            let (within, name) = cut(&asset.data_uri);
            asset.num == Some(num)
                && asset.parameter.as_ref() == Some(parameter)
                && within == directory
                && !asset.is_directory
                && !name.contains(['\t', '\n'])
        })
}

/// A URI as that of a directory, with the slash at its end, and a name.
fn cut(uri: &str) -> (&str, &str) {
    uri.split_at(uri.rfind('/').map_or(0, |slash| slash + 1))
}

/// Records assets that are a run, and gives them ids.
pub(crate) async fn insert(db: &mut SqliteConnection, source: i64, position: i64, assets: &mut [Asset]) -> Result<()> {
    let first = reserve_ids(db, assets.len() as i64).await?;
    assets.iter_mut().zip(first..).for_each(|(asset, id)| asset.id = Some(id));
    put(db, source, position, assets).await
}

impl Database {
    /// Whether a file is one of a run.
    pub(crate) async fn is_in_run(&self, uri: &str) -> Result<bool> {
        let rows = sqlx::query("SELECT * FROM asset_run WHERE directory = ?").bind(cut(uri).0);
        for row in rows.fetch_all(&self.readers).await.sql("looking up a run of assets")? {
            if assets_of(row).await?.iter().any(|asset| asset.data_uri == uri) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The first of as many ids that no asset ever had.
async fn reserve_ids(db: &mut SqliteConnection, count: i64) -> Result<i64> {
    let context = "taking ids of assets";
    let last: Option<i64> =
        sqlx::query_scalar("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'asset' RETURNING seq")
            .bind(count)
            .fetch_optional(&mut *db)
            .await
            .sql(context)?;
    if let Some(last) = last {
        return Ok(last - count + 1);
    }
    let begun = sqlx::query("INSERT INTO sqlite_sequence (name, seq) VALUES ('asset', ?)").bind(count);
    begun.execute(db).await.sql(context)?;
    Ok(1)
}

/// Records assets with ids that follow each other.
async fn put(db: &mut SqliteConnection, source: i64, position: i64, assets: &[Asset]) -> Result<()> {
    let Some(first) = assets.first() else { return Ok(()) };
    let lines = lines_of(assets);
    let files = unhurried(assets.len(), move || pack(&lines)).await?;
    let put = sqlx::query(
        "INSERT INTO asset_run (data_source, position, first_id, count, parameter, first_num, directory, files) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    );
    put.bind(source)
        .bind(position)
        .bind(first.id)
        .bind(assets.len() as i64)
        .bind(&first.parameter)
        .bind(first.num.map(|num| num as i64))
        .bind(cut(&first.data_uri).0)
        .bind(files)
        .execute(db)
        .await
        .sql("adding a run of assets")?;
    Ok(())
}

/// Lines of a name and a size.
fn lines_of(assets: &[Asset]) -> String {
    let mut lines = String::new();
    for asset in assets {
        lines.push_str(cut(&asset.data_uri).1);
        lines.push('\t');
        lines.push_str(&asset.size.map(|size| size.to_string()).unwrap_or_default());
        lines.push('\n');
    }
    lines
}

fn pack(lines: &str) -> Result<Vec<u8>> {
    zstd::bulk::compress(lines.as_bytes(), zstd::DEFAULT_COMPRESSION_LEVEL)
        .internal(|| "packing names of assets".into())
}

/// The assets of a row.
pub(crate) async fn assets_of(row: SqliteRow) -> Result<Vec<Asset>> {
    let count = count_of(&row);
    let unpacked = move || {
        let lines = unpack(&row)?;
        lines.lines().zip(0..).map(|(line, n)| nth(&row, line, n)).collect::<Result<Vec<_>>>()
    };
    let assets = unhurried(count, unpacked).await?;
    if assets.len() != count { Err(damaged()) } else { Ok(assets) }
}

fn count_of(row: &SqliteRow) -> usize {
    usize::try_from(row.get::<i64, _>("count")).unwrap_or_default()
}

/// What takes long for many assets is not done on a thread of the reactor.
async fn unhurried<T: Send + 'static>(count: usize, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    if count <= AT_ONCE {
        return work();
    }
    tokio::task::spawn_blocking(work).await.internal(|| "packing or unpacking a run of assets".into())?
}

fn unpack(row: &SqliteRow) -> Result<String> {
    let mut lines = String::new();
    let files = zstd::stream::read::Decoder::new(row.get::<&[u8], _>("files"));
    let read = files.and_then(|files| files.take(MOST).read_to_string(&mut lines));
    read.internal(|| "unpacking names of assets".into())?;
    Ok(lines)
}

/// The n-th asset of a row, from its line.
fn nth(row: &SqliteRow, line: &str, n: i64) -> Result<Asset> {
    let (name, size) = line.split_once('\t').ok_or_else(damaged)?;
    Ok(Asset {
        data_uri: format!("{}{name}", row.get::<&str, _>("directory")),
        is_directory: false,
        size: size.parse().ok(),
        parameter: Some(row.get("parameter")),
        num: Some((row.get::<i64, _>("first_num") + n) as u64),
        id: Some(row.get::<i64, _>("first_id") + n),
    })
}

fn damaged() -> Error {
    Error::internal("Internal server error").context("a run of assets is damaged")
}

/// An asset in a run of a node's data source.
pub(crate) async fn find(db: &mut SqliteConnection, node: NodeId, asset: i64) -> Result<Option<Asset>> {
    let row = sqlx::query(
        "SELECT * FROM asset_run WHERE first_id <= ?1 AND ?1 < first_id + count \
         AND data_source IN (SELECT id FROM data_source WHERE node = ?2)",
    );
    let row = row.bind(asset).bind(node.0).fetch_optional(db).await.sql("reading an asset")?;
    let Some(row) = row else { return Ok(None) };
    let n = asset - row.get::<i64, _>("first_id");
    let count = count_of(&row);
    unhurried(count, move || unpack(&row)?.lines().nth(n as usize).map(|line| nth(&row, line, n)).transpose()).await
}

/// Takes an asset out of the run of a node's data source that has it: what is before and after it stays, with its ids.
pub(crate) async fn take(db: &mut SqliteConnection, node: NodeId, asset: i64) -> Result<Option<Asset>> {
    let row = sqlx::query(
        "DELETE FROM asset_run WHERE first_id <= ?1 AND ?1 < first_id + count \
         AND data_source IN (SELECT id FROM data_source WHERE node = ?2) RETURNING *",
    );
    let row = row.bind(asset).bind(node.0).fetch_optional(&mut *db).await.sql("taking an asset from a run")?;
    let Some(row) = row else { return Ok(None) };
    let (source, position): (i64, i64) = (row.get("data_source"), row.get("position"));
    let first: i64 = row.get("first_id");
    let mut assets = assets_of(row).await?;
    let after = assets.split_off((asset - first + 1) as usize);
    let taken = assets.pop();
    put(db, source, position, &assets).await?;
    put(db, source, position + assets.len() as i64 + 1, &after).await?;
    Ok(taken)
}
