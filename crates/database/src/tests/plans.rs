//! Never a scan where an index can answer.

use girih_model::filter::{KeyPath, Test, TextQuery};
use serde_json::json;

use super::*;
use crate::SortKey;
use crate::search::plan;

fn value(key: &str, test: Test) -> Filter {
    Filter::value(KeyPath::parse(key).unwrap(), test)
}

async fn check(room: &Room, filter: Filter, sort: Vec<Sort>, plan_has: &[&str]) {
    let plan = plan(room, ROOT, &Search { filter, sort, ..everything() }).await;
    for part in plan_has {
        assert!(plan.contains(part), "{part:?} not in the plan: {plan}");
    }
    let scan = plan
        .split("; ")
        .find(|step| step.starts_with("SCAN") && !step.contains("VIRTUAL TABLE") && !step.starts_with("SCAN f"));
    assert_eq!(scan, None, "{plan}");
}

#[tokio::test]
async fn an_index_answers() {
    let room = room().await;
    matrix(&room).await;
    let leaf = "SEARCH leaf USING PRIMARY KEY (parent=? AND path=?";
    check(&room, Filter::all(), vec![], &["node_order"]).await;
    check(
        &room,
        value("color", Test::Eq(json!("red"))),
        vec![],
        &["SEARCH f USING PRIMARY KEY (parent=? AND path=? AND kind=? AND value=?)"],
    )
    .await;
    check(&room, value("color", Test::In(vec![json!("red"), json!("blue")])), vec![], &[leaf]).await;
    check(&room, value("n", Test::Compare(girih_model::filter::Order::Lt, json!(2))), vec![], &[leaf]).await;
    check(&room, value("nested.s", Test::Present), vec![], &[leaf]).await;
    check(&room, value("l", Test::Contains(json!(1))), vec![], &["SEARCH f USING PRIMARY KEY"]).await;
    check(&room, Filter::Spec("foo".into()), vec![], &["SEARCH f USING PRIMARY KEY"]).await;
    check(&room, Filter::KeyIn(vec!["d1".into()]), vec![], &["node_key (parent=? AND key=?)"]).await;
    check(&room, Filter::Text(TextQuery::parse("fox").unwrap()), vec![], &["VIRTUAL TABLE INDEX"]).await;
    check(&room, Filter::all(), vec![by(SortKey::Key, false)], &["node_key"]).await;
    let by_n = vec![by(SortKey::Value(KeyPath::parse("n").unwrap()), false)];
    check(&room, Filter::all(), by_n, &["SEARCH l USING PRIMARY KEY (parent=? AND path=?)"]).await;
}

#[tokio::test]
async fn deep_searches_ask_the_index_of_each_container() {
    let room = room().await;
    matrix(&room).await;
    let filter = value("color", Test::Eq(json!("red")));
    let search = Search { scope: Scope::Descendants { max_depth: 9 }, filter, ..everything() };
    let plan = plan(&room, ROOT, &search).await;
    assert!(plan.contains("node_inner"), "{plan}");
    assert!(plan.contains("SEARCH leaf USING PRIMARY KEY (parent=? AND path=? AND kind=? AND value=?)"), "{plan}");
}

#[tokio::test]
async fn the_order_comes_from_the_index() {
    let room = room().await;
    matrix(&room).await;
    for sort in [vec![], vec![by(SortKey::Key, true)], vec![by(SortKey::Value(KeyPath::parse("n").unwrap()), false)]] {
        let plan = plan(&room, ROOT, &Search { sort, ..everything() }).await;
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }
}

/// They would be those of a catalog that was smaller.
#[tokio::test]
async fn no_statistics_are_gathered() {
    let room = room().await;
    matrix(&room).await;
    room.close().await;
    let file = room._folder.path().join("catalog.db");
    let database = Database::open(file.to_str().unwrap(), Missing::Refuse).await.unwrap();
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'sqlite_stat%'";
    let tables: i64 = sqlx::query_scalar(tables).fetch_one(&database.readers).await.unwrap();
    assert_eq!(tables, 0);
}
