//! One line of the route table: what is asked, who may ask it, who answers, and how it is documented.

use std::future::Future;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, WebSocketUpgrade};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter};
use futures::future::BoxFuture;
use girih_engine::Permission;
use girih_model::Error;
use tokio::sync::watch::Receiver;
use tracing::Instrument;

use crate::App;
use crate::ask::{Ask, Visit};
use crate::error::{Failure, Reply, detail};
use crate::limits::Turn;
use crate::preconditions::Precondition;

type Handler = Box<dyn Fn(Ask, Body) -> BoxFuture<'static, Reply> + Send + Sync>;

pub(crate) struct Endpoint {
    pub(crate) method: Method,
    /// As in OpenAPI: `/api/v1/metadata/{path}`, where `{path}` takes all that follows.
    pub(crate) path: &'static str,
    pub(crate) needs: Needs,
    pub(crate) summary: &'static str,
    pub(crate) parameters: &'static [Parameter],
    /// What is sent: a schema, or media types of data.
    pub(crate) body: Content,
    pub(crate) reply: Content,
    pub(crate) deprecated: bool,
    /// A WebSocket, whose caller may say in the first message who they are.
    is_socket: bool,
    handler: Handler,
}

/// Who may come to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Everybody, also a stranger. `tests/it/strangers.rs` lists these; the list may only shrink.
    Nothing,
    All(&'static [Permission]),
}

/// A query parameter or header, for the documentation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
    pub(crate) about: &'static str,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Text,
    /// A text in a header of this name.
    Header,
    /// May be repeated.
    Texts,
    Integer,
    Boolean,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Content {
    None,
    /// JSON (and, for replies, MessagePack) of a schema in `openapi/schemas.json`.
    Schema(&'static str),
    /// JSON of a schema; a request may leave it out.
    Optional(&'static str),
    /// Descriptions of many nodes, one a line or in a list.
    Nodes,
    /// Data, in any of the formats that `GET /api/v1/` lists.
    Data,
    Media(&'static str),
}

/// Left in a response for the metrics.
#[derive(Clone, Copy)]
pub(crate) struct EndpointName(pub(crate) &'static str);

impl Endpoint {
    pub(crate) fn new<F, Fut>(method: Method, path: &'static str, needs: Needs, handler: F) -> Self
    where
        F: Fn(Ask, Body) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Reply> + Send + 'static,
    {
        Self {
            method,
            path,
            needs,
            summary: "",
            parameters: &[],
            body: Content::None,
            reply: Content::None,
            deprecated: false,
            is_socket: false,
            handler: Box::new(move |ask, body| Box::pin(handler(ask, body))),
        }
    }

    pub(crate) fn says(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    pub(crate) fn query(mut self, parameters: &'static [Parameter]) -> Self {
        self.parameters = parameters;
        self
    }

    pub(crate) fn takes(mut self, body: Content) -> Self {
        self.body = body;
        self
    }

    pub(crate) fn gives(mut self, reply: Content) -> Self {
        self.reply = reply;
        self
    }

    pub(crate) fn deprecated(mut self) -> Self {
        self.deprecated = true;
        self
    }

    pub(crate) fn socket(mut self) -> Self {
        self.is_socket = true;
        self
    }

    /// The path up to `{path}`.
    pub(crate) fn prefix(&self) -> &'static str {
        self.path.strip_suffix("{path}").unwrap_or(self.path)
    }

    /// Whether the path of another endpoint is one of those that `{path}` takes.
    pub(crate) fn covers(&self, other: &str) -> bool {
        self.prefix() != self.path && other.len() > self.path.len() && other.starts_with(self.prefix())
    }

    /// What metrics call it: `metadata`, `array/full`; `about` for the root of the API.
    fn name(&self) -> &'static str {
        let name = self.prefix().trim_start_matches("/api/v1").trim_matches('/');
        if name.is_empty() { "about" } else { name }
    }

    fn check(&self, visit: &Visit, socket: bool) -> Result<(), Failure> {
        match self.needs {
            Needs::Nothing => Ok(()),
            Needs::All(_) if socket && !visit.caller.authenticated => Ok(()),
            Needs::All(scopes) => visit.caller.require(scopes).map_err(|refusal| Failure::needing(refusal, scopes)),
        }
    }

    async fn answer(&self, app: Arc<App>, request: Request) -> Response {
        let (mut parts, body) = request.into_parts();
        let rest = parts.uri.path().strip_prefix(self.prefix()).unwrap_or_default().to_owned();
        let precondition = Precondition::of(&parts.method, &parts.headers);
        let socket = match self.is_socket && parts.headers.contains_key(header::UPGRADE) {
            true => WebSocketUpgrade::from_request_parts(&mut parts, &()).await.ok(),
            false => None,
        };
        let reply = match parts.extensions.remove::<Arc<Visit>>() {
            None => {
                Err(Error::internal("Internal server error").context("routing a request that was not admitted").into())
            }
            // Before anything else: what a stranger sends is not even looked at.
            Some(visit) => match self.check(&visit, socket.is_some()) {
                Err(refusal) => Err(refusal),
                Ok(()) => {
                    let safe = parts.method.is_safe();
                    let turn = parts.extensions.remove::<Turn>();
                    let unfinished = app.unfinished.subscribe();
                    let ask = Ask { app, visit, method: parts.method, headers: parts.headers, rest, socket };
                    let work = (self.handler)(ask, body);
                    if safe { work.await } else { to_the_end(work, (unfinished, turn)).await }
                }
            },
        };
        let mut response = precondition.checked(reply.into_response());
        response.extensions_mut().insert(EndpointName(self.name()));
        response
    }
}

/// Does work that is not given up halfway when the caller goes away: their request is half, ours shall not be.
/// What it holds is dropped at its end.
async fn to_the_end(work: BoxFuture<'static, Reply>, held: (Receiver<()>, Option<Turn>)) -> Reply {
    let work = async move {
        let _held = held;
        work.await
    };
    match tokio::spawn(work.in_current_span()).await {
        Ok(reply) => reply,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::busy("The server is shutting down.").into()),
        },
    }
}

/// Puts all methods of one path together, with OPTIONS and a 405 that says what would work.
pub(crate) fn method_router(app: &Arc<App>, endpoints: Vec<Arc<Endpoint>>) -> MethodRouter {
    let mut methods: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.method.as_str()).collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.push("OPTIONS");
    methods.sort_unstable();
    let allow = HeaderValue::try_from(methods.join(", ")).unwrap_or(HeaderValue::from_static("OPTIONS"));
    let refusal = allow.clone();
    let mut router = MethodRouter::new()
        .options(move || async move { (StatusCode::NO_CONTENT, [(header::ALLOW, allow)]) })
        .fallback(move || async move {
            let mut response = detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
            response.headers_mut().insert(header::ALLOW, refusal);
            response
        });
    for endpoint in endpoints {
        // The table holds only the methods of MethodFilter.
        let Ok(filter) = MethodFilter::try_from(endpoint.method.clone()) else { continue };
        let app = app.clone();
        router = router.on(filter, move |request: Request| async move { endpoint.answer(app, request).await });
    }
    router
}
