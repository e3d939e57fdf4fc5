//! Creating, finding, changing, deleting.

use girih_model::{ArrayStructure, Asset, DType, DataSource, ErrorKind, Family, Json, Management, NodePath, Structure};
use serde_json::json;

use super::*;
use crate::hand::Touched;
use crate::{Change, SortKey};

fn path(text: &str) -> NodePath {
    NodePath::parse(text).unwrap()
}

fn array(key: &str, uri: &str, management: Management) -> NewNode {
    let structure = Structure::Array(ArrayStructure::new(DType::of("f8"), vec![2, 3]));
    let asset = Asset {
        data_uri: uri.into(),
        is_directory: true,
        size: None,
        parameter: Some("data_uri".into()),
        num: None,
        id: None,
    };
    let source = DataSource {
        id: None,
        structure,
        mimetype: "application/x-zarr".into(),
        parameters: Default::default(),
        properties: Default::default(),
        management,
        assets: vec![asset],
    };
    NewNode { family: Family::Array, data_source: Some(source), ..container(key, json!({})) }
}

#[tokio::test]
async fn the_deepest_node_on_the_way_is_found() {
    let room = room().await;
    let a = room.add(ROOT, "a", json!({"x": 1})).await;
    room.add(a, "b", json!({})).await;
    for (wanted, found) in [("", ""), ("a", "a"), ("a/b", "a/b"), ("a/b/c/d", "a/b"), ("ab", ""), ("a/bc", "a")] {
        assert_eq!(room.deepest(&path(wanted)).await.unwrap().path.as_str(), found, "{wanted}");
    }
    let node = room.deepest(&path("a")).await.unwrap();
    assert_eq!((node.children, node.metadata.text()), (1, r#"{"x":1}"#));
}

#[tokio::test]
async fn keys_are_unique_and_parents_must_exist() {
    let room = room().await;
    room.add(ROOT, "a", json!({})).await;
    assert_eq!(room.create(ROOT, container("a", json!({}))).await.unwrap_err().kind(), ErrorKind::Conflict);
    let orphan = room.create(NodeId(77), container("b", json!({}))).await.unwrap_err();
    assert_eq!(orphan.kind(), ErrorKind::NotFound);
    assert_eq!(room.deepest(&NodePath::root()).await.unwrap().children, 1);
}

#[tokio::test]
async fn changes_keep_revisions_and_are_searched_for() {
    let room = room().await;
    let id = room.add(ROOT, "a", json!({"color": "red", "old": 1})).await;
    let change = |metadata| Change { metadata: Some(Json::from_value(&metadata)), specs: None, keep_revision: true };
    let crate::Changed { node, revision, .. } = room.update(id, 1, change(json!({"color": "blue"}))).await.unwrap();
    assert_eq!((node.version, revision), (2, Some(1)));
    let stale = room.update(id, 1, change(json!({}))).await.unwrap_err();
    assert_eq!(stale.kind(), ErrorKind::Conflict);
    let eq = |key: &str, value: Value| {
        Filter::value(girih_model::filter::KeyPath::parse(key).unwrap(), girih_model::filter::Test::Eq(value))
    };
    assert_eq!(room.keys(eq("color", json!("blue"))).await, ["a"]);
    assert!(room.keys(eq("color", json!("red"))).await.is_empty());
    assert!(room.keys(eq("old", json!(1))).await.is_empty());
    room.is_counted().await;
    let page = room.revisions(id, 0, 10).await.unwrap();
    assert_eq!((page.count, page.revisions[0].metadata.text()), (1, r#"{"color":"red","old":1}"#));
    room.delete_revision(id, 1).await.unwrap();
    assert_eq!(room.delete_revision(id, 1).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn data_sources_come_back_with_their_assets() {
    let room = room().await;
    let created = room.create(ROOT, array("x", "file://localhost/x", Management::Writable)).await.unwrap();
    let source = room.data_sources(created.node.id).await.unwrap().remove(0);
    assert_eq!(source.id, created.data_source.unwrap().id);
    assert_eq!(source.assets[0].data_uri, "file://localhost/x");
    let before = source.structure.clone();
    let after = Structure::Array(ArrayStructure::new(DType::of("f8"), vec![9, 3]));
    room.record_write(created.node.id, &before, &after, None).await.unwrap();
    let stale = room.record_write(created.node.id, &before, &after, None).await.unwrap_err();
    assert_eq!(stale.kind(), ErrorKind::Conflict);
    room.record_write(created.node.id, &before, &before, None).await.unwrap();
    let node = room.deepest(&path("x")).await.unwrap();
    assert_eq!((node.structure, node.version, node.data_version), (Some(after), 2, 2));
}

#[tokio::test]
async fn deleting_takes_the_subtree_and_only_that() {
    let room = room().await;
    let a = room.add(ROOT, "a", json!({"k": 1})).await;
    room.add(ROOT, "ab", json!({"k": 1})).await;
    let b = room.add(a, "b", json!({"k": 1, "t": "words here"})).await;
    room.create(b, array("x", "file://localhost/x", Management::Writable)).await.unwrap();
    let kind = |r: girih_model::Result<crate::Deleted>| r.unwrap_err().kind();
    assert_eq!(kind(room.delete(a, false, false).await), ErrorKind::Conflict);
    assert_eq!(kind(room.delete(a, true, true).await), ErrorKind::Conflict);
    let deleted = room.delete(a, true, false).await.unwrap();
    assert_eq!((deleted.nodes, deleted.assets.len()), (3, 1));
    assert_eq!(room.keys(Filter::all()).await, ["ab"]);
    let leaves: i64 = sqlx::query_scalar("SELECT count(*) FROM leaf").fetch_one(&room.readers).await.unwrap();
    assert_eq!(leaves, 3, "family, specs and k of ab");
    room.is_counted().await;
    let again = room.add(ROOT, "a", json!({})).await;
    assert!(again > b, "numbers are not used again");
}

#[tokio::test]
async fn long_texts_are_found_counted_and_told_apart() {
    let room = room().await;
    let long = |end: &str| format!("{}{end}", "ä".repeat(2000));
    room.add(ROOT, "a", json!({"t": long("x")})).await;
    room.add(ROOT, "b", json!({"t": long("y")})).await;
    room.add(ROOT, "c", json!({"t": "short"})).await;
    let at = || girih_model::filter::KeyPath::parse("t").unwrap();
    let test = |test| Filter::value(at(), test);
    use girih_model::filter::{Order, Test};
    assert_eq!(room.keys(test(Test::Eq(json!(long("x"))))).await, ["a"]);
    assert_eq!(room.keys(test(Test::Compare(Order::Gt, json!(long("x"))))).await, ["b"]);
    assert_eq!(room.keys(test(Test::Compare(Order::Ge, json!("ä")))).await, ["a", "b"]);
    let wants = crate::DistinctWants { metadata: vec![at()], counts: true, ..Default::default() };
    let distinct = room.distinct(ROOT, Filter::all(), wants).await.unwrap();
    let values: Vec<_> = distinct.metadata[0].iter().map(|bucket| bucket.value.clone()).collect();
    assert_eq!(values, [json!("short"), json!(long("x")), json!(long("y"))]);
}

#[tokio::test]
async fn the_root_can_be_emptied() {
    let room = room().await;
    let a = room.add(ROOT, "ä", json!({"k": 1})).await;
    room.add(a, "b", json!({"k": 1})).await;
    room.delete(ROOT, true, false).await.unwrap();
    let root = room.deepest(&path("ä/b")).await.unwrap();
    assert_eq!((root.id, root.children), (ROOT, 0));
    let leaves: i64 = sqlx::query_scalar("SELECT count(*) FROM leaf").fetch_one(&room.readers).await.unwrap();
    assert_eq!(leaves, 0);
    room.is_counted().await;
}

#[tokio::test]
async fn what_is_counted_wrongly_is_told_and_counted_anew() {
    let room = room().await;
    let a = room.add(ROOT, "a", json!({})).await;
    room.add(a, "b", json!({"k": [1, 2], "t": "x"})).await;
    room.is_counted().await;
    for sql in ["UPDATE node SET children = 7 WHERE id = 0", "UPDATE tally SET leaves = leaves + 1 WHERE path > 3"] {
        let mut tx = room.write().await.unwrap();
        sqlx::query(sql).execute(&mut *tx).await.unwrap();
        tx.commit(Touched::Everything).await.unwrap();
    }
    let wrong = room.miscounted().await.unwrap();
    let mut of: Vec<&str> = wrong.iter().map(|one| one.of.as_str()).collect();
    of.sort_unstable();
    assert_eq!(of, ["children", "values at k", "values at k", "values at t"], "the list, and its elements");
    assert_eq!(room.recount().await.unwrap(), 4);
    room.is_counted().await;
}

#[tokio::test]
async fn accents_are_ignored_in_every_order() {
    let room = room().await;
    for (n, title) in ["Ångström scale", "angstrom scale", "10 °C scale", "scale"].into_iter().enumerate() {
        room.add(ROOT, &format!("n{n}"), json!({"title": title, "n": 9 - n, "same": 1})).await;
    }
    let text = |query: &str| Filter::Text(girih_model::filter::TextQuery::parse(query).unwrap());
    let by_n = vec![by(SortKey::Value(girih_model::filter::KeyPath::parse("n").unwrap()), false)];
    for (query, hits) in [
        ("angstrom", vec!["n1", "n0"]),
        ("ångström", vec!["n1", "n0"]),
        ("scale -angstrom", vec!["n3", "n2"]),
        ("10 c", vec!["n2"]),
    ] {
        let search = Search { filter: text(query), sort: by_n.clone(), ..everything() };
        assert_eq!(keys(&room.search(ROOT, search).await.unwrap()), hits, "{query}");
    }
}

#[tokio::test]
async fn shared_assets_stay_until_the_last_one_goes() {
    let room = room().await;
    let uri = "file://localhost/shared.npy";
    let one = room.create(ROOT, array("one", uri, Management::External)).await.unwrap();
    let two = room.create(ROOT, array("two", uri, Management::External)).await.unwrap();
    let id = |created: &Created| created.data_source.as_ref().unwrap().assets[0].id.unwrap();
    assert_eq!(id(&one), id(&two));
    let (_, unused) = room.delete_asset(one.node.id, id(&one), true).await.unwrap();
    assert!(!unused);
    assert_eq!(room.delete_asset(one.node.id, id(&one), true).await.unwrap_err().kind(), ErrorKind::NotFound);
    let deleted = room.delete(two.node.id, false, true).await.unwrap();
    assert!(deleted.assets.is_empty(), "external files are never ours to delete");
}

#[tokio::test]
async fn what_was_begun_and_dropped_is_undone_and_nobody_is_locked_out() {
    let room = room().await;
    room.add(ROOT, "a", json!({})).await;
    for _ in 0..20 {
        let refused = room.create(ROOT, container("a", json!({}))).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
        let begun = room.create(ROOT, container("never", json!({})));
        let _ = tokio::time::timeout(std::time::Duration::from_micros(300), begun).await;
        let mut tx = room.write().await.unwrap();
        sqlx::query("DELETE FROM node WHERE key = 'a'").execute(&mut *tx).await.unwrap();
        drop(tx);
        assert_eq!(room.deepest(&path("a")).await.unwrap().path, path("a"));
    }
    room.add(ROOT, "b", json!({})).await;
}
