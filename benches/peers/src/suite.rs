//! AWS's published suite: messages of 1 KB to 100 MB, encrypted and decrypted
//! by 1 to 16 threads at once with a raw AES key, by both libraries in turns.
//! By the time that goes by, as AWS's is.

use std::hint::black_box;
use std::process;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use waxseal::EncryptionContext;

use crate::contender::{Output, Setup, Who};
use crate::contenders::{AwsEsdk, Waxseal, backends, client};
use crate::work::{CONTEXT, FRAME_LENGTH, Fallible, Operation, plaintext};

const KB: usize = 1_000;
const MB: usize = 1_000_000;

const LENGTHS: [usize; 9] = [
    KB,
    5 * KB,
    10 * KB,
    100 * KB,
    500 * KB,
    MB,
    10 * MB,
    50 * MB,
    100 * MB,
];
const QUICK_LENGTHS: [usize; 4] = [KB, 100 * KB, MB, 10 * MB];
const THREADS: [usize; 5] = [1, 2, 4, 8, 16];
const QUICK_THREADS: [usize; 3] = [1, 2, 16];

/// For each library at each length, number of threads and suite: a thread
/// starts no message after so long, and makes at least one.
const TIME: Duration = Duration::from_millis(300);
const QUICK_TIME: Duration = Duration::from_millis(60);

/// The peer calls itself for each frame: 100 MB overflow a thread's usual 2 MiB.
const STACK: usize = 64 << 20;

pub(crate) fn run(quick: bool) -> Fallible<()> {
    let (lengths, threads, time) = match quick {
        true => (&QUICK_LENGTHS[..], &QUICK_THREADS[..], QUICK_TIME),
        false => (&LENGTHS[..], &THREADS[..], TIME),
    };
    for signed in [true, false] {
        let setup = Setup {
            signed,
            ..Setup::plain(backends()[0], Output::Fresh)
        };
        let peer = Who::AwsEsdk { signed };
        println!(
            "Suite {}: p50 / p95 / p99 in milliseconds, and messages measured, of {} and {peer}\n",
            if signed { "0x0578" } else { "0x0478" },
            Who::Waxseal(setup),
        );
        println!(
            "| size | threads | operation | waxseal p50 / p95 / p99 | n | aws-esdk p50 / p95 / p99 | n \
             | p50, times as fast |\n|--:|--:|---|--:|--:|--:|--:|--:|"
        );
        for &length in lengths {
            let plaintext = plaintext(length);
            let message = Waxseal::new(setup)?.encrypt(&plaintext)?;
            for &threads in threads {
                let input = Input {
                    plaintext: &plaintext,
                    message: &message,
                    threads,
                    time,
                };
                let ours = input.measure(|| Ours::new(setup))?;
                let theirs = input.measure(|| AwsEsdk::new(signed))?;
                for operation in Operation::BOTH {
                    print(length, threads, operation, &ours, &theirs);
                }
            }
        }
        println!();
    }
    println!(
        "Each thread has a client of its own, and encrypts and decrypts in turns. Frames of \
         {FRAME_LENGTH} bytes, a context of two pairs."
    );
    Ok(())
}

fn print(length: usize, threads: usize, operation: Operation, ours: &Times, theirs: &Times) {
    let size = match length {
        length if length < MB => format!("{} KB", length / KB),
        length => format!("{} MB", length / MB),
    };
    let (ours, theirs) = (ours.of(operation), theirs.of(operation));
    println!(
        "| {size} | {threads} | {} | {} | {} | {} | {} | {:.1} |",
        operation.name(),
        percentiles(ours),
        ours.len(),
        percentiles(theirs),
        theirs.len(),
        at(theirs, 0.5) / at(ours, 0.5),
    );
}

fn percentiles(sorted: &[f64]) -> String {
    [0.5, 0.95, 0.99]
        .map(|part| format!("{:.3}", at(sorted, part)))
        .join(" / ")
}

