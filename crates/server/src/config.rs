//! The configuration file: Tiled's YAML, with every setting checked.
//!
//! A file, or a directory of files that complement one another; `${VAR}` in values; environment
//! variables before the file; and never a key ignored: what is unknown, or not supported yet, is an
//! error that says where it stands. All settings are in one table, `settings.rs`; the user guide is
//! `docs/user/configuration.md`.

mod check;
mod environment;
mod expand;
mod file;
mod settings;
mod storage;
mod yaml;

use std::path::Path;
use std::time::Duration;

use girih_engine::{CatalogSettings, EngineOptions, Retention, Settings as EngineSettings};
use girih_model::{Error, Json, NodePath, Result, Spec};

use check::Settings;
use storage::Storage;
use yaml::{Node, Value};

/// Everything that can be configured, resolved.
#[derive(Debug, Clone)]
pub struct Config {
    pub engine: EngineSettings,
    /// The key that grants everything; `None` where none is set.
    pub api_key: Option<String>,
    /// Everybody may read without a key.
    pub allow_anonymous: bool,
    /// Origins of web pages that may talk to this server.
    pub allow_origins: Vec<String>,
    pub metrics: bool,
    /// Name or address to listen on.
    pub host: String,
    /// 0 for a free one.
    pub port: u16,
    /// Prefix of all URLs: empty, or with a leading and no trailing slash.
    pub root_path: String,
    /// Believe a proxy's `X-Forwarded-Host` and `X-Forwarded-Proto`.
    pub trust_forwarded: bool,
    /// Most bytes in the body of one request.
    pub request_body_limit: u64,
    /// Longest time without progress: to the head of a reply, between pieces of a body. `None` for no limit.
    pub request_timeout: Option<Duration>,
    /// Things that were accepted, but of which the operator should know; for the log.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads a configuration file, or all `*.yml` and `*.yaml` in a directory, and the environment.
    ///
    /// # Errors
    /// `Malformed`, in one line, with file, line and setting.
    pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        Self::from_tree(file::read(path)?, env)
    }

    /// The settings that need no file: defaults and the environment. Nothing is served yet.
    pub fn from_environment(env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let mut found = Settings::new();
        environment::apply(&mut found, env)?;
        found.retain(|key, _| !key.starts_with("catalog."));
        Self::resolve(&found, Vec::new())
    }

    /// Adds a catalog at the root, as the command line describes one.
    ///
    /// # Errors
    /// `Malformed` for a storage that is none.
    pub fn add_catalog(&mut self, uri: &str, create: bool, writable: &[String], readable: &[String]) -> Result<()> {
        let mut directories = |entries: &[String], option: &str| {
            let mut paths = Vec::new();
            for entry in entries {
                match storage::parse_text(entry).map_err(|what| Error::malformed(format!("{option}: {what}")))? {
                    Storage::Directory(path) => paths.push(path),
                    Storage::Database(_) => self.warnings.push(unused_database(&option)),
                }
            }
            Ok::<_, Error>(paths)
        };
        let (writable, readable) = (directories(writable, "--write")?, directories(readable, "--read")?);
        self.engine.catalogs.push(CatalogSettings {
            at: NodePath::root(),
            uri: uri.to_owned(),
            create,
            node: NodePath::root(),
            create_node: false,
            writable,
            readable,
            metadata: None,
            specs: Vec::new(),
        });
        Ok(())
    }

    fn from_tree(mut root: Node, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        expand::variables(&mut root, env)?;
        let (mut found, mut trees) = (Settings::new(), Vec::new());
        check::section("", &root, &mut found, &mut trees)?;
        environment::apply(&mut found, env)?;
        if found.keys().any(|key| key.starts_with("catalog.")) {
            if !trees.is_empty() {
                return Err(root.error("\"catalog\" and \"trees\" exclude each other; use one of them"));
            }
            trees.push(
                found.iter().filter(|(key, _)| key.starts_with("catalog.")).map(|(k, v)| (*k, v.clone())).collect(),
            );
        }
        if trees.is_empty() {
            return Err(root.error("nothing to serve: there is neither a \"catalog\" nor any \"trees\""));
        }
        Self::resolve(&found, trees)
    }

    fn resolve(found: &Settings, trees: Vec<Settings>) -> Result<Self> {
        let mut warnings = Vec::new();
        let create_node = flag(found, "create_mount_nodes_if_not_exist").unwrap_or(false);
        let catalogs =
            trees.iter().map(|tree| catalog(tree, create_node, &mut warnings)).collect::<Result<Vec<_>>>()?;
        if let Some(keys) =
            found.get("authentication.secret_keys").filter(|_| !texts(found, "authentication.secret_keys").is_empty())
        {
            warnings
                .push(format!("{}: secret_keys are accepted, but with a single user nothing is signed.", keys.origin));
        }
        let defaults = EngineOptions::default();
        let options = EngineOptions {
            response_bytesize_limit: number(found, "response_bytesize_limit").or(defaults.response_bytesize_limit),
            exact_count_limit: match number_node(found, "exact_count_limit") {
                Some(limit) => limit.as_u64(),
                None => defaults.exact_count_limit,
            },
            // Who asks for a limit gets it everywhere, as from the reference.
            children_count_limit: number_node(found, "exact_count_limit").and_then(|limit| limit.as_u64()),
            expose_raw_assets: flag(found, "expose_raw_assets").unwrap_or(defaults.expose_raw_assets),
            specs: specs(found, "specs", "spec")?.into_iter().map(|spec| spec.name).collect(),
            reject_undeclared_specs: flag(found, "reject_undeclared_specs").unwrap_or(defaults.reject_undeclared_specs),
        };
        let seconds = number_node(found, "girih.request_timeout").and_then(|n| n.as_f64()).unwrap_or(120.0);
        Ok(Self {
            engine: EngineSettings { options, catalogs, retention: retention(found)? },
            api_key: api_key(found)?,
            allow_anonymous: flag(found, "authentication.allow_anonymous_access").unwrap_or(false),
            allow_origins: texts(found, "allow_origins"),
            metrics: flag(found, "metrics.prometheus").unwrap_or(true),
            host: text(found, "uvicorn.host").unwrap_or("127.0.0.1").to_owned(),
            port: port(found)?,
            root_path: root_path(text(found, "uvicorn.root_path").unwrap_or("")),
            trust_forwarded: flag(found, "uvicorn.proxy_headers").unwrap_or(true),
            request_body_limit: number(found, "girih.request_body_limit").unwrap_or(4 << 30),
            request_timeout: (seconds > 0.0).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)),
            warnings,
        })
    }
}

