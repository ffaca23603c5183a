//! The ids of events and requests.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crate::crypto::{RandomError, SecureRandom};

/// The id of an event or of a request: a UUID, written when it is printed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AuditId([u8; 16]);

impl AuditId {
    /// These 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        AuditId(bytes)
    }

    /// Its 16 bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for AuditId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; 36];
        let mut at = 0;
        for byte in self.0 {
            if matches!(at, 8 | 13 | 18 | 23) {
                at += 1;
            }
            text[at] = DIGITS[usize::from(byte >> 4)];
            text[at + 1] = DIGITS[usize::from(byte & 15)];
            at += 2;
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for AuditId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Makes ids: UUIDs of version 7 (RFC 9562, 5.7) whose random bits are a
/// counter's with a random start (6.2, method 2), so that an id costs no call
/// for randomness. They are unique, not secret.
#[derive(Debug)]
pub(crate) struct AuditIds {
    high: u16,
    next: AtomicU64,
}

impl AuditIds {
    pub(crate) fn new(random: &dyn SecureRandom) -> Result<Self, RandomError> {
        let mut seed = [0; 10];
        random.fill(&mut seed)?;
        let [high @ .., a, b, c, d, e, f, g, h] = seed;
        Ok(AuditIds {
            high: u16::from_be_bytes(high),
            next: AtomicU64::new(u64::from_be_bytes([a, b, c, d, e, f, g, h])),
        })
    }

    pub(crate) fn next(&self, now: SystemTime) -> AuditId {
        let since = now.duration_since(SystemTime::UNIX_EPOCH);
        // The lower 48 bits of the milliseconds last until the year 10889.
        let millis = since.map_or(0, |since| since.as_millis() as u64);
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        bytes[6..8].copy_from_slice(&self.high.to_be_bytes());
        bytes[8..].copy_from_slice(&count.to_be_bytes());
        bytes[6] = bytes[6] & 0x0f | 0x70;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        AuditId(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;
    use crate::crypto::CryptoBackend;

    #[test]
    fn a_uuid_of_version_7() {
        let backend = CryptoBackend::default();
        let ids = AuditIds::new(&**backend.random()).unwrap();
        // RFC 9562, A.6: 2022-02-22T19:22:22Z.
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(0x017f_22e2_79b0);
        let text = ids.next(now).to_string();
        assert!(text.starts_with("017f22e2-79b0-7"), "{text}");
        assert!(matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
        let lengths: Vec<_> = text.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        let many: HashSet<_> = (0..10_000).map(|_| ids.next(now)).collect();
        assert_eq!(many.len(), 10_000);
    }

    #[test]
    fn written_byte_by_byte() {
        let bytes = std::array::from_fn(|at| (at * 17) as u8);
        let id = AuditId::from_bytes(bytes);
        assert_eq!(id.to_string(), "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(id.to_bytes(), bytes);
    }
}
