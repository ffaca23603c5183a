//! Thousands of requests for one data key at once, against a provider that is
//! slow, fails, or is no longer waited for.

#[path = "support/watched.rs"]
mod watched;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use watched::watched;
use waxseal::test_util::{
    CallCounts, CountingProvider, Delay, DelayingProvider, FailingProvider, ManualClock,
};
use waxseal::{
    CacheOutcome, Caching, Client, DataKeyCache, EncryptionContext, Error, ProviderErrorKind,
    ProviderOperation, RawAesProvider, SecretBytes,
};

const REQUESTS: usize = 3_000;
const THREADS: usize = 200;
const MAX_AGE: Duration = Duration::from_secs(100);
const LATENCY: Duration = Duration::from_millis(50);
const TEXT: &[u8] = b"attack at dawn";

type Flaky = FailingProvider<RawAesProvider>;

fn raw_aes() -> RawAesProvider {
    RawAesProvider::new("ns", "key", &SecretBytes::from(vec![7; 32])).expect("a key")
}

fn context() -> EncryptionContext {
    EncryptionContext::from([("tenant", "7")])
}

/// A client with a cache, before a provider that can be made slow and fail.
struct World {
    client: Client,
    cache: DataKeyCache,
    clock: ManualClock,
    calls: CountingProvider<DelayingProvider<Flaky>>,
    latency: DelayingProvider<Flaky>,
    failures: Flaky,
    /// What the requests to decrypt decrypt.
    message: Vec<u8>,
}

impl World {
    fn new(change: impl FnOnce(Caching) -> Caching) -> Arc<Self> {
        let failures = FailingProvider::new(raw_aes());
        let latency = DelayingProvider::new(failures.clone(), Delay::For(LATENCY));
        let calls = CountingProvider::new(latency.clone());
        let clock = ManualClock::default();
        let cache = DataKeyCache::builder(10).clock(clock.clone()).build();
        let caching = change(Caching::new(&cache, MAX_AGE));
        let client = Client::builder(calls.clone()).caching(caching);
        let uncached = Client::new(raw_aes()).blocking();
        Arc::new(World {
            client: client.build().expect("settings"),
            cache,
            clock,
            calls,
            latency,
            failures,
            message: uncached.encrypt(TEXT, &context()).expect("a message"),
        })
    }

    /// One request, whose result is held against what it should be.
    async fn request(&self, operation: Operation) -> Result<Option<CacheOutcome>, Error> {
        match operation {
            Operation::Encrypt => {
                let prepared = self.client.prepare(&context(), Some(100)).await?;
                let outcome = prepared.cache_outcome();
                check(&prepared.encrypt(TEXT)?);
                Ok(outcome)
            }
            Operation::Decrypt => {
                let decrypted = self.client.decrypt(&self.message, &context()).await?;
                assert_eq!(decrypted.plaintext, TEXT);
                Ok(decrypted.details.cache_outcome)
            }
        }
    }

    fn request_blocking(&self, operation: Operation) -> Result<Option<CacheOutcome>, Error> {
        let client = self.client.blocking();
        match operation {
            Operation::Encrypt => {
                let prepared = client.prepare(&context(), Some(100))?;
                let outcome = prepared.cache_outcome();
                check(&prepared.encrypt(TEXT)?);
                Ok(outcome)
            }
            Operation::Decrypt => {
                let decrypted = client.decrypt(&self.message, &context())?;
                assert_eq!(decrypted.plaintext, TEXT);
                Ok(decrypted.details.cache_outcome)
            }
        }
    }

    fn counts(&self, operation: Operation) -> CallCounts {
        let counts = self.calls.counts();
        match operation {
            Operation::Encrypt => counts.generate,
            Operation::Decrypt => counts.unwrap,
        }
    }

    fn assert_calls(&self, operation: Operation, expected: u64) {
        let counts = self.counts(operation);
        assert_eq!((counts.started, counts.succeeded), (expected, expected));
        assert_eq!(self.calls.counts().total(), expected);
    }
}

/// A message that came out is one that a client without any cache reads.
fn check(message: &[u8]) {
    let client = Client::new(raw_aes()).blocking();
    let decrypted = client.decrypt(message, &context()).expect("a message");
    assert_eq!(decrypted.plaintext, TEXT);
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    Encrypt,
    Decrypt,
}

