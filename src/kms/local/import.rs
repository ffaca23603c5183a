//! Keys with imported material.

use std::time::SystemTime;

use super::LocalKms;
use super::gate::Change;
use crate::crypto::SecretBytes;
use crate::kms::error::KmsResult;
use crate::kms::key::Material;
use crate::kms::state::Operation;
use crate::kms::time::Timestamp;

/// What imported material is to the key (AWS KMS: `ImportType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportType {
    /// Material that the key has or had: it comes back, or its expiry changes.
    Existing,
    /// New material: current at once where there was none before; else it
    /// becomes current with the next [`rotate`](LocalKms::rotate), in the place
    /// of other new material that still waited for it.
    New,
}

/// How material is imported.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct ImportOptions {
    import_type: Option<ImportType>,
    expires: Option<SystemTime>,
}

impl ImportOptions {
    /// Material that does not expire: new where the key never had any, else
    /// some that it has or had.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the material is to the key.
    pub fn import_type(mut self, import_type: ImportType) -> Self {
        self.import_type = Some(import_type);
        self
    }

    /// Until when it may be used. The key is
    /// [`PendingImport`](crate::kms::KeyState::PendingImport) then.
    pub fn expires(mut self, expires: SystemTime) -> Self {
        self.expires = Some(expires);
        self
    }
}

/// The record of what was given out for an import of wrapped material.
pub(super) fn parameters_name(id: &str) -> String {
    format!("imports/{id}")
}

impl LocalKms {
    /// Imports material of 32 bytes into a key that was made for it: see
    /// [`CreateKey::external`](super::CreateKey::external). A key whose
    /// material is whole again is enabled.
    ///
    /// Whoever imports knows the material: it protects from others only.
    ///
    /// # Errors
    /// [`KmsError::InvalidArgument`](crate::kms::KmsError::InvalidArgument) for
    /// another length, an expiry in the past, and material as new that the key
    /// has; [`KmsError::IncorrectKeyMaterial`](crate::kms::KmsError) for
    /// material as existing that it never had;
    /// [`NotFound`](crate::kms::KmsError::NotFound),
    /// [`InvalidState`](crate::kms::KmsError::InvalidState),
    /// [`Unsupported`](crate::kms::KmsError::Unsupported) for a key whose
    /// material is the KMS's own; the store's errors.
    pub async fn import_key_material(
        &self,
        key: &str,
        material: &SecretBytes,
        options: ImportOptions,
    ) -> KmsResult<()> {
        let expires = options.expires.map(Timestamp::from);
        let call = self.call(Operation::ImportKeyMaterial, key);
        self.0
            .change_key(call, |record, now| {
                // A copy for each attempt.
                let material = Material::new(SecretBytes::copy_from(material.expose()))?;
                let is_new = match options.import_type {
                    Some(import_type) => import_type == ImportType::New,
                    None => record.backing_keys.is_empty(),
                };
                record.import(&self.0.backend, material, is_new, expires, now)?;
                Ok(Change::Write(()))
            })
            .await
    }

    /// Deletes imported material: that of this id (as
    /// [`BackingKeyInfo::material_id`](crate::kms::BackingKeyInfo) has it), or
    /// all. The key is [`PendingImport`](crate::kms::KeyState::PendingImport)
    /// then, until the same material is imported again; one that is going to be
    /// deleted stays so. Material that still waited for a rotation is forgotten,
    /// and changes no state.
    ///
    /// # Errors
    /// [`NotFound`](crate::kms::KmsError::NotFound), also of the material;
    /// [`InvalidState`](crate::kms::KmsError::InvalidState),
    /// [`Unsupported`](crate::kms::KmsError::Unsupported); the store's errors.
    pub async fn delete_imported_key_material(
        &self,
        key: &str,
        material_id: Option<&str>,
    ) -> KmsResult<()> {
        let call = self.call(Operation::DeleteImportedKeyMaterial, key);
        self.0
            .change_key(call, |record, _| {
                Ok(match record.delete_material(material_id)? {
                    true => Change::Write(()),
                    false => Change::Keep(()),
                })
            })
            .await
    }
}
