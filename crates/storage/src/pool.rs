//! Where blocking work runs: files, codecs, encoders.
//!
//! Decoders and encoders are plain functions. They run on tokio's blocking threads, at most
//! [`WORKERS`] of them at a time, so that a burst of heavy requests queues here instead of starting
//! hundreds of threads, and the reactor (health, metadata) never waits behind data work.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use futures::stream::{self, BoxStream, StreamExt};
use girih_model::{Error, Result};
use tokio::sync::Semaphore;

/// Twice the cores: some of them wait for the disk.
static WORKERS: LazyLock<Semaphore> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    Semaphore::new(2 * cores)
});

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
    async fn a_panic_is_an_error() {
        let result: Result<()> = blocking(|| panic!("hostile")).await;
        assert!(result.is_err());
    }
}
