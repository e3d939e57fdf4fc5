use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use std::time::SystemTime;

use async_trait::async_trait;
use girih_model::{DataSource, Json, Spec};

use super::*;
use crate::bulk::BulkItem;
use crate::register::There;
use crate::register::send::path_of;

/// A catalog in memory; it can be out of order.
#[derive(Default)]
struct Memory {
    nodes: Mutex<BTreeMap<String, BulkItem>>,
    is_busy: Mutex<bool>,
}

#[async_trait]
impl Target for Memory {
    async fn create(&self, items: Vec<BulkItem>) -> Result<Vec<Result<()>>> {
        if *self.is_busy.lock().unwrap() {
            return Err(Error::busy("Not now."));
        }
        let mut nodes = self.nodes.lock().unwrap();
        let made = items.into_iter().map(|item| {
            nodes.insert(path_of(&item)?.as_str().to_owned(), item);
            Ok(Ok(()))
        });
        made.collect()
    }

    async fn find(&self, _: &NodePath) -> Result<Option<There>> {
        Ok(None)
    }

    async fn change(&self, _: &NodePath, _: DataSource, _: Option<(Json, Vec<Spec>)>) -> Result<()> {
        Ok(())
    }

    async fn delete(&self, path: &NodePath) -> Result<()> {
        self.nodes.lock().unwrap().retain(|there, _| NodePath::parse(there).unwrap().below(path).is_none());
        Ok(())
    }

    async fn children(&self, _: &NodePath) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

struct Room {
    directory: tempfile::TempDir,
    target: Arc<Memory>,
    records: Arc<Mutex<Vec<Record>>>,
    registrar: Registrar,
}

impl Room {
    fn with(files: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (target, records) = (Arc::new(Memory::default()), Arc::new(Mutex::new(Vec::new())));
        let recorded = records.clone();
        let registrar = Registrar::new(
            Files::open(directory.path()).unwrap(),
            NodePath::root(),
            SurveyOptions::default(),
            target.clone(),
            true,
            move |record| recorded.lock().unwrap().push(record),
        );
        let room = Self { directory, target, records, registrar };
        files.iter().for_each(|file| room.write(file, SystemTime::UNIX_EPOCH));
        room
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, modified: SystemTime) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::File::create(self.path(name)).unwrap().set_modified(modified).unwrap();
    }

    fn nodes(&self) -> Vec<String> {
        self.target.nodes.lock().unwrap().keys().cloned().collect()
    }

    /// What was told since the last time, in short.
    fn told(&self) -> Vec<String> {
        let records = std::mem::take(&mut *self.records.lock().unwrap());
        let told = records.iter().map(|record| match &record.outcome {
            Outcome::Registered { path, .. } => format!("+{path}"),
            Outcome::Removed { path } => format!("-{path}"),
            Outcome::Skipped { .. } => format!("?{}", record.file),
            Outcome::Failed { .. } => format!("!{}", record.file),
        });
        told.collect()
    }
}

#[tokio::test]
async fn what_is_odd_is_told_once() {
    let mut room = Room::with(&["sub/a", "sub/bad.h5"]);
    std::os::unix::fs::symlink("..", room.path("sub/up")).unwrap();
    room.registrar.run().await.unwrap();
    assert_eq!(room.told(), ["?sub/up", "!sub/bad.h5", "+sub/a"]);
    room.registrar.is_following = true;
    let (root, sub) = (room.path(""), room.path("sub"));
    for directory in [&root, &sub, &sub] {
        room.registrar.resync(directory.components().as_path()).await.unwrap();
        assert!(room.told().is_empty());
    }
    // One that is changed, if only its mode.
    fs::set_permissions(room.path("sub/bad.h5"), std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    room.write("sub/a", SystemTime::UNIX_EPOCH);
    room.registrar.resync(&sub).await.unwrap();
    assert!(room.told().contains(&"!sub/bad.h5".to_owned()));
}

#[tokio::test]
async fn what_cannot_be_listed_stays_what_it_was_and_is_tried_again() {
    let mut room = Room::with(&["sub/a"]);
    room.registrar.run().await.unwrap();
    room.registrar.is_following = true;
    room.told();
    let sub = room.path("sub");
    fs::rename(&sub, room.path("aside")).unwrap();
    for told in [&["!sub/"][..], &[]] {
        room.registrar.resync(&sub).await.unwrap();
        assert_eq!(room.told(), told);
        assert_eq!(room.nodes(), ["sub", "sub/a"]);
        assert!(room.registrar.seen[&sub].is_unfinished);
    }
    fs::rename(room.path("aside"), &sub).unwrap();
    room.write("sub/b", SystemTime::UNIX_EPOCH);
    room.registrar.resync(&sub).await.unwrap();
    assert_eq!(room.told(), ["+sub/b"]);
    assert!(!room.registrar.seen[&sub].is_unfinished);
}

#[tokio::test]
async fn nothing_is_taken_for_seen_that_the_catalog_did_not_take() {
    let mut room = Room::with(&["a", "sub/b"]);
    *room.target.is_busy.lock().unwrap() = true;
    room.registrar.run().await.unwrap_err();
    assert!(room.registrar.is_forgotten && room.registrar.seen.is_empty());
    *room.target.is_busy.lock().unwrap() = false;
    room.registrar.run().await.unwrap();
    assert_eq!(room.nodes(), ["a", "sub", "sub/b"]);
}

#[tokio::test]
async fn what_is_being_written_is_waited_for_until_it_is_gone() {
    let mut room = Room::with(&["a"]);
    room.registrar.is_following = true;
    let root = room.directory.path().to_path_buf();
    room.registrar.run().await.unwrap();
    room.write("b", SystemTime::now());
    room.registrar.resync(&root).await.unwrap();
    assert_eq!(room.registrar.seen[&root].waiting.keys().collect::<Vec<_>>(), ["b"]);
    fs::remove_file(room.path("b")).unwrap();
    room.registrar.resync(&root).await.unwrap();
    assert!(room.registrar.seen[&root].waiting.is_empty());
    assert_eq!(room.nodes(), ["a"]);
}

#[tokio::test]
async fn what_is_too_deep_is_told() {
    let reached = "d/".repeat(MAX_DEPTH);
    let mut room = Room::with(&[&format!("{reached}a"), &format!("{reached}d/b")]);
    room.registrar.run().await.unwrap();
    assert_eq!(room.told(), [format!("!{reached}d/"), format!("+{reached}a")]);
    // Also when it is found later.
    let path = room.path(&reached).components().collect::<PathBuf>();
    room.write(&format!("{reached}e/c"), SystemTime::UNIX_EPOCH);
    room.registrar.resync(&path).await.unwrap();
    assert_eq!(room.told(), [format!("!{reached}e/")]);
}
