//! Data into the house.

use girih_model::{ByteStream, Family, NodePath, Result, Selection, Structure};
pub use girih_storage::Write as WriteMode;

use crate::{Caller, Engine};

pub struct WriteRequest {
    pub families: Vec<Family>,
    pub selection: Selection,
    pub mode: WriteMode,
    /// For a patch of an array: where it goes and what it measures; overrides the selection's slice.
    pub patch: Option<ArrayPatch>,
    /// Media type of the body.
    pub content_type: String,
    pub content_length: Option<u64>,
    pub body: ByteStream,
    /// False: the data is for watchers only and is not stored.
    pub persist: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrayPatch {
    /// May have fewer entries than there are axes; the others are 0.
    pub offset: Vec<u64>,
    pub shape: Vec<u64>,
}

impl Engine {
    /// Stores the body and returns the structure afterwards. When it returns, the data is durable.
    ///
    /// # Errors
    /// `UnsupportedMediaType`, `Unprocessable` (a body that does not fit), `Conflict` (a patch that
    /// reaches beyond the array without `Extend`); in each case nothing has been written.
    pub async fn write(&self, _caller: &Caller, _path: &NodePath, _request: WriteRequest) -> Result<Structure> {
        unimplemented!()
    }
}
