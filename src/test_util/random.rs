//! Random sources that are none.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::crypto::{CryptoBackend, RandomError, SecureRandom};

/// **Not random**: a counter's bytes. What is encrypted with it is open to
/// everybody. For tests that want the same messages each time; give it to
/// [`CryptoBackend::with_random`].
///
/// The bytes are those of 64-bit numbers that count up, big-endian, and do not
/// depend on how they are drawn: a run of draws gives what one long draw gives.
/// Draws of sixteen bytes and more never repeat. Clones share one counter.
///
/// ```
/// use std::sync::Arc;
/// use waxseal::test_util::SequentialRandom;
/// use waxseal::{CryptoBackend, EncryptionContext, RawAesProvider, SecretBytes, blocking::Client};
///
/// let message = || {
///     let random = Arc::new(SequentialRandom::starting_at(1));
///     let key = SecretBytes::from(vec![7; 32]);
///     Client::builder(RawAesProvider::new("example", "key-1", &key)?)
///         .backend(CryptoBackend::default().with_random(random))
///         .build()?
///         .blocking()
///         .encrypt(b"attack at dawn", &EncryptionContext::new())
///         .map_err(Box::<dyn std::error::Error>::from)
/// };
/// assert_eq!(message()?, message()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct SequentialRandom {
    start: u64,
    // In bytes.
    position: Arc<AtomicU64>,
}

impl SequentialRandom {
    /// A source whose first number is 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// A source whose first number is this: two that start far apart give
    /// different bytes.
    pub fn starting_at(number: u64) -> Self {
        SequentialRandom {
            start: number,
            position: Arc::default(),
        }
    }
}

impl SecureRandom for SequentialRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        let from = self.position.fetch_add(out.len() as u64, Ordering::Relaxed);
        for (position, byte) in (from..).zip(out) {
            let number = self.start.wrapping_add(position / 8);
            *byte = number.to_be_bytes()[(position % 8) as usize];
        }
        Ok(())
    }
}

/// **Not random**: the bytes it was given, in their order, and an error once
/// there are not enough left. For known answers, and to see how much is drawn.
/// Which bytes become a data key, a message id or an IV is not promised.
/// Clones share what is left.
#[derive(Clone)]
pub struct FixedRandom(Arc<Mutex<Vec<u8>>>);

impl FixedRandom {
    /// A source of these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        FixedRandom(Arc::new(Mutex::new(bytes.into())))
    }

    /// How many bytes have not been drawn yet.
    pub fn left(&self) -> usize {
        self.bytes().len()
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SecureRandom for FixedRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        let mut bytes = self.bytes();
        if bytes.len() < out.len() {
            let (asked, left) = (out.len(), bytes.len());
            return Err(RandomError::new(format!(
                "{asked} bytes asked for, {left} of the fixed ones left"
            )));
        }
        out.copy_from_slice(&bytes[..out.len()]);
        bytes.drain(..out.len());
        Ok(())
    }
}

impl fmt::Debug for FixedRandom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FixedRandom({} bytes left)", self.left())
    }
}

/// A source that works for a number of calls and then fails, for good or until
/// [`allow`](Self::allow)ed more. Clones share the count.
#[derive(Clone)]
pub struct FailingRandom {
    source: Arc<dyn SecureRandom>,
    calls: Arc<Calls>,
}

struct Calls {
    left: AtomicU64,
    failed: AtomicU64,
}

impl FailingRandom {
    /// The operating system's source for so many calls.
    pub fn after(calls: u64) -> Self {
        Self::over(CryptoBackend::default().random().clone(), calls)
    }

    /// Another source for so many calls.
    pub fn over(source: Arc<dyn SecureRandom>, calls: u64) -> Self {
        FailingRandom {
            source,
            calls: Arc::new(Calls {
                left: calls.into(),
                failed: 0.into(),
            }),
        }
    }

    /// Lets so many calls from now on work.
    pub fn allow(&self, calls: u64) {
        self.calls.left.store(calls, Ordering::Relaxed);
    }

    /// How many calls have failed.
    pub fn failures(&self) -> u64 {
        self.calls.failed.load(Ordering::Relaxed)
    }
}

impl SecureRandom for FailingRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        let (order, take_one) = (Ordering::Relaxed, |left: u64| left.checked_sub(1));
        match self.calls.left.fetch_update(order, order, take_one) {
            Ok(_) => self.source.fill(out),
            Err(_) => {
                self.calls.failed.fetch_add(1, order);
                Err(RandomError::new("this source was told to fail"))
            }
        }
    }
}

impl fmt::Debug for FailingRandom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailingRandom")
            .field("left", &self.calls.left.load(Ordering::Relaxed))
            .field("failures", &self.failures())
            .finish()
    }
}
