//! A provider that lets its callers wait.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::message::EncryptedDataKey;
use crate::provider::{
    GenerateDataKey, GeneratedDataKey, KeyProvider, ProviderFuture, ProviderIdentity,
    UnwrapDataKey, UnwrapFailures, UnwrappedDataKey, WrapDataKey,
};
use crate::timer::Sleep;

/// Lets each call wait before it asks the provider that it holds, as a remote
/// one would. Needs no runtime. Clones are handles to one provider; the
/// identity is the inner provider's.
///
/// ```
/// use std::time::Duration;
/// use waxseal::test_util::{Delay, DelayingProvider};
/// use waxseal::{EncryptionContext, RawAesProvider, SecretBytes, blocking::Client};
///
/// let key = SecretBytes::from(vec![7; 32]);
/// let provider = RawAesProvider::new("example", "key-1", &key)?;
/// let provider = DelayingProvider::new(provider, Delay::UntilReleased);
/// let client = Client::new(provider.clone());
///
/// std::thread::scope(|scope| {
///     let caller = scope.spawn(|| client.encrypt(b"attack at dawn", &EncryptionContext::new()));
///     assert!(provider.wait_for_held(1, Duration::from_secs(60)));
///     assert!(!caller.is_finished());
///     provider.release_all();
///     caller.join().unwrap()
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DelayingProvider<P> {
    shared: Arc<Shared>,
    inner: Arc<P>,
}

/// How long a call waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delay {
    /// Not at all.
    #[default]
    None,
    /// For so many polls: each is pending and asks for the next at once.
    Polls(usize),
    /// For so long, from the call on.
    For(Duration),
    /// Until [`release_next`](DelayingProvider::release_next) or
    /// [`release_all`](DelayingProvider::release_all).
    UntilReleased,
}

#[derive(Default)]
struct Shared {
    gate: Mutex<Gate>,
    changed: Condvar,
}

#[derive(Default)]
struct Gate {
    delay: Delay,
    tickets: u64,
    /// The calls that are held, in their order; what is not here may go on.
    held: BTreeMap<u64, Option<Waker>>,
}

impl Shared {
    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(self: &Arc<Self>) -> Wait {
        let mut gate = self.gate();
        match gate.delay {
            Delay::None => Wait::Polls(0),
            Delay::Polls(polls) => Wait::Polls(polls),
            Delay::For(time) => Wait::Until(Sleep::new(time)),
            Delay::UntilReleased => {
                let ticket = gate.tickets;
                gate.tickets += 1;
                gate.held.insert(ticket, None);
                self.changed.notify_all();
                Wait::Held(Held {
                    shared: self.clone(),
                    ticket,
                })
            }
        }
    }

    fn release(&self, mut some: impl FnMut(&mut Gate) -> Vec<Option<Waker>>) -> usize {
        let mut gate = self.gate();
        let released = some(&mut gate);
        self.changed.notify_all();
        drop(gate);
        // Not under the lock: a waker may poll, and so come back here.
        let count = released.len();
        released.into_iter().flatten().for_each(Waker::wake);
        count
    }
}

/// One call's wait.
enum Wait {
    Polls(usize),
    Until(Sleep),
    Held(Held),
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &mut *self {
            Wait::Polls(0) => Poll::Ready(()),
            Wait::Polls(left) => {
                *left -= 1;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Wait::Until(sleep) => Pin::new(sleep).poll(context),
            Wait::Held(held) => {
                let mut gate = held.shared.gate();
                let Some(place) = gate.held.get_mut(&held.ticket) else {
                    return Poll::Ready(());
                };
                let replaced = place.replace(context.waker().clone());
                // Not under the lock: a waker may be what holds another call.
                drop(gate);
                drop(replaced);
                Poll::Pending
            }
        }
    }
}

/// A place among the held calls, given up when the call is dropped.
struct Held {
    shared: Arc<Shared>,
    ticket: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        // The lock is given back before the waker is dropped.
        let waker = self.shared.gate().held.remove(&self.ticket);
        drop(waker);
        self.shared.changed.notify_all();
    }
}

impl<P: KeyProvider> DelayingProvider<P> {
    /// Lets the calls to this provider wait.
    pub fn new(inner: P, delay: Delay) -> Self {
        let provider = DelayingProvider {
            shared: Arc::default(),
            inner: Arc::new(inner),
        };
        provider.set(delay);
        provider
    }
}

impl<P> DelayingProvider<P> {
    /// How long the calls from now on wait.
    pub fn set(&self, delay: Delay) {
        self.shared.gate().delay = delay;
    }

    /// How many calls are held until they are released.
    pub fn held(&self) -> usize {
        self.shared.gate().held.len()
    }

    /// Blocks until so many calls are held, and says whether it came to that
    /// in time.
    pub fn wait_for_held(&self, calls: usize, at_most: Duration) -> bool {
        let gate = self.shared.gate();
        let too_few = |gate: &mut Gate| gate.held.len() < calls;
        let waited = self
            .shared
            .changed
            .wait_timeout_while(gate, at_most, too_few);
        let (gate, _) = waited.unwrap_or_else(PoisonError::into_inner);
        gate.held.len() >= calls
    }

    /// Lets the call go on that has been held the longest, and says whether
    /// there was one.
    pub fn release_next(&self) -> bool {
        let next = |gate: &mut Gate| gate.held.pop_first().map(|(_, waker)| waker);
        self.shared.release(|gate| next(gate).into_iter().collect()) > 0
    }

    /// Lets all calls go on that are held now, and says how many they were.
    /// Later ones are held again, until the delay is [`set`](Self::set) to
    /// another.
    pub fn release_all(&self) -> usize {
        let all = |gate: &mut Gate| std::mem::take(&mut gate.held);
        self.shared
            .release(|gate| all(gate).into_values().collect())
    }
}

impl<P: KeyProvider> KeyProvider for DelayingProvider<P> {
    fn identity(&self) -> ProviderIdentity {
        self.inner.identity()
    }

    fn generate_data_key<'a>(
        &'a self,
        request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        let wait = self.shared.wait();
        Box::pin(async move {
            wait.await;
            self.inner.generate_data_key(request).await
        })
    }

    fn wrap_data_key<'a>(
        &'a self,
        request: WrapDataKey<'a>,
    ) -> ProviderFuture<'a, Vec<EncryptedDataKey>> {
        let wait = self.shared.wait();
        Box::pin(async move {
            wait.await;
            self.inner.wrap_data_key(request).await
        })
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        let wait = self.shared.wait();
        Box::pin(async move {
            wait.await;
            self.inner.unwrap_data_key(request).await
        })
    }
}

impl<P> Clone for DelayingProvider<P> {
    fn clone(&self) -> Self {
        DelayingProvider {
            shared: self.shared.clone(),
            inner: self.inner.clone(),
        }
    }
}

impl<P> fmt::Debug for DelayingProvider<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gate = self.shared.gate();
        f.debug_struct("DelayingProvider")
            .field("delay", &gate.delay)
            .field("held", &gate.held.len())
            .finish()
    }
}
