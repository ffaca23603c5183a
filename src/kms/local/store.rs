//! The store as a whole: its keys' keys, and backups.

use super::{Call, LocalKms};
use crate::kms::error::KmsResult;
use crate::kms::key::KeyEntry;
use crate::kms::state::Operation;
use crate::kms::vault::{ImportReport, RootKey, decode_payload};

impl LocalKms {
    /// Seals the store under another root. One record is rewritten, whatever
    /// the number of keys.
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
        let call = Call::new(Operation::ChangeRoot, "");
        self.0.pass(call, self.0.vault.change_root(root)).await
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
        let call = Call::new(Operation::RotateStoreKey, "");
        self.0.pass(call, self.0.vault.rotate_store_key()).await
    }

    /// Seals the records under the newest store key that are not yet: goes on
    /// where [`rotate_store_key`](Self::rotate_store_key) was interrupted. Gives
    /// the number of records that were sealed again.
    ///
    /// # Errors
    /// [`KmsError::Record`](crate::kms::KmsError::Record) for one that cannot
    /// be read, once all others are done; the store's errors.
    pub async fn reseal(&self) -> KmsResult<u64> {
        let call = Call::new(Operation::RotateStoreKey, "");
        self.0.pass(call, self.0.vault.reseal()).await
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
            self.0.vault.export(under).await
        };
        let call = Call::new(Operation::ExportStore, "");
        self.0.pass(call, export).await
    }

    /// Restores a backup, into an empty store or into one that is in use. Of
    /// each record the later generation wins, so an old backup takes nothing
    /// back: what was rotated since stays rotated. What was deleted, here or
    /// there, stays deleted. The same backup again changes nothing.
    ///
    /// Generations count the changes of a record. Of two copies of a store that
    /// both went on, that says which was changed more often, not which is
    /// right; a record that was changed as often in both is reported as
    /// diverged, and stays as it is here.
    ///
    /// # Errors
    /// [`KmsError::Backup`](crate::kms::KmsError::Backup),
    /// [`KmsError::WrongRoot`](crate::kms::KmsError::WrongRoot) before anything
    /// was written; the store's errors, after which the same call goes on;
    /// [`KmsError::Record`](crate::kms::KmsError::Record) of one that a newer
    /// version wrote, after all others were restored.
    pub async fn import(&self, backup: &[u8], under: &RootKey) -> KmsResult<ImportReport> {
        let import = async {
            let imported = self.0.vault.import(backup, under, is_tombstone).await;
            // Also after an error some records may be others.
            self.0.keys.forget_all();
            self.0.aliases.forget_all();
            imported
        };
        let call = Call::new(Operation::ImportStore, "");
        self.0.pass(call, import).await
    }
}

/// Whether a record of a backup says that a key was deleted.
fn is_tombstone(name: &str, payload: &[u8]) -> bool {
    name.starts_with("keys/") && matches!(decode_payload(payload), Ok(KeyEntry::Deleted(_)))
}