/// What the requests run on.
enum Executor {
    Tokio(Runtime),
    /// Threads that sleep while they wait.
    Threads,
}

impl Executor {
    fn all() -> [Self; 3] {
        let tokio = |mut builder: Builder| Executor::Tokio(builder.enable_time().build().unwrap());
        [
            tokio(Builder::new_multi_thread()),
            tokio(Builder::new_current_thread()),
            Executor::Threads,
        ]
    }

    /// All at once; gives what each met at the cache.
    fn stampede(&self, world: &Arc<World>, operation: Operation) -> Outcomes {
        let mut outcomes = Outcomes::default();
        match self {
            Executor::Tokio(runtime) => {
                let request = |_| {
                    let world = world.clone();
                    runtime.spawn(async move { world.request(operation).await })
                };
                let requests: Vec<_> = (0..REQUESTS).map(request).collect();
                runtime.block_on(async {
                    for request in requests {
                        outcomes.add(request.await.expect("no panic").expect("a message"));
                    }
                });
            }
            Executor::Threads => std::thread::scope(|scope| {
                let request = |_| scope.spawn(|| world.request_blocking(operation));
                let requests: Vec<_> = (0..THREADS).map(request).collect();
                for request in requests {
                    outcomes.add(request.join().expect("no panic").expect("a message"));
                }
            }),
        }
        outcomes
    }

    fn count(&self) -> u64 {
        match self {
            Executor::Tokio(_) => REQUESTS as u64,
            Executor::Threads => THREADS as u64,
        }
    }

    /// Until so many entries have been refreshed; the watchdog's time at most.
    fn wait_for_refreshes(&self, world: &World, refreshes: u64) {
        let is_there = || world.cache.statistics().refreshed >= refreshes;
        match self {
            Executor::Tokio(runtime) => runtime.block_on(async {
                while !is_there() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }),
            // Its request has waited for it.
            Executor::Threads => assert!(is_there()),
        }
    }
}

#[derive(Default, Debug, PartialEq, Eq)]
struct Outcomes {
    hits: u64,
    misses: u64,
    coalesced: u64,
    refreshes: u64,
}

impl Outcomes {
    fn add(&mut self, outcome: Option<CacheOutcome>) {
        *match outcome {
            Some(CacheOutcome::Hit) => &mut self.hits,
            Some(CacheOutcome::Miss) => &mut self.misses,
            Some(CacheOutcome::Coalesced) => &mut self.coalesced,
            Some(CacheOutcome::Refresh) => &mut self.refreshes,
            other => panic!("{other:?}"),
        } += 1;
    }
}

fn one_call_when_cold_and_when_expired(operation: Operation) {
    for executor in Executor::all() {
        let world = World::new(|caching| caching);
        for calls in 1..=3 {
            let outcomes = executor.stampede(&world, operation);
            world.assert_calls(operation, calls);
            assert_eq!((outcomes.misses, outcomes.refreshes), (1, 0));
            assert_eq!(outcomes.hits + outcomes.coalesced + 1, executor.count());
            // The age at which it is no longer valid, and not before.
            world.clock.advance(MAX_AGE - Duration::from_nanos(1));
            let outcomes = executor.stampede(&world, operation);
            assert_eq!(outcomes.hits, executor.count());
            world.assert_calls(operation, calls);
            world.clock.advance(Duration::from_nanos(1));
        }
    }
}

#[test]
fn encryptions_make_one_call_when_cold_and_when_expired() {
    watched(|| one_call_when_cold_and_when_expired(Operation::Encrypt));
}

#[test]
fn decryptions_make_one_call_when_cold_and_when_expired() {
    watched(|| one_call_when_cold_and_when_expired(Operation::Decrypt));
}

