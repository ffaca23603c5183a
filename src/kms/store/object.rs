//! A store in an object store: S3 and its like, through the crate
//! `object_store`.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use object_store::path::Path;
use object_store::{
    Error, GetOptions, ObjectMeta, ObjectStore, PutMode, PutOptions, PutResult, UpdateVersion,
};
use tokio::runtime::Handle;

use super::format::{Header, MAX_HEADER, MIN_HEADER, VersionBytes};
use super::{
    Blob, BlobEntry, BlobStore, BlobVersion, DEFAULT_MAX_BLOB_LENGTH, Expected, StoreError,
    StoreFuture, check_length, check_name,
};
use crate::crypto::CryptoBackend;
use crate::runtime::Runtime;

/// Blobs in an object store, for any number of machines at once. Clones are
/// the same store.
///
/// ```
/// use std::sync::Arc;
/// use object_store::memory::InMemory; // or aws::AmazonS3, …
/// use waxseal::kms::store::{BlobStore, Expected, ObjectBlobStore};
///
/// let store = ObjectBlobStore::new(Arc::new(InMemory::new()), "my-service/keys");
/// # let future = async {
/// store.write("keys/1", b"sealed", Expected::Absent).await?;
/// # Ok::<(), waxseal::kms::store::StoreError>(())
/// # };
/// # let waker = std::task::Waker::noop();
/// # match std::pin::pin!(future).poll(&mut std::task::Context::from_waker(waker)) {
/// #     std::task::Poll::Ready(result) => result?,
/// #     std::task::Poll::Pending => unreachable!(),
/// # }
/// # Ok::<(), waxseal::kms::store::StoreError>(())
/// ```
///
/// # What it relies on
///
/// Conditional puts, which S3, Google Cloud Storage, Azure and `object_store`'s
/// in-memory store do, and its local file system does not (use a
/// [`DirectoryStore`](super::DirectoryStore)); ETags; reads and listings that
/// see the last write.
///
/// A client that has no answer to a put asks again. This store recognizes its
/// own write then; only if somebody has replaced it meanwhile, it is reported
/// as a conflict, though it was made.
///
/// # Deletion
///
/// No object store deletes on condition everywhere, so a deleted blob is
/// replaced by a tombstone of 24 bytes, which stays: removing it would remove
/// what somebody else has just put in its place. What the service keeps of
/// replaced objects (versions, replicas, backups) is the service's to delete;
/// the content is sealed in any case.
///
/// # Runtimes
///
/// The clients of remote services need a Tokio runtime. Give it with
/// [`on_runtime`](Self::on_runtime), and the store's futures can be awaited
/// from anywhere; without it, only from within one.
#[derive(Clone)]
pub struct ObjectBlobStore {
    inner: Inner,
    runtime: Option<Runtime>,
}

#[derive(Clone)]
struct Inner {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    max_blob_length: usize,
    crypto: CryptoBackend,
}

/// A tombstone: these bytes and 16 random ones.
const TOMBSTONE: &[u8; 8] = b"waxgone\x01";
const TOMBSTONE_LENGTH: usize = TOMBSTONE.len() + size_of::<VersionBytes>();
const _: () = assert!(
    TOMBSTONE_LENGTH < MIN_HEADER,
    "a listing tells them by their length"
);

impl ObjectBlobStore {
    /// The blobs under this prefix (a path without a slash at its ends, or
    /// none), which should hold nothing else.
    pub fn new(objects: Arc<dyn ObjectStore>, prefix: impl Into<Path>) -> Self {
        ObjectBlobStore {
            inner: Inner {
                objects,
                prefix: prefix.into(),
                max_blob_length: DEFAULT_MAX_BLOB_LENGTH,
                crypto: CryptoBackend::default(),
            },
            runtime: None,
        }
    }

    /// The most bytes in a blob that is written or read; 16 MiB by default.
    #[must_use]
    pub fn max_blob_length(mut self, length: usize) -> Self {
        self.inner.max_blob_length = length;
        self
    }

    /// Does its work on this runtime. A blocking call inside a task of it is
    /// refused with [`Unavailable`](StoreError::Unavailable).
    #[must_use]
    pub fn on_runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(Runtime::Given(runtime));
        self
    }

    async fn run<T, F>(&self, work: impl FnOnce(Inner) -> F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let work = work(self.inner.clone());
        match &self.runtime {
            None => work.await,
            Some(runtime) => match runtime.run(work).await {
                Ok(result) => result,
                Err(error) => Err(StoreError::Unavailable {
                    source: Box::new(error),
                }),
            },
        }
    }
}

impl fmt::Debug for ObjectBlobStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectBlobStore")
            .field("objects", &self.inner.objects)
            .field("prefix", &self.inner.prefix)
            .finish_non_exhaustive()
    }
}

/// What an object holds.
enum Found {
    Tombstone(VersionBytes),
    /// The start of a blob's object, or of something else.
    Other(Vec<u8>),
}

