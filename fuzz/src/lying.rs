//! A store that somebody else writes to, and some of whose blobs are damaged
//! as a file system's can be: they are listed, and cannot be read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use waxseal::blocking::wait;
use waxseal::kms::store::{
    Blob, BlobEntry, BlobStore, BlobVersion, ChangeToken, Expected, MemoryStore, StoreError,
    StoreFuture,
};

/// A store's blobs by their names.
pub type Blobs = BTreeMap<String, Vec<u8>>;

/// Clones share the blobs.
#[derive(Clone, Default)]
pub struct LyingStore {
    inner: MemoryStore,
    damaged: Arc<Mutex<BTreeSet<String>>>,
}

impl LyingStore {
    pub fn of(blobs: &Blobs) -> Self {
        let store = Self::default();
        for (name, bytes) in blobs {
            wait(store.write(name, bytes, Expected::Absent)).expect("a blob");
        }
        store
    }

    pub fn blobs(&self) -> Blobs {
        let entries = wait(self.list("", None, usize::MAX)).expect("a list");
        let names = entries.into_iter().map(|entry| entry.name);
        names
            .map(|name| {
                let bytes = self.get(&name).expect("it was listed");
                (name, bytes)
            })
            .collect()
    }

    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        let blob = wait(self.inner.read(name)).expect("a name");
        blob.map(|blob| blob.bytes)
    }

    /// Puts a blob there, or takes it away, as whoever has the store can.
    pub fn put(&self, name: &str, bytes: Option<&[u8]>) {
        let old = wait(self.inner.read(name)).expect("a name");
        match (bytes, &old) {
            (Some(bytes), _) => {
                let version = old.as_ref().map(|blob| &blob.version);
                let expected = version.map_or(Expected::Absent, Expected::Version);
                wait(self.write(name, bytes, expected)).expect("a write");
            }
            (None, Some(old)) => wait(self.delete(name, &old.version)).expect("a deletion"),
            (None, None) => {}
        }
    }

    /// Lets a blob be unreadable until it is written again.
    pub fn damage(&self, name: &str) {
        if let Some(bytes) = self.get(name) {
            self.put(name, Some(&bytes));
            self.damaged().insert(name.to_owned());
        }
    }

    fn damaged(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.damaged.lock().expect("never poisoned")
    }
}

impl BlobStore for LyingStore {
    fn read<'a>(&'a self, name: &'a str) -> StoreFuture<'a, Option<Blob>> {
        if self.damaged().contains(name) {
            let (name, reason) = (name.to_owned(), "so it is".to_owned());
            let error = StoreError::Damaged { name, reason };
            return Box::pin(std::future::ready(Err(error)));
        }
        self.inner.read(name)
    }

    fn write<'a>(
        &'a self,
        name: &'a str,
        bytes: &'a [u8],
        expected: Expected<'a>,
    ) -> StoreFuture<'a, BlobVersion> {
        Box::pin(async move {
            let version = self.inner.write(name, bytes, expected).await?;
            self.damaged().remove(name);
            Ok(version)
        })
    }

    fn delete<'a>(&'a self, name: &'a str, expected: &'a BlobVersion) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.inner.delete(name, expected).await?;
            self.damaged().remove(name);
            Ok(())
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<BlobEntry>> {
        self.inner.list(prefix, after, limit)
    }

    fn change_token<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Option<ChangeToken>> {
        self.inner.change_token(prefix)
    }
}
