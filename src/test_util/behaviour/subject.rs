//! The provider that is checked, and asking it.

use std::sync::Arc;

use super::CheckOptions;
use crate::context::EncryptionContext;
use crate::crypto::{CryptoBackend, Entropy, SecretBytes, SecureRandom};
use crate::message::EncryptedDataKey;
use crate::provider::{
    BoundContext, GenerateDataKey, GeneratedDataKey, KeyProvider, ProviderError, ProviderErrorKind,
    ProviderOperation, UnwrapDataKey, UnwrapFailures, UnwrappedDataKey,
};
use crate::suite::AlgorithmSuite;

/// What a check comes to: fine, not checked for this reason, or what is wrong.
pub(super) type Outcome = Result<Option<String>, String>;

/// Fails a check.
macro_rules! fail {
    ($($text:tt)*) => {
        return Err(format!($($text)*))
    };
}
pub(super) use fail;

/// Fails a check unless something holds.
macro_rules! ensure {
    ($holds:expr, $($text:tt)*) => {
        if !$holds {
            return Err(format!($($text)*));
        }
    };
}
pub(super) use ensure;

pub(super) struct Subject<'a> {
    pub(super) provider: &'a Arc<dyn KeyProvider>,
    pub(super) options: &'a CheckOptions,
}

/// A data key that was generated, with what it was generated for.
pub(super) struct Sealed {
    pub(super) suite: AlgorithmSuite,
    pub(super) context: EncryptionContext,
    pub(super) data_key: SecretBytes,
    pub(super) edks: Vec<EncryptedDataKey>,
}

impl Sealed {
    pub(super) fn holds(&self, data_key: &SecretBytes) -> bool {
        self.data_key.expose() == data_key.expose()
    }
}

/// The context of checks that are not about contexts.
pub(super) fn some_context() -> EncryptionContext {
    EncryptionContext::from([("purpose", "behaviour suite"), ("tenant", "7")])
}

impl<'a> Subject<'a> {
    pub(super) fn new(provider: &'a Arc<dyn KeyProvider>, options: &'a CheckOptions) -> Self {
        Subject { provider, options }
    }

