//! The store as a whole: its keys' keys, and backups.

use super::LocalKms;
use crate::kms::error::KmsResult;
use crate::kms::vault::{ImportReport, RootKey};

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
    /// else has changed it meanwhile;
    /// [`KmsError::Root`](crate::kms::KmsError::Root); the store's errors.
    pub async fn change_root(&self, root: RootKey) -> KmsResult<()> {
        self.0.vault.change_root(root).await
    }

    /// Makes a new version of the store key, and seals every record under it.
    /// Gives the number of records that were. When it is interrupted, what was
    /// not sealed again still opens, and the next call goes on.
    ///
    /// # Errors
    /// As [`change_root`](Self::change_root).
    pub async fn rotate_store_key(&self) -> KmsResult<u64> {
        self.0.vault.rotate_store_key().await
    }

    /// A backup: everything in the store, in one sealed file, under a key or a
    /// passphrase of its own. What this process has counted is written first.
    ///
    /// # Errors
    /// [`KmsError::Record`](crate::kms::KmsError::Record) if one cannot be
    /// read: a backup is whole, or there is none. The store's errors.
    pub async fn export(&self, under: &RootKey) -> KmsResult<Vec<u8>> {
        self.0.flush_all_usage().await?;
        self.0.vault.export(under).await
    }

    /// Restores a backup, into an empty store or into one that is in use. Of
    /// each record the later generation wins, so an old backup takes nothing
    /// back: what was rotated since stays rotated, and what was deleted stays
    /// deleted. The same backup again changes nothing.
    ///
    /// # Errors
    /// [`KmsError::Backup`](crate::kms::KmsError::Backup),
    /// [`KmsError::WrongRoot`](crate::kms::KmsError::WrongRoot) before anything
    /// was written; the store's errors, after which the same call goes on;
    /// [`KmsError::Record`](crate::kms::KmsError::Record) of one that a newer
    /// version wrote, after all others were restored.
    pub async fn import(&self, backup: &[u8], under: &RootKey) -> KmsResult<ImportReport> {
        let imported = self.0.vault.import(backup, under).await;
        // After an error, too: some records may have been written.
        self.0.keys.begin_epoch();
        self.0.aliases.begin_epoch();
        imported
    }
}
