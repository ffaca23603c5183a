//! The one place that every operation passes, with who asks, for which key, in
//! which context, and what came of it.
//!
//! Using a key is [`Inner::use_key`], changing one is [`Inner::change_key`], and
//! telling about one is [`Inner::read_key`]; every other call goes through
//! [`Inner::pass`]. Each call is admitted before, by [`Call::enter`] and where it
//! concerns a key by [`Call::admit`], and settled after by [`Call::settle`],
//! whatever came of it: there belong who may do what, quotas and the audit
//! trail.

use std::future::Future;
use std::sync::Arc;

use super::{Inner, Loaded, MAX_ATTEMPTS, not_found};
use crate::context::EncryptionContext;
use crate::kms::error::{KmsError, KmsResult};
use crate::kms::key::{KeyEntry, KeyRecord};
use crate::kms::state::{KeyState, Operation};
use crate::kms::time::Timestamp;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Principal {
    /// The application that holds the KMS: it may do everything.
    Root,
    /// The KMS itself, doing what is due.
    Kms,
}

/// One call, as it is admitted and settled.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) operation: Operation,
    pub(crate) principal: Principal,
    /// The id, ARN or alias that the caller gave; empty where there is none.
    pub(crate) key: &'a str,
    /// The encryption context, of calls that have one.
    pub(crate) context: Option<&'a EncryptionContext>,
}

/// What came of a call that used a key.
pub(crate) struct Used<T> {
    pub(crate) value: T,
    /// The version of the backing key.
    pub(crate) version: u32,
    pub(crate) direction: Direction,
}

/// Which way a key was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Wrap,
    Unwrap,
}

/// What came of a call.
#[derive(Clone, Copy)]
enum Outcome<'a> {
    /// A key was used.
    Used {
        key: &'a Loaded,
        version: u32,
        direction: Direction,
        now: Timestamp,
    },
    /// Something else was done.
    Done,
    Failed(#[expect(dead_code, reason = "the audit trail is to tell of it")] &'a KmsError),
}

/// What a change comes to.
pub(super) enum Change<T> {
    /// The record has to be written.
    Write(T),
    /// It is as it should be already.
    Keep(T),
}

impl<'a> Call<'a> {
    /// A call of the application's own.
    pub(crate) fn new(operation: Operation, key: &'a str) -> Self {
        Call {
            operation,
            principal: Principal::Root,
            key,
            context: None,
        }
    }

    /// A call of the KMS's own.
    pub(super) fn automatic(operation: Operation, key: &'a str) -> Self {
        Call {
            principal: Principal::Kms,
            ..Call::new(operation, key)
        }
    }

    pub(crate) fn with_context(mut self, context: &'a EncryptionContext) -> Self {
        self.context = Some(context);
        self
    }

    /// Whether this caller may make such a call at all.
    fn enter(&self) -> KmsResult<()> {
        match self.principal {
            Principal::Root | Principal::Kms => Ok(()),
        }
    }

    /// Whether this call may be made of this key now.
    fn admit(
        &self,
        kms: &Inner,
        record: &KeyRecord,
        complete_until: Timestamp,
        now: Timestamp,
    ) -> KmsResult<KeyState> {
        let is_complete = now < complete_until;
        match self.principal {
            Principal::Root | Principal::Kms => {
                record.admit(self.operation, is_complete, now, kms.is_connected())
            }
        }
    }

    /// Takes note of what came of it.
    fn settle(&self, outcome: Outcome<'_>) {
        match outcome {
            Outcome::Used {
                key,
                version,
                direction,
                now,
            } => key.usage.count(direction, version, now),
            Outcome::Done | Outcome::Failed(_) => {}
        }
    }
}

impl Inner {
    /// Makes a call, and settles it.
    pub(super) async fn pass<T>(
        &self,
        call: Call<'_>,
        work: impl Future<Output = KmsResult<T>>,
    ) -> KmsResult<T> {
        let result = match call.enter() {
            Ok(()) => work.await,
            Err(refused) => Err(refused),
        };
        self.settle(call, result)
    }

