//! Settings from the environment: `GIRIH_PORT`, or `TILED_PORT` as in the reference.

use girih_model::Result;

use super::check::{self, Settings};
use super::settings::{Kind, SETTINGS};
use super::yaml::{Node, Origin, Value};

/// Sets each setting whose variable is set; an empty variable counts as not set.
pub(super) fn apply(found: &mut Settings, env: &dyn Fn(&str) -> Option<String>) -> Result<()> {
    for setting in SETTINGS.iter().filter(|setting| !setting.variable.is_empty()) {
        let names = [format!("GIRIH_{}", setting.variable), format!("TILED_{}", setting.variable)];
        let set = names.into_iter().find_map(|name| env(&name).filter(|value| !value.is_empty()).map(|v| (name, v)));
        let Some((name, value)) = set else { continue };
        let node = Node { value: Value::Text(value), origin: Origin::Variable(name) };
        let node = match setting.kind {
            Kind::Texts | Kind::Storages | Kind::Keys => items(node)?,
            _ => node,
        };
        if let Some(value) = check::accept(setting, &node)? {
            found.insert(setting.key, value);
        }
    }
    Ok(())
}

/// A list is written as in JSON; a text without brackets is a list of one.
fn items(node: Node) -> Result<Node> {
    let Value::Text(text) = &node.value else { return Ok(node) };
    if !text.trim_start().starts_with('[') {
        return Ok(node);
    }
    let list: Vec<String> =
        serde_json::from_str(text).map_err(|e| node.error(format!("not a JSON list of texts: {e}")))?;
    let origin = node.origin;
    let items = list.into_iter().map(|item| Node { value: Value::Text(item), origin: origin.clone() }).collect();
    Ok(Node { value: Value::List(items), origin })
}
