//! The embedded KMS through its public face.

use std::time::Duration;

use waxseal::blocking::{Client, wait};
use waxseal::kms::store::MemoryStore;
use waxseal::kms::{CreateKey, DataKeySpec, KeyState, KmsError, LocalKms, RootKey};
use waxseal::test_util::ManualClock;
use waxseal::{EncryptionContext, SecretBytes};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn kms() -> (LocalKms, ManualClock) {
    let clock = ManualClock::default();
    let root = RootKey::bytes(SecretBytes::from(vec![1; 32]));
    let builder = LocalKms::builder(MemoryStore::new(), root).clock(clock.clone());
    (wait(builder.open()).unwrap(), clock)
}

#[test]
fn a_key_lives_rotates_and_dies() {
    let (kms, clock) = kms();
    let key = wait(kms.create_key(CreateKey::new().alias("alias/app").rotate_every(90))).unwrap();
    let context = EncryptionContext::from([("tenant", "7")]);
    let client = Client::new(kms.provider("alias/app"));
    let message = client.encrypt(b"text", &context).unwrap();
    clock.advance(DAY * 365);
    let report = wait(kms.run_due()).unwrap();
    assert_eq!(report.rotated, [(key.arn.clone(), 2)]);
    assert!(wait(kms.run_due()).unwrap().is_empty());
    let opened = client.decrypt(&message, &context).unwrap();
    assert_eq!(opened.plaintext, b"text");
    assert_eq!(opened.details.key_version.as_deref(), Some("1"));
    let new = client.encrypt(b"text", &context).unwrap();
    let opened = client.decrypt(&new, &context).unwrap();
    assert_eq!(opened.details.key_version.as_deref(), Some("2"));

    let generated = wait(kms.generate_data_key(&key.id, DataKeySpec::Aes256, &context)).unwrap();
    let blob = &generated.ciphertext.blob;
    let opened = wait(kms.decrypt(blob, Some("alias/app"), &context)).unwrap();
    assert_eq!(opened.plaintext.expose(), generated.plaintext.expose());
    let other = EncryptionContext::new();
    let refused = wait(kms.decrypt(blob, None, &other)).unwrap_err();
    assert!(matches!(refused, KmsError::InvalidCiphertext), "{refused}");

    let usage = wait(kms.usage("alias/app")).unwrap();
    assert_eq!(usage.versions[&2].wraps, 2);
    assert_eq!(usage.versions[&1].unwraps, 1);

    let scheduled = wait(kms.schedule_deletion("alias/app", Some(7))).unwrap();
    assert!(scheduled.is_in_recent_use);
    assert_eq!(
        wait(kms.describe_key(&key.id)).unwrap().state,
        KeyState::PendingDeletion
    );
    assert!(client.decrypt(&message, &context).is_err());
    clock.advance(DAY * 7);
    let gone = wait(kms.describe_key(&key.id)).unwrap_err();
    assert!(matches!(gone, KmsError::NotFound { .. }));
    assert_eq!(wait(kms.run_due()).unwrap().deleted, [key.arn.clone()]);
    assert!(wait(kms.deleted_key(&key.id)).unwrap().is_some());
    assert!(wait(kms.list_aliases(None)).unwrap().aliases.is_empty());
}
