//! What callers send: JSON that is small enough to hold, data that streams.

use axum::body::Body;
use axum::http::header;
use bytes::{Bytes, BytesMut};
use futures::stream::{StreamExt, TryStreamExt};
use girih_model::{ByteStream, Error, Result, ResultExt};
use serde::de::DeserializeOwned;

use crate::ask::Ask;

/// Most bytes of a JSON body: enough for the chunks of a very large array.
const MAX_JSON_BYTES: u64 = 32 << 20;

/// Reads a JSON body of this type.
///
/// # Errors
/// `TooLarge`, `UnsupportedMediaType`, `Malformed` (no JSON), `Unprocessable` (other JSON than wanted).
pub(crate) async fn json<T: DeserializeOwned>(ask: &Ask, body: Body) -> Result<T> {
    let bytes = json_bytes(ask, body).await?;
    parse("The request body", &bytes)
}

/// A list of names, or null or nothing for all of them.
pub(crate) async fn names(ask: &Ask, body: Body) -> Result<Option<Vec<String>>> {
    let bytes = json_bytes(ask, body).await?;
    if bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    let names: Option<Vec<String>> = parse("The request body", &bytes)?;
    if names.as_ref().is_some_and(Vec::is_empty) {
        return Err(Error::unprocessable("The list of names is empty; send null, or no body, for all of them."));
    }
    Ok(names)
}

/// Reads the JSON of `what`.
pub(crate) fn parse<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).or_error(|e| {
        // serde_json speaks of data when the JSON is sound; it also limits the nesting.
        let sound = serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
        if sound { unfit::<T>(what, bytes, e) } else { Error::malformed(format!("{what} is not valid JSON: {e}")) }
    })
}

/// Says which part does not fit. That is found out only now: keeping track of it takes time.
fn unfit<T: DeserializeOwned>(what: &str, bytes: &[u8], e: &dyn std::fmt::Display) -> Error {
    let again = serde_path_to_error::deserialize::<_, T>(&mut serde_json::Deserializer::from_slice(bytes));
    let path = again.err().map(|e| e.path().to_string()).filter(|path| path != ".");
    Error::unprocessable(match path {
        Some(path) => format!("{what} does not fit: {path:?}: {e}"),
        None => format!("{what} does not fit: {e}"),
    })
}

async fn json_bytes(ask: &Ask, body: Body) -> Result<Bytes> {
    let bare = media_type(ask);
    if let Some(other) = bare.filter(|bare| bare != "application/json" && !bare.ends_with("+json") && !bare.is_empty())
    {
        return Err(Error::unsupported_media_type(format!("Send application/json, not {other:?}.")));
    }
    whole(ask, body).await
}

/// The media type of the body, without parameters, in lower case.
pub(crate) fn media_type(ask: &Ask) -> Option<String> {
    let value = ask.headers.get(header::CONTENT_TYPE)?.to_str().unwrap_or_default();
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// A body that is small enough to hold.
pub(crate) async fn whole(ask: &Ask, body: Body) -> Result<Bytes> {
    let mut stream = limited(ask, body, MAX_JSON_BYTES, "A JSON body")?;
    let mut all = BytesMut::new();
    while let Some(piece) = stream.try_next().await? {
        all.extend_from_slice(&piece);
    }
    Ok(all.freeze())
}

/// Data on its way in.
pub(crate) struct Upload {
    pub(crate) content_type: String,
    pub(crate) stream: ByteStream,
}

/// # Errors
/// `UnsupportedMediaType` without a media type, `TooLarge` when more is announced than is allowed.
pub(crate) fn data(ask: &Ask, body: Body) -> Result<Upload> {
    let content_type = ask.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.filter(|value| !value.trim().is_empty()).ok_or_else(|| {
        Error::unsupported_media_type("A body needs a Content-Type header, such as application/octet-stream.")
    })?;
    let stream = limited(ask, body, ask.app.options.max_body_bytes, "A request body")?;
    Ok(Upload { content_type: content_type.to_owned(), stream })
}

/// Bytes of the body, as the caller has announced them.
pub(crate) fn announced(ask: &Ask) -> Option<u64> {
    ask.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Passes on up to `limit` bytes; refuses at once what announces more.
fn limited(ask: &Ask, body: Body, limit: u64, what: &'static str) -> Result<ByteStream> {
    let too_large = move || {
        Error::too_large(format!(
            "{what} can have at most {limit} bytes. Send the data in smaller parts, such as blocks or partitions."
        ))
    };
    if announced(ask).is_some_and(|bytes| bytes > limit) {
        return Err(too_large());
    }
    if let Some(coding) = ask.headers.get(header::CONTENT_ENCODING).filter(|coding| *coding != "identity") {
        return Err(Error::unsupported_media_type(format!(
            "Request bodies in the content coding {coding:?} are not supported. Send the body as it is."
        )));
    }
    let mut total = 0u64;
    let pieces = body.into_data_stream().map(move |piece| {
        let piece = piece.or_error(|_| Error::malformed("The request body broke off."))?;
        total += piece.len() as u64;
        if total > limit { Err(too_large()) } else { Ok(piece) }
    });
    Ok(pieces.boxed())
}

#[cfg(test)]
mod tests {
    use girih_model::ErrorKind;

    use super::*;

    #[test]
    fn what_does_not_fit_is_named_as_the_caller_knows_it() {
        use girih_model::wire::{PatchMetadataRequest, PostMetadataRequest, PutDataSourceRequest};
        let post = |text: &str| parse::<PostMetadataRequest>("It", text.as_bytes()).map(drop).unwrap_err();
        let messages = [
            (post("5"), "expected an object"),
            (post("[]"), "an object"),
            (post("{}"), "missing field `structure_family`"),
            (post(r#"{"structure_family": 5}"#), "\"structure_family\": expected value at line 1"),
            (post(r#"{"structure_family": "x"}"#), "\"structure_family\": unknown variant `x`, expected one of"),
            (post(r#"{"structure_family": "array", "id": 5}"#), "\"id\": invalid type: integer `5`, expected a string"),
            (
                post(
                    r#"{"structure_family": "array", "metadata": {}, "data_sources": [{"structure_family": "array", "assets": [{}]}]}"#,
                ),
                "\"data_sources[0].assets[0]\": missing field `data_uri`",
            ),
            (
                post(r#"{"structure_family": "array", "specs": [7]}"#),
                "\"specs[0]\": invalid type: integer `7`, expected an object",
            ),
            (parse::<PatchMetadataRequest>("It", b"{}").map(drop).unwrap_err(), "missing field `content-type`"),
            (
                parse::<PutDataSourceRequest>("It", br#"{"data_source": 1}"#).map(drop).unwrap_err(),
                "\"data_source\": invalid type: integer `1`, expected an object",
            ),
        ];
        for (e, says) in messages {
            assert_eq!(e.kind(), ErrorKind::Unprocessable);
            assert!(e.message().contains(says), "{says}: {}", e.message());
            for ours in ["struct ", "enum ", "Request", "Family", "tuple"] {
                assert!(!e.message().contains(ours), "{}", e.message());
            }
        }
    }

    #[test]
    fn what_is_no_json_and_what_is_other_json_are_told_apart() {
        let kind = |text: &str| parse::<Vec<String>>("x", text.as_bytes()).unwrap_err().kind();
        assert_eq!(kind("[1"), ErrorKind::Malformed);
        assert_eq!(kind("{}"), ErrorKind::Unprocessable);
        assert_eq!(kind("[1]"), ErrorKind::Unprocessable);
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(parse::<serde_json::Value>("x", deep.as_bytes()).is_err());
    }
}
