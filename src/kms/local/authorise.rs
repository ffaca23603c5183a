//! Who may do what: the key's policy and grants, and the caller's own policies.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::gate::{By, Call, Part};
use super::{Inner, Loaded, LocalKms};
use crate::kms::access::policy::{
    ConditionContext, Explanation, IdentityPolicy, KeyPolicy, Request, evaluate, explain,
};
use crate::kms::access::{
    Buckets, Caller, GrantOperation, GrantRecord, MAX_GRANT_TOKENS, Principal, parse_token,
};
use crate::kms::alias::KeySpec;
use crate::kms::audit::{AuditIds, AuditSettings};
use crate::kms::error::{KmsError, KmsResult};
use crate::kms::key::{KeyRecord, Origin, Owner};
use crate::kms::parameter::Parameter;
use crate::kms::state::Operation;
use crate::kms::time::Timestamp;

/// What a KMS needs to judge calls, and to tell of them.
pub(super) struct Access {
    /// Who calls, where nobody else does.
    pub(super) root: Principal,
    /// AWS's default policy.
    pub(super) default_policy: KeyPolicy,
    pub(super) quotas: Option<Buckets>,
    pub(super) audit: Option<AuditSettings>,
    pub(super) audit_ids: AuditIds,
}

/// What a key's record says of who may use it, ready to be judged by.
#[derive(Default)]
pub(super) struct Guard {
    policy: Policy,
    /// The places of its grants, by grantee.
    grants: HashMap<Box<str>, Vec<usize>>,
}

#[derive(Default)]
enum Policy {
    #[default]
    Default,
    Own(Box<KeyPolicy>),
    /// Another version's: nobody is let in by what is not understood.
    Unreadable,
}

impl Guard {
    pub(super) fn new(record: &KeyRecord) -> Self {
        let policy = match record.access.policy.as_deref() {
            None => Policy::Default,
            Some(text) => match KeyPolicy::parse(text) {
                Ok(policy) => Policy::Own(Box::new(policy)),
                Err(_) => Policy::Unreadable,
            },
        };
        let mut grants: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        for (place, grant) in record.access.grants.iter().enumerate() {
            grants
                .entry(grant.grantee.as_str().into())
                .or_default()
                .push(place);
        }
        Guard { policy, grants }
    }

    /// The grant that lets this call be made, if one does.
    fn grant_for<'a>(
        &self,
        record: &'a KeyRecord,
        principal: &Principal,
        call: &Call<'_>,
    ) -> Option<&'a GrantRecord> {
        if call.operation == Operation::RetireGrant {
            // By right of itself alone.
            let Some(Parameter::Text(id)) = call.detail("grantId") else {
                return None;
            };
            let grant = record.access.grants.iter().find(|grant| grant.id == id)?;
            let retires = grant.retiring.as_deref() == Some(principal.arn());
            let is_own = grant.grantee == principal.arn();
            let may = retires || is_own && grant.allows(GrantOperation::RetireGrant, None);
            return may.then_some(grant);
        }
        let places = self.grants.get(principal.arn())?;
        let operation = GrantOperation::from_name(call.action())?;
        let mut grants = places
            .iter()
            .filter_map(|place| record.access.grants.get(*place));
        grants.find(|grant| grant.allows(operation, call.context))
    }
}

