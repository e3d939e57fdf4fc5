//! Arrays that lie in chunks, of whatever format: a region is read chunk by chunk, in C order.

pub(super) mod copy;
pub(super) mod plan;
pub(super) mod recent;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use girih_model::slice::{Axis, Fitted};
use girih_model::structure::array::Chunks as Lengths;
use girih_model::{ArrayData, ArrayStructure, DType, Error, Result};

use crate::pool::{ANSWERS, blocking};
use copy::copy;
use plan::{Band, Plan};
use recent::Use;

/// Bands that are decoded at the same time: while one goes out, the next is made.
const READ_AHEAD: usize = 2;
/// Larger chunks are decoded one at a time, in bytes.
const LARGE: usize = 64 << 20;

/// The chunks of an array. Opening and loading may block.
pub(super) trait Chunks: Send + Sync + 'static {
    type Open: Load;

    /// The shape of a chunk.
    fn grid(&self) -> &[u64];

    /// For one read.
    fn open(self: &Arc<Self>) -> Result<Self::Open>;
}

/// Chunks that are open.
pub(super) trait Load: Send + Sync + 'static {
    /// The items of a chunk, in C order and in its full size; `None` when it is not there and counts as zeros.
    fn load(&self, index: &[u64], wanted: Use) -> Result<Option<Bytes>>;

    /// A chunk was not there.
    ///
    /// # Errors
    /// When the array is not there any more.
    fn check_present(&self) -> Result<()> {
        Ok(())
    }
}

/// Chunks of what has none: stretches of about so many bytes that are contiguous in C order.
pub(super) fn stretch(shape: &[u64], itemsize: usize, bytes: u64) -> Vec<u64> {
    let mut left = (bytes / itemsize.max(1) as u64).max(1);
    let mut chunk = vec![1; shape.len()];
    for (len, size) in chunk.iter_mut().zip(shape).rev() {
        *len = (*size).clamp(1, left);
        left = (left / *len).max(1);
        // Only whole rows of what lies further in are one stretch.
        if *len < *size {
            break;
        }
    }
    chunk
}

/// Where a stretch lies in an array in C order, from its beginning on, in bytes. At the end of an axis it is shorter.
///
/// # Errors
/// `Damaged` when that is more than a file can have.
pub(super) fn span(index: &[u64], grid: &[u64], shape: &[u64], itemsize: usize) -> Result<Range<u64>> {
    let within = || {
        let (mut start, mut whole, mut len) = (0u64, itemsize as u64, itemsize as u64);
        for ((n, chunk), size) in index.iter().zip(grid).zip(shape).rev() {
            start = start.checked_add(n.checked_mul(*chunk)?.checked_mul(whole)?)?;
            whole = whole.checked_mul(*size)?;
            len = len.checked_mul(*chunk)?;
        }
        let end = start.checked_add(len)?.min(whole);
        Some(start.min(end)..end)
    };
    within().ok_or_else(|| Error::damaged(format!("An array of the shape {shape:?} is larger than any file.")))
}

/// Largest chunk that is decoded, in bytes: it is in memory as a whole, and as it is stored beside that.
pub(super) const MAX_CHUNK: usize = 256 << 20;

/// Bytes of a chunk.
///
/// # Errors
/// `Unprocessable` when it is larger than [`MAX_CHUNK`].
pub(super) fn chunk_bytes(grid: &[u64], itemsize: usize) -> Result<usize> {
    if grid.contains(&0) {
        return Ok(0);
    }
    let bytes = grid.iter().try_fold(itemsize as u64, |bytes, len| bytes.checked_mul(*len));
    let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok()).filter(|bytes| *bytes <= MAX_CHUNK);
    bytes.ok_or_else(|| {
        Error::unprocessable(format!(
            "The chunks of this array, {grid:?} items of {itemsize} bytes, are larger than {MAX_CHUNK} bytes, and a chunk can only be decoded as a whole. Write it in smaller ones (for HDF5: h5repack -l CHUNK=...)."
        ))
    })
}

/// Arrays up to so many bytes are one chunk for clients, if the file has no chunks itself.
const ONE_CHUNK: u64 = 64 << 20;
/// What larger ones are cut into, in bytes.
const CUT: u64 = 16 << 20;

/// The structure of what has no chunks: one, unless that would be too large to be sent.
pub(super) fn unchunked(dtype: DType, shape: Vec<u64>) -> ArrayStructure {
    let structure = ArrayStructure::new(dtype, shape);
    let itemsize = structure.dtype.itemsize();
    if structure.nbytes().is_some_and(|bytes| bytes <= ONE_CHUNK) || itemsize == 0 {
        return structure;
    }
    let chunk = stretch(&structure.shape, itemsize, CUT);
    let chunks = structure.shape.iter().zip(chunk).map(|(len, chunk)| Lengths::listed(*len, chunk)).collect();
    ArrayStructure { chunks, ..structure }
}

