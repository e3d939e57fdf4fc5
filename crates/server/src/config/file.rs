//! A configuration file, or a directory of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use girih_model::{Error, Result, ResultExt};

use super::yaml::{self, Node, Value};

/// Lists that several files of a directory may each add to.
const SHARED_LISTS: [&str; 3] = ["allow_origins", "specs", "trees"];
/// Largest file, in bytes.
const MAX_BYTES: u64 = 16 << 20;

pub(super) fn read(path: &Path) -> Result<Node> {
    if !path.is_dir() {
        return parse(path);
    }
    let files = listed(path)?;
    let mut files = files.iter().map(|file| parse(file));
    let first = files
        .next()
        .ok_or_else(|| Error::malformed(format!("The directory {} has no *.yml or *.yaml in it.", path.display())))??;
    files.try_fold(first, |all, next| merge(all, next?))
}

fn parse(path: &Path) -> Result<Node> {
    let unreadable = |e: &dyn std::fmt::Display| {
        Error::malformed(format!("The configuration {} cannot be read: {e}", path.display()))
    };
    let size = std::fs::metadata(path).or_error(unreadable)?.len();
    if size > MAX_BYTES {
        return Err(unreadable(&format!("it has {size} bytes; at most {MAX_BYTES} are allowed")));
    }
    let text = std::fs::read_to_string(path).or_error(unreadable)?;
    yaml::parse(&text, &Arc::from(path.display().to_string()))
}

/// The YAML files of a directory, in the order of their names.
fn listed(directory: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |e: &dyn std::fmt::Display| {
        Error::malformed(format!("The directory {} cannot be read: {e}", directory.display()))
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).or_error(unreadable)? {
        let path = entry.or_error(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Puts the settings of two files together. A setting must stand in one of them only.
fn merge(mut all: Node, next: Node) -> Result<Node> {
    let (Value::Map(known), Value::Map(more)) = (&mut all.value, next.value) else { return Ok(all) };
    for (key, value) in more {
        let Some((_, before)) = known.iter_mut().find(|(name, _)| *name == key) else {
            known.push((key, value));
            continue;
        };
        let Node { value, origin } = value;
        match (&mut before.value, value) {
            (Value::List(items), Value::List(others)) if SHARED_LISTS.contains(&key.as_str()) => items.extend(others),
            _ => {
                return Err(Error::malformed(format!(
                    "{origin}: the setting {key:?} stands in {} already; put it into one of the files",
                    before.origin
                )));
            }
        }
    }
    Ok(all)
}
