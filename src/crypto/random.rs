//! Randomness: the operating system's, drawn once for each operation.

use std::fmt;
use std::sync::Arc;

use zeroize::{Zeroize, Zeroizing};

/// The random source failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RandomError(String);

impl fmt::Display for RandomError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the random source failed: {}", self.0)
    }
}

impl std::error::Error for RandomError {}

impl RandomError {
    /// An error with this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        RandomError(reason.into())
    }
}

/// A source of randomness that is fit for keys. The library's own is the
/// operating system's; tests replace it (feature `test-util`).
pub trait SecureRandom: Send + Sync {
    /// Fills all of `out`, or fails.
    ///
    /// # Errors
    /// When the source cannot be read; `out` is not used then.
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError>;
}

/// The operating system's source. It is asked afresh for each operation and
/// nothing is kept between two, so that a process that forks between them does
/// not repeat what the other drew. (A copied virtual machine repeats what its
/// kernel repeats until that reseeds.)
pub(super) struct SystemRandom;

impl SecureRandom for SystemRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        getrandom::fill(out).map_err(|error| RandomError(error.to_string()))
    }
}

const POOL: usize = 96;

/// The randomness of one operation. What a message is expected to need is
/// drawn in one call, because the call costs more than the bytes; what is
/// needed beyond it is drawn as it is needed. Each byte is handed out once and
/// wiped from here. Lives in one operation only: see [`SystemRandom`].
pub(crate) struct Entropy {
    source: Arc<dyn SecureRandom>,
    // On the heap: moving an `Entropy` (into a future, say) leaves no copy.
    pool: Box<Zeroizing<[u8; POOL]>>,
    left: usize,
}

impl Entropy {
    /// Draws `expected` bytes in one call (at most 96).
    pub(crate) fn draw(
        source: &Arc<dyn SecureRandom>,
        expected: usize,
    ) -> Result<Self, RandomError> {
        let left = expected.min(POOL);
        let mut pool = Box::new(Zeroizing::new([0; POOL]));
        source.fill(&mut pool[..left])?;
        Ok(Entropy {
            source: source.clone(),
            pool,
            left,
        })
    }
}

impl Entropy {
    pub(crate) fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        let Some(rest) = self.left.checked_sub(out.len()) else {
            return self.source.fill(out);
        };
        let taken = &mut self.pool[rest..self.left];
        out.copy_from_slice(taken);
        taken.zeroize();
        self.left = rest;
        Ok(())
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entropy").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Counting {
        calls: AtomicUsize,
        next: AtomicU8,
    }

    impl SecureRandom for Counting {
        fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
            self.calls.fetch_add(1, Ordering::Relaxed);
            out.fill_with(|| self.next.fetch_add(1, Ordering::Relaxed));
            Ok(())
        }
    }

    #[test]
    fn one_call_and_no_byte_twice() {
        let source = Arc::new(Counting::default());
        let dynamic: Arc<dyn SecureRandom> = source.clone();
        let mut entropy = Entropy::draw(&dynamic, 76).unwrap();
        let mut seen = Vec::new();
        for length in [32, 32, 12] {
            let mut out = vec![0; length];
            entropy.fill(&mut out).unwrap();
            seen.extend(out);
        }
        assert_eq!(source.calls.load(Ordering::Relaxed), 1);
        let mut more = [0; 12];
        entropy.fill(&mut more).unwrap();
        assert_eq!(source.calls.load(Ordering::Relaxed), 2);
        seen.extend(more);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 88);
        assert!(entropy.pool.iter().all(|byte| *byte == 0));
    }
}
