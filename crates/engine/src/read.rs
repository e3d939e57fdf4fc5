//! Data out of the house.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use girih_database::{Cursor, Database, Page, Scope, Search};
use girih_model::{
    Data, Error, Family, Filter, Json, Management, Node, NodeId, NodePath, Result, Selection, Spec, Structure,
    TreeData, TreeEntry,
};
use girih_storage::Dataset;

use crate::access::Permission;
use crate::engine::Mount;
use crate::find::Found;
use crate::{Caller, Engine, Entry, inside};

/// Children looked up at a time while a tree is walked.
const TREE_PAGE: u64 = 300;

/// An entry and its open data; the caller may read it.
pub struct Opened {
    pub entry: Entry,
    pub dataset: Arc<dyn Dataset>,
    /// Changes whenever the data may have changed; part of ETags. `None` for the files of others, which change without
    /// our knowing.
    pub version: Option<String>,
}

impl Found {
    /// The open data; nothing has been read yet.
    pub(crate) async fn open(self) -> Result<Opened> {
        let version = |mount: &Mount, node: &Node| {
            let ours = node.management != Some(Management::External);
            let epoch = mount.database().epoch();
            ours.then(|| format!("{epoch}.{}.{}.{}.{}", node.id.0, node.created, node.version, node.data_version))
        };
        match self {
            Found::Node { mount, node } => {
                let dataset = mount.open(&node).await?;
                Ok(Opened { version: version(&mount, &node), entry: mount.entry(node), dataset })
            }
            Found::Part { mount, node, path, dataset } => {
                let version = version(&mount, &node);
                let entry = inside::entry(path, &dataset).await;
                Ok(Opened { version, entry, dataset })
            }
            Found::Above { .. } => Err(Error::unsupported("This node has no data.")),
        }
    }

    /// A container, or these of its children, as a tree.
    pub(crate) async fn tree(self, fields: Option<Vec<String>>) -> Result<TreeData> {
        match self {
            Found::Node { mount, node } => {
                let level = match node.structure {
                    None => Level::of_catalog(&node),
                    Some(_) => Level::of_file(&NodePath::root(), mount.open(&node).await?).await?,
                };
                let walk = Walk::new(mount.clone(), level, fields);
                Ok(TreeData { metadata: mount.entry(node).metadata, entries: walk.entries() })
            }
            Found::Part { mount, dataset, .. } => {
                let level = Level::of_file(&NodePath::root(), dataset.clone()).await?;
                Ok(TreeData { metadata: dataset.metadata(), entries: Walk::new(mount, level, fields).entries() })
            }
            Found::Above { .. } => {
                Err(Error::unsupported("Several catalogs are mounted below this container. Export each of them."))
            }
        }
    }
}

impl Engine {
    /// Finds the data of an entry of one of `families`; nothing has been read yet.
    pub async fn open(&self, caller: &Caller, path: &NodePath, families: &[Family]) -> Result<Opened> {
        caller.require(&[Permission::ReadData])?;
        let found = self.find(path).await?;
        found.must_be(families)?;
        found.open().await
    }

    /// Streams the selected part of an entry; a container as the tree below it.
    pub async fn read(
        &self,
        caller: &Caller,
        path: &NodePath,
        families: &[Family],
        selection: &Selection,
    ) -> Result<Data> {
        caller.require(&[Permission::ReadData, Permission::ReadMetadata])?;
        let found = self.find(path).await?;
        found.must_be(families)?;
        match found.family() {
            Family::Container => Ok(Data::Tree(found.tree(selection.fields.clone()).await?)),
            _ => found.open().await?.dataset.read(selection).await,
        }
    }
}

/// A walk over a subtree, depth first, a page of children at a time, and on into the trees in files.
struct Walk {
    mount: Arc<Mount>,
    /// Only these children of the start.
    fields: Option<Vec<String>>,
    /// One frame for each container on the way down.
    stack: Vec<Frame>,
}

struct Frame {
    /// From the start.
    path: NodePath,
    level: Level,
}

enum Level {
    Catalog { id: NodeId, page: VecDeque<Node>, next: Option<Page> },
    File { dataset: Arc<dyn Dataset>, keys: VecDeque<String>, open: VecDeque<(String, Result<Arc<dyn Dataset>>)> },
}

impl Level {
    fn of_catalog(node: &Node) -> Self {
        let next = (node.children > 0).then_some(Page::First);
        Self::Catalog { id: node.id, page: VecDeque::new(), next }
    }

    async fn of_file(path: &NodePath, dataset: Arc<dyn Dataset>) -> Result<Self> {
        let keys = inside::keys(path, &dataset).await?.into();
        Ok(Self::File { dataset, keys, open: VecDeque::new() })
    }
}

impl Walk {
    fn new(mount: Arc<Mount>, level: Level, fields: Option<Vec<String>>) -> Self {
        Self { mount, fields, stack: vec![Frame { path: NodePath::root(), level }] }
    }

