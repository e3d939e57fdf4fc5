//! Live updates: `/stream/single/{path}` is a WebSocket, `/stream/close/{path}` ends it for all.

use std::time::Duration;

use axum::body::Body;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use axum::response::IntoResponse;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use girih_engine::live::Heard;
use girih_engine::watch::Watch;
use girih_engine::{Caller, Permission};
use girih_model::{Error, ErrorKind, NodePath};
use serde::Deserialize;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, interval_at, timeout};

use crate::ask::Ask;
use crate::error::Reply;
use crate::frame::Envelope;
use crate::{envelope, links};

/// Those who watch at the same time.
pub(crate) const MAX_WATCHERS: usize = 16_384;
/// Longest first message, and any other: only the first one is read.
const MAX_MESSAGE: usize = 64 << 10;
/// How long a caller has to say who they are.
const GREETING: Duration = Duration::from_secs(10);
/// How often a silent caller is asked whether they are still there, and how long they may stay silent.
const PING: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(65);
/// Bytes that a socket reads at a time: callers have little to say.
const READ_BUFFER: usize = 1 << 10;
/// The protocol's own codes.
const NO_GREETING: u16 = 4001;
const NOT_ADMITTED: u16 = 4003;
const NOT_FOUND: u16 = 4004;

/// How a conversation ends.
struct Goodbye(u16, String);

pub(super) async fn watch(mut ask: Ask, _body: Body) -> Reply {
    let path = ask.path()?;
    let envelope = Envelope::parse(ask.query().one("envelope_format").unwrap_or("json"))?;
    let start = match ask.query().one("start") {
        None => None,
        Some(text) => {
            let start = text.trim().parse::<i64>();
            let start = start.map_err(|_| Error::unprocessable(format!("start={text:?} is not a whole number.")))?;
            Some(u64::try_from(start).unwrap_or_default())
        }
    };
    if ask.query().one("access_token").is_some() {
        return Err(Error::unauthenticated("Could not validate credentials").into());
    }
    let socket = ask.socket.take().ok_or_else(|| {
        Error::malformed("This is a WebSocket. Connect with ws:// or wss:// and a client that speaks RFC 6455.")
    })?;
    let Ok(place) = ask.app.watchers.clone().try_acquire_owned() else {
        return Err(Error::busy("Too many are watching already. Try again later.").into());
    };
    // Whoever has said who they are hears at once what is wrong with the path.
    let known = match ask.caller().authenticated || ask.caller().has(Permission::ReadData) {
        true => Some(ask.engine().watch(ask.caller(), &path, start).await?),
        false => None,
    };
    let socket = socket.read_buffer_size(READ_BUFFER).write_buffer_size(0).max_message_size(MAX_MESSAGE);
    let unfinished = ask.app.unfinished.subscribe();
    let serve = async move |socket: WebSocket| {
        let _held = (place, unfinished);
        let (mut sink, mut source) = socket.split();
        let served = converse(&ask, &path, known, start, envelope, &mut sink, &mut source).await;
        if let Err(Goodbye(code, reason)) = served {
            let goodbye = CloseFrame { code, reason: reason.into() };
            // Who does not take it has gone.
            drop(timeout(GREETING, sink.send(Message::Close(Some(goodbye)))).await);
        }
    };
    Ok(socket.on_upgrade(serve).into_response())
}

/// Ends the stream of a node for those who watch now.
pub(super) async fn close(ask: Ask, _body: Body) -> Reply {
    ask.engine().close_stream(ask.caller(), &ask.path()?).await?;
    envelope::null()
}

