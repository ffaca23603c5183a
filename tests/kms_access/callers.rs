//! Who is let in: the root, and others as policies say.

use waxseal::blocking::wait;
use waxseal::kms::{Caller, CreateKey, GrantOperation, KmsError, LocalKms, Principal};
use waxseal::{EncryptionContext, Error, ProviderErrorKind};

use crate::calls::{CASES, MORE_CASES, client};
use crate::scene::{
    ACCOUNT, DAY, OTHER_ACCOUNT, Scene, admin, assert_denied, contents, context, identity,
    is_let_in, policy_with, statement, stranger, user,
};

#[test]
fn the_application_is_the_root_and_may_do_everything() {
    for case in CASES {
        let scene = Scene::new();
        let done = (case.call)(&scene, &scene.kms);
        assert!(done.is_ok(), "{}: {done:?}", case.operation);
    }
}

#[test]
fn a_user_without_policies_may_do_nothing_and_changes_nothing() {
    for case in CASES.iter().chain(MORE_CASES) {
        for who in [
            user("alice"),
            stranger("alice"),
            Principal::role(ACCOUNT, "app").unwrap(),
        ] {
            let scene = Scene::new();
            let before = contents(&scene.store);
            let kms = scene.acting(Caller::new(who));
            assert_denied((case.call)(&scene, &kms), case.operation);
            assert_eq!(contents(&scene.store), before, "{}", case.operation);
            let used = wait(scene.kms.usage(&scene.key.id)).unwrap();
            // The scene's own encryption.
            assert_eq!(used.versions[&1].wraps, 1, "{}", case.operation);
            assert_eq!(used.versions[&1].unwraps, 0, "{}", case.operation);
        }
    }
}

/// What is left of the state is what the policies say: the same for the root of
/// another account.
#[test]
fn the_root_of_another_account_is_nobody_here() {
    for case in CASES.iter().chain(MORE_CASES) {
        let scene = Scene::new();
        let root = Principal::root(OTHER_ACCOUNT).unwrap();
        let kms = scene.acting(Caller::new(root));
        assert_denied((case.call)(&scene, &kms), case.operation);
    }
}

#[test]
fn an_identity_policy_lets_in_what_it_names_and_nothing_else() {
    for case in CASES.iter().chain(MORE_CASES).filter(|case| case.by_policy) {
        let scene = Scene::new();
        let anything = scene.acting(admin("alice"));
        let done = (case.call)(&scene, &anything);
        assert!(is_let_in(&done), "{}: {done:?}", case.operation);

        let scene = Scene::new();
        let others = identity("Allow", "kms:*", "*");
        let not_this = identity("Deny", &format!("kms:{}*", case.operation), "*");
        let denied = Caller::new(user("alice"))
            .identity_policy(others)
            .identity_policy(not_this);
        assert_denied((case.call)(&scene, &scene.acting(denied)), case.operation);

        // Alone, it is enough where nothing else is asked for.
        if matches!(case.operation, "ReEncrypt" | "CreateKey") {
            continue;
        }
        let scene = Scene::new();
        let this = identity("Allow", &format!("kms:{}", case.operation), "*");
        let kms = scene.acting(Caller::new(user("alice")).identity_policy(this));
        let done = (case.call)(&scene, &kms);
        assert!(is_let_in(&done), "{}: {done:?}", case.operation);
    }
}

#[test]
fn what_is_the_applications_own_no_policy_gives() {
    for case in CASES.iter().filter(|case| !case.by_policy) {
        let scene = Scene::new();
        let before = contents(&scene.store);
        let kms = scene.acting(admin("alice"));
        assert_denied((case.call)(&scene, &kms), case.operation);
        let root = scene.acting(Caller::new(Principal::root(ACCOUNT).unwrap()));
        assert_denied((case.call)(&scene, &root), case.operation);
        assert_eq!(contents(&scene.store), before, "{}", case.operation);
    }
}

#[test]
fn an_identity_policy_for_one_key_is_for_that_key() {
    let scene = Scene::new();
    let policy = identity("Allow", "kms:Encrypt", &scene.key.arn);
    let kms = scene.acting(Caller::new(user("alice")).identity_policy(policy));
    scene.encrypt(&kms).unwrap();
    wait(kms.encrypt("alias/key", b"", &context())).unwrap();
    assert_denied(
        wait(kms.encrypt(&scene.other.id, b"", &context())),
        "another key",
    );
    assert_denied(scene.decrypt(&kms), "another operation");
    // Without the account in the key policy it says nothing.
    scene.put_policy(&format!(
        r#"{{"Version": "2012-10-17", "Statement": [{}]}}"#,
        statement("Allow", user("bob").arn(), "kms:*")
    ));
    assert_denied(scene.encrypt(&kms), "the key's policy is silent");
}

