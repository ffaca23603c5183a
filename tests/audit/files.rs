//! Rotation, restarts, crashes, and several writers.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use waxseal::kms::audit::{AuditFile, AuditNotice, AuditProblem, AuditReport, AuditVerifier};

use crate::trail::{builder, bytes, clock, key, lines, pinned, record, texts};

fn report(files: &[PathBuf], mut verifier: AuditVerifier) -> AuditReport {
    for file in files {
        verifier.file(file).unwrap();
    }
    verifier.finish()
}

fn names(files: &[PathBuf]) -> Vec<String> {
    let name = |file: &PathBuf| file.file_name().unwrap().to_str().unwrap().to_owned();
    files.iter().map(name).collect()
}

fn sound(path: &Path) -> AuditReport {
    let report = report(&AuditFile::files(path).unwrap(), pinned());
    assert_eq!(texts(&report.findings), [""; 0]);
    report
}

#[test]
fn rotated_by_size() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    // Neither of the two is a part of the trail.
    fs::write(folder.path().join("audit.jsonl.0001"), "x").unwrap();
    fs::write(folder.path().join("audit.jsonl.000000"), "x").unwrap();
    let file = builder(&path).rotate_at_bytes(4000).open().unwrap();
    for number in 0..40 {
        record(&file, number);
    }
    let head = file.close().unwrap();
    assert_eq!(AuditFile::head_of(&path).unwrap(), head);
    let files = AuditFile::files(&path).unwrap();
    assert!(files.len() > 5);
    assert_eq!(
        names(&files)[..2],
        ["audit.jsonl.000001", "audit.jsonl.000002"]
    );
    assert_eq!(names(&files).last().unwrap(), "audit.jsonl");
    assert_eq!(sound(&path).events, 40);
    for file in &files {
        let bytes = fs::read(file).unwrap();
        // Its last line is a checkpoint, and no bigger than one longer.
        assert!(bytes.len() < 4000 + 1000);
        let last = lines(&bytes).pop().unwrap();
        assert!(last.windows(13).any(|window| window == b"\"checkpoint\":"));
    }
    // Some of the last files.
    let report_of = |files: &[PathBuf], verifier| report(files, verifier);
    for from in 1..files.len() {
        let part = report_of(&files[from..], pinned().head(head).partial());
        assert!(part.is_sound() && part.first > Some(1));
        let whole = report_of(&files[from..], pinned());
        let finding = &whole.findings[0];
        assert!(matches!(
            finding.problem,
            AuditProblem::Missing { expected: 1, .. }
        ));
        assert_eq!(finding.place.as_ref().unwrap().line, 1);
    }
    for at in 0..files.len() - 1 {
        let mut without = files.clone();
        without.remove(at);
        let finding = report_of(&without, pinned()).findings.remove(0);
        assert!(matches!(finding.problem, AuditProblem::Missing { .. }));
        let place = finding.place.unwrap();
        assert_eq!(
            (place.file, place.line),
            (files[at + 1].display().to_string(), 1)
        );
        let mut swapped = files.clone();
        swapped.swap(at, at + 1);
        assert!(!report_of(&swapped, pinned()).is_sound());
    }
    let without_last = report_of(&files[..files.len() - 1], pinned().head(head));
    assert!(matches!(
        without_last.findings[0].problem,
        AuditProblem::CutOff { .. }
    ));
}

#[test]
fn rotated_by_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let clock = clock();
    let day = Duration::from_secs(86_400);
    let open = || {
        let builder = AuditFile::builder(&path, key(7)).clock(clock.clone());
        builder.rotate_every(day).open().unwrap()
    };
    let file = open();
    for number in 0..6 {
        record(&file, number);
        clock.advance(day / 2);
    }
    file.close().unwrap();
    assert_eq!(names(&AuditFile::files(&path).unwrap()).len(), 4);
    assert_eq!(sound(&path).events, 6);
    // The numbers go on after a restart, and after the first files are gone.
    fs::remove_file(folder.path().join("audit.000001")).unwrap();
    let file = open();
    record(&file, 6);
    clock.advance(day);
    record(&file, 7);
    drop(file);
    let files = AuditFile::files(&path).unwrap();
    assert_eq!(names(&files)[0], "audit.000002");
    assert!(files.len() > 4);
    assert!(report(&files, pinned().partial()).is_sound());
}

