//! Memory that wipes itself.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

use super::random::{RandomError, SecureRandom, SystemRandom};

/// Secret bytes, a key usually: on the heap, so that moving them leaves no
/// copy behind; wiped when dropped; printing nothing; never compared by `==`.
pub struct SecretBytes(Zeroizing<Box<[u8]>>);

impl SecretBytes {
    /// Copies the bytes. The caller answers for wiping the source.
    pub fn copy_from(bytes: &[u8]) -> Self {
        SecretBytes(Zeroizing::new(bytes.into()))
    }

    /// As many zero bytes, to be overwritten.
    pub(crate) fn zeroed(length: usize) -> Self {
        SecretBytes(Zeroizing::new(vec![0; length].into_boxed_slice()))
    }

    /// As many random bytes from the operating system: a new key.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn random(length: usize) -> Result<Self, RandomError> {
        let mut secret = Self::zeroed(length);
        SystemRandom.fill(&mut secret.0)?;
        Ok(secret)
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// How many bytes there are; a length is not secret.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<u8>> for SecretBytes {
    /// Takes the bytes over, and wipes what the vector held beyond them.
    fn from(mut bytes: Vec<u8>) -> Self {
        if bytes.len() == bytes.capacity() {
            return SecretBytes(Zeroizing::new(bytes.into_boxed_slice()));
        }
        // `into_boxed_slice` may move the bytes to a smaller allocation.
        let secret = Self::copy_from(&bytes);
        bytes.zeroize();
        secret
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} bytes)", self.len())
    }
}

/// Plaintext that waits: a vector that wipes what it leaves behind, also when
/// it grows.
#[derive(Default)]
pub(crate) struct SecretBuffer(Vec<u8>);

impl SecretBuffer {
    /// Appends, growing by what really comes and never by what is announced.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        extend_wiping(&mut self.0, bytes);
    }

    /// Empties it and wipes what it held; the allocation stays.
    pub(crate) fn clear(&mut self) {
        self.0.as_mut_slice().zeroize();
        self.0.clear();
    }

    /// Keeps the first `length` bytes and wipes the rest.
    pub(crate) fn truncate(&mut self, length: usize) {
        if let Some(tail) = self.0.get_mut(length..) {
            tail.zeroize();
            self.0.truncate(length);
        }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.0
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Drop for SecretBuffer {
    fn drop(&mut self) {
        // What was taken back has been wiped already.
        if !self.0.is_empty() {
            self.0.as_mut_slice().zeroize();
        }
    }
}

/// Appends to a vector; where it has to move, what it leaves behind is wiped.
pub(crate) fn extend_wiping(vector: &mut Vec<u8>, bytes: &[u8]) {
    let needed = vector.len() + bytes.len();
    if needed > vector.capacity() {
        let mut grown = Vec::with_capacity(needed.max(vector.capacity().saturating_mul(2)));
        grown.extend_from_slice(vector);
        vector.as_mut_slice().zeroize();
        *vector = grown;
    }
    vector.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_nothing() {
        let secret = SecretBytes::from(vec![0xab; 32]);
        assert_eq!(format!("{secret:?}"), "SecretBytes(32 bytes)");
    }

    #[test]
    fn buffer_keeps_its_bytes() {
        let mut buffer = SecretBuffer::default();
        for byte in 0..200u8 {
            buffer.extend(&[byte]);
        }
        assert!(buffer.as_slice().iter().copied().eq(0..200));
        buffer.truncate(3);
        buffer.truncate(9);
        assert_eq!(buffer.as_slice(), [0, 1, 2]);
        buffer.clear();
        assert!(buffer.is_empty());
    }
}
