//! What the file system's errors mean to the caller.

use std::io;

use girih_model::{Error, ErrorKind};

use super::Location;

pub(super) fn of_file(doing: &str, location: &Location, e: io::Error) -> Error {
    let name = location.name();
    let error = match e.kind() {
        io::ErrorKind::NotFound => Error::gone(format!("The file {name:?} that holds this data is missing.")),
        io::ErrorKind::PermissionDenied => {
            Error::forbidden(format!("{name:?} may not be accessed: the user that girih runs as has no permission."))
        }
        io::ErrorKind::CrossesDevices => Error::forbidden(format!(
            "{name:?} lies, or is a link that leads, outside of the directories that may be read here (of a server: readable_storage)."
        )),
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            Error::unprocessable(format!("{name:?} is not the kind of file that was expected: {e}."))
        }
        io::ErrorKind::InvalidFilename => {
            Error::unprocessable("The path of this node is too long for the file system. Use shorter or fewer keys.")
        }
        _ if rustix::io::Errno::from_io_error(&e) == Some(rustix::io::Errno::LOOP) => {
            Error::forbidden(format!("{name:?} is a link that leads nowhere."))
        }
        _ => of_system(&e),
    };
    error.context(format!("{doing} {}", location.absolute().display())).with_source(e)
}

/// A full or failing disk, met by a library that writes for us.
pub(crate) fn of_disk(e: &io::Error) -> Option<Error> {
    Some(of_system(e)).filter(|error| matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::StorageFailed))
}

/// Faults that have nothing to do with one file.
pub(super) fn of_system(e: &io::Error) -> Error {
    use rustix::io::Errno;
    match Errno::from_io_error(e) {
        Some(Errno::NOSPC | Errno::DQUOT) => Error::new(
            ErrorKind::StorageFull,
            "The storage is full: the data was not written. Free some space or ask the operator of this server.",
        ),
        Some(Errno::ROFS) => {
            Error::storage_failed("The storage of this server is mounted read-only: the data was not written.")
        }
        Some(Errno::IO) => Error::storage_failed(
            "The storage of this server failed (input/output error). What was acknowledged before is not touched; ask the operator of this server.",
        ),
        Some(Errno::MFILE | Errno::NFILE) => Error::busy("girih has too many files open. Try again later."),
        _ => Error::internal("Internal server error"),
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;
    use crate::place::Directory;

    #[test]
    fn each_fault_has_its_meaning() {
        let temp = tempfile::tempdir().unwrap();
        let location = Directory::open(temp.path(), true).unwrap().root().child("x").unwrap();
        for (errno, kind) in [
            (Errno::NOSPC, ErrorKind::StorageFull),
            (Errno::DQUOT, ErrorKind::StorageFull),
            (Errno::NOENT, ErrorKind::Gone),
            (Errno::ACCESS, ErrorKind::Forbidden),
            (Errno::XDEV, ErrorKind::Forbidden),
            (Errno::LOOP, ErrorKind::Forbidden),
            (Errno::ROFS, ErrorKind::StorageFailed),
            (Errno::IO, ErrorKind::StorageFailed),
            (Errno::MFILE, ErrorKind::Busy),
            (Errno::NAMETOOLONG, ErrorKind::Unprocessable),
        ] {
            assert_eq!(of_file("testing", &location, errno.into()).kind(), kind, "{errno:?}");
        }
    }
}
