//! The clock, the providers and the random sources that the feature `test-util`
//! has for the library's users.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant, SystemTime};

use waxseal::test_util::{
    CountingProvider, Delay, DelayingProvider, FailingProvider, FailingRandom, FixedRandom,
    ManualClock, SequentialRandom,
};
use waxseal::{
    AlgorithmSuite, Client, Clock, CryptoBackend, EncryptionContext, Error, KeyProvider,
    MultiProvider, ProviderErrorKind, ProviderOperation, RandomError, RawAesProvider, SecretBytes,
    SecureRandom, SystemClock, inspect,
};

fn raw_aes(name: &str) -> RawAesProvider {
    let key = SecretBytes::from(vec![name.len() as u8; 32]);
    RawAesProvider::new("namespace", name, &key).unwrap()
}

fn context() -> EncryptionContext {
    EncryptionContext::from([("tenant", "7")])
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn manual_clock() {
    let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
    let handle: Arc<dyn Clock> = Arc::new(clock.clone());
    assert_eq!(handle.now(), SystemTime::UNIX_EPOCH);
    assert_eq!(handle.elapsed(), Duration::ZERO);
    clock.advance(MINUTE);
    assert_eq!(handle.now(), SystemTime::UNIX_EPOCH + MINUTE);
    assert_eq!(handle.elapsed(), MINUTE);
    // Setting the date back makes nothing younger.
    clock.set(SystemTime::UNIX_EPOCH);
    assert_eq!(handle.now(), SystemTime::UNIX_EPOCH);
    assert_eq!(handle.elapsed(), MINUTE);
}

#[test]
fn system_clock() {
    let (one, other) = (SystemClock, SystemClock);
    let before = one.elapsed();
    std::thread::sleep(Duration::from_millis(2));
    assert!(other.elapsed() >= before + Duration::from_millis(2));
    let apart = one.now().duration_since(SystemTime::now());
    assert!(apart.unwrap_or_else(|early| early.duration()) < MINUTE);
}

#[test]
fn counts_say_what_became_of_each_call() {
    let failing = FailingProvider::new(raw_aes("one"));
    let delaying = DelayingProvider::new(failing.clone(), Delay::None);
    let counting = CountingProvider::new(delaying.clone());
    let client = Client::new(MultiProvider::new(raw_aes("two")).with(counting.clone()));

    let blocking = client.blocking();
    let message = blocking.encrypt(b"plaintext", &context()).unwrap();
    assert_eq!(counting.counts().wrap.succeeded, 1);
    failing.fail(ProviderErrorKind::AccessDenied);
    assert!(blocking.encrypt(b"plaintext", &context()).is_err());
    assert_eq!(counting.counts().wrap.failed, 1);
    assert_eq!(counting.counts().generate.started, 0);
    // The first provider opens it, and this one is not asked.
    blocking.decrypt(&message, &context()).unwrap();
    assert_eq!(counting.counts().unwrap.started, 0);

    failing.recover();
    delaying.set(Delay::UntilReleased);
    let mut waker = Context::from_waker(Waker::noop());
    {
        let context = context();
        let mut call = pin!(client.encrypt(b"plaintext", &context));
        assert!(call.as_mut().poll(&mut waker).is_pending());
        assert_eq!(counting.counts().wrap.in_flight(), 1);
    }
    let counts = counting.counts();
    assert_eq!((counts.wrap.in_flight(), counts.wrap.abandoned), (0, 1));
    assert_eq!(counts.wrap.started, 3);
    assert_eq!((counts.total(), counts.most_in_flight), (3, 1));
    assert_eq!(counting.identity(), raw_aes("one").identity());
    assert_eq!(delaying.held(), 0);
}

#[test]
fn failing_by_plan() {
    let provider = FailingProvider::new(raw_aes("one"));
    let client = Client::new(provider.clone()).blocking();
    let works = || match client.encrypt(b"plaintext", &context()) {
        Ok(_) => None,
        Err(Error::Provider(error)) => {
            assert_eq!(error.operation(), ProviderOperation::Generate);
            assert_eq!(error.provider(), raw_aes("one").identity().label());
            Some(error.kind())
        }
        Err(error) => panic!("{error}"),
    };
    let kinds = |calls: usize| (0..calls).map(|_| works()).collect::<Vec<_>>();
    let unavailable = ProviderErrorKind::Unavailable;
    let (fails, denied) = (Some(unavailable), Some(ProviderErrorKind::AccessDenied));

    assert_eq!(kinds(2), [None; 2]);
    provider.fail(unavailable);
    assert_eq!(kinds(3), [fails; 3]);
    provider.recover();
    assert_eq!(kinds(2), [None; 2]);
    provider.fail_next(2, unavailable);
    assert_eq!(kinds(4), [fails, fails, None, None]);
    provider.fail_every(3, unavailable);
    assert_eq!(kinds(7), [None, None, fails, None, None, fails, None]);
    provider.fail_every(0, unavailable);
    assert_eq!(kinds(2), [None; 2]);
    provider.script([None, denied, fails]);
    assert_eq!(kinds(5), [None, denied, fails, None, None]);
    assert_eq!(provider.failures(), 9);

    provider.only(ProviderOperation::Unwrap);
    provider.fail_next(1, unavailable);
    assert_eq!(works(), None);
    let message = client.encrypt(b"plaintext", &context()).unwrap();
    let error = client.decrypt(&message, &context()).unwrap_err();
    assert!(error.is_retryable());
    let Error::Unwrap(failures) = error else {
        panic!("{error}");
    };
    let failed: Vec<_> = failures.iter().collect();
    assert_eq!((failed.len(), failed[0].causes[0].kind()), (1, unavailable));
    assert!(client.decrypt(&message, &context()).is_ok());
    provider.only(None);
    provider.fail(unavailable);
    assert_eq!(works(), fails);
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn delays_by_polls() {
    let provider = DelayingProvider::new(raw_aes("one"), Delay::Polls(3));
    let client = Client::new(provider.clone());
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut task = Context::from_waker(&waker);
    let context = context();
    let mut call = pin!(client.encrypt(b"plaintext", &context));
    for polls in 1..=3 {
        assert!(call.as_mut().poll(&mut task).is_pending());
        assert_eq!(woken.0.load(Ordering::SeqCst), polls);
    }
    assert!(matches!(call.poll(&mut task), Poll::Ready(Ok(_))));
    // What was made before is not changed by what is set now.
    let mut before = pin!(client.encrypt(b"plaintext", &context));
    assert!(before.as_mut().poll(&mut task).is_pending());
    provider.set(Delay::None);
    assert!(before.as_mut().poll(&mut task).is_pending());
    let mut after = pin!(client.encrypt(b"plaintext", &context));
    assert!(after.as_mut().poll(&mut task).is_ready());
}

/// Polls each once, keeps those that are pending, and says how many were not.
fn poll_each<F: Future + Unpin>(calls: &mut Vec<F>, task: &mut Context<'_>) -> usize {
    let before = calls.len();
    calls.retain_mut(|call| pin!(call).poll(task).is_pending());
    before - calls.len()
}

#[test]
fn delays_until_released() {
    let provider = DelayingProvider::new(raw_aes("one"), Delay::UntilReleased);
    let client = Client::new(provider.clone());
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut task = Context::from_waker(&waker);
    let context = context();
    let mut calls: Vec<_> = (0..4)
        .map(|_| Box::pin(client.encrypt(b"plaintext", &context)))
        .collect();
    let mut poll = |calls: &mut _| poll_each(calls, &mut task);
    assert_eq!(poll(&mut calls), 0);
    assert_eq!(provider.held(), 4);
    assert!(provider.release_next());
    assert_eq!((provider.held(), woken.0.load(Ordering::SeqCst)), (3, 1));
    assert_eq!(poll(&mut calls), 1);
    // One that is dropped is held no more.
    calls.pop();
    assert_eq!(provider.held(), 2);
    assert_eq!(provider.release_all(), 2);
    assert_eq!(poll(&mut calls), 2);
    assert!(!provider.release_next());
    assert_eq!(provider.release_all(), 0);
    assert!(!provider.wait_for_held(1, Duration::from_millis(1)));
}

#[test]
fn delays_for_a_time() {
    let provider = DelayingProvider::new(raw_aes("one"), Delay::For(Duration::from_millis(30)));
    let counting = CountingProvider::new(provider);
    let client = Client::new(counting.clone()).blocking();
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| client.encrypt(b"plaintext", &context()).unwrap());
        }
    });
    assert!(started.elapsed() >= Duration::from_millis(30));
    assert_eq!(counting.counts().generate.succeeded, 8);
    assert!(counting.counts().most_in_flight > 1);
}

