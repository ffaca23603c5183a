//! A line of the file: an envelope around what it holds.
//!
//! ```text
//! {"seq":SEQ,"prev":"PREV",PAYLOAD,"hash":"HASH"}
//! PAYLOAD = "record":{…} | "checkpoint":{…} | "notice":{…}
//! HASH    = SHA-256("waxseal audit line 1\n" ‖ SEQ (8, big-endian) ‖ PREV (32) ‖ PAYLOAD)
//! ```
//!
//! The hash is over the bytes as they stand in the line. There is one way to
//! write a line's envelope: whatever else stands there is a change.

use std::fmt;
use std::str::FromStr;

use serde::de::IgnoredAny;

use crate::crypto::CryptoBackend;
use crate::kms::digest::{DIGEST_LENGTH, hex};
use crate::suite::HashAlgorithm;

/// The longest line that is written or read, with its end.
pub(super) const MAX_LINE: usize = 1 << 20;

pub(super) type Hash = [u8; DIGEST_LENGTH];
/// What the first line has for the hash of the line before it.
pub(super) const NOTHING: Hash = [0; DIGEST_LENGTH];

const TAG: &[u8] = b"waxseal audit line 1\n";
const SEQ: &[u8] = b"{\"seq\":";
const PREV: &[u8] = b",\"prev\":\"";
const HASH: &[u8] = b",\"hash\":\"";
const END: &[u8] = b"\"}";
const HEX_LENGTH: usize = 2 * DIGEST_LENGTH;

/// A line of an audit file: its number, and its hash, which stands for all
/// lines up to it. As text, `SEQ:HASH`.
///
/// Kept where nobody who can write the file can change it, it tells later that
/// nothing was cut off or changed up to there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AuditHead {
    pub(super) seq: u64,
    pub(super) hash: Hash,
}

impl AuditHead {
    /// Before the first line.
    pub(super) const START: Self = AuditHead {
        seq: 0,
        hash: NOTHING,
    };

    /// The line's number, from 1 in the first file on.
    pub fn seq(&self) -> u64 {
        self.seq
    }
}

impl fmt::Display for AuditHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, hex(&self.hash))
    }
}

/// A text that is no [`AuditHead`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidAuditHead(());

impl fmt::Display for InvalidAuditHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a head is SEQ:HASH: a line's number, and 64 hexadecimal digits in lower case")
    }
}

impl std::error::Error for InvalidAuditHead {}

impl FromStr for AuditHead {
    type Err = InvalidAuditHead;

    fn from_str(text: &str) -> Result<Self, InvalidAuditHead> {
        let parsed = text.split_once(':').and_then(|(seq, hash)| {
            Some(AuditHead {
                seq: number(seq.as_bytes())?,
                hash: unhex(hash.as_bytes())?,
            })
        });
        parsed.ok_or(InvalidAuditHead(()))
    }
}

/// What a line holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Record,
    Checkpoint,
    Notice,
}

impl Kind {
    /// With what such a payload begins.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Record => "\"record\":",
            Kind::Checkpoint => "\"checkpoint\":",
            Kind::Notice => "\"notice\":",
        }
    }
}

/// A line that was read; nothing of it is verified.
pub(super) struct Line<'a> {
    pub(super) seq: u64,
    pub(super) prev: Hash,
    pub(super) payload: &'a [u8],
    pub(super) hash: Hash,
}

impl<'a> Line<'a> {
    /// Of a line without its end; `None` if it is none.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let rest = line.strip_prefix(SEQ)?;
        let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
        let (seq, rest) = rest.split_at(digits);
        let (prev, rest) = rest.strip_prefix(PREV)?.split_at_checked(HEX_LENGTH)?;
        let rest = rest.strip_prefix(b"\",")?.strip_suffix(END)?;
        let (rest, hash) = rest.split_at_checked(rest.len().checked_sub(HEX_LENGTH)?)?;
        Some(Line {
            seq: number(seq).filter(|seq| *seq > 0)?,
            prev: unhex(prev)?,
            payload: rest.strip_suffix(HASH)?,
            hash: unhex(hash)?,
        })
    }

    /// The hash that it should have.
    pub(super) fn computed(&self, backend: &CryptoBackend) -> Hash {
        hash(backend, self.seq, &self.prev, self.payload)
    }

    /// What the payload is; `None` where it is nothing that this library
    /// writes.
    pub(super) fn kind(&self) -> Option<Kind> {
        let kinds = [Kind::Record, Kind::Checkpoint, Kind::Notice];
        let kind = kinds.into_iter().find(|kind| self.value(*kind).is_some())?;
        // One value, so that no reader of JSON takes the line for another.
        let value = std::str::from_utf8(self.value(kind)?).ok()?;
        let is_object = value.starts_with('{') && value.ends_with('}');
        (is_object && serde_json::from_str::<IgnoredAny>(value).is_ok()).then_some(kind)
    }

    /// The payload's JSON object.
    pub(super) fn value(&self, kind: Kind) -> Option<&'a [u8]> {
        self.payload.strip_prefix(kind.name().as_bytes())
    }
}

