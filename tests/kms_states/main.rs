//! Every operation on a key in every state, against AWS KMS's own table.
//!
//! `TABLE` is that of the AWS KMS developer guide ("Key states of AWS KMS
//! keys"; in text in `awsdocs/aws-kms-developer-guide`, doc_source/key-state.md),
//! with its rows, its five states and its footnotes. `NEWER` has the operations
//! that it had not yet, by AWS's API reference, and one of our own. What is
//! different here on purpose is in `DIFFERENCES`, each with its reason.

mod table;

use std::collections::BTreeMap;
use std::time::Duration;

use waxseal::blocking::wait;
use waxseal::kms::store::MemoryStore;
use waxseal::kms::{
    Alias, CreateKey, DataKeySpec, ImportOptions, ImportType, KeyState, KeyUsage, Keyring,
    KmsError, LocalKms, Operation, RootKey, RotationStatus,
};
use waxseal::test_util::ManualClock;
use waxseal::{Clock, EncryptionContext, SecretBytes};

use table::Kind::{Expired, External, Local, NeverImported};
use table::{ABSENT, DIFFERENCES, Kind, NEWER, Outcome, Row, TABLE, WITH_POLICY, expected};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Outcome {
    /// What a call came to; the operation and the key that an error names are
    /// checked, too.
    fn of(result: Result<(), KmsError>, operation: &str, arn: &str) -> Outcome {
        let (outcome, key, named) = match result {
            Ok(()) => return Outcome::Success,
            Err(KmsError::Disabled { key }) => (Outcome::Disabled, key, None),
            Err(KmsError::InvalidState {
                key,
                state,
                operation,
            }) => (Outcome::InvalidState(state), key, Some(operation)),
            Err(KmsError::Unsupported { key, operation, .. }) => {
                (Outcome::Unsupported, key, Some(operation))
            }
            Err(KmsError::NotFound { key }) => {
                assert!(!key.is_empty(), "{operation}");
                return Outcome::NotFound;
            }
            Err(error) => panic!("{operation}: {error:?}"),
        };
        assert_eq!(key, arn, "{operation}");
        assert!(
            named.is_none_or(|named| named.name() == operation),
            "{operation}: {named:?}"
        );
        outcome
    }
}

/// A KMS with one key of this kind in this state, and what the operations need
/// besides.
struct Scene {
    kms: LocalKms,
    clock: ManualClock,
    key: Keyring,
    /// Another key, enabled (unless nothing is available), with an alias.
    other: Keyring,
    /// What the key has encrypted while it could; else what the other has.
    blob: Vec<u8>,
    other_blob: Vec<u8>,
    /// A grant of the key's, if it could be given one.
    #[cfg(feature = "kms-policy")]
    grant: Option<String>,
}

#[cfg(feature = "kms-policy")]
fn grant_request() -> waxseal::kms::CreateGrant {
    use waxseal::kms::{CreateGrant, GrantOperation, Principal};
    let grantee = Principal::user("111122223333", "bob").unwrap();
    CreateGrant::new(grantee, [GrantOperation::Decrypt])
}

fn context() -> EncryptionContext {
    EncryptionContext::from([("tenant", "7")])
}

fn material(byte: u8) -> SecretBytes {
    SecretBytes::from(vec![byte; 32])
}

