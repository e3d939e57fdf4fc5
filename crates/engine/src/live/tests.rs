//! What every log must do for those who watch.

use std::time::Duration;

use girih_database::{Retention, Updates};
use girih_model::Json;
use tokio::time::timeout;

use super::*;

const NODE: NodeId = NodeId(7);
const PATIENCE: Duration = Duration::from_secs(20);

/// A log, with what goes when it does.
struct Room {
    live: Arc<Live>,
    updates: Updates,
    _folder: tempfile::TempDir,
}

async fn room(retention: Retention) -> Room {
    let folder = tempfile::tempdir().unwrap();
    let updates = Updates::open(folder.path(), NodeId(0), retention).await.unwrap();
    Room { live: Arc::new(Live::new(Arc::new(updates.clone()))), updates, _folder: folder }
}

fn new(payload: &[u8]) -> NewUpdate {
    let event = Json::parse(r#"{"type":"array-data"}"#).unwrap();
    NewUpdate { node: NODE, event, payload: Bytes::copy_from_slice(payload), key: None }
}

async fn next(watcher: &mut Watcher) -> Heard {
    timeout(PATIENCE, watcher.next()).await.expect("something to hear").unwrap()
}

/// Numbers and payloads up to this number.
async fn until(watcher: &mut Watcher, last: u64) -> Vec<(u64, Bytes)> {
    let mut heard = Vec::new();
    while watcher.heard() < last {
        match next(watcher).await {
            Heard::Update(told) => heard.push((told.update.sequence, told.update.payload.clone())),
            other => panic!("{other:?}"),
        }
    }
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn history_and_present_are_one() {
    const WRITERS: u64 = 4;
    const EACH: u64 = 100;
    let room = room(Retention::default()).await;
    let writers = (0..WRITERS).map(|writer| {
        let live = room.live.clone();
        tokio::spawn(async move {
            for n in 0..EACH {
                live.tell(vec![new(format!("{writer} {n}").as_bytes())]).await.unwrap();
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let watchers = (0..20).map(|n| {
        let live = room.live.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(3 * n)).await;
            let mut watcher = live.watch(NODE, Some(n / 2)).await.unwrap();
            let first = watcher.heard();
            let heard = until(&mut watcher, WRITERS * EACH).await;
            let numbers: Vec<u64> = heard.iter().map(|(number, _)| *number).collect();
            assert_eq!(numbers, (first + 1..=WRITERS * EACH).collect::<Vec<_>>(), "none is missing, none comes twice");
            for writer in 0..WRITERS {
                let of = heard.iter().filter(|(_, payload)| payload.starts_with(format!("{writer} ").as_bytes()));
                let of: Vec<u64> = of.map(|(number, _)| *number).collect();
                assert!(of.is_sorted(), "what one writer tells is in order");
            }
        })
    });
    let watchers: Vec<_> = watchers.collect();
    for task in writers.into_iter().chain(watchers) {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn where_one_begins() {
    let room = room(Retention::default()).await;
    for n in 0..3 {
        room.live.tell(vec![new(&[n])]).await.unwrap();
    }
    for (start, expected) in [(Some(0), 0), (Some(1), 0), (Some(3), 2), (Some(4), 3), (Some(99), 3), (None, 3)] {
        assert_eq!(room.live.watch(NODE, start).await.unwrap().heard(), expected, "{start:?}");
    }
    let mut late = room.live.watch(NODE, Some(99)).await.unwrap();
    room.live.tell(vec![new(b"x")]).await.unwrap();
    assert_eq!(until(&mut late, 4).await[0].0, 4);
}

#[tokio::test]
async fn what_is_not_kept_any_more_is_told() {
    let room = room(Retention { age: Duration::ZERO, ..Retention::default() }).await;
    for n in 0..3 {
        room.live.tell(vec![new(&[n])]).await.unwrap();
    }
    room.updates.trim().await.unwrap();
    let mut watcher = room.live.watch(NODE, Some(2)).await.unwrap();
    assert!(matches!(next(&mut watcher).await, Heard::Gap { from: 2, to: 3 }));
    room.live.tell(vec![new(b"x")]).await.unwrap();
    assert_eq!(until(&mut watcher, 4).await.len(), 1);
    // With 0, everything that is kept is everything.
    let mut all = room.live.watch(NODE, Some(0)).await.unwrap();
    assert_eq!(until(&mut all, 4).await.len(), 1);
}

#[tokio::test]
async fn a_slow_watcher_misses_nothing_and_holds_nothing() {
    let room = room(Retention::default()).await;
    let mut slow = room.live.watch(NODE, None).await.unwrap();
    let large = vec![1; AT_HAND / 4];
    for _ in 0..10 {
        room.live.tell(vec![new(&large)]).await.unwrap();
    }
    assert!(room.live.at_hand.load(Ordering::Relaxed) <= AT_HAND);
    assert_eq!(until(&mut slow, 10).await.len(), 10);
    drop(slow);
    assert_eq!(room.live.at_hand.load(Ordering::Relaxed), 0, "nobody watches any more");
}

#[tokio::test]
async fn a_repetition_is_heard_once() {
    let room = room(Retention::default()).await;
    let mut watcher = room.live.watch(NODE, None).await.unwrap();
    let keyed = || NewUpdate { key: Some([1; 16]), ..new(b"a") };
    assert_eq!(room.live.tell(vec![keyed()]).await.unwrap(), [1]);
    assert_eq!(room.live.tell(vec![keyed()]).await.unwrap(), [1]);
    room.live.tell(vec![new(b"b")]).await.unwrap();
    assert_eq!(until(&mut watcher, 2).await.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test]
async fn those_who_watch_what_is_gone_hear_it() {
    let room = room(Retention::default()).await;
    let mut watcher = room.live.watch(NODE, None).await.unwrap();
    room.live.tell(vec![new(b"a")]).await.unwrap();
    room.live.end(NODE);
    assert_eq!(until(&mut watcher, 1).await.len(), 1);
    assert!(matches!(next(&mut watcher).await, Heard::Gone));
}
