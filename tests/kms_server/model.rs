//! What a request may hold, by AWS's model: the example's own decoding.

#[allow(dead_code, unused_imports)] // reason: the server uses the rest
#[path = "../../examples/kms_server/protocol/mod.rs"]
mod protocol;

use protocol::{Operation, Request};

fn fault(operation: Operation, body: &str) -> String {
    let error = Request::decode(operation, body.as_bytes()).unwrap_err();
    let message = error.message.unwrap_or_default();
    format!("{}: {message}", error.code)
}

#[track_caller]
fn refused(operation: Operation, body: &str, code: &str, said: &str) {
    let fault = fault(operation, body);
    assert!(fault.starts_with(code), "{body}: {fault}");
    assert!(fault.contains(said), "{body}: {fault}");
}

const VALIDATION: &str = "ValidationException: ";
const SERIALIZATION: &str = "SerializationException: ";

#[test]
fn values_out_of_bounds() {
    use Operation::*;

    let long = "x".repeat(4097 * 4 / 3 + 4);
    let tokens = serde_json::json!({"KeyId": "k", "GrantTokens": vec!["t"; 11]}).to_string();
    let long_key = format!(r#"{{"KeyId":"{}"}}"#, "k".repeat(2049));
    for (operation, body, said) in [
        (
            DescribeKey,
            "{}",
            "Value null at 'keyId' failed to satisfy constraint: Member must not be null",
        ),
        (DescribeKey, r#"{"KeyId":null}"#, "must not be null"),
        (DescribeKey, r#"{"KeyId":""}"#, "Value '' at 'keyId'"),
        (DescribeKey, &long_key, "length less than or equal to 2048"),
        (DescribeKey, &tokens, "at 'grantTokens'"),
        (
            ListKeys,
            r#"{"Limit":0}"#,
            "Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1",
        ),
        (ListKeys, r#"{"Limit":1001}"#, "less than or equal to 1000"),
        (ListAliases, r#"{"Limit":101}"#, "less than or equal to 100"),
        (
            ListResourceTags,
            r#"{"KeyId":"k","Limit":51}"#,
            "less than or equal to 50",
        ),
        (ListKeys, r#"{"Limit":18446744073709551615}"#, "'limit'"),
        (ListKeys, r#"{"Marker":"\u0001"}"#, "regular expression"),
        (
            GenerateDataKey,
            r#"{"KeyId":"k","KeySpec":"AES_512"}"#,
            "enum value set: [AES_256, AES_128]",
        ),
        (
            Encrypt,
            &format!(
                r#"{{"KeyId":"k","Plaintext":"{}"}}"#,
                &long[..long.len() / 4 * 4]
            ),
            "Value at 'plaintext'",
        ),
        (
            TagResource,
            r#"{"KeyId":"k","Tags":[{"TagKey":"","TagValue":"v"}]}"#,
            "at 'tags.1.member.tagKey'",
        ),
        (
            TagResource,
            r#"{"KeyId":"k","Tags":[{}]}"#,
            "2 validation errors detected",
        ),
        (
            CreateAlias,
            r#"{"AliasName":"alias/a b","TargetKeyId":"k"}"#,
            "^[a-zA-Z0-9:/_-]+$",
        ),
        (
            DeleteImportedKeyMaterial,
            r#"{"KeyId":"k","KeyMaterialId":"00"}"#,
            "greater than or equal to 64",
        ),
        (
            ScheduleKeyDeletion,
            r#"{"KeyId":"k","PendingWindowInDays":366}"#,
            "365",
        ),
        (
            EnableKeyRotation,
            r#"{"KeyId":"k","RotationPeriodInDays":89}"#,
            "90",
        ),
    ] {
        refused(operation, body, VALIDATION, said);
    }
}

#[test]
fn values_of_another_type() {
    use Operation::*;

    for (operation, body) in [
        (DescribeKey, r#"{"KeyId":5}"#),
        (DescribeKey, r#"{"KeyId":"k","GrantTokens":"t"}"#),
        (DescribeKey, r#"{"KeyId":"k","GrantTokens":[5]}"#),
        (DescribeKey, r#"{"KeyId":"k","GrantTokens":[null]}"#),
        (ListKeys, r#"{"Limit":"5"}"#),
        (ListKeys, r#"{"Limit":1.5}"#),
        (ListKeys, r#"{"Limit":99999999999999999999}"#),
        (Encrypt, r#"{"KeyId":"k","Plaintext":"a"}"#),
        (
            Encrypt,
            r#"{"KeyId":"k","Plaintext":"YQ=="  ,"DryRun":"true"}"#,
        ),
        (
            Encrypt,
            r#"{"KeyId":"k","Plaintext":"YQ==","EncryptionContext":{"a":1}}"#,
        ),
        (
            Encrypt,
            r#"{"KeyId":"k","Plaintext":"YQ==","EncryptionContext":[]}"#,
        ),
        (
            ImportKeyMaterial,
            r#"{"KeyId":"k","ImportToken":"YQ==","EncryptedKeyMaterial":"YQ==","ValidTo":"x"}"#,
        ),
        (TagResource, r#"{"KeyId":"k","Tags":["x"]}"#),
        (ListKeys, "[]"),
        (ListKeys, "5"),
        (ListKeys, "{"),
    ] {
        refused(operation, body, SERIALIZATION, "");
    }
}

/// As AWS does.
#[test]
fn unknown_members_are_passed_over() {
    let body = br#"{"KeyId":"k","NoSuchMember":[1,{"a":null}]}"#;
    let request = Request::decode(Operation::DescribeKey, body).unwrap();
    assert_eq!(request.fields.text("KeyId"), Some("k"));
    assert!(!request.fields.has("NoSuchMember"));
}

/// An answer to a list of faults is not longer than what it answers.
#[test]
fn faults_are_told_in_short() {
    let body = format!(
        r#"{{"KeyId":"k","TagKeys":[{}""]}}"#,
        r#""","#.repeat(200_000)
    );
    let fault = fault(Operation::UntagResource, &body);
    assert!(
        fault.starts_with("ValidationException: 200001 validation errors"),
        "{:.100}",
        fault
    );
    assert!(fault.len() < 10_000, "{}", fault.len());
    let secret = "s3cr3t".repeat(1000);
    let body = serde_json::json!({"KeyId": "k", "Plaintext": secret, "EncryptionContext": 1});
    let told = self::fault(Operation::Encrypt, &body.to_string());
    assert!(!told.contains("s3cr3t"), "{told}");
}
