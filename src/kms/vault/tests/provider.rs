//! A root key in a provider that counts its calls and fails when told to.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::provider::{
    GenerateDataKey, GeneratedDataKey, KeyProvider, ProviderError, ProviderErrorKind,
    ProviderFuture, ProviderIdentity, ProviderOperation, RawAesProvider, UnwrapDataKey,
    UnwrapFailures, UnwrappedDataKey,
};

pub(super) struct Remote {
    inner: RawAesProvider,
    calls: AtomicU64,
    failing: Mutex<Option<ProviderErrorKind>>,
}

impl Remote {
    pub(super) fn new(byte: u8) -> Arc<Self> {
        let key = SecretBytes::from(vec![byte; 32]);
        Arc::new(Remote {
            inner: RawAesProvider::new("remote", "root", &key).unwrap(),
            calls: AtomicU64::new(0),
            failing: Mutex::new(None),
        })
    }

    /// Calls since the last time.
    pub(super) fn calls(&self) -> u64 {
        self.calls.swap(0, Ordering::Relaxed)
    }

    pub(super) fn fail(&self, kind: impl Into<Option<ProviderErrorKind>>) {
        *self.failing.lock().unwrap() = kind.into();
    }

    fn call(&self, operation: ProviderOperation) -> Result<(), ProviderError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        match *self.failing.lock().unwrap() {
            Some(kind) => Err(ProviderError::new(operation, kind, "remote")),
            None => Ok(()),
        }
    }
}

impl KeyProvider for Remote {
    fn identity(&self) -> ProviderIdentity {
        self.inner.identity()
    }

    fn generate_data_key<'a>(
        &'a self,
        request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        match self.call(ProviderOperation::Generate) {
            Ok(()) => self.inner.generate_data_key(request),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        match self.call(ProviderOperation::Unwrap) {
            Ok(()) => self.inner.unwrap_data_key(request),
            Err(error) => {
                let mut failures = UnwrapFailures::new();
                failures.push(0, &request.encrypted_data_keys()[0], error);
                Box::pin(std::future::ready(Err(failures)))
            }
        }
    }
}
