//! SHA-256, and hexadecimal digits.

use crate::crypto::CryptoBackend;
use crate::suite::HashAlgorithm;

/// The length in bytes of a digest.
pub(super) const DIGEST_LENGTH: usize = 32;

/// SHA-256.
pub(super) fn digest(backend: &CryptoBackend, bytes: &[u8]) -> [u8; DIGEST_LENGTH] {
    let mut hasher = backend.hasher(HashAlgorithm::Sha256);
    hasher.update(bytes);
    let mut digest = [0; DIGEST_LENGTH];
    digest.copy_from_slice(hasher.finish().as_ref());
    digest
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Hexadecimal digits, in lower case, in a place that is long enough.
#[cfg(feature = "kms-policy")]
pub(super) fn hex_into<'a>(bytes: &[u8], out: &'a mut [u8; 2 * DIGEST_LENGTH]) -> Option<&'a str> {
    let out = out.get_mut(..2 * bytes.len())?;
    for (byte, digits) in bytes.iter().zip(out.chunks_exact_mut(2)) {
        digits[0] = DIGITS[usize::from(byte >> 4)];
        digits[1] = DIGITS[usize::from(byte & 15)];
    }
    std::str::from_utf8(out).ok()
}

/// Hexadecimal digits, in lower case.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(DIGITS[usize::from(digit)]));
        }
    }
    text
}
