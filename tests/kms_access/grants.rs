//! Grants: what they allow, who makes and ends them.

use waxseal::blocking::wait;
use waxseal::kms::store::MemoryStore;
use waxseal::kms::{
    Caller, CreateGrant, DataKeySpec, Grant, GrantOperation, KmsError, KmsResult, LocalKms,
    Principal,
};
use waxseal::{EncryptionContext, ProviderErrorKind};

use crate::calls::client;
use crate::scene::{
    ACCOUNT, DAY, Scene, admin, assert_denied, builder, context, identity, is_let_in, policy_with,
    root, statement, user,
};

/// A call that an operation of a grant allows.
fn call(scene: &Scene, kms: &LocalKms, operation: GrantOperation) -> KmsResult<()> {
    let (key, other) = (scene.key.id.as_str(), scene.other.id.as_str());
    let context = context();
    match operation {
        GrantOperation::CreateGrant => {
            let request = CreateGrant::new(user("someone"), [GrantOperation::CreateGrant]);
            wait(kms.create_grant(key, request)).map(drop)
        }
        GrantOperation::Decrypt => wait(kms.decrypt(&scene.blob, None, &context)).map(drop),
        GrantOperation::DescribeKey => wait(kms.describe_key(key)).map(drop),
        GrantOperation::Encrypt => wait(kms.encrypt(key, b"", &context)).map(drop),
        GrantOperation::GenerateDataKey => {
            wait(kms.generate_data_key(key, DataKeySpec::Aes256, &context)).map(drop)
        }
        GrantOperation::GenerateDataKeyWithoutPlaintext => {
            let spec = DataKeySpec::Aes256;
            wait(kms.generate_data_key_without_plaintext(key, spec, &context)).map(drop)
        }
        GrantOperation::ReEncryptFrom => {
            wait(kms.re_encrypt(&scene.blob, None, &context, other, &context)).map(drop)
        }
        GrantOperation::ReEncryptTo => {
            let blob = wait(scene.kms.encrypt(other, b"", &context)).unwrap().blob;
            wait(kms.re_encrypt(&blob, None, &context, key, &context)).map(drop)
        }
        GrantOperation::RetireGrant => wait(kms.retire_grant(key, &scene.grant.id)),
        other => panic!("{other}"),
    }
}

/// Lets a user do both sides of a re-encryption with the other key.
fn with_other(scene: &Scene, name: &str) -> LocalKms {
    let other = identity("Allow", "kms:ReEncrypt*", &scene.other.arn);
    scene.acting(Caller::new(user(name)).identity_policy(other))
}

#[test]
fn each_operation_is_allowed_by_its_own_name() {
    for granted in GrantOperation::ALL {
        let scene = Scene::new();
        let bob = with_other(&scene, "bob");
        for operation in GrantOperation::ALL {
            assert_denied(call(&scene, &bob, *operation), "before");
        }
        scene.grant(CreateGrant::new(user("bob"), [*granted]));
        for operation in GrantOperation::ALL {
            let done = call(&scene, &bob, *operation);
            // To retire, it must be that very grant.
            let expected = operation == granted && *granted != GrantOperation::RetireGrant;
            assert_eq!(
                is_let_in(&done),
                expected,
                "{granted}: {operation}: {done:?}"
            );
            assert_denied(
                call(&scene, &with_other(&scene, "eve"), *operation),
                "not its grantee",
            );
        }
        // Of this key only.
        assert_denied(
            wait(bob.encrypt(&scene.other.id, b"", &context())),
            "another key",
        );
    }
}

#[test]
fn what_is_refused_as_a_grant() {
    let scene = Scene::new();
    let nine = EncryptionContext::from_iter((0..9).map(|n| (n.to_string(), "x")));
    let bob = || CreateGrant::new(user("bob"), [GrantOperation::Decrypt]);
    for wrong in [
        CreateGrant::new(user("bob"), []),
        bob().name(""),
        bob().name("with spaces"),
        bob().name("x".repeat(257)),
        bob().context_equals(&EncryptionContext::new()),
        bob().context_subset(&nine),
    ] {
        let made = wait(scene.kms.create_grant(&scene.key.id, wrong));
        assert!(
            matches!(made, Err(KmsError::InvalidArgument { .. })),
            "{made:?}"
        );
    }
    assert_eq!(wait(scene.kms.list_grants(&scene.key.id)).unwrap().len(), 1);
}

