//! What a hostile reader has found.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use waxseal::blocking::wait;
use waxseal::kms::policy::IdentityPolicy;
use waxseal::kms::{Caller, CreateKey, KmsError, LocalKms, Principal};
use waxseal::{EncryptionContext, KeyProvider as _};

const ACCOUNT: &str = "000000000000";

fn alice(statements: &str) -> Caller {
    let policy = format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#);
    Caller::new(Principal::user(ACCOUNT, "alice").unwrap())
        .identity_policy(IdentityPolicy::parse(&policy).unwrap())
}

fn is_denied<T>(result: Result<T, KmsError>) -> bool {
    matches!(result, Err(KmsError::AccessDenied { .. }))
}

#[test]
fn a_trial_of_a_re_encryption_asks_for_both_keys() {
    let kms = LocalKms::in_memory().unwrap();
    let from = wait(kms.create_key(CreateKey::new())).unwrap();
    let to = wait(kms.create_key(CreateKey::new())).unwrap();
    let context = EncryptionContext::new();
    let sealed = wait(kms.encrypt(&from.id, b"a", &context)).unwrap();
    let allowed = format!(
        r#"{{"Effect": "Allow", "Action": "kms:*", "Resource": "{}"}}"#,
        from.arn
    );
    let alice = kms.acting_as(alice(&allowed).dry_run(true));
    let trial = |key: &str| wait(alice.re_encrypt(&sealed.blob, None, &context, key, &context));
    assert!(matches!(trial(&from.id), Err(KmsError::DryRun)));
    assert!(is_denied(trial(&to.id)));
    let missing = trial("alias/missing");
    assert!(matches!(missing, Err(KmsError::NotFound { .. })));
}

#[test]
fn a_new_key_has_no_more_than_its_author_may_give() {
    let kms = LocalKms::in_memory().unwrap();
    let creator = |more: &str| {
        let statements = format!(
            r#"{{"Effect": "Allow", "Action": "kms:CreateKey", "Resource": "*"}},
               {{"Effect": "Allow", "Action": "kms:CreateAlias", "Resource": "arn:*:kms:*:*:alias/*"}}
               {more}"#
        );
        kms.acting_as(alice(&statements))
    };
    let of_keys = |action: &str, condition: &str| {
        format!(
            r#", {{"Effect": "Allow", "Action": "kms:{action}", "Resource": "arn:*:kms:*:*:key/*"
                {condition}}}"#
        )
    };
    let (rotated, named) = (
        || CreateKey::new().rotate_every(90),
        || CreateKey::new().alias("alias/a"),
    );
    wait(creator("").create_key(CreateKey::new())).unwrap();
    assert!(is_denied(wait(creator("").create_key(rotated()))));
    assert!(is_denied(wait(creator("").create_key(named()))));
    let longer = r#", "Condition": {"NumericGreaterThan": {"kms:RotationPeriodInDays": 90}}"#;
    let longer = creator(&of_keys("EnableKeyRotation", longer));
    assert!(is_denied(wait(longer.create_key(rotated()))));
    wait(longer.create_key(CreateKey::new().rotate_every(91))).unwrap();
    let namer = creator(&of_keys("CreateAlias", ""));
    wait(namer.create_key(named())).unwrap();
}

#[test]
fn nobody_manages_another_accounts_key() {
    let kms = LocalKms::in_memory().unwrap();
    let key = wait(kms.create_key(CreateKey::new())).unwrap();
    wait(kms.put_key_policy(
        &key.id,
        r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS":
            ["000000000000", "444455556666"]}, "Action": "kms:*", "Resource": "*"}]}"#,
    ))
    .unwrap();
    let other = Principal::root("444455556666").unwrap();
    let other = kms.acting_as(Caller::new(other));
    wait(other.encrypt(&key.id, b"a", &EncryptionContext::new())).unwrap();
    wait(other.describe_key(&key.id)).unwrap();
    wait(other.list_grants(&key.id)).unwrap();
    assert!(is_denied(wait(other.disable_key(&key.id))));
    assert!(is_denied(wait(other.tag(&key.id, &BTreeMap::new()))));
    assert!(is_denied(wait(other.schedule_deletion(&key.id, None))));
    assert!(is_denied(wait(other.get_key_policy(&key.id))));
    let policy = wait(kms.get_key_policy(&key.id)).unwrap();
    assert!(is_denied(wait(other.put_key_policy(&key.id, &policy))));
}

