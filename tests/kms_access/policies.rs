//! Key policies: put, told, refused, kept.

use std::time::Duration;

use waxseal::blocking::wait;
use waxseal::kms::policy::MAX_POLICY_LENGTH;
use waxseal::kms::store::MemoryStore;
use waxseal::kms::{Caller, CreateKey, KmsError, Principal};

use crate::scene::{
    ACCOUNT, LONG, Scene, admin, assert_denied, builder, context, identity, policy_with, root,
    statement, user,
};

#[test]
fn put_told_and_listed() {
    let scene = Scene::new();
    let key = scene.key.id.as_str();
    let default = wait(scene.kms.get_key_policy(key)).unwrap();
    let parsed: serde_json::Value = serde_json::from_str(&default).unwrap();
    assert_eq!(
        parsed,
        serde_json::json!({
            "Version": "2012-10-17",
            "Id": "key-default-1",
            "Statement": [{
                "Sid": "Enable IAM User Permissions",
                "Effect": "Allow",
                "Principal": {"AWS": format!("arn:aws:iam::{ACCOUNT}:root")},
                "Action": "kms:*",
                "Resource": "*",
            }],
        })
    );
    assert_eq!(wait(scene.kms.list_key_policies(key)).unwrap(), ["default"]);
    // As it was given, with its spaces.
    let policy = format!(
        "  {}\n",
        policy_with(&statement("Allow", user("bob").arn(), "kms:*"))
    );
    wait(scene.kms.put_key_policy("alias/key", &policy)).unwrap();
    assert_eq!(wait(scene.kms.get_key_policy(key)).unwrap(), policy);
    assert_eq!(wait(scene.kms.list_key_policies(key)).unwrap(), ["default"]);
    assert_eq!(
        wait(scene.kms.get_key_policy(&scene.other.id)).unwrap(),
        default
    );
    // The default one again is as good as none.
    wait(scene.kms.put_key_policy(key, &default)).unwrap();
    assert_denied(scene.encrypt(&scene.plain("bob")), "no more named");
    scene.encrypt(&scene.acting(admin("alice"))).unwrap();
}

#[test]
fn what_is_no_policy_changes_nothing() {
    let scene = Scene::new();
    let before = wait(scene.kms.get_key_policy(&scene.key.id)).unwrap();
    let good = policy_with("");
    let too_long = good.replace("Root", &"x".repeat(MAX_POLICY_LENGTH));
    for wrong in [
        "",
        "{}",
        "[]",
        &good[1..],
        &good.replace("2012", "2013"),
        &good.replace("Effect", "Affect"),
        &good.replace("Allow", "Permit"),
        &good.replace("kms:*", "s3"),
        &good.replace(
            "\"Sid\": \"Root\"",
            "\"Condition\": {\"Unknown\": {\"a\": \"b\"}}",
        ),
        &good.replace("Principal", "principals"),
        &good.replace(&format!("{ACCOUNT}:root"), "root"),
        &too_long,
    ] {
        for unchecked in [false, true] {
            let put = match unchecked {
                false => wait(scene.kms.put_key_policy(&scene.key.id, wrong)),
                true => wait(scene.kms.put_key_policy_unchecked(&scene.key.id, wrong)),
            };
            let at = &wrong[..wrong.len().min(200)];
            match put {
                Err(error @ KmsError::MalformedPolicy { .. }) => {
                    assert_eq!(error.exception(), "MalformedPolicyDocumentException");
                }
                other => panic!("{at}: {other:?}"),
            }
        }
        let request = CreateKey::new().policy(wrong).bypass_lockout_check(true);
        let created = wait(scene.kms.create_key(request));
        assert!(matches!(created, Err(KmsError::MalformedPolicy { .. })));
    }
    assert_eq!(
        wait(scene.kms.get_key_policy(&scene.key.id)).unwrap(),
        before
    );
    assert_eq!(
        wait(scene.kms.list_keys(None, 100)).unwrap().keyrings.len(),
        4
    );
    // Of just the length that there may be.
    let room = MAX_POLICY_LENGTH - good.len();
    let longest = format!("{good}{}", " ".repeat(room));
    wait(scene.kms.put_key_policy(&scene.key.id, &longest)).unwrap();
    let longer = format!("{longest} ");
    wait(scene.kms.put_key_policy(&scene.key.id, &longer)).unwrap_err();
}

