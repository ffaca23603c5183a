//! The behaviour suite: the library's providers show every behaviour, and of
//! providers that each have one thing wrong, the suite finds it.

#[path = "providers/table.rs"]
mod table;
#[path = "providers/worker.rs"]
mod worker;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use table::{Flaw, Table};
use waxseal::test_util::{
    Behaviour, CheckFailures, CheckOptions, CheckReport, CountingProvider, Delay, DelayingProvider,
    FailingProvider, check_provider, check_provider_blocking,
};
use waxseal::{
    AlgorithmSuite, CryptoBackend, KeyProvider, MultiProvider, ProviderErrorKind, RawAesProvider,
    SecretBytes,
};
use worker::Worker;

/// A provider under a key of its own.
fn raw_aes(namespace: &str, name: &str, length: usize) -> RawAesProvider {
    let byte = namespace.len() * 16 + name.len() + length;
    let key = SecretBytes::from(vec![byte as u8; length]);
    RawAesProvider::new(namespace, name, &key).unwrap()
}

/// What is left out; everything else was shown.
fn shown(provider: impl KeyProvider + 'static, options: &CheckOptions) -> Vec<Behaviour> {
    let report = check_provider_blocking(Arc::new(provider), options);
    let report = report.unwrap_or_else(|failures| panic!("{failures}"));
    skipped(&report)
}

fn skipped(report: &CheckReport) -> Vec<Behaviour> {
    assert_eq!(
        report.passed.len() + report.skipped.len(),
        Behaviour::ALL.len()
    );
    report.skipped.iter().map(|(skipped, _)| *skipped).collect()
}

#[test]
fn raw_aes_of_each_length() {
    for length in [16, 24, 32] {
        let key = SecretBytes::from(vec![length as u8; length]);
        let backend = CryptoBackend::rust_crypto();
        let one = RawAesProvider::new("namespace", "name", &key).unwrap();
        let other = RawAesProvider::with_backend("namespace", "name", &key, &backend).unwrap();
        for provider in [one, other] {
            assert_eq!(shown(provider, &CheckOptions::new().wraps(true)), []);
        }
    }
}

#[test]
fn raw_aes_of_any_name() {
    let options = CheckOptions::new().wraps(true).most_calls(100);
    let long = "n".repeat(1_000);
    for (namespace, name) in [
        ("x", "x"),
        ("ключ", "\u{1f512}"),
        ("a\0", "\0"),
        (&long, &long),
    ] {
        assert_eq!(shown(raw_aes(namespace, name, 32), &options), []);
    }
}

/// By its id, an alias and its ARN, opening its own alone and any; and one of
/// imported material.
#[test]
#[cfg(feature = "kms")]
fn keys_of_a_local_kms() {
    use waxseal::blocking::wait;
    use waxseal::kms::{CreateKey, ImportOptions, LocalKms};

    let kms = LocalKms::in_memory().unwrap();
    let key = wait(kms.create_key(CreateKey::new().alias("alias/a"))).unwrap();
    for _ in 0..3 {
        wait(kms.rotate("alias/a")).unwrap();
    }
    let imported = wait(kms.create_key(CreateKey::new().external())).unwrap();
    let material = SecretBytes::from(vec![7; 32]);
    wait(kms.import_key_material(&imported.id, &material, ImportOptions::new())).unwrap();
    let owned = wait(kms.owned_key("suite")).unwrap();

    let options = CheckOptions::new().wraps(true).most_calls(50);
    for name in [&key.id, "alias/a", &key.arn, &imported.id, &owned] {
        assert_eq!(shown(kms.provider(name), &options), []);
        assert_eq!(shown(kms.provider(name).opening_any_key(), &options), []);
    }
}

