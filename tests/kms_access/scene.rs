//! A KMS with keys in several states, and somebody who asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use waxseal::blocking::wait;
use waxseal::kms::audit::{AuditCallback, AuditEvent, AuditSettings};
use waxseal::kms::policy::IdentityPolicy;
use waxseal::kms::store::{BlobStore, MemoryStore};
use waxseal::kms::{
    Caller, CreateGrant, CreateKey, CreatedGrant, GrantOperation, ImportOptions, Keyring, KmsError,
    KmsResult, LocalKms, LocalKmsBuilder, Principal, RootKey,
};
use waxseal::test_util::ManualClock;
use waxseal::{EncryptionContext, SecretBytes};

pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const OTHER_ACCOUNT: &str = "444455556666";
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// So long that the shelf is never asked again within a test.
pub(crate) const LONG: Duration = Duration::from_secs(1_000_000_000);

pub(crate) fn root() -> RootKey {
    RootKey::bytes(SecretBytes::from(vec![1; 32]))
}

pub(crate) fn material(byte: u8) -> SecretBytes {
    SecretBytes::from((0..32).map(|n| byte ^ (n * 7)).collect::<Vec<u8>>())
}

pub(crate) fn context() -> EncryptionContext {
    EncryptionContext::from([("tenant", "7"), ("purpose", "backup")])
}

pub(crate) fn user(name: &str) -> Principal {
    Principal::user(ACCOUNT, name).unwrap()
}

pub(crate) fn stranger(name: &str) -> Principal {
    Principal::user(OTHER_ACCOUNT, name).unwrap()
}

/// An identity policy of one statement.
pub(crate) fn identity(effect: &str, action: &str, resource: &str) -> IdentityPolicy {
    let text = format!(
        r#"{{"Version": "2012-10-17", "Statement":
            [{{"Effect": "{effect}", "Action": "{action}", "Resource": "{resource}"}}]}}"#
    );
    IdentityPolicy::parse(&text).unwrap()
}

/// A user whom its own policies let do everything.
pub(crate) fn admin(name: &str) -> Caller {
    Caller::new(user(name)).identity_policy(identity("Allow", "kms:*", "*"))
}

/// A key policy that leaves everything to the root and adds statements.
pub(crate) fn policy_with(statements: &str) -> String {
    format!(
        r#"{{"Version": "2012-10-17", "Statement": [
            {{"Sid": "Root", "Effect": "Allow",
              "Principal": {{"AWS": "arn:aws:iam::{ACCOUNT}:root"}},
              "Action": "kms:*", "Resource": "*"}}{}{statements}]}}"#,
        if statements.is_empty() { "" } else { ", " }
    )
}

/// A statement of a key policy.
pub(crate) fn statement(effect: &str, principal: &str, action: &str) -> String {
    format!(
        r#"{{"Effect": "{effect}", "Principal": {{"AWS": "{principal}"}},
            "Action": "{action}", "Resource": "*"}}"#
    )
}

pub(crate) fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// Whether a call was let through by policies and grants, whatever came of it
/// then.
pub(crate) fn is_let_in<T>(result: &KmsResult<T>) -> bool {
    !matches!(result, Err(KmsError::AccessDenied { .. }))
}

pub(crate) fn assert_denied<T: std::fmt::Debug>(result: KmsResult<T>, at: &str) {
    match result {
        Err(KmsError::AccessDenied { .. }) => {}
        other => panic!("{at}: {other:?}"),
    }
}

/// The events that a KMS has told of.
#[derive(Clone, Default)]
pub(crate) struct Trail(Arc<Mutex<Vec<String>>>);

