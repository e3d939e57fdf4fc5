//! Where blocking work runs: files, codecs, encoders.
//!
//! Decoders and encoders are plain functions. They run on tokio's blocking threads, at most
//! [`WORKERS`] of them at a time, so that a burst of heavy requests queues here instead of starting
//! hundreds of threads, and the reactor (health, metadata) never waits behind data work.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use girih_model::{Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Twice the cores: some of them wait for the disk.
static WORKERS: LazyLock<Semaphore> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    Semaphore::new(2 * cores)
});

/// Memory for one purpose, shared by all requests.
pub struct Budget {
    /// In [`UNIT`]s.
    units: u32,
    free: OnceLock<Arc<Semaphore>>,
}

const UNIT: usize = 64 << 10;

/// Data on its way to callers.
pub(crate) static ANSWERS: Budget = Budget::of(256 << 20);
/// What is needed whole before the first byte of an answer can be made: pictures, spreadsheets.
pub(crate) static WORKSPACE: Budget = Budget::of(192 << 20);
/// Large tables that are being read.
pub(crate) static TABLES: Budget = Budget::of(256 << 20);
/// What the decoder of one holds, about, and the rows on their way from it.
pub(crate) const TABLE: usize = 10 << 20;
/// Bodies that are taken in before they can be stored.
pub static INTAKE: Budget = Budget::of(256 << 20);

/// How long one waits for room.
const PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 5000 });
/// Who waits this long is told of as a shortage.
const SHORTAGE: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 500 });

/// Part of a budget, until it is dropped.
pub struct Room(Option<OwnedSemaphorePermit>);

impl Budget {
    const fn of(bytes: usize) -> Self {
        Self { units: (bytes / UNIT) as u32, free: OnceLock::new() }
    }

    /// Waits for room; what is larger than all of it has all of it.
    ///
    /// # Errors
    /// `Busy` when others have given none back in time.
    pub async fn take(&self, bytes: usize) -> Result<Room> {
        match self.wait(bytes, PATIENCE).await {
            Some(room) => Ok(room),
            None => Err(Error::busy("The server has no memory left for another large request. Try again in a moment.")),
        }
    }

    /// Room if there is some now.
    pub fn try_take(&self, bytes: usize) -> Option<Room> {
        if bytes <= UNIT {
            return Some(Room(None));
        }
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(self.units).min(self.units);
        self.free().clone().try_acquire_many_owned(units).ok().map(|permit| Room(Some(permit)))
    }

    /// The same for who has room already, and cannot give it back before it has more: if there is none, it goes on
    /// without.
    pub(crate) async fn more(&self, bytes: usize) -> Room {
        self.wait(bytes, PATIENCE / 2).await.unwrap_or(Room(None))
    }

    async fn wait(&self, bytes: usize, patience: Duration) -> Option<Room> {
        // As many requests as there are may have so little.
        if bytes <= UNIT {
            return Some(Room(None));
        }
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(self.units).min(self.units);
        let mut permit = pin!(self.free().clone().acquire_many_owned(units));
        if let Ok(permit) = timeout(SHORTAGE, permit.as_mut()).await {
            return permit.ok().map(|permit| Room(Some(permit)));
        }
        note_shortage();
        let permit = timeout(patience.saturating_sub(SHORTAGE), permit).await.ok()?;
        permit.ok().map(|permit| Room(Some(permit)))
    }

    fn free(&self) -> &Arc<Semaphore> {
        self.free.get_or_init(|| Arc::new(Semaphore::new(self.units as usize)))
    }
}

impl Room {
    /// The same bytes, which give the room back when they are gone.
    pub(crate) fn hold(self, bytes: Bytes) -> Bytes {
        match self.0 {
            Some(permit) => Bytes::from_owner(Held { bytes, _permit: permit }),
            None => bytes,
        }
    }
}

