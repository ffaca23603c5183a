//! What a handle that acts as somebody cannot do, because it is the
//! application's own; and dry runs.

use std::io;
use std::time::Duration;

use waxseal::blocking::wait;
use waxseal::kms::{Caller, KeyState, KmsError, LocalKms, Operation, Principal};
use waxseal::{EncryptionContext, inspect};

use crate::calls::{CASES, MORE_CASES, client};
use crate::scene::{ACCOUNT, DAY, Scene, admin, assert_denied, contents, context, user};

/// Calls that are no operations of a KMS.
#[test]
fn the_process_is_the_applications() {
    let scene = Scene::new();
    let message = client(&scene.kms, "alias/key")
        .encrypt(b"", &context())
        .unwrap();
    let header = inspect(&message).unwrap();
    let edks = header.encrypted_data_keys();
    wait(scene.kms.enable_rotation(&scene.key.id, None)).unwrap();
    scene.clock.advance(366 * DAY);
    scene.trail.take();
    let before = contents(&scene.store);
    for caller in [
        admin("alice"),
        Caller::new(Principal::root(ACCOUNT).unwrap()),
    ] {
        let kms = scene.acting(caller);
        assert_denied(kms.disconnect(), "disconnect");
        assert_denied(wait(kms.connect()), "connect");
        assert_denied(wait(kms.run_due()), "run_due");
        assert_denied(wait(kms.flush_usage()), "flush_usage");
        assert_denied(wait(kms.count_messages(edks)), "count_messages");
        let scheduler = kms.start_scheduler(Duration::from_secs(1), |_| {});
        assert_eq!(
            scheduler.unwrap_err().kind(),
            io::ErrorKind::PermissionDenied
        );
        // Each attempt is in the trail.
        let events = scene.trail.take();
        let names: Vec<_> = events.iter().map(|event| &event["eventName"]).collect();
        let expected = [
            "Disconnect",
            "Connect",
            "RunDue",
            "FlushUsage",
            "CountMessages",
            "StartScheduler",
        ];
        assert_eq!(names, expected);
        assert!(
            events
                .iter()
                .all(|event| event["errorCode"] == "AccessDenied")
        );
    }
    assert_eq!(contents(&scene.store), before);
    let key = wait(scene.kms.describe_key(&scene.key.id)).unwrap();
    assert_eq!(key.state, KeyState::Enabled);
}

/// Else a caller would be whoever it likes.
#[test]
fn who_acts_as_somebody_cannot_act_as_somebody_else() {
    let scene = Scene::new();
    let root = || Caller::new(Principal::root(ACCOUNT).unwrap());
    for (first, second) in [
        (Caller::new(user("alice")), root()),
        (Caller::new(user("alice")), admin("alice")),
        (admin("alice"), admin("bob")),
        (root(), admin("bob")),
    ] {
        let principal = first.principal().arn().to_owned();
        let kms = scene.acting(first).acting_as(second);
        for kms in [kms.clone(), kms.acting_as(root())] {
            for case in CASES.iter().chain(MORE_CASES) {
                scene.trail.take();
                assert_denied((case.call)(&scene, &kms), case.operation);
                // It is known who tried.
                let events = scene.trail.take();
                assert_eq!(events[0]["userIdentity"]["arn"], principal.as_str());
            }
            assert_denied(
                wait(kms.explain(Operation::Encrypt, &scene.key.id, &context())),
                "explain",
            );
        }
    }
}

fn dry(scene: &Scene) -> LocalKms {
    scene.acting(admin("alice").dry_run(true))
}

#[test]
fn a_dry_run_does_nothing() {
    for case in CASES.iter().chain(MORE_CASES).filter(|case| case.by_policy) {
        let scene = Scene::new();
        let before = contents(&scene.store);
        let done = (case.call)(&scene, &dry(&scene));
        match case.operation {
            // They concern no key, and change nothing.
            "GenerateRandom" | "ListAliases" | "ListKeys" | "ListRetirableGrants" => {
                done.unwrap();
            }
            // It looks for a key that was deleted, and this was not.
            "DescribeKey" if done.is_ok() => {}
            operation => assert!(
                matches!(done, Err(KmsError::DryRun)),
                "{operation}: {done:?}"
            ),
        }
        assert_eq!(contents(&scene.store), before, "{}", case.operation);
        let used = wait(scene.kms.usage(&scene.key.id)).unwrap();
        assert_eq!((used.versions[&1].wraps, used.versions[&1].unwraps), (1, 0));
        let events = scene.trail.take();
        let dry: Vec<_> = events
            .iter()
            .filter(|event| event["requestParameters"]["dryRun"] == true)
            .collect();
        assert_eq!(dry.len(), 1, "{}: {events:?}", case.operation);
    }
}

#[test]
fn a_dry_run_of_what_is_denied_is_denied() {
    for case in CASES.iter().chain(MORE_CASES) {
        let scene = Scene::new();
        let kms = scene.acting(Caller::new(user("alice")).dry_run(true));
        assert_denied((case.call)(&scene, &kms), case.operation);
    }
}

#[test]
fn a_dry_run_of_the_provider_gives_no_data_key() {
    let scene = Scene::new();
    let context = EncryptionContext::new();
    let message = client(&scene.kms, "alias/key")
        .encrypt(b"", &context)
        .unwrap();
    let client = client(&dry(&scene), "alias/key");
    client.encrypt(b"", &context).unwrap_err();
    client.decrypt(&message, &context).unwrap_err();
}
