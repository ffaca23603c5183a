//! Telling about keys, and changing them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::gate::{Call, Change, Outcome};
use super::usage::KeyUsage;
use super::{Inner, LocalKms, key_id, key_name, not_found};
use crate::kms::alias::{self, KeySpec};
use crate::kms::error::{KmsError, KmsResult, RecordProblem};
use crate::kms::key::{BackingKeyCause, DEFAULT_ROTATION_DAYS, DELETION_DAYS, KeyEntry};
use crate::kms::keyring::{BackingKeyInfo, Keyring, RotationStatus};
use crate::kms::parameter::Parameter;
use crate::kms::state::{KeyState, Operation};
use crate::kms::time::Timestamp;
use crate::kms::vault::PAGE;

/// A key that was used within so long before its deletion is scheduled is said
/// to be in recent use.
const RECENT_USE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// A part of the list of keys.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct KeyPage {
    /// Keys, by id.
    pub keyrings: Vec<Keyring>,
    /// The errors of records that cannot be read, each naming its record. The
    /// other keys are not concerned.
    pub damaged: Vec<KmsError>,
    /// Where the next page begins; `None` if this was the last.
    pub next: Option<String>,
}

/// A deletion that was scheduled, and whether somebody may still need the key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScheduledDeletion {
    /// The key's ARN.
    pub key_arn: String,
    /// When the key is going to be deleted.
    pub date: SystemTime,
    /// When it was last used, if it ever was.
    pub last_used: Option<SystemTime>,
    /// Whether that was within the last 30 days, or cannot be told because the
    /// counts cannot be read: see [`usage`](LocalKms::usage) before you let it
    /// be deleted.
    pub is_in_recent_use: bool,
}

/// What is left of a deleted key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeletedKey {
    /// Its ARN.
    pub arn: String,
    /// When it was created.
    pub created: SystemTime,
    /// When it was deleted.
    pub deleted: SystemTime,
}

impl LocalKms {
    /// A key, as it is now.
    ///
    /// # Errors
    /// [`KmsError::NotFound`]; the store's errors.
    pub async fn describe_key(&self, key: &str) -> KmsResult<Keyring> {
        let call = self.call(Operation::DescribeKey, key);
        self.0.read_key(call, Keyring::new).await
    }

    /// The keys by their ids, from where a page before ended; customer and
    /// service keys, and those that are to be deleted. At most `limit` of them:
    /// 1 to 1,000 (more is taken as 1,000, and none as 1). Whoever may list the
    /// keys sees them as they are, whatever their own policies say of looking at
    /// one.
    ///
    /// # Errors
    /// The store's errors. What a record cannot be read for is part of the
    /// page.
    pub async fn list_keys(&self, after: Option<&str>, limit: usize) -> KmsResult<KeyPage> {
        let call = self.call(Operation::ListKeys, "");
        let list = self.0.list_keys(after, limit);
        self.0.pass_keyless(call, list).await
    }

    /// What is left of a key that was deleted; `None` for one that is there.
    ///
    /// # Errors
    /// [`KmsError::NotFound`] if there never was one; the store's errors.
    pub async fn deleted_key(&self, key: &str) -> KmsResult<Option<DeletedKey>> {
        let call = self.call(Operation::DescribeKey, key);
        // Nothing is left of it to be kept from anybody who may look.
        self.0.pass_keyless(call, self.0.deleted_key(call)).await
    }

    /// Changes the description: at most 8,192 characters.
    ///
    /// # Errors
    /// [`KmsError::InvalidArgument`]; [`KmsError::NotFound`],
    /// [`KmsError::InvalidState`], [`KmsError::Unsupported`]; the store's
    /// errors.
    pub async fn update_description(&self, key: &str, description: &str) -> KmsResult<()> {
        let details = [("description", Parameter::Text(description))];
        let call = self
            .call(Operation::UpdateKeyDescription, key)
            .with_details(&details);
        self.0
            .change_key(call, |record, _| {
                record.set_description(description.to_owned())?;
                Ok(Change::Write(()))
            })
            .await
    }

