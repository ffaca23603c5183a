//! A random source that an input decides, so that a run can be repeated. For
//! tests only: nothing here is secret.

use std::sync::Mutex;

use waxseal::{RandomError, SecureRandom};

use crate::primitives::sha256;

#[derive(Debug)]
pub struct Seeded(Mutex<State>);

#[derive(Debug)]
struct State {
    block: [u8; 32],
    /// How many calls it answers before it fails.
    calls_left: Option<u32>,
}

impl Seeded {
    pub fn new(seed: u32, calls: Option<u32>) -> Self {
        Seeded(Mutex::new(State {
            block: sha256(&seed.to_be_bytes()),
            calls_left: calls,
        }))
    }
}

impl SecureRandom for Seeded {
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        let mut state = self.0.lock().expect("never poisoned");
        if let Some(calls) = &mut state.calls_left {
            *calls = calls
                .checked_sub(1)
                .ok_or_else(|| RandomError::new("used up"))?;
        }
        for chunk in out.chunks_mut(32) {
            state.block = sha256(&state.block);
            chunk.copy_from_slice(&state.block[..chunk.len()]);
        }
        Ok(())
    }
}
