//! A store whose calls can be made to fail, and whose blobs can be swapped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::client::blocking::block_on;
use crate::kms::store::{
    Blob, BlobEntry, BlobStore, BlobVersion, ChangeToken, Expected, MemoryStore, StoreError,
    StoreFuture,
};

/// What becomes of one write or deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is not done.
    Fails,
    /// It is done, and the store does not know.
    DoneUnknown,
    /// It is not done, and the store does not know.
    NotDoneUnknown,
}

type Hook = Box<dyn FnOnce(&MemoryStore) + Send>;

#[derive(Default)]
struct Plan {
    /// What becomes of the changes from this many on.
    fail: Option<(u64, Fate)>,
    changes: u64,
    reads: u64,
    /// Runs before the next read.
    before_read: Option<Hook>,
    /// Runs after the next read has its blob.
    after_read: Option<Hook>,
    /// Runs before the next change.
    before_change: Option<Hook>,
    /// Runs after the next change, done or not.
    after_change: Option<Hook>,
    no_reads: bool,
}

pub(super) struct FaultyStore {
    pub(super) inner: MemoryStore,
    plan: Mutex<Plan>,
}

impl FaultyStore {
    pub(super) fn new() -> Arc<Self> {
        Self::over(MemoryStore::new())
    }

    pub(super) fn over(inner: MemoryStore) -> Arc<Self> {
        Arc::new(FaultyStore {
            inner,
            plan: Mutex::default(),
        })
    }

    fn plan<T>(&self, change: impl FnOnce(&mut Plan) -> T) -> T {
        change(&mut self.plan.lock().unwrap())
    }

    /// The change after the next `after` meets this fate; those after it pass.
    pub(super) fn fail(&self, after: u64, fate: Fate) {
        self.plan(|plan| plan.fail = Some((plan.changes + after, fate)));
    }

    /// Whether a failure that was asked for is still to come.
    pub(super) fn has_failure_left(&self) -> bool {
        self.plan(|plan| plan.fail.is_some())
    }

    pub(super) fn fail_reads(&self, fail: bool) {
        self.plan(|plan| plan.no_reads = fail);
    }

    pub(super) fn before_read(&self, hook: impl FnOnce(&MemoryStore) + Send + 'static) {
        self.plan(|plan| plan.before_read = Some(Box::new(hook)));
    }

    pub(super) fn after_read(&self, hook: impl FnOnce(&MemoryStore) + Send + 'static) {
        self.plan(|plan| plan.after_read = Some(Box::new(hook)));
    }

    pub(super) fn before_change(&self, hook: impl FnOnce(&MemoryStore) + Send + 'static) {
        self.plan(|plan| plan.before_change = Some(Box::new(hook)));
    }

    pub(super) fn after_change(&self, hook: impl FnOnce(&MemoryStore) + Send + 'static) {
        self.plan(|plan| plan.after_change = Some(Box::new(hook)));
    }

    /// How many writes and deletions were tried.
    pub(super) fn changes(&self) -> u64 {
        self.plan(|plan| plan.changes)
    }

    pub(super) fn bytes(&self, name: &str) -> Vec<u8> {
        block_on(self.inner.read(name)).unwrap().unwrap().bytes
    }

    /// Puts bytes there, whatever is there.
    pub(super) fn put(&self, name: &str, bytes: &[u8]) {
        put(&self.inner, name, bytes);
    }

    pub(super) fn remove(&self, name: &str) {
        let blob = block_on(self.inner.read(name)).unwrap().unwrap();
        block_on(self.inner.delete(name, &blob.version)).unwrap();
    }

    /// All blobs, by name.
    pub(super) fn blobs(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = block_on(self.inner.list("", None, usize::MAX)).unwrap();
        let names = entries.into_iter().map(|entry| entry.name);
        names
            .map(|name| (name.clone(), self.bytes(&name)))
            .collect()
    }

    /// A copy of all that is there.
    pub(super) fn copy(&self) -> Arc<Self> {
        let copy = Self::new();
        for (name, bytes) in self.blobs() {
            copy.put(&name, &bytes);
        }
        copy
    }

    fn begin_change(&self) -> Option<Fate> {
        let (hook, fate) = self.plan(|plan| {
            let number = plan.changes;
            plan.changes += 1;
            let fate = plan.fail.filter(|(at, _)| *at == number);
            if fate.is_some() {
                plan.fail = None;
            }
            (plan.before_change.take(), fate.map(|(_, fate)| fate))
        });
        if let Some(hook) = hook {
            hook(&self.inner);
        }
        fate
    }

    fn end_change<T>(
        &self,
        name: &str,
        fate: Option<Fate>,
        done: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Some(hook) = self.plan(|plan| plan.after_change.take()) {
            hook(&self.inner);
        }
        match fate {
            Some(Fate::DoneUnknown | Fate::NotDoneUnknown) => Err(StoreError::Uncertain {
                name: name.to_owned(),
                source: "no answer".into(),
            }),
            _ => done,
        }
    }
}

/// Puts bytes there, whatever is there.
pub(super) fn put(store: &MemoryStore, name: &str, bytes: &[u8]) {
    let current = block_on(store.read(name)).unwrap();
    let expected = current
        .as_ref()
        .map_or(Expected::Absent, |blob| Expected::Version(&blob.version));
    block_on(store.write(name, bytes, expected)).unwrap();
}

fn failed<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable {
        source: "told to fail".into(),
    })
}

impl BlobStore for FaultyStore {
    fn read<'a>(&'a self, name: &'a str) -> StoreFuture<'a, Option<Blob>> {
        Box::pin(async move {
            let (before, after, fail) = self.plan(|plan| {
                plan.reads += 1;
                let (before, after) = (plan.before_read.take(), plan.after_read.take());
                (before, after, plan.no_reads)
            });
            if let Some(hook) = before {
                hook(&self.inner);
            }
            if fail {
                return failed();
            }
            let blob = self.inner.read(name).await;
            if let Some(hook) = after {
                hook(&self.inner);
            }
            blob
        })
    }

    fn write<'a>(
        &'a self,
        name: &'a str,
        bytes: &'a [u8],
        expected: Expected<'a>,
    ) -> StoreFuture<'a, BlobVersion> {
        Box::pin(async move {
            let fate = self.begin_change();
            let done = match fate {
                None | Some(Fate::DoneUnknown) => self.inner.write(name, bytes, expected).await,
                Some(Fate::Fails | Fate::NotDoneUnknown) => failed(),
            };
            self.end_change(name, fate, done)
        })
    }

    fn delete<'a>(&'a self, name: &'a str, expected: &'a BlobVersion) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let fate = self.begin_change();
            let done = match fate {
                None | Some(Fate::DoneUnknown) => self.inner.delete(name, expected).await,
                Some(Fate::Fails | Fate::NotDoneUnknown) => failed(),
            };
            self.end_change(name, fate, done)
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
