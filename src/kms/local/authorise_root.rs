//! Without the feature `kms-policy`, there is one principal.

use std::sync::Arc;

use super::gate::{By, Call, Outcome};
use super::{Inner, Loaded, LocalKms};
use crate::kms::error::{KmsError, KmsResult};
use crate::kms::key::KeyRecord;
use crate::kms::time::Timestamp;

/// Whether a key has a policy other than AWS's default, which lets the root do
/// all.
#[derive(Default)]
pub(super) struct Guard {
    has_policy: bool,
}

impl Guard {
    pub(super) fn new(record: &KeyRecord) -> Self {
        Guard {
            has_policy: record.access.policy.is_some(),
        }
    }
}

impl Call<'_> {
    pub(super) fn end_dry_run(&self) -> KmsResult<()> {
        Ok(())
    }
}

impl LocalKms {
    pub(super) fn only_application(&self, _action: &'static str) -> KmsResult<()> {
        Ok(())
    }
}

impl Inner {
    pub(super) fn enter(&self, _call: &Call<'_>) -> KmsResult<()> {
        Ok(())
    }

    pub(super) fn authorise(
        &self,
        call: &Call<'_>,
        record: &KeyRecord,
        guard: &Guard,
        _now: Timestamp,
    ) -> KmsResult<()> {
        match call.by {
            By::Kms => Ok(()),
            By::Root if !guard.has_policy => Ok(()),
            // It may forbid just this.
            By::Root => Err(KmsError::Unsupported {
                key: record.arn.clone(),
                operation: call.operation,
                reason: "it has a key policy, and this build lacks the feature kms-policy",
            }),
            By::Caller(nobody) => match *nobody {},
        }
    }

    pub(super) fn authorise_keyless(&self, _call: &Call<'_>) -> KmsResult<()> {
        Ok(())
    }

    pub(super) fn authorise_root(&self, _call: &Call<'_>) -> KmsResult<()> {
        Ok(())
    }

    pub(super) fn authorise_alias(&self, _call: &Call<'_>, _alias: &str) -> KmsResult<()> {
        Ok(())
    }

    pub(super) async fn with_grants_of(
        &self,
        _call: &Call<'_>,
        key: Arc<Loaded>,
    ) -> KmsResult<Arc<Loaded>> {
        Ok(key)
    }

    pub(super) async fn aliases_asked(
        &self,
        _call: &Call<'_>,
        _key_id: &str,
        _guard: &Guard,
    ) -> KmsResult<Vec<String>> {
        Ok(Vec::new())
    }

    pub(super) fn takes_note(&self) -> bool {
        false
    }

    pub(super) async fn named_arn(&self, _key: &str) -> Option<String> {
        None
    }

    pub(super) fn note(&self, _call: &Call<'_>, _outcome: Outcome<'_>) -> KmsResult<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::gate::Change;
    use super::*;
    use crate::client::blocking::wait;
    use crate::context::EncryptionContext;
    use crate::crypto::SecretBytes;
    use crate::kms::access::{AccessRecord, GrantRecord};
    use crate::kms::state::Operation;
    use crate::kms::store::MemoryStore;
    use crate::kms::vault::RootKey;
    use crate::kms::{CreateKey, LocalKms};

    const POLICY: &str = r#"{"Version": "2012-10-17", "Statement": []}"#;

    fn open(store: &MemoryStore) -> LocalKms {
        let root = RootKey::bytes(SecretBytes::from(vec![1; 32]));
        wait(LocalKms::builder(store.clone(), root).open()).unwrap()
    }

    fn grant() -> GrantRecord {
        let name = |name: &str| format!("arn:aws:iam::111122223333:user/{name}");
        GrantRecord {
            id: "0a".repeat(32),
            name: Some("nightly".into()),
            created: Timestamp::FIRST,
            issuer: name("alice"),
            grantee: name("bob"),
            retiring: None,
            operations: vec!["Decrypt".into()],
            context_equals: None,
            context_subset: None,
        }
    }

    /// A key as a build with the feature leaves it.
    fn key_with(kms: &LocalKms, policy: Option<&str>) -> String {
        let id = wait(kms.create_key(CreateKey::new())).unwrap().id;
        let call = Call::automatic(Operation::PutKeyPolicy, &id);
        let change = kms.inner().write_changed(call, |record, _| {
            record.access = AccessRecord {
                policy: policy.map(str::to_owned),
                grants: vec![grant()],
            };
            Ok(Change::Write(()))
        });
        wait(change).unwrap();
        id
    }

    fn access_of(kms: &LocalKms, id: &str) -> AccessRecord {
        let loaded = wait(kms.inner().load(id)).unwrap().unwrap();
        loaded.live().unwrap().access.clone()
    }

    #[test]
    fn a_key_with_a_policy_is_nobodys_here() {
        let store = MemoryStore::new();
        let kms = open(&store);
        let id = key_with(&kms, Some(POLICY));
        let context = EncryptionContext::new();
        for kms in [&kms, &open(&store)] {
            for refused in [
                wait(kms.encrypt(&id, b"", &context)).map(drop),
                wait(kms.describe_key(&id)).map(drop),
                wait(kms.disable_key(&id)),
                wait(kms.rotate(&id)).map(drop),
                wait(kms.schedule_deletion(&id, None)).map(drop),
                wait(kms.deleted_key(&id)).map(drop),
            ] {
                match refused {
                    Err(KmsError::Unsupported { reason, .. }) => {
                        assert!(reason.contains("kms-policy"), "{reason}");
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(access_of(kms, &id).policy.as_deref(), Some(POLICY));
        }
    }

    #[test]
    fn grants_are_kept() {
        let store = MemoryStore::new();
        let kms = open(&store);
        let id = key_with(&kms, None);
        wait(kms.encrypt(&id, b"", &EncryptionContext::new())).unwrap();
        wait(kms.rotate(&id)).unwrap();
        wait(kms.update_description(&id, "other")).unwrap();
        wait(kms.rotate_store_key()).unwrap();
        for kms in [&kms, &open(&store)] {
            assert!(access_of(kms, &id).grants == [grant()]);
        }
        let under = RootKey::bytes(SecretBytes::from(vec![2; 32]));
        let backup = wait(kms.export(&under)).unwrap();
        let elsewhere = open(&MemoryStore::new());
        wait(elsewhere.import(&backup, &under)).unwrap();
        assert!(access_of(&elsewhere, &id).grants == [grant()]);
    }
}
