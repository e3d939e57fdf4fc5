//! Metadata, specs and their history.

use girih_database::Change;
use girih_model::node::Revision;
use girih_model::{Error, ErrorKind, Json, Node, NodePath, Result, ResultExt, Spec};
use json_patch::PatchOperation;
use serde_json::Value;

use crate::access::Permission;
use crate::create::{check_metadata, check_tags};
use crate::{Caller, Engine, Entry};

/// How often a change is tried again when somebody else was faster.
const ATTEMPTS: usize = 8;

/// Most that the copies of one JSON patch may add: values and bytes of text.
const MAX_COPIED: usize = 4 << 20;

/// New values; `None` keeps what is there.
#[derive(Debug, Clone, Default)]
pub struct Replace {
    pub metadata: Option<Json>,
    pub specs: Option<Vec<Spec>>,
    pub access_tags: Option<Vec<String>>,
}

/// How patches are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchKind {
    /// RFC 6902.
    Json,
    /// RFC 7396.
    Merge,
}

#[derive(Debug, Clone)]
pub struct Patch {
    pub kind: PatchKind,
    pub metadata: Option<Value>,
    pub specs: Option<Value>,
    pub access_tags: Option<Value>,
}

impl Engine {
    pub async fn replace_metadata(
        &self,
        caller: &Caller,
        path: &NodePath,
        new: Replace,
        keep_revision: bool,
    ) -> Result<Entry> {
        check_tags(new.access_tags.as_deref())?;
        self.change(caller, path, |_| {
            Ok(Change { metadata: new.metadata.clone(), specs: new.specs.clone(), keep_revision })
        })
        .await
    }

    /// # Errors
    /// `Unprocessable` when the patch does not apply, or its result is not an object, or the specs are not unique.
    pub async fn patch_metadata(
        &self,
        caller: &Caller,
        path: &NodePath,
        patch: Patch,
        keep_revision: bool,
    ) -> Result<Entry> {
        if let Some(tags) = &patch.access_tags {
            let tags = apply(patch.kind, Value::Array(Vec::new()), tags)?;
            let tags: Vec<String> = serde_json::from_value(tags)
                .or_error(|_| Error::unprocessable("access_tags patch must produce a list of strings"))?;
            check_tags(Some(&tags))?;
        }
        self.change(caller, path, |node| {
            let metadata = match &patch.metadata {
                Some(p) => Some(Json::from_value(&apply(patch.kind, node.metadata.to_value(), p)?)),
                None => None,
            };
            let specs = match &patch.specs {
                Some(p) => {
                    let now = serde_json::to_value(&node.specs).internal(|| "writing specs".into())?;
                    let specs = apply(patch.kind, now, p)?;
                    Some(serde_json::from_value(specs).or_error(|e| {
                        Error::unprocessable(format!(
                            "specs patch must produce a list of {{name, version}} objects: {e}"
                        ))
                    })?)
                }
                None => None,
            };
            Ok(Change { metadata, specs, keep_revision })
        })
        .await
    }

    /// Makes a change that starts from what is there, again if somebody else changed it meanwhile.
    async fn change(&self, caller: &Caller, path: &NodePath, make: impl Fn(&Node) -> Result<Change>) -> Result<Entry> {
        caller.require(&[Permission::WriteMetadata])?;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (mount, node) = self.find_node(path, "update of metadata").await?;
            if mount.is_configured(&node) {
                return Err(Error::unsupported(
                    "The metadata of this node is set in the server's configuration and can only be changed there.",
                ));
            }
            let change = make(&node)?;
            change.metadata.as_ref().map_or(Ok(()), check_metadata)?;
            self.check_specs(change.specs.as_deref().unwrap_or_default())?;
            match mount.database().update(node.id, node.version, change).await {
                Ok(changed) => {
                    mount.catalog.tell(changed.news).await;
                    return Ok(mount.entry(changed.node));
                }
                Err(e) if e.kind() == ErrorKind::Conflict && attempts < ATTEMPTS => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// A page of revisions, oldest first, and how many there are.
    pub async fn revisions(
        &self,
        caller: &Caller,
        path: &NodePath,
        offset: u64,
        limit: u64,
    ) -> Result<(Vec<Revision>, u64)> {
        caller.require(&[Permission::ReadMetadata])?;
        let (mount, node) = self.find_node(path, "revisions").await?;
        let page = mount.database().revisions(node.id, offset, limit).await?;
        Ok((page.revisions, page.count))
    }

    pub async fn delete_revision(&self, caller: &Caller, path: &NodePath, number: i64) -> Result<()> {
        caller.require(&[Permission::DeleteRevision])?;
        let (mount, node) = self.find_node(path, "revisions").await?;
        mount.database().delete_revision(node.id, number).await
    }
}

fn apply(kind: PatchKind, mut target: Value, patch: &Value) -> Result<Value> {
    match kind {
        PatchKind::Merge => json_patch::merge(&mut target, patch),
        PatchKind::Json => {
            let operations: json_patch::Patch = serde_json::from_value(patch.clone())
                .or_error(|e| Error::unprocessable(format!("This is not a JSON patch (RFC 6902): {e}")))?;
            let mut copied = 0;
            for operation in operations.0 {
                // Each copy may double what is there: a patch of a few lines must not fill the memory.
                if let PatchOperation::Copy(copy) = &operation {
                    copied += target.pointer(copy.from.as_str()).map_or(0, weight);
                    if copied > MAX_COPIED {
                        return Err(Error::unprocessable("The JSON patch copies too much."));
                    }
                }
                json_patch::patch(&mut target, &[operation])
                    .or_error(|e| Error::unprocessable(format!("The JSON patch does not apply: {e}")))?;
            }
        }
    }
    Ok(target)
}

/// Values and bytes of text.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => 1 + text.len(),
        Value::Array(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Object(fields) => 1 + fields.iter().map(|(key, value)| key.len() + weight(value)).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patches_apply_or_say_why() {
        let target = json!({"a": 1, "b": [1, 2]});
        let patch = json!([{"op": "add", "path": "/c", "value": 3}, {"op": "copy", "from": "/b", "path": "/d"}]);
        let patched = apply(PatchKind::Json, target.clone(), &patch).unwrap();
        assert_eq!(patched, json!({"a": 1, "b": [1, 2], "c": 3, "d": [1, 2]}));
        assert_eq!(apply(PatchKind::Merge, target.clone(), &json!({"a": null})).unwrap(), json!({"b": [1, 2]}));
        for bad in [json!([{"op": "remove", "path": "/zz"}]), json!([{"op": "nope"}]), json!({"a": 1})] {
            assert!(apply(PatchKind::Json, target.clone(), &bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn copies_cannot_double_without_end() {
        let copies: Vec<_> = (0..64).map(|n| json!({"op": "copy", "from": "", "path": format!("/c{n}")})).collect();
        assert!(apply(PatchKind::Json, json!({"a": "x".repeat(1000)}), &Value::Array(copies)).is_err());
    }
}