    /// The tags of a key.
    ///
    /// # Errors
    /// [`KmsError::NotFound`]; the store's errors.
    pub async fn tags(&self, key: &str) -> KmsResult<BTreeMap<String, String>> {
        let call = self.call(Operation::ListResourceTags, key);
        self.0
            .read_key(call, |record, _, _| record.tags.clone())
            .await
    }

    /// Adds tags, and replaces those of the same keys.
    ///
    /// # Errors
    /// [`KmsError::InvalidArgument`], [`KmsError::LimitExceeded`] over 1,000; else
    /// as [`update_description`](Self::update_description).
    pub async fn tag(&self, key: &str, tags: &BTreeMap<String, String>) -> KmsResult<()> {
        let pairs = as_pairs(tags);
        let details = [("tags", Parameter::Tags(&pairs))];
        let call = self
            .call(Operation::TagResource, key)
            .with_details(&details);
        self.0
            .change_key(call, |record, _| {
                record.add_tags(tags)?;
                Ok(Change::Write(()))
            })
            .await
    }

    /// Removes the tags of these keys, where there are such.
    ///
    /// # Errors
    /// As [`update_description`](Self::update_description).
    pub async fn untag(&self, key: &str, tag_keys: &[&str]) -> KmsResult<()> {
        let details = [("tagKeys", Parameter::Texts(tag_keys))];
        let call = self
            .call(Operation::UntagResource, key)
            .with_details(&details);
        self.0
            .change_key(call, |record, _| {
                let before = record.tags.len();
                record
                    .tags
                    .retain(|tag, _| !tag_keys.contains(&tag.as_str()));
                Ok(change_if(record.tags.len() != before))
            })
            .await
    }

    /// Allows the use of a key again.
    ///
    /// # Errors
    /// [`KmsError::NotFound`], [`KmsError::InvalidState`],
    /// [`KmsError::Unsupported`]; the store's errors.
    pub async fn enable_key(&self, key: &str) -> KmsResult<()> {
        self.set_enabled(Operation::EnableKey, key, true).await
    }

    /// Forbids the use of a key: nothing encrypts, and nothing decrypts.
    ///
    /// # Errors
    /// As [`enable_key`](Self::enable_key).
    pub async fn disable_key(&self, key: &str) -> KmsResult<()> {
        self.set_enabled(Operation::DisableKey, key, false).await
    }

    async fn set_enabled(&self, operation: Operation, key: &str, enabled: bool) -> KmsResult<()> {
        self.0
            .change_key(self.call(operation, key), |record, _| {
                let was = std::mem::replace(&mut record.enabled, enabled);
                Ok(change_if(was != enabled))
            })
            .await
    }

    /// Rotates a key automatically, after so many days each: 90 to 2,560, or
    /// 365 by default. Rotation happens in [`run_due`](Self::run_due) or by the
    /// [`Scheduler`](super::Scheduler). With the same number of days as before,
    /// the date stays.
    ///
    /// # Errors
    /// [`KmsError::InvalidArgument`]; [`KmsError::NotFound`],
    /// [`KmsError::Disabled`], [`KmsError::InvalidState`];
    /// [`KmsError::Unsupported`] for imported material; the store's errors.
    pub async fn enable_rotation(&self, key: &str, days: Option<u16>) -> KmsResult<()> {
        let days = days.unwrap_or(DEFAULT_ROTATION_DAYS);
        let details = [("rotationPeriodInDays", Parameter::Number(days.into()))];
        let call = self
            .call(Operation::EnableKeyRotation, key)
            .with_details(&details);
        self.0
            .change_key(call, |record, now| {
                let before = record.rotation;
                record.enable_rotation(days, now)?;
                Ok(change_if(record.rotation != before))
            })
            .await
    }

    /// Ends the automatic rotation of a key.
    ///
    /// # Errors
    /// As [`enable_rotation`](Self::enable_rotation).
    pub async fn disable_rotation(&self, key: &str) -> KmsResult<()> {
        let call = self.call(Operation::DisableKeyRotation, key);
        self.0
            .change_key(call, |record, _| {
                Ok(change_if(record.rotation.take().is_some()))
            })
            .await
    }

