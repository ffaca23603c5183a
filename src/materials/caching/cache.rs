//! The cache that clients share, and what can be asked of it.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};

use super::Materials;
use super::flight::{Call, Flight};
use super::id::EntryId;
use super::limits::Limits;
use super::report;
use super::state::{Chosen, Decision, Need, Place, State, Unrefreshed};
use super::statistics::{CacheEvent, CacheOutcome, CacheStatistics};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};
use crate::materials::Caller;
use crate::sync::{Mutex, MutexGuard};

/// A task for the application's executor: see
/// [`DataKeyCacheBuilder::spawn_with`].
pub type BackgroundTask = Pin<Box<dyn Future<Output = ()> + Send>>;

type Spawn = dyn Fn(BackgroundTask) + Send + Sync;
type OnEvent = dyn Fn(&CacheEvent<'_>) + Send + Sync;

/// Data keys that are used more than once, so that not every message costs a
/// call to the key provider. Clones are handles to one cache. What uses it, and
/// how long a data key may be used, says each client's
/// [`Caching`](super::Caching).
///
/// Mirrors the Encryption SDKs' caching (framework/caching-cmm.md,
/// cryptographic-materials-cache.md). Concurrent requests for one data key make
/// one call. When the cache is full, expired entries go first, then the one
/// that has not been used for longest.
///
/// The data keys are wiped from memory when they leave the cache and the last
/// message under them is done. Expired ones leave as other requests come; a
/// cache that nobody uses for long keeps them until
/// [`evict_expired`](Self::evict_expired) or its end.
///
/// ```
/// use std::time::Duration;
/// use waxseal::{
///     Caching, DataKeyCache, EncryptionContext, RawAesProvider, SecretBytes, blocking::Client,
/// };
///
/// let key = SecretBytes::from(vec![7; 32]);
/// let provider = RawAesProvider::new("example", "key-1", &key)?;
/// let cache = DataKeyCache::new(100);
/// let caching = Caching::new(&cache, Duration::from_secs(300)).max_messages(1_000);
/// let client = Client::builder(provider).caching(caching).build()?.blocking();
///
/// let context = EncryptionContext::from([("tenant", "7")]);
/// for text in ["attack at dawn", "at noon", "at dusk"] {
///     client.encrypt(text.as_bytes(), &context)?;
/// }
/// let statistics = cache.statistics();
/// assert_eq!((statistics.provider_calls, statistics.hits), (1, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct DataKeyCache(pub(super) Arc<Shared>);

pub(super) struct Shared {
    capacity: usize,
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    spawn: Option<Arc<Spawn>>,
    on_event: Option<Box<OnEvent>>,
}

impl DataKeyCache {
    /// A cache of at most so many data keys; those for encryption and for
    /// decryption count together. With 0, nothing is cached, and only
    /// concurrent requests share a call.
    pub fn new(capacity: usize) -> Self {
        Self::builder(capacity).build()
    }

    /// Starts a cache with other settings.
    pub fn builder(capacity: usize) -> DataKeyCacheBuilder {
        DataKeyCacheBuilder {
            capacity,
            clock: Arc::new(SystemClock),
            spawn: None,
            on_event: None,
        }
    }

    /// The most entries.
    pub fn capacity(&self) -> usize {
        self.0.capacity
    }

    /// What the cache has done and holds now.
    pub fn statistics(&self) -> CacheStatistics {
        let state = self.0.state();
        CacheStatistics {
            entries: state.len(),
            ..state.statistics.clone()
        }
    }

    /// Evicts everything; says how many data keys that were. What a provider
    /// is asked for at this moment serves those who wait for it, and nobody
    /// else.
    pub fn clear(&self) -> usize {
        self.0.evict(&|_, _| true)
    }

    /// Evicts a partition ([`Caching::partition`](super::Caching::partition)),
    /// as [`clear`](Self::clear) does.
    pub fn evict_partition(&self, partition: &str) -> usize {
        self.0.evict(&|found, _| found == partition)
    }

    /// Evicts what was wrapped or unwrapped under a wrapping key, named as the
    /// provider does: an ARN, a raw key's name. As [`clear`](Self::clear) does,
    /// with what is asked for at this moment under any key. It looks at each
    /// entry.
    pub fn evict_key(&self, key: &str) -> usize {
        self.0
            .evict(&|_, materials| materials.is_none_or(|materials| materials.is_under(key)))
    }

    /// Evicts what has expired; says how many data keys that were. Worth
    /// calling now and then where the cache may be idle for long.
    pub fn evict_expired(&self) -> usize {
        /// At a time, so that nobody waits for long.
        const CHUNK: usize = 256;
        let now = self.0.clock.elapsed();
        let mut evicted = 0;
        loop {
            let swept = self.0.with_state(|state| state.sweep(now, CHUNK));
            evicted += swept;
            if swept < CHUNK {
                return evicted;
            }
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl fmt::Debug for DataKeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataKeyCache")
            .field("capacity", &self.0.capacity)
            .field("statistics", &self.statistics())
            .finish()
    }
}

/// Builds a [`DataKeyCache`]; made by [`DataKeyCache::builder`].
#[must_use]
pub struct DataKeyCacheBuilder {
    capacity: usize,
    clock: Arc<dyn Clock>,
    spawn: Option<Arc<Spawn>>,
    on_event: Option<Box<OnEvent>>,
}

impl DataKeyCacheBuilder {
    /// Where ages come from ([`Clock::elapsed`]); the system's clock by
    /// default.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How tasks are run in the background: refreshes, if a client asks for
    /// them ([`Caching::refresh_after`](super::Caching::refresh_after)). The
    /// function must return at once. A task that it drops is a refresh that
    /// does not happen: the data key serves until it expires. With the feature
    /// `tokio` the runtime that a request runs in is used where this is not
    /// set.
    pub fn spawn_with(mut self, spawn: impl Fn(BackgroundTask) + Send + Sync + 'static) -> Self {
        self.spawn = Some(Arc::new(spawn));
        self
    }

    /// Is told what an application may want to know at once. Called by the
    /// request that meets it: be quick.
    pub fn on_event(mut self, on_event: impl Fn(&CacheEvent<'_>) + Send + Sync + 'static) -> Self {
        self.on_event = Some(Box::new(on_event));
        self
    }

    /// The cache.
    pub fn build(self) -> DataKeyCache {
        DataKeyCache(Arc::new(Shared {
            capacity: self.capacity,
            state: Mutex::new(State::new(self.capacity)),
            clock: self.clock,
            spawn: self.spawn,
            on_event: self.on_event,
        }))
    }
}

impl fmt::Debug for DataKeyCacheBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataKeyCacheBuilder")
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

/// What the cache gives to a request.
pub(super) enum Answer {
    Ready(Materials),
    Wait(Ticket, CacheOutcome),
    Refused(Error),
    /// The same again, with a call to be made.
    NeedsCall,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state; what that takes out is dropped after the lock.
    fn with_state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let before = report::Before::of(&state);
        let value = change(&mut state);
        let removed = state.take_removed();
        let report = before.after(&state);
        drop(state);
        drop(removed);
        report.send();
        value
    }

    pub(super) fn decide(
        self: &Arc<Self>,
        need: &Need<'_>,
        call: &mut Option<(Call, Error)>,
    ) -> Answer {
        let now = self.clock.elapsed();
        let mut spawner = None;
        let decision = self.with_state(|state| {
            let can_spawn = || {
                spawner = self.spawner();
                spawner.is_some()
            };
            state.decide(need, now, can_spawn, call)
        });
        match decision {
            Decision::Hit { materials, refresh } => {
                if let (Some(place), Some(spawner)) = (refresh, spawner) {
                    let ticket = self.ticket((need.id, Caller::Async), need.limits, place);
                    spawner.spawn(Box::pin(async move {
                        // A failure is settled where it lands.
                        let _ = ticket.await;
                    }));
                }
                Answer::Ready(materials)
            }
            Decision::Wait(place, outcome) => {
                let ticket = self.ticket((need.id, need.caller), need.limits, place);
                Answer::Wait(ticket, outcome)
            }
            Decision::Refused(error) => Answer::Refused(error),
            Decision::NeedsCall => Answer::NeedsCall,
        }
    }

    fn ticket(
        self: &Arc<Self>,
        key: (EntryId, Caller),
        limits: &Arc<Limits>,
        place: Place,
    ) -> Ticket {
        Ticket {
            cache: self.clone(),
            key,
            limits: limits.clone(),
            place,
            is_used: false,
        }
    }

    /// Counts a call past the cache.
    pub(super) async fn bypass<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.with_state(|state| state.statistics.count(CacheOutcome::Bypass));
        let started = self.clock.elapsed();
        let result = call.await;
        let took = self.clock.elapsed().saturating_sub(started);
        self.with_state(|state| state.statistics.count_call(took, result.is_ok()));
        report::call(took, result.is_ok());
        result
    }

    fn evict(&self, chosen: &Chosen<'_>) -> usize {
        self.with_state(|state| state.evict(chosen))
    }

    fn land(&self, ticket: &Ticket, result: &Result<Materials>) -> Option<Unrefreshed> {
        let now = self.clock.elapsed();
        ticket.place.flight.set_landed(now);
        let took = now.saturating_sub(ticket.place.flight.started);
        let unrefreshed = self.with_state(|state| {
            state.statistics.count_call(took, result.is_ok());
            state.land(ticket.key, &ticket.place.flight, result, now)
        });
        report::call(took, result.is_ok());
        unrefreshed
    }

    fn tell(&self, partition: &str, unrefreshed: Unrefreshed, error: &Error) {
        let event = match unrefreshed {
            Unrefreshed::Stale(left) => CacheEvent::ServingStale {
                partition,
                error,
                left,
            },
            Unrefreshed::Denied => CacheEvent::RefreshDenied { partition, error },
        };
        report::event(&event);
        if let Some(on_event) = &self.on_event {
            on_event(&event);
        }
    }

    fn spawner(&self) -> Option<Spawner> {
        if let Some(spawn) = &self.spawn {
            return Some(Spawner::Given(spawn.clone()));
        }
        #[cfg(feature = "tokio")]
        if let Ok(handle) = tokio::runtime::Handle::try_current() {
            return Some(Spawner::Tokio(handle));
        }
        None
    }
}

enum Spawner {
    Given(Arc<Spawn>),
    #[cfg(feature = "tokio")]
    Tokio(tokio::runtime::Handle),
}

impl Spawner {
    fn spawn(self, task: BackgroundTask) {
        match self {
            Spawner::Given(spawn) => spawn(task),
            #[cfg(feature = "tokio")]
            Spawner::Tokio(handle) => drop(handle.spawn(task)),
        }
    }
}

/// A place in a call under way: waits for its result, and helps it on.
pub(super) struct Ticket {
    cache: Arc<Shared>,
    key: (EntryId, Caller),
    limits: Arc<Limits>,
    place: Place,
    /// Whether the call has ended, so that the place is taken for good.
    is_used: bool,
}

impl Ticket {
    pub(super) fn flight(&self) -> &Arc<Flight> {
        &self.place.flight
    }
}

impl Future for Ticket {
    /// `None` where they have expired before this was polled.
    type Output = Result<Option<Materials>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Place { flight, seat, .. } = &self.place;
        let (has_landed, unrefreshed) = (Cell::new(false), Cell::new(None));
        let polled = flight.poll(*seat, context, |result| {
            has_landed.set(true);
            unrefreshed.set(self.cache.land(&self, result));
        });
        let Poll::Ready(result) = polled else {
            return Poll::Pending;
        };
        self.is_used = true;
        // When all who wait have been woken: this may take a while.
        if let (Err(error), Some(unrefreshed)) = (&result, unrefreshed.take()) {
            self.cache.tell(&self.limits.partition, unrefreshed, error);
        }
        // Who has landed it takes it, however short the age: each call serves
        // one request at least.
        let has_expired = !has_landed.get() && {
            let now = self.cache.clock.elapsed();
            self.place.flight.has_expired(now, self.limits.max_age)
        };
        Poll::Ready(result.map(|materials| (!has_expired).then_some(materials)))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let left = if self.is_used {
            // The last one takes what the call has brought out of the flight:
            // the call's waker may keep that for long.
            self.place.flight.leave(self.place.seat)
        } else {
            let mut state = self.cache.state();
            state.leave(self.key, &self.place)
        };
        // The call may do anything as it is dropped.
        drop(left);
    }
}
