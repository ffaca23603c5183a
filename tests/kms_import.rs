//! Key material that is imported wrapped under RSA.

use std::time::Duration;

use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey,
};
use waxseal::blocking::wait;
use waxseal::kms::store::{BlobStore, MemoryStore};
use waxseal::kms::{
    CreateKey, ImportOptions, ImportType, KeyState, KmsError, LocalKms, RootKey, WrappingAlgorithm,
    WrappingKeySpec,
};
use waxseal::test_util::ManualClock;
use waxseal::{EncryptionContext, SecretBytes};

const HOUR: Duration = Duration::from_secs(60 * 60);
const SHA256: WrappingAlgorithm = WrappingAlgorithm::RsaesOaepSha256;

fn kms() -> (LocalKms, ManualClock) {
    let clock = ManualClock::default();
    let root = RootKey::bytes(SecretBytes::from(vec![1; 32]));
    let builder = LocalKms::builder(MemoryStore::new(), root).clock(clock.clone());
    (wait(builder.open()).unwrap(), clock)
}

fn external(kms: &LocalKms) -> String {
    wait(kms.create_key(CreateKey::new().external()))
        .unwrap()
        .id
}

/// What a user's own tool does with the public key.
fn wrap(public_key: &[u8], algorithm: WrappingAlgorithm, material: &[u8]) -> Vec<u8> {
    let key = PublicEncryptingKey::from_der(public_key).unwrap();
    let key = OaepPublicEncryptingKey::new(key).unwrap();
    let oaep = match algorithm {
        WrappingAlgorithm::RsaesOaepSha1 => &OAEP_SHA1_MGF1SHA1,
        _ => &OAEP_SHA256_MGF1SHA256,
    };
    let mut wrapped = vec![0; key.ciphertext_size()];
    let length = key
        .encrypt(oaep, material, &mut wrapped, None)
        .unwrap()
        .len();
    wrapped.truncate(length);
    wrapped
}

#[test]
fn wrapped_and_unwrapped_are_the_same_material() {
    let (kms, _) = kms();
    let context = EncryptionContext::new();
    for (number, (spec, algorithm)) in [
        (WrappingKeySpec::Rsa2048, WrappingAlgorithm::RsaesOaepSha1),
        (WrappingKeySpec::Rsa3072, SHA256),
        (WrappingKeySpec::Rsa4096, SHA256),
    ]
    .into_iter()
    .enumerate()
    {
        let key = external(&kms);
        let given = wait(kms.get_parameters_for_import(&key, algorithm, spec)).unwrap();
        assert!(given.key_arn.ends_with(&key));
        let material = [number as u8; 32];
        let wrapped = wrap(&given.public_key, algorithm, &material);
        assert_eq!(wrapped.len(), spec.bits() / 8);
        let (token, options) = (&given.import_token, ImportOptions::new());
        wait(kms.import_wrapped_key_material(&key, token, &wrapped, options)).unwrap();
        let sealed = wait(kms.encrypt(&key, b"text", &context)).unwrap();

        // The same material, in the clear, opens what it has sealed.
        wait(kms.delete_imported_key_material(&key, None)).unwrap();
        let secret = SecretBytes::from(material.to_vec());
        wait(kms.import_key_material(&key, &secret, ImportOptions::new())).unwrap();
        let opened = wait(kms.decrypt(&sealed.blob, None, &context)).unwrap();
        assert_eq!(opened.plaintext.expose(), b"text");

        // The token is good for 24 hours, and so for the same material again.
        wait(kms.delete_imported_key_material(&key, None)).unwrap();
        wait(kms.import_wrapped_key_material(&key, token, &wrapped, options)).unwrap();
        let state = wait(kms.describe_key(&key)).unwrap().state;
        assert_eq!(state, KeyState::Enabled);
    }
}

#[test]
fn a_token_is_one_keys_and_lasts_a_day() {
    let (kms, clock) = kms();
    let (one, other) = (external(&kms), external(&kms));
    let spec = WrappingKeySpec::Rsa2048;
    let given = wait(kms.get_parameters_for_import(&one, SHA256, spec)).unwrap();
    let wrapped = wrap(&given.public_key, SHA256, &[1; 32]);
    let import = |key: &str, token: &[u8], wrapped: &[u8]| {
        wait(kms.import_wrapped_key_material(key, token, wrapped, ImportOptions::new()))
    };

    let refused = import(&other, &given.import_token, &wrapped).unwrap_err();
    assert!(matches!(refused, KmsError::InvalidImportToken { .. }));
    let theirs = wait(kms.get_parameters_for_import(&other, SHA256, spec)).unwrap();
    let refused = import(&other, &given.import_token, &wrapped).unwrap_err();
    assert!(matches!(refused, KmsError::InvalidImportToken { .. }));
    // Its own token, and material under another's key.
    let refused = import(&other, &theirs.import_token, &wrapped).unwrap_err();
    assert!(matches!(refused, KmsError::InvalidCiphertext));
    let mut changed = given.import_token.clone();
    changed[31] ^= 1;
    for token in [&changed[..], &changed[..31], &[]] {
        let refused = import(&one, token, &wrapped).unwrap_err();
        assert!(matches!(refused, KmsError::InvalidImportToken { .. }));
    }

    clock.advance(HOUR * 24 - Duration::from_millis(1));
    import(&one, &given.import_token, &wrapped).unwrap();
    clock.advance(Duration::from_millis(1));
    let refused = import(&one, &given.import_token, &wrapped).unwrap_err();
    assert!(matches!(refused, KmsError::ExpiredImportToken { .. }));

    // Asking again ends what was given before.
    let newer = wait(kms.get_parameters_for_import(&one, SHA256, spec)).unwrap();
    let refused = import(&one, &given.import_token, &wrapped).unwrap_err();
    assert!(matches!(refused, KmsError::InvalidImportToken { .. }));
    let wrapped = wrap(&newer.public_key, SHA256, &[1; 32]);
    import(&one, &newer.import_token, &wrapped).unwrap();
}

