//! Key providers: who makes, wraps and unwraps data keys.
//!
//! A provider is one file: its type, its parsing, its wrap and unwrap, its
//! tests. [`KeyProvider`] says what each promises.

#[cfg(feature = "aws-kms")]
mod aws_kms;
mod error;
#[cfg(feature = "kms")]
mod local_kms;
mod multi;
mod raw_aes;
mod retry;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

#[cfg(feature = "aws-kms")]
pub use aws_kms::{AwsKmsProvider, AwsKmsProviderBuilder, InvalidAwsKmsProvider};
pub use error::{
    ProviderError, ProviderErrorKind, ProviderOperation, UnwrapFailure, UnwrapFailures,
};
#[cfg(feature = "kms")]
pub use local_kms::LocalKmsProvider;
pub use multi::MultiProvider;
pub use raw_aes::{InvalidRawAesKey, RawAesProvider};
pub(crate) use retry::Retryable;
pub use retry::{RetryPolicy, RetryProvider};

use crate::context::EncryptionContext;
use crate::crypto::{Entropy, RandomError, SecretBytes};
use crate::message::EncryptedDataKey;
use crate::suite::AlgorithmSuite;

/// What a provider's calls give back: a boxed future that any executor, or
/// none, can drive.
pub type ProviderFuture<'a, T, E = ProviderError> =
    Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// Makes, wraps and unwraps data keys: a key in this process, an embedded KMS,
/// a remote service, an HSM.
///
/// An implementation
/// - says which encrypted data keys are its own (provider id and key info) and
///   touches no other;
/// - binds the encryption context, so that a data key does not unwrap under
///   another context;
/// - unwraps only under keys that it was configured for;
/// - gives errors that say which key, which operation, and whether a retry
///   makes sense.
///
/// A local provider's futures are ready when first polled. One whose client
/// needs a runtime keeps a handle to it and does its work there, so that its
/// futures can be awaited from anywhere. Dropping a future abandons the call.
///
/// The feature `test-util` has the suite of behaviour that every
/// implementation must pass.
pub trait KeyProvider: Send + Sync {
    /// Who this is. Two providers of one identity may share cached data keys:
    /// it must cover all that decides what the provider makes and opens.
    fn identity(&self) -> ProviderIdentity;

    /// A new data key of [`suite().data_key_length()`] bytes, in the clear and
    /// wrapped (once, or several times where this provider holds others).
    ///
    /// Each one must be fresh: the suites without a key derivation encrypt with
    /// it directly, and repeat every IV under one that comes twice.
    ///
    /// [`suite().data_key_length()`]: AlgorithmSuite::data_key_length
    fn generate_data_key<'a>(
        &'a self,
        request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey>;

    /// Wraps a data key that another provider generated. By default,
    /// [`ProviderErrorKind::Unsupported`].
    fn wrap_data_key<'a>(
        &'a self,
        request: WrapDataKey<'a>,
    ) -> ProviderFuture<'a, Vec<EncryptedDataKey>> {
        let _ = request;
        let identity = self.identity();
        Box::pin(std::future::ready(Err(ProviderError::new(
            ProviderOperation::Wrap,
            ProviderErrorKind::Unsupported,
            identity.label(),
        ))))
    }

    /// Unwraps the first of these encrypted data keys that this provider can:
    /// which one, under which key, and the data key; else why not, for each.
    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures>;

    /// This provider, asked again where an error says that a retry makes sense.
    fn retrying(self, policy: RetryPolicy) -> RetryProvider<Self>
    where
        Self: Sized,
    {
        RetryProvider::new(self, policy)
    }
}

impl<P: KeyProvider + ?Sized> KeyProvider for Arc<P> {
    fn identity(&self) -> ProviderIdentity {
        (**self).identity()
    }

    fn generate_data_key<'a>(
        &'a self,
        request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        (**self).generate_data_key(request)
    }

    fn wrap_data_key<'a>(
        &'a self,
        request: WrapDataKey<'a>,
    ) -> ProviderFuture<'a, Vec<EncryptedDataKey>> {
        (**self).wrap_data_key(request)
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        (**self).unwrap_data_key(request)
    }
}

