//! A key of the embedded KMS as a key provider.
//!
//! An encrypted data key has the provider id `waxseal-local-kms`, as its key
//! info the key's ARN, and as its ciphertext what the KMS seals (`kms/seal.rs`),
//! which names the key again and the version of its backing key.

use super::{
    GenerateDataKey, GeneratedDataKey, KeyProvider, ProviderError, ProviderErrorKind,
    ProviderFuture, ProviderIdentity, ProviderOperation, UnwrapDataKey, UnwrapFailures,
    UnwrappedDataKey, WrapDataKey,
};
use crate::crypto::SecretBytes;
use crate::kms::{KmsError, LOCAL_KMS_PROVIDER_ID, LocalKms, Operation, Sealed};
use crate::message::EncryptedDataKey;

/// Wraps data keys under a key of a [`LocalKms`], and unwraps them: see
/// [`LocalKms::provider`].
#[derive(Clone)]
pub struct LocalKmsProvider {
    kms: LocalKms,
    key: String,
    opens_any: bool,
    identity: ProviderIdentity,
}

impl LocalKms {
    /// A key provider over a key, given by id, ARN or alias. What an alias
    /// means is looked up with every data key, so that moving it is enough.
    ///
    /// It unwraps under this key alone, with any of its backing keys; see
    /// [`opening_any_key`](LocalKmsProvider::opening_any_key) for all. Whether
    /// there is such a key is found out when it is used.
    pub fn provider(&self, key: impl Into<String>) -> LocalKmsProvider {
        LocalKmsProvider::new(self.clone(), key.into(), false)
    }
}

impl LocalKmsProvider {
    fn new(kms: LocalKms, key: String, opens_any: bool) -> Self {
        let mut parts: Vec<&[u8]> = vec![
            kms.store_id().as_bytes(),
            key.as_bytes(),
            if opens_any { &[1] } else { &[0] },
        ];
        // A data key that one principal was given is not another's.
        parts.extend(kms.caller_parts());
        let identity = ProviderIdentity::new(format!("local-kms '{key}'"), &parts);
        LocalKmsProvider {
            kms,
            key,
            opens_any,
            identity,
        }
    }

    /// The same, unwrapping under every key of the KMS that the message names,
    /// so that messages of before an alias was moved still open. Without it, a
    /// message under another key of the same KMS is refused, which is safer
    /// where several tenants' keys are in one KMS.
    #[must_use]
    pub fn opening_any_key(self) -> Self {
        Self::new(self.kms, self.key, true)
    }

    fn error(&self, operation: ProviderOperation, key: &str, error: KmsError) -> ProviderError {
        ProviderError::new(operation, kind(&error), self.identity.label())
            .with_key(key)
            .with_source(error)
    }

    /// Seals a data key, as this call of the KMS's.
    async fn seal(
        &self,
        operation: Operation,
        mut request: WrapDataKey<'_>,
    ) -> Result<EncryptedDataKey, KmsError> {
        let call = self
            .kms
            .call(operation, &self.key)
            .with_context(request.context());
        let (bytes, data_key) = (request.context_bytes(), request.data_key());
        let (key, sealed) = self
            .kms
            .inner()
            .seal(call, request.entropy(), bytes, data_key.expose())
            .await?;
        let arn = self.kms.inner().arn_of(key.id());
        EncryptedDataKey::new(LOCAL_KMS_PROVIDER_ID, arn, sealed.value)
            .ok_or(KmsError::InvalidCiphertext)
    }

