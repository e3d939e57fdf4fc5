//! Raw files behind the data.

use std::time::UNIX_EPOCH;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use girih_engine::asset::AssetFile;
use girih_engine::search::Page;
use girih_model::wire::{AssetReply, Envelope};
use girih_model::{Error, Result};
use serde_json::json;

use crate::ask::Ask;
use crate::client::Dialect;
use crate::compress::Download;
use crate::data::{attachment, nosniff, streaming};
use crate::envelope::REVALIDATE;
use crate::error::{Reply, detail};
use crate::links::encode;
use crate::paging::{Next, Paging};
use crate::ranges::{Part, Wanted, wanted};
use crate::{envelope, etag};

/// A page of the assets; of long sequences, nobody wants all at once.
pub(super) async fn list(ask: Ask, _: Body) -> Reply {
    let paging = Paging::of(ask.query(), false)?;
    if matches!(paging.page, Page::After(_)) {
        return Err(Error::malformed("Assets have no cursor; use page[offset].").into());
    }
    let path = ask.path()?;
    let offset = paging.offset.unwrap_or(0);
    let (assets, count) = ask.read(ask.engine().assets(ask.caller(), &path, offset, paging.limit)).await?;
    let end = offset.saturating_add(assets.len() as u64);
    let next = if end < count && !assets.is_empty() { Next::Offset(end) } else { Next::None };
    let links = paging.links(&format!("{}/asset/list/{}", ask.api(), encode(&path)), ask.query(), next);
    let assets: Vec<_> = assets.into_iter().map(AssetReply::from).collect();
    envelope::reply(&ask, &Envelope::page(assets, links, count))
}

pub(super) async fn bytes(ask: Ask, _: Body) -> Reply {
    let path = ask.path()?;
    let id = ask.query().id("id")?;
    let relative = ask.query().one("relative_path").filter(|relative| !relative.is_empty());
    let asset = ask.read(ask.engine().asset_file(ask.caller(), &path, id, relative)).await?;
    Ok(send(&ask.headers, ask.visit.dialect, asset)?)
}

fn send(headers: &HeaderMap, dialect: Dialect, asset: AssetFile) -> Result<Response> {
    let size = asset.size;
    let nanos = asset.modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let tag = etag::of(format!("{nanos}-{size}").as_bytes());
    let etag = etag::quoted(&tag).unwrap_or(HeaderValue::from_static("\"\""));
    let modified =
        HeaderValue::try_from(httpdate::fmt_http_date(asset.modified)).unwrap_or(HeaderValue::from_static(""));
    let media_type =
        HeaderValue::try_from(&asset.media_type).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let mut response = if etag::matches(&etag::if_none_match(headers), &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        match wanted(headers, size, &etag, &modified)? {
            Wanted::Whole => whole(StatusCode::OK, media_type, &asset, Part { start: 0, len: size }),
            Wanted::Parts(parts) => match parts.as_slice() {
                [part] => {
                    let mut response = whole(StatusCode::PARTIAL_CONTENT, media_type, &asset, *part);
                    content_range(&mut response, part.content_range(size));
                    response
                }
                parts => multipart(media_type, &asset, parts),
            },
            Wanted::Unsatisfiable => {
                let message = format!("The file has {size} bytes; the requested range lies beyond them.");
                let mut response = detail(StatusCode::RANGE_NOT_SATISFIABLE, &message);
                content_range(&mut response, format!("bytes */{size}"));
                return Ok(response);
            }
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag);
    headers.insert(header::LAST_MODIFIED, modified);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_DISPOSITION, attachment(&asset.name, dialect));
    headers.insert(header::CACHE_CONTROL, REVALIDATE);
    nosniff(headers);
    Ok(response)
}

fn whole(status: StatusCode, media_type: HeaderValue, asset: &AssetFile, part: Part) -> Response {
    let mut response = Response::new(streaming(asset.bytes(part.range())));
    response.extensions_mut().insert(Download);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response.headers_mut().insert(header::CONTENT_LENGTH, part.len.into());
    response
}