fn nobody_waits_at_expiry(operation: Operation) {
    for executor in Executor::all() {
        let world = World::new(|caching| caching.refresh_after(0.8));
        executor.stampede(&world, operation);
        for refreshes in 1..=3 {
            // Each entry's age comes to 0.8 of what it may be, twice in one
            // MAX_AGE and more.
            world.clock.advance(MAX_AGE * 8 / 10);
            let outcomes = executor.stampede(&world, operation);
            // Threads have nobody to call in the background: one of them waits.
            let waits = u64::from(matches!(executor, Executor::Threads));
            let expected = Outcomes {
                hits: executor.count() - waits,
                refreshes: waits,
                ..Outcomes::default()
            };
            assert_eq!(outcomes, expected);
            executor.wait_for_refreshes(&world, refreshes);
            world.assert_calls(operation, 1 + refreshes);
        }
        let evicted = world.cache.statistics().evicted;
        assert_eq!((evicted.replaced, evicted.expired), (3, 0));
    }
}

#[test]
fn no_encryption_waits_at_expiry() {
    watched(|| nobody_waits_at_expiry(Operation::Encrypt));
}

#[test]
fn no_decryption_waits_at_expiry() {
    watched(|| nobody_waits_at_expiry(Operation::Decrypt));
}

/// With the call held back until all are there, so that none comes too late to
/// wait.
#[test]
fn thousands_wait_for_one_call() {
    watched(|| {
        let world = World::new(|caching| caching);
        world.latency.set(Delay::UntilReleased);
        let runtime = Builder::new_multi_thread().build().unwrap();
        let releaser = {
            let world = world.clone();
            move || {
                let waiting = || {
                    let statistics = world.cache.statistics();
                    statistics.misses + statistics.coalesced
                };
                while waiting() < REQUESTS as u64 {
                    std::thread::sleep(Duration::from_millis(1));
                }
                world.latency.release_all()
            }
        };
        let releaser = std::thread::spawn(releaser);
        let outcomes = Executor::Tokio(runtime).stampede(&world, Operation::Encrypt);
        assert_eq!(releaser.join().unwrap(), 1);
        let coalesced = REQUESTS as u64 - 1;
        assert_eq!((outcomes.misses, outcomes.coalesced), (1, coalesced));
        world.assert_calls(Operation::Encrypt, 1);
    });
}

/// Numbers that are the same in each run.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, end: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// What became of the requests of a run.
#[derive(Default)]
struct Ended {
    good: AtomicU64,
    failed: AtomicU64,
    given_up: AtomicU64,
}

