//! Several providers as one (framework/multi-keyring.md).

use std::fmt;
use std::sync::Arc;

use super::{
    GenerateDataKey, GeneratedDataKey, KeyProvider, ProviderError, ProviderErrorKind,
    ProviderFuture, ProviderIdentity, ProviderOperation, UnwrapDataKey, UnwrapFailures,
    UnwrappedDataKey, WrapDataKey,
};
use crate::message::EncryptedDataKey;

/// One provider generates the data key, and others wrap it too, so that each
/// of them alone can open the message.
///
/// Encrypting needs all of them. Decrypting takes the first that can: the
/// generator is asked first, then the others in their order; where none can,
/// the error lists the causes for each encrypted data key.
pub struct MultiProvider {
    generator: Option<Arc<dyn KeyProvider>>,
    others: Vec<Arc<dyn KeyProvider>>,
    identity: ProviderIdentity,
}

impl MultiProvider {
    /// A provider that generates with this one.
    pub fn new(generator: impl KeyProvider + 'static) -> Self {
        Self::build(Some(Arc::new(generator)), Vec::new())
    }

    /// A provider that only decrypts, with those that are added.
    pub fn decrypt_only() -> Self {
        Self::build(None, Vec::new())
    }

    /// Adds one that wraps and unwraps.
    #[must_use]
    pub fn with(mut self, provider: impl KeyProvider + 'static) -> Self {
        self.others.push(Arc::new(provider));
        Self::build(self.generator, self.others)
    }

    fn build(generator: Option<Arc<dyn KeyProvider>>, others: Vec<Arc<dyn KeyProvider>>) -> Self {
        let identities: Vec<_> = others.iter().map(|provider| provider.identity()).collect();
        let generating = generator.as_ref().map(|provider| provider.identity());
        let parts: Vec<&[u8]> =
            std::iter::once(generating.as_ref().map_or(&[][..], |g| g.as_bytes()))
                .chain(identities.iter().map(ProviderIdentity::as_bytes))
                .collect();
        let identity = ProviderIdentity::new("multi", &parts);
        MultiProvider {
            generator,
            others,
            identity,
        }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<dyn KeyProvider>> {
        self.generator.iter().chain(&self.others)
    }
}

/// One that wraps nothing could not open the message later, and nobody would
/// know until then.
fn wrapped_by(
    provider: &dyn KeyProvider,
    operation: ProviderOperation,
    edks: &[EncryptedDataKey],
) -> Result<(), ProviderError> {
    if edks.is_empty() {
        let kind = ProviderErrorKind::InvalidResponse;
        return Err(
            ProviderError::new(operation, kind, provider.identity().label())
                .with_source("it gave no encrypted data key"),
        );
    }
    Ok(())
}

impl KeyProvider for MultiProvider {
    fn identity(&self) -> ProviderIdentity {
        self.identity.clone()
    }

    fn generate_data_key<'a>(
        &'a self,
        mut request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        Box::pin(async move {
            let Some(generator) = &self.generator else {
                let (operation, kind) =
                    (ProviderOperation::Generate, ProviderErrorKind::Unsupported);
                return Err(ProviderError::new(operation, kind, self.identity.label())
                    .with_source("no generator was given"));
            };
            let mut generated = generator.generate_data_key(request.reborrow()).await?;
            wrapped_by(
                generator,
                ProviderOperation::Generate,
                &generated.encrypted_data_keys,
            )?;
            for provider in &self.others {
                let wrapped = provider
                    .wrap_data_key(request.wrap(&generated.data_key))
                    .await?;
                wrapped_by(provider, ProviderOperation::Wrap, &wrapped)?;
                generated.encrypted_data_keys.extend(wrapped);
            }
            Ok(generated)
        })
    }

    fn wrap_data_key<'a>(
        &'a self,
        mut request: WrapDataKey<'a>,
    ) -> ProviderFuture<'a, Vec<EncryptedDataKey>> {
        Box::pin(async move {
            let mut edks = Vec::new();
            for provider in self.all() {
                let wrapped = provider.wrap_data_key(request.reborrow()).await?;
                wrapped_by(provider, ProviderOperation::Wrap, &wrapped)?;
                edks.extend(wrapped);
            }
            Ok(edks)
        })
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        Box::pin(async move {
            let mut failures = UnwrapFailures::new();
            for provider in self.all() {
                match provider.unwrap_data_key(request).await {
                    Ok(unwrapped) => return Ok(unwrapped),
                    Err(theirs) => failures.merge(theirs),
                }
            }
            Err(failures)
        })
    }
}

impl fmt::Debug for MultiProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.all().map(|provider| provider.identity()))
            .finish()
    }
}
