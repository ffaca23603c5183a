//! A key as it is stored, and its rules: pure functions of the record, the time
//! and what is asked. Nothing here reads a clock or a store.

mod stored;

use std::collections::BTreeMap;
use std::fmt;

use super::access::AccessRecord;
use super::digest::hex;
use super::error::{KmsError, KmsResult};
use super::seal::{BACKING_KEY_LENGTH, SealingKey};
use super::state::{KeyState, Operation, Verdict};
use super::time::Timestamp;
use crate::crypto::{CryptoBackend, HkdfOutput, SecretBytes, constant_time_eq};
use crate::suite::HashAlgorithm;

/// Days between automatic rotations, where nothing else is said.
pub const DEFAULT_ROTATION_DAYS: u16 = 365;
/// The least and the most days between automatic rotations.
pub const ROTATION_DAYS: std::ops::RangeInclusive<u16> = 90..=2560;
/// The least and the most days that a deletion waits.
pub const DELETION_DAYS: std::ops::RangeInclusive<u16> = 7..=30;

const MAX_DESCRIPTION_LENGTH: usize = 8192;
const MAX_TAGS: usize = 1000;
const MAX_TAG_KEY_LENGTH: usize = 128;
const MAX_TAG_VALUE_LENGTH: usize = 256;
/// So many backing keys fit a record of the default size many times over.
const MAX_BACKING_KEYS: usize = 50_000;

/// Whose key it is, which decides who may manage it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Owner {
    /// A customer key: everything may be managed.
    Customer,
    /// The key of the service of this name: visible, rotated each year, not
    /// managed by hand (AWS KMS: an AWS managed key).
    Service(String),
    /// A key of the application's own under this name: neither visible nor
    /// managed (AWS KMS: an AWS owned key).
    Owned(String),
}

/// Where a key's material comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// The KMS makes it (AWS KMS: `AWS_KMS`).
    Local,
    /// It is imported (AWS KMS: `EXTERNAL`).
    External,
}

/// Why there is a backing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BackingKeyCause {
    /// The key was created, or its first material was imported.
    Creation,
    /// The date of an automatic rotation came.
    AutomaticRotation,
    /// Somebody asked for a rotation.
    OnDemandRotation,
}

/// What is in the store under a key's name.
pub(super) enum KeyEntry {
    Live(Box<KeyRecord>),
    Deleted(Tombstone),
}

/// What is left of a key: enough to tell that it was here, and to keep a
/// backup from bringing it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tombstone {
    pub(super) arn: String,
    pub(super) created: Timestamp,
    pub(super) deleted: Timestamp,
}

/// A key, with its material.
pub(crate) struct KeyRecord {
    pub(super) id: String,
    pub(super) arn: String,
    pub(super) owner: Owner,
    pub(super) origin: Origin,
    pub(super) description: String,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) created: Timestamp,
    pub(super) enabled: bool,
    pub(super) deletion: Option<Timestamp>,
    pub(super) rotation: Option<Rotation>,
    /// The least version that may decrypt.
    pub(super) minimum_version: u32,
    /// Version 1 first; the last one is current. None is ever removed.
    pub(super) backing_keys: Vec<BackingKey>,
    /// Imported, to become current by a rotation.
    pub(super) next: Option<BackingKey>,
    /// Beside the record in its [`KeyEntry`].
    pub(super) access: AccessRecord,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rotation {
    pub(super) days: u16,
    pub(super) due: Timestamp,
}

pub(super) struct BackingKey {
    pub(super) created: Timestamp,
    pub(super) cause: BackingKeyCause,
    pub(super) material_id: MaterialId,
    /// None while imported material is deleted or has expired.
    pub(super) material: Option<Material>,
    pub(super) expires: Option<Timestamp>,
}

/// A backing key's secret: [`BACKING_KEY_LENGTH`] bytes.
pub(super) struct Material(SecretBytes);

/// Names a backing key's material without giving it away: derived from it and
/// the key's id by HKDF, so that the same material is known again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct MaterialId([u8; 32]);