#[test]
fn a_policy_that_locks_its_author_out_is_refused() {
    let scene = Scene::new();
    let only = |who: &str, action: &str| {
        format!(
            r#"{{"Version": "2012-10-17", "Statement": [{}]}}"#,
            statement("Allow", who, action)
        )
    };
    let bob = user("bob");
    let alice = scene.acting(admin("alice"));
    let denied = policy_with(&statement("Deny", "*", "kms:PutKeyPolicy"));
    for (kms, policy) in [
        (&scene.kms, only(bob.arn(), "kms:*")),
        (&alice, only(bob.arn(), "kms:*")),
        (&alice, only(user("alice").arn(), "kms:Encrypt")),
        (&scene.kms, denied),
    ] {
        let put = wait(kms.put_key_policy(&scene.key.id, &policy));
        assert!(
            matches!(put, Err(KmsError::MalformedPolicy { .. })),
            "{put:?}"
        );
        let created = wait(kms.create_key(CreateKey::new().policy(&policy)));
        assert!(matches!(created, Err(KmsError::MalformedPolicy { .. })));
        let bypass = CreateKey::new().policy(&policy).bypass_lockout_check(true);
        wait(kms.create_key(bypass)).unwrap();
    }
    // One that keeps its author is taken, whoever else it leaves out.
    wait(alice.put_key_policy(&scene.key.id, &only(user("alice").arn(), "kms:*"))).unwrap();
    assert_denied(scene.encrypt(&scene.kms), "the root is not named");
    scene.encrypt(&scene.plain("alice")).unwrap();
    // And one that does not, when told so; then nobody changes it any more.
    wait(alice.put_key_policy_unchecked(&scene.key.id, &only(bob.arn(), "kms:Encrypt"))).unwrap();
    for kms in [&scene.kms, &alice, &scene.plain("bob")] {
        let put = wait(kms.put_key_policy(&scene.key.id, &policy_with("")));
        assert_denied(put, "nobody may");
    }
    scene.encrypt(&scene.plain("bob")).unwrap();
}

#[test]
fn a_policy_that_denies_the_root_denies_the_application() {
    let scene = Scene::new();
    scene.put_policy(&policy_with(&statement(
        "Deny",
        &format!("arn:aws:iam::{ACCOUNT}:root"),
        "kms:Encrypt",
    )));
    assert_denied(scene.encrypt(&scene.kms), "encrypt");
    assert_denied(
        wait(scene.kms.resolve(&scene.key.id)).and_then(|_| scene.encrypt(&scene.kms)),
        "again",
    );
    scene.decrypt(&scene.kms).unwrap();
    // The other keys are not concerned.
    wait(scene.kms.encrypt(&scene.other.id, b"", &context())).unwrap();
    // What the KMS does by itself is nobody's call.
    scene.put_policy(&policy_with(&statement("Deny", "*", "kms:RotateKey*")));
    scene.clock.advance(91 * crate::scene::DAY);
    let report = wait(scene.kms.run_due()).unwrap();
    assert_eq!(report.rotated, [(scene.key.arn.clone(), 2)]);
}

