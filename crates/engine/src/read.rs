//! Data out of the house.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use girih_database::{Cursor, Database, Page, Scope, Search};
use girih_model::{
    Data, Error, Family, Filter, Management, Node, NodeId, NodePath, Result, Selection, TreeData, TreeEntry,
};
use girih_storage::Dataset;

use crate::access::Permission;
use crate::engine::Mount;
use crate::find::Found;
use crate::{Caller, Engine, Entry};

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
                let entry = Entry { path, family: dataset.structure().family(), ..mount.entry(node) };
                Ok(Opened { version, entry, dataset })
            }
            Found::Above { .. } => Err(Error::unsupported("This node has no data.")),
        }
    }

    /// A container of the catalog, or these of its children, as a tree.
    pub(crate) fn tree(self, fields: Option<Vec<String>>) -> Result<TreeData> {
        match self {
            Found::Node { mount, node } if node.structure.is_none() => {
                let walk = Walk::new(mount.clone(), node.id, fields);
                Ok(TreeData { metadata: mount.entry(node).metadata, entries: walk.entries() })
            }
            Found::Node { .. } | Found::Part { .. } => {
                Err(Error::unsupported("Containers inside files cannot be exported yet. Export their children."))
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
            Family::Container => Ok(Data::Tree(found.tree(selection.fields.clone())?)),
            _ => found.open().await?.dataset.read(selection).await,
        }
    }
}

/// A walk over a subtree, depth first, a page of children at a time.
struct Walk {
    mount: Arc<Mount>,
    /// Only these children of the start.
    fields: Option<Vec<String>>,
    /// One frame for each container on the way down.
    stack: Vec<Frame>,
}

struct Frame {
    id: NodeId,
    keys: Vec<String>,
    page: VecDeque<Node>,
    next: Option<Page>,
}

impl Walk {
    fn new(mount: Arc<Mount>, start: NodeId, fields: Option<Vec<String>>) -> Self {
        let frame = Frame { id: start, keys: Vec::new(), page: VecDeque::new(), next: Some(Page::First) };
        Self { mount, fields, stack: vec![frame] }
    }

    fn entries(self) -> stream::BoxStream<'static, Result<TreeEntry>> {
        let walk =
            stream::try_unfold(self, |mut walk| async move { Ok(walk.step().await?.map(|entry| (entry, walk))) });
        walk.boxed()
    }

    async fn step(&mut self) -> Result<Option<TreeEntry>> {
        loop {
            let top = self.stack.len() == 1;
            let Some(frame) = self.stack.last_mut() else { return Ok(None) };
            if let Some(node) = frame.page.pop_front() {
                let keys: Vec<String> = frame.keys.iter().cloned().chain([node.path.key().to_owned()]).collect();
                if node.family == Family::Container && node.structure.is_none() {
                    let page = (node.children > 0).then_some(Page::First);
                    self.stack.push(Frame { id: node.id, keys: keys.clone(), page: VecDeque::new(), next: page });
                }
                return Ok(Some(self.entry(node, keys)));
            }
            let Some(page) = frame.next.take() else {
                self.stack.pop();
                continue;
            };
            let filter = match &self.fields {
                Some(fields) if top => Filter::KeyIn(fields.clone()),
                _ => Filter::all(),
            };
            let (nodes, next) = children(self.mount.database(), frame.id, filter, page).await?;
            frame.page = nodes.into();
            frame.next = next.map(Page::After);
        }
    }

    fn entry(&self, node: Node, keys: Vec<String>) -> TreeEntry {
        let read = node.structure.is_some().then(|| {
            let (mount, node) = (self.mount.clone(), Arc::new(node.clone()));
            let read = move || -> BoxFuture<'static, Result<Data>> {
                let (mount, node) = (mount.clone(), node.clone());
                Box::pin(async move { mount.open(&node).await?.read(&Selection::all()).await })
            };
            Arc::new(read) as Arc<dyn Fn() -> BoxFuture<'static, Result<Data>> + Send + Sync>
        });
        TreeEntry {
            keys,
            family: node.family,
            metadata: node.metadata,
            specs: node.specs,
            structure: node.structure,
            read,
        }
    }
}

async fn children(database: &Database, id: NodeId, filter: Filter, page: Page) -> Result<(Vec<Node>, Option<Cursor>)> {
    let search =
        Search { scope: Scope::Children, filter, sort: Vec::new(), page, limit: TREE_PAGE, count_limit: Some(0) };
    let found = database.search(id, search).await?;
    Ok((found.nodes, found.next))
}
