//! A chunk, whole or in part.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use girih_engine::zarr::Facade;
use girih_model::NodePath;

use crate::ask::Ask;
use crate::compress::AsIs;
use crate::envelope::REVALIDATE;
use crate::error::{Reply, detail};
use crate::etag;
use crate::ranges::{Wanted, wanted};

pub(super) async fn send(ask: &Ask, path: &NodePath, array: &Facade, version: Option<String>, index: &[u64]) -> Reply {
    let known = etag::if_none_match(&ask.headers);
    let tag = version.map(|version| etag::of(format!("{version}|{path}|{index:?}").as_bytes()));
    // What the caller has already is not even read.
    if let Some(tag) = tag.as_ref().filter(|tag| etag::matches(&known, tag)) {
        return Ok(tagged(StatusCode::NOT_MODIFIED.into_response(), tag));
    }
    let chunk = ask.read(ask.engine().zarr_chunk(ask.caller(), array, index)).await?;
    // Of a file of others that may change, what is sent itself.
    let tag = tag.unwrap_or_else(|| etag::of(&chunk));
    if etag::matches(&known, &tag) {
        return Ok(tagged(StatusCode::NOT_MODIFIED.into_response(), &tag));
    }
    let size = chunk.len() as u64;
    let quoted = etag::quoted(&tag).unwrap_or(HeaderValue::from_static("\"\""));
    let response = match wanted(&ask.headers, size, &quoted, &quoted)? {
        Wanted::Parts(parts) if parts.len() == 1 => {
            let range = parts[0].range();
            let mut response = octets(chunk.slice(range.start as usize..range.end as usize));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            content_range(&mut response, &parts[0].content_range(size));
            response
        }
        // Who asks for many ranges may get all (RFC 9110, 14.2).
        Wanted::Whole | Wanted::Parts(_) => octets(chunk),
        Wanted::Unsatisfiable => {
            let message = format!("The chunk has {size} bytes; the requested range lies beyond them.");
            let mut response = detail(StatusCode::RANGE_NOT_SATISFIABLE, &message);
            content_range(&mut response, &format!("bytes */{size}"));
            return Ok(response);
        }
    };
    Ok(tagged(response, &tag))
}

fn tagged(mut response: Response, tag: &str) -> Response {
    response.extensions_mut().insert(AsIs);
    let headers = response.headers_mut();
    if let Some(tag) = etag::quoted(tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, REVALIDATE);
    response
}

fn octets(bytes: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/octet-stream")], Body::from(bytes)).into_response()
}

fn content_range(response: &mut Response, range: &str) {
    if let Ok(range) = HeaderValue::try_from(range) {
        response.headers_mut().insert(header::CONTENT_RANGE, range);
    }
}