#[test]
fn nothing_is_overwritten_by_a_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let file = builder(&path).rotate_at_bytes(1).open().unwrap();
    fs::write(folder.path().join("audit.000001"), "precious").unwrap();
    let event = waxseal::kms::audit::AuditEvent::new(
        "Encrypt",
        std::time::SystemTime::now(),
        waxseal::kms::audit::AuditId::from_bytes([0; 16]),
    );
    let error = waxseal::kms::audit::AuditSink::record(&file, &event).unwrap_err();
    assert!(
        error.to_string().ends_with("is in the way of the rotation"),
        "{error}"
    );
    let kept = fs::read(folder.path().join("audit.000001")).unwrap();
    assert_eq!(kept, b"precious");
}

#[test]
fn goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    for start in 0..4 {
        let file = builder(&path).open().unwrap();
        let twice = builder(&path).open().unwrap_err().to_string();
        assert!(
            twice.ends_with("is open in another process, or twice in this one"),
            "{twice}"
        );
        for number in 0..start {
            record(&file, number);
        }
    }
    let report = sound(&path);
    assert_eq!((report.events, report.notices.len()), (6, 0));
    assert_eq!(report.unanchored, 0);
}

#[test]
fn with_a_checkpoint_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let clock = clock();
    let builder = AuditFile::builder(&path, key(7)).clock(clock.clone());
    let file = builder
        .checkpoint_interval(Duration::from_secs(10))
        .open()
        .unwrap();
    record(&file, 0);
    clock.advance(Duration::from_secs(9));
    record(&file, 1);
    let unanchored = || report(std::slice::from_ref(&path), pinned()).unanchored;
    assert_eq!(unanchored(), 2);
    clock.advance(Duration::from_secs(1));
    record(&file, 2);
    assert_eq!(unanchored(), 0);
    record(&file, 3);
    assert_eq!(unanchored(), 1);
    let head = file.checkpoint().unwrap();
    assert_eq!(unanchored(), 0);
    // There is nothing new to sign.
    assert_eq!(file.checkpoint().unwrap(), head);
}

/// A crash at any time, as whoever starts next finds the file.
#[test]
fn goes_on_after_a_crash() {
    let (good, _) = bytes(5, true);
    let folder = tempfile::tempdir().unwrap();
    for end in 0..=good.len() {
        // Near the ends of lines, and some in between.
        let near = |at: usize| good.get(at) == Some(&b'\n');
        let is_near = (0..3).any(|less| near(end.wrapping_sub(less)) || near(end + less));
        if !is_near && end % 37 > 0 {
            continue;
        }
        let path = folder.path().join(format!("audit-{end}"));
        fs::write(&path, &good[..end]).unwrap();
        let whole = good[..end]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let torn = (end - whole) as u64;
        if torn > 0 {
            let error = AuditFile::head_of(&path).unwrap_err().to_string();
            assert!(error.contains("ends within a line"), "{error}");
        }
        let file = builder(&path).open().unwrap();
        record(&file, 100);
        file.close().unwrap();
        let report = sound(&path);
        let notices: Vec<_> = report.notices.iter().map(|(_, notice)| *notice).collect();
        let last = lines(&good[..whole]).pop();
        let is_signed = last.is_none_or(|line| line.windows(13).any(|w| w == b"\"checkpoint\":"));
        let mut expected = Vec::new();
        if torn > 0 {
            expected.push(AuditNotice::Torn { bytes: torn });
        }
        if !is_signed {
            expected.push(AuditNotice::Unclosed);
        }
        assert_eq!(notices, expected, "{end}");
        // What was there is still there: the lines, and the torn one's bytes.
        let now = fs::read(&path).unwrap();
        assert!(now.starts_with(&good[..whole]));
        if torn > 0 {
            let line = lines(&now[whole..]).swap_remove(0);
            let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
            let start = line["notice"]["start"].as_str().unwrap();
            use base64::Engine;
            let start = base64::engine::general_purpose::STANDARD
                .decode(start)
                .unwrap();
            assert_eq!(start, good[whole..end]);
        }
    }
}

