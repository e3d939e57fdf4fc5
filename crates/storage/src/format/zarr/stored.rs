//! Chunks that go out as they are stored.

use std::sync::Arc;

use girih_model::Result;
use girih_model::slice::Fitted;

use super::chunk::Store;
use super::metadata::Codec;
use crate::dataset::StoredBytes;
use crate::format::chunked::Chunks;
use crate::pool::{ANSWERS, blocking};

/// The file of the one chunk that is selected as a whole, if the caller accepts its encoding.
pub(super) async fn stored(store: &Arc<Store>, region: Fitted, accept: &[&str]) -> Result<Option<StoredBytes>> {
    let encoding = match store.codec() {
        Codec::Raw => "identity",
        Codec::Zstd { .. } => "zstd",
    };
    let one_chunk = store.grid().iter().zip(&region.0).all(|(len, axis)| {
        axis.start.is_multiple_of(*len) && axis.count == *len && (axis.step == 1 || axis.count == 1)
    });
    if !one_chunk || !accept.contains(&encoding) || store.nbytes() == 0 {
        return Ok(None);
    }
    let index: Vec<u64> = store.grid().iter().zip(&region.0).map(|(len, axis)| axis.start / len).collect();
    let store = store.clone();
    let room = ANSWERS.take(store.nbytes()).await?;
    let file = blocking(move || store.pinned()?.load_encoded(&index)).await?;
    Ok(file.map(|bytes| StoredBytes { encoding, bytes: room.hold(bytes.into()) }))
}
