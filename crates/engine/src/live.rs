//! Watchers and what they hear.
//!
//! An update is first given its number and kept ([`Log`]), then it is there for all who watch. A watcher has no queue: it
//! knows the number that it heard last, and takes what comes after it, from memory when it keeps up and from the log
//! when it does not. So a slow one costs no more than a fast one, and history and present are one thing.

mod embedded;
mod log;
pub(crate) mod news;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use girih_database::{NewUpdate, Update};
use girih_model::event::Event;
use girih_model::{NodeId, Result};
use tokio::sync::{OnceCell, watch};

pub(crate) use log::Log;

/// Bytes of updates of one node that are at hand for its watchers, and of all nodes together.
const AT_HAND: usize = 16 << 20;
const ALL_AT_HAND: usize = 256 << 20;
/// Updates of one node that are at hand.
const MOST: usize = 1024;
/// In place of the last number, when the node is gone.
const GONE: u64 = u64::MAX;
/// Bytes that a watcher who is behind takes from the log at a time.
const CATCH_UP: usize = 1 << 20;

/// All streams of a catalog.
pub struct Live {
    log: Arc<dyn Log>,
    /// Of nodes that somebody watches.
    streams: Mutex<HashMap<NodeId, Weak<Stream>>>,
    at_hand: Arc<AtomicUsize>,
}

/// One node's updates, while somebody watches.
struct Stream {
    node: NodeId,
    recent: Mutex<Recent>,
    /// The last number.
    last: watch::Sender<u64>,
    at_hand: Arc<AtomicUsize>,
}

/// The latest updates, in order.
#[derive(Default)]
struct Recent {
    updates: VecDeque<Arc<Told>>,
    bytes: usize,
}

/// An update, and how it looks on the wire.
#[derive(Debug)]
pub struct Told {
    pub update: Update,
    frames: [OnceCell<Bytes>; 2],
}

/// What a watcher hears next.
#[derive(Debug, Clone)]
pub enum Heard {
    Update(Arc<Told>),
    /// Updates of these numbers, both included, are not kept any more, or were lost with the power.
    Gap {
        from: u64,
        to: u64,
    },
    /// The node was deleted: there is nothing more to hear.
    Gone,
}

/// Somebody who watches a node.
pub struct Watcher {
    stream: Arc<Stream>,
    log: Arc<dyn Log>,
    last: watch::Receiver<u64>,
    /// The number that was heard last.
    heard: u64,
    /// From the log, not heard yet.
    ahead: VecDeque<Arc<Told>>,
}

impl Live {
    pub(crate) fn new(log: Arc<dyn Log>) -> Self {
        Self { log, streams: Mutex::default(), at_hand: Arc::default() }
    }

    /// Tells those who watch. When it returns, who comes later hears it too.
    pub(crate) async fn tell(&self, new: Vec<NewUpdate>) -> Result<Vec<u64>> {
        let nodes: Vec<NodeId> = new.iter().map(|update| update.node).collect();
        let told = self.log.add(new).await?;
        let numbers = told.iter().map(|update| update.sequence).collect();
        for (node, update) in nodes.into_iter().zip(told) {
            if let Some(stream) = self.stream_of(node) {
                stream.put(update);
            }
        }
        Ok(numbers)
    }

    /// Watches a node from the number `start` on: `None` for what is new, 0 for all that is kept.
    pub(crate) async fn watch(&self, node: NodeId, start: Option<u64>) -> Result<Watcher> {
        // First the ear, then the question what there is: so nothing falls in between.
        let stream = {
            let mut streams = lock(&self.streams);
            streams.retain(|_, stream| stream.strong_count() > 0);
            match streams.get(&node).and_then(Weak::upgrade) {
                Some(stream) => stream,
                None => {
                    let stream = Arc::new(Stream {
                        node,
                        recent: Mutex::default(),
                        last: watch::Sender::new(0),
                        at_hand: self.at_hand.clone(),
                    });
                    streams.insert(node, Arc::downgrade(&stream));
                    stream
                }
            }
        };
        let receiver = stream.last.subscribe();
        let (first, last) = self.log.range(node).await?;
        stream.is_at(last);
        let heard = match start {
            None => last,
            Some(0) if first == 0 => last,
            Some(0) => first - 1,
            Some(start) => (start - 1).min(last),
        };
        Ok(Watcher { stream, log: self.log.clone(), last: receiver, heard, ahead: VecDeque::new() })
    }

