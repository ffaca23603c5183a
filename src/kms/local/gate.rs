//! The one place that every operation passes, with who asks, for which key, in
//! which context, and what came of it.
//!
//! Using a key is [`Inner::use_key`], changing one is [`Inner::change_key`], and
//! telling about one is [`Inner::read_key`]; every other call goes through
//! [`Inner::pass`]. Each call is let in by [`Inner::enter`] (quotas), admitted
//! where it concerns a key by [`Call::admit`] (who may do what, and the key's
//! state), and whatever came of it is noted by [`Inner::note`] (the audit
//! trail).

use std::borrow::Borrow;
use std::future::Future;
use std::sync::Arc;

use super::authorise::Guard;
use super::{Inner, Loaded, LocalKms, MAX_ATTEMPTS, not_found};
use crate::context::EncryptionContext;
use crate::kms::access::Caller;
use crate::kms::error::{KmsError, KmsResult};
use crate::kms::key::{KeyEntry, KeyRecord};
use crate::kms::parameter::Parameters;
use crate::kms::state::{KeyState, Operation};
use crate::kms::time::Timestamp;

/// Who asks.
#[derive(Clone, Copy)]
pub(crate) enum By<'a> {
    /// The application that holds the KMS: the root of its account.
    Root,
    /// The KMS itself, doing what is due or a part of a call that was allowed.
    Kms,
    /// Whom the application acts as.
    Caller(&'a Caller),
}

/// One call, as it is admitted and settled.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) operation: Operation,
    pub(crate) part: Part,
    pub(crate) by: By<'a>,
    /// The id, ARN or alias that the caller gave; empty where there is none.
    pub(crate) key: &'a str,
    /// The encryption context, of calls that have one.
    pub(crate) context: Option<&'a EncryptionContext>,
    /// What else was asked.
    #[cfg_attr(not(feature = "kms-policy"), allow(dead_code))]
    pub(crate) details: Parameters<'a>,
    /// All aliases of the key, where a policy asks for them.
    #[cfg_attr(not(feature = "kms-policy"), allow(dead_code))]
    pub(crate) aliases: &'a [&'a str],
}

/// Re-encryption uses two keys, and each asks for a permission of its own. Only
/// the whole is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    From,
    To,
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
#[cfg_attr(not(feature = "kms-policy"), allow(dead_code))]
pub(super) struct Outcome<'a> {
    pub(super) error: Option<&'a KmsError>,
    /// The keys that it was about, where they were found.
    pub(super) keys: &'a [&'a str],
    /// The backing key that was used.
    pub(super) used: Option<(&'a KeyRecord, u32)>,
    /// The one that what was re-encrypted was under.
    pub(super) source: Option<(&'a KeyRecord, u32)>,
    /// What it gave, beside secrets and ciphertexts.
    pub(super) response: Parameters<'a>,
}

/// What a change comes to.
pub(super) enum Change<T> {
    /// The record has to be written.
    Write(T),
    /// It is as it should be already.
    Keep(T),
}

impl<'a> Outcome<'a> {
    /// That something was done, or why it was not.
    pub(super) fn of<T, E: Borrow<KmsError>>(result: &'a Result<T, E>) -> Self {
        Self::of_error(result.as_ref().err().map(Borrow::borrow))
    }

    fn of_error(error: Option<&'a KmsError>) -> Self {
        Outcome {
            error,
            keys: &[],
            used: None,
            source: None,
            response: &[],
        }
    }
}

impl<'a> Call<'a> {
    /// A call of the KMS's own.
    pub(super) fn automatic(operation: Operation, key: &'a str) -> Self {
        Call {
            operation,
            part: Part::Whole,
            by: By::Kms,
            key,
            context: None,
            details: &[],
            aliases: &[],
        }
    }

    pub(crate) fn with_context(mut self, context: &'a EncryptionContext) -> Self {
        self.context = Some(context);
        self
    }

    pub(crate) fn with_details(mut self, details: Parameters<'a>) -> Self {
        self.details = details;
        self
    }

    pub(super) fn with_aliases(mut self, aliases: &'a [&'a str]) -> Self {
        self.aliases = aliases;
        self
    }

    pub(super) fn with_part(mut self, part: Part) -> Self {
        self.part = part;
        self
    }

    /// Whether it decrypts with a key.
    fn opens(&self) -> bool {
        self.operation == Operation::Decrypt || self.part == Part::From
    }

    /// Whether this call may be made of this key now.
    pub(super) fn admit(
        &self,
        kms: &Inner,
        record: &KeyRecord,
        guard: &Guard,
        complete_until: Timestamp,
        now: Timestamp,
    ) -> KmsResult<KeyState> {
        // Who may not use a key is not told its state.
        kms.authorise(self, record, guard, now)?;
        let is_complete = now < complete_until;
        let state = record.admit(self.operation, is_complete, now, kms.is_connected())?;
        // A dry run looks at the ciphertext, too.
        if !self.opens() {
            self.end_dry_run()?;
        }
        Ok(state)
    }
}

