//! Scratch files: without a name, and gone when they are closed.
//!
//! They hold what is too large for memory, so they lie where there is room for data: in a writable storage directory if
//! there is one, for the system's temporary directory is often a part of memory.

use std::fs::File;
use std::io::{Seek, Write};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::TryStreamExt;
use girih_model::{ByteStream, Error, ErrorKind, Result};
use rustix::fs::{AtFlags, Mode, OFlags};

use super::file::{Directory, name};
use crate::pool::blocking;

/// Bytes of a body that are gathered before they are written.
const GATHER: usize = 1 << 20;

/// The writable directories that are in use.
static DIRECTORIES: Mutex<Vec<Weak<Directory>>> = Mutex::new(Vec::new());

/// Makes a writable directory known as a place for scratch files.
pub(super) fn offer(directory: &Arc<Directory>) {
    let mut known = DIRECTORIES.lock().unwrap_or_else(PoisonError::into_inner);
    known.retain(|other| other.strong_count() > 0);
    known.push(Arc::downgrade(directory));
}

/// # Errors
/// `StorageFull` when there is no room for scratch files.
pub(crate) fn create() -> Result<File> {
    let known: Vec<_> = {
        let known = DIRECTORIES.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter_map(Weak::upgrade).collect()
    };
    match known.iter().find_map(|directory| create_in(directory).ok()) {
        Some(file) => Ok(file),
        None => tempfile::tempfile().map_err(fault),
    }
}

fn create_in(directory: &Directory) -> std::io::Result<File> {
    let directory = directory.handle()?;
    let mode = Mode::from_raw_mode(0o600);
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    if let Ok(file) = rustix::fs::openat(directory, ".", flags | OFlags::TMPFILE, mode) {
        return Ok(file.into());
    }
    // Not every file system has files without names.
    let name = name::temporary();
    let file = rustix::fs::openat(directory, &name, flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW, mode)?;
    rustix::fs::unlinkat(directory, &name, AtFlags::empty())?;
    Ok(file.into())
}

/// Puts a body that has to be read from its end into a scratch file.
///
/// # Errors
/// `StorageFull` when there is no room for scratch files.
pub async fn spool(mut body: ByteStream) -> Result<File> {
    let mut file = blocking(create).await?;
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

/// The whole of a scratch file as a body, and its length in bytes.
pub(crate) fn body(file: File) -> Result<(ByteStream, u64)> {
    let length = file.metadata().map_err(fault)?.len();
    Ok((super::file::stream(file, 0..length), length))
}

/// What went wrong with a scratch file.
pub(crate) fn fault(e: std::io::Error) -> Error {
    match e.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            Error::new(ErrorKind::StorageFull, "The server has no room for temporary files. Try again later.")
                .with_source(e)
        }
        _ => super::file::of_disk(&e)
            .unwrap_or_else(|| Error::internal("Internal server error"))
            .context("using a scratch file")
            .with_source(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::conversion::gather;

    #[tokio::test]
    async fn a_body_goes_into_a_file_and_comes_out() {
        for len in [0, 1, GATHER, GATHER + 1] {
            let bytes: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let pieces: Vec<_> = bytes.chunks(1000).map(|piece| Ok(bytes::Bytes::copy_from_slice(piece))).collect();
            let file = spool(Box::pin(futures::stream::iter(pieces))).await.unwrap();
            let (stream, length) = body(file).unwrap();
            assert_eq!(length, len as u64);
            assert_eq!(gather(stream).await.unwrap(), bytes);
        }
    }

    #[test]
    fn scratch_files_lie_with_the_data_and_have_no_name() {
        let temp = tempfile::tempdir().unwrap();
        let directory = Directory::open(temp.path(), true).unwrap();
        let mut file = create_in(&directory).unwrap();
        file.write_all(b"x").unwrap();
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
        let device = |file: &File| std::os::unix::fs::MetadataExt::dev(&file.metadata().unwrap());
        assert_eq!(device(&file), device(&File::open(temp.path()).unwrap()));
        create().unwrap();
    }
}
