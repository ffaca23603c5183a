//! One call of a provider that several wait for.
//!
//! Whoever waits drives it: the call belongs to the flight and not to the caller
//! who started it, so that one who gives up, or is never polled again, takes
//! nothing from the others, and nothing has to be asked twice.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::Materials;
use crate::error::{Error, Result};
use crate::sync::{Mutex, MutexGuard};

/// A call that does not borrow from whoever makes it.
pub(super) type Call = Pin<Box<dyn Future<Output = Result<Materials>> + Send>>;

pub(super) struct Flight {
    state: Mutex<State>,
    /// What the others get where a poll of the call panics.
    panicked: Error,
    pub(super) started: Duration,
    /// How long what it brings may be used, by who started it.
    max_age: Duration,
    landed: OnceLock<Duration>,
}

struct State {
    stage: Stage,
    /// Whether the call asked to be polled since it was last.
    is_woken: bool,
    /// By seat; those after the last have none.
    wakers: Vec<Option<Waker>>,
    /// How many seats there are, taken or not.
    seats: usize,
    /// Those that were left, to be taken again.
    free: Vec<usize>,
    /// What it shares with the calls that were made because it failed, and they
    /// because of theirs; and which of them it is.
    attempts: Option<(Arc<Mutex<Attempts>>, u32)>,
}

/// Calls that were made one after the other's failure.
#[derive(Default)]
struct Attempts {
    /// The last of them that is known to have failed, and why. Only that: there
    /// may be many in an outage.
    failed: u32,
    error: Option<Error>,
}

