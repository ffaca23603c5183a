//! Signed checkpoints, and notices: the lines that are not events.
//!
//! ```text
//! "checkpoint":{"time":"…","every":N,"publicKey":"…","signature":"…"}
//! signature = ECDSA P-384 with SHA-384, DER, over
//!     "waxseal audit checkpoint 1\n" ‖ SEQ (8) ‖ PREV (32) ‖ PAYLOAD up to `,"signature"`
//! ```
//!
//! Through PREV a checkpoint signs all lines before it.

use std::fmt;
use std::time::SystemTime;

use base64ct::{Base64, Encoding as _};
use serde::{Deserialize, Serialize};

use super::json::Date;
use super::key::{AuditKey, AuditPublicKey, CURVE, SIGNATURE_LENGTH};
use super::line::{AuditHead, Hash, Kind, Line, unhex};
use super::sink::AuditError;
use crate::crypto::{CryptoBackend, Digest};
use crate::kms::digest::hex;

const TAG: &[u8] = b"waxseal audit checkpoint 1\n";
const SIGNATURE: &str = ",\"signature\":\"";
const END: &str = "\"}";
/// How much of a torn line a notice keeps.
const MAX_TORN: usize = 4096;

/// Writes a checkpoint's payload after the line `before`. At most `every`
/// records stand between two.
pub(super) fn sign(
    key: &AuditKey,
    backend: &CryptoBackend,
    before: &AuditHead,
    time: SystemTime,
    every: u64,
) -> Result<Vec<u8>, AuditError> {
    let mut payload = format!(
        "{}{{\"time\":\"{}\",\"every\":{every},\"publicKey\":\"{}\"",
        Kind::Checkpoint.name(),
        Date(time),
        key.public_key(),
    );
    let seq = before.seq.saturating_add(1);
    let digest = signed(backend, seq, &before.hash, payload.as_bytes());
    let signature = key.sign(&digest)?;
    payload.push_str(SIGNATURE);
    payload.push_str(&hex(&signature));
    payload.push_str(END);
    Ok(payload.into_bytes())
}

fn signed(backend: &CryptoBackend, seq: u64, prev: &Hash, payload: &[u8]) -> Digest {
    let mut hasher = backend.hasher(CURVE.hash());
    hasher.update(TAG);
    hasher.update(&seq.to_be_bytes());
    hasher.update(prev);
    hasher.update(payload);
    hasher.finish()
}

/// A checkpoint whose signature fits the key that it names.
pub(super) struct Checkpoint {
    pub(super) public_key: AuditPublicKey,
    pub(super) every: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Fields<'a> {
    #[serde(rename = "time")]
    _time: &'a str,
    every: u64,
    public_key: &'a str,
    #[serde(rename = "signature")]
    _signature: &'a str,
}

impl Checkpoint {
    /// `None` if it is none, or the signature does not fit.
    pub(super) fn verify(backend: &CryptoBackend, line: &Line<'_>) -> Option<Self> {
        let fields: Fields<'_> = serde_json::from_slice(line.value(Kind::Checkpoint)?).ok()?;
        let point = unhex(fields.public_key.as_bytes())?;
        let rest = line.payload.strip_suffix(END.as_bytes())?;
        let at = rest.len().checked_sub(2 * SIGNATURE_LENGTH)?;
        let (rest, signature) = rest.split_at_checked(at)?;
        let payload = rest.strip_suffix(SIGNATURE.as_bytes())?;
        let signature: [u8; SIGNATURE_LENGTH] = unhex(signature)?;
        let digest = signed(backend, line.seq, &line.prev, payload);
        let key = backend.verifying_key(CURVE, &point).ok()?;
        key.verify(&digest, &signature).ok()?;
        Some(Checkpoint {
            public_key: AuditPublicKey(point),
            every: fields.every,
        })
    }
}

/// What the trail says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
#[non_exhaustive]
pub enum AuditNotice {
    /// The process that wrote before ended without closing the trail: the lines
    /// since its last checkpoint were not signed until now.
    Unclosed,
    /// There was a line without an end, from a crash or a power cut. What there
    /// was of it is kept in the notice, up to 4 KiB.
    Torn {
        /// How many bytes it had.
        bytes: u64,
    },
    /// Events that could not be recorded, because the disk was full for
    /// example.
    Lost {
        /// How many.
        events: u64,
    },
}

impl fmt::Display for AuditNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unclosed => f.write_str(
                "the writer before had ended without closing the trail: the lines since its last \
                 checkpoint were not signed until here",
            ),
            Self::Torn { bytes } => write!(
                f,
                "a line of {bytes} bytes without an end stood here: the writer had crashed, or the \
                 file was cut"
            ),
            Self::Lost { events } => {
                write!(f, "{events} events before this line could not be written")
            }
        }
    }
}

/// The bytes of a torn line.
pub(super) struct TornBytes {
    pub(super) length: u64,
    /// Its first ones.
    pub(super) start: Vec<u8>,
}

#[derive(Serialize)]
struct WrittenNotice<'a> {
    time: Date,
    #[serde(flatten)]
    notice: AuditNotice,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<&'a str>,
}

impl AuditNotice {
    pub(super) fn parse(line: &Line<'_>) -> Option<Self> {
        serde_json::from_slice(line.value(Kind::Notice)?).ok()
    }

    pub(super) fn write(self, time: SystemTime) -> Vec<u8> {
        write_notice(self, time, None)
    }
}

impl TornBytes {
    /// How many bytes of the start are to be kept.
    pub(super) const KEPT: usize = MAX_TORN;

    pub(super) fn notice(&self, time: SystemTime) -> Vec<u8> {
        let start = Base64::encode_string(&self.start);
        let bytes = self.length;
        write_notice(AuditNotice::Torn { bytes }, time, Some(&start))
    }
}

fn write_notice(notice: AuditNotice, time: SystemTime, start: Option<&str>) -> Vec<u8> {
    let mut payload = Kind::Notice.name().as_bytes().to_vec();
    let written = WrittenNotice {
        time: Date(time),
        notice,
        start,
    };
    // A vector takes everything.
    let _ = serde_json::to_writer(&mut payload, &written);
    payload
}
