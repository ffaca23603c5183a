//! Traces through this library's data-key cache (`examples/cache_sim`) and
//! through the official Python SDK's (`interop/cache.py`).
//!
//! Each answers as a model says, on every line: so the two agree wherever the
//! model's named differences do not apply, and differ as it says where they do.
//!
//! `interop/setup.sh DIR` installs the SDK, and `WAXSEAL_INTEROP=DIR` has it
//! run. Where it is not set, only this library is compared with the model, and
//! what did not run is said aloud; where it is set, an SDK that does not start
//! is a failure.

#[path = "../support/example.rs"]
mod example;
mod model;
mod programs;
mod trace;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Failed, Trial};
use model::{Difference, Outcome, Rules, replay};
use trace::Trace;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.quiet |= arguments.format.is_none() && std::env::var_os("WAXSEAL_VERBOSE").is_none();
    let home = std::env::var_os("WAXSEAL_INTEROP").map(PathBuf::from);
    let traces: Vec<_> = trace::all().into_iter().map(Arc::new).collect();
    let counts = Arc::new(Mutex::new(Counts::default()));

    let mut trials = vec![Trial::test("each_difference_shows", each_difference_shows)];
    for trace in &traces {
        let name = |what: &str| format!("{what}::{}", trace.name);
        let traced = trace.clone();
        trials.push(Trial::test(name("model"), move || only_the_named(&traced)));
        let traced = trace.clone();
        trials.push(Trial::test(name("waxseal"), move || {
            let outcomes = programs::cache_sim(&traced)?;
            Ok(as_modelled("waxseal", &traced, &outcomes, Rules::OURS)?)
        }));
        let (traced, counts, found) = (trace.clone(), counts.clone(), home.clone());
        let python = Trial::test(name("python"), move || {
            both(&traced, &found.ok_or("no Python")?, &counts)
        });
        trials.push(python.with_ignored_flag(home.is_none()));
    }

    if !arguments.list {
        match &home {
            None => println!(
                "SKIPPED, NOT RUN: {} traces through the Python SDK: WAXSEAL_INTEROP is not set",
                traces.len()
            ),
            Some(home) => {
                if let Err(error) = sdk_is_there(home) {
                    println!("FAILED: the Python SDK does not start: {error}");
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    let list_only = arguments.list;
    let conclusion = libtest_mimic::run(&arguments, trials);
    if list_only {
        return ExitCode::SUCCESS;
    }
    counts.lock().unwrap().print();
    conclusion.exit_code()
}

fn sdk_is_there(home: &Path) -> Result<(), String> {
    let python = programs::python_binary(home);
    let output = Command::new(&python)
        .args(["-c", "import aws_encryption_sdk"])
        .output()
        .map_err(|error| format!("{}: {error}", python.display()))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// A difference that shows in no trace would be one that nobody has checked.
fn each_difference_shows() -> Result<(), Failed> {
    let traces = trace::all();
    for difference in Difference::ALL {
        let shows = |trace: &Trace| replay(trace, Rules(&[difference])) != ours(trace);
        let alone = traces
            .iter()
            .filter(|trace| trace.differences == [difference] && shows(trace));
        if alone.count() == 0 {
            return Err(format!("{difference:?} shows in no trace that is made for it").into());
        }
    }
    Ok(())
}

/// A trace shows the differences that it is made for, and no others.
fn only_the_named(trace: &Trace) -> Result<(), Failed> {
    let named = replay(trace, Rules(trace.differences));
    Ok(as_modelled(
        "a model of Python",
        trace,
        &named,
        Rules::PYTHON,
    )?)
}

fn ours(trace: &Trace) -> Vec<Outcome> {
    replay(trace, Rules::OURS)
}

/// Runs both, and compares them with their models and with each other.
fn both(trace: &Trace, home: &Path, counts: &Mutex<Counts>) -> Result<(), Failed> {
    let python = programs::python(home, trace)?;
    as_modelled("Python", trace, &python, Rules::PYTHON)?;
    let waxseal = programs::cache_sim(trace)?;
    let causes = Causes::of(trace);
    let mut counts = counts.lock().unwrap();
    for (index, (ours, theirs)) in waxseal.iter().zip(&python).enumerate() {
        let cause = causes.of_line(index);
        if (ours != theirs) != cause.is_some() {
            let line = trace.lines[index].json();
            return Err(format!("line {index}: {line}: {ours} and {theirs}").into());
        }
        counts.count(cause);
    }
    counts.traces += 1;
    Ok(())
}

fn as_modelled(
    who: &str,
    trace: &Trace,
    outcomes: &[Outcome],
    rules: Rules<'_>,
) -> Result<(), String> {
    let model = replay(trace, rules);
    let Some(index) = (0..model.len()).find(|&index| outcomes[index] != model[index]) else {
        return Ok(());
    };
    Err(format!(
        "line {index}: {who} has a {}, the rules a {}: {}\noptions: {}",
        outcomes[index],
        model[index],
        trace.lines[index].json(),
        trace.limits.options().join(" ")
    ))
}

/// Why two outcomes of a line differ.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    /// This difference alone is enough.
    One(Difference),
    /// No difference alone is.
    Several,
}

/// What the models say of a trace.
struct Causes {
    ours: Vec<Outcome>,
    python: Vec<Outcome>,
    alone: [(Difference, Vec<Outcome>); Difference::ALL.len()],
}

impl Causes {
    fn of(trace: &Trace) -> Self {
        Causes {
            ours: ours(trace),
            python: replay(trace, Rules::PYTHON),
            alone: Difference::ALL.map(|one| (one, replay(trace, Rules(&[one])))),
        }
    }

    /// `None` where they do not differ.
    fn of_line(&self, index: usize) -> Option<Cause> {
        let (ours, python) = (self.ours[index], self.python[index]);
        if ours == python {
            return None;
        }
        let enough = self.alone.iter().find(|(_, alone)| alone[index] == python);
        Some(enough.map_or(Cause::Several, |(difference, _)| Cause::One(*difference)))
    }
}

#[derive(Default)]
struct Counts {
    traces: usize,
    lines: usize,
    differ: std::collections::BTreeMap<Cause, usize>,
}

impl Counts {
    fn count(&mut self, cause: Option<Cause>) {
        self.lines += 1;
        if let Some(cause) = cause {
            *self.differ.entry(cause).or_default() += 1;
        }
    }

    fn print(&self) {
        if self.traces == 0 {
            return;
        }
        let differ: usize = self.differ.values().sum();
        println!(
            "{} lines of {} traces through waxseal and the Python SDK: {} alike, {differ} differ as listed",
            self.lines,
            self.traces,
            self.lines - differ
        );
        for (cause, count) in &self.differ {
            let reason = match cause {
                Cause::One(difference) => difference.reason(),
                Cause::Several => "several of these together",
            };
            println!("  {count:6}: Python {reason}");
        }
    }
}
