//! What a data-key cache does, as `tracing` events and as `metrics`.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use tracing::field::{Field, Visit};
use tracing::span;
use waxseal::blocking::Client;
use waxseal::test_util::{FailingProvider, ManualClock};
use waxseal::{
    Caching, DataKeyCache, EncryptionContext, ProviderErrorKind, RawAesProvider, SecretBytes,
};

const KEY: [u8; 32] = [0xa7; 32];

/// One test at a time: where a thread without a subscriber is the first at an
/// event, `tracing` may leave it out for the other, too.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Two misses, a hit, an eviction, a bypass, a failure, a stale data key, and
/// one that is refused.
fn run() {
    let clock = ManualClock::default();
    let cache = DataKeyCache::builder(1).clock(clock.clone()).build();
    let key = SecretBytes::copy_from(&KEY);
    let raw = RawAesProvider::new("test", "key-1", &key).expect("a key");
    let provider = FailingProvider::new(raw);
    let caching = Caching::new(&cache, Duration::from_secs(10)).refresh_after(0.5);
    let builder = Client::builder(provider.clone()).caching(caching);
    let client = builder.build().expect("good settings").blocking();
    let encrypt = |tenant: &str, bound| {
        let context = EncryptionContext::from([("tenant", tenant)]);
        client.prepare(&context, bound).map(drop)
    };
    for tenant in ["secret-a", "secret-a", "b"] {
        encrypt(tenant, Some(1)).expect("prepares");
    }
    encrypt("b", None).expect("prepares");
    provider.fail(ProviderErrorKind::Unavailable);
    assert!(encrypt("c", Some(1)).is_err());
    clock.advance(Duration::from_secs(5));
    encrypt("b", Some(1)).expect("serves on");
    provider.fail(ProviderErrorKind::AccessDenied);
    clock.advance(Duration::from_secs(1));
    assert!(encrypt("b", Some(1)).is_err());
}

/// Keeps what is recorded, by name and labels.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<BTreeMap<String, f64>>>);

struct Cell(Kept, String);

impl Kept {
    fn cell(&self, key: &Key) -> Arc<Cell> {
        let mut name = key.name().to_owned();
        for label in key.labels() {
            write!(name, " {}={}", label.key(), label.value()).expect("writes");
        }
        Arc::new(Cell(self.clone(), name))
    }
}

impl Cell {
    fn update(&self, update: impl FnOnce(f64) -> f64) {
        let mut kept = self.0.0.lock().expect("a lock");
        let value = kept.entry(self.1.clone()).or_default();
        *value = update(*value);
    }
}

impl CounterFn for Cell {
    fn increment(&self, value: u64) {
        self.update(|old| old + value as f64);
    }

    fn absolute(&self, value: u64) {
        self.update(|_| value as f64);
    }
}

impl GaugeFn for Cell {
    fn increment(&self, value: f64) {
        self.update(|old| old + value);
    }

    fn decrement(&self, value: f64) {
        self.update(|old| old - value);
    }

    fn set(&self, value: f64) {
        self.update(|_| value);
    }
}

impl HistogramFn for Cell {
    /// How many there were.
    fn record(&self, _: f64) {
        self.update(|old| old + 1.0);
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.cell(key))
    }
}

#[test]
fn metrics_are_recorded() {
    let _alone = alone();
    let kept = Kept::default();
    metrics::with_local_recorder(&kept, run);
    let expected = [
        ("waxseal_cache_entries", 0.0),
        ("waxseal_cache_evictions_total cause=capacity", 1.0),
        ("waxseal_cache_evictions_total cause=denied", 1.0),
        ("waxseal_cache_provider_seconds result=error", 3.0),
        ("waxseal_cache_provider_seconds result=ok", 3.0),
        ("waxseal_cache_requests_total outcome=bypass", 1.0),
        ("waxseal_cache_requests_total outcome=hit", 1.0),
        ("waxseal_cache_requests_total outcome=miss", 3.0),
        ("waxseal_cache_requests_total outcome=refresh", 2.0),
        ("waxseal_cache_stale_total", 1.0),
    ];
    let kept = kept.0.lock().expect("a lock");
    let found: Vec<_> = kept.iter().map(|(name, value)| (&**name, *value)).collect();
    assert_eq!(found, expected);
}

/// Keeps each event as text.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Events {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("waxseal")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                write!(self.0, " {}={value:?}", field.name()).expect("writes");
            }
        }
        let mut text = Text(event.metadata().level().to_string());
        event.record(&mut text);
        self.0.lock().expect("a lock").push(text.0);
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[test]
fn events_are_traced_without_secrets() {
    let _alone = alone();
    let events = Events::default();
    tracing::subscriber::with_default(events.clone(), run);
    let events = events.0.lock().expect("a lock");
    let count = |text: &str| events.iter().filter(|event| event.contains(text)).count();
    assert_eq!(count("which=\"hit\""), 1);
    assert_eq!(count("which=\"miss\""), 3);
    assert_eq!(count("which=\"capacity\""), 1);
    assert_eq!(count("the key provider was called"), 6);
    assert_eq!(count("goes on serving"), 1);
    assert_eq!(count("was evicted"), 1);
    let all = events.join("\n");
    for secret in ["a7a7", "167, 167", "secret-a"] {
        assert!(!all.contains(secret), "{all}");
    }
}
