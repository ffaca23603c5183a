//! One change by somebody who does not make the hashes fit again.

use waxseal::kms::audit::{AuditProblem, AuditVerifier};

use crate::trail::{bytes, first, forged, lines, pinned, texts, verify};

#[test]
fn what_was_written_is_sound() {
    for is_closed in [false, true] {
        for events in 0..8 {
            let (bytes, head) = bytes(events, is_closed);
            let report = verify(&bytes, pinned().head(head));
            assert_eq!(texts(&report.findings), [""; 0]);
            assert_eq!(report.events, events);
            assert_eq!((report.first, report.head), (Some(1), Some(head)));
            assert_eq!(report.unanchored, 0);
            assert_eq!(report.lines, lines(&bytes).len() as u64);
            assert_eq!(report.checkpoints + events, report.lines);
            let alone = verify(&bytes, AuditVerifier::new());
            assert!(alone.is_sound());
            let unanchored = if is_closed { 0 } else { events % 3 };
            assert_eq!(alone.unanchored, unanchored, "{events}");
        }
    }
}

/// Each byte of a small trail, in three ways.
#[test]
fn each_byte_counts() {
    let (good, _) = bytes(1, true);
    let mut line = 1;
    for at in 0..good.len() {
        for bit in [1, 0x20, 0x80] {
            let mut changed = good.clone();
            changed[at] ^= bit;
            let report = verify(&changed, AuditVerifier::new());
            assert_eq!(first(&report), Some(line), "byte {at}, bit {bit}");
        }
        line += u64::from(good[at] == b'\n');
    }
}

#[test]
fn each_byte_removed_or_added() {
    let (good, _) = bytes(1, true);
    let mut line = 1;
    for at in 0..good.len() {
        let mut without = good.clone();
        without.remove(at);
        // What is removed of a run of the same bytes is the run's last.
        let report = verify(&without, AuditVerifier::new());
        assert_eq!(first(&report), Some(line), "without byte {at}");
        for byte in [b'0', b'\n'] {
            let mut with = good.clone();
            with.insert(at, byte);
            let report = verify(&with, AuditVerifier::new());
            // An empty line is a line of its own.
            let empty = u64::from((byte, good[at]) == (b'\n', b'\n'));
            assert_eq!(
                first(&report),
                Some(line + empty),
                "{byte} before byte {at}"
            );
        }
        line += u64::from(good[at] == b'\n');
    }
}

#[test]
fn each_line_removed() {
    let (good, head) = bytes(7, true);
    let all = lines(&good);
    for at in 0..all.len() {
        let mut left = all.clone();
        left.remove(at);
        let without_head = verify(&left.concat(), AuditVerifier::new());
        let with_head = verify(&left.concat(), AuditVerifier::new().head(head));
        if at + 1 < all.len() {
            assert_eq!(first(&without_head), Some(at as u64 + 1));
            let (expected, found) = (at as u64 + 1, at as u64 + 2);
            let missing = AuditProblem::Missing { expected, found };
            assert_eq!(without_head.findings[0].problem, missing);
            // And no more, but that so many events without a checkpoint do not
            // happen.
            let more = without_head.findings[1..].iter();
            let overdue = AuditProblem::CheckpointOverdue;
            assert!(
                more.map(|finding| &finding.problem)
                    .all(|more| *more == overdue)
            );
        } else {
            assert!(without_head.is_sound());
            assert_eq!(without_head.unanchored, 1);
            let (end, head) = (at as u64, at as u64 + 1);
            assert_eq!(
                with_head.findings[0].problem,
                AuditProblem::CutOff { end, head }
            );
        }
    }
}

#[test]
fn each_pair_of_lines_swapped() {
    let (good, _) = bytes(7, true);
    let all = lines(&good);
    for one in 0..all.len() {
        for other in one + 1..all.len() {
            let mut swapped = all.clone();
            swapped.swap(one, other);
            let report = verify(&swapped.concat(), AuditVerifier::new());
            assert_eq!(first(&report), Some(one as u64 + 1), "{one} and {other}");
            assert!(report.findings.len() > 1);
        }
    }
}

