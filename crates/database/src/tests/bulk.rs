//! Many nodes at once are what the same nodes are, made one by one.

use girih_model::{ErrorKind, Filter, NodePath};
use serde_json::{Value, json};

use super::{ROOT, container, everything, keys, room};
use crate::{BulkNode, Outcome, Scope, Search};

fn node(parent: &str, key: &str, metadata: Value) -> BulkNode {
    BulkNode::new(NodePath::parse(parent).unwrap(), container(key, metadata)).unwrap()
}

fn kinds(outcomes: &[Outcome]) -> Vec<&'static str> {
    let kind = |outcome: &Outcome| match outcome {
        Outcome::Created => "created",
        Outcome::Exists(_) => "exists",
        Outcome::Refused(e) if e.kind() == ErrorKind::NotFound => "not found",
        Outcome::Refused(_) => "refused",
    };
    outcomes.iter().map(kind).collect()
}

#[tokio::test]
async fn a_bulk_makes_trees_in_order_and_tells_of_each() {
    let room = room().await;
    room.add(ROOT, "old", json!({"n": 1})).await;
    let mut bulk = room.bulk().await.unwrap();
    let outcomes = bulk
        .insert(vec![
            node("new", "early", json!({})),
            node("", "new", json!({"color": "red"})),
            node("new", "inner", json!({"color": "blue", "words": "a deep sea"})),
            node("", "old", json!({"n": 2})),
            node("", "twin", json!({})),
            node("", "twin", json!({})),
            node("new/inner", "leaf", json!({"n": 5})),
        ])
        .await
        .unwrap();
    let expected = ["not found", "created", "created", "exists", "created", "exists", "created"];
    assert_eq!(kinds(&outcomes), expected);
    let more = bulk.insert(vec![node("new", "early", json!({"color": "red"}))]).await.unwrap();
    assert_eq!(kinds(&more), ["created"]);
    bulk.commit().await.unwrap();

    assert_eq!(room.deepest(&NodePath::root()).await.unwrap().children, 3);
    let new = room.deepest(&NodePath::parse("new").unwrap()).await.unwrap();
    assert_eq!(new.children, 2);
    let deep = Search { scope: Scope::Descendants { max_depth: 9 }, ..everything() };
    assert_eq!(room.search(ROOT, deep).await.unwrap().nodes.len(), 6);
    let words = Search { filter: Filter::Text(girih_model::filter::TextQuery::parse("sea").unwrap()), ..everything() };
    assert_eq!(keys(&room.search(new.id, words).await.unwrap()), ["inner"]);
    room.add(new.id, "later", json!({})).await;
    room.is_counted().await;
}

#[tokio::test]
async fn a_bulk_that_is_dropped_leaves_nothing() {
    let room = room().await;
    let mut bulk = room.bulk().await.unwrap();
    let nodes = (0..250).map(|n| node("", &format!("k{n}"), json!({"n": n})));
    assert!(bulk.insert(nodes.collect()).await.unwrap().iter().all(|o| matches!(o, Outcome::Created)));
    drop(bulk);
    room.add(ROOT, "k7", json!({})).await;
    assert_eq!(room.keys(Filter::all()).await, ["k7"]);
    let paths: i64 =
        sqlx::query_scalar("SELECT count(*) FROM key_path WHERE id > 3").fetch_one(&room.readers).await.unwrap();
    assert_eq!(paths, 0);
}
