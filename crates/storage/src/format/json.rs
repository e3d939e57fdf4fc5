//! `application/json`: arrays as nested lists, tables as lists by column, containers as a tree of metadata.

use async_trait::async_trait;
use girih_model::{ByteStream, Data, Family, Result};

use super::partition::index::columns_only;
use super::{EncodeOptions, Encoded, Format};

mod array;
mod table;
mod tree;

/// - An array streams: `[[1,2],[3,4]]`, and a bare value when it has no axes. See [`crate::item::Item::push_json`] for
///   what each dtype becomes.
/// - A table is `{"column":[…],…}`; since its columns come row by row, it is gathered first. See
///   [`crate::item::Cell::push_json`].
/// - A container is `{"contents":{"child":{"contents":{},"metadata":{}}},"metadata":{}}`, without data.
pub struct Json;

#[async_trait]
impl Format for Json {
    fn media_type(&self) -> &'static str {
        "application/json"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["json"]
    }

    fn encodes(&self) -> &'static [Family] {
        &[Family::Array, Family::Table, Family::Container]
    }

    async fn encode(&self, data: Data, options: &EncodeOptions) -> Result<Encoded> {
        let (length, body): (Option<u64>, ByteStream) = match data {
            Data::Array(array) => (None, array::encode(array)?),
            Data::Table(table) => table::encode(columns_only(table), options.memory_limit).await?,
            Data::Tree(tree) => tree::encode(tree, options.memory_limit).await?,
        };
        Ok(Encoded { media_type: self.media_type().into(), length, body, itemsize: 1 })
    }
}
