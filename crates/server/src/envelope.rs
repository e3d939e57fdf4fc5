//! Replies that are words, not data: JSON or MessagePack, with an `ETag`.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use girih_model::ResultExt;
use serde::Serialize;

use crate::error::Reply;
use crate::negotiate::{MSGPACK, wants_msgpack};
use crate::{ask::Ask, etag};

/// Copies may be kept, but must be validated before they are used; what one caller may see is not for all.
pub(crate) const REVALIDATE: HeaderValue = HeaderValue::from_static("private, no-cache, must-revalidate");

/// Encodes a reply as the caller prefers; a caller who has it already gets 304.
pub(crate) fn reply(ask: &Ask, content: &impl Serialize) -> Reply {
    let (media_type, bytes) = if wants_msgpack(&ask.headers) {
        let bytes = rmp_serde::to_vec_named(content).internal(|| "encoding a reply as MessagePack".into())?;
        (MSGPACK, bytes)
    } else {
        ("application/json", serde_json::to_vec(content).internal(|| "encoding a reply as JSON".into())?)
    };
    let tag = etag::of(&bytes);
    let unchanged = ask.is_read() && etag::matches(&etag::if_none_match(&ask.headers), &tag);
    let mut response = if unchanged {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(media_type))];
        (headers, Body::from(bytes)).into_response()
    };
    if ask.is_read() {
        let headers = response.headers_mut();
        headers.insert(header::ETAG, etag::quoted(&tag).unwrap_or(HeaderValue::from_static("\"\"")));
        headers.insert(header::CACHE_CONTROL, REVALIDATE);
        vary(headers, "Accept");
    }
    Ok(response)
}

/// The plain `null` of writes that have nothing to tell.
pub(crate) fn null() -> Reply {
    Ok(axum::Json(()).into_response())
}

/// Notes that the reply depends on a header of the request.
pub(crate) fn vary(headers: &mut HeaderMap, name: &'static str) {
    if !headers.contains_key(header::VARY) {
        headers.insert(header::VARY, HeaderValue::from_static(name));
        return;
    }
    let known = headers.get_all(header::VARY).iter().filter_map(|value| value.to_str().ok());
    let mut names: Vec<String> =
        known.flat_map(|line| line.split(',')).map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect();
    if !names.iter().any(|one| one.eq_ignore_ascii_case(name)) {
        names.push(name.to_owned());
    }
    if let Ok(value) = HeaderValue::try_from(names.join(", ")) {
        headers.insert(header::VARY, value);
    }
}