/// Zeros, as a power cut leaves them, more than a line has.
#[test]
fn a_long_torn_end() {
    let (good, _) = bytes(5, true);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let zeros = vec![0; 5 << 20];
    fs::write(&path, [&good[..], &zeros].concat()).unwrap();
    builder(&path).open().unwrap().close().unwrap();
    let bytes = zeros.len() as u64;
    assert_eq!(sound(&path).notices[0].1, AuditNotice::Torn { bytes });
    assert!(fs::metadata(&path).unwrap().len() < 20_000);
}

#[test]
fn what_is_no_trail_is_not_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let (good, _) = bytes(5, true);
    let mut changed = good.clone();
    let at = changed.len() - 100;
    changed[at] ^= 1;
    let long = [&vec![b'x'; 2 << 20][..], b"\n"].concat();
    for wrong in [&b"\n"[..], b"hello\n", b"{}\n", &changed, &long] {
        fs::write(&path, wrong).unwrap();
        builder(&path).open().unwrap_err();
        AuditFile::head_of(&path).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), wrong);
    }
    fs::write(&path, b"").unwrap();
    AuditFile::head_of(&path).unwrap_err();
    builder(&path).open().unwrap();
    AuditFile::head_of(&path).unwrap();
    AuditFile::head_of(folder.path().join("none")).unwrap_err();
    AuditFile::files(folder.path().join("none")).unwrap_err();
}

/// Between the renaming and the next file.
#[test]
fn a_crash_while_rotating() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let (good, head) = bytes(5, true);
    fs::write(folder.path().join("audit.000001"), &good).unwrap();
    assert_eq!(AuditFile::head_of(&path).unwrap(), head);
    for content in [None, Some("")] {
        if let Some(content) = content {
            fs::write(folder.path().join("audit.000002"), content).unwrap();
        }
        let file = builder(&path).open().unwrap();
        record(&file, 1);
        drop(file);
        sound(&path);
    }
    assert_eq!(sound(&path).events, 7);
}

/// Threads share a file; each one's own order stays.
#[test]
fn several_threads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let file = builder(&path)
        .checkpoint_every(50)
        .rotate_at_bytes(50_000)
        .open()
        .unwrap();
    let file = Arc::new(file);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let file = &file;
            scope.spawn(move || {
                for number in 0..50 {
                    record(file, thread * 1000 + number);
                }
            });
        }
    });
    drop(file);
    assert_eq!(sound(&path).events, 400);
    let mut last = [None; 8];
    for file in AuditFile::files(&path).unwrap() {
        for line in lines(&fs::read(file).unwrap()) {
            let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
            let number = &line["record"]["requestParameters"]["numberOfBytes"];
            if let Some(number) = number.as_u64() {
                let last = &mut last[(number / 1000) as usize];
                assert!(*last < Some(number));
                *last = Some(number);
            }
        }
    }
}

/// Somebody else writes into the file, or shortens it.
#[test]
fn changed_under_the_writer() {
    for shorter in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        let file = builder(&path).open().unwrap();
        record(&file, 0);
        let mut bytes = fs::read(&path).unwrap();
        if shorter {
            bytes.truncate(bytes.len() - 10);
        } else {
            bytes.extend_from_slice(b"x");
        }
        fs::write(&path, &bytes).unwrap();
        let event = waxseal::kms::audit::AuditEvent::new(
            "Encrypt",
            std::time::SystemTime::now(),
            waxseal::kms::audit::AuditId::from_bytes([0; 16]),
        );
        let error = waxseal::kms::audit::AuditSink::record(&file, &event).unwrap_err();
        assert!(
            error.to_string().contains("was changed by somebody else"),
            "{error}"
        );
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    builder(&path).open().unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
