//! Locks by name, for effects that must not overlap.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// Hands out one lock per name; a name that nobody holds takes no memory.
#[derive(Debug, Default)]
pub(crate) struct Locks(Arc<Mutex<HashMap<String, Arc<AsyncMutex<()>>>>>);

pub(crate) struct Guard {
    held: Option<OwnedMutexGuard<()>>,
    name: String,
    locks: Arc<Mutex<HashMap<String, Arc<AsyncMutex<()>>>>>,
}

impl Locks {
    pub(crate) async fn lock(&self, name: String) -> Guard {
        let lock = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.entry(name.clone()).or_default().clone()
        };
        let held = Some(lock.lock_owned().await);
        Guard { held, name, locks: self.0.clone() }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut all = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        self.held = None;
        // The map's own reference is the last one: nobody holds it or waits for it.
        if all.get(&self.name).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            all.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_nothing_left_behind() {
        let locks = Locks::default();
        let first = locks.lock("a".into()).await;
        let other = locks.lock("b".into()).await;
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(10), locks.lock("a".into()));
        assert!(waiting.await.is_err(), "the lock is held");
        drop((first, other));
        drop(locks.lock("a".into()).await);
        assert!(locks.0.lock().unwrap().is_empty());
    }
}
