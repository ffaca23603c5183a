//! A key as its users see it: everything but its material.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::key::{BackingKey, BackingKeyCause, KeyRecord, Origin, Owner};
use super::state::KeyState;
use super::time::Timestamp;

/// A logical key, as it was when it was asked for: an id that never changes,
/// and under it the backing keys, one for each rotation.
///
/// It holds no key material: nothing that the KMS gives away does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keyring {
    /// The id: a UUID in lower case, 36 characters.
    pub id: String,
    /// The name that messages and errors give it:
    /// `arn:waxseal:kms:local:000000000000:key/` and the id.
    pub arn: String,
    /// Whose key it is.
    pub owner: Owner,
    /// Where its material comes from.
    pub origin: Origin,
    /// Its state.
    pub state: KeyState,
    /// Of at most 8,192 characters.
    pub description: String,
    /// At most 1,000.
    pub tags: BTreeMap<String, String>,
    /// When it was created.
    pub created: SystemTime,
    /// When it is going to be deleted, if it is.
    pub deletion: Option<SystemTime>,
    /// Its automatic rotation, if it has one.
    pub rotation: Option<RotationStatus>,
    /// The least version of the backing key that may decrypt.
    pub minimum_version: u32,
    /// The backing keys, version 1 first.
    pub backing_keys: Vec<BackingKeyInfo>,
    /// Imported material that becomes current with the next rotation.
    pub next: Option<BackingKeyInfo>,
}

/// The automatic rotation of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RotationStatus {
    /// Days from one rotation to the next.
    pub days: u16,
    /// When the next one is due.
    pub due: SystemTime,
}

/// One version of a key's material, without the material.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackingKeyInfo {
    /// The version that ciphertexts name, from 1; that of material which waits
    /// for a rotation is the one that it will have.
    pub version: u32,
    /// When it was made, or became current.
    pub created: SystemTime,
    /// Why it was made.
    pub cause: BackingKeyCause,
    /// Names the material (64 hexadecimal digits) without giving it away.
    pub material_id: String,
    /// Whether the material is there: imported material may have been deleted
    /// or have expired.
    pub is_present: bool,
    /// When the material expires, if it does.
    pub expires: Option<SystemTime>,
}

impl Keyring {
    /// The version that encrypts; 0 while no material has been imported.
    pub fn current_version(&self) -> u32 {
        self.backing_keys.last().map_or(0, |key| key.version)
    }

    /// The rotations: every backing key but the first.
    pub fn rotations(&self) -> &[BackingKeyInfo] {
        self.backing_keys.get(1..).unwrap_or_default()
    }

    pub(super) fn new(record: &KeyRecord, state: KeyState, now: Timestamp) -> Self {
        let info = |(version, key): (u32, &BackingKey)| BackingKeyInfo {
            version,
            created: key.created.into(),
            cause: key.cause,
            material_id: key.material_id.to_string(),
            is_present: key.is_usable(now),
            expires: key.expires.map(SystemTime::from),
        };
        Keyring {
            id: record.id.clone(),
            arn: record.arn.clone(),
            owner: record.owner.clone(),
            origin: record.origin,
            state,
            description: record.description.clone(),
            tags: record.tags.clone(),
            created: record.created.into(),
            deletion: record.deletion.map(SystemTime::from),
            rotation: record.rotation.map(|rotation| RotationStatus {
                days: rotation.days,
                due: rotation.due.into(),
            }),
            minimum_version: record.minimum_version,
            backing_keys: (1..).zip(&record.backing_keys).map(info).collect(),
            next: record
                .next
                .as_ref()
                .map(|next| info((record.current_version() + 1, next))),
        }
    }
}