struct Held {
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);
/// When somebody last had to wait for room, in milliseconds from [`START`].
static SHORT_AT: AtomicU64 = AtomicU64::new(u64::MAX);
/// How long after that it still counts.
const SHORT_FOR: Duration = Duration::from_secs(20);

fn since_start() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn note_shortage() {
    SHORT_AT.store(since_start(), Ordering::Relaxed);
}

/// Whether requests are waiting for memory, or were a moment ago: then those who have some and do not use it must give
/// it back.
pub fn is_short() -> bool {
    let at = SHORT_AT.load(Ordering::Relaxed);
    at != u64::MAX && u128::from(since_start().saturating_sub(at)) < SHORT_FOR.as_millis()
}

/// Runs blocking work; a panic in it (a decoder met a hostile file) costs one request, not the server.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let permit = WORKERS.acquire().await.expect("never closed");
    let result = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    result.await.unwrap_or_else(|e| Err(ended(e)))
}

/// Runs work to its end, even if the caller does not wait for it.
pub async fn to_the_end<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    tokio::spawn(work).await.unwrap_or_else(|e| Err(ended(e)))
}

fn ended(e: tokio::task::JoinError) -> Error {
    Error::internal("Internal server error").context("running work in the background").with_source(e)
}

/// How long a blocking iterator runs on after its first item: going to another thread and back takes longer than many
/// small steps.
const RUN: Duration = Duration::from_micros(500);
/// Most items of one such run.
const RUN_ITEMS: usize = 16;

/// Runs a blocking iterator bit by bit, as far as the stream is read. It ends with the first error.
pub fn stream<T: Send + 'static>(
    items: impl Iterator<Item = Result<T>> + Send + 'static,
) -> BoxStream<'static, Result<T>> {
    let runs = stream::unfold(Some(items), |items| async {
        let mut items = items?;
        let run = blocking(move || {
            let (mut run, start) = (Vec::new(), Instant::now());
            while run.len() < RUN_ITEMS && (run.is_empty() || start.elapsed() < RUN) {
                let Some(item) = items.next() else { return Ok((run, None)) };
                let failed = item.is_err();
                run.push(item);
                if failed {
                    return Ok((run, None));
                }
            }
            Ok((run, Some(items)))
        });
        let (run, rest) = run.await.unwrap_or_else(|e| (vec![Err(e)], None));
        Some((stream::iter(run), rest))
    });
    runs.flatten().boxed()
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use girih_model::ErrorKind;

    use super::*;

    #[tokio::test]
    async fn an_iterator_becomes_a_stream() {
        let numbers: Vec<u8> = stream((0..3).map(Ok)).try_collect().await.unwrap();
        assert_eq!(numbers, [0, 1, 2]);
        let failing = [Ok(1), Err(Error::internal("x")), Ok(2)];
        let seen: Vec<_> = stream(failing.into_iter()).collect().await;
        assert_eq!(seen.len(), 2);
        assert!(seen[1].is_err());
    }

    #[tokio::test]
    async fn room_is_given_back_with_the_bytes() {
        static BUDGET: Budget = Budget::of(1 << 20);
        let all: Vec<Bytes> = {
            let pieces = (0..4).map(|_| async { BUDGET.take(256 << 10).await.unwrap().hold(Bytes::from_static(b"x")) });
            futures::future::join_all(pieces).await
        };
        assert_eq!((all[0].as_ref(), BUDGET.free().available_permits()), (&b"x"[..], 0));
        let part = all[0].slice(0..1);
        assert_eq!(BUDGET.take(UNIT + 1).await.err().map(|e| e.kind()), Some(ErrorKind::Busy));
        assert!(is_short());
        BUDGET.more(UNIT + 1).await;
        BUDGET.take(UNIT).await.unwrap();
        drop(all);
        drop(part);
        drop(BUDGET.take(usize::MAX).await.unwrap());
        assert_eq!(BUDGET.free().available_permits(), 16);
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let result: Result<()> = blocking(|| panic!("hostile")).await;
        assert!(result.is_err());
    }
}