impl Material {
    pub(super) fn new(secret: SecretBytes) -> KmsResult<Self> {
        if secret.len() != BACKING_KEY_LENGTH {
            return Err(KmsError::invalid(format!(
                "key material has {BACKING_KEY_LENGTH} bytes; this has {}",
                secret.len()
            )));
        }
        Ok(Material(secret))
    }

    pub(super) fn generate(backend: &CryptoBackend) -> KmsResult<Self> {
        let mut secret = SecretBytes::zeroed(BACKING_KEY_LENGTH);
        backend.random().fill(secret.expose_mut())?;
        Ok(Material(secret))
    }

    pub(super) fn id(&self, backend: &CryptoBackend, key_id: &str) -> MaterialId {
        let mut id = [0; 32];
        let output = HkdfOutput {
            info: &[b"waxseal local-kms material id", key_id.as_bytes()],
            out: &mut id,
        };
        // 32 bytes are no length that HKDF-SHA-512 refuses.
        let derived = backend.hkdf(HashAlgorithm::Sha512, &[], self.0.expose(), &mut [output]);
        debug_assert!(derived.is_ok());
        MaterialId(id)
    }
}

impl MaterialId {
    #[cfg(feature = "kms-policy")]
    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for MaterialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for MaterialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl BackingKey {
    pub(super) fn new(
        backend: &CryptoBackend,
        key_id: &str,
        material: Material,
        cause: BackingKeyCause,
        now: Timestamp,
    ) -> Self {
        BackingKey {
            created: now,
            cause,
            material_id: material.id(backend, key_id),
            material: Some(material),
            expires: None,
        }
    }

    /// Whether there is material, and it has not expired.
    pub(super) fn is_usable(&self, now: Timestamp) -> bool {
        self.material.is_some() && self.expires.is_none_or(|expires| now < expires)
    }
}

impl KeyRecord {
    /// The version that encrypts; 0 while there is none.
    pub(super) fn current_version(&self) -> u32 {
        // At most MAX_BACKING_KEYS: see `check`.
        self.backing_keys.len() as u32
    }

    /// What a record that was read must hold for the rest to be true.
    pub(super) fn check(&self) -> bool {
        let current = self.backing_keys.len();
        current <= MAX_BACKING_KEYS
            && (1..=current.max(1)).contains(&(self.minimum_version as usize))
            && (self.origin == Origin::External || current > 0)
            && (self.backing_keys.iter().chain(&self.next)).all(|key| {
                let material = key.material.as_ref();
                material.is_none_or(|material| material.0.len() == BACKING_KEY_LENGTH)
            })
    }

    /// Until when all of its material is there: the first expiry, or
    /// [`Timestamp::FIRST`] if some is missing.
    pub(super) fn complete_until(&self) -> Timestamp {
        let until = |key: &BackingKey| match (&key.material, key.expires) {
            (None, _) => Timestamp::FIRST,
            (Some(_), expires) => expires.unwrap_or(Timestamp::LAST),
        };
        let first = self.backing_keys.iter().map(until).min();
        first.unwrap_or(Timestamp::FIRST)
    }

    /// Whether the date of its deletion has come.
    pub(super) fn is_gone(&self, now: Timestamp) -> bool {
        self.deletion.is_some_and(|date| date <= now)
    }

    /// Its state; `None` once the date of its deletion has come.
    pub(super) fn state(&self, now: Timestamp, connected: bool) -> Option<KeyState> {
        self.state_if(now < self.complete_until(), now, connected)
    }

    /// The same for whoever knows whether its material is complete: looking at
    /// each backing key would make a wrap dearer with every rotation.
    fn state_if(&self, complete: bool, now: Timestamp, connected: bool) -> Option<KeyState> {
        if self.deletion.is_some() {
            return (!self.is_gone(now)).then_some(KeyState::PendingDeletion);
        }
        let state = if !complete {
            KeyState::PendingImport
        } else if !connected {
            KeyState::Unavailable
        } else if self.enabled {
            KeyState::Enabled
        } else {
            KeyState::Disabled
        };
        Some(state)
    }

