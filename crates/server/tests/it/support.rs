//! A server of its own for each test.

use std::fmt;
use std::net::SocketAddr;

use girih_engine::{CatalogSettings, Engine, Settings};
use girih_model::NodePath;
use girih_server::ServerOptions;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, Response, redirect};
use tokio::net::TcpListener;

pub(crate) const KEY: &str = "secret";

/// Follows nothing, and goes through no proxy.
pub(crate) fn client() -> Client {
    // One feature set for all crates of the workspace: whoever builds a client says who does its cryptography.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().redirect(redirect::Policy::none()).no_proxy().build().unwrap()
}

/// Listens on a port of its own and ends with the test.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    client: Client,
    /// Holds the catalog, its `data` and the `files` that can be registered.
    pub(crate) folder: tempfile::TempDir,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A server whose options differ from the usual ones.
    pub(crate) async fn with(change: impl FnOnce(&mut ServerOptions)) -> Self {
        let mut options = ServerOptions { api_key: Some(KEY.into()), ..ServerOptions::default() };
        change(&mut options);
        let folder = tempfile::tempdir().unwrap();
        let catalog = CatalogSettings {
            at: NodePath::root(),
            uri: folder.path().join("catalog.db").to_str().unwrap().into(),
            create: true,
            node: NodePath::root(),
            create_node: false,
            writable: vec![folder.path().join("data")],
            readable: vec![folder.path().join("files")],
            metadata: None,
            specs: Vec::new(),
        };
        std::fs::create_dir(folder.path().join("files")).unwrap();
        let engine = Engine::start(Settings { catalogs: vec![catalog], ..Default::default() }).await.unwrap();
        Self::serve(girih_server::router(engine, options), folder).await
    }

    pub(crate) async fn serve(router: axum::Router, folder: tempfile::TempDir) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        tokio::spawn(girih_server::serve(listener, router, async move { drop(stopped.await) }));
        Self { address, client: client(), folder, _stop: stop }
    }

    /// A request without credentials.
    pub(crate) fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        Reply::of(self.ask(Method::GET, path)).await
    }

    /// A request by the one who holds the key.
    pub(crate) fn owner(&self, method: Method, path: &str) -> RequestBuilder {
        self.ask(method, path).header("authorization", format!("Apikey {KEY}"))
    }

    /// What the one who holds the key reads.
    pub(crate) async fn read(&self, path: &str) -> Reply {
        self.read_with(path, &[]).await
    }

    pub(crate) async fn read_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        let request = self.owner(Method::GET, path);
        Reply::of(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    }

    /// A body from the one who holds the key.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> Reply {
        Reply::of(self.owner(method, path).header("content-type", content_type).body(body)).await
    }

    pub(crate) async fn send_json(&self, method: Method, path: &str, body: &serde_json::Value) -> Reply {
        self.send(method, path, "application/json", body.to_string()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        Reply::of(self.owner(Method::DELETE, path)).await
    }
}

/// Everything about a response.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {}", self.status, self.headers, self.body.escape_ascii())
    }
}

impl Reply {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let response: Response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.unwrap().to_vec() }
    }

    /// All values of a header, joined; empty when there is none.
    pub(crate) fn header(&self, name: &str) -> String {
        let values: Vec<_> = self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
        values.join("; ")
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in {self:?}"))
    }

    /// The JSON of a success.
    pub(crate) fn ok(&self) -> serde_json::Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }

    /// That it was refused, with a reason that has these words.
    pub(crate) fn refused(&self, status: u16, says: &str) {
        assert_eq!(self.status, status, "{says}: {self:?}");
        assert!(self.detail().contains(says), "{says}: {self:?}");
    }

    pub(crate) fn detail(&self) -> String {
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        self.json()["detail"].as_str().unwrap().to_owned()
    }
}
