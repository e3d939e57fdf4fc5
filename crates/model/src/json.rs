//! JSON kept as text.
//!
//! Metadata passes through girih far more often than anyone looks inside, so it is stored, cached
//! and sent as the text it is; only a query, a patch or MessagePack makes it be parsed.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Error as _, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{Error, Result, ResultExt};

/// A JSON text that is known to be valid. Cloning is cheap.
#[derive(Clone)]
pub struct Json(Arc<RawValue>);

impl Json {
    pub fn parse(text: impl Into<String>) -> Result<Self> {
        RawValue::from_string(text.into())
            .map(|raw| Self(Arc::from(raw)))
            .or_error(|e| Error::malformed(format!("Invalid JSON: {e}")))
    }

    /// The empty object.
    pub fn object() -> Self {
        Self::from_value(&Value::Object(Default::default()))
    }

    pub fn from_value(value: &Value) -> Self {
        let raw = serde_json::value::to_raw_value(value).expect("a Value always serializes");
        Self(Arc::from(raw))
    }

    /// Metadata of what cannot be read: why is told beside what is known of it.
    #[must_use]
    pub fn with_error(&self, e: &Error) -> Self {
        let mut value = self.to_value();
        match value.as_object_mut() {
            Some(members) => drop(members.insert("error".into(), e.message().into())),
            None => value = serde_json::json!({ "error": e.message() }),
        }
        Self::from_value(&value)
    }

    pub fn text(&self) -> &str {
        self.0.get()
    }

    pub fn to_value(&self) -> Value {
        serde_json::from_str(self.text()).expect("the text was valid when it came in")
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text() || self.to_value() == other.to_value()
    }
}

/// JSON receives the text untouched; a binary format (MessagePack) receives it transcoded.
impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            self.0.serialize(serializer)
        } else {
            let mut from = serde_json::Deserializer::from_str(self.text());
            serde_transcode::Transcoder::new(&mut from).serialize(serializer).map_err(S::Error::custom)
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            // Serde's internally buffered forms (flatten, untagged) hand over a Value, not text.
            let raw = Box::<RawValue>::deserialize(deserializer)?;
            Ok(Self(Arc::from(raw)))
        } else {
            let value = Value::deserialize(deserializer)?;
            let raw = serde_json::value::to_raw_value(&value).map_err(D::Error::custom)?;
            Ok(Self(Arc::from(raw)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_as_it_came_in_json_and_becomes_values_in_messagepack() {
        let json = Json::parse(r#"{"b": 1.50, "a": [null, "x"]}"#).unwrap();
        assert_eq!(serde_json::to_string(&json).unwrap(), r#"{"b": 1.50, "a": [null, "x"]}"#);
        let packed = rmp_serde::to_vec_named(&json).unwrap();
        let back: Value = rmp_serde::from_slice(&packed).unwrap();
        assert_eq!(back, json.to_value());
        assert_eq!(rmp_serde::from_slice::<Json>(&packed).unwrap(), json);
    }

    #[test]
    fn invalid_text_is_refused() {
        assert!(Json::parse("{nope}").is_err());
    }
}