impl Scene {
    fn new(kind: Kind, state: KeyState) -> Scene {
        let clock = ManualClock::default();
        let root = RootKey::bytes(SecretBytes::from(vec![1; 32]));
        let builder = LocalKms::builder(MemoryStore::new(), root)
            .clock(clock.clone())
            .max_staleness(Duration::ZERO);
        let kms = wait(builder.open()).unwrap();
        let request = CreateKey::new().alias("alias/key").tag("tag", "value");
        let request = match kind {
            Local => request.rotate_every(90),
            _ => request.external(),
        };
        let key = wait(kms.create_key(request)).unwrap();
        let other = wait(kms.create_key(CreateKey::new().alias("alias/other"))).unwrap();
        let other_blob = wait(kms.encrypt(&other.id, b"text", &context())).unwrap();
        let mut blob = other_blob.blob.clone();
        if kind != NeverImported {
            if kind != Local {
                let first = ImportOptions::new();
                let first = match kind {
                    Expired => first.expires(clock.now() + DAY),
                    _ => first,
                };
                wait(kms.import_key_material(&key.id, &material(1), first)).unwrap();
                // So that a rotation is possible.
                let next = ImportOptions::new().import_type(ImportType::New);
                wait(kms.import_key_material(&key.id, &material(2), next)).unwrap();
            }
            blob = wait(kms.encrypt(&key.id, b"text", &context()))
                .unwrap()
                .blob;
        }
        #[cfg(feature = "kms-policy")]
        let grant = match kind {
            NeverImported => None,
            _ => Some(wait(kms.create_grant(&key.id, grant_request())).unwrap().id),
        };
        match state {
            KeyState::Enabled => {}
            KeyState::Disabled => wait(kms.disable_key(&key.id)).unwrap(),
            KeyState::PendingImport => match kind {
                External => {
                    let known = wait(kms.describe_key(&key.id)).unwrap();
                    let id = &known.backing_keys[0].material_id;
                    wait(kms.delete_imported_key_material(&key.id, Some(id))).unwrap();
                }
                _ => clock.advance(DAY),
            },
            KeyState::PendingDeletion => {
                wait(kms.schedule_deletion(&key.id, Some(7))).unwrap();
            }
            KeyState::Unavailable => kms.disconnect().unwrap(),
            state => panic!("{state}"),
        }
        let key = wait(kms.describe_key(&key.id)).unwrap();
        assert_eq!(key.state, state, "{kind:?}");
        let other_blob = other_blob.blob;
        Scene {
            kms,
            clock,
            key,
            other,
            blob,
            other_blob,
            #[cfg(feature = "kms-policy")]
            grant,
        }
    }

    /// Everything that can be seen of the keys.
    fn seen(&self) -> (Keyring, Keyring, Vec<Alias>, KeyUsage) {
        let kms = &self.kms;
        (
            wait(kms.describe_key(&self.key.id)).unwrap(),
            wait(kms.describe_key(&self.other.id)).unwrap(),
            wait(kms.list_aliases(None)).unwrap().aliases,
            wait(kms.usage(&self.key.id)).unwrap(),
        )
    }