    /// The automatic rotation of a key, if it has one; as in AWS KMS, a key
    /// that is going to be deleted has none meanwhile.
    ///
    /// # Errors
    /// [`KmsError::NotFound`]; the store's errors.
    pub async fn rotation_status(&self, key: &str) -> KmsResult<Option<RotationStatus>> {
        let call = self.call(Operation::GetKeyRotationStatus, key);
        let keyring = self.0.read_key(call, Keyring::new).await?;
        Ok(keyring
            .rotation
            .filter(|_| keyring.state != KeyState::PendingDeletion))
    }

    /// Rotates a key now: adds a backing key, which encrypts from now on. All
    /// that was encrypted before still decrypts, and the date of an automatic
    /// rotation stays. For imported material, new material must have been
    /// [imported](Self::import_key_material) before, which becomes current.
    /// Gives the new version.
    ///
    /// # Errors
    /// [`KmsError::NotFound`], [`KmsError::Disabled`],
    /// [`KmsError::InvalidState`], [`KmsError::Unsupported`],
    /// [`KmsError::LimitExceeded`]; the store's errors.
    pub async fn rotate(&self, key: &str) -> KmsResult<u32> {
        let call = self.call(Operation::RotateKeyOnDemand, key);
        self.0
            .change_key(call, |record, now| {
                let cause = BackingKeyCause::OnDemandRotation;
                record
                    .rotate(&self.0.backend, cause, now)
                    .map(Change::Write)
            })
            .await
    }

    /// The rotations of a key: each backing key but the first.
    ///
    /// # Errors
    /// [`KmsError::NotFound`]; the store's errors.
    pub async fn rotations(&self, key: &str) -> KmsResult<Vec<BackingKeyInfo>> {
        let call = self.call(Operation::ListKeyRotations, key);
        let keyring = self.0.read_key(call, Keyring::new).await?;
        Ok(keyring.rotations().to_vec())
    }

    /// Sets the least version of the backing key that may still decrypt, at
    /// most the current one: what an older one has encrypted is cut off, and
    /// comes back when the minimum is lowered again. For a version that leaked:
    /// rotate, re-encrypt what is worth it, then raise the minimum.
    ///
    /// # Errors
    /// [`KmsError::InvalidArgument`]; [`KmsError::NotFound`],
    /// [`KmsError::InvalidState`], [`KmsError::Unsupported`]; the store's
    /// errors.
    pub async fn set_minimum_version(&self, key: &str, minimum: u32) -> KmsResult<()> {
        let details = [("minimumVersion", Parameter::Number(minimum.into()))];
        let call = self
            .call(Operation::SetMinimumVersion, key)
            .with_details(&details);
        self.0
            .change_key(call, |record, _| {
                let before = record.minimum_version;
                record.set_minimum_version(minimum)?;
                Ok(change_if(record.minimum_version != before))
            })
            .await
    }

    /// Has a key deleted in 7 to 30 days, 30 by default. It cannot be used
    /// meanwhile, and [`cancel_deletion`](Self::cancel_deletion) keeps it. Once
    /// the date has come, it cannot be found; [`run_due`](Self::run_due) or the
    /// [`Scheduler`](super::Scheduler) then takes its material out of the
    /// store.
    ///
    /// # Errors
    /// [`KmsError::InvalidArgument`]; [`KmsError::NotFound`],
    /// [`KmsError::InvalidState`], [`KmsError::Unsupported`]; the store's
    /// errors.
    pub async fn schedule_deletion(
        &self,
        key: &str,
        days: Option<u16>,
    ) -> KmsResult<ScheduledDeletion> {
        let days = days.unwrap_or(*DELETION_DAYS.end());
        let details = [("pendingWindowInDays", Parameter::Number(days.into()))];
        let call = self
            .call(Operation::ScheduleKeyDeletion, key)
            .with_details(&details);
        let schedule = async {
            self.0.enter(&call)?;
            let change = self.0.write_changed(call, |record, now| {
                let date = record.schedule_deletion(days, now)?;
                let key = (record.id.clone(), record.arn.clone());
                Ok(Change::Write((key, date, now)))
            });
            change.await
        };
        let scheduled: KmsResult<_> = schedule.await;
        if self.0.takes_note() {
            let named = self.0.named_arn(key).await;
            let named = named.as_deref();
            let response = scheduled.as_ref().ok().map(|((_, arn), date, _)| {
                [
                    ("keyId", Parameter::Text(arn)),
                    ("keyState", Parameter::Text("PendingDeletion")),
                    ("deletionDate", Parameter::Time((*date).into())),
                    ("pendingWindowInDays", Parameter::Number(days.into())),
                ]
            });
            let outcome = Outcome {
                keys: named.as_slice(),
                response: response.as_ref().map_or(&[], |response| response),
                ..Outcome::of(&scheduled)
            };
            self.0.note(&call, outcome)?;
        }
        let ((id, key_arn), date, now) = scheduled?;
        // A usage record that cannot be read must not hide what was done, and
        // is no all-clear.
        let usage = self.0.read_usage(&id).await;
        let last_used = usage.as_ref().ok().and_then(KeyUsage::last_used);
        let is_recent = |used| Timestamp::from(used).plus(RECENT_USE) > now;
        let is_in_recent_use = usage.is_err() || last_used.is_some_and(is_recent);
        Ok(ScheduledDeletion {
            key_arn,
            date: date.into(),
            last_used,
            is_in_recent_use,
        })
    }