/// A percentile: the least value that so large a part is not above.
fn at(sorted: &[f64], part: f64) -> f64 {
    let index = (sorted.len() as f64 * part).ceil() as usize;
    let value = sorted.get(index.saturating_sub(1));
    value.copied().unwrap_or(f64::NAN)
}

/// One library, in one thread.
trait Library {
    fn encrypt(&self, plaintext: &[u8]) -> Fallible<Vec<u8>>;
    fn decrypt(&self, message: &[u8]) -> Fallible<Vec<u8>>;
}

struct Ours {
    client: waxseal::blocking::Client,
    context: EncryptionContext,
}

impl Ours {
    fn new(setup: Setup) -> Fallible<Self> {
        Ok(Ours {
            client: client(setup)?.0.blocking(),
            context: EncryptionContext::from(CONTEXT),
        })
    }
}

impl Library for Ours {
    fn encrypt(&self, plaintext: &[u8]) -> Fallible<Vec<u8>> {
        Ok(self.client.encrypt(plaintext, &self.context)?)
    }

    fn decrypt(&self, message: &[u8]) -> Fallible<Vec<u8>> {
        Ok(self.client.decrypt(message, &self.context)?.plaintext)
    }
}

impl Library for AwsEsdk {
    fn encrypt(&self, plaintext: &[u8]) -> Fallible<Vec<u8>> {
        AwsEsdk::encrypt(self, plaintext.to_vec())
    }

    fn decrypt(&self, message: &[u8]) -> Fallible<Vec<u8>> {
        AwsEsdk::decrypt(self, message.to_vec())
    }
}

/// Milliseconds of single messages, sorted.
#[derive(Default)]
struct Times {
    encrypt: Vec<f64>,
    decrypt: Vec<f64>,
}

impl Times {
    fn of(&self, operation: Operation) -> &[f64] {
        match operation {
            Operation::Encrypt => &self.encrypt,
            Operation::Decrypt => &self.decrypt,
        }
    }
}

struct Input<'a> {
    plaintext: &'a [u8],
    message: &'a [u8],
    threads: usize,
    time: Duration,
}

impl Input<'_> {
    fn measure<L: Library>(&self, new: impl Fn() -> Fallible<L> + Sync) -> Fallible<Times> {
        let barrier = Barrier::new(self.threads);
        let worker = || {
            let library = new().map_err(|error| error.to_string());
            // All of them get here, so that none waits in vain.
            barrier.wait();
            library.and_then(|library| self.work(&library).map_err(|error| error.to_string()))
        };
        let mut all = Times::default();
        thread::scope(|scope| {
            let spawn = |_| {
                let thread = thread::Builder::new().stack_size(STACK);
                thread.spawn_scoped(scope, worker).unwrap_or_else(|error| {
                    // Those that started would wait for it.
                    eprintln!("a thread: {error}");
                    process::exit(1)
                })
            };
            let workers: Vec<_> = (0..self.threads).map(spawn).collect();
            for worker in workers {
                let times = worker
                    .join()
                    .unwrap_or_else(|_| Err("a panic".to_owned()))?;
                all.encrypt.extend(times.encrypt);
                all.decrypt.extend(times.decrypt);
            }
            Ok::<_, String>(())
        })?;
        all.encrypt.sort_by(f64::total_cmp);
        all.decrypt.sort_by(f64::total_cmp);
        Ok(all)
    }

    fn work(&self, library: &impl Library) -> Fallible<Times> {
        let mut times = Times::default();
        let start = Instant::now();
        // The first of a short one is not like the others.
        if self.plaintext.len() < MB {
            library.encrypt(self.plaintext)?;
            library.decrypt(self.message)?;
        }
        while times.encrypt.is_empty() || start.elapsed() < self.time {
            let start = Instant::now();
            black_box(library.encrypt(self.plaintext)?);
            let encrypted = Instant::now();
            black_box(library.decrypt(self.message)?);
            let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
            times.encrypt.push(milliseconds(encrypted - start));
            times.decrypt.push(milliseconds(encrypted.elapsed()));
        }
        Ok(times)
    }
}