#[test]
fn multi_of_many_shapes() {
    let parts = || {
        [
            raw_aes("a", "1", 32),
            raw_aes("a", "2", 16),
            raw_aes("b", "1", 24),
        ]
    };
    let identities = parts().map(|part| part.identity());
    let [first, second, third] = parts();
    let options = CheckOptions::new().wraps(true).made_of(identities);

    assert_eq!(
        shown(MultiProvider::new(raw_aes("a", "1", 32)), &options),
        []
    );
    let inner = MultiProvider::new(second).with(third);
    assert_eq!(shown(MultiProvider::new(first).with(inner), &options), []);

    // One that decrypts only, with what another generates for it and others.
    let [first, second, third] = parts();
    let generator = MultiProvider::new(raw_aes("c", "1", 32))
        .with(second)
        .with(first);
    let [first, second, _] = parts();
    let reader = MultiProvider::decrypt_only()
        .with(third)
        .with(second)
        .with(first);
    let left_out = shown(reader, &options.clone().generated_by(generator));
    let generating = [
        Behaviour::GeneratesForEachSuite,
        Behaviour::GeneratesFreshKeys,
        Behaviour::SurvivesFailingRandom,
    ];
    assert_eq!(left_out, generating);
}

#[test]
fn test_providers_pass_on_what_they_hold() {
    let options = CheckOptions::new().wraps(true).most_calls(50);
    let provider = || raw_aes("namespace", "name", 32);
    let counting = CountingProvider::new(provider());
    assert_eq!(shown(counting.clone(), &options), []);
    let counts = counting.counts();
    assert!(counts.generate.succeeded > 100 && counts.unwrap.failed > 100);
    assert!(counts.most_in_flight >= 1 && counting.identity_calls() > 0);

    let failing = FailingProvider::new(provider());
    assert_eq!(shown(failing.clone(), &options), []);
    assert_eq!(failing.failures(), 0);

    for delay in [Delay::None, Delay::Polls(1), Delay::Polls(5)] {
        assert_eq!(
            shown(DelayingProvider::new(provider(), delay), &options),
            []
        );
    }
    let remote = DelayingProvider::new(provider(), Delay::For(Duration::from_millis(1)));
    let all_at_once = CountingProvider::new(FailingProvider::new(remote));
    assert_eq!(shown(all_at_once.clone(), &options), []);
    assert!(all_at_once.counts().most_in_flight > 1);
    assert!(all_at_once.counts().generate.abandoned > 0);
}

#[test]
fn failing_provider_fails_the_suite() {
    let provider = FailingProvider::new(raw_aes("namespace", "name", 32));
    provider.fail_every(5, ProviderErrorKind::Throttled { retry_after: None });
    let checked = check_provider_blocking(Arc::new(provider), &CheckOptions::new());
    let failures = checked.unwrap_err();
    assert!(failures.contains(Behaviour::UnwrapsItsOwn), "{failures}");
}