impl Ended {
    fn count<T>(&self, ended: Option<Result<T, Error>>) {
        let count = match ended {
            Some(Ok(_)) => &self.good,
            Some(Err(error)) => {
                assert_eq!(kind(&error), ProviderErrorKind::Unavailable, "{error}");
                &self.failed
            }
            None => &self.given_up,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> [u64; 3] {
        [&self.good, &self.failed, &self.given_up].map(|count| count.load(Ordering::Relaxed))
    }
}

/// The provider's own error, with its reason.
fn kind(error: &Error) -> ProviderErrorKind {
    match error {
        Error::Provider(error) => {
            assert_eq!(error.operation(), ProviderOperation::Generate);
            error.kind()
        }
        Error::Unwrap(failures) => {
            let failures: Vec<_> = failures.iter().collect();
            assert_eq!((failures.len(), failures[0].causes.len()), (1, 1));
            failures[0].causes[0].kind()
        }
        error => panic!("{error}"),
    }
}

const LIMIT: u64 = 100;

/// A world where each second call fails, at random, and a data key does not
/// last for all.
fn failing(seed: u64) -> Arc<World> {
    let world = World::new(|caching| caching.max_messages(LIMIT));
    let mut seeded = Seeded(seed);
    let fails = |_| (seeded.below(2) == 0).then_some(ProviderErrorKind::Unavailable);
    let script: Vec<_> = (0..2 * REQUESTS).map(fails).collect();
    world.failures.script(script);
    world.latency.set(Delay::For(LATENCY / 5));
    world
}

/// Every request is told, the calls are no more than there must be: each that
/// fails is some request's error, and the data keys are as few as the messages
/// need.
#[test]
fn half_the_calls_fail() {
    watched(|| {
        for (executor, seed) in Executor::all().into_iter().zip(1..) {
            for operation in [Operation::Encrypt, Operation::Decrypt] {
                let world = failing(seed);
                let ended = Arc::new(Ended::default());
                match &executor {
                    Executor::Tokio(runtime) => {
                        let request = |_| {
                            let (world, ended) = (world.clone(), ended.clone());
                            runtime.spawn(async move {
                                ended.count(Some(world.request(operation).await));
                            })
                        };
                        let requests: Vec<_> = (0..REQUESTS).map(request).collect();
                        runtime.block_on(async {
                            for request in requests {
                                request.await.expect("no panic");
                            }
                        });
                    }
                    Executor::Threads => std::thread::scope(|scope| {
                        for _ in 0..THREADS {
                            scope.spawn(|| {
                                for _ in 0..5 {
                                    ended.count(Some(world.request_blocking(operation)));
                                }
                            });
                        }
                    }),
                }
                let [good, failed, _] = ended.get();
                let counts = world.counts(operation);
                assert!(counts.failed <= failed, "{counts:?}, {failed} told");
                let keys = match operation {
                    Operation::Encrypt => good.div_ceil(LIMIT),
                    // Decryptions have no such limit.
                    Operation::Decrypt => good.min(1),
                };
                assert_eq!((counts.succeeded, counts.in_flight()), (keys, 0));
                assert_eq!(counts.started, keys + counts.failed);
            }
        }
    });
}

/// How a request is given up.
#[derive(Clone, Copy)]
enum Patience {
    Endless,
    Polls(u64),
    Time(Duration),
}

impl Patience {
    async fn wait<T>(self, request: impl Future<Output = T>) -> Option<T> {
        match self {
            Patience::Endless => Some(request.await),
            Patience::Polls(polls) => at_most(polls, pin!(request)).await,
            Patience::Time(time) => tokio::time::timeout(time, request).await.ok(),
        }
    }
}

/// Polls so often, and once more if somebody wakes it after the last time.
async fn at_most<F: Future>(mut polls: u64, mut request: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|context| {
        if polls == 0 {
            return Poll::Ready(None);
        }
        polls -= 1;
        let ended = request.as_mut().poll(context).map(Some);
        // The last poll has been.
        if polls == 0 && ended.is_pending() {
            return Poll::Ready(None);
        }
        ended
    })
    .await
}

/// Some give up, after a number of polls or a time, while half the calls fail.
///
/// A call is some request's, and each request makes at most one that ends in
/// its error: so those that fail are no more than the requests that failed or
/// were given up. A call is dropped only when all who waited have given up. A
/// data key's places may stay empty only where somebody gave up, so that each
/// who did costs one data key at most.
#[test]
fn half_the_calls_fail_and_many_give_up() {
    watched(|| {
        for seed in 10..14_u64 {
            for executor in Executor::all() {
                let Executor::Tokio(runtime) = executor else {
                    continue;
                };
                for operation in [Operation::Encrypt, Operation::Decrypt] {
                    let world = failing(seed);
                    // The call asks for several polls, so that giving up can fall
                    // between any two.
                    if seed.is_multiple_of(2) {
                        world.latency.set(Delay::Polls(20));
                    }
                    run_impatient(&runtime, &world, operation, seed);
                }
            }
        }
    });
}

fn run_impatient(runtime: &Runtime, world: &Arc<World>, operation: Operation, seed: u64) {
    let mut seeded = Seeded(seed);
    let ended = Arc::new(Ended::default());
    let request = |_| {
        let patience = match seeded.below(4) {
            0 => Patience::Endless,
            1 | 2 => Patience::Polls(seeded.below(8)),
            _ => Patience::Time(Duration::from_micros(seeded.below(30_000))),
        };
        let (world, ended) = (world.clone(), ended.clone());
        runtime.spawn(async move {
            ended.count(patience.wait(world.request(operation)).await);
        })
    };
    let requests: Vec<_> = (0..REQUESTS).map(request).collect();
    runtime.block_on(async {
        for request in requests {
            request.await.expect("no panic");
        }
    });
    let [good, failed, given_up] = ended.get();
    assert_eq!(good + failed + given_up, REQUESTS as u64);
    let counts = world.counts(operation);
    assert_eq!(counts.in_flight(), 0, "{counts:?}");
    assert!(counts.failed <= failed + given_up, "{counts:?}");
    assert!(counts.abandoned <= given_up, "{counts:?}");
    let needed = match operation {
        Operation::Encrypt => good.div_ceil(LIMIT),
        Operation::Decrypt => 1,
    };
    assert!(counts.succeeded <= needed + given_up, "{counts:?}");
}
