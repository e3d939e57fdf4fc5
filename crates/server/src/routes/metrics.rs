//! Numbers for Prometheus.

use axum::body::Body;
use axum::http::header;
use axum::response::IntoResponse;
use girih_model::Error;

use crate::ask::Ask;
use crate::error::Reply;

pub(super) async fn render(ask: Ask, _: Body) -> Reply {
    let metrics = ask.app.metrics.as_ref().ok_or_else(|| Error::not_found("This server does not collect metrics."))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render()).into_response())
}
