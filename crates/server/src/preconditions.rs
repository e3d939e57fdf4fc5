//! `If-Match` and `If-Unmodified-Since` of requests that read (RFC 9110, 13.1.1, 13.1.4 and 13.2): who goes on with a copy of
//! another version is told, whatever else the answer would have been.

use std::time::SystemTime;

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;

use crate::error::detail;
use crate::etag;

/// What must be so for the answer to be sent.
pub(crate) enum Precondition {
    None,
    /// The version is one of these.
    Match(Vec<HeaderValue>),
    UnmodifiedSince(SystemTime),
}

impl Precondition {
    pub(crate) fn of(method: &Method, headers: &HeaderMap) -> Self {
        let is_read = method == Method::GET || method == Method::HEAD;
        if !is_read {
            return Self::None;
        }
        if headers.contains_key(header::IF_MATCH) {
            return Self::Match(headers.get_all(header::IF_MATCH).iter().cloned().collect());
        }
        let since = headers.get(header::IF_UNMODIFIED_SINCE).and_then(date);
        since.map_or(Self::None, Self::UnmodifiedSince)
    }

    /// The answer, or a 412 in its place.
    pub(crate) fn checked(&self, response: Response) -> Response {
        let status = response.status();
        let tells =
            status.is_success() || matches!(status, StatusCode::NOT_MODIFIED | StatusCode::RANGE_NOT_SATISFIABLE);
        if !tells {
            return response;
        }
        let headers = response.headers();
        let tag = headers.get(header::ETAG);
        let holds = match self {
            Self::None => true,
            Self::Match(given) => etag::if_match(given, tag),
            // What has no date is not asked.
            Self::UnmodifiedSince(since) => {
                headers.get(header::LAST_MODIFIED).and_then(date).is_none_or(|modified| modified <= *since)
            }
        };
        if holds {
            return response;
        }
        let kept =
            [header::ETAG, header::LAST_MODIFIED].map(|name| headers.get(&name).cloned().map(|value| (name, value)));
        let message =
            "This is another version than the one that If-Match or If-Unmodified-Since asks for. Read it anew.";
        let mut failed = detail(StatusCode::PRECONDITION_FAILED, message);
        failed.headers_mut().extend(kept.into_iter().flatten());
        failed
    }
}

fn date(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    const DATE: &str = "Sun, 22 Nov 2026 11:12:10 GMT";

    fn check(name: header::HeaderName, value: &str, status: u16, expected: u16) {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::try_from(value).unwrap());
        let response = Response::builder().status(status).header("etag", "\"a\"").header("last-modified", DATE);
        let response = response.body(Body::empty()).unwrap();
        let answer = Precondition::of(&Method::GET, &headers).checked(response);
        assert_eq!(answer.status(), expected, "{value}");
        assert_eq!(answer.headers()["etag"], "\"a\"");
    }

    #[test]
    fn another_version_is_refused() {
        for (value, expected) in
            [("\"a\"", 200), ("*", 200), ("\"b\", \"a\"", 200), ("\"a--zstd\"", 200), ("\"b\"", 412), ("W/\"a\"", 412)]
        {
            check(header::IF_MATCH, value, 200, expected);
        }
        let since = header::IF_UNMODIFIED_SINCE;
        check(since.clone(), DATE, 206, 206);
        check(since.clone(), "Sun, 22 Nov 2026 11:12:11 GMT", 200, 200);
        check(since.clone(), "Sun, 22 Nov 2026 11:12:09 GMT", 200, 412);
        check(since, "yesterday", 200, 200);
        for (status, expected) in [(206, 412), (304, 412), (416, 412), (404, 404), (500, 500)] {
            check(header::IF_MATCH, "\"b\"", status, expected);
        }
    }

    #[test]
    fn what_has_no_version_matches_none_but_anything() {
        let response = || Response::new(Body::empty());
        let given = |value: &'static str| Precondition::Match(vec![HeaderValue::from_static(value)]);
        assert_eq!(given("\"a\"").checked(response()).status(), 412);
        assert_eq!(given("*").checked(response()).status(), 200);
        let since = Precondition::UnmodifiedSince(SystemTime::UNIX_EPOCH);
        assert_eq!(since.checked(response()).status(), 200);
    }
}
