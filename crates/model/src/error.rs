//! One error for the whole house.
//!
//! `kind` says what it means, `message` is safe for the caller, `context` is for the log, `source`
//! is the foreign cause. A foreign error enters only through [`ResultExt`], with a kind and a context.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What an error means to the caller. The server maps each kind to one HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request cannot be understood.
    Malformed,
    /// The request is understood, but its values do not fit.
    Unprocessable,
    /// No credentials, or wrong ones.
    Unauthenticated,
    /// Known caller, not allowed.
    Forbidden,
    NotFound,
    /// This node exists, but cannot do this.
    Unsupported,
    /// None of the media types that the caller accepts can be made from this data.
    NotAcceptable,
    Conflict,
    /// The node exists, but what it points at is gone.
    Gone,
    TooLarge,
    /// The body (or a data source) has a media type that we cannot read.
    UnsupportedMediaType,
    RangeUnsatisfiable,
    /// Come back later.
    Busy,
    /// The storage is full.
    StorageFull,
    /// The disk fails, or may not be written: nothing that the caller can mend, but must hear.
    StorageFailed,
    /// A file is not whole, or not what it says: others write it, and it was not done well, or not yet.
    Damaged,
    /// Our fault.
    Internal,
}

#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    context: Vec<String>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

macro_rules! constructors {
    ($($name:ident => $kind:ident),* $(,)?) => {
        impl Error {
            $(pub fn $name(message: impl Into<String>) -> Self {
                Self::new(ErrorKind::$kind, message)
            })*
        }
    };
}

constructors! {
    malformed => Malformed,
    unprocessable => Unprocessable,
    unauthenticated => Unauthenticated,
    forbidden => Forbidden,
    not_found => NotFound,
    unsupported => Unsupported,
    not_acceptable => NotAcceptable,
    conflict => Conflict,
    gone => Gone,
    too_large => TooLarge,
    unsupported_media_type => UnsupportedMediaType,
    busy => Busy,
    storage_failed => StorageFailed,
    damaged => Damaged,
    internal => Internal,
}

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), context: Vec::new(), source: None }))
    }

    /// What was being done, for the log; the outermost action comes last.
    #[must_use]
    pub fn context(mut self, what: impl Into<String>) -> Self {
        self.0.context.push(what.into());
        self
    }

    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The same of one among several things, which the message then names.
    #[must_use]
    pub fn of(mut self, name: &str) -> Self {
        self.0.message = format!("{name}: {}", self.0.message);
        self
    }

    /// Whether the data are to blame, so that trying again is of no use.
    pub fn is_lasting(&self) -> bool {
        use ErrorKind::{Damaged, Forbidden, Gone, NotFound, Unprocessable, Unsupported, UnsupportedMediaType};
        matches!(
            self.0.kind,
            Damaged | Forbidden | Gone | NotFound | Unprocessable | Unsupported | UnsupportedMediaType
        )
    }

    /// What was wrong and what to do: safe to show to the caller.
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

/// The full story, for the log.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.0.message)?;
        for what in &self.0.context {
            write!(f, "; while {what}")?;
        }
        let mut cause = self.source();
        while let Some(e) = cause {
            write!(f, "; because {e}")?;
            cause = e.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|e| e.as_ref() as _)
    }
}

/// How a foreign error enters the house.
pub trait ResultExt<T> {
    /// Our fault: the caller reads "Internal server error", the log reads `what` and the cause.
    fn internal(self, what: impl FnOnce() -> String) -> Result<T>;

    /// The caller's fault: the caller reads `message`, the log reads the cause too.
    fn or_error(self, error: impl FnOnce(&dyn fmt::Display) -> Error) -> Result<T>;
}

impl<T, E: StdError + Send + Sync + 'static> ResultExt<T> for std::result::Result<T, E> {
    fn internal(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| Error::internal("Internal server error").context(what()).with_source(e))
    }

    fn or_error(self, error: impl FnOnce(&dyn fmt::Display) -> Error) -> Result<T> {
        self.map_err(|e| error(&e).with_source(e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_tells_the_whole_story_and_the_caller_only_the_message() {
        let io = std::io::Error::other("disk on fire");
        let e = Err::<(), _>(io).internal(|| "reading chunk 3".into()).unwrap_err();
        let e = e.context("answering a request");
        assert_eq!(e.message(), "Internal server error");
        assert_eq!(
            e.to_string(),
            "Internal: Internal server error; while reading chunk 3; while answering a request; because disk on fire"
        );
    }
}
