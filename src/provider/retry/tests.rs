//! On a clock that a wait moves: nothing here sleeps.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::policy::Time;
use super::*;
use crate::SecureRandom;
use crate::blocking::Client;
use crate::client::blocking::block_on;
use crate::clock::Clock;
use crate::context::EncryptionContext;
use crate::crypto::{CryptoBackend, Entropy, RandomError, SecretBytes};
use crate::error::Error;
use crate::provider::BoundContext;
use crate::provider::raw_aes::RawAesProvider;
use crate::suite::AlgorithmSuite;
use crate::test_util::{
    CheckOptions, CountingProvider, Delay, DelayingProvider, FailingProvider, FixedRandom,
    ManualClock, check_provider_blocking,
};
use std::pin::Pin;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// A wait is over at once, and has taken its time.
#[derive(Default)]
struct Jumps {
    clock: ManualClock,
    waits: Mutex<Vec<Duration>>,
}

impl Time for Jumps {
    fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.waits.lock().unwrap().push(time);
        self.clock.advance(time);
        Box::pin(std::future::ready(()))
    }
}

/// A source that always draws the highest.
struct Highest;

impl SecureRandom for Highest {
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        out.fill(0xff);
        Ok(())
    }
}

type Inner = FailingProvider<CountingProvider<RawAesProvider>>;

struct World {
    time: Arc<Jumps>,
    counting: CountingProvider<RawAesProvider>,
    failing: Inner,
}

impl World {
    fn new() -> Self {
        let key = SecretBytes::from(vec![7; 32]);
        let raw = RawAesProvider::new("namespace", "name", &key).unwrap();
        let counting = CountingProvider::new(raw);
        World {
            time: Arc::default(),
            failing: FailingProvider::new(counting.clone()),
            counting,
        }
    }

    fn retrying(&self, policy: RetryPolicy) -> RetryProvider<Inner> {
        let policy = policy.with(self.time.clone(), Arc::new(Highest));
        self.failing.clone().retrying(policy)
    }

    fn waits(&self) -> Vec<Duration> {
        std::mem::take(&mut self.time.waits.lock().unwrap())
    }

    fn generate(&self, policy: RetryPolicy) -> Result<GeneratedDataKey, ProviderError> {
        let mut entropy = Entropy::draw(CryptoBackend::default().random(), 0).unwrap();
        let request = request(&mut entropy);
        block_on(self.retrying(policy).generate_data_key(request))
    }
}

fn request(entropy: &mut Entropy) -> GenerateDataKey<'_> {
    static NONE: std::sync::LazyLock<EncryptionContext> =
        std::sync::LazyLock::new(EncryptionContext::new);
    let context = BoundContext {
        context: &NONE,
        bytes: &[],
    };
    GenerateDataKey::new(
        AlgorithmSuite::Aes256GcmHkdfSha512CommitKey,
        context,
        entropy,
    )
}

fn throttled(after: Duration) -> ProviderErrorKind {
    ProviderErrorKind::Throttled {
        retry_after: Some(after),
    }
}

#[test]
fn waits_double_up_to_the_longest() {
    let world = World::new();
    world.failing.fail(ProviderErrorKind::Unavailable);
    let policy = RetryPolicy::new()
        .base_delay(100 * MS)
        .max_delay(500 * MS)
        .max_attempts(6);
    let error = world.generate(policy).unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::Unavailable);
    assert_eq!(error.attempts(), 6);
    assert!(error.to_string().contains("after 6 attempts"), "{error}");
    assert_eq!(world.failing.failures(), 6);
    assert_eq!(
        world.waits(),
        [100 * MS, 200 * MS, 400 * MS, 500 * MS, 500 * MS]
    );
}

#[test]
fn jitter_is_full() {
    let drawn = |bytes: [u8; 8]| {
        let world = World::new();
        let random = Arc::new(FixedRandom::new(bytes));
        let policy = RetryPolicy::new().base_delay(100 * MS).max_attempts(2);
        let policy = policy.with(world.time.clone(), random);
        world.failing.fail(ProviderErrorKind::TimedOut);
        let provider = world.failing.clone().retrying(policy);
        let mut entropy = Entropy::draw(CryptoBackend::default().random(), 0).unwrap();
        block_on(provider.generate_data_key(request(&mut entropy))).unwrap_err();
        world.waits()[0]
    };
    assert_eq!(drawn([0; 8]), Duration::ZERO);
    assert_eq!(drawn((1u64 << 63).to_le_bytes()), 50 * MS);
    assert_eq!(drawn([0xff; 8]), 100 * MS);
}

#[test]
fn delays_do_not_overflow() {
    let world = World::new();
    world.failing.fail(ProviderErrorKind::Unavailable);
    let policy = RetryPolicy::new()
        .base_delay(Duration::MAX)
        .max_delay(10 * MS)
        .max_attempts(70)
        .total_time(Duration::MAX);
    assert_eq!(world.generate(policy).unwrap_err().attempts(), 70);
    assert!(world.waits().iter().all(|wait| *wait == 10 * MS));
}

#[test]
fn success_ends_it() {
    let world = World::new();
    world.failing.fail_next(2, ProviderErrorKind::Unavailable);
    assert!(world.generate(RetryPolicy::new()).is_ok());
    assert_eq!(world.counting.counts().generate.started, 1);
    assert_eq!(world.waits().len(), 2);
}

