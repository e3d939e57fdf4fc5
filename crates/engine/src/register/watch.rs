//! Following a directory: what changes in it is registered again, and nothing else.

use std::collections::{BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use girih_model::{Error, Result};
use girih_storage::survey::Candidate;
use notify::{Event, EventKind, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::Registrar;

/// Changes that follow one another so quickly are handled together…
const QUIET: Duration = Duration::from_millis(200);
/// … but not more than so long.
const BURST: Duration = Duration::from_secs(2);
/// A file that was changed so recently may still be written.
const SETTLED: Duration = Duration::from_secs(1);
/// One that does not stop changing is looked at all the same.
const PATIENCE: Duration = Duration::from_secs(10);
/// Everything is looked through: there are file systems that do not tell of all changes.
const ROUND: Duration = Duration::from_secs(60);
/// With more directories than this, all are looked through at once.
const MAX_DIRECTORIES: usize = 10_000;

/// Directories in which something has changed.
#[derive(Default)]
struct Changes {
    directories: Mutex<BTreeSet<PathBuf>>,
    some: Notify,
}

/// Tells of changes from now on.
pub struct Watch {
    root: PathBuf,
    /// Which directory that was when it began.
    identity: Option<(u64, u64)>,
    changes: Arc<Changes>,
    /// Stops when it is dropped.
    _watcher: Option<Box<dyn Watcher + Send + Sync>>,
}

impl Watch {
    /// Begins to listen. Where the system does not tell of changes, they are only found by looking.
    pub fn start(root: &Path) -> Self {
        let changes = Arc::new(Changes::default());
        let (heard, base) = (changes.clone(), root.to_path_buf());
        let listen = notify::recommended_watcher(move |event: notify::Result<Event>| heard.hear(&base, event));
        let watcher = listen.and_then(|mut watcher| {
            watcher.watch(root, RecursiveMode::Recursive)?;
            Ok(Box::new(watcher) as Box<dyn Watcher + Send + Sync>)
        });
        let watcher = watcher.inspect_err(|e| {
            tracing::warn!(error = %e, "changes are not told by the system here: they are looked for every {ROUND:?}");
        });
        Self { root: root.to_path_buf(), identity: identity(root), changes, _watcher: watcher.ok() }
    }

    /// Registers what changes, for ever.
    ///
    /// # Errors
    /// When the catalog cannot be reached, `Gone` when the directory was removed or replaced.
    pub async fn follow(&self, registrar: &mut Registrar) -> Result<()> {
        registrar.settling = Some(Settling::default());
        loop {
            let wait = if registrar.is_unsettled() { SETTLED } else { ROUND };
            let told = timeout(wait, self.changes.some.notified()).await.is_ok();
            if identity(&self.root) != self.identity {
                return Err(Error::gone(format!(
                    "{} was removed or replaced. Start again to follow what is there now.",
                    self.root.display()
                )));
            }
            let began = Instant::now();
            let mut changed = BTreeSet::new();
            // A burst is one change.
            while told && began.elapsed() < BURST {
                sleep(QUIET).await;
                let more = self.changes.take();
                if more.is_empty() && !changed.is_empty() {
                    break;
                }
                changed.extend(more);
            }
            changed.extend(registrar.take_unsettled());
            if !told && changed.is_empty() || changed.len() > MAX_DIRECTORIES {
                changed = registrar.seen.keys().cloned().chain([self.root.clone()]).collect();
            }
            for directory in changed {
                match registrar.resync(&directory).await {
                    Err(e) if is_fatal(&e) => return Err(e),
                    Err(e) => {
                        tracing::warn!(error = %e, directory = %directory.display(), "a change was not registered")
                    }
                    Ok(()) => {}
                }
            }
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

fn is_fatal(e: &Error) -> bool {
    matches!(e.kind(), girih_model::ErrorKind::Unauthenticated)
}

impl Changes {
    fn hear(&self, root: &Path, event: notify::Result<Event>) {
        let mut directories = self.directories.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            // Something was lost: look at all.
            Err(_) => drop(directories.insert(root.to_path_buf())),
            Ok(event) if event.need_rescan() => drop(directories.insert(root.to_path_buf())),
            Ok(event) => {
                if let EventKind::Access(kind) = event.kind
                    && !matches!(kind, notify::event::AccessKind::Close(notify::event::AccessMode::Write))
                {
                    return;
                }
                for path in event.paths {
                    // Within a directory that is a node itself, its parents tell.
                    directories.insert(path.parent().unwrap_or(root).to_path_buf());
                }
            }
        }
        drop(directories);
        self.some.notify_one();
    }

    fn take(&self) -> BTreeSet<PathBuf> {
        std::mem::take(&mut *self.directories.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Which files are not looked at yet, because they are being written.
#[derive(Default)]
pub(super) struct Settling {
    /// Since when they are waited for.
    waiting: HashMap<PathBuf, Instant>,
    /// Directories to look at again.
    unsettled: BTreeSet<PathBuf>,
}

impl Settling {
    /// What of a candidate may be looked at; `None` when nothing, or less than the files that are known of it.
    pub(super) fn settled(&mut self, directory: &Path, mut candidate: Candidate, known: usize) -> Option<Candidate> {
        let now = SystemTime::now();
        let is_young = |modified: SystemTime| now.duration_since(modified).is_ok_and(|age| age < SETTLED);
        if !is_young(candidate.modified()) {
            for member in &candidate.members {
                self.waiting.remove(&member.location.absolute());
            }
            return Some(candidate);
        }
        self.unsettled.insert(directory.to_path_buf());
        if candidate.is_sequence {
            // Without the frames at the end that are not finished; one that is written anew keeps its place.
            while candidate.members.last().is_some_and(|last| is_young(last.modified)) {
                candidate.members.pop();
            }
            return (candidate.members.len() >= known.max(1)).then_some(candidate);
        }
        let path = candidate.members.first()?.location.absolute();
        let since = *self.waiting.entry(path.clone()).or_insert_with(Instant::now);
        if since.elapsed() < PATIENCE {
            return None;
        }
        self.waiting.remove(&path);
        Some(candidate)
    }
}

impl Registrar {
    fn is_unsettled(&self) -> bool {
        self.settling.as_ref().is_some_and(|settling| !settling.unsettled.is_empty())
    }

    fn take_unsettled(&mut self) -> BTreeSet<PathBuf> {
        self.settling.as_mut().map(|settling| std::mem::take(&mut settling.unsettled)).unwrap_or_default()
    }

    /// Looks again at a directory, or at the nearest one above that is known.
    async fn resync(&mut self, directory: &Path) -> Result<()> {
        let known = directory.ancestors().find_map(|path| self.seen.get(path));
        match known.map(|seen| (seen.location.clone(), seen.container.clone())) {
            Some((location, container)) => self.sync(location, container, false).await,
            None => self.run().await,
        }
    }
}
