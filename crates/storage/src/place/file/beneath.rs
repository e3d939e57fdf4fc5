//! Opening a path so that it cannot lead out of a directory.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::Directory;

/// Whether the kernel, and what stands between us and it (seccomp), lets us use `openat2`.
pub(super) fn is_supported(directory: &OwnedFd) -> bool {
    resolve(directory, Path::new("."), OFlags::PATH | OFlags::CLOEXEC).is_ok()
}

/// Opens `path` beneath `directory`. A link that leads elsewhere but back inside is followed.
pub(super) fn open(directory: &Directory, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    if !directory.openat2 {
        return open_canonical(directory, path, |real| {
            Ok(rustix::fs::openat(&directory.handle, real, flags | OFlags::NOFOLLOW, Mode::empty())?)
        });
    }
    match resolve(&directory.handle, path, flags) {
        // An absolute link, or one that passes through a parent, may still end inside.
        Err(Errno::XDEV) => {
            open_canonical(directory, path, |real| Ok(resolve(&directory.handle, real, flags | OFlags::NOFOLLOW)?))
        }
        opened => Ok(opened?),
    }
}

/// Opens `below` beneath a directory that is held open; `path` is where it was found in the configured one. A link
/// that leads out of the former is followed within the latter.
pub(super) fn open_pinned(
    directory: &Directory,
    pinned: BorrowedFd<'_>,
    below: &Path,
    path: &Path,
    flags: OFlags,
) -> io::Result<OwnedFd> {
    let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
    let opened =
        if directory.openat2 { resolve(pinned, below, flags) } else { walk(pinned, below, flags | OFlags::NOFOLLOW) };
    match opened {
        Err(Errno::XDEV | Errno::LOOP) => open(directory, path, flags),
        opened => Ok(opened?),
    }
}

/// Opens step by step, following no link: `LOOP` if there is one.
fn walk(start: BorrowedFd<'_>, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let step = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut place: Option<OwnedFd> = None;
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        let from = place.as_ref().map_or(start, OwnedFd::as_fd);
        let is_last = parts.peek().is_none();
        let next = rustix::fs::openat(from, part.as_os_str(), if is_last { flags } else { step }, Mode::empty())?;
        if is_last {
            return Ok(next);
        }
        if rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&next)?.st_mode) == rustix::fs::FileType::Symlink {
            return Err(Errno::LOOP);
        }
        place = Some(next);
    }
    Err(Errno::NOENT)
}

fn resolve(directory: impl AsFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    // The kernel gives up with EAGAIN when something is being renamed on the way.
    for _ in 0..16 {
        match rustix::fs::openat2(&directory, path, flags, Mode::empty(), how) {
            Err(Errno::AGAIN | Errno::INTR) => continue,
            opened => return opened,
        }
    }
    Err(Errno::AGAIN)
}

fn open_canonical(
    directory: &Directory,
    path: &Path,
    open: impl FnOnce(&Path) -> io::Result<OwnedFd>,
) -> io::Result<OwnedFd> {
    let real = directory.canonical.join(path).canonicalize()?;
    let below = real.strip_prefix(&directory.canonical).map_err(|_| io::Error::from(Errno::XDEV))?;
    open(if below.as_os_str().is_empty() { Path::new(".") } else { below })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Old kernels and strict sandboxes have no `openat2`.
    #[test]
    fn the_fallback_stays_inside_too() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("data"), "x").unwrap();
        std::os::unix::fs::symlink("/etc/hostname", temp.path().join("out")).unwrap();
        std::os::unix::fs::symlink("data", temp.path().join("in")).unwrap();
        std::fs::create_dir(temp.path().join("sub")).unwrap();
        std::fs::write(temp.path().join("sub/data"), "x").unwrap();
        std::os::unix::fs::symlink("sub", temp.path().join("over")).unwrap();
        let opened = Directory::open(temp.path(), false).unwrap();
        let directory = Directory {
            path: opened.path.clone(),
            canonical: opened.canonical.clone(),
            handle: opened.handle.try_clone().unwrap(),
            openat2: false,
        };
        let check = |path: &str| {
            let path = Path::new(path);
            let opened = open(&directory, path, OFlags::RDONLY).map(drop).map_err(|e| e.kind());
            let pinned = open_pinned(&directory, directory.as_fd(), path, path, OFlags::RDONLY);
            assert_eq!(pinned.map(drop).map_err(|e| e.kind()), opened);
            opened
        };
        assert_eq!(check("data"), Ok(()));
        assert_eq!(check("sub/data"), Ok(()));
        assert_eq!(check("over/data"), Ok(()));
        assert_eq!(check("in"), Ok(()));
        assert_eq!(check(""), Ok(()));
        assert_eq!(check("out"), Err(io::ErrorKind::CrossesDevices));
        assert_eq!(check("none"), Err(io::ErrorKind::NotFound));
    }
}
