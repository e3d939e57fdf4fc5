//! Directories of the local file system.

mod beneath;
mod fault;
mod list;
mod lock;
pub(super) mod name;
mod pin;
mod remove;
mod seal;
mod stage;
mod stamp;
mod stray;
mod stream;
mod uri;
mod write;

use std::fs::{File, Metadata};
use std::io::Read;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use girih_model::{Error, NodePath, Result};
use rustix::fs::{Mode, OFlags};

pub(crate) use fault::of_disk;
pub use lock::Turn;
pub use name::is_temporary;
pub use pin::Identity;
pub use seal::WriteId;
pub(crate) use seal::with_write;
pub use stage::Stage;
pub(crate) use stamp::Stamp;
pub use stray::Found;
pub use stream::stream;
pub use uri::path_of_uri;
pub use write::Draft;

/// A configured directory, held open: paths are resolved beneath it by the kernel (`openat2`,
/// `RESOLVE_BENEATH`), so neither `..` nor a symbolic link leads out of it, not even in a race.
#[derive(Debug)]
pub struct Directory {
    /// Absolute, as configured: URIs are made from it.
    path: PathBuf,
    /// Without symbolic links.
    canonical: PathBuf,
    /// `None` for what lies nowhere: all is only reached by links.
    handle: Option<OwnedFd>,
    /// The kernel has `openat2`.
    openat2: bool,
}

/// A file or directory at or below a [`Directory`].
#[derive(Debug, Clone)]
pub struct Location {
    directory: Arc<Directory>,
    /// Relative; has only normal components. Empty for the directory itself.
    path: PathBuf,
    /// Held open: what lies beneath is found there, wherever the directory has gone meanwhile.
    pin: Option<Arc<pin::Pin>>,
    /// What a link leads to may be read if it lies beneath one of these.
    linked: Option<Arc<[Arc<Directory>]>>,
}

impl Directory {
    /// Opens an existing directory, or with `writable` makes it first.
    ///
    /// # Errors
    /// `Unprocessable` (a fault of the configuration) when it is missing, no directory, or not accessible.
    pub fn open(path: &Path, writable: bool) -> Result<Arc<Self>> {
        let bad = |what: &str, e: std::io::Error| {
            Error::unprocessable(format!("The storage directory {} {what}: {e}", path.display()))
        };
        let absolute = std::path::absolute(path).map_err(|e| bad("is not a usable path", e))?;
        if writable {
            std::fs::create_dir_all(&absolute).map_err(|e| bad("cannot be created", e))?;
        }
        let canonical = absolute.canonicalize().map_err(|e| bad("cannot be opened", e))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle =
            rustix::fs::open(&canonical, flags, Mode::empty()).map_err(|e| bad("cannot be opened", e.into()))?;
        if writable {
            let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
            rustix::fs::accessat(&handle, ".", access, rustix::fs::AtFlags::empty())
                .map_err(|e| bad("cannot be written", e.into()))?;
        }
        let openat2 = beneath::is_supported(&handle);
        // What leads through `..` is no name for files below it.
        let climbs = absolute.components().any(|part| part == Component::ParentDir);
        let path = if climbs { canonical.clone() } else { lexically_clean(&absolute) };
        let directory = Arc::new(Self { path, canonical, handle: Some(handle), openat2 });
        if writable {
            super::scratch::offer(&directory);
        }
        Ok(directory)
    }

    /// Where paths are found that lie in no directory by their name, but may do so once links are followed.
    pub(super) fn nowhere() -> Self {
        let root = PathBuf::from("/");
        Self { path: root.clone(), canonical: root, handle: None, openat2: false }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn handle(&self) -> std::io::Result<BorrowedFd<'_>> {
        Ok(self.handle.as_ref().ok_or(rustix::io::Errno::XDEV)?.as_fd())
    }

    /// The location of this directory itself.
    pub fn root(self: &Arc<Self>) -> Location {
        self.at(PathBuf::new())
    }

    /// The location of an absolute path, if it lies (by its name) at or below this directory.
    pub fn locate(self: &Arc<Self>, path: &Path) -> Option<Location> {
        if path.components().any(|part| matches!(part, Component::ParentDir | Component::CurDir)) {
            return None;
        }
        let below = path.strip_prefix(&self.path).or_else(|_| path.strip_prefix(&self.canonical)).ok()?;
        Some(self.at(below.to_path_buf()))
    }

    /// Where the data of a node goes: one directory per key.
    pub fn location_of(self: &Arc<Self>, path: &NodePath) -> Location {
        self.at(name::of_node(path))
    }

    fn at(self: &Arc<Self>, path: PathBuf) -> Location {
        Location { directory: self.clone(), path, pin: None, linked: None }
    }
}

