use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::context::EncryptionContext;
use crate::kms::audit::AuditId;

const KEY: &str = "arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

fn event() -> AuditEvent<'static> {
    // 2025-05-20T20:46:16Z.
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_747_773_976);
    AuditEvent::new("Encrypt", time, AuditId::from_bytes([0x91; 16]))
        .with_account("111122223333")
        .with_region("us-west-2")
}

fn parsed(event: &AuditEvent<'_>) -> Value {
    let json = event.to_json();
    assert!(json.len() <= MAX_RECORD, "{} bytes", json.len());
    assert!(!json.contains(char::is_control));
    serde_json::from_str(&json).unwrap()
}

/// AWS KMS Developer Guide, "Encrypt" and "Decrypt" of the log entries, with
/// the ids that a principal has here.
#[test]
fn a_call_as_in_cloudtrail() {
    let alice = Principal::user("111122223333", "Alice").unwrap();
    let context = EncryptionContext::from([("Department", "Engineering")]);
    let parameters = [
        ("encryptionContext", Parameter::Context(&context)),
        ("keyId", Parameter::Text(KEY)),
        ("encryptionAlgorithm", Parameter::Text("SYMMETRIC_DEFAULT")),
    ];
    let material = "123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0";
    let mut event = event()
        .with_principal(&alice)
        .with_source_ip("192.0.2.0")
        .with_user_agent("aws-cli/2")
        .with_request_id(AuditId::from_bytes([0xf3; 16]))
        .with_parameters(&parameters)
        .with_resources(&[KEY]);
    event.key_material_id = Some(material);
    let expected = json!({
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "IAMUser",
            "principalId": "arn:aws:iam::111122223333:user/Alice",
            "arn": "arn:aws:iam::111122223333:user/Alice",
            "accountId": "111122223333",
            "userName": "Alice",
        },
        "eventTime": "2025-05-20T20:46:16Z",
        "eventSource": "kms.amazonaws.com",
        "eventName": "Encrypt",
        "awsRegion": "us-west-2",
        "sourceIPAddress": "192.0.2.0",
        "userAgent": "aws-cli/2",
        "requestParameters": {
            "encryptionContext": {"Department": "Engineering"},
            "keyId": KEY,
            "encryptionAlgorithm": "SYMMETRIC_DEFAULT",
        },
        "responseElements": null,
        "additionalEventData": {"keyMaterialId": material},
        "requestID": "f3f3f3f3-f3f3-f3f3-f3f3-f3f3f3f3f3f3",
        "eventID": "91919191-9191-9191-9191-919191919191",
        "readOnly": true,
        "resources": [{"accountId": "111122223333", "type": "AWS::KMS::Key", "ARN": KEY}],
        "eventType": "AwsApiCall",
        "managementEvent": true,
        "recipientAccountId": "111122223333",
        "eventCategory": "Management",
    });
    assert_eq!(parsed(&event), expected);

    let refused = event.with_error("AccessDeniedException", &"not authorized");
    let value = parsed(&refused);
    assert_eq!(value["errorCode"], "AccessDeniedException");
    assert_eq!(value["errorMessage"], "not authorized");
}

/// The same guide, "RotateKey".
#[test]
fn what_the_kms_does_itself() {
    let details = [
        ("rotationType", Parameter::Text("AUTOMATIC")),
        (
            "keyId",
            Parameter::Text("1234abcd-12ab-34cd-56ef-1234567890ab"),
        ),
    ];
    let mut event = event().with_resources(&[KEY]).with_read_only(false);
    event.kind = AuditEventKind::ServiceEvent;
    event.details = &details;
    let value = parsed(&event);
    assert_eq!(
        value["userIdentity"],
        json!({"type": "AWSService", "accountId": "111122223333", "invokedBy": "AWS Internal"})
    );
    assert_eq!(
        value["serviceEventDetails"],
        json!({"rotationType": "AUTOMATIC", "keyId": "1234abcd-12ab-34cd-56ef-1234567890ab"})
    );
    assert_eq!(value["eventType"], "AwsServiceEvent");
    assert_eq!(value["sourceIPAddress"], "AWS Internal");
    assert_eq!(value["userAgent"], "AWS Internal");
    assert_eq!(value["requestParameters"], Value::Null);
    assert_eq!(value["readOnly"], false);
    for absent in [
        "requestID",
        "errorCode",
        "errorMessage",
        "additionalEventData",
    ] {
        assert!(value.get(absent).is_none(), "{absent}");
    }
}

