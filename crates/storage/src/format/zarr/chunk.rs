//! Single chunks: where they lie, how they are encoded.

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::sync::MutexGuard;

use bytes::Bytes;
use girih_model::{Error, Result, ResultExt};

use super::metadata::{Codec, Metadata};
use crate::place::{Location, Locks};

/// The chunks of one array.
#[derive(Debug)]
pub(super) struct Store {
    location: Location,
    chunk: Vec<u64>,
    codec: Codec,
    /// Bytes of one chunk, decoded.
    nbytes: usize,
}

/// Largest chunk that is decoded, in bytes.
const MAX_CHUNK: u64 = 2 << 30;

thread_local! {
    /// A context costs more than a small chunk, so each thread keeps its own.
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
    static COMPRESSOR: RefCell<Option<(i32, zstd::bulk::Compressor<'static>)>> = const { RefCell::new(None) };
}

impl Store {
    pub(super) fn new(location: Location, metadata: &Metadata, itemsize: usize) -> Result<Self> {
        let nbytes = metadata.chunk.iter().try_fold(itemsize as u64, |bytes, len| bytes.checked_mul(*len));
        let nbytes = nbytes.filter(|bytes| *bytes <= MAX_CHUNK).ok_or_else(|| {
            Error::unsupported(format!("The chunks of this array are larger than {MAX_CHUNK} bytes."))
        })?;
        Ok(Self { location, chunk: metadata.chunk.clone(), codec: metadata.codec, nbytes: nbytes as usize })
    }

    pub(super) fn location(&self) -> &Location {
        &self.location
    }

    /// The shape of a chunk.
    pub(super) fn grid(&self) -> &[u64] {
        &self.chunk
    }

    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    /// Bytes of a decoded chunk.
    pub(super) fn nbytes(&self) -> usize {
        self.nbytes
    }

    /// `c/0/1`; for a 0-d array, which is planned as one of one axis, `c`.
    fn path(&self, index: &[u64]) -> String {
        let mut path = String::from("c");
        for n in index.iter().take(self.chunk.len()) {
            path.push('/');
            path.push_str(&n.to_string());
        }
        path
    }

    /// The directory of a chunk's file.
    pub(super) fn directory(&self, index: &[u64]) -> Result<Location> {
        let path = self.path(index);
        match path.rsplit_once('/') {
            Some((directory, _)) => self.location.join(directory),
            None => Ok(self.location.clone()),
        }
    }

    /// The file of a chunk as it is; `None` when it was never written.
    pub(super) fn load_encoded(&self, index: &[u64]) -> Result<Option<Vec<u8>>> {
        let limit = zstd::zstd_safe::compress_bound(self.nbytes) as u64 + 1024;
        let bytes = self.location.join(&self.path(index))?.read_all(limit)?;
        match bytes {
            Some(bytes) if self.codec == Codec::Raw && bytes.len() != self.nbytes => {
                Err(self.damaged(index, &format!("it has {} bytes instead of {}", bytes.len(), self.nbytes)))
            }
            bytes => Ok(bytes),
        }
    }

    /// The items of a chunk, in C order.
    ///
    /// # Errors
    /// `Internal` when the file is damaged.
    pub(super) fn load(&self, index: &[u64]) -> Result<Option<Vec<u8>>> {
        let Some(encoded) = self.load_encoded(index)? else { return Ok(None) };
        if self.codec == Codec::Raw {
            return Ok(Some(encoded));
        }
        let decoded = DECOMPRESSOR.with_borrow_mut(|slot| {
            if slot.is_none() {
                *slot = Some(zstd::bulk::Decompressor::new()?);
            }
            // Never allocates more than what is asked for, whatever the frame says.
            slot.as_mut().map_or_else(|| Ok(Vec::new()), |context| context.decompress(&encoded, self.nbytes))
        });
        match decoded {
            Ok(bytes) if bytes.len() == self.nbytes => Ok(Some(bytes)),
            Ok(bytes) => {
                Err(self.damaged(index, &format!("it decodes to {} bytes instead of {}", bytes.len(), self.nbytes)))
            }
            Err(e) => Err(self.damaged(index, "it cannot be decompressed").with_source(e)),
        }
    }

    /// Writes a chunk; its name is durable after the directory has been synchronised.
    pub(super) fn save(&self, index: &[u64], items: &[u8]) -> Result<()> {
        let file = self.location.join(&self.path(index))?;
        let mut draft = match file.draft() {
            Err(e) if e.kind() == girih_model::ErrorKind::Gone => {
                self.directory(index)?.create_dir_all()?;
                file.draft()?
            }
            made => made?,
        };
        let written = match self.codec {
            Codec::Raw => draft.write_all(items),
            Codec::Zstd { level } => {
                let encoded = compress(level, items).internal(|| format!("compressing chunk {}", self.path(index)))?;
                draft.write_all(&encoded)
            }
        };
        written.map_err(|e| draft.fault(e))?;
        draft.publish()
    }

    /// Keeps others from updating this chunk meanwhile.
    pub(super) fn lock<'a>(&self, locks: &'a Locks, index: &[u64]) -> MutexGuard<'a, ()> {
        let mut hasher = DefaultHasher::new();
        index.hash(&mut hasher);
        locks.part(hasher.finish())
    }

    fn damaged(&self, index: &[u64], how: &str) -> Error {
        let path = self.path(index);
        Error::internal(format!("The stored chunk {path:?} of this array is damaged: {how}."))
            .context(format!("reading {}", self.location.absolute().join(path).display()))
    }
}

fn compress(level: i32, items: &[u8]) -> std::io::Result<Bytes> {
    COMPRESSOR.with_borrow_mut(|slot| {
        if slot.as_ref().is_none_or(|(have, _)| *have != level) {
            *slot = Some((level, zstd::bulk::Compressor::new(level)?));
        }
        match slot {
            Some((_, context)) => context.compress(items).map(Bytes::from),
            None => Ok(Bytes::new()),
        }
    })
}
