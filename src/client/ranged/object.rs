//! A message in an object store.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;

use super::remote::{RangeSource, SourceFuture};
use crate::runtime::Runtime;

/// An object of S3 or its like, read in ranges through the crate
/// `object_store`. A message longer than one range is read of one version of
/// the object only where nobody replaces it meanwhile; otherwise frames of the
/// new one are not authentic in the old one.
///
/// ```
/// use std::sync::Arc;
/// use object_store::{memory::InMemory, ObjectStore}; // or aws::AmazonS3, …
/// use waxseal::ObjectSource;
///
/// let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
/// let source = ObjectSource::new(store, "backups/2026-11-27");
/// // client.range_reader(source, &context).await?.read(0..1024).await?
/// ```
///
/// The clients of remote services need a Tokio runtime. Give it with
/// [`on_runtime`](Self::on_runtime), and the reader's futures can be awaited
/// from anywhere; without it, only from within one.
#[derive(Clone)]
pub struct ObjectSource {
    objects: Arc<dyn ObjectStore>,
    path: Path,
    runtime: Option<Runtime>,
}

impl ObjectSource {
    /// The object at this path.
    pub fn new(objects: Arc<dyn ObjectStore>, path: impl Into<Path>) -> Self {
        ObjectSource {
            objects,
            path: path.into(),
            runtime: None,
        }
    }

    /// Makes requests on this runtime, wherever they are awaited.
    pub fn on_runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(Runtime::Given(runtime));
        self
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        let done = match &self.runtime {
            Some(runtime) => runtime.run(work).await.map_err(io::Error::other)?,
            None => work.await,
        };
        done.map_err(|error| match error {
            Error::NotFound { .. } => io::Error::new(io::ErrorKind::NotFound, error),
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                io::Error::new(io::ErrorKind::PermissionDenied, error)
            }
            _ => io::Error::other(error),
        })
    }
}

impl RangeSource for ObjectSource {
    fn length(&self) -> SourceFuture<'_, u64> {
        let (objects, path) = (self.objects.clone(), self.path.clone());
        Box::pin(self.run(async move { Ok(objects.head(&path).await?.size) }))
    }

    fn read_range(&self, range: Range<u64>) -> SourceFuture<'_, Vec<u8>> {
        let (objects, path) = (self.objects.clone(), self.path.clone());
        // Its bytes become a vector without a copy, where nobody shares them.
        Box::pin(self.run(async move { Ok(objects.get_range(&path, range).await?.into()) }))
    }
}

impl fmt::Debug for ObjectSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectSource")
            .field("objects", &self.objects)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
