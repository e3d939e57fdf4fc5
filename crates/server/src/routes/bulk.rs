//! Many new nodes at once.

use std::fs::File;
use std::io::{BufRead, BufReader};

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use futures::StreamExt;
use girih_engine::bulk::{BulkItem, BulkItems, BulkReply};
use girih_model::wire::{BulkFailure, BulkPlace, Bulked, Envelope, PostMetadataRequest};
use girih_model::{Error, ErrorKind, Json, NodePath, Result, ResultExt};
use serde_json::Value;
use serde_json::value::RawValue;

use super::metadata::create_request;
use crate::ask::Ask;
use crate::error::{Reply, status};
use crate::negotiate::MSGPACK;
use crate::{body, envelope};

/// Most nodes of one request: for as long as it takes to record them, nobody else writes.
const MAX_LINES: u64 = 100_000;
/// Longest line, in bytes.
const MAX_LINE_BYTES: u64 = 16 << 20;
/// The key of a line that says where the node goes.
const PARENT: &[u8] = b"\"parent\"";
/// Failures that are told one by one.
const MAX_FAILURES: usize = 1000;

pub(super) async fn create(ask: Ask, body: Body) -> Reply {
    let parent = ask.path()?;
    let all_or_nothing = ask.query().boolean("all_or_nothing", false)?;
    let items: BulkItems = match body::media_type(&ask).as_deref() {
        Some("application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/json-lines") => {
            lines(girih_engine::spool(counted(body::data(&ask, body)?.stream)).await?)
        }
        None | Some("" | "application/json") => {
            let list: Vec<Box<RawValue>> = body::parse("The request body", &body::whole(&ask, body).await?)?;
            listed(list.into_iter().map(|value| String::from(Box::<str>::from(value)).into_bytes()).collect())?
        }
        Some(MSGPACK) => {
            let bytes = body::whole(&ask, body).await?;
            let list: Vec<Value> = rmp_serde::from_slice(&bytes)
                .or_error(|e| Error::malformed(format!("The request body is not a MessagePack array of maps: {e}")))?;
            listed(list.into_iter().map(|value| value.to_string().into_bytes()).collect())?
        }
        Some(other) => {
            return Err(Error::unsupported_media_type(format!(
                "Send application/x-ndjson (one node a line), or application/json or {MSGPACK} (a list of nodes), not {other:?}."
            ))
            .into());
        }
    };
    let reply = ask.engine().create_bulk(ask.caller(), &parent, items, all_or_nothing).await?;
    let refused = reply.failures.first().filter(|_| !reply.kept).map(|failure| status(failure.error.kind()));
    let mut response = envelope::reply(&ask, &Envelope::of(told(reply)))?;
    if let Some(status) = refused {
        *response.status_mut() = status;
    }
    Ok(response.into_response())
}

fn told(reply: BulkReply) -> Bulked {
    let failed = reply.failures.len() as u64;
    let errors = reply.failures.into_iter().take(MAX_FAILURES).map(|failure| {
        let status = status(failure.error.kind());
        let detail = match failure.error.kind() {
            ErrorKind::Internal => {
                tracing::error!(error = %failure.error, line = failure.line, "a line of a bulk failed");
                StatusCode::INTERNAL_SERVER_ERROR.canonical_reason().unwrap_or_default().to_owned()
            }
            _ => failure.error.message().to_owned(),
        };
        BulkFailure { line: failure.line, id: failure.key, status: status.as_u16(), detail }
    });
    let errors = errors.collect();
    let (created, unchanged) = if reply.kept { (reply.created, reply.unchanged) } else { (0, 0) };
    Bulked { created, unchanged, failed, errors }
}

fn too_many() -> Error {
    Error::too_large(format!("A request can hold at most {MAX_LINES} nodes. Send several requests."))
}

/// Passes a body on, unless it has too many lines, or one that is too long.
fn counted(body: girih_model::ByteStream) -> girih_model::ByteStream {
    let (mut number, mut bytes) = (0, 0);
    let pieces = body.map(move |piece| {
        let piece = piece?;
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            number += u64::from(bytes == 0);
            bytes += part.len() as u64;
            if number > MAX_LINES {
                return Err(too_many());
            }
            if bytes > MAX_LINE_BYTES {
                return Err(Error::too_large(format!(
                    "Line {number} has more than {MAX_LINE_BYTES} bytes. Store large values as arrays or tables."
                )));
            }
            if part.ends_with(b"\n") {
                bytes = 0;
            }
        }
        Ok(piece)
    });
    pieces.boxed()
}

fn listed(texts: Vec<Vec<u8>>) -> Result<BulkItems> {
    if texts.len() as u64 > MAX_LINES {
        return Err(too_many());
    }
    Ok(Box::new((1..).zip(texts.into_iter().map(|text| item(&text)))))
}

/// The lines of a file that are not empty; none is too long to be held.
fn lines(file: File) -> BulkItems {
    let mut file = BufReader::with_capacity(1 << 16, file);
    let mut number = 0;
    let mut ended = false;
    Box::new(std::iter::from_fn(move || {
        while !ended {
            number += 1;
            let mut line = Vec::new();
            match file.read_until(b'\n', &mut line) {
                Ok(0) => ended = true,
                Ok(_) if line.trim_ascii().is_empty() => {}
                Ok(_) => return Some((number, item(&line))),
                Err(e) => {
                    ended = true;
                    return Some((number, Err(Error::internal("reading a spooled body").with_source(e))));
                }
            }
        }
        None
    }))
}

fn item(text: &[u8]) -> Result<BulkItem> {
    let mut parent = NodePath::root();
    // Most lines have none, and need not be read twice.
    if text.windows(PARENT.len()).any(|part| part == PARENT) {
        let place: BulkPlace = body::parse("The line", text)?;
        parent = NodePath::parse(place.parent.as_deref().unwrap_or_default())?;
    }
    let mut request: PostMetadataRequest = body::parse("The line", text)?;
    // It is looked into when it is taken apart for the index.
    let metadata = request.metadata.take();
    let mut create = create_request(request)?;
    create.metadata = metadata.unwrap_or_else(Json::object);
    Ok(BulkItem { parent, create })
}
