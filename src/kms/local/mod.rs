//! The service: the keys of one store, behind one gate.

mod aliases;
#[cfg(feature = "kms-policy")]
mod authorise;
#[cfg(not(feature = "kms-policy"))]
#[path = "authorise_root.rs"]
mod authorise;
mod builder;
mod create;
mod cryptography;
mod due;
mod gate;
#[cfg(feature = "kms-policy")]
mod grants;
mod import;
#[cfg(feature = "aws-lc-rs")]
mod import_wrapped;
mod listeners;
mod manage;
#[cfg(feature = "kms-policy")]
mod note;
#[cfg(feature = "kms-policy")]
mod policies;
mod shelf;
mod store;
#[cfg(test)]
mod tests;
mod usage;

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

pub use aliases::{Alias, AliasList};
#[cfg(feature = "kms-policy")]
use authorise::Access;
use authorise::Guard;
pub use builder::LocalKmsBuilder;
pub use create::CreateKey;
pub use cryptography::{
    Ciphertext, DataKeySpec, DecryptedBlob, GeneratedKey, MAX_PLAINTEXT_LENGTH, ReEncrypted,
};
pub use due::{DueReport, Scheduler};
pub(crate) use gate::{Call, Used};
pub use import::{ImportOptions, ImportType};
#[cfg(feature = "aws-lc-rs")]
pub use import_wrapped::ImportParameters;
pub use manage::{DeletedKey, KeyPage, ScheduledDeletion};
pub use usage::{KeyUsage, MessageCount, VersionUsage};

use super::access::Caller;
use super::alias::{self, AliasRecord, KeySpec, Names};
use super::error::{KmsError, KmsFuture, KmsResult, RecordProblem};
use super::key::{KeyEntry, KeyRecord};
use super::time::Timestamp;
use super::vault::{Stamp, Stored, Vault};
use crate::clock::Clock;
use crate::crypto::CryptoBackend;
use listeners::Listeners;
use shelf::{Shelf, Stamped};
use usage::{UsageCounter, UsageCounters};

/// How often a change is tried again when others change the same record. Of
/// eight that write all the time, one has lost so often with a chance below
/// one in 10^11.
const MAX_ATTEMPTS: u32 = 200;

/// A key-management service inside the process: logical keys that rotate under
/// an id that never changes, with AWS KMS's life cycle, in a store of your
/// choice.
///
/// It is cheap to clone; clones share everything. All calls are async and need
/// no runtime; with a local store their futures are ready at once, and
/// [`blocking::wait`](crate::blocking::wait) drives them where there is no
/// async.
///
/// ```
/// use waxseal::blocking::{self, Client};
/// use waxseal::EncryptionContext;
/// use waxseal::kms::{CreateKey, LocalKms};
///
/// let kms = LocalKms::in_memory()?; // or `LocalKms::builder(store, root)`
/// let key = blocking::wait(kms.create_key(CreateKey::new().alias("alias/app")))?;
///
/// // Messages, with data keys that the key wraps:
/// let client = Client::new(kms.provider("alias/app"));
/// let context = EncryptionContext::from([("tenant", "7")]);
/// let message = client.encrypt(b"attack at dawn", &context)?;
///
/// // A rotation: new messages use the new backing key, and old ones still open.
/// blocking::wait(kms.rotate("alias/app"))?;
/// let decrypted = client.decrypt(&message, &context)?;
/// assert_eq!(decrypted.plaintext, b"attack at dawn");
/// assert_eq!(decrypted.details.key, key.arn);
/// assert_eq!(decrypted.details.key_version.as_deref(), Some("1"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A key is given by its id, its ARN or an alias of it (`alias/…`).
///
/// # Several processes
///
/// Any number may share one store. A change that one has made is seen by the
/// others within [`max_staleness`](LocalKmsBuilder::max_staleness), and by the
/// process that made it at once. Changes themselves are always made to the
/// newest state.
#[derive(Clone)]
pub struct LocalKms(Arc<Inner>, Option<Arc<Caller>>);

