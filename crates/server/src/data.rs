//! Data out and in.

use std::future::Future;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, StreamExt, TryStreamExt};
use girih_engine::export::{ExportRequest, Exported};
use girih_engine::write::{ArrayPatch, WriteMode, WriteRequest};
use girih_model::selection::parse_numbers;
use girih_model::{ByteStream, Error, Family, Result, Selection, Structure};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tracing::Span;

use crate::ask::Ask;
use crate::client::Dialect;
use crate::compress::{Itemsize, accepted};
use crate::envelope::{REVALIDATE, vary};
use crate::error::Reply;
use crate::{body, etag, negotiate};

/// Parameters that some encoders know.
const ENCODER_PARAMETERS: [&str; 4] = ["vmin", "vmax", "cmap", "log"];

/// Sends the selected part of a node, encoded as the caller prefers.
pub(crate) async fn export(ask: &Ask, families: &[Family], selection: Selection) -> Reply {
    let query = ask.query();
    let request = ExportRequest {
        families: families.to_vec(),
        selection,
        expected_shape: query.one("expected_shape").map(expected_shape).transpose()?,
        wanted: negotiate::wanted(&ask.headers, query)?,
        accept_encoding: accepted(&ask.headers),
        query: ENCODER_PARAMETERS
            .iter()
            .filter_map(|name| Some((name.to_string(), query.one(name)?.to_owned())))
            .collect(),
        if_none_match: if ask.is_read() { etag::if_none_match(&ask.headers) } else { Vec::new() },
    };
    let filename = query.one("filename").map(ToOwned::to_owned);
    let path = ask.path()?;
    let exported = ask.read(begun(ask, ask.engine().export(ask.caller(), &path, request))).await?;
    Ok(respond(ask, exported, filename.as_deref()))
}

/// Stores a body in the selected part of a node; returns the structure afterwards.
pub(crate) async fn store(
    ask: &Ask,
    body: Body,
    families: &[Family],
    selection: Selection,
    mode: WriteMode,
    patch: Option<ArrayPatch>,
) -> Result<Structure> {
    let path = ask.path()?;
    let persist = ask.query().boolean("persist", true)?;
    let upload = body::data(ask, body)?;
    let request = WriteRequest {
        families: families.to_vec(),
        selection,
        mode,
        patch,
        content_type: upload.content_type,
        content_length: body::announced(ask),
        body: upload.stream,
        key: idempotency_key(&ask.headers)?,
        persist,
    };
    ask.engine().write(ask.caller(), &path, request).await
}

/// Longest key, in characters.
const MAX_KEY: usize = 255;

/// `Idempotency-Key`: what the caller names a write, to be able to repeat it.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().map(|key| key.trim().trim_matches('"')).filter(|key| !key.is_empty());
    match key.filter(|key| key.len() <= MAX_KEY) {
        Some(key) => Ok(Some(key.to_owned())),
        None => {
            Err(Error::malformed(format!("An Idempotency-Key has 1 to {MAX_KEY} ASCII characters, such as a UUID.")))
        }
    }
}

/// Waits for the first piece of the data: what fails until then is an error, not an answer that breaks off.
async fn begun(ask: &Ask, export: impl Future<Output = Result<Exported>>) -> Result<Exported> {
    let mut exported = export.await?;
    if let Exported::Body { encoded, .. } = &mut exported
        && ask.method != Method::HEAD
    {
        let mut rest = std::mem::replace(&mut encoded.body, stream::empty().boxed());
        if let Some(first) = rest.try_next().await? {
            encoded.body = stream::once(async { Ok(first) }).chain(rest).boxed();
        }
    }
    Ok(exported)
}

/// A body of data. That it breaks off is all that the caller can be told once the answer has begun; the log tells why.
pub(crate) fn streaming(data: ByteStream) -> Body {
    let span = Span::current();
    Body::from_stream(data.inspect_err(move |error| {
        span.in_scope(|| tracing::error!(%error, "an answer broke off"));
    }))
}

fn respond(ask: &Ask, exported: Exported, filename: Option<&str>) -> Response {
    let (mut response, tag) = match exported {
        Exported::NotModified { etag } => (StatusCode::NOT_MODIFIED.into_response(), etag::quoted(&etag)),
        Exported::Body { encoded, etag, content_encoding } => {
            let mut response = Response::new(streaming(encoded.body));
            let mut tag = etag.and_then(|etag| etag::quoted(&etag));
            response.extensions_mut().insert(Itemsize(encoded.itemsize));
            let headers = response.headers_mut();
            if let Ok(media_type) = HeaderValue::try_from(encoded.media_type) {
                headers.insert(header::CONTENT_TYPE, media_type);
            }
            if let Some(length) = encoded.length {
                headers.insert(header::CONTENT_LENGTH, length.into());
            }
            if let Some(coding) = content_encoding {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
                vary(headers, "Accept-Encoding");
                tag = tag.and_then(|tag| etag::coded(&tag, coding));
            }
            if let Some(name) = filename {
                headers.insert(header::CONTENT_DISPOSITION, attachment(name, ask.visit.dialect));
            }
            (response, tag)
        }
    };
    if ask.is_read() {
        let headers = response.headers_mut();
        if let Some(tag) = tag {
            headers.insert(header::ETAG, tag);
        }
        headers.insert(header::CACHE_CONTROL, REVALIDATE);
        vary(headers, "Accept");
    }
    nosniff(response.headers_mut());
    response
}

/// Data may contain anything, also something that looks like a page: browsers must not guess, or run it.
pub(crate) fn nosniff(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox"),
    );
}

/// `5,3`, or `scalar`.
fn expected_shape(text: &str) -> Result<Vec<u64>> {
    if text == "scalar" { Ok(Vec::new()) } else { parse_numbers("expected_shape", text) }
}

/// `Content-Disposition` that suggests a file name (RFC 6266). A name with more than plain characters is given twice,
/// or, for clients that know only the plain form, once in UTF-8.
pub(crate) fn attachment(name: &str, dialect: Dialect) -> HeaderValue {
    let replace = |keep: &dyn Fn(char) -> bool| -> String {
        name.chars().map(|c| if keep(c) && !c.is_control() && !"\"\\%/".contains(c) { c } else { '_' }).collect()
    };
    let ascii = replace(&|c| c.is_ascii());
    let text = if dialect.plain_filename {
        format!("attachment; filename=\"{}\"", replace(&|_| true))
    } else if ascii == name {
        format!("attachment; filename=\"{ascii}\"")
    } else {
        let encoded = utf8_percent_encode(name, NON_ALPHANUMERIC);
        format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{encoded}")
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_cannot_break_out() {
        let attachment = |name, plain_filename| attachment(name, Dialect { plain_filename, ..Dialect::default() });
        assert_eq!(attachment("x y.csv", false), "attachment; filename=\"x y.csv\"");
        let python = attachment("é\".csv", true);
        assert_eq!(std::str::from_utf8(python.as_bytes()).unwrap(), "attachment; filename=\"é_.csv\"");
        let odd = attachment("a\"b\r\né.json", false);
        assert_eq!(odd, "attachment; filename=\"a_b___.json\"; filename*=UTF-8''a%22b%0D%0A%C3%A9%2Ejson");
    }

    #[test]
    fn shapes() {
        assert_eq!(expected_shape("5,3").unwrap(), [5, 3]);
        assert!(expected_shape("scalar").unwrap().is_empty());
        assert!(expected_shape("x").is_err());
    }
}
