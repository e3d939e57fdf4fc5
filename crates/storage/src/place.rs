//! Where bytes lie: the configured directories, and nothing outside them.

pub mod file;
pub mod scratch;

use std::path::{Component, Path};
use std::sync::Arc;

use girih_model::{Error, Result};

pub use file::{Directory, Draft, Location, Stage, Turn};

/// The directories that may be read, and those that may be written. Writable ones are readable.
#[derive(Debug, Clone)]
pub struct Places {
    writable: Vec<Arc<Directory>>,
    readable: Vec<Arc<Directory>>,
    /// All of them: what a link leads to must lie in one.
    all: Arc<[Arc<Directory>]>,
    nowhere: Arc<Directory>,
}

impl Default for Places {
    fn default() -> Self {
        Self::new(Vec::new(), Vec::new())
    }
}

impl Places {
    pub fn new(writable: Vec<Arc<Directory>>, readable: Vec<Arc<Directory>>) -> Self {
        let all = writable.iter().chain(&readable).cloned().collect();
        Self { writable, readable, all, nowhere: Arc::new(Directory::nowhere()) }
    }

    /// Where new data goes: the first writable directory.
    pub fn writable(&self) -> Result<&Arc<Directory>> {
        self.writable.first().ok_or_else(|| {
            Error::unsupported(
                "This catalog has no writable storage. Start the server with --write or configure writable_storage.",
            )
        })
    }

    /// All directories that may be written.
    pub fn all_writable(&self) -> impl Iterator<Item = &Arc<Directory>> {
        self.writable.iter()
    }

    /// Finds the place of a `file:` URI. By its name or, links followed, it must lie under one of the directories: the
    /// latter is only seen when it is opened, each time anew, and then refused.
    ///
    /// # Errors
    /// `Forbidden` when nothing may be read, `Unprocessable` for other schemes.
    pub fn locate(&self, uri: &str) -> Result<Location> {
        self.at(&file::path_of_uri(uri)?)
    }

    fn at(&self, path: &Path) -> Result<Location> {
        // Where we write no link leads to what is only read.
        if let Some(ours) = self.writable.iter().find_map(|directory| directory.locate(path)) {
            return Ok(ours);
        }
        let directories = self.readable.iter().chain([&self.nowhere]).filter(|_| !self.all.is_empty());
        let found = directories.into_iter().find_map(|directory| directory.locate(path));
        found.map(|found| found.linked(&self.all)).ok_or_else(|| {
            Error::forbidden("The data lies outside the directories that this server may read (readable_storage).")
                .context(format!("locating {}", path.display()))
        })
    }

    /// The place of a file that another file names: by its absolute path, or by one from the directory of the other.
    ///
    /// # Errors
    /// As [`Places::locate`].
    pub(crate) fn beside(&self, file: &Location, name: &str) -> Result<Location> {
        let mut path = file.absolute().parent().unwrap_or(Path::new("/")).to_path_buf();
        for part in Path::new(name).components() {
            match part {
                Component::ParentDir => drop(path.pop()),
                Component::CurDir => {}
                part => path.push(part),
            }
        }
        self.at(&path)
    }

    /// Like [`Places::locate`], but only where we may write and delete.
    pub fn locate_writable(&self, uri: &str) -> Result<Location> {
        let path = file::path_of_uri(uri)?;
        self.writable.iter().find_map(|directory| directory.locate(&path)).ok_or_else(|| {
            Error::forbidden("The data lies outside the directories that this server may write (writable_storage).")
                .context(format!("locating {uri}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use girih_model::ErrorKind;

    use super::*;

    fn uri(path: &Path) -> String {
        format!("file://localhost{}", path.display())
    }

    #[test]
    fn what_a_link_leads_to_may_be_read_if_it_lies_in_one_of_the_directories() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        for name in ["a", "b/deep", "ours", "secret"] {
            fs::create_dir_all(at(name)).unwrap();
            fs::write(at(name).join("x"), name).unwrap();
        }
        let open = |name: &str, writable| Directory::open(&at(name), writable).unwrap();
        let places = Places::new(vec![open("ours", true)], vec![open("a", false), open("b", false)]);
        for (link, target) in [
            ("in", "b/deep"),
            ("whole", "b"),
            ("a/across", "b/deep"),
            ("over", "in"),
            ("out", "secret"),
            ("a/out", "secret"),
            ("b/out", "out"),
            ("ours/across", "b/deep"),
        ] {
            symlink(at(target), at(link)).unwrap();
        }
        let check = |path: &str| {
            let location = places.locate(&uri(&at(path))).unwrap();
            assert_eq!(location.absolute(), at(path));
            let read = location.open_file().map(|_| ()).map_err(|e| e.kind());
            assert_eq!(location.metadata().map(drop).map_err(|e| e.kind()), read, "{path}");
            read
        };
        for fine in ["a/x", "in/x", "whole/deep/x", "a/across/x", "over/x"] {
            assert_eq!(check(fine), Ok(()), "{fine}");
        }
        for out in ["out/x", "a/out/x", "b/out/x", "whole/out/x", "secret/x", "secret/none", "none/x", "ours/across/x"]
        {
            assert_eq!(check(out), Err(ErrorKind::Forbidden), "{out}");
        }
        // It may be still to come.
        for to_come in ["in/none", "a/across/none"] {
            assert_eq!(check(to_come), Err(ErrorKind::Gone), "{to_come}");
        }
        assert_eq!(places.locate(&uri(&at("in"))).unwrap().pinned().unwrap().list_files_recursive().unwrap(), ["x"]);
        assert!(places.locate_writable(&uri(&at("in/x"))).is_err());
        // What it leads to now is what counts.
        fs::remove_file(at("in")).unwrap();
        symlink(at("secret"), at("in")).unwrap();
        assert_eq!(check("in/x"), Err(ErrorKind::Forbidden));
        assert_eq!(Places::default().locate(&uri(&at("in/x"))).unwrap_err().kind(), ErrorKind::Forbidden);
    }
}
