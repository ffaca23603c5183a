//! `cache_sim`: what a data-key cache of some limits would have done with an
//! application's requests. It replays a trace of them on a virtual clock
//! through the real client and the real cache, so that an hour takes
//! milliseconds, and no rule of the cache's is written here again.
//!
//! [`trace`] reads, [`replay`] plays it to a [`service`] in a [`world`] with a
//! clock of its own, [`report`] writes.

mod decimal;
mod failure;
mod replay;
mod report;
mod service;
mod trace;
mod world;

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use waxseal::{Caching, DataKeyCache};

use failure::Failure;
use report::Summary;
use service::Service;
use trace::Trace;

/// Replays a trace of requests through a data-key cache, to choose its limits.
///
/// All clients share one key provider and one cache, for encryption and for
/// decryption. Time is virtual.
#[derive(Parser)]
#[command(name = "cache_sim", after_long_help = FORMAT)]
struct Args {
    /// A file of requests, `-` (the default) for standard input
    #[arg(value_name = "TRACE", default_value = "-")]
    trace: PathBuf,

    /// The most data keys in the cache
    #[arg(long, value_name = "N")]
    capacity: usize,

    /// How long a data key is used: less than this, from when it was cached
    #[arg(long, value_name = "SECONDS", value_parser = decimal::seconds)]
    max_age: Duration,

    /// The most messages that a data key encrypts [default: 2^32]
    #[arg(long, value_name = "N")]
    max_messages: Option<u64>,

    /// The most bytes that a data key encrypts [default: 2^63 - 1]
    #[arg(long, value_name = "N")]
    max_bytes: Option<u64>,

    /// Refresh a data key after this share of its age or messages, from 0 to 1
    #[arg(long, value_name = "FRACTION")]
    refresh_after: Option<f64>,

    /// How long each call of the provider takes, in milliseconds
    #[arg(long, value_name = "MS", default_value = "0", value_parser = decimal::milliseconds)]
    provider_latency: Duration,

    /// What a call of the provider costs: the report says what all of them do
    #[arg(long, value_name = "PER_CALL", value_parser = price)]
    price: Option<f64>,

    /// Print a JSON object for each line of the trace, and one of totals
    #[arg(long)]
    json: bool,
}

const FORMAT: &str = r#"A trace has one JSON object a line, in the order of time:
  {"t": 12.5, "op": "encrypt", "client": "a", "partition": "p",
   "context": {"tenant": "7"}, "suite": "0x0478", "bytes": 4096}
  {"t": 13.0, "op": "decrypt", "of": 0}
(the first of these in one line).

  t          seconds, not before the line before; to the nearest nanosecond
  partition  only requests of one partition share data keys; all that name none
             are in one of their own
  client     for the reader: clients differ by partition and suite alone
  context    the encryption context; empty if left out
  suite      the client's default (0x0478) if left out, which is another
             identifier than the same suite named. The commitment policy is one
             that allows the suite
  bytes      the plaintext's length, up to 2^63 - 1; unknown if null or left out
  of         which line's message is decrypted, from 0; blank lines do not count.
             `partition` (and `client`) are that line's if left out

null is the same as left out, and other fields are ignored.

Lines of equal t begin one after another, in order; at latency 0 each ends before
the next begins. Calls that end at a line's t have ended before it begins. A
decryption waits until its encryption has ended, and its latency counts from then.

With --json, for each line, in order:
  {"i": 0, "outcome": "miss", "provider_calls": 1}
where the outcome is hit, miss, coalesced (from another request's call), bypass
(past the cache) or refresh (a call ahead of the expiry, which this request waits
for while the others go on with the old data key), and the calls are those
that this request made; then
  {"totals": {"hit": 0, "miss": 1, "bypass": 0, "coalesced": 0, "refresh": 0, "provider_calls": 1}}

Exit codes: 0 all went well; 2 the arguments or the trace are wrong; 3 a file
cannot be read or written.

Example, where a call takes 20 ms and 10,000 of them cost 0.03:
  cache_sim requests.jsonl --capacity 1000 --max-age 300 --max-messages 10000 \
      --refresh-after 0.8 --provider-latency 20 --price 0.000003"#;

fn price(text: &str) -> Result<f64, String> {
    let price: f64 = text.parse().map_err(|_| "is not a number".to_owned())?;
    if price.is_finite() && price >= 0.0 {
        Ok(price)
    } else {
        Err("is not a price".to_owned())
    }
}

impl Args {
    fn limits(&self, cache: &DataKeyCache) -> Caching {
        let mut caching = Caching::new(cache, self.max_age);
        if let Some(messages) = self.max_messages {
            caching = caching.max_messages(messages);
        }
        if let Some(bytes) = self.max_bytes {
            caching = caching.max_bytes(bytes);
        }
        if let Some(share) = self.refresh_after {
            caching = caching.refresh_after(share);
        }
        caching
    }

    fn read_trace(&self) -> Result<Trace, Failure> {
        if self.trace == Path::new("-") {
            return Trace::read("standard input", io::stdin().lock());
        }
        let name = self.trace.display().to_string();
        let file = File::open(&self.trace).map_err(|error| trace::cannot_read(&name, &error))?;
        Trace::read(&name, BufReader::new(file))
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    let limits = |cache: &DataKeyCache| args.limits(cache);
    let mut service = Service::new(args.capacity, limits, args.provider_latency)
        .map_err(|error| Failure::usage(error.to_string()))?;
    let trace = args.read_trace()?;
    let done = replay::replay(&trace, &mut service)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let written = if args.json {
        report::write_json(&done, &mut out)
    } else {
        // Not only what a request has met.
        service.cache.evict_expired();
        let times = trace.lines.first().zip(trace.lines.last());
        let summary = Summary {
            length: times.map_or(Duration::ZERO, |(first, last)| last.at - first.at),
            statistics: service.cache.statistics(),
            price: args.price,
        };
        report::write_text(&done, &summary, &mut out)
    };
    let written = written.and_then(|()| out.flush());
    written.map_err(|error| Failure::write(&error))
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