/// Streams a region of an array.
pub(super) async fn read<C: Chunks>(chunks: &Arc<C>, dtype: &DType, region: Fitted) -> Result<ArrayData> {
    let itemsize = dtype.itemsize();
    let shape = region.shape();
    let plan = Arc::new(Plan::new(&region.0, chunks.grid(), itemsize));
    // What is decoded is in memory, too, if only a part of it goes out.
    let chunk = chunks.grid().iter().fold(itemsize, |bytes, len| bytes.saturating_mul(*len as usize));
    // Of a large one, so is what is stored, and of a very large one, a second would be too much.
    let ahead = if chunk > LARGE { 1 } else { READ_AHEAD };
    let chunk = if chunk > recent::LARGEST { chunk.saturating_mul(2) } else { chunk };
    let chunks = chunks.clone();
    if let Some(band) = plan.first().filter(|first| plan.after(first).is_none()) {
        // All in one go.
        let room = ANSWERS.take(plan.nbytes(&band).max(chunk)).await?;
        let items = room.hold(blocking(move || assemble(&chunks.open()?, &plan, &band, itemsize)).await?);
        return Ok(ArrayData { dtype: dtype.clone(), shape, pieces: stream::iter([Ok(items)]).boxed() });
    }
    // Who gets none is told before the answer begins.
    let first = plan.first().map_or(0, |band| plan.nbytes(&band).max(chunk));
    let mut first = Some(ANSWERS.take(first).await?);
    let bands = plan.bands();
    let open = Arc::new(blocking(move || chunks.open()).await?);
    let pieces = stream::iter(bands)
        .map(move |band| {
            let (open, plan, taken) = (open.clone(), plan.clone(), first.take());
            async move {
                let room = match taken {
                    Some(room) => room,
                    None => ANSWERS.more(plan.nbytes(&band).max(chunk)).await,
                };
                Ok(room.hold(blocking(move || assemble(&*open, &plan, &band, itemsize)).await?))
            }
        })
        .buffered(ahead);
    Ok(ArrayData { dtype: dtype.clone(), shape, pieces: pieces.boxed() })
}

/// The items of a region, in C order, all at once. Blocks.
pub(super) fn gather(open: &impl Load, axes: &[Axis], grid: &[u64], itemsize: usize) -> Result<Vec<u8>> {
    let plan = Arc::new(Plan::new(axes, grid, itemsize));
    let mut items = Vec::new();
    for band in plan.bands() {
        items.extend_from_slice(&assemble(open, &plan, &band, itemsize)?);
    }
    Ok(items)
}

fn assemble(open: &impl Load, plan: &Plan, band: &Band, itemsize: usize) -> Result<Bytes> {
    let visits = plan.visits(band);
    let nbytes = plan.nbytes(band);
    if let [visit] = visits.as_slice()
        && visit.whole
        && visit.is_straight()
        && let Some(chunk) = open.load(&visit.chunk, Use::Whole)?
    {
        // The band is the chunk.
        return Ok(chunk);
    }
    let mut items = vec![0; nbytes];
    let mut complete = true;
    for visit in &visits {
        match open.load(&visit.chunk, if visit.whole { Use::Whole } else { Use::Part })? {
            Some(chunk) => copy(&mut items, &visit.in_band, &chunk, &visit.in_chunk, &visit.counts, itemsize),
            None => complete = false,
        }
    }
    if !complete {
        open.check_present()?;
    }
    Ok(items.into())
}

#[cfg(test)]
mod tests {
    use girih_model::ErrorKind;

    use super::*;

    #[test]
    fn stretches_end_with_the_array() {
        // Rows of five items of two bytes, two rows at a time.
        assert_eq!(span(&[0, 0], &[2, 5], &[3, 5], 2).unwrap(), 0..20);
        assert_eq!(span(&[1, 0], &[2, 5], &[3, 5], 2).unwrap(), 20..30);
        assert_eq!(span(&[2, 0], &[2, 5], &[3, 5], 2).unwrap(), 30..30);
        assert_eq!(span(&[0], &[1], &[], 8).unwrap(), 0..8);
        for (index, shape) in [([0, 0], [1 << 40, 1 << 30]), ([1 << 62, 0], [2, 5]), ([1 << 61, 1], [1 << 62, 2])] {
            assert_eq!(span(&index, &[2, 5], &shape, 2).unwrap_err().kind(), ErrorKind::Damaged);
        }
    }

    #[test]
    fn chunks_have_a_limit() {
        assert_eq!(chunk_bytes(&[1 << 20, 32], 8).unwrap(), MAX_CHUNK);
        assert_eq!(chunk_bytes(&[1 << 40, 1 << 40, 0], 8).unwrap(), 0);
        for grid in [&[1 << 20, 33][..], &[1 << 32, 1 << 32], &[u64::MAX]] {
            assert_eq!(chunk_bytes(grid, 8).unwrap_err().kind(), ErrorKind::Unprocessable);
        }
    }
}