#[test]
fn a_name_in_the_key_policy_is_enough() {
    let scene = Scene::new();
    let alice = scene.plain("alice");
    assert_denied(scene.encrypt(&alice), "before");
    let named = statement("Allow", user("alice").arn(), "kms:Encrypt");
    scene.put_policy(&policy_with(&named));
    scene.encrypt(&alice).unwrap();
    assert_denied(scene.decrypt(&alice), "another operation");
    assert_denied(scene.encrypt(&scene.plain("bob")), "another user");
    assert_denied(
        scene.encrypt(&scene.acting(Caller::new(Principal::role(ACCOUNT, "alice").unwrap()))),
        "a role of that name",
    );
    assert_denied(
        scene.encrypt(&scene.acting(Caller::new(stranger("alice")))),
        "of that name elsewhere",
    );
}

#[test]
fn a_deny_wins_over_everything() {
    let scene = Scene::new();
    let everything = admin("alice");
    scene.grant(waxseal::kms::CreateGrant::new(
        user("alice"),
        [GrantOperation::Encrypt, GrantOperation::Decrypt],
    ));
    let named = statement("Allow", user("alice").arn(), "kms:*");
    scene.put_policy(&policy_with(&named));
    scene.encrypt(&scene.acting(everything.clone())).unwrap();

    let by_identity = everything
        .clone()
        .identity_policy(identity("Deny", "kms:Encrypt", "*"));
    assert_denied(
        scene.encrypt(&scene.acting(by_identity.clone())),
        "identity",
    );
    scene.decrypt(&scene.acting(by_identity)).unwrap();

    let denied = statement("Deny", user("alice").arn(), "kms:Encrypt");
    scene.put_policy(&policy_with(&format!("{named}, {denied}")));
    assert_denied(
        scene.encrypt(&scene.acting(everything.clone())),
        "key policy",
    );
    scene.decrypt(&scene.acting(everything)).unwrap();
    // Also over the root.
    let denied = statement("Deny", "*", "kms:Encrypt");
    scene.put_policy(&policy_with(&denied));
    assert_denied(scene.encrypt(&scene.kms), "the root");
    scene.decrypt(&scene.kms).unwrap();
}

#[test]
fn across_accounts_both_sides_must_allow() {
    let scene = Scene::new();
    let everything = || identity("Allow", "kms:*", "*");
    let bare = scene.acting(Caller::new(stranger("bob")));
    let allowed = scene.acting(Caller::new(stranger("bob")).identity_policy(everything()));
    let root = scene.acting(Caller::new(Principal::root(OTHER_ACCOUNT).unwrap()));
    for kms in [&bare, &allowed, &root] {
        assert_denied(scene.encrypt(kms), "the key's account says nothing");
    }
    let account = format!("arn:aws:iam::{OTHER_ACCOUNT}:root");
    for (named, of_root) in [(account.as_str(), true), (stranger("bob").arn(), false)] {
        let statement = statement("Allow", named, "kms:Encrypt");
        scene.put_policy(&policy_with(&statement));
        assert_denied(scene.encrypt(&bare), "its own account says nothing");
        scene.encrypt(&allowed).unwrap();
        assert_eq!(scene.encrypt(&root).is_ok(), of_root);
        // What is nobody's key is no other account's.
        assert_denied(wait(allowed.list_keys(None, 10)), "the list of keys");
        assert_denied(wait(allowed.create_key(CreateKey::new())), "a new key");
        assert_denied(allowed.generate_random(8), "random bytes");
    }
    scene.put_policy(&policy_with(""));
    scene.grant(waxseal::kms::CreateGrant::new(
        stranger("bob"),
        [GrantOperation::Encrypt],
    ));
    assert_denied(scene.encrypt(&bare), "a grant is the key's side only");
    scene.encrypt(&allowed).unwrap();
}

