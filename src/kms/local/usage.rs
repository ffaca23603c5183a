//! Who still needs a key: how often, and when last, each of its backing keys
//! has wrapped and unwrapped.
//!
//! Counts are kept in the process and added to the key's usage record every few
//! seconds, so that a crash loses that much of them and nothing else. The
//! record is its own: counting never touches a key.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::gate::Direction;
use super::{Inner, Loaded, LocalKms, MAX_ATTEMPTS};
use crate::kms::LOCAL_KMS_PROVIDER_ID;
use crate::kms::codec::{Codec, Reader, Writer};
use crate::kms::error::{KmsError, KmsFuture, KmsResult, RecordProblem};
use crate::kms::seal::Sealed;
use crate::kms::state::Operation;
use crate::kms::store::StoreError;
use crate::kms::time::Timestamp;
use crate::kms::vault::decode_payload;
use crate::message::EncryptedDataKey;

/// What a version of a backing key was used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VersionUsage {
    /// How often it encrypted or wrapped.
    pub wraps: u64,
    /// When it last did.
    pub last_wrap: Option<SystemTime>,
    /// How often it decrypted or unwrapped.
    pub unwraps: u64,
    /// When it last did.
    pub last_unwrap: Option<SystemTime>,
    /// How many encrypted data keys under it were seen in messages: see
    /// [`count_messages`](LocalKms::count_messages).
    pub messages: u64,
}

/// What a key was used for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyUsage {
    /// By the version of the backing key; versions that were never used are
    /// missing.
    pub versions: BTreeMap<u32, VersionUsage>,
}

impl KeyUsage {
    /// When the key was last used, by any version, to wrap or to unwrap.
    pub fn last_used(&self) -> Option<SystemTime> {
        let last = |version: &VersionUsage| version.last_wrap.max(version.last_unwrap);
        self.versions.values().map(last).max().flatten()
    }
}

/// What [`count_messages`](LocalKms::count_messages) found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageCount {
    /// Encrypted data keys that were added to the usage of a key of this KMS.
    pub counted: u64,
    /// Those of other providers, of unknown or deleted keys, or of versions
    /// that there are not.
    pub foreign: u64,
}

/// A key's usage as it is stored, and what is to be added to it: by version,
/// sorted.
#[derive(Clone, Debug, Default)]
struct Counts(Vec<(u32, Count)>);

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    wraps: u64,
    last_wrap: Option<Timestamp>,
    unwraps: u64,
    last_unwrap: Option<Timestamp>,
    messages: u64,
}

impl Codec<'_> for Counts {
    fn write(&self, writer: &mut Writer) {
        writer.count(self.0.len());
        for (version, count) in &self.0 {
            writer.u32(*version);
            count.write(writer);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut counts = Counts::default();
        for _ in 0..reader.count()? {
            let version = reader.u32()?;
            *counts.of(version) = Count::read(reader)?;
        }
        Some(counts)
    }
}

impl Codec<'_> for Count {
    fn write(&self, writer: &mut Writer) {
        writer.u64(self.wraps);
        writer.option(&self.last_wrap);
        writer.u64(self.unwraps);
        writer.option(&self.last_unwrap);
        writer.u64(self.messages);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Count {
            wraps: reader.u64()?,
            last_wrap: reader.option()?,
            unwraps: reader.u64()?,
            last_unwrap: reader.option()?,
            messages: reader.u64()?,
        })
    }
}

impl Counts {
    fn of(&mut self, version: u32) -> &mut Count {
        let known = self.0.binary_search_by_key(&version, |(known, _)| *known);
        let index = known.unwrap_or_else(|index| {
            self.0.insert(index, (version, Count::default()));
            index
        });
        &mut self.0[index].1
    }

    fn add(&mut self, other: &Counts) {
        for (version, more) in &other.0 {
            let count = self.of(*version);
            count.wraps = count.wraps.saturating_add(more.wraps);
            count.unwraps = count.unwraps.saturating_add(more.unwraps);
            count.messages = count.messages.saturating_add(more.messages);
            count.last_wrap = count.last_wrap.max(more.last_wrap);
            count.last_unwrap = count.last_unwrap.max(more.last_unwrap);
        }
    }

    fn shown(&self) -> KeyUsage {
        let shown = |(version, count): &(u32, Count)| {
            let usage = VersionUsage {
                wraps: count.wraps,
                last_wrap: count.last_wrap.map(SystemTime::from),
                unwraps: count.unwraps,
                last_unwrap: count.last_unwrap.map(SystemTime::from),
                messages: count.messages,
            };
            (*version, usage)
        };
        KeyUsage {
            versions: self.0.iter().map(shown).collect(),
        }
    }
}

/// What this process has counted of one key and not yet written.
#[derive(Default)]
pub(super) struct UsageCounter {
    pending: Mutex<Counts>,
    /// The clock's age at the last flush, in nanoseconds.
    flushed: AtomicU64,
}

