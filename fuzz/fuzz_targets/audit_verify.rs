//! An audit trail that somebody who cannot sign has changed, with hashes that
//! fit again or not, and arbitrary bytes: the verifier takes for sound only
//! what was written, up to where nothing vouches for it any more and as much as
//! it says that this is.
#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use waxseal::kms::audit::{AuditReport, AuditVerifier};
use waxseal_fuzz::tape;
use waxseal_fuzz::trail::{EVERY, Input, TRAIL, payload};

fuzz_target!(|data: &[u8]| {
    let input: Input = tape::read(data);
    let file = input.file();
    let trail = &*TRAIL;

    let pinned = || AuditVerifier::new().public_key(trail.public_key);
    let report = verify(pinned(), &file);
    check(&report, &file);
    // In pieces it is the same.
    let mut verifier = pinned();
    let pieces = Pieces(input.cuts.pieces(&file));
    verifier.read("audit", pieces).expect("slices");
    assert_eq!(verifier.finish(), report);

    if report.is_sound() {
        // What is vouched for was written, and what is not is said to be.
        let found: Vec<_> = file.split_inclusive(|byte| *byte == b'\n').collect();
        let anchored = found.len() - report.unanchored as usize;
        assert!(anchored > 0);
        let is_event = |line: &&&[u8]| {
            payload(line).is_some_and(|payload| payload.starts_with(b"\"record\":"))
        };
        let events = found[anchored..].iter().filter(is_event).count();
        assert!(events as u64 <= EVERY, "{events} events");
        assert!(trail.bytes.starts_with(&found[..anchored].concat()));
        if !input.is_chained && !input.is_raw {
            assert!(trail.bytes.starts_with(&file));
        }
        for line in &found {
            let line = line.strip_suffix(b"\n").expect("a sound trail ends so");
            let payload = payload(line).expect("a sound line");
            let json = [b"{", payload, b"}"].concat();
            serde_json::from_slice::<serde_json::Value>(&json).expect("one value");
        }
    }

    // With the head nothing is sound but the whole, with what is said to be
    // unanchored behind it.
    let report = verify(pinned().head(trail.head), &file);
    check(&report, &file);
    match file.strip_prefix(&trail.bytes[..]) {
        Some(b"") => assert!(report.is_sound() && report.unanchored == 0),
        Some(more) if report.is_sound() => {
            let more = more.split_inclusive(|byte| *byte == b'\n').count() as u64;
            assert!(input.is_chained && report.unanchored == more);
        }
        Some(_) => {}
        None => assert!(!report.is_sound()),
    }

    // Without anything, and of a part: a verdict.
    check(&verify(AuditVerifier::new(), &file), &file);
    check(&verify(AuditVerifier::new().partial(), &file), &file);
});

/// Gives one piece after the other.
struct Pieces<'a>(Vec<&'a [u8]>);

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while self.0.first().is_some_and(|piece| piece.is_empty()) {
            self.0.remove(0);
        }
        match self.0.first_mut() {
            Some(piece) => piece.read(out),
            None => Ok(0),
        }
    }
}

fn verify(mut verifier: AuditVerifier, file: &[u8]) -> AuditReport {
    verifier.read("audit", file).expect("a slice");
    verifier.finish()
}

fn check(report: &AuditReport, file: &[u8]) {
    let lines = file.split_inclusive(|byte| *byte == b'\n').count() as u64;
    assert_eq!(report.lines, lines);
    let notices = report.notices.len() as u64 + report.more_notices;
    assert!(report.events + report.checkpoints + notices <= lines);
    assert!(report.findings.len() <= 100 && report.notices.len() <= 100);
    assert!(report.more_findings == 0 || report.findings.len() == 100);
    for finding in &report.findings {
        if let Some(place) = &finding.place {
            assert!((1..=lines).contains(&place.line));
        }
        assert!(!finding.to_string().is_empty());
    }
}
