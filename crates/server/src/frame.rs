//! Messages of streams, in both envelopes.

use axum::extract::ws::{Message, Utf8Bytes};
use bytes::Bytes;
use girih_engine::live::Told;
use girih_engine::watch::Watch;
use girih_model::{Error, Result, ResultExt, Structure};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value, json};

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Envelope {
    /// Text frames; data as nested lists or columns.
    Json,
    /// Binary frames; data as it was sent.
    MsgPack,
}

impl Envelope {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        match text {
            "json" => Ok(Self::Json),
            "msgpack" => Ok(Self::MsgPack),
            other => {
                Err(Error::unprocessable(format!("envelope_format={other:?} is neither \"json\" nor \"msgpack\".")))
            }
        }
    }

    /// What a watcher hears first: how to understand the rest.
    pub(crate) fn schema(self, watch: &Watch) -> Result<Message> {
        let mut schema = Map::new();
        let name = watch.entry.family.name();
        let name = if name == "sparse" { "array" } else { name };
        schema.insert("type".into(), json!(format!("{name}-schema")));
        schema.insert("version".into(), json!(1));
        match &watch.entry.structure {
            Some(Structure::Array(array)) => drop(schema.insert("data_type".into(), value(&array.dtype)?)),
            Some(Structure::Table(table)) => drop(schema.insert("arrow_schema".into(), value(&table.arrow_schema)?)),
            _ => {}
        }
        self.message(&schema)
    }

    /// An update. `data` is where the node's data can be read.
    pub(crate) async fn update(self, watch: &Watch, told: &Told, data: &str) -> Result<Message> {
        let make = async {
            let update = &told.update;
            let mut event: Map<String, Value> =
                serde_json::from_str(update.event.text()).internal(|| "reading an update".into())?;
            let kind = event.remove("type").unwrap_or_default();
            let is_data = kind.as_str().is_some_and(|kind| kind.ends_with("-data"));
            if kind == "array-ref" {
                event.insert("uri".into(), json!(format!("{data}?slice={}", slice(&event))));
            }
            let head = [("type", kind), ("sequence", json!(update.sequence)), ("timestamp", json!(local(update.time)))];
            let fields = head.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(event).collect();
            match self {
                Self::Json => {
                    let payload = match is_data {
                        true => Some(watch.payload_as_json(update).await?),
                        false => None,
                    };
                    json_frame(&fields, payload)
                }
                Self::MsgPack => {
                    let payload = is_data.then_some(&update.payload);
                    rmp_serde::to_vec_named(&Packed { fields: &fields, payload })
                        .map(Bytes::from)
                        .internal(|| "encoding an update".into())
                }
            }
        };
        // The same for all who watch, but for references, which have the address by which each of them came.
        let frame = match told.update.payload.is_empty() {
            true => make.await?,
            false => told.frame(self as usize, make).await?,
        };
        self.wrap(frame)
    }

    /// That updates are not to be had any more.
    pub(crate) fn gap(self, from: u64, to: u64, data: &str) -> Result<Message> {
        let mut gap = Map::new();
        gap.insert("type".into(), json!("gap"));
        gap.insert("from".into(), json!(from));
        gap.insert("to".into(), json!(to));
        gap.insert("uri".into(), json!(data));
        self.message(&gap)
    }

    fn message(self, fields: &Map<String, Value>) -> Result<Message> {
        let bytes = match self {
            Self::Json => serde_json::to_vec(fields).internal(|| "encoding a message".into())?,
            Self::MsgPack => rmp_serde::to_vec_named(fields).internal(|| "encoding a message".into())?,
        };
        self.wrap(bytes.into())
    }

    fn wrap(self, frame: Bytes) -> Result<Message> {
        Ok(match self {
            Self::Json => Message::Text(Utf8Bytes::try_from(frame).internal(|| "encoding a message".into())?),
            Self::MsgPack => Message::Binary(frame),
        })
    }
}

/// Fields of a message and, at its end, data as it was sent.
struct Packed<'a> {
    fields: &'a Map<String, Value>,
    payload: Option<&'a Bytes>,
}

impl Serialize for Packed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len() + usize::from(self.payload.is_some())))?;
        for (name, value) in self.fields {
            map.serialize_entry(name, value)?;
        }
        if let Some(payload) = self.payload {
            map.serialize_entry("payload", serde_bytes::Bytes::new(payload))?;
        }
        map.end()
    }
}

fn json_frame(fields: &Map<String, Value>, payload: Option<Vec<u8>>) -> Result<Bytes> {
    let mut frame = serde_json::to_vec(fields).internal(|| "encoding an update".into())?;
    if let Some(payload) = payload {
        frame.pop();
        frame.extend_from_slice(br#","content-type":"application/json","payload":"#);
        frame.extend_from_slice(&payload);
        frame.push(b'}');
    }
    Ok(frame.into())
}

fn value(content: &impl Serialize) -> Result<Value> {
    serde_json::to_value(content).internal(|| "encoding a schema".into())
}

/// The part that a reference means.
fn slice(event: &Map<String, Value>) -> String {
    let numbers = |value: Option<&Value>| -> Vec<u64> {
        value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_u64).collect()
    };
    let dims: Vec<String> = match event.get("patch").filter(|patch| !patch.is_null()) {
        Some(patch) => {
            let (offset, shape) = (numbers(patch.get("offset")), numbers(patch.get("shape")));
            offset.iter().zip(shape).map(|(offset, len)| format!("{offset}:{}", offset.saturating_add(len))).collect()
        }
        None => numbers(event.get("shape")).iter().map(|len| format!(":{len}")).collect(),
    };
    dims.join(",")
}

/// The server's local time, without its zone, as the protocol has it.
fn local(micros: i64) -> String {
    let time = chrono::DateTime::from_timestamp_micros(micros).unwrap_or_default();
    time.with_timezone(&chrono::Local).format("%Y-%m-%dT%H:%M:%S%.6f").to_string()
}
