//! The other end of the protocol: what one can wish of a server, over HTTP.
//!
//! What failed because nobody answered, or because the server asked to come back later, is tried again; every request
//! here can be sent twice without harm.

mod address;
mod request;
mod verbs;

use girih_model::{Error, NodePath, Result};
use reqwest::Url;

pub use verbs::{Described, DescribedAsset, DescribedSource, New};

/// A server, and a place in its tree. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    /// `https://host/api/v1`, without a slash at the end.
    api: Url,
    key: Option<String>,
    path: NodePath,
}

impl Client {
    /// For an address as users paste it: of the server, its API, or a node (`https://host/api/v1/metadata/a/b`), with
    /// or without `?api_key=…`. A key that is given counts more than one in the address. Nothing is sent yet.
    ///
    /// # Errors
    /// `Unprocessable` for what is no address of a server.
    pub fn new(address: &str, key: Option<String>) -> Result<Self> {
        let address = address::parse(address)?;
        // A second provider would be refused, and is as good as the first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let agent = concat!("girih/", env!("CARGO_PKG_VERSION"));
        let http = reqwest::Client::builder().user_agent(agent).build();
        let http = http.map_err(|e| Error::internal("HTTP cannot be spoken here.").with_source(e))?;
        Ok(Self { http, api: address.api, key: key.or(address.key), path: address.path })
    }

    /// Where the address led.
    pub fn path(&self) -> &NodePath {
        &self.path
    }
}
