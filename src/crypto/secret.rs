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

/// Plaintext that waits: a buffer that is used again and again without giving
/// its memory back, and wipes all that it ever held when it is dropped, and
/// what it leaves behind when it grows.
pub(crate) type SecretBuffer = ReusedBuffer<true>;

/// The same for ciphertext, which needs no wiping.
pub(crate) type CiphertextBuffer = ReusedBuffer<false>;

#[derive(Default)]
pub(crate) struct ReusedBuffer<const IS_SECRET: bool> {
    /// All of it can be written at once: its length is what there is room for.
    bytes: Vec<u8>,
    used: usize,
    /// The most that was ever used.
    touched: usize,
}

impl<const IS_SECRET: bool> ReusedBuffer<IS_SECRET> {
    /// Appends, growing by what really comes and never by what is announced.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.grow(bytes.len()).copy_from_slice(bytes);
    }

    /// Appends so many bytes, to be overwritten: they may hold anything.
    pub(crate) fn grow(&mut self, length: usize) -> &mut [u8] {
        let start = self.used;
        let needed = start + length;
        if needed > self.bytes.len() {
            let mut grown = vec![0; needed.max(self.bytes.len().saturating_mul(2))];
            grown[..start].copy_from_slice(self.as_slice());
            self.wipe();
            self.bytes = grown;
        }
        self.used = needed;
        self.touched = self.touched.max(needed);
        &mut self.bytes[start..needed]
    }

    /// Empties it. What it held is overwritten by what comes next, and wiped
    /// at the end.
    pub(crate) fn clear(&mut self) {
        self.used = 0;
    }

    /// Keeps the first `length` bytes and wipes the rest.
    pub(crate) fn truncate(&mut self, length: usize) {
        if let Some(tail) = self.bytes.get_mut(length..self.used) {
            tail.zeroize();
            self.used = length;
        }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.used]
    }

    pub(crate) fn len(&self) -> usize {
        self.used
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.used == 0
    }

    fn wipe(&mut self) {
        if !IS_SECRET {
            return;
        }
        self.bytes[..self.touched].zeroize();
        self.touched = 0;
    }
}

impl<const IS_SECRET: bool> Drop for ReusedBuffer<IS_SECRET> {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// Makes room for so many more bytes in a vector; where it has to move, what it
/// leaves behind is wiped.
pub(crate) fn reserve_wiping(vector: &mut Vec<u8>, additional: usize) {
    let needed = vector.len() + additional;
    if needed > vector.capacity() {
        let capacity = needed.max(vector.capacity().saturating_mul(2));
        reserve_exact_wiping(vector, capacity);
    }
}

/// The same, to exactly this capacity where it has less.
pub(crate) fn reserve_exact_wiping(vector: &mut Vec<u8>, capacity: usize) {
    if capacity > vector.capacity() {
        let mut grown = Vec::with_capacity(capacity);
        grown.extend_from_slice(vector);
        vector.as_mut_slice().zeroize();
        *vector = grown;
    }
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
        buffer.extend(&[7]);
        assert_eq!(buffer.as_slice(), [7]);
    }

    #[test]
    fn buffer_wipes_what_it_ever_held() {
        let mut buffer = SecretBuffer::default();
        buffer.extend(&[0xab; 100]);
        buffer.truncate(90);
        assert_eq!(buffer.bytes[90..100], [0; 10]);
        buffer.clear();
        buffer.extend(&[1]);
        buffer.wipe();
        assert!(buffer.bytes.iter().all(|byte| *byte == 0));
    }
}
