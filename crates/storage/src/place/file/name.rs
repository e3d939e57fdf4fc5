//! File names: of nodes, and of files that are not finished yet.
//!
//! A key becomes `application/x-www-form-urlencoded` text (as Python's `quote_plus` does), which
//! never contains `=`: a name with `=` is one that we made.

use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use girih_model::NodePath;

/// Longest name of a key; file systems take 255 bytes.
const MAX_NAME: usize = 200;
/// Longest relative path of a node; system calls take 4096 bytes.
const MAX_PATH: usize = 2000;
const TEMPORARY: &str = ".girih=";

/// The relative path of a node's data. It need not be unique: whoever makes it must be the first.
pub(super) fn of_node(path: &NodePath) -> PathBuf {
    let names: PathBuf = path.keys().map(of_key).collect();
    if names.as_os_str().len() <= MAX_PATH {
        return names;
    }
    PathBuf::from(format!("{}={:016x}", shorten(&of_key(path.key())), hash(path.as_str())))
}

fn of_key(key: &str) -> String {
    let mut name = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => name.push(byte as char),
            b' ' => name.push('+'),
            _ => write!(name, "%{byte:02X}").expect("writing to memory"),
        }
    }
    if name.len() <= MAX_NAME { name } else { format!("{}={:016x}", shorten(&name), hash(key)) }
}

fn shorten(name: &str) -> &str {
    &name[..name.len().min(MAX_NAME - 40)]
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Text that no other call, and hardly another process, gives.
pub(super) fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos() as u64);
    format!("{time:x}-{:x}-{:x}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

pub(in crate::place) fn temporary() -> String {
    format!("{TEMPORARY}{}", unique())
}

/// Whether a file of this name is one that was never finished: nothing refers to it.
pub fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(keys: &[&str], expected: &str) {
        assert_eq!(of_node(&NodePath::from_keys(keys).unwrap()).to_str().unwrap(), expected);
    }

    #[test]
    fn keys_become_names_as_in_the_reference() {
        check(&["examples", "xraydb", "C", "edges"], "examples/xraydb/C/edges");
        check(&["sp ace+"], "sp+ace%2B");
        check(&["é=%", "a:b"], "%C3%A9%3D%25/a%3Ab");
        check(&[], "");
    }

    #[test]
    fn long_names_fit_and_differ() {
        let (a, b) = ("é".repeat(500), "é".repeat(499) + "x");
        assert!(of_key(&a).len() <= MAX_NAME && of_key(&a).contains('='));
        assert_ne!(of_key(&a), of_key(&b));
        let deep = NodePath::from_keys(std::iter::repeat_n("k".repeat(100), 60)).unwrap();
        assert!(of_node(&deep).as_os_str().len() < 250);
    }

    #[test]
    fn no_key_has_the_name_of_a_temporary_file() {
        assert!(is_temporary(&temporary()));
        assert!(!is_temporary(&of_key(".girih=1")));
        assert_ne!(temporary(), temporary());
    }
}