/// One catalog, from the settings of `catalog`, or those of an entry of `trees`.
fn catalog(found: &Settings, create_node: bool, warnings: &mut Vec<String>) -> Result<CatalogSettings> {
    if let Some(tree) = found.get("trees[].tree")
        && text(found, "trees[].tree") != Some("catalog")
    {
        return Err(tree.error("the only kind of tree that is supported is \"catalog\""));
    }
    let uri = text(found, "catalog.uri").ok_or_else(|| match found.values().next() {
        Some(node) => node.error("the catalog has no \"uri\", e.g. sqlite:///catalog.db"),
        None => Error::malformed("A tree has neither \"tree\" nor \"args\"."),
    })?;
    let mut directories = |key: &'static str| {
        let mut paths = Vec::new();
        for entry in items(found, key) {
            match storage::parse(entry)? {
                Storage::Directory(path) => paths.push(path),
                Storage::Database(_) => warnings.push(unused_database(&entry.origin)),
            }
        }
        Ok::<_, Error>(paths)
    };
    Ok(CatalogSettings {
        at: keys(found, "trees[].path")?,
        uri: uri.to_owned(),
        create: flag(found, "catalog.init_if_not_exists").unwrap_or(false),
        node: keys(found, "catalog.mount_node")?,
        create_node,
        writable: directories("catalog.writable_storage")?,
        readable: directories("catalog.readable_storage")?,
        metadata: found.get("catalog.metadata").map(|node| Json::from_value(&node.to_json())),
        specs: specs(found, "catalog.specs", "name")?,
    })
}

fn unused_database(place: &dyn std::fmt::Display) -> String {
    format!("{place}: SQL storage is accepted, but not used yet: there are no appendable tables.")
}