/// The counters of all keys: one for each, however often the key is read.
pub(super) type UsageCounters = Mutex<HashMap<Box<str>, Arc<UsageCounter>>>;

impl UsageCounter {
    pub(super) fn count(&self, direction: Direction, version: u32, now: Timestamp) {
        self.add(version, |count| match direction {
            Direction::Wrap => {
                count.wraps = count.wraps.saturating_add(1);
                count.last_wrap = Some(now);
            }
            Direction::Unwrap => {
                count.unwraps = count.unwraps.saturating_add(1);
                count.last_unwrap = Some(now);
            }
        });
    }

    fn add(&self, version: u32, add: impl FnOnce(&mut Count)) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        add(pending.of(version));
    }

    fn take(&self) -> Counts {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut pending)
    }

    fn put_back(&self, counts: &Counts) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.add(counts);
    }

    fn snapshot(&self) -> Counts {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.clone()
    }

    /// Whether a flush is due; of several callers one is told so.
    fn is_due(&self, age: Duration, interval: Duration) -> bool {
        let age = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
        let flushed = self.flushed.load(Ordering::Relaxed);
        u128::from(age.saturating_sub(flushed)) >= interval.as_nanos()
            && (self.flushed)
                .compare_exchange(flushed, age, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

/// Puts counts back that a dropped future would lose.
struct Taken<'a> {
    counter: &'a UsageCounter,
    counts: Counts,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if !self.counts.0.is_empty() {
            self.counter.put_back(&self.counts);
        }
    }
}

/// Whether a payload is a usage record's.
pub(super) fn is_usage(payload: &[u8]) -> bool {
    decode_payload::<Counts>(payload).is_ok()
}

pub(super) fn usage_name(id: &str) -> String {
    format!("usage/{id}")
}

impl Inner {
    pub(super) fn usage_counter(&self, id: &str) -> Arc<UsageCounter> {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = counters.get(id) {
            return counter.clone();
        }
        let counter = Arc::new(UsageCounter::default());
        let age = u64::try_from(self.clock.elapsed().as_nanos()).unwrap_or(u64::MAX);
        counter.flushed.store(age, Ordering::Relaxed);
        counters.insert(id.into(), counter.clone());
        counter
    }

    /// Drops the counts of a key that is gone.
    fn forget_usage(&self, id: &str) {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.remove(id);
    }

    /// Writes a key's counts where nothing else does. A failure costs nothing
    /// but the counts' freshness: they stay, and the next flush takes them.
    pub(super) async fn flush_usage_if_due(&self, key: &Loaded) {
        if self.schedulers.load(Ordering::Relaxed) == 0
            && key
                .usage
                .is_due(self.clock.elapsed(), self.usage_flush_interval)
            && let Ok(record) = key.live()
        {
            let _ = self.flush_key_usage(&record.id, &key.usage).await;
        }
    }

    fn flush_key_usage<'a>(&'a self, id: &'a str, counter: &'a UsageCounter) -> KmsFuture<'a, ()> {
        Box::pin(async move {
            let mut taken = Taken {
                counter,
                counts: counter.take(),
            };
            if taken.counts.0.is_empty() {
                return Ok(());
            }
            let name = usage_name(id);
            for _ in 0..MAX_ATTEMPTS {
                let stored = match self.vault.read::<Counts>(&name).await {
                    Err(KmsError::Record {
                        problem: RecordProblem::Damaged,
                        ..
                    }) => {
                        // The counts so far are lost, and the key is none the worse.
                        self.vault.remove(&name).await?;
                        None
                    }
                    read => read?,
                };
                let (mut counts, stamp) = match stored {
                    Some(stored) => (stored.value, Some(stored.stamp)),
                    None => (Counts::default(), None),
                };
                counts.add(&taken.counts);
                match self.vault.write(&name, &counts, stamp.as_ref()).await {
                    Ok(_) => {
                        taken.counts.0.clear();
                        return Ok(());
                    }
                    Err(error) if error.is_conflict() => {}
                    Err(error) => {
                        if let KmsError::Store(StoreError::Uncertain { .. }) = error {
                            // Counting twice would be worse than not at all.
                            taken.counts.0.clear();
                        }
                        return Err(error);
                    }
                }
            }
            Err(KmsError::busy(&name, MAX_ATTEMPTS))
        })
    }

    pub(super) async fn flush_all_usage(&self) -> KmsResult<()> {
        let counters: Vec<_> = {
            let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
            counters
                .iter()
                .map(|(id, counter)| (id.clone(), counter.clone()))
                .collect()
        };
        let mut result = Ok(());
        for (id, counter) in counters {
            // A deleted key's usage went with it, and must not come back.
            if let Ok(key) = self.load(&id).await
                && key.is_none_or(|key| key.live().is_err())
            {
                self.forget_usage(&id);
                continue;
            }
            if let Err(error) = self.flush_key_usage(&id, &counter).await {
                // The others' counts are not this one's fault.
                result = Err(error);
            }
        }
        result
    }

    pub(super) async fn read_usage(&self, id: &str) -> KmsResult<KeyUsage> {
        let stored = self.vault.read::<Counts>(&usage_name(id)).await?;
        let mut counts = stored.map_or_else(Counts::default, |stored| stored.value);
        counts.add(&self.usage_counter(id).snapshot());
        Ok(counts.shown())
    }
}