/// The hash over a line.
pub(super) fn hash(backend: &CryptoBackend, seq: u64, prev: &Hash, payload: &[u8]) -> Hash {
    let mut hasher = backend.hasher(HashAlgorithm::Sha256);
    hasher.update(TAG);
    hasher.update(&seq.to_be_bytes());
    hasher.update(prev);
    hasher.update(payload);
    let mut hash = NOTHING;
    hash.copy_from_slice(hasher.finish().as_ref());
    hash
}

/// Appends a whole line with its end to `out`, and gives its head.
pub(super) fn write(
    backend: &CryptoBackend,
    before: &AuditHead,
    payload: &[u8],
    out: &mut Vec<u8>,
) -> AuditHead {
    let seq = before.seq.saturating_add(1);
    let hash = hash(backend, seq, &before.hash, payload);
    out.extend_from_slice(SEQ);
    out.extend_from_slice(seq.to_string().as_bytes());
    out.extend_from_slice(PREV);
    out.extend_from_slice(hex(&before.hash).as_bytes());
    out.extend_from_slice(b"\",");
    out.extend_from_slice(payload);
    out.extend_from_slice(HASH);
    out.extend_from_slice(hex(&hash).as_bytes());
    out.extend_from_slice(END);
    out.push(b'\n');
    AuditHead { seq, hash }
}

/// A number in its only form.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    let is_plain = digits.iter().all(u8::is_ascii_digit);
    let is_shortest = digits.first().is_some_and(|first| *first != b'0') || digits == b"0";
    let text = std::str::from_utf8(digits).ok()?;
    text.parse().ok().filter(|_| is_plain && is_shortest)
}

/// Bytes from hexadecimal digits in lower case: the one form that is written.
pub(super) fn unhex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = digits.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash by Python: `hashlib.sha256(b"waxseal audit line 1\n" +
    /// (7).to_bytes(8, "big") + bytes(range(32)) + b'"record":{"a":1}')`.
    #[test]
    fn as_another_program_hashes_it() {
        let before = AuditHead {
            seq: 6,
            hash: std::array::from_fn(|at| at as u8),
        };
        let mut out = Vec::new();
        let head = write(
            &CryptoBackend::default(),
            &before,
            br#""record":{"a":1}"#,
            &mut out,
        );
        let expected = "f275278a555920139a34171a82c70cc9e591388c61998b86dda33a82510b5336";
        assert_eq!(head.to_string(), format!("7:{expected}"));
        assert_eq!(head.to_string().parse(), Ok(head));
        let prev = hex(&before.hash);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!(
                "{{\"seq\":7,\"prev\":\"{prev}\",\"record\":{{\"a\":1}},\"hash\":\"{expected}\"}}\n"
            )
        );
    }

    #[test]
    fn no_heads() {
        let hash = "0".repeat(64);
        for text in [
            "",
            ":",
            "1",
            "1:",
            "1:00",
            "01:HASH",
            "+1:HASH",
            " 1:HASH",
            "1:HASH ",
            "-1:HASH",
            "18446744073709551616:HASH",
            "1:HASHa",
            "1:A",
            "x:HASH",
        ] {
            let text = text.replace("HASH", &hash);
            assert!(text.parse::<AuditHead>().is_err(), "{text}");
        }
        assert!(
            format!("1:{}", "A".repeat(64))
                .parse::<AuditHead>()
                .is_err()
        );
        assert!(
            format!("18446744073709551615:{hash}")
                .parse::<AuditHead>()
                .is_ok()
        );
    }

    #[test]
    fn what_is_said_of_no_head() {
        let error = "1".parse::<AuditHead>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "a head is SEQ:HASH: a line's number, and 64 hexadecimal digits in lower case"
        );
    }

    #[test]
    fn payloads_are_one_object() {
        let line = |payload: &'static str| Line {
            seq: 1,
            prev: NOTHING,
            payload: payload.as_bytes(),
            hash: NOTHING,
        };
        assert_eq!(line(r#""record":{}"#).kind(), Some(Kind::Record));
        assert_eq!(
            line(r#""checkpoint":{"a":[1]}"#).kind(),
            Some(Kind::Checkpoint)
        );
        assert_eq!(line(r#""notice":{}"#).kind(), Some(Kind::Notice));
        for wrong in [
            "",
            "{}",
            r#""record":"#,
            r#""record":1"#,
            r#""record":{},"record":{}"#,
            r#""record":{}}"#,
            r#""record":{"#,
            r#""other":{}"#,
            r#""record": {}"#,
            r#""record":{},"seq":{}"#,
        ] {
            assert_eq!(line(wrong).kind(), None, "{wrong}");
        }
    }
}