    /// Settles a call that was made, or that was refused before it was.
    pub(super) fn settle<T>(&self, call: Call<'_>, result: KmsResult<T>) -> KmsResult<T> {
        call.settle(match &result {
            Ok(_) => Outcome::Done,
            Err(error) => Outcome::Failed(error),
        });
        result
    }

    /// Uses a key: cheap, from what was read of it a short time ago.
    pub(crate) async fn use_key<T>(
        &self,
        call: Call<'_>,
        work: impl FnOnce(&KeyRecord) -> KmsResult<Used<T>>,
    ) -> KmsResult<(Arc<Loaded>, Used<T>)> {
        let key = self.locate(call.key).await;
        self.use_loaded(call, key, work).await
    }

    /// The same with a key that was looked for already.
    pub(crate) async fn use_loaded<T>(
        &self,
        call: Call<'_>,
        key: KmsResult<Arc<Loaded>>,
        work: impl FnOnce(&KeyRecord) -> KmsResult<Used<T>>,
    ) -> KmsResult<(Arc<Loaded>, Used<T>)> {
        let now = self.now();
        let used = key.and_then(|key| {
            let record = key.live()?;
            call.admit(self, record, key.complete_until, now)?;
            let used = work(record)?;
            Ok((key, used))
        });
        match used {
            Ok((key, used)) => {
                call.settle(Outcome::Used {
                    key: &key,
                    version: used.version,
                    direction: used.direction,
                    now,
                });
                self.flush_usage_if_due(&key).await;
                Ok((key, used))
            }
            Err(error) => self.settle(call, Err(error)),
        }
    }

    /// Tells about a key.
    pub(super) async fn read_key<T>(
        &self,
        call: Call<'_>,
        work: impl FnOnce(&KeyRecord, KeyState, Timestamp) -> T,
    ) -> KmsResult<T> {
        self.pass(call, self.admit_key(call, work)).await
    }

    /// Admits a call that has more to do than to tell about the key.
    pub(super) async fn admit_key<T>(
        &self,
        call: Call<'_>,
        work: impl FnOnce(&KeyRecord, KeyState, Timestamp) -> T,
    ) -> KmsResult<T> {
        let key = self.locate(call.key).await?;
        let now = self.now();
        let record = key.live()?;
        let state = call.admit(self, record, key.complete_until, now)?;
        Ok(work(record, state, now))
    }

    /// Changes a key.
    pub(super) async fn change_key<T>(
        &self,
        call: Call<'_>,
        work: impl FnMut(&mut KeyRecord, Timestamp) -> KmsResult<Change<T>>,
    ) -> KmsResult<T> {
        self.pass(call, self.write_changed(call, work)).await
    }

    /// The record is read afresh, admitted, changed, and written only if
    /// nobody else has written meanwhile; else all of it again.
    async fn write_changed<T>(
        &self,
        call: Call<'_>,
        mut work: impl FnMut(&mut KeyRecord, Timestamp) -> KmsResult<Change<T>>,
    ) -> KmsResult<T> {
        let id = self.resolve_afresh(call.key).await?;
        let name = super::key_name(&id);
        for _ in 0..MAX_ATTEMPTS {
            let epoch = self.keys.epoch(&self.vault, self.clock.elapsed()).await?;
            let loaded = self.read_key_record(&id).await?;
            let Loaded {
                entry,
                stamp,
                usage,
                ..
            } = loaded.ok_or_else(|| not_found(call.key))?;
            let now = self.now();
            let KeyEntry::Live(mut record) = entry else {
                return Err(super::deleted(&entry));
            };
            call.admit(self, &record, record.complete_until(), now)?;
            let value = match work(&mut record, now)? {
                Change::Keep(value) => return Ok(value),
                Change::Write(value) => value,
            };
            let entry = KeyEntry::Live(record);
            match self.write_key((&id, &name), &entry, &stamp).await {
                Ok(stamp) => {
                    let written = Loaded::new(&id, entry, stamp, usage);
                    self.keep_written(epoch, written);
                    return Ok(value);
                }
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error),
            }
        }
        Err(KmsError::busy(&name, MAX_ATTEMPTS))
    }
}
