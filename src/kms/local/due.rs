//! What becomes due: rotations, expiries and deletions.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::import::parameters_name;
use super::usage::usage_name;
use super::{Call, Inner, Loaded, LocalKms, MAX_ATTEMPTS, key_id, key_name};
use crate::client::blocking;
use crate::kms::error::{KmsError, KmsResult};
use crate::kms::key::{KeyEntry, KeyRecord};
use crate::kms::parameter::Parameter;
use crate::kms::state::Operation;
use crate::kms::time::Timestamp;

/// What [`run_due`](LocalKms::run_due) has done.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct DueReport {
    /// Keys that were rotated: ARN and new version.
    pub rotated: Vec<(String, u32)>,
    /// Keys some of whose imported material had expired: ARNs.
    pub expired: Vec<String>,
    /// Keys that were deleted: ARNs.
    pub deleted: Vec<String>,
    /// What could not be done, and is tried again the next time. One key's
    /// failure does not keep the others waiting.
    pub failed: Vec<KmsError>,
}

/// What came of one key.
enum Done {
    Nothing,
    Rotated(u32),
    Expired,
    Deleted,
}

impl LocalKms {
    /// Does what is due: rotates keys whose date has come (once, however long
    /// ago it was), wipes imported material that has expired (and, with the
    /// feature `aws-lc-rs`, private keys for imports that are a day old), and
    /// deletes keys whose waiting period is over. Call it now and then, or let the
    /// [`Scheduler`] do it; several processes may.
    ///
    /// What is due is decided by the clock: one that is set into the future
    /// deletes too early.
    ///
    /// # What a disk can still hold
    ///
    /// The record of a deleted key is replaced by a tombstone without material,
    /// and the old one overwritten where it can be, and unlinked. A file system,
    /// an SSD, a snapshot or a backup can still hold the old bytes. They are
    /// sealed under the store key, and whoever has them, the root and a copy of
    /// the store can read them: versions of the store key are never dropped.
    /// Destroy backups and snapshots, or the root with all of the store.
    ///
    /// # Errors
    /// The store's, when the keys cannot be listed; [`KmsError::AccessDenied`]
    /// by a handle that acts as somebody. A single key's failure is part of the
    /// report.
    pub async fn run_due(&self) -> KmsResult<DueReport> {
        self.only_application("RunDue")?;
        let mut report = DueReport::default();
        let names = self.0.vault.names("keys/").await?;
        for id in names.iter().filter_map(|name| key_id(name)) {
            match self.0.run_key_due(id).await {
                Ok((_, Done::Nothing)) => {}
                Ok((arn, Done::Rotated(version))) => report.rotated.push((arn, version)),
                Ok((arn, Done::Expired)) => report.expired.push(arn),
                Ok((arn, Done::Deleted)) => report.deleted.push(arn),
                Err(error) => report.failed.push(error),
            }
        }
        #[cfg(feature = "aws-lc-rs")]
        self.0.delete_expired_parameters(&mut report.failed).await?;
        Ok(report)
    }

    /// Starts a thread that does what is due, and writes the usage counts, so
    /// that calls that use keys never wait for that. It tells of each round
    /// that did or failed to do something (a panic in `tell` is caught), and ends
    /// when the value is dropped.
    ///
    /// # Errors
    /// When no thread can be started, and by a handle that acts as somebody.
    pub fn start_scheduler(
        &self,
        every: Duration,
        mut tell: impl FnMut(KmsResult<DueReport>) + Send + 'static,
    ) -> io::Result<Scheduler> {
        self.only_application("StartScheduler")
            .map_err(|denied| io::Error::new(io::ErrorKind::PermissionDenied, denied))?;
        let kms = self.clone();
        let stop = Arc::new(Stop::default());
        let stopped = stop.clone();
        let pause = every.min(kms.0.usage_flush_interval);
        let pause = pause.max(Duration::from_millis(10));
        let thread = thread::Builder::new()
            .name("waxseal-kms".to_owned())
            .spawn(move || {
                let mut last: Option<Instant> = None;
                loop {
                    if last.is_none_or(|last| last.elapsed() >= every) {
                        last = Some(Instant::now());
                        let result = blocking::block_on(kms.run_due());
                        if !result.as_ref().is_ok_and(DueReport::is_empty) {
                            // What is due must be done, whatever becomes of
                            // the telling.
                            let _ = catch_unwind(AssertUnwindSafe(|| tell(result)));
                        }
                    }
                    // A failure leaves the counts for the next time.
                    let _ = blocking::block_on(kms.flush_usage());
                    if stopped.comes_within(pause) {
                        return;
                    }
                }
            })?;
        self.0.schedulers.fetch_add(1, Ordering::Relaxed);
        Ok(Scheduler {
            kms: self.clone(),
            stop,
            thread: Some(thread),
        })
    }
}

