//! The vault: the KMS's records, sealed, in a [`BlobStore`].
//!
//! The blob `root` is a message of this library's own under the [`RootKey`]
//! ([`envelope`]); it holds the store's id and all versions of the store key
//! ([`root`]). Every other blob is a record ([`record`]), sealed under a
//! version of the store key with its name and generation, so that opening a
//! store makes one call to the root key, however many records there are, and a
//! change of root key rewrites one blob.
//!
//! Whoever can write to the store can take records away, and put old ones and
//! old copies of the whole store back; they can neither read a record, nor
//! make one, nor have one taken for another's or another store's.
//!
//! # What is noticed of an old copy
//!
//! A process that has read or written a record refuses an older generation of
//! it ([`RecordProblem::OlderGeneration`]), and likewise an older root. Not
//! noticed are:
//! - an old copy that is put back while no process runs, or before a process
//!   has read the record: nothing outside the store keeps count;
//! - a record that was taken away, and what is put back after this process
//!   has deleted it;
//! - a record from before a deletion or an import, put back in the place of
//!   one that was made later under the same name: generations start anew there
//!   (each record has a random birth mark that its changes keep).
//!
//! Putting a copy back as it was *is* the way to restore a whole store; only
//! processes that have it open must be restarted.
//!
//! # Several processes
//!
//! Every change is by compare-and-swap. Another process's new version of the
//! store key is learnt when a record under it is read, by reading the root
//! record again, with the root key that this process was given. If that was
//! changed meanwhile, it does not open: [`KmsError::WrongRoot`] until the
//! store is opened with the new one. Until then, all goes on that needs no new
//! version of the store key.

mod backup;
mod envelope;
mod passphrase;
mod record;
mod root;
mod root_key;
mod seen;
mod store_key;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

pub use backup::ImportReport;
pub(super) use backup::Kinds;
pub use passphrase::PassphraseCost;
pub use root_key::RootKey;

use super::codec::Codec;
use super::error::{KmsError, KmsFuture, KmsResult, RecordProblem};
use super::store::{Blob, BlobStore, BlobVersion, ChangeToken, Expected, StoreError, check_name};
use crate::crypto::{CryptoBackend, Entropy, SecretBuffer};
pub(super) use record::decode_payload;
use record::{
    BIRTH_LENGTH, Birth, Plain, Record, claimed_generation, encode_payload, new_birth, seal_record,
};
use root::{Root, RootContent};
use root_key::Unlocked;
use seen::{Generation, Seen};

/// The root record's name.
const ROOT: &str = "root";
/// How often a change is tried that others make impossible.
const MAX_ATTEMPTS: u32 = 16;
/// How many names are listed at once.
pub(super) const PAGE: usize = 500;

/// Whether a store is made where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Creation {
    IfMissing,
    Never,
}

/// The sealed records of one store. Behind an `Arc`, shared by all threads.
pub(super) struct Vault {
    store: Arc<dyn BlobStore>,
    backend: CryptoBackend,
    store_id: String,
    was_created: bool,
    root: RwLock<Arc<Root>>,
    seen: Seen,
}

/// A record's value, and its state.
pub(super) struct Stored<T> {
    pub(super) value: T,
    pub(super) stamp: Stamp,
}

/// The state of a record that was read or written: what a change starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    version: BlobVersion,
    generation: u64,
    birth: Birth,
}

impl Stamp {
    /// Whether this is no older than another state of the record; `None` where
    /// they cannot be compared, since one was made anew after the other.
    pub(super) fn follows(&self, other: &Self) -> Option<bool> {
        (self.birth == other.birth).then_some(self.generation >= other.generation)
    }
}

/// A record as it was read, open.
struct Loaded {
    stamp: Stamp,
    store_key_version: u32,
    plain: Plain,
}

impl Vault {
    /// Opens the store, with one call to the root key; makes it where there is
    /// none. Of several that make it at once, one does.
    ///
    /// # Errors
    /// [`KmsError::NoKms`] where there is none and none is to be made;
    /// [`KmsError::WrongRoot`]; [`KmsError::Root`]; [`KmsError::Record`] where
    /// the root record is damaged, newer, or missing among others;
    /// [`KmsError::InvalidArgument`] for a root key that is none.
    pub(super) async fn open(
        store: Arc<dyn BlobStore>,
        root: RootKey,
        backend: CryptoBackend,
        create: Creation,
    ) -> KmsResult<Vault> {
        let mut blob = read_blob(&*store, ROOT).await?;
        if blob.is_none() && !store.list("", None, 1).await?.is_empty() {
            // Made meanwhile, or lost. A new one in its place would make all
            // records unreadable for good.
            let made = read_blob(&*store, ROOT).await?;
            blob = Some(made.ok_or_else(missing_root)?);
        }
        if blob.is_none() {
            if create == Creation::Never {
                return Err(KmsError::NoKms);
            }
            let unlocked = root.unlock_new(&backend)?;
            let content = RootContent::new(&backend)?;
            let bytes = content.seal(&unlocked, &backend).await?;
            match put(&*store, ROOT, &bytes, Expected::Absent, content.generation).await {
                Ok(version) => {
                    let root = Root {
                        version,
                        content,
                        key: root,
                        unlocked,
                    };
                    return Ok(Self::new(store, root, backend, true));
                }
                Err(error) if error.is_conflict() => {
                    let theirs = read_blob(&*store, ROOT).await?;
                    blob = Some(theirs.ok_or(error)?);
                }
                Err(error) => return Err(error),
            }
        }
        let blob = blob.ok_or(KmsError::NoKms)?;
        let root = Root::open(blob, &root, None, &backend).await?;
        Ok(Self::new(store, root, backend, false))
    }