    /// Calls an operation, in each way in which it uses the key; all come to
    /// the same. `None` for what this build has not.
    fn call(&self, operation: &str) -> Option<Vec<Result<(), KmsError>>> {
        let (kms, context) = (&self.kms, context());
        let (key, other) = (self.key.id.as_str(), self.other.id.as_str());
        let one = match operation {
            "CancelKeyDeletion" => wait(kms.cancel_deletion(key)),
            "CreateAlias" => wait(kms.create_alias("alias/new", key)),
            "Decrypt" => {
                let blob = &self.blob;
                return Some(vec![
                    wait(kms.decrypt(blob, Some(key), &context)).map(drop),
                    wait(kms.decrypt(blob, None, &context)).map(drop),
                ]);
            }
            "DeleteAlias" => wait(kms.delete_alias("alias/key")),
            "DeleteImportedKeyMaterial" => wait(kms.delete_imported_key_material(key, None)),
            "DescribeKey" => {
                return Some(vec![
                    wait(kms.describe_key(key)).map(drop),
                    wait(kms.resolve(key)).map(drop),
                    wait(kms.usage(key)).map(drop),
                ]);
            }
            "DisableKey" => wait(kms.disable_key(key)),
            "DisableKeyRotation" => wait(kms.disable_rotation(key)),
            "EnableKey" => wait(kms.enable_key(key)),
            "EnableKeyRotation" => wait(kms.enable_rotation(key, Some(180))),
            "Encrypt" => wait(kms.encrypt(key, b"text", &context)).map(drop),
            "GenerateDataKey" => {
                wait(kms.generate_data_key(key, DataKeySpec::Aes256, &context)).map(drop)
            }
            "GenerateDataKeyWithoutPlaintext" => {
                let spec = DataKeySpec::Aes128;
                let call = kms.generate_data_key_without_plaintext(key, spec, &context);
                wait(call).map(drop)
            }
            "GetKeyRotationStatus" => {
                let described = wait(kms.describe_key(key)).map(|key| key.rotation);
                let is_same = |rotation| assert_eq!(rotation, self.key.rotation);
                // "While a KMS key is pending deletion, its key rotation status is
                // false."
                let status = |rotation: Option<RotationStatus>| match self.key.state {
                    KeyState::PendingDeletion => assert!(rotation.is_none()),
                    _ => is_same(rotation),
                };
                return Some(vec![
                    described.map(is_same),
                    wait(kms.rotation_status(key)).map(status),
                ]);
            }
            #[cfg(feature = "aws-lc-rs")]
            "GetParametersForImport" => {
                use waxseal::kms::{WrappingAlgorithm, WrappingKeySpec};
                let (algorithm, spec) =
                    (WrappingAlgorithm::RsaesOaepSha256, WrappingKeySpec::Rsa2048);
                wait(kms.get_parameters_for_import(key, algorithm, spec)).map(drop)
            }
            #[cfg(not(feature = "aws-lc-rs"))]
            "GetParametersForImport" => return None,
            "ImportKeyMaterial" => {
                wait(kms.import_key_material(key, &material(1), ImportOptions::new()))
            }
            "ListAliases" => wait(kms.list_aliases(Some(key))).map(drop),
            "ListKeyRotations" => wait(kms.rotations(key)).map(drop),
            "ListKeys" => wait(kms.list_keys(None, 10)).map(|page| {
                let ids: Vec<_> = page.keyrings.iter().map(|key| key.id.as_str()).collect();
                assert!(ids.contains(&key) && ids.contains(&other));
            }),
            "ListResourceTags" => {
                let described = wait(kms.describe_key(key)).map(|key| key.tags);
                let is_there = |tags: BTreeMap<_, _>| assert_eq!(tags["tag"], "value");
                return Some(vec![
                    described.map(is_there),
                    wait(kms.tags(key)).map(is_there),
                ]);
            }
            "ReEncrypt" => {
                let (blob, other_blob) = (&self.blob, &self.other_blob);
                let mut all = vec![
                    wait(kms.re_encrypt(blob, None, &context, key, &context)).map(drop),
                    wait(kms.re_encrypt(blob, Some(key), &context, other, &context)).map(drop),
                ];
                // Without the root, the source's error is the other key's.
                if self.key.state != KeyState::Unavailable {
                    let to = kms.re_encrypt(other_blob, None, &context, key, &context);
                    all.push(wait(to).map(drop));
                }
                return Some(all);
            }
            "RotateKeyOnDemand" => wait(kms.rotate(key)).map(drop),
            "ScheduleKeyDeletion" => wait(kms.schedule_deletion(key, None)).map(drop),
            "SetMinimumVersion" => wait(kms.set_minimum_version(key, 1)),
            "TagResource" => {
                let tags = BTreeMap::from([("new".to_owned(), "value".to_owned())]);
                wait(kms.tag(key, &tags))
            }
            "UntagResource" => wait(kms.untag(key, &["tag"])),
            "UpdateAlias" => wait(kms.update_alias("alias/other", key)),
            "UpdateKeyDescription" => wait(kms.update_description(key, "new")),
            #[cfg(feature = "kms-policy")]
            operation if WITH_POLICY.contains(&operation) => return self.call_policy(operation),
            #[cfg(not(feature = "kms-policy"))]
            operation if WITH_POLICY.contains(&operation) => return None,
            operation => panic!("{operation} is not called"),
        };
        Some(vec![one])
    }