impl DueReport {
    /// Whether nothing was done, and nothing failed.
    pub fn is_empty(&self) -> bool {
        self.rotated.is_empty()
            && self.expired.is_empty()
            && self.deleted.is_empty()
            && self.failed.is_empty()
    }
}

/// A thread that does what is due: see
/// [`start_scheduler`](LocalKms::start_scheduler). Dropping it ends the thread,
/// after what it is doing.
#[derive(Debug)]
#[must_use = "dropping it ends the thread"]
pub struct Scheduler {
    kms: LocalKms,
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

/// Tells the thread to end.
#[derive(Debug, Default)]
struct Stop {
    is_asked: Mutex<bool>,
    asked: Condvar,
}

impl Stop {
    fn stop(&self) {
        *self.is_asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.asked.notify_one();
    }

    fn comes_within(&self, pause: Duration) -> bool {
        let is_asked = self.is_asked.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = (self.asked).wait_timeout_while(is_asked, pause, |is_asked| !*is_asked);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.kms.0.schedulers.fetch_sub(1, Ordering::Relaxed);
        self.stop.stop();
        if let Some(thread) = self.thread.take()
            // A callback may hold it.
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

fn is_due(record: &KeyRecord, now: Timestamp) -> bool {
    let expired = |expires: Option<Timestamp>| expires.is_some_and(|expires| expires <= now);
    record.is_gone(now)
        || record.rotation.is_some_and(|rotation| rotation.due <= now)
        || (record.backing_keys.iter().chain(&record.next)).any(|key| expired(key.expires))
}

impl Inner {
    async fn run_key_due(&self, id: &str) -> KmsResult<(String, Done)> {
        let nothing = (String::new(), Done::Nothing);
        let Some(known) = self.load(id).await? else {
            return Ok(nothing);
        };
        if !known.live().is_ok_and(|record| is_due(record, self.now())) {
            return Ok(nothing);
        }
        let name = key_name(id);
        for _ in 0..MAX_ATTEMPTS {
            let epoch = self.keys.epoch(&self.vault, self.clock.elapsed()).await?;
            let Some(loaded) = self.read_key_record(id).await? else {
                return Ok(nothing);
            };
            let KeyEntry::Live(mut record) = loaded.entry else {
                return Ok(nothing);
            };
            let now = self.now();
            let arn = record.arn.clone();
            let (entry, done, operation) = if record.is_gone(now) {
                // First what belongs to it, so that a crash leaves it due.
                self.vault.remove(&usage_name(id)).await?;
                self.vault.remove(&parameters_name(id)).await?;
                let entry = KeyEntry::Deleted(record.tombstone());
                (entry, Done::Deleted, Operation::DeleteKey)
            } else if record.expire(now) {
                let entry = KeyEntry::Live(record);
                (entry, Done::Expired, Operation::DeleteExpiredKeyMaterial)
            } else {
                let version = record.rotate_if_due(&self.backend, now, self.is_connected())?;
                let Some(version) = version else {
                    return Ok(nothing);
                };
                let entry = KeyEntry::Live(record);
                (entry, Done::Rotated(version), Operation::RotateKey)
            };
            let written = self.write_key((id, &name), &entry, &loaded.stamp).await;
            let written = match written {
                Err(error) if error.is_conflict() => continue,
                written => written.map(|stamp| {
                    let written = Loaded::new(id, entry, stamp, known.usage.clone());
                    self.keep_written(epoch, written);
                }),
            };
            let details = [("rotationType", Parameter::Text("AUTOMATIC"))];
            let rotated = usize::from(operation == Operation::RotateKey);
            let call = Call::automatic(operation, &arn).with_details(&details[..rotated]);
            self.settle(call, written).await?;
            return Ok((arn, done));
        }
        Err(KmsError::busy(&name, MAX_ATTEMPTS))
    }
}
