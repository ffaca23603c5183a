//! Data keys that leave the data-key cache: their memory is freed at once, and
//! wiped.
#![allow(unsafe_code)] // reason: an allocator that keeps what is freed

#[path = "support/freed.rs"]
mod freed;
mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use freed::{Keeping, Secrets, watch};
use support::providers::Fixed;
use support::ready;
use waxseal::{
    CacheOutcome, Caching, Client, Clock, DataKeyCache, EncryptionContext, GenerateDataKey,
    GeneratedDataKey, KeyProvider, ProviderFuture, ProviderIdentity, SecretBytes, UnwrapDataKey,
    UnwrapFailures, UnwrappedDataKey,
};

#[global_allocator]
static ALLOCATOR: Keeping = Keeping;

const MAX_AGE: Duration = Duration::from_secs(100);

/// Knows where the data keys are that it has given.
#[derive(Clone, Default)]
struct Places(Arc<Mutex<Vec<usize>>>);

impl Places {
    fn note(&self, data_key: &SecretBytes) {
        let place = data_key.expose().as_ptr() as usize;
        self.0.lock().unwrap().push(place);
    }
}

impl KeyProvider for Places {
    fn identity(&self) -> ProviderIdentity {
        Fixed.identity()
    }

    fn generate_data_key<'a>(
        &'a self,
        request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        Box::pin(async move {
            let generated = Fixed.generate_data_key(request).await?;
            self.note(&generated.data_key);
            Ok(generated)
        })
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        Box::pin(async move {
            let unwrapped = Fixed.unwrap_data_key(request).await?;
            self.note(&unwrapped.data_key);
            Ok(unwrapped)
        })
    }
}

#[derive(Clone, Default)]
struct Seconds(Arc<AtomicU64>);

impl Clock for Seconds {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

struct Setup {
    clock: Seconds,
    cache: DataKeyCache,
    client: Client,
}

impl Setup {
    fn another(&self) {
        let context = EncryptionContext::from([("another", "")]);
        ready(self.client.prepare(&context, Some(1))).unwrap();
    }

    /// More than the data key that is there may encrypt.
    fn more(&self) {
        ready(self.client.prepare(&context(), Some(1000))).unwrap();
    }
}

fn context() -> EncryptionContext {
    EncryptionContext::from([("a", "b")])
}

/// The one data key in a cache of one is gone after this, where it was made
/// for writing and where it was unwrapped for reading.
#[track_caller]
fn goes_by(what: &str, leave: impl Fn(Setup)) {
    for is_reading in [false, true] {
        let (places, clock) = (Places::default(), Seconds::default());
        let cache = DataKeyCache::builder(1).clock(clock.clone()).build();
        let caching = Caching::new(&cache, MAX_AGE)
            .max_bytes(1000)
            .partition("partition");
        let client = Client::builder(places.clone()).caching(caching).build();
        let client = client.unwrap();
        let message = ready(client.encrypt(b"text", &context())).unwrap();
        let mut last = message.clone();
        for _ in 0..2 {
            last = ready(client.encrypt(b"text", &context())).unwrap();
        }
        if is_reading {
            ready(client.decrypt(&message, &context())).unwrap();
            let read = ready(client.decrypt(&last, &context())).unwrap();
            assert_eq!(read.details.cache_outcome, Some(CacheOutcome::Hit));
        }
        let place = *places.0.lock().unwrap().last().unwrap();
        let data_key = Fixed::data_key(32);
        let secrets = [message, last]
            .iter()
            .fold(Secrets::none(), |secrets, message| {
                secrets.and_keys(
                    waxseal::AlgorithmSuite::Aes256GcmHkdfSha512CommitKey,
                    &data_key,
                    message,
                )
            });
        let setup = Setup {
            clock,
            cache,
            client,
        };
        let ((), freed) = watch(|| leave(setup));
        assert!(freed.has(place), "{what}: the data key is still there");
        secrets.are_gone(&freed, what);
    }
}

#[test]
fn on_demand() {
    goes_by("all", |setup| {
        assert_eq!(setup.cache.clear(), 1);
        std::mem::forget(setup);
    });
    goes_by("a partition", |setup| {
        assert_eq!(setup.cache.evict_partition("partition"), 1);
        std::mem::forget(setup);
    });
    goes_by("a key", |setup| {
        assert_eq!(setup.cache.evict_key("info"), 1);
        std::mem::forget(setup);
    });
}

#[test]
fn by_their_age() {
    goes_by("expired ones", |setup| {
        setup.clock.0.store(100, Ordering::Relaxed);
        assert_eq!(setup.cache.evict_expired(), 1);
        std::mem::forget(setup);
    });
}

#[test]
fn for_another() {
    goes_by("a full cache", |setup| {
        setup.another();
        std::mem::forget(setup);
    });
    goes_by("a data key that is used up", |setup| {
        setup.more();
        std::mem::forget(setup);
    });
}

#[test]
fn with_the_cache() {
    goes_by("the cache", drop);
}
