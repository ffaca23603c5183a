//! Policies apart from a KMS.

use std::time::SystemTime;

use super::context::{ConditionContext, Request};
use super::document::{IdentityPolicy, KeyPolicy};
use super::explain::{Explanation, explain};
use crate::context::EncryptionContext;
use crate::kms::access::Principal;

/// A call, for [`simulate`]: who asks for what, and what conditions see of it.
/// What is not set is absent.
#[derive(Clone, Debug)]
pub struct PolicyRequest {
    principal: Principal,
    action: String,
    resource: String,
    grant: Option<String>,
    now: Option<SystemTime>,
    grant_operations: Vec<String>,
    resource_aliases: Vec<String>,
    encryption_context: Option<EncryptionContext>,
    via_service: Option<String>,
    grant_constraint_type: Option<String>,
    grantee_principal: Option<String>,
    retiring_principal: Option<String>,
    encryption_algorithm: Option<String>,
    key_spec: Option<String>,
    key_usage: Option<String>,
    key_origin: Option<String>,
    request_alias: Option<String>,
    grant_is_for_aws_resource: Option<bool>,
    bypass_lockout_check: Option<bool>,
    reencrypt_on_same_key: Option<bool>,
    pending_window_days: Option<u32>,
    rotation_period_days: Option<u32>,
}

impl PolicyRequest {
    /// A call of an action, as `kms:Decrypt`, on the ARN of a key or an alias;
    /// `*` for an action that has none, as `kms:CreateKey`.
    pub fn new(
        principal: &Principal,
        action: impl Into<String>,
        resource: impl Into<String>,
    ) -> Self {
        PolicyRequest {
            principal: principal.clone(),
            action: action.into(),
            resource: resource.into(),
            grant: None,
            now: None,
            grant_operations: Vec::new(),
            resource_aliases: Vec::new(),
            encryption_context: None,
            via_service: None,
            grant_constraint_type: None,
            grantee_principal: None,
            retiring_principal: None,
            encryption_algorithm: None,
            key_spec: None,
            key_usage: None,
            key_origin: None,
            request_alias: None,
            grant_is_for_aws_resource: None,
            bypass_lockout_check: None,
            reencrypt_on_same_key: None,
            pending_window_days: None,
            rotation_period_days: None,
        }
    }

    /// A grant that allows the call, by its id.
    #[must_use]
    pub fn grant(mut self, id: impl Into<String>) -> Self {
        self.grant = Some(id.into());
        self
    }

    /// `aws:CurrentTime` and `aws:EpochTime`.
    #[must_use]
    pub fn time(mut self, now: SystemTime) -> Self {
        self.now = Some(now);
        self
    }

    /// `kms:GrantOperations`, as `Decrypt`.
    #[must_use]
    pub fn grant_operations<S: Into<String>>(
        mut self,
        operations: impl IntoIterator<Item = S>,
    ) -> Self {
        self.grant_operations = operations.into_iter().map(Into::into).collect();
        self
    }

    /// `kms:ResourceAliases`: all aliases of the key, `alias/…`.
    #[must_use]
    pub fn resource_aliases<S: Into<String>>(
        mut self,
        aliases: impl IntoIterator<Item = S>,
    ) -> Self {
        self.resource_aliases = aliases.into_iter().map(Into::into).collect();
        self
    }

    /// `kms:EncryptionContext:…` and `kms:EncryptionContextKeys`: the encryption context.
    #[must_use]
    pub fn encryption_context(mut self, context: impl Into<EncryptionContext>) -> Self {
        self.encryption_context = Some(context.into());
        self
    }

    /// `kms:ViaService`, as `s3.us-east-1.amazonaws.com`.
    #[must_use]
    pub fn via_service(mut self, value: impl Into<String>) -> Self {
        self.via_service = Some(value.into());
        self
    }

    /// `kms:GrantConstraintType`: `EncryptionContextEquals` or `EncryptionContextSubset`.
    #[must_use]
    pub fn grant_constraint_type(mut self, value: impl Into<String>) -> Self {
        self.grant_constraint_type = Some(value.into());
        self
    }

    /// `kms:GranteePrincipal`: an ARN.
    #[must_use]
    pub fn grantee_principal(mut self, value: impl Into<String>) -> Self {
        self.grantee_principal = Some(value.into());
        self
    }