/// How much is kept of what watchers heard.
fn retention(found: &Settings) -> Result<Retention> {
    if let Some(node) = found.get("streaming_cache.uri")
        && text(found, "streaming_cache.uri") != Some("memory")
    {
        return Err(node.error("streaming_cache.uri: any other than \"memory\" is not supported yet"));
    }
    let default = Retention::default();
    let age = number_node(found, "streaming_cache.data_ttl").and_then(|n| n.as_f64());
    let age = age.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
    let bytes = number(found, "girih.stream_bytes").unwrap_or(default.bytes);
    Ok(Retention { bytes, age: age.unwrap_or(default.age) })
}

fn api_key(found: &Settings) -> Result<Option<String>> {
    let name = "authentication.single_user_api_key";
    let (Some(node), Some(key)) = (found.get(name), text(found, name)) else { return Ok(None) };
    check_api_key(key).map_err(|e| node.error(e.message()))?;
    Ok(Some(key.to_owned()))
}

/// A key that cannot be guessed: 64 hexadecimal digits.
pub fn random_api_key() -> String {
    rand::random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An API key goes into URLs and headers as it is.
pub fn check_api_key(key: &str) -> Result<()> {
    if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(Error::malformed("the API key must consist of letters and digits only"));
    }
    Ok(())
}

fn port(found: &Settings) -> Result<u16> {
    let Some(node) = found.get("uvicorn.port") else { return Ok(8000) };
    let port = number(found, "uvicorn.port").and_then(|port| u16::try_from(port).ok());
    port.ok_or_else(|| node.error("uvicorn.port must be between 0 and 65535"))
}

/// `tiled/` and `/tiled` mean the same.
fn root_path(text: &str) -> String {
    match text.trim_matches('/') {
        "" => String::new(),
        path => format!("/{path}"),
    }
}

fn text<'a>(found: &'a Settings, key: &str) -> Option<&'a str> {
    match &found.get(key)?.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn flag(found: &Settings, key: &str) -> Option<bool> {
    match found.get(key)?.value {
        Value::Bool(flag) => Some(flag),
        _ => None,
    }
}

fn number_node<'a>(found: &'a Settings, key: &str) -> Option<&'a serde_json::Number> {
    match &found.get(key)?.value {
        Value::Number(number) => Some(number),
        _ => None,
    }
}

fn number(found: &Settings, key: &str) -> Option<u64> {
    number_node(found, key)?.as_u64()
}

fn items<'a>(found: &'a Settings, key: &str) -> &'a [Node] {
    match found.get(key).map(|node| &node.value) {
        Some(Value::List(items)) => items,
        _ => &[],
    }
}

fn texts(found: &Settings, key: &str) -> Vec<String> {
    let text = |node: &Node| match &node.value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    };
    items(found, key).iter().filter_map(text).collect()
}

/// A path of the tree: one text with slashes, or a list of keys.
fn keys(found: &Settings, key: &str) -> Result<NodePath> {
    let parts = texts(found, key);
    let path = match &parts[..] {
        [path] => NodePath::parse(path),
        keys => NodePath::from_keys(keys),
    };
    path.map_err(|e| match found.get(key) {
        Some(node) => node.error(e.message()),
        None => e,
    })
}

/// Names, or mappings with the name under `name_key` and perhaps a `version`.
fn specs(found: &Settings, key: &str, name_key: &str) -> Result<Vec<Spec>> {
    let spec = |node: &Node| {
        let entries = match &node.value {
            Value::Text(name) => return Ok(Spec { name: name.clone(), version: None }),
            Value::Map(entries) => entries,
            _ => return Err(node.error(format!("a spec is given as {{{name_key}: ...}}"))),
        };
        let (mut name, mut version) = (None, None);
        for (entry, value) in entries {
            match (entry.as_str(), &value.value) {
                (entry, Value::Text(text)) if entry == name_key => name = Some(text.clone()),
                ("version", Value::Text(text)) if name_key == "name" => version = Some(text.clone()),
                ("version", Value::Number(number)) if name_key == "name" => version = Some(number.to_string()),
                ("version" | "validator", Value::Null) => {}
                ("validator", _) => return Err(value.error("the setting \"specs[].validator\" is not supported yet")),
                (entry, _) => return Err(value.error(format!("unknown or wrong {entry:?} in {key:?}"))),
            }
        }
        let name = name.ok_or_else(|| node.error(format!("a spec needs {name_key:?}")))?;
        Ok(Spec { name, version })
    };
    items(found, key).iter().map(spec).collect()
}

#[cfg(test)]
mod tests;
