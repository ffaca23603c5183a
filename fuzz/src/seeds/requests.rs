//! Requests to the example `kms_server`: one of each shape.

/// An operation, a newline, a body.
pub(super) fn all() -> Vec<Vec<u8>> {
    let key = r#""KeyId":"01234567-89ab-4def-8123-456789abcdef""#;
    let blob = r#""YWJj""#;
    [
        ("CreateKey", r#"{"Description":"d","KeySpec":"SYMMETRIC_DEFAULT","Origin":"EXTERNAL","Tags":[{"TagKey":"k","TagValue":"v"}],"MultiRegion":false,"Policy":"{}"}"#.to_owned()),
        ("DescribeKey", format!(r#"{{{key},"GrantTokens":["t"]}}"#)),
        ("Encrypt", format!(r#"{{{key},"Plaintext":{blob},"EncryptionContext":{{"a":"b"}},"DryRun":true}}"#)),
        ("Decrypt", format!(r#"{{"CiphertextBlob":{blob},"Recipient":{{"AttestationDocument":{blob}}}}}"#)),
        ("GenerateDataKey", format!(r#"{{{key},"KeySpec":"AES_256","NumberOfBytes":32}}"#)),
        ("ListKeys", r#"{"Limit":10,"Marker":"m"}"#.to_owned()),
        ("ImportKeyMaterial", format!(r#"{{{key},"ImportToken":{blob},"EncryptedKeyMaterial":{blob},"ValidTo":1.5e9}}"#)),
        ("CreateGrant", format!(r#"{{{key},"GranteePrincipal":"arn:aws:iam::111122223333:user/a","Operations":["Decrypt"],"Constraints":{{"EncryptionContextSubset":{{"a":"b"}}}}}}"#)),
        ("UntagResource", format!(r#"{{{key},"TagKeys":["a","b"]}}"#)),
        ("ScheduleKeyDeletion", format!(r#"{{{key},"PendingWindowInDays":7}}"#)),
        ("DescribeKey", "[null".to_owned()),
        ("Sign", "{}".to_owned()),
    ]
    .map(|(operation, body)| format!("TrentService.{operation}\n{body}").into_bytes())
    .into()
}
