//! A store in a folder.

mod changes;
mod files;
mod folder;
mod lock;
mod open;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use files::{Files, SystemFiles};
use folder::Folder;

use super::{
    Blob, BlobEntry, BlobStore, BlobVersion, ChangeToken, DEFAULT_MAX_BLOB_LENGTH, Expected,
    StoreError, StoreFuture,
};

/// Blobs in a folder of a local file system, for any number of threads and
/// processes at once. Clones are the same store.
///
/// ```
/// # let parent = tempfile::tempdir()?;
/// # let folder = parent.path().join("store");
/// use waxseal::kms::store::{BlobStore, DirectoryStore, Expected};
///
/// let store = DirectoryStore::open(folder)?; // makes it, if it is not there
/// # let future = async {
/// let version = store.write("keys/1", b"sealed", Expected::Absent).await?;
/// store.write("keys/1", b"sealed anew", Expected::Version(&version)).await?;
/// # Ok::<(), waxseal::kms::store::StoreError>(())
/// # };
/// # let waker = std::task::Waker::noop();
/// # match std::pin::pin!(future).poll(&mut std::task::Context::from_waker(waker)) {
/// #     std::task::Poll::Ready(result) => result?,
/// #     std::task::Poll::Pending => unreachable!(),
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What it costs
///
/// A change waits for the disk two or three times, and for whoever else is
/// changing something. Reading and listing wait for nobody, except for a
/// change that is not on the disk yet. All of it blocks the thread that polls
/// the future, for some milliseconds where another process writes, and up to
/// [`lock_timeout`](DirectoryStoreBuilder::lock_timeout) where it hangs.
///
/// # What it relies on
///
/// Locks (`flock`, `LockFileEx`) that work between all processes that use the
/// folder, rename that replaces atomically, and a disk that has what a sync
/// says it has. Network file systems are bad at the first. One machine at a
/// time: not a folder that is shared between machines.
///
/// # What is left of old content
///
/// What is replaced or deleted is overwritten with zeros before it is
/// unlinked. After a crash, the next change or opening does it. This reaches
/// the content where the file system overwrites in place. Not reached are
/// copy-on-write file systems (Btrfs, ZFS, APFS), snapshots and backups, the
/// spare blocks of a solid-state disk, journals that hold data, and content
/// that has other names (hard links); on file systems without hard links,
/// replaced content is unlinked only. The content is sealed in any case.
#[derive(Clone)]
pub struct DirectoryStore(Arc<Folder>);

impl DirectoryStore {
    /// Opens the store in this folder; makes it, and the folders above it,
    /// where there is none.
    ///
    /// # Errors
    /// - [`StoreError::NotAStore`]: something else is there. Nothing is
    ///   touched.
    /// - [`StoreError::NewerFormat`]: a newer version's store.
    /// - [`StoreError::Locked`], [`StoreError::Full`],
    ///   [`StoreError::AccessDenied`], [`StoreError::Io`]: it cannot be made or
    ///   looked at.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::builder(folder).open()
    }

    /// Starts a store with other settings.
    pub fn builder(folder: impl AsRef<Path>) -> DirectoryStoreBuilder {
        DirectoryStoreBuilder {
            folder: folder.as_ref().to_owned(),
            create: true,
            max_blob_length: DEFAULT_MAX_BLOB_LENGTH,
            lock_timeout: Duration::from_secs(10),
            files: Box::new(SystemFiles { sync: true }),
        }
    }

    /// The folder, as an absolute path without symbolic links.
    pub fn folder(&self) -> &Path {
        &self.0.root
    }
}

impl fmt::Debug for DirectoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DirectoryStore").field(&self.0.root).finish()
    }
}

/// Builds a [`DirectoryStore`]; made by [`DirectoryStore::builder`].
#[must_use]
pub struct DirectoryStoreBuilder {
    folder: PathBuf,
    create: bool,
    max_blob_length: usize,
    lock_timeout: Duration,
    files: Box<dyn Files>,
}

impl DirectoryStoreBuilder {
    /// Whether a store is made where there is none. On by default.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// The most bytes in a blob that is written or read; 16 MiB by default.
    pub fn max_blob_length(mut self, length: usize) -> Self {
        self.max_blob_length = length;
        self
    }

    /// How long a change waits for others that change something, before it
    /// fails as [`StoreError::Locked`]; 10 seconds by default. A process that
    /// dies lets go of the lock.
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// Waits for no disk: for tests that write much. A power cut loses
    /// anything.
    #[cfg(feature = "test-util")]
    #[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
    pub fn without_sync(mut self) -> Self {
        self.files = Box::new(SystemFiles { sync: false });
        self
    }

    /// Opens or makes the store.
    ///
    /// # Errors
    /// As [`DirectoryStore::open`].
    pub fn open(self) -> Result<DirectoryStore, StoreError> {
        open::open(self).map(|folder| DirectoryStore(Arc::new(folder)))
    }
}

impl fmt::Debug for DirectoryStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectoryStoreBuilder")
            .field("folder", &self.folder)
            .field("create", &self.create)
            .field("max_blob_length", &self.max_blob_length)
            .field("lock_timeout", &self.lock_timeout)
            .finish_non_exhaustive()
    }
}

impl BlobStore for DirectoryStore {
    fn read<'a>(&'a self, name: &'a str) -> StoreFuture<'a, Option<Blob>> {
        Box::pin(async move { self.0.read(name) })
    }

    fn write<'a>(
        &'a self,
        name: &'a str,
        bytes: &'a [u8],
        expected: Expected<'a>,
    ) -> StoreFuture<'a, BlobVersion> {
        Box::pin(async move { self.0.write(name, bytes, expected) })
    }

    fn delete<'a>(&'a self, name: &'a str, expected: &'a BlobVersion) -> StoreFuture<'a, ()> {
        Box::pin(async move { self.0.delete(name, expected) })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<BlobEntry>> {
        Box::pin(async move { self.0.list(prefix, after, limit) })
    }

    fn change_token<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Option<ChangeToken>> {
        Box::pin(async move { self.0.change_token(prefix).map(Some) })
    }
}