#[test]
fn a_new_key_has_its_policy_at_once() {
    let scene = Scene::new();
    let named = policy_with(&statement("Allow", user("bob").arn(), "kms:Encrypt"));
    let request = CreateKey::new().alias("alias/own").policy(&named);
    let key = wait(scene.acting(admin("alice")).create_key(request)).unwrap();
    assert_eq!(wait(scene.kms.get_key_policy(&key.id)).unwrap(), named);
    let bob = scene.plain("bob");
    wait(bob.encrypt("alias/own", b"", &context())).unwrap();
    assert_denied(wait(bob.describe_key("alias/own")), "not named for that");
    // Leave to make a key is none to give it tags or a name.
    let creator =
        Caller::new(user("carol")).identity_policy(identity("Allow", "kms:CreateKey", "*"));
    let creator = scene.acting(creator);
    wait(creator.create_key(CreateKey::new())).unwrap();
    assert_denied(
        wait(creator.create_key(CreateKey::new().tag("a", "b"))),
        "a tag",
    );
    let named = CreateKey::new().alias("alias/carols");
    assert_denied(wait(creator.create_key(named)), "an alias");
    // Conditions see what is asked of the key.
    let statements = r#"{"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "kms:*", "Resource": "*"},
        {"Effect": "Deny", "Action": "kms:CreateKey", "Resource": "*",
         "Condition": {"Bool": {"kms:BypassPolicyLockoutSafetyCheck": "true"}}},
        {"Effect": "Deny", "Action": "kms:CreateKey", "Resource": "*",
         "Condition": {"StringEquals": {"kms:KeyOrigin": "EXTERNAL"}}}]}"#;
    let policy = waxseal::kms::policy::IdentityPolicy::parse(statements).unwrap();
    let careful = scene.acting(Caller::new(user("dave")).identity_policy(policy));
    wait(careful.create_key(CreateKey::new())).unwrap();
    assert_denied(
        wait(careful.create_key(CreateKey::new().external())),
        "origin",
    );
    let bypass = CreateKey::new().bypass_lockout_check(true);
    assert_denied(wait(careful.create_key(bypass)), "bypass");
}

#[test]
fn a_policy_stays_with_its_key() {
    let scene = Scene::new();
    let named = policy_with(&statement("Allow", user("bob").arn(), "kms:Encrypt"));
    scene.put_policy(&named);
    wait(scene.kms.rotate(&scene.key.id)).unwrap();
    wait(scene.kms.update_description(&scene.key.id, "other")).unwrap();
    wait(scene.kms.rotate_store_key()).unwrap();
    scene.clock.advance(91 * crate::scene::DAY);
    wait(scene.kms.run_due()).unwrap();

    let reopened = scene.reopen();
    let backup = wait(scene.kms.export(&root())).unwrap();
    let elsewhere = wait(builder(&MemoryStore::new(), &scene.clock).open()).unwrap();
    wait(elsewhere.import(&backup, &root())).unwrap();
    for kms in [&scene.kms, &reopened, &elsewhere] {
        assert_eq!(wait(kms.get_key_policy(&scene.key.id)).unwrap(), named);
        let bob = kms.acting_as(Caller::new(user("bob")));
        scene.encrypt(&bob).unwrap();
        assert_denied(scene.decrypt(&bob), "not named for that");
    }
}

#[test]
fn another_process_sees_a_new_policy_in_time() {
    let scene = Scene::new();
    let staleness = Duration::from_secs(5);
    let far = builder(&scene.store, &scene.clock).max_staleness(staleness);
    let far = wait(far.open()).unwrap();
    let never = builder(&scene.store, &scene.clock).max_staleness(LONG);
    let never = wait(never.open()).unwrap();
    let bob = Caller::new(user("bob"));
    let (far_bob, never_bob) = (far.acting_as(bob.clone()), never.acting_as(bob.clone()));
    assert_denied(scene.encrypt(&far_bob), "before");
    assert_denied(scene.encrypt(&never_bob), "before");
    let named = statement("Allow", user("bob").arn(), "kms:*");
    scene.put_policy(&policy_with(&named));
    scene.encrypt(&scene.acting(bob)).unwrap();
    scene.clock.advance(staleness);
    scene.encrypt(&far_bob).unwrap();
    assert_denied(scene.encrypt(&never_bob), "it has not looked");
    // And that it is forbidden again.
    scene.put_policy(&policy_with(""));
    scene.clock.advance(staleness);
    assert_denied(scene.encrypt(&far_bob), "after");
    // What changes a key always looks.
    assert_denied(wait(never_bob.disable_key(&scene.key.id)), "a change");
    scene.put_policy(&policy_with(&named));
    wait(never_bob.disable_key(&scene.key.id)).unwrap();
}

