//! The behaviour that every [`KeyProvider`] must show, one function for each
//! promise of the trait.

mod clients;
mod concurrency;
mod driving;
mod hostile;
mod keys;
mod options;
mod subject;

use std::fmt;
use std::sync::Arc;

pub use options::{CheckFuture, CheckOptions};

use crate::provider::{KeyProvider, ProviderIdentity};
use driving::guarded;
use subject::{Outcome, Subject};

/// One thing that every provider does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Behaviour {
    /// Its identity is not empty and stays the same, whatever it is asked.
    StableIdentity,
    /// It generates a data key for each suite, of the suite's length, with at
    /// least one encrypted data key, none of which holds the data key in the
    /// clear.
    GeneratesForEachSuite,
    /// No two data keys that it generates are the same.
    GeneratesFreshKeys,
    /// A random source that fails gives an error and never a key.
    SurvivesFailingRandom,
    /// It unwraps what it generated: to the same data key, time and again.
    UnwrapsItsOwn,
    /// It wraps a data key that was given, so that it unwraps to the same; or
    /// it says [`Unsupported`](crate::ProviderErrorKind::Unsupported).
    WrapsGivenKeys,
    /// Under any other encryption context an encrypted data key does not
    /// unwrap, and the error has a failure for each of them.
    BindsContext,
    /// Contexts of any text and of the greatest length work.
    TakesAnyContext,
    /// It says which encrypted data key it was, the first that it could
    /// unwrap, who unwrapped it, and under which key.
    ReportsWhatItUnwrapped,
    /// Encrypted data keys of others are
    /// [`NotConfigured`](crate::ProviderErrorKind::NotConfigured), and do not
    /// keep it from finding its own among them, wherever they stand.
    LeavesForeignKeysAlone,
    /// A changed encrypted data key, in any byte of its ciphertext, key info
    /// or provider id, never unwraps, and does not keep it from a good one.
    RefusesDamage,
    /// Encrypted data keys with fields of any length, from empty to 65,535
    /// bytes, and long lists of them give errors.
    SurvivesHostileKeys,
    /// No encrypted data keys: an error.
    RefusesEmptyList,
    /// Its futures may be dropped at any poll, and it stays usable.
    SurvivesDropping,
    /// Several threads may use it at once, and several futures on one thread.
    WorksConcurrently,
    /// A [`Client`](crate::Client) encrypts and decrypts with it, with each
    /// suite that derives a key.
    WorksInClient,
    /// A [`blocking::Client`](crate::blocking::Client) does, on a thread
    /// without a runtime.
    WorksInBlockingClient,
}

impl Behaviour {
    /// All of them, in the order in which they are checked.
    pub const ALL: [Behaviour; 17] = [
        Behaviour::StableIdentity,
        Behaviour::GeneratesForEachSuite,
        Behaviour::GeneratesFreshKeys,
        Behaviour::SurvivesFailingRandom,
        Behaviour::UnwrapsItsOwn,
        Behaviour::WrapsGivenKeys,
        Behaviour::BindsContext,
        Behaviour::TakesAnyContext,
        Behaviour::ReportsWhatItUnwrapped,
        Behaviour::LeavesForeignKeysAlone,
        Behaviour::RefusesDamage,
        Behaviour::SurvivesHostileKeys,
        Behaviour::RefusesEmptyList,
        Behaviour::SurvivesDropping,
        Behaviour::WorksConcurrently,
        Behaviour::WorksInClient,
        Behaviour::WorksInBlockingClient,
    ];

