//! The two programs that replay a trace: this library's `cache_sim`, and
//! `interop/cache.py` over the official Python SDK.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::example::example;
use crate::model::Outcome;
use crate::trace::Trace;

/// Much longer than any trace takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// `cache_sim`'s answers.
pub(crate) fn cache_sim(trace: &Trace) -> Result<Vec<Outcome>, String> {
    let mut command = Command::new(example("cache_sim")?);
    command.arg("--json");
    answers(command, trace)
}

/// How Python starts, from the folder that `interop/setup.sh` installed into.
pub(crate) fn python_binary(home: &Path) -> PathBuf {
    home.join("venv/bin/python")
}

/// The Python SDK's answers.
pub(crate) fn python(home: &Path, trace: &Trace) -> Result<Vec<Outcome>, String> {
    let mut command = Command::new(python_binary(home));
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/cache.py"));
    answers(command, trace)
}

/// Runs a program on a trace and reads what it says of each line.
fn answers(mut command: Command, trace: &Trace) -> Result<Vec<Outcome>, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = |name: &str| folder.path().join(name);
    let io = |error: std::io::Error| error.to_string();
    let mut file = File::create(path("trace.jsonl")).map_err(io)?;
    for line in &trace.lines {
        writeln!(file, "{}", line.json()).map_err(io)?;
    }
    // Into files, so that nobody waits for a pipe to be emptied.
    let mut child = command
        .args(trace.limits.options())
        .arg(path("trace.jsonl"))
        .stdin(Stdio::null())
        .stdout(File::create(path("stdout")).map_err(io)?)
        .stderr(File::create(path("stderr")).map_err(io)?)
        .spawn()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(io)? {
            break status;
        }
        if start.elapsed() > PATIENCE {
            child.kill().and_then(|()| child.wait()).map_err(io)?;
            return Err(format!("{command:?} did not end in time"));
        }
        thread::sleep(Duration::from_millis(5));
    };
    let read = |name| std::fs::read_to_string(path(name)).map_err(io);
    if !status.success() {
        return Err(format!("{command:?}: {status}: {}", read("stderr")?));
    }
    parse(&read("stdout")?, trace.lines.len())
}

/// One line for each line of the trace, in order, and then their sums.
fn parse(output: &str, lines: usize) -> Result<Vec<Outcome>, String> {
    let mut answers = Vec::new();
    for line in output.lines() {
        answers.push(serde_json::from_str::<Value>(line).map_err(|error| error.to_string())?);
    }
    let totals = answers.pop().ok_or("no answer at all")?;
    if answers.len() != lines {
        return Err(format!("{} answers for {lines} lines", answers.len()));
    }
    let mut outcomes = Vec::new();
    for (index, answer) in answers.iter().enumerate() {
        let named = |outcome: &Outcome| answer["outcome"] == outcome.name();
        let outcome = Outcome::ALL
            .into_iter()
            .find(named)
            .filter(|outcome| answer["provider_calls"] == outcome.provider_calls())
            .filter(|_| answer["i"] == index)
            .ok_or_else(|| format!("line {index}: {answer}"))?;
        outcomes.push(outcome);
    }
    let count = |counted| {
        outcomes
            .iter()
            .filter(|outcome| **outcome == counted)
            .count() as u64
    };
    let calls: u64 = outcomes.iter().copied().map(Outcome::provider_calls).sum();
    let expected = [
        ("hit", count(Outcome::Hit)),
        ("miss", count(Outcome::Miss)),
        ("bypass", count(Outcome::Bypass)),
        ("coalesced", 0),
        ("refresh", 0),
        ("provider_calls", calls),
    ];
    for (name, number) in expected {
        if totals["totals"][name] != number {
            return Err(format!("{name} are {number}, but the totals are {totals}"));
        }
    }
    Ok(outcomes)
}
