//! The account and the Region that a KMS stands for.

use waxseal::blocking::wait;
use waxseal::kms::store::MemoryStore;
use waxseal::kms::{Caller, CreateGrant, CreateKey, GrantOperation, KmsError, LocalKms, Principal};
use waxseal::test_util::ManualClock;
use waxseal::{EncryptionContext, inspect};

use crate::calls::client;
use crate::scene::{ACCOUNT, OTHER_ACCOUNT, assert_denied, context, identity, root};

fn open(store: &MemoryStore, names: Option<(&str, &str)>) -> LocalKms {
    let mut builder = LocalKms::builder(store.clone(), root()).clock(ManualClock::default());
    if let Some((account, region)) = names {
        builder = builder.account(account).region(region);
    }
    wait(builder.open()).unwrap()
}

#[test]
fn arns_have_the_account_and_the_region() {
    for (names, prefix, account, region) in [
        (
            None,
            "arn:waxseal:kms:local:000000000000:",
            "000000000000",
            "local",
        ),
        (
            Some((ACCOUNT, "eu-central-1")),
            "arn:aws:kms:eu-central-1:111122223333:",
            ACCOUNT,
            "eu-central-1",
        ),
    ] {
        let kms = open(&MemoryStore::new(), names);
        assert_eq!((kms.account(), kms.region()), (account, region));
        let key = wait(kms.create_key(CreateKey::new().alias("alias/key"))).unwrap();
        assert_eq!(key.arn, format!("{prefix}key/{}", key.id));
        for named in [
            key.id.clone(),
            key.arn.clone(),
            "alias/key".to_owned(),
            format!("{prefix}alias/key"),
        ] {
            assert_eq!(wait(kms.resolve(&named)).unwrap(), key.arn, "{named}");
        }
        assert_eq!(
            wait(kms.list_aliases(None)).unwrap().aliases[0].key_arn,
            key.arn
        );
        let message = client(&kms, "alias/key").encrypt(b"", &context()).unwrap();
        let header = inspect(&message).unwrap();
        assert_eq!(
            header.encrypted_data_keys()[0].key_info(),
            key.arn.as_bytes()
        );
        let policy: serde_json::Value =
            serde_json::from_str(&wait(kms.get_key_policy(&key.id)).unwrap()).unwrap();
        assert_eq!(
            policy["Statement"][0]["Principal"]["AWS"],
            format!("arn:aws:iam::{account}:root")
        );
    }
    let only = |builder: waxseal::kms::LocalKmsBuilder| wait(builder.open()).unwrap();
    let builder = || LocalKms::builder(MemoryStore::new(), root());
    let account = only(builder().account(ACCOUNT));
    assert_eq!(
        (account.account(), account.region()),
        (ACCOUNT, "us-east-1")
    );
    let region = only(builder().region("eu-west-1"));
    assert_eq!(
        (region.account(), region.region()),
        ("000000000000", "eu-west-1")
    );
}

#[test]
fn what_is_no_account_and_no_region() {
    for wrong in ["", "1111", "11112222333a", "1111222233334"] {
        let builder = LocalKms::builder(MemoryStore::new(), root()).account(wrong);
        let refused = wait(builder.open());
        assert!(
            matches!(refused, Err(KmsError::InvalidArgument { .. })),
            "{wrong}"
        );
    }
    for wrong in ["", "EU-WEST-1", "eu west", "a:b", &"x".repeat(33)] {
        let builder = LocalKms::builder(MemoryStore::new(), root()).region(wrong);
        let refused = wait(builder.open());
        assert!(
            matches!(refused, Err(KmsError::InvalidArgument { .. })),
            "{wrong}"
        );
    }
}

