//! `--threads`: how many threads work on a message.

use waxseal::Parallelism;

/// The option that says how many threads work on a message.
#[derive(clap::Args)]
pub(crate) struct ThreadsOption {
    /// How many threads work on each message; 0 for as many as there are
    /// processors [default: 1]
    ///
    /// For large files. A signed message gains from two, and no more from
    /// others. Memory grows by some MiB.
    #[arg(long = "threads", value_name = "N")]
    threads: Option<usize>,
}

impl ThreadsOption {
    pub(crate) fn parallelism(&self) -> Parallelism {
        match self.threads {
            None => Parallelism::none(),
            Some(0) => Parallelism::available(),
            Some(threads) => Parallelism::threads(threads),
        }
    }
}
