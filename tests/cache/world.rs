//! A cache, a clock, and a provider that counts, fails and waits as a test
//! wants.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use waxseal::test_util::{CountingProvider, Delay, DelayingProvider, FailingProvider, ManualClock};
use waxseal::{
    BackgroundTask, CacheEvent, CacheOutcome, CacheStatistics, Caching, Client, ClientBuilder,
    DataKeyCache, DataKeyCacheBuilder, EncryptionContext, Error, KeyProvider, MultiProvider,
    inspect,
};

use crate::support::{raw, ready};

pub(crate) type Failing = FailingProvider<Arc<dyn KeyProvider>>;

/// The partition that a world's clients share.
pub(crate) const PARTITION: &str = "partition";
/// The age that a world's data keys may get.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(100);

pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) cache: DataKeyCache,
    pub(crate) provider: CountingProvider<DelayingProvider<Failing>>,
    /// Whether a call fails is decided when it is let go.
    pub(crate) failing: Failing,
    pub(crate) delaying: DelayingProvider<Failing>,
}

impl World {
    pub(crate) fn new(capacity: usize) -> Self {
        Self::with(capacity, raw("key", 7), |cache| cache)
    }

    pub(crate) fn with(
        capacity: usize,
        provider: impl KeyProvider + 'static,
        more: impl FnOnce(DataKeyCacheBuilder) -> DataKeyCacheBuilder,
    ) -> Self {
        let clock = ManualClock::default();
        // Not from the start of the clock: ages are differences.
        clock.advance(Duration::from_secs(12_345));
        let cache = more(DataKeyCache::builder(capacity).clock(clock.clone())).build();
        let provider: Arc<dyn KeyProvider> = Arc::new(provider);
        let failing = FailingProvider::new(provider);
        let delaying = DelayingProvider::new(failing.clone(), Delay::None);
        World {
            clock,
            cache,
            provider: CountingProvider::new(delaying.clone()),
            failing,
            delaying,
        }
    }

    pub(crate) fn caching(&self) -> Caching {
        Caching::new(&self.cache, MAX_AGE).partition(PARTITION)
    }

    pub(crate) fn builder(&self) -> ClientBuilder {
        Client::builder(self.provider.clone())
    }

    /// A client of the common partition.
    pub(crate) fn client(&self) -> Client {
        self.client_with(|caching| caching)
    }

    pub(crate) fn client_with(&self, limits: impl FnOnce(Caching) -> Caching) -> Client {
        self.builder()
            .caching(limits(self.caching()))
            .build()
            .unwrap()
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    pub(crate) fn statistics(&self) -> CacheStatistics {
        self.cache.statistics()
    }

    pub(crate) fn generated(&self) -> u64 {
        self.provider.counts().generate.started
    }

    pub(crate) fn unwrapped(&self) -> u64 {
        self.provider.counts().unwrap.started
    }

    /// Holds the calls from now on.
    pub(crate) fn hold(&self) {
        self.delaying.set(Delay::UntilReleased);
    }

    /// Lets all calls go on, and those to come.
    pub(crate) fn let_go(&self) {
        self.delaying.set(Delay::None);
        self.delaying.release_all();
    }
}

/// A world with two wrapping keys: each data key is wrapped under both.
pub(crate) fn two_keys() -> MultiProvider {
    MultiProvider::new(raw("first", 1)).with(raw("second", 2))
}

pub(crate) fn tenant(number: usize) -> EncryptionContext {
    EncryptionContext::from([("tenant", number.to_string())])
}

/// Where the data key of a message of so many bytes comes from.
#[track_caller]
pub(crate) fn prepare(client: &Client, context: &EncryptionContext, bytes: u64) -> CacheOutcome {
    try_prepare(client, context, bytes).unwrap()
}

pub(crate) fn try_prepare(
    client: &Client,
    context: &EncryptionContext,
    bytes: u64,
) -> Result<CacheOutcome, Error> {
    let prepared = ready(client.prepare(context, Some(bytes)))?;
    Ok(prepared.cache_outcome().expect("there is a cache"))
}

#[track_caller]
pub(crate) fn encrypt(client: &Client, context: &EncryptionContext) -> Vec<u8> {
    ready(client.encrypt(b"text", context)).unwrap()
}

/// Where the data key of this message comes from when it is read.
#[track_caller]
pub(crate) fn decrypt(client: &Client, message: &[u8]) -> CacheOutcome {
    try_decrypt(client, message, &EncryptionContext::new()).unwrap()
}

pub(crate) fn try_decrypt(
    client: &Client,
    message: &[u8],
    expected: &EncryptionContext,
) -> Result<CacheOutcome, Error> {
    let decrypted = ready(client.decrypt(message, expected))?;
    Ok(decrypted.details.cache_outcome.expect("there is a cache"))
}

/// Which data key a message is under: each is wrapped once.
pub(crate) fn data_key_of(message: &[u8]) -> Vec<u8> {
    let header = inspect(message).unwrap();
    header.encrypted_data_keys()[0].ciphertext().to_vec()
}

/// Background tasks that a test runs when it wants to.
#[derive(Clone, Default)]
pub(crate) struct Background(Arc<Mutex<Vec<BackgroundTask>>>);

impl Background {
    pub(crate) fn spawn_with(&self, cache: DataKeyCacheBuilder) -> DataKeyCacheBuilder {
        let tasks = self.0.clone();
        cache.spawn_with(move |task| tasks.lock().unwrap().push(task))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub(crate) fn take(&self) -> Vec<BackgroundTask> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// Runs what is there; each is ready at once.
    pub(crate) fn run(&self) {
        for task in self.take() {
            ready(task);
        }
    }
}

/// What a cache has told the application.
#[derive(Clone, Default)]
pub(crate) struct Events(Arc<Mutex<Vec<String>>>);

impl Events {
    pub(crate) fn on_event(&self, cache: DataKeyCacheBuilder) -> DataKeyCacheBuilder {
        let events = self.0.clone();
        cache.on_event(move |event| {
            let text = match event {
                CacheEvent::ServingStale {
                    partition,
                    error,
                    left,
                } => {
                    assert!(error.is_retryable());
                    format!("{partition}: stale for {} s", left.as_secs_f64())
                }
                CacheEvent::RefreshDenied { partition, error } => {
                    assert!(!error.is_retryable());
                    format!("{partition}: denied")
                }
                other => panic!("{other:?}"),
            };
            events.lock().unwrap().push(text);
        })
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}
