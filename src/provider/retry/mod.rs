//! Asking a provider again, where its error says that this makes sense.
//!
//! No retry crate stands under it: what they share is the loop, and here the
//! requests of the attempts borrow one another's randomness, the delays are
//! drawn from the library's own source, a service's own delay counts against
//! the total time, and the wait must work without any runtime.

mod policy;
#[cfg(all(test, feature = "test-util"))]
mod tests;

use std::fmt;

#[cfg(feature = "aws-kms")]
pub(crate) use policy::Attempts;
pub use policy::RetryPolicy;
pub(crate) use policy::Retryable;

use super::{
    GenerateDataKey, GeneratedDataKey, KeyProvider, ProviderError, ProviderErrorKind,
    ProviderFuture, ProviderIdentity, ProviderOperation, UnwrapDataKey, UnwrapFailures,
    UnwrappedDataKey, WrapDataKey,
};
use crate::message::EncryptedDataKey;

/// Asks the provider that it holds again where an error
/// [says](ProviderError::is_retryable) that this makes sense, as a
/// [`RetryPolicy`] has it. The last error comes through, with the number of
/// [attempts](ProviderError::attempts).
///
/// It needs no runtime: its futures can be awaited from any executor, and the
/// blocking client sleeps. Dropping a future abandons the attempt that is under
/// way, and there are no more.
///
/// Its identity is the inner provider's: how often one asks does not change
/// what is made or opened, so that data keys cached before it was added, or
/// under another policy, are still found.
///
#[cfg_attr(feature = "test-util", doc = "```")]
#[cfg_attr(not(feature = "test-util"), doc = "```ignore")]
/// use waxseal::test_util::FailingProvider;
/// use waxseal::{EncryptionContext, KeyProvider, ProviderErrorKind, RawAesProvider, RetryPolicy};
/// use waxseal::{SecretBytes, blocking::Client};
///
/// let key = SecretBytes::from(vec![7; 32]);
/// let provider = FailingProvider::new(RawAesProvider::new("example", "key-1", &key)?);
/// provider.fail_next(2, ProviderErrorKind::Unavailable);
///
/// let policy = RetryPolicy::new().base_delay(std::time::Duration::from_millis(1));
/// let client = Client::new(provider.retrying(policy));
/// assert!(client.encrypt(b"attack at dawn", &EncryptionContext::new()).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct RetryProvider<P> {
    inner: P,
    policy: RetryPolicy,
}

impl<P: KeyProvider> RetryProvider<P> {
    /// Asks this provider, again by this policy.
    pub fn new(inner: P, policy: RetryPolicy) -> Self {
        RetryProvider { inner, policy }
    }

    fn timed_out(&self, operation: ProviderOperation) -> ProviderError {
        let kind = ProviderErrorKind::TimedOut;
        ProviderError::new(operation, kind, self.inner.identity().label())
    }
}

impl<P: KeyProvider> KeyProvider for RetryProvider<P> {
    fn identity(&self) -> ProviderIdentity {
        self.inner.identity()
    }

    fn generate_data_key<'a>(
        &'a self,
        mut request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        Box::pin(async move {
            let mut attempts = self.policy.start();
            loop {
                let attempt = self.inner.generate_data_key(request.reborrow());
                let timed_out = || self.timed_out(ProviderOperation::Generate);
                match attempts.in_time(attempt, timed_out).await {
                    Ok(generated) => return Ok(generated),
                    Err(error) => attempts.wait_after(error).await?,
                }
            }
        })
    }

    fn wrap_data_key<'a>(
        &'a self,
        mut request: WrapDataKey<'a>,
    ) -> ProviderFuture<'a, Vec<EncryptedDataKey>> {
        Box::pin(async move {
            let mut attempts = self.policy.start();
            loop {
                let attempt = self.inner.wrap_data_key(request.reborrow());
                let timed_out = || self.timed_out(ProviderOperation::Wrap);
                match attempts.in_time(attempt, timed_out).await {
                    Ok(wrapped) => return Ok(wrapped),
                    Err(error) => attempts.wait_after(error).await?,
                }
            }
        })
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        Box::pin(async move {
            let mut attempts = self.policy.start();
            loop {
                let attempt = self.inner.unwrap_data_key(request);
                let timed_out = || {
                    let mut failures = UnwrapFailures::new();
                    for (index, edk) in request.encrypted_data_keys().iter().enumerate() {
                        let cause = self.timed_out(ProviderOperation::Unwrap);
                        failures.push(index, edk, cause);
                    }
                    failures
                };
                match attempts.in_time(attempt, timed_out).await {
                    Ok(unwrapped) => return Ok(unwrapped),
                    Err(failures) => attempts.wait_after(failures).await?,
                }
            }
        })
    }
}

impl<P: fmt::Debug> fmt::Debug for RetryProvider<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryProvider")
            .field("inner", &self.inner)
            .field("policy", &self.policy)
            .finish()
    }
}
