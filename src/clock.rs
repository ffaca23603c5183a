//! Where time comes from, so that a year's rotation is tested in milliseconds.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

/// A source of time: dates by the wall clock, ages by one that never goes back.
///
/// The two are told apart because the wall clock may be set: a key that is to
/// be deleted in thirty days means a date, and a cache that keeps a data key
/// for a minute means a minute, whatever happens to the date meanwhile.
pub trait Clock: Send + Sync {
    /// The date, by the wall clock. It may jump, back too.
    fn now(&self) -> SystemTime;

    /// Time since a start that stays the same, to subtract from a later one:
    /// an age. It never goes back.
    fn elapsed(&self) -> Duration;
}

/// The operating system's clocks. All values of this type share one start of
/// [`elapsed`](Clock::elapsed). Whether that counts the time that the machine
/// sleeps is the platform's choice: see [`Instant`].
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn elapsed(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }
}

impl<C: Clock + ?Sized> Clock for std::sync::Arc<C> {
    fn now(&self) -> SystemTime {
        (**self).now()
    }

    fn elapsed(&self) -> Duration {
        (**self).elapsed()
    }
}
