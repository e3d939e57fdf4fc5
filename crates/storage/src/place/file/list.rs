//! What lies below a directory.

use girih_model::{Error, Result};
use rustix::fs::{Dir, FileType, OFlags};

use super::{Location, name};

/// Most files that are listed at once.
const MAX_FILES: usize = 1_000_000;
/// Deepest directory that is looked into.
const MAX_DEPTH: usize = 64;

pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) kind: FileType,
}

impl Location {
    /// Relative paths of all regular files below this directory, sorted. Unfinished files and names
    /// that are not UTF-8 are left out; links to directories are not followed.
    ///
    /// # Errors
    /// `Gone` when the directory is missing, `TooLarge` when there are more than a million files.
    pub fn list_files_recursive(&self) -> Result<Vec<String>> {
        let mut files = Vec::new();
        let mut to_visit = vec![(String::new(), 0)];
        while let Some((prefix, depth)) = to_visit.pop() {
            let directory = if prefix.is_empty() { self.clone() } else { self.join(prefix.trim_end_matches('/'))? };
            for entry in directory.entries()? {
                let path = format!("{prefix}{}", entry.name);
                match entry.kind {
                    FileType::RegularFile => files.push(path),
                    FileType::Directory if depth < MAX_DEPTH => to_visit.push((path + "/", depth + 1)),
                    // A link counts where it leads to a file that may be read.
                    FileType::Symlink if self.join(&path)?.open_file().is_ok() => files.push(path),
                    _ => {}
                }
                if files.len() + to_visit.len() > MAX_FILES {
                    return Err(Error::too_large(format!("This directory has more than {MAX_FILES} files.")));
                }
            }
        }
        files.sort();
        Ok(files)
    }

    /// Entries of this directory, without unfinished files.
    pub(crate) fn entries(&self) -> Result<Vec<Entry>> {
        let mut all = self.all_entries()?;
        all.retain(|entry| !name::is_temporary(&entry.name));
        Ok(all)
    }

    pub(super) fn all_entries(&self) -> Result<Vec<Entry>> {
        Ok(self.list()?.0)
    }

    /// Also the names that are not UTF-8, as they can be shown.
    pub(crate) fn list(&self) -> Result<(Vec<Entry>, Vec<String>)> {
        let handle = self.open_dir().map_err(|e| self.fault("listing", e))?;
        let listing = Dir::read_from(&handle).map_err(|e| self.fault("listing", e.into()))?;
        let (mut entries, mut odd) = (Vec::new(), Vec::new());
        for entry in listing {
            let entry = entry.map_err(|e| self.fault("listing", e.into()))?;
            let Ok(name) = entry.file_name().to_str() else {
                odd.push(entry.file_name().to_string_lossy().into_owned());
                continue;
            };
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => self.kind_of(name)?,
                known => Some(known),
            };
            // It was there when the listing began.
            let Some(kind) = kind else { continue };
            entries.push(Entry { name: name.to_owned(), kind });
            if entries.len() + odd.len() > MAX_FILES {
                return Err(Error::too_large(format!("This directory has more than {MAX_FILES} files.")));
            }
        }
        Ok((entries, odd))
    }

    /// Some file systems do not tell the kind in a listing. `None` when the file is gone.
    fn kind_of(&self, name: &str) -> Result<Option<FileType>> {
        let entry = self.at(self.path.join(name));
        let handle = match entry.open(OFlags::PATH | OFlags::NOFOLLOW) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|e| entry.fault("looking at", e))?,
        };
        let stat = rustix::fs::fstat(&handle).map_err(|e| entry.fault("looking at", e.into()))?;
        Ok(Some(FileType::from_raw_mode(stat.st_mode)))
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::FileType;

    use crate::place::Directory;

    #[test]
    fn a_file_that_vanishes_spoils_no_listing() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink("nowhere", temp.path().join("link")).unwrap();
        let root = Directory::open(temp.path(), false).unwrap().root();
        for (name, kind) in [("file", Some(FileType::RegularFile)), ("link", Some(FileType::Symlink)), ("gone", None)] {
            assert_eq!(root.kind_of(name).unwrap(), kind, "{name}");
        }
    }

    #[test]
    fn files_are_listed_in_order_and_links_stay_inside() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        for file in ["zarr.json", "c/0/1", "c/0/0", "c/1/0", ".girih=1-2-3"] {
            std::fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            std::fs::write(root.join(file), "").unwrap();
        }
        std::os::unix::fs::symlink("/etc/hostname", root.join("out")).unwrap();
        std::os::unix::fs::symlink("/etc", root.join("dir")).unwrap();
        std::os::unix::fs::symlink("..", root.join("c/up")).unwrap();
        std::os::unix::fs::symlink("zarr.json", root.join("in")).unwrap();
        let listed = Directory::open(root, false).unwrap().root().list_files_recursive().unwrap();
        assert_eq!(listed, ["c/0/0", "c/0/1", "c/1/0", "in", "zarr.json"]);
    }
}
