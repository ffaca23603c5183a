//! What this library is to reach against its peers, and whether it does.

use std::fmt::Write as _;

use crate::contender::{Output, Who};
use crate::rounds::Measured;
use crate::work::{Bytes, KIB, MIB, Operation};

struct Goal {
    /// Whom it is about.
    peer: fn(Who) -> bool,
    signed: bool,
    /// By how many threads of this library: hashing overlaps with AES on two.
    threads: usize,
    operations: &'static [Operation],
    lengths: &'static [usize],
    /// How many times the peer's speed.
    at_least: f64,
}

const BOTH: &[Operation] = &Operation::BOTH;

const GOALS: &[Goal] = &[
    Goal {
        peer: |who| who == Who::AwsEsdk { signed: false },
        signed: false,
        threads: 1,
        operations: BOTH,
        lengths: &[KIB, MIB, 100 * MIB],
        at_least: 20.0,
    },
    Goal {
        peer: |who| who == Who::AwsEsdk { signed: true },
        signed: true,
        threads: 1,
        operations: &[Operation::Encrypt],
        lengths: &[KIB],
        at_least: 3.0,
    },
    Goal {
        peer: |who| who == Who::AwsEsdk { signed: true },
        signed: true,
        threads: 1,
        operations: &[Operation::Decrypt],
        lengths: &[KIB],
        at_least: 2.0,
    },
    Goal {
        peer: |who| who == Who::AwsEsdk { signed: true },
        signed: true,
        threads: 2,
        operations: BOTH,
        lengths: &[100 * MIB],
        at_least: 5.0,
    },
    Goal {
        peer: |who| matches!(who, Who::Age { .. } | Who::Tink),
        signed: false,
        threads: 1,
        operations: BOTH,
        lengths: &[100 * MIB],
        at_least: 5.0,
    },
    Goal {
        peer: |who| who == Who::Asherah,
        signed: false,
        threads: 1,
        operations: BOTH,
        lengths: &[MIB, 32 * MIB],
        at_least: 1.0,
    },
];

/// This library into a reused buffer, without the cache; the same into a fresh
/// one.
fn ours(output: Output, signed: bool, threads: usize) -> impl Fn(Who) -> bool {
    move |who| {
        matches!(who, Who::Waxseal(setup) if setup.output == output
            && setup.signed == signed && !setup.cached && setup.threads == threads)
    }
}

/// A table of all goals whose contenders were measured.
pub(crate) fn report(results: &[Measured]) -> String {
    let mut report = String::from(
        "| | the best back end | reused buffer | fresh output | goal |\n|---|---|--:|--:|---|\n",
    );
    for goal in GOALS {
        for length in goal.lengths {
            for operation in goal.operations {
                let here =
                    |result: &&Measured| result.length == *length && result.operation == *operation;
                if let Some(measured) = results.iter().find(here) {
                    rows(&mut report, goal, measured);
                }
            }
        }
    }
    report.push_str("\nTimes the peer's speed: medians of the rounds' ratios.\n\n");
    floors(&mut report, results);
    report
}

fn rows(report: &mut String, goal: &Goal, measured: &Measured) {
    for peer in measured.all().filter(|who| (goal.peer)(*who)) {
        let Some(best) = measured.fastest(ours(Output::Reused, goal.signed, goal.threads)) else {
            continue;
        };
        let Some(ratio) = measured.ratio(best, peer) else {
            continue;
        };
        let fresh = measured
            .fastest(ours(Output::Fresh, goal.signed, goal.threads))
            .and_then(|fresh| measured.ratio(fresh, peer))
            .map_or("–".to_owned(), |ratio| format!("{ratio:.1}"));
        let verdict = if ratio >= goal.at_least {
            "met"
        } else {
            "MISSED"
        };
        let _ = writeln!(
            report,
            "| {}, {}, {peer} | {best} | {ratio:.2} | {fresh} | ≥ {}: {verdict} |",
            measured.operation.name(),
            Bytes(measured.length),
            goal.at_least,
        );
    }
}

/// How much of a signed message's time its primitives need.
fn floors(report: &mut String, results: &[Measured]) {
    for measured in results {
        let best = measured.fastest(ours(Output::Reused, true, 1));
        let Some((best, ratio)) =
            best.and_then(|best| Some((best, measured.ratio(best, Who::Signature)?)))
        else {
            continue;
        };
        let _ = writeln!(
            report,
            "{}, {}: {best} reaches {ratio:.2} of the speed of {}.",
            measured.operation.name(),
            Bytes(measured.length),
            Who::Signature
        );
    }
}
