//! Bounds on what one request, and all of them together, may use.

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use girih_model::Error;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until, timeout, timeout_at};

use crate::App;
use crate::admit::HEALTH;
use crate::error::{Failure, detail};
use crate::stall::{Patience, STALL};

/// Requests that are worked on at the same time; the others wait for their turn.
pub(crate) const MAX_REQUESTS: usize = 512;
/// Most bytes after the question mark of a URL.
const MAX_QUERY_BYTES: usize = 32 << 10;
/// How long a request waits for its turn before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) async fn limit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if request.uri().path() == HEALTH {
        return next.run(request).await;
    }
    if request.uri().query().is_some_and(|query| query.len() > MAX_QUERY_BYTES) {
        let message = format!(
            "The query can have at most {MAX_QUERY_BYTES} bytes. Ask for less at once; columns and children can be named in the body of a POST instead."
        );
        return detail(StatusCode::URI_TOO_LONG, &message);
    }
    let Ok(Ok(permit)) = timeout(PATIENCE, app.turns.clone().acquire_owned()).await else {
        return Failure::from(Error::busy("The server is busy with other requests. Try again in a moment."))
            .into_response();
    };
    // Without a limit: as good as for ever.
    let patience = app.options.request_timeout.unwrap_or(Duration::from_secs(10 * 365 * 86_400));
    let progress = Arc::new(Progress::new(&request));
    let mut request = request.map(|body| Body::new(Watched { body, progress: progress.clone() }));
    let turn = Turn(Arc::new(permit));
    request.extensions_mut().insert(turn.clone());
    let is_safe = request.method().is_safe();
    let mut answer = pin!(next.run(request));
    loop {
        let deadline = progress.last() + patience;
        match timeout_at(deadline, answer.as_mut()).await {
            Ok(response) => return response.map(|body| paced(body, patience, turn)),
            // An upload that moves on may take its time.
            Err(_) if progress.last() + patience > deadline => {}
            Err(_) if progress.is_uploading() => {
                return detail(
                    StatusCode::REQUEST_TIMEOUT,
                    &format!("The request body did not go on for {} s.", patience.as_secs()),
                );
            }
            Err(_) => {
                let advice = match is_safe {
                    true => "Ask for a smaller part of the data.",
                    false => "It may still be done: look before you send it again.",
                };
                let message = format!("No answer within {} s. {advice}", patience.as_secs());
                return Failure::from(Error::busy(message)).into_response();
            }
        }
    }
}

/// The turn of a request, for as long as anything works for it.
#[derive(Clone)]
pub(crate) struct Turn(#[expect(dead_code, reason = "held, not read")] Arc<OwnedSemaphorePermit>);

/// How far an upload has come.
struct Progress {
    start: Instant,
    /// Milliseconds from `start` to the latest piece.
    latest: AtomicU64,
    uploading: AtomicBool,
}

impl Progress {
    fn new(request: &Request) -> Self {
        let uploading = !HttpBody::is_end_stream(request.body());
        Self { start: Instant::now(), latest: AtomicU64::new(0), uploading: AtomicBool::new(uploading) }
    }

    fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.latest.load(Ordering::Relaxed))
    }

    fn is_uploading(&self) -> bool {
        self.uploading.load(Ordering::Relaxed)
    }

    fn note(&self, ended: bool) {
        let passed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.latest.store(passed, Ordering::Relaxed);
        if ended {
            self.uploading.store(false, Ordering::Relaxed);
        }
    }
}

/// A request body that notes its progress.
struct Watched {
    body: Body,
    progress: Arc<Progress>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(frame) = &polled {
            this.progress.note(frame.is_none() || HttpBody::is_end_stream(&this.body));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        HttpBody::is_end_stream(&self.body)
    }

    fn size_hint(&self) -> SizeHint {
        HttpBody::size_hint(&self.body)
    }
}

/// A response body that keeps its request's turn until it has been sent, and breaks off when the data stops coming or
/// nobody takes it.
struct Paced {
    shared: Arc<Mutex<Shared>>,
    patience: Duration,
    /// Running while we wait for the next piece.
    alarm: Option<Pin<Box<Sleep>>>,
    is_watched: bool,
}

struct Shared {
    /// Gone when nobody has taken anything for too long: with it goes all that it holds.
    body: Option<(Body, Turn)>,
    /// When the last piece was handed out, while nobody asks for the next.
    idle: Option<Instant>,
}