    /// Keeps a key that was to be deleted. As in AWS KMS, it is disabled then:
    /// enable it to use it again.
    ///
    /// # Errors
    /// [`KmsError::InvalidState`] if it was not to be deleted;
    /// [`KmsError::NotFound`]; the store's errors.
    pub async fn cancel_deletion(&self, key: &str) -> KmsResult<()> {
        let call = self.call(Operation::CancelKeyDeletion, key);
        self.0
            .change_key(call, |record, _| {
                record.cancel_deletion();
                Ok(Change::Write(()))
            })
            .await
    }
}

pub(super) fn as_pairs(tags: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    tags.iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

fn change_if(changed: bool) -> Change<()> {
    match changed {
        true => Change::Write(()),
        false => Change::Keep(()),
    }
}

impl Inner {
    async fn list_keys(&self, after: Option<&str>, limit: usize) -> KmsResult<KeyPage> {
        let limit = limit.clamp(1, 1000);
        let mut page = KeyPage::default();
        let mut last = match after {
            Some(id) if alias::is_id(id) => Some(key_name(id)),
            Some(_) => return Err(KmsError::invalid("this is no page's `next`")),
            None => None,
        };
        loop {
            let names = self.vault.list("keys/", last.as_deref(), PAGE).await?;
            for name in &names {
                let Some(id) = key_id(name) else {
                    page.damaged
                        .push(KmsError::record(name, RecordProblem::Damaged));
                    continue;
                };
                // Whoever may list may see what is listed.
                let call = Call::automatic(Operation::DescribeKey, id);
                match self.admit_key(call, Keyring::new).await {
                    Ok(keyring) => page.keyrings.push(keyring),
                    // Deleted, or an owned key's.
                    Err(KmsError::NotFound { .. }) => {}
                    Err(error @ KmsError::Record { .. }) => page.damaged.push(error),
                    Err(error) => return Err(error),
                }
                if page.keyrings.len() + page.damaged.len() == limit {
                    page.next = Some(id.to_owned());
                    return Ok(page);
                }
            }
            if names.len() < PAGE {
                return Ok(page);
            }
            last = names.into_iter().next_back();
        }
    }

    async fn deleted_key(&self, call: Call<'_>) -> KmsResult<Option<DeletedKey>> {
        let key = call.key;
        let KeySpec::Id(id) = self.names.parse(key)? else {
            return Err(not_found(key));
        };
        let loaded = self.load(id).await?.ok_or_else(|| not_found(key))?;
        let tombstone = match &loaded.entry {
            KeyEntry::Deleted(tombstone) => tombstone.clone(),
            KeyEntry::Live(record) if !record.is_gone(self.now()) => {
                self.allow(call, loaded).await?;
                return Ok(None);
            }
            KeyEntry::Live(record) => record.tombstone(),
        };
        Ok(Some(DeletedKey {
            arn: tombstone.arn,
            created: tombstone.created.into(),
            deleted: tombstone.deleted.into(),
        }))
    }
}
