//! One case: policies and a request, for either evaluator.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};
use waxseal::EncryptionContext;
use waxseal::kms::policy::{IdentityPolicy, KeyPolicy, PolicyRequest, simulate};
use waxseal::kms::{Principal, PrincipalKind};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed,
    ExplicitlyDenied,
    Denied,
}

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) key_policy: Option<Value>,
    pub(crate) identity: Vec<Value>,
    pub(crate) principal: Principal,
    pub(crate) action: &'static str,
    pub(crate) resource: String,
    /// The account of the resource.
    pub(crate) account: &'static str,
    /// What a request's conditions see, by their keys: without the caller's.
    pub(crate) context: Map<String, Value>,
}

/// In the context of a case, and of no policy.
pub(crate) const NOW: &str = "now";

impl Case {
    pub(crate) fn is_root(&self) -> bool {
        self.principal.kind() == PrincipalKind::Root
    }

    /// As the other evaluator is asked.
    pub(crate) fn to_json(&self) -> Value {
        let mut context = self.request_context();
        let mut identity = self.identity.clone();
        if self.is_root() {
            // A root has no identity policies, and needs none; the evaluator
            // asks for one of everybody.
            identity.push(json!({
                "Version": "2012-10-17",
                "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}
            }));
        }
        context.remove(NOW);
        json!({
            "key_policy": self.key_policy,
            "identity": identity,
            "principal": self.principal.arn(),
            "action": self.action,
            "resource": self.resource,
            "account": self.account,
            "context": context,
        })
    }

    /// The whole request context, by the names of condition keys.
    pub(crate) fn request_context(&self) -> Map<String, Value> {
        let mut context = self.context.clone();
        let principal = &self.principal;
        let kind = match principal.kind() {
            PrincipalKind::User => "User",
            PrincipalKind::Role => "AssumedRole",
            _ => "Account",
        };
        context.insert("aws:PrincipalArn".into(), principal.arn().into());
        context.insert("aws:PrincipalAccount".into(), principal.account().into());
        context.insert("kms:CallerAccount".into(), principal.account().into());
        context.insert("aws:PrincipalType".into(), kind.into());
        if let (PrincipalKind::User, Some(name)) = (principal.kind(), principal.name()) {
            context.insert("aws:username".into(), name.into());
        }
        if let Some(now) = context.get(NOW).and_then(Value::as_u64) {
            let text = format!("2026-03-01T12:{:02}:{:02}Z", now / 60 % 60, now % 60);
            context.insert("aws:CurrentTime".into(), text.into());
            // A ruling may have put it in other words.
            let epoch = context.entry("aws:EpochTime");
            epoch.or_insert_with(|| (NOON + now).to_string().into());
        }
        let prefix = "kms:EncryptionContext:";
        let keys: Vec<Value> = context
            .keys()
            .filter_map(|key| Some(key.strip_prefix(prefix)?.into()))
            .collect();
        if !keys.is_empty() {
            context.insert("kms:EncryptionContextKeys".into(), keys.into());
        }
        context
    }

    /// What this library makes of it.
    pub(crate) fn ours(&self) -> Verdict {
        let key_policy = self.key_policy.as_ref().map(|policy| {
            let text = policy.to_string();
            KeyPolicy::parse(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
        });
        let identity: Vec<_> = self
            .identity
            .iter()
            .map(|policy| {
                let text = policy.to_string();
                IdentityPolicy::parse(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
            })
            .collect();
        let explanation = simulate(key_policy.as_ref(), &identity, &self.request());
        if explanation.is_allowed() {
            Verdict::Allowed
        } else if explanation.is_explicitly_denied() {
            Verdict::ExplicitlyDenied
        } else {
            Verdict::Denied
        }
    }

    fn request(&self) -> PolicyRequest {
        let mut request = PolicyRequest::new(&self.principal, self.action, &*self.resource);
        let mut pairs = EncryptionContext::new();
        for (key, value) in &self.context {
            let text = || value.as_str().expect("a text");
            let truth = || text() == "true";
            let number = || text().parse::<u32>().expect("a number");
            let list = || {
                value
                    .as_array()
                    .expect("a list")
                    .iter()
                    .filter_map(Value::as_str)
            };
            request = match key.as_str() {
                NOW => {
                    let now = Duration::from_secs(NOON + value.as_u64().expect("a number"));
                    request.time(SystemTime::UNIX_EPOCH + now)
                }
                "kms:ViaService" => request.via_service(text()),
                "kms:KeySpec" => request.key_spec(text()),
                "kms:GrantOperations" => request.grant_operations(list()),
                "kms:ResourceAliases" => request.resource_aliases(list()),
                "kms:RequestAlias" => request.request_alias(text()),
                "kms:GranteePrincipal" => request.grantee_principal(text()),
                "kms:GrantIsForAWSResource" => request.grant_is_for_aws_resource(truth()),
                "kms:BypassPolicyLockoutSafetyCheck" => request.bypass_lockout_check(truth()),
                "kms:ScheduleKeyDeletionPendingWindowInDays" => {
                    request.pending_window_days(number())
                }
                "kms:RotationPeriodInDays" => request.rotation_period_days(number()),
                other => {
                    let key = other.strip_prefix("kms:EncryptionContext:");
                    pairs.insert(key.expect("a known key"), text());
                    request
                }
            };
        }
        if !pairs.is_empty() {
            request = request.encryption_context(pairs);
        }
        request
    }
}

/// 2026-03-01T12:00:00Z
pub(crate) const NOON: u64 = 1_772_366_400;
