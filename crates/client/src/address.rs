//! Addresses as users paste them.

use girih_model::{Error, NodePath, Result};
use percent_encoding::percent_decode_str;
use reqwest::Url;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// Ends with `/api/v1`.
    pub(crate) api: Url,
    pub(crate) key: Option<String>,
    pub(crate) path: NodePath,
}

pub(crate) fn parse(text: &str) -> Result<Address> {
    let bad = |why: &str| Error::unprocessable(format!("{text:?} is not the address of a server: {why}"));
    let mut url = Url::parse(text).map_err(|_| bad("write it as in http://127.0.0.1:8000"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(bad("it begins with http:// or https:// and a host"));
    }
    let key = url.query_pairs().find(|(name, _)| name == "api_key").map(|(_, key)| key.into_owned());
    let whole = url.path().trim_end_matches('/').to_owned();
    let (base, rest) = whole.split_once("/api/v1").unwrap_or((&whole, ""));
    let keys = match rest.strip_prefix("/metadata") {
        Some(path) => path.split('/').filter(|key| !key.is_empty()).collect(),
        None if rest.is_empty() => Vec::new(),
        None => return Err(bad("it is neither that of a server nor that of an entry (…/api/v1/metadata/…)")),
    };
    let keys = keys.into_iter().map(|key| percent_decode_str(key).decode_utf8_lossy().into_owned());
    let path = NodePath::from_keys(keys)?;
    url.set_path(&format!("{base}/api/v1"));
    url.set_query(None);
    url.set_fragment(None);
    Ok(Address { api: url, key, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_servers_and_entries() {
        for (text, api, key, path) in [
            ("http://h", "http://h/api/v1", None, ""),
            ("https://h:8/t/", "https://h:8/t/api/v1", None, ""),
            ("http://h/api/v1?api_key=abc", "http://h/api/v1", Some("abc"), ""),
            ("http://h/api/v1/metadata/a/b%20c?api_key=k", "http://h/api/v1", Some("k"), "a/b c"),
        ] {
            let found = parse(text).unwrap();
            assert_eq!((found.api.as_str(), found.key.as_deref(), found.path.as_str()), (api, key, path), "{text}");
        }
        for bad in ["h", "ftp://h", "file:///x", "http://h/api/v1/array/full/a", ""] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
