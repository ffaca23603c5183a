//! One test for each fault of the data-key cache that a review has found.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use waxseal::blocking::wait;
use waxseal::kms::{CreateKey, LocalKms};
use waxseal::test_util::{CountingProvider, Delay, DelayingProvider, ManualClock};
use waxseal::{
    Caching, Client, Clock, DataKeyCache, EncryptionContext, GenerateDataKey, GeneratedDataKey,
    KeyProvider, ProviderError, ProviderErrorKind, ProviderFuture, ProviderIdentity,
    ProviderOperation, RawAesProvider, SecretBytes, UnwrapDataKey, UnwrapFailures,
    UnwrappedDataKey,
};

const MAX_AGE: Duration = Duration::from_secs(300);

fn raw() -> RawAesProvider {
    RawAesProvider::new("test", "key-1", &SecretBytes::copy_from(&[7; 32])).expect("a key")
}

fn client(cache: &DataKeyCache, provider: impl KeyProvider + 'static) -> Client {
    let caching = Caching::new(cache, MAX_AGE).partition("p");
    let builder = Client::builder(provider).caching(caching);
    builder.build().expect("good settings")
}

fn none() -> EncryptionContext {
    EncryptionContext::new()
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn ready<T>(polled: Poll<T>) -> T {
    match polled {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits for something"),
    }
}

/// A ciphertext may name any key. That there is no such one is no change of a
/// key, and took what was called for at the time out of the cache.
#[test]
fn a_ciphertext_of_an_unknown_key_evicts_nothing() {
    let kms = LocalKms::in_memory().expect("opens");
    let other = LocalKms::in_memory().expect("opens");
    for kms in [&kms, &other] {
        wait(kms.create_key(CreateKey::new().alias("alias/app"))).expect("a key");
    }
    let message = Client::new(other.provider("alias/app"));
    let message = wait(message.encrypt(b"x", &none())).expect("encrypts");

    let cache = DataKeyCache::new(10);
    cache.follow(&kms);
    let provider = kms.provider("alias/app").opening_any_key();
    let delaying = DelayingProvider::new(provider.clone(), Delay::UntilReleased);
    let context = none();
    let client = client(&cache, delaying.clone());
    let mut called = pin!(client.encrypt(b"x", &context));
    assert!(poll(called.as_mut()).is_pending());
    assert!(wait(Client::new(provider).decrypt(&message, &none())).is_err());
    delaying.release_all();
    ready(poll(called)).expect("encrypts");
    assert_eq!(cache.statistics().entries, 1);
}

/// Fails with an error that holds a token, and keeps the waker of its call.
struct WakerKeeper {
    token: Arc<Token>,
    kept: Arc<Mutex<Option<Waker>>>,
}

struct Token;

#[derive(Debug)]
struct Holds(#[expect(dead_code, reason = "it is counted")] Arc<Token>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

impl std::fmt::Display for Holds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a token")
    }
}

impl std::error::Error for Holds {}

impl KeyProvider for WakerKeeper {
    fn identity(&self) -> ProviderIdentity {
        ProviderIdentity::new("keeps its waker", &[])
    }

    fn generate_data_key<'a>(
        &'a self,
        _: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        Box::pin(std::future::poll_fn(|context| {
            *self.kept.lock().unwrap() = Some(context.waker().clone());
            let (operation, kind) = (ProviderOperation::Generate, ProviderErrorKind::AccessDenied);
            let error = ProviderError::new(operation, kind, "keeps its waker");
            Poll::Ready(Err(error.with_source(Holds(self.token.clone()))))
        }))
    }

    fn unwrap_data_key<'a>(
        &'a self,
        _: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        Box::pin(std::future::ready(Err(UnwrapFailures::new())))
    }
}

/// A connection's client may hold the last call's waker for long, and with it
/// what the call has brought: a data key that an eviction could not wipe. (An
/// error here, since one can be counted.)
#[test]
fn what_a_call_brought_is_not_kept_by_its_waker() {
    let cache = DataKeyCache::new(10);
    let (token, kept) = (Arc::new(Token), Arc::default());
    let provider = WakerKeeper {
        token: token.clone(),
        kept: Arc::clone(&kept),
    };
    let client = client(&cache, provider);
    assert!(wait(client.encrypt(b"x", &none())).is_err());
    drop(client);
    assert!(kept.lock().unwrap().is_some());
    assert_eq!(Arc::strong_count(&token), 1);
}

/// A clock that panics when it is told to, once.
#[derive(Clone, Default)]
struct Panicking(Arc<AtomicBool>);

impl Clock for Panicking {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn elapsed(&self) -> Duration {
        assert!(!self.0.swap(false, Ordering::SeqCst), "the clock is broken");
        Duration::ZERO
    }
}

/// Whoever waits for a call must get its end, also where the thread that has
/// met it panics before it could tell them.
#[test]
fn a_panic_as_a_call_ends_leaves_nobody_waiting() {
    let clock = Panicking::default();
    let cache = DataKeyCache::builder(10).clock(clock.clone()).build();
    let provider = DelayingProvider::new(raw(), Delay::UntilReleased);
    let client = client(&cache, provider.clone());
    let context = none();
    let mut first = Box::pin(client.encrypt(b"x", &context));
    let mut second = Box::pin(client.encrypt(b"x", &context));
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(second.as_mut()).is_pending());
    provider.set(Delay::None);
    provider.release_all();
    clock.0.store(true, Ordering::SeqCst);
    assert!(catch_unwind(AssertUnwindSafe(|| poll(first.as_mut()))).is_err());
    drop(first);
    ready(poll(second.as_mut())).expect("encrypts");
    ready(poll(pin!(client.encrypt(b"x", &context)))).expect("encrypts");
    assert_eq!(cache.statistics().hits, 1);
}

