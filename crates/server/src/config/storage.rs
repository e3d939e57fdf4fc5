//! Entries of `writable_storage` and `readable_storage`.

use std::path::PathBuf;

use girih_model::Result;

use super::yaml::{Node, Value};

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Storage {
    Directory(PathBuf),
    /// Room for appendable tables, which girih does not have yet.
    Database(String),
}

pub(super) fn parse(node: &Node) -> Result<Storage> {
    match &node.value {
        Value::Text(text) => parse_text(text).map_err(|what| node.error(what)),
        Value::Map(_) => {
            Err(node.error("object stores are not supported yet; give a directory, as a path or file:// URI"))
        }
        _ => Err(node.error("a storage is given as a directory, as a path or file:// URI")),
    }
}

/// # Errors
/// What is wrong with it.
pub(super) fn parse_text(text: &str) -> Result<Storage, String> {
    let Some((scheme, rest)) = text.split_once(':') else { return Ok(Storage::Directory(text.into())) };
    match scheme.split('+').next().unwrap_or(scheme) {
        "file" => match directory(rest) {
            Some(path) => Ok(Storage::Directory(path)),
            None => Err(format!("{text:?} is not a file URI of this machine")),
        },
        "sqlite" | "duckdb" | "postgresql" => Ok(Storage::Database(text.to_owned())),
        other if rest.starts_with("//") => {
            Err(format!("storage with the scheme {other:?} is not supported yet; give a directory"))
        }
        // A path that happens to have a colon.
        _ => Ok(Storage::Directory(text.into())),
    }
}

/// `//localhost/a%20b` or `///a%20b`, after `file:` (RFC 8089).
fn directory(rest: &str) -> Option<PathBuf> {
    let path = match rest.strip_prefix("//") {
        Some(authority) => authority.strip_prefix("localhost").unwrap_or(authority),
        None => rest,
    };
    let path = percent_encoding::percent_decode_str(path).decode_utf8().ok()?;
    path.starts_with('/').then(|| PathBuf::from(path.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml::Origin;

    fn check(text: &str, expected: Result<Storage, &str>) {
        let node = Node { value: Value::Text(text.into()), origin: Origin::Variable("X".into()) };
        match (parse(&node), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
            (Err(found), Err(expected)) => assert!(found.message().contains(expected), "{text}: {}", found.message()),
            (found, _) => panic!("{text}: {found:?}"),
        }
    }

    #[test]
    fn paths_uris_and_databases() {
        let directory = |path: &str| Ok(Storage::Directory(path.into()));
        check("data", directory("data"));
        check("/a b/c:d", directory("/a b/c:d"));
        check("file://localhost/a%20b", directory("/a b"));
        check("file:///a", directory("/a"));
        check("file:/a", directory("/a"));
        check("file://elsewhere/a", Err("not a file URI"));
        check("s3://bucket/a", Err("not supported yet"));
        for text in ["duckdb:///x.duckdb", "sqlite:///x", "postgresql+asyncpg://h/d"] {
            check(text, Ok(Storage::Database(text.into())));
        }
    }
}