    /// Whether this operation is for this key, in its state: the one place
    /// where the table of states is asked.
    pub(super) fn admit(
        &self,
        operation: Operation,
        complete: bool,
        now: Timestamp,
        connected: bool,
    ) -> KmsResult<KeyState> {
        let state = self.state_if(complete, now, connected);
        let state = state.ok_or_else(|| self.not_found())?;
        self.admit_kind(operation)?;
        match operation.verdict(state) {
            Verdict::Allowed => Ok(state),
            Verdict::Disabled => Err(KmsError::Disabled {
                key: self.arn.clone(),
            }),
            Verdict::InvalidState => Err(KmsError::InvalidState {
                key: self.arn.clone(),
                state,
                operation,
            }),
        }
    }

    /// Whether this operation is for keys of this owner and origin.
    fn admit_kind(&self, operation: Operation) -> KmsResult<()> {
        use Operation as O;
        let (uses, shows, imports, rotates) = match operation {
            O::Encrypt
            | O::Decrypt
            | O::ReEncrypt
            | O::GenerateDataKey
            | O::GenerateDataKeyWithoutPlaintext => (true, false, false, false),
            O::DescribeKey
            | O::GetKeyPolicy
            | O::ListAliases
            | O::ListGrants
            | O::ListKeyPolicies
            | O::ListKeyRotations
            | O::ListResourceTags
            | O::GetKeyRotationStatus => (false, true, false, false),
            O::DeleteImportedKeyMaterial | O::GetParametersForImport | O::ImportKeyMaterial => {
                (false, false, true, false)
            }
            O::EnableKeyRotation | O::DisableKeyRotation => (false, false, false, true),
            _ => (false, false, false, false),
        };
        match &self.owner {
            _ if uses => return Ok(()),
            Owner::Owned(_) => return Err(self.not_found()),
            Owner::Service(_) if !shows => {
                return Err(self.unsupported(operation, "a service's key is not managed by hand"));
            }
            _ => {}
        }
        if imports && self.origin != Origin::External {
            return Err(self.unsupported(operation, "its material is not imported"));
        }
        if rotates && self.origin == Origin::External {
            return Err(self.unsupported(operation, "its material is imported"));
        }
        Ok(())
    }

    pub(super) fn not_found(&self) -> KmsError {
        KmsError::NotFound {
            key: self.arn.clone(),
        }
    }

    pub(super) fn unsupported(&self, operation: Operation, reason: &'static str) -> KmsError {
        KmsError::Unsupported {
            key: self.arn.clone(),
            operation,
            reason,
        }
    }

    /// The key to seal with: the current version.
    pub(super) fn sealing_key(&self) -> KmsResult<SealingKey<'_>> {
        self.sealing_key_of(self.current_version())
    }