/// Who a provider is: a label for people, and bytes that differ from those of
/// every provider that makes or opens other data keys.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ProviderIdentity(Arc<(String, Vec<u8>)>);

impl ProviderIdentity {
    /// An identity from a label and the parts that decide it: the kind of
    /// provider, its keys' names, a fingerprint of a local key. No part may be
    /// secret.
    pub fn new(label: impl Into<String>, parts: &[&[u8]]) -> Self {
        let label = label.into();
        let mut bytes = Vec::new();
        for part in std::iter::once(label.as_bytes()).chain(parts.iter().copied()) {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        ProviderIdentity(Arc::new((label, bytes)))
    }

    /// For people: the kind of provider and what it is called.
    pub fn label(&self) -> &str {
        &self.0.0
    }

    /// For comparing: label and parts, each with its length before it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.1
    }
}

impl fmt::Debug for ProviderIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProviderIdentity")
            .field(&self.label())
            .finish()
    }
}

impl fmt::Display for ProviderIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// The encryption context of a request, and its canonical bytes.
#[derive(Clone, Copy)]
pub(crate) struct BoundContext<'a> {
    pub(crate) context: &'a EncryptionContext,
    pub(crate) bytes: &'a [u8],
}

/// A request for a new data key.
#[non_exhaustive]
pub struct GenerateDataKey<'a> {
    suite: AlgorithmSuite,
    context: BoundContext<'a>,
    entropy: &'a mut Entropy,
}

impl<'a> GenerateDataKey<'a> {
    pub(crate) fn new(
        suite: AlgorithmSuite,
        context: BoundContext<'a>,
        entropy: &'a mut Entropy,
    ) -> Self {
        GenerateDataKey {
            suite,
            context,
            entropy,
        }
    }

    /// The suite that the data key is for.
    pub fn suite(&self) -> AlgorithmSuite {
        self.suite
    }

    /// The encryption context to bind.
    pub fn context(&self) -> &'a EncryptionContext {
        self.context.context
    }

    /// The context's canonical bytes: what is bound as additional data. Empty
    /// for an empty context.
    pub fn context_bytes(&self) -> &'a [u8] {
        self.context.bytes
    }

    /// A random data key of the suite's length, for providers that wrap what
    /// is made here.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn random_data_key(&mut self) -> Result<SecretBytes, RandomError> {
        let mut data_key = SecretBytes::zeroed(self.suite.data_key_length());
        self.entropy.fill(data_key.expose_mut())?;
        Ok(data_key)
    }

    /// The same request, for a provider that this one passes it on to.
    pub fn reborrow(&mut self) -> GenerateDataKey<'_> {
        GenerateDataKey::new(self.suite, self.context, self.entropy)
    }

    /// The request to wrap the data key that this one led to.
    pub fn wrap<'b>(&'b mut self, data_key: &'b SecretBytes) -> WrapDataKey<'b> {
        WrapDataKey {
            suite: self.suite,
            context: self.context,
            data_key,
            entropy: self.entropy,
        }
    }
}

impl fmt::Debug for GenerateDataKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_request("GenerateDataKey", self.suite, self.context, f)
    }
}

/// A request to wrap a data key that is there already.
#[non_exhaustive]
pub struct WrapDataKey<'a> {
    suite: AlgorithmSuite,
    context: BoundContext<'a>,
    data_key: &'a SecretBytes,
    entropy: &'a mut Entropy,
}

impl<'a> WrapDataKey<'a> {
    /// The suite that the data key is for.
    pub fn suite(&self) -> AlgorithmSuite {
        self.suite
    }

