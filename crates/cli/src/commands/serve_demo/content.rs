//! The demo's content: uploads that were recorded by `scripts/make-demo.py`, played back into an engine.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::StreamExt;
use girih_engine::create::CreateRequest;
use girih_engine::write::{WriteMode, WriteRequest};
use girih_engine::{Caller, Engine};
use girih_model::{DataSource, Family, Json, Management, NodePath, Result, ResultExt, Selection, Structure};
use serde::Deserialize;
use tokio::task::JoinSet;

/// A zstd frame: a line of JSON (a list of [`Recorded`]), then the bodies one after another.
static CONTENT: &[u8] = include_bytes!("../../../../../testdata/demo/content.zst");

/// A node, in the order of creation.
#[derive(Deserialize)]
struct Recorded {
    path: String,
    family: Family,
    metadata: Json,
    /// As a client describes it; only nodes with data have these.
    structure: Option<Json>,
    content_type: Option<String>,
    /// Bytes of the body.
    #[serde(default)]
    nbytes: usize,
}

/// What is to be done for one node.
struct Upload {
    node: Recorded,
    parent: NodePath,
    path: NodePath,
    body: Bytes,
}

/// Puts everything into an empty catalog.
pub(super) async fn load(engine: &Engine) -> Result<()> {
    let uploads = tokio::task::spawn_blocking(recorded).await.internal(|| "unpacking the demo".into())??;
    let (containers, leaves): (Vec<_>, Vec<_>) = uploads.into_iter().partition(|u| u.node.structure.is_none());
    for container in containers {
        upload(engine, container).await?;
    }
    // The order within a container is that of creation, so parents can be filled at the same time, but not siblings.
    let mut by_parent: BTreeMap<NodePath, Vec<Upload>> = BTreeMap::new();
    for leaf in leaves {
        by_parent.entry(leaf.parent.clone()).or_default().push(leaf);
    }
    let mut filling = JoinSet::new();
    for siblings in by_parent.into_values() {
        let engine = engine.clone();
        filling.spawn(async move {
            for leaf in siblings {
                upload(&engine, leaf).await?;
            }
            Ok(())
        });
    }
    while let Some(done) = filling.join_next().await {
        done.internal(|| "filling the demo".into())??;
    }
    Ok(())
}

async fn upload(engine: &Engine, upload: Upload) -> Result<()> {
    let Upload { node, parent, path, body } = upload;
    let caller = Caller::single_user();
    let structure = node.structure.map(|json| Structure::parse(node.family, json.text())).transpose()?;
    let data_source = structure.map(|structure| DataSource {
        id: None,
        structure,
        mimetype: String::new(),
        parameters: Default::default(),
        properties: Default::default(),
        management: Management::Writable,
        assets: Vec::new(),
    });
    let request = CreateRequest {
        key: Some(path.key().to_owned()),
        family: node.family,
        metadata: node.metadata,
        specs: Vec::new(),
        data_sources: data_source.into_iter().collect(),
        access_tags: None,
    };
    engine.create(&caller, &parent, request, false).await?;
    let Some(content_type) = node.content_type else { return Ok(()) };
    let selection = match node.family {
        Family::Table => Selection::partition(0),
        _ => Selection::all(),
    };
    let request = WriteRequest {
        families: vec![node.family],
        selection,
        mode: WriteMode::Replace,
        patch: None,
        content_type,
        content_length: Some(body.len() as u64),
        body: futures::stream::once(async { Ok(body) }).boxed(),
        key: None,
        persist: true,
    };
    engine.write(&caller, &path, request).await?;
    Ok(())
}

/// Unpacks the recording, and gives each node its body.
fn recorded() -> Result<Vec<Upload>> {
    let damaged = || "reading the recorded demo".to_owned();
    let content = Bytes::from(zstd::decode_all(CONTENT).internal(damaged)?);
    let end = content.iter().position(|byte| *byte == b'\n').unwrap_or(content.len());
    let nodes: Vec<Recorded> = serde_json::from_slice(&content[..end]).internal(damaged)?;
    let mut bodies = content.slice((end + 1).min(content.len())..);
    let mut uploads = Vec::with_capacity(nodes.len());
    for node in nodes {
        let path = NodePath::parse(&node.path)?;
        let parent = path.parent().unwrap_or_else(NodePath::root);
        let body = bodies.split_to(node.nbytes.min(bodies.len()));
        uploads.push(Upload { node, parent, path, body });
    }
    Ok(uploads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recording_is_whole() {
        let uploads = recorded().unwrap();
        assert!(uploads.iter().all(|u| u.body.len() == u.node.nbytes));
        let paths: Vec<_> = uploads.iter().map(|u| u.path.as_str()).collect();
        for path in ["examples/xraydb/C/edges", "examples/xraydb/C/mu_total", "examples/images/binary_blobs"] {
            assert!(paths.contains(&path), "{path}");
        }
        assert_eq!(uploads.iter().filter(|u| u.parent.as_str() == "examples/xraydb").count(), 98);
        for upload in &uploads {
            assert!(upload.parent.is_root() || paths.contains(&upload.parent.as_str()));
            let Some(json) = &upload.node.structure else { continue };
            let structure = Structure::parse(upload.node.family, json.text()).unwrap();
            if let Structure::Array(array) = structure {
                assert_eq!(array.nbytes(), Some(upload.body.len() as u64), "{}", upload.path);
            }
        }
    }
}