    /// The key to open what was sealed under a version.
    pub(super) fn opening_key(&self, version: u32) -> KmsResult<SealingKey<'_>> {
        if version < self.minimum_version && version > 0 {
            return Err(KmsError::VersionCutOff {
                key: self.arn.clone(),
                version,
                minimum: self.minimum_version,
            });
        }
        self.sealing_key_of(version)
    }

    fn sealing_key_of(&self, version: u32) -> KmsResult<SealingKey<'_>> {
        let index = (version as usize).checked_sub(1);
        let material = index
            .and_then(|index| self.backing_keys.get(index))
            .and_then(|key| key.material.as_ref())
            .ok_or(KmsError::InvalidCiphertext)?;
        Ok(SealingKey {
            id: &self.id,
            version,
            material: &material.0,
        })
    }

    pub(super) fn set_description(&mut self, description: String) -> KmsResult<()> {
        check_description(&description)?;
        self.description = description;
        Ok(())
    }

    pub(super) fn add_tags(&mut self, tags: &BTreeMap<String, String>) -> KmsResult<()> {
        check_tags(tags)?;
        self.tags.extend(tags.clone());
        if self.tags.len() > MAX_TAGS {
            return Err(KmsError::LimitExceeded {
                what: "tags on one key",
                limit: MAX_TAGS as u64,
            });
        }
        Ok(())
    }

    /// Adds a backing key and makes it the current one. Of material that the
    /// KMS makes; imported material comes from [`next`](Self::next).
    pub(super) fn rotate(
        &mut self,
        backend: &CryptoBackend,
        cause: BackingKeyCause,
        now: Timestamp,
    ) -> KmsResult<u32> {
        if self.backing_keys.len() >= MAX_BACKING_KEYS {
            return Err(KmsError::LimitExceeded {
                what: "backing keys of one key",
                limit: MAX_BACKING_KEYS as u64,
            });
        }
        let key = match self.origin {
            Origin::Local => {
                let material = Material::generate(backend)?;
                BackingKey::new(backend, &self.id, material, cause, now)
            }
            Origin::External => {
                let usable = self.next.take_if(|next| next.is_usable(now));
                let mut key = usable.ok_or_else(|| {
                    let reason = "no new material was imported";
                    self.unsupported(Operation::RotateKeyOnDemand, reason)
                })?;
                (key.cause, key.created) = (cause, now);
                key
            }
        };
        self.backing_keys.push(key);
        Ok(self.current_version())
    }

    /// Rotates if the date has come. A date that was missed, however long ago,
    /// is made up for once: the next one is a whole period from now.
    pub(super) fn rotate_if_due(
        &mut self,
        backend: &CryptoBackend,
        now: Timestamp,
        connected: bool,
    ) -> KmsResult<Option<u32>> {
        let Some(rotation) = self.rotation else {
            return Ok(None);
        };
        if now < rotation.due || self.state(now, connected) != Some(KeyState::Enabled) {
            return Ok(None);
        }
        let version = self.rotate(backend, BackingKeyCause::AutomaticRotation, now)?;
        let days = rotation.days;
        let due = now.plus_days(days);
        self.rotation = Some(Rotation { days, due });
        Ok(Some(version))
    }

    pub(super) fn enable_rotation(&mut self, days: u16, now: Timestamp) -> KmsResult<()> {
        check_days("a rotation period", days, &ROTATION_DAYS)?;
        let due = now.plus_days(days);
        match &mut self.rotation {
            // Asking for the same again must not put the date off.
            Some(rotation) if rotation.days == days => {}
            rotation => *rotation = Some(Rotation { days, due }),
        }
        Ok(())
    }

    pub(super) fn set_minimum_version(&mut self, minimum: u32) -> KmsResult<()> {
        let current = self.current_version();
        if minimum == 0 || minimum > current.max(1) {
            return Err(KmsError::invalid(format!(
                "the minimum version of this key is 1 to {}, its current version; not {minimum}",
                current.max(1)
            )));
        }
        self.minimum_version = minimum;
        Ok(())
    }

    pub(super) fn schedule_deletion(&mut self, days: u16, now: Timestamp) -> KmsResult<Timestamp> {
        check_days("the wait before a deletion", days, &DELETION_DAYS)?;
        let date = now.plus_days(days);
        self.deletion = Some(date);
        Ok(date)
    }

    /// As in AWS KMS, the key is disabled then.
    pub(super) fn cancel_deletion(&mut self) {
        self.deletion = None;
        self.enabled = false;
    }

    pub(super) fn tombstone(&self) -> Tombstone {
        Tombstone {
            arn: self.arn.clone(),
            created: self.created,
            // The day it was gone, not the one on which somebody noticed.
            deleted: self.deletion.unwrap_or(self.created),
        }
    }

    /// Takes imported material: some that the key has or had before, or new.
    pub(super) fn import(
        &mut self,
        backend: &CryptoBackend,
        material: Material,
        new: bool,
        expires: Option<Timestamp>,
        now: Timestamp,
    ) -> KmsResult<()> {
        if expires.is_some_and(|expires| expires <= now) {
            return Err(KmsError::invalid("the material's expiry is in the past"));
        }
        let was_pending = self.state(now, true) == Some(KeyState::PendingImport);
        let id = material.id(backend, &self.id);
        let known = self.backing_keys.iter_mut().chain(&mut self.next);
        let known = known.into_iter().find(|key| {
            // No secret: both are public. Constant time costs nothing, though.
            constant_time_eq(&key.material_id.0, &id.0)
        });
        match known {
            Some(key) if !new => {
                key.material = Some(material);
                key.expires = expires;
            }
            Some(_) => {
                return Err(KmsError::invalid(
                    "the key has this material already: import it as existing material",
                ));
            }
            None if !new => {
                return Err(KmsError::IncorrectKeyMaterial {
                    key: self.arn.clone(),
                });
            }
            None => {
                let cause = BackingKeyCause::Creation;
                let mut key = BackingKey::new(backend, &self.id, material, cause, now);
                key.expires = expires;
                if self.backing_keys.is_empty() {
                    self.backing_keys.push(key);
                } else {
                    self.next = Some(key);
                }
            }
        }
        // As in AWS KMS, a key whose material is whole again is enabled.
        if was_pending && self.state(now, true) != Some(KeyState::PendingImport) {
            self.enabled = true;
        }
        Ok(())
    }

    /// Deletes imported material: that of this id, or all of it. Whether there
    /// was any.
    pub(super) fn delete_material(&mut self, id: Option<&str>) -> KmsResult<bool> {
        let wanted = |key: &BackingKey| id.is_none_or(|id| key.material_id.to_string() == id);
        let mut found = false;
        let mut deleted = false;
        if self.next.as_ref().is_some_and(wanted) {
            (found, deleted) = (true, true);
            self.next = None;
        }
        for key in self.backing_keys.iter_mut().filter(|key| wanted(key)) {
            found = true;
            deleted |= key.material.take().is_some();
            key.expires = None;
        }
        match id {
            Some(id) if !found => Err(KmsError::NotFound {
                key: format!("material {id} of {}", self.arn),
            }),
            _ => Ok(deleted),
        }
    }

    /// Wipes what has expired. Whether there was any.
    pub(super) fn expire(&mut self, now: Timestamp) -> bool {
        let mut expired = self.next.take_if(|next| !next.is_usable(now)).is_some();
        for key in &mut self.backing_keys {
            if !key.is_usable(now) && key.material.take().is_some() {
                expired = true;
                key.expires = None;
            }
        }
        expired
    }
}

