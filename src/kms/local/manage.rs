//! Making keys, telling about them, and changing them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::gate::{Call, Change};
use super::{Inner, LocalKms, key_id, key_name, not_found};
use crate::kms::alias::{self, KeySpec};
use crate::kms::error::{KmsError, KmsResult};
use crate::kms::key::{
    BackingKey, BackingKeyCause, DEFAULT_ROTATION_DAYS, DELETION_DAYS, KeyEntry, KeyRecord,
    Material, Origin, Owner,
};
use crate::kms::keyring::{BackingKeyInfo, Keyring};
use crate::kms::state::Operation;
use crate::kms::store::StoreError;
use crate::kms::time::Timestamp;

/// A key that was used within so long before its deletion is scheduled is said
/// to be in recent use.
const RECENT_USE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How many names are listed at once.
pub(super) const PAGE: usize = 500;

/// What a new key is to be.
#[derive(Clone, Debug, Default)]
pub struct CreateKey {
    alias: Option<String>,
    description: String,
    tags: BTreeMap<String, String>,
    rotation_days: Option<u16>,
    is_external: bool,
}

impl CreateKey {
    /// A customer key with material of the KMS's own, without alias,
    /// description, tags and automatic rotation.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives it an alias, which must be free.
    #[must_use]
    pub fn alias(mut self, alias: impl Into<String>) -> Self {
        self.alias = Some(alias.into());
        self
    }

