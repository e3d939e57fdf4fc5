//! Chunks that were decoded lately: where one slice of a chunk is read, the next is often not far, and what is looked at
//! twice is looked at again.

use std::sync::LazyLock;

use bytes::Bytes;
use girih_model::Result;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::buffers;
use crate::place::file::Stamp;

/// Most bytes of chunks that are kept.
const CAPACITY: u64 = 80 << 20;
/// Larger chunks would push out too many others.
pub(in crate::format) const LARGEST: usize = 8 << 20;

/// Which chunk, of a file in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::format) struct Key {
    pub stamp: Stamp,
    /// Another for each way to make chunks of the same file.
    pub layout: u64,
    pub number: u64,
}

static CHUNKS: LazyLock<Cache<Key, Bytes>> = LazyLock::new(|| {
    let weigh = |_: &Key, chunk: &Bytes| u32::try_from(chunk.len() + size_of::<Key>()).unwrap_or(u32::MAX);
    // The usual policy weighs how often each was used and not how long it takes to decode: many small ones would keep a
    // large one out for ever.
    Cache::builder().max_capacity(CAPACITY).weigher(weigh).eviction_policy(EvictionPolicy::lru()).build()
});

/// Chunks that were wanted as a whole, with their sizes: a walk over a large array comes by each of its chunks once, and
/// must not push out what others keep looking at. As many bytes as are kept, so that a second walk over what would not
/// have stayed does not either.
static SEEN: LazyLock<Cache<Key, u32>> = LazyLock::new(|| {
    let weigh = |_: &Key, bytes: &u32| *bytes;
    Cache::builder().max_capacity(CAPACITY).weigher(weigh).eviction_policy(EvictionPolicy::lru()).build()
});

/// How much of a chunk is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::format) enum Use {
    Part,
    Whole,
}

/// A chunk, decoded now or lately; without a key it is not kept.
pub(in crate::format) fn chunk(
    key: Option<Key>,
    nbytes: usize,
    wanted: Use,
    decode: impl FnOnce() -> Result<Vec<u8>>,
) -> Result<Bytes> {
    let Some(key) = key.filter(|_| nbytes <= LARGEST) else { return decode().map(buffers::lend) };
    if let Some(chunk) = CHUNKS.get(&key) {
        return Ok(chunk);
    }
    let chunk = buffers::lend(decode()?);
    if wanted == Use::Part || SEEN.contains_key(&key) {
        CHUNKS.insert(key, chunk.clone());
        // Otherwise dozens of large ones may wait to be taken in or turned away.
        CHUNKS.run_pending_tasks();
    } else {
        SEEN.insert(key, u32::try_from(nbytes).unwrap_or(u32::MAX).max(4096));
        SEEN.run_pending_tasks();
    }
    Ok(chunk)
}