pub(crate) struct Inner {
    names: Names,
    #[cfg(feature = "kms-policy")]
    access: Access,
    vault: Vault,
    backend: CryptoBackend,
    clock: Arc<dyn Clock>,
    connected: AtomicBool,
    keys: Shelf<Loaded>,
    aliases: Shelf<LoadedAlias>,
    counters: UsageCounters,
    usage_flush_interval: Duration,
    /// How many schedulers flush the usage, so that calls need not.
    schedulers: AtomicUsize,
    listeners: Listeners,
}

/// A key as it was read.
pub(crate) struct Loaded {
    id: Box<str>,
    entry: KeyEntry,
    stamp: Stamp,
    /// Until when all material is there: see [`KeyRecord::complete_until`].
    complete_until: Timestamp,
    usage: Arc<UsageCounter>,
    guard: Guard,
}

/// An alias as it was read.
struct LoadedAlias {
    record: AliasRecord,
    stamp: Stamp,
}

impl Stamped for Loaded {
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }
}

impl Stamped for LoadedAlias {
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }
}

impl Loaded {
    fn new(id: &str, entry: KeyEntry, stamp: Stamp, usage: Arc<UsageCounter>) -> Self {
        let (complete_until, guard) = match &entry {
            KeyEntry::Live(record) => (record.complete_until(), Guard::new(record)),
            KeyEntry::Deleted(_) => (Timestamp::FIRST, Guard::default()),
        };
        Loaded {
            id: id.into(),
            entry,
            stamp,
            complete_until,
            usage,
            guard,
        }
    }

    /// The key's id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The key, unless it was deleted.
    pub(crate) fn live(&self) -> KmsResult<&KeyRecord> {
        match &self.entry {
            KeyEntry::Live(record) => Ok(record),
            KeyEntry::Deleted(_) => Err(deleted(&self.entry)),
        }
    }

    /// The key, unless it was deleted or its deletion is due.
    fn living(&self, now: Timestamp) -> KmsResult<&KeyRecord> {
        let record = self.live()?;
        match record.is_gone(now) {
            false => Ok(record),
            true => Err(record.not_found()),
        }
    }
}

fn deleted(entry: &KeyEntry) -> KmsError {
    let arn = match entry {
        KeyEntry::Live(record) => &record.arn,
        KeyEntry::Deleted(tombstone) => &tombstone.arn,
    };
    KmsError::NotFound { key: arn.clone() }
}

fn key_name(id: &str) -> String {
    format!("keys/{id}")
}

/// The id of the key that a record of this name is; `None` for a foreign blob.
fn key_id(name: &str) -> Option<&str> {
    name.strip_prefix("keys/").filter(|id| alias::is_id(id))
}

fn not_found(key: &str) -> KmsError {
    KmsError::NotFound {
        key: alias::shown(key),
    }
}

impl LocalKms {
    /// Whether calls are the application's own.
    pub(crate) fn is_root(&self) -> bool {
        self.1.is_none()
    }

    /// What tells who this handle acts as from others.
    pub(crate) fn caller_parts(&self) -> Vec<&[u8]> {
        self.1
            .as_deref()
            .map_or_else(Vec::new, Caller::identity_parts)
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }

    /// The id of the store: a UUID that was drawn when it was made.
    pub fn store_id(&self) -> &str {
        self.0.vault.store_id()
    }

    /// Whether opening made the store.
    pub fn was_created(&self) -> bool {
        self.0.vault.was_created()
    }

    /// Makes every key of this handle and its clones
    /// [`Unavailable`](super::KeyState::Unavailable): they can be looked at and
    /// managed, and not used. Other processes are not concerned.
    ///
    /// # Errors
    /// [`KmsError::AccessDenied`] by a handle that acts as somebody.
    pub fn disconnect(&self) -> KmsResult<()> {
        self.only_application("Disconnect")?;
        self.0.connected.store(false, Ordering::Release);
        self.0.listeners.tell(None);
        Ok(())
    }

    /// Ends [`disconnect`](Self::disconnect), if the root can be reached and
    /// opens the store.
    ///
    /// # Errors
    /// [`KmsError::Root`] when the root's provider does not answer,
    /// [`KmsError::WrongRoot`] when the root was changed meanwhile;
    /// [`KmsError::AccessDenied`] by a handle that acts as somebody.
    pub async fn connect(&self) -> KmsResult<()> {
        self.only_application("Connect")?;
        self.0.vault.contact_root().await?;
        self.0.connected.store(true, Ordering::Release);
        Ok(())
    }
}

