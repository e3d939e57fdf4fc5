//! Serving until told to stop.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::Args;
use girih_engine::Engine;
use girih_server::ServerOptions;
use girih_server::config::{Config, check_api_key, random_api_key};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Failure;

#[derive(Debug, Args)]
#[command(next_help_heading = "Listening")]
pub(crate) struct Listen {
    /// Address to listen on; 0.0.0.0 for all [default: 127.0.0.1]
    #[arg(long)]
    host: Option<String>,
    /// Port to listen on; 0 for a free one [default: 8000]
    #[arg(long)]
    port: Option<u16>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Access")]
pub(crate) struct Access {
    /// Let everybody read without a key
    #[arg(long)]
    public: bool,
    /// The key that grants everything; letters and digits. A random one is made and printed if not given. Better set it in
    /// the environment: the list of processes shows options [env: TILED_SINGLE_USER_API_KEY, GIRIH_SINGLE_USER_API_KEY]
    #[arg(long, value_name = "KEY", hide_env_values = true)]
    api_key: Option<String>,
}

impl Listen {
    pub(crate) fn apply(&self, config: &mut Config) {
        config.host = self.host.clone().unwrap_or_else(|| config.host.clone());
        config.port = self.port.unwrap_or(config.port);
    }
}

impl Access {
    /// Afterwards there is a key; true when it was made here, so that the user must be told.
    pub(crate) fn apply(&self, config: &mut Config) -> Result<bool, Failure> {
        config.allow_anonymous |= self.public;
        if let Some(key) = &self.api_key {
            check_api_key(key).map_err(|e| Failure::usage(format!("--api-key: {}", e.message())))?;
            config.api_key = Some(key.clone());
        }
        let random = config.api_key.is_none();
        config.api_key.get_or_insert_with(random_api_key);
        Ok(random)
    }
}

/// The environment, for configurations; read here and nowhere else.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A server with its address, before its data is opened: a taken port is told at once.
pub(crate) struct Door {
    listener: TcpListener,
    signals: Signals,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl Door {
    pub(crate) async fn open(config: &Config) -> Result<Self, Failure> {
        let fault = |e: std::io::Error| {
            let (host, port) = (&config.host, config.port);
            Failure::address(match e.kind() {
                std::io::ErrorKind::AddrInUse => {
                    format!(
                        "Port {port} of {host} is in use. Stop the other program, or choose another port with --port (0: any)."
                    )
                }
                std::io::ErrorKind::PermissionDenied => {
                    format!("Port {port} of {host} may only be used by root. Choose one above 1023 with --port.")
                }
                _ => format!("Cannot listen on {host}, port {port}: {e}"),
            })
        };
        let host = config.host.trim_matches(['[', ']']);
        let listener = TcpListener::bind((host, config.port)).await.map_err(fault)?;
        let signals = Signals::catch().map_err(|e| Failure::other(format!("Signals cannot be caught: {e}")))?;
        Ok(Self { listener, signals })
    }

    /// Opens the catalogs, unless a signal comes first.
    pub(crate) async fn start(&mut self, config: &Config) -> Result<Option<Engine>, Failure> {
        tokio::select! {
            engine = Engine::start(config.engine.clone()) => engine.map(Some).map_err(Failure::catalog),
            () = self.signals.next() => Ok(None),
        }
    }

    /// SIGTERM or SIGINT.
    pub(crate) async fn signalled(&mut self) {
        self.signals.next().await;
    }

    /// Prints the address, and serves until SIGTERM or SIGINT; then requests under way are finished and the catalogs
    /// closed. A second signal does not wait for that.
    ///
    /// `show_key` puts the key into the printed address.
    pub(crate) async fn serve(mut self, engine: Engine, config: Config, show_key: bool) -> Result<(), Failure> {
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        let key = config.api_key.as_deref().filter(|_| show_key);
        let address = self.listener.local_addr().map_err(|e| Failure::address(e.to_string()))?;
        let url = url(address.ip(), address.port(), &config.root_path, key);
        let mut out = std::io::stdout();
        writeln!(out, "{url}").and_then(|()| out.flush()).map_err(|e| Failure::other(format!("Cannot print: {e}")))?;
        tracing::info!(%address, public = config.allow_anonymous, "serving");

        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let shutdown = async move {
            // An error means that the sender is gone, with the server itself.
            let _ = stopped.await;
        };
        let serving = girih_server::run(self.listener, engine, options(config), shutdown);
        tokio::pin!(serving);
        let mut end = tokio::select! {
            end = &mut serving => Some(end),
            () = self.signals.next() => None,
        };
        if end.is_none() {
            tracing::info!("stopping: requests under way are finished; signal again to stop at once");
            drop(stop);
            end = tokio::select! {
                end = serving => Some(end),
                () = self.signals.next() => None,
            };
        }
        let Some(end) = end else { return Err(Failure::other("Stopped at once: requests were cut off.")) };
        end.map_err(|e| Failure::other(format!("The server failed: {e}")))
    }
}

fn options(config: Config) -> ServerOptions {
    ServerOptions {
        api_key: config.api_key,
        allow_anonymous: config.allow_anonymous,
        root_path: config.root_path,
        trust_forwarded: config.trust_forwarded,
        allow_origins: config.allow_origins,
        metrics: config.metrics,
        max_body_bytes: config.request_body_limit,
        request_timeout: config.request_timeout,
    }
}

/// What a user pastes into a client on the same machine: the address that means "all" is no address to connect to.
fn url(ip: IpAddr, port: u16, root_path: &str, key: Option<&str>) -> String {
    let host = match ip {
        ip if ip == Ipv4Addr::UNSPECIFIED || ip == Ipv6Addr::UNSPECIFIED => "127.0.0.1".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let query = key.map(|key| format!("?api_key={key}")).unwrap_or_default();
    format!("http://{host}:{port}{root_path}/api/v1{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_address_can_be_connected_to() {
        for (ip, root_path, key, expected) in [
            ("127.0.0.1", "", Some("ab"), "http://127.0.0.1:80/api/v1?api_key=ab"),
            ("0.0.0.0", "", None, "http://127.0.0.1:80/api/v1"),
            ("::", "/t", None, "http://127.0.0.1:80/t/api/v1"),
            ("::1", "", None, "http://[::1]:80/api/v1"),
        ] {
            assert_eq!(url(ip.parse().unwrap(), 80, root_path, key), expected);
        }
    }
}