    fn entries(self) -> stream::BoxStream<'static, Result<TreeEntry>> {
        let walk =
            stream::try_unfold(self, |mut walk| async move { Ok(walk.step().await?.map(|entry| (entry, walk))) });
        walk.boxed()
    }

    async fn step(&mut self) -> Result<Option<TreeEntry>> {
        loop {
            let fields = self.fields.as_ref().filter(|_| self.stack.len() == 1);
            let Some(frame) = self.stack.last_mut() else { return Ok(None) };
            match &mut frame.level {
                Level::Catalog { id, page, next } => {
                    if let Some(node) = page.pop_front() {
                        let path = frame.path.child(node.path.key())?;
                        return self.of_catalog(path, node).await.map(Some);
                    }
                    if let Some(wanted) = next.take() {
                        let filter = fields.map_or_else(Filter::all, |fields| Filter::KeyIn(fields.clone()));
                        let (nodes, after) = children(self.mount.database(), *id, filter, wanted).await?;
                        *page = nodes.into();
                        *next = after.map(Page::After);
                        continue;
                    }
                }
                Level::File { dataset, keys, open } => {
                    if let Some((key, child)) = open.pop_front() {
                        let path = frame.path.child(&key)?;
                        return self.of_file(path, child).await.map(Some);
                    }
                    if let Some(fields) = fields {
                        keys.retain(|key| fields.contains(key));
                    }
                    if !keys.is_empty() {
                        let some: Vec<_> = keys.drain(..keys.len().min(inside::BATCH)).collect();
                        let children = inside::open_children(dataset, &some).await?;
                        *open = some.into_iter().zip(children).collect();
                        continue;
                    }
                }
            }
            self.stack.pop();
        }
    }

    async fn of_catalog(&mut self, path: NodePath, node: Node) -> Result<TreeEntry> {
        let level = match (node.family, &node.structure) {
            (Family::Container, None) => Some(Level::of_catalog(&node)),
            (Family::Container, Some(_)) => match self.in_file(&path, &node).await {
                Ok(level) => Some(level),
                Err(e) if e.is_lasting() => {
                    let metadata = node.metadata.with_error(&e);
                    return Ok(self.entered(path, None, metadata, node.specs, None, None));
                }
                Err(e) => return Err(e.of(path.as_str())),
            },
            _ => None,
        };
        let read = level.is_none().then(|| {
            let (mount, node) = (self.mount.clone(), Arc::new(node.clone()));
            reader(move || {
                let (mount, node) = (mount.clone(), node.clone());
                Box::pin(async move { mount.open(&node).await?.read(&Selection::all()).await })
            })
        });
        let structure = node.structure.filter(|_| level.is_none());
        Ok(self.entered(path, level, node.metadata, node.specs, structure, read))
    }

    async fn in_file(&self, path: &NodePath, node: &Node) -> Result<Level> {
        Level::of_file(path, self.mount.open(node).await?).await
    }

    async fn of_file(&mut self, path: NodePath, child: Result<Arc<dyn Dataset>>) -> Result<TreeEntry> {
        let dataset = match child {
            Ok(dataset) => dataset,
            Err(e) => return Ok(self.entered(path, None, inside::reason(&e), Vec::new(), None, None)),
        };
        let (metadata, specs, structure) = (dataset.metadata(), dataset.specs(), dataset.structure());
        if structure.family() == Family::Container {
            let level = Level::of_file(&path, dataset).await?;
            return Ok(self.entered(path, Some(level), metadata, specs, None, None));
        }
        let read = reader(move || {
            let dataset = dataset.clone();
            Box::pin(async move { dataset.read(&Selection::all()).await })
        });
        Ok(self.entered(path, None, metadata, specs, Some(structure), Some(read)))
    }

    /// The entry; what lies below it comes next.
    fn entered(
        &mut self,
        path: NodePath,
        level: Option<Level>,
        metadata: Json,
        specs: Vec<Spec>,
        structure: Option<Structure>,
        read: Option<Read>,
    ) -> TreeEntry {
        let keys = path.keys().map(String::from).collect();
        if let Some(level) = level {
            self.stack.push(Frame { path, level });
        }
        let family = structure.as_ref().map_or(Family::Container, Structure::family);
        TreeEntry { keys, family, metadata, specs, structure, read }
    }
}

type Read = Arc<dyn Fn() -> BoxFuture<'static, Result<Data>> + Send + Sync>;

fn reader(read: impl Fn() -> BoxFuture<'static, Result<Data>> + Send + Sync + 'static) -> Read {
    Arc::new(read)
}

async fn children(database: &Database, id: NodeId, filter: Filter, page: Page) -> Result<(Vec<Node>, Option<Cursor>)> {
    let search =
        Search { scope: Scope::Children, filter, sort: Vec::new(), page, limit: TREE_PAGE, count_limit: Some(0) };
    let found = database.search(id, search).await?;
    Ok((found.nodes, found.next))
}