/// `/a/./b/` as `/a/b`.
fn lexically_clean(path: &Path) -> PathBuf {
    path.components().collect()
}

impl Location {
    /// `file://localhost/absolute/path`, percent-encoded.
    pub fn uri(&self) -> String {
        uri::of_path(&self.absolute())
    }

    /// The absolute path, for the log.
    pub fn absolute(&self) -> PathBuf {
        if self.path.as_os_str().is_empty() {
            self.directory.path.clone()
        } else {
            self.directory.path.join(&self.path)
        }
    }

    /// The last component; empty for the directory itself.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The entry called `segment`.
    ///
    /// # Errors
    /// `Malformed` when this is not the name of one entry (`..`, `a/b`, …).
    pub fn child(&self, segment: &str) -> Result<Self> {
        let mut parts = Path::new(segment).components();
        match (parts.next(), parts.next()) {
            (Some(Component::Normal(part)), None) if part == segment && !segment.contains('\0') => {
                Ok(self.at(self.path.join(segment)))
            }
            _ => Err(Error::malformed(format!("{segment:?} is not the name of a file."))),
        }
    }

    /// The entry at a relative path such as `c/0/1`.
    ///
    /// # Errors
    /// `Malformed` when it is absolute or has a `..`.
    pub fn join(&self, relative: &str) -> Result<Self> {
        relative.split('/').try_fold(self.clone(), |place, segment| place.child(segment)).map_err(|_| {
            Error::malformed(format!(
                "{relative:?} is not a relative path below this directory. Take paths from the manifest."
            ))
        })
    }

    /// The directory that this lies in; a pinned directory has none.
    pub(crate) fn parent(&self) -> Option<Self> {
        if self.pin.as_ref().is_some_and(|pin| pin.is_at(&self.path)) {
            return None;
        }
        Some(self.at(self.path.parent()?.to_path_buf()))
    }

    /// Another path, found from the same place.
    fn at(&self, path: PathBuf) -> Self {
        Self { path, ..self.clone() }
    }

    /// The same place, which may be reached by links from one of these directories to another.
    pub(super) fn linked(self, directories: &Arc<[Arc<Directory>]>) -> Self {
        Self { linked: Some(directories.clone()), ..self }
    }

    fn open(&self, flags: OFlags) -> std::io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        match (self.open_beneath(flags), &self.linked) {
            (Err(e), Some(directories)) if e.kind() == std::io::ErrorKind::CrossesDevices => {
                beneath::open_linked(directories, &self.absolute(), flags)
            }
            (opened, _) => opened,
        }
    }

    fn open_beneath(&self, flags: OFlags) -> std::io::Result<OwnedFd> {
        match self.pin.as_ref().and_then(|pin| Some((pin, pin.below(&self.path)?))) {
            Some((pin, below)) => beneath::open_pinned(&self.directory, pin.handle(), below, &self.path, flags),
            None => beneath::open(&self.directory, &self.path, flags),
        }
    }

    fn open_dir(&self) -> std::io::Result<OwnedFd> {
        self.open(OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// `Gone` when there is none, `Forbidden` when it may not be read or a link leads outside.
    pub fn open_file(&self) -> Result<File> {
        self.open_if_exists()?.ok_or_else(|| self.fault("opening", std::io::ErrorKind::NotFound.into()))
    }

    /// Like [`Location::open_file`]; `None` when there is no such file.
    pub fn open_if_exists(&self) -> Result<Option<File>> {
        // Opening a pipe or a device could block or have effects: look first at what it is.
        let opened = self.open(OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY);
        let file = match opened {
            Ok(handle) => File::from(handle),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(self.fault("opening", e)),
        };
        if !file.metadata().map_err(|e| self.fault("looking at", e))?.is_file() {
            return Err(Error::unprocessable(format!("{:?} is not a regular file.", self.name()))
                .context(format!("opening {}", self.absolute().display())));
        }
        Ok(Some(file))
    }

    /// # Errors
    /// `Gone` when there is nothing.
    pub fn metadata(&self) -> Result<Metadata> {
        let opened = self.open(OFlags::PATH).map_err(|e| self.fault("looking at", e))?;
        File::from(opened).metadata().map_err(|e| self.fault("looking at", e))
    }

    /// Bytes `range` of a file, which must all be there.
    pub fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let file = self.open_file()?;
        let size = file.metadata().map_err(|e| self.fault("looking at", e))?.len();
        if range.start > range.end || range.end > size {
            return Err(Error::internal("A data file is shorter than expected.")
                .context(format!("reading bytes {range:?} of {} ({size} bytes)", self.absolute().display())));
        }
        let mut bytes = vec![0; (range.end - range.start) as usize];
        file.read_exact_at(&mut bytes, range.start).map_err(|e| self.fault("reading", e))?;
        Ok(bytes.into())
    }

    /// All bytes of a file of at most `limit`; `None` when there is no such file.
    pub fn read_all(&self, limit: u64) -> Result<Option<Vec<u8>>> {
        self.open_if_exists()?.map(|file| self.read_whole(file, limit)).transpose()
    }

    /// All bytes of this file, which is open.
    pub(crate) fn read_whole(&self, file: File, limit: u64) -> Result<Vec<u8>> {
        let size = file.metadata().map_err(|e| self.fault("looking at", e))?.len();
        let mut bytes = Vec::with_capacity(size.min(limit) as usize + 1);
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| self.fault("reading", e))?;
        if bytes.len() as u64 > limit {
            return Err(Error::internal("A data file is larger than it can be.")
                .context(format!("reading {}, more than {limit} bytes", self.absolute().display())));
        }
        Ok(bytes)
    }

    fn fault(&self, doing: &str, e: std::io::Error) -> Error {
        fault::of_file(doing, self, e)
    }
}

