//! Events, as sinks get them.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use waxseal::EncryptionContext;
use waxseal::kms::Principal;
use waxseal::kms::audit::{
    AuditCallback, AuditEvent, AuditEventKind, AuditFile, AuditId, AuditSink, AuditSinks, Parameter,
};

use crate::trail::{clock, key, lines, record};

/// The file's record is the event's JSON, byte for byte.
#[test]
fn each_sink_gets_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let seen = std::sync::Arc::new(Mutex::new(Vec::new()));
    let callback = AuditCallback::new({
        let seen = seen.clone();
        move |event: &AuditEvent<'_>| seen.lock().unwrap().push(event.to_json())
    });
    let file = AuditFile::builder(&path, key(7))
        .clock(clock())
        .open()
        .unwrap();
    let sinks = AuditSinks::new().and(callback).and(file);
    record(&sinks, 5);
    let json = seen.lock().unwrap()[0].clone();
    let line = lines(&std::fs::read(&path).unwrap()).swap_remove(1);
    let line = String::from_utf8(line).unwrap();
    assert!(line.contains(&format!(",\"record\":{json},\"hash\":\"")));
}

#[test]
fn what_a_callback_can_ask() {
    let alice = Principal::user("111122223333", "alice").unwrap();
    let context = EncryptionContext::from([("tenant", "7")]);
    let parameters = [
        ("keyId", Parameter::Text("k")),
        ("encryptionContext", Parameter::Context(&context)),
    ];
    let response = [("keyId", Parameter::Text("arn"))];
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(9);
    let event = AuditEvent::new("CreateKey", now, AuditId::from_bytes([1; 16]))
        .with_principal(&alice)
        .with_account("111122223333")
        .with_region("eu-west-1")
        .with_source_ip("192.0.2.1")
        .with_user_agent("agent")
        .with_request_id(AuditId::from_bytes([2; 16]))
        .with_error("DisabledException", &"disabled")
        .with_parameters(&parameters)
        .with_response(&response)
        .with_resources(&["arn"])
        .with_read_only(false);
    assert_eq!(event.time(), now);
    assert_eq!(event.event_id(), AuditId::from_bytes([1; 16]));
    assert_eq!(event.request_id(), Some(AuditId::from_bytes([2; 16])));
    assert_eq!(event.kind(), AuditEventKind::ApiCall);
    assert_eq!(
        (event.event_name(), event.account()),
        ("CreateKey", "111122223333")
    );
    assert_eq!(
        (event.region(), event.source_ip()),
        ("eu-west-1", Some("192.0.2.1"))
    );
    assert_eq!(event.user_agent(), Some("agent"));
    assert_eq!(event.principal(), Some(&alice));
    assert_eq!(event.error_code(), Some("DisabledException"));
    assert_eq!(event.error_message().unwrap().to_string(), "disabled");
    assert_eq!(event.encryption_context(), Some(&context));
    assert_eq!((event.parameters().len(), event.response().len()), (2, 1));
    assert!(event.service_event_details().is_empty());
    assert_eq!(
        (event.key_material_id(), event.resources()),
        (None, &["arn"][..])
    );
    assert!(!event.read_only());
    assert_eq!(format!("{event:?}"), event.to_json());
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,20}",
        "\\PC{0,20}",
        Just("\0\u{1b}[2J\u{202e}\n\"\\".to_owned())
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever the texts: one line, that reads back as what went in.
    #[test]
    fn json_is_one_line_and_reads_back(
        name in text(), agent in text(), message in text(), number: u64,
        pairs in prop::collection::vec((text(), text()), 0..5), texts in prop::collection::vec(text(), 0..5),
    ) {
        let context: EncryptionContext = pairs.iter().cloned().collect();
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        let parameters = [
            ("keyId", Parameter::Text(&name)),
            ("encryptionContext", Parameter::Context(&context)),
            ("operations", Parameter::Texts(&texts)),
            ("numberOfBytes", Parameter::Number(number)),
        ];
        let time = SystemTime::UNIX_EPOCH;
        let event = AuditEvent::new("Encrypt", time, AuditId::from_bytes([0; 16]))
            .with_user_agent(&agent)
            .with_error("E", &message)
            .with_parameters(&parameters);
        let json = event.to_json();
        prop_assert!(!json.contains(char::is_control));
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(&value["userAgent"], &agent);
        prop_assert_eq!(&value["errorMessage"], &message);
        let given = &value["requestParameters"];
        prop_assert_eq!(&given["keyId"], &name);
        prop_assert_eq!(&given["operations"], &serde_json::json!(texts));
        prop_assert_eq!(&given["numberOfBytes"], number);
        let expected: serde_json::Map<_, _> =
            context.iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
        prop_assert_eq!(given["encryptionContext"].as_object(), Some(&expected));
    }
}

#[test]
fn callbacks_are_sinks_too() {
    fn takes(_: impl AuditSink + 'static) {}
    takes(AuditCallback::new(|_| {}));
    takes(std::sync::Arc::new(AuditSinks::new()));
    takes(Box::new(AuditSinks::new()));
}
