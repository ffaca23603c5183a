//! The audit trail: one event for each call, allowed or refused, and for what
//! the KMS does by itself; and never a secret.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;
use waxseal::blocking::wait;
use waxseal::kms::audit::AuditId;
use waxseal::kms::{Caller, CreateKey, ImportOptions, LocalKms};
use waxseal::{Client, MultiProvider, SecretBytes};

use crate::calls::{About, CASES, Case, MORE_CASES, Secrets, client};
use crate::scene::{ACCOUNT, DAY, Scene, admin, context, material, user};

/// The one event of a call.
fn event_of(scene: &Scene, at: &str) -> Value {
    let mut events = scene.trail.take();
    assert_eq!(events.len(), 1, "{at}: {events:?}");
    events.remove(0)
}

fn arns(event: &Value) -> Vec<&str> {
    let resources = event["resources"].as_array().expect("resources");
    let arn = |resource: &'_ Value| resource["ARN"].as_str().map(str::len);
    assert!(resources.iter().all(|resource| arn(resource).is_some()));
    let arns = resources
        .iter()
        .filter_map(|resource| resource["ARN"].as_str());
    arns.collect()
}

/// What every event of a case has, whatever came of it.
fn check(case: &Case, scene: &Scene, event: &Value) {
    let at = case.operation;
    assert_eq!(event["eventName"], at);
    assert_eq!(event["eventSource"], "kms.amazonaws.com");
    assert_eq!(event["awsRegion"], "us-east-1", "{at}");
    assert_eq!(event["eventType"], "AwsApiCall", "{at}");
    assert_eq!(event["recipientAccountId"], ACCOUNT, "{at}");
    assert_eq!(event["readOnly"], case.read_only, "{at}");
    if let Some(parameter) = case.parameter {
        let asked = &event["requestParameters"][parameter];
        assert!(!asked.is_null(), "{at}: {event}");
    }
    if let Some(arn) = scene.arn(case.about) {
        assert!(arns(event).contains(&arn), "{at}: {event}");
    }
}

#[test]
fn each_call_is_one_event() {
    for case in CASES.iter().chain(MORE_CASES) {
        for by_root in [true, false] {
            let scene = Scene::new();
            if !case.by_policy && !by_root {
                continue;
            }
            let (kms, principal) = match by_root {
                true => (scene.kms.clone(), format!("arn:aws:iam::{ACCOUNT}:root")),
                false => (scene.acting(admin("alice")), user("alice").arn().to_owned()),
            };
            let done = (case.call)(&scene, &kms);
            let event = event_of(&scene, case.operation);
            check(case, &scene, &event);
            assert_eq!(event["userIdentity"]["arn"], principal.as_str());
            match &done {
                Ok(_) => assert!(event["errorCode"].is_null(), "{event}"),
                Err(error) => assert_eq!(event["errorCode"], error.exception(), "{event}"),
            }
            if case.about == About::Key && case.operation == "ReEncrypt" {
                assert_eq!(arns(&event), [scene.key.arn.as_str(), &scene.other.arn]);
            }
            if case.operation == "CreateKey" {
                let made = arns(&event);
                assert_eq!(made.len(), 1, "{event}");
                assert_eq!(event["responseElements"]["keyMetadata"]["arn"], made[0]);
            }
            let uses = [
                "Decrypt",
                "Encrypt",
                "GenerateDataKey",
                "GenerateDataKeyWithoutPlaintext",
            ];
            let used = &event["additionalEventData"]["keyMaterialId"];
            let expected = scene.key.backing_keys[0].material_id.as_str();
            match uses.contains(&case.operation) {
                true => assert_eq!(used, expected, "{event}"),
                false => assert!(used.is_null(), "{event}"),
            }
        }
    }
}

#[test]
fn each_refusal_is_one_event() {
    for case in CASES.iter().chain(MORE_CASES) {
        let scene = Scene::new();
        let kms = scene.acting(
            Caller::new(user("bob"))
                .source_ip("192.0.2.7")
                .user_agent("a test")
                .request_id(AuditId::from_bytes([7; 16])),
        );
        (case.call)(&scene, &kms).unwrap_err();
        let event = event_of(&scene, case.operation);
        check(case, &scene, &event);
        assert_eq!(event["errorCode"], "AccessDenied", "{event}");
        let message = event["errorMessage"].as_str().unwrap();
        assert!(message.contains("user/bob"), "{message}");
        assert_eq!(event["userIdentity"]["arn"], user("bob").arn());
        assert_eq!(event["userIdentity"]["userName"], "bob");
        assert_eq!(event["sourceIPAddress"], "192.0.2.7");
        assert_eq!(event["userAgent"], "a test");
        assert_eq!(
            event["requestID"],
            AuditId::from_bytes([7; 16]).to_string().as_str()
        );
        assert!(event["responseElements"].is_null());
        assert!(event["additionalEventData"].is_null());
    }
}

