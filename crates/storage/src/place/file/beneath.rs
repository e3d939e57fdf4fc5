//! Opening a path so that it cannot lead out of a directory.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::Directory;

/// Whether the kernel, and what stands between us and it (seccomp), lets us use `openat2`.
pub(super) fn is_supported(directory: &OwnedFd) -> bool {
    resolve(directory, Path::new("."), OFlags::PATH | OFlags::CLOEXEC).is_ok()
}

/// Opens `path` beneath `directory`. A link that leads elsewhere but back inside is followed.
///
/// # Errors
/// `CrossesDevices` for what lies elsewhere.
pub(super) fn open(directory: &Directory, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let handle = directory.handle()?;
    if directory.openat2 {
        match resolve(handle, or_itself(path), flags) {
            // An absolute link, or one that passes through a parent, may still end inside.
            Err(Errno::XDEV) => {}
            opened => return Ok(opened?),
        }
    }
    let real = directory.canonical.join(path).canonicalize()?;
    let below = real.strip_prefix(&directory.canonical).map_err(|_| io::Error::from(Errno::XDEV))?;
    open_real(directory, below, flags)
}

/// Opens what an absolute path leads to, if that lies beneath one of the directories. Of what does not, nothing is told,
/// not even whether it is there.
///
/// # Errors
/// `CrossesDevices` for what lies elsewhere.
pub(super) fn open_linked(directories: &[Arc<Directory>], path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    // A file that is still to come lies where its directory does.
    let to_come = || Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
    let real = path.canonicalize().ok().or_else(to_come);
    let within = real.as_ref().and_then(|real| {
        directories.iter().find_map(|directory| Some((directory, real.strip_prefix(&directory.canonical).ok()?)))
    });
    let (directory, below) = within.ok_or(Errno::XDEV)?;
    open_real(directory, below, flags)
}

/// Opens a path without links: what has become one meanwhile is not followed.
fn open_real(directory: &Directory, below: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let handle = directory.handle()?;
    let (below, flags) = (or_itself(below), flags | OFlags::NOFOLLOW);
    Ok(if directory.openat2 { resolve(handle, below, flags) } else { walk(handle, below, flags) }?)
}

fn or_itself(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
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
    let below = or_itself(below);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Old kernels and strict sandboxes have no `openat2`.
    fn without_openat2(path: &Path) -> Directory {
        Directory { openat2: false, ..Arc::into_inner(Directory::open(path, false).unwrap()).unwrap() }
    }

    #[test]
    fn the_fallback_stays_inside_too() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("data"), "x").unwrap();
        std::os::unix::fs::symlink("/etc/hostname", temp.path().join("out")).unwrap();
        std::os::unix::fs::symlink("data", temp.path().join("in")).unwrap();
        std::fs::create_dir(temp.path().join("sub")).unwrap();
        std::fs::write(temp.path().join("sub/data"), "x").unwrap();
        std::os::unix::fs::symlink("sub", temp.path().join("over")).unwrap();
        let directory = without_openat2(temp.path());
        let check = |path: &str| {
            let path = Path::new(path);
            let opened = open(&directory, path, OFlags::RDONLY).map(drop).map_err(|e| e.kind());
            let handle = directory.handle().unwrap();
            let pinned = open_pinned(&directory, handle, path, path, OFlags::RDONLY);
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
    /// What was a directory when its path was resolved may be a link when it is opened.
    #[test]
    fn no_part_of_a_resolved_path_is_followed() {
        let (temp, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(outside.path().join("data"), "x").unwrap();
        std::os::unix::fs::symlink(outside.path(), temp.path().join("sub")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("data"), temp.path().join("data")).unwrap();
        let fallback = without_openat2(temp.path());
        let with_openat2 = Directory::open(temp.path(), false).unwrap();
        for directory in [&fallback, &with_openat2] {
            for path in ["sub/data", "sub", "data"] {
                assert!(open_real(directory, Path::new(path), OFlags::RDONLY).is_err(), "{path}");
            }
        }
    }
}