    /// Calls an operation of policies and grants.
    #[cfg(feature = "kms-policy")]
    fn call_policy(&self, operation: &str) -> Option<Vec<Result<(), KmsError>>> {
        const POLICY: &str = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
            "Principal": {"AWS": "000000000000"}, "Action": "kms:*", "Resource": "*"}]}"#;
        let (kms, key) = (&self.kms, self.key.id.as_str());
        let one = match operation {
            "CreateGrant" => wait(kms.create_grant(key, grant_request())).map(drop),
            "GetKeyPolicy" => wait(kms.get_key_policy(key)).map(drop),
            "ListGrants" => wait(kms.list_grants(key)).map(drop),
            "ListKeyPolicies" => wait(kms.list_key_policies(key)).map(drop),
            "ListRetirableGrants" => {
                let retiring = waxseal::kms::Principal::root("111122223333").unwrap();
                wait(kms.list_retirable_grants(&retiring)).map(drop)
            }
            "PutKeyPolicy" => {
                return Some(vec![
                    wait(kms.put_key_policy(key, POLICY)),
                    wait(kms.put_key_policy_unchecked(key, POLICY)),
                ]);
            }
            "RetireGrant" => wait(kms.retire_grant(key, self.grant.as_ref()?)),
            "RevokeGrant" => wait(kms.revoke_grant(key, self.grant.as_ref()?)),
            operation => panic!("{operation} is not called"),
        };
        Some(vec![one])
    }
}

/// The state after an operation that succeeded.
fn state_after(operation: &str, kind: Kind, state: KeyState) -> KeyState {
    use KeyState::{Disabled, Enabled, PendingDeletion, PendingImport, Unavailable};
    match (operation, state) {
        (_, Unavailable) => match operation {
            "ScheduleKeyDeletion" => PendingDeletion,
            // [12]: the state does not change until the key is available.
            _ => Unavailable,
        },
        ("CancelKeyDeletion" | "DisableKey", _) => Disabled,
        ("EnableKey", _) => Enabled,
        ("ScheduleKeyDeletion", _) => PendingDeletion,
        ("DeleteImportedKeyMaterial", PendingDeletion) => PendingDeletion,
        ("DeleteImportedKeyMaterial", _) => PendingImport,
        ("ImportKeyMaterial", PendingImport) => {
            assert_ne!(kind, Local);
            Enabled
        }
        _ => state,
    }
}

fn rows() -> impl Iterator<Item = &'static Row> {
    let rows = TABLE.iter().chain(NEWER);
    rows.filter(|(operation, _)| !ABSENT.contains(operation))
}

#[test]
fn every_operation_in_every_state() {
    let (mut cells, mut allowed) = (0, 0);
    for (operation, row) in rows() {
        for (state, cell) in KeyState::ALL.into_iter().zip(row) {
            for kind in Kind::ALL.into_iter().filter(|kind| kind.can_be(state)) {
                let at = format!("{operation} on {kind:?} that is {state}");
                let mut expected = expected(operation, cell, kind, state);
                let scene = Scene::new(kind, state);
                let before = scene.seen();
                if kind == NeverImported && matches!(*operation, "Decrypt" | "ReEncrypt") {
                    // There is nothing that it could have encrypted.
                    continue;
                }
                let Some(results) = scene.call(operation) else {
                    continue;
                };
                for result in results {
                    let outcome = Outcome::of(result, operation, &scene.key.arn);
                    assert_eq!(outcome, expected, "{at}");
                    cells += 1;
                }
                let after = scene.seen();
                match expected {
                    Outcome::Success => {
                        allowed += 1;
                        assert_eq!(after.0.state, state_after(operation, kind, state), "{at}");
                    }
                    _ if *operation == "ReEncrypt" => {
                        // Another key has decrypted, and that is counted.
                        assert_eq!((before.0, before.2), (after.0, after.2), "{at}");
                    }
                    _ => assert_eq!(before, after, "{at}"),
                }
                if state == KeyState::Unavailable {
                    wait(scene.kms.connect()).unwrap();
                    expected = match *operation {
                        "DisableKey" => Outcome::Disabled,
                        "ScheduleKeyDeletion" => Outcome::InvalidState(KeyState::PendingDeletion),
                        _ => Outcome::Success,
                    };
                    let result = wait(scene.kms.encrypt(&scene.key.id, b"", &context()));
                    let outcome = Outcome::of(result.map(drop), "Encrypt", &scene.key.arn);
                    assert_eq!(outcome, expected, "{at}, then connected");
                }
            }
        }
    }
    println!("{cells} calls, {allowed} cells that allow one");
    assert!(cells > 200, "{cells}");
}

