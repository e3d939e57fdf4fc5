//! What every request goes through before it is routed: who is it, by which address, with which client.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use girih_engine::Caller;
use girih_model::Result;

use crate::App;
use crate::ask::{Timings, Visit};
use crate::base::BaseUrl;
use crate::caller::Admitted;
use crate::client::Dialect;
use crate::cookie;
use crate::error::Failure;
use crate::query::QueryString;
use crate::watch::CallerName;

const ROOT: HeaderName = HeaderName::from_static("x-tiled-root");
pub(crate) const HEALTH: &str = "/healthz";

pub(crate) async fn admit(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    // A load balancer asks often and knows nothing.
    if request.uri().path() == HEALTH {
        return next.run(request).await;
    }
    let has_csrf = cookie::get(request.headers(), cookie::CSRF).is_some();
    let timings = request.extensions().get::<Arc<Timings>>().cloned().unwrap_or_default();
    let base = base(&app, &mut request);
    let (mut response, remember_key) = match &base {
        Err(refusal) => (Failure::from(refusal.clone()).into_response(), None),
        Ok(base) => match visit(&app, base.clone(), timings, &mut request) {
            Err(refusal) => (Failure::from(refusal).into_response(), None),
            Ok((visit, remember_key)) => {
                let name = visit.caller.name.clone();
                request.extensions_mut().insert(Arc::new(visit));
                let mut response = next.run(request).await;
                response.extensions_mut().insert(CallerName(name));
                (response, remember_key)
            }
        },
    };
    let Ok(base) = base else { return response };
    let unauthorized = response.status() == StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    if unauthorized && let Ok(root) = HeaderValue::try_from(base.api()) {
        headers.insert(ROOT, root);
    }
    let csrf = (!has_csrf).then(|| cookie::set(cookie::CSRF, &cookie::token(), base.secure)).flatten();
    let key = remember_key.and_then(|key| cookie::set(cookie::API_KEY, &key, base.secure));
    for cookie in [csrf, key].into_iter().flatten() {
        headers.append(header::SET_COOKIE, cookie);
    }
    response
}

fn base(app: &App, request: &mut Request) -> Result<BaseUrl> {
    let (parts, body) = std::mem::take(request).into_parts();
    let base = BaseUrl::of(&parts, &app.options.root_path, app.options.trust_forwarded);
    *request = Request::from_parts(parts, body);
    base
}

fn visit(app: &App, base: BaseUrl, timings: Arc<Timings>, request: &mut Request) -> Result<(Visit, Option<String>)> {
    let headers = request.headers();
    let dialect = Dialect::of(headers)?;
    let query = QueryString::parse(request.uri().query())?;
    let admitted = app.gate.admit(request.method(), headers, &query);
    // Pages for people, such as the documentation, are the same for everyone: a wrong key does not matter there.
    let admitted = match admitted {
        Err(_) if !request.uri().path().starts_with("/api") => {
            Admitted { caller: Caller::stranger(), remember_key: None }
        }
        other => other?,
    };
    Ok((Visit { caller: admitted.caller, base, dialect, query, timings }, admitted.remember_key))
}