/// Of a call that fails for another reason, before or after it was admitted.
#[test]
fn each_failure_is_one_event() {
    type Fail = fn(&Scene) -> &'static str;
    let failures: [Fail; 14] = [
        |s| {
            wait(s.kms.encrypt("alias/none", b"", &context()))
                .unwrap_err()
                .exception()
        },
        |s| {
            wait(s.kms.encrypt(&s.key.id, &[0; 5000], &context()))
                .unwrap_err()
                .exception()
        },
        |s| {
            wait(s.kms.encrypt(&s.doomed.id, b"", &context()))
                .unwrap_err()
                .exception()
        },
        |s| {
            wait(s.kms.decrypt(b"x", None, &context()))
                .unwrap_err()
                .exception()
        },
        |s| {
            wait(s.kms.decrypt(&s.blob, None, &Default::default()))
                .unwrap_err()
                .exception()
        },
        |s| {
            wait(s.kms.decrypt(&s.blob, Some("alias/other"), &context()))
                .unwrap_err()
                .exception()
        },
        |s| {
            wait(
                s.kms
                    .re_encrypt(b"x", None, &context(), &s.key.id, &context()),
            )
            .unwrap_err()
            .exception()
        },
        |s| {
            wait(
                s.kms
                    .re_encrypt(&s.blob, None, &context(), "alias/none", &context()),
            )
            .unwrap_err()
            .exception()
        },
        |s| {
            let spec = waxseal::kms::DataKeySpec::Bytes(0);
            wait(s.kms.generate_data_key(&s.key.id, spec, &context()))
                .unwrap_err()
                .exception()
        },
        |s| s.kms.generate_random(0).unwrap_err().exception(),
        |s| {
            wait(s.kms.create_alias("alias/key", &s.other.id))
                .unwrap_err()
                .exception()
        },
        |s| {
            wait(s.kms.delete_alias("alias/aws/s3"))
                .unwrap_err()
                .exception()
        },
        |s| {
            wait(s.kms.retire_grant_by_token("x"))
                .unwrap_err()
                .exception()
        },
        |s| {
            wait(s.kms.put_key_policy(&s.key.id, "{}"))
                .unwrap_err()
                .exception()
        },
    ];
    for (number, fail) in failures.iter().enumerate() {
        let scene = Scene::new();
        let exception = fail(&scene);
        let event = event_of(&scene, &format!("{number}"));
        assert_eq!(event["errorCode"], exception, "{number}");
    }
}

#[test]
fn the_provider_is_in_the_trail() {
    let scene = Scene::new();
    let kms = scene.acting(admin("alice"));
    let alice = client(&kms, "alias/key");
    let message = alice.encrypt(b"text", &context()).unwrap();
    let event = event_of(&scene, "encrypt");
    assert_eq!(event["eventName"], "GenerateDataKey");
    assert_eq!(
        event["requestParameters"]["encryptionContext"]["tenant"],
        "7"
    );
    assert_eq!(event["requestParameters"]["keyId"], "alias/key");
    assert_eq!(arns(&event), [scene.key.arn.as_str()]);
    alice.decrypt(&message, &context()).unwrap();
    let event = event_of(&scene, "decrypt");
    assert_eq!(event["eventName"], "Decrypt");
    assert_eq!(event["userIdentity"]["arn"], user("alice").arn());
    client(&scene.plain("bob"), "alias/key")
        .encrypt(b"", &context())
        .unwrap_err();
    let event = event_of(&scene, "refused");
    assert_eq!(event["errorCode"], "AccessDenied");
    // The second key's wrap is an encryption.
    let both = MultiProvider::new(kms.provider("alias/key")).with(kms.provider("alias/other"));
    let both = Client::builder(both).signed(false).build().unwrap();
    both.blocking().encrypt(b"", &context()).unwrap();
    let events = scene.trail.take();
    let names: Vec<_> = events.iter().map(|event| &event["eventName"]).collect();
    assert_eq!(names, ["GenerateDataKey", "Encrypt"]);
}

/// The keys that the application finds by name.
#[test]
fn named_keys_are_in_the_trail() {
    let scene = Scene::new();
    wait(scene.kms.service_key("s3")).unwrap();
    let names = |events: Vec<Value>| -> Vec<String> {
        let name = |event: &Value| event["eventName"].as_str().unwrap().to_owned();
        events.iter().map(name).collect()
    };
    assert_eq!(names(scene.trail.take()), ["CreateKey", "DescribeKey"]);
    wait(scene.kms.service_key("s3")).unwrap();
    assert_eq!(names(scene.trail.take()), ["DescribeKey"]);
    wait(scene.kms.owned_key("app")).unwrap();
    assert_eq!(names(scene.trail.take()), ["CreateKey"]);
    let refused = wait(scene.acting(admin("alice")).owned_key("app"));
    refused.unwrap_err();
    assert_eq!(event_of(&scene, "owned_key")["errorCode"], "AccessDenied");
}

