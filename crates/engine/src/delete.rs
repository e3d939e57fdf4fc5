//! Taking nodes out.

use girih_model::{NodePath, Result};

use crate::{Caller, Engine};

impl Engine {
    /// # Errors
    /// `Conflict` when the node has children and not `recursive`, or when data that girih keeps would go and `external_only`.
    pub async fn delete(
        &self,
        _caller: &Caller,
        _path: &NodePath,
        _recursive: bool,
        _external_only: bool,
    ) -> Result<()> {
        unimplemented!()
    }
}
