//! Nodes at hand: those that were looked up, for as long as nobody has changed them.
//!
//! What this process writes takes out just what it touches. What another process writes is seen in the header of
//! SQLite's WAL index (<https://sqlite.org/walformat.html>, section 2.1), which is another after every commit; then
//! everything goes. One read of 48 bytes a look-up takes the place of a statement.

use std::fs::File;
use std::mem::ManuallyDrop;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use girih_model::{Node, NodePath};
use moka::sync::Cache;

/// About the most bytes of nodes that are kept.
const CAPACITY: u64 = 24 << 20;
/// What a node takes beside its texts.
const OVERHEAD: usize = 512;

/// What a transaction has changed of what may be at hand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Touched {
    #[default]
    Nothing,
    Nodes(Vec<NodePath>),
    Everything,
}

impl Touched {
    pub(crate) fn node(path: NodePath) -> Self {
        Self::Nodes(vec![path])
    }

    pub(crate) fn add(&mut self, other: Self) {
        *self = match (std::mem::take(self), other) {
            (Self::Everything, _) | (_, Self::Everything) => Self::Everything,
            (Self::Nodes(mut some), Self::Nodes(others)) => {
                some.extend(others);
                Self::Nodes(some)
            }
            (some, Self::Nothing) | (Self::Nothing, some) => some,
        };
    }
}

/// The header of the WAL index.
type Mark = [u8; 48];

#[derive(Debug)]
pub(crate) struct Hand {
    index: WalIndex,
    state: RwLock<State>,
    nodes: Cache<NodePath, Held>,
}

#[derive(Debug)]
struct State {
    /// As it was when what is at hand was true.
    mark: Option<Mark>,
    /// Nodes of older ages are not at hand any more.
    age: u64,
    /// We are about to change the mark ourselves.
    committing: bool,
}

#[derive(Debug, Clone)]
struct Held {
    node: Arc<Node>,
    age: u64,
}

pub(crate) enum LookUp {
    Found(Arc<Node>),
    /// To be handed in with what the database says.
    Missing(Option<Ticket>),
}

/// The state of the database before it was asked.
pub(crate) struct Ticket(Mark);

/// While it lives, a commit is under way.
pub(crate) struct Committing<'h> {
    hand: &'h Hand,
    touched: Touched,
}

impl Hand {
    /// For the database in this file, which is or will be open.
    pub(crate) fn new(database: &Path) -> Self {
        let weigh = |path: &NodePath, held: &Held| {
            let node = &held.node;
            let structure = node.structure.as_ref().map_or(0, |structure| structure.to_stored().len());
            let specs = crate::leaf::specs_text(&node.specs).len();
            let texts = path.as_str().len() + node.metadata.text().len() + structure + specs;
            u32::try_from(OVERHEAD + texts).unwrap_or(u32::MAX)
        };
        Self {
            index: WalIndex::of(database),
            state: RwLock::new(State { mark: None, age: 0, committing: false }),
            nodes: Cache::builder().max_capacity(CAPACITY).weigher(weigh).build(),
        }
    }

    /// The node at a path, or the node with data to which the rest of the path belongs.
    pub(crate) fn find(&self, path: &NodePath) -> LookUp {
        let Some(mark) = self.index.mark() else { return LookUp::Missing(None) };
        let mut state = self.read();
        if state.mark != Some(mark) {
            if state.committing {
                return LookUp::Missing(None);
            }
            drop(state);
            self.forget_older(mark);
            state = self.read();
        }
        if state.mark == Some(mark)
            && let Some(node) = self.held(path, state.age)
        {
            return LookUp::Found(node);
        }
        LookUp::Missing(Some(Ticket(mark)))
    }

    fn held(&self, path: &NodePath, age: u64) -> Option<Arc<Node>> {
        let held = |path: &NodePath| self.nodes.get(path).filter(|held| held.age == age).map(|held| held.node);
        held(path).or_else(|| {
            // Nodes with data have no children in the catalog.
            let above = path.parent()?;
            held(&above).filter(|node| node.structure.is_some())
        })
    }

    /// Keeps a node at hand, if nothing has been written since.
    pub(crate) fn keep(&self, ticket: Option<Ticket>, node: &Node) {
        let Some(Ticket(mark)) = ticket else { return };
        let state = self.read();
        if state.mark == Some(mark) {
            self.nodes.insert(node.path.clone(), Held { node: Arc::new(node.clone()), age: state.age });
        }
    }

    /// A transaction has begun: others cannot write any more.
    pub(crate) fn begin(&self) {
        if let Some(mark) = self.index.mark() {
            self.forget_older(mark);
        }
    }

    /// What is written is about to become visible.
    pub(crate) fn commit(&self, touched: Touched) -> Committing<'_> {
        self.write().committing = true;
        Committing { hand: self, touched }
    }

    /// How often the database has been committed to.
    #[cfg(test)]
    pub(crate) fn commits(&self) -> Option<u32> {
        self.index.mark().map(|mark| commits(&mark))
    }

    fn forget_older(&self, mark: Mark) {
        let mut state = self.write();
        if state.mark != Some(mark) && !state.committing {
            state.mark = Some(mark);
            state.age += 1;
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Committing<'_> {
    fn drop(&mut self) {
        let mut state = self.hand.write();
        let mark = self.hand.index.mark();
        match &self.touched {
            Touched::Nothing => {}
            Touched::Nodes(paths) => paths.iter().for_each(|path| self.hand.nodes.invalidate(path)),
            Touched::Everything => state.age += 1,
        }
        // Somebody else may have committed right behind us.
        let ours = match (&state.mark, &mark) {
            (Some(before), Some(after)) => commits(after).wrapping_sub(commits(before)) <= 1,
            _ => false,
        };
        if !ours {
            state.age += 1;
        }
        state.mark = mark;
        state.committing = false;
    }
}

/// Field `iChange` of the header: counts commits.
fn commits(mark: &Mark) -> u32 {
    u32::from_ne_bytes([mark[8], mark[9], mark[10], mark[11]])
}

/// The file beside the database that all its processes share.
#[derive(Debug)]
struct WalIndex {
    path: PathBuf,
    /// Never closed: that would take away the locks which SQLite holds on this file in our name (fcntl(2)).
    file: OnceLock<ManuallyDrop<File>>,
}

impl WalIndex {
    fn of(database: &Path) -> Self {
        let mut path = database.as_os_str().to_owned();
        path.push("-shm");
        Self { path: path.into(), file: OnceLock::new() }
    }

    /// `None` while it cannot be told.
    fn mark(&self) -> Option<Mark> {
        let file = match self.file.get() {
            Some(file) => file,
            None => {
                let file = ManuallyDrop::new(File::open(&self.path).ok()?);
                self.file.get_or_init(|| file)
            }
        };
        let mut mark = [0; 48];
        file.read_exact_at(&mut mark, 0).ok()?;
        // One that was replaced tells nothing any more.
        (file.metadata().ok()?.nlink() > 0).then_some(mark)
    }
}
