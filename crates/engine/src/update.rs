//! Metadata, specs and their history.

use girih_database::Change;
use girih_model::node::Revision;
use girih_model::{Error, ErrorKind, Json, Node, NodePath, Result, ResultExt, Spec};
use serde_json::Value;

use crate::access::Permission;
use crate::create::{check_metadata, check_tags};
use crate::{Caller, Engine, Entry};

/// How often a change is tried again when somebody else was faster.
const ATTEMPTS: usize = 8;

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
        for attempt in 1.. {
            let (mount, node) = self.find_node(path, "update of metadata").await?;
            if mount.is_configured(&node) {
                return Err(Error::unsupported(
                    "The metadata of this node is set in the server's configuration and can only be changed there.",
                ));
            }
            let change = make(&node)?;
            change.metadata.as_ref().map_or(Ok(()), check_metadata)?;
            self.check_specs(change.specs.as_deref().unwrap_or_default())?;
            match mount.database.update(node.id, node.version, change).await {
                Ok((node, _revision)) => return Ok(mount.entry(node)),
                Err(e) if e.kind() == ErrorKind::Conflict && attempt < ATTEMPTS => {}
                Err(e) => return Err(e),
            }
        }
        unreachable!("the last attempt returns")
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
        let page = mount.database.revisions(node.id, offset, limit).await?;
        Ok((page.revisions, page.count))
    }

    pub async fn delete_revision(&self, caller: &Caller, path: &NodePath, number: i64) -> Result<()> {
        caller.require(&[Permission::DeleteRevision])?;
        let (mount, node) = self.find_node(path, "revisions").await?;
        mount.database.delete_revision(node.id, number).await
    }
}

fn apply(kind: PatchKind, mut target: Value, patch: &Value) -> Result<Value> {
    match kind {
        PatchKind::Merge => json_patch::merge(&mut target, patch),
        PatchKind::Json => {
            let operations: json_patch::Patch = serde_json::from_value(patch.clone())
                .or_error(|e| Error::unprocessable(format!("This is not a JSON patch (RFC 6902): {e}")))?;
            json_patch::patch(&mut target, &operations)
                .or_error(|e| Error::unprocessable(format!("The JSON patch does not apply: {e}")))?;
        }
    }
    Ok(target)
}
