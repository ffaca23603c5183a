//! The lock of the data-key cache, which a checker of all its orders replaces
//! (tests under `--cfg shuttle`).

#[cfg(all(test, shuttle))]
pub(crate) use shuttle::sync::{Mutex, MutexGuard};
#[cfg(not(all(test, shuttle)))]
pub(crate) use std::sync::{Mutex, MutexGuard};