impl Inner {
    fn now(&self) -> Timestamp {
        self.clock.now().into()
    }

    fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    pub(crate) fn store_id(&self) -> &str {
        self.vault.store_id()
    }

    /// The ARN of a key of this id.
    pub(crate) fn arn_of(&self, id: &str) -> String {
        self.names.key_arn(id)
    }

    /// Whether this is the ARN of the key of this id, as it is or as it was
    /// where the KMS had no account.
    pub(crate) fn is_arn_of(&self, arn: &[u8], id: &str) -> bool {
        let arn = std::str::from_utf8(arn).ok();
        arn.and_then(|arn| self.names.id_of_arn(arn)) == Some(id)
    }

    /// The key that a caller means, deleted ones too.
    pub(crate) async fn locate(&self, key: &str) -> KmsResult<Arc<Loaded>> {
        let loaded = match self.names.parse(key)? {
            KeySpec::Id(id) => self.load(id).await?,
            KeySpec::Alias(name) => {
                let alias = self.load_alias(name).await?;
                let target = alias.as_ref().and_then(|a| a.record.target.as_deref());
                match target {
                    Some(id) => self.load(id).await?,
                    None => None,
                }
            }
        };
        loaded.ok_or_else(|| not_found(key))
    }

    /// Whether a key is there, and its deletion is not due.
    pub(crate) fn check_living(&self, key: &Loaded) -> KmsResult<()> {
        key.living(self.now()).map(drop)
    }

    /// A key by its id.
    pub(crate) async fn load(&self, id: &str) -> KmsResult<Option<Arc<Loaded>>> {
        let epoch = self.keys.epoch(&self.vault, self.clock.elapsed()).await?;
        if let Some(key) = self.keys.get(id, epoch) {
            return Ok(Some(key));
        }
        self.reload(id, epoch).await
    }

    /// A key by its id, for a ciphertext of this version.
    async fn load_version(&self, id: &str, version: u32) -> KmsResult<Arc<Loaded>> {
        let known = self.load(id).await?;
        let has_version = |record: &KeyRecord| version <= record.current_version();
        let key = match known {
            Some(key) if key.live().is_ok_and(has_version) => Some(key),
            // Another process may have rotated it, or made it, just now.
            _ => self.load_afresh(id).await?,
        };
        key.ok_or_else(|| not_found(id))
    }

    /// A key by its id, as the store has it now.
    async fn load_afresh(&self, id: &str) -> KmsResult<Option<Arc<Loaded>>> {
        let epoch = self.keys.epoch(&self.vault, self.clock.elapsed()).await?;
        self.reload(id, epoch).await
    }

    fn reload<'a>(&'a self, id: &'a str, epoch: u64) -> KmsFuture<'a, Option<Arc<Loaded>>> {
        Box::pin(async move {
            let Some(loaded) = self.read_key_record(id).await? else {
                // A hostile ciphertext may name any key: that there is none, as
                // there was none before, is no news.
                if self.keys.forget(id).is_some() {
                    self.listeners.tell(Some(&self.arn_of(id)));
                }
                return Ok(None);
            };
            let loaded = Arc::new(loaded);
            if self.keys.put(id, epoch, loaded.clone()).is_some() {
                // Another process has changed it.
                self.listeners.tell(Some(&self.arn_of(id)));
            }
            Ok(Some(loaded))
        })
    }

    /// Keeps a key that was written, and tells again where a slow reader has put
    /// the one of before there meanwhile.
    fn keep_written(&self, epoch: u64, key: Loaded) {
        let id = key.id.clone();
        if self.keys.put(&id, epoch, Arc::new(key)).is_some() {
            self.listeners.tell(Some(&self.arn_of(&id)));
        }
    }

    /// Writes a key, and tells of it whatever comes of that: see
    /// [`Shelf::write`].
    async fn write_key(
        &self,
        (id, name): (&str, &str),
        entry: &KeyEntry,
        previous: &Stamp,
    ) -> KmsResult<Stamp> {
        let _tell = self.listeners.tell_at_end(self.arn_of(id));
        let written = self
            .keys
            .write(&self.vault, (id, name), entry, Some(previous));
        written.await
    }