#[test]
fn the_table_is_whole() {
    let mut names: Vec<_> = TABLE.iter().chain(NEWER).map(|(name, _)| *name).collect();
    // Not on a key that there is, or of the whole store, or by the KMS itself.
    let others = [
        "ChangeRoot",
        "CreateKey",
        "DeleteExpiredKeyMaterial",
        "DeleteKey",
        "ExportStore",
        "GenerateRandom",
        "ImportStore",
        "ListKeys",
        "RotateKey",
        "RotateStoreKey",
    ];
    for operation in Operation::ALL {
        if !others.contains(&operation.name()) {
            assert!(names.contains(&operation.name()), "{operation}");
        }
    }
    for absent in ABSENT.iter().chain(WITH_POLICY) {
        assert!(names.contains(absent), "{absent}");
    }
    for (operations, ..) in DIFFERENCES {
        assert!(operations.iter().all(|operation| names.contains(operation)));
    }
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}

/// Footnote [10]: a name is moved away from a key that is to be deleted.
#[test]
fn an_alias_leaves_a_key_in_any_state() {
    for state in KeyState::ALL {
        let scene = Scene::new(External, state);
        wait(scene.kms.update_alias("alias/key", &scene.other.id)).unwrap();
        assert_eq!(
            wait(scene.kms.resolve("alias/key")).unwrap(),
            scene.other.arn
        );
    }
}

/// Without material waiting, imported material cannot be rotated. AWS KMS gives
/// KMSInvalidStateException for that, though the key's state is not the reason;
/// here it is an error that says what is missing.
#[test]
fn imported_material_is_rotated_once_for_each_import() {
    let scene = Scene::new(External, KeyState::Enabled);
    assert_eq!(wait(scene.kms.rotate(&scene.key.id)).unwrap(), 2);
    let again = wait(scene.kms.rotate(&scene.key.id)).map(drop);
    let again = Outcome::of(again, "RotateKeyOnDemand", &scene.key.arn);
    assert_eq!(again, Outcome::Unsupported);
}

#[test]
fn a_key_whose_deletion_came_is_not_found_by_anything() {
    for is_done in [false, true] {
        for (operation, _) in rows() {
            let scene = Scene::new(External, KeyState::PendingDeletion);
            scene.clock.advance(DAY * 7);
            if is_done {
                let report = wait(scene.kms.run_due()).unwrap();
                assert_eq!(report.deleted, std::slice::from_ref(&scene.key.arn));
            }
            if *operation == "ListKeys" {
                let page = wait(scene.kms.list_keys(None, 10)).unwrap();
                assert_eq!(page.keyrings.len(), 1);
                continue;
            }
            if *operation == "ListRetirableGrants" {
                continue;
            }
            for result in scene.call(operation).into_iter().flatten() {
                let outcome = Outcome::of(result, operation, &scene.key.arn);
                assert_eq!(outcome, Outcome::NotFound, "{operation}");
            }
        }
    }
}