impl Call<'_> {
    /// The name of the permission that it needs.
    pub(super) fn action(&self) -> &'static str {
        match self.part {
            Part::Whole => self.operation.name(),
            Part::From => "ReEncryptFrom",
            Part::To => "ReEncryptTo",
        }
    }

    fn check_grant_tokens(&self) -> KmsResult<()> {
        let By::Caller(caller) = self.by else {
            return Ok(());
        };
        if caller.grant_tokens.len() > MAX_GRANT_TOKENS {
            return Err(KmsError::LimitExceeded {
                what: "grant tokens of one call",
                limit: MAX_GRANT_TOKENS as u64,
            });
        }
        caller
            .grant_tokens
            .iter()
            .try_for_each(|token| parse_token(token).map(drop))
    }

    pub(super) fn end_dry_run(&self) -> KmsResult<()> {
        match self.by {
            By::Caller(caller) if caller.dry_run => Err(KmsError::DryRun),
            _ => Ok(()),
        }
    }

    fn detail(&self, name: &str) -> Option<Parameter<'_>> {
        let found = self.details.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| *value)
    }

    /// What conditions can ask for.
    fn conditions<'q>(
        &'q self,
        caller: Option<&'q Caller>,
        record: Option<&KeyRecord>,
        now: SystemTime,
    ) -> ConditionContext<'q> {
        let text = |name| match self.detail(name) {
            Some(Parameter::Text(text)) => Some(text),
            _ => None,
        };
        let number = |name| match self.detail(name) {
            Some(Parameter::Number(number)) => u32::try_from(number).ok(),
            _ => None,
        };
        let flag = |name| match self.detail(name) {
            Some(Parameter::Bool(flag)) => Some(flag),
            _ => None,
        };
        let constraints = match self.detail("constraints") {
            Some(Parameter::Group([(name, _), ..])) => Some(*name),
            _ => None,
        };
        ConditionContext {
            now: Some(now),
            encryption_context: self.context,
            via_service: caller.and_then(|caller| caller.via_service.as_deref()),
            grant_operations: match self.detail("operations") {
                Some(Parameter::Texts(operations)) => operations,
                _ => &[],
            },
            grant_constraint_type: constraints.map(|name| match name {
                "encryptionContextEquals" => "EncryptionContextEquals",
                _ => "EncryptionContextSubset",
            }),
            grant_is_for_aws_resource: matches!(
                self.operation,
                Operation::CreateGrant | Operation::ListGrants | Operation::RevokeGrant
            )
            .then_some(caller.is_some_and(|caller| caller.via_service.is_some())),
            grantee_principal: text("granteePrincipal"),
            retiring_principal: text("retiringPrincipal"),
            pending_window_days: number("pendingWindowInDays"),
            rotation_period_days: number("rotationPeriodInDays"),
            bypass_lockout_check: flag("bypassPolicyLockoutSafetyCheck"),
            encryption_algorithm: self.context.map(|_| "SYMMETRIC_DEFAULT"),
            reencrypt_on_same_key: flag("reEncryptOnSameKey"),
            key_spec: Some("SYMMETRIC_DEFAULT"),
            key_usage: Some("ENCRYPT_DECRYPT"),
            key_origin: match record {
                Some(record) => Some(match record.origin {
                    Origin::Local => "AWS_KMS",
                    Origin::External => "EXTERNAL",
                }),
                None => text("origin"),
            },
            request_alias: text("keyId").or(Some(self.key)).and_then(named_alias),
            resource_aliases: self.aliases,
        }
    }
}

/// The alias by which a key was named, if it was.
fn named_alias(key: &str) -> Option<&str> {
    let name = match key.starts_with("arn:") {
        true => key.rsplit(':').next()?,
        false => key,
    };
    name.starts_with("alias/").then_some(name)
}

/// A call, and all that has a say in it.
struct Question<'a> {
    policy: Option<&'a KeyPolicy>,
    identity: &'a [Arc<IdentityPolicy>],
    grant: Option<&'a str>,
    request: Request<'a>,
    /// Whether the handle was made by one that acts as somebody already.
    is_second_hand: bool,
    /// Whether no permission reaches across accounts for this.
    is_out_of_reach: bool,
}

impl Question<'_> {
    fn check(&self, call: &Call<'_>) -> KmsResult<()> {
        let request = &self.request;
        let (principal, resource) = (request.principal.arn(), request.resource);
        let denied = |reason: String| KmsError::denied(principal, call.action(), resource, reason);
        if self.is_second_hand {
            return Err(denied(
                "who acts as somebody cannot act as somebody else".to_owned(),
            ));
        }
        if self.is_out_of_reach {
            let reason = "it cannot be done from another account, whatever policies say";
            return Err(denied(reason.to_owned()));
        }
        let decision = evaluate(self.policy, self.identity, self.grant, request);
        if decision.is_allowed() {
            return Ok(());
        }
        Err(denied(decision.refusal(request)))
    }

    fn explain(&self, call: &Call<'_>) -> KmsResult<Explanation> {
        if self.is_second_hand || self.is_out_of_reach {
            self.check(call)?;
        }
        Ok(explain(
            self.policy,
            self.identity,
            self.grant,
            &self.request,
        ))
    }
}

