//! Chunks that were decoded lately: where one slice of a chunk is read, the next is often not far, and what is looked at
//! twice is looked at again.

use std::fs::File;
use std::sync::LazyLock;

use bytes::Bytes;
use girih_model::Result;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::place::file::Stamp;

/// Most bytes of chunks that are kept.
const CAPACITY: u64 = 80 << 20;
/// Larger chunks would push out too many others.
const LARGEST: usize = 8 << 20;

static CHUNKS: LazyLock<Cache<Stamp, Bytes>> = LazyLock::new(|| {
    let weigh = |_: &Stamp, chunk: &Bytes| u32::try_from(chunk.len() + size_of::<Stamp>()).unwrap_or(u32::MAX);
    // The usual policy weighs how often each was used and not how long it takes to decode: many small ones would keep a
    // large one out for ever.
    Cache::builder().max_capacity(CAPACITY).weigher(weigh).eviction_policy(EvictionPolicy::lru()).build()
});

/// Chunks that were wanted as a whole: a walk over a large array comes by each of its chunks once, and must not push out
/// what others keep looking at.
static SEEN: LazyLock<Cache<Stamp, ()>> = LazyLock::new(|| Cache::new(4096));

/// How much of a chunk is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Part,
    Whole,
}

/// The chunk in a file, decoded now or lately.
pub(super) fn chunk(
    file: File,
    nbytes: usize,
    wanted: Use,
    decode: impl FnOnce(File) -> Result<Vec<u8>>,
) -> Result<Bytes> {
    let Some(stamp) = Stamp::of(&file).filter(|_| nbytes <= LARGEST) else { return decode(file).map(Bytes::from) };
    if let Some(chunk) = CHUNKS.get(&stamp) {
        return Ok(chunk);
    }
    let chunk = Bytes::from(decode(file)?);
    if wanted == Use::Part || SEEN.contains_key(&stamp) {
        CHUNKS.insert(stamp, chunk.clone());
        // Otherwise dozens of large ones may wait to be taken in or turned away.
        CHUNKS.run_pending_tasks();
    } else {
        SEEN.insert(stamp, ());
    }
    Ok(chunk)
}