    /// Who generates the data keys that the provider is tried with.
    pub(super) fn generator(&self) -> &'a Arc<dyn KeyProvider> {
        self.options.generator.as_ref().unwrap_or(self.provider)
    }

    /// The suite of checks that are not about suites.
    pub(super) fn suite(&self) -> AlgorithmSuite {
        let (suites, default) = (
            &self.options.suites,
            AlgorithmSuite::Aes256GcmHkdfSha512CommitKey,
        );
        *suites
            .iter()
            .find(|suite| **suite == default)
            .unwrap_or(&suites[0])
    }

    /// One suite for each length of a data key.
    pub(super) fn suite_for_each_length(&self) -> Vec<AlgorithmSuite> {
        let mut suites = vec![self.suite()];
        for suite in &self.options.suites {
            let length = suite.data_key_length();
            if suites.iter().all(|seen| seen.data_key_length() != length) {
                suites.push(*suite);
            }
        }
        suites
    }

    /// A new data key, checked to be one.
    pub(super) async fn seal(
        &self,
        suite: AlgorithmSuite,
        context: &EncryptionContext,
    ) -> Result<Sealed, String> {
        let generated = match generate(&**self.generator(), suite, context).await {
            Ok(generated) => generated,
            Err(error) => fail!("no data key for suite {suite}: {error}"),
        };
        let (found, expected) = (generated.data_key.len(), suite.data_key_length());
        ensure!(
            found == expected,
            "a data key of {found} bytes, where suite {suite} needs {expected}"
        );
        ensure!(
            !generated.encrypted_data_keys.is_empty(),
            "no encrypted data key, for suite {suite}"
        );
        Ok(Sealed {
            suite,
            context: context.clone(),
            data_key: generated.data_key,
            edks: generated.encrypted_data_keys,
        })
    }

    /// A new data key for checks that are about neither suites nor contexts.
    pub(super) async fn seal_any(&self) -> Result<Sealed, String> {
        self.seal(self.suite(), &some_context()).await
    }

    /// Asks to unwrap encrypted data keys as those of this one.
    pub(super) async fn unwrap(
        &self,
        sealed: &Sealed,
        edks: &[EncryptedDataKey],
    ) -> Result<UnwrappedDataKey, UnwrapFailures> {
        unwrap(&**self.provider, sealed.suite, &sealed.context, edks).await
    }

    /// Of its encrypted data keys those that the provider unwraps alone: all,
    /// but where it wraps for others too.
    pub(super) async fn own(&self, sealed: &Sealed) -> Result<Vec<EncryptedDataKey>, String> {
        let mut own = Vec::new();
        for edk in &sealed.edks {
            let alone = std::slice::from_ref(edk);
            match self.unwrap(sealed, alone).await {
                Ok(unwrapped) if sealed.holds(&unwrapped.data_key) => own.push(edk.clone()),
                Ok(_) => fail!("an encrypted data key unwraps to another data key: {edk:?}"),
                Err(failures) => complete(&failures, alone)?,
            }
        }
        ensure!(
            !own.is_empty(),
            "none of its encrypted data keys unwraps alone"
        );
        Ok(own)
    }

    /// The encrypted data keys unwrap to the data key.
    pub(super) async fn opens(
        &self,
        sealed: &Sealed,
        edks: &[EncryptedDataKey],
        what: &str,
    ) -> Result<UnwrappedDataKey, String> {
        let unwrapped = match self.unwrap(sealed, edks).await {
            Ok(unwrapped) => unwrapped,
            Err(failures) => fail!("{what}: it does not unwrap: {}", short(&failures)),
        };
        ensure!(
            unwrapped.data_key.len() == sealed.suite.data_key_length(),
            "{what}: it unwraps to {} bytes, where suite {} needs {}",
            unwrapped.data_key.len(),
            sealed.suite,
            sealed.suite.data_key_length()
        );
        ensure!(
            sealed.holds(&unwrapped.data_key),
            "{what}: it unwraps to another data key"
        );
        ensure!(
            unwrapped.index < edks.len(),
            "{what}: it reports index {} of {} encrypted data keys",
            unwrapped.index,
            edks.len()
        );
        Ok(unwrapped)
    }

    /// None of the encrypted data keys unwraps, and the error is complete.
    pub(super) async fn refuses(
        &self,
        sealed: &Sealed,
        edks: &[EncryptedDataKey],
        what: &str,
    ) -> Result<UnwrapFailures, String> {
        refused(self.unwrap(sealed, edks).await, edks, what)
    }
}

/// None has been unwrapped, and the error is complete.
pub(super) fn refused(
    result: Result<UnwrappedDataKey, UnwrapFailures>,
    edks: &[EncryptedDataKey],
    what: &str,
) -> Result<UnwrapFailures, String> {
    match result {
        Ok(unwrapped) => fail!("{what}: it unwraps (index {})", unwrapped.index),
        Err(failures) => {
            complete(&failures, edks).map_err(|problem| format!("{what}: {problem}"))?;
            Ok(failures)
        }
    }
}

/// There is a failure for each encrypted data key, with at least one cause.
fn complete(failures: &UnwrapFailures, edks: &[EncryptedDataKey]) -> Result<(), String> {
    let indices: Vec<_> = failures.iter().map(|failure| failure.index).collect();
    ensure!(
        indices.iter().copied().eq(0..edks.len()),
        "the error must have one failure for each of the {} encrypted data keys, in their order, \
         and has {indices:?}",
        edks.len()
    );
    for failure in failures.iter() {
        let index = failure.index;
        ensure!(
            !failure.causes.is_empty(),
            "the failure of encrypted data key {index} has no cause"
        );
        for cause in &failure.causes {
            ensure!(
                cause.operation() == ProviderOperation::Unwrap && !cause.provider().is_empty(),
                "a cause of encrypted data key {index} must name its provider and the operation \
                 'unwrap': {cause:?}"
            );
        }
    }
    Ok(())
}

