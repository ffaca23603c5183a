//! The generations that this process has seen.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::record::Birth;
use crate::kms::error::RecordProblem;

/// The newest generation of each record that this process has read or written.
#[derive(Default)]
pub(super) struct Seen(Mutex<HashMap<String, Generation>>);

/// A record's generation, since its birth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Generation {
    pub(super) birth: Birth,
    pub(super) number: u64,
}

impl Generation {
    /// Refuses what is older than what had been seen before it was read.
    pub(super) fn check(self, seen: Option<Generation>) -> Result<(), RecordProblem> {
        match seen {
            Some(seen) if seen.birth == self.birth && seen.number > self.number => {
                Err(RecordProblem::OlderGeneration {
                    found: self.number,
                    seen: seen.number,
                })
            }
            _ => Ok(()),
        }
    }
}

impl Seen {
    pub(super) fn get(&self, name: &str) -> Option<Generation> {
        self.lock().get(name).copied()
    }

    /// Notes what was read or written, unless a newer one has been meanwhile.
    pub(super) fn note(&self, name: &str, generation: Generation) {
        let mut seen = self.lock();
        match seen.get_mut(name) {
            Some(known) if known.birth == generation.birth => {
                known.number = known.number.max(generation.number);
            }
            Some(known) => *known = generation,
            None => {
                seen.insert(name.to_owned(), generation);
            }
        }
    }

    pub(super) fn forget(&self, name: &str) {
        self.lock().remove(name);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Generation>> {
        // No panic can leave a change half made.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
