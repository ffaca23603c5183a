//! The lock: among this store's threads first, then among processes.

use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::super::StoreError;
use super::files::{Files, LockFile, LockMode};

/// Who of this store's threads has the lock: they queue here, so that one of
/// them only polls the file.
#[derive(Default)]
pub(super) struct Gate {
    taken: Mutex<bool>,
    freed: Condvar,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, bool> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, wait: Duration) -> Option<GateGuard<'_>> {
        let (mut taken, _) = self
            .freed
            .wait_timeout_while(self.state(), wait, |taken| *taken)
            .unwrap_or_else(PoisonError::into_inner);
        if *taken {
            return None;
        }
        *taken = true;
        Some(GateGuard(self))
    }
}

struct GateGuard<'a>(&'a Gate);

impl Drop for GateGuard<'_> {
    fn drop(&mut self) {
        *self.0.state() = false;
        self.0.freed.notify_one();
    }
}

/// The lock, held. The file goes first.
pub(super) struct Held<'a> {
    _file: Box<dyn LockFile>,
    _gate: GateGuard<'a>,
}

const FIRST_PAUSE: Duration = Duration::from_micros(100);
/// Short beside a write, which waits for the disk: a process that writes one
/// blob after another leaves the lock for some ten microseconds only between
/// two, and the others must hit that time.
const LONGEST_PAUSE: Duration = Duration::from_millis(1);

/// Waits for the lock. The standard library's own waiting knows no end, so
/// this asks again and again.
pub(super) fn lock<'a>(
    gate: &'a Gate,
    files: &dyn Files,
    path: &Path,
    mode: LockMode,
    wait: Duration,
) -> Result<Held<'a>, StoreError> {
    let began = Instant::now();
    let locked = || StoreError::Locked {
        location: path.to_owned(),
        waited: wait,
    };
    let gate = gate.enter(wait).ok_or_else(locked)?;
    // Opened anew each time, so that a forked child shares no lock with its
    // parent, and a lock file that somebody removed is made again.
    let mut file = files
        .open_lock(path, mode)
        .map_err(|error| StoreError::io("open the store's lock file", error))?;
    let mut pause = FIRST_PAUSE;
    loop {
        if file
            .try_lock()
            .map_err(|error| StoreError::io("lock the store", error))?
        {
            return Ok(Held {
                _file: file,
                _gate: gate,
            });
        }
        let left = wait.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Err(locked());
        }
        thread::sleep(pause.min(left));
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}