/// A request that waits for a call and is not polled for long must not use a
/// data key that has expired meanwhile.
#[test]
fn a_data_key_that_expired_while_its_waiter_slept_is_not_used() {
    let clock = ManualClock::default();
    let cache = DataKeyCache::builder(10).clock(clock.clone()).build();
    let provider = DelayingProvider::new(raw(), Delay::UntilReleased);
    let counting = CountingProvider::new(provider.clone());
    let client = client(&cache, counting.clone());
    let context = none();
    let mut first = pin!(client.encrypt(b"x", &context));
    let mut second = pin!(client.encrypt(b"x", &context));
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(second.as_mut()).is_pending());
    provider.set(Delay::None);
    provider.release_all();
    ready(poll(first)).expect("encrypts");
    assert_eq!(cache.statistics().provider_calls, 1);
    clock.advance(MAX_AGE);
    ready(poll(second)).expect("encrypts");
    assert_eq!(cache.statistics().provider_calls, 2);
}

/// Asks the cache something as it is dropped.
struct Asks(Arc<Mutex<Option<DataKeyCache>>>);

impl Drop for Asks {
    fn drop(&mut self) {
        if let Some(cache) = &*self.0.lock().unwrap() {
            cache.statistics();
        }
    }
}

impl std::fmt::Debug for Asks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Asks")
    }
}

impl std::fmt::Display for Asks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("asks")
    }
}

impl std::error::Error for Asks {}

/// Unwraps nothing.
struct Refusing(Arc<Mutex<Option<DataKeyCache>>>);

impl KeyProvider for Refusing {
    fn identity(&self) -> ProviderIdentity {
        ProviderIdentity::new("refuses", &[])
    }

    fn generate_data_key<'a>(
        &'a self,
        _: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        let (operation, kind) = (ProviderOperation::Generate, ProviderErrorKind::AccessDenied);
        Box::pin(std::future::ready(Err(ProviderError::new(
            operation, kind, "refuses",
        ))))
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        let mut failures = UnwrapFailures::new();
        for (index, edk) in request.encrypted_data_keys().iter().enumerate() {
            let (operation, kind) = (ProviderOperation::Unwrap, ProviderErrorKind::AccessDenied);
            let error = ProviderError::new(operation, kind, "refuses");
            failures.push(index, edk, error.with_source(Asks(self.0.clone())));
        }
        Box::pin(std::future::ready(Err(failures)))
    }
}

/// A provider's error may do anything as it is dropped: not under the cache's
/// lock.
#[test]
fn a_remembered_failure_is_dropped_outside_of_the_lock() {
    let (ended, watchdog) = mpsc::channel();
    std::thread::spawn(move || {
        let clock = ManualClock::default();
        let cache = DataKeyCache::builder(10).clock(clock.clone()).build();
        let asked = Arc::new(Mutex::new(Some(cache.clone())));
        let caching = Caching::new(&cache, MAX_AGE).negative_ttl(Duration::from_secs(1));
        let builder = Client::builder(Refusing(asked.clone())).caching(caching);
        let client = builder.build().expect("good settings");
        let message = wait(Client::new(raw()).encrypt(b"x", &none())).expect("encrypts");
        for _ in 0..2 {
            assert!(wait(client.decrypt(&message, &none())).is_err());
            clock.advance(Duration::from_secs(1));
        }
        cache.clear();
        asked.lock().unwrap().take();
        let _ = ended.send(cache.statistics().refused);
    });
    let refused = watchdog.recv_timeout(Duration::from_secs(60));
    assert_eq!(refused, Ok(0), "it ends");
}

/// What an alias means is part of what its provider makes and opens.
#[test]
fn an_alias_that_moves_is_followed() {
    let kms = LocalKms::in_memory().expect("opens");
    wait(kms.create_key(CreateKey::new().alias("alias/app"))).expect("a key");
    wait(kms.create_key(CreateKey::new().alias("alias/next"))).expect("a key");
    let cache = DataKeyCache::new(10);
    cache.follow(&kms);
    let client = client(&cache, kms.provider("alias/app"));
    let message = wait(client.encrypt(b"x", &none())).expect("encrypts");
    wait(client.decrypt(&message, &none())).expect("decrypts");
    assert_eq!(cache.statistics().entries, 2);
    wait(kms.update_alias("alias/app", "alias/next")).expect("moves");
    assert_eq!(cache.statistics().entries, 0);
    assert!(wait(client.decrypt(&message, &none())).is_err());
}

/// Each call after one that failed was held by that one, so that whoever kept
/// the first through an outage had the stack overflow in the end.
#[test]
fn a_long_outage_ends_for_one_who_is_never_polled_again() {
    let failing = waxseal::test_util::FailingProvider::new(raw());
    failing.fail(ProviderErrorKind::Unavailable);
    let provider = DelayingProvider::new(failing, Delay::UntilReleased);
    let client = client(&DataKeyCache::new(10), provider.clone());
    let context = none();
    let request = || Box::pin(client.prepare(&context, Some(1)));
    let mut waits = request();
    assert!(poll(waits.as_mut()).is_pending());
    let mut never_again = request();
    assert!(poll(never_again.as_mut()).is_pending());
    for _ in 0..100_000 {
        let mut next = request();
        assert!(poll(next.as_mut()).is_pending());
        provider.release_all();
        assert!(ready(poll(waits.as_mut())).is_err());
        assert!(poll(next.as_mut()).is_pending());
        waits = next;
    }
    drop(never_again);
}
