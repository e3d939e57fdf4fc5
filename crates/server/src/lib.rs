pub mod config;

// Local stand-in while the server is being written elsewhere.
use std::time::Duration;
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    pub api_key: Option<String>,
    pub allow_anonymous: bool,
    pub root_path: String,
    pub trust_forwarded: bool,
    pub allow_origins: Vec<String>,
    pub metrics: bool,
    pub max_body_bytes: u64,
    pub request_timeout: Option<Duration>,
}
pub fn router(_engine: girih_engine::Engine, _options: ServerOptions) -> axum::Router {
    axum::Router::new()
}
pub async fn serve(
    listener: tokio::net::TcpListener,
    router: axum::Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}
