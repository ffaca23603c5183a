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