fn client_with(random: impl SecureRandom + 'static) -> waxseal::blocking::Client {
    let backend = CryptoBackend::default().with_random(Arc::new(random));
    let builder = Client::builder(raw_aes("one")).backend(backend);
    builder.build().unwrap().blocking()
}

#[test]
fn sequential_random() {
    let mut whole = [0; 40];
    SequentialRandom::starting_at(0x0102)
        .fill(&mut whole)
        .unwrap();
    assert_eq!(whole[..8], [0, 0, 0, 0, 0, 0, 1, 2]);
    assert_eq!(whole[32..], [0, 0, 0, 0, 0, 0, 1, 6]);
    // However it is drawn, also through clones.
    let random = SequentialRandom::starting_at(0x0102);
    let mut pieces = Vec::new();
    for length in [1, 0, 12, 7, 20] {
        let mut piece = vec![0; length];
        random.clone().fill(&mut piece).unwrap();
        pieces.extend(piece);
    }
    assert_eq!(pieces, whole);

    let message = |number| {
        let client = client_with(SequentialRandom::starting_at(number));
        let twice = [1, 2].map(|_| client.encrypt(b"plaintext", &context()).unwrap());
        assert_ne!(twice[0], twice[1]);
        twice
    };
    assert_eq!(message(0), message(0));
    assert_ne!(message(0), message(1_000));
    let client = client_with(SequentialRandom::new());
    let message = client.encrypt(b"plaintext", &context()).unwrap();
    let decrypted = client.decrypt(&message, &context()).unwrap();
    assert_eq!(decrypted.plaintext, b"plaintext");
}

