//! Messages under a key of AWS KMS, with a double of the service that takes 5 ms
//! and 50 ms to answer: with and without the data-key cache, against the same
//! requests by the SDK alone. By the time that goes by: most of it is waiting.

use std::time::{Duration, Instant};

use aws_sdk_kms::primitives::Blob;
use tokio::runtime::Runtime;
use waxseal::blocking::Client;
use waxseal::{AwsKmsProvider, Caching, DataKeyCache, EncryptionContext, KeyProvider};
use waxseal_bench::{Session, Spread};
use waxseal_interop_aws_kms::{Double, arn, client};

const PLAINTEXT: [u8; 16] = *b"sixteen bytes!!!";
const ROUNDS: usize = 30;
/// A cached call is too short for one.
const CACHED: u32 = 1000;
const CALLERS: usize = 16;

fn main() {
    let session = Session::from_args();
    for milliseconds in [5, 50] {
        let name = format!("aws-kms/a service of {milliseconds} ms");
        if session.measures() && session.wants(&name) {
            measure(&name, Duration::from_millis(milliseconds));
        }
    }
    session.finish();
}

fn measure(name: &str, delay: Duration) {
    let double = Double::with_delay(delay);
    let runtime = Runtime::new().expect("a runtime");
    let sdk = client(&double.endpoint());
    let provider = AwsKmsProvider::builder(sdk.clone())
        .generator(arn("one"))
        .on_runtime(runtime.handle().clone())
        .build()
        .expect("good settings");
    let context = EncryptionContext::from([("tenant", "7")]);
    let uncached = Client::new(provider.clone());
    let cached = cached(provider.clone());
    let message = uncached.encrypt(&PLAINTEXT, &context).expect("encrypts");
    let blob = {
        let header = waxseal::inspect(&message).expect("a message");
        Blob::new(header.encrypted_data_keys()[0].ciphertext())
    };

    let generate = || {
        let request = sdk.generate_data_key().key_id(arn("one"));
        let request = request.number_of_bytes(32);
        let request = request.encryption_context("tenant", "7").send();
        runtime.block_on(request).expect("generates");
    };
    let decrypt = || {
        let request = sdk
            .decrypt()
            .key_id(arn("one"))
            .ciphertext_blob(blob.clone());
        let request = request.encryption_context("tenant", "7").send();
        runtime.block_on(request).expect("decrypts");
    };
    println!("{name}");
    rows(
        "encrypt 16 bytes",
        &generate,
        &|| drop(uncached.encrypt(&PLAINTEXT, &context).expect("encrypts")),
        &|| drop(cached.encrypt(&PLAINTEXT, &context).expect("encrypts")),
    );
    rows(
        "decrypt 16 bytes",
        &decrypt,
        &|| drop(uncached.decrypt(&message, &context).expect("decrypts")),
        &|| drop(cached.decrypt(&message, &context).expect("decrypts")),
    );
    at_once(&double, provider, &context);
    println!();
}

fn cached(provider: impl KeyProvider + 'static) -> Client {
    let caching = Caching::new(&DataKeyCache::new(1000), Duration::from_secs(3600));
    let client = waxseal::Client::builder(provider).caching(caching).build();
    client.expect("good settings").blocking()
}

/// The three in turn, and the ratios of each turn.
fn rows(what: &str, sdk: &dyn Fn(), uncached: &dyn Fn(), cached: &dyn Fn()) {
    for warm_up in [sdk, uncached, cached] {
        warm_up();
    }
    let turns: Vec<[f64; 3]> = (0..ROUNDS)
        .map(|_| {
            [
                seconds(1, sdk),
                seconds(1, uncached),
                seconds(CACHED, cached),
            ]
        })
        .collect();
    let spread = |pick: &dyn Fn(&[f64; 3]) -> f64| Spread::of(turns.iter().map(pick).collect());
    let time = |index: usize| spread(&|turn| turn[index] * 1e6).median;
    println!(
        "  {what}: the SDK alone {:.0} us, provider {:.0} us, ratio {}",
        time(0),
        time(1),
        spread(&|turn| turn[1] / turn[0])
    );
    println!(
        "  {what}: with the cache {:.2} us, ratio without it to with it {}",
        time(2),
        spread(&|turn| turn[1] / turn[2])
    );
}

fn seconds(times: u32, run: &dyn Fn()) -> f64 {
    let start = Instant::now();
    for _ in 0..times {
        run();
    }
    start.elapsed().as_secs_f64() / f64::from(times)
}

/// Callers that come together to an empty cache make one request.
fn at_once(double: &Double, provider: AwsKmsProvider, context: &EncryptionContext) {
    let (uncached, cached) = (Client::new(provider.clone()), cached(provider));
    for (name, client) in [("without the cache", uncached), ("with it", cached)] {
        let before = double.requests();
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..CALLERS {
                scope.spawn(|| client.encrypt(&PLAINTEXT, context).expect("encrypts"));
            }
        });
        println!(
            "  {CALLERS} callers at once, {name}: {:.1} ms, {} requests",
            start.elapsed().as_secs_f64() * 1e3,
            double.requests() - before
        );
    }
}