#[test]
fn each_line_moved_or_repeated() {
    let (good, _) = bytes(5, true);
    let all = lines(&good);
    for from in 0..all.len() {
        for to in 0..=all.len() {
            let mut repeated = all.clone();
            repeated.insert(to, all[from].clone());
            // Before its place it comes too early, and behind it again.
            let report = verify(&repeated.concat(), AuditVerifier::new());
            let expected = if to == from { from + 1 } else { to };
            assert_eq!(first(&report), Some(expected as u64 + 1), "{from} at {to}");
        }
    }
}

/// One line with a hash that fits, in the place of another or between two.
#[test]
fn each_line_replaced_or_inserted() {
    let (good, head) = bytes(7, true);
    let all = lines(&good);
    let mut prev = [0; 32];
    for at in 0..all.len() {
        let seq = at as u64 + 1;
        let (line, _) = forged(seq, &prev, r#""record":{"eventName":"Decrypt"}"#);
        let mut replaced = all.clone();
        replaced[at] = line.clone();
        let report = verify(&replaced.concat(), AuditVerifier::new().head(head));
        if at + 1 < all.len() {
            let unlinked = report.findings.iter().find(|finding| {
                let line = finding.place.as_ref().map(|place| place.line);
                finding.problem == AuditProblem::Unlinked && line == Some(seq + 1)
            });
            assert!(unlinked.is_some(), "{:?}", texts(&report.findings));
        } else {
            assert_eq!(report.findings[0].problem, AuditProblem::OtherHead(seq));
        }
        let mut inserted = all.clone();
        inserted.insert(at, line);
        let report = verify(&inserted.concat(), AuditVerifier::new());
        let (expected, found) = (seq + 1, seq);
        let again = report.findings.iter().find(|finding| {
            let line = finding.place.as_ref().map(|place| place.line);
            finding.problem == AuditProblem::OutOfOrder { expected, found } && line == Some(seq + 1)
        });
        assert!(again.is_some(), "{:?}", texts(&report.findings));
        prev = hash(&all[at]);
    }
}

/// What follows is the same whether the end was cut off or never written.
#[test]
fn cut_after_each_line() {
    let (good, head) = bytes(7, true);
    let all = lines(&good);
    for kept in 0..all.len() {
        let cut = all[..kept].concat();
        let with_head = verify(&cut, AuditVerifier::new().head(head));
        let last = with_head.findings.last().unwrap();
        let (end, head) = (kept as u64, head.seq());
        assert_eq!(last.problem, AuditProblem::CutOff { end, head });
        let without_head = verify(&cut, AuditVerifier::new());
        if kept == 0 {
            assert_eq!(without_head.findings[0].problem, AuditProblem::Empty);
            continue;
        }
        assert!(without_head.is_sound());
        let is_checkpoint = |line: &Vec<u8>| line.windows(13).any(|w| w == b"\"checkpoint\":");
        let since = all[..kept].iter().rev().position(is_checkpoint).unwrap();
        assert_eq!(without_head.unanchored, since as u64);
    }
}

#[test]
fn cut_within_each_line() {
    let (good, _) = bytes(2, true);
    let mut line = 1;
    for end in 1..good.len() {
        if good[end - 1] == b'\n' {
            line += 1;
            continue;
        }
        let report = verify(&good[..end], AuditVerifier::new());
        assert_eq!(first(&report), Some(line), "{end}");
        assert_eq!(report.findings[0].problem, AuditProblem::Torn);
        assert_eq!(report.findings.len(), 1);
    }
}

pub(crate) fn hash(line: &[u8]) -> [u8; 32] {
    let digits = &line[line.len() - 67..line.len() - 3];
    let digits = std::str::from_utf8(digits).unwrap();
    std::array::from_fn(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
}
