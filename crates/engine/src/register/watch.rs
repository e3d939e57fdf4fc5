//! Following a directory: what changes in it is registered again, and nothing else.

mod schedule;

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use girih_model::{Error, ErrorKind, Result};
use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind};
use notify::{Event, EventKind, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout_at};

use super::Registrar;
use schedule::{ROUND, Schedule};

/// Changes that follow one another so quickly are handled together…
const QUIET: Duration = Duration::from_millis(200);
/// … but not more than so long.
const BURST: Duration = Duration::from_secs(2);
/// With more changes than this, all is looked through at once.
const MAX_CHANGES: usize = 10_000;

/// Tells of changes from now on.
pub struct Watch {
    root: PathBuf,
    /// Which directory that was when it began.
    identity: Option<(u64, u64)>,
    heard: Arc<Heard>,
    /// Stops when it is dropped.
    _watcher: Option<Box<dyn Watcher + Send + Sync>>,
}

/// What has changed.
#[derive(Default)]
struct Changes {
    /// Files and directories, or those that they are in.
    paths: BTreeSet<PathBuf>,
    /// Something was lost: it may be anywhere.
    all: bool,
}

#[derive(Default)]
struct Heard {
    changes: Mutex<Changes>,
    some: Notify,
}

impl Watch {
    /// Begins to listen, which takes a while for many directories. Where the system does not tell of changes, they are
    /// only found by looking.
    pub async fn start(root: &Path) -> Self {
        let (heard, root) = (Arc::new(Heard::default()), root.to_path_buf());
        let (hears, base) = (heard.clone(), root.clone());
        let begun = spawn_blocking(move || (identity(&base), listen(&base, hears))).await;
        let (identity, watcher) = begun.unwrap_or_else(|e| (None, Err(notify::Error::generic(&e.to_string()))));
        let watcher = watcher.inspect_err(|e| {
            tracing::warn!(error = %e, "changes are not told by the system here: they are looked for every {ROUND:?}");
        });
        Self { root, identity, heard, _watcher: watcher.ok() }
    }

    /// Registers what changes, for ever.
    ///
    /// # Errors
    /// `Unauthenticated` when the catalog does not know us any more, `Gone` when the directory was removed or replaced.
    /// What passes is only logged, and tried again.
    pub async fn follow(&self, registrar: &mut Registrar) -> Result<()> {
        registrar.is_following = true;
        let mut schedule = Schedule::new(Instant::now());
        loop {
            schedule.plan(Instant::now(), registrar.is_waiting(), registrar.is_unfinished());
            let told = timeout_at(schedule.next().into(), self.heard.some.notified()).await.is_ok();
            self.check().await?;
            let mut changes = if told { self.burst().await } else { Changes::default() };
            let now = Instant::now();
            changes.all |= schedule.is_round(now);
            if registrar.is_forgotten && !changes.all && !schedule.is_retry(now) {
                // All is looked through when it is tried again.
                continue;
            }
            if schedule.is_retry(now) {
                schedule.retried();
                changes.paths.extend(registrar.unfinished());
            }
            changes.paths.extend(registrar.waiting());
            let is_round = registrar.apply(changes).await?;
            if is_round {
                schedule.went_round(Instant::now(), now.elapsed());
            }
        }
    }

    /// # Errors
    /// When the directory is another.
    async fn check(&self) -> Result<()> {
        let root = self.root.clone();
        if spawn_blocking(move || identity(&root)).await.is_ok_and(|identity| identity == self.identity) {
            return Ok(());
        }
        Err(Error::gone(format!(
            "{} was removed or replaced. Start again to follow what is there now.",
            self.root.display()
        )))
    }

    /// Changes that come together are one.
    async fn burst(&self) -> Changes {
        let (began, mut all) = (Instant::now(), Changes::default());
        while began.elapsed() < BURST {
            sleep(QUIET).await;
            let Changes { paths, all: lost } = self.heard.take();
            if paths.is_empty() && !lost {
                break;
            }
            all.paths.extend(paths);
            all.all |= lost;
        }
        all
    }
}

