//! What a replay came to, for programs and for people.

use std::io::{self, Write};
use std::time::Duration;

use waxseal::{CacheOutcome, CacheStatistics};

use crate::replay::Done;

/// In the order of `--json`'s totals.
const OUTCOMES: [CacheOutcome; 5] = [
    CacheOutcome::Hit,
    CacheOutcome::Miss,
    CacheOutcome::Bypass,
    CacheOutcome::Coalesced,
    CacheOutcome::Refresh,
];

fn count(done: &[Done], outcome: CacheOutcome) -> usize {
    done.iter().filter(|done| done.outcome == outcome).count()
}

fn provider_calls(done: &[Done]) -> u64 {
    done.iter().map(|done| u64::from(done.provider_calls)).sum()
}

/// One JSON object for each line, and one with the totals.
pub(crate) fn write_json(done: &[Done], out: &mut impl Write) -> io::Result<()> {
    for (i, done) in done.iter().enumerate() {
        let (outcome, calls) = (done.outcome, done.provider_calls);
        writeln!(
            out,
            r#"{{"i": {i}, "outcome": "{outcome}", "provider_calls": {calls}}}"#
        )?;
    }
    write!(out, r#"{{"totals": {{"#)?;
    for outcome in OUTCOMES {
        write!(out, r#""{outcome}": {}, "#, count(done, outcome))?;
    }
    writeln!(out, r#""provider_calls": {}}}}}"#, provider_calls(done))
}

/// What a report is about, beside what each line came to.
pub(crate) struct Summary {
    /// From the first line to the last.
    pub(crate) length: Duration,
    pub(crate) statistics: CacheStatistics,
    pub(crate) price: Option<f64>,
}

/// A table to read.
pub(crate) fn write_text(done: &[Done], summary: &Summary, out: &mut impl Write) -> io::Result<()> {
    let (requests, calls) = (done.len(), provider_calls(done));
    let share = |part: usize| match requests {
        0 => String::new(),
        _ => format!("{:5.1} %", part as f64 / requests as f64 * 100.0),
    };
    let length = summary.length.as_secs_f64();
    writeln!(out, "requests        {requests:>12}  in {length} s")?;
    for outcome in OUTCOMES {
        let count = count(done, outcome);
        let name = outcome.to_string();
        writeln!(out, "  {name:<14}{count:>12}  {}", share(count))?;
    }
    let saved = requests.saturating_sub(usize::try_from(calls).unwrap_or(usize::MAX));
    let saved = share(saved);
    writeln!(out, "provider calls  {calls:>12}  {saved} saved")?;

    let evicted = &summary.statistics.evicted;
    writeln!(out, "evictions       {:>12}", evicted.total())?;
    let causes = [
        ("expired", evicted.expired),
        ("exhausted", evicted.exhausted),
        ("replaced", evicted.replaced),
        ("capacity", evicted.capacity),
    ];
    for (cause, count) in causes {
        writeln!(out, "  {cause:<14}{count:>12}")?;
    }
    let entries = summary.statistics.entries;
    writeln!(out, "entries left    {entries:>12}")?;

    let mut latencies: Vec<Duration> = done.iter().map(|done| done.latency).collect();
    latencies.sort_unstable();
    writeln!(out, "latency in ms")?;
    let values = [
        ("mean", mean(&latencies)),
        ("p50", percentile(&latencies, 50)),
        ("p99", percentile(&latencies, 99)),
        ("max", percentile(&latencies, 100)),
    ];
    for (name, latency) in values {
        let milliseconds = latency.as_secs_f64() * 1e3;
        writeln!(out, "  {name:<14}{milliseconds:>12.3}")?;
    }
    if let Some(price) = summary.price {
        writeln!(out, "cost            {:>12}", money(calls as f64 * price))?;
        let without = money(requests as f64 * price);
        writeln!(out, "  without cache {without:>12}")?;
    }
    Ok(())
}

fn mean(latencies: &[Duration]) -> Duration {
    let sum = latencies
        .iter()
        .fold(0.0, |sum, latency| sum + latency.as_secs_f64());
    Duration::try_from_secs_f64(sum / latencies.len() as f64).unwrap_or_default()
}

/// The nearest rank, of latencies in order.
fn percentile(latencies: &[Duration], percent: usize) -> Duration {
    let rank = (latencies.len() * percent).div_ceil(100);
    let latency = latencies.get(rank.saturating_sub(1));
    latency.copied().unwrap_or_default()
}

/// With the digits that a price per call has, and two at least.
fn money(amount: f64) -> String {
    let text = format!("{amount:.9}");
    let trimmed = text.trim_end_matches('0');
    match trimmed.split_once('.') {
        Some((whole, fraction)) => format!("{whole}.{fraction:0<2}"),
        None => text,
    }
}