fn check_days(what: &str, days: u16, allowed: &std::ops::RangeInclusive<u16>) -> KmsResult<()> {
    if allowed.contains(&days) {
        return Ok(());
    }
    let (least, most) = (allowed.start(), allowed.end());
    Err(KmsError::invalid(format!(
        "{what} is {least} to {most} days, not {days}"
    )))
}

pub(super) fn check_description(description: &str) -> KmsResult<()> {
    let length = description.chars().count();
    if length > MAX_DESCRIPTION_LENGTH {
        return Err(KmsError::invalid(format!(
            "a description has at most {MAX_DESCRIPTION_LENGTH} characters; this has {length}"
        )));
    }
    Ok(())
}

pub(super) fn check_tags(tags: &BTreeMap<String, String>) -> KmsResult<()> {
    if tags.len() > MAX_TAGS {
        return Err(KmsError::LimitExceeded {
            what: "tags on one key",
            limit: MAX_TAGS as u64,
        });
    }
    for (key, value) in tags {
        if !(1..=MAX_TAG_KEY_LENGTH).contains(&key.chars().count()) || key.starts_with("aws:") {
            return Err(KmsError::invalid(format!(
                "a tag's key has 1 to {MAX_TAG_KEY_LENGTH} characters and does not start with \
                 'aws:'"
            )));
        }
        if value.chars().count() > MAX_TAG_VALUE_LENGTH {
            return Err(KmsError::invalid(format!(
                "a tag's value has at most {MAX_TAG_VALUE_LENGTH} characters"
            )));
        }
    }
    Ok(())
}