impl Inner {
    fn root_or<'q>(&'q self, call: &Call<'q>) -> (&'q Principal, Option<&'q Caller>) {
        match call.by {
            By::Caller(caller) => (&caller.principal, Some(caller)),
            By::Root | By::Kms => (&self.access.root, None),
        }
    }

    fn question<'q>(
        &'q self,
        call: &'q Call<'q>,
        key: Option<(&'q KeyPolicy, &'q KeyRecord)>,
        grant: Option<&'q GrantRecord>,
        resource: &'q str,
        now: Timestamp,
    ) -> Question<'q> {
        let (principal, caller) = self.root_or(call);
        Question {
            policy: key.map(|(policy, _)| policy),
            identity: caller.map_or(&[], |caller| &caller.identity_policies),
            grant: grant.map(|grant| grant.id.as_str()),
            request: Request {
                principal,
                action: call.action(),
                resource,
                resource_account: &self.names.account,
                context: call.conditions(caller, key.map(|(_, record)| record), now.into()),
            },
            is_second_hand: caller.is_some_and(|caller| caller.is_second_hand),
            is_out_of_reach: key.is_some()
                && principal.account() != self.names.account
                && !call.operation.crosses_accounts(),
        }
    }

    /// The question that a call of a key asks.
    fn question_of<'q>(
        &'q self,
        call: &'q Call<'q>,
        record: &'q KeyRecord,
        guard: &'q Guard,
        now: Timestamp,
    ) -> KmsResult<Question<'q>> {
        let (principal, _) = self.root_or(call);
        let policy = self.policy_of(guard).ok_or_else(|| {
            let reason = "this version cannot read the key policy";
            KmsError::denied(principal.arn(), call.action(), &record.arn, reason)
        })?;
        let grant = guard.grant_for(record, principal, call);
        Ok(self.question(call, Some((policy, record)), grant, &record.arn, now))
    }

    fn policy_of<'q>(&'q self, guard: &'q Guard) -> Option<&'q KeyPolicy> {
        match &guard.policy {
            Policy::Default => Some(&self.access.default_policy),
            Policy::Own(policy) => Some(policy),
            Policy::Unreadable => None,
        }
    }

    /// Takes a token of the caller's quota, and looks whether the call could be
    /// told of.
    pub(super) fn enter(&self, call: &Call<'_>) -> KmsResult<()> {
        if matches!(call.by, By::Kms) {
            return Ok(());
        }
        call.check_grant_tokens()?;
        if let Some(quotas) = &self.access.quotas
            && call.part != Part::To
        {
            let (principal, _) = self.root_or(call);
            let taken = quotas.take(principal.account(), call.operation);
            taken.map_err(|retry_after| KmsError::Throttled { retry_after })?;
        }
        if let Some(audit) = &self.access.audit
            && !call.operation.is_read_only()
        {
            audit.ready().map_err(KmsError::Audit)?;
        }
        Ok(())
    }

    /// Whether whoever calls may do this with a key.
    pub(super) fn authorise(
        &self,
        call: &Call<'_>,
        record: &KeyRecord,
        guard: &Guard,
        now: Timestamp,
    ) -> KmsResult<()> {
        match call.by {
            By::Kms => return Ok(()),
            By::Root if matches!(guard.policy, Policy::Default) => return Ok(()),
            // As AWS owned keys, which no account sees.
            By::Caller(_) if matches!(record.owner, Owner::Owned(_)) => {
                return Err(record.not_found());
            }
            By::Root | By::Caller(_) => {}
        }
        self.question_of(call, record, guard, now)?.check(call)
    }

    /// Who may make a call of a key, and why.
    pub(super) fn explain(
        &self,
        call: &Call<'_>,
        record: &KeyRecord,
        guard: &Guard,
    ) -> KmsResult<Explanation> {
        if matches!(call.by, By::Caller(_)) && matches!(record.owner, Owner::Owned(_)) {
            return Err(record.not_found());
        }
        self.question_of(call, record, guard, self.now())?
            .explain(call)
    }

    /// Whether a policy would let a call be made of a key, apart from grants.
    pub(super) fn check_policy(
        &self,
        policy: &KeyPolicy,
        call: &Call<'_>,
        record: &KeyRecord,
    ) -> KmsResult<()> {
        let question = self.question(call, Some((policy, record)), None, &record.arn, self.now());
        question.check(call)
    }

    /// The grants by whose right alone a grant is made; `None` where a policy
    /// lets it be made.
    pub(super) fn parents_of<'a>(
        &self,
        call: &Call<'_>,
        record: &'a KeyRecord,
    ) -> Option<Vec<&'a GrantRecord>> {
        let By::Caller(caller) = call.by else {
            return None;
        };
        let guard = Guard::new(record);
        let by_policy = self.policy_of(&guard);
        if by_policy.is_some_and(|policy| self.check_policy(policy, call, record).is_ok()) {
            return None;
        }
        let arn = caller.principal.arn();
        let is_parent = |grant: &&GrantRecord| {
            grant.grantee == arn && grant.allows(GrantOperation::CreateGrant, None)
        };
        Some(record.access.grants.iter().filter(is_parent).collect())
    }

    /// Whether whoever calls may do what concerns no key, or all.
    pub(super) fn authorise_keyless(&self, call: &Call<'_>) -> KmsResult<()> {
        self.authorise_resource(call, "*")
    }

    /// Whether whoever calls may do this with an alias.
    pub(super) fn authorise_alias(&self, call: &Call<'_>, alias: &str) -> KmsResult<()> {
        self.authorise_resource(call, &self.names.alias_arn(alias))
    }

    fn authorise_resource(&self, call: &Call<'_>, resource: &str) -> KmsResult<()> {
        match call.by {
            By::Root | By::Kms => Ok(()),
            By::Caller(_) => self
                .question(call, None, None, resource, self.now())
                .check(call),
        }
    }

    /// What is only the application's own.
    pub(super) fn authorise_root(&self, call: &Call<'_>) -> KmsResult<()> {
        match call.by {
            By::Root | By::Kms => Ok(()),
            By::Caller(caller) => Err(only_application(caller, call.action())),
        }
    }

    /// The key, as fresh as the call's grant tokens ask for.
    pub(super) async fn with_grants_of(
        &self,
        call: &Call<'_>,
        key: Arc<Loaded>,
    ) -> KmsResult<Arc<Loaded>> {
        let By::Caller(caller) = call.by else {
            return Ok(key);
        };
        call.check_grant_tokens()?;
        let mut is_known = true;
        for token in &caller.grant_tokens {
            let (key_id, grant_id) = parse_token(token)?;
            if key_id == key.id() {
                let mut grants = key.live()?.access.grants.iter();
                is_known &= grants.any(|grant| grant.id == grant_id);
            }
        }
        if is_known {
            return Ok(key);
        }
        // It was made by another process, just now.
        let id = key.id().to_owned();
        Ok(self.load_afresh(&id).await?.unwrap_or(key))
    }

    /// The key's aliases, if a policy that has a say in the call asks for them.
    pub(super) async fn aliases_asked(
        &self,
        call: &Call<'_>,
        key_id: &str,
        guard: &Guard,
    ) -> KmsResult<Vec<String>> {
        let identity = match call.by {
            By::Kms => return Ok(Vec::new()),
            By::Root => &[][..],
            By::Caller(caller) => &caller.identity_policies,
        };
        let is_asked = self
            .policy_of(guard)
            .is_some_and(KeyPolicy::asks_for_aliases)
            || identity.iter().any(|policy| policy.asks_for_aliases());
        if !is_asked {
            return Ok(Vec::new());
        }
        let mut list = self.list_aliases(Some(key_id)).await?;
        // One that cannot be read may be what a policy forbids.
        if let Some(error) = list.damaged.pop() {
            return Err(error);
        }
        Ok(list.aliases.into_iter().map(|alias| alias.name).collect())
    }

    /// The ARN of what a call is about, if that can be told.
    pub(super) async fn named_arn(&self, key: &str) -> Option<String> {
        match self.names.parse(key).ok()? {
            KeySpec::Id(id) => Some(self.arn_of(id)),
            KeySpec::Alias(name) => {
                let alias = self.load_alias(name).await.ok()?;
                self.target_arn(alias.as_deref())
            }
        }
    }
}

impl LocalKms {
    /// Refuses what is only the application's own, and tells the trail so.
    pub(super) fn only_application(&self, action: &'static str) -> KmsResult<()> {
        let Some(caller) = &self.1 else {
            return Ok(());
        };
        let denied = only_application(caller, action);
        self.record_refusal(action, denied.audit_code(), &denied.to_string(), None)?;
        Err(denied)
    }
}

fn only_application(caller: &Caller, action: &'static str) -> KmsError {
    let reason = "only the application that holds the KMS does this";
    KmsError::denied(caller.principal.arn(), action, "*", reason)
}

impl Access {
    pub(super) fn new(
        account: &str,
        quotas: Option<Buckets>,
        audit: Option<AuditSettings>,
        audit_ids: AuditIds,
    ) -> KmsResult<Self> {
        let invalid = || KmsError::invalid("an account has 12 digits");
        Ok(Access {
            root: Principal::root(account).map_err(|_| invalid())?,
            default_policy: KeyPolicy::default_for(account).map_err(|_| invalid())?,
            quotas,
            audit,
            audit_ids,
        })
    }
}
