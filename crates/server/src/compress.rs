//! Smaller bodies for callers who can unpack them: from `Accept-Encoding` to `Content-Encoding` (RFC 9110, 12.5.3).

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use girih_model::Error;
use hyper::body::Body as HttpBody;

use crate::envelope::vary;
use crate::error::Failure;
use crate::etag;
use crate::negotiate::{Weighted, weighted};

mod blosc2;
mod coding;
mod streaming;

use coding::{Coding, choose, preferences, streamed};

/// Left in a response: bytes of one item, which some codings profit from.
#[derive(Clone, Copy)]
pub(crate) struct Itemsize(pub(crate) usize);

/// Left in a response: a file on its way to a disk. Who asks for a coding gets it, whether it helps or not, as in the
/// protocol; who wants to know the length asks for `identity`.
#[derive(Clone, Copy)]
pub(crate) struct Download;

/// Left in a response: bytes that are compressed already, and that may be asked for in parts.
#[derive(Clone, Copy)]
pub(crate) struct AsIs;

pub(crate) async fn compress(request: Request, next: Next) -> Response {
    let accepted = weighted(request.headers(), header::ACCEPT_ENCODING);
    let is_head = request.method() == Method::HEAD;
    let held = request.headers().contains_key(header::IF_NONE_MATCH).then(|| request.headers().clone());
    let mut response = next.run(request).await;
    if response.status() == StatusCode::NOT_MODIFIED {
        vary(response.headers_mut(), "Accept-Encoding");
        let tag = response.headers().get(header::ETAG).zip(held.as_ref());
        if let Some(tag) = tag.and_then(|(tag, held)| etag::confirmed(held, tag)) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        return response;
    }
    let media_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let suitable = preferences(media_type.unwrap_or_default());
    if suitable.is_empty()
        || response.extensions().get::<AsIs>().is_some()
        || response.status() == StatusCode::PARTIAL_CONTENT
        || response.headers().contains_key(header::CONTENT_ENCODING)
        || response.headers().contains_key(header::CONTENT_RANGE)
    {
        return response;
    }
    vary(response.headers_mut(), "Accept-Encoding");
    if is_head || HttpBody::is_end_stream(response.body()) {
        return response;
    }
    let candidates = rank(suitable, &accepted);
    if candidates.is_empty() {
        return response;
    }
    let length = length(&response);
    encode(response, &candidates, length).await
}

async fn encode(response: Response, candidates: &[Coding], length: Option<u64>) -> Response {
    let (mut parts, body) = response.into_parts();
    let itemsize = parts.extensions.get::<Itemsize>().map_or(1, |size| size.0);
    let pieces = body.into_data_stream().map(|piece| {
        // If nothing has gone out yet, the caller is told why.
        piece.map_err(|e| {
            let why = std::iter::successors(Some(&e as &dyn std::error::Error), |e| e.source());
            let why = why.filter_map(|e| e.downcast_ref::<Error>()).next().cloned();
            why.unwrap_or_else(|| Error::internal("Internal server error").with_source(e))
                .context("compressing a body that broke off")
        })
    });
    let choice = match parts.extensions.get::<Download>() {
        Some(Download) => Ok(streamed(candidates, pieces.boxed(), length)),
        None => choose(candidates, pieces.boxed(), itemsize, length).await,
    };
    let choice = match choice {
        Ok(choice) => choice,
        Err(error) => return Failure::from(error).into_response(),
    };
    let headers = &mut parts.headers;
    match choice.length {
        Some(bytes) => drop(headers.insert(header::CONTENT_LENGTH, bytes.into())),
        None => drop(headers.remove(header::CONTENT_LENGTH)),
    }
    if choice.coding != Coding::Identity {
        let coding = choice.coding.name();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        headers.remove(header::ACCEPT_RANGES);
        if let Some(tag) = headers.get(header::ETAG).and_then(|tag| etag::coded(tag, coding)) {
            headers.insert(header::ETAG, tag);
        }
    }
    Response::from_parts(parts, Body::from_stream(choice.body))
}

fn length(response: &Response) -> Option<u64> {
    let announced = response.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    announced.or_else(|| HttpBody::size_hint(response.body()).exact())
}

/// What the caller takes of what suits: by the caller's weights, then by our preference.
fn rank(suitable: &[Coding], accepted: &[Weighted]) -> Vec<Coding> {
    let mut ranked: Vec<(Coding, f32)> = suitable.iter().map(|coding| (*coding, q(accepted, coding.name()))).collect();
    // Who prefers the body as it is shall have it.
    let identity = accepted.iter().find(|one| one.name.eq_ignore_ascii_case("identity")).map_or(0.0, |one| one.q);
    ranked.retain(|(_, q)| *q > 0.0 && *q >= identity);
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked.into_iter().map(|(coding, _)| coding).collect()
}

/// The weight of a coding. `*` stands for those that everybody knows, not for our own.
fn q(accepted: &[Weighted], name: &str) -> f32 {
    let find = |name: &str| accepted.iter().find(|one| one.name.eq_ignore_ascii_case(name)).map(|one| one.q);
    find(name).or_else(|| find("*").filter(|_| name == "gzip" || name == "zstd")).unwrap_or(0.0)
}

/// Content codings in which stored bytes may go out untouched, best first; `identity` unless it is refused.
pub(crate) fn accepted(headers: &HeaderMap) -> Vec<String> {
    let mut list = weighted(headers, header::ACCEPT_ENCODING);
    let refused = list.iter().any(|one| one.name.eq_ignore_ascii_case("identity") && one.q == 0.0);
    list.retain(|one| one.q > 0.0 && one.name != "*");
    list.sort_by(|a, b| b.q.total_cmp(&a.q));
    let mut names: Vec<String> = list.into_iter().map(|one| one.name.to_ascii_lowercase()).collect();
    if !refused && !names.iter().any(|name| name == "identity") {
        names.push("identity".into());
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &str, expected: &[Coding]) {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::try_from(accept).unwrap());
        let suitable = &[Coding::Zstd, Coding::Gzip];
        assert_eq!(rank(suitable, &weighted(&headers, header::ACCEPT_ENCODING)), expected, "{accept}");
    }

    #[test]
    fn weights_then_our_preference() {
        use Coding::{Gzip, Zstd};
        check("gzip, zstd", &[Zstd, Gzip]);
        check("gzip;q=1, zstd;q=0.5", &[Gzip, Zstd]);
        check("gzip;q=0, *", &[Zstd]);
        check("*;q=0.1", &[Zstd, Gzip]);
        check("identity, gzip;q=0.5", &[]);
        check("br, deflate", &[]);
        check("", &[]);
    }

    #[test]
    fn the_engine_hears_in_what_codings_stored_bytes_may_go_out() {
        let mut headers = HeaderMap::new();
        assert_eq!(accepted(&headers), ["identity"]);
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip;q=0.1, ZSTD, identity;q=0"));
        assert_eq!(accepted(&headers), ["zstd", "gzip"]);
    }
}