    fn new(
        store: Arc<dyn BlobStore>,
        root: Root,
        backend: CryptoBackend,
        was_created: bool,
    ) -> Self {
        Vault {
            store,
            backend,
            store_id: root.content.store_id.clone(),
            was_created,
            root: RwLock::new(Arc::new(root)),
            seen: Seen::default(),
        }
    }

    /// The store's id: a UUID of version 4, made with the store.
    pub(super) fn store_id(&self) -> &str {
        &self.store_id
    }

    /// Whether the store was made when it was opened here.
    pub(super) fn was_created(&self) -> bool {
        self.was_created
    }

    /// Reads a record; `None` where there is none.
    ///
    /// # Errors
    /// [`KmsError::Record`] names it if it is not what was written; the others
    /// stay usable. [`KmsError::WrongRoot`] and [`KmsError::Root`] where the
    /// root record has to be read again, and does not open.
    pub(super) async fn read<T: for<'a> Codec<'a>>(
        &self,
        name: &str,
    ) -> KmsResult<Option<Stored<T>>> {
        check_record_name(name)?;
        let Some(loaded) = self.load(name).await? else {
            return Ok(None);
        };
        let value = decode_payload(loaded.plain.payload());
        Ok(Some(Stored {
            value: value.map_err(|problem| KmsError::record(name, problem))?,
            stamp: loaded.stamp,
        }))
    }

