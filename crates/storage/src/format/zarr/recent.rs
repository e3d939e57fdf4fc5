//! Chunks that were decoded lately: where one slice of a chunk is read, the next is often not far.

use std::fs::File;
use std::sync::LazyLock;

use bytes::Bytes;
use girih_model::Result;
use moka::sync::Cache;

use crate::place::file::Stamp;

/// Most bytes of chunks that are kept.
const CAPACITY: u64 = 80 << 20;
/// Larger chunks would push out too many others.
const LARGEST: usize = 8 << 20;

static CHUNKS: LazyLock<Cache<Stamp, Bytes>> = LazyLock::new(|| {
    let weigh = |_: &Stamp, chunk: &Bytes| u32::try_from(chunk.len() + size_of::<Stamp>()).unwrap_or(u32::MAX);
    Cache::builder().max_capacity(CAPACITY).weigher(weigh).build()
});

/// The chunk in a file, decoded now or lately.
pub(super) fn chunk(file: File, nbytes: usize, decode: impl FnOnce(File) -> Result<Vec<u8>>) -> Result<Bytes> {
    let Some(stamp) = Stamp::of(&file).filter(|_| nbytes <= LARGEST) else { return decode(file).map(Bytes::from) };
    if let Some(chunk) = CHUNKS.get(&stamp) {
        return Ok(chunk);
    }
    let chunk = Bytes::from(decode(file)?);
    CHUNKS.insert(stamp, chunk.clone());
    Ok(chunk)
}