#[test]
fn only_errors_that_say_so() {
    for kind in [
        ProviderErrorKind::NotConfigured,
        ProviderErrorKind::InvalidCiphertext,
        ProviderErrorKind::Unsupported,
        ProviderErrorKind::AccessDenied,
        ProviderErrorKind::KeyDisabled,
        ProviderErrorKind::NotFound,
        ProviderErrorKind::InvalidResponse,
        ProviderErrorKind::WouldBlock,
        ProviderErrorKind::Random,
        ProviderErrorKind::Other,
    ] {
        let world = World::new();
        world.failing.fail(kind);
        let error = world.generate(RetryPolicy::new()).unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (kind, 1));
        assert_eq!((world.failing.failures(), world.waits().len()), (1, 0));
    }
}

#[test]
fn the_services_own_delay_is_a_least() {
    let world = World::new();
    world.failing.fail_next(1, throttled(3000 * MS));
    assert!(world.generate(RetryPolicy::new()).is_ok());
    assert_eq!(world.waits(), [3100 * MS]);
}

#[test]
fn a_delay_beyond_the_total_time_is_not_waited_for() {
    let world = World::new();
    world.failing.fail(throttled(30_000 * MS));
    let error = world.generate(RetryPolicy::new()).unwrap_err();
    assert_eq!(error.kind(), throttled(30_000 * MS));
    assert_eq!((error.attempts(), world.waits().len()), (1, 0));
}

#[test]
fn the_total_time_ends_it() {
    let world = World::new();
    world.failing.fail(ProviderErrorKind::Unavailable);
    let policy = RetryPolicy::new()
        .base_delay(400 * MS)
        .max_delay(400 * MS)
        .max_attempts(u32::MAX)
        .total_time(1000 * MS);
    assert_eq!(world.generate(policy).unwrap_err().attempts(), 3);
    assert_eq!(world.waits(), [400 * MS, 400 * MS]);
}

#[test]
fn an_attempt_that_hangs_is_abandoned() {
    let world = World::new();
    let policy = RetryPolicy::new().total_time(20 * MS);
    let hanging = DelayingProvider::new(world.failing.clone(), Delay::UntilReleased);
    let provider = hanging.clone().retrying(policy);
    let mut entropy = Entropy::draw(CryptoBackend::default().random(), 0).unwrap();
    let error = block_on(provider.generate_data_key(request(&mut entropy))).unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts()),
        (ProviderErrorKind::TimedOut, 1)
    );
    assert_eq!(hanging.held(), 0);
}

#[test]
fn unwrapping_is_tried_again() {
    let world = World::new();
    let client = Client::new(world.retrying(RetryPolicy::new()));
    let context = EncryptionContext::from([("a", "b")]);
    let message = client.encrypt(b"text", &context).unwrap();
    world.failing.script([
        Some(throttled(MS)),
        Some(ProviderErrorKind::Unavailable),
        None,
    ]);
    assert!(client.decrypt(&message, &context).is_ok());
    assert_eq!(world.waits(), [101 * MS, 200 * MS]);

    world.failing.fail(ProviderErrorKind::Unavailable);
    let error = client.decrypt(&message, &context).unwrap_err();
    let Error::Unwrap(failures) = &error else {
        panic!("{error}");
    };
    let attempts = failures.iter().flat_map(|failure| &failure.causes);
    assert!(
        attempts.map(ProviderError::attempts).eq([4]),
        "{failures:?}"
    );
    world.failing.fail(ProviderErrorKind::AccessDenied);
    world.waits();
    client.decrypt(&message, &context).unwrap_err();
    assert!(world.waits().is_empty());
}

#[test]
fn a_dropped_call_is_not_tried_again() {
    let world = World::new();
    world.failing.fail(ProviderErrorKind::Unavailable);
    // The real timer: it stays in its first wait.
    let policy = RetryPolicy::new()
        .base_delay(Duration::from_secs(3600))
        .max_delay(Duration::from_secs(3600))
        .total_time(Duration::MAX)
        .with(Arc::new(Never), Arc::new(Highest));
    let provider = world.failing.clone().retrying(policy);
    let mut entropy = Entropy::draw(CryptoBackend::default().random(), 0).unwrap();
    let mut future = provider.generate_data_key(request(&mut entropy));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..3 {
        assert!(matches!(future.as_mut().poll(&mut context), Poll::Pending));
    }
    drop(future);
    assert_eq!(world.failing.failures(), 1);
}

/// Waits have no end.
struct Never;

impl Time for Never {
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::pending())
    }
}

#[test]
fn it_is_the_provider_that_it_holds() {
    let world = World::new();
    let (one, other) = (RetryPolicy::new(), RetryPolicy::never());
    let identity = world.counting.identity();
    assert_eq!(world.retrying(one).identity(), identity);
    assert_eq!(world.retrying(other).identity(), identity);
}

#[test]
fn shows_the_behaviour_of_a_provider() {
    let key = SecretBytes::from(vec![7; 32]);
    let raw = RawAesProvider::new("namespace", "name", &key).unwrap();
    let options = CheckOptions::new().wraps(true).most_calls(20);
    let provider = raw.retrying(RetryPolicy::new());
    check_provider_blocking(Arc::new(provider), &options).unwrap();
}
