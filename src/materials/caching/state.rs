//! What is under the cache's lock: entries, their order, and calls under way.
//!
//! **No data key is used beyond its limits.** An entry's counters are charged
//! here before its materials leave this lock. Who waits for a call has reserved
//! a place in what it will bring, within its own limits, also here; when the
//! call lands, the new entry starts with all reserved places charged, and
//! whoever has one takes the materials without asking again. A place that is
//! given up before the landing is free again; after it, it stays charged. So
//! the charges are never fewer than the messages.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;

use super::Materials;
use super::flight::{Call, Flight, Left};
use super::id::EntryId;
use super::limits::Limits;
use super::statistics::{CacheOutcome, CacheStatistics, Cause};
use crate::error::{Error, Result};
use crate::materials::Caller;

/// The most failed decryptions that are remembered.
const MOST_REFUSED: usize = 1024;
/// How many expired entries a request takes away beside its own work.
const SWEEP: usize = 16;

/// One request to the cache.
pub(super) struct Need<'a> {
    pub(super) id: EntryId,
    pub(super) caller: Caller,
    /// Bytes to be encrypted, of an encryption.
    pub(super) charge: Option<u64>,
    pub(super) limits: &'a Arc<Limits>,
    /// Whether the request has not been counted yet.
    pub(super) is_first: bool,
    /// Whether it may refresh an entry.
    pub(super) may_refresh: bool,
    /// The call that it waited for, and that failed.
    pub(super) after: Option<Arc<Flight>>,
}

pub(super) struct Entry {
    /// Which one it is, of all that there ever were.
    number: u64,
    materials: Materials,
    partition: Arc<str>,
    created: Duration,
    expires: Duration,
    messages: u64,
    bytes: u64,
    /// No refresh before this time.
    refresh_from: Duration,
}

/// A call under way.
pub(super) struct Aloft {
    flight: Arc<Flight>,
    limits: Arc<Limits>,
    messages: u64,
    bytes: u64,
    /// The entry that it is to replace ahead of its expiry.
    refreshes: Option<u64>,
    /// The number of the first entry to come after it was started.
    since: u64,
}

/// What a request comes to.
pub(super) enum Decision {
    Hit {
        materials: Materials,
        /// A call to be made in the background.
        refresh: Option<Place>,
    },
    Wait(Place, CacheOutcome),
    Refused(Error),
    /// The same again, with a call to be made.
    NeedsCall,
}

/// A seat in a flight.
pub(super) struct Place {
    pub(super) flight: Arc<Flight>,
    pub(super) seat: usize,
    pub(super) reserved: Option<u64>,
}

/// What a failed refresh has meant for the entry that was there.
pub(super) enum Unrefreshed {
    /// It goes on serving, for this time at most.
    Stale(Duration),
    /// It is gone.
    Denied,
}

type FlightKey = (EntryId, Caller);

/// Says what is to go, by its partition and, where there are any, its materials.
pub(super) type Chosen<'a> = dyn Fn(&str, Option<&Materials>) -> bool + 'a;

pub(super) struct State {
    capacity: usize,
    /// Each hit moves its entry to the front.
    entries: LruCache<EntryId, Entry>,
    /// Entries by their expiry and number, the next to expire first; and some that
    /// were taken out before they expired.
    expiries: BinaryHeap<Reverse<(Duration, u64, EntryId)>>,
    /// Decryptions that failed, and from when until when that holds. Apart from the
    /// entries, so that bad messages push no good data key out.
    refused: LruCache<EntryId, Refusal>,
    flights: HashMap<FlightKey, Vec<Aloft>>,
    next: u64,
    pub(super) statistics: CacheStatistics,
    /// What has been taken out, to be dropped (and wiped) outside of the lock.
    removed: Removed,
}

/// What is there to be dropped: data keys are wiped, and a provider's error may
/// do anything.
#[derive(Default)]
pub(super) struct Removed {
    entries: Vec<Entry>,
    refused: Vec<Refusal>,
}

type Refusal = (Error, Range<Duration>, Arc<str>);

