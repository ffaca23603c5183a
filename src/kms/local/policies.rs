//! Who acts, and who may: callers, key policies, and why a call is allowed.

use std::sync::Arc;

use super::gate::{By, Call, Change, as_strs};
use super::{Inner, LocalKms};
use crate::context::EncryptionContext;
use crate::kms::access::Caller;
use crate::kms::access::policy::{Explanation, KeyPolicy};
use crate::kms::audit::AuditEvent;
use crate::kms::error::{KmsError, KmsResult};
use crate::kms::key::{KeyRecord, Owner};
use crate::kms::parameter::Parameter;
use crate::kms::state::Operation;

/// The one name that a key policy has.
const POLICY_NAME: &str = "default";

impl LocalKms {
    /// A handle whose calls are made by somebody: allowed as their policies,
    /// the key's policy and its grants say, and recorded under their name.
    /// Without it calls are made by the root of the KMS's
    /// [account](super::LocalKmsBuilder::account), which a new key's policy
    /// lets do everything.
    ///
    /// What makes the handle act as somebody else does not need leave: whoever
    /// holds a `LocalKms` holds its keys. Hand such a handle on, not the
    /// `LocalKms` itself, to code that is to do no more: it cannot do what is
    /// only the application's own (change the root, make and restore backups,
    /// [`run_due`](Self::run_due), [`disconnect`](Self::disconnect), …), and
    /// what is made of it by `acting_as` again is denied every call. What it
    /// does show to anybody are the ids of the store, the account and the
    /// Region, and by [`explain`](Self::explain) which statements and grants
    /// decide on its own calls.
    ///
    /// ```
    /// use waxseal::blocking::wait;
    /// use waxseal::EncryptionContext;
    /// use waxseal::kms::policy::IdentityPolicy;
    /// use waxseal::kms::{Caller, CreateKey, KmsError, LocalKms, Principal};
    ///
    /// let kms = LocalKms::in_memory()?;
    /// let key = wait(kms.create_key(CreateKey::new()))?;
    /// let context = EncryptionContext::new();
    ///
    /// // The key's policy names the account, so the account's policies decide.
    /// let alice = Principal::user("000000000000", "alice")?;
    /// let nobody = kms.acting_as(Caller::new(alice.clone()));
    /// let denied = wait(nobody.encrypt(&key.id, b"a", &context)).unwrap_err();
    /// assert!(matches!(denied, KmsError::AccessDenied { .. }));
    ///
    /// let policy = IdentityPolicy::parse(
    ///     r#"{"Version": "2012-10-17", "Statement": [
    ///         {"Effect": "Allow", "Action": "kms:Encrypt", "Resource": "*"}]}"#,
    /// )?;
    /// let writer = kms.acting_as(Caller::new(alice).identity_policy(policy));
    /// let sealed = wait(writer.encrypt(&key.id, b"a", &context))?;
    /// assert!(wait(writer.decrypt(&sealed.blob, None, &context)).is_err());
    /// assert!(wait(kms.decrypt(&sealed.blob, None, &context)).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn acting_as(&self, caller: Caller) -> LocalKms {
        let caller = match &self.1 {
            None => caller,
            Some(own) => Caller {
                is_second_hand: true,
                ..(**own).clone()
            },
        };
        LocalKms(self.0.clone(), Some(Arc::new(caller)))
    }

    /// The account that the KMS stands for: 12 digits.
    pub fn account(&self) -> &str {
        &self.0.names.account
    }

    /// The Region that the KMS stands for.
    pub fn region(&self) -> &str {
        &self.0.names.region
    }

    /// Gives a key another policy, in AWS's JSON, of at most 256 KiB. It must
    /// let whoever calls change it again; see
    /// [`put_key_policy_unchecked`](Self::put_key_policy_unchecked).
    ///
    /// # Errors
    /// [`KmsError::MalformedPolicy`]; [`KmsError::NotFound`],
    /// [`KmsError::AccessDenied`], [`KmsError::Unsupported`] for a service's
    /// key; the store's errors.
    pub async fn put_key_policy(&self, key: &str, policy: &str) -> KmsResult<()> {
        self.put_policy(key, policy, false).await
    }

    /// The same without looking whether whoever calls could change it again
    /// (AWS KMS: `BypassPolicyLockoutSafetyCheck`). A policy that lets nobody
    /// do so leaves the key as it is for ever.
    ///
    /// # Errors
    /// As [`put_key_policy`](Self::put_key_policy).
    pub async fn put_key_policy_unchecked(&self, key: &str, policy: &str) -> KmsResult<()> {
        self.put_policy(key, policy, true).await
    }

    async fn put_policy(&self, key: &str, policy: &str, bypass: bool) -> KmsResult<()> {
        let details = [
            ("policyName", Parameter::Text(POLICY_NAME)),
            ("policy", Parameter::Text(policy)),
            ("bypassPolicyLockoutSafetyCheck", Parameter::Bool(bypass)),
        ];
        let call = self
            .call(Operation::PutKeyPolicy, key)
            .with_details(&details);
        self.0
            .change_key(call, |record, _| {
                let checked = self.0.checked_policy(&call, record, policy, bypass)?;
                record.access.policy = Some(checked);
                Ok(Change::Write(()))
            })
            .await
    }

    /// A key's policy, as it was given; AWS's default one where none was.
    ///
    /// # Errors
    /// [`KmsError::NotFound`], [`KmsError::AccessDenied`]; the store's errors.
    pub async fn get_key_policy(&self, key: &str) -> KmsResult<String> {
        let call = self.call(Operation::GetKeyPolicy, key);
        let policy = self
            .0
            .read_key(call, |record, _, _| record.access.policy.clone());
        let given = policy.await?;
        Ok(given.unwrap_or_else(|| self.0.access.default_policy.as_str().to_owned()))
    }

    /// The names of a key's policies: `default`, as in AWS KMS.
    ///
    /// # Errors
    /// [`KmsError::NotFound`], [`KmsError::AccessDenied`]; the store's errors.
    pub async fn list_key_policies(&self, key: &str) -> KmsResult<Vec<String>> {
        let call = self.call(Operation::ListKeyPolicies, key);
        let found = self
            .0
            .read_key(call, |_, _, _| vec![POLICY_NAME.to_owned()]);
        found.await
    }

    /// Whether whoever this handle acts as may make a call of a key in this
    /// encryption context, and why: which statement or grant decides, and what
    /// else would have been needed. For
    /// [`ReEncrypt`](Operation::ReEncrypt) it is about the key that what is
    /// re-encrypted comes under. The key's state is not looked at, and the audit
    /// trail is not told.
    ///
    /// # Errors
    /// [`KmsError::NotFound`]; the store's errors.
    pub async fn explain(
        &self,
        operation: Operation,
        key: &str,
        context: &EncryptionContext,
    ) -> KmsResult<Explanation> {
        let call = self.call(operation, key).with_context(context);
        let call = match operation {
            Operation::ReEncrypt => call.with_part(super::gate::Part::To),
            _ => call,
        };
        let loaded = self.0.locate(key).await?;
        let loaded = self.0.with_grants_of(&call, loaded).await?;
        let asked = self.0.aliases_asked(&call, loaded.id(), &loaded.guard);
        let aliases = asked.await?;
        let aliases = as_strs(&aliases);
        let call = call.with_aliases(&aliases);
        self.0.explain(&call, loaded.live()?, &loaded.guard)
    }

    /// Records a request that a service around the KMS has refused before it
    /// became a call, under the name of whoever this handle acts as: exactly
    /// one event for each request is the service's business then. The key is
    /// given by its ARN, where it is known.
    ///
    /// # Errors
    /// [`KmsError::Audit`] when it cannot be recorded.
    pub fn record_refusal(
        &self,
        operation: &str,
        code: &str,
        message: &str,
        key_arn: Option<&str>,
    ) -> KmsResult<()> {
        let Some(audit) = &self.0.access.audit else {
            return Ok(());
        };
        let now = self.0.clock.now();
        let caller = self.1.as_deref();
        let ids = &self.0.access.audit_ids;
        let mut all = Operation::ALL.iter();
        let known = all.find(|known| known.name() == operation);
        let event = AuditEvent {
            request_id: caller
                .and_then(|caller| caller.request_id)
                .or_else(|| Some(ids.next(now))),
            principal: Some(caller.map_or(&self.0.access.root, |caller| &caller.principal)),
            account: &self.0.names.account,
            region: &self.0.names.region,
            source_ip: caller.and_then(|caller| caller.source_ip.as_deref()),
            user_agent: caller.and_then(|caller| caller.user_agent.as_deref()),
            error: Some((code, &message)),
            resources: key_arn.as_slice(),
            read_only: known.is_some_and(|known| known.is_read_only()),
            ..AuditEvent::new(operation, now, ids.next(now))
        };
        audit.record(&event).map_err(KmsError::Audit)
    }
}

impl Inner {
    /// A policy that a key may be given by whoever calls.
    pub(super) fn checked_policy(
        &self,
        call: &Call<'_>,
        record: &KeyRecord,
        policy: &str,
        bypass: bool,
    ) -> KmsResult<String> {
        let refused = |reason: String| KmsError::MalformedPolicy { reason };
        if !matches!(record.owner, Owner::Customer) {
            return Err(record.unsupported(
                Operation::PutKeyPolicy,
                "only a customer key has a policy of its own",
            ));
        }
        let parsed = KeyPolicy::parse(policy).map_err(|error| refused(error.to_string()))?;
        let again = Call {
            operation: Operation::PutKeyPolicy,
            ..*call
        };
        // Under a new policy that asks for the key's aliases it is taken that there
        // are none.
        if !bypass && !matches!(call.by, By::Kms) {
            let kept = self.check_policy(&parsed, &again, record);
            kept.map_err(|denied| {
                refused(format!(
                    "it would not let its author change it again: {denied}"
                ))
            })?;
        }
        Ok(policy.to_owned())
    }
}