/// A provider whose work is done in a runtime to which it has a handle may be
/// awaited from anywhere: from that runtime's only thread, from others.
#[test]
fn provider_with_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().build().unwrap();
    let provider = Arc::new(Worker::new(
        raw_table(),
        runtime.handle().clone(),
        Duration::from_micros(50),
    ));
    let options = CheckOptions::new().wraps(true).most_calls(40);
    let checked = runtime.block_on(check_provider(provider.clone(), &options));
    let report = checked.unwrap_or_else(|failures| panic!("{failures}"));
    assert_eq!(skipped(&report), []);

    // The runtime's thread is elsewhere, and so is every future's.
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let thread = std::thread::spawn(move || {
        runtime.block_on(async {
            while !stopped.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    });
    let checked = check_provider_blocking(provider, &options);
    let report = checked.unwrap_or_else(|failures| panic!("{failures}"));
    assert_eq!(skipped(&report), []);
    stop.store(true, Ordering::Relaxed);
    thread.join().unwrap();
}

fn raw_table() -> Arc<Table> {
    Arc::new(Table::new(Flaw::None))
}

/// One whose futures want a runtime around them works where it is given, and
/// fails only where there is none.
#[test]
fn provider_inside_a_runtime() {
    let options = CheckOptions::new().wraps(true).most_calls(40);
    let options = options.block_on(|future| {
        let runtime = tokio::runtime::Builder::new_current_thread();
        { runtime }.enable_time().build().unwrap().block_on(future);
    });
    let provider = || Arc::new(worker::Inside(Table::new(Flaw::None)));
    let failures = check_provider_blocking(provider(), &options).unwrap_err();
    let failed: Vec<_> = failures
        .failures
        .iter()
        .map(|(failed, _)| *failed)
        .collect();
    assert_eq!(failed, [Behaviour::WorksInBlockingClient], "{failures}");

    let options = options.without(Behaviour::WorksInBlockingClient, "it needs a runtime");
    let report = check_provider_blocking(provider(), &options).unwrap();
    assert_eq!(skipped(&report), [Behaviour::WorksInBlockingClient]);
    assert_eq!(report.skipped[0].1, "it needs a runtime");
}

#[test]
fn options_say_what_is_expected() {
    let no_wraps = CheckOptions::new().wraps(false).most_calls(4);
    let wraps = || raw_aes("namespace", "name", 32);
    let failures = check_provider_blocking(Arc::new(wraps()), &no_wraps).unwrap_err();
    assert!(failures.contains(Behaviour::WrapsGivenKeys) && failures.failures.len() == 1);

    let without = || worker::WithoutWrap(Table::new(Flaw::None));
    assert_eq!(shown(without(), &no_wraps), [Behaviour::WrapsGivenKeys]);
    let either = CheckOptions::new().most_calls(4);
    assert_eq!(shown(without(), &either), [Behaviour::WrapsGivenKeys]);
    let checked = check_provider_blocking(Arc::new(without()), &either.wraps(true));
    assert!(checked.unwrap_err().contains(Behaviour::WrapsGivenKeys));

    let some = CheckOptions::new().suites([AlgorithmSuite::Aes256GcmHkdfSha512CommitKey]);
    let failures = check_provider_blocking(Arc::new(wraps()), &some).unwrap_err();
    assert!(
        failures.contains(Behaviour::GeneratesForEachSuite),
        "{failures}"
    );

    let one = CheckOptions::new().only(Behaviour::BindsContext);
    assert_eq!(shown(wraps(), &one).len(), Behaviour::ALL.len() - 1);
}

#[test]
fn table_without_a_flaw() {
    let options = CheckOptions::new().wraps(true);
    assert_eq!(shown(Table::new(Flaw::None), &options), []);
}

/// The flaws that show at once, and what each must be found to break. Others
/// may break with it.
#[rustfmt::skip]
const FLAWS: [(Flaw, &[Behaviour]); 35] = {
    use Behaviour::*;
    [
        (Flaw::ChangingIdentity, &[StableIdentity]),
        (Flaw::EmptyLabel, &[StableIdentity]),
        (Flaw::WrongLength, &[GeneratesForEachSuite, WorksInClient, WorksInBlockingClient]),
        (Flaw::NoEncryptedDataKeys, &[GeneratesForEachSuite, WorksInClient]),
        (Flaw::DataKeyInTheClear, &[GeneratesForEachSuite, WrapsGivenKeys]),
        (Flaw::SameDataKey, &[GeneratesFreshKeys, WorksConcurrently]),
        (Flaw::ZerosWithoutRandomness, &[SurvivesFailingRandom]),
        (Flaw::RandomFailureIsUnavailable, &[SurvivesFailingRandom]),
        (Flaw::UnwrapsOnce, &[UnwrapsItsOwn]),
        (Flaw::WrapsAnotherKey, &[WrapsGivenKeys]),
        (Flaw::WrapsForAnyContext, &[WrapsGivenKeys]),
        (Flaw::IgnoresContext, &[BindsContext, WorksConcurrently, WorksInClient, WorksInBlockingClient]),
        (Flaw::JoinsContextWithoutLengths, &[BindsContext]),
        (Flaw::TrimsContext, &[BindsContext]),
        (Flaw::RefusesEmptyContext, &[UnwrapsItsOwn, BindsContext]),
        (Flaw::ShortContextsOnly, &[TakesAnyContext]),
        (Flaw::ReportsIndexZero, &[ReportsWhatItUnwrapped, LeavesForeignKeysAlone]),
        (Flaw::ReportsAnother, &[ReportsWhatItUnwrapped]),
        (Flaw::NamesNoKey, &[ReportsWhatItUnwrapped]),
        (Flaw::TakesTheLast, &[ReportsWhatItUnwrapped]),
        (Flaw::IgnoresProviderId, &[LeavesForeignKeysAlone, RefusesDamage]),
        (Flaw::IgnoresKeyInfo, &[RefusesDamage, SurvivesHostileKeys]),
        (Flaw::ForeignIsInvalid, &[LeavesForeignKeysAlone]),
        (Flaw::StopsAtForeign, &[LeavesForeignKeysAlone]),
        (Flaw::ComparesHalf, &[RefusesDamage]),
        (Flaw::TakesTrailingBytes, &[RefusesDamage, SurvivesHostileKeys]),
        (Flaw::StopsAtDamage, &[RefusesDamage]),
        (Flaw::PanicsWhenShort, &[RefusesDamage, SurvivesHostileKeys]),
        (Flaw::OneFailureForAll, &[LeavesForeignKeysAlone]),
        (Flaw::EmptyListOpens, &[RefusesEmptyList]),
        (Flaw::PanicsWithEmptyList, &[RefusesEmptyList]),
        (Flaw::StuckWhenDropped, &[SurvivesDropping]),
        (Flaw::OneAtATime, &[WorksConcurrently]),
        (Flaw::NotOnOtherThreads, &[WorksConcurrently, WorksInBlockingClient]),
        (Flaw::Panics, &Behaviour::ALL),
    ]
};

fn found(flaw: Flaw, options: &CheckOptions) -> CheckFailures {
    match check_provider_blocking(Arc::new(Table::new(flaw)), options) {
        Err(failures) => failures,
        Ok(_) => panic!("{flaw:?} was not found"),
    }
}

#[test]
fn flaws_are_found() {
    let mut covered = BTreeSet::new();
    for (flaw, expected) in FLAWS {
        let mut options = CheckOptions::new().wraps(true);
        // The two that take long, unoptimised.
        for slow in [Behaviour::WorksInClient, Behaviour::WorksInBlockingClient] {
            if !expected.contains(&slow) {
                options = options.without(slow, "slow");
            }
        }
        let failures = found(flaw, &options);
        for behaviour in expected {
            assert!(failures.contains(*behaviour), "{flaw:?}: {failures}");
        }
        if flaw != Flaw::Panics {
            covered.extend(expected);
        }
    }
    let all: BTreeSet<_> = Behaviour::ALL.iter().collect();
    assert_eq!(covered, all, "a behaviour that no flaw breaks");
}

#[test]
fn flaws_are_named() {
    let failures = found(Flaw::IgnoresContext, &CheckOptions::new());
    let text = failures.to_string();
    assert!(text.starts_with("table fails "), "{text}");
    assert!(text.contains("\n- BindsContext: suite 0x0478 "), "{text}");
    assert!(
        text.contains("another value: it unwraps (index 0)"),
        "{text}"
    );

    let failures = found(
        Flaw::Panics,
        &CheckOptions::new().only(Behaviour::BindsContext),
    );
    assert_eq!(failures.failures[0].1, "it panicked: not today");
}

#[test]
fn hanging_is_found() {
    let options = CheckOptions::new()
        .only(Behaviour::UnwrapsItsOwn)
        .time_limit(Duration::from_millis(200));
    for flaw in [Flaw::NeverReady, Flaw::ForgetsToWake] {
        let failures = found(flaw, &options);
        assert_eq!(failures.failures[0].1, "it did not end within 200ms");
    }
}
