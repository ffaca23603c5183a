//! A clock that stands still until a test moves it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::clock::Clock;

/// A clock that moves only when it is told to. Clones are handles to one
/// clock.
///
/// ```
/// use std::time::Duration;
/// use waxseal::{Clock, test_util::ManualClock};
///
/// let clock = ManualClock::default();
/// let (date, age) = (clock.now(), clock.elapsed());
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now(), date + Duration::from_secs(60));
/// assert_eq!(clock.elapsed() - age, Duration::from_secs(60));
/// ```
#[derive(Clone)]
pub struct ManualClock(Arc<Mutex<Time>>);

#[derive(Clone, Copy)]
struct Time {
    now: SystemTime,
    elapsed: Duration,
}

impl ManualClock {
    /// A clock that shows this date, with nothing elapsed.
    pub fn new(now: SystemTime) -> Self {
        let elapsed = Duration::ZERO;
        ManualClock(Arc::new(Mutex::new(Time { now, elapsed })))
    }

    /// Lets time pass.
    ///
    /// # Panics
    /// Where the platform has no such date.
    pub fn advance(&self, by: Duration) {
        let mut time = self.time();
        let now = time.now.checked_add(by).expect("a date in range");
        let elapsed = time.elapsed.checked_add(by).expect("an age in range");
        *time = Time { now, elapsed };
    }

    /// Sets the date, forward or back, as somebody sets a computer's clock: no
    /// time passes.
    pub fn set(&self, now: SystemTime) {
        self.time().now = now;
    }

    fn time(&self) -> MutexGuard<'_, Time> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for ManualClock {
    /// A clock that shows 2024-01-01 00:00:00 UTC, the start of a leap year.
    fn default() -> Self {
        Self::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_704_067_200))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        self.time().now
    }

    fn elapsed(&self) -> Duration {
        self.time().elapsed
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = *self.time();
        f.debug_struct("ManualClock")
            .field("now", &time.now)
            .field("elapsed", &time.elapsed)
            .finish()
    }
}
