//! A seal on a file of ours: a checksum of its bytes, and the writes that are in it. It is an extended attribute, so it
//! takes its place together with the file and stays with a copy. A file system without such attributes has none.

use std::ffi::CStr;
use std::fmt;
use std::fs::File;
use std::hash::Hasher;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::LazyLock;

use girih_model::{Error, Result};
use moka::sync::Cache;
use rustix::fs::XattrFlags;
use rustix::io::Errno;
use twox_hash::XxHash3_64;

use super::{Location, Stamp};

const NAME: &CStr = c"user.girih.seal";
/// The first byte: what the others mean.
const VERSION: u8 = 1;
/// Bytes before the writes.
const FIXED: usize = 1 + 8 + 8 + 8;
/// Writes that are remembered: their repetitions come soon, or never.
const REMEMBERED: usize = 16;
/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// One write, for good: a digest of the key that its sender gave it and of where it went.
pub type WriteId = [u8; 16];

/// Files that have been verified in their present state.
static VERIFIED: LazyLock<Cache<Stamp, ()>> = LazyLock::new(|| Cache::new(100_000));

#[derive(Debug, Clone, PartialEq, Eq)]
struct Seal {
    /// When the bytes were written: a file with another time was changed by somebody, who knows what is in it.
    modified: (i64, i64),
    /// XXH3-64 of all bytes.
    checksum: u64,
    writes: Vec<WriteId>,
}

/// A seal in the making, while the file is being written.
pub(super) struct Sealing {
    hash: XxHash3_64,
    writes: Vec<WriteId>,
}

impl Sealing {
    pub(super) fn new(writes: Vec<WriteId>) -> Self {
        Self { hash: XxHash3_64::new(), writes }
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.hash.write(bytes);
    }

    /// Seals the file, in which nothing is written any more.
    pub(super) fn put_on(self, file: &File) -> io::Result<()> {
        Seal { modified: modified(file)?, checksum: self.hash.finish(), writes: self.writes }.put_on(file)
    }
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealing").field("writes", &self.writes).finish_non_exhaustive()
    }
}