#[test]
fn owned_keys_are_nobody_elses() {
    let scene = Scene::new();
    let arn = wait(scene.kms.owned_key("app")).unwrap();
    let blob = wait(scene.kms.encrypt(&arn, b"own", &context())).unwrap();
    let alice = scene.acting(admin("alice"));
    let is_missing = |error: KmsError| matches!(error, KmsError::NotFound { .. });
    assert!(is_missing(
        wait(alice.encrypt(&arn, b"", &context())).unwrap_err()
    ));
    assert!(is_missing(wait(alice.describe_key(&arn)).unwrap_err()));
    assert!(is_missing(wait(alice.usage(&arn)).unwrap_err()));
    assert!(is_missing(wait(alice.get_key_policy(&arn)).unwrap_err()));
    assert!(is_missing(wait(alice.list_grants(&arn)).unwrap_err()));
    assert!(is_missing(wait(alice.deleted_key(&arn)).unwrap_err()));
    let request = crate::calls::grant_request();
    assert!(is_missing(
        wait(alice.create_grant(&arn, request)).unwrap_err()
    ));
    let own = context();
    let explained = alice.explain(waxseal::kms::Operation::Encrypt, &arn, &own);
    assert!(is_missing(wait(explained).unwrap_err()));
    for key in [None, Some(arn.as_str())] {
        let opened = wait(alice.decrypt(&blob.blob, key, &context()));
        assert!(is_missing(opened.unwrap_err()));
    }
    // Given a key that it is not, nobody learns that there is such a key.
    let opened = wait(alice.decrypt(&scene.blob, Some(&arn), &context()));
    assert!(is_missing(opened.unwrap_err()));
    let moved = alice.re_encrypt(&scene.blob, None, &own, &arn, &own);
    assert!(is_missing(wait(moved).unwrap_err()));
    let page = wait(alice.list_keys(None, 100)).unwrap();
    assert!(page.keyrings.iter().all(|key| key.arn != arn));
    // Nor the name by which the application finds it.
    for name in ["app", "new"] {
        assert_denied(wait(alice.owned_key(name)), name);
    }
    wait(scene.kms.decrypt(&blob.blob, None, &context())).unwrap();
}

#[test]
fn service_keys_are_used_as_policies_say() {
    let scene = Scene::new();
    let alice = scene.acting(admin("alice"));
    assert_denied(wait(alice.service_key("s3")), "it is not there yet");
    let key = wait(scene.kms.service_key("s3")).unwrap();
    assert_eq!(wait(alice.service_key("s3")).unwrap().arn, key.arn);
    let blob = wait(alice.encrypt("alias/aws/s3", b"text", &context())).unwrap();
    wait(alice.decrypt(&blob.blob, None, &context())).unwrap();
    let bob = scene.plain("bob");
    assert_denied(wait(bob.service_key("s3")), "service_key");
    assert_denied(
        wait(bob.encrypt("alias/aws/s3", b"", &context())),
        "encrypt",
    );
    assert_denied(wait(bob.decrypt(&blob.blob, None, &context())), "decrypt");
    let policy = policy_with("");
    for kms in [&alice, &scene.kms] {
        let put = wait(kms.put_key_policy(&key.id, &policy));
        assert!(matches!(put, Err(KmsError::Unsupported { .. })), "{put:?}");
    }
}

/// Whatever state a key is in, who may not use it is told the same.
#[test]
fn a_denied_caller_learns_nothing_of_the_keys_state() {
    type Change = fn(&Scene);
    let changes: [(&str, Change); 6] = [
        ("enabled", |_| {}),
        ("disabled", |scene| {
            wait(scene.kms.disable_key(&scene.key.id)).unwrap()
        }),
        ("pending deletion", |scene| {
            wait(scene.kms.schedule_deletion(&scene.key.id, Some(7))).unwrap();
        }),
        ("due to be deleted", |scene| {
            wait(scene.kms.schedule_deletion(&scene.key.id, Some(7))).unwrap();
            scene.clock.advance(8 * DAY);
        }),
        ("unavailable", |scene| scene.kms.disconnect().unwrap()),
        ("cut off", |scene| {
            wait(scene.kms.rotate(&scene.key.id)).unwrap();
            wait(scene.kms.set_minimum_version(&scene.key.id, 2)).unwrap();
        }),
    ];
    for case in CASES.iter().chain(MORE_CASES) {
        let mut told = Vec::new();
        for (state, change) in &changes {
            let scene = Scene::new();
            change(&scene);
            let error = (case.call)(&scene, &scene.plain("alice")).unwrap_err();
            let is_gone =
                *state == "due to be deleted" && matches!(error, KmsError::NotFound { .. });
            let by_name = matches!(
                case.operation,
                "DeleteAlias" | "UpdateAlias" | "ListAliases"
            );
            assert!(
                matches!(error, KmsError::AccessDenied { .. }) || is_gone && by_name,
                "{} of a key that is {state}: {error:?}",
                case.operation
            );
            // The keys' ids differ from scene to scene.
            let mut text = error.to_string();
            for key in [&scene.key, &scene.other, &scene.external, &scene.doomed] {
                text = text.replace(&key.id, "ID");
            }
            told.push(text);
        }
        told.dedup();
        assert_eq!(told.len(), 1, "{}: {told:?}", case.operation);
    }
}

