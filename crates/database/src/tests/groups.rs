//! Writers who share commits, and what is at hand while they write.

use std::sync::Arc;

use girih_model::NodePath;
use serde_json::json;

use super::{ROOT, container, room};
use crate::hand::Touched;
use crate::{Change, Database, Missing};

fn path(text: &str) -> NodePath {
    NodePath::parse(text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_the_same_time_share_commits_and_lose_nothing() {
    let room = Arc::new(room().await);
    let before = commits(&room).await;
    let writers = (0..100).map(|n| {
        let room = room.clone();
        // Each key twice: one of the two is refused.
        tokio::spawn(async move { room.create(ROOT, container(&format!("k{}", n / 2), json!({"n": n}))).await.is_ok() })
    });
    let created = futures_join(writers).await.into_iter().filter(|created| *created).count();
    assert_eq!(created, 50);
    assert_eq!(room.deepest(&NodePath::root()).await.unwrap().children, 50);
    let commits = commits(&room).await - before;
    assert!(commits < 60, "{commits} commits for 50 nodes");
}

async fn futures_join<T>(tasks: impl Iterator<Item = tokio::task::JoinHandle<T>>) -> Vec<T> {
    let mut all = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        all.push(task.await.unwrap());
    }
    all
}

/// How often the database has been committed to, by the counter in the header of its WAL index.
async fn commits(room: &Database) -> u32 {
    room.hand.commits().unwrap()
}

#[tokio::test]
async fn a_part_that_fails_takes_only_itself_along() {
    let room = room().await;
    let mut kept = room.write().await.unwrap();
    sqlx::query("UPDATE node SET updated = 7 WHERE id = 0").execute(&mut *kept).await.unwrap();
    let kept = tokio::spawn(kept.commit(Touched::Everything));
    let mut dropped = room.write().await.unwrap();
    sqlx::query("UPDATE node SET updated = 8 WHERE id = 0").execute(&mut *dropped).await.unwrap();
    drop(dropped);
    kept.await.unwrap().unwrap();
    assert_eq!(room.deepest(&NodePath::root()).await.unwrap().updated, 7);
}

#[tokio::test]
async fn what_is_at_hand_is_what_was_written_last_by_whomever() {
    let room = room().await;
    let file = room._folder.path().join("catalog.db");
    let other = Database::open(file.to_str().unwrap(), Missing::Refuse).await.unwrap();
    let a = room.create(ROOT, container("a", json!({"n": 0}))).await.unwrap().node;
    let sees = async |database: &Database, n: i64, children: u64| {
        // The second time it comes from the hand.
        for _ in 0..2 {
            let node = database.deepest(&path("a")).await.unwrap();
            assert_eq!(node.metadata.to_value(), json!({"n": n}));
            assert_eq!(database.deepest(&NodePath::root()).await.unwrap().children, children);
        }
    };
    for n in 1..6 {
        let writer = if n % 2 == 0 { &*room } else { &other };
        let change = Change { metadata: Some(girih_model::Json::from_value(&json!({"n": n}))), ..Change::default() };
        let version = writer.deepest(&path("a")).await.unwrap().version;
        writer.update(a.id, version, change).await.unwrap();
        sees(&room, n, n as u64).await;
        sees(&other, n, n as u64).await;
        writer.create(ROOT, container(&format!("b{n}"), json!({}))).await.unwrap();
        sees(&other, n, n as u64 + 1).await;
        sees(&room, n, n as u64 + 1).await;
    }
    other.delete(ROOT, true, false).await.unwrap();
    assert!(room.deepest(&path("a")).await.unwrap().path.is_root());
    assert!(other.deepest(&path("a")).await.unwrap().path.is_root());
}

/// Readers look up all the time while two writers count up: nobody ever sees a number go back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sees_time_go_back() {
    let room = Arc::new(room().await);
    let a = room.create(ROOT, container("a", json!({}))).await.unwrap().node.id;
    let file = room._folder.path().join("catalog.db");
    let other = Database::open(file.to_str().unwrap(), Missing::Refuse).await.unwrap();
    let writers = [(*room).clone(), other].map(|writer| {
        tokio::spawn(async move {
            for _ in 0..100 {
                let version = writer.deepest(&path("a")).await.unwrap().version;
                // The other one may have been faster.
                let _ = writer.update(a, version, Change::default()).await;
                let seen = writer.deepest(&path("a")).await.unwrap().version;
                assert!(seen > version, "a write is seen by its writer");
            }
        })
    });
    let readers = (0..4).map(|_| {
        let room = room.clone();
        tokio::spawn(async move {
            let mut last = 0;
            for _ in 0..2000 {
                let seen = room.deepest(&path("a")).await.unwrap().version;
                assert!(seen >= last);
                last = seen;
                tokio::task::yield_now().await;
            }
        })
    });
    futures_join(readers.collect::<Vec<_>>().into_iter().chain(writers)).await;
}
