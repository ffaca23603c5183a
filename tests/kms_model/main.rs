//! The embedded KMS against a simple model: random operations, through
//! thousands of simulated years, with two handles on one store. Whatever was
//! encrypted decrypts exactly when the model says so, and gives exactly its
//! error when it does not.
//!
//! `WAXSEAL_MODEL_CASES` is the number of cases, `WAXSEAL_MODEL_SEED` the first
//! one's seed; each case's seed is one more than the last one's. A failure
//! prints the seed and the fewest operations that still fail.

mod checks;
mod fault;
mod harness;
mod model;
mod operation;
mod secrets;
mod whole;

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use harness::World;
use operation::Op;

const CASES: u64 = 300;

/// Every error that must have been seen.
const FAULTS: &[&str] = &[
    "NotFound",
    "Disabled",
    "InvalidState(Enabled)",
    "InvalidState(Disabled)",
    "InvalidState(PendingImport)",
    "InvalidState(PendingDeletion)",
    "InvalidState(Unavailable)",
    "Unsupported",
    "InvalidCiphertext",
    "IncorrectKey",
    "VersionCutOff",
    "AlreadyExists",
    "InvalidAlias",
    "InvalidArgument",
    "IncorrectKeyMaterial",
    "WrongRoot",
    "Context",
    "OtherKey",
];

/// What happened, over all cases.
#[derive(Default)]
pub(crate) struct Statistics {
    /// By the operation and what it came to.
    outcomes: BTreeMap<(&'static str, String), u64>,
    pub(crate) keys: u64,
    pub(crate) sealed: u64,
    /// Decryptions of what was encrypted at some time, at the checks.
    pub(crate) opened: u64,
    pub(crate) refused: u64,
    pub(crate) automatic_rotations: u64,
    pub(crate) milliseconds: u128,
}

impl Statistics {
    pub(crate) fn count(&mut self, operation: &'static str, outcome: String) {
        *self.outcomes.entry((operation, outcome)).or_default() += 1;
    }

    fn print(&self, cases: u64) {
        let years = self.milliseconds as f64 / (365.25 * 24.0 * 3600.0 * 1000.0);
        let operations: u64 = self.outcomes.values().sum();
        println!(
            "{cases} cases, {operations} operations, {years:.0} years; {} keys, {} automatic \
             rotations; {} ciphertexts and messages, opened {} times and refused {} times when \
             all were tried",
            self.keys, self.automatic_rotations, self.sealed, self.opened, self.refused
        );
        for operation in Op::ALL {
            let of_it = self
                .outcomes
                .iter()
                .filter(|((name, _), _)| name == operation);
            let total: u64 = of_it.clone().map(|(_, count)| count).sum();
            print!("{operation:>17} {total:>7}:");
            for ((_, outcome), count) in of_it {
                print!(" {outcome} {:.1}%", 100.0 * *count as f64 / total as f64);
            }
            println!();
        }
    }

    fn check_coverage(&self) {
        for operation in Op::ALL {
            let key = (*operation, "Ok".to_owned());
            assert!(self.outcomes.contains_key(&key), "{operation} never worked");
        }
        for fault in FAULTS {
            let is_seen = self.outcomes.keys().any(|(_, outcome)| outcome == fault);
            assert!(is_seen, "{fault} was never seen");
        }
    }
}

fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().expect("a number"))
}

#[test]
fn the_kms_is_what_the_model_is() {
    let cases = setting("WAXSEAL_MODEL_CASES").unwrap_or(CASES);
    let first = setting("WAXSEAL_MODEL_SEED").unwrap_or(1);
    let statistics = RefCell::new(Statistics::default());
    for seed in first..first + cases {
        let config = Config {
            cases: 1,
            failure_persistence: None,
            max_shrink_iters: 20_000,
            ..Config::default()
        };
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(config, rng);
        let result = runner.run(&operation::operations(), |operations| {
            let mut world = World::new(&statistics);
            for (place, operation) in operations.iter().enumerate() {
                world.run(operation).map_err(|what| {
                    TestCaseError::fail(format!("at operation {place}, {operation:?}: {what}"))
                })?;
            }
            world
                .finish()
                .map_err(|what| TestCaseError::fail(format!("at the end: {what}")))
        });
        match result {
            Ok(()) => {}
            Err(TestError::Fail(reason, operations)) => {
                let list: Vec<_> = operations.iter().map(|op| format!("  {op:?}")).collect();
                panic!(
                    "WAXSEAL_MODEL_SEED={seed} WAXSEAL_MODEL_CASES=1 fails {reason}\n{}",
                    list.join("\n")
                );
            }
            Err(error) => panic!("WAXSEAL_MODEL_SEED={seed}: {error}"),
        }
    }
    let statistics = statistics.into_inner();
    statistics.print(cases);
    if cases >= CASES {
        statistics.check_coverage();
    }
}