/// What an error says, where it may say the same of thousands.
fn short(failures: &UnwrapFailures) -> String {
    let text = failures.to_string();
    match text.char_indices().nth(600) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// An error that says that the provider does not do this.
pub(super) fn unsupported<T>(
    result: Result<T, ProviderError>,
    operation: ProviderOperation,
    what: &str,
) -> Result<(), String> {
    match result {
        Ok(_) => fail!("{what}: it does what the options say it does not"),
        Err(error) => {
            let expected = (ProviderErrorKind::Unsupported, operation);
            ensure!(
                (error.kind(), error.operation()) == expected,
                "{what}: the error must be {expected:?}: {error:?}"
            );
            Ok(())
        }
    }
}

pub(super) async fn generate(
    provider: &dyn KeyProvider,
    suite: AlgorithmSuite,
    context: &EncryptionContext,
) -> Result<GeneratedDataKey, ProviderError> {
    generate_from(CryptoBackend::default().random(), provider, suite, context).await
}

/// The same with a random source of choice.
pub(super) async fn generate_from(
    random: &Arc<dyn SecureRandom>,
    provider: &dyn KeyProvider,
    suite: AlgorithmSuite,
    context: &EncryptionContext,
) -> Result<GeneratedDataKey, ProviderError> {
    let (bytes, mut entropy) = (canonical(context), entropy(random));
    let bound = BoundContext {
        context,
        bytes: &bytes,
    };
    let request = GenerateDataKey::new(suite, bound, &mut entropy);
    provider.generate_data_key(request).await
}

pub(super) async fn wrap(
    provider: &dyn KeyProvider,
    suite: AlgorithmSuite,
    context: &EncryptionContext,
    data_key: &SecretBytes,
) -> Result<Vec<EncryptedDataKey>, ProviderError> {
    let bytes = canonical(context);
    let mut entropy = entropy(CryptoBackend::default().random());
    let bound = BoundContext {
        context,
        bytes: &bytes,
    };
    let mut request = GenerateDataKey::new(suite, bound, &mut entropy);
    provider.wrap_data_key(request.wrap(data_key)).await
}

pub(super) async fn unwrap(
    provider: &dyn KeyProvider,
    suite: AlgorithmSuite,
    context: &EncryptionContext,
    edks: &[EncryptedDataKey],
) -> Result<UnwrappedDataKey, UnwrapFailures> {
    let bytes = canonical(context);
    let bound = BoundContext {
        context,
        bytes: &bytes,
    };
    let request = UnwrapDataKey::new(suite, bound, edks);
    provider.unwrap_data_key(request).await
}

/// Makes one call of each kind, and drops what comes back.
pub(super) fn drop_unpolled(provider: &dyn KeyProvider, sealed: &Sealed) {
    let bytes = canonical(&sealed.context);
    let mut entropy = entropy(CryptoBackend::default().random());
    let bound = BoundContext {
        context: &sealed.context,
        bytes: &bytes,
    };
    let mut request = GenerateDataKey::new(sealed.suite, bound, &mut entropy);
    drop(provider.generate_data_key(request.reborrow()));
    drop(provider.wrap_data_key(request.wrap(&sealed.data_key)));
    drop(provider.unwrap_data_key(UnwrapDataKey::new(sealed.suite, bound, &sealed.edks)));
}

fn canonical(context: &EncryptionContext) -> Vec<u8> {
    context.to_bytes().expect("a context of the suite's own")
}

/// Nothing is drawn ahead, so that each of a request's draws may fail.
fn entropy(random: &Arc<dyn SecureRandom>) -> Entropy {
    Entropy::draw(random, 0).expect("nothing is drawn")
}
