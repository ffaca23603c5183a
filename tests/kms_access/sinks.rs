//! A trail that cannot be written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use waxseal::blocking::wait;
use waxseal::kms::KmsError;
use waxseal::kms::audit::{AuditError, AuditEvent, AuditSettings, AuditSink, OnAuditFailure};

use crate::calls::{CASES, client};
use crate::scene::{Scene, admin, contents, context};

/// Fails when it is told to: to record, or already when it is asked.
#[derive(Default)]
struct Faulty {
    fails: AtomicBool,
    says_so: AtomicBool,
    recorded: AtomicU64,
}

impl AuditSink for Faulty {
    fn record(&self, _: &AuditEvent<'_>) -> Result<(), AuditError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(AuditError::other("the disk is full"));
        }
        self.recorded.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn ready(&self) -> Result<(), AuditError> {
        match self.says_so.load(Ordering::Relaxed) {
            true => Err(AuditError::other("the disk is full")),
            false => Ok(()),
        }
    }
}

fn scene(on_failure: OnAuditFailure) -> (Scene, Arc<Faulty>, AuditSettings) {
    let sink = Arc::new(Faulty::default());
    let settings = AuditSettings::new(sink.clone()).on_failure(on_failure);
    let scene = Scene::with(|builder| builder.audit(settings.clone()));
    (scene, sink, settings)
}

#[test]
fn nothing_is_given_out_that_is_not_recorded() {
    for case in CASES {
        for says_so in [false, true] {
            let (scene, sink, settings) = scene(OnAuditFailure::Refuse);
            let before = contents(&scene.store);
            sink.fails.store(true, Ordering::Relaxed);
            sink.says_so.store(says_so, Ordering::Relaxed);
            let done = (case.call)(&scene, &scene.kms);
            let error = done.map(|_| ()).unwrap_err();
            assert!(
                matches!(error, KmsError::Audit(_)),
                "{}: {error:?}",
                case.operation
            );
            assert!(error.to_string().contains("the disk is full"), "{error}");
            assert!(settings.unrecorded() >= 1);
            // What is known beforehand keeps a change from being made.
            if says_so || case.read_only {
                assert_eq!(contents(&scene.store), before, "{}", case.operation);
            }
        }
    }
}

#[test]
fn a_refusal_that_is_not_recorded_is_an_audit_error_too() {
    let (scene, sink, _) = scene(OnAuditFailure::Refuse);
    sink.fails.store(true, Ordering::Relaxed);
    let refused = scene.encrypt(&scene.plain("bob"));
    assert!(matches!(refused, Err(KmsError::Audit(_))), "{refused:?}");
    client(&scene.kms, &scene.key.id)
        .encrypt(b"", &context())
        .unwrap_err();
    // And it goes on when the disk does.
    sink.fails.store(false, Ordering::Relaxed);
    scene.encrypt(&scene.kms).unwrap();
}

#[test]
fn it_can_go_on_and_count() {
    for case in CASES {
        let (scene, sink, settings) = scene(OnAuditFailure::CountAndContinue);
        sink.fails.store(true, Ordering::Relaxed);
        sink.says_so.store(true, Ordering::Relaxed);
        let missing = settings.unrecorded();
        (case.call)(&scene, &scene.kms).unwrap();
        assert_eq!(settings.unrecorded(), missing + 1, "{}", case.operation);
        sink.fails.store(false, Ordering::Relaxed);
        let recorded = sink.recorded.load(Ordering::Relaxed);
        scene.acting(admin("alice")).generate_random(8).unwrap();
        assert_eq!(sink.recorded.load(Ordering::Relaxed), recorded + 1);
        assert_eq!(settings.unrecorded(), missing + 1);
    }
}

#[test]
fn what_is_due_is_done_all_the_same() {
    let (scene, sink, _) = scene(OnAuditFailure::Refuse);
    sink.fails.store(true, Ordering::Relaxed);
    scene.clock.advance(91 * crate::scene::DAY);
    let report = wait(scene.kms.run_due()).unwrap();
    let is_audit = |error: &KmsError| matches!(error, KmsError::Audit(_));
    // The rotation and the deletion.
    assert_eq!(report.failed.len(), 2, "{report:?}");
    assert!(report.failed.iter().all(is_audit));
    sink.fails.store(false, Ordering::Relaxed);
    assert_eq!(
        wait(scene.kms.describe_key(&scene.key.id))
            .unwrap()
            .current_version(),
        2
    );
    assert!(wait(scene.kms.run_due()).unwrap().is_empty());
}
