//! Streams of data turned into streams of text or bytes, piece by piece, on the blocking pool.
//!
//! Pieces are cut small first, so that what a conversion holds is bounded whatever the source yields.

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::future::{self, FutureExt};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use girih_model::data::BatchStream;
use girih_model::{ArrayData, ByteStream, Error, Result};

use crate::pool;

/// Most bytes of items that are converted at once, unless one item is longer.
const RUN_BYTES: usize = 256 << 10;
/// Most items without bytes that are converted at once.
const RUN_ITEMS: u64 = 16 << 10;
/// Most items without bytes (or empty lists) that are worth writing out.
const MAX_EMPTY_ITEMS: u64 = 16 << 20;
/// Most rows that are converted at once.
const RUN_ROWS: usize = 4096;

/// Some consecutive items of an array.
pub(super) struct Run {
    bytes: Bytes,
    itemsize: usize,
    count: u64,
}

impl Run {
    /// All items one after another.
    pub(super) fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The bytes of each item.
    pub(super) fn items(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.count as usize).map(|n| &self.bytes[n * self.itemsize..(n + 1) * self.itemsize])
    }
}

/// Feeds `work` piece by piece, and at the end `None`; what it appends to its buffer (text or bytes) is the stream.
pub(super) fn convert<T, Buffer>(
    source: BoxStream<'static, Result<T>>,
    work: impl FnMut(Option<T>, &mut Buffer) -> Result<()> + Send + 'static,
) -> ByteStream
where
    T: Send + 'static,
    Buffer: Default + Into<Bytes> + Send + 'static,
{
    let converted = stream::try_unfold(Some((source, work)), |state| async move {
        let Some((mut source, mut work)) = state else { return Ok(None) };
        let (pieces, more) = at_hand(&mut source).await?;
        let (work, buffer) = pool::blocking(move || {
            let mut buffer = Buffer::default();
            pieces.into_iter().try_for_each(|piece| work(Some(piece), &mut buffer))?;
            if !more {
                work(None, &mut buffer)?;
            }
            Ok((work, buffer))
        })
        .await?;
        Ok(Some((buffer.into(), more.then_some((source, work)))))
    });
    converted.try_filter(|piece: &Bytes| future::ready(!piece.is_empty())).boxed()
}

/// Most pieces that are worked on at once.
const AT_HAND: usize = 4;

/// The next piece, and those that are there already; and whether there may be more.
pub(super) async fn at_hand<T>(source: &mut BoxStream<'static, Result<T>>) -> Result<(Vec<T>, bool)> {
    let Some(first) = source.try_next().await? else { return Ok((Vec::new(), false)) };
    let mut pieces = vec![first];
    while pieces.len() < AT_HAND {
        match source.try_next().now_or_never() {
            Some(Ok(Some(piece))) => pieces.push(piece),
            Some(Ok(None)) => return Ok((pieces, false)),
            Some(Err(e)) => return Err(e),
            None => break,
        }
    }
    Ok((pieces, true))
}

/// All items of an array, in runs; an error where there are fewer or more bytes than the shape says.
pub(super) fn runs(data: ArrayData) -> Result<BoxStream<'static, Result<Run>>> {
    let itemsize = data.dtype.itemsize();
    if itemsize == 0 {
        return empty_runs(&data.shape);
    }
    let total = data.nbytes();
    let pieces = data.pieces.map_ok(move |piece| {
        let step = RUN_BYTES / itemsize.min(RUN_BYTES) * itemsize;
        let cuts = (0..piece.len()).step_by(step).map(move |at| piece.slice(at..piece.len().min(at + step)));
        stream::iter(cuts.map(Ok))
    });
    let mut left = total;
    let checked = pieces.try_flatten().map(Some).chain(stream::once(future::ready(None))).filter_map(move |piece| {
        future::ready(match piece {
            Some(Ok(bytes)) => {
                let len = bytes.len() as u64;
                if len > left || !bytes.len().is_multiple_of(itemsize) {
                    Some(Err(unsound("the data do not fit their shape")))
                } else {
                    left -= len;
                    Some(Ok(Run { bytes, itemsize, count: len / itemsize as u64 }))
                }
            }
            Some(Err(error)) => Some(Err(error)),
            None if left > 0 => Some(Err(unsound("the data ended too early"))),
            None => None,
        })
    });
    Ok(checked.boxed())
}

fn unsound(what: &str) -> Error {
    Error::internal("Internal server error").context(format!("encoding an array: {what}"))
}

/// Runs of items that have no bytes, such as empty strings.
pub(super) fn empty_runs(shape: &[u64]) -> Result<BoxStream<'static, Result<Run>>> {
    let count = shape.iter().try_fold(1u64, |n, len| n.checked_mul(*len)).filter(|n| *n <= MAX_EMPTY_ITEMS);
    let count = count.ok_or_else(|| {
        Error::not_acceptable(format!(
            "This array has more than {MAX_EMPTY_ITEMS} items or rows that are empty. Slice it or request application/octet-stream."
        ))
    })?;
    let runs = (0..count)
        .step_by(RUN_ITEMS as usize)
        .map(move |at| Ok(Run { bytes: Bytes::new(), itemsize: 0, count: RUN_ITEMS.min(count - at) }));
    Ok(stream::iter(runs).boxed())
}

/// The same rows in batches that are small enough to be converted at once.
pub(super) fn small_batches(batches: BatchStream) -> BatchStream {
    let cut = |batch: RecordBatch| {
        let rows = batch.num_rows();
        stream::iter((0..rows).step_by(RUN_ROWS).map(move |at| Ok(batch.slice(at, RUN_ROWS.min(rows - at)))))
    };
    batches.map_ok(cut).try_flatten().boxed()
}

/// Gathers a body.
#[cfg(test)]
pub(crate) async fn gather(body: ByteStream) -> Result<Vec<u8>> {
    let pieces: Vec<Bytes> = body.try_collect().await?;
    Ok(pieces.concat())
}

/// Runs a future of a test to its end.
#[cfg(test)]
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}
