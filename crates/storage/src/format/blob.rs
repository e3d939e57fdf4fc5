//! Plain bytes: files of any kind, registered to be found and downloaded as they are.
//!
//! They have no structure and nothing to slice; their assets are read through the asset endpoints.

use std::sync::Arc;

use async_trait::async_trait;
use girih_model::structure::BytesStructure;
use girih_model::{Data, DataSource, Error, Family, Result, Selection, Structure};

use crate::dataset::Dataset;
use crate::place::Places;

pub(super) struct Blob;

/// Opens a data source of plain bytes: every asset must lie where we may read.
pub(super) fn open(source: &DataSource, places: &Places) -> Result<Arc<dyn Dataset>> {
    source.assets.iter().try_for_each(|asset| places.locate(&asset.data_uri).map(drop))?;
    Ok(Arc::new(Blob))
}

#[async_trait]
impl Dataset for Blob {
    fn structure(&self) -> Structure {
        Structure::Bytes(BytesStructure {})
    }

    async fn read(&self, _selection: &Selection) -> Result<Data> {
        Err(Error::unsupported(
            "Plain bytes are not read in parts of a structure. Download the asset: GET /asset/bytes.",
        ))
    }
}

/// The families that `application/octet-stream` opens.
pub(super) const OPENS: &[Family] = &[Family::Bytes];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Format;
    use crate::format::octet_stream::OctetStream;

    #[tokio::test]
    async fn a_blob_is_found_but_not_sliced() {
        assert_eq!(OctetStream.opens(), OPENS);
        assert_eq!(Blob.structure().family(), Family::Bytes);
        let error = Blob.read(&Selection::all()).await.map(drop).unwrap_err();
        assert!(error.message().contains("/asset/bytes"));
    }
}