    /// At most 8,192 characters.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Adds a tag: a key of 1 to 128 characters, a value of at most 256; at
    /// most 50 of them.
    #[must_use]
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(key.into(), value.into());
        self
    }

    /// Rotates it automatically, after so many days each: 90 to 2,560.
    #[must_use]
    pub fn rotate_every(mut self, days: u16) -> Self {
        self.rotation_days = Some(days);
        self
    }

    /// A key whose material is [imported](LocalKms::import_key_material). It is
    /// [`PendingImport`](crate::kms::KeyState::PendingImport) until then.
    #[must_use]
    pub fn external(mut self) -> Self {
        self.is_external = true;
        self
    }
}

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
    /// Whether that was within the last 30 days: see
    /// [`usage`](LocalKms::usage) before you let it be deleted.
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
    /// Makes a customer key.
    ///
    /// # Errors
    /// [`KmsError::AlreadyExists`] and [`KmsError::InvalidAlias`] for the
    /// alias; [`KmsError::InvalidArgument`] and [`KmsError::LimitExceeded`] for
    /// the rest; the store's errors. There is no new key then.
    pub async fn create_key(&self, request: CreateKey) -> KmsResult<Keyring> {
        let kms = &*self.0;
        if let Some(alias) = &request.alias {
            alias::check(alias)?;
            kms.check_free(alias).await?;
        }
        let mut bytes = [0; 16];
        kms.backend.random().fill(&mut bytes)?;
        let id = alias::id_from(bytes, 4);
        let origin = match request.is_external {
            true => Origin::External,
            false => Origin::Local,
        };
        let now = kms.now();
        let mut record = kms.new_record(id, Owner::Customer, origin, now)?;
        record.set_description(request.description)?;
        record.add_tags(&request.tags)?;
        if let Some(days) = request.rotation_days {
            if origin == Origin::External {
                return Err(KmsError::invalid(
                    "a key with imported material is rotated on demand only",
                ));
            }
            record.enable_rotation(days, now)?;
        }
        let (keyring, id) = (kms.keyring(&record)?, record.id.clone());
        let entry = KeyEntry::Live(Box::new(record));
        let stamp = kms.vault.write(&key_name(&id), &entry, None).await?;
        if let Some(alias) = &request.alias
            && let Err(error) = kms.claim_alias(alias, &id).await
        {
            // Nobody has seen it. If it cannot be deleted now, it stays, whole
            // and without an alias.
            let _ = kms.vault.delete(&key_name(&id), &stamp).await;
            return Err(error);
        }
        Ok(keyring)
    }

    /// The key of a service of the application's, made on first use. It can be
    /// looked at and used (as `alias/aws/` and the name), it is rotated each
    /// year, and it cannot be managed.
    ///
    /// # Errors
    /// [`KmsError::InvalidAlias`] for a name that is no part of an alias; the
    /// store's errors.
    pub async fn service_key(&self, service: &str) -> KmsResult<Keyring> {
        let alias = alias::service_alias(service)?;
        let owner = Owner::Service(service.to_owned());
        let id = self.0.named_key(&alias, owner).await?;
        self.describe_key(&id).await
    }

    /// A key of the application's own under a name, made on first use: its ARN,
    /// for [`provider`](Self::provider) and the other calls that use a key. It
    /// is rotated each year, and can be neither looked at nor managed.
    ///
    /// # Errors
    /// [`KmsError::InvalidAlias`] for a name that is no part of an alias; the
    /// store's errors.
    pub async fn owned_key(&self, name: &str) -> KmsResult<String> {
        alias::service_alias(name)?;
        let owner = Owner::Owned(name.to_owned());
        // No caller's text is taken for an alias of this kind.
        let id = self.0.named_key(&format!("owned/{name}"), owner).await?;
        Ok(format!("{}{id}", alias::ARN_PREFIX))
    }

    /// A key, as it is now.
    ///
    /// # Errors
    /// [`KmsError::NotFound`]; the store's errors.
    pub async fn describe_key(&self, key: &str) -> KmsResult<Keyring> {
        let call = Call::new(Operation::DescribeKey, key);
        self.0.read_key(call, Keyring::new).await
    }

    /// The keys by their ids, from where a page before ended; customer and
    /// service keys, and those that are to be deleted.
    ///
    /// # Errors
    /// The store's errors. What a record cannot be read for is part of the
    /// page.
    pub async fn list_keys(&self, after: Option<&str>, limit: usize) -> KmsResult<KeyPage> {
        let limit = limit.clamp(1, 1000);
        let mut page = KeyPage::default();
        let mut last = match after {
            Some(id) if alias::is_id(id) => Some(key_name(id)),
            Some(_) => return Err(KmsError::invalid("this is no page's `next`")),
            None => None,
        };
        loop {
            let names = self.0.vault.list("keys/", last.as_deref(), PAGE).await?;
            for name in &names {
                let Some(id) = key_id(name) else {
                    continue;
                };
                let described = match self.0.load(id).await {
                    Ok(_) => self.describe_key(id).await,
                    Err(error) => Err(error),
                };
                match described {
                    Ok(keyring) => page.keyrings.push(keyring),
                    // Deleted, or an owned key's.
                    Err(KmsError::NotFound { .. }) => {}
                    Err(error) if error.concerns_a_record() => page.damaged.push(error),
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

    /// What is left of a key that was deleted; `None` for one that is there.
    ///
    /// # Errors
    /// [`KmsError::NotFound`] if there never was one; the store's errors.
    pub async fn deleted_key(&self, key: &str) -> KmsResult<Option<DeletedKey>> {
        let KeySpec::Id(id) = KeySpec::parse(key)? else {
            return Err(not_found(key));
        };
        let loaded = self.0.load(id).await?.ok_or_else(|| not_found(key))?;
        let tombstone = match &loaded.entry {
            KeyEntry::Deleted(tombstone) => tombstone.clone(),
            KeyEntry::Live(record) => match record.state(self.0.now(), true) {
                Some(_) => return Ok(None),
                None => record.tombstone(),
            },
        };
        Ok(Some(DeletedKey {
            arn: tombstone.arn,
            created: tombstone.created.into(),
            deleted: tombstone.deleted.into(),
        }))
    }

    /// Changes the description: at most 8,192 characters.
    ///
    /// # Errors
    /// [`KmsError::InvalidArgument`]; [`KmsError::NotFound`],
    /// [`KmsError::InvalidState`], [`KmsError::Unsupported`]; the store's
    /// errors.
    pub async fn update_description(&self, key: &str, description: &str) -> KmsResult<()> {
        let call = Call::new(Operation::UpdateKeyDescription, key);
        self.0
            .change_key(call, |record, _| {
                record.set_description(description.to_owned())?;
                Ok(Change::Write(()))
            })
            .await
    }

    /// Adds tags, and replaces those of the same keys.
    ///
    /// # Errors
    /// [`KmsError::InvalidArgument`], [`KmsError::LimitExceeded`] over 50; else
    /// as [`update_description`](Self::update_description).
    pub async fn tag(&self, key: &str, tags: &BTreeMap<String, String>) -> KmsResult<()> {
        let call = Call::new(Operation::TagResource, key);
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
        let call = Call::new(Operation::UntagResource, key);
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
            .change_key(Call::new(operation, key), |record, _| {
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
        let call = Call::new(Operation::EnableKeyRotation, key);
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
        let call = Call::new(Operation::DisableKeyRotation, key);
        self.0
            .change_key(call, |record, _| {
                Ok(change_if(record.rotation.take().is_some()))
            })
            .await
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
        let call = Call::new(Operation::RotateKeyOnDemand, key);
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
        let call = Call::new(Operation::ListKeyRotations, key);
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
        let call = Call::new(Operation::SetMinimumVersion, key);
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
        let call = Call::new(Operation::ScheduleKeyDeletion, key);
        let scheduled = self.0.change_key(call, |record, now| {
            let date = record.schedule_deletion(days, now)?;
            let key = (record.id.clone(), record.arn.clone());
            Ok(Change::Write((key, date, now)))
        });
        let ((id, key_arn), date, now) = scheduled.await?;
        // A usage record that cannot be read must not hide what was done.
        let usage = self.0.read_usage(&id).await.unwrap_or_default();
        let last_used = usage.last_used();
        let is_in_recent_use =
            last_used.is_some_and(|used| Timestamp::from(used).plus(RECENT_USE) > now);
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
        let call = Call::new(Operation::CancelKeyDeletion, key);
        self.0
            .change_key(call, |record, _| {
                record.cancel_deletion();
                Ok(Change::Write(()))
            })
            .await
    }
}

fn change_if(changed: bool) -> Change<()> {
    match changed {
        true => Change::Write(()),
        false => Change::Keep(()),
    }
}

impl Inner {
    fn keyring(&self, record: &KeyRecord) -> KmsResult<Keyring> {
        let now = self.now();
        let state = record.state(now, self.is_connected());
        let state = state.ok_or_else(|| record.not_found())?;
        Ok(Keyring::new(record, state, now))
    }

    /// A new key, not stored yet.
    fn new_record(
        &self,
        id: String,
        owner: Owner,
        origin: Origin,
        now: Timestamp,
    ) -> KmsResult<KeyRecord> {
        let mut backing_keys = Vec::new();
        if origin == Origin::Local {
            let material = Material::generate(&self.backend)?;
            let cause = BackingKeyCause::Creation;
            backing_keys.push(BackingKey::new(&self.backend, &id, material, cause, now));
        }
        Ok(KeyRecord {
            arn: format!("{}{id}", alias::ARN_PREFIX),
            id,
            owner,
            origin,
            description: String::new(),
            tags: BTreeMap::new(),
            created: now,
            enabled: true,
            deletion: None,
            rotation: None,
            minimum_version: 1,
            backing_keys,
            next: None,
        })
    }

    /// The id of a key that is found by its name, made on first use. Its id
    /// follows from the name, so that of several who make it at once all make
    /// the same one, and it has material as soon as it is there.
    async fn named_key(&self, alias: &str, owner: Owner) -> KmsResult<String> {
        if let Some(loaded) = self.load_alias(alias).await?
            && let Some(target) = &loaded.record.target
        {
            return Ok(target.clone());
        }
        let id = alias::named_id(&self.backend, self.store_id(), alias);
        let now = self.now();
        let mut record = self.new_record(id.clone(), owner, Origin::Local, now)?;
        record.enable_rotation(DEFAULT_ROTATION_DAYS, now)?;
        let entry = KeyEntry::Live(Box::new(record));
        match self.vault.write(&key_name(&id), &entry, None).await {
            Ok(_) | Err(KmsError::Store(StoreError::Conflict { .. })) => {}
            Err(error) => return Err(error),
        }
        match self.claim_alias(alias, &id).await {
            Ok(()) => Ok(id),
            // A neighbour's, or a backup's: it was first.
            Err(KmsError::AlreadyExists { .. }) => self.resolve_alias_afresh(alias).await,
            Err(error) => Err(error),
        }
    }
}