impl LocalKms {
    /// A call of whoever this handle acts as.
    pub(crate) fn call<'a>(&'a self, operation: Operation, key: &'a str) -> Call<'a> {
        Call {
            by: match &self.1 {
                Some(caller) => By::Caller(caller),
                None => By::Root,
            },
            ..Call::automatic(operation, key)
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
        let result = match self.enter(&call) {
            Ok(()) => work.await,
            Err(refused) => Err(refused),
        };
        self.settle(call, result).await
    }

    /// Makes a call that concerns no key, or all.
    pub(super) async fn pass_keyless<T>(
        &self,
        call: Call<'_>,
        work: impl Future<Output = KmsResult<T>>,
    ) -> KmsResult<T> {
        let work = async {
            self.authorise_keyless(&call)?;
            work.await
        };
        self.pass(call, work).await
    }

    /// Makes a call that is only the application's own.
    pub(super) async fn pass_root<T>(
        &self,
        call: Call<'_>,
        work: impl Future<Output = KmsResult<T>>,
    ) -> KmsResult<T> {
        let work = async {
            self.authorise_root(&call)?;
            work.await
        };
        self.pass(call, work).await
    }

    /// Settles a call that was made, or that was refused before it was.
    pub(crate) async fn settle<T>(&self, call: Call<'_>, result: KmsResult<T>) -> KmsResult<T> {
        if !self.takes_note() {
            return result;
        }
        self.note_named(&call, result.as_ref().err()).await?;
        result
    }

    async fn note_named(&self, call: &Call<'_>, error: Option<&KmsError>) -> KmsResult<()> {
        let named = self.named_arn(call.key).await;
        self.note(
            call,
            Outcome {
                keys: named.as_deref().as_slice(),
                ..Outcome::of_error(error)
            },
        )
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
        let (key, aliases) = match self.enter_with(&call, key).await {
            Ok(found) => found,
            Err(error) => return self.settle(call, Err(error)).await,
        };
        let aliases = as_strs(&aliases);
        let call = call.with_aliases(&aliases);
        let now = self.now();
        let used = key.live().and_then(|record| {
            call.admit(self, record, &key.guard, key.complete_until, now)?;
            let used = work(record)?;
            call.end_dry_run()?;
            key.usage.count(used.direction, used.version, now);
            Ok(used)
        });
        self.note_use(&call, &key, used.as_ref().map(|used| used.version))?;
        let used = used?;
        self.flush_usage_if_due(&key).await;
        Ok((key, used))
    }

    /// What there is to know before a key is used.
    async fn enter_with(
        &self,
        call: &Call<'_>,
        key: KmsResult<Arc<Loaded>>,
    ) -> KmsResult<(Arc<Loaded>, Vec<String>)> {
        self.enter(call)?;
        let key = self.with_grants_of(call, key?).await?;
        let aliases = self.aliases_asked(call, key.id(), &key.guard).await?;
        Ok((key, aliases))
    }

    /// What a failed note of it makes of a call is the caller's to return: what
    /// it used is dropped then.
    fn note_use(
        &self,
        call: &Call<'_>,
        key: &Loaded,
        version: Result<u32, &KmsError>,
    ) -> KmsResult<()> {
        if !self.takes_note() {
            return Ok(());
        }
        let deleted;
        let (arn, record) = match key.live() {
            Ok(record) => (record.arn.as_str(), Some(record)),
            Err(_) => {
                deleted = self.arn_of(key.id());
                (deleted.as_str(), None)
            }
        };
        self.note(
            call,
            Outcome {
                keys: &[arn],
                used: record.zip(version.ok()),
                ..Outcome::of(&version)
            },
        )
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
        self.admit_loaded(call, key, work).await
    }

    /// The same with a key that was looked for already.
    pub(super) async fn admit_loaded<T>(
        &self,
        call: Call<'_>,
        key: Arc<Loaded>,
        work: impl FnOnce(&KeyRecord, KeyState, Timestamp) -> T,
    ) -> KmsResult<T> {
        let key = self.with_grants_of(&call, key).await?;
        let aliases = self.aliases_asked(&call, key.id(), &key.guard).await?;
        let aliases = as_strs(&aliases);
        let call = call.with_aliases(&aliases);
        let now = self.now();
        let record = key.live()?;
        let state = call.admit(self, record, &key.guard, key.complete_until, now)?;
        Ok(work(record, state, now))
    }

    /// Whether whoever calls may do this with a key, whatever its state.
    pub(super) async fn allow(&self, call: Call<'_>, key: Arc<Loaded>) -> KmsResult<Arc<Loaded>> {
        let key = self.with_grants_of(&call, key).await?;
        let aliases = self.aliases_asked(&call, key.id(), &key.guard).await?;
        let aliases = as_strs(&aliases);
        let call = call.with_aliases(&aliases);
        self.authorise(&call, key.live()?, &key.guard, self.now())?;
        Ok(key)
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
    pub(super) async fn write_changed<T>(
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
                guard,
                ..
            } = loaded.ok_or_else(|| not_found(call.key))?;
            let KeyEntry::Live(mut record) = entry else {
                return Err(super::deleted(&entry));
            };
            let aliases = self.aliases_asked(&call, &id, &guard).await?;
            let aliases = as_strs(&aliases);
            let call = call.with_aliases(&aliases);
            let now = self.now();
            call.admit(self, &record, &guard, record.complete_until(), now)?;
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

pub(super) fn as_strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}
