//! Taking nodes out.

use girih_model::{NodePath, Result};

use crate::access::Permission;
use crate::{Caller, Engine};

impl Engine {
    /// The catalog lets go first, the bytes follow: a crash in between leaves files that nothing
    /// refers to, never an entry without its data.
    ///
    /// # Errors
    /// `Conflict` when the node has children and not `recursive`, or when data that girih keeps would go and `external_only`.
    pub async fn delete(&self, caller: &Caller, path: &NodePath, recursive: bool, external_only: bool) -> Result<()> {
        caller.require(&[Permission::DeleteNode, Permission::DeleteRevision])?;
        let (mount, node) = self.find_node(path, "deletion").await?;
        // Nobody may create this path anew before its old bytes are gone.
        let _guard = mount.catalog.locks.lock(format!("path:{}", node.path)).await;
        let deleted = mount.database().delete(node.id, recursive, external_only).await?;
        if let Err(e) = mount.storage.remove(&deleted.assets).await {
            tracing::warn!(error = %e, %path, "deleted entries left files behind");
        }
        mount.catalog.end_streams().await;
        Ok(())
    }
}
