//! `text/html`: a page for someone who opens a link in a browser. It refers to nothing outside itself.

use async_trait::async_trait;
use girih_model::{Data, Family, Result};

use super::partition::index::columns_only;
use super::{EncodeOptions, Encoded, Format};

mod array;
mod page;
mod table;

/// - An array: what it is, a picture of its first plane if that is one (see [`super::png::Png`] for the query
///   parameters), and its first values.
/// - A table: all its rows, streamed. Values are pandas' text: see [`crate::item::Cell::push_text`].
pub struct Html;

#[async_trait]
impl Format for Html {
    fn media_type(&self) -> &'static str {
        "text/html"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["html", "htm"]
    }

    fn encodes(&self) -> &'static [Family] {
        &[Family::Array, Family::Table]
    }

    async fn encode(&self, data: Data, options: &EncodeOptions) -> Result<Encoded> {
        let (length, body) = match data {
            Data::Array(array) => array::encode(array, options).await?,
            Data::Table(table) => (None, table::encode(columns_only(table), options)),
            Data::Tree(_) => return Err(self.cannot_encode(Family::Container)),
        };
        Ok(Encoded { media_type: "text/html; charset=utf-8".into(), length, body, itemsize: 1 })
    }
}