    /// The encryption context to bind.
    pub fn context(&self) -> &'a EncryptionContext {
        self.context.context
    }

    /// The context's canonical bytes, as in [`GenerateDataKey::context_bytes`].
    pub fn context_bytes(&self) -> &'a [u8] {
        self.context.bytes
    }

    /// The data key to wrap.
    pub fn data_key(&self) -> &'a SecretBytes {
        self.data_key
    }

    /// The same request, for a provider that this one passes it on to.
    pub fn reborrow(&mut self) -> WrapDataKey<'_> {
        WrapDataKey {
            suite: self.suite,
            context: self.context,
            data_key: self.data_key,
            entropy: self.entropy,
        }
    }

    /// The randomness of the operation, for a seal that draws in itself.
    #[cfg(feature = "kms")]
    pub(crate) fn entropy(&mut self) -> &mut Entropy {
        self.entropy
    }

    /// Random bytes, for a nonce for example.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn fill_random(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        self.entropy.fill(out)
    }
}

impl fmt::Debug for WrapDataKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_request("WrapDataKey", self.suite, self.context, f)
    }
}

/// A request to unwrap one of a message's encrypted data keys.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct UnwrapDataKey<'a> {
    suite: AlgorithmSuite,
    context: BoundContext<'a>,
    edks: &'a [EncryptedDataKey],
}

impl<'a> UnwrapDataKey<'a> {
    pub(crate) fn new(
        suite: AlgorithmSuite,
        context: BoundContext<'a>,
        edks: &'a [EncryptedDataKey],
    ) -> Self {
        UnwrapDataKey {
            suite,
            context,
            edks,
        }
    }

    /// The suite that the data key is for.
    pub fn suite(&self) -> AlgorithmSuite {
        self.suite
    }

    /// The encryption context that the data key must be bound to.
    pub fn context(&self) -> &'a EncryptionContext {
        self.context.context
    }

    /// The context's canonical bytes, as in [`GenerateDataKey::context_bytes`].
    pub fn context_bytes(&self) -> &'a [u8] {
        self.context.bytes
    }

    /// The message's encrypted data keys, in its order. They are hostile
    /// until one has unwrapped and the header's tag has been verified with it.
    pub fn encrypted_data_keys(&self) -> &'a [EncryptedDataKey] {
        self.edks
    }
}

impl fmt::Debug for UnwrapDataKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_request("UnwrapDataKey", self.suite, self.context, f)
    }
}

fn debug_request(
    name: &str,
    suite: AlgorithmSuite,
    context: BoundContext<'_>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    f.debug_struct(name)
        .field("suite", &suite)
        .field("context", context.context)
        .finish_non_exhaustive()
}

/// A new data key: in the clear and encrypted.
#[derive(Debug)]
#[non_exhaustive]
pub struct GeneratedDataKey {
    /// The data key, as long as the suite asks for.
    pub data_key: SecretBytes,
    /// The data key, encrypted: at least once.
    pub encrypted_data_keys: Vec<EncryptedDataKey>,
}

impl GeneratedDataKey {
    /// Puts the parts together.
    pub fn new(data_key: SecretBytes, encrypted_data_keys: Vec<EncryptedDataKey>) -> Self {
        GeneratedDataKey {
            data_key,
            encrypted_data_keys,
        }
    }
}

/// A data key that was unwrapped: which, by whom, and under which key.
#[derive(Debug)]
#[non_exhaustive]
pub struct UnwrappedDataKey {
    /// The data key, as long as the suite asks for.
    pub data_key: SecretBytes,
    /// Which of the request's encrypted data keys it was, from 0.
    pub index: usize,
    /// The provider that unwrapped it: of several, the one that could.
    pub provider: ProviderIdentity,
    /// The wrapping key's name: an id, an ARN, whatever the provider calls it.
    pub key: String,
    /// The wrapping key's version, where the provider has such.
    pub key_version: Option<String>,
}

impl UnwrappedDataKey {
    /// Puts the parts together, without a key version.
    pub fn new(
        data_key: SecretBytes,
        index: usize,
        provider: ProviderIdentity,
        key: impl Into<String>,
    ) -> Self {
        UnwrappedDataKey {
            data_key,
            index,
            provider,
            key: key.into(),
            key_version: None,
        }
    }
}