    /// Writes a record that is in this state, or that there is none of yet.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where it is in another state. A write whose
    /// outcome the store does not know is looked up, and is an error only if
    /// it was not done, or if that cannot be told
    /// ([`StoreError::Uncertain`]).
    pub(super) fn write<'a, 'b>(
        &'a self,
        name: &'a str,
        value: &impl Codec<'b>,
        previous: Option<&'a Stamp>,
    ) -> KmsFuture<'a, Stamp> {
        self.write_payload(name, encode_payload(value), previous)
    }

    fn write_payload<'a>(
        &'a self,
        name: &'a str,
        payload: SecretBuffer,
        previous: Option<&'a Stamp>,
    ) -> KmsFuture<'a, Stamp> {
        Box::pin(async move {
            check_record_name(name)?;
            let mut entropy = Entropy::draw(self.backend.random(), 32 + BIRTH_LENGTH)?;
            let (generation, birth, expected) = match previous {
                None => (1, new_birth(&mut entropy)?, Expected::Absent),
                Some(stamp) => (
                    next_generation(stamp.generation)?,
                    stamp.birth,
                    Expected::Version(&stamp.version),
                ),
            };
            let root = self.root();
            let blob = seal_record(
                &self.backend,
                &mut entropy,
                root.sealing_key(),
                name,
                generation,
                &birth,
                payload.as_slice(),
            )?;
            let version = self.put(name, &blob, expected, generation).await?;
            let number = generation;
            self.seen.note(name, Generation { birth, number });
            Ok(Stamp {
                version,
                generation,
                birth,
            })
        })
    }

    /// Deletes a record that is in this state. One that is made later under
    /// its name starts at generation 1 again.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where it is in another state.
    pub(super) async fn delete(&self, name: &str, previous: &Stamp) -> KmsResult<()> {
        check_record_name(name)?;
        match self.store.delete(name, &previous.version).await {
            Ok(()) => {}
            Err(error @ StoreError::Uncertain { .. }) => {
                // What a read shows is so.
                match self.store.read(name).await {
                    Ok(None) => {}
                    Ok(Some(blob)) if blob.version == previous.version => {
                        return Err(not_done(error).into());
                    }
                    Ok(Some(_)) => return Err(conflict(name)),
                    Err(_) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        }
        self.seen.forget(name);
        Ok(())
    }

    /// Deletes a record, whatever it holds and if there is one: for what nobody
    /// has to keep.
    pub(super) async fn remove(&self, name: &str) -> KmsResult<()> {
        check_record_name(name)?;
        for _ in 0..MAX_ATTEMPTS {
            // Not by reading: a damaged one has to go, too.
            let entries = self.store.list(name, None, 1).await?;
            let Some(entry) = entries.into_iter().find(|entry| entry.name == name) else {
                return Ok(());
            };
            match self.store.delete(name, &entry.version).await {
                Ok(()) => {
                    self.seen.forget(name);
                    return Ok(());
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(busy(name))
    }

    /// The names of records with this prefix, after `after`, sorted by their
    /// bytes: `limit` of them, or fewer where there are no more.
    pub(super) async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> KmsResult<Vec<String>> {
        // The root record is listed and is none of them.
        let entries = self.store.list(prefix, after, limit.saturating_add(1));
        let names = entries.await?.into_iter().map(|entry| entry.name);
        Ok(names.filter(|name| name != ROOT).take(limit).collect())
    }

    /// The names of all records with this prefix.
    pub(super) async fn names(&self, prefix: &str) -> KmsResult<Vec<String>> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let last = names.last().map(String::as_str);
            let page = self.list(prefix, last, PAGE).await?;
            let is_last = page.len() < PAGE;
            names.extend(page);
            if is_last {
                return Ok(names);
            }
        }
    }

    /// See [`BlobStore::change_token`].
    pub(super) async fn change_token(&self, prefix: &str) -> KmsResult<Option<ChangeToken>> {
        Ok(self.store.change_token(prefix).await?)
    }

    /// Opens the root record again, with one call to the root key.
    pub(super) async fn contact_root(&self) -> KmsResult<()> {
        self.refresh_root(true, None).await
    }

    /// Seals the root record under another root key. Nothing else is
    /// rewritten; other processes that have the store open go on working (see
    /// the module's documentation).
    ///
    /// A copy of the old root record still opens with the old root key. Where
    /// that has leaked, rotate the store key too: new and resealed records
    /// cannot be read with what was in the old one.
    pub(super) async fn change_root(&self, new: RootKey) -> KmsResult<()> {
        let unlocked = new.unlock_new(&self.backend)?;
        for _ in 0..MAX_ATTEMPTS {
            match self.reload().await {
                // Perhaps it was changed to this one, and the answer was lost.
                Err(error @ KmsError::WrongRoot { .. }) => {
                    return match self.refresh_root(true, Some(&new)).await {
                        Err(KmsError::WrongRoot { .. }) => Err(error),
                        opened => opened,
                    };
                }
                reloaded => reloaded?,
            }
            let root = self.root();
            let content = root.content.next(root.content.store_keys.copy())?;
            let changed = self.write_root(&root, content, new.clone(), unlocked.clone());
            match changed.await {
                Err(error) if error.is_conflict() => {}
                other => return other,
            }
        }
        Err(busy(ROOT))
    }

    fn root(&self) -> Arc<Root> {
        let root = self.root.read().unwrap_or_else(PoisonError::into_inner);
        root.clone()
    }

    /// Takes over a root, unless a newer one has been meanwhile.
    fn adopt(&self, root: Root) {
        let mut held = self.root.write().unwrap_or_else(PoisonError::into_inner);
        if root.content.generation >= held.content.generation {
            *held = Arc::new(root);
        }
    }

    /// Looks whether the root record has changed; only if it has, this asks
    /// the root key.
    async fn reload(&self) -> KmsResult<()> {
        self.refresh_root(false, None).await
    }

    /// Opens the root record with the root key that is known, or another.
    async fn refresh_root(&self, always: bool, other: Option<&RootKey>) -> KmsResult<()> {
        let held = self.root();
        let blob = read_blob(&*self.store, ROOT)
            .await?
            .ok_or_else(missing_root)?;
        if blob.version == held.version && !always {
            return Ok(());
        }
        let (key, ready) = match other {
            Some(key) => (key, None),
            None => (&held.key, Some(&held.unlocked)),
        };
        let root = Root::open(blob, key, ready, &self.backend).await?;
        let (found, seen) = (root.content.generation, held.content.generation);
        if root.content.store_id != self.store_id {
            return Err(KmsError::record(ROOT, RecordProblem::Damaged));
        }
        if found < seen {
            let problem = RecordProblem::OlderGeneration { found, seen };
            return Err(KmsError::record(ROOT, problem));
        }
        if !root.content.store_keys.contains(&held.content.store_keys) {
            // No successor of what was seen: its store keys are never lost.
            return Err(KmsError::record(ROOT, RecordProblem::Damaged));
        }
        self.adopt(root);
        Ok(())
    }

    async fn write_root(
        &self,
        previous: &Root,
        content: RootContent,
        key: RootKey,
        unlocked: Unlocked,
    ) -> KmsResult<()> {
        let bytes = content.seal(&unlocked, &self.backend).await?;
        let expected = Expected::Version(&previous.version);
        let version = self.put(ROOT, &bytes, expected, content.generation).await?;
        self.adopt(Root {
            version,
            content,
            key,
            unlocked,
        });
        Ok(())
    }

    fn load<'a>(&'a self, name: &'a str) -> KmsFuture<'a, Option<Loaded>> {
        Box::pin(async move {
            // Before the read: what others write meanwhile is no older for it.
            let seen = self.seen.get(name);
            match read_blob(&*self.store, name).await? {
                Some(blob) => self.open_blob(name, blob, seen).await.map(Some),
                None => Ok(None),
            }
        })
    }

    async fn open_blob(
        &self,
        name: &str,
        blob: Blob,
        seen: Option<Generation>,
    ) -> KmsResult<Loaded> {
        let problem = |problem| KmsError::record(name, problem);
        let record = Record::parse(&blob.bytes).map_err(problem)?;
        if record.sealed.key_id != self.store_id {
            return Err(problem(RecordProblem::Damaged));
        }
        let version = record.sealed.version;
        let mut root = self.root();
        if root.content.store_keys.get(version).is_none() {
            self.reload().await?;
            root = self.root();
        }
        let material = root.content.store_keys.get(version);
        let material = material.ok_or_else(|| problem(RecordProblem::Damaged))?;
        let plain = record
            .open(&self.backend, name, material)
            .map_err(problem)?;
        let generation = Generation {
            birth: plain.birth,
            number: record.generation,
        };
        generation.check(seen).map_err(problem)?;
        self.seen.note(name, generation);
        Ok(Loaded {
            stamp: Stamp {
                generation: record.generation,
                birth: plain.birth,
                version: blob.version,
            },
            store_key_version: version,
            plain,
        })
    }

    async fn put(
        &self,
        name: &str,
        bytes: &[u8],
        expected: Expected<'_>,
        generation: u64,
    ) -> KmsResult<BlobVersion> {
        put(&*self.store, name, bytes, expected, generation).await
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("store_id", &self.store_id)
            .finish_non_exhaustive()
    }
}

/// Reads a blob. What the store itself finds damaged is a damaged record.
async fn read_blob(store: &dyn BlobStore, name: &str) -> KmsResult<Option<Blob>> {
    store.read(name).await.map_err(|error| match error {
        StoreError::Damaged { name, .. } => KmsError::record(&name, RecordProblem::Damaged),
        error => error.into(),
    })
}

/// Writes, and where the store does not know whether it has, looks. No two
/// writes have the same bytes: each is sealed with its own salt.
async fn put(
    store: &dyn BlobStore,
    name: &str,
    bytes: &[u8],
    expected: Expected<'_>,
    generation: u64,
) -> KmsResult<BlobVersion> {
    let uncertain = match store.write(name, bytes, expected).await {
        Err(error @ StoreError::Uncertain { .. }) => error,
        done => return Ok(done?),
    };
    let Ok(current) = store.read(name).await else {
        return Err(uncertain.into());
    };
    match current {
        Some(blob) if blob.bytes == bytes => Ok(blob.version),
        current if expected.fits(current.as_ref().map(|blob| &blob.version)) => {
            Err(not_done(uncertain).into())
        }
        // Somebody changed it since; perhaps what they changed was this.
        Some(blob) if claimed_generation(&blob.bytes).is_some_and(|found| found > generation) => {
            Err(uncertain.into())
        }
        _ => Err(conflict(name)),
    }
}

/// An uncertain change that a read has shown was not made.
fn not_done(uncertain: StoreError) -> StoreError {
    match uncertain {
        StoreError::Uncertain { source, .. } => StoreError::Unavailable { source },
        other => other,
    }
}

/// Refuses what is no record's name.
fn check_record_name(name: &str) -> KmsResult<()> {
    check_name(name)?;
    if name == ROOT {
        return Err(KmsError::invalid("'root' is no record's name"));
    }
    Ok(())
}

fn next_generation(generation: u64) -> KmsResult<u64> {
    generation.checked_add(1).ok_or(KmsError::LimitExceeded {
        what: "changes of a record",
        limit: u64::MAX,
    })
}

/// Whether this record does not open, and others may.
fn concerns_one_record(error: &KmsError, name: &str) -> bool {
    match error {
        KmsError::Record { name: named, .. } => named == name,
        KmsError::Store(StoreError::Damaged { name: named, .. }) => named == name,
        _ => false,
    }
}

fn conflict(name: &str) -> KmsError {
    KmsError::Store(StoreError::Conflict {
        name: name.to_owned(),
    })
}

fn busy(name: &str) -> KmsError {
    KmsError::busy(name, MAX_ATTEMPTS)
}

fn missing_root() -> KmsError {
    KmsError::record(ROOT, RecordProblem::Missing)
}