#[cfg(test)]
mod tests {
    use girih_model::ErrorKind;

    use super::*;

    fn kind<T>(result: Result<T>) -> ErrorKind {
        result.err().expect("an error").kind()
    }

    #[test]
    fn nothing_leads_out() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        let inside = tempfile::tempdir().unwrap();
        let root = inside.path();
        std::fs::create_dir(root.join("sub")).unwrap();
        std::fs::write(root.join("sub/data"), "inside").unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), root.join("link")).unwrap();
        std::os::unix::fs::symlink(outside.path(), root.join("dir")).unwrap();
        std::os::unix::fs::symlink("../../../../../../etc/hostname", root.join("dots")).unwrap();
        std::os::unix::fs::symlink(root.join("sub"), root.join("absolute")).unwrap();
        std::os::unix::fs::symlink("sub/data", root.join("relative")).unwrap();
        std::os::unix::fs::symlink("loop", root.join("loop")).unwrap();
        let directory = Directory::open(root, false).unwrap();
        let at = |path: &str| directory.locate(&root.join(path));
        for out in ["link", "dir/secret", "dots", "loop"] {
            assert_eq!(kind(at(out).unwrap().open_file()), ErrorKind::Forbidden, "{out}");
        }
        for fine in ["sub/data", "absolute/data", "relative"] {
            assert_eq!(&at(fine).unwrap().read(0..6).unwrap()[..], b"inside", "{fine}");
        }
        assert!(at("../x").is_none());
        assert!(at("sub/../../x").is_none());
        assert!(directory.locate(outside.path()).is_none());
        let base = directory.root();
        for bad in ["..", ".", "", "a/b", "/etc", "a\0"] {
            assert_eq!(kind(base.child(bad)), ErrorKind::Malformed, "{bad:?}");
        }
        for bad in ["../x", "/etc/passwd", "sub/../../x", "sub//data", ""] {
            assert_eq!(kind(base.join(bad)), ErrorKind::Malformed, "{bad:?}");
        }
        assert_eq!(kind(at("sub").unwrap().open_file()), ErrorKind::Unprocessable);
        assert_eq!(kind(at("none").unwrap().open_file()), ErrorKind::Gone);
        assert_eq!(kind(at("sub/data").unwrap().read(0..7)), ErrorKind::Internal);
    }

    #[test]
    fn a_directory_behind_a_link_has_both_names() {
        let real = tempfile::tempdir().unwrap();
        let links = tempfile::tempdir().unwrap();
        let link = links.path().join("data");
        std::os::unix::fs::symlink(real.path(), &link).unwrap();
        std::fs::write(real.path().join("x"), "1").unwrap();
        let directory = Directory::open(&link, true).unwrap();
        assert!(directory.locate(&link.join("x")).is_some());
        assert!(directory.locate(&real.path().canonicalize().unwrap().join("x")).is_some());
        assert_eq!(directory.root().uri(), format!("file://localhost{}", link.display()));
    }

    #[test]
    fn a_pipe_is_refused_at_once() {
        let temp = tempfile::tempdir().unwrap();
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, temp.path().join("pipe"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let directory = Directory::open(temp.path(), false).unwrap();
        assert_eq!(kind(directory.root().child("pipe").unwrap().open_file()), ErrorKind::Unprocessable);
    }

    #[test]
    fn a_missing_directory_is_named() {
        let message = Directory::open(Path::new("/no/such/place"), false).unwrap_err();
        assert!(message.message().contains("/no/such/place"), "{message}");
    }
}
