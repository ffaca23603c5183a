//! Policies are evaluated as somebody else's evaluator does it: 100,000 random
//! cases, of which each difference is settled by AWS's own text (`rulings.rs`).
//!
//! `interop/iam/setup.sh DIR` installs `@cloud-copilot/iam-simulate`, and
//! `WAXSEAL_IAM=DIR` has this run, `WAXSEAL_IAM_CASES=FROM..TO` with other cases.
//! Where the first is not set nothing runs, aloud; where it is set, an evaluator
//! that does not start is a failure.

mod case;
mod evaluator;
mod generate;
mod rulings;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use case::{Case, Verdict};
use evaluator::Evaluator;
use rulings::RULINGS;

const CASES: Range<u64> = 0..100_000;

/// How many cases there were of each kind.
#[derive(Default)]
struct Tally {
    verdicts: BTreeMap<String, u64>,
    /// By the rulings that it took.
    settled: BTreeMap<String, u64>,
    unsettled: Vec<String>,
}

fn main() -> ExitCode {
    let Some(home) = std::env::var_os("WAXSEAL_IAM") else {
        eprintln!(
            "policy_differential: SKIPPED. Run interop/iam/setup.sh DIR, and set WAXSEAL_IAM=DIR."
        );
        return ExitCode::SUCCESS;
    };
    let cases = match std::env::var("WAXSEAL_IAM_CASES") {
        Ok(given) => {
            let bounds = given.split_once("..");
            let number = |text: &str| text.parse::<u64>().ok();
            match bounds.and_then(|(from, to)| Some(number(from)?..number(to)?)) {
                Some(cases) => cases,
                None => {
                    eprintln!("WAXSEAL_IAM_CASES: {given} is not FROM..TO");
                    return ExitCode::FAILURE;
                }
            }
        }
        Err(_) => CASES,
    };
    match run(Path::new(&home), cases.clone()) {
        Ok(tally) => report(&tally, &cases),
        Err(error) => {
            eprintln!("policy_differential: {error}");
            ExitCode::FAILURE
        }
    }
}

fn report(tally: &Tally, cases: &Range<u64>) -> ExitCode {
    println!("cases {cases:?}: {:?}", tally.verdicts);
    for (rulings, count) in &tally.settled {
        println!("differ, settled: {count:6} by {rulings}");
    }
    for ruling in &RULINGS {
        println!("{}:\n    {}", ruling.name, ruling.source);
    }
    for unsettled in tally.unsettled.iter().take(20) {
        eprintln!("differ, NOT SETTLED: {unsettled}");
    }
    if !tally.unsettled.is_empty() {
        eprintln!("{} cases differ without a reason", tally.unsettled.len());
        return ExitCode::FAILURE;
    }
    // The cases are worth something only if they go all ways.
    let total: u64 = tally.verdicts.values().sum();
    if tally.verdicts.len() < 3 || tally.verdicts.values().any(|count| *count < total / 50) {
        eprintln!("some verdict hardly ever comes");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Two processes, each taking the next case.
fn run(home: &Path, cases: Range<u64>) -> Result<Tally, String> {
    let next = AtomicU64::new(cases.start);
    let work = || -> Result<Tally, String> {
        let mut evaluator = Evaluator::start(home)?;
        let mut tally = Tally::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= cases.end {
                return Ok(tally);
            }
            compare(number, &mut evaluator, &mut tally)?;
        }
    };
    let tallies = thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.map(|thread| thread.join().expect("a case panicked"))
    });
    let mut sum = Tally::default();
    for tally in tallies {
        let tally = tally?;
        for (verdict, count) in tally.verdicts {
            *sum.verdicts.entry(verdict).or_default() += count;
        }
        for (rulings, count) in tally.settled {
            *sum.settled.entry(rulings).or_default() += count;
        }
        sum.unsettled.extend(tally.unsettled);
    }
    Ok(sum)
}

fn compare(number: u64, evaluator: &mut Evaluator, tally: &mut Tally) -> Result<(), String> {
    let case = generate::case(number);
    let ours = case.ours();
    *tally.verdicts.entry(format!("{ours:?}")).or_default() += 1;
    let theirs = evaluator.ask(&case)?;
    if theirs == ours {
        return Ok(());
    }
    match settle(&case, ours, evaluator)? {
        Some(rulings) => *tally.settled.entry(rulings).or_default() += 1,
        None => tally.unsettled.push(format!(
            "case {number}: here {ours:?}, there {theirs:?}: {}",
            case.to_json()
        )),
    }
    Ok(())
}

/// The rulings that it takes for the other evaluator to agree: one, if one does.
fn settle(case: &Case, ours: Verdict, evaluator: &mut Evaluator) -> Result<Option<String>, String> {
    for ruling in &RULINGS {
        if let Some(reworded) = (ruling.reword)(case)
            && evaluator.ask(&reworded)? == ours
        {
            return Ok(Some(ruling.name.to_owned()));
        }
    }
    let mut reworded = case.clone();
    let mut names = Vec::new();
    for ruling in &RULINGS {
        if let Some(more) = (ruling.reword)(&reworded) {
            reworded = more;
            names.push(ruling.name);
        }
    }
    let agrees = names.len() > 1 && evaluator.ask(&reworded)? == ours;
    Ok(agrees.then(|| names.join(" + ")))
}
