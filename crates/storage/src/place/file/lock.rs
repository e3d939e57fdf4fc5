//! Locks by place, so that two open handles of the same data do not lose each other's updates.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use tokio::sync::Mutex as AsyncMutex;

/// One lock for each place of the file system, however many directories are configured over it.
static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::default);

/// The lock of a place, by its path without links.
pub(super) fn of(path: &Path) -> Arc<AsyncMutex<()>> {
    REGISTRY.of(path)
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
