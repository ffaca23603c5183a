//! How often calls may be made: token buckets for each account and group of
//! operations, with AWS KMS's shape ("Request quotas", AWS KMS Developer
//! Guide).

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::RateLimiter;
use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;

use crate::clock::Clock;
use crate::kms::state::Operation;

/// What is shared by the cryptographic operations by default, a second.
const CRYPTOGRAPHIC: u32 = 5_500;
/// So often accounts that have not called for a while are forgotten.
const SWEEP_EVERY: u32 = 4096;

/// How many calls an account may make, each second and at once: see
/// [`LocalKmsBuilder::quotas`](crate::kms::LocalKmsBuilder::quotas).
///
/// The cryptographic operations (encrypt, decrypt, re-encrypt, data keys, random
/// bytes) share one quota; each other operation has its own, if it has one.
///
/// ```
/// use waxseal::kms::{Operation, Quotas};
///
/// let quotas = Quotas::aws().cryptographic(50_000);
/// assert_eq!(quotas.per_second(Operation::Decrypt), Some(50_000.0));
/// assert_eq!(quotas.per_second(Operation::CreateKey), Some(5.0));
/// assert_eq!(Quotas::none().per_second(Operation::Decrypt), None);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Quotas {
    cryptographic: Option<NonZeroU32>,
    has_management: bool,
}

impl Quotas {
    /// None: any number of calls.
    pub fn none() -> Self {
        Self::default()
    }

    /// AWS KMS's defaults: 5,500 cryptographic requests a second, and the
    /// quotas of its other operations (5 new keys, 2,000 looks at keys, …).
    pub fn aws() -> Self {
        Quotas {
            cryptographic: NonZeroU32::new(CRYPTOGRAPHIC),
            has_management: true,
        }
    }

    /// So many cryptographic requests a second; zero is taken as one.
    pub fn cryptographic(mut self, per_second: u32) -> Self {
        self.cryptographic = Some(NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN));
        self
    }

    /// How many calls of this operation (and of those that share its quota) an
    /// account may make a second.
    pub fn per_second(&self, operation: Operation) -> Option<f64> {
        if is_cryptographic(operation) {
            return self.cryptographic.map(|rate| f64::from(rate.get()));
        }
        match self.has_management.then(|| rate(operation))?? {
            Rate::PerSecond(calls) => Some(f64::from(calls)),
            Rate::Every(pause) => Some(1.0 / pause.as_secs_f64()),
        }
    }

    /// The group of an operation, and its quota.
    fn of(&self, operation: Operation) -> Option<(Group, governor::Quota)> {
        if is_cryptographic(operation) {
            let per_second = self.cryptographic?;
            return Some((
                Group::Cryptographic,
                governor::Quota::per_second(per_second),
            ));
        }
        let quota = match self.has_management.then(|| rate(operation))?? {
            // As many at once as in a second.
            Rate::PerSecond(calls) => governor::Quota::per_second(NonZeroU32::new(calls)?),
            Rate::Every(pause) => governor::Quota::with_period(pause)?,
        };
        Some((Group::Operation(operation.name()), quota))
    }
}

/// Operations that share a quota.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Cryptographic,
    Operation(&'static str),
}

fn is_cryptographic(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::Decrypt
            | Operation::Encrypt
            | Operation::GenerateDataKey
            | Operation::GenerateDataKeyWithoutPlaintext
            | Operation::GenerateRandom
            | Operation::ReEncrypt
    )
}

enum Rate {
    PerSecond(u32),
    /// One in so long.
    Every(Duration),
}

/// How often an operation may be called, by AWS's table.
fn rate(operation: Operation) -> Option<Rate> {
    use Operation as O;
    let per_second = match operation {
        O::GetParametersForImport => return Some(Rate::Every(Duration::from_secs(4))),
        O::CreateGrant => 50,
        O::DescribeKey | O::ListResourceTags => 2000,
        O::GetKeyPolicy | O::GetKeyRotationStatus => 1000,
        O::ListAliases | O::ListKeys => 500,
        O::ListGrants | O::ListKeyPolicies | O::ListKeyRotations | O::ListRetirableGrants => 100,
        O::RetireGrant | O::RevokeGrant => 30,
        O::DeleteAlias | O::EnableKeyRotation | O::PutKeyPolicy | O::ScheduleKeyDeletion => 15,
        O::TagResource => 10,
        O::CancelKeyDeletion
        | O::CreateAlias
        | O::CreateKey
        | O::DeleteImportedKeyMaterial
        | O::DisableKey
        | O::DisableKeyRotation
        | O::EnableKey
        | O::ImportKeyMaterial
        | O::RotateKeyOnDemand
        | O::UntagResource
        | O::UpdateAlias
        | O::UpdateKeyDescription => 5,
        // Not in AWS KMS, or the KMS's own.
        _ => return None,
    };
    Some(Rate::PerSecond(per_second))
}

