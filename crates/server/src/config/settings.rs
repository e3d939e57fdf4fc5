//! SETTINGS: every setting of the configuration file, in reading order.
//!
//! To add one: a row here, and the line in `config.rs` that takes it. The row gives it its name, its
//! type, its environment variables and its place in the user guide's table; a test keeps that
//! table (`docs/user/configuration.md`) current.

use std::borrow::Cow;

use Kind::{Flag, Json, Keys, Limit, Number, Object, Seconds, Specs, Storages, Text, Texts};

/// What a setting's value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// A list of texts; a single one may stand for a list of one.
    Texts,
    Flag,
    /// A non-negative integer.
    Number,
    /// A non-negative integer, or -1 for no limit.
    Limit,
    /// A non-negative number of seconds.
    Seconds,
    /// A JSON object of any content.
    Object,
    /// A list of `{name, version}`, or of names.
    Specs,
    /// A list of directories and databases.
    Storages,
    /// A path of the tree: `/a/b`, or a list of keys.
    Keys,
    /// Anything: the setting is not supported yet.
    Json,
}

impl Kind {
    /// Says what the value must be.
    pub(super) fn wanted(self) -> &'static str {
        match self {
            Text => "text",
            Texts => "a list of texts",
            Flag => "true or false",
            Number => "a non-negative integer",
            Limit => "a non-negative integer, or -1 for no limit",
            Seconds => "a number of seconds",
            Object => "a mapping",
            Specs => "a list of specs",
            Storages => "a list of storages",
            Keys => "a path, or a list of keys",
            Json => "anything",
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    /// Sections joined by dots.
    pub(super) key: &'static str,
    pub(super) kind: Kind,
    /// As JSON; empty when there is none and the setting may be left out.
    pub(super) default: &'static str,
    /// Overridden by the environment variables `GIRIH_` and `TILED_` with this name; empty for none.
    pub(super) variable: &'static str,
    pub(super) meaning: &'static str,
}

impl Setting {
    /// Known to the reference, but not supported here yet: any value but the default is refused.
    pub(super) fn is_later(&self) -> bool {
        self.kind == Json
    }
}

const fn now(
    key: &'static str,
    kind: Kind,
    default: &'static str,
    variable: &'static str,
    meaning: &'static str,
) -> Setting {
    Setting { key, kind, default, variable, meaning }
}

const fn later(key: &'static str, default: &'static str, meaning: &'static str) -> Setting {
    Setting { key, kind: Json, default, variable: "", meaning }
}

#[rustfmt::skip] // a table reads better with one row per setting
pub(super) const SETTINGS: &[Setting] = &[
    // What is served. The settings of `catalog` are also those of `trees[].args`.
    now("catalog.uri", Text, "", "CATALOG_URI", "Database of the catalog: `sqlite:///relative/path`, `sqlite:////absolute/path`, or a plain path."),
    now("catalog.init_if_not_exists", Flag, "false", "CATALOG_INIT_IF_NOT_EXISTS", "Create the database when there is none."),
    now("catalog.writable_storage", Storages, "[]", "CATALOG_WRITABLE_STORAGE", "Where new data is kept: directories, as paths or `file://` URIs; the first one receives all new data. Created when missing. Without it, the catalog is read-only."),
    now("catalog.readable_storage", Storages, "[]", "CATALOG_READABLE_STORAGE", "Directories whose files may be registered and read, besides the writable ones."),
    now("catalog.metadata", Object, "", "", "Metadata of the catalog's root."),
    now("catalog.specs", Specs, "[]", "", "Specs of the catalog's root."),
    now("catalog.mount_node", Keys, "\"/\"", "CATALOG_MOUNT_NODE", "Serve this node of the catalog as the root."),
    later("catalog.top_level_access_tags", "[]", "Access tags of the root."),
    later("catalog.adapters_by_mimetype", "{}", "Readers for more media types, as Python import strings."),
    later("catalog.catalog_pool_size", "5", "Database connections of this catalog."),
    later("catalog.catalog_max_overflow", "10", "More database connections under load."),
    later("catalog.storage_pool_size", "5", "Connections to SQL storage."),
    later("catalog.storage_max_overflow", "10", "More connections to SQL storage under load."),
    now("trees[].path", Keys, "\"/\"", "", "Where the tree appears; no path may lie within another."),
    now("trees[].tree", Text, "", "", "What kind of tree: `catalog`. (Python import strings are not supported.)"),
    now("create_mount_nodes_if_not_exist", Flag, "false", "CREATE_MOUNT_NODES_IF_NOT_EXIST", "Create the container that `mount_node` names, when it is missing."),
    now("specs", Specs, "[]", "", "The specs that are declared, each as `{spec: name}`. (Validators are Python code and not supported.)"),
    now("reject_undeclared_specs", Flag, "false", "REJECT_UNDECLARED_SPECS", "Refuse to create nodes with specs that are not declared under `specs`."),
    now("expose_raw_assets", Flag, "true", "EXPOSE_RAW_ASSETS", "Whether the files behind the data may be downloaded as they are."),
    // Who may come in.
    now("authentication.single_user_api_key", Text, "", "SINGLE_USER_API_KEY", "The key that grants everything; letters and digits. A random one is made, and printed, when it is not set."),
    now("authentication.allow_anonymous_access", Flag, "false", "ALLOW_ANONYMOUS_ACCESS", "Whether everybody may read without a key."),
    now("allow_origins", Texts, "[]", "ALLOW_ORIGINS", "Origins of web pages that may talk to this server (CORS), e.g. `https://example.org`."),
    later("authentication.providers", "[]", "Ways to log in."),
    later("authentication.tiled_admins", "[]", "Users with the role of administrator."),
    now("authentication.secret_keys", Texts, "[]", "SECRET_KEYS", "Keys that sign the tokens of those who log in. With one user and a key there are no tokens, and nothing is signed; the server says so in its log."),
    later("authentication.access_token_max_age", "900", "Seconds that an access token is valid."),
    later("authentication.refresh_token_max_age", "604800", "Seconds that a refresh token is valid."),
    later("authentication.session_max_age", "31536000", "Seconds that a session lasts."),
    later("access_control", "{}", "Access policy."),
    later("database", "{}", "Database of users, sessions and API keys."),
    // Limits.
    now("response_bytesize_limit", Number, "", "RESPONSE_BYTESIZE_LIMIT", "Most bytes of data in one reply; larger requests are refused. Without it there is no limit: replies are streamed, and their size costs no memory."),
    now("exact_count_limit", Limit, "", "EXACT_COUNT_LIMIT", "Results of a search, and children of a container, are counted up to this many; of more, it is told that there are at least one more. -1: always exactly. Without it, searches count up to 100 and children, which cost nothing to count, exactly."),
    now("girih.request_body_limit", Number, "4294967296", "REQUEST_BODY_LIMIT", "Most bytes in the body of one request."),
    now("girih.request_timeout", Seconds, "120", "REQUEST_TIMEOUT", "Longest time without progress: until the head of a reply, and between pieces of a body; 0 for no limit."),
    // The door.
    now("uvicorn.host", Text, "\"127.0.0.1\"", "HOST", "Address to listen on; `0.0.0.0` for all. The option `--host` wins."),
    now("uvicorn.port", Number, "8000", "PORT", "Port to listen on; 0 for a free one. The option `--port` wins."),
    now("uvicorn.root_path", Text, "\"\"", "ROOT_PATH", "Prefix of all URLs, e.g. `/tiled`, for a server behind a proxy."),
    now("uvicorn.proxy_headers", Flag, "true", "PROXY_HEADERS", "Whether links are built from `X-Forwarded-Host` and `X-Forwarded-Proto`, for a server behind a proxy. Turn it off where callers reach the server directly and links must not be forged."),
    now("metrics.prometheus", Flag, "true", "METRICS_PROMETHEUS", "Whether `/api/v1/metrics` is served."),
    later("uvicorn.workers", "1", "Server processes. One process of girih uses all cores."),
    later("uvicorn.forwarded_allow_ips", "\"127.0.0.1\"", "Whose `X-Forwarded-*` headers are trusted."),
    later("uvicorn.ssl_keyfile", "null", "TLS key."),
    later("uvicorn.ssl_certfile", "null", "TLS certificate."),
    later("uvicorn.ssl_keyfile_password", "null", "Password of the TLS key."),
    later("uvicorn.ssl_ca_certs", "null", "Certificates that clients are checked against."),
    later("uvicorn.log_config", "null", "Python's logging configuration."),
    later("uvicorn.log_level", "null", "Log level; use `-v` or `GIRIH_LOG`."),
    later("uvicorn.access_log", "true", "Whether requests are logged."),
    later("uvicorn.timeout_keep_alive", "5", "Seconds that an idle connection is kept."),
    later("uvicorn.limit_concurrency", "null", "Most connections at a time."),
    // Further features of the reference.
    now("streaming_cache.uri", Text, "", "", "Where updates are kept for those who subscribe. `memory` means beside the catalog, which is also where they are when nothing is set."),
    later("streaming_cache.sentinels", "[]", "Redis sentinels."),
    later("streaming_cache.service_name", "null", "Name of the service that the sentinels watch."),
    later("streaming_cache.password", "null", "Password of Redis."),
    later("streaming_cache.ssl", "false", "Whether Redis is spoken to over TLS."),
    now("streaming_cache.data_ttl", Seconds, "3600", "", "Seconds that updates are kept, for those who come later or whose connection broke."),
    now("girih.stream_bytes", Number, "1073741824", "STREAM_BYTES", "Most bytes of updates that are kept; the oldest go first."),
    now("streaming_cache.seq_ttl", Seconds, "2592000", "", "Seconds that sequence numbers are kept at least. Beside the catalog they are kept for as long as their entry, so that none is given twice."),
    now("streaming_cache.socket_timeout", Seconds, "86400", "", "Seconds that Redis may be silent. Without Redis it means nothing."),
    now("streaming_cache.socket_connect_timeout", Seconds, "10", "", "Seconds that connecting to Redis may take. Without Redis it means nothing."),
    now("streaming_cache.health_check_interval", Seconds, "10", "", "Seconds between checks of Redis. Without Redis it means nothing."),
    later("webhooks", "{}", "Telling other servers about changes."),
    later("media_types", "{}", "Exporters for more media types, as Python import strings."),
    later("file_extensions", "{}", "Media types of more file extensions."),
    later("routers", "[]", "More routes, as Python import strings."),
    later("catalog_pool_size", "5", "Database connections of each catalog."),
    later("catalog_max_overflow", "10", "More database connections under load."),
    later("storage_pool_size", "5", "Connections to SQL storage."),
    later("storage_max_overflow", "10", "More connections to SQL storage under load."),
];

/// The setting of this name.
pub(super) fn find(key: &str) -> Option<&'static Setting> {
    let key = canonical(key);
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// Names of what may stand in a section (`""` for the top level), in the order of the table.
pub(super) fn names_in(section: &str) -> Vec<&'static str> {
    let section = canonical(section);
    let mut names = Vec::new();
    for setting in SETTINGS {
        let rest = match section.as_ref() {
            "" => Some(setting.key),
            section => setting.key.strip_prefix(section).and_then(|rest| rest.strip_prefix('.')),
        };
        let name = rest.and_then(|rest| rest.split('.').next()).map(|name| name.trim_end_matches("[]"));
        if let Some(name) = name
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    if section == "trees[]" {
        names.push("args");
    }
    names
}

/// The settings of `trees[].args` are those of `catalog`.
fn canonical(key: &str) -> Cow<'_, str> {
    match key.strip_prefix("trees[].args") {
        Some(rest) => format!("catalog{rest}").into(),
        None => key.into(),
    }
}

