//! What takes part in a comparison.

use std::fmt;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::work::{Fallible, Operation, Work, locked_version};

/// Who it is, and how it is used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Waxseal(Setup),
    /// AWS's SDK for Rust. It has no data-key cache and no buffer of the
    /// caller's.
    AwsEsdk {
        signed: bool,
    },
    /// AWS's SDK for Python, with its data-key cache.
    Python,
    Age {
        output: Output,
    },
    Tink,
    Asherah,
    /// The primitives that a signature needs, and nothing else: a new P-384
    /// key, SHA-384 and the signature, or SHA-384 and its verification.
    Signature,
}

/// How this library is used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setup {
    pub(crate) backend: &'static str,
    pub(crate) signed: bool,
    pub(crate) output: Output,
    pub(crate) cached: bool,
    pub(crate) threads: usize,
}

/// Where the result goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// A new vector for each message.
    Fresh,
    /// The same buffer for all.
    Reused,
}

impl Setup {
    /// Unsigned and uncached, by one thread.
    pub(crate) fn plain(backend: &'static str, output: Output) -> Self {
        Setup {
            backend,
            signed: false,
            output,
            cached: false,
            threads: 1,
        }
    }
}

impl Who {
    pub(crate) fn signed(self) -> bool {
        match self {
            Who::Waxseal(setup) => setup.signed,
            Who::AwsEsdk { signed } => signed,
            Who::Signature => true,
            Who::Python | Who::Age { .. } | Who::Tink | Who::Asherah => false,
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Waxseal(setup) => {
                write!(f, "waxseal, {}", setup.backend)?;
                if setup.signed {
                    f.write_str(", signed")?;
                }
                if setup.cached {
                    f.write_str(", data-key cache")?;
                }
                if setup.threads > 1 {
                    write!(f, ", {} threads (wall time)", setup.threads)?;
                }
                match setup.output {
                    Output::Fresh => f.write_str(", fresh output"),
                    Output::Reused => Ok(()),
                }
            }
            Who::AwsEsdk { signed } => {
                write!(f, "aws-esdk {}", locked_version("aws-esdk"))?;
                f.write_str(if *signed { ", signed" } else { "" })
            }
            Who::Python => f.write_str("aws-encryption-sdk (Python), data-key cache"),
            Who::Age { output } => {
                write!(f, "age {}", locked_version("age"))?;
                match output {
                    Output::Fresh => Ok(()),
                    Output::Reused => f.write_str(", reused buffer"),
                }
            }
            Who::Tink => write!(f, "tink-aead {}", locked_version("tink-aead")),
            Who::Asherah => write!(f, "asherah {}", locked_version("asherah")),
            Who::Signature => f.write_str("bare P-384 and SHA-384, aws-lc-rs"),
        }
    }
}

pub(crate) trait Contender {
    fn who(&self) -> Who;

    /// The longest plaintext that it takes, or that is worth the wait.
    fn longest(&self) -> usize {
        usize::MAX
    }

    /// Takes what is to be encrypted and decrypted from now on. Nothing, to let
    /// go of what it holds.
    fn prepare(&mut self, work: &Work) -> Fallible<()>;

    /// Checks that it decrypts what it was given, or what it has encrypted
    /// itself where it does not speak the format. A message that it makes,
    /// where it does.
    fn sample(&mut self) -> Fallible<Option<Vec<u8>>>;

    /// The time that so many messages take: of the processor, or that goes by
    /// where there are several threads.
    fn turn(&mut self, operation: Operation, messages: u32) -> Fallible<Duration>;
}

/// This process's processor time. Nothing else runs in it.
pub(crate) fn processor_time(run: impl FnOnce() -> Fallible<()>) -> Fallible<Duration> {
    let now = || Duration::try_from(clock_gettime(ClockId::ProcessCPUTime));
    let start = now()?;
    run()?;
    Ok(now()?.saturating_sub(start))
}

/// The time that goes by.
pub(crate) fn wall_time(run: impl FnOnce() -> Fallible<()>) -> Fallible<Duration> {
    let start = Instant::now();
    run()?;
    Ok(start.elapsed())
}

pub(crate) fn same(plaintext: &[u8], expected: &[u8]) -> Fallible<()> {
    match plaintext == expected {
        true => Ok(()),
        false => Err("another plaintext came out".into()),
    }
}
