//! Other sites' pages that may talk to us (the Fetch standard's CORS protocol).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::App;
use crate::envelope::vary;

const METHODS: HeaderValue = HeaderValue::from_static("DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT");
const EXPOSED: HeaderValue = HeaderValue::from_static("X-Tiled-Request-ID, ETag, Content-Disposition, Server-Timing");

/// Answers preflights and marks every other response, errors too.
pub(crate) async fn cors(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let preflight = request.method() == Method::OPTIONS
        && origin.is_some()
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let allowed = origin.as_ref().and_then(|origin| allowed(&app.options.allow_origins, origin));
    let mut response = if !preflight {
        next.run(request).await
    } else if allowed.is_none() {
        (StatusCode::BAD_REQUEST, "Disallowed CORS origin").into_response()
    } else {
        let mut response = StatusCode::OK.into_response();
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        if let Some(wanted) = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
        response
    };
    let headers = response.headers_mut();
    vary(headers, "Origin");
    if let Some(allowed) = allowed {
        mark(headers, allowed);
    }
    response
}

enum Allowed {
    /// Any site, but without the visitor's credentials.
    Any,
    This(HeaderValue),
}

fn allowed(list: &[String], origin: &HeaderValue) -> Option<Allowed> {
    if list.iter().any(|one| one.as_bytes() == origin.as_bytes()) {
        return Some(Allowed::This(origin.clone()));
    }
    list.iter().any(|one| one == "*").then_some(Allowed::Any)
}

fn mark(headers: &mut HeaderMap, allowed: Allowed) {
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    match allowed {
        Allowed::Any => {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
        Allowed::This(origin) => {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}