async fn converse(
    ask: &Ask,
    path: &NodePath,
    known: Option<Watch>,
    start: Option<u64>,
    envelope: Envelope,
    sink: &mut SplitSink<WebSocket, Message>,
    source: &mut SplitStream<WebSocket>,
) -> Result<(), Goodbye> {
    let mut watch = match known {
        Some(watch) => watch,
        None => {
            let caller = greet(ask, source).await?;
            ask.engine().watch(&caller, path, start).await.map_err(|e| match e.kind() {
                ErrorKind::NotFound | ErrorKind::Unsupported => Goodbye(NOT_FOUND, brief(e.message())),
                _ => failed(&e),
            })?
        }
    };
    let data = data_url(ask, &watch);
    send(sink, envelope.schema(&watch).map_err(|e| failed(&e))?).await?;
    let mut ending = ask.app.ending.subscribe();
    let mut pings = interval_at(Instant::now() + PING, PING);
    let mut last_sign = Instant::now();
    loop {
        tokio::select! {
            heard = watch.watcher.next() => {
                let message = match heard.map_err(|e| failed(&e))? {
                    Heard::Update(told) if told.is_end() => {
                        return Err(Goodbye(close_code::NORMAL, "Producer ended stream".into()));
                    }
                    Heard::Update(told) => envelope.update(&watch, &told, &data).await,
                    Heard::Gap { from, to } => envelope.gap(from, to, &data),
                    Heard::Gone => return Err(Goodbye(close_code::NORMAL, "The entry was deleted".into())),
                };
                send(sink, message.map_err(|e| failed(&e))?).await?;
            }
            message = source.next() => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(()),
                Some(Ok(_)) => last_sign = Instant::now(),
            },
            _ = pings.tick() => {
                if last_sign.elapsed() > SILENCE {
                    return Ok(());
                }
                send(sink, Message::Ping(Default::default())).await?;
            }
            () = is_ending(&mut ending) => {
                return Err(Goodbye(close_code::RESTART, "The server is stopping. Connect again.".into()));
            }
        }
    }
}

async fn is_ending(ending: &mut Receiver<bool>) {
    // An error means that the server is gone.
    drop(ending.wait_for(|ending| *ending).await);
}

/// Waits for the first message, which says who it is.
async fn greet(ask: &Ask, source: &mut SplitStream<WebSocket>) -> Result<Caller, Goodbye> {
    #[derive(Deserialize)]
    struct Greeting {
        r#type: String,
        api_key: Option<String>,
    }
    let text = match timeout(GREETING, source.next()).await {
        Ok(Some(Ok(Message::Text(text)))) => text,
        _ => return Err(Goodbye(NO_GREETING, "Expected JSON auth message".into())),
    };
    let greeting: Greeting = serde_json::from_str(&text)
        .map_err(|_| Goodbye(NO_GREETING, r#"Expected {"type": "auth", "api_key": "..."}"#.into()))?;
    if greeting.r#type != "auth" {
        return Err(Goodbye(NO_GREETING, r#"Expected {"type": "auth", ...}"#.into()));
    }
    let caller = greeting.api_key.and_then(|key| ask.app.gate.holder(&key).ok());
    caller.ok_or_else(|| Goodbye(NOT_ADMITTED, "Authentication failed".into()))
}

async fn send(sink: &mut SplitSink<WebSocket, Message>, message: Message) -> Result<(), Goodbye> {
    // Who cannot be sent anything has gone, and needs no goodbye.
    sink.send(message).await.map_err(|_| Goodbye(close_code::AWAY, String::new()))
}

fn failed(e: &Error) -> Goodbye {
    tracing::warn!(error = %e, "a stream broke off");
    Goodbye(close_code::RESTART, brief(e.message()))
}

/// As long as the reason of a close frame may be (RFC 6455, 5.5).
fn brief(message: &str) -> String {
    message.chars().take(40).collect()
}

/// Where the data of a node can be read.
fn data_url(ask: &Ask, watch: &Watch) -> String {
    let links = links::links(&ask.api(), &watch.entry.path, watch.entry.family, None).0;
    links.into_iter().find(|(name, _)| *name == "full").map(|(_, url)| url).unwrap_or_default()
}
