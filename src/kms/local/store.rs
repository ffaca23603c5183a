//! The store as a whole: its keys' keys, and backups.

use super::LocalKms;
use super::usage::is_usage;
use crate::crypto::CryptoBackend;
use crate::kms::alias::{self, AliasRecord};
use crate::kms::error::KmsResult;
use crate::kms::key::{KeyEntry, KeyRecord, MaterialId};
use crate::kms::state::Operation;
use crate::kms::vault::{ImportReport, Kinds, RootKey, decode_payload};

impl LocalKms {
    /// Seals the store under another root. One record is rewritten, whatever
    /// the number of keys.
    ///
    /// Whoever has had a root and can write to the store can make records that it
    /// takes for its own, now and later. Where a root has leaked to such a
    /// person, import a backup into a new store under a new root.
    ///
    /// Handles of other processes that are open go on working with what they
    /// have; what they would need of the root they can no longer read, so open
    /// them again. An old copy of the store still opens with the old root: if
    /// that is known to somebody,
    /// [rotate the store key](Self::rotate_store_key) too, and destroy the
    /// copies.
    ///
    /// # Errors
    /// [`KmsError::WrongRoot`](crate::kms::KmsError::WrongRoot) if somebody
    /// else has changed it meanwhile, to another one than this;
    /// [`KmsError::Root`](crate::kms::KmsError::Root); the store's errors.
    pub async fn change_root(&self, root: RootKey) -> KmsResult<()> {
        let call = self.call(Operation::ChangeRoot, "");
        self.0.pass_root(call, self.0.vault.change_root(root)).await
    }

    /// Makes a new version of the store key, and seals every record under it.
    /// Gives the number of records that were. When it is interrupted, what was
    /// not sealed again still opens, and [`reseal`](Self::reseal) goes on.
    ///
    /// The old versions stay in the root record, because another process may
    /// still write under them: whoever has the root can read what was sealed
    /// under any.
    ///
    /// # Errors
    /// As [`change_root`](Self::change_root).
    pub async fn rotate_store_key(&self) -> KmsResult<u64> {
        let call = self.call(Operation::RotateStoreKey, "");
        self.0
            .pass_root(call, self.0.vault.rotate_store_key())
            .await
    }

    /// Seals the records under the newest store key that are not yet: goes on
    /// where [`rotate_store_key`](Self::rotate_store_key) was interrupted. Gives
    /// the number of records that were sealed again.
    ///
    /// # Errors
    /// [`KmsError::Record`](crate::kms::KmsError::Record) for one that cannot
    /// be read, once all others are done; the store's errors.
    pub async fn reseal(&self) -> KmsResult<u64> {
        let call = self.call(Operation::RotateStoreKey, "");
        self.0.pass_root(call, self.0.vault.reseal()).await
    }

    /// A backup: everything in the store, in one sealed file, under a key or a
    /// passphrase of its own. What this process has counted is written first.
    ///
    /// # Errors
    /// [`KmsError::Record`](crate::kms::KmsError::Record) if one cannot be
    /// read: a backup is whole, or there is none. The store's errors.
    pub async fn export(&self, under: &RootKey) -> KmsResult<Vec<u8>> {
        let export = async {
            self.0.flush_all_usage().await?;
            let kinds = RecordKinds(&self.0.backend);
            self.0.vault.export(under, &kinds).await
        };
        let call = self.call(Operation::ExportStore, "");
        self.0.pass_root(call, export).await
    }

    /// Restores a backup, into an empty store or into one that is in use. Of
    /// each record the later generation wins, so an old backup takes nothing
    /// back: what was rotated since stays rotated. What was deleted, here or
    /// there, stays deleted. The same backup again changes nothing.
    ///
    /// Generations count the changes of a record. Of two copies of a store that
    /// both went on, that says which was changed more often, not which is
    /// right. So a key that lacks a backing key that is here, an alias that was
    /// made apart, and a record that was changed as often in both are reported
    /// as diverged, and stay as they are here.
    ///
    /// # Errors
    /// [`KmsError::Backup`](crate::kms::KmsError::Backup),
    /// [`KmsError::WrongRoot`](crate::kms::KmsError::WrongRoot) before anything
    /// was written; the store's errors, after which the same call goes on;
    /// [`KmsError::Record`](crate::kms::KmsError::Record) of one that a newer
    /// version wrote, after all others were restored.
    pub async fn import(&self, backup: &[u8], under: &RootKey) -> KmsResult<ImportReport> {
        let kinds = RecordKinds(&self.0.backend);
        let import = async {
            let imported = self.0.vault.import(backup, under, &kinds).await;
            // Also after an error some records may be others.
            self.0.keys.forget_all();
            self.0.aliases.forget_all();
            self.0.listeners.tell(None);
            imported
        };
        let call = self.call(Operation::ImportStore, "");
        self.0.pass_root(call, import).await
    }
}

/// What the records of a KMS hold.
struct RecordKinds<'a>(&'a CryptoBackend);

impl Kinds for RecordKinds<'_> {
    fn is_sound(&self, name: &str, payload: &[u8]) -> bool {
        let (kind, rest) = name.split_once('/').unwrap_or_default();
        match kind {
            "keys" => match decode_payload(payload) {
                Ok(KeyEntry::Live(record)) => record.id == rest && record.check(),
                Ok(KeyEntry::Deleted(_)) => alias::is_id(rest),
                Err(_) => false,
            },
            "aliases" => decode_payload::<AliasRecord>(payload)
                .is_ok_and(|record| alias::record_name(self.0, &record.name) == name),
            "usage" => alias::is_id(rest) && is_usage(payload),
            "imports" => alias::is_id(rest),
            _ => false,
        }
    }

    fn is_final(&self, name: &str, payload: &[u8]) -> bool {
        name.starts_with("keys/") && matches!(decode_payload(payload), Ok(KeyEntry::Deleted(_)))
    }

    /// A key keeps its backing keys, and an alias that was made anew is another.
    fn keeps(&self, name: &str, mine: &[u8], theirs: &[u8]) -> bool {
        if name.starts_with("keys/") {
            let (Ok(KeyEntry::Live(mine)), Ok(KeyEntry::Live(theirs))) =
                (decode_payload(mine), decode_payload(theirs))
            else {
                return true;
            };
            let ids = |record: &KeyRecord| -> Vec<MaterialId> {
                record
                    .backing_keys
                    .iter()
                    .map(|key| key.material_id)
                    .collect()
            };
            return ids(&theirs).starts_with(&ids(&mine));
        }
        if name.starts_with("aliases/") {
            let (Ok(mine), Ok(theirs)) = (
                decode_payload::<AliasRecord>(mine),
                decode_payload::<AliasRecord>(theirs),
            ) else {
                return true;
            };
            return mine.created == theirs.created;
        }
        true
    }
}
