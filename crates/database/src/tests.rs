//! The catalog as its callers see it.

mod bulk;
mod groups;
mod nodes;
mod plans;
mod properties;
mod runs;

use girih_model::{Family, Filter, Json, NodeId, Spec};
use serde_json::{Value, json};

use crate::{Created, Database, Missing, NewNode, Page, Scope, Search, SearchPage, Sort};

/// A catalog in a folder of its own.
struct Room {
    database: Database,
    _folder: tempfile::TempDir,
}

impl std::ops::Deref for Room {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

async fn room() -> Room {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalog.db");
    Room { database: Database::open(file.to_str().unwrap(), Missing::Create).await.unwrap(), _folder: folder }
}

const ROOT: NodeId = NodeId(0);

fn container(key: &str, metadata: Value) -> NewNode {
    NewNode {
        key: key.into(),
        family: Family::Container,
        metadata: Json::from_value(&metadata),
        specs: Vec::new(),
        data_source: None,
    }
}

impl Room {
    async fn add(&self, parent: NodeId, key: &str, metadata: Value) -> NodeId {
        self.create(parent, container(key, metadata)).await.unwrap().node.id
    }

    /// What is kept of children and values in numbers is what there is.
    async fn is_counted(&self) {
        assert_eq!(self.miscounted().await.unwrap(), []);
    }

    async fn keys(&self, filter: Filter) -> Vec<String> {
        let search = Search { filter, ..everything() };
        keys(&self.search(ROOT, search).await.unwrap())
    }
}

fn everything() -> Search {
    Search {
        scope: Scope::Children,
        filter: Filter::all(),
        sort: Vec::new(),
        page: Page::First,
        limit: 300,
        count_limit: None,
    }
}

fn keys(page: &SearchPage) -> Vec<String> {
    page.nodes.iter().map(|node| node.path.key().to_owned()).collect()
}

fn spec(name: &str) -> Spec {
    Spec { name: name.into(), version: None }
}

/// The nodes of the reference's behaviour matrix.
async fn matrix(room: &Room) {
    let all = [
        json!({"color": "red", "n": 1, "f": 1.5, "t": true, "l": ["a", "b"], "nested": {"x": 1, "s": "hello"}, "txt": "the quick brown fox"}),
        json!({"color": "blue", "n": 2, "f": 2.5, "t": false, "l": ["b", "c"], "nested": {"x": 2, "s": "World hello"}, "txt": "lazy dog"}),
        json!({"color": "Red", "n": 10, "f": -1, "t": null, "l": [1, 2], "nested": {"x": null}, "txt": "Fox-trot jumped"}),
        json!({"color": null, "n": "3", "l": "abc", "nested": [1, 2]}),
        json!({}),
        json!({"n": 2.0, "color": "red", "obj": {"a": 1}, "l": [], "a.b": 5, "txt": "quick"}),
        json!({"n": null, "f": 1.5, "color": 5}),
    ];
    for (n, metadata) in all.into_iter().enumerate() {
        let specs = match n {
            0 | 1 => vec![spec("foo")],
            2 => vec![spec("foo"), spec("bar")],
            _ => Vec::new(),
        };
        let new = NewNode { specs, ..container(&format!("d{n}"), metadata) };
        let _: Created = room.create(ROOT, new).await.unwrap();
    }
}

fn by(key: crate::SortKey, descending: bool) -> Sort {
    Sort { key, descending }
}
