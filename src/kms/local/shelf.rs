//! What was read of the store, kept for as long as it is known to hold.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use crate::kms::codec::Codec;
use crate::kms::error::KmsResult;
use crate::kms::store::ChangeToken;
use crate::kms::vault::{Stamp, Vault};

/// What a record was read as, with the stamp to write it again.
pub(super) trait Stamped {
    fn stamp(&self) -> &Stamp;
}

/// The records under one prefix, as they were last read.
///
/// An *epoch* is a time in which nothing under the prefix was seen to change.
/// It is asked for first and the record read then, so that what was read in an
/// epoch is no older than it; when the store's token changes (or where it has
/// none, at each check), a new epoch begins, and what is used again is read
/// again. The token is asked for when it is older than `max_staleness`: that
/// long a change of somebody else's can stay unseen.
pub(super) struct Shelf<T> {
    prefix: &'static str,
    max_staleness: Duration,
    epoch: AtomicU64,
    /// When the token was asked for last, in nanoseconds of the clock's age,
    /// plus one; 0 for never.
    checked: AtomicU64,
    token: Mutex<Option<ChangeToken>>,
    records: RwLock<HashMap<Box<str>, Read<T>>>,
}

/// A record, and the epoch in which it was read.
struct Read<T> {
    epoch: u64,
    record: Arc<T>,
}

impl<T: Stamped> Shelf<T> {
    pub(super) fn new(prefix: &'static str, max_staleness: Duration) -> Self {
        Shelf {
            prefix,
            max_staleness,
            epoch: AtomicU64::new(0),
            checked: AtomicU64::new(0),
            token: Mutex::new(None),
            records: RwLock::default(),
        }
    }

    /// The epoch, once it is known that nothing older than `max_staleness` has
    /// changed since it began.
    pub(super) async fn epoch(&self, vault: &Vault, age: Duration) -> KmsResult<u64> {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let now = nanos(age).saturating_add(1);
        let checked = self.checked.load(Ordering::Acquire);
        if checked != 0 && now.saturating_sub(checked) < nanos(self.max_staleness) {
            return Ok(self.epoch.load(Ordering::Acquire));
        }
        let token = vault.change_token(self.prefix).await?;
        let epoch = {
            let mut known = self.token.lock().unwrap_or_else(PoisonError::into_inner);
            if token.is_none() || *known != token {
                *known = token;
                self.epoch.fetch_add(1, Ordering::AcqRel) + 1
            } else {
                self.epoch.load(Ordering::Acquire)
            }
        };
        self.checked.fetch_max(now, Ordering::AcqRel);
        Ok(epoch)
    }

    /// What was read under this name in this epoch.
    pub(super) fn get(&self, name: &str, epoch: u64) -> Option<Arc<T>> {
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        let read = records.get(name)?;
        (read.epoch == epoch).then(|| read.record.clone())
    }

    /// Keeps what was read or written, unless a later state is there: a slow
    /// reader must not hide what this process has written meanwhile. Gives the
    /// one that was known, if it is in another state.
    pub(super) fn put(&self, name: &str, epoch: u64, record: Arc<T>) -> Option<Arc<T>> {
        let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
        match records.get_mut(name) {
            Some(known) => {
                let newer = record.stamp().follows(known.record.stamp());
                // A backup's, whatever its generation: what was read later is.
                let newer = newer.unwrap_or(epoch >= known.epoch);
                let is_other = record.stamp() != known.record.stamp();
                if newer || known.epoch < epoch {
                    known.epoch = epoch;
                }
                let replaced = newer.then(|| std::mem::replace(&mut known.record, record));
                replaced.filter(|_| is_other)
            }
            None => {
                records.insert(name.into(), Read { epoch, record });
                None
            }
        }
    }

    /// Writes a record, and forgets what was read of it whatever comes of that,
    /// also if this future is dropped: it may be written all the same. What was
    /// written is to be put here.
    pub(super) async fn write<'a>(
        &self,
        vault: &Vault,
        (name, record_name): (&str, &str),
        value: &impl Codec<'a>,
        previous: Option<&Stamp>,
    ) -> KmsResult<Stamp> {
        let _forget = Forget(self, name);
        vault.write(record_name, value, previous).await
    }

    /// Forgets all records: this process has changed some of them otherwise.
    pub(super) fn forget_all(&self) {
        // What a slow reader puts there now belongs to an earlier epoch.
        self.epoch.fetch_add(1, Ordering::AcqRel);
        let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
        records.clear();
    }

    /// Forgets a record, so that it is read again; gives it, if it was known.
    pub(super) fn forget(&self, name: &str) -> Option<Arc<T>> {
        let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
        records.remove(name).map(|read| read.record)
    }
}

/// Forgets what was read of a record when it is dropped.
struct Forget<'a, T: Stamped>(&'a Shelf<T>, &'a str);

impl<T: Stamped> Drop for Forget<'_, T> {
    fn drop(&mut self) {
        self.0.forget(self.1);
    }
}