/// A condition can tell them apart: `"Null": {"kms:ViaService": true}`.
#[test]
fn a_service_without_a_name_is_another_caller() {
    let kms = LocalKms::in_memory().unwrap();
    let user = Principal::user(ACCOUNT, "alice").unwrap();
    let caller = Caller::new(user);
    let one = kms.acting_as(caller.clone()).provider("alias/a");
    let other = kms.acting_as(caller.via_service("")).provider("alias/a");
    assert_ne!(one.identity().as_bytes(), other.identity().as_bytes());
}

/// Without a bound, the last of these takes minutes, and gigabytes.
#[test]
fn a_policy_that_takes_too_long_lets_nobody_in() {
    let kms = LocalKms::in_memory().unwrap();
    let key = wait(kms.create_key(CreateKey::new())).unwrap();
    let put = |patterns: &[&str]| {
        let policy = format!(
            r#"{{"Version": "2012-10-17", "Statement": [
                {{"Effect": "Allow", "Principal": {{"AWS": "{ACCOUNT}"}}, "Action": "kms:*",
                  "Resource": "*"}},
                {{"Effect": "Deny", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*",
                  "Condition": {{"StringLike": {{"kms:EncryptionContext:a": {patterns:?}}}}}}}]}}"#
        );
        wait(kms.put_key_policy(&key.id, &policy)).unwrap();
    };
    let context = |length: usize| {
        let mut context = EncryptionContext::new();
        context.insert("a", "a".repeat(length));
        context.insert("b", "a".repeat(length / 2) + "b");
        context
    };
    let one = "*${kms:EncryptionContext:b}";
    put(&[one]);
    wait(kms.encrypt(&key.id, b"a", &context(1000))).unwrap();
    let begun = Instant::now();
    assert!(is_denied(wait(kms.encrypt(
        &key.id,
        b"a",
        &context(40_000)
    ))));
    put(&[one; 900]);
    assert!(is_denied(wait(kms.encrypt(
        &key.id,
        b"a",
        &context(40_000)
    ))));
    put(&["${kms:EncryptionContext:a}".repeat(1000).as_str()]);
    assert!(is_denied(wait(kms.encrypt(
        &key.id,
        b"a",
        &context(40_000)
    ))));
    let literal = format!("*{}b", "a".repeat(30_000));
    put(&[literal.as_str()]);
    assert!(is_denied(wait(kms.encrypt(
        &key.id,
        b"a",
        &context(40_000)
    ))));
    // It can be mended: what is compared is the caller's own.
    wait(kms.decrypt(
        &wait(kms.encrypt(&key.id, b"a", &context(10))).unwrap().blob,
        None,
        &context(10),
    ))
    .unwrap();
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn what_is_refused_at_once_is_counted_too() {
    let key = waxseal::SecretBytes::from(vec![7; 32]);
    let store = waxseal::kms::store::MemoryStore::new();
    let kms = LocalKms::builder(store, waxseal::kms::RootKey::bytes(key))
        .quotas(waxseal::kms::Quotas::none().cryptographic(1));
    let kms = wait(kms.open()).unwrap();
    let key = wait(kms.create_key(CreateKey::new())).unwrap();
    let context = EncryptionContext::new();
    let refused = [
        wait(kms.decrypt(b"", None, &context)).map(drop),
        wait(kms.decrypt(b"", None, &context)).map(drop),
        wait(kms.encrypt(&key.id, &[0; 5000], &context)).map(drop),
    ];
    assert!(matches!(refused[0], Err(KmsError::InvalidCiphertext)));
    for refused in &refused[1..] {
        assert!(matches!(refused, Err(KmsError::Throttled { .. })));
    }
}
