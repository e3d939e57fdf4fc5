//! The JSON documents of Zarr stores.

use girih_engine::zarr::ZarrNode;
use girih_model::{Json, NodePath, Result, ResultExt};
use serde_json::{Map, Value, json};

use crate::ask::Ask;

fn object(metadata: &Json) -> Result<Map<String, Value>> {
    serde_json::from_str(metadata.text()).internal(|| "reading metadata".into())
}

/// `.zattrs`: of a node whose metadata has `attributes` those, as the protocol says, and otherwise all of it. The names
/// of the axes are where xarray looks for them.
pub(super) fn attributes_2(node: &ZarrNode) -> Result<Value> {
    let (metadata, dims) = match node {
        ZarrNode::Group { attributes, .. } => (attributes, None),
        ZarrNode::Array { attributes, facade, .. } => (attributes, facade.dims()),
    };
    let mut metadata = object(metadata)?;
    let mut attributes = match metadata.remove("attributes") {
        Some(Value::Object(inner)) => inner,
        Some(other) => {
            metadata.insert("attributes".into(), other);
            metadata
        }
        None => metadata,
    };
    if let Some(dims) = dims {
        attributes.entry("_ARRAY_DIMENSIONS").or_insert_with(|| json!(dims));
    }
    Ok(attributes.into())
}

/// `zarr.json`; of a group with what lies below it, unless that is too much.
pub(super) async fn version_3(ask: &Ask, path: &NodePath, node: ZarrNode) -> Result<Value> {
    let is_group = matches!(node, ZarrNode::Group { .. });
    let mut document = described(&node)?;
    if is_group && let Some(members) = ask.engine().zarr_members(ask.caller(), path).await? {
        let mut all = Map::new();
        for (path, node) in members {
            all.insert(path.as_str().to_owned(), described(&node)?);
        }
        document["consolidated_metadata"] = json!({"kind": "inline", "must_understand": false, "metadata": all});
    }
    Ok(document)
}

fn described(node: &ZarrNode) -> Result<Value> {
    Ok(match node {
        ZarrNode::Group { attributes, .. } => {
            json!({"zarr_format": 3, "node_type": "group", "attributes": object(attributes)?})
        }
        ZarrNode::Array { attributes, facade, .. } => facade.version_3(object(attributes)?.into()),
    })
}

/// `.zmetadata`; `None` when there is too much.
pub(super) async fn consolidated_2(ask: &Ask, path: &NodePath) -> Result<Option<Value>> {
    let top = ask.engine().zarr_node(ask.caller(), path).await?;
    let Some(mut members) = ask.engine().zarr_members(ask.caller(), path).await? else { return Ok(None) };
    members.insert(0, (NodePath::root(), top));
    let mut all = Map::new();
    for (path, node) in members {
        let at = |name: &str| if path.is_root() { name.to_owned() } else { format!("{}/{name}", path.as_str()) };
        all.insert(at(".zattrs"), attributes_2(&node)?);
        match &node {
            ZarrNode::Group { .. } => all.insert(at(".zgroup"), json!({"zarr_format": 2})),
            ZarrNode::Array { facade, .. } => all.insert(at(".zarray"), facade.version_2()),
        };
    }
    Ok(Some(json!({"zarr_consolidated_format": 1, "metadata": all})))
}
