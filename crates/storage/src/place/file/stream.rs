//! A file on its way out.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use girih_model::{ByteStream, Error, Result};

use super::fault;
use crate::pool::blocking;

/// Bytes that are read at a time.
const PIECE: u64 = 256 << 10;
/// Pieces that are read at the same time: while one goes out, the next is fetched.
const READ_AHEAD: usize = 2;

/// Bytes `range` of a file, in pieces of at most 256 KiB, each read when it is its turn: little memory whatever the
/// size, and nothing blocks. Several streams of one file do not disturb each other.
///
/// # Errors
/// `Internal`, in the stream, when the file ends before the range does.
pub fn stream(file: impl Into<Arc<File>>, range: Range<u64>) -> ByteStream {
    let file = file.into();
    let end = range.end;
    let pieces = range.step_by(PIECE as usize).map(move |at| {
        let file = file.clone();
        blocking(move || read(&file, at, PIECE.min(end - at) as usize))
    });
    stream::iter(pieces).buffered(READ_AHEAD).boxed()
}

fn read(file: &File, at: u64, len: usize) -> Result<Bytes> {
    let mut piece = vec![0; len];
    file.read_exact_at(&mut piece, at).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => Error::internal("A file became shorter while it was being read."),
        _ => fault::of_system(&e).context(format!("reading a file at byte {at}")).with_source(e),
    })?;
    Ok(piece.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::format::conversion::gather;

    #[tokio::test]
    async fn any_range_streams_out() {
        let bytes: Vec<u8> = (0..2 * PIECE + 10).map(|n| (n % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let len = bytes.len() as u64;
        let backwards = std::ops::Range { start: 9, end: 8 };
        let usual = [0..len, 0..0, 5..5, 7..9, PIECE - 1..PIECE + 1, 3..PIECE + 3, len - 1..len];
        for range in usual.into_iter().chain([backwards]) {
            let got = gather(stream(file.try_clone().unwrap(), range.clone())).await.unwrap();
            let wanted = &bytes[range.start as usize..(range.end as usize).max(range.start as usize)];
            assert_eq!(got, wanted, "{range:?}");
        }
        assert!(gather(stream(file, len - 1..len + 1)).await.is_err());
    }
}