impl Trail {
    pub(crate) fn settings(&self) -> AuditSettings {
        let trail = self.clone();
        AuditSettings::new(AuditCallback::new(move |event: &AuditEvent<'_>| {
            trail.0.lock().unwrap().push(event.to_json());
        }))
    }

    /// All events since the last time.
    pub(crate) fn take(&self) -> Vec<Value> {
        let lines = std::mem::take(&mut *self.0.lock().unwrap());
        let parse = |line: &String| serde_json::from_str(line).expect("JSON");
        lines.iter().map(parse).collect()
    }

    pub(crate) fn take_lines(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// Everything in a store, byte for byte.
pub(crate) fn contents(store: &MemoryStore) -> BTreeMap<String, Vec<u8>> {
    let names = wait(store.list("", None, 10_000)).unwrap();
    let read = |name: String| {
        let blob = wait(store.read(&name)).unwrap().expect("a blob");
        (name, blob.bytes)
    };
    names.into_iter().map(|entry| read(entry.name)).collect()
}

pub(crate) struct Scene {
    pub(crate) store: MemoryStore,
    pub(crate) clock: ManualClock,
    pub(crate) trail: Trail,
    /// The application's own: the account's root.
    pub(crate) kms: LocalKms,
    /// With `alias/key` and a tag.
    pub(crate) key: Keyring,
    /// With `alias/other`.
    pub(crate) other: Keyring,
    /// With material that was imported.
    pub(crate) external: Keyring,
    /// To be deleted.
    pub(crate) doomed: Keyring,
    /// What the key has encrypted, in [`context`].
    pub(crate) blob: Vec<u8>,
    /// Lets a user `grantee` retire it, and nothing else.
    pub(crate) grant: CreatedGrant,
    pub(crate) backup: Vec<u8>,
}

pub(crate) fn builder(store: &MemoryStore, clock: &ManualClock) -> LocalKmsBuilder {
    LocalKms::builder(store.clone(), root())
        .account(ACCOUNT)
        .clock(clock.clone())
        .max_staleness(Duration::ZERO)
        // Counts are not written in between.
        .usage_flush_interval(LONG)
}

impl Scene {
    pub(crate) fn new() -> Scene {
        Self::with(|builder| builder)
    }

    pub(crate) fn with(settings: impl FnOnce(LocalKmsBuilder) -> LocalKmsBuilder) -> Scene {
        let (store, clock, trail) = (MemoryStore::new(), ManualClock::default(), Trail::default());
        let kms = builder(&store, &clock).audit(trail.settings());
        let kms = wait(settings(kms).open()).unwrap();
        let create = |request: CreateKey| wait(kms.create_key(request)).unwrap();
        let request = CreateKey::new().alias("alias/key").tag("tag", "value");
        let key = create(request.rotate_every(90));
        let other = create(CreateKey::new().alias("alias/other"));
        let external = create(CreateKey::new().external());
        let first = material(1);
        let import = kms.import_key_material(&external.id, &first, ImportOptions::new());
        wait(import).unwrap();
        let doomed = create(CreateKey::new());
        wait(kms.schedule_deletion(&doomed.id, Some(7))).unwrap();
        let blob = wait(kms.encrypt(&key.id, b"attack at dawn", &context())).unwrap();
        let request = CreateGrant::new(user("grantee"), [GrantOperation::RetireGrant]);
        let grant = wait(kms.create_grant(&key.id, request)).unwrap();
        let backup = wait(kms.export(&root())).unwrap();
        trail.take_lines();
        Scene {
            blob: blob.blob,
            store,
            clock,
            trail,
            kms,
            key,
            other,
            external,
            doomed,
            grant,
            backup,
        }
    }

    pub(crate) fn acting(&self, caller: Caller) -> LocalKms {
        self.kms.acting_as(caller)
    }

    /// A user without any policy.
    pub(crate) fn plain(&self, name: &str) -> LocalKms {
        self.acting(Caller::new(user(name)))
    }

    /// The same store through a handle of its own, as another process has it.
    pub(crate) fn reopen(&self) -> LocalKms {
        wait(builder(&self.store, &self.clock).open()).unwrap()
    }

    pub(crate) fn put_policy(&self, policy: &str) {
        wait(self.kms.put_key_policy_unchecked(&self.key.id, policy)).unwrap();
    }

    pub(crate) fn grant(&self, request: CreateGrant) -> CreatedGrant {
        wait(self.kms.create_grant(&self.key.id, request)).unwrap()
    }

    /// Encrypts under the key.
    pub(crate) fn encrypt(&self, kms: &LocalKms) -> KmsResult<Vec<u8>> {
        wait(kms.encrypt(&self.key.id, b"text", &context())).map(|sealed| sealed.blob)
    }

    /// Decrypts what is under the key.
    pub(crate) fn decrypt(&self, kms: &LocalKms) -> KmsResult<Vec<u8>> {
        let opened = wait(kms.decrypt(&self.blob, None, &context()));
        opened.map(|opened| opened.plaintext.expose().to_vec())
    }
}
