//! The accept loop: connections in, requests to the router, and an orderly end.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::stall::{STALL, Stall};

/// Open connections; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 4096;
/// Longest time from the opening of a connection, or the end of a request, to the next request's whole head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Most bytes of the head of a request.
const MAX_HEAD_BYTES: usize = 128 << 10;
const MAX_HEADERS: usize = 128;
/// Requests at the same time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;
/// How long requests that have begun may go on after the end was announced.
const DRAIN: Duration = Duration::from_secs(30);

/// Where a server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    /// Requests that have begun are answered.
    Ending,
    /// Nobody is waited for any more.
    Over,
}

/// Serves until `shutdown` is ready. Then no connection is accepted any more, idle ones are closed,
/// and requests that have begun are answered, unless that takes longer than half a minute: those are cut off.
///
/// # Errors
/// None today: a failing accept is logged and tried again.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (ending, end) = watch::channel(Phase::Serving);
    let mut shutdown = pin!(shutdown);
    loop {
        let slot = tokio::select! {
            () = &mut shutdown => break,
            // The semaphore is never closed.
            Ok(slot) = slots.clone().acquire_owned() => slot,
        };
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => drop(tokio::spawn(connection(stream, router.clone(), end.clone(), slot))),
            Err(error) => {
                // Mostly: too many open files. Closing connections will help, haste will not.
                tracing::warn!(%error, "accepting a connection failed");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    drop(end);
    ending.send_replace(Phase::Ending);
    // Each connection holds a receiver until it is done.
    if timeout(DRAIN, ending.closed()).await.is_err() {
        tracing::warn!(connections = ending.receiver_count(), "stopping although requests are still being answered");
        ending.send_replace(Phase::Over);
        // This takes no time worth a limit: a connection that is dropped is closed.
        ending.closed().await;
    }
    Ok(())
}

async fn connection(stream: TcpStream, router: Router, mut end: watch::Receiver<Phase>, _slot: OwnedSemaphorePermit) {
    // Answers go out in one piece or in large ones; waiting to fill packets only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was lost at once");
        return;
    }
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEAD_TIMEOUT)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD_BYTES as u32);
    let io = TokioIo::new(Stall::new(stream, STALL));
    let mut serving = pin!(builder.serve_connection_with_upgrades(io, TowerToHyperService::new(router)));
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = reached(&mut end, Phase::Ending) => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                served = serving.as_mut() => served,
                () = reached(&mut end, Phase::Over) => return,
            }
        }
    };
    if let Err(error) = served {
        tracing::debug!(error, "a connection ended early");
    }
}

async fn reached(end: &mut watch::Receiver<Phase>, wanted: Phase) {
    // An error means that the server is gone, and with it every reason to wait.
    drop(end.wait_for(|phase| *phase >= wanted).await);
}
