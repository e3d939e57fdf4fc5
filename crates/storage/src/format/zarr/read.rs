//! Reading a region, chunk by chunk, in C order.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use girih_model::slice::Fitted;
use girih_model::{ArrayData, DType, Result};

use super::chunk::Store;
use super::copy::copy;
use super::metadata::Codec;
use super::plan::{Band, Plan};
use super::recent::Use;
use crate::dataset::StoredBytes;
use crate::pool::{ANSWERS, blocking};

/// Bands that are decoded at the same time: while one goes out, the next is made.
const READ_AHEAD: usize = 2;

pub(super) async fn read(store: &Arc<Store>, dtype: &DType, region: Fitted) -> Result<ArrayData> {
    let itemsize = dtype.itemsize();
    let shape = region.shape();
    let plan = Arc::new(Plan::new(&region.0, store.grid(), itemsize));
    let store = store.clone();
    if let Some(band) = plan.first().filter(|first| plan.after(first).is_none()) {
        // All in one go.
        let room = ANSWERS.take(plan.nbytes(&band)).await?;
        let items = room.hold(blocking(move || assemble(&store.pinned()?, &plan, &band, itemsize)).await?);
        return Ok(ArrayData { dtype: dtype.clone(), shape, pieces: stream::iter([Ok(items)]).boxed() });
    }
    let bands = plan.bands();
    let store = Arc::new(blocking(move || store.pinned()).await?);
    let pieces = stream::iter(bands.enumerate())
        .map(move |(n, band)| {
            let (store, plan) = (store.clone(), plan.clone());
            async move {
                let nbytes = plan.nbytes(&band);
                let room = if n == 0 { ANSWERS.take(nbytes).await? } else { ANSWERS.more(nbytes).await };
                Ok(room.hold(blocking(move || assemble(&store, &plan, &band, itemsize)).await?))
            }
        })
        .buffered(READ_AHEAD);
    Ok(ArrayData { dtype: dtype.clone(), shape, pieces: pieces.boxed() })
}

fn assemble(store: &Store, plan: &Plan, band: &Band, itemsize: usize) -> Result<Bytes> {
    let visits = plan.visits(band);
    let nbytes = plan.nbytes(band);
    if let [visit] = visits.as_slice()
        && visit.whole
        && visit.is_straight()
        && let Some(chunk) = store.load(&visit.chunk, Use::Whole)?
    {
        // The band is the chunk.
        return Ok(chunk);
    }
    let mut items = vec![0; nbytes];
    let mut complete = true;
    for visit in &visits {
        match store.load(&visit.chunk, if visit.whole { Use::Whole } else { Use::Part })? {
            Some(chunk) => copy(&mut items, &visit.in_band, &chunk, &visit.in_chunk, &visit.counts, itemsize),
            None => complete = false,
        }
    }
    if !complete {
        store.check_present()?;
    }
    Ok(items.into())
}

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
