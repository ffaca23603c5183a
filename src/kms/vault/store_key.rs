//! The store key: its versions, and how it rotates.
//!
//! Rotating adds a version, by one write of the root record, and then seals
//! every record anew under it. Both go on after an interruption: records under
//! an older version open as before. No version is ever taken away, since
//! another process that has not seen the newest may still write under an
//! older one; it learns of the newest when it reads a record that it cannot
//! open.

use super::record::seal_record;
use super::{MAX_ATTEMPTS, ROOT, Root, Vault, busy, concerns_one_record};
use crate::crypto::{Entropy, SecretBytes, constant_time_eq};
use crate::kms::error::{KmsError, KmsResult};
use crate::kms::seal::{BACKING_KEY_LENGTH, SealingKey};
use crate::kms::store::Expected;

/// All versions of the store key, ascending; never none.
pub(super) struct StoreKeys {
    current: u32,
    versions: Vec<(u32, SecretBytes)>,
}

impl StoreKeys {
    /// A first version.
    pub(super) fn new(entropy: &mut Entropy) -> KmsResult<Self> {
        Ok(StoreKeys {
            current: 1,
            versions: vec![(1, new_key(entropy)?)],
        })
    }

    /// `None` unless the versions ascend from 1 at least, have 32 bytes each,
    /// and the current one is among them.
    pub(super) fn from_parts<'a>(
        current: u32,
        keys: impl Iterator<Item = (u32, &'a [u8])>,
    ) -> Option<Self> {
        let (mut last, mut versions) = (0, Vec::new());
        for (version, key) in keys {
            if version <= last || key.len() != BACKING_KEY_LENGTH {
                return None;
            }
            last = version;
            versions.push((version, SecretBytes::copy_from(key)));
        }
        let keys = StoreKeys { current, versions };
        keys.get(current)?;
        Some(keys)
    }

    /// The same, and a new current version.
    fn with_new(&self, entropy: &mut Entropy) -> KmsResult<Self> {
        let newest = self.versions.last().map_or(0, |(version, _)| *version);
        let current = newest.checked_add(1).ok_or(KmsError::LimitExceeded {
            what: "versions of the store key",
            limit: u32::MAX.into(),
        })?;
        let mut keys = self.copy();
        keys.current = current;
        keys.versions.push((current, new_key(entropy)?));
        Ok(keys)
    }

    pub(super) fn copy(&self) -> Self {
        let copied = |(version, key): (u32, &SecretBytes)| {
            let key = SecretBytes::copy_from(key.expose());
            (version, key)
        };
        StoreKeys {
            current: self.current,
            versions: self.iter().map(copied).collect(),
        }
    }

    pub(super) fn get(&self, version: u32) -> Option<&SecretBytes> {
        let place = self.versions.binary_search_by_key(&version, |(v, _)| *v);
        place.ok().map(|place| &self.versions[place].1)
    }

    /// Whether all of these are among them, the same.
    pub(super) fn contains(&self, others: &Self) -> bool {
        others.iter().all(|(version, theirs)| {
            let ours = self.get(version);
            ours.is_some_and(|ours| constant_time_eq(ours.expose(), theirs.expose()))
        })
    }

    pub(super) fn current(&self) -> (u32, &SecretBytes) {
        // It is there: every constructor sees to it.
        let newest = &self.versions[self.versions.len() - 1];
        (self.current, self.get(self.current).unwrap_or(&newest.1))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &SecretBytes)> {
        self.versions.iter().map(|(version, key)| (*version, key))
    }
}

fn new_key(entropy: &mut Entropy) -> KmsResult<SecretBytes> {
    let mut key = SecretBytes::zeroed(BACKING_KEY_LENGTH);
    entropy.fill(key.expose_mut())?;
    Ok(key)
}

impl Root {
    /// What a record is sealed under.
    pub(super) fn sealing_key(&self) -> SealingKey<'_> {
        let (version, material) = self.content.store_keys.current();
        SealingKey {
            id: &self.content.store_id,
            version,
            material,
        }
    }
}

impl Vault {
    /// Adds a version of the store key, and seals every record anew under it;
    /// says how many were.
    ///
    /// After an error it may have been added: [`reseal`](Self::reseal) goes on.
    pub(in crate::kms) async fn rotate_store_key(&self) -> KmsResult<u64> {
        self.add_store_key().await?;
        self.reseal().await
    }

    pub(super) async fn add_store_key(&self) -> KmsResult<()> {
        for _ in 0..MAX_ATTEMPTS {
            self.reload().await?;
            let root = self.root();
            let mut entropy = Entropy::draw(self.backend.random(), BACKING_KEY_LENGTH)?;
            let store_keys = root.content.store_keys.with_new(&mut entropy)?;
            let content = root.content.next(store_keys)?;
            let (key, unlocked) = (root.key.clone(), root.unlocked.clone());
            match self.write_root(&root, content, key, unlocked).await {
                Err(error) if error.is_conflict() => {}
                other => return other,
            }
        }
        Err(busy(ROOT))
    }

    /// Seals anew every record that is not under the newest version of the
    /// store key; says how many were. What is sealed, and its generation, stay
    /// as they are. A record that somebody changes meanwhile is left to a next
    /// time, unless they have done it.
    ///
    /// # Errors
    /// A record that does not open is left out, and named by the error after
    /// all others are done. Any other error ends it; what is done is done.
    pub(in crate::kms) async fn reseal(&self) -> KmsResult<u64> {
        self.reload().await?;
        let (mut resealed, mut problem) = (0, None);
        for name in &self.names("").await? {
            match self.reseal_one(name).await {
                Ok(done) => resealed += u64::from(done),
                Err(error) if concerns_one_record(&error, name) => {
                    problem.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        problem.map_or(Ok(resealed), Err)
    }

    async fn reseal_one(&self, name: &str) -> KmsResult<bool> {
        let Some(loaded) = self.load(name).await? else {
            return Ok(false);
        };
        let root = self.root();
        let key = root.sealing_key();
        if loaded.store_key_version >= key.version {
            return Ok(false);
        }
        let mut entropy = Entropy::draw(self.backend.random(), 32)?;
        let (plain, generation) = (&loaded.plain, loaded.stamp.generation);
        let blob = seal_record(
            &self.backend,
            &mut entropy,
            key,
            name,
            generation,
            &plain.birth,
            plain.payload(),
        )?;
        let expected = Expected::Version(&loaded.stamp.version);
        match self.put(name, &blob, expected, generation).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(error),
        }
    }
}
