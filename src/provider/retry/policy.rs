//! When to ask again, and when to give up.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::super::{ProviderError, ProviderErrorKind, UnwrapFailures};
use crate::clock::{Clock, SystemClock};
use crate::crypto::{CryptoBackend, SecureRandom};
use crate::timer::Sleep;

/// How often to ask again, and after how long: exponential backoff with full
/// jitter. The wait before the retry of number n, from 0, is drawn evenly from
/// nothing up to `base_delay` · 2ⁿ, and never beyond `max_delay`; callers that
/// failed together so do not come back together.
///
/// Where a service says [how long to wait](ProviderErrorKind::Throttled), it is
/// asked no earlier; the drawn wait comes on top. One that goes beyond the
/// total time, the service's or the drawn, is not begun: the error comes
/// through at once.
///
/// Only errors [that say so](ProviderError::is_retryable) lead to a retry. Of
/// several encrypted data keys, one such is enough.
#[derive(Clone)]
pub struct RetryPolicy {
    max_attempts: u32,
    base_delay: Duration,
    max_delay: Duration,
    total_time: Duration,
    time: Arc<dyn Time>,
    random: Arc<dyn SecureRandom>,
}

impl RetryPolicy {
    /// Four attempts in 30 seconds, after waits of up to 0.1, 0.2 and 0.4
    /// seconds (never beyond 5, with more attempts).
    pub fn new() -> Self {
        RetryPolicy {
            max_attempts: 4,
            base_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(5),
            total_time: Duration::from_secs(30),
            time: Arc::new(RealTime),
            random: CryptoBackend::default().random().clone(),
        }
    }

    /// One attempt, with the same total time.
    pub fn never() -> Self {
        Self::new().max_attempts(1)
    }

    /// The most attempts, with the first: at least one.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts.max(1);
        self
    }

    /// The longest wait before the first retry; it doubles with each further.
    #[must_use]
    pub fn base_delay(mut self, delay: Duration) -> Self {
        self.base_delay = delay;
        self
    }

    /// The longest wait before any retry.
    #[must_use]
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// The most time for all attempts and the waits between them. An attempt
    /// that is under way then is abandoned, with
    /// [`TimedOut`](ProviderErrorKind::TimedOut).
    #[must_use]
    pub fn total_time(mut self, time: Duration) -> Self {
        self.total_time = time;
        self
    }

    #[cfg(all(test, feature = "test-util"))]
    pub(super) fn with(mut self, time: Arc<dyn Time>, random: Arc<dyn SecureRandom>) -> Self {
        (self.time, self.random) = (time, random);
        self
    }

    /// Starts the time of one call.
    pub(crate) fn start(&self) -> Attempts<'_> {
        Attempts {
            policy: self,
            started: self.time.elapsed(),
            made: 1,
        }
    }

    /// Evenly from nothing up to what the retry of this number allows.
    fn jitter(&self, retry: u32) -> Duration {
        let factor = 1u32.checked_shl(retry).unwrap_or(u32::MAX);
        let longest = self.base_delay.saturating_mul(factor).min(self.max_delay);
        let longest = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        let mut bytes = [0; 8];
        // Without randomness the longest wait is the kindest.
        let nanoseconds = match self.random.fill(&mut bytes) {
            Ok(()) => {
                let drawn = u128::from(u64::from_le_bytes(bytes));
                // Below 2^64, as the quotient of a product of two that are, by 2^64.
                ((drawn * (u128::from(longest) + 1)) >> 64) as u64
            }
            Err(_) => longest,
        };
        Duration::from_nanos(nanoseconds)
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryPolicy")
            .field("max_attempts", &self.max_attempts)
            .field("base_delay", &self.base_delay)
            .field("max_delay", &self.max_delay)
            .field("total_time", &self.total_time)
            .finish_non_exhaustive()
    }
}

/// The attempts of one call.
pub(crate) struct Attempts<'p> {
    policy: &'p RetryPolicy,
    started: Duration,
    made: u32,
}

impl Attempts<'_> {
    fn left(&self) -> Duration {
        let passed = self.policy.time.elapsed().saturating_sub(self.started);
        self.policy.total_time.saturating_sub(passed)
    }

    /// Begins the attempts of another request of the same call, in its time.
    #[cfg(feature = "aws-kms")]
    pub(crate) fn begin(&mut self) {
        self.made = 1;
    }

    /// Gives an attempt the time that is left.
    pub(crate) async fn in_time<T, E>(
        &self,
        attempt: impl Future<Output = Result<T, E>>,
        timed_out: impl FnOnce() -> E,
    ) -> Result<T, E> {
        self.within(self.policy.total_time, attempt, timed_out)
            .await
    }

    /// The same, and at most so much.
    pub(crate) async fn within<T, E>(
        &self,
        limit: Duration,
        attempt: impl Future<Output = Result<T, E>>,
        timed_out: impl FnOnce() -> E,
    ) -> Result<T, E> {
        let mut attempt = pin!(attempt);
        // A local provider is ready now, and needs no timer.
        let mut limit_reached: Option<Pin<Box<dyn Future<Output = ()> + Send>>> = None;
        let outcome = poll_fn(|context| {
            if let Poll::Ready(result) = attempt.as_mut().poll(context) {
                return Poll::Ready(Some(result));
            }
            let sleep =
                limit_reached.get_or_insert_with(|| self.policy.time.sleep(self.left().min(limit)));
            sleep.as_mut().poll(context).map(|()| None)
        })
        .await;
        outcome.unwrap_or_else(|| Err(timed_out()))
    }

    /// Waits until the next attempt is due.
    ///
    /// # Errors
    /// This one, where there is none.
    pub(crate) async fn wait_after<E: Retryable>(&mut self, error: E) -> Result<(), E> {
        let wait = error.retry_after().map(|at_least| {
            let jitter = self.policy.jitter(self.made - 1);
            at_least.saturating_add(jitter)
        });
        match wait {
            Some(wait) if self.made < self.policy.max_attempts && wait < self.left() => {
                self.policy.time.sleep(wait).await;
                self.made += 1;
                Ok(())
            }
            _ => Err(error.after(self.made)),
        }
    }
}

/// An error that may say that a retry makes sense.
pub(crate) trait Retryable {
    /// The shortest time until then; `None` where none makes sense.
    fn retry_after(&self) -> Option<Duration>;

    /// It, after so many attempts.
    fn after(self, attempts: u32) -> Self;
}

impl Retryable for ProviderError {
    fn retry_after(&self) -> Option<Duration> {
        match self.kind() {
            ProviderErrorKind::Throttled {
                retry_after: Some(after),
            } => Some(after),
            _ => self.is_retryable().then_some(Duration::ZERO),
        }
    }

    fn after(mut self, attempts: u32) -> Self {
        self.set_attempts(attempts);
        self
    }
}

impl Retryable for UnwrapFailures {
    /// The longest of all, since each would be asked again.
    fn retry_after(&self) -> Option<Duration> {
        self.causes().filter_map(Retryable::retry_after).max()
    }

    fn after(mut self, attempts: u32) -> Self {
        for cause in self.causes_mut().filter(|cause| cause.is_retryable()) {
            cause.set_attempts(attempts);
        }
        self
    }
}

/// How time passes: really, or as a test has it.
pub(super) trait Time: Send + Sync {
    fn elapsed(&self) -> Duration;
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

struct RealTime;

impl Time for RealTime {
    fn elapsed(&self) -> Duration {
        SystemClock.elapsed()
    }

    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(Sleep::new(time))
    }
}