    async fn unwrap(
        &self,
        edk: &EncryptedDataKey,
        request: &UnwrapDataKey<'_>,
    ) -> Result<(SecretBytes, String, u32), ProviderError> {
        let operation = ProviderOperation::Unwrap;
        let error =
            |kind| ProviderError::new(operation, kind, self.identity.label()).with_key(&self.key);
        if edk.provider_id() != LOCAL_KMS_PROVIDER_ID {
            return Err(error(ProviderErrorKind::NotConfigured));
        }
        let sealed = Sealed::parse(edk.ciphertext())
            .filter(|sealed| sealed.plaintext_length() == request.suite().data_key_length())
            .ok_or_else(|| error(ProviderErrorKind::InvalidCiphertext))?;
        let named = self.kms.inner().arn_of(sealed.key_id);
        if !self.kms.inner().is_arn_of(edk.key_info(), sealed.key_id) {
            return Err(error(ProviderErrorKind::InvalidCiphertext));
        }
        if !self.opens_any {
            // Its state is for those to know who may use it: others are told of it
            // when it is used.
            let own = match self.kms.inner().locate(&self.key).await {
                Ok(own) => Ok(own),
                Err(error) => {
                    let call = self.kms.call(Operation::Decrypt, &self.key);
                    let call = call.with_context(request.context());
                    self.kms.inner().settle(call, Err(error)).await
                }
            };
            let own = own.map_err(|error| self.error(operation, &self.key, error))?;
            if own.id() != sealed.key_id {
                if self.kms.is_root() {
                    let living = self.kms.inner().check_living(&own);
                    living.map_err(|error| self.error(operation, &self.key, error))?;
                }
                return Err(error(ProviderErrorKind::NotConfigured));
            }
        }
        let call = self
            .kms
            .call(Operation::Decrypt, sealed.key_id)
            .with_context(request.context());
        let opened = self
            .kms
            .inner()
            .open(call, &sealed, request.context_bytes())
            .await;
        let (_, opened) = opened.map_err(|error| self.error(operation, &named, error))?;
        Ok((opened.value, named, opened.version))
    }
}

/// What a KMS's error is to who asked for a data key.
fn kind(error: &KmsError) -> ProviderErrorKind {
    match error {
        KmsError::NotFound { .. } => ProviderErrorKind::NotFound,
        KmsError::Disabled { .. }
        | KmsError::InvalidState { .. }
        | KmsError::VersionCutOff { .. } => ProviderErrorKind::KeyDisabled,
        KmsError::AccessDenied { .. } => ProviderErrorKind::AccessDenied,
        KmsError::Throttled { retry_after } => ProviderErrorKind::Throttled {
            retry_after: Some(*retry_after),
        },
        KmsError::InvalidCiphertext => ProviderErrorKind::InvalidCiphertext,
        KmsError::Random(_) => ProviderErrorKind::Random,
        error if error.is_retryable() => ProviderErrorKind::Unavailable,
        _ => ProviderErrorKind::Other,
    }
}

impl KeyProvider for LocalKmsProvider {
    fn identity(&self) -> ProviderIdentity {
        self.identity.clone()
    }

    fn generate_data_key<'a>(
        &'a self,
        mut request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        Box::pin(async move {
            let operation = ProviderOperation::Generate;
            let data_key = request.random_data_key();
            let data_key = data_key
                .map_err(|error| ProviderError::random(operation, self.identity.label(), error))?;
            let sealed = self.seal(Operation::GenerateDataKey, request.wrap(&data_key));
            let edk = sealed
                .await
                .map_err(|error| self.error(operation, &self.key, error))?;
            Ok(GeneratedDataKey::new(data_key, vec![edk]))
        })
    }

    fn wrap_data_key<'a>(
        &'a self,
        request: WrapDataKey<'a>,
    ) -> ProviderFuture<'a, Vec<EncryptedDataKey>> {
        Box::pin(async move {
            let sealed = self.seal(Operation::Encrypt, request).await;
            let edk =
                sealed.map_err(|error| self.error(ProviderOperation::Wrap, &self.key, error))?;
            Ok(vec![edk])
        })
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        Box::pin(async move {
            let mut failures = UnwrapFailures::new();
            for (index, edk) in request.encrypted_data_keys().iter().enumerate() {
                match self.unwrap(edk, &request).await {
                    Ok((data_key, key, version)) => {
                        let identity = self.identity.clone();
                        let mut unwrapped = UnwrappedDataKey::new(data_key, index, identity, key);
                        unwrapped.key_version = Some(version.to_string());
                        return Ok(unwrapped);
                    }
                    Err(error) => failures.push(index, edk, error),
                }
            }
            Err(failures)
        })
    }
}

impl std::fmt::Debug for LocalKmsProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalKmsProvider")
            .field("key", &self.key)
            .field("opens_any", &self.opens_any)
            .finish_non_exhaustive()
    }
}
