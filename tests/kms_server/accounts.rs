//! Several accounts: each has its own keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::server::{ALICE, OTHER, ROOT, Server};

const DENIED: &str = "AccessDeniedException";

#[test]
fn an_account_sees_its_own_keys() {
    let server = Server::start();
    let (ours, theirs) = (server.client(ROOT), server.client(OTHER));
    let key = ours.create_key();
    let of_key = format!(r#"{{"KeyId":"{key}"}}"#);
    ours.works("DescribeKey", &of_key);
    theirs
        .call("DescribeKey", &of_key)
        .is(400, "NotFoundException");
    assert_eq!(
        theirs.works("ListKeys", "{}")["Keys"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    let arn = format!("arn:aws:kms:us-east-1:{}:key/{key}", ROOT.account);
    let of_arn = format!(r#"{{"KeyId":"{arn}"}}"#);
    ours.works("DescribeKey", &of_arn);
    // Whether it exists is not told to others.
    theirs.call("DescribeKey", &of_arn).is(400, DENIED);
    let none = of_arn.replace(&key, "00000000-0000-4000-8000-000000000000");
    theirs.call("DescribeKey", &none).is(400, DENIED);
    let nobodys = of_arn.replace(ROOT.account, "999999999999");
    ours.call("DescribeKey", &nobodys).is(400, DENIED);
    // Management is for the account alone.
    for operation in ["DisableKey", "RotateKeyOnDemand", "ScheduleKeyDeletion"] {
        theirs.call(operation, &of_arn).is(400, DENIED);
    }
    let data_key = ours.works(
        "GenerateDataKey",
        &format!(r#"{{"KeyId":"{key}","KeySpec":"AES_256"}}"#),
    );
    let blob = data_key["CiphertextBlob"].as_str().unwrap();
    let decrypt = format!(r#"{{"CiphertextBlob":"{blob}"}}"#);
    ours.works("Decrypt", &decrypt);
    theirs.call("Decrypt", &decrypt).is(400, DENIED);
}

/// As in AWS, a user without policies of its own may do nothing with a key
/// whose policy is the default.
#[test]
fn a_user_without_policies() {
    let server = Server::start();
    let key = server.client(ROOT).create_key();
    let alice = server.client(ALICE);
    for (operation, body) in [
        ("DescribeKey", format!(r#"{{"KeyId":"{key}"}}"#)),
        (
            "Encrypt",
            format!(r#"{{"KeyId":"{key}","Plaintext":"YQ=="}}"#),
        ),
        ("CreateKey", "{}".to_owned()),
        ("ListKeys", "{}".to_owned()),
        ("GenerateRandom", r#"{"NumberOfBytes":1}"#.to_owned()),
    ] {
        alice.call(operation, &body).is(400, DENIED);
    }
}

#[test]
fn an_identity_policy_lets_a_user_in() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("alice.json");
    let policy = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":["kms:Encrypt","kms:ListKeys"],"Resource":"*"}]}"#;
    std::fs::write(&file, policy).unwrap();
    let given = format!("{}:alice={}", ALICE.account, file.display());
    let server = Server::with(["--identity-policy", &given]);
    let key = server.client(ROOT).create_key();
    let alice = server.client(ALICE);
    alice.works("ListKeys", "{}");
    alice.works(
        "Encrypt",
        &format!(r#"{{"KeyId":"{key}","Plaintext":"YQ=="}}"#),
    );
    alice
        .call("DescribeKey", &format!(r#"{{"KeyId":"{key}"}}"#))
        .is(400, DENIED);
}

/// A neighbour's requests do not count.
#[test]
fn each_account_has_its_own_quota() {
    let server = Server::with(["--quota", "2"]);
    let (ours, theirs) = (server.client(ROOT), server.client(OTHER));
    let random = r#"{"NumberOfBytes":1}"#;
    let throttled = (0..200).any(|_| ours.call("GenerateRandom", random).status == 400);
    assert!(throttled);
    let refused = (0..200).find_map(|_| {
        let answer = ours.call("GenerateRandom", random);
        (answer.status == 400).then_some(answer)
    });
    refused.unwrap().is(400, "ThrottlingException");
    theirs.works("GenerateRandom", random);
    // Nor does what is not cryptographic.
    ours.works("ListKeys", "{}");
}

/// What a stranger is told is the same whether or not there is such a key or
/// alias.
#[test]
fn a_stranger_finds_out_nothing() {
    let server = Server::start();
    let (ours, theirs) = (server.client(ROOT), server.client(OTHER));
    let key = ours.create_key();
    let alias = format!(r#"{{"AliasName":"alias/prod","TargetKeyId":"{key}"}}"#);
    ours.works("CreateAlias", &alias);
    let told = |operation: &str, body: &str| theirs.call(operation, body).body;
    for name in ["alias/prod", &format!("key/{key}")] {
        let arn = format!("arn:aws:kms:us-east-1:{}:{name}", ROOT.account);
        let body = |arn: &str| format!(r#"{{"KeyId":"{arn}","Plaintext":"YQ=="}}"#);
        let none = match name {
            "alias/prod" => arn.replace("prod", "none"),
            _ => arn.replace(&key, "00000000-0000-4000-8000-000000000000"),
        };
        assert_eq!(told("Encrypt", &body(&arn)), told("Encrypt", &body(&none)));
        assert_eq!(
            told("DescribeKey", &body(&arn)),
            told("DescribeKey", &body(&none))
        );
    }
    // A ciphertext and a token that somebody has made up.
    let made_up = |name: &str| {
        let length = u8::try_from(name.len()).unwrap();
        let blob = [&[1, length], name.as_bytes(), &[0; 100]].concat();
        let token = format!("{name}:{}", "0".repeat(64));
        (
            told(
                "Decrypt",
                &format!(r#"{{"CiphertextBlob":"{}"}}"#, BASE64.encode(blob)),
            ),
            told(
                "RetireGrant",
                &format!(r#"{{"GrantToken":"{}"}}"#, BASE64.encode(token)),
            ),
        )
    };
    assert_eq!(made_up("alias/prod"), made_up("alias/none"));
}

#[test]
fn who_may_not_rotate_is_not_told_how_often_it_was() {
    let server = Server::start();
    let key = server.client(ROOT).create_key();
    let of_key = format!(r#"{{"KeyId":"{key}"}}"#);
    for _ in 0..25 {
        server.client(ROOT).works("RotateKeyOnDemand", &of_key);
    }
    let again = server.client(ROOT).call("RotateKeyOnDemand", &of_key);
    again.is(400, "LimitExceededException");
    let alice = server.client(ALICE).call("RotateKeyOnDemand", &of_key);
    alice.is(400, DENIED);
}
