//! One request, as often as it takes.

use std::time::Duration;

use girih_model::{Error, ErrorKind, NodePath, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, Response, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::sleep;

use crate::Client;

/// How often a request is sent at most.
const ATTEMPTS: u32 = 6;
/// How long is waited after the first attempt; then twice as long, and so on.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest wait that a server may ask for.
const LONGEST: Duration = Duration::from_secs(30);
/// All but what RFC 3986 calls unreserved.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What is sent along.
#[derive(Clone, Copy)]
pub(crate) enum Body<'a> {
    None,
    Json(&'a Value),
    /// Lines of JSON.
    Lines(&'a str),
}

impl Client {
    /// The answer, if it is one of success.
    ///
    /// # Errors
    /// What the server says, or `Busy` when it does not answer.
    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        endpoint: &str,
        path: &NodePath,
        query: &[(&str, &str)],
        body: Body<'_>,
    ) -> Result<T> {
        let response = self.respond(method, endpoint, path, query, body).await?;
        response.json().await.map_err(|e| {
            Error::unprocessable("The server's answer cannot be read. Is it a girih or Tiled server?").with_source(e)
        })
    }

    pub(crate) async fn respond(
        &self,
        method: Method,
        endpoint: &str,
        path: &NodePath,
        query: &[(&str, &str)],
        body: Body<'_>,
    ) -> Result<Response> {
        let keys: Vec<String> = path.keys().map(|key| utf8_percent_encode(key, ESCAPED).to_string()).collect();
        let url = format!("{}/{endpoint}/{}", self.api, keys.join("/"));
        let mut attempt = 0;
        loop {
            attempt += 1;
            let mut request = self.http.request(method.clone(), &url).query(query);
            if let Some(key) = &self.key {
                request = request.header(header::AUTHORIZATION, format!("Apikey {key}"));
            }
            request = match body {
                Body::None => request,
                Body::Json(value) => request.json(value),
                Body::Lines(lines) => {
                    request.header(header::CONTENT_TYPE, "application/x-ndjson").body(lines.to_owned())
                }
            };
            let (error, wait) = match request.send().await {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) => {
                    let wait = retry_after(&response);
                    let again = matches!(response.status().as_u16(), 429 | 502 | 503 | 504);
                    let error = told(response).await;
                    if !again {
                        return Err(error);
                    }
                    (error, wait)
                }
                Err(e) => {
                    let host = self.api.host_str().unwrap_or_default();
                    let port = self.api.port_or_known_default().unwrap_or_default();
                    (Error::busy(format!("{host}, port {port}, does not answer: {}", reason(&e))).with_source(e), None)
                }
            };
            if attempt == ATTEMPTS {
                return Err(error);
            }
            sleep(wait.unwrap_or(PAUSE * 2u32.pow(attempt - 1)).min(LONGEST)).await;
        }
    }
}

/// The innermost cause, which says it best.
fn reason(e: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = e;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// What the server says of a failure.
async fn told(response: Response) -> Error {
    let status = response.status();
    let body: Option<Value> = response.json().await.ok();
    let detail = body.as_ref().and_then(|body| body.get("detail"));
    let detail = match detail {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => format!("The server answers {status}."),
    };
    Error::new(kind(status), detail)
}

pub(crate) fn kind(status: StatusCode) -> ErrorKind {
    match status.as_u16() {
        401 => ErrorKind::Unauthenticated,
        403 => ErrorKind::Forbidden,
        404 => ErrorKind::NotFound,
        405 => ErrorKind::Unsupported,
        406 => ErrorKind::NotAcceptable,
        409 => ErrorKind::Conflict,
        410 => ErrorKind::Gone,
        413 => ErrorKind::TooLarge,
        415 => ErrorKind::UnsupportedMediaType,
        416 => ErrorKind::RangeUnsatisfiable,
        422 => ErrorKind::Unprocessable,
        429 | 502 | 503 | 504 => ErrorKind::Busy,
        507 => ErrorKind::StorageFull,
        400..500 => ErrorKind::Malformed,
        _ => ErrorKind::Internal,
    }
}
