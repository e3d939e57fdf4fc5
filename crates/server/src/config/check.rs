//! From a tree of YAML to known settings of the right types.

use std::collections::BTreeMap;

use girih_model::Result;
use serde_json::Number;

use super::settings::{self, Kind, Setting};
use super::yaml::{Node, Value};

/// Settings by their full names (`uvicorn.port`), each of its kind; what is null is not there.
pub(super) type Settings = BTreeMap<&'static str, Node>;

/// Puts the settings of a section into `found`, and those of each tree into `trees`.
///
/// # Errors
/// An unknown key, one that is not supported yet, or a value of the wrong kind; each with file and line.
pub(super) fn section(name: &str, node: &Node, found: &mut Settings, trees: &mut Vec<Settings>) -> Result<()> {
    let entries = match &node.value {
        Value::Map(entries) => entries,
        Value::Null => return Ok(()),
        _ => return Err(node.error(format!("{name:?} must be a mapping of settings to values"))),
    };
    for (key, value) in entries {
        let full = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
        if let Some(setting) = settings::find(&full) {
            if let Some(value) = accept(setting, value)? {
                found.insert(setting.key, value);
            }
        } else if full == "trees" {
            for tree in list(value, "trees")? {
                let mut settings = Settings::new();
                section("trees[]", tree, &mut settings, &mut Vec::new())?;
                trees.push(settings);
            }
        } else if settings::names_in(name).contains(&key.as_str()) {
            section(&full, value, found, trees)?;
        } else {
            return Err(value.error(unknown(name, key)));
        }
    }
    Ok(())
}

fn unknown(section: &str, key: &str) -> String {
    let names = settings::names_in(section);
    let place = if section.is_empty() { String::new() } else { format!(" in {section:?}") };
    let near = names.iter().map(|name| (strsim::jaro_winkler(name, key), name)).max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((likeness, name)) if likeness > 0.8 => format!("unknown setting {key:?}{place}; did you mean {name:?}?"),
        _ => format!("unknown setting {key:?}{place}; known are {}", names.join(", ")),
    }
}

/// The value as the setting's kind wants it; `None` when there is nothing to say.
pub(super) fn accept(setting: &Setting, node: &Node) -> Result<Option<Node>> {
    if node.value == Value::Null {
        return Ok(None);
    }
    if setting.is_later() {
        return if asks_for_nothing(setting, node) {
            Ok(None)
        } else {
            let meaning = setting.meaning.trim_end_matches('.');
            Err(node.error(format!("the setting {:?} ({meaning}) is not supported yet; take it out", setting.key)))
        };
    }
    let wrong = || node.error(format!("{} must be {}", setting.key, setting.kind.wanted()));
    let value = convert(setting.kind, node).ok_or_else(wrong)?;
    Ok(Some(Node { value, origin: node.origin.clone() }))
}

/// The default, or an empty list or mapping: what the reference does without the setting.
fn asks_for_nothing(setting: &Setting, node: &Node) -> bool {
    let empty = match &node.value {
        Value::List(items) => items.is_empty(),
        Value::Map(entries) => entries.is_empty(),
        _ => false,
    };
    empty || serde_json::from_str(setting.default).is_ok_and(|default: serde_json::Value| default == node.to_json())
}

/// Environment variables are always text, and `${VAR}` makes text of every value: numbers and
/// booleans may be spelt as such.
fn convert(kind: Kind, node: &Node) -> Option<Value> {
    let value = &node.value;
    let as_it_is = || Some(value.clone());
    match (kind, value) {
        (Kind::Text, Value::Number(n)) => Some(Value::Text(n.to_string())),
        (Kind::Flag, Value::Number(n)) => match n.as_u64() {
            Some(flag @ 0..=1) => Some(Value::Bool(flag == 1)),
            _ => None,
        },
        (Kind::Flag, Value::Text(text)) => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(Value::Bool(true)),
            "false" | "no" | "off" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
        (Kind::Number, Value::Number(n)) => whole(n).map(Value::Number),
        (Kind::Number, Value::Text(text)) => whole(&text.trim().parse().ok()?).map(Value::Number),
        (Kind::Limit, Value::Number(n)) if n.as_i64() == Some(-1) => as_it_is(),
        (Kind::Limit, Value::Number(n)) => whole(n).map(Value::Number),
        (Kind::Limit, Value::Text(text)) => {
            text.trim().parse::<i64>().ok().filter(|n| *n >= -1).map(|n| Value::Number(n.into()))
        }
        (Kind::Seconds, Value::Number(n)) if n.as_f64()? >= 0.0 => as_it_is(),
        (Kind::Seconds, Value::Text(text)) => {
            let seconds = text.trim().parse().ok().filter(|s| *s >= 0.0)?;
            Number::from_f64(seconds).map(Value::Number)
        }
        (Kind::Texts | Kind::Keys | Kind::Storages, Value::Text(_)) => Some(Value::List(vec![node.clone()])),
        (Kind::Texts | Kind::Keys, Value::List(items)) => {
            items.iter().all(|item| matches!(item.value, Value::Text(_))).then(|| value.clone())
        }
        (Kind::Text, Value::Text(_))
        | (Kind::Flag, Value::Bool(_))
        | (Kind::Object, Value::Map(_))
        | (Kind::Specs | Kind::Storages, Value::List(_))
        | (Kind::Json, _) => as_it_is(),
        _ => None,
    }
}

/// `200.0` is a whole number too: Python's arithmetic makes such.
fn whole(n: &Number) -> Option<Number> {
    n.as_u64()
        .or_else(|| n.as_f64().filter(|f| (0.0..1e18).contains(f) && f.fract() == 0.0).map(|f| f as u64))
        .map(Into::into)
}

fn list<'a>(node: &'a Node, name: &str) -> Result<&'a [Node]> {
    match &node.value {
        Value::List(items) => Ok(items),
        Value::Null => Ok(&[]),
        _ => Err(node.error(format!("{name} must be a list"))),
    }
}
