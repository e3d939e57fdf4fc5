//! Single chunks: where they lie, how they are encoded.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use girih_model::{Error, Result, ResultExt};
use zstd::zstd_safe::CParameter;

use super::metadata::{Codec, Metadata};
use crate::format::chunked::copy::{Layout, c_strides, copy};
use crate::format::chunked::recent::{self, Key, Use};
use crate::format::chunked::{Chunks, Load};
use crate::place::Location;
use crate::place::file::{Identity, Stamp};

/// The chunks of one array.
#[derive(Debug)]
pub(super) struct Store {
    /// The directory of the array.
    location: Location,
    /// Which directory it was when the array was opened.
    identity: Identity,
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
    /// `location` is pinned: what is found in it belongs to `metadata`.
    pub(super) fn new(location: &Location, metadata: &Metadata, itemsize: usize) -> Result<Self> {
        let nbytes = metadata.chunk.iter().try_fold(itemsize as u64, |bytes, len| bytes.checked_mul(*len));
        let nbytes = nbytes.filter(|bytes| *bytes <= MAX_CHUNK).ok_or_else(|| {
            Error::unsupported(format!("The chunks of this array are larger than {MAX_CHUNK} bytes."))
        })?;
        Ok(Self {
            identity: location.identity()?,
            location: location.unpinned(),
            chunk: metadata.chunk.clone(),
            codec: metadata.codec,
            nbytes: nbytes as usize,
        })
    }

    /// The same chunks, as long as the directory is held open.
    ///
    /// # Errors
    /// `Gone` when the array has been deleted.
    pub(super) fn pinned(&self) -> Result<Self> {
        Ok(Self { location: self.location.pinned()?, chunk: self.chunk.clone(), ..*self })
    }

    /// The same, if it still is the array that was opened, and no other in its place.
    ///
    /// # Errors
    /// `Gone` when it is not.
    pub(super) fn pinned_same(&self) -> Result<Self> {
        let pinned = self.pinned()?;
        if pinned.location.identity()? != self.identity {
            return Err(self.gone());
        }
        Ok(pinned)
    }

    fn gone(&self) -> Error {
        Error::gone("The data of this array has been deleted.")
            .context(format!("looking for {}", self.location.absolute().display()))
    }

    pub(super) fn location(&self) -> &Location {
        &self.location
    }

    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    /// Bytes of a decoded chunk.
    pub(super) fn nbytes(&self) -> usize {
        self.nbytes
    }

    /// `c/0/1`; for a 0-d array, which is planned as one of one axis, `c`.
    pub(super) fn path(&self, index: &[u64]) -> String {
        let mut path = String::from("c");
        for n in index.iter().take(self.chunk.len()) {
            path.push('/');
            path.push_str(&n.to_string());
        }
        path
    }

    /// The file of a chunk as it is; `None` when it was never written.
    pub(super) fn load_encoded(&self, index: &[u64]) -> Result<Option<Vec<u8>>> {
        let place = self.location.join(&self.path(index))?;
        place.open_if_exists()?.map(|file| self.encoded(index, &place, file)).transpose()
    }

    fn encoded(&self, index: &[u64], place: &Location, file: File) -> Result<Vec<u8>> {
        let limit = zstd::zstd_safe::compress_bound(self.nbytes) as u64 + 1024;
        let bytes = place.read_whole(file, limit)?;
        if self.codec == Codec::Raw && bytes.len() != self.nbytes {
            return Err(self.damaged(index, &format!("it has {} bytes instead of {}", bytes.len(), self.nbytes)));
        }
        Ok(bytes)
    }

    /// The items in the file of a chunk.
    ///
    /// # Errors
    /// `Damaged` when it is damaged.
    pub(super) fn decode(&self, index: &[u64], encoded: Vec<u8>) -> Result<Vec<u8>> {
        if self.codec == Codec::Raw {
            return Ok(encoded);
        }
        let decoded = DECOMPRESSOR.with_borrow_mut(|slot| {
            if slot.is_none() {
                *slot = Some(zstd::bulk::Decompressor::new()?);
            }
            // Never allocates more than what is asked for, whatever the frame says.
            slot.as_mut().map_or_else(|| Ok(Vec::new()), |context| context.decompress(&encoded, self.nbytes))
        });
        match decoded {
            Ok(bytes) if bytes.len() == self.nbytes => Ok(bytes),
            Ok(bytes) => {
                Err(self.damaged(index, &format!("it decodes to {} bytes instead of {}", bytes.len(), self.nbytes)))
            }
            Err(e) => Err(self.damaged(index, "it cannot be decompressed").with_source(e)),
        }
    }

    /// The file of a chunk with these items.
    pub(super) fn encode<'a>(&self, items: &'a [u8]) -> Result<Cow<'a, [u8]>> {
        encode(self.codec, items)
    }

    fn damaged(&self, index: &[u64], how: &str) -> Error {
        let path = self.path(index);
        Error::damaged(format!("The stored chunk {path:?} of this array is damaged: {how}."))
            .context(format!("reading {}", self.location.absolute().join(path).display()))
    }
}

impl Chunks for Store {
    type Open = Self;

    fn grid(&self) -> &[u64] {
        &self.chunk
    }

    fn open(self: &Arc<Self>) -> Result<Self> {
        self.pinned()
    }
}

impl Load for Store {
    fn load(&self, index: &[u64], wanted: Use) -> Result<Option<Bytes>> {
        let place = self.location.join(&self.path(index))?;
        let Some(file) = place.open_if_exists()? else { return Ok(None) };
        let key = Stamp::of(&file).map(|stamp| Key { stamp, layout: 0, number: 0 });
        let decode = || self.decode(index, self.encoded(index, &place, file)?);
        recent::chunk(key, self.nbytes, wanted, decode).map(Some)
    }

    /// It was never written, or there is no array any more. (Where an array is deleted, its `zarr.json` goes first.)
    fn check_present(&self) -> Result<()> {
        if Metadata::exists(&self.location)? { Ok(()) } else { Err(self.gone()) }
    }
}

pub(super) fn encode(codec: Codec, items: &[u8]) -> Result<Cow<'_, [u8]>> {
    match codec {
        Codec::Raw => Ok(items.into()),
        Codec::Zstd { level, checksum } => {
            Ok(compress(level, checksum, items).internal(|| "compressing a chunk".into())?.into())
        }
    }
}

/// Items of the shape `counts`, in a chunk of the shape `chunk`; the rest is zeros.
pub(super) fn padded(items: Vec<u8>, counts: &[u64], chunk: &[u64], itemsize: usize) -> Vec<u8> {
    if counts == chunk {
        return items;
    }
    let layout = |shape: &[u64]| Layout { start: 0, strides: c_strides(shape, itemsize) };
    let mut whole = vec![0; chunk.iter().product::<u64>() as usize * itemsize];
    copy(&mut whole, &layout(chunk), &items, &layout(counts), counts, itemsize);
    whole
}

fn compress(level: i32, checksum: bool, items: &[u8]) -> std::io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|slot| {
        if slot.as_ref().is_none_or(|(have, _)| *have != level) {
            *slot = Some((level, zstd::bulk::Compressor::new(level)?));
        }
        match slot {
            Some((_, context)) => {
                context.set_parameter(CParameter::ChecksumFlag(checksum))?;
                context.compress(items)
            }
            None => Ok(Vec::new()),
        }
    })
}
