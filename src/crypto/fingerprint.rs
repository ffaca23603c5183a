//! SHA-256 over parts, each with its length before it.

use sha2::{Digest as _, Sha256};

/// A running fingerprint. A clone goes on from where this one is, so that a
/// beginning that stays the same is hashed once.
#[derive(Clone)]
pub(crate) struct Fingerprint(Sha256);

impl Fingerprint {
    pub(crate) const LENGTH: usize = 32;

    pub(crate) fn new() -> Self {
        Fingerprint(Sha256::new())
    }

    /// Adds a part.
    pub(crate) fn part(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> [u8; Self::LENGTH] {
        self.0.finalize().into()
    }
}