#[test]
fn each_kind_of_principal_parameter_and_resource() {
    let root = Principal::root("111122223333").unwrap();
    let role = Principal::role("444455556666", "team/deploy").unwrap();
    let pairs = EncryptionContext::from([("a", "1")]);
    let constraints = [("encryptionContextSubset", Parameter::Context(&pairs))];
    let parameters = [
        ("numberOfBytes", Parameter::Number(u64::MAX)),
        ("enabled", Parameter::Bool(false)),
        ("validTo", Parameter::Time(SystemTime::UNIX_EPOCH)),
        ("operations", Parameter::Texts(&["Encrypt", "Decrypt"])),
        ("tags", Parameter::Tags(&[("k", "v")])),
        ("constraints", Parameter::Group(&constraints)),
        ("empty", Parameter::Group(&[])),
    ];
    let alias = "arn:aws:kms:us-west-2:444455556666:alias/a";
    let event = event()
        .with_parameters(&parameters)
        .with_response(&parameters);
    let value = parsed(
        &event
            .with_principal(&root)
            .with_resources(&[alias, "alias/b"]),
    );
    let expected = json!({
        "numberOfBytes": u64::MAX,
        "enabled": false,
        "validTo": "1970-01-01T00:00:00Z",
        "operations": ["Encrypt", "Decrypt"],
        "tags": [{"tagKey": "k", "tagValue": "v"}],
        "constraints": {"encryptionContextSubset": {"a": "1"}},
        "empty": {},
    });
    assert_eq!(value["requestParameters"], expected);
    assert_eq!(value["responseElements"], expected);
    assert_eq!(
        value["userIdentity"],
        json!({
            "type": "Root", "principalId": "111122223333",
            "arn": "arn:aws:iam::111122223333:root", "accountId": "111122223333",
        })
    );
    assert_eq!(
        value["resources"],
        json!([
            {"accountId": "444455556666", "type": "AWS::KMS::Alias", "ARN": alias},
            {"accountId": "111122223333", "type": "AWS::KMS::Key", "ARN": "alias/b"},
        ])
    );
    let value = parsed(&event.with_principal(&role));
    assert_eq!(value["userIdentity"]["type"], "Role");
    assert_eq!(value["userIdentity"]["userName"], "deploy");
}

/// Nothing that a caller sends makes a long line, or one that moves a cursor.
#[test]
fn hostile_texts_are_cut_and_escaped() {
    for unit in [
        "x", "\0", "\u{1b}", "\u{9b}", "\u{2028}", "\u{202e}", "\"", "\\", "é", "…", "🔒",
    ] {
        let long = unit.repeat(1_000_000 / unit.len());
        let pairs: Vec<_> = (0..20_000)
            .map(|at| (format!("{at}{unit}"), unit))
            .collect();
        let many: EncryptionContext = pairs.into_iter().collect();
        let one = EncryptionContext::from([(long.as_str(), long.as_str())]);
        let texts = vec![long.as_str(); 5_000];
        let tags = vec![(long.as_str(), long.as_str()); 5_000];
        let deep = (0..6).fold(&[][..], |inner: Parameters<'_>, _| {
            Box::leak(Box::new([("g", Parameter::Group(inner))]))
        });
        let all = [
            ("keyId", Parameter::Text(&long)),
            ("encryptionContext", Parameter::Context(&one)),
            ("texts", Parameter::Texts(&texts)),
            ("many", Parameter::Context(&many)),
            ("tags", Parameter::Tags(&tags)),
            ("deep", Parameter::Group(deep)),
        ];
        let resources = vec![long.as_str(); 1_000];
        for at in 0..all.len() {
            let parameters = &all[at..];
            let mut event = event()
                .with_user_agent(&long)
                .with_source_ip(&long)
                .with_account(&long)
                .with_region(&long)
                .with_error(&long, &long)
                .with_parameters(parameters)
                .with_response(parameters)
                .with_resources(&resources);
            event.event_name = &long;
            event.details = parameters;
            event.key_material_id = Some(&long);
            let value = parsed(&event);
            for field in ["userAgent", "errorMessage", "eventName"] {
                let text = value[field].as_str().unwrap();
                assert!(text.ends_with(" bytes cut]"), "{field}");
                assert!(text.starts_with(unit), "{field}");
                assert!(text.len() < 1200, "{field}");
            }
        }
    }
}

#[test]
fn what_is_not_too_long_stays_whole() {
    let exact = "x".repeat(MAX_TEXT);
    let over = "x".repeat(MAX_TEXT + 1);
    let policy = "{}".repeat(16 * 1024);
    let parameters = [("policy", Parameter::Text(&policy))];
    let value = parsed(&event().with_user_agent(&exact).with_error("E", &exact));
    assert_eq!(value["userAgent"], exact);
    assert_eq!(value["errorMessage"], exact);
    let cut = format!("{exact}…[1 bytes cut]");
    let value = parsed(
        &event()
            .with_user_agent(&over)
            .with_error("E", &over)
            .with_parameters(&parameters),
    );
    assert_eq!(value["userAgent"], cut);
    assert_eq!(value["errorMessage"], cut);
    assert_eq!(value["requestParameters"]["policy"], policy);
}

#[test]
fn dates() {
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_399, "2000-02-28T23:59:59Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (951_868_800, "2000-03-01T00:00:00Z"),
        (1_709_164_800, "2024-02-29T00:00:00Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
        (253_402_300_799, "9999-12-31T23:59:59Z"),
        (253_402_300_800, "9999-12-31T23:59:59Z"),
    ] {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(Date(time).to_string(), text);
    }
    let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    assert_eq!(Date(before).to_string(), "1970-01-01T00:00:00Z");
}

/// Every day of 400 years, by the calendar's own rule.
#[test]
fn each_day_follows_the_one_before() {
    let (mut year, mut month, mut day) = (1970, 1, 1);
    for days in 0..146_097 {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(days * 86_400);
        let expected = format!("{year:04}-{month:02}-{day:02}T00:00:00Z");
        assert_eq!(Date(time).to_string(), expected);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = match month {
            2 => 28 + u32::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        day += 1;
        if day > length {
            (day, month) = (1, month + 1);
        }
        if month > 12 {
            (month, year) = (1, year + 1);
        }
    }
}
