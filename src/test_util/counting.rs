//! A provider that counts.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::message::EncryptedDataKey;
use crate::provider::{
    GenerateDataKey, GeneratedDataKey, KeyProvider, ProviderFuture, ProviderIdentity,
    ProviderOperation, UnwrapDataKey, UnwrapFailures, UnwrappedDataKey, WrapDataKey,
};

/// Counts the calls to a provider, and what became of them. Clones share the
/// counts; the identity is the inner provider's.
///
/// ```
/// use waxseal::test_util::CountingProvider;
/// use waxseal::{EncryptionContext, RawAesProvider, SecretBytes, blocking::Client};
///
/// let key = SecretBytes::from(vec![7; 32]);
/// let provider = CountingProvider::new(RawAesProvider::new("example", "key-1", &key)?);
/// let client = Client::new(provider.clone());
/// let context = EncryptionContext::new();
/// let message = client.encrypt(b"attack at dawn", &context)?;
/// client.decrypt(&message, &context)?;
/// assert_eq!(provider.counts().generate.succeeded, 1);
/// assert_eq!(provider.counts().unwrap.succeeded, 1);
/// assert_eq!(provider.counts().total(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct CountingProvider<P> {
    counts: Arc<Counters>,
    inner: Arc<P>,
}

/// What became of a [`CountingProvider`]'s calls, by operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderCounts {
    /// Calls to [`generate_data_key`](KeyProvider::generate_data_key).
    pub generate: CallCounts,
    /// Calls to [`wrap_data_key`](KeyProvider::wrap_data_key).
    pub wrap: CallCounts,
    /// Calls to [`unwrap_data_key`](KeyProvider::unwrap_data_key).
    pub unwrap: CallCounts,
    /// The most calls that were under way at one time.
    pub most_in_flight: u64,
}

impl ProviderCounts {
    /// Calls started, of every kind.
    pub fn total(&self) -> u64 {
        [self.generate, self.wrap, self.unwrap]
            .iter()
            .map(|counts| counts.started)
            .sum()
    }
}

/// What became of the calls of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallCounts {
    /// Calls made, whether or not their futures were ever polled.
    pub started: u64,
    /// Calls that ended well.
    pub succeeded: u64,
    /// Calls that ended in an error.
    pub failed: u64,
    /// Calls whose futures were dropped before they were ready.
    pub abandoned: u64,
}

impl CallCounts {
    /// Calls that have not ended.
    pub fn in_flight(&self) -> u64 {
        self.started - self.succeeded - self.failed - self.abandoned
    }
}

#[derive(Default)]
struct Counters {
    // One lock, so that a snapshot is of one moment.
    counts: Mutex<ProviderCounts>,
    identities: AtomicU64,
}

impl Counters {
    fn change<T>(&self, change: impl FnOnce(&mut ProviderCounts) -> T) -> T {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn start(self: &Arc<Self>, operation: ProviderOperation) -> Call {
        self.change(|counts| {
            of(counts, operation).started += 1;
            let all = [counts.generate, counts.wrap, counts.unwrap];
            let in_flight = all.iter().map(CallCounts::in_flight).sum();
            counts.most_in_flight = counts.most_in_flight.max(in_flight);
        });
        Call {
            counters: self.clone(),
            operation,
            outcome: None,
        }
    }
}

fn of(counts: &mut ProviderCounts, operation: ProviderOperation) -> &mut CallCounts {
    match operation {
        ProviderOperation::Generate => &mut counts.generate,
        ProviderOperation::Wrap => &mut counts.wrap,
        ProviderOperation::Unwrap => &mut counts.unwrap,
    }
}

/// A call under way; abandoned unless it ends.
struct Call {
    counters: Arc<Counters>,
    operation: ProviderOperation,
    outcome: Option<bool>,
}

impl Call {
    fn end<T, E>(mut self, result: Result<T, E>) -> Result<T, E> {
        self.outcome = Some(result.is_ok());
        result
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.counters.change(|counts| {
            let counts = of(counts, self.operation);
            *match self.outcome {
                Some(true) => &mut counts.succeeded,
                Some(false) => &mut counts.failed,
                None => &mut counts.abandoned,
            } += 1;
        });
    }
}

impl<P: KeyProvider> CountingProvider<P> {
    /// Counts the calls to this provider.
    pub fn new(inner: P) -> Self {
        CountingProvider {
            counts: Arc::default(),
            inner: Arc::new(inner),
        }
    }
}

impl<P> CountingProvider<P> {
    /// The counts as they are now.
    pub fn counts(&self) -> ProviderCounts {
        self.counts.change(|counts| *counts)
    }

    /// Calls to [`identity`](KeyProvider::identity).
    pub fn identity_calls(&self) -> u64 {
        self.counts.identities.load(Ordering::Relaxed)
    }
}

impl<P: KeyProvider> KeyProvider for CountingProvider<P> {
    fn identity(&self) -> ProviderIdentity {
        self.counts.identities.fetch_add(1, Ordering::Relaxed);
        self.inner.identity()
    }

    fn generate_data_key<'a>(
        &'a self,
        request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        let call = self.counts.start(ProviderOperation::Generate);
        let future = self.inner.generate_data_key(request);
        Box::pin(async move { call.end(future.await) })
    }

    fn wrap_data_key<'a>(
        &'a self,
        request: WrapDataKey<'a>,
    ) -> ProviderFuture<'a, Vec<EncryptedDataKey>> {
        let call = self.counts.start(ProviderOperation::Wrap);
        let future = self.inner.wrap_data_key(request);
        Box::pin(async move { call.end(future.await) })
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        let call = self.counts.start(ProviderOperation::Unwrap);
        let future = self.inner.unwrap_data_key(request);
        Box::pin(async move { call.end(future.await) })
    }
}

impl<P> Clone for CountingProvider<P> {
    fn clone(&self) -> Self {
        CountingProvider {
            counts: self.counts.clone(),
            inner: self.inner.clone(),
        }
    }
}

impl<P> fmt::Debug for CountingProvider<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CountingProvider")
            .field(&self.counts())
            .finish()
    }
}