impl State {
    pub(super) fn new(capacity: usize) -> Self {
        State {
            capacity,
            entries: LruCache::unbounded(),
            expiries: BinaryHeap::new(),
            refused: LruCache::unbounded(),
            flights: HashMap::new(),
            next: 0,
            statistics: CacheStatistics::default(),
            removed: Removed::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn take_removed(&mut self) -> Removed {
        std::mem::take(&mut self.removed)
    }

    /// Decides one request. `call` is used if it is needed.
    pub(super) fn decide(
        &mut self,
        need: &Need<'_>,
        now: Duration,
        can_spawn: impl FnOnce() -> bool,
        call: &mut Option<(Call, Error)>,
    ) -> Decision {
        self.sweep(now, SWEEP);
        if let Some(error) = self.refused(need, now) {
            if need.is_first {
                self.statistics.refused += 1;
            }
            return Decision::Refused(error);
        }
        let key = (need.id, need.caller);
        let is_called = |flights: &HashMap<FlightKey, _>| {
            Caller::BOTH
                .iter()
                .any(|caller| flights.contains_key(&(need.id, *caller)))
        };
        let mut refreshes = None;
        if let Some(entry) = self.entries.get_mut(&need.id)
            && entry.serves(need, now)
        {
            let is_due = need.may_refresh && entry.is_due(need.limits, now);
            if is_due && !is_called(&self.flights) {
                let number = entry.number;
                if call.is_none() {
                    return Decision::NeedsCall;
                }
                if can_spawn() {
                    // In the background nobody's message is charged beforehand.
                    let background = (need.id, Caller::Async);
                    let materials = entry.charge(need);
                    let refresh =
                        self.start(background, need.limits, None, Some(number), now, call);
                    self.count(need, CacheOutcome::Hit);
                    return Decision::Hit { materials, refresh };
                }
                refreshes = Some(number);
            } else {
                let materials = entry.charge(need);
                self.count(need, CacheOutcome::Hit);
                return Decision::Hit {
                    materials,
                    refresh: None,
                };
            }
        } else if let Some(place) = self.join(key, need) {
            self.count(need, CacheOutcome::Coalesced);
            return Decision::Wait(place, CacheOutcome::Coalesced);
        }
        let Some(place) = self.start(key, need.limits, need.charge, refreshes, now, call) else {
            return Decision::NeedsCall;
        };
        if let Some(after) = &need.after {
            after.followed_by(&place.flight);
        }
        let outcome = match refreshes {
            Some(_) => CacheOutcome::Refresh,
            None => CacheOutcome::Miss,
        };
        self.count(need, outcome);
        Decision::Wait(place, outcome)
    }

    fn count(&mut self, need: &Need<'_>, outcome: CacheOutcome) {
        if need.is_first {
            self.statistics.count(outcome);
        }
    }

    /// Takes a place in a call under way that has one.
    fn join(&mut self, key: FlightKey, need: &Need<'_>) -> Option<Place> {
        let flights = self.flights.get_mut(&key)?;
        let fits = |aloft: &&mut Aloft| need.fits(aloft.messages, aloft.bytes);
        let aloft = flights.iter_mut().find(fits)?;
        aloft.reserve(need.charge);
        Some(Place {
            flight: aloft.flight.clone(),
            seat: aloft.flight.board(),
            reserved: need.charge,
        })
    }

    fn start(
        &mut self,
        key: FlightKey,
        limits: &Arc<Limits>,
        charge: Option<u64>,
        refreshes: Option<u64>,
        now: Duration,
        call: &mut Option<(Call, Error)>,
    ) -> Option<Place> {
        let (call, panicked) = call.take()?;
        let flight = Flight::new(call, panicked, now, limits.max_age);
        let mut aloft = Aloft {
            flight: flight.clone(),
            limits: limits.clone(),
            messages: 0,
            bytes: 0,
            refreshes,
            since: self.next,
        };
        aloft.reserve(charge);
        self.flights.entry(key).or_default().push(aloft);
        Some(Place {
            seat: flight.board(),
            flight,
            reserved: charge,
        })
    }

    /// Takes a call that has ended out of the air, and its materials in. What
    /// a failed refresh means is settled with that: nobody comes in between,
    /// and asks again.
    pub(super) fn land(
        &mut self,
        key: FlightKey,
        flight: &Arc<Flight>,
        result: &Result<Materials>,
        now: Duration,
    ) -> Option<Unrefreshed> {
        // One that an eviction has met is not here any more: its data key
        // serves those who wait for it, and nobody after them.
        let aloft = self.take_aloft(key, flight)?;
        match result {
            Ok(materials) => {
                self.removed.refused.extend(self.refused.pop(&key.0));
                self.insert(key.0, materials.clone(), &aloft, now);
                None
            }
            Err(error) => {
                self.refuse(key.0, error, &aloft.limits, now);
                self.unrefreshed(key.0, error, &aloft, now)
            }
        }
    }

    fn take_aloft(&mut self, key: FlightKey, flight: &Arc<Flight>) -> Option<Aloft> {
        let flights = self.flights.get_mut(&key)?;
        let index = position(flights, flight)?;
        let aloft = flights.swap_remove(index);
        if flights.is_empty() {
            self.flights.remove(&key);
        }
        Some(aloft)
    }

    /// Gives a place back before its call has landed. (Where the landing has
    /// panicked, the call may be here still.)
    pub(super) fn leave(&mut self, key: FlightKey, place: &Place) -> Left {
        let left = place.flight.leave(place.seat);
        if left.is_over {
            self.take_aloft(key, &place.flight);
        } else if let Some(flights) = self.flights.get_mut(&key)
            && let Some(index) = position(flights, &place.flight)
        {
            flights[index].release(place.reserved);
        }
        left
    }

    fn insert(&mut self, id: EntryId, materials: Materials, aloft: &Aloft, now: Duration) {
        // One that a sweep has not come to yet has expired all the same.
        if self.entries.peek(&id).is_some_and(|old| old.expires <= now) {
            self.remove(id, Cause::Expired);
        }
        let old = self.entries.peek(&id);
        let is_refresh = aloft.refreshes.is_some() && old.map(|old| old.number) == aloft.refreshes;
        let cause = match old {
            Some(_) if is_refresh => Cause::Replaced,
            Some(old) if now.saturating_sub(old.created) >= aloft.limits.max_age => Cause::Replaced,
            // Of several calls for one identifier at one time, what has the most
            // left stays. An entry of before the call did not do for it, and
            // goes.
            Some(old) if old.number >= aloft.since && old.is_used_less(aloft) => return,
            _ => Cause::Exhausted,
        };
        self.statistics.refreshed += u64::from(is_refresh);
        self.remove(id, cause);
        if self.capacity == 0 {
            return;
        }
        while self.entries.len() >= self.capacity {
            if self.sweep(now, 1) == 0 {
                let Some((_, entry)) = self.entries.pop_lru() else {
                    break;
                };
                self.removed(entry, Cause::Capacity);
            }
        }
        let number = self.next;
        self.next += 1;
        let expires = now.saturating_add(aloft.limits.max_age);
        let entry = Entry {
            number,
            materials,
            partition: aloft.limits.partition.clone(),
            created: now,
            expires,
            messages: aloft.messages,
            bytes: aloft.bytes,
            refresh_from: Duration::ZERO,
        };
        self.entries.put(id, entry);
        self.expiries.push(Reverse((expires, number, id)));
    }

    fn remove(&mut self, id: EntryId, cause: Cause) {
        if let Some(entry) = self.entries.pop(&id) {
            self.removed(entry, cause);
        }
    }

    fn removed(&mut self, entry: Entry, cause: Cause) {
        self.statistics.evicted.count(cause);
        self.removed.entries.push(entry);
        self.forget_expiries();
    }

    /// Takes expired entries away, so many at most; says how many.
    pub(super) fn sweep(&mut self, now: Duration, at_most: usize) -> usize {
        let mut swept = 0;
        while swept < at_most
            && let Some(&Reverse((expires, number, id))) = self.expiries.peek()
            && expires <= now
        {
            self.expiries.pop();
            if is_entry(&self.entries, number, &id) {
                self.remove(id, Cause::Expired);
                swept += 1;
            }
        }
        swept
    }

    /// Drops the expiries of entries that are gone, where they are most.
    fn forget_expiries(&mut self) {
        if self.expiries.len() / 2 > self.entries.len() + SWEEP {
            let entries = &self.entries;
            self.expiries
                .retain(|Reverse((_, number, id))| is_entry(entries, *number, id));
        }
    }

    /// Evicts the entries that are chosen, and lets what is called for now
    /// serve only those who wait for it already.
    pub(super) fn evict(&mut self, chosen: &Chosen<'_>) -> usize {
        let ids: Vec<EntryId> = self
            .entries
            .iter()
            .filter(|(_, entry)| chosen(&entry.partition, Some(&entry.materials)))
            .map(|(id, _)| *id)
            .collect();
        for id in &ids {
            self.remove(*id, Cause::Demanded);
        }
        self.flights.retain(|_, flights| {
            flights.retain(|aloft| !chosen(&aloft.limits.partition, None));
            !flights.is_empty()
        });
        let refused: Vec<EntryId> = self
            .refused
            .iter()
            .filter(|(_, (_, _, partition))| chosen(partition, None))
            .map(|(id, _)| *id)
            .collect();
        for id in refused {
            self.removed.refused.extend(self.refused.pop(&id));
        }
        ids.len()
    }

    fn unrefreshed(
        &mut self,
        id: EntryId,
        error: &Error,
        aloft: &Aloft,
        now: Duration,
    ) -> Option<Unrefreshed> {
        let number = aloft.refreshes?;
        let entry = self.entries.peek_mut(&id)?;
        if entry.number != number {
            return None;
        }
        if error.is_retryable() {
            entry.refresh_from = now.saturating_add(aloft.limits.pause(error));
            let left = entry.expires.saturating_sub(now);
            self.statistics.stale += 1;
            Some(Unrefreshed::Stale(left))
        } else {
            self.remove(id, Cause::Denied);
            Some(Unrefreshed::Denied)
        }
    }

    fn refused(&mut self, need: &Need<'_>, now: Duration) -> Option<Error> {
        if self.refused.is_empty() {
            return None;
        }
        let (error, holds, _) = self.refused.get(&need.id)?;
        if holds.end > now {
            // Also by the client that asks.
            let age = now.saturating_sub(holds.start);
            return (age < need.limits.negative_ttl).then(|| error.clone());
        }
        self.removed.refused.extend(self.refused.pop(&need.id));
        None
    }

    fn refuse(&mut self, id: EntryId, error: &Error, limits: &Limits, now: Duration) {
        let remembered = matches!(error, Error::Unwrap(_)) && !error.is_retryable();
        if !remembered || limits.negative_ttl.is_zero() {
            return;
        }
        while self.refused.len() >= MOST_REFUSED
            && let Some((_, refusal)) = self.refused.pop_lru()
        {
            self.removed.refused.push(refusal);
        }
        let until = now.saturating_add(limits.negative_ttl);
        let partition = limits.partition.clone();
        let replaced = self.refused.put(id, (error.clone(), now..until, partition));
        self.removed.refused.extend(replaced);
    }
}

/// Whether there is this very entry.
fn is_entry(entries: &LruCache<EntryId, Entry>, number: u64, id: &EntryId) -> bool {
    entries.peek(id).is_some_and(|entry| entry.number == number)
}

fn position(flights: &[Aloft], flight: &Arc<Flight>) -> Option<usize> {
    let is_it = |aloft: &Aloft| Arc::ptr_eq(&aloft.flight, flight);
    flights.iter().position(is_it)
}

impl Need<'_> {
    /// Whether one more message of this length keeps within this client's
    /// limits.
    fn fits(&self, messages: u64, bytes: u64) -> bool {
        let Some(charge) = self.charge else {
            return true;
        };
        let more = bytes.checked_add(charge);
        messages < self.limits.max_messages
            && more.is_some_and(|bytes| bytes <= self.limits.max_bytes)
    }
}

impl Entry {
    /// An entry is valid while its age is under `max_age`: that of the client
    /// that made it and that of the one who asks.
    fn serves(&self, need: &Need<'_>, now: Duration) -> bool {
        let age = now.saturating_sub(self.created);
        now < self.expires && age < need.limits.max_age && need.fits(self.messages, self.bytes)
    }

    /// Whether it serves whatever that call's data key could.
    fn is_used_less(&self, than: &Aloft) -> bool {
        self.messages <= than.messages && self.bytes <= than.bytes
    }

    fn charge(&mut self, need: &Need<'_>) -> Materials {
        if let Some(charge) = need.charge {
            // `fits` has added them up.
            self.messages = self.messages.saturating_add(1);
            self.bytes = self.bytes.saturating_add(charge);
        }
        self.materials.clone()
    }

    fn is_due(&self, limits: &Limits, now: Duration) -> bool {
        limits.refresh.as_ref().is_some_and(|refresh| {
            let age = now.saturating_sub(self.created);
            let is_due = age >= refresh.age || self.messages >= refresh.messages;
            is_due && now >= self.refresh_from
        })
    }
}

impl Aloft {
    fn reserve(&mut self, charge: Option<u64>) {
        if let Some(charge) = charge {
            self.messages = self.messages.saturating_add(1);
            self.bytes = self.bytes.saturating_add(charge);
        }
    }

    fn release(&mut self, charge: Option<u64>) {
        if let Some(charge) = charge {
            self.messages = self.messages.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(charge);
        }
    }
}
