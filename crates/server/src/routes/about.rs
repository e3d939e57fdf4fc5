//! What this server is and can do; whether it is well.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use chrono::{TimeDelta, Utc};
use girih_model::wire::{About, AboutAuthentication, AboutLinks, AboutMeta};

use crate::ask::Ask;
use crate::error::{Reply, detail};
use crate::{App, envelope};

/// The protocol that we speak is that of this version of the reference.
pub(crate) const LIBRARY_VERSION: &str = "0.2.20";
/// Clients may keep what they read here for ten minutes.
const EXPIRES: TimeDelta = TimeDelta::minutes(10);
/// Longest wait for the databases; a server that is slower than this is not well.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn about(ask: Ask, _: Body) -> Reply {
    let about = About {
        api_version: 0,
        library_version: LIBRARY_VERSION.into(),
        formats: ask.engine().formats(),
        aliases: ask.engine().aliases(),
        queries: girih_model::query::names().collect(),
        authentication: AboutAuthentication {
            required: ask.app.gate.authentication_required(),
            providers: Vec::new(),
            links: None,
        },
        links: AboutLinks { this: ask.api(), documentation: format!("{}/docs", ask.visit.base.root()) },
        meta: AboutMeta { root_path: format!("{}/api", ask.app.options.root_path) },
    };
    let mut response = envelope::reply(&ask, &about)?;
    let expires = (Utc::now() + EXPIRES).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(expires) = HeaderValue::try_from(expires) {
        response.headers_mut().insert(header::EXPIRES, expires);
    }
    Ok(response)
}

/// Not an ordinary endpoint: it has no turn to wait for and no caller.
pub(super) async fn health(app: &App) -> axum::response::Response {
    let ready = tokio::time::timeout(HEALTH_TIMEOUT, app.engine.ready()).await;
    let mut response = match ready {
        Ok(Ok(())) => axum::Json(serde_json::json!({"status": "ready"})).into_response(),
        Ok(Err(error)) => {
            tracing::error!(%error, "not ready");
            detail(StatusCode::SERVICE_UNAVAILABLE, "A database does not answer.")
        }
        Err(_) => detail(StatusCode::SERVICE_UNAVAILABLE, "A database takes too long to answer."),
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
