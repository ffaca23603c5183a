//! Grant tokens: a grant holds at once where one is shown.

use waxseal::blocking::wait;
use waxseal::kms::{Caller, CreateGrant, GrantOperation, KmsError};

use crate::calls::CASES;
use crate::scene::{LONG, Scene, admin, assert_denied, builder, context, user};

#[test]
fn a_token_makes_a_grant_hold_at_once() {
    let scene = Scene::new();
    let far = builder(&scene.store, &scene.clock).max_staleness(LONG);
    let far = wait(far.open()).unwrap();
    let bob = Caller::new(user("bob"));
    assert_denied(scene.encrypt(&far.acting_as(bob.clone())), "no grant");
    let operations = [
        GrantOperation::Encrypt,
        GrantOperation::Decrypt,
        GrantOperation::DescribeKey,
    ];
    let made = scene.grant(CreateGrant::new(user("bob"), operations));
    assert_denied(scene.encrypt(&far.acting_as(bob.clone())), "not seen yet");
    assert_denied(scene.decrypt(&far.acting_as(bob.clone())), "not seen yet");
    // A token is no secret, and another's is of no use.
    let eve = Caller::new(user("eve")).grant_token(&made.token);
    assert_denied(scene.encrypt(&scene.acting(eve)), "not its grantee");

    let with_token = far.acting_as(bob.clone().grant_token(&made.token));
    scene.encrypt(&with_token).unwrap();
    scene.decrypt(&with_token).unwrap();
    wait(with_token.describe_key(&scene.key.id)).unwrap();
    // It is known then.
    scene.encrypt(&far.acting_as(bob)).unwrap();
}

#[test]
fn a_token_works_for_a_first_call_of_each_kind() {
    type Use = fn(&Scene, &waxseal::kms::LocalKms) -> bool;
    let uses: [Use; 4] = [
        |scene, kms| scene.encrypt(kms).is_ok(),
        |scene, kms| scene.decrypt(kms).is_ok(),
        |scene, kms| wait(kms.describe_key(&scene.key.id)).is_ok(),
        |scene, kms| {
            let client = crate::calls::client(kms, &scene.key.id);
            client.encrypt(b"", &context()).is_ok()
        },
    ];
    for used in uses {
        let scene = Scene::new();
        let far = builder(&scene.store, &scene.clock).max_staleness(LONG);
        let far = wait(far.open()).unwrap();
        // It knows the key as it was.
        wait(far.describe_key(&scene.key.id)).unwrap();
        let operations = GrantOperation::ALL.iter().copied();
        let made = scene.grant(CreateGrant::new(user("bob"), operations));
        let bob = Caller::new(user("bob"));
        assert!(!used(&scene, &far.acting_as(bob.clone())));
        assert!(used(&scene, &far.acting_as(bob.grant_token(&made.token))));
    }
}

#[test]
fn a_token_of_another_key_or_of_none_does_nothing() {
    let scene = Scene::new();
    let request = CreateGrant::new(user("bob"), [GrantOperation::Encrypt]);
    let other = wait(scene.kms.create_grant(&scene.other.id, request)).unwrap();
    let bob = Caller::new(user("bob")).grant_token(&other.token);
    assert_denied(scene.encrypt(&scene.acting(bob.clone())), "another key's");
    wait(scene.acting(bob).encrypt("alias/other", b"", &context())).unwrap();
    // Revoked meanwhile, or never made: well-formed, and nothing behind it.
    wait(scene.kms.revoke_grant(&scene.other.id, &other.id)).unwrap();
    let admin = admin("alice").grant_token(&other.token);
    wait(scene.acting(admin).encrypt("alias/other", b"", &context())).unwrap();
}

#[test]
fn what_is_no_token_is_refused_by_every_call_of_a_key() {
    let good = Scene::new().grant.token;
    let wrong = [
        "",
        "token",
        &good[1..],
        &good[..good.len() - 1],
        &"A".repeat(10_000),
    ]
    .map(str::to_owned);
    for case in CASES.iter().filter(|case| case.by_policy) {
        let scene = Scene::new();
        for wrong in &wrong {
            let kms = scene.acting(admin("alice").grant_token(wrong));
            let done = (case.call)(&scene, &kms);
            assert!(
                matches!(done, Err(KmsError::InvalidGrantToken)),
                "{} with {wrong:.20}: {done:?}",
                case.operation
            );
        }
        let many = |count: usize| {
            let token = scene.grant.token.as_str();
            let caller = (0..count).fold(admin("alice"), |caller, _| caller.grant_token(token));
            (case.call)(&scene, &scene.acting(caller))
        };
        match many(11) {
            Err(KmsError::LimitExceeded { limit: 10, .. }) => {}
            other => panic!("{}: {other:?}", case.operation),
        }
        many(10).unwrap();
    }
    for wrong in &wrong {
        let retired = wait(Scene::new().kms.retire_grant_by_token(wrong));
        assert!(matches!(retired, Err(KmsError::InvalidGrantToken)));
    }
}
