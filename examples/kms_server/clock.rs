//! Whose time the keys have.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use waxseal::{Clock, SystemClock};

/// The system's clock, moved forward: never back, since ages count on that.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerClock {
    ahead_seconds: Arc<AtomicU64>,
}

/// All moves together: 1,000 years. Dates stay within what the library keeps.
const MAX_AHEAD: u64 = 1000 * 366 * 24 * 60 * 60;

impl ServerClock {
    /// Moves the time forward. `None` if that is further than a thousand years
    /// altogether.
    pub(crate) fn advance(&self, seconds: u64) -> Option<()> {
        let add = |ahead: u64| {
            ahead
                .checked_add(seconds)
                .filter(|ahead| *ahead <= MAX_AHEAD)
        };
        let order = Ordering::SeqCst;
        self.ahead_seconds
            .fetch_update(order, order, add)
            .ok()
            .map(|_| ())
    }

    fn ahead(&self) -> Duration {
        Duration::from_secs(self.ahead_seconds.load(Ordering::SeqCst))
    }
}

impl Clock for ServerClock {
    fn now(&self) -> SystemTime {
        let now = SystemClock.now();
        now.checked_add(self.ahead()).unwrap_or(now)
    }

    fn elapsed(&self) -> Duration {
        SystemClock.elapsed().saturating_add(self.ahead())
    }
}