impl LocalKms {
    /// What a key was used for: by all processes until their last flush, and
    /// by this one until now.
    ///
    /// # Errors
    /// [`KmsError::NotFound`]; [`KmsError::Record`] if the counts cannot be read
    /// (the next that are written replace them); the store's errors.
    pub async fn usage(&self, key: &str) -> KmsResult<KeyUsage> {
        let call = self.call(Operation::DescribeKey, key);
        let id = self.0.read_key(call, |record, _, _| record.id.clone());
        let id = id.await?;
        self.0.read_usage(&id).await
    }

    /// Writes what this process has counted. Otherwise that happens every few
    /// seconds, with the calls that use a key, or by the
    /// [`Scheduler`](super::Scheduler); and when the last clone is dropped, if
    /// the store is a local one.
    ///
    /// # Errors
    /// The store's errors; counts that could not be written are kept.
    /// [`KmsError::AccessDenied`] by a handle that acts as somebody.
    pub async fn flush_usage(&self) -> KmsResult<()> {
        self.only_application("FlushUsage")?;
        self.0.flush_all_usage().await
    }

    /// Adds to the usage of the keys that messages were made under: encrypted
    /// data keys as [`inspect`](crate::inspect) gives them, without any key.
    /// So a pile of old messages says which backing keys are still needed.
    ///
    /// What is counted is what the messages say of themselves, and not
    /// verified; a message that is inspected twice counts twice. It is no use
    /// of the key, and does not change [`KeyUsage::last_used`].
    ///
    /// # Errors
    /// The store's errors; [`KmsError::AccessDenied`] by a handle that acts as
    /// somebody.
    pub async fn count_messages<'a>(
        &self,
        encrypted_data_keys: impl IntoIterator<Item = &'a EncryptedDataKey>,
    ) -> KmsResult<MessageCount> {
        self.only_application("CountMessages")?;
        let mut found = MessageCount::default();
        for edk in encrypted_data_keys {
            let key = match self.0.wrapped_under(edk) {
                Some((id, version)) => self.0.load(id).await?.map(|key| (key, version)),
                None => None,
            };
            match key {
                Some((key, version)) if key.has_version(version) => {
                    let count = |count: &mut Count| {
                        count.messages = count.messages.saturating_add(1);
                    };
                    key.usage.add(version, count);
                    found.counted += 1;
                }
                _ => found.foreign += 1,
            }
        }
        Ok(found)
    }
}

impl Loaded {
    fn has_version(&self, version: u32) -> bool {
        self.live()
            .is_ok_and(|record| (1..=record.current_version()).contains(&version))
    }
}

impl Inner {
    /// The key's id and the version that an encrypted data key names.
    fn wrapped_under<'a>(&self, edk: &'a EncryptedDataKey) -> Option<(&'a str, u32)> {
        if edk.provider_id() != LOCAL_KMS_PROVIDER_ID {
            return None;
        }
        let sealed = Sealed::parse(edk.ciphertext())?;
        let is_right = self.is_arn_of(edk.key_info(), sealed.key_id);
        is_right.then_some((sealed.key_id, sealed.version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kms::codec::decode;
    use crate::kms::codec::tests::assert_stored;

    #[test]
    fn counts_at_rest() {
        let most = Count {
            wraps: 1,
            last_wrap: Some(Timestamp::FIRST.plus(Duration::from_millis(128))),
            unwraps: u64::MAX,
            last_unwrap: Some(Timestamp::LAST),
            messages: 300,
        };
        let counts = Counts(vec![(1, Count::default()), (2, most)]);
        assert_stored(
            &counts,
            &[
                b"\x02",
                b"\x01\x00\x00\x00\x00\x00",
                b"\x02\x01\x01\x80\x01",
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                b"\xac\x02",
            ],
        );
        assert_stored(&Counts::default(), &[b"\x00"]);
    }

    /// Nobody writes such records; they were read when the crate `postcard` did it.
    #[test]
    fn versions_in_any_order_and_twice() {
        let bytes = [3, 2, 7, 0, 0, 0, 0, 1, 8, 0, 0, 0, 0, 2, 9, 0, 0, 0, 0];
        let counts: Counts = decode(&bytes).unwrap();
        let wraps = counts
            .0
            .iter()
            .map(|(version, count)| (*version, count.wraps));
        assert_eq!(wraps.collect::<Vec<_>>(), [(1, 8), (2, 9)]);
    }
}
