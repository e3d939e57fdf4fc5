//! Raw files behind the data.

use girih_model::{NodePath, Result};

use crate::{Caller, Engine};

/// An open file to be sent as it is.
pub struct AssetFile {
    pub file: std::fs::File,
    /// Bytes.
    pub size: u64,
    pub modified: std::time::SystemTime,
    /// File name for `Content-Disposition`.
    pub name: String,
    pub media_type: String,
}

#[derive(Debug, Clone, Copy)]
pub struct AssetDeleted {
    pub asset_deleted: bool,
    pub data_deleted: bool,
}

impl Engine {
    /// Opens an asset, or the file at `relative` below a directory asset.
    pub async fn asset_file(
        &self,
        _caller: &Caller,
        _path: &NodePath,
        _id: i64,
        _relative: Option<&str>,
    ) -> Result<AssetFile> {
        unimplemented!()
    }

    /// Relative paths of all files below a directory asset, sorted.
    pub async fn asset_manifest(&self, _caller: &Caller, _path: &NodePath, _id: i64) -> Result<Vec<String>> {
        unimplemented!()
    }

    pub async fn delete_asset(
        &self,
        _caller: &Caller,
        _path: &NodePath,
        _id: i64,
        _external_only: bool,
    ) -> Result<AssetDeleted> {
        unimplemented!()
    }
}