enum Stage {
    Waiting(Call),
    /// Somebody polls it at this moment.
    Polled,
    Landed(Result<Materials>),
    /// All have left.
    Empty,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Flight {
    pub(super) fn new(
        call: Call,
        panicked: Error,
        started: Duration,
        max_age: Duration,
    ) -> Arc<Self> {
        let state = State {
            stage: Stage::Waiting(call),
            is_woken: true,
            wakers: Vec::new(),
            seats: 0,
            free: Vec::new(),
            attempts: None,
        };
        Arc::new(Flight {
            state: Mutex::new(state),
            panicked,
            started,
            max_age,
            landed: OnceLock::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Says when the call has ended.
    pub(super) fn set_landed(&self, now: Duration) {
        let _ = self.landed.set(now);
    }

    /// Whether what it has brought has expired, also for somebody of this
    /// `max_age`: whoever waits may be polled late.
    pub(super) fn has_expired(&self, now: Duration, max_age: Duration) -> bool {
        let max_age = max_age.min(self.max_age);
        self.landed
            .get()
            .is_some_and(|landed| now.saturating_sub(*landed) >= max_age)
    }

    /// Names the call that one who waited for this one made after it failed.
    pub(super) fn followed_by(&self, next: &Flight) {
        let first = || (Arc::default(), 0);
        let (attempts, number) = self.state().attempts.get_or_insert_with(first).clone();
        let number = number.max(lock(&attempts).failed).saturating_add(1);
        next.state().attempts = Some((attempts, number));
    }

    /// How many calls made after this one have failed as well, and why the last
    /// did: whoever waited for this one and comes only now has failed with them.
    pub(super) fn failed_after(&self) -> Option<(u32, Error)> {
        let (attempts, number) = self.state().attempts.clone()?;
        let attempts = lock(&attempts);
        let more = attempts.failed.saturating_sub(number);
        let error = attempts.error.clone().filter(|_| more > 0)?;
        Some((more, error))
    }

    /// Joins; [`leave`](Self::leave) gives the seat back.
    pub(super) fn board(&self) -> usize {
        let mut state = self.state();
        state.free.pop().unwrap_or_else(|| {
            state.seats += 1;
            state.seats - 1
        })
    }

    /// Leaves. The last one to do so gets the call, to drop it outside of any
    /// lock.
    pub(super) fn leave(&self, seat: usize) -> Left {
        let mut state = self.state();
        let waker = state.wakers.get_mut(seat).and_then(Option::take);
        state.free.push(seat);
        if state.free.len() < state.seats {
            return Left {
                is_over: matches!(state.stage, Stage::Landed(_)),
                _dropped: (None, waker),
            };
        }
        let stage = std::mem::replace(&mut state.stage, Stage::Empty);
        Left {
            is_over: true,
            _dropped: (Some(stage), waker),
        }
    }

    /// Polls the call if it has anything to do. `land` is told the result once,
    /// before anybody else sees it.
    pub(super) fn poll(
        self: &Arc<Self>,
        seat: usize,
        context: &mut Context<'_>,
        land: impl Fn(&Result<Materials>),
    ) -> Poll<Result<Materials>> {
        let mut call = match self.take_call(seat, context) {
            Turn::Call(call) => call,
            Turn::Landed(result) => return Poll::Ready(result),
            Turn::Wait => return Poll::Pending,
        };
        let mut landing = Landing {
            flight: self,
            land: Some(&land),
        };
        // No lock is held here.
        let waker = Waker::from(self.clone());
        let polled = call.as_mut().poll(&mut Context::from_waker(&waker));
        match polled {
            Poll::Ready(result) => {
                // Once, even if it panics.
                landing.land = None;
                land(&result);
                std::mem::forget(landing);
                self.publish(result.clone());
                Poll::Ready(result)
            }
            Poll::Pending => {
                std::mem::forget(landing);
                self.put_back(call);
                Poll::Pending
            }
        }
    }

    fn take_call(&self, seat: usize, context: &mut Context<'_>) -> Turn {
        let mut state = self.state();
        if let Stage::Landed(result) = &state.stage {
            return Turn::Landed(result.clone());
        }
        // Also before polling: the call may ask for the next poll within this.
        let waker = context.waker();
        if state.wakers.len() <= seat {
            state.wakers.resize(seat + 1, None);
        }
        let known = &mut state.wakers[seat];
        let replaced = match known {
            Some(known) if known.will_wake(waker) => None,
            _ => known.replace(waker.clone()),
        };
        let turn = match &state.stage {
            Stage::Waiting(_) if state.is_woken => {
                state.is_woken = false;
                match std::mem::replace(&mut state.stage, Stage::Polled) {
                    Stage::Waiting(call) => Turn::Call(call),
                    _ => Turn::Wait,
                }
            }
            _ => Turn::Wait,
        };
        drop(state);
        // Not under the lock: a waker may hold another seat.
        drop(replaced);
        turn
    }

    fn put_back(&self, call: Call) {
        let mut state = self.state();
        state.stage = Stage::Waiting(call);
        // Whoever was woken while the call was not there found nothing to do.
        let wakers = if state.is_woken {
            std::mem::take(&mut state.wakers)
        } else {
            Vec::new()
        };
        drop(state);
        wake_all(wakers);
    }

    fn publish(&self, result: Result<Materials>) {
        let mut state = self.state();
        let mut replaced = None;
        if let (Err(error), Some((attempts, number))) = (&result, &state.attempts) {
            let mut attempts = lock(attempts);
            if attempts.failed < *number {
                attempts.failed = *number;
                replaced = attempts.error.replace(error.clone());
            }
        }
        state.stage = Stage::Landed(result);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        // Not under a lock: an error's drop may do anything.
        drop(replaced);
        wake_all(wakers);
    }
}

/// Each of those who wait can drive the call, and any of them may never be
/// polled again: so all are woken, and the first who comes polls it.
fn wake_all(wakers: Vec<Option<Waker>>) {
    for waker in wakers.into_iter().flatten() {
        waker.wake();
    }
}

impl Wake for Flight {
    fn wake(self: Arc<Self>) {
        Self::wake_by_ref(&self);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.state();
        state.is_woken = true;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wake_all(wakers);
    }
}

/// What is left of a seat. Dropped outside of any lock: a call's or a waker's
/// drop may do anything.
pub(super) struct Left {
    /// Whether all have left, or the call has ended: nobody may join it.
    pub(super) is_over: bool,
    _dropped: (Option<Stage>, Option<Waker>),
}

enum Turn {
    Call(Call),
    Landed(Result<Materials>),
    Wait,
}

/// Lands with an error where the call's poll panics, or the landing itself
/// (the clock, a subscriber), so that nobody waits for what will not come.
struct Landing<'a, F: Fn(&Result<Materials>)> {
    flight: &'a Flight,
    /// `None` once it has been told.
    land: Option<&'a F>,
}

impl<F: Fn(&Result<Materials>)> Drop for Landing<'_, F> {
    fn drop(&mut self) {
        let result = Err(self.flight.panicked.clone());
        if let Some(land) = self.land {
            land(&result);
        }
        self.flight.publish(result);
    }
}