#[test]
fn what_the_kms_does_by_itself_is_one_event_each() {
    let scene = Scene::new();
    let until = waxseal::Clock::now(&scene.clock) + DAY;
    let expiring = ImportOptions::new().expires(until);
    wait(
        scene
            .kms
            .import_key_material(&scene.external.id, &material(1), expiring),
    )
    .unwrap();
    scene.trail.take();
    wait(scene.kms.run_due()).unwrap();
    assert!(scene.trail.take().is_empty(), "nothing is due");
    scene.clock.advance(100 * DAY);
    let report = wait(scene.kms.run_due()).unwrap();
    assert!(report.failed.is_empty());
    let mut events = scene.trail.take();
    let name = |event: &Value| event["eventName"].as_str().unwrap().to_owned();
    events.sort_by_key(name);
    let expected = [
        ("DeleteExpiredKeyMaterial", &scene.external.arn),
        ("DeleteKey", &scene.doomed.arn),
        ("RotateKey", &scene.key.arn),
    ];
    assert_eq!(events.len(), expected.len(), "{events:?}");
    for (event, (name, arn)) in events.iter().zip(expected) {
        assert_eq!(event["eventName"], name);
        assert_eq!(arns(event), [arn.as_str()]);
        assert_eq!(event["eventType"], "AwsServiceEvent");
        assert_eq!(event["userIdentity"]["invokedBy"], "AWS Internal");
        assert_eq!(event["readOnly"], false);
        assert!(event["requestParameters"].is_null());
        assert!(event["requestID"].is_null());
    }
    wait(scene.kms.run_due()).unwrap();
    assert!(scene.trail.take().is_empty(), "once each");
}

/// A part of a call is no call: what several attempts at one change come to is
/// one event, too.
#[test]
fn a_change_at_once_with_others_is_one_event_each() {
    let scene = Scene::new();
    std::thread::scope(|threads| {
        for thread in 0..4 {
            let (kms, key) = (&scene.kms, &scene.key.id);
            threads.spawn(move || {
                for number in 0..5 {
                    let description = format!("{thread}/{number}");
                    wait(kms.update_description(key, &description)).unwrap();
                }
            });
        }
    });
    let events = scene.trail.take();
    assert_eq!(events.len(), 20);
    let mut ids: Vec<_> = events
        .iter()
        .map(|event| event["eventID"].to_string())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20);
}

/// How a secret might stand in a text.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let numbers: Vec<String> = secret.iter().map(u8::to_string).collect();
    let mut forms = vec![
        secret.to_vec(),
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
        numbers.join(",").into_bytes(),
    ];
    // Base64 of it at each place that it can have in longer data.
    for skipped in 0..3 {
        let part = secret.get(skipped..).unwrap_or_default();
        let whole = &part[..part.len() - part.len() % 3];
        forms.push(STANDARD.encode(whole).into_bytes());
        forms.push(URL_SAFE_NO_PAD.encode(whole).into_bytes());
    }
    forms
}

#[test]
fn no_secret_is_in_any_event() {
    let mut secrets = Secrets::new();
    let mut lines = Vec::new();
    let mut run = |call: &dyn Fn(&Scene, &LocalKms) -> Secrets| {
        let scene = Scene::new();
        for kms in [scene.kms.clone(), scene.acting(admin("alice"))] {
            secrets.extend(call(&scene, &kms));
        }
        lines.extend(scene.trail.take_lines());
    };
    for case in CASES.iter().chain(MORE_CASES) {
        run(&|scene, kms| (case.call)(scene, kms).unwrap_or_default());
    }
    run(&|scene, kms| {
        let request = CreateKey::new().external();
        let key = wait(kms.create_key(request)).unwrap();
        let material = SecretBytes::random(32).unwrap();
        let import = kms.import_key_material(&key.id, &material, ImportOptions::new());
        wait(import).unwrap();
        let text = b"not to be told to anybody".to_vec();
        let sealed = wait(kms.encrypt(&key.id, &text, &context())).unwrap();
        wait(kms.decrypt(&sealed.blob, None, &context())).unwrap();
        // Also where it fails.
        let wrong = SecretBytes::random(31).unwrap();
        let import = kms.import_key_material(&key.id, &wrong, ImportOptions::new());
        wait(import).unwrap_err();
        client(&scene.kms, &key.id)
            .encrypt(&text, &context())
            .unwrap();
        vec![material.expose().to_vec(), text, wrong.expose().to_vec()]
    });
    assert!(
        secrets.len() > 15 && lines.len() > 80,
        "{} {}",
        secrets.len(),
        lines.len()
    );
    secrets.push(b"attack at dawn".to_vec());
    // The root of the store.
    secrets.push(vec![1; 32]);
    for secret in secrets.iter().filter(|secret| secret.len() >= 8) {
        for form in forms(secret) {
            let has = |line: &String| line.as_bytes().windows(form.len()).any(|part| part == form);
            let found = lines.iter().find(|line| has(line));
            assert!(found.is_none(), "{found:?}");
        }
    }
    // The search finds what is there.
    let known = forms(b"alias/key");
    assert!(
        lines
            .iter()
            .any(|line| line.contains(std::str::from_utf8(&known[0]).unwrap()))
    );
}
