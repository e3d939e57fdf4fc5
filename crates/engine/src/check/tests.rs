use std::path::Path;
use std::time::SystemTime;

use futures::StreamExt;
use girih_model::{ArrayStructure, DType, Family, Json, Management, NodePath, Structure};

use super::*;
use crate::create::CreateRequest;
use crate::write::{WriteMode, WriteRequest};
use crate::{Caller, CatalogSettings, Settings};

async fn engine(folder: &Path) -> Engine {
    let catalog = CatalogSettings {
        at: NodePath::root(),
        uri: folder.join("catalog.db").to_str().unwrap().into(),
        create: true,
        node: NodePath::root(),
        create_node: false,
        writable: vec![folder.join("data")],
        readable: Vec::new(),
        metadata: None,
        specs: Vec::new(),
    };
    Engine::start(Settings { catalogs: vec![catalog], ..Default::default() }).await.unwrap()
}

async fn add_array(engine: &Engine, key: &str) {
    let structure = Structure::Array(ArrayStructure::new(DType::of("u1"), vec![1000]));
    let source = DataSource {
        id: None,
        structure,
        mimetype: String::new(),
        parameters: Default::default(),
        properties: Default::default(),
        management: Management::Writable,
        assets: Vec::new(),
    };
    let request = CreateRequest {
        key: Some(key.into()),
        family: Family::Array,
        metadata: Json::object(),
        specs: Vec::new(),
        data_sources: vec![source],
        access_tags: None,
    };
    let caller = Caller::single_user();
    engine.create(&caller, &NodePath::root(), request, false).await.unwrap();
    let body: Vec<u8> = (0..1000u32).map(|n| (n * n) as u8).collect();
    let request = WriteRequest {
        families: vec![Family::Array],
        selection: Selection::all(),
        mode: WriteMode::Replace,
        patch: None,
        content_type: "application/octet-stream".into(),
        content_length: None,
        body: futures::stream::iter([Ok(body.into())]).boxed(),
        key: None,
        persist: true,
    };
    engine.write(&caller, &NodePath::parse(key).unwrap(), request).await.unwrap();
}

async fn check(engine: &Engine, data: bool, repair: bool) -> Vec<(FindingKind, bool)> {
    let mut findings = Vec::new();
    let checked = engine.check(CheckOptions { data, repair }, |finding| findings.push(finding)).await.unwrap();
    assert_eq!(checked.findings, findings.len() as u64);
    findings.into_iter().map(|finding| (finding.kind, finding.repaired)).collect()
}

/// As if nobody had touched it for long.
fn forgotten(path: &Path) {
    let long_ago = SystemTime::now() - 2 * YOUNG;
    std::fs::File::open(path).unwrap().set_modified(long_ago).unwrap();
}

#[tokio::test]
async fn what_a_crash_leaves_is_found_and_removed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let engine = engine(folder.path()).await;
    add_array(&engine, "a").await;
    assert_eq!(check(&engine, true, true).await, []);

    for directory in ["lost/inner", "fresh"] {
        std::fs::create_dir_all(data.join(directory)).unwrap();
    }
    std::fs::write(data.join("lost/inner/zarr.json"), "{}").unwrap();
    std::fs::write(data.join(".girih=1-2-3"), "half").unwrap();
    for path in ["lost", ".girih=1-2-3"] {
        forgotten(&data.join(path));
    }
    assert_eq!(check(&engine, false, false).await, [(FindingKind::Unfinished, false), (FindingKind::Orphan, false)]);
    assert!(data.join("lost").exists(), "only looked at");
    assert_eq!(check(&engine, false, true).await, [(FindingKind::Unfinished, true), (FindingKind::Orphan, true)]);
    assert!(!data.join("lost").exists() && data.join("fresh").exists(), "what is young may be somebody's");
    assert_eq!(check(&engine, true, false).await, []);
}

#[tokio::test]
async fn missing_and_damaged_data_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path()).await;
    for key in ["a", "b", "c"] {
        add_array(&engine, key).await;
    }
    let chunk = folder.path().join("data/b/c/0");
    let mut bytes = std::fs::read(&chunk).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&chunk, bytes).unwrap();
    assert_eq!(check(&engine, false, true).await, [], "it opens");
    assert_eq!(check(&engine, true, true).await, [(FindingKind::Data, false)]);
    std::fs::remove_dir_all(folder.path().join("data/c")).unwrap();
    assert_eq!(check(&engine, false, true).await, [(FindingKind::Data, false)]);
}
