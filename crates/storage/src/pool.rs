//! Where blocking work runs: files, codecs, encoders.
//!
//! Decoders and encoders are plain functions. They run on tokio's blocking threads, at most
//! [`WORKERS`] of them at a time, so that a burst of heavy requests queues here instead of starting
//! hundreds of threads, and the reactor (health, metadata) never waits behind data work.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use girih_model::{Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Twice the cores: some of them wait for the disk.
static WORKERS: LazyLock<Semaphore> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    Semaphore::new(2 * cores)
});

/// Data that is on its way to callers may take so much memory, in [`UNIT`]s, before more is made.
const ROOM: u32 = 4096;
/// In bytes.
const UNIT: usize = 64 << 10;
/// How long one waits for room. Then one goes on all the same: who has it may wait for us.
const PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 2000 });

static IN_FLIGHT: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(ROOM as usize)));

/// Room for a piece of data, taken until the piece is gone.
pub(crate) struct Room(Option<OwnedSemaphorePermit>);

impl Room {
    /// Waits for room, as long as others are about to give some back.
    pub(crate) async fn take(bytes: usize) -> Self {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(ROOM).min(ROOM / 4);
        let permit = tokio::time::timeout(PATIENCE, IN_FLIGHT.clone().acquire_many_owned(units));
        Self(permit.await.ok().and_then(Result::ok))
    }

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

/// Large tables that are read at the same time: the decoder of each holds some ten megabytes.
const TABLES: usize = 24;
/// How long one waits for the turn to read a table.
const TURN: Duration = Duration::from_secs(5);

static READERS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(TABLES)));

/// The turn to read a large table, until it is dropped.
///
/// # Errors
/// `Busy` when nobody has done in time.
pub(crate) async fn table_turn() -> Result<OwnedSemaphorePermit> {
    let turn = tokio::time::timeout(TURN, READERS.clone().acquire_owned()).await;
    turn.ok()
        .and_then(Result::ok)
        .ok_or_else(|| Error::busy("The server is reading many large tables for others. Try again in a moment."))
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
        let all: Vec<Bytes> = {
            let pieces = (0..4).map(|_| async { Room::take(64 << 20).await.hold(Bytes::from_static(b"x")) });
            futures::future::join_all(pieces).await
        };
        assert_eq!((all[0].as_ref(), IN_FLIGHT.available_permits()), (&b"x"[..], 0));
        let part = all[0].slice(0..1);
        assert!(Room::take(1).await.0.is_none(), "nobody waits for ever");
        drop(all);
        drop(part);
        assert_eq!(IN_FLIGHT.available_permits(), ROOM as usize);
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let result: Result<()> = blocking(|| panic!("hostile")).await;
        assert!(result.is_err());
    }
}
