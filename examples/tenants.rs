//! A service with many tenants, each with a context of its own, and a key
//! provider that takes milliseconds: without a data-key cache, and with one.
//!
//! `cargo run --release --example tenants`

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use waxseal::{
    Caching, DataKeyCache, EncryptionContext, GenerateDataKey, GeneratedDataKey, KeyProvider,
    ProviderFuture, ProviderIdentity, RawAesProvider, SecretBytes, UnwrapDataKey, UnwrapFailures,
    UnwrappedDataKey, blocking::Client,
};

const TENANTS: u64 = 500;
const THREADS: u64 = 8;
const REQUESTS_PER_THREAD: u64 = 400;
const CALL: Duration = Duration::from_millis(5);

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Stands for a remote service: each call takes a time, and costs something.
struct SlowProvider {
    key: RawAesProvider,
    calls: AtomicU64,
}

impl SlowProvider {
    fn new() -> Result<Self, Error> {
        let key = RawAesProvider::new("tenants", "key-1", &SecretBytes::random(32)?)?;
        let calls = AtomicU64::new(0);
        Ok(SlowProvider { key, calls })
    }

    /// The threads here block anyway. On an async runtime this would hold up
    /// all: await the service's client there.
    fn call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        thread::sleep(CALL);
    }
}

impl KeyProvider for SlowProvider {
    fn identity(&self) -> ProviderIdentity {
        self.key.identity()
    }

    fn generate_data_key<'a>(
        &'a self,
        request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        Box::pin(async move {
            self.call();
            self.key.generate_data_key(request).await
        })
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        Box::pin(async move {
            self.call();
            self.key.unwrap_data_key(request).await
        })
    }
}

/// Numbers that look random, and are the same in each run.
struct Random(u64);

impl Random {
    /// From 0 to 1.
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A few tenants make most requests: the first tenth about half.
    fn tenant(&mut self) -> u64 {
        (self.next().powi(3) * TENANTS as f64) as u64
    }
}

/// One request of the service: stores a text of a tenant's, and reads it back.
fn handle(client: &Client, tenant: u64) -> Result<(), Error> {
    let context = EncryptionContext::from([("tenant", tenant.to_string())]);
    let message = client.encrypt(b"attack at dawn", &context)?;
    // Another tenant's context fails, from the cache too.
    let decrypted = client.decrypt(&message, &context)?;
    assert_eq!(decrypted.plaintext, b"attack at dawn");
    Ok(())
}

/// All threads' requests; says how long each took, in order.
fn serve(client: &Client) -> Result<Vec<Duration>, Error> {
    thread::scope(|scope| {
        let threads: Vec<_> = (1..=THREADS)
            .map(|seed| {
                scope.spawn(move || -> Result<_, Error> {
                    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
                    let mut latencies = Vec::new();
                    for _ in 0..REQUESTS_PER_THREAD {
                        let tenant = random.tenant();
                        let started = Instant::now();
                        handle(client, tenant)?;
                        latencies.push(started.elapsed());
                    }
                    Ok(latencies)
                })
            })
            .collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().map_err(|_| "a thread panicked")??);
        }
        all.sort_unstable();
        Ok(all)
    })
}

fn print(what: &str, latencies: &[Duration], calls: u64) {
    let p = |percent: usize| latencies[(latencies.len() - 1) * percent / 100];
    let requests = latencies.len() as u64;
    // One call to encrypt and one to decrypt.
    let saved = (2 * requests).saturating_sub(calls);
    println!("{what}: {requests} requests, {calls} calls, {saved} saved");
    println!("    latency p50 {:.2?}, p99 {:.2?}", p(50), p(99));
}

fn main() -> Result<(), Error> {
    let provider = Arc::new(SlowProvider::new()?);
    let calls = || provider.calls.swap(0, Ordering::Relaxed);

    let client = Client::new(provider.clone());
    print("without a cache", &serve(&client)?, calls());

    // An encryption's data key and a decryption's are two entries: room for
    // both, of each tenant. The limits say how much hangs on one data key.
    let cache = DataKeyCache::new(2 * TENANTS as usize);
    let caching = Caching::new(&cache, Duration::from_secs(300))
        .max_messages(200)
        // A data key that is in use is renewed before it expires, by one of the
        // requests, so that the others need not wait. With `spawn_with`, or on
        // tokio with that feature, none waits.
        .refresh_after(0.8)
        .partition("documents");
    let client = Client::builder(provider.clone())
        .caching(caching.clone())
        .build()?
        .blocking();
    print("with a cold cache", &serve(&client)?, calls());
    print("with a warm cache", &serve(&client)?, calls());

    // Another service on the same cache. It has a partition of its own, so that
    // the two never share a data key, and each can be evicted by itself.
    let invoices = Client::builder(provider.clone())
        .caching(caching.partition("invoices"))
        .build()?
        .blocking();
    handle(&invoices, 7)?;
    println!("evicted of invoices: {}", cache.evict_partition("invoices"));
    // When a wrapping key is disabled or leaks, nothing under it is served on.
    println!("evicted under key-1: {}", cache.evict_key("key-1"));
    println!("{:#?}", cache.statistics());
    Ok(())
}
