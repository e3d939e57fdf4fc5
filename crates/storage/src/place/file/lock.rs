//! Turns, so that those who change the same data do not lose each other's updates.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::Duration;

use girih_model::Result;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::Location;
use crate::pool::blocking;

/// Longest pause before asking again whether another process has done with a directory.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// One lock for each place of the file system, however many directories are configured over it.
static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::default);

/// The right to change what is in a directory, until it is dropped. In this process, who comes first has it first; other
/// processes are kept away by an advisory lock (`flock`) on the directory, where the file system has them.
#[derive(Debug)]
pub struct Turn {
    // Released in this order: whoever is next here does not meet a lock of our own.
    _among_processes: Option<OwnedFd>,
    _in_this_one: OwnedMutexGuard<()>,
}

impl Location {
    /// Waits for the turn to change what is in this directory.
    ///
    /// # Errors
    /// `Gone` when the directory does not exist.
    pub async fn turn(&self) -> Result<Turn> {
        let ours = REGISTRY.of(&self.directory.canonical.join(&self.path)).lock_owned().await;
        let mut pause = Duration::from_millis(1);
        loop {
            let directory = self.clone();
            let (handle, locked) = blocking(move || {
                let handle = directory.open_dir().map_err(|e| directory.fault("opening", e))?;
                let locked = rustix::fs::flock(&handle, FlockOperation::NonBlockingLockExclusive);
                Ok((handle, locked))
            })
            .await?;
            match locked {
                Ok(()) => return Ok(Turn { _among_processes: Some(handle), _in_this_one: ours }),
                // Waiting without a thread: the one who has the turn may need it.
                Err(Errno::WOULDBLOCK) => tokio::time::sleep(pause).await,
                Err(_) => return Ok(Turn { _among_processes: None, _in_this_one: ours }),
            }
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }
}

#[derive(Debug, Default)]
struct Registry(Mutex<Places>);

#[derive(Debug, Default)]
struct Places {
    locks: HashMap<PathBuf, Weak<AsyncMutex<()>>>,
    /// Forget unused ones when there are this many.
    sweep_at: usize,
}

impl Registry {
    fn of(&self, path: &Path) -> Arc<AsyncMutex<()>> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = places.locks.get(path).and_then(Weak::upgrade) {
            return lock;
        }
        if places.locks.len() >= places.sweep_at {
            places.locks.retain(|_, lock| lock.strong_count() > 0);
            places.sweep_at = 64 + 2 * places.locks.len();
        }
        let lock = Arc::new(AsyncMutex::default());
        places.locks.insert(path.to_path_buf(), Arc::downgrade(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_whoever_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let place = super::super::Directory::open(folder.path(), true).unwrap().root();
        let soon = Duration::from_millis(50);
        let turn = place.turn().await.unwrap();
        assert!(tokio::time::timeout(soon, place.turn()).await.is_err(), "we have it");
        drop(turn);
        // As another process does.
        let other = std::fs::File::open(folder.path()).unwrap();
        other.lock().unwrap();
        assert!(tokio::time::timeout(soon, place.turn()).await.is_err(), "another process has it");
        drop(other);
        place.turn().await.unwrap();
        drop(folder);
        assert_eq!(place.join("x").unwrap().turn().await.unwrap_err().kind(), girih_model::ErrorKind::Gone);
    }

    #[test]
    fn one_place_has_one_lock_while_it_is_used() {
        let registry = Registry::default();
        let a = registry.of(Path::new("a"));
        assert!(Arc::ptr_eq(&a, &registry.of(Path::new("a"))));
        assert!(!Arc::ptr_eq(&a, &registry.of(Path::new("b"))));
        for n in 0..1000 {
            registry.of(Path::new(&format!("{n}")));
        }
        assert!(registry.0.lock().unwrap().locks.len() < 200);
        assert!(Arc::ptr_eq(&a, &registry.of(Path::new("a"))));
    }
}