    async fn check(self, subject: &Subject<'_>) -> Outcome {
        match self {
            Self::StableIdentity => keys::stable_identity(subject).await,
            Self::GeneratesForEachSuite => keys::generates_for_each_suite(subject).await,
            Self::GeneratesFreshKeys => keys::generates_fresh_keys(subject).await,
            Self::SurvivesFailingRandom => keys::survives_failing_random(subject).await,
            Self::UnwrapsItsOwn => keys::unwraps_its_own(subject).await,
            Self::WrapsGivenKeys => keys::wraps_given_keys(subject).await,
            Self::BindsContext => keys::binds_context(subject).await,
            Self::TakesAnyContext => keys::takes_any_context(subject).await,
            Self::ReportsWhatItUnwrapped => hostile::reports_what_it_unwrapped(subject).await,
            Self::LeavesForeignKeysAlone => hostile::leaves_foreign_keys_alone(subject).await,
            Self::RefusesDamage => hostile::refuses_damage(subject).await,
            Self::SurvivesHostileKeys => hostile::survives_hostile_keys(subject).await,
            Self::RefusesEmptyList => hostile::refuses_empty_list(subject).await,
            Self::SurvivesDropping => concurrency::survives_dropping(subject).await,
            Self::WorksConcurrently => concurrency::works_concurrently(subject).await,
            Self::WorksInClient => clients::works_in_client(subject).await,
            Self::WorksInBlockingClient => clients::works_in_blocking_client(subject).await,
        }
    }
}

impl fmt::Display for Behaviour {
    /// The variant's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What a provider was found to do.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CheckReport {
    /// What it does.
    pub passed: Vec<Behaviour>,
    /// What was not, or not wholly, checked, and why.
    pub skipped: Vec<(Behaviour, String)>,
}

/// What a provider was found not to do, and why that is thought.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CheckFailures {
    /// The provider.
    pub provider: ProviderIdentity,
    /// What it does not do, and what happened instead.
    pub failures: Vec<(Behaviour, String)>,
    /// The rest.
    pub report: CheckReport,
}

impl CheckFailures {
    /// Whether this behaviour failed.
    pub fn contains(&self, behaviour: Behaviour) -> bool {
        self.failures.iter().any(|(failed, _)| *failed == behaviour)
    }
}

impl fmt::Display for CheckFailures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.failures.len();
        let checked = failed + self.report.passed.len();
        write!(
            f,
            "{} fails {failed} of the {checked} behaviours that were checked:",
            self.provider
        )?;
        for (behaviour, reason) in &self.failures {
            write!(f, "\n- {behaviour}: {reason}")?;
        }
        Ok(())
    }
}

impl std::error::Error for CheckFailures {}

/// Checks every [`Behaviour`] of a provider: see the
/// [module's example](super#checking-a-provider).
///
/// Some behaviours use threads of their own, because the trait promises that
/// the provider's futures can be awaited from anywhere: see
/// [`CheckOptions::block_on`]. A panic of the provider is a failure of the
/// behaviour that was being checked.
///
/// # Errors
/// Where any behaviour failed: which ones, and why.
pub async fn check_provider(
    provider: Arc<dyn KeyProvider>,
    options: &CheckOptions,
) -> Result<CheckReport, CheckFailures> {
    let mut report = CheckReport::default();
    let mut failures = Vec::new();
    let subject = Subject::new(&provider, options);
    for behaviour in Behaviour::ALL {
        if let Some(reason) = options.without.get(&behaviour) {
            report.skipped.push((behaviour, reason.clone()));
            continue;
        }
        match guarded(behaviour.check(&subject), options.time_limit).await {
            Ok(None) => report.passed.push(behaviour),
            Ok(Some(reason)) => report.skipped.push((behaviour, reason)),
            Err(reason) => failures.push((behaviour, reason)),
        }
    }
    if failures.is_empty() {
        return Ok(report);
    }
    Err(CheckFailures {
        provider: provider.identity(),
        failures,
        report,
    })
}

/// [`check_provider`] for tests that are not async.
///
/// # Errors
/// As there.
pub fn check_provider_blocking(
    provider: Arc<dyn KeyProvider>,
    options: &CheckOptions,
) -> Result<CheckReport, CheckFailures> {
    options.drive(check_provider(provider, options))
}
