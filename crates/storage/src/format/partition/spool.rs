//! A body that has to be read from its end is put into an unnamed temporary file first.

use std::fs::File;
use std::io::{Seek, Write};

use futures::TryStreamExt;
use girih_model::{ByteStream, Error, ErrorKind, Result, ResultExt};

use crate::pool::blocking;

/// Bytes that are gathered before they are written.
const GATHER: usize = 1 << 20;

/// # Errors
/// `StorageFull` when there is no room for temporary files.
pub(crate) async fn spool(mut body: ByteStream) -> Result<File> {
    let mut file = blocking(|| tempfile::tempfile().map_err(fault)).await?;
    let mut gathered = Vec::new();
    loop {
        let piece = body.try_next().await?;
        let ended = piece.is_none();
        gathered.extend_from_slice(&piece.unwrap_or_default());
        if ended || gathered.len() >= GATHER {
            (file, gathered) = blocking(move || {
                file.write_all(&gathered).map_err(fault)?;
                gathered.clear();
                if ended {
                    file.rewind().map_err(fault)?;
                }
                Ok((file, gathered))
            })
            .await?;
        }
        if ended {
            return Ok(file);
        }
    }
}

fn fault(e: std::io::Error) -> Error {
    match e.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            Error::new(ErrorKind::StorageFull, "The server has no room for temporary files. Try again later.")
                .with_source(e)
        }
        _ => Err::<(), _>(e).internal(|| "writing a temporary file".into()).expect_err("an error"),
    }
}
