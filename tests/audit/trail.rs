//! Trails to tamper with.

use std::path::Path;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use waxseal::SecretBytes;
use waxseal::kms::Principal;
use waxseal::kms::audit::{
    AuditEvent, AuditFile, AuditFileBuilder, AuditFinding, AuditHead, AuditId, AuditKey,
    AuditReport, AuditSink, AuditVerifier, Parameter,
};
use waxseal::test_util::ManualClock;

pub(crate) const KEY: &str =
    "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

pub(crate) fn key(seed: u8) -> AuditKey {
    AuditKey::new(&SecretBytes::from(vec![seed; 48])).unwrap()
}

pub(crate) fn clock() -> ManualClock {
    ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000))
}

/// A trail with a checkpoint after three events.
pub(crate) fn builder(path: &Path) -> AuditFileBuilder {
    AuditFile::builder(path, key(7))
        .checkpoint_every(3)
        .clock(clock())
}

pub(crate) fn record(sink: &dyn AuditSink, number: u64) {
    let alice = Principal::user("111122223333", "alice").unwrap();
    let parameters = [
        ("keyId", Parameter::Text("alias/app")),
        ("numberOfBytes", Parameter::Number(number)),
    ];
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000 + number);
    let event = AuditEvent::new(
        "GenerateDataKey",
        time,
        AuditId::from_bytes([number as u8; 16]),
    )
    .with_principal(&alice)
    .with_account("111122223333")
    .with_region("us-east-1")
    .with_parameters(&parameters)
    .with_resources(&[KEY]);
    sink.record(&event).unwrap();
}

/// The bytes of a trail of so many events, that was closed or not, and its
/// head.
pub(crate) fn bytes(events: u64, is_closed: bool) -> (Vec<u8>, AuditHead) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let file = builder(&path).open().unwrap();
    for number in 0..events {
        record(&file, number);
    }
    match is_closed {
        true => {
            let head = file.close().unwrap();
            (std::fs::read(path).unwrap(), head)
        }
        false => (std::fs::read(path).unwrap(), file.head()),
    }
}

/// Lines with their ends.
pub(crate) fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect()
}

pub(crate) fn verify(bytes: &[u8], verifier: AuditVerifier) -> AuditReport {
    let mut verifier = verifier;
    verifier.read("audit", bytes).unwrap();
    verifier.finish()
}

pub(crate) fn pinned() -> AuditVerifier {
    AuditVerifier::new().public_key(key(7).public_key())
}

/// The line of the first finding.
pub(crate) fn first(report: &AuditReport) -> Option<u64> {
    let place = report.findings.first()?.place.as_ref()?;
    Some(place.line)
}

pub(crate) fn texts(findings: &[AuditFinding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

/// A line with a hash that fits: whoever can write the file can make it.
pub(crate) fn forged(seq: u64, prev: &[u8; 32], payload: &str) -> (Vec<u8>, [u8; 32]) {
    let mut hasher = Sha256::new();
    hasher.update(b"waxseal audit line 1\n");
    hasher.update(seq.to_be_bytes());
    hasher.update(prev);
    hasher.update(payload.as_bytes());
    let hash: [u8; 32] = hasher.finalize().into();
    let line = format!(
        "{{\"seq\":{seq},\"prev\":\"{}\",{payload},\"hash\":\"{}\"}}\n",
        hex(prev),
        hex(&hash)
    );
    (line.into_bytes(), hash)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What stands between the envelope's parts.
pub(crate) fn payload(line: &[u8]) -> String {
    let line = std::str::from_utf8(line).unwrap();
    let (_, rest) = line.split_once(",\"prev\":\"").unwrap();
    let rest = &rest[64 + 2..];
    rest[..rest.rfind(",\"hash\":\"").unwrap()].to_owned()
}

/// The payloads as a trail of its own, with hashes that fit.
pub(crate) fn chained<'a>(payloads: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let (mut bytes, mut prev) = (Vec::new(), [0; 32]);
    for (at, payload) in payloads.into_iter().enumerate() {
        let (line, hash) = forged(at as u64 + 1, &prev, payload);
        bytes.extend(line);
        prev = hash;
    }
    bytes
}
