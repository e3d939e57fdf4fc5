//! Where a node lives: the keys from the root down.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};

/// Longest key, in bytes of UTF-8.
pub const MAX_KEY_BYTES: usize = 1023;
/// Deepest tree.
pub const MAX_DEPTH: usize = 64;

/// A path of valid keys, joined by `/`; the root is the empty path. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodePath(Arc<str>);

impl NodePath {
    pub fn root() -> Self {
        Self("".into())
    }

    /// Reads the path part of a URL, already percent-decoded. Empty segments do not count, so
    /// `a//b/` is `a/b`: the reference's clients join segments with double slashes.
    pub fn parse(text: &str) -> Result<Self> {
        Self::from_keys(text.split('/').filter(|key| !key.is_empty()))
    }

    pub fn from_keys<K: AsRef<str>>(keys: impl IntoIterator<Item = K>) -> Result<Self> {
        let mut joined = String::new();
        for (depth, key) in keys.into_iter().enumerate() {
            let key = key.as_ref();
            check_key(key)?;
            if depth >= MAX_DEPTH {
                return Err(Error::unprocessable(format!("A path can be at most {MAX_DEPTH} keys deep.")));
            }
            if depth > 0 {
                joined.push('/');
            }
            joined.push_str(key);
        }
        Ok(Self(joined.into()))
    }

    pub fn child(&self, key: &str) -> Result<Self> {
        Self::from_keys(self.keys().chain(std::iter::once(key)))
    }

    pub fn join(&self, rest: &NodePath) -> Result<Self> {
        Self::from_keys(self.keys().chain(rest.keys()))
    }

    /// The rest of this path below `base`, if it is `base` or lies below it.
    pub fn below(&self, base: &NodePath) -> Option<NodePath> {
        if base.is_root() {
            return Some(self.clone());
        }
        let rest = self.0.strip_prefix(&*base.0)?;
        match rest.strip_prefix('/') {
            Some(rest) => Some(Self(rest.into())),
            None if rest.is_empty() => Some(Self::root()),
            None => None,
        }
    }

    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        // "".split('/') yields one empty segment; no key is ever empty.
        self.0.split('/').filter(|key| !key.is_empty())
    }

    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        Some(Self(self.0.rsplit_once('/').map_or("", |(parent, _)| parent).into()))
    }

    /// The last key; empty for the root.
    pub fn key(&self) -> &str {
        self.0.rsplit_once('/').map_or(&*self.0, |(_, key)| key)
    }

    pub fn depth(&self) -> usize {
        self.keys().count()
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0)
    }
}

impl fmt::Debug for NodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Refuses what could not be addressed in a URL or could climb out of a directory.
pub fn check_key(key: &str) -> Result<()> {
    let fault = if key.is_empty() {
        "is empty"
    } else if key == "." || key == ".." {
        "has a special meaning in paths"
    } else if key.contains(['/', '\\']) {
        "contains a slash"
    } else if key.chars().any(char::is_control) {
        "contains a control character"
    } else if key.len() > MAX_KEY_BYTES {
        return Err(Error::unprocessable(format!(
            "The key is {} bytes long; at most {MAX_KEY_BYTES} are allowed.",
            key.len()
        )));
    } else {
        return Ok(());
    };
    Err(Error::unprocessable(format!("The key {key:?} {fault}. Choose another key.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_may_be_doubled_and_trail() {
        let path = NodePath::parse("//a///b/").unwrap();
        assert_eq!(path.as_str(), "a/b");
        assert_eq!((path.key(), path.depth()), ("b", 2));
        assert_eq!(path.parent().unwrap().as_str(), "a");
        assert!(NodePath::parse("/").unwrap().is_root());
    }

    #[test]
    fn below_counts_whole_keys() {
        let path = NodePath::parse("ab/c").unwrap();
        assert_eq!(path.below(&NodePath::parse("ab").unwrap()).unwrap().as_str(), "c");
        assert_eq!(path.below(&NodePath::parse("a").unwrap()), None);
        assert_eq!(path.below(&path).unwrap(), NodePath::root());
        assert_eq!(path.below(&NodePath::root()).unwrap(), path);
    }

    #[test]
    fn dangerous_keys_are_refused() {
        for key in ["", ".", "..", "a/b", "a\\b", "a\0", "tab\t", &"x".repeat(1024)] {
            assert!(check_key(key).is_err(), "{key:?}");
        }
        for key in ["a b", "é+?#&%", "...", "-", "a.b", &"x".repeat(1023)] {
            assert!(check_key(key).is_ok(), "{key:?}");
        }
    }
}