    /// Has this told the ARN of each key that changes, as far as this process
    /// sees it, and `None` for all keys at once, for as long as it returns
    /// true.
    pub(crate) fn listen(&self, listener: impl Fn(Option<&str>) -> bool + Send + Sync + 'static) {
        self.listeners.add(listener);
    }

    async fn read_key_record(&self, id: &str) -> KmsResult<Option<Loaded>> {
        // An id comes from a hostile ciphertext, too.
        if !alias::is_id(id) {
            return Ok(None);
        }
        let name = key_name(id);
        let Some(stored) = self.vault.read::<KeyEntry>(&name).await? else {
            return Ok(None);
        };
        let Stored { mut value, stamp } = stored;
        let (arn, is_right) = match &mut value {
            KeyEntry::Live(record) => {
                let is_right = record.id == id && record.check();
                (&mut record.arn, is_right)
            }
            KeyEntry::Deleted(tombstone) => (&mut tombstone.arn, true),
        };
        if !is_right || *arn != alias::local_arn(id) {
            return Err(KmsError::record(&name, RecordProblem::Damaged));
        }
        *arn = self.arn_of(id);
        let usage = self.usage_counter(id);
        Ok(Some(Loaded::new(id, value, stamp, usage)))
    }

    async fn load_alias(&self, name: &str) -> KmsResult<Option<Arc<LoadedAlias>>> {
        let age = self.clock.elapsed();
        let epoch = self.aliases.epoch(&self.vault, age).await?;
        if let Some(alias) = self.aliases.get(name, epoch) {
            return Ok(Some(alias));
        }
        self.reload_alias(name, epoch).await
    }

    /// Tells that the key of before is not meant any more.
    fn tell_of_moved(&self, before: Option<Arc<LoadedAlias>>) {
        if let Some(arn) = self.target_arn(before.as_deref()) {
            self.listeners.tell(Some(&arn));
        }
    }

    /// The ARN of the key that an alias means.
    fn target_arn(&self, alias: Option<&LoadedAlias>) -> Option<String> {
        let target = alias?.record.target.as_deref()?;
        Some(self.arn_of(target))
    }

    async fn load_alias_afresh(&self, name: &str) -> KmsResult<Option<Arc<LoadedAlias>>> {
        let age = self.clock.elapsed();
        let epoch = self.aliases.epoch(&self.vault, age).await?;
        self.reload_alias(name, epoch).await
    }

    async fn reload_alias(&self, name: &str, epoch: u64) -> KmsResult<Option<Arc<LoadedAlias>>> {
        let record_name = alias::record_name(&self.backend, name);
        let Some(stored) = self.vault.read::<AliasRecord>(&record_name).await? else {
            self.tell_of_moved(self.aliases.forget(name));
            return Ok(None);
        };
        if stored.value.name != name {
            return Err(KmsError::record(&record_name, RecordProblem::Damaged));
        }
        let loaded = Arc::new(LoadedAlias {
            record: stored.value,
            stamp: stored.stamp,
        });
        // Another process has moved it.
        self.tell_of_moved(self.aliases.put(name, epoch, loaded.clone()));
        Ok(Some(loaded))
    }

    /// The id of the key that a caller means, by what the store says now.
    async fn resolve_afresh(&self, key: &str) -> KmsResult<String> {
        match self.names.parse(key)? {
            KeySpec::Id(id) => Ok(id.to_owned()),
            KeySpec::Alias(name) => self.resolve_alias_afresh(name).await,
        }
    }

    async fn resolve_alias_afresh(&self, name: &str) -> KmsResult<String> {
        let alias = self.load_alias_afresh(name).await?;
        let target = alias.and_then(|alias| alias.record.target.clone());
        target.ok_or_else(|| not_found(name))
    }
}

impl Drop for Inner {
    /// Writes the counts that are left, if the store is ready at once.
    fn drop(&mut self) {
        let flush = || {
            let flush = std::pin::pin!(self.flush_all_usage());
            let _ = flush.poll(&mut Context::from_waker(Waker::noop()));
        };
        // A store that needs its runtime may panic without it, and must not do
        // so in here.
        let _ = catch_unwind(AssertUnwindSafe(flush));
    }
}

impl fmt::Debug for LocalKms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKms")
            .field("store_id", &self.store_id())
            .finish_non_exhaustive()
    }
}
