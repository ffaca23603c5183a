//! Resident memory of a cache of 1,000 data keys through which ten million
//! encryption contexts go, and then a million messages that do not decrypt,
//! each of them remembered. Fails where it grows. Run by `scripts/memory.sh`;
//! needs Linux.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use waxseal::blocking::Client;
use waxseal::{
    Caching, DataKeyCache, EncryptionContext, Error as WaxsealError, RawAesProvider, SecretBytes,
    inspect,
};

const MILLION: u64 = 1_000_000;
const CONTEXTS: u64 = 10 * MILLION;
const BAD_MESSAGES: u64 = MILLION;
const CAPACITY: usize = 1_000;
const THREADS: u64 = 2;
/// More than the first million left resident: what allocators keep for
/// themselves.
const GROWTH_KIB: u64 = 4 * 1024;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cache_memory: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let cache = DataKeyCache::new(CAPACITY);
    let caching = Caching::new(&cache, Duration::from_secs(3600))
        .negative_ttl(Duration::from_secs(3600))
        .max_messages(1_000);
    let provider = RawAesProvider::new("memory", "key", &SecretBytes::from(vec![7; 32]))?;
    let client = Client::from(
        waxseal::Client::builder(provider)
            .caching(caching)
            .build()?,
    );
    println!("{CONTEXTS} contexts through a cache of {CAPACITY}:");
    watch(&cache, CONTEXTS, |number| {
        let context = EncryptionContext::from([("tenant", number.to_string())]);
        client.prepare(&context, Some(16))?;
        Ok(())
    })?;
    if cache.statistics().misses != CONTEXTS {
        return Err(format!("not {CONTEXTS} misses: {:?}", cache.statistics()).into());
    }

    println!("{BAD_MESSAGES} messages that do not decrypt:");
    let context = EncryptionContext::new();
    let message = client.encrypt(b"", &context)?;
    let header = inspect(&message)?;
    let ciphertext = header.encrypted_data_keys()[0].ciphertext();
    let found = message
        .windows(ciphertext.len())
        .position(|window| window == ciphertext);
    let at = found.ok_or("the encrypted data key is not in its message")?;
    let bad = |number: u64| {
        let mut bad = message.clone();
        let number = number.to_be_bytes();
        bad[at..at + number.len()].copy_from_slice(&number);
        match client.decrypt(&bad, &context) {
            Err(WaxsealError::Unwrap(_)) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => Err("a bad message was decrypted".into()),
        }
    };
    watch(&cache, BAD_MESSAGES, bad)?;
    // Remembered: the second time it is refused without a call. The first
    // time it may have been forgotten: the thread that had it may have ended
    // long before the other.
    bad(BAD_MESSAGES)?;
    let before = cache.statistics();
    bad(BAD_MESSAGES)?;
    let after = cache.statistics();
    let calls = after.provider_calls - before.provider_calls;
    if (after.refused - before.refused, calls) != (1, 0) {
        return Err(format!("not remembered: {before:?}, {after:?}").into());
    }
    Ok(())
}

/// Calls this with each number below `count`, prints what is resident at each
/// tenth, and fails where that grows after the first.
fn watch(cache: &DataKeyCache, count: u64, step: impl Fn(u64) -> Result<()> + Sync) -> Result<()> {
    let tenth = count / 10;
    let mut first = None;
    for part in 0..10 {
        std::thread::scope(|scope| {
            let spawn = |thread| {
                let numbers = (part * tenth + thread..(part + 1) * tenth).step_by(THREADS as usize);
                let step = &step;
                scope.spawn(move || numbers.into_iter().try_for_each(step))
            };
            let threads: Vec<_> = (0..THREADS).map(spawn).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, Result<()>>| {
                thread.join().unwrap_or_else(|_| Err("a panic".into()))
            };
            threads.into_iter().try_for_each(join)
        })?;
        let (resident, entries) = (resident_kib()?, cache.statistics().entries);
        let done = (part + 1) * tenth;
        println!("{done:>10}: {resident} KiB resident, {entries} entries");
        let first = *first.get_or_insert(resident);
        if entries > CAPACITY || resident > first + GROWTH_KIB {
            return Err(
                format!("more than {first} + {GROWTH_KIB} KiB, or too many entries").into(),
            );
        }
    }
    Ok(())
}

fn resident_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.ok_or("no VmRSS in /proc/self/status")?.parse()?)
}
