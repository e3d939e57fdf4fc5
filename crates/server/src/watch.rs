//! The outermost layer: gives each request an id, survives panics, and writes down what happened.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::Response;
use futures::FutureExt;
use tracing::Instrument;
use uuid::Uuid;

use crate::App;
use crate::ask::Timings;
use crate::endpoint::EndpointName;
use crate::error::detail;
use crate::routes::TOP;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-tiled-request-id");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Left in a response for the access log.
#[derive(Clone)]
pub(crate) struct CallerName(pub(crate) String);

pub(crate) async fn watch(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let start = Instant::now();
    let id = request_id(request.headers());
    let method = request.method().clone();
    // The query may carry a key, so it is not logged.
    let path = request.uri().path().to_owned();
    let timings = Arc::new(Timings::default());
    request.extensions_mut().insert(timings.clone());
    strip_root(request.uri_mut(), &app.options.root_path);

    let span = tracing::info_span!("request", id = %id.to_str().unwrap_or_default());
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone());
    let mut response = answer.await.unwrap_or_else(|panic| {
        span.in_scope(|| tracing::error!(panic = said(&*panic), "a handler panicked"));
        detail(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
    });

    let took = start.elapsed();
    response.headers_mut().insert(REQUEST_ID, id);
    let timings = timings.list();
    if let Ok(value) = HeaderValue::try_from(server_timing(&timings, took)) {
        response.headers_mut().insert(SERVER_TIMING, value);
    }
    let caller = response.extensions().get::<CallerName>().map_or("-", |name| &name.0);
    let status = response.status().as_u16();
    let milliseconds = took.as_secs_f64() * 1e3;
    span.in_scope(|| tracing::info!(target: "girih::access", %method, path, status, milliseconds, caller, "answered"));
    if let Some(metrics) = &app.metrics {
        let endpoint = response.extensions().get::<EndpointName>().map_or("unknown", |name| name.0);
        metrics.record(&method, status, endpoint, took, &timings, response.headers());
    }
    response
}

/// The caller's own id when it is a UUID, else 16 hexadecimal digits.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|value| value.to_str().is_ok_and(|text| Uuid::try_parse(text).is_ok()));
    given.cloned().unwrap_or_else(|| {
        HeaderValue::try_from(format!("{:016x}", rand::random::<u64>())).unwrap_or(HeaderValue::from_static("0"))
    })
}

/// Requests may come with the prefix under which we are mounted, or from a proxy that has removed it.
fn strip_root(uri: &mut Uri, root_path: &str) {
    let Some(rest) = uri.path().strip_prefix(root_path).filter(|_| !root_path.is_empty()) else { return };
    let first = rest.trim_start_matches('/').split('/').next().unwrap_or_default();
    if !(rest.is_empty() || rest.starts_with('/')) || !(first.is_empty() || TOP.contains(&first)) {
        return;
    }
    let path = if rest.is_empty() { "/" } else { rest };
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    if let Ok(target) = PathAndQuery::try_from(target) {
        let mut parts = std::mem::take(uri).into_parts();
        parts.path_and_query = Some(target);
        *uri = Uri::from_parts(parts).unwrap_or_default();
    }
}

/// `read;dur=5.2, app;dur=21.7`, in milliseconds.
fn server_timing(timings: &[(&'static str, Duration)], total: Duration) -> String {
    let all = timings.iter().copied().chain(std::iter::once(("app", total)));
    let all = all.map(|(name, took)| format!("{name};dur={:.1}", took.as_secs_f64() * 1e3));
    all.collect::<Vec<_>>().join(", ")
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_costs_one_request() {
        async fn fall() -> Response {
            panic!("the sky")
        }
        let app =
            Arc::new(App::new(girih_engine::Engine::new(Default::default(), vec![]).unwrap(), Default::default()));
        let router = axum::Router::new()
            .route("/api/fall", axum::routing::get(fall))
            .layer(axum::middleware::from_fn_with_state(app, watch));
        let request = Request::builder().uri("/api/fall").body(axum::body::Body::empty()).unwrap();
        let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(response.headers().contains_key(REQUEST_ID));
        let body = axum::body::to_bytes(response.into_body(), 1000).await.unwrap();
        assert_eq!(body, "{\"detail\":\"Internal server error\"}");
    }

    #[test]
    fn only_uuids_are_accepted_as_ids() {
        let mut headers = HeaderMap::new();
        let uuid = "5c9f0c8e-6f5e-4e67-9f6b-0f7a3f1f2a11";
        headers.insert(REQUEST_ID, HeaderValue::from_static(uuid));
        assert_eq!(request_id(&headers), uuid);
        headers.insert(REQUEST_ID, HeaderValue::from_static("mine"));
        let id = request_id(&headers);
        assert!(id.len() == 16 && id.to_str().unwrap().chars().all(|c| c.is_ascii_hexdigit()));
    }

    #[test]
    fn the_mount_prefix_is_optional() {
        for (root, given, expected) in [
            ("/tiled", "/tiled/api/v1/?a=b", "/api/v1/?a=b"),
            ("/tiled", "/api/v1/", "/api/v1/"),
            ("/tiled", "/tiled", "/"),
            ("/tiled", "/tiledapi/v1/", "/tiledapi/v1/"),
            ("/api", "/api/v1/", "/api/v1/"),
            ("/api", "/api/api/v1/", "/api/v1/"),
            ("", "/healthz", "/healthz"),
        ] {
            let mut uri: Uri = given.parse().unwrap();
            strip_root(&mut uri, root);
            assert_eq!(uri.to_string(), expected, "{given} under {root}");
        }
    }

    #[test]
    fn timings_are_milliseconds() {
        let text = server_timing(&[("read", Duration::from_micros(1250))], Duration::from_millis(3));
        assert_eq!(text, "read;dur=1.2, app;dur=3.0");
    }
}
