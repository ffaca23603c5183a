//! How often an account may call.

use std::time::Duration;

use waxseal::blocking::wait;
use waxseal::kms::{Caller, CreateKey, DataKeySpec, KmsError, KmsResult, Operation, Quotas};
use waxseal::{Error, ProviderErrorKind};

use crate::calls::client;
use crate::scene::{
    Scene, admin, assert_denied, context, identity, policy_with, statement, stranger,
};

fn throttled<T: std::fmt::Debug>(result: KmsResult<T>) -> Duration {
    match result {
        Err(error @ KmsError::Throttled { retry_after }) => {
            assert!(error.is_retryable() && error.exception() == "ThrottlingException");
            retry_after
        }
        other => panic!("{other:?}"),
    }
}

/// A scene whose own calls are forgotten.
fn scene(quotas: Quotas) -> Scene {
    let scene = Scene::with(|builder| builder);
    let builder = crate::scene::builder(&scene.store, &scene.clock).quotas(quotas);
    let kms = wait(builder.audit(scene.trail.settings()).open()).unwrap();
    Scene { kms, ..scene }
}

#[test]
fn as_many_a_second_as_aws_has() {
    for (quotas, many) in [
        (Quotas::aws(), 5_500),
        (Quotas::aws().cryptographic(50_000), 50_000),
        (Quotas::none().cryptographic(7), 7),
    ] {
        let scene = scene(quotas);
        for number in 0..many {
            let done = match number % 5_000 {
                // All of them share it.
                0 => scene.encrypt(&scene.kms).map(drop),
                1 => scene.decrypt(&scene.acting(admin("alice"))).map(drop),
                2 => {
                    let spec = DataKeySpec::Aes256;
                    wait(scene.kms.generate_data_key(&scene.key.id, spec, &context())).map(drop)
                }
                3 => {
                    let to = &scene.other.id;
                    wait(
                        scene
                            .kms
                            .re_encrypt(&scene.blob, None, &context(), to, &context()),
                    )
                    .map(drop)
                }
                _ => scene.kms.generate_random(1).map(drop),
            };
            done.unwrap();
        }
        let wait_for = throttled(scene.kms.generate_random(1));
        assert_eq!(throttled(scene.encrypt(&scene.kms)), wait_for);
        assert!(wait_for > Duration::ZERO && wait_for <= Duration::from_secs(1));
        // Not a moment before, and then just one.
        scene.clock.advance(wait_for - Duration::from_nanos(1));
        throttled(scene.decrypt(&scene.kms));
        scene.clock.advance(Duration::from_nanos(1));
        scene.decrypt(&scene.kms).unwrap();
        throttled(scene.decrypt(&scene.kms));
        // A second makes the bucket full again, and no fuller.
        scene.clock.advance(Duration::from_secs(60));
        for _ in 0..many {
            scene.kms.generate_random(1).unwrap();
        }
        throttled(scene.kms.generate_random(1));
    }
}

#[test]
fn each_account_has_its_own() {
    let scene = scene(Quotas::none().cryptographic(3));
    let named = statement("Allow", stranger("bob").arn(), "kms:*");
    scene.put_policy(&policy_with(&named));
    let bob = Caller::new(stranger("bob")).identity_policy(identity("Allow", "kms:*", "*"));
    let bob = scene.acting(bob);
    for _ in 0..3 {
        scene.encrypt(&scene.acting(admin("alice"))).unwrap();
    }
    throttled(scene.encrypt(&scene.acting(admin("carol"))));
    throttled(scene.encrypt(&scene.kms));
    for _ in 0..3 {
        scene.encrypt(&bob).unwrap();
    }
    throttled(scene.encrypt(&bob));
}

#[test]
fn each_operation_that_manages_has_its_own() {
    let scene = scene(Quotas::aws());
    for _ in 0..5 {
        wait(scene.kms.create_key(CreateKey::new())).unwrap();
    }
    let retry_after = throttled(wait(scene.kms.create_key(CreateKey::new())));
    assert_eq!(retry_after, Duration::from_millis(200));
    wait(scene.kms.disable_key(&scene.key.id)).unwrap();
    wait(scene.kms.enable_key(&scene.key.id)).unwrap();
    scene.encrypt(&scene.kms).unwrap();
    let quotas = Quotas::aws();
    assert_eq!(quotas.per_second(Operation::Decrypt), Some(5_500.0));
    assert_eq!(quotas.per_second(Operation::DescribeKey), Some(2_000.0));
    assert_eq!(quotas.per_second(Operation::RetireGrant), Some(30.0));
    for _ in 0..2_000 {
        wait(scene.kms.describe_key(&scene.key.id)).unwrap();
    }
    throttled(wait(scene.kms.describe_key(&scene.key.id)));
    assert_eq!(
        quotas.per_second(Operation::GetParametersForImport),
        Some(0.25)
    );
}

/// Calls that are refused count, and it is told before anything else.
#[test]
fn refused_calls_count() {
    let scene = scene(Quotas::none().cryptographic(2));
    let nobody = scene.plain("nobody");
    assert_denied(scene.encrypt(&nobody), "first");
    assert_denied(scene.encrypt(&nobody), "second");
    throttled(scene.encrypt(&nobody));
    scene.trail.take();
    throttled(scene.encrypt(&scene.kms));
    let events = scene.trail.take();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["errorCode"], "ThrottlingException");
    assert_eq!(events[0]["resources"][0]["ARN"], scene.key.arn.as_str());
}

#[test]
fn the_provider_says_when_to_come_again() {
    let scene = scene(Quotas::none().cryptographic(2));
    let client = client(&scene.kms, "alias/key");
    let message = client.encrypt(b"", &context()).unwrap();
    client.decrypt(&message, &context()).unwrap();
    let after = Some(Duration::from_millis(500));
    match client.encrypt(b"", &context()) {
        Err(Error::Provider(error)) => {
            assert_eq!(
                error.kind(),
                ProviderErrorKind::Throttled { retry_after: after }
            );
            assert!(error.is_retryable());
        }
        other => panic!("{other:?}"),
    }
    let refused = client.decrypt(&message, &context()).unwrap_err();
    assert!(refused.is_retryable(), "{refused:?}");
}

#[test]
fn without_quotas_there_is_no_limit() {
    let scene = Scene::new();
    for _ in 0..10_000 {
        scene.kms.generate_random(1).unwrap();
    }
    for _ in 0..20 {
        wait(scene.kms.create_key(CreateKey::new())).unwrap();
    }
}

/// What the KMS does by itself is nobody's call, and listing is one.
#[test]
fn the_kms_itself_has_no_quota() {
    let scene = scene(Quotas::aws());
    for _ in 0..3 {
        scene.clock.advance(91 * crate::scene::DAY);
        wait(scene.kms.run_due()).unwrap();
    }
    for _ in 0..500 {
        wait(scene.kms.list_keys(None, 1)).unwrap();
    }
    throttled(wait(scene.kms.list_keys(None, 1)));
}
