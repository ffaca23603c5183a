//! Changes by somebody who makes the hashes fit again, and cannot sign.

use waxseal::kms::audit::{AuditFile, AuditProblem, AuditReport, AuditVerifier};

use crate::trail::{
    bytes, chained, clock, first, key, lines, payload, pinned, record, texts, verify,
};

fn payloads(bytes: &[u8]) -> Vec<String> {
    lines(bytes).iter().map(|line| payload(line)).collect()
}

fn rewritten(payloads: &[String]) -> Vec<u8> {
    chained(payloads.iter().map(String::as_str))
}

fn is_checkpoint(payload: &str) -> bool {
    payload.starts_with("\"checkpoint\"")
}

#[test]
fn written_again_it_is_the_same() {
    let (good, _) = bytes(7, true);
    assert_eq!(rewritten(&payloads(&good)), good);
}

fn bad_signature(report: &AuditReport, line: usize) {
    // An event too many comes before.
    let bad = report.findings.iter();
    let bad = bad.filter(|finding| finding.problem != AuditProblem::CheckpointOverdue);
    let bad: Vec<_> = bad.collect();
    assert_eq!(bad[0].problem, AuditProblem::BadSignature);
    assert_eq!(bad[0].place.as_ref().unwrap().line, line as u64 + 1);
}

/// Each line changed, removed and inserted: the next checkpoint does not fit.
#[test]
fn before_a_checkpoint() {
    let (good, head) = bytes(7, true);
    let all = payloads(&good);
    for at in 1..all.len() {
        let mut changed = all.clone();
        let is_changed = !is_checkpoint(&all[at]);
        if is_changed {
            changed[at] = all[at].replace("alice", "mallory");
        } else {
            changed[at] = all[at].replace("\"every\":3", "\"every\":9");
        }
        assert_ne!(changed, all);
        let mut without = all.clone();
        without.remove(at);
        let mut with = all.clone();
        with.insert(at, r#""record":{"eventName":"Decrypt"}"#.to_owned());
        for rewriting in [changed, without, with] {
            let next = (at..rewriting.len()).find(|next| is_checkpoint(&rewriting[*next]));
            let written = rewritten(&rewriting);
            let report = verify(&written, AuditVerifier::new());
            match next {
                Some(next) => bad_signature(&report, next),
                // The last checkpoint itself was removed.
                None => assert_eq!((report.is_sound(), report.unanchored), (true, 1)),
            }
            let report = verify(&written, AuditVerifier::new().head(head));
            assert!(!report.is_sound());
        }
    }
}

/// Without all checkpoints from some line on, nothing but a head tells, and
/// that so many events without one do not happen.
#[test]
fn after_a_checkpoint() {
    let (good, head) = bytes(8, false);
    let mut all = payloads(&good);
    let last = all.len() - 1;
    all[last] = all[last].replace("alice", "mallory");
    let written = rewritten(&all);
    let report = verify(&written, pinned());
    assert_eq!(texts(&report.findings), [""; 0]);
    assert_eq!(report.unanchored, 2);
    let report = verify(&written, pinned().head(head));
    assert_eq!(
        report.findings[0].problem,
        AuditProblem::OtherHead(head.seq())
    );

    let first_only = all.iter().enumerate();
    let first_only = first_only.filter(|(at, payload)| *at == 0 || !is_checkpoint(payload));
    let left: Vec<_> = first_only.map(|(_, payload)| payload.clone()).collect();
    let report = verify(&rewritten(&left), pinned());
    assert_eq!(first(&report), Some(5));
    assert_eq!(report.findings[0].problem, AuditProblem::CheckpointOverdue);

    let none: Vec<_> = all
        .into_iter()
        .filter(|payload| !is_checkpoint(payload))
        .collect();
    let report = verify(&rewritten(&none), pinned());
    assert_eq!(first(&report), Some(1));
    assert_eq!(report.findings[0].problem, AuditProblem::NoFirstCheckpoint);
}

/// Notices are not counted as events: they make no trail of their own.
#[test]
fn without_any_checkpoint() {
    let notice = r#""notice":{"time":"2025-06-15T15:06:40Z","kind":"unclosed"}"#;
    let report = verify(&chained([notice, notice]), pinned());
    assert_eq!(report.findings[0].problem, AuditProblem::NoFirstCheckpoint);
    assert_eq!(report.findings.len(), 1);
}

/// All of it, signed with another key.
#[test]
fn with_another_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let (_, head) = bytes(7, true);
    let file = AuditFile::builder(&path, key(8))
        .clock(clock())
        .open()
        .unwrap();
    for number in 0..7 {
        record(&file, number + 100);
    }
    file.close().unwrap();
    let other = std::fs::read(&path).unwrap();
    let report = verify(&other, pinned());
    let foreign = AuditProblem::ForeignKey(key(8).public_key());
    assert_eq!(
        (first(&report), &report.findings[0].problem),
        (Some(1), &foreign)
    );
    assert_eq!(report.checkpoints, 0);
    // The head's line is there, and another.
    let report = verify(&other, AuditVerifier::new().head(head));
    assert!(matches!(
        report.findings[0].problem,
        AuditProblem::OtherHead(_) | AuditProblem::CutOff { .. }
    ));
    // As documented, nothing else tells.
    let report = verify(&other, AuditVerifier::new());
    assert!(report.is_sound());
    assert_eq!(report.public_keys, [key(8).public_key()]);
}

