//! Raw files behind the data.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use girih_model::{Asset, ByteStream, Error, Management, Node, NodePath, Result, ResultExt};

use crate::access::Permission;
use crate::engine::Mount;
use crate::{Caller, Engine};

/// An open file to be sent as it is.
pub struct AssetFile {
    file: Arc<File>,
    /// Bytes.
    pub size: u64,
    pub modified: SystemTime,
    /// File name for `Content-Disposition`.
    pub name: String,
    /// Guessed from the name.
    pub media_type: String,
}

impl AssetFile {
    /// # Errors
    /// `Internal` when the file does not tell its size.
    pub fn new(file: File, name: String) -> Result<Self> {
        let metadata = file.metadata().internal(|| format!("reading the size of the asset {name}"))?;
        let media_type = mime_guess::from_path(&name).first_or_octet_stream().to_string();
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        Ok(Self { file: Arc::new(file), size: metadata.len(), modified, name, media_type })
    }

    /// These bytes of it, read as they are sent.
    pub fn bytes(&self, range: Range<u64>) -> ByteStream {
        girih_storage::place::file::stream(self.file.clone(), range)
    }
}

#[derive(Debug, Clone, Copy)]
pub struct AssetDeleted {
    pub asset_deleted: bool,
    pub data_deleted: bool,
}

impl Engine {
    /// A page of the assets of a node's data source, and how many there are.
    ///
    /// # Errors
    /// `Forbidden` without the permission to read metadata, `NotFound` for the node.
    pub async fn assets(&self, caller: &Caller, path: &NodePath, offset: u64, limit: u64) -> Result<(Vec<Asset>, u64)> {
        caller.require(&[Permission::ReadMetadata])?;
        let (mount, node) = self.find_node(path, "listing assets").await?;
        let sources = mount.database().data_sources(node.id).await?;
        let assets: Vec<Asset> = sources.into_iter().flat_map(|source| source.assets).collect();
        let count = assets.len() as u64;
        let bounded = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Ok((assets.into_iter().skip(bounded(offset)).take(bounded(limit)).collect(), count))
    }

    /// Opens an asset, or the file at `relative` below a directory asset.
    ///
    /// # Errors
    /// `Forbidden` without the permission to read data, when raw files are not to be had here, or when the file may not
    /// be read; `NotFound` for the node and the asset; `Malformed` when `relative` does not go with it, or leads out;
    /// `Gone` when the file is.
    pub async fn asset_file(
        &self,
        caller: &Caller,
        path: &NodePath,
        id: i64,
        relative: Option<&str>,
    ) -> Result<AssetFile> {
        caller.require(&[Permission::ReadData])?;
        let (mount, _, _, asset) = self.find_asset(path, id).await?;
        match (asset.is_directory, relative) {
            (true, None) => Err(Error::malformed(format!(
                "This asset is a directory. Must specify relative path, from manifest provided by /asset/manifest/...?id={id}"
            ))),
            (false, Some(_)) => Err(Error::malformed(
                "This asset is not a directory. The relative_path query parameter must not be specified.",
            )),
            (_, relative) => {
                let (file, location) = mount.storage.open_asset(&asset, relative).await?;
                AssetFile::new(file, location.name())
            }
        }
    }

    /// Relative paths of all files below a directory asset, sorted.
    ///
    /// # Errors
    /// Those of [`Engine::asset_file`]; `Malformed` for a file, `TooLarge` when there are more than a million.
    pub async fn asset_manifest(&self, caller: &Caller, path: &NodePath, id: i64) -> Result<Vec<String>> {
        caller.require(&[Permission::ReadData])?;
        let (mount, _, _, asset) = self.find_asset(path, id).await?;
        if !asset.is_directory {
            return Err(Error::malformed("This asset is not a directory. There is no manifest."));
        }
        mount.storage.manifest(&asset).await
    }

    /// Takes an asset from a node, with its bytes if they are ours and no other node has it.
    ///
    /// # Errors
    /// `Forbidden` without the permission to delete, or when raw files are not to be had here; `NotFound` for the node
    /// and the asset; `Conflict` when bytes of ours would be lost although it is `external_only`; `StorageFailed`.
    pub async fn delete_asset(
        &self,
        caller: &Caller,
        path: &NodePath,
        id: i64,
        external_only: bool,
    ) -> Result<AssetDeleted> {
        caller.require(&[Permission::DeleteNode])?;
        let (mount, node, management, _) = self.find_asset(path, id).await?;
        let _guard = mount.catalog.locks.lock(format!("path:{}", node.path)).await;
        let (asset, unused) = mount.database().delete_asset(node.id, id, external_only).await?;
        let ours = management != Management::External;
        if unused && ours {
            mount.storage.remove(std::slice::from_ref(&asset)).await?;
        }
        Ok(AssetDeleted { asset_deleted: unused, data_deleted: unused && ours })
    }

    async fn find_asset(&self, path: &NodePath, id: i64) -> Result<(Arc<Mount>, Node, Management, Asset)> {
        if !self.inner.options.expose_raw_assets {
            return Err(Error::forbidden("This server is configured not to allow downloading raw assets."));
        }
        let (mount, node) = self.find_node(path, "downloading assets").await?;
        let found = mount.database().asset(node.id, id).await?;
        let (management, asset) = found
            .ok_or_else(|| Error::not_found(format!("This node exists but it does not have an Asset with id {id}.")))?;
        Ok((mount, node, management, asset))
    }
}
