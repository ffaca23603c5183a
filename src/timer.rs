//! Waiting for a time without a runtime: one thread of the process, started by
//! the first who waits, wakes whoever does.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// A future that is ready at a time; at once where the process can have no
/// further thread, because a limit that comes early is better than one that
/// never does.
pub(crate) struct Sleep {
    at: Instant,
    /// Where the timer keeps this one's waker.
    place: Option<Place>,
}

const FOREVER: Duration = Duration::from_secs(1 << 31);

/// By time, and for equal times by number.
type Place = (Instant, u64);

impl Sleep {
    pub(crate) fn new(time: Duration) -> Self {
        let now = Instant::now();
        // Beyond what the platform can say is beyond any use.
        let at = now.checked_add(time).unwrap_or(now + FOREVER);
        Sleep { at, place: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.at {
            return Poll::Ready(());
        }
        let mut waiting = TIMER.waiting();
        if !waiting.is_running {
            let thread = std::thread::Builder::new().name("waxseal timer".to_owned());
            if thread.spawn(|| TIMER.run()).is_err() {
                return Poll::Ready(());
            }
            waiting.is_running = true;
        }
        let place = self.place.unwrap_or((self.at, waiting.next));
        self.place = Some(place);
        waiting.next = waiting.next.max(place.1 + 1);
        let replaced = waiting.wakers.insert(place, context.waker().clone());
        TIMER.changed.notify_one();
        // Not under the lock: a waker may be what holds another of these.
        drop(waiting);
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let waker = TIMER.waiting().wakers.remove(&place);
            drop(waker);
        }
    }
}

struct Timer {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

struct Waiting {
    is_running: bool,
    next: u64,
    wakers: BTreeMap<Place, Waker>,
}

static TIMER: Timer = Timer {
    waiting: Mutex::new(Waiting {
        is_running: false,
        next: 0,
        wakers: BTreeMap::new(),
    }),
    changed: Condvar::new(),
};

impl Timer {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut waiting = self.waiting();
        loop {
            let now = Instant::now();
            let Some((&(at, number), _)) = waiting.wakers.first_key_value() else {
                let waited = self.changed.wait(waiting);
                waiting = waited.unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            if at <= now {
                let waker = waiting.wakers.remove(&(at, number));
                // Not under the lock: a waker may poll, and so come back here. One
                // that panics is its executor's fault, and must not end the timer.
                drop(waiting);
                let wake = AssertUnwindSafe(|| waker.into_iter().for_each(Waker::wake));
                let _ = catch_unwind(wake);
                waiting = self.waiting();
            } else {
                let waited = self.changed.wait_timeout(waiting, at - now);
                waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
}