fn listen(root: &Path, heard: Arc<Heard>) -> notify::Result<Box<dyn Watcher + Send + Sync>> {
    let mut watcher = notify::recommended_watcher(move |event| heard.hear(event))?;
    watcher.watch(root, RecursiveMode::Recursive)?;
    Ok(Box::new(watcher))
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

impl Heard {
    fn hear(&self, event: notify::Result<Event>) {
        {
            let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                Ok(_) if changes.all => {}
                Ok(event) if !event.need_rescan() => changes.note(event),
                _ => changes.all = true,
            }
            if changes.paths.len() > MAX_CHANGES {
                *changes = Changes { all: true, ..Changes::default() };
            }
        }
        self.some.notify_one();
    }

    fn take(&self) -> Changes {
        std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Changes {
    fn note(&mut self, event: Event) {
        // What is only read has not changed.
        let is_change = match event.kind {
            EventKind::Access(kind) => matches!(kind, AccessKind::Close(AccessMode::Write)),
            _ => true,
        };
        // A directory of this name may be another now, or open to us.
        let is_other = match event.kind {
            EventKind::Create(kind) => kind != CreateKind::File,
            EventKind::Modify(kind) => !matches!(kind, ModifyKind::Data(_)),
            _ => false,
        };
        for path in event.paths.into_iter().filter(|_| is_change) {
            self.paths.extend(path.parent().map(Path::to_path_buf));
            if is_other {
                self.paths.insert(path);
            }
        }
    }
}

impl Registrar {
    /// Registers what has changed; tells whether all was looked through.
    async fn apply(&mut self, changes: Changes) -> Result<bool> {
        let is_round = changes.all || self.is_forgotten || changes.paths.len() > MAX_CHANGES;
        let directories: BTreeSet<PathBuf> = if is_round {
            self.seen.keys().cloned().chain([self.files_path()]).collect()
        } else {
            changes.paths.iter().map(|path| self.nearest(path)).collect()
        };
        self.is_forgotten = false;
        for directory in directories {
            // It may have gone with one above it.
            let directory = self.nearest(&directory);
            match self.resync(&directory).await {
                Err(e) if e.kind() == ErrorKind::Unauthenticated => return Err(e),
                Err(e) => {
                    tracing::warn!(error = %e, directory = %directory.display(), "a change was not registered, and is tried again");
                    self.forget();
                    break;
                }
                Ok(()) => {}
            }
        }
        Ok(is_round)
    }

    fn waiting(&self) -> impl Iterator<Item = PathBuf> {
        self.seen.iter().filter(|(_, seen)| !seen.waiting.is_empty()).map(|(path, _)| path.clone())
    }

    fn unfinished(&self) -> impl Iterator<Item = PathBuf> {
        self.seen.iter().filter(|(_, seen)| seen.is_unfinished).map(|(path, _)| path.clone())
    }

    fn is_waiting(&self) -> bool {
        self.waiting().next().is_some()
    }

    fn is_unfinished(&self) -> bool {
        self.is_forgotten || self.unfinished().next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use notify::event::DataChange;

    use super::*;

    #[test]
    fn what_is_lost_or_too_much_is_looked_for_everywhere() {
        let heard = Heard::default();
        let event = |kind, path: &str| Ok(Event::new(kind).add_path(path.into()));
        let paths =
            |heard: &Heard| heard.take().paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        heard.hear(event(EventKind::Access(AccessKind::Read), "/a/read"));
        heard.hear(event(EventKind::Modify(ModifyKind::Data(DataChange::Any)), "/b/written"));
        heard.hear(event(EventKind::Create(CreateKind::Folder), "/c/new"));
        assert_eq!(paths(&heard), ["/b", "/c", "/c/new"]);
        heard.hear(Err(notify::Error::generic("lost")));
        assert!(heard.take().all && !heard.take().all);
        for n in 0..=MAX_CHANGES {
            heard.hear(event(EventKind::Create(CreateKind::Folder), &format!("/d/{n}")));
        }
        let changes = heard.take();
        assert!(changes.all && changes.paths.is_empty());
    }
}
