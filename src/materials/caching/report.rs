//! What the cache does, for `tracing` and `metrics` (each a feature). Always
//! outside of its lock.

use std::time::Duration;

use super::state::State;
use super::statistics::CacheEvent;
#[cfg(any(feature = "tracing", feature = "metrics"))]
use super::statistics::CacheStatistics;

/// The statistics before a change.
pub(super) struct Before {
    #[cfg(any(feature = "tracing", feature = "metrics"))]
    statistics: CacheStatistics,
}

/// What a change has added to them.
pub(super) struct Report {
    #[cfg(any(feature = "tracing", feature = "metrics"))]
    added: Vec<(&'static str, &'static str, u64)>,
    #[cfg(any(feature = "tracing", feature = "metrics"))]
    entries: usize,
}

impl Before {
    #[cfg(not(any(feature = "tracing", feature = "metrics")))]
    pub(super) fn of(_: &State) -> Self {
        Before {}
    }

    #[cfg(not(any(feature = "tracing", feature = "metrics")))]
    pub(super) fn after(self, _: &State) -> Report {
        Report {}
    }

    #[cfg(any(feature = "tracing", feature = "metrics"))]
    pub(super) fn of(state: &State) -> Self {
        Before {
            statistics: state.statistics.clone(),
        }
    }

    #[cfg(any(feature = "tracing", feature = "metrics"))]
    pub(super) fn after(self, state: &State) -> Report {
        let counts = |statistics: &CacheStatistics| {
            let evicted = &statistics.evicted;
            [
                ("request", "hit", statistics.hits),
                ("request", "miss", statistics.misses),
                ("request", "coalesced", statistics.coalesced),
                ("request", "bypass", statistics.bypassed),
                ("request", "refresh", statistics.refreshing),
                ("request", "refused", statistics.refused),
                ("refreshed", "", statistics.refreshed),
                ("stale", "", statistics.stale),
                ("eviction", "expired", evicted.expired),
                ("eviction", "exhausted", evicted.exhausted),
                ("eviction", "replaced", evicted.replaced),
                ("eviction", "capacity", evicted.capacity),
                ("eviction", "demanded", evicted.demanded),
                ("eviction", "denied", evicted.denied),
            ]
        };
        let (before, after) = (counts(&self.statistics), counts(&state.statistics));
        let added = before.into_iter().zip(after);
        Report {
            added: added
                .map(|((what, which, before), (_, _, after))| (what, which, after - before))
                .filter(|(_, _, added)| *added > 0)
                .collect(),
            entries: state.len(),
        }
    }
}

impl Report {
    pub(super) fn send(self) {
        #[cfg(any(feature = "tracing", feature = "metrics"))]
        for (what, which, added) in self.added {
            #[cfg(feature = "tracing")]
            tracing::trace!(
                target: "waxseal::cache",
                what,
                which,
                added,
                entries = self.entries,
                "data-key cache"
            );
            #[cfg(feature = "metrics")]
            count(what, which, added);
        }
        #[cfg(feature = "metrics")]
        metrics::gauge!("waxseal_cache_entries").set(self.entries as f64);
    }
}

#[cfg(feature = "metrics")]
fn count(what: &'static str, which: &'static str, added: u64) {
    match what {
        "request" => metrics::counter!("waxseal_cache_requests_total", "outcome" => which),
        "eviction" => metrics::counter!("waxseal_cache_evictions_total", "cause" => which),
        "refreshed" => metrics::counter!("waxseal_cache_refreshed_total"),
        _ => metrics::counter!("waxseal_cache_stale_total"),
    }
    .increment(added);
}

/// A provider's call has ended.
#[cfg_attr(
    not(any(feature = "tracing", feature = "metrics")),
    expect(unused_variables, reason = "there is nobody to tell")
)]
pub(super) fn call(took: Duration, succeeded: bool) {
    #[cfg(feature = "tracing")]
    tracing::debug!(target: "waxseal::cache", ?took, succeeded, "the key provider was called");
    #[cfg(feature = "metrics")]
    {
        let result = if succeeded { "ok" } else { "error" };
        metrics::histogram!("waxseal_cache_provider_seconds", "result" => result).record(took);
    }
}

#[cfg_attr(
    not(feature = "tracing"),
    expect(unused_variables, reason = "there is nobody to tell")
)]
pub(super) fn event(event: &CacheEvent<'_>) {
    #[cfg(feature = "tracing")]
    match event {
        CacheEvent::ServingStale { error, left, .. } => tracing::warn!(
            target: "waxseal::cache",
            %error,
            ?left,
            "a data key could not be refreshed and goes on serving"
        ),
        CacheEvent::RefreshDenied { error, .. } => tracing::warn!(
            target: "waxseal::cache",
            %error,
            "a data key could not be refreshed and was evicted"
        ),
    }
}