impl Seal {
    /// That of a file; `None` when there is none that we understand.
    fn of(file: &File) -> io::Result<Option<Self>> {
        let mut bytes = [0; FIXED + REMEMBERED * size_of::<WriteId>()];
        match rustix::fs::fgetxattr(file, NAME, &mut bytes[..]) {
            Ok(length) => Ok(Self::from_bytes(&bytes[..length])),
            Err(Errno::NODATA | Errno::NOTSUP | Errno::RANGE) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    fn put_on(&self, file: &File) -> io::Result<()> {
        match rustix::fs::fsetxattr(file, NAME, &self.to_bytes(), XattrFlags::empty()) {
            Err(Errno::NOTSUP) => Ok(()),
            put => put.map_err(io::Error::from),
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.modified.0.to_le_bytes());
        bytes.extend(self.modified.1.to_le_bytes());
        bytes.extend(self.checksum.to_le_bytes());
        bytes.extend(self.writes.iter().flatten());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (fixed, writes) = bytes.split_at_checked(FIXED)?;
        let word = |at: usize| fixed.get(at..at + 8)?.try_into().ok();
        (fixed[0] == VERSION).then_some(())?;
        let (writes, rest) = writes.as_chunks();
        rest.is_empty().then_some(())?;
        Some(Self {
            modified: (i64::from_le_bytes(word(1)?), i64::from_le_bytes(word(9)?)),
            checksum: u64::from_le_bytes(word(17)?),
            writes: writes.to_vec(),
        })
    }
}

fn modified(file: &File) -> io::Result<(i64, i64)> {
    let file = file.metadata()?;
    Ok((file.mtime(), file.mtime_nsec()))
}

fn checksum(file: &File) -> io::Result<u64> {
    let mut hash = XxHash3_64::new();
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    loop {
        match file.read_at(&mut piece, at)? {
            0 => return Ok(hash.finish()),
            read => {
                hash.write(&piece[..read]);
                at += read as u64;
            }
        }
    }
}

/// `writes` and another one, of which the oldest are forgotten.
pub(crate) fn with_write(mut writes: Vec<WriteId>, new: Option<WriteId>) -> Vec<WriteId> {
    writes.extend(new);
    writes.split_off(writes.len().saturating_sub(REMEMBERED))
}

impl Location {
    /// Like [`Location::open_if_exists`]; a sealed file is compared with its checksum, once as long as it stays the same.
    ///
    /// # Errors
    /// `StorageFailed` when its bytes are not those that were written.
    pub(crate) fn open_verified(&self) -> Result<Option<File>> {
        let Some(file) = self.open_if_exists()? else { return Ok(None) };
        let fault = |e| self.fault("verifying", e);
        let Some(seal) = Seal::of(&file).map_err(fault)? else { return Ok(Some(file)) };
        if seal.modified != modified(&file).map_err(fault)? {
            return Ok(Some(file));
        }
        let stamp = Stamp::of(&file);
        if stamp.is_some_and(|stamp| VERIFIED.contains_key(&stamp)) {
            return Ok(Some(file));
        }
        if checksum(&file).map_err(fault)? != seal.checksum {
            let what = format!("The file {:?} of this data is damaged: it does not match its checksum.", self.name());
            return Err(Error::storage_failed(what).context(format!("verifying {}", self.absolute().display())));
        }
        if let Some(stamp) = stamp {
            VERIFIED.insert(stamp, ());
        }
        Ok(Some(file))
    }

    /// The last writes that are in this file and had names.
    pub(crate) fn writes(&self) -> Result<Vec<WriteId>> {
        let Some(file) = self.open_if_exists()? else { return Ok(Vec::new()) };
        let seal = Seal::of(&file).map_err(|e| self.fault("looking at", e))?;
        Ok(seal.map(|seal| seal.writes).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use girih_model::ErrorKind;
    use proptest::prelude::*;

    use super::*;
    use crate::place::Directory;

    fn id(n: u8) -> WriteId {
        [n; 16]
    }

    #[test]
    fn damage_is_noticed_and_a_change_on_purpose_is_not_damage() {
        let temp = tempfile::tempdir().unwrap();
        let place = Directory::open(temp.path(), true).unwrap().root().child("x").unwrap();
        assert!(place.open_verified().unwrap().is_none());
        let bytes = vec![7; 3 * PIECE + 5];
        let mut draft = place.draft().unwrap().sealed(vec![id(1), id(2)]);
        draft.write_all(&bytes[..10]).unwrap();
        draft.write_all(&bytes[10..]).unwrap();
        draft.publish_durable().unwrap();
        assert!(place.open_verified().unwrap().is_some());
        assert_eq!(place.writes().unwrap(), [id(1), id(2)]);

        let file = File::options().write(true).open(temp.path().join("x")).unwrap();
        let time = file.metadata().unwrap().modified().unwrap();
        file.write_all_at(b"8", 2 * PIECE as u64).unwrap();
        assert!(place.open_verified().unwrap().is_some(), "somebody has changed it");
        file.set_modified(time).unwrap();
        let e = place.open_verified().unwrap_err();
        assert!(e.kind() == ErrorKind::StorageFailed && e.message().contains("\"x\""), "{e}");
        file.write_all_at(b"\x07", 2 * PIECE as u64).unwrap();
        file.set_modified(time).unwrap();
        assert!(place.open_verified().unwrap().is_some());

        place.write_durable(b"without").unwrap();
        assert!(place.open_verified().unwrap().is_some() && place.writes().unwrap().is_empty());
    }

    #[test]
    fn the_last_writes_are_remembered() {
        let all = (0..40).fold(Vec::new(), |writes, n| with_write(writes, Some(id(n))));
        assert_eq!(all, (24..40).map(id).collect::<Vec<_>>());
        assert_eq!(with_write(all.clone(), None), all);
    }

    proptest! {
        #[test]
        fn any_attribute_is_a_seal_or_none(bytes: Vec<u8>, modified: (i64, i64), checksum: u64, writes: Vec<WriteId>) {
            if let Some(seal) = Seal::from_bytes(&bytes) {
                prop_assert_eq!(seal.to_bytes(), bytes);
            }
            let seal = Seal { modified, checksum, writes };
            prop_assert_eq!(Seal::from_bytes(&seal.to_bytes()), Some(seal));
        }
    }
}
