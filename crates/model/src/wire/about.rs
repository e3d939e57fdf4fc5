//! The first thing that a client asks for.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::structure::Family;

#[derive(Debug, Clone, Serialize)]
pub struct About {
    pub api_version: u32,
    /// Version of the protocol's reference that this server matches; clients compare it (PEP 440).
    pub library_version: String,
    /// For each family: the media types that it can be exported to, the default first.
    pub formats: BTreeMap<Family, Vec<&'static str>>,
    /// For each family: media type to the short names that `?format=` takes.
    pub aliases: BTreeMap<Family, BTreeMap<&'static str, Vec<&'static str>>>,
    /// Names of the queries for `filter[<name>]…`.
    pub queries: Vec<&'static str>,
    pub authentication: AboutAuthentication,
    pub links: AboutLinks,
    pub meta: AboutMeta,
}

#[derive(Debug, Clone, Serialize)]
pub struct AboutAuthentication {
    /// False where anonymous callers may read.
    pub required: bool,
    pub providers: Vec<Provider>,
    pub links: Option<BTreeMap<String, String>>,
}

/// A way to log in.
#[derive(Debug, Clone, Serialize)]
pub struct Provider {
    pub provider: String,
    pub mode: String,
    pub links: BTreeMap<String, String>,
    pub confirmation_message: Option<String>,
    pub extra_scopes: Option<Vec<String>>,
}

#[derive(Debug, Clone, Serialize)]
pub struct AboutLinks {
    #[serde(rename = "self")]
    pub this: String,
    pub documentation: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct AboutMeta {
    pub root_path: String,
}