/// A ciphertext tells a caller without leave nothing either: neither whether it
/// is whole, nor whether it is of the key that is given.
#[test]
fn a_denied_caller_learns_nothing_of_a_ciphertext() {
    let scene = Scene::new();
    let alice = scene.plain("alice");
    let mut damaged = scene.blob.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let elsewhere = EncryptionContext::from([("tenant", "8")]);
    for (blob, key, context) in [
        (&scene.blob, None, &context()),
        (&damaged, None, &context()),
        (&scene.blob, None, &elsewhere),
        (&scene.blob, Some(scene.key.id.as_str()), &context()),
        (&scene.blob, Some("alias/other"), &context()),
    ] {
        assert_denied(wait(alice.decrypt(blob, key, context)), "decrypt");
    }
    // Leave for the one key says nothing of the other.
    let own = identity("Allow", "kms:Decrypt", &scene.key.arn);
    let alice = scene.acting(Caller::new(user("alice")).identity_policy(own));
    let other = wait(alice.decrypt(&scene.blob, Some("alias/other"), &context()));
    assert_denied(other, "another key");
    let both = identity("Allow", "kms:Decrypt", "*");
    let alice = scene.acting(Caller::new(user("alice")).identity_policy(both));
    let other = wait(alice.decrypt(&scene.blob, Some("alias/other"), &context()));
    assert!(
        matches!(other, Err(KmsError::IncorrectKey { .. })),
        "{other:?}"
    );
}

#[test]
fn re_encryption_needs_both_permissions() {
    let scene = Scene::new();
    let re_encrypt = |kms: &LocalKms| {
        let context = context();
        wait(kms.re_encrypt(&scene.blob, None, &context, &scene.other.id, &context))
    };
    let may = |policies: &[(&str, &str)]| {
        let caller = policies
            .iter()
            .fold(Caller::new(user("alice")), |caller, (action, key)| {
                caller.identity_policy(identity("Allow", action, key))
            });
        re_encrypt(&scene.acting(caller))
    };
    let (from, to) = (scene.key.arn.as_str(), scene.other.arn.as_str());
    assert_denied(may(&[("kms:ReEncryptFrom", from)]), "from alone");
    assert_denied(may(&[("kms:ReEncryptTo", to)]), "to alone");
    assert_denied(may(&[("kms:ReEncrypt", "*")]), "no permission of that name");
    assert_denied(
        may(&[("kms:Decrypt", "*"), ("kms:Encrypt", "*")]),
        "its parts are other permissions",
    );
    assert_denied(
        may(&[("kms:ReEncryptFrom", to), ("kms:ReEncryptTo", from)]),
        "the other way round",
    );
    may(&[("kms:ReEncryptFrom", from), ("kms:ReEncryptTo", to)]).unwrap();
    may(&[("kms:ReEncrypt*", "*")]).unwrap();
}

/// The errors of a provider, and what it may not.
#[test]
fn the_provider_of_an_acting_handle_acts() {
    let scene = Scene::new();
    let caller =
        Caller::new(user("alice")).identity_policy(identity("Allow", "kms:GenerateDataKey", "*"));
    let (writer, reader) = (scene.acting(caller), scene.acting(admin("bob")));
    let message = client(&writer, "alias/key")
        .encrypt(b"text", &context())
        .unwrap();
    let opened = client(&reader, &scene.key.id)
        .decrypt(&message, &context())
        .unwrap();
    assert_eq!(opened.plaintext, b"text");
    match client(&writer, "alias/key").decrypt(&message, &context()) {
        Err(Error::Unwrap(failures)) => {
            let kinds: Vec<_> = failures
                .iter()
                .map(|failure| failure.causes[0].kind())
                .collect();
            assert_eq!(kinds, [ProviderErrorKind::AccessDenied]);
        }
        other => panic!("{other:?}"),
    }
    match client(&scene.plain("carol"), "alias/key").encrypt(b"text", &context()) {
        Err(Error::Provider(error)) => assert_eq!(error.kind(), ProviderErrorKind::AccessDenied),
        other => panic!("{other:?}"),
    }
}
