//! What the caller reads when something went wrong: `{"detail": "…"}`, always JSON.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use girih_engine::Permission;
use girih_model::{Error, ErrorKind};
use serde_json::json;

/// An error on its way out of the door.
#[derive(Debug)]
pub(crate) struct Failure {
    error: Error,
    /// What would have been needed, for `WWW-Authenticate`.
    scopes: &'static [Permission],
}

pub(crate) type Reply = Result<Response, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, scopes: &[] }
    }
}

impl Failure {
    pub(crate) fn needing(error: Error, scopes: &'static [Permission]) -> Self {
        Self { error, scopes }
    }
}

/// The one place that knows how kinds of errors are called in HTTP.
pub(crate) fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Malformed => StatusCode::BAD_REQUEST,
        ErrorKind::Unprocessable | ErrorKind::Damaged => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
        ErrorKind::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Gone => StatusCode::GONE,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorKind::RangeUnsatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
        ErrorKind::Busy => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
        ErrorKind::StorageFailed | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A reply that is nothing but a status and a sentence.
pub(crate) fn detail(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "detail": message }))).into_response()
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let kind = self.error.kind();
        let status = status(kind);
        if status.is_server_error() {
            tracing::error!(error = %self.error, "request failed");
        } else {
            tracing::debug!(error = %self.error, "request refused");
        }
        // Whatever an internal error says, it was not written for the caller.
        let message = if kind == ErrorKind::Internal { "Internal server error" } else { self.error.message() };
        let mut response = detail(status, message);
        let headers = response.headers_mut();
        if kind == ErrorKind::Busy {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if kind == ErrorKind::Unauthenticated {
            let scopes: Vec<_> = self.scopes.iter().map(|scope| scope.name()).collect();
            let challenge = match scopes.as_slice() {
                [] => "Bearer".into(),
                scopes => format!("Bearer scope=\"{}\"", scopes.join(" ")),
            };
            // Scope names are ASCII words.
            if let Ok(value) = HeaderValue::try_from(challenge) {
                headers.insert(header::WWW_AUTHENTICATE, value);
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    async fn read(failure: Failure) -> (StatusCode, axum::http::HeaderMap, String) {
        let response = failure.into_response();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 10_000).await.unwrap();
        (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn internal_errors_do_not_leak() {
        let (status, _, body) = read(Error::internal("password is hunter2").context("/etc/secret").into()).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(body, r#"{"detail":"Internal server error"}"#);
    }

    #[tokio::test]
    async fn a_busy_server_says_when_to_come_back_and_a_401_what_is_needed() {
        let (status, headers, _) = read(Error::busy("Later.").into()).await;
        assert_eq!((status.as_u16(), headers[header::RETRY_AFTER].to_str().unwrap()), (503, "1"));
        let wanted = &[Permission::WriteMetadata, Permission::CreateNode];
        let (status, headers, body) = read(Failure::needing(Error::unauthenticated("No."), wanted)).await;
        assert_eq!((status.as_u16(), body.as_str()), (401, r#"{"detail":"No."}"#));
        assert_eq!(headers[header::WWW_AUTHENTICATE], "Bearer scope=\"write:metadata create:node\"");
    }
}