/// Conditions see what each call asks for.
#[test]
fn conditions_see_the_call() {
    let scene = Scene::new();
    let conditional = |action: &str, condition: &str| {
        let statement = format!(
            r#"{{"Effect": "Allow", "Principal": {{"AWS": "{}"}}, "Action": "{action}",
                "Resource": "*", "Condition": {condition}}}"#,
            user("bob")
        );
        scene.put_policy(&policy_with(&statement));
    };
    let bob = scene.plain("bob");
    let key = scene.key.id.as_str();

    conditional(
        "kms:Encrypt",
        r#"{"StringEquals": {"kms:EncryptionContext:tenant": "7"}}"#,
    );
    scene.encrypt(&bob).unwrap();
    let other = waxseal::EncryptionContext::from([("tenant", "8")]);
    assert_denied(wait(bob.encrypt(key, b"", &other)), "context");

    conditional(
        "kms:Encrypt",
        r#"{"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}"#,
    );
    assert_denied(scene.encrypt(&bob), "not by the service");
    let via = Caller::new(user("bob")).via_service("s3.us-east-1.amazonaws.com");
    scene.encrypt(&scene.acting(via)).unwrap();

    conditional(
        "kms:ScheduleKeyDeletion",
        r#"{"NumericGreaterThanEquals": {"kms:ScheduleKeyDeletionPendingWindowInDays": "14"}}"#,
    );
    assert_denied(wait(bob.schedule_deletion(key, Some(13))), "too soon");
    wait(bob.schedule_deletion(key, Some(14))).unwrap();
    wait(scene.kms.cancel_deletion(key)).unwrap();
    wait(scene.kms.enable_key(key)).unwrap();

    conditional(
        "kms:EnableKeyRotation",
        r#"{"NumericLessThan": {"kms:RotationPeriodInDays": "200"}}"#,
    );
    assert_denied(wait(bob.enable_rotation(key, None)), "a year");
    wait(bob.enable_rotation(key, Some(180))).unwrap();

    conditional(
        "kms:Encrypt",
        r#"{"StringEquals": {"kms:RequestAlias": "alias/key"}}"#,
    );
    assert_denied(scene.encrypt(&bob), "by id");
    wait(bob.encrypt("alias/key", b"", &context())).unwrap();
    wait(bob.encrypt(
        &scene.key.arn.replace(&format!("key/{key}"), "alias/key"),
        b"",
        &context(),
    ))
    .unwrap();

    conditional(
        "kms:Decrypt",
        r#"{"StringEquals": {"kms:RequestAlias": "alias/key"}}"#,
    );
    assert_denied(scene.decrypt(&bob), "not named");
    wait(bob.decrypt(&scene.blob, Some("alias/key"), &context())).unwrap();

    conditional(
        "kms:CreateGrant",
        r#"{"ForAllValues:StringEquals": {"kms:GrantOperations": ["Decrypt"]},
            "StringEquals": {"kms:GrantConstraintType": "EncryptionContextSubset",
                             "kms:GranteePrincipal": "arn:aws:iam::111122223333:user/bob",
                             "kms:RetiringPrincipal": "arn:aws:iam::111122223333:user/carol"}}"#,
    );
    wait(bob.create_grant(key, crate::calls::grant_request())).unwrap();
    let unbound =
        waxseal::kms::CreateGrant::new(user("bob"), [waxseal::kms::GrantOperation::Decrypt]);
    assert_denied(wait(bob.create_grant(key, unbound)), "no constraint");

    conditional(
        "kms:Encrypt",
        r#"{"DateLessThan": {"aws:CurrentTime": "2999-01-01T00:00:00Z"}}"#,
    );
    scene.encrypt(&bob).unwrap();
    scene
        .clock
        .advance(Duration::from_secs(1_000 * 366 * 24 * 3600));
    assert_denied(scene.encrypt(&bob), "too late");
}

/// The key's aliases are looked up when a policy asks for them, and only then.
#[test]
fn conditions_see_the_keys_aliases() {
    let scene = Scene::new();
    let key = scene.key.id.as_str();
    let by_alias = |effect: &str| {
        format!(
            r#"{{"Effect": "{effect}", "Principal": {{"AWS": "{}"}}, "Action": "kms:*",
                "Resource": "*", "Condition":
                {{"ForAnyValue:StringEquals": {{"kms:ResourceAliases": "alias/public"}}}}}}"#,
            user("bob")
        )
    };
    let bob = scene.plain("bob");
    scene.put_policy(&policy_with(&by_alias("Allow")));
    assert_denied(scene.encrypt(&bob), "no such alias");
    wait(scene.kms.create_alias("alias/public", key)).unwrap();
    scene.encrypt(&bob).unwrap();
    scene.decrypt(&bob).unwrap();
    wait(bob.describe_key(key)).unwrap();
    wait(bob.disable_key(key)).unwrap();
    wait(bob.enable_key(key)).unwrap();
    let context = context();
    let explained = bob.explain(waxseal::kms::Operation::Encrypt, key, &context);
    assert!(wait(explained).unwrap().is_allowed());
    // A denial is not overlooked.
    let all = statement("Allow", user("bob").arn(), "kms:*");
    scene.put_policy(&policy_with(&format!("{all}, {}", by_alias("Deny"))));
    assert_denied(scene.encrypt(&bob), "encrypt");
    assert_denied(wait(bob.disable_key(key)), "disable");
    assert_denied(wait(bob.describe_key(key)), "describe");
    wait(scene.kms.delete_alias("alias/public")).unwrap();
    scene.encrypt(&bob).unwrap();
    wait(bob.disable_key(key)).unwrap();
}