#[test]
fn what_does_not_unwrap_changes_nothing() {
    let (kms, _) = kms();
    let key = external(&kms);
    let spec = WrappingKeySpec::Rsa2048;
    let given = wait(kms.get_parameters_for_import(&key, SHA256, spec)).unwrap();
    let import = |wrapped: &[u8]| {
        let (token, options) = (&given.import_token, ImportOptions::new());
        wait(kms.import_wrapped_key_material(&key, token, wrapped, options)).unwrap_err()
    };
    let sha1 = WrappingAlgorithm::RsaesOaepSha1;
    let mut damaged = wrap(&given.public_key, SHA256, &[1; 32]);
    damaged[100] ^= 1;
    for wrapped in [
        &damaged[..],
        &damaged[..255],
        &[],
        &wrap(&given.public_key, sha1, &[1; 32]),
    ] {
        assert!(matches!(import(wrapped), KmsError::InvalidCiphertext));
    }
    for length in [0, 16, 31, 33] {
        let wrapped = wrap(&given.public_key, SHA256, &vec![1; length]);
        assert!(matches!(import(&wrapped), KmsError::InvalidArgument { .. }));
    }
    let described = wait(kms.describe_key(&key)).unwrap();
    assert_eq!(described.state, KeyState::PendingImport);
    assert!(described.backing_keys.is_empty());
}

#[test]
fn options_hold_for_wrapped_material_too() {
    let (kms, _) = kms();
    let key = external(&kms);
    let spec = WrappingKeySpec::Rsa2048;
    let given = wait(kms.get_parameters_for_import(&key, SHA256, spec)).unwrap();
    let import = |byte: u8, options: ImportOptions| {
        let wrapped = wrap(&given.public_key, SHA256, &[byte; 32]);
        let token = &given.import_token;
        wait(kms.import_wrapped_key_material(&key, token, &wrapped, options))
    };
    import(1, ImportOptions::new()).unwrap();
    let refused = import(2, ImportOptions::new()).unwrap_err();
    assert!(matches!(refused, KmsError::IncorrectKeyMaterial { .. }));
    import(2, ImportOptions::new().import_type(ImportType::New)).unwrap();
    assert_eq!(wait(kms.rotate(&key)).unwrap(), 2);
}

/// The private key goes after a day, and with the key.
#[test]
fn what_could_unwrap_the_material_does_not_stay() {
    let (store, clock) = (MemoryStore::new(), ManualClock::default());
    let root = RootKey::bytes(SecretBytes::from(vec![1; 32]));
    let builder = LocalKms::builder(store.clone(), root).clock(clock.clone());
    let kms = wait(builder.open()).unwrap();
    let kept = || wait(store.list("imports/", None, 10)).unwrap().len();
    let give = |key: &str| {
        let spec = WrappingKeySpec::Rsa2048;
        wait(kms.get_parameters_for_import(key, SHA256, spec)).unwrap()
    };
    let key = external(&kms);
    give(&key);
    assert_eq!(kept(), 1);
    clock.advance(HOUR * 24 - Duration::from_millis(1));
    assert!(wait(kms.run_due()).unwrap().is_empty());
    assert_eq!(kept(), 1);
    clock.advance(Duration::from_millis(1));
    assert!(wait(kms.run_due()).unwrap().is_empty());
    assert_eq!(kept(), 0);

    give(&key);
    wait(kms.schedule_deletion(&key, Some(7))).unwrap();
    clock.advance(HOUR * 24 * 7);
    assert_eq!(wait(kms.run_due()).unwrap().deleted.len(), 1);
    assert_eq!(kept(), 0);
}

/// A key whose material is the KMS's own takes none.
#[test]
fn only_for_keys_that_were_made_for_it() {
    let (kms, _) = kms();
    let key = wait(kms.create_key(CreateKey::new())).unwrap().id;
    let spec = WrappingKeySpec::Rsa2048;
    let refused = wait(kms.get_parameters_for_import(&key, SHA256, spec)).unwrap_err();
    assert!(matches!(refused, KmsError::Unsupported { .. }));
    let options = ImportOptions::new();
    let refused = wait(kms.import_wrapped_key_material(&key, b"", b"", options)).unwrap_err();
    assert!(matches!(refused, KmsError::Unsupported { .. }));
}
