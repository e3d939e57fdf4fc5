//! Opening a path so that it cannot lead out of a directory.

use std::io;
use std::os::fd::OwnedFd;
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

fn resolve(directory: &OwnedFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    // The kernel gives up with EAGAIN when something is being renamed on the way.
    for _ in 0..16 {
        match rustix::fs::openat2(directory, path, flags, Mode::empty(), how) {
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
        let opened = Directory::open(temp.path(), false).unwrap();
        let directory = Directory {
            path: opened.path.clone(),
            canonical: opened.canonical.clone(),
            handle: opened.handle.try_clone().unwrap(),
            openat2: false,
            locks: Default::default(),
        };
        let check = |path: &str| open(&directory, Path::new(path), OFlags::RDONLY).map(drop).map_err(|e| e.kind());
        assert_eq!(check("data"), Ok(()));
        assert_eq!(check("in"), Ok(()));
        assert_eq!(check(""), Ok(()));
        assert_eq!(check("out"), Err(io::ErrorKind::CrossesDevices));
        assert_eq!(check("none"), Err(io::ErrorKind::NotFound));
    }
}
