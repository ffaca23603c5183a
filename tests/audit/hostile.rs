//! Files that nobody wrote: bounded memory, no panic, no end.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{self, Read};

use proptest::prelude::*;
use waxseal::kms::audit::{AuditProblem, AuditVerifier};

use crate::trail::{bytes, verify};

/// The system's allocator, and what the thread holds and has held.
struct Counting;

thread_local! {
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(bytes: isize) {
    // While a thread ends there is nothing to count into.
    let _ = HELD.try_with(|held| {
        let (now, peak) = held.get();
        let now = now + bytes;
        held.set((now, peak.max(now)));
    });
}

// SAFETY: every call goes to the system's allocator unchanged; counting
// allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How much more was held than before, at most.
fn peak<T>(run: impl FnOnce() -> T) -> (T, isize) {
    let before = HELD.with(|held| {
        let (now, _) = held.get();
        held.set((now, now));
        now
    });
    let result = run();
    (result, HELD.with(|held| held.get().1) - before)
}

const LIMIT: isize = 8 << 20;

#[test]
fn a_line_of_a_gibibyte() {
    let (report, peak) = peak(|| {
        let mut verifier = AuditVerifier::new();
        let begin = &b"{\"seq\":1,\"prev\":\""[..];
        let reader = begin
            .chain(io::repeat(b'0').take(1 << 30))
            .chain(&b"\nx\n"[..]);
        verifier.read("audit", reader).unwrap();
        verifier.finish()
    });
    assert_eq!(report.findings[0].problem, AuditProblem::TooLong);
    assert_eq!(report.findings[1].problem, AuditProblem::Malformed);
    assert_eq!(report.findings[1].place.as_ref().unwrap().line, 2);
    assert_eq!(report.lines, 2);
    assert!(peak < LIMIT, "{peak}");
}

#[test]
fn a_million_lines() {
    let (report, peak) = peak(|| {
        let mut verifier = AuditVerifier::new();
        let lines = b"x\n".repeat(1 << 20);
        verifier.read("audit", &lines[..]).unwrap();
        drop(lines);
        verifier.finish()
    });
    assert_eq!(report.findings.len(), 100);
    assert_eq!(report.more_findings, (1 << 20) - 100);
    assert!(peak < LIMIT, "{peak}");
}

/// The longest line that is one is read, and one byte more is not.
#[test]
fn the_longest_line() {
    let envelope = crate::trail::chained([r#""record":{"":""}"#]).len();
    for (more, is_too_long) in [(0, false), (1, true)] {
        let text = "x".repeat((1 << 20) - envelope + more);
        let line = crate::trail::chained([&*format!(r#""record":{{"":"{text}"}}"#)]);
        assert_eq!(line.len(), (1 << 20) + more);
        let report = verify(&line, AuditVerifier::new());
        let found = report.findings[0].problem == AuditProblem::TooLong;
        assert_eq!(found, is_too_long);
    }
}

/// JSON that nests deep, or whose readers would not agree on it.
#[test]
fn payloads_that_are_none() {
    let deep = format!(
        r#""notice":{{"kind":"torn","bytes":1,"a":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    for payload in [
        r#""record":{},"record":{}"#,
        r#""record":{}},{"x":{}"#,
        r#""record":[]"#,
        r#""record":null"#,
        r#""other":{}"#,
        r#""notice":{}"#,
        r#""notice":{"kind":"other"}"#,
        r#""notice":{"kind":"torn"}"#,
        r#""notice":{"kind":"torn","bytes":-1}"#,
        "",
        &deep,
    ] {
        let report = verify(&crate::trail::chained([payload]), AuditVerifier::new());
        assert_eq!(
            report.findings[0].problem,
            AuditProblem::Malformed,
            "{payload:.60}"
        );
    }
    for payload in [
        r#""checkpoint":{}"#.to_owned(),
        r#""checkpoint":{"time":"","every":1,"publicKey":"","signature":""}"#.to_owned(),
        format!(
            r#""checkpoint":{{"time":"","every":1,"publicKey":"{}","signature":"{}"}}"#,
            "0".repeat(98),
            "0".repeat(206)
        ),
    ] {
        let report = verify(&crate::trail::chained([&*payload]), AuditVerifier::new());
        assert_eq!(
            report.findings[0].problem,
            AuditProblem::BadSignature,
            "{payload}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Splices of a trail and of anything: a verdict, and not the good one
    /// unless it is the trail.
    #[test]
    fn anything(splices in prop::collection::vec(
        (any::<prop::sample::Index>(), any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 0..9)),
        1..4,
    )) {
        let (good, head) = bytes(2, true);
        let mut changed = good.clone();
        for (from, to, with) in splices {
            let (from, to) = (from.index(changed.len() + 1), to.index(changed.len() + 1));
            changed.splice(from.min(to)..from.max(to), with);
        }
        let report = verify(&changed, AuditVerifier::new().head(head));
        prop_assert_eq!(report.is_sound(), changed == good);
    }
}
