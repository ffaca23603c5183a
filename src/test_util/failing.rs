//! A provider that fails when it is told to.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::message::EncryptedDataKey;
use crate::provider::{
    GenerateDataKey, GeneratedDataKey, KeyProvider, ProviderError, ProviderErrorKind,
    ProviderFuture, ProviderIdentity, ProviderOperation, UnwrapDataKey, UnwrapFailures,
    UnwrappedDataKey, WrapDataKey,
};

/// Fails as it is told to, instead of asking the provider that it holds;
/// otherwise passes calls on. Clones are handles to one plan; the identity is
/// the inner provider's.
///
/// Whether a call fails is decided when it is made. A failing unwrap has a
/// failure of the kind for each encrypted data key.
///
/// ```
/// use waxseal::test_util::FailingProvider;
/// use waxseal::{EncryptionContext, ProviderErrorKind, RawAesProvider, SecretBytes};
/// use waxseal::blocking::Client;
///
/// let key = SecretBytes::from(vec![7; 32]);
/// let provider = FailingProvider::new(RawAesProvider::new("example", "key-1", &key)?);
/// let client = Client::new(provider.clone());
/// let context = EncryptionContext::new();
///
/// provider.fail_next(1, ProviderErrorKind::Unavailable);
/// assert!(client.encrypt(b"attack at dawn", &context).unwrap_err().is_retryable());
/// assert!(client.encrypt(b"attack at dawn", &context).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FailingProvider<P> {
    state: Arc<Mutex<State>>,
    inner: Arc<P>,
}

#[derive(Debug)]
struct State {
    plan: Plan,
    only: Option<ProviderOperation>,
    failures: u64,
}

#[derive(Debug)]
enum Plan {
    Pass,
    Always(ProviderErrorKind),
    Every {
        nth: u64,
        calls: u64,
        kind: ProviderErrorKind,
    },
    Script(VecDeque<Option<ProviderErrorKind>>),
}

impl Plan {
    fn next(&mut self) -> Option<ProviderErrorKind> {
        match self {
            Plan::Pass => None,
            Plan::Always(kind) => Some(*kind),
            Plan::Every { nth, calls, kind } => {
                *calls += 1;
                calls.is_multiple_of(*nth).then_some(*kind)
            }
            Plan::Script(script) => script.pop_front().flatten(),
        }
    }
}

impl<P: KeyProvider> FailingProvider<P> {
    /// Passes calls on to this provider until it is told otherwise.
    pub fn new(inner: P) -> Self {
        let state = State {
            plan: Plan::Pass,
            only: None,
            failures: 0,
        };
        FailingProvider {
            state: Arc::new(Mutex::new(state)),
            inner: Arc::new(inner),
        }
    }
}

impl<P> FailingProvider<P> {
    /// Every call fails from now on.
    pub fn fail(&self, kind: ProviderErrorKind) {
        self.state().plan = Plan::Always(kind);
    }

    /// The next calls fail, so many of them; those after them pass.
    pub fn fail_next(&self, calls: usize, kind: ProviderErrorKind) {
        self.script(std::iter::repeat_n(Some(kind), calls));
    }

    /// Of the calls from now on every nth fails: each with 1, none with 0.
    pub fn fail_every(&self, nth: u64, kind: ProviderErrorKind) {
        let calls = 0;
        self.state().plan = Plan::Every { nth, calls, kind };
    }

    /// What the next calls do, one after another: fail with this kind, or
    /// pass. Those after the last pass.
    pub fn script(&self, script: impl IntoIterator<Item = Option<ProviderErrorKind>>) {
        self.state().plan = Plan::Script(script.into_iter().collect());
    }

    /// Every call passes from now on.
    pub fn recover(&self) {
        self.state().plan = Plan::Pass;
    }

    /// Only calls of this kind fail and are counted by the plan; `None` for
    /// calls of every kind.
    pub fn only(&self, operation: impl Into<Option<ProviderOperation>>) {
        self.state().only = operation.into();
    }

    /// How many calls have failed because they were told to.
    pub fn failures(&self) -> u64 {
        self.state().failures
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self, operation: ProviderOperation) -> Option<ProviderErrorKind> {
        let mut state = self.state();
        if state.only.is_some_and(|only| only != operation) {
            return None;
        }
        let kind = state.plan.next();
        state.failures += u64::from(kind.is_some());
        kind
    }
}

impl<P: KeyProvider> FailingProvider<P> {
    fn error(&self, operation: ProviderOperation, kind: ProviderErrorKind) -> ProviderError {
        ProviderError::new(operation, kind, self.inner.identity().label())
            .with_source("it was told to fail")
    }
}

impl<P: KeyProvider> KeyProvider for FailingProvider<P> {
    fn identity(&self) -> ProviderIdentity {
        self.inner.identity()
    }

    fn generate_data_key<'a>(
        &'a self,
        request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        let operation = ProviderOperation::Generate;
        match self.next(operation) {
            None => self.inner.generate_data_key(request),
            Some(kind) => Box::pin(std::future::ready(Err(self.error(operation, kind)))),
        }
    }

    fn wrap_data_key<'a>(
        &'a self,
        request: WrapDataKey<'a>,
    ) -> ProviderFuture<'a, Vec<EncryptedDataKey>> {
        let operation = ProviderOperation::Wrap;
        match self.next(operation) {
            None => self.inner.wrap_data_key(request),
            Some(kind) => Box::pin(std::future::ready(Err(self.error(operation, kind)))),
        }
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        let operation = ProviderOperation::Unwrap;
        let Some(kind) = self.next(operation) else {
            return self.inner.unwrap_data_key(request);
        };
        let mut failures = UnwrapFailures::new();
        for (index, edk) in request.encrypted_data_keys().iter().enumerate() {
            failures.push(index, edk, self.error(operation, kind));
        }
        Box::pin(std::future::ready(Err(failures)))
    }
}

impl<P> Clone for FailingProvider<P> {
    fn clone(&self) -> Self {
        FailingProvider {
            state: self.state.clone(),
            inner: self.inner.clone(),
        }
    }
}

impl<P> fmt::Debug for FailingProvider<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FailingProvider")
            .field(&*self.state())
            .finish()
    }
}