#[test]
fn fixed_random() {
    let bytes: Vec<_> = (0..200).collect();
    let random = FixedRandom::new(bytes.clone());
    let client = client_with(random.clone());
    let message = client.encrypt(b"plaintext", &context()).unwrap();
    // A message id, a data key, and an IV to wrap it with.
    assert_eq!(random.left(), 200 - 32 - 32 - 12);
    let id = inspect(&message).unwrap().message_id().to_vec();
    assert!(bytes.windows(32).any(|part| part == id));
    client.encrypt(b"plaintext", &context()).unwrap();
    let left = random.left();
    let error = client.encrypt(b"plaintext", &context()).unwrap_err();
    let expected = format!("76 bytes asked for, {left} of the fixed ones left");
    assert!(matches!(&error, Error::Random(error) if error.to_string().contains(&expected)));
    assert_eq!(random.left(), left);
}

#[test]
fn failing_random() {
    let random = FailingRandom::after(2);
    let client = client_with(random.clone());
    let encrypt = || client.encrypt(b"plaintext", &context());
    assert!(encrypt().is_ok() && encrypt().is_ok());
    assert!(matches!(encrypt(), Err(Error::Random(_))));
    assert!(matches!(encrypt(), Err(Error::Random(_))));
    assert_eq!(random.failures(), 2);
    random.allow(1);
    assert!(encrypt().is_ok() && encrypt().is_err());

    let fixed: Arc<dyn SecureRandom> = Arc::new(FixedRandom::new([7; 4]));
    let random = FailingRandom::over(fixed, 1);
    let mut out = [0; 4];
    assert_eq!(random.fill(&mut out), Ok(()));
    assert_eq!(out, [7; 4]);
    let error = RandomError::new("this source was told to fail");
    assert_eq!(random.fill(&mut out), Err(error));
}

/// Wherever in a message the random source fails, that is the error.
#[test]
fn failing_random_at_each_call() {
    for suite in AlgorithmSuite::ALL
        .into_iter()
        .filter(|suite| suite.commits())
    {
        let mut calls = 0;
        loop {
            let random = FailingRandom::after(calls);
            let backend = CryptoBackend::default().with_random(Arc::new(random.clone()));
            let builder = Client::builder(raw_aes("one"))
                .suite(suite)
                .backend(backend);
            let client = builder.build().unwrap().blocking();
            match client.encrypt(b"plaintext", &context()) {
                Ok(_) => break assert_eq!(random.failures(), 0),
                Err(Error::Random(_)) => assert!(random.failures() > 0),
                Err(Error::Provider(error)) => {
                    assert_eq!(error.kind(), ProviderErrorKind::Random);
                }
                Err(error) => panic!("{suite}, call {calls}: {error}"),
            }
            calls += 1;
        }
        assert!(calls >= if suite.is_signed() { 3 } else { 1 }, "{suite}");
    }
}
