//! A store in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zeroize::Zeroize;

use super::{
    Blob, BlobEntry, BlobStore, BlobVersion, ChangeToken, DEFAULT_MAX_BLOB_LENGTH, Expected,
    StoreError, StoreFuture, check_length, check_name,
};

/// Blobs in memory. Clones share them; they last as long as the last clone.
///
/// "On the disk" means nothing here: what is written is gone with the process.
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Mutex<Shared>>,
    max_blob_length: usize,
}

#[derive(Default)]
struct Shared {
    blobs: BTreeMap<String, Blob>,
    /// The names' first segments, sorted, and how many changes there were in each.
    changes: Vec<(String, u64)>,
}

impl Shared {
    fn note_change(&mut self, name: &str) {
        let segment = name.split('/').next().unwrap_or_default();
        match self.find_changes(segment) {
            Ok(index) => self.changes[index].1 += 1,
            Err(index) => self.changes.insert(index, (segment.to_owned(), 1)),
        }
    }

    /// Of the first segment, if the prefix has all of it, else of all.
    fn changes(&self, prefix: &str) -> u64 {
        match prefix.split_once('/') {
            Some((segment, _)) => self
                .find_changes(segment)
                .map_or(0, |index| self.changes[index].1),
            None => self.changes.iter().map(|(_, changes)| changes).sum(),
        }
    }

    fn find_changes(&self, segment: &str) -> Result<usize, usize> {
        self.changes
            .binary_search_by(|(known, _)| known.as_str().cmp(segment))
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        MemoryStore {
            shared: Arc::default(),
            max_blob_length: DEFAULT_MAX_BLOB_LENGTH,
        }
    }

    /// The most bytes in a blob; 16 MiB by default.
    #[must_use]
    pub fn max_blob_length(mut self, length: usize) -> Self {
        self.max_blob_length = length;
        self
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // No panic can leave a change half made.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("blobs", &self.lock().blobs.len())
            .finish_non_exhaustive()
    }
}

/// Unlike any version that any store of this process has given out.
fn next_version() -> BlobVersion {
    static WRITES: AtomicU64 = AtomicU64::new(1);
    BlobVersion(WRITES.fetch_add(1, Ordering::Relaxed).to_string())
}

impl BlobStore for MemoryStore {
    fn read<'a>(&'a self, name: &'a str) -> StoreFuture<'a, Option<Blob>> {
        Box::pin(async move {
            check_name(name)?;
            Ok(self.lock().blobs.get(name).cloned())
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
            check_length(name, bytes, self.max_blob_length)?;
            let mut shared = self.lock();
            if !expected.fits(shared.blobs.get(name).map(|blob| &blob.version)) {
                return Err(StoreError::conflict(name));
            }
            let version = next_version();
            let blob = Blob::new(bytes.to_vec(), version.clone());
            if let Some(mut old) = shared.blobs.insert(name.to_owned(), blob) {
                old.bytes.zeroize();
            }
            shared.note_change(name);
            Ok(version)
        })
    }

    fn delete<'a>(&'a self, name: &'a str, expected: &'a BlobVersion) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            check_name(name)?;
            let mut shared = self.lock();
            if shared.blobs.get(name).map(|blob| &blob.version) != Some(expected) {
                return Err(StoreError::conflict(name));
            }
            if let Some(mut old) = shared.blobs.remove(name) {
                old.bytes.zeroize();
            }
            shared.note_change(name);
            Ok(())
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<BlobEntry>> {
        Box::pin(async move {
            let start = match after {
                Some(after) if after >= prefix => Bound::Excluded(after),
                _ => Bound::Included(prefix),
            };
            Ok(self
                .lock()
                .blobs
                .range::<str, _>((start, Bound::Unbounded))
                .take_while(|(name, _)| name.starts_with(prefix))
                .take(limit)
                .map(|(name, blob)| BlobEntry::new(name, blob.version.clone()))
                .collect())
        })
    }

    fn change_token<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Option<ChangeToken>> {
        Box::pin(async move {
            let changes = self.lock().changes(prefix);
            Ok(Some(ChangeToken::new(changes.to_string())))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::behaviour;
    use super::*;

    #[test]
    fn does_what_every_store_does() {
        for behaviour in behaviour::all() {
            println!("{}", behaviour.name());
            behaviour.check(Arc::new(MemoryStore::new()));
        }
    }
}
