//! Where blocking work runs: files, codecs, encoders.
//!
//! Decoders and encoders are plain functions. They run on tokio's blocking threads, at most
//! [`WORKERS`] of them at a time, so that a burst of heavy requests queues here instead of starting
//! hundreds of threads, and the reactor (health, metadata) never waits behind data work.

use std::sync::LazyLock;

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
    result.await.unwrap_or_else(|e| {
        Err(Error::internal("Internal server error").context("running blocking work").with_source(e))
    })
}
