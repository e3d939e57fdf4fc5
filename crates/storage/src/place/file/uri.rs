//! `file:` URIs (RFC 8089).

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use girih_model::{Error, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// All but what RFC 3986 calls unreserved, and the slashes between segments.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

pub(super) fn of_path(path: &Path) -> String {
    format!("file://localhost{}", percent_encode(path.as_os_str().as_bytes(), ESCAPED))
}

/// The path in `file://localhost/…` or `file:///…`, percent-decoded.
///
/// # Errors
/// `Unprocessable` for other schemes and hosts, and for paths with `..`.
pub fn path_of_uri(uri: &str) -> Result<PathBuf> {
    let bad = |why: &str| Err(Error::unprocessable(format!("Cannot use the data URI {uri:?}: {why}")));
    let Some((scheme, rest)) = uri.split_once(':') else {
        return bad("it has no scheme. Use file://localhost/absolute/path.");
    };
    if !scheme.eq_ignore_ascii_case("file") {
        return bad("only the scheme file: is supported.");
    }
    let Some((host, path)) = rest.strip_prefix("//").and_then(|rest| rest.find('/').map(|at| rest.split_at(at))) else {
        return bad("it has no absolute path. Use file://localhost/absolute/path.");
    };
    if !host.is_empty() && !host.eq_ignore_ascii_case("localhost") {
        return bad("it names another host. Only files of this server's own file system can be read.");
    }
    if path.contains(['?', '#']) {
        return bad("a question mark or hash in a file name must be percent-encoded.");
    }
    let bytes: Vec<u8> = percent_decode_str(path).collect();
    if bytes.contains(&0) {
        return bad("it contains a NUL character.");
    }
    let path = PathBuf::from(OsString::from_vec(bytes));
    if path.components().any(|part| part == Component::ParentDir) {
        return bad("its path contains \"..\".");
    }
    Ok(path.components().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_and_paths_agree() {
        for (path, uri) in [
            ("/data/x", "file://localhost/data/x"),
            ("/data/sp+ace%2B", "file://localhost/data/sp%2Bace%252B"),
            ("/é b#?", "file://localhost/%C3%A9%20b%23%3F"),
        ] {
            assert_eq!(of_path(Path::new(path)), uri);
            assert_eq!(path_of_uri(uri).unwrap(), Path::new(path));
        }
        let odd = PathBuf::from(OsString::from_vec(b"/a\xff".to_vec()));
        assert_eq!(path_of_uri(&of_path(&odd)).unwrap(), odd);
        assert_eq!(path_of_uri("file:///data/./x/").unwrap(), Path::new("/data/x"));
        assert_eq!(path_of_uri("FILE://LOCALHOST/data").unwrap(), Path::new("/data"));
    }

    #[test]
    fn what_is_no_local_file_is_refused() {
        for uri in [
            "/data/x",
            "x.npy",
            "http://127.0.0.1/x",
            "s3://bucket/x",
            "file://other/x",
            "file:x",
            "file://localhost",
            "file:///a/../b",
            "file:///a/%2e%2e/b",
            "file:///a%00b",
            "file:///a?b",
        ] {
            assert!(path_of_uri(uri).is_err(), "{uri}");
        }
    }
}
