//! How a command fails: a status for programs, one line for people.

use girih_model::{Error, ErrorKind};

/// The statuses are listed in `girih --help`.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }

    pub(crate) fn configuration(error: Error) -> Self {
        Self { code: 3, message: story(&error) }
    }

    pub(crate) fn catalog(error: Error) -> Self {
        Self { code: 4, message: story(&error) }
    }

    pub(crate) fn address(message: impl Into<String>) -> Self {
        Self { code: 5, message: message.into() }
    }
}

/// Who starts the server also reads its log: for our own faults, the whole story is told at once.
fn story(error: &Error) -> String {
    match error.kind() {
        ErrorKind::Internal => error.to_string(),
        _ => error.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_is_told_why() {
        let e = Error::internal("Internal server error").with_source(std::io::Error::other("disk on fire"));
        assert!(Failure::catalog(e).message.contains("disk on fire"));
        assert_eq!(Failure::catalog(Error::not_found("no such file")).message, "no such file");
    }
}
