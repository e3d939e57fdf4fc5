//! Locks by place, so that two open handles of the same data do not lose each other's updates.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

const STRIPES: usize = 32;

/// The locks of one place.
#[derive(Debug, Default)]
pub struct Locks {
    /// For what concerns the whole, across await points.
    pub whole: Arc<tokio::sync::Mutex<()>>,
    stripes: [Mutex<()>; STRIPES],
}

impl Locks {
    /// The lock of part number `n`, for blocking work; hold one at a time.
    pub fn part(&self, n: u64) -> MutexGuard<'_, ()> {
        // Nothing is guarded but the order of file operations, so a panic elsewhere leaves nothing broken.
        self.stripes[(n % STRIPES as u64) as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<Places>);

#[derive(Debug, Default)]
struct Places {
    locks: HashMap<PathBuf, Weak<Locks>>,
    /// Forget unused ones when there are this many.
    sweep_at: usize,
}

impl Registry {
    pub(super) fn of(&self, path: &Path) -> Arc<Locks> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(locks) = places.locks.get(path).and_then(Weak::upgrade) {
            return locks;
        }
        if places.locks.len() >= places.sweep_at {
            places.locks.retain(|_, locks| locks.strong_count() > 0);
            places.sweep_at = 64 + 2 * places.locks.len();
        }
        let locks = Arc::new(Locks::default());
        places.locks.insert(path.to_path_buf(), Arc::downgrade(&locks));
        locks
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
