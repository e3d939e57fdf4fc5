//! The HTTP door. Sees neither SQL nor files: it parses a request, calls one method of the engine and
//! presents what comes back.
//!
//! Layers, from the outside: [`watch`] (id, panics, log, metrics), [`cors`], [`limits`] (turns, time),
//! [`admit`] (address, client, caller, cookies), [`compress`], then the table in [`routes`].

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use girih_engine::Engine;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch as channel};
use tokio::time::timeout;

pub mod config;

mod admit;
mod ask;
mod base;
mod body;
mod caller;
mod client;
mod compress;
mod cookie;
mod cors;
mod data;
mod endpoint;
mod envelope;
mod error;
mod etag;
mod frame;
mod limits;
mod links;
mod metrics;
mod negotiate;
mod openapi;
mod paging;
mod preconditions;
mod present;
mod query;
mod ranges;
mod routes;
mod select;
mod serve;
mod sorting;
mod stall;
mod watch;

pub use openapi::document;
pub use serve::serve;

/// How long work may go on after the last connection has been closed.
const LAST_WORK: Duration = Duration::from_secs(30);

/// Everything that can be set about the door.
#[derive(Clone)]
pub struct ServerOptions {
    /// The single user's key; `None`: nobody can write.
    pub api_key: Option<String>,
    /// Callers without credentials may read.
    pub allow_anonymous: bool,
    /// Where a proxy mounts us, such as `/tiled`; empty for the root.
    pub root_path: String,
    /// Sites whose pages may talk to us, such as `https://example.com`; `*` for any, without the visitor's credentials.
    pub allow_origins: Vec<String>,
    /// Count and time requests, for `GET /api/v1/metrics`.
    pub metrics: bool,
    /// Believe `X-Forwarded-Host` and `X-Forwarded-Proto`.
    pub trust_forwarded: bool,
    /// Most bytes of data in one request.
    pub max_body_bytes: u64,
    /// Longest time without progress: until the head of an answer, and between pieces of bodies. `None`: for ever.
    pub request_timeout: Option<Duration>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            api_key: None,
            allow_anonymous: false,
            root_path: String::new(),
            allow_origins: Vec::new(),
            metrics: true,
            trust_forwarded: true,
            max_body_bytes: 4 << 30,
            request_timeout: Some(Duration::from_secs(120)),
        }
    }
}

/// What all handlers share.
pub(crate) struct App {
    pub(crate) engine: Engine,
    pub(crate) options: ServerOptions,
    pub(crate) gate: caller::Gate,
    pub(crate) turns: Arc<Semaphore>,
    /// Whatever must not be cut off holds a receiver until it is done.
    pub(crate) unfinished: channel::Sender<()>,
    pub(crate) metrics: Option<metrics::Metrics>,
    /// Those who watch, which no turn limits.
    pub(crate) watchers: Arc<Semaphore>,
    /// True when the server is about to end.
    pub(crate) ending: channel::Sender<bool>,
}

impl App {
    fn new(engine: Engine, mut options: ServerOptions) -> Self {
        options.root_path = options.root_path.trim_end_matches('/').to_owned();
        if !(options.root_path.is_empty() || options.root_path.starts_with('/')) {
            options.root_path.insert(0, '/');
        }
        Self {
            engine,
            // The key itself is not kept.
            gate: caller::Gate::new(options.api_key.take().as_deref(), options.allow_anonymous),
            turns: Arc::new(Semaphore::new(limits::MAX_REQUESTS)),
            unfinished: channel::Sender::new(()),
            metrics: options.metrics.then(metrics::Metrics::new),
            watchers: Arc::new(Semaphore::new(routes::MAX_WATCHERS)),
            ending: channel::Sender::new(false),
            options,
        }
    }
}

/// Serves an engine until `shutdown` is ready. Then what has begun is brought to its end, as far as that does not
/// take all too long, and the engine is closed: the catalogs are left tidy.
///
/// # Errors
/// Those of [`serve`].
pub async fn run(
    listener: TcpListener,
    engine: Engine,
    options: ServerOptions,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let app = Arc::new(App::new(engine, options));
    let ending = app.clone();
    let shutdown = async move {
        shutdown.await;
        ending.ending.send_replace(true);
    };
    serve(listener, service(app.clone()), shutdown).await?;
    // A caller who has gone away leaves work behind that still wants its end.
    if timeout(LAST_WORK, app.unfinished.closed()).await.is_err() {
        tracing::warn!(writes = app.unfinished.receiver_count(), "stopping although something is still being written");
    }
    if timeout(LAST_WORK, app.engine.close()).await.is_err() {
        tracing::warn!("stopping although a catalog is still in use");
    }
    Ok(())
}

/// The whole server as a service, without a socket.
pub fn router(engine: Engine, options: ServerOptions) -> Router {
    service(Arc::new(App::new(engine, options)))
}

fn service(app: Arc<App>) -> Router {
    // As a fallback, so that the layers see every request before it is routed, and may still change its path.
    Router::new()
        .fallback_service(routes::router(&app))
        .layer(from_fn(compress::compress))
        .layer(from_fn_with_state(app.clone(), admit::admit))
        .layer(from_fn_with_state(app.clone(), limits::limit))
        .layer(from_fn_with_state(app.clone(), cors::cors))
        .layer(from_fn_with_state(app, watch::watch))
}