#[test]
fn conditions_see_whether_it_is_re_encrypted_under_the_same_key() {
    let scene = Scene::new();
    let policy = r#"{"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "kms:ReEncrypt*", "Resource": "*"},
        {"Effect": "Deny", "Action": "kms:ReEncrypt*", "Resource": "*",
         "Condition": {"Bool": {"kms:ReEncryptOnSameKey": "false"}}}]}"#;
    let policy = waxseal::kms::policy::IdentityPolicy::parse(policy).unwrap();
    let bob = scene.acting(Caller::new(user("bob")).identity_policy(policy));
    let re_encrypt = |destination: &str| {
        wait(bob.re_encrypt(&scene.blob, None, &context(), destination, &context()))
    };
    re_encrypt("alias/key").unwrap();
    re_encrypt(&scene.key.arn).unwrap();
    assert_denied(re_encrypt("alias/other"), "another key");
}

/// A name is moved by leave for the alias and for both keys.
#[test]
fn an_alias_takes_leave_for_the_alias_and_the_keys() {
    let scene = Scene::new();
    let alias = |name: &str| {
        scene
            .key
            .arn
            .replace(&format!("key/{}", scene.key.id), name)
    };
    let may = |action: &str, resources: &[&str]| {
        let caller = resources
            .iter()
            .fold(Caller::new(user("bob")), |caller, resource| {
                caller.identity_policy(identity("Allow", action, resource))
            });
        scene.acting(caller)
    };
    let (key, other) = (scene.key.arn.as_str(), scene.other.arn.as_str());
    let create =
        |resources: &[&str]| wait(may("kms:CreateAlias", resources).create_alias("alias/new", key));
    assert_denied(create(&[key]), "the alias");
    assert_denied(create(&[&alias("alias/new")]), "the key");
    create(&[key, &alias("alias/new")]).unwrap();
    let update = |resources: &[&str]| {
        wait(may("kms:UpdateAlias", resources).update_alias("alias/new", other))
    };
    assert_denied(update(&[key, other]), "the alias");
    assert_denied(update(&[key, &alias("alias/new")]), "the new key");
    assert_denied(update(&[other, &alias("alias/new")]), "the old key");
    assert_eq!(wait(scene.kms.resolve("alias/new")).unwrap(), key);
    update(&[key, other, &alias("alias/new")]).unwrap();
    let delete =
        |resources: &[&str]| wait(may("kms:DeleteAlias", resources).delete_alias("alias/new"));
    assert_denied(delete(&[other]), "the alias");
    assert_denied(delete(&[&alias("alias/new")]), "the key");
    assert_denied(delete(&[key, &alias("alias/new")]), "the key of before");
    delete(&[other, &alias("alias/new")]).unwrap();
}

/// The caller's own account and its root, as a caller.
#[test]
fn acting_as_the_root_is_the_root() {
    let scene = Scene::new();
    let root = scene.acting(Caller::new(Principal::root(ACCOUNT).unwrap()));
    scene.encrypt(&root).unwrap();
    wait(root.create_key(CreateKey::new())).unwrap();
    wait(root.put_key_policy(&scene.key.id, &policy_with(""))).unwrap();
    let denied = Caller::new(Principal::root(ACCOUNT).unwrap()).identity_policy(identity(
        "Deny",
        "kms:Encrypt",
        "*",
    ));
    assert_denied(scene.encrypt(&scene.acting(denied)), "its own policies");
}