fn paced(body: Body, patience: Duration, turn: Turn) -> Body {
    // What is in memory already is given away at once.
    if HttpBody::is_end_stream(&body) {
        return body;
    }
    let shared = Arc::new(Mutex::new(Shared { body: Some((body, turn)), idle: None }));
    Body::new(Paced { shared, patience, alarm: None, is_watched: false })
}

fn locked(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes away a body that nobody reads.
async fn watch(shared: Weak<Mutex<Shared>>) {
    let Patience { usual, short, is_short } = STALL;
    loop {
        tokio::time::sleep(short).await;
        let Some(shared) = shared.upgrade() else { return };
        let mut shared = locked(&shared);
        let idle = shared.idle.map_or(Duration::ZERO, |since| since.elapsed());
        if idle >= usual || idle >= short && is_short() {
            shared.body = None;
            return;
        }
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let mut shared = locked(&this.shared);
        let Some((body, _)) = &mut shared.body else {
            return Poll::Ready(Some(Err(axum::Error::new(Error::busy("nobody took the answer")))));
        };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        let is_over = HttpBody::is_end_stream(body);
        if let Poll::Ready(frame) = polled {
            shared.idle = Some(Instant::now());
            drop(shared);
            this.alarm = None;
            if frame.is_some() && !is_over && !this.is_watched {
                this.is_watched = true;
                tokio::spawn(watch(Arc::downgrade(&this.shared)));
            }
            return Poll::Ready(frame);
        }
        shared.idle = None;
        drop(shared);
        let patience = this.patience;
        let alarm = this.alarm.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + patience)));
        match alarm.as_mut().poll(cx) {
            Poll::Ready(()) => {
                let error = Error::busy(format!("no data for {} s", patience.as_secs()));
                Poll::Ready(Some(Err(axum::Error::new(error))))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        locked(&self.shared).body.as_ref().is_some_and(|(body, _)| HttpBody::is_end_stream(body))
    }

    fn size_hint(&self) -> SizeHint {
        locked(&self.shared).body.as_ref().map_or_else(SizeHint::new, |(body, _)| HttpBody::size_hint(body))
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use futures::{StreamExt, stream};
    use tower::ServiceExt;

    use super::*;
    use crate::ServerOptions;

    const PATIENCE: Duration = Duration::from_millis(50);

    async fn ask(app: Arc<App>, path: &str) -> Response {
        let stalling = || async {
            let pieces = stream::iter(["a", "b"]).map(Ok::<_, Error>).chain(stream::pending());
            Response::new(Body::from_stream(pieces))
        };
        let slow_but_steady = || async {
            let pieces = stream::iter(0..5).then(|_| async {
                tokio::time::sleep(PATIENCE / 2).await;
                Ok::<_, Error>("x")
            });
            Response::new(Body::from_stream(pieces))
        };
        let router = Router::new()
            .route("/never", get(std::future::pending::<String>))
            .route("/stalling", get(stalling))
            .route("/steady", get(slow_but_steady))
            .layer(axum::middleware::from_fn_with_state(app, limit));
        router.oneshot(Request::builder().uri(path).body(Body::empty()).unwrap()).await.unwrap()
    }

    fn app() -> Arc<App> {
        let engine = girih_engine::Engine::new(Default::default(), vec![]).unwrap();
        Arc::new(App::new(engine, ServerOptions { request_timeout: Some(PATIENCE), ..Default::default() }))
    }

    #[tokio::test]
    async fn what_does_not_go_on_is_given_up_and_what_does_is_not() {
        let answer = ask(app(), "/never").await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        let body = ask(app(), "/stalling").await.into_body();
        assert!(axum::body::to_bytes(body, 100).await.is_err());
        let body = ask(app(), "/steady").await.into_body();
        assert_eq!(axum::body::to_bytes(body, 100).await.unwrap(), "xxxxx");
    }

    #[tokio::test]
    async fn a_request_keeps_its_turn_until_its_answer_is_sent() {
        let app = app();
        let answer = ask(app.clone(), "/steady").await;
        assert_eq!(app.turns.available_permits(), MAX_REQUESTS - 1);
        drop(answer);
        assert_eq!(app.turns.available_permits(), MAX_REQUESTS);
    }
}
