//! What a cache tells about itself.

use std::fmt;
use std::time::Duration;

use crate::error::Error;

/// Where a message's data key came from, for a client with a data-key cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CacheOutcome {
    /// From the cache, without a call.
    Hit,
    /// From a call that this request made; the data key is cached now.
    Miss,
    /// From a call that another request was making at the time.
    Coalesced,
    /// From a call that this request made ahead of the expiry.
    Refresh,
    /// From a call, past the cache: a suite without key derivation, a
    /// plaintext of unknown length, or one of more than `max_bytes`.
    Bypass,
}

impl fmt::Display for CacheOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Coalesced => "coalesced",
            Self::Refresh => "refresh",
            Self::Bypass => "bypass",
        })
    }
}

/// What a [`DataKeyCache`](super::DataKeyCache) has done since it was made, and
/// what it holds.
///
/// Each request counts once, by what it met first: `hits`, `misses`,
/// `coalesced`, `bypassed`, `refreshing` and `refused` add up to the requests.
/// (One that waited for a call that failed may have made another after it.)
///
/// With the feature `metrics` the same goes to the crate of that name, for all
/// caches of the process together: the counters `waxseal_cache_requests_total`
/// (label `outcome`), `waxseal_cache_evictions_total` (`cause`),
/// `waxseal_cache_refreshed_total` and `waxseal_cache_stale_total`, the histogram
/// `waxseal_cache_provider_seconds` (`result`: `ok` or `error`), and the gauge
/// `waxseal_cache_entries`, which the cache that changed last has set. With
/// `tracing`, events of the target `waxseal::cache` say it: at the level trace
/// each count, at debug each call, at warn each [`CacheEvent`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStatistics {
    /// Data keys in the cache.
    pub entries: usize,
    /// Requests served from the cache.
    pub hits: u64,
    /// Requests that made a call.
    pub misses: u64,
    /// Requests that waited for another's call.
    pub coalesced: u64,
    /// Requests that went past the cache.
    pub bypassed: u64,
    /// Requests that made a call ahead of the expiry, and waited for it.
    pub refreshing: u64,
    /// Decryptions that failed by a failure of a short time ago
    /// ([`Caching::negative_ttl`](super::Caching::negative_ttl)).
    pub refused: u64,
    /// Entries that were replaced ahead of their expiry, in the background too.
    pub refreshed: u64,
    /// Refreshes that failed while the provider was unavailable: the old entry
    /// went on serving.
    pub stale: u64,
    /// Entries that left the cache, by cause.
    pub evicted: CacheEvictions,
    /// Calls of the providers that have ended: those past the cache, too.
    pub provider_calls: u64,
    /// Those of them that failed.
    pub provider_failures: u64,
    /// How long they took together.
    pub provider_time: Duration,
    /// How long the longest took.
    pub provider_time_max: Duration,
}

impl CacheStatistics {
    /// How long a call of a provider took on average.
    pub fn provider_time_mean(&self) -> Option<Duration> {
        let calls = u32::try_from(self.provider_calls).unwrap_or(u32::MAX);
        self.provider_time.checked_div(calls)
    }

    pub(super) fn count(&mut self, outcome: CacheOutcome) {
        *match outcome {
            CacheOutcome::Hit => &mut self.hits,
            CacheOutcome::Miss => &mut self.misses,
            CacheOutcome::Coalesced => &mut self.coalesced,
            CacheOutcome::Refresh => &mut self.refreshing,
            CacheOutcome::Bypass => &mut self.bypassed,
        } += 1;
    }

    pub(super) fn count_call(&mut self, took: Duration, succeeded: bool) {
        self.provider_calls += 1;
        self.provider_failures += u64::from(!succeeded);
        self.provider_time = self.provider_time.saturating_add(took);
        self.provider_time_max = self.provider_time_max.max(took);
    }
}

/// Entries that left a cache, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheEvictions {
    /// They were as old as they may get.
    pub expired: u64,
    /// Their messages or bytes were used up, so that another took their place.
    pub exhausted: u64,
    /// They were refreshed, or another client wanted a younger one.
    pub replaced: u64,
    /// The cache was full, and they had not been used for longest.
    pub capacity: u64,
    /// On demand: by key, by partition, or all.
    pub demanded: u64,
    /// The provider refused to refresh them: access denied, or the key
    /// disabled or gone.
    pub denied: u64,
}

impl CacheEvictions {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.expired + self.exhausted + self.replaced + self.capacity + self.demanded + self.denied
    }
}

/// Why an entry leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Expired,
    Exhausted,
    Replaced,
    Capacity,
    Demanded,
    Denied,
}

impl CacheEvictions {
    pub(super) fn count(&mut self, cause: Cause) {
        *match cause {
            Cause::Expired => &mut self.expired,
            Cause::Exhausted => &mut self.exhausted,
            Cause::Replaced => &mut self.replaced,
            Cause::Capacity => &mut self.capacity,
            Cause::Demanded => &mut self.demanded,
            Cause::Denied => &mut self.denied,
        } += 1;
    }
}

/// What an application may want to know at once. See
/// [`DataKeyCacheBuilder::on_event`](super::DataKeyCacheBuilder::on_event).
#[derive(Debug)]
#[non_exhaustive]
pub enum CacheEvent<'a> {
    /// A data key could not be refreshed, because its provider is unavailable:
    /// the old one goes on serving, at most for the time that is left.
    ServingStale {
        /// The entry's partition.
        partition: &'a str,
        /// Why the refresh failed.
        error: &'a Error,
        /// The time until the old data key expires.
        left: Duration,
    },
    /// A data key could not be refreshed, and not because its provider is
    /// unavailable: the old one was evicted.
    RefreshDenied {
        /// The entry's partition.
        partition: &'a str,
        /// Why the refresh failed.
        error: &'a Error,
    },
}