type Limiter = RateLimiter<u64, HashMapStateStore<u64>, Elapsed, NoOpMiddleware<Duration>>;

/// The buckets of one KMS.
pub(in crate::kms) struct Buckets {
    quotas: Quotas,
    limiters: BTreeMap<Group, Limiter>,
    clock: Elapsed,
    calls: AtomicU32,
}

impl Buckets {
    pub(in crate::kms) fn new(quotas: Quotas, clock: Arc<dyn Clock>) -> Self {
        let clock = Elapsed(clock);
        let with_quota = |operation: &Operation| {
            let (group, quota) = quotas.of(*operation)?;
            Some((group, RateLimiter::hashmap_with_clock(quota, clock.clone())))
        };
        let limiters = Operation::ALL.iter().filter_map(with_quota).collect();
        Buckets {
            quotas,
            limiters,
            clock,
            calls: AtomicU32::new(0),
        }
    }

    /// Takes a token; else says how long to wait for one.
    pub(in crate::kms) fn take(&self, account: &str, operation: Operation) -> Result<(), Duration> {
        let Some((group, _)) = self.quotas.of(operation) else {
            return Ok(());
        };
        let Some(limiter) = self.limiters.get(&group) else {
            return Ok(());
        };
        // An account is 12 digits.
        let account = account.parse().unwrap_or(u64::MAX);
        let taken = limiter.check_key(&account);
        if self.calls.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            limiter.retain_recent();
        }
        taken.map_err(|not_yet| not_yet.wait_time_from(self.clock.now()))
    }
}

impl fmt::Debug for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.quotas.fmt(f)
    }
}

/// The library's clock as the limiter's.
#[derive(Clone)]
struct Elapsed(Arc<dyn Clock>);

impl governor::clock::Clock for Elapsed {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::SystemTime;

    use super::*;

    struct Manual(Mutex<Duration>);

    impl Clock for Manual {
        fn now(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH
        }

        fn elapsed(&self) -> Duration {
            *self.0.lock().unwrap()
        }
    }

    #[test]
    fn each_account_and_group_has_its_bucket() {
        let clock = Arc::new(Manual(Mutex::default()));
        let buckets = Buckets::new(Quotas::aws().cryptographic(10), clock.clone());
        let (a, b) = ("111122223333", "444455556666");
        for _ in 0..5 {
            buckets.take(a, Operation::Encrypt).unwrap();
            buckets.take(a, Operation::Decrypt).unwrap();
        }
        let wait = buckets.take(a, Operation::GenerateRandom).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        buckets.take(b, Operation::Decrypt).unwrap();
        for _ in 0..5 {
            buckets.take(a, Operation::CreateKey).unwrap();
        }
        assert!(buckets.take(a, Operation::CreateKey).is_err());
        buckets.take(a, Operation::EnableKey).unwrap();
        *clock.0.lock().unwrap() += wait;
        buckets.take(a, Operation::Decrypt).unwrap();
        assert!(buckets.take(a, Operation::Decrypt).is_err());
    }

    #[test]
    fn without_quotas_there_is_no_limit() {
        let clock = Arc::new(Manual(Mutex::default()));
        let buckets = Buckets::new(Quotas::none(), clock);
        for _ in 0..10_000 {
            buckets.take("111122223333", Operation::Decrypt).unwrap();
        }
    }

    #[test]
    fn accounts_that_do_not_call_are_forgotten() {
        let clock = Arc::new(Manual(Mutex::default()));
        let buckets = Buckets::new(Quotas::aws(), clock.clone());
        for account in 0..3 * u64::from(SWEEP_EVERY) {
            *clock.0.lock().unwrap() += Duration::from_millis(1);
            let account = format!("{account:012}");
            buckets.take(&account, Operation::Decrypt).unwrap();
        }
        let held = buckets.limiters[&Group::Cryptographic].len();
        assert!(held <= SWEEP_EVERY as usize + 2, "{held}");
    }
}
