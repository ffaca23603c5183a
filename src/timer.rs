//! Waiting for a time without a runtime: one thread of the process, started by
//! the first who waits, wakes whoever does.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// A future that is ready at a time; at once where the process can have no
/// further thread, because a limit that comes early is better than one that
/// never does.
pub(crate) struct Sleep {
    at: Instant,
    /// By which the timer knows this one.
    number: Option<u64>,
}

const FOREVER: Duration = Duration::from_secs(1 << 31);

impl Sleep {
    pub(crate) fn new(time: Duration) -> Self {
        let now = Instant::now();
        // Beyond what the platform can say is beyond any use.
        let at = now.checked_add(time).unwrap_or(now + FOREVER);
        Sleep { at, number: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let waker = context.waker().clone();
        let mut waiting = TIMER.waiting();
        // Under the lock: the timer wakes once, and may have done so.
        if Instant::now() >= self.at {
            return Poll::Ready(());
        }
        if !waiting.is_running {
            let thread = std::thread::Builder::new().name("waxseal timer".to_owned());
            if thread.spawn(|| TIMER.run()).is_err() {
                return Poll::Ready(());
            }
            waiting.is_running = true;
        }
        let at = self.at;
        let number = *self.number.get_or_insert_with(|| waiting.start(at));
        let replaced = waiting.wakers.insert(number, waker);
        // Not under the lock: a waker may be what holds another of these.
        drop(waiting);
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let waker = TIMER.waiting().end(number);
            drop(waker);
        }
    }
}

#[derive(Default)]
struct Timer {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    is_running: bool,
    next: u64,
    /// By number.
    wakers: HashMap<u64, Waker>,
    /// The numbers by their times, the next first; also of some who have gone.
    times: BinaryHeap<Reverse<(Instant, u64)>>,
}

static TIMER: LazyLock<Timer> = LazyLock::new(Timer::default);

impl Waiting {
    fn start(&mut self, at: Instant) -> u64 {
        let number = self.next;
        self.next += 1;
        self.times.push(Reverse((at, number)));
        TIMER.changed.notify_one();
        number
    }

    fn end(&mut self, number: u64) -> Option<Waker> {
        let waker = self.wakers.remove(&number);
        // Where most of the times are of those who have gone.
        if self.times.len() / 2 > self.wakers.len() + 32 {
            let wakers = &self.wakers;
            self.times
                .retain(|Reverse((_, number))| wakers.contains_key(number));
        }
        waker
    }
}

impl Timer {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut waiting = self.waiting();
        loop {
            let now = Instant::now();
            let Some(&Reverse((at, number))) = waiting.times.peek() else {
                let waited = self.changed.wait(waiting);
                waiting = waited.unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            if at <= now {
                waiting.times.pop();
                let waker = waiting.wakers.remove(&number);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_wait_no_more_leave_nothing_behind() {
        let hour = Duration::from_secs(3600);
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..1000 {
            let mut sleep = Sleep::new(hour);
            assert!(Pin::new(&mut sleep).poll(&mut context).is_pending());
        }
        // Other tests may wait meanwhile.
        let waiting = TIMER.waiting();
        assert!(waiting.times.len() <= 2 * waiting.wakers.len() + 100);
    }
}
