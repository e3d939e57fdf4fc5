//! A server of its own for each test.

use std::net::SocketAddr;

use girih_engine::{CatalogSettings, Engine, Settings};
use girih_model::NodePath;
use girih_server::ServerOptions;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, Response, redirect};
use tokio::net::TcpListener;

pub(crate) const KEY: &str = "secret";

/// Listens on a port of its own and ends with the test.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    client: Client,
    /// Holds the catalog and its data.
    _folder: tempfile::TempDir,
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
        let client = Client::builder().redirect(redirect::Policy::none()).no_proxy().build().unwrap();
        Self { address, client, _folder: folder, _stop: stop }
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
}

/// Everything about a response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
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

    pub(crate) fn detail(&self) -> String {
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        self.json()["detail"].as_str().unwrap().to_owned()
    }
}
