//! The default materials manager: asks a provider for each message.
//!
//! Specification: framework/default-cmm.md, and
//! framework/required-encryption-context-cmm.md for required keys.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64ct::{Base64, Encoding as _};

use super::{
    DecryptionMaterials, DecryptionRequest, EncryptionMaterials, EncryptionParts, EncryptionRequest,
};
use crate::context::{EncryptionContext, PUBLIC_KEY};
use crate::crypto::{CryptoBackend, SecretBytes, VerifyingKey};
use crate::error::{Error, FormatError, MaterialsError, Result};
use crate::provider::{BoundContext, GenerateDataKey, KeyProvider, UnwrapDataKey};
use crate::suite::AlgorithmSuite;

pub(crate) struct DefaultMaterialsManager {
    provider: Arc<dyn KeyProvider>,
    backend: CryptoBackend,
}

impl DefaultMaterialsManager {
    pub(crate) fn new(provider: Arc<dyn KeyProvider>, backend: CryptoBackend) -> Self {
        DefaultMaterialsManager { provider, backend }
    }

    pub(super) async fn encryption_materials(
        &self,
        request: EncryptionRequest<'_>,
    ) -> Result<EncryptionMaterials> {
        let suite = request.suite;
        check_encryption_context(request.context, request.required)?;
        // A signed message carries its public key in the context, so that the
        // wrap binds it.
        let with_public_key;
        let (context, signing_key) = match suite.signature() {
            Some(curve) => {
                let signing_key = self.backend.signing_key(curve)?;
                let mut context = request.context.clone();
                context.insert(PUBLIC_KEY, Base64::encode_string(&signing_key.public_key()));
                with_public_key = context;
                (&with_public_key, Some(signing_key))
            }
            None => (request.context, None),
        };
        let bytes = context.canonical()?;
        let bound = BoundContext { context, bytes };
        let generate = GenerateDataKey::new(suite, bound, request.entropy);
        let generated = self.provider.generate_data_key(generate).await?;
        check_data_key(suite, &generated.data_key)?;
        if generated.encrypted_data_keys.is_empty() {
            return Err(Error::InvalidMaterials(MaterialsError::NoEncryptedDataKeys));
        }
        let is_required = |key: &str| request.required.contains(key);
        let (stored_context, bound_context) = if request.required.is_empty() {
            (bytes.to_vec(), Vec::new())
        } else {
            (
                context.filtered(&|key| !is_required(key)).to_bytes()?,
                context.filtered(&is_required).to_bytes()?,
            )
        };
        Ok(EncryptionMaterials::new(EncryptionParts {
            suite,
            stored_context,
            bound_context,
            edks: generated.encrypted_data_keys,
            data_key: generated.data_key,
            signing_key,
        }))
    }

    pub(super) async fn decryption_materials(
        &self,
        request: DecryptionRequest<'_>,
    ) -> Result<DecryptionMaterials> {
        let suite = request.suite;
        let bound_only = bound_only(&request)?;
        let merged;
        let context = if bound_only.is_empty() {
            request.stored
        } else {
            let mut all = request.stored.clone();
            all.extend(&bound_only);
            merged = all;
            &merged
        };
        let verifying_key = self.verifying_key(suite, context)?;
        let bytes = context.canonical()?;
        let bound = BoundContext { context, bytes };
        let unwrap = UnwrapDataKey::new(suite, bound, request.edks);
        let unwrapped = self.provider.unwrap_data_key(unwrap).await?;
        check_data_key(suite, &unwrapped.data_key)?;
        if unwrapped.index >= request.edks.len() {
            return Err(Error::InvalidMaterials(MaterialsError::Index));
        }
        Ok(DecryptionMaterials {
            suite,
            bound_context: bound_only,
            data_key: Arc::new(unwrapped.data_key),
            verifying_key,
            index: unwrapped.index,
            provider: unwrapped.provider,
            key: unwrapped.key,
            key_version: unwrapped.key_version,
        })
    }

    /// A data key, and a nonce to wrap it with.
    pub(super) fn entropy(&self, suite: AlgorithmSuite) -> usize {
        suite.data_key_length() + 12
    }

    /// A signed message has its public key in the context, and no other has.
    fn verifying_key(
        &self,
        suite: AlgorithmSuite,
        context: &EncryptionContext,
    ) -> Result<Option<Arc<dyn VerifyingKey>>> {
        match (suite.signature(), context.get(PUBLIC_KEY)) {
            (None, None) => Ok(None),
            (Some(curve), Some(encoded)) => {
                let point = Base64::decode_vec(encoded).map_err(|_| FormatError::PublicKey)?;
                let key = self.backend.verifying_key(curve, &point);
                Ok(Some(key.map_err(|_| FormatError::PublicKey)?))
            }
            _ => Err(FormatError::PublicKey.into()),
        }
    }
}

/// What a caller's context must be, before anything is asked of anybody.
pub(crate) fn check_encryption_context(
    context: &EncryptionContext,
    required: &BTreeSet<String>,
) -> Result<()> {
    context.check_unreserved()?;
    match required.iter().find(|key| !context.contains_key(key)) {
        Some(key) => Err(Error::RequiredContextKeyMissing { key: key.clone() }),
        None => Ok(()),
    }
}

/// Holds what the caller expects against what the message stores, and gives
/// the pairs that the message is bound to without storing them.
pub(crate) fn bound_only(request: &DecryptionRequest<'_>) -> Result<EncryptionContext> {
    let (stored, expected) = (request.stored, request.expected);
    for key in request.required {
        if stored.contains_key(key) {
            return Err(Error::RequiredContextKeyInMessage { key: key.clone() });
        }
        if !expected.contains_key(key) {
            return Err(Error::RequiredContextKeyMissing { key: key.clone() });
        }
    }
    let mut bound_only = EncryptionContext::new();
    // The usual case: each required key would be in both, and was refused.
    if stored == expected {
        return Ok(bound_only);
    }
    for (key, value) in expected {
        match stored.get(key) {
            Some(found) if found == value => {}
            Some(_) => {
                return Err(Error::ContextMismatch {
                    key: key.to_owned(),
                });
            }
            None if request.required.contains(key) => {
                bound_only.insert(key, value);
            }
            None => {
                return Err(Error::ContextKeyNotInMessage {
                    key: key.to_owned(),
                });
            }
        }
    }
    Ok(bound_only)
}

fn check_data_key(suite: AlgorithmSuite, data_key: &SecretBytes) -> Result<()> {
    let (expected, found) = (suite.data_key_length(), data_key.len());
    if found == expected {
        Ok(())
    } else {
        Err(Error::InvalidMaterials(MaterialsError::DataKeyLength {
            expected,
            found,
        }))
    }
}
