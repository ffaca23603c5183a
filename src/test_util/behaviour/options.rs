//! What a provider can do, and how hard it is tried.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::Behaviour;
use crate::client::blocking::block_on;
use crate::context::MAX_LENGTH;
use crate::provider::{KeyProvider, ProviderIdentity};
use crate::suite::AlgorithmSuite;

/// What [`CheckOptions::block_on`] is given to drive.
pub type CheckFuture<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

type BlockOn = Arc<dyn for<'a> Fn(CheckFuture<'a>) + Send + Sync>;

/// What a provider can do, and how hard it is tried. By default it must do
/// everything, but for wrapping what others generated, and is tried in full:
/// some 2,000 calls for a provider of one encrypted data key.
#[derive(Clone)]
#[must_use]
pub struct CheckOptions {
    pub(super) suites: Vec<AlgorithmSuite>,
    pub(super) wraps: Option<bool>,
    pub(super) generator: Option<Arc<dyn KeyProvider>>,
    pub(super) parts: Vec<ProviderIdentity>,
    pub(super) max_context_length: usize,
    pub(super) most_calls: usize,
    pub(super) threads: usize,
    pub(super) time_limit: Duration,
    pub(super) without: BTreeMap<Behaviour, String>,
    block_on: Option<BlockOn>,
}

impl Default for CheckOptions {
    fn default() -> Self {
        CheckOptions {
            suites: AlgorithmSuite::ALL.to_vec(),
            wraps: None,
            generator: None,
            parts: Vec::new(),
            max_context_length: MAX_LENGTH,
            most_calls: usize::MAX,
            threads: 4,
            time_limit: Duration::from_secs(120),
            without: BTreeMap::new(),
            block_on: None,
        }
    }
}

impl CheckOptions {
    /// Everything, in full.
    pub fn new() -> Self {
        Self::default()
    }

    /// The provider makes data keys for these suites only, and says
    /// [`Unsupported`](crate::ProviderErrorKind::Unsupported) for others.
    ///
    /// # Panics
    /// Where none is given.
    pub fn suites(mut self, suites: impl IntoIterator<Item = AlgorithmSuite>) -> Self {
        self.suites = suites.into_iter().collect();
        assert!(!self.suites.is_empty(), "a provider needs a suite");
        self
    }

    /// Whether the provider must wrap data keys that others generated, or must
    /// say [`Unsupported`](crate::ProviderErrorKind::Unsupported). Without
    /// this either will do, and the report says which it was.
    pub fn wraps(mut self, wraps: bool) -> Self {
        self.wraps = Some(wraps);
        self
    }

    /// The provider generates no data keys, and says
    /// [`Unsupported`](crate::ProviderErrorKind::Unsupported) when asked to:
    /// it is tried with those of this one, which it can unwrap.
    pub fn generated_by(mut self, generator: impl KeyProvider + 'static) -> Self {
        self.generator = Some(Arc::new(generator));
        self
    }

    /// The provider is made of others: who may be reported to have unwrapped a
    /// data key, instead of the provider itself.
    pub fn made_of(mut self, parts: impl IntoIterator<Item = ProviderIdentity>) -> Self {
        self.parts = parts.into_iter().collect();
        self
    }

    /// The longest encryption context that the provider takes, in canonical
    /// bytes; by default the format's 65,535.
    pub fn max_context_length(mut self, bytes: usize) -> Self {
        self.max_context_length = bytes.min(MAX_LENGTH);
        self
    }

    /// For a provider that is slow, or costs money: where a behaviour is tried
    /// with many inputs, about so many of them are chosen, evenly.
    pub fn most_calls(mut self, calls: usize) -> Self {
        self.most_calls = calls.max(1);
        self
    }

    /// How many threads use the provider at once; 4 by default.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// How long one behaviour may take before it counts as hanging; two
    /// minutes by default. A provider that blocks the thread where it should
    /// be pending cannot be stopped.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// How to drive a future, on any thread, for a provider whose futures need
    /// a runtime around them. A provider that keeps a handle to its runtime
    /// and works there, as the trait asks, needs none.
    ///
    /// ```
    /// # use waxseal::test_util::CheckOptions;
    /// let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    /// let options = CheckOptions::new().block_on(move |future| runtime.block_on(future));
    /// # let _ = options;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn block_on(mut self, block_on: impl Fn(CheckFuture<'_>) + Send + Sync + 'static) -> Self {
        self.block_on = Some(Arc::new(block_on));
        self
    }

    /// Leaves a behaviour out; the report repeats the reason.
    pub fn without(mut self, behaviour: Behaviour, reason: impl Into<String>) -> Self {
        self.without.insert(behaviour, reason.into());
        self
    }

    /// Leaves all behaviours out but this one: to look into a failure.
    pub fn only(mut self, behaviour: Behaviour) -> Self {
        for other in Behaviour::ALL {
            if other != behaviour {
                self.without.insert(other, "not asked for".to_owned());
            }
        }
        self
    }

    /// Drives a future on this thread.
    pub(super) fn drive<T: Send>(&self, future: impl Future<Output = T> + Send) -> T {
        let Some(run) = &self.block_on else {
            return block_on(future);
        };
        let mut output = None;
        run(Box::pin(async { output = Some(future.await) }));
        output.expect("the block_on that was given must drive its future to the end")
    }

    /// Numbers below `all`, as many as may be tried.
    pub(super) fn sample(&self, all: usize) -> impl Iterator<Item = usize> + use<> {
        let count = all.min(self.most_calls);
        (0..count).map(move |number| number * all / count)
    }

    /// Of these inputs as many as may be tried.
    pub(super) fn choose<T>(&self, all: Vec<T>) -> impl Iterator<Item = T> + use<T> {
        let mut chosen = self.sample(all.len()).peekable();
        all.into_iter()
            .enumerate()
            .filter(move |(number, _)| chosen.next_if_eq(number).is_some())
            .map(|(_, input)| input)
    }
}

impl fmt::Debug for CheckOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckOptions")
            .field("suites", &self.suites)
            .field("wraps", &self.wraps)
            .field("max_context_length", &self.max_context_length)
            .field("most_calls", &self.most_calls)
            .field("threads", &self.threads)
            .field("time_limit", &self.time_limit)
            .field("without", &self.without)
            .finish_non_exhaustive()
    }
}
