//! Assets of long sequences.

use girih_model::{ArrayStructure, Asset, DType, DataSource, ErrorKind, Family, Management, Structure};
use serde_json::json;

use super::*;
use crate::Known;

/// Frames with these numbers.
fn frames(numbers: std::ops::Range<u64>) -> Vec<Asset> {
    let frame = |n| Asset {
        data_uri: format!("file://localhost/data/frame%20{n}.tif"),
        is_directory: false,
        size: (n % 3 > 0).then_some(n),
        parameter: Some("data_uris".into()),
        num: Some(n),
        id: None,
    };
    numbers.map(frame).collect()
}

fn stack(count: u64) -> NewNode {
    let source = DataSource {
        id: None,
        structure: Structure::Array(ArrayStructure::new(DType::of("f8"), vec![count, 2, 3])),
        mimetype: "multipart/related;type=image/tiff".into(),
        parameters: Default::default(),
        properties: Default::default(),
        management: Management::External,
        assets: frames(0..count),
    };
    NewNode { family: Family::Array, data_source: Some(source), ..container("stack", json!({})) }
}

async fn rows(room: &Room, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&room.readers).await.unwrap()
}

#[tokio::test]
async fn long_sequences_are_few_rows_and_are_read_as_they_were_written() {
    let room = room().await;
    let made = room.create(ROOT, stack(1000)).await.unwrap();
    assert_eq!((rows(&room, "asset").await, rows(&room, "asset_run").await), (0, 1));
    let mut source = made.data_source.unwrap();
    // A few more, then many.
    for count in [1003, 1200] {
        source.assets = frames(0..count);
        room.put_data_source(made.node.id, source.clone(), None).await.unwrap();
    }
    assert_eq!((rows(&room, "asset").await, rows(&room, "asset_run").await), (3, 2));

    let mut found = room.data_sources(made.node.id).await.unwrap().pop().unwrap().assets;
    let ids: Vec<i64> = found.iter().map(|asset| asset.id.unwrap()).collect();
    assert!(ids.is_sorted_by(|a, b| a < b));
    found.iter_mut().for_each(|asset| asset.id = None);
    assert_eq!(found, frames(0..1200));
    let (_, asset) = room.asset(made.node.id, ids[1100]).await.unwrap().unwrap();
    assert_eq!(asset.num, Some(1100));

    for (uri, known) in [
        ("file://localhost/data/frame%20999.tif", Known::Asset),
        ("file://localhost/data/frame%201200.tif", Known::Nothing),
        ("file://localhost/data", Known::Above),
        ("file://localhost/dat", Known::Nothing),
    ] {
        assert_eq!(room.known(uri).await.unwrap(), known, "{uri}");
    }
}

#[tokio::test]
async fn one_of_a_long_sequence_can_be_taken_away() {
    let room = room().await;
    let made = room.create(ROOT, stack(100)).await.unwrap();
    let first = made.data_source.unwrap().assets[0].id.unwrap();
    for taken in [50, 0, 99] {
        let (asset, unused) = room.delete_asset(made.node.id, first + taken, true).await.unwrap();
        assert_eq!((asset.num, unused), (Some(taken as u64), true));
        let again = room.delete_asset(made.node.id, first + taken, true).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::NotFound);
    }
    let left = room.data_sources(made.node.id).await.unwrap().pop().unwrap().assets;
    let left: Vec<_> = left.iter().map(|asset| (asset.id.unwrap() - first, asset.num.unwrap() as i64)).collect();
    assert_eq!(left, (1..99).filter(|n| *n != 50).map(|n| (n, n)).collect::<Vec<_>>());
    let other = room.create(ROOT, NewNode { key: "other".into(), ..stack(3) }).await.unwrap();
    let ids: Vec<_> = other.data_source.unwrap().assets.iter().map(|asset| asset.id.unwrap()).collect();
    assert!(ids[0] > first + 99, "ids are never used again");
    room.delete(made.node.id, false, true).await.unwrap();
    assert_eq!(rows(&room, "asset_run").await, 0);
}