impl Found {
    fn new(object: Vec<u8>) -> Self {
        match object.strip_prefix(TOMBSTONE).map(VersionBytes::try_from) {
            Some(Ok(nonce)) => Found::Tombstone(nonce),
            _ => Found::Other(object),
        }
    }

    /// The random bytes of the write that made it.
    fn nonce(&self, crypto: &CryptoBackend) -> Option<VersionBytes> {
        match self {
            Found::Tombstone(nonce) => Some(*nonce),
            Found::Other(object) => Header::read(crypto, object)
                .ok()
                .map(|header| header.version),
        }
    }
}

impl Inner {
    fn path(&self, name: &str) -> Path {
        let names = name.split('/').map(Into::into);
        self.prefix.parts().chain(names).collect()
    }

    async fn read(self, name: String) -> Result<Option<Blob>, StoreError> {
        let longest = MAX_HEADER.saturating_add(self.max_blob_length);
        let Some((meta, found)) = self.get(&name, Some(longest)).await? else {
            return Ok(None);
        };
        let Found::Other(object) = found else {
            return Ok(None);
        };
        if let Ok(header) = Header::read(&self.crypto, &object)
            && header.content_length > self.max_blob_length as u64
        {
            return Err(self.too_large(&name, header.content_length));
        }
        match Header::open(&self.crypto, &name, object) {
            Ok(blob) => Ok(Some(Blob::new(blob.bytes, version(&meta)?))),
            Err(flaw) => Err(StoreError::damaged(&name, flaw.0)),
        }
    }

    fn too_large(&self, name: &str, length: u64) -> StoreError {
        StoreError::TooLarge {
            name: name.to_owned(),
            length,
            limit: self.max_blob_length as u64,
        }
    }

    /// An object, if there is one; refused if it is longer than `longest`, or
    /// only its start.
    async fn get(
        &self,
        name: &str,
        longest: Option<usize>,
    ) -> Result<Option<(ObjectMeta, Found)>, StoreError> {
        let mut options = GetOptions::new();
        if longest.is_none() {
            options = options.with_range(Some(0..MAX_HEADER as u64));
        }
        let object = match self.objects.get_opts(&self.path(name), options).await {
            Ok(object) => object,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(read_error(format!("read the blob '{name}'"), error)),
        };
        let meta = object.meta.clone();
        if let Some(longest) = longest
            && meta.size > longest as u64
        {
            return Err(self.too_large(name, meta.size));
        }
        let bytes = object.bytes().await;
        let bytes = bytes.map_err(|error| read_error(format!("read the blob '{name}'"), error))?;
        Ok(Some((meta, Found::new(bytes.into()))))
    }

    async fn write(
        self,
        name: String,
        bytes: Vec<u8>,
        expected: Option<BlobVersion>,
    ) -> Result<BlobVersion, StoreError> {
        let nonce = self.draw()?;
        let object = Header::encode(&self.crypto, &name, &nonce, &bytes);
        let Some(expected) = expected else {
            match self
                .put(&name, object.clone(), nonce, PutMode::Create)
                .await
            {
                Err(StoreError::Conflict { .. }) => {}
                result => return result,
            }
            // Something is there: perhaps only a tombstone.
            return match self.get(&name, None).await? {
                Some((meta, Found::Tombstone(_))) => {
                    let mode = PutMode::Update(update(&meta)?);
                    self.put(&name, object, nonce, mode).await
                }
                _ => Err(StoreError::conflict(&name)),
            };
        };
        let mode = PutMode::Update(self.current(&name, &expected).await?);
        self.put(&name, object, nonce, mode).await
    }

    async fn delete(self, name: String, expected: BlobVersion) -> Result<(), StoreError> {
        let nonce = self.draw()?;
        let tombstone = [&TOMBSTONE[..], &nonce].concat();
        let mode = PutMode::Update(self.current(&name, &expected).await?);
        self.put(&name, tombstone, nonce, mode).await.map(drop)
    }

    /// What a put must be conditional on, if the blob is at this version. (Not
    /// from the version alone: some services want more than a listing tells.)
    async fn current(
        &self,
        name: &str,
        expected: &BlobVersion,
    ) -> Result<UpdateVersion, StoreError> {
        match self.get(name, None).await? {
            Some((meta, Found::Other(_))) if version(&meta)? == *expected => update(&meta),
            _ => Err(StoreError::conflict(name)),
        }
    }