    pub(crate) async fn tend(&self) -> Result<()> {
        self.log.tend().await
    }

    pub(crate) async fn close(&self) {
        self.log.close().await;
    }

    /// Nodes that somebody watches.
    pub(crate) fn watched(&self) -> Vec<NodeId> {
        lock(&self.streams).keys().copied().collect()
    }

    /// Tells those who watch a node that it is gone.
    pub(crate) fn end(&self, node: NodeId) {
        if let Some(stream) = self.stream_of(node) {
            stream.is_at(GONE);
        }
    }

    fn stream_of(&self, node: NodeId) -> Option<Arc<Stream>> {
        lock(&self.streams).get(&node).and_then(Weak::upgrade)
    }
}

impl Stream {
    fn put(&self, update: Update) {
        let sequence = update.sequence;
        let size = update.size();
        let mut recent = lock(&self.recent);
        // Of two who tell at the same time, the later may be here first. A repetition is there already, or has gone.
        let place = recent.updates.partition_point(|told| told.update.sequence < sequence);
        let is_there = recent.updates.get(place).is_some_and(|told| told.update.sequence == sequence);
        if !is_there && self.at_hand.load(Ordering::Relaxed) + size <= ALL_AT_HAND {
            recent.updates.insert(place, Arc::new(Told::of(update)));
            recent.bytes += size;
            self.at_hand.fetch_add(size, Ordering::Relaxed);
            while recent.updates.len() > 1 && (recent.bytes > AT_HAND || recent.updates.len() > MOST) {
                let gone = recent.updates.pop_front().map_or(0, |told| told.update.size());
                recent.bytes -= gone;
                self.at_hand.fetch_sub(gone, Ordering::Relaxed);
            }
        }
        drop(recent);
        self.is_at(sequence);
    }

    fn is_at(&self, sequence: u64) {
        self.last.send_if_modified(|last| {
            let is_new = sequence > *last;
            *last = (*last).max(sequence);
            is_new
        });
    }

    /// The update that follows the one of this number, if it is at hand.
    fn after(&self, heard: u64) -> Option<Arc<Told>> {
        let recent = lock(&self.recent);
        let at = recent.updates.partition_point(|told| told.update.sequence <= heard);
        recent.updates.get(at).filter(|told| told.update.previous <= heard).cloned()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let recent = self.recent.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.at_hand.fetch_sub(recent.bytes, Ordering::Relaxed);
    }
}

impl Watcher {
    /// The number that was heard last.
    pub fn heard(&self) -> u64 {
        self.heard
    }

    /// Waits for what comes next.
    pub async fn next(&mut self) -> Result<Heard> {
        loop {
            if self.ahead.is_empty()
                && let Some(next) = self.stream.after(self.heard)
            {
                self.heard = next.update.sequence;
                return Ok(Heard::Update(next));
            }
            if let Some(next) = self.ahead.pop_front() {
                let (sequence, previous) = (next.update.sequence, next.update.previous);
                if previous > self.heard {
                    self.ahead.push_front(next);
                    return Ok(self.gap(previous));
                }
                self.heard = sequence;
                return Ok(Heard::Update(next));
            }
            let last = *self.last.borrow_and_update();
            if last == GONE {
                return Ok(Heard::Gone);
            }
            if last <= self.heard {
                // The sender is ours too, so it does not go away.
                let _ = self.last.changed().await;
                continue;
            }
            let kept = self.log.read(self.stream.node, self.heard + 1, CATCH_UP).await?;
            if kept.is_empty() {
                return Ok(self.gap(last));
            }
            self.ahead.extend(kept.into_iter().map(|update| Arc::new(Told::of(update))));
        }
    }

    /// What was to be heard up to this number is not to be had.
    fn gap(&mut self, to: u64) -> Heard {
        let from = self.heard + 1;
        self.heard = to;
        Heard::Gap { from, to }
    }
}

impl Told {
    fn of(update: Update) -> Self {
        Self { update, frames: Default::default() }
    }

    /// The update in one of two forms of the wire, made once for all who watch.
    pub async fn frame(&self, form: usize, make: impl Future<Output = Result<Bytes>>) -> Result<Bytes> {
        match self.frames.get(form) {
            Some(frame) => frame.get_or_try_init(|| make).await.cloned(),
            None => make.await,
        }
    }

    /// Whether nothing is to follow.
    pub fn is_end(&self) -> bool {
        self.update.event == Event::Closed.to_json()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
