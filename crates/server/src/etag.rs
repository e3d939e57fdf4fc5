//! Entity tags: what a copy is of, so that it need not be sent again (RFC 9110, 8.8.3 and 13.1).

use axum::http::{HeaderMap, HeaderValue, header};
use sha2::{Digest, Sha256};

/// 32 hexadecimal digits that stand for these bytes.
pub(crate) fn of(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The header's value; `None` for a tag that cannot be one.
pub(crate) fn quoted(tag: &str) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("\"{tag}\"")).ok()
}

/// The tag of the same content in a content coding: strong tags of different bytes differ.
pub(crate) fn coded(tag: &HeaderValue, coding: &str) -> Option<HeaderValue> {
    let inner = tag.to_str().ok()?.strip_suffix('"')?;
    HeaderValue::try_from(format!("{inner}{CODED}{coding}\"")).ok()
}

/// Between a tag and the name of a coding; our own tags do not contain it.
const CODED: &str = "--";

/// Tags of `If-None-Match`, without quotes, `W/` and coding (comparison is weak); `*` stands for all.
/// Unquoted tags, as old clients send them, count too.
pub(crate) fn if_none_match(headers: &HeaderMap) -> Vec<String> {
    held(headers).map(|tag| plain(tag).to_owned()).collect()
}

/// The tag to confirm in a 304: that of the copy which the caller holds, whatever its coding.
pub(crate) fn confirmed(request: &HeaderMap, tag: &HeaderValue) -> Option<HeaderValue> {
    let inner = tag.to_str().ok()?.trim_matches('"');
    quoted(held(request).find(|held| plain(held) == inner)?)
}

/// Tags of the copies that the caller holds, without quotes and `W/`.
fn held(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    let tags = lines.flat_map(|line| line.split(',')).map(str::trim);
    tags.map(|tag| tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"')).filter(|tag| !plain(tag).is_empty())
}

fn plain(tag: &str) -> &str {
    tag.split_once(CODED).map_or(tag, |(tag, _)| tag)
}

/// Whether `If-Match` names the version that has this tag, in whatever coding; `*` stands for all, a weak tag for none
/// (comparison is strong).
pub(crate) fn if_match(lines: &[HeaderValue], tag: Option<&HeaderValue>) -> bool {
    let tag = tag.and_then(|tag| tag.to_str().ok()).map(|tag| tag.trim_matches('"'));
    let given = lines.iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')).map(str::trim);
    given.into_iter().any(|one| {
        one == "*" || !one.starts_with("W/") && tag.is_some_and(|tag| plain(one.trim_matches('"')) == plain(tag))
    })
}

pub(crate) fn matches(given: &[String], tag: &str) -> bool {
    given.iter().any(|one| one == "*" || one == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_weak_tags_and_codings_are_understood() {
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"a\", W/\"b\",c, \"d--zstd\""));
        let given = if_none_match(&headers);
        assert_eq!(given, ["a", "b", "c", "d"]);
        assert!(matches(&given, "b") && !matches(&given, "e"));
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
        assert!(matches(&if_none_match(&headers), "anything"));
    }

    #[test]
    fn a_coded_body_has_its_own_tag() {
        let tag = quoted(&of(b"x")).unwrap();
        let coded = coded(&tag, "gzip").unwrap();
        assert_ne!(tag, coded);
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, coded);
        assert!(matches(&if_none_match(&headers), &of(b"x")));
        assert_eq!(confirmed(&headers, &tag).unwrap(), headers[header::IF_NONE_MATCH]);
        assert_eq!(confirmed(&headers, &quoted("other").unwrap()), None);
    }
}