    /// `kms:RetiringPrincipal`: an ARN.
    #[must_use]
    pub fn retiring_principal(mut self, value: impl Into<String>) -> Self {
        self.retiring_principal = Some(value.into());
        self
    }

    /// `kms:EncryptionAlgorithm`, as `SYMMETRIC_DEFAULT`.
    #[must_use]
    pub fn encryption_algorithm(mut self, value: impl Into<String>) -> Self {
        self.encryption_algorithm = Some(value.into());
        self
    }

    /// `kms:KeySpec`, as `SYMMETRIC_DEFAULT`.
    #[must_use]
    pub fn key_spec(mut self, value: impl Into<String>) -> Self {
        self.key_spec = Some(value.into());
        self
    }

    /// `kms:KeyUsage`, as `ENCRYPT_DECRYPT`.
    #[must_use]
    pub fn key_usage(mut self, value: impl Into<String>) -> Self {
        self.key_usage = Some(value.into());
        self
    }

    /// `kms:KeyOrigin`: `AWS_KMS` or `EXTERNAL`.
    #[must_use]
    pub fn key_origin(mut self, value: impl Into<String>) -> Self {
        self.key_origin = Some(value.into());
        self
    }

    /// `kms:RequestAlias`: the alias that names the key, `alias/…`.
    #[must_use]
    pub fn request_alias(mut self, value: impl Into<String>) -> Self {
        self.request_alias = Some(value.into());
        self
    }

    /// `kms:GrantIsForAWSResource`.
    #[must_use]
    pub fn grant_is_for_aws_resource(mut self, value: bool) -> Self {
        self.grant_is_for_aws_resource = Some(value);
        self
    }

    /// `kms:BypassPolicyLockoutSafetyCheck`.
    #[must_use]
    pub fn bypass_lockout_check(mut self, value: bool) -> Self {
        self.bypass_lockout_check = Some(value);
        self
    }

    /// `kms:ReEncryptOnSameKey`.
    #[must_use]
    pub fn reencrypt_on_same_key(mut self, value: bool) -> Self {
        self.reencrypt_on_same_key = Some(value);
        self
    }

    /// `kms:ScheduleKeyDeletionPendingWindowInDays`.
    #[must_use]
    pub fn pending_window_days(mut self, days: u32) -> Self {
        self.pending_window_days = Some(days);
        self
    }

    /// `kms:RotationPeriodInDays`.
    #[must_use]
    pub fn rotation_period_days(mut self, days: u32) -> Self {
        self.rotation_period_days = Some(days);
        self
    }

    /// The account that the resource belongs to: the caller's, where there is
    /// none.
    fn resource_account(&self) -> &str {
        let account = self.resource.split(':').nth(4);
        account.unwrap_or(self.principal.account())
    }
}

/// What policies come to, without a KMS: a key's policy, if the action has a key,
/// and those of the caller.
pub fn simulate(
    key_policy: Option<&KeyPolicy>,
    identity: &[IdentityPolicy],
    request: &PolicyRequest,
) -> Explanation {
    let operations: Vec<&str> = request
        .grant_operations
        .iter()
        .map(String::as_str)
        .collect();
    let aliases: Vec<&str> = request
        .resource_aliases
        .iter()
        .map(String::as_str)
        .collect();
    let call = Request {
        principal: &request.principal,
        action: &request.action,
        resource: &request.resource,
        resource_account: request.resource_account(),
        context: ConditionContext {
            now: request.now,
            grant_operations: &operations,
            resource_aliases: &aliases,
            encryption_context: request.encryption_context.as_ref(),
            via_service: request.via_service.as_deref(),
            grant_constraint_type: request.grant_constraint_type.as_deref(),
            grantee_principal: request.grantee_principal.as_deref(),
            retiring_principal: request.retiring_principal.as_deref(),
            encryption_algorithm: request.encryption_algorithm.as_deref(),
            key_spec: request.key_spec.as_deref(),
            key_usage: request.key_usage.as_deref(),
            key_origin: request.key_origin.as_deref(),
            request_alias: request.request_alias.as_deref(),
            grant_is_for_aws_resource: request.grant_is_for_aws_resource,
            bypass_lockout_check: request.bypass_lockout_check,
            reencrypt_on_same_key: request.reencrypt_on_same_key,
            pending_window_days: request.pending_window_days,
            rotation_period_days: request.rotation_period_days,
        },
    };
    explain(key_policy, identity, request.grant.as_deref(), &call)
}
