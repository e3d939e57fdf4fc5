//! Which representation the caller prefers (RFC 9110, 12.5).

use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};
use girih_engine::export::{MediaRange, Wanted};
use girih_model::{Error, Result};

use crate::query::QueryString;

pub(crate) const MSGPACK: &str = "application/x-msgpack";

/// One element of a list such as `text/csv;header=absent;q=0.5`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Weighted {
    pub(crate) name: String,
    pub(crate) parameters: BTreeMap<String, String>,
    /// 0 refuses.
    pub(crate) q: f32,
}

/// Elements of all headers of this name, in the order in which they came. What cannot be read is left out.
pub(crate) fn weighted(headers: &HeaderMap, name: header::HeaderName) -> Vec<Weighted> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| split(line, ',')).filter_map(element).collect()
}

fn element(text: &str) -> Option<Weighted> {
    let mut parts = split(text, ';');
    let name = parts.next().filter(|name| !name.is_empty())?.to_owned();
    let mut weighted = Weighted { name, parameters: BTreeMap::new(), q: 1.0 };
    for parameter in parts {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim().trim_matches('"'));
        match key.as_str() {
            "" => {}
            "q" => weighted.q = value.parse().ok().filter(|q| (0.0..=1.0).contains(q))?,
            _ => drop(weighted.parameters.insert(key, value.to_owned())),
        }
    }
    Some(weighted)
}

/// Splits at a separator that is not within a quoted string; the parts are trimmed.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let cut = move |c: char| {
        quoted ^= c == '"';
        c == separator && !quoted
    };
    text.split(cut).map(str::trim)
}

/// What data should be encoded as: `?format=` (media types or extensions), else `Accept`.
pub(crate) fn wanted(headers: &HeaderMap, query: &QueryString) -> Result<Wanted> {
    if let Some(format) = query.one("format") {
        let ranges: Vec<_> = split(format, ',').filter_map(element).map(range).collect();
        if ranges.is_empty() {
            return Err(Error::not_acceptable(
                "format= is empty. Give a media type or a file extension, such as format=text/csv or format=csv.",
            ));
        }
        return Ok(Wanted::Format(ranges));
    }
    let mut accepted = weighted(headers, header::ACCEPT);
    if accepted.is_empty() && !headers.contains_key(header::ACCEPT) {
        accepted.extend(element("*/*"));
    }
    accepted.retain(|one| one.q > 0.0);
    // Stable: among equals the caller's order decides, but what is named goes before a wildcard.
    accepted.sort_by(|a, b| b.q.total_cmp(&a.q).then_with(|| wildcards(&a.name).cmp(&wildcards(&b.name))));
    Ok(Wanted::Accept(accepted.into_iter().map(range).collect()))
}

fn wildcards(name: &str) -> usize {
    name.split('/').filter(|part| *part == "*").count()
}

fn range(one: Weighted) -> MediaRange {
    MediaRange { name: one.name, parameters: one.parameters }
}

/// Whether an envelope goes out as MessagePack: when it is named, and JSON is not preferred.
pub(crate) fn wants_msgpack(headers: &HeaderMap) -> bool {
    let accepted = weighted(headers, header::ACCEPT);
    let q = |name: &str| accepted.iter().find(|one| one.name.eq_ignore_ascii_case(name)).map_or(0.0, |one| one.q);
    q(MSGPACK) > 0.0 && q(MSGPACK) >= q("application/json")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn accept(text: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::try_from(text).unwrap());
        headers
    }

    fn names(headers: &HeaderMap, query: &str) -> String {
        let query = QueryString::parse(Some(query)).unwrap();
        let (kind, ranges) = match wanted(headers, &query).unwrap() {
            Wanted::Format(ranges) => ("format", ranges),
            Wanted::Accept(ranges) => ("accept", ranges),
        };
        let names: Vec<_> = ranges.into_iter().map(|range| format!("{}{:?}", range.name, range.parameters)).collect();
        format!("{kind}: {}", names.join(" ")).replace("{}", "")
    }

    #[test]
    fn quality_decides_then_precision_then_order() {
        for (header, expected) in [
            ("text/csv", "accept: text/csv"),
            ("*/*;q=0.8, image/png", "accept: image/png */*"),
            ("text/html;q=0.5,text/csv ; q=0.7, a/b;q=0", "accept: text/csv text/html"),
            ("*/*, image/*, image/png", "accept: image/png image/* */*"),
            ("a/b;q=2, c/d", "accept: c/d"),
            ("text/csv;header=absent;q=0.1", "accept: text/csv{\"header\": \"absent\"}"),
            ("a/b;x=\"1,2;3\", c/d", "accept: a/b{\"x\": \"1,2;3\"} c/d"),
        ] {
            assert_eq!(names(&accept(header), ""), expected, "{header}");
        }
        assert_eq!(names(&HeaderMap::new(), ""), "accept: */*");
    }

    #[test]
    fn format_goes_before_accept() {
        assert_eq!(
            names(&accept("a/b"), "format=csv,text/csv;header%3Dabsent"),
            "format: csv text/csv{\"header\": \"absent\"}"
        );
        let empty = QueryString::parse(Some("format=")).unwrap();
        assert!(wanted(&HeaderMap::new(), &empty).is_err());
    }

    #[test]
    fn messagepack_only_for_those_who_name_it() {
        for (header, expected) in [
            ("application/x-msgpack", true),
            ("application/json, application/x-msgpack", true),
            ("application/json, application/x-msgpack;q=0.5", false),
            ("application/x-msgpack;q=0", false),
            ("*/*", false),
        ] {
            assert_eq!(wants_msgpack(&accept(header)), expected, "{header}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(text in "[ -~]{0,40}") {
            let _ = wanted(&accept(&text), &QueryString::default());
        }
    }
}
