//! Writing batches one by one, into a file or on their way to a caller.

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use girih_model::{ByteStream, Result, TableData};

use crate::format::conversion::at_hand;
use crate::pool::blocking;

/// Most rows that are encoded at once.
pub(crate) const MAX_ROWS: usize = 64 << 10;

/// An encoder of batches into `W`.
pub(crate) trait BatchWriter<W>: Send {
    fn write(&mut self, batch: &RecordBatch) -> Result<()>;

    /// Where the bytes have gone so far, maybe not yet all.
    fn out(&mut self) -> &mut W;

    /// Writes what a file has at its end.
    fn finish(self: Box<Self>) -> Result<W>;
}

/// Encodes a table piece by piece: what is ready goes out while more is read.
pub(crate) fn encode(table: TableData, writer: Box<dyn BatchWriter<Vec<u8>>>) -> ByteStream {
    let state = Some((table.batches, writer));
    let pieces = stream::try_unfold(state, |state| async {
        let Some((mut batches, mut writer)) = state else { return Ok(None) };
        let (some, more) = at_hand(&mut batches).await?;
        let (ready, writer) = blocking(move || {
            some.into_iter().try_for_each(|batch| super::write_batch(&mut *writer, batch))?;
            if !more {
                return Ok((writer.finish()?, None));
            }
            Ok((std::mem::take(writer.out()), Some(writer)))
        })
        .await?;
        Ok(Some((Bytes::from(ready), writer.map(|writer| (batches, writer)))))
    });
    pieces.try_filter(|piece| std::future::ready(!piece.is_empty())).boxed()
}
