//! Pages for people. They load nothing from elsewhere, so they work without the internet.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::ask::Ask;
use crate::error::Reply;
use crate::{etag, openapi};

/// Nothing inline, nothing from elsewhere, no frame around us.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

pub(super) async fn landing(ask: Ask, _: Body) -> Reply {
    page(&ask, "text/html; charset=utf-8", include_str!("../pages/landing.html").into())
}

pub(super) async fn docs(ask: Ask, _: Body) -> Reply {
    page(&ask, "text/html; charset=utf-8", include_str!("../pages/docs.html").into())
}

pub(super) async fn script(ask: Ask, _: Body) -> Reply {
    page(&ask, "text/javascript; charset=utf-8", include_str!("../pages/docs.js").into())
}

pub(super) async fn style(ask: Ask, _: Body) -> Reply {
    page(&ask, "text/css; charset=utf-8", include_str!("../pages/style.css").into())
}

pub(super) async fn favicon(ask: Ask, _: Body) -> Reply {
    page(&ask, "image/svg+xml", include_str!("../pages/favicon.svg").into())
}

/// The document, with the address of this server in it.
pub(super) async fn openapi(ask: Ask, _: Body) -> Reply {
    let mut document = openapi::document();
    if let Some(servers) = document.get_mut("servers") {
        *servers = serde_json::json!([{ "url": ask.visit.base.root() }]);
    }
    page(&ask, "application/json", Value::to_string(&document))
}

fn page(ask: &Ask, media_type: &'static str, text: String) -> Reply {
    let tag = etag::of(text.as_bytes());
    let mut response: Response = if etag::matches(&etag::if_none_match(&ask.headers), &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))], text).into_response()
    };
    let headers = response.headers_mut();
    if let Some(tag) = etag::quoted(&tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // The address may hold a key.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(response)
}