#[test]
fn constraints_hold_for_each_use() {
    let uses = [
        GrantOperation::Decrypt,
        GrantOperation::Encrypt,
        GrantOperation::GenerateDataKey,
        GrantOperation::GenerateDataKeyWithoutPlaintext,
        GrantOperation::ReEncryptFrom,
        GrantOperation::ReEncryptTo,
    ];
    let part = EncryptionContext::from([("tenant", "7")]);
    let other = EncryptionContext::from([("tenant", "8"), ("purpose", "backup")]);
    let more = EncryptionContext::from([("tenant", "7"), ("purpose", "backup"), ("x", "y")]);
    let grant = || CreateGrant::new(user("bob"), uses);
    for (request, expected) in [
        (grant().context_equals(&context()), true),
        (grant().context_equals(&part), false),
        (grant().context_equals(&more), false),
        (grant().context_equals(&other), false),
        (grant().context_subset(&context()), true),
        (grant().context_subset(&part), true),
        (grant().context_subset(&more), false),
        (grant().context_subset(&other), false),
        (
            grant().context_subset(&part).context_equals(&context()),
            true,
        ),
        (
            grant().context_subset(&other).context_equals(&context()),
            false,
        ),
    ] {
        let scene = Scene::new();
        scene.grant(request);
        for operation in uses {
            let done = call(&scene, &with_other(&scene, "bob"), operation);
            assert_eq!(done.is_ok(), expected, "{operation}: {done:?}");
            assert_eq!(is_let_in(&done), expected, "{operation}: {done:?}");
        }
        // The provider's calls are the same.
        let sealed = client(&scene.plain("bob"), &scene.key.id).encrypt(b"", &context());
        match sealed {
            Ok(_) => assert!(expected),
            Err(waxseal::Error::Provider(error)) => {
                assert!(!expected && error.kind() == ProviderErrorKind::AccessDenied);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_name_makes_it_the_same_grant() {
    let scene = Scene::new();
    let request = || crate::calls::grant_request();
    let first = scene.grant(request());
    assert_eq!(scene.grant(request()), first);
    scene.clock.advance(DAY);
    assert_eq!(scene.grant(request()), first);
    // Anything else makes another.
    let others = [
        request().name("hourly"),
        request().retiring_principal(user("dave")),
        request().context_equals(&context()),
        CreateGrant::new(user("bob"), [GrantOperation::Encrypt]).name("nightly"),
        CreateGrant::new(user("eve"), [GrantOperation::Decrypt]).name("nightly"),
    ];
    for other in others {
        assert_ne!(scene.grant(other).id, first.id);
    }
    let by_another = wait(
        scene
            .acting(admin("alice"))
            .create_grant(&scene.key.id, request()),
    );
    assert_ne!(by_another.unwrap().id, first.id);
    let unnamed = || CreateGrant::new(user("bob"), [GrantOperation::Decrypt]);
    assert_ne!(scene.grant(unnamed()).id, scene.grant(unnamed()).id);
}

#[test]
fn grants_are_listed_with_what_they_say() {
    let scene = Scene::new();
    let made = scene.grant(crate::calls::grant_request());
    let all = wait(scene.kms.list_grants("alias/key")).unwrap();
    let ids: Vec<_> = all.iter().map(|grant| grant.id.as_str()).collect();
    assert_eq!(ids, [scene.grant.id.as_str(), made.id.as_str()]);
    let grant: &Grant = &all[1];
    assert_eq!(grant.key_arn, scene.key.arn);
    assert_eq!(grant.name.as_deref(), Some("nightly"));
    assert_eq!(grant.issuer, format!("arn:aws:iam::{ACCOUNT}:root"));
    assert_eq!(grant.grantee, user("bob").arn());
    assert_eq!(grant.retiring.as_deref(), Some(user("carol").arn()));
    assert_eq!(grant.operations, [GrantOperation::Decrypt]);
    let subset = grant.context_subset.as_ref().unwrap();
    assert_eq!(subset["tenant"], "7");
    assert_eq!(grant.context_equals, None);
    // By who may retire them, of all keys.
    let other = crate::calls::grant_request();
    let other = wait(scene.kms.create_grant(&scene.other.id, other)).unwrap();
    let retirable = wait(scene.kms.list_retirable_grants(&user("carol"))).unwrap();
    let mut ids: Vec<_> = retirable.iter().map(|grant| grant.id.clone()).collect();
    let mut expected = vec![made.id, other.id];
    ids.sort();
    expected.sort();
    assert_eq!(ids, expected);
    assert!(
        wait(scene.kms.list_retirable_grants(&user("bob")))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn who_retires_a_grant() {
    let retire = |who: Caller, expected: bool, operations: &[GrantOperation]| {
        for by_token in [false, true] {
            let scene = Scene::new();
            let request = CreateGrant::new(user("bob"), operations.iter().copied());
            let made = scene.grant(request.retiring_principal(user("carol")));
            let kms = scene.acting(who.clone());
            let done = match by_token {
                false => wait(kms.retire_grant(&scene.key.id, &made.id)),
                true => wait(kms.retire_grant_by_token(&made.token)),
            };
            assert_eq!(done.is_ok(), expected, "{who:?}: {done:?}");
            assert_eq!(is_let_in(&done), expected, "{who:?}: {done:?}");
            let left = wait(scene.kms.list_grants(&scene.key.id)).unwrap();
            let is_left = left.iter().any(|grant| grant.id == made.id);
            assert_eq!(is_left, !expected);
        }
    };
    let decrypt = [GrantOperation::Decrypt];
    let with_retire = [GrantOperation::Decrypt, GrantOperation::RetireGrant];
    retire(Caller::new(user("carol")), true, &decrypt);
    retire(Caller::new(user("bob")), false, &decrypt);
    retire(Caller::new(user("bob")), true, &with_retire);
    retire(Caller::new(user("eve")), false, &with_retire);
    retire(
        Caller::new(Principal::root(ACCOUNT).unwrap()),
        true,
        &decrypt,
    );
    retire(admin("alice"), true, &decrypt);
    // Who retires one does not retire the others.
    let scene = Scene::new();
    scene.grant(CreateGrant::new(user("bob"), with_retire));
    assert_denied(
        wait(
            scene
                .plain("bob")
                .retire_grant(&scene.key.id, &scene.grant.id),
        ),
        "another's grant",
    );
    // A denial wins.
    let made = scene.grant(CreateGrant::new(user("bob"), with_retire));
    scene.put_policy(&policy_with(&statement(
        "Deny",
        user("bob").arn(),
        "kms:RetireGrant",
    )));
    assert_denied(
        wait(scene.plain("bob").retire_grant(&scene.key.id, &made.id)),
        "a denial",
    );
}

#[test]
fn a_grant_that_was_ended_allows_nothing() {
    type End = fn(&Scene, &str) -> KmsResult<()>;
    let ends: [End; 2] = [
        |scene, grant| wait(scene.kms.revoke_grant(&scene.key.id, grant)),
        |scene, grant| wait(scene.kms.retire_grant(&scene.key.id, grant)),
    ];
    for end in ends {
        let scene = Scene::new();
        let made = scene.grant(CreateGrant::new(user("bob"), [GrantOperation::Encrypt]));
        let bob = Caller::new(user("bob")).grant_token(&made.token);
        scene.encrypt(&scene.acting(bob.clone())).unwrap();
        end(&scene, &made.id).unwrap();
        assert_denied(scene.encrypt(&scene.acting(bob)), "ended");
        let again = end(&scene, &made.id);
        assert!(matches!(again, Err(KmsError::NotFound { .. })), "{again:?}");
        // The key's other grants stay.
        assert_eq!(wait(scene.kms.list_grants(&scene.key.id)).unwrap().len(), 1);
    }
    let scene = Scene::new();
    let unknown = "0".repeat(64);
    let revoked = wait(scene.kms.revoke_grant(&scene.key.id, &unknown));
    assert!(matches!(revoked, Err(KmsError::NotFound { .. })));
    assert_denied(
        wait(
            scene
                .plain("grantee")
                .revoke_grant(&scene.key.id, &scene.grant.id),
        ),
        "to revoke is the managers'",
    );
}

#[test]
fn a_child_allows_no_more_than_its_parent() {
    let scene = Scene::new();
    let key = scene.key.id.as_str();
    let part = EncryptionContext::from([("tenant", "7")]);
    use GrantOperation::{CreateGrant as Make, Decrypt, Encrypt};
    scene.grant(CreateGrant::new(user("bob"), [Make, Decrypt]).context_subset(&part));
    let bob = scene.plain("bob");
    let child =
        |operations: &[GrantOperation]| CreateGrant::new(user("eve"), operations.iter().copied());
    for wide in [
        child(&[Decrypt]),
        child(&[Encrypt]).context_subset(&part),
        child(&[Decrypt, Encrypt]).context_subset(&part),
        child(&[Decrypt]).context_subset(&EncryptionContext::from([("tenant", "8")])),
        child(&[Decrypt]).context_equals(&EncryptionContext::from([("x", "7")])),
    ] {
        assert_denied(wait(bob.create_grant(key, wide)), "a wider child");
    }
    for narrow in [
        child(&[Decrypt]).context_subset(&part),
        child(&[Decrypt]).context_subset(&context()),
        child(&[Decrypt]).context_equals(&context()),
        child(&[Make, Decrypt]).context_subset(&context()),
    ] {
        wait(bob.create_grant(key, narrow)).unwrap();
    }
    // And its child no more than that.
    let eve = scene.plain("eve");
    assert_denied(
        wait(eve.create_grant(key, child(&[Decrypt]).context_subset(&part))),
        "a wider grandchild",
    );
    wait(eve.create_grant(key, child(&[Decrypt]).context_equals(&context()))).unwrap();
    // By right of a policy there is no parent.
    scene.put_policy(&policy_with(&statement(
        "Allow",
        user("bob").arn(),
        "kms:CreateGrant",
    )));
    wait(bob.create_grant(key, child(&[Encrypt]))).unwrap();
    // Two parents are two, not their sum.
    let scene = Scene::new();
    let key = scene.key.id.as_str();
    scene.grant(CreateGrant::new(user("bob"), [Make, Decrypt]));
    scene.grant(CreateGrant::new(user("bob"), [Make, Encrypt]));
    let bob = scene.plain("bob");
    wait(bob.create_grant(key, child(&[Encrypt]))).unwrap();
    assert_denied(
        wait(bob.create_grant(key, child(&[Decrypt, Encrypt]))),
        "the sum",
    );
}

#[test]
fn grants_stay_with_their_key() {
    let scene = Scene::new();
    let made = scene.grant(CreateGrant::new(user("bob"), [GrantOperation::Encrypt]));
    wait(scene.kms.rotate(&scene.key.id)).unwrap();
    wait(scene.kms.rotate_store_key()).unwrap();
    scene.put_policy(&policy_with(""));
    let reopened = scene.reopen();
    let backup = wait(scene.kms.export(&root())).unwrap();
    let elsewhere = wait(builder(&MemoryStore::new(), &scene.clock).open()).unwrap();
    wait(elsewhere.import(&backup, &root())).unwrap();
    for kms in [&scene.kms, &reopened, &elsewhere] {
        scene
            .encrypt(&kms.acting_as(Caller::new(user("bob"))))
            .unwrap();
        let all = wait(kms.list_grants(&scene.key.id)).unwrap();
        assert_eq!(all[1].id, made.id);
    }
    // What was revoked since does not come back with an old backup.
    wait(scene.kms.revoke_grant(&scene.key.id, &made.id)).unwrap();
    wait(scene.kms.import(&backup, &root())).unwrap();
    assert_denied(scene.encrypt(&scene.plain("bob")), "revoked");
}

#[test]
fn a_deleted_key_takes_its_grants_along() {
    let scene = Scene::new();
    let made = scene.grant(crate::calls::grant_request());
    wait(scene.kms.schedule_deletion(&scene.key.id, Some(7))).unwrap();
    assert_eq!(wait(scene.kms.list_grants(&scene.key.id)).unwrap().len(), 2);
    scene.clock.advance(8 * DAY);
    wait(scene.kms.run_due()).unwrap();
    assert!(
        wait(scene.kms.list_retirable_grants(&user("carol")))
            .unwrap()
            .is_empty()
    );
    for gone in [
        wait(scene.kms.list_grants(&scene.key.id)).map(drop),
        wait(scene.kms.retire_grant_by_token(&made.token)),
        wait(scene.kms.revoke_grant(&scene.key.id, &made.id)),
        scene
            .decrypt(&scene.acting(Caller::new(user("bob")).grant_token(&made.token)))
            .map(drop),
    ] {
        assert!(matches!(gone, Err(KmsError::NotFound { .. })), "{gone:?}");
    }
}

/// Two handles that give grants at once lose none.
#[test]
fn grants_made_at_once_are_all_there() {
    let scene = Scene::new();
    let handles: Vec<LocalKms> = (0..4).map(|_| scene.reopen()).collect();
    std::thread::scope(|threads| {
        for (number, kms) in handles.iter().enumerate() {
            let key = &scene.key.id;
            threads.spawn(move || {
                for grant in 0..8 {
                    let request = CreateGrant::new(user("bob"), [GrantOperation::Decrypt])
                        .name(format!("{number}/{grant}"));
                    wait(kms.create_grant(key, request)).unwrap();
                }
            });
        }
    });
    let all = wait(scene.kms.list_grants(&scene.key.id)).unwrap();
    assert_eq!(all.len(), 1 + 4 * 8);
}
