//! The tree for readers of Zarr, version 2 and version 3: read-only stores, made as they are asked for.

mod chunk;
mod documents;
mod listing;

use axum::body::Body;
use girih_engine::zarr::ZarrNode;
use girih_model::{Error, NodePath, Result};
use serde_json::json;

use crate::ask::Ask;
use crate::envelope;
use crate::error::Reply;

/// What a URL of Zarr 2 names: a document of a node, one of its chunks, or the node.
pub(super) async fn version_2(ask: Ask, _: Body) -> Reply {
    let path = ask.path()?;
    let (above, last) = (path.parent().unwrap_or_else(NodePath::root), path.key().to_owned());
    if let Some(index) = index(last.split('.'))
        && let Some(ZarrNode::Array { facade, version, .. }) = ask.engine().find_zarr_node(ask.caller(), &above).await?
    {
        // An array without axes has one chunk, and its key needs a name.
        let index = if facade.axes() == 0 && index == [0] { Vec::new() } else { index };
        return chunk::send(&ask, &above, &facade, version, &index).await;
    }
    match last.as_str() {
        ".zgroup" => {
            group(&ask, &above).await?;
            envelope::reply(&ask, &json!({"zarr_format": 2}))
        }
        ".zarray" => match ask.engine().zarr_node(ask.caller(), &above).await? {
            ZarrNode::Array { facade, .. } => envelope::reply(&ask, &facade.version_2()),
            ZarrNode::Group { .. } => Err(wrong(&above, "a group", ".zgroup").into()),
        },
        ".zattrs" => {
            let node = ask.engine().zarr_node(ask.caller(), &above).await?;
            envelope::reply(&ask, &documents::attributes_2(&node)?)
        }
        ".zmetadata" => {
            let document = documents::consolidated_2(&ask, &above).await?;
            let document =
                document.ok_or_else(|| Error::not_found("This group has too many members for one document."))?;
            envelope::reply(&ask, &document)
        }
        _ => match ask.engine().zarr_node(ask.caller(), &path).await? {
            ZarrNode::Array { .. } => envelope::reply(&ask, &json!({})),
            ZarrNode::Group { columns, .. } => listing::send(&ask, "v2", &path, columns).await,
        },
    }
}

/// What a URL of Zarr 3 names: the description of a node, one of its chunks, or the node.
pub(super) async fn version_3(ask: Ask, _: Body) -> Reply {
    let path = ask.path()?;
    let keys: Vec<&str> = path.keys().collect();
    // Chunks are `c/0/1` below their array; but a node may be called that, too.
    if let Some(at) = keys.iter().rposition(|key| *key == "c")
        && let Some(index) = index(keys[at + 1..].iter().copied())
    {
        let above = NodePath::from_keys(&keys[..at])?;
        match ask.engine().find_zarr_node(ask.caller(), &above).await? {
            Some(ZarrNode::Array { facade, version, .. }) => {
                return chunk::send(&ask, &above, &facade, version, &index).await;
            }
            Some(ZarrNode::Group { .. }) | None => {}
        }
    }
    if path.key() == "zarr.json" {
        let above = path.parent().unwrap_or_else(NodePath::root);
        let node = ask.engine().zarr_node(ask.caller(), &above).await?;
        return envelope::reply(&ask, &documents::version_3(&ask, &above, node).await?);
    }
    match ask.engine().zarr_node(ask.caller(), &path).await? {
        ZarrNode::Group { columns, .. } => listing::send(&ask, "v3", &path, columns).await,
        node @ ZarrNode::Array { .. } => envelope::reply(&ask, &documents::version_3(&ask, &path, node).await?),
    }
}

async fn group(ask: &Ask, path: &NodePath) -> Result<()> {
    match ask.engine().zarr_node(ask.caller(), path).await? {
        ZarrNode::Group { .. } => Ok(()),
        ZarrNode::Array { .. } => Err(wrong(path, "an array", ".zarray")),
    }
}

fn wrong(path: &NodePath, what: &str, document: &str) -> Error {
    Error::not_found(format!("The node at {path} is {what}: ask for its {document}."))
}

/// Numbers only, each written in one way: a chunk has one key.
fn index<'a>(parts: impl Iterator<Item = &'a str>) -> Option<Vec<u64>> {
    let number = |part: &str| {
        let is_plain = part.bytes().all(|c| c.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
        is_plain.then(|| part.parse().ok()).flatten()
    };
    parts.map(number).collect()
}
