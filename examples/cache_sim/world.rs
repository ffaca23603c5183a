//! The virtual clock, and a provider whose calls take time by it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use waxseal::{
    Clock, GenerateDataKey, GeneratedDataKey, KeyProvider, ProviderFuture, ProviderIdentity,
    RawAesProvider, UnwrapDataKey, UnwrapFailures, UnwrappedDataKey,
};

/// Time that moves only when it is told to, and who waits for it. Clones are
/// one clock.
#[derive(Clone, Default)]
pub(crate) struct VirtualClock(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    now: Duration,
    /// By when it is due, and for equal times by when it began.
    waiting: BTreeMap<(Duration, u64), Waker>,
    next: u64,
}

impl VirtualClock {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, now: Duration) {
        self.state().now = now;
    }

    /// The first time that somebody waits for.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        let state = self.state();
        let (&(due, _), _) = state.waiting.first_key_value()?;
        Some(due)
    }

    /// The first who waits for a time that has come.
    pub(crate) fn take_due(&self) -> Option<Waker> {
        let mut state = self.state();
        let now = state.now;
        let first = state.waiting.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    fn sleep(&self, time: Duration) -> Sleep {
        let mut state = self.state();
        let place = (state.now.saturating_add(time), state.next);
        state.next += 1;
        Sleep {
            clock: self.clone(),
            place,
        }
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> SystemTime {
        let now = SystemTime::UNIX_EPOCH.checked_add(self.elapsed());
        now.unwrap_or(SystemTime::UNIX_EPOCH)
    }

    fn elapsed(&self) -> Duration {
        self.state().now
    }
}

struct Sleep {
    clock: VirtualClock,
    place: (Duration, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.clock.state();
        if state.now >= self.place.0 {
            return Poll::Ready(());
        }
        state.waiting.insert(self.place, context.waker().clone());
        Poll::Pending
    }
}

/// A raw AES key that behaves as a remote service: its calls take a time.
pub(crate) struct RemoteProvider {
    key: RawAesProvider,
    clock: VirtualClock,
    latency: Duration,
    calls: Calls,
}

/// Calls of the provider since it was last asked. Clones count together.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<Mutex<u32>>);

impl Calls {
    fn count(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }

    pub(crate) fn take(&self) -> u32 {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl RemoteProvider {
    pub(crate) fn new(
        key: RawAesProvider,
        clock: VirtualClock,
        latency: Duration,
        calls: Calls,
    ) -> Self {
        RemoteProvider {
            key,
            clock,
            latency,
            calls,
        }
    }

    async fn call(&self) {
        self.calls.count();
        self.clock.sleep(self.latency).await;
    }
}

impl KeyProvider for RemoteProvider {
    fn identity(&self) -> ProviderIdentity {
        self.key.identity()
    }

    fn generate_data_key<'a>(
        &'a self,
        request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        Box::pin(async move {
            self.call().await;
            self.key.generate_data_key(request).await
        })
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        Box::pin(async move {
            self.call().await;
            self.key.unwrap_data_key(request).await
        })
    }
}