/// The tables of the user guide.
#[cfg(test)]
fn markdown() -> String {
    use std::fmt::Write;
    let mut text = String::from("| setting | type | default | environment | meaning |\n|---|---|---|---|---|\n");
    for s in SETTINGS.iter().filter(|s| !s.is_later()) {
        let code = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}`") };
        let variable = if s.variable.is_empty() { String::new() } else { format!("`TILED_{}`", s.variable) };
        let row = [code(s.key), s.kind.wanted().to_owned(), code(s.default), variable, s.meaning.to_owned()];
        writeln!(text, "| {} |", row.join(" | ")).unwrap();
    }
    text.push_str("\nNot supported yet:\n\n| setting | accepted value | meaning in Tiled |\n|---|---|---|\n");
    for s in SETTINGS.iter().filter(|s| s.is_later()) {
        writeln!(text, "| `{}` | `{}` | {} |", s.key, s.default, s.meaning).unwrap();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/user/configuration.md");
    const BEGIN: &str = "<!-- settings: generated, see crates/server/src/config/settings.rs -->\n";
    const END: &str = "<!-- end of settings -->\n";

    #[test]
    fn the_user_guide_lists_every_setting() {
        let guide = std::fs::read_to_string(GUIDE).unwrap();
        let (before, rest) = guide.split_once(BEGIN).unwrap();
        let (found, after) = rest.split_once(END).unwrap();
        if found != markdown() && std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(GUIDE, [before, BEGIN, &markdown(), END, after].concat()).unwrap();
        } else {
            assert_eq!(found, markdown(), "run the tests with UPDATE_SNAPSHOTS=1 to bring the user guide up to date");
        }
    }

    #[test]
    fn keys_and_variables_are_distinct_and_defaults_are_json() {
        for (n, setting) in SETTINGS.iter().enumerate() {
            let others = &SETTINGS[..n];
            assert!(others.iter().all(|o| o.key != setting.key), "{}", setting.key);
            assert!(setting.variable.is_empty() || others.iter().all(|o| o.variable != setting.variable));
            if !setting.default.is_empty() {
                serde_json::from_str::<serde_json::Value>(setting.default).unwrap();
            }
        }
    }

    #[test]
    fn names_are_found_by_section() {
        assert_eq!(names_in("trees[]"), ["path", "tree", "args"]);
        assert!(names_in("").contains(&"trees"));
        assert!(names_in("trees[].args").contains(&"uri"));
        assert!(find("trees[].args.uri").is_some() && find("trees[].args").is_none());
    }
}
