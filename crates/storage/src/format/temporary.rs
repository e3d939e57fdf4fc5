//! Bodies that are made in an unnamed temporary file, because their format cannot be written front to back.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use girih_model::{ByteStream, Error, ErrorKind, Result, ResultExt};

use crate::pool::blocking;

/// Bytes that are read at a time.
const PIECE: u64 = 256 << 10;

/// A new file, gone when it is closed.
///
/// # Errors
/// `StorageFull` when there is no room for temporary files.
pub(super) fn create() -> Result<File> {
    tempfile::tempfile().map_err(fault)
}

/// The whole file as a body, and its length.
pub(super) fn body(file: File) -> Result<(ByteStream, u64)> {
    let length = file.metadata().map_err(fault)?.len();
    let file = Arc::new(file);
    let pieces = stream::iter((0..length).step_by(PIECE as usize)).then(move |at| {
        let file = file.clone();
        blocking(move || {
            let mut piece = vec![0; PIECE.min(length - at) as usize];
            file.read_exact_at(&mut piece, at).map_err(fault)?;
            Ok(Bytes::from(piece))
        })
    });
    Ok((pieces.boxed(), length))
}

/// What went wrong with a temporary file.
pub(super) fn fault(e: std::io::Error) -> Error {
    match e.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            Error::new(ErrorKind::StorageFull, "The server has no room for temporary files. Try again later.")
                .with_source(e)
        }
        _ => Err::<(), _>(e).internal(|| "using a temporary file".into()).expect_err("an error"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::format::conversion::gather;

    #[tokio::test]
    async fn a_file_streams_out_whole() {
        for len in [0, 1, PIECE as usize, PIECE as usize + 1] {
            let bytes: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let mut file = create().unwrap();
            file.write_all(&bytes).unwrap();
            let (stream, length) = body(file).unwrap();
            assert_eq!(length, len as u64);
            assert_eq!(gather(stream).await.unwrap(), bytes);
        }
    }
}
