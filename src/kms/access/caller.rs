//! Who makes calls, and what they bring with them.

use std::fmt;
use std::sync::Arc;

use super::Principal;
use super::policy::IdentityPolicy;
use crate::kms::audit::AuditId;

/// The most grant tokens that a call may have.
pub(in crate::kms) const MAX_GRANT_TOKENS: usize = 10;

/// Who makes calls: a principal, its identity policies, and what else policies
/// and the audit trail look at. See
/// [`LocalKms::acting_as`](crate::kms::LocalKms::acting_as).
///
/// The application vouches for it: the KMS takes it that whoever acts so was
/// authenticated.
#[derive(Clone)]
#[must_use]
pub struct Caller {
    pub(in crate::kms) principal: Principal,
    pub(in crate::kms) identity_policies: Vec<Arc<IdentityPolicy>>,
    pub(in crate::kms) grant_tokens: Vec<String>,
    pub(in crate::kms) via_service: Option<String>,
    pub(in crate::kms) source_ip: Option<String>,
    pub(in crate::kms) user_agent: Option<String>,
    pub(in crate::kms) request_id: Option<AuditId>,
    pub(in crate::kms) dry_run: bool,
    /// Whether a handle that acts as somebody was asked to act as somebody else.
    pub(in crate::kms) is_second_hand: bool,
}

impl Caller {
    /// A principal without identity policies.
    pub fn new(principal: Principal) -> Self {
        Caller {
            principal,
            identity_policies: Vec::new(),
            grant_tokens: Vec::new(),
            via_service: None,
            source_ip: None,
            user_agent: None,
            request_id: None,
            dry_run: false,
            is_second_hand: false,
        }
    }

    /// Adds an identity policy: what the principal's own account lets it do.
    pub fn identity_policy(mut self, policy: impl Into<Arc<IdentityPolicy>>) -> Self {
        self.identity_policies.push(policy.into());
        self
    }

    /// Adds a grant token, as
    /// [`create_grant`](crate::kms::LocalKms::create_grant) gives it: the grant
    /// holds at once then, also where another process made it just now. At most
    /// ten.
    pub fn grant_token(mut self, token: impl Into<String>) -> Self {
        self.grant_tokens.push(token.into());
        self
    }

    /// The service that makes the call for the principal, as
    /// `kms:ViaService` has it: `s3.us-east-1.amazonaws.com`.
    pub fn via_service(mut self, service: impl Into<String>) -> Self {
        self.via_service = Some(service.into());
        self
    }

    /// Where the call came from, for the audit trail.
    pub fn source_ip(mut self, address: impl Into<String>) -> Self {
        self.source_ip = Some(address.into());
        self
    }

    /// What program made the call, for the audit trail.
    pub fn user_agent(mut self, agent: impl Into<String>) -> Self {
        self.user_agent = Some(agent.into());
        self
    }

    /// The request's id in the audit trail. Without one, each call has its own.
    pub fn request_id(mut self, id: AuditId) -> Self {
        self.request_id = Some(id);
        self
    }

    /// Asks only whether calls would be allowed: those that would be end as
    /// [`KmsError::DryRun`](crate::kms::KmsError::DryRun) and do nothing. Those
    /// that concern no key and change nothing (lists, random bytes) are made.
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Who it is.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What tells callers apart: two that differ in any of it must never share
    /// what one of them was given.
    pub(crate) fn identity_parts(&self) -> Vec<&[u8]> {
        let flag = |is_set| if is_set { &[1][..] } else { &[0] };
        let mut parts: Vec<&[u8]> = vec![
            flag(self.dry_run),
            flag(self.is_second_hand),
            flag(self.via_service.is_some()),
            self.principal.arn().as_bytes(),
            self.via_service.as_deref().unwrap_or_default().as_bytes(),
        ];
        let policies = self.identity_policies.iter();
        parts.extend(policies.map(|policy| policy.as_str().as_bytes()));
        parts.push(b"");
        parts.extend(self.grant_tokens.iter().map(|token| token.as_bytes()));
        parts
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("principal", &self.principal)
            .field("identity_policies", &self.identity_policies.len())
            .finish_non_exhaustive()
    }
}
