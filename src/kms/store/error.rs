//! What goes wrong in a store.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::crypto::RandomError;

/// What went wrong in a store. Each variant says what the blob is after it;
/// nothing was changed unless it is [`Uncertain`](Self::Uncertain).
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// A neighbour was faster, or the caller holds an old version: the blob is
    /// not as expected. Read it again, and decide again.
    Conflict {
        /// The blob.
        name: String,
    },
    /// Caller: this is no blob's name.
    InvalidName {
        /// The name, with what is not printable ASCII escaped, and cut short.
        name: String,
    },
    /// Caller, or a store that was written with another limit: the blob is
    /// longer than the limit.
    TooLarge {
        /// The blob.
        name: String,
        /// Its length.
        length: u64,
        /// The store's limit.
        limit: u64,
    },
    /// The blob is there, and it is not what was written: a failing disk, a
    /// truncated copy, or a foreign file in its place. All other blobs are
    /// usable. Restore it from a backup: a listing gives the version by which
    /// it can be replaced or deleted.
    Damaged {
        /// The blob.
        name: String,
        /// How.
        reason: String,
    },
    /// The disk, the quota or the service is full. Make room.
    Full {
        /// What was being done.
        operation: String,
        /// The cause.
        source: io::Error,
    },
    /// This process may not do it: a read-only file system, or a folder or file
    /// of somebody else's.
    AccessDenied {
        /// What was being done.
        operation: String,
        /// The cause.
        source: io::Error,
    },
    /// Another process, or another thread, holds the store's lock, and has not
    /// let go of it in time: retry later, or see whether it hangs.
    Locked {
        /// The lock file.
        location: PathBuf,
        /// How long this call waited.
        waited: Duration,
    },
    /// Caller: what is at this place is no store, or not all of one.
    NotAStore {
        /// The place.
        location: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The store was written by a newer version of this library. Upgrade.
    NewerFormat {
        /// The store.
        location: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that is known here.
        supported: u32,
    },
    /// The change may or may not have been made, and if it was, it may not be
    /// on the disk yet. Read the blob to see: what a read shows is.
    Uncertain {
        /// The blob.
        name: String,
        /// The cause.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The store cannot do what is asked, conditional writes for example.
    /// Configure it so that it does, or use another.
    Unsupported {
        /// What was being done.
        operation: String,
        /// The cause.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The file system failed.
    Io {
        /// What was being done.
        operation: String,
        /// The cause.
        source: io::Error,
    },
    /// The store's service cannot be reached or is failing: retry later.
    Unavailable {
        /// The cause.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The random source failed.
    Random(RandomError),
}

impl StoreError {
    /// Whether the same call may succeed later, as it is.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Locked { .. } | Self::Unavailable { .. })
    }

    pub(super) fn conflict(name: &str) -> Self {
        Self::Conflict {
            name: name.to_owned(),
        }
    }

    pub(super) fn invalid_name(name: &str) -> Self {
        let shown = name.get(..super::MAX_NAME_LENGTH).unwrap_or(name);
        Self::InvalidName {
            // ASCII only: what looks like a name, and is none, is seen.
            name: shown.escape_default().take(400).collect(),
        }
    }

    pub(super) fn damaged(name: &str, reason: impl Into<String>) -> Self {
        Self::Damaged {
            name: name.to_owned(),
            reason: reason.into(),
        }
    }

    /// A file system's error, by what the caller can do about it.
    pub(super) fn io(operation: impl Into<String>, source: io::Error) -> Self {
        let operation = operation.into();
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::Full { operation, source },
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                Self::AccessDenied { operation, source }
            }
            _ => Self::Io { operation, source },
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict { name } => {
                write!(f, "the blob '{name}' is not at the expected version")
            }
            Self::InvalidName { name } => write!(
                f,
                "'{name}' is not a blob's name: one to four segments of a-z, 0-9, '_' and '-', \
                 joined by '/', at most 200 bytes"
            ),
            Self::TooLarge {
                name,
                length,
                limit,
            } => write!(
                f,
                "the blob '{name}' has {length} bytes; the limit is {limit}"
            ),
            Self::Damaged { name, reason } => write!(f, "the blob '{name}' is damaged: {reason}"),
            Self::Full { operation, source } => write!(f, "no room to {operation}: {source}"),
            Self::AccessDenied { operation, source } => {
                write!(f, "may not {operation}: {source}")
            }
            Self::Locked { location, waited } => write!(
                f,
                "the store's lock {} is held by another, for more than {} ms",
                location.display(),
                waited.as_millis()
            ),
            Self::NotAStore { location, reason } => {
                write!(f, "{} is not a store: {reason}", location.display())
            }
            Self::NewerFormat {
                location,
                found,
                supported,
            } => write!(
                f,
                "the store {} has format {found}; this version reads up to {supported}",
                location.display()
            ),
            Self::Uncertain { name, source } => write!(
                f,
                "the blob '{name}' may or may not have been changed: {source}"
            ),
            Self::Unsupported { operation, source } => {
                write!(f, "the store cannot {operation}: {source}")
            }
            Self::Io { operation, source } => write!(f, "could not {operation}: {source}"),
            Self::Unavailable { source } => write!(f, "the store is unavailable: {source}"),
            Self::Random(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Full { source, .. }
            | Self::AccessDenied { source, .. }
            | Self::Io { source, .. } => Some(source),
            Self::Uncertain { source, .. }
            | Self::Unsupported { source, .. }
            | Self::Unavailable { source } => Some(&**source),
            // The text is its own already: next comes what is behind it.
            Self::Random(error) => error.source(),
            _ => None,
        }
    }
}

impl From<RandomError> for StoreError {
    fn from(error: RandomError) -> Self {
        Self::Random(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::texts;

    fn blob() -> String {
        "a/b".to_owned()
    }

    #[test]
    fn each_text() {
        let location = PathBuf::from("dir/x");
        for (error, text) in [
            (
                StoreError::conflict("a/b"),
                "the blob 'a/b' is not at the expected version",
            ),
            (
                StoreError::invalid_name("A\n"),
                "'A\\n' is not a blob's name: one to four segments of a-z, 0-9, '_' and '-', \
                 joined by '/', at most 200 bytes",
            ),
            (
                StoreError::TooLarge {
                    name: blob(),
                    length: 9,
                    limit: 8,
                },
                "the blob 'a/b' has 9 bytes; the limit is 8",
            ),
            (
                StoreError::damaged("a/b", "so it is"),
                "the blob 'a/b' is damaged: so it is",
            ),
            (
                StoreError::Locked {
                    location: location.clone(),
                    waited: Duration::from_micros(1_500_900),
                },
                "the store's lock dir/x is held by another, for more than 1500 ms",
            ),
            (
                StoreError::NotAStore {
                    location: location.clone(),
                    reason: "so it is".into(),
                },
                "dir/x is not a store: so it is",
            ),
            (
                StoreError::NewerFormat {
                    location,
                    found: 2,
                    supported: 1,
                },
                "the store dir/x has format 2; this version reads up to 1",
            ),
            (
                StoreError::from(RandomError::new("dry")),
                "the random source failed: dry",
            ),
        ] {
            assert_eq!(texts(&error), [text]);
        }
    }

    #[test]
    fn each_with_its_cause() {
        let operation = || "read".to_owned();
        let source = || io::Error::other("no");
        for (error, text) in [
            (
                StoreError::Full {
                    operation: operation(),
                    source: source(),
                },
                "no room to read: no",
            ),
            (
                StoreError::AccessDenied {
                    operation: operation(),
                    source: source(),
                },
                "may not read: no",
            ),
            (
                StoreError::Uncertain {
                    name: blob(),
                    source: source().into(),
                },
                "the blob 'a/b' may or may not have been changed: no",
            ),
            (
                StoreError::Unsupported {
                    operation: operation(),
                    source: source().into(),
                },
                "the store cannot read: no",
            ),
            (
                StoreError::Io {
                    operation: operation(),
                    source: source(),
                },
                "could not read: no",
            ),
            (
                StoreError::Unavailable {
                    source: source().into(),
                },
                "the store is unavailable: no",
            ),
        ] {
            assert_eq!(texts(&error), [text, "no"]);
            let source = error.source().unwrap();
            assert!(source.downcast_ref::<io::Error>().is_some());
        }
    }
}