/// Uses are allowed, telling is for services' keys, and all else for nobody.
#[test]
fn keys_that_are_not_the_customers() {
    const USES: &[&str] = &[
        "Decrypt",
        "Encrypt",
        "GenerateDataKey",
        "GenerateDataKeyWithoutPlaintext",
        "ReEncrypt",
    ];
    const TELLING: &[&str] = &[
        "DescribeKey",
        "GetKeyPolicy",
        "GetKeyRotationStatus",
        "ListAliases",
        "ListGrants",
        "ListKeyPolicies",
        "ListKeyRotations",
    ];
    const OF_NO_KEY: &[&str] = &[
        "DeleteAlias",
        "ListKeys",
        "ListResourceTags",
        "ListRetirableGrants",
    ];
    for is_service in [true, false] {
        let mut scene = Scene::new(Local, KeyState::Enabled);
        let kms = scene.kms.clone();
        if is_service {
            scene.key = wait(kms.service_key("s3")).unwrap();
            assert_eq!(scene.key.state, KeyState::Enabled);
            assert_eq!(scene.key.rotation.map(|rotation| rotation.days), Some(365));
        } else {
            let arn = wait(kms.owned_key("s3")).unwrap();
            let id = arn.rsplit('/').next().unwrap();
            (scene.key.id, scene.key.arn) = (id.to_owned(), arn);
        }
        scene.blob = wait(kms.encrypt(&scene.key.arn, b"text", &context()))
            .unwrap()
            .blob;
        for (operation, _) in rows() {
            // Not of this key.
            if OF_NO_KEY.contains(operation) {
                continue;
            }
            for result in scene.call(operation).into_iter().flatten() {
                let outcome = Outcome::of(result, operation, &scene.key.arn);
                let expected = match *operation {
                    operation if USES.contains(&operation) => Outcome::Success,
                    _ if !is_service => Outcome::NotFound,
                    operation if TELLING.contains(&operation) => Outcome::Success,
                    _ => Outcome::Unsupported,
                };
                assert_eq!(outcome, expected, "{operation}, service {is_service}");
            }
        }
        let page = wait(kms.list_keys(None, 10)).unwrap();
        let is_listed = page.keyrings.iter().any(|key| key.id == scene.key.id);
        assert_eq!(is_listed, is_service);
        let aliases = wait(kms.list_aliases(None)).unwrap().aliases;
        let of_key: Vec<_> = aliases
            .iter()
            .filter(|alias| alias.key_arn == scene.key.arn)
            .map(|alias| alias.name.as_str())
            .collect();
        match is_service {
            true => assert_eq!(of_key, ["alias/aws/s3"]),
            false => assert!(of_key.is_empty()),
        }
        for reserved in ["alias/aws/s3", "alias/aws/new"] {
            for refused in [
                wait(kms.create_alias(reserved, &scene.other.id)),
                wait(kms.update_alias(reserved, &scene.other.id)),
                wait(kms.delete_alias(reserved)),
            ] {
                assert!(matches!(refused, Err(KmsError::InvalidAlias { .. })));
            }
        }
        // The same again, by the same and by another handle.
        match is_service {
            true => assert_eq!(wait(kms.service_key("s3")).unwrap(), scene.key),
            false => assert_eq!(wait(kms.owned_key("s3")).unwrap(), scene.key.arn),
        }
        // The year's rotation, which nobody asked for.
        scene.clock.advance(DAY * 365);
        let report = wait(kms.run_due()).unwrap();
        assert!(report.rotated.contains(&(scene.key.arn.clone(), 2)));
        let opened = wait(kms.decrypt(&scene.blob, None, &context())).unwrap();
        assert_eq!(opened.key_version, 1);
        let new = wait(kms.encrypt(&scene.key.arn, b"", &context())).unwrap();
        assert_eq!(new.key_version, 2);
    }
}

/// A name for an owned key is no name of anybody's.
#[test]
fn owned_keys_have_no_alias_that_can_be_given() {
    let scene = Scene::new(Local, KeyState::Enabled);
    wait(scene.kms.owned_key("s3")).unwrap();
    for name in ["owned/s3", "alias/owned/s3", "s3"] {
        let refused = wait(scene.kms.encrypt(name, b"", &context())).unwrap_err();
        assert!(matches!(refused, KmsError::NotFound { .. }), "{name}");
    }
}
