//! What access control and the audit trail cost the embedded KMS: a caller with
//! an identity policy, a key policy of three statements and a callback that is
//! told of each call, against the same calls without all of that.

use std::sync::atomic::{AtomicU64, Ordering};

use waxseal::blocking::wait;
use waxseal::kms::audit::{AuditCallback, AuditEvent, AuditSettings};
use waxseal::kms::policy::IdentityPolicy;
use waxseal::kms::store::MemoryStore;
use waxseal::kms::{Caller, CreateKey, DataKeySpec, LocalKms, Principal, RootKey};
use waxseal::{EncryptionContext, SecretBytes};
use waxseal_bench::{Contender, Goal, Session};

const GOAL: Goal = Goal::AtMost(1.3);
const ACCOUNT: &str = "111122223333";

/// The root, the caller in one encryption context, and nobody in another.
const KEY_POLICY: &str = r#"{"Version": "2012-10-17", "Statement": [
    {"Sid": "Root", "Effect": "Allow",
     "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
     "Action": "kms:*", "Resource": "*"},
    {"Sid": "Tenant", "Effect": "Allow",
     "Principal": {"AWS": "arn:aws:iam::111122223333:user/alice"},
     "Action": ["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey*"], "Resource": "*",
     "Condition": {"StringEquals": {"kms:EncryptionContext:tenant": "7"}}},
    {"Sid": "Deletion", "Effect": "Deny", "Principal": "*",
     "Action": "kms:ScheduleKeyDeletion", "Resource": "*"}]}"#;

const IDENTITY_POLICY: &str = r#"{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": "*"}]}"#;

static TOLD: AtomicU64 = AtomicU64::new(0);

fn main() {
    let mut session = Session::from_args();
    let context = EncryptionContext::from([("tenant", "7"), ("purpose", "backup")]);
    let (plain, plain_key) = open(None, CreateKey::new());
    let audit = AuditSettings::new(AuditCallback::new(|event: &AuditEvent<'_>| {
        TOLD.fetch_add(event.resources().len() as u64, Ordering::Relaxed);
    }));
    let (kms, key) = open(Some(audit), CreateKey::new().policy(KEY_POLICY));
    let alice = Principal::user(ACCOUNT, "alice").expect("a user");
    let policy = IdentityPolicy::parse(IDENTITY_POLICY).expect("a policy");
    let alice = kms.acting_as(Caller::new(alice).identity_policy(policy));

    let generate =
        |kms: &LocalKms, key: &str| wait(kms.generate_data_key(key, DataKeySpec::Aes256, &context));
    let mut contenders = [
        Contender::new("without", |(): &mut ()| generate(&plain, &plain_key)),
        Contender::new("policies and audit", |(): &mut ()| generate(&alice, &key)),
    ];
    session.compare("GenerateDataKey", &mut contenders, GOAL);

    let blob = |kms: &LocalKms, key: &str| {
        let generated = generate(kms, key).expect("generates");
        generated.ciphertext.blob
    };
    let (plain_blob, alices_blob) = (blob(&plain, &plain_key), blob(&alice, &key));
    let decrypt = |kms: &LocalKms, blob: &[u8]| wait(kms.decrypt(blob, None, &context));
    decrypt(&alice, &alices_blob).expect("decrypts");
    let mut contenders = [
        Contender::new("without", |(): &mut ()| decrypt(&plain, &plain_blob)),
        Contender::new("policies and audit", |(): &mut ()| {
            decrypt(&alice, &alices_blob)
        }),
    ];
    session.compare("Decrypt", &mut contenders, GOAL);
    assert!(TOLD.load(Ordering::Relaxed) > 0);
    session.finish();
}

/// A KMS in memory with one key.
fn open(audit: Option<AuditSettings>, key: CreateKey) -> (LocalKms, String) {
    let root = RootKey::bytes(SecretBytes::random(32).expect("random"));
    let mut builder = LocalKms::builder(MemoryStore::new(), root).account(ACCOUNT);
    if let Some(audit) = audit {
        builder = builder.audit(audit);
    }
    let kms = wait(builder.open()).expect("opens");
    let key = wait(kms.create_key(key)).expect("a key").id;
    (kms, key)
}