#[test]
fn foreign_arns_are_not_found() {
    let kms = open(&MemoryStore::new(), Some((ACCOUNT, "us-east-1")));
    let key = wait(kms.create_key(CreateKey::new().alias("alias/key"))).unwrap();
    for (from, to) in [
        ("us-east-1", "us-east-2"),
        (ACCOUNT, OTHER_ACCOUNT),
        ("arn:aws:", "arn:aws-cn:"),
        (":kms:", ":iam:"),
        (":key/", ":alias/"),
        (":key/", ":key/x"),
    ] {
        let foreign = key.arn.replace(from, to);
        for refused in [
            wait(kms.encrypt(&foreign, b"", &context())).map(drop),
            wait(kms.describe_key(&foreign)).map(drop),
            wait(kms.disable_key(&foreign)),
            wait(kms.get_key_policy(&foreign)).map(drop),
        ] {
            assert!(
                matches!(refused, Err(KmsError::NotFound { .. })),
                "{foreign}: {refused:?}"
            );
        }
        client(&kms, &foreign).encrypt(b"", &context()).unwrap_err();
    }
}

/// A store belongs to whoever opens it: with an account, without, with another.
#[test]
fn a_store_that_was_opened_without_an_account() {
    let store = MemoryStore::new();
    let names = [
        None,
        Some((ACCOUNT, "us-east-1")),
        Some((OTHER_ACCOUNT, "eu-west-1")),
        None,
    ];
    let mut made: Vec<(String, String, Vec<u8>, Vec<u8>)> = Vec::new();
    let kms = open(&store, None);
    let key = wait(kms.create_key(CreateKey::new().alias("alias/key"))).unwrap();
    for names in names {
        let kms = open(&store, names);
        let described = wait(kms.describe_key("alias/key")).unwrap();
        assert_eq!(described.id, key.id);
        let blob = wait(kms.encrypt(&described.arn, b"text", &context()))
            .unwrap()
            .blob;
        let message = client(&kms, &described.arn)
            .encrypt(b"text", &context())
            .unwrap();
        made.push((described.arn.clone(), described.id.clone(), blob, message));
        for (arn, id, blob, message) in &made {
            let opened = wait(kms.decrypt(blob, None, &context())).unwrap();
            assert_eq!(opened.plaintext.expose(), b"text");
            assert_eq!(opened.key_arn, described.arn);
            wait(kms.decrypt(blob, Some(id), &context())).unwrap();
            // A message names its key by the ARN of then: one from before there
            // was an account is known, one of another account is not.
            let is_known = arn == &described.arn || arn.starts_with("arn:waxseal:");
            let opened = client(&kms, "alias/key").decrypt(message, &context());
            assert_eq!(
                opened.is_ok(),
                is_known,
                "{arn} by {}: {opened:?}",
                described.arn
            );
            if let Ok(opened) = opened {
                assert_eq!(opened.details.key, described.arn);
            }
        }
        // The default policy is that of the account of now.
        let alice = Principal::user(kms.account(), "alice").unwrap();
        let policy = identity("Allow", "kms:Encrypt", &described.arn);
        let alice = kms.acting_as(Caller::new(alice).identity_policy(policy));
        wait(alice.encrypt("alias/key", b"", &context())).unwrap();
        assert_denied(wait(alice.describe_key("alias/key")), "not named");
    }
}

/// Policies and grants name principals by their ARNs, and go on to do so.
#[test]
fn policies_and_grants_name_who_they_name() {
    let store = MemoryStore::new();
    let (first, second) = (
        open(&store, Some((ACCOUNT, "us-east-1"))),
        open(&store, Some((OTHER_ACCOUNT, "us-east-1"))),
    );
    let key = wait(first.create_key(CreateKey::new())).unwrap().id;
    wait(first.put_key_policy(&key, &crate::scene::policy_with(""))).unwrap();
    let bob = Principal::user(OTHER_ACCOUNT, "bob").unwrap();
    let grant = CreateGrant::new(bob.clone(), [GrantOperation::Encrypt]);
    wait(first.create_grant(&key, grant)).unwrap();
    let context = EncryptionContext::new();
    // In the other account, the key's policy names a foreign root alone, and the
    // application is the root of another.
    let second = open(&store, Some((second.account(), second.region())));
    assert_denied(wait(second.encrypt(&key, b"", &context)), "not its root");
    let bob = second.acting_as(Caller::new(bob));
    wait(bob.encrypt(&key, b"", &context)).unwrap();
    let first = open(&store, Some((ACCOUNT, "us-east-1")));
    wait(first.encrypt(&key, b"", &context)).unwrap();
}
