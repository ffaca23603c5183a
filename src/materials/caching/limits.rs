//! How long and how often a cached data key may be used.

use std::sync::Arc;
use std::time::Duration;

use super::DataKeyCache;
use crate::crypto::CryptoBackend;
use crate::error::{Error, Result};
use crate::provider::Retryable;

/// The most messages that one data key may encrypt (framework/caching-cmm.md,
/// "Limit Messages").
const MOST_MESSAGES: u64 = 1 << 32;
/// The most bytes ("Limit Bytes").
const MOST_BYTES: u64 = i64::MAX as u64;
/// How often a refresh is tried between its time and the expiry, at most: a
/// provider that is down is not asked by every request.
const REFRESH_ATTEMPTS: u32 = 10;

/// How a client uses a [`DataKeyCache`], and for how long a data key of it: see
/// [`ClientBuilder::caching`](crate::ClientBuilder::caching).
///
/// The limits are the Encryption SDKs' (framework/caching-cmm.md,
/// "Initialization"). A data key that is used more often or for longer protects
/// more with one secret, and a decision of the provider's (who may use a key)
/// takes effect only once the data keys of before have expired: choose the
/// lowest limits that save the calls that hurt.
///
/// ```
/// use std::time::Duration;
/// use waxseal::{Caching, Client, DataKeyCache, RawAesProvider, SecretBytes};
///
/// let key = SecretBytes::from(vec![7; 32]);
/// let provider = RawAesProvider::new("example", "key-1", &key)?;
/// let cache = DataKeyCache::new(1_000);
/// let client = Client::builder(provider)
///     .caching(Caching::new(&cache, Duration::from_secs(300)).max_messages(10_000))
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Caching {
    cache: DataKeyCache,
    max_age: Duration,
    max_messages: u64,
    max_bytes: u64,
    partition: Option<String>,
    refresh_after: Option<f64>,
    negative_ttl: Duration,
}

impl Caching {
    /// Data keys in this cache, each used for less than `max_age` since it was
    /// cached, however often it is used.
    pub fn new(cache: &DataKeyCache, max_age: Duration) -> Self {
        Caching {
            cache: cache.clone(),
            max_age,
            max_messages: MOST_MESSAGES,
            max_bytes: MOST_BYTES,
            partition: None,
            refresh_after: None,
            negative_ttl: Duration::ZERO,
        }
    }

    /// The most messages that a data key encrypts, from 1 to 2^32; by default
    /// 2^32.
    pub fn max_messages(mut self, messages: u64) -> Self {
        self.max_messages = messages;
        self
    }

    /// The most bytes of plaintext that a data key encrypts, up to 2^63 − 1,
    /// which is the default. A message that is longer, or that declares no
    /// bound of its length, gets a data key of its own, past the cache.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// The partition of the cache: clients share data keys only where they name
    /// the same one (and agree in provider, policy and required keys). Each
    /// keeps to limits of its own: where they differ, a client may go on with a
    /// data key that another has used up by its. By default each client has one of its own, at random
    /// ([`Client::cache_partition`](crate::Client::cache_partition)).
    pub fn partition(mut self, partition: impl Into<String>) -> Self {
        self.partition = Some(partition.into());
        self
    }

    /// The share of the age, or of the messages, after which a data key is
    /// refreshed ahead: above 0 and below 1, 0.8 say. Off by default.
    ///
    /// One request makes the call while the others go on with the old data
    /// key, so that none waits at its expiry. In the background where there is
    /// a way to spawn ([`DataKeyCacheBuilder::spawn_with`], or a tokio runtime
    /// with the feature `tokio`); else that request waits for it.
    ///
    /// Where the provider is unavailable (throttled, not reached, no answer in
    /// time), the old data key goes on serving until it expires, and
    /// [`CacheEvent::ServingStale`] is told; after any other failure it is
    /// evicted at once.
    ///
    /// [`DataKeyCacheBuilder::spawn_with`]: super::DataKeyCacheBuilder::spawn_with
    /// [`CacheEvent::ServingStale`]: super::CacheEvent::ServingStale
    pub fn refresh_after(mut self, share: f64) -> Self {
        self.refresh_after = Some(share);
        self
    }

    /// How long a failed decryption is remembered, so that the same message
    /// fails again without a call. Off by default. Failures that a retry may
    /// mend are never remembered.
    ///
    /// A key that is enabled, or access that is granted, takes effect only once
    /// this time is over: keep it to seconds.
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.negative_ttl = ttl;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |setting| Err(Error::InvalidCacheSetting { setting });
        if self.max_age.is_zero() {
            return refuse("max_age must be above 0");
        }
        if !(1..=MOST_MESSAGES).contains(&self.max_messages) {
            return refuse("max_messages must be from 1 to 4294967296");
        }
        if self.max_bytes > MOST_BYTES {
            return refuse("max_bytes must be at most 9223372036854775807");
        }
        if let Some(share) = self.refresh_after
            && !(share > 0.0 && share < 1.0)
        {
            return refuse("refresh_after must be above 0 and below 1");
        }
        Ok(())
    }

    /// The cache and the limits. Checked.
    pub(super) fn limits(self, backend: &CryptoBackend) -> Result<(DataKeyCache, Limits)> {
        self.check()?;
        let partition = match self.partition {
            Some(partition) => partition,
            None => {
                let mut random = [0; 16];
                backend.random().fill(&mut random)?;
                format!("{:032x}", u128::from_be_bytes(random))
            }
        };
        let refresh = self
            .refresh_after
            .map(|share| Refresh::new(share, self.max_age, self.max_messages));
        let limits = Limits {
            max_age: self.max_age,
            max_messages: self.max_messages,
            max_bytes: self.max_bytes,
            partition: partition.into(),
            refresh,
            negative_ttl: self.negative_ttl,
        };
        Ok((self.cache, limits))
    }
}

pub(super) struct Limits {
    pub(super) max_age: Duration,
    pub(super) max_messages: u64,
    pub(super) max_bytes: u64,
    pub(super) partition: Arc<str>,
    pub(super) refresh: Option<Refresh>,
    pub(super) negative_ttl: Duration,
}

impl Limits {
    /// How long no refresh is tried after this failure of one.
    pub(super) fn pause(&self, error: &Error) -> Duration {
        let pause = self.refresh.as_ref().map(|refresh| refresh.pause);
        pause.unwrap_or_default().max(retry_after(error))
    }
}

/// The longest time that a provider asks to be left alone.
fn retry_after(error: &Error) -> Duration {
    let asked = match error {
        Error::Provider(error) => error.retry_after(),
        Error::Unwrap(failures) => failures.retry_after(),
        _ => None,
    };
    asked.unwrap_or_default()
}

/// When a data key is refreshed ahead.
pub(super) struct Refresh {
    /// From this age on.
    pub(super) age: Duration,
    /// From so many messages on.
    pub(super) messages: u64,
    /// How long a failure is left alone.
    pub(super) pause: Duration,
}

impl Refresh {
    fn new(share: f64, max_age: Duration, max_messages: u64) -> Self {
        // A share below 1 of it: in range.
        let age = Duration::try_from_secs_f64(max_age.as_secs_f64() * share);
        let age = age.unwrap_or(max_age).min(max_age);
        // Messages are at most 2^32, which a float holds exactly; the product may
        // lie above by the share's own rounding.
        let messages = max_messages as f64 * share;
        let messages = (messages - messages * 1e-12).ceil() as u64;
        Refresh {
            age,
            messages,
            pause: max_age.saturating_sub(age) / REFRESH_ATTEMPTS,
        }
    }
}
