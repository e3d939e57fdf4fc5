//! YAML as a tree of values that know where they were written.

use std::fmt;
use std::sync::Arc;

use girih_model::{Error, Result, ResultExt};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::Spanned;

/// Where a value comes from, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    File {
        name: Arc<str>,
        /// From 1.
        line: u64,
    },
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line } => write!(f, "{name}:{line}"),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file; keys are distinct.
    Map(Vec<(String, Node)>),
}

/// Two nodes are equal when their values are, wherever they were written.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Node {
    /// Says what is wrong with this value, and where it was written.
    pub(super) fn error(&self, what: impl fmt::Display) -> Error {
        Error::malformed(format!("{}: {what}", self.origin))
    }

    /// As JSON, for free-form values such as metadata.
    pub(super) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(b) => Json::Bool(*b),
            Value::Number(n) => Json::Number(n.clone()),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Map(entries) => Json::Object(entries.iter().map(|(k, v)| (k.clone(), v.to_json())).collect()),
        }
    }
}

/// Reads one YAML document, which must be a mapping; an empty one is an empty mapping.
pub(super) fn parse(text: &str, name: &Arc<str>) -> Result<Node> {
    let empty = text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    let root = if empty { Raw::Map(Vec::new()) } else { document(text, name)? };
    let node = root.at(name, 1);
    match node.value {
        Value::Map(_) => Ok(node),
        _ => Err(node.error("a configuration must be a mapping of settings to values")),
    }
}

fn document(text: &str, name: &str) -> Result<Raw> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).or_error(|e| {
        // One line: foreign messages come in several.
        let message = e.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" ");
        Error::malformed(format!("{name}: not valid YAML: {message}"))
    })
}

/// What serde hands over: positions are lines of the one file that is being read.
enum Raw {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl Raw {
    fn at(self, name: &Arc<str>, line: u64) -> Node {
        let value = match self {
            Self::Null => Value::Null,
            Self::Bool(b) => Value::Bool(b),
            Self::Number(n) => Value::Number(n),
            Self::Text(text) => Value::Text(text),
            Self::List(items) => {
                Value::List(items.into_iter().map(|i| i.value.at(name, i.referenced.line())).collect())
            }
            // A mapping's value is told by the line of its key: that is where one looks for it.
            Self::Map(entries) => {
                Value::Map(entries.into_iter().map(|(k, v)| (k.value, v.value.at(name, k.referenced.line()))).collect())
            }
        };
        Node { value, origin: Origin::File { name: name.clone(), line } }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Raw, E> {
        Ok(Raw::Number(v.into()))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Raw, E> {
        Ok(Raw::Number(v.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<Raw, E> {
        Number::from_f64(v).map(Raw::Number).ok_or_else(|| E::custom(format!("{v} is not a finite number")))
    }

    fn visit_str<E>(self, v: &str) -> Result<Raw, E> {
        Ok(Raw::Text(v.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries: Vec<(Spanned<String>, Spanned<Raw>)> = Vec::new();
        while let Some((key, value)) = map.next_entry::<Spanned<String>, Spanned<Raw>>()? {
            if entries.iter().any(|(known, _)| known.value == key.value) {
                return Err(A::Error::custom(format!("the key {:?} appears twice", key.value)));
            }
            entries.push((key, value));
        }
        Ok(Raw::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Node> {
        parse(text, &"c.yml".into())
    }

    #[test]
    fn values_know_their_lines() {
        let node = read("a: 1\nb:\n  - x\n  - c: yes\n    d: [1.5, true, null]\n").unwrap();
        let Value::Map(entries) = &node.value else { panic!() };
        assert_eq!(entries[1].1.origin.to_string(), "c.yml:2");
        let Value::List(items) = &entries[1].1.value else { panic!() };
        assert_eq!(items[1].origin.to_string(), "c.yml:4");
        let Value::Map(inner) = &items[1].value else { panic!() };
        assert_eq!((inner[1].0.as_str(), inner[1].1.origin.to_string().as_str()), ("d", "c.yml:5"));
        assert_eq!(node.to_json().to_string(), r#"{"a":1,"b":["x",{"c":true,"d":[1.5,true,null]}]}"#);
    }

    #[test]
    fn quoted_scalars_are_text() {
        assert_eq!(read("a: \"1\"\nb: '~'\nc: 007").unwrap().to_json()["a"], "1");
    }

    #[test]
    fn an_empty_file_is_an_empty_mapping() {
        for text in ["", "\n# nothing\n"] {
            assert_eq!(read(text).unwrap().value, Value::Map(Vec::new()));
        }
    }

    #[test]
    fn errors_are_one_line_with_the_file() {
        for text in ["- a", "a: [1", "a: 1\na: 2", "a: .nan", "x", "a: *b"] {
            let e = read(text).unwrap_err();
            assert!(e.message().starts_with("c.yml") && !e.message().contains('\n'), "{text:?}: {}", e.message());
        }
    }
}
