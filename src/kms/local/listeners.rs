//! Who wants to know that a key has changed.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Is told a key's ARN, or `None` for all keys; says whether it wants to be
/// told again.
type Listener = dyn Fn(Option<&str>) -> bool + Send + Sync;

#[derive(Default)]
pub(super) struct Listeners(Mutex<Vec<Arc<Listener>>>);

impl Listeners {
    fn list(&self) -> MutexGuard<'_, Vec<Arc<Listener>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, listener: impl Fn(Option<&str>) -> bool + Send + Sync + 'static) {
        self.list().push(Arc::new(listener));
    }

    /// Tells them of a key when what is returned is dropped: after a write,
    /// whatever comes of it.
    pub(super) fn tell_at_end(&self, key: String) -> TellAtEnd<'_> {
        TellAtEnd(self, key)
    }

    /// Tells them, outside of the lock.
    pub(super) fn tell(&self, key: Option<&str>) {
        let listeners = self.list().clone();
        for listener in listeners {
            if !listener(key) {
                self.list().retain(|other| !Arc::ptr_eq(other, &listener));
            }
        }
    }
}

#[must_use]
pub(super) struct TellAtEnd<'a>(&'a Listeners, String);

impl Drop for TellAtEnd<'_> {
    fn drop(&mut self) {
        self.0.tell(Some(&self.1));
    }
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listeners({})", self.list().len())
    }
}
