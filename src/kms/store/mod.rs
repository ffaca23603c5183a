//! Where the KMS keeps its records: named, versioned blobs with
//! compare-and-swap.
//!
//! | store | for |
//! |---|---|
//! | [`MemoryStore`] | tests, and keys that live as long as the process |
//! | [`DirectoryStore`] | one machine: a folder, and any number of processes at once |
//! | `ObjectBlobStore` (feature `object-store`) | several machines: S3 and its like |
//! | your own [`BlobStore`] | anything else that has a conditional write |
//!
//! A store sees sealed bytes only: it need not keep them secret, and what it
//! gives back is not believed before it has been opened.
//!
//! The feature `test-util` has the suite of behaviour that every store must
//! pass.

#[cfg(any(test, feature = "test-util"))]
pub mod behaviour;
mod directory;
mod error;
mod format;
mod memory;
#[cfg(feature = "object-store")]
#[cfg_attr(docsrs, doc(cfg(feature = "object-store")))]
mod object;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub use directory::{DirectoryStore, DirectoryStoreBuilder};
pub use error::StoreError;
pub use memory::MemoryStore;
#[cfg(feature = "object-store")]
#[cfg_attr(docsrs, doc(cfg(feature = "object-store")))]
pub use object::ObjectBlobStore;

/// What a store's calls give back: a boxed future that any executor, or none,
/// can drive.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The most bytes in a name.
pub const MAX_NAME_LENGTH: usize = 200;
/// The most segments in a name.
pub const MAX_NAME_SEGMENTS: usize = 4;
/// The most bytes in a blob, where a store has no other setting.
pub const DEFAULT_MAX_BLOB_LENGTH: usize = 16 << 20;

/// Named blobs, each with a version that changes with every write.
///
/// A name is one to four segments of `a` to `z`, `0` to `9`, `_` and `-`,
/// joined by `/`; at most 200 bytes: see [`check_name`]. Both `keys` and
/// `keys/1` can be blobs at once.
///
/// An implementation promises:
/// - A write or deletion happens only if the blob is as expected; of several
///   at once that expect the same, one happens.
/// - `Ok` means that it is done for good: no crash and no power cut takes it
///   back. Neither takes back what a read or a listing showed.
/// - A reader sees whole blobs only. After an error, and after a future that
///   was dropped or a process that was killed, a blob is as before or as it
///   was to become.
/// - Nothing happens before a future is first polled.
///
/// A local store's futures are ready when first polled. One whose client needs
/// a runtime keeps a handle to it and does its work there, so that its futures
/// can be awaited from anywhere.
pub trait BlobStore: Send + Sync {
    /// The blob, or `None` where there is none.
    fn read<'a>(&'a self, name: &'a str) -> StoreFuture<'a, Option<Blob>>;

    /// Writes if the blob is as expected, else [`StoreError::Conflict`]. Gives
    /// back the new version.
    fn write<'a>(
        &'a self,
        name: &'a str,
        bytes: &'a [u8],
        expected: Expected<'a>,
    ) -> StoreFuture<'a, BlobVersion>;

    /// Deletes if the blob is at this version, else (also where there is none)
    /// [`StoreError::Conflict`]. Overwrites what it can reach of it.
    fn delete<'a>(&'a self, name: &'a str, expected: &'a BlobVersion) -> StoreFuture<'a, ()>;

    /// The blobs whose names have this prefix (any text, also part of a
    /// segment, also none) and come after `after`, sorted by the names' bytes.
    /// Gives back `limit` entries, or fewer where there are no more.
    ///
    /// A damaged blob is listed too, with a version by which it can be
    /// replaced or deleted. A blob that is written or deleted meanwhile is
    /// listed or not; one that stays is.
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<BlobEntry>>;

    /// A cheap way to notice what other handles and processes do: a token that
    /// differs from an earlier one if a blob under this prefix has been
    /// written or deleted since (and perhaps also if not). Ask for the token
    /// first and read then: while the token stays the same, so does what was
    /// read. It means nothing to another process, or after a restart.
    ///
    /// `None`, the default: this store cannot tell; list.
    fn change_token<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Option<ChangeToken>> {
        let _ = prefix;
        Box::pin(std::future::ready(Ok(None)))
    }
}

impl<S: BlobStore + ?Sized> BlobStore for Arc<S> {
    fn read<'a>(&'a self, name: &'a str) -> StoreFuture<'a, Option<Blob>> {
        (**self).read(name)
    }

    fn write<'a>(
        &'a self,
        name: &'a str,
        bytes: &'a [u8],
        expected: Expected<'a>,
    ) -> StoreFuture<'a, BlobVersion> {
        (**self).write(name, bytes, expected)
    }

    fn delete<'a>(&'a self, name: &'a str, expected: &'a BlobVersion) -> StoreFuture<'a, ()> {
        (**self).delete(name, expected)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<BlobEntry>> {
        (**self).list(prefix, after, limit)
    }

    fn change_token<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Option<ChangeToken>> {
        (**self).change_token(prefix)
    }
}

/// A blob's version: opaque, different after every write, equal only for the
/// same write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BlobVersion(String);

impl BlobVersion {
    /// A version of a store's own kind: an ETag, a counter, random bytes.
    pub fn new(version: impl Into<String>) -> Self {
        BlobVersion(version.into())
    }

    /// What it was made of.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BlobVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A state of the blobs under a prefix: see [`BlobStore::change_token`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChangeToken(String);

impl ChangeToken {
    /// A token of a store's own kind.
    pub fn new(token: impl Into<String>) -> Self {
        ChangeToken(token.into())
    }

    /// What it was made of.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A blob as it was read.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Blob {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Its version, for the next write or deletion.
    pub version: BlobVersion,
}

impl Blob {
    /// Puts the parts together.
    pub fn new(bytes: Vec<u8>, version: BlobVersion) -> Self {
        Blob { bytes, version }
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes, {:?})", self.bytes.len(), self.version)
    }
}

/// A blob as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlobEntry {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: BlobVersion,
}

impl BlobEntry {
    /// Puts the parts together.
    pub fn new(name: impl Into<String>, version: BlobVersion) -> Self {
        BlobEntry {
            name: name.into(),
            version,
        }
    }
}

/// What a blob must be for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected<'a> {
    /// There is no blob of this name.
    Absent,
    /// The blob is at this version.
    Version(&'a BlobVersion),
}

impl Expected<'_> {
    /// Whether a blob that is at this version, or absent, is as expected.
    pub fn fits(self, current: Option<&BlobVersion>) -> bool {
        match self {
            Expected::Absent => current.is_none(),
            Expected::Version(version) => current == Some(version),
        }
    }
}

/// Checks a blob's name, as every store must before it does anything.
///
/// # Errors
/// [`StoreError::InvalidName`].
pub fn check_name(name: &str) -> Result<(), StoreError> {
    let valid_segment = |segment: &str| {
        !segment.is_empty()
            && segment
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
    };
    if name.len() <= MAX_NAME_LENGTH
        && name.split('/').count() <= MAX_NAME_SEGMENTS
        && name.split('/').all(valid_segment)
    {
        Ok(())
    } else {
        Err(StoreError::invalid_name(name))
    }
}

/// Checks a blob's length against a store's limit.
///
/// # Errors
/// [`StoreError::TooLarge`].
pub fn check_length(name: &str, bytes: &[u8], limit: usize) -> Result<(), StoreError> {
    if bytes.len() <= limit {
        Ok(())
    } else {
        Err(StoreError::TooLarge {
            name: name.to_owned(),
            length: bytes.len() as u64,
            limit: limit as u64,
        })
    }
}