/// Two keys in one trail are a finding, unless both are given.
#[test]
fn a_key_that_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    for seed in [7, 8] {
        let file = AuditFile::builder(&path, key(seed))
            .clock(clock())
            .open()
            .unwrap();
        record(&file, 0);
    }
    let trail = std::fs::read(&path).unwrap();
    let foreign = AuditProblem::ForeignKey(key(8).public_key());
    for verifier in [AuditVerifier::new(), pinned()] {
        let report = verify(&trail, verifier);
        assert_eq!(
            (first(&report), &report.findings[0].problem),
            (Some(4), &foreign)
        );
    }
    let both = pinned().public_key(key(8).public_key());
    let report = verify(&trail, both);
    assert!(report.is_sound());
    assert_eq!(report.public_keys.len(), 2);
}

/// A head that was kept at any time.
#[test]
fn each_head_is_found_again() {
    let (good, _) = bytes(7, true);
    let all = lines(&good);
    for (at, line) in all.iter().enumerate() {
        let hash = crate::trail::hex(&crate::tampered::hash(line));
        let head = format!("{}:{hash}", at + 1).parse().unwrap();
        let report = verify(&good, AuditVerifier::new().head(head));
        assert!(report.is_sound());
        assert_eq!(report.unanchored, 0);
        let wrong = format!("{}:{}", at + 1, "0".repeat(64)).parse().unwrap();
        let report = verify(&good, AuditVerifier::new().head(wrong));
        assert_eq!(
            report.findings[0].problem,
            AuditProblem::OtherHead(at as u64 + 1)
        );
        // From the next line on, the head vouches for the beginning.
        let rest = all[at + 1..].concat();
        if !rest.is_empty() {
            assert!(verify(&rest, AuditVerifier::new().head(head).partial()).is_sound());
            let report = verify(&rest, AuditVerifier::new().head(wrong).partial());
            assert_eq!(
                report.findings[0].problem,
                AuditProblem::OtherHead(at as u64 + 1)
            );
        }
        if at + 2 < all.len() {
            let rest = all[at + 2..].concat();
            let report = verify(&rest, AuditVerifier::new().head(head).partial());
            let not_covered = AuditProblem::HeadNotCovered(at as u64 + 1);
            assert_eq!(report.findings[0].problem, not_covered);
        }
    }
}