/// `multipart/byteranges` (RFC 9110, 14.6).
fn multipart(media_type: HeaderValue, asset: &AssetFile, parts: &[Part]) -> Response {
    let size = asset.size;
    let boundary = format!("{:032x}", rand::random::<u128>());
    let media_type = media_type.to_str().unwrap_or("application/octet-stream");
    let head = |part: &Part| {
        let range = part.content_range(size);
        Bytes::from(format!("\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: {range}\r\n\r\n"))
    };
    let end = Bytes::from(format!("\r\n--{boundary}--\r\n"));
    let length = parts.iter().map(|part| head(part).len() as u64 + part.len).sum::<u64>() + end.len() as u64;
    let once = |bytes| stream::once(async move { Ok(bytes) });
    let bodies: Vec<_> = parts.iter().map(|part| once(head(part)).chain(asset.bytes(part.range()))).collect();
    let body = stream::iter(bodies).flatten().chain(once(end));
    let mut response = Response::new(streaming(body.boxed()));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let content_type = HeaderValue::try_from(format!("multipart/byteranges; boundary={boundary}"));
    response.headers_mut().insert(header::CONTENT_TYPE, content_type.unwrap_or(HeaderValue::from_static("")));
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    response
}

fn content_range(response: &mut Response, range: String) {
    if let Ok(range) = HeaderValue::try_from(range) {
        response.headers_mut().insert(header::CONTENT_RANGE, range);
    }
}

pub(super) async fn manifest(ask: Ask, _: Body) -> Reply {
    let path = ask.path()?;
    let id = ask.query().id("id")?;
    let manifest = ask.read(ask.engine().asset_manifest(ask.caller(), &path, id)).await?;
    envelope::reply(&ask, &json!({ "manifest": manifest }))
}

pub(super) async fn delete(ask: Ask, _: Body) -> Reply {
    let path = ask.path()?;
    let id = ask.query().id("id")?;
    let external_only = ask.query().boolean("external_only", true)?;
    let deleted = ask.engine().delete_asset(ask.caller(), &path, id, external_only).await?;
    envelope::reply(&ask, &json!({"asset_deleted": deleted.asset_deleted, "data_deleted": deleted.data_deleted}))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use axum::body::to_bytes;

    use super::*;

    /// Status, `Content-Range` and body of the answer to a request with these headers for a file of ten digits.
    async fn check(headers: &[(header::HeaderName, &str)]) -> (u16, String, String) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(86_400)).unwrap();
        let asset = AssetFile::new(file, "x.txt".into()).unwrap();
        let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::try_from(*value).unwrap()));
        let response = match send(&headers.collect(), Dialect::default(), asset) {
            Ok(response) => response,
            Err(e) => return (crate::error::status(e.kind()).as_u16(), String::new(), String::new()),
        };
        let (parts, body) = response.into_parts();
        let range = parts.headers.get(header::CONTENT_RANGE).map_or("", |value| value.to_str().unwrap());
        let body = to_bytes(body, 10_000).await.unwrap();
        if let Some(length) = parts.headers.get(header::CONTENT_LENGTH) {
            assert_eq!(length.to_str().unwrap(), body.len().to_string());
        }
        (parts.status.as_u16(), range.into(), String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn whole_and_in_part() {
        assert_eq!(check(&[]).await, (200, String::new(), "0123456789".into()));
        assert_eq!(check(&[(header::RANGE, "bytes=2-3")]).await, (206, "bytes 2-3/10".into(), "23".into()));
        assert_eq!(check(&[(header::RANGE, "bytes=-1")]).await, (206, "bytes 9-9/10".into(), "9".into()));
        assert_eq!(check(&[(header::RANGE, "bytes=10-")]).await.0, 416);
        assert_eq!(check(&[(header::RANGE, "bytes=abc")]).await.0, 400);
        let (status, _, body) = check(&[(header::RANGE, "bytes=0-1,8-9")]).await;
        assert_eq!(status, 206);
        assert!(body.contains("Content-Range: bytes 0-1/10\r\n\r\n01\r\n--"), "{body}");
        assert!(body.contains("Content-Range: bytes 8-9/10\r\n\r\n89\r\n--"), "{body}");
        assert!(body.ends_with("--\r\n"), "{body}");
    }

    #[tokio::test]
    async fn a_current_copy_is_not_sent_again() {
        let nanos = Duration::from_secs(86_400).as_nanos();
        let tag = format!("\"{}\"", etag::of(format!("{nanos}-10").as_bytes()));
        assert_eq!(check(&[(header::IF_NONE_MATCH, &tag)]).await, (304, String::new(), String::new()));
        let resume = [(header::IF_RANGE, tag.as_str()), (header::RANGE, "bytes=9-")];
        assert_eq!(check(&resume).await.0, 206);
        assert_eq!(check(&[(header::IF_RANGE, "\"old\""), (header::RANGE, "bytes=9-")]).await.0, 200);
    }
}