    async fn put(
        &self,
        name: &str,
        object: Vec<u8>,
        nonce: VersionBytes,
        mode: PutMode,
    ) -> Result<BlobVersion, StoreError> {
        let path = self.path(name);
        let put = self
            .objects
            .put_opts(&path, object.into(), PutOptions::from(mode));
        match put.await {
            Ok(PutResult {
                e_tag: Some(e_tag), ..
            }) => Ok(BlobVersion(e_tag)),
            // A client that had no answer asks again, and may then find the
            // condition broken by its own first try. And some say no ETag.
            Ok(_) | Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                match self.get(name, None).await {
                    Ok(Some((meta, found))) if found.nonce(&self.crypto) == Some(nonce) => {
                        version(&meta)
                    }
                    Ok(_) => Err(StoreError::conflict(name)),
                    Err(error) => Err(uncertain(name, error)),
                }
            }
            Err(error) => Err(
                match read_error(format!("write the blob '{name}'"), error) {
                    error @ StoreError::Unavailable { .. } => uncertain(name, error),
                    error => error,
                },
            ),
        }
    }

    async fn list(
        self,
        prefix: String,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<BlobEntry>, StoreError> {
        // Object stores list what is below a whole segment.
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let below = folder.split('/').filter(|segment| !segment.is_empty());
        let below: Path = self.prefix.parts().chain(below.map(Into::into)).collect();
        let mut objects = match &after {
            Some(after) if check_name(after).is_ok() => self
                .objects
                .list_with_offset(Some(&below), &self.path(after)),
            _ => self.objects.list(Some(&below)),
        };
        let mut entries = Vec::new();
        while let Some(meta) = poll_fn(|cx| objects.as_mut().poll_next(cx)).await {
            let meta = meta.map_err(|error| read_error("list the store".into(), error))?;
            let Some(name) = self.name(&meta.location) else {
                continue;
            };
            if name.starts_with(&prefix)
                && after.as_ref().is_none_or(|after| name > *after)
                && meta.size != TOMBSTONE_LENGTH as u64
            {
                entries.push(BlobEntry::new(name, version(&meta)?));
            }
        }
        // Not all of them sort.
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        entries.truncate(limit);
        Ok(entries)
    }

    fn name(&self, path: &Path) -> Option<String> {
        let parts = path.prefix_match(&self.prefix)?;
        let parts: Vec<_> = parts.map(|part| part.as_ref().to_owned()).collect();
        let name = parts.join("/");
        check_name(&name).is_ok().then_some(name)
    }

    fn draw(&self) -> Result<VersionBytes, StoreError> {
        let mut bytes = VersionBytes::default();
        self.crypto.random().fill(&mut bytes)?;
        Ok(bytes)
    }
}

/// An ETag is of the content in some stores; the random bytes in each object
/// make it of the write.
fn version(meta: &ObjectMeta) -> Result<BlobVersion, StoreError> {
    match &meta.e_tag {
        Some(e_tag) => Ok(BlobVersion(e_tag.clone())),
        None => Err(StoreError::Unsupported {
            operation: format!("tell the version of {}", meta.location),
            source: "it has no ETag".into(),
        }),
    }
}

fn update(meta: &ObjectMeta) -> Result<UpdateVersion, StoreError> {
    version(meta)?;
    Ok(UpdateVersion {
        e_tag: meta.e_tag.clone(),
        version: meta.version.clone(),
    })
}

fn read_error(operation: String, error: Error) -> StoreError {
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            StoreError::AccessDenied {
                operation,
                source: io::Error::new(io::ErrorKind::PermissionDenied, error),
            }
        }
        Error::NotSupported { .. } | Error::NotImplemented { .. } => StoreError::Unsupported {
            operation,
            source: Box::new(error),
        },
        // Where an object may be absent, the caller has seen to it: this is
        // what holds the objects.
        Error::NotFound { .. } => StoreError::Io {
            operation,
            source: io::Error::new(io::ErrorKind::NotFound, error),
        },
        error => StoreError::Unavailable {
            source: Box::new(error),
        },
    }
}

fn uncertain(name: &str, error: StoreError) -> StoreError {
    StoreError::Uncertain {
        name: name.to_owned(),
        source: Box::new(error),
    }
}

impl BlobStore for ObjectBlobStore {
    fn read<'a>(&'a self, name: &'a str) -> StoreFuture<'a, Option<Blob>> {
        Box::pin(async move {
            check_name(name)?;
            self.run(|inner| inner.read(name.to_owned())).await
        })
    }

    fn write<'a>(
        &'a self,
        name: &'a str,
        bytes: &'a [u8],
        expected: Expected<'a>,
    ) -> StoreFuture<'a, BlobVersion> {
        Box::pin(async move {
            check_name(name)?;
            check_length(name, bytes, self.inner.max_blob_length)?;
            let expected = match expected {
                Expected::Absent => None,
                Expected::Version(version) => Some(version.clone()),
            };
            self.run(|inner| inner.write(name.to_owned(), bytes.to_vec(), expected))
                .await
        })
    }

    fn delete<'a>(&'a self, name: &'a str, expected: &'a BlobVersion) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            check_name(name)?;
            self.run(|inner| inner.delete(name.to_owned(), expected.clone()))
                .await
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<BlobEntry>> {
        Box::pin(async move {
            let after = after.map(str::to_owned);
            self.run(|inner| inner.list(prefix.to_owned(), after, limit))
                .await
        })
    }
}
