//! What the policies and grants come to (AWS IAM user guide, "Policy evaluation
//! logic"; AWS KMS developer guide, "Key policies in AWS KMS", "Allowing users in
//! other accounts to use a KMS key").
//!
//! | the caller is | what has to allow the call |
//! |---|---|
//! | of the key's account | the key policy by the caller's name, or a grant, or the key policy by the account's root together with an identity policy |
//! | the root of the key's account | the key policy, naming the root or everyone, or a grant |
//! | of another account | the key policy or a grant, and an identity policy |
//! | the root of another account | the key policy or a grant |
//! | any, of a call without a key | an identity policy, or being the account's root |
//!
//! A statement that denies wins over all of these.

use std::borrow::Borrow;

use super::context::Request;
use super::document::{Document, IdentityPolicy, KeyPolicy};
use super::statement::{Effect, Naming};
use super::work;
use crate::kms::access::PrincipalKind;

/// Whether a call may be made, and what decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decision<'a> {
    pub(super) outcome: Outcome,
    /// The statement of the key policy that took part.
    pub(super) key_statement: Option<usize>,
    pub(super) identity_statement: Option<IdentityStatement>,
    pub(super) grant: Option<&'a str>,
    /// Whether it took being the root of an account.
    pub(super) is_root: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Allowed,
    /// By the statement that the decision names.
    ExplicitlyDenied,
    /// What the decision names was not enough.
    Denied {
        /// Whether the key's side is what is missing, or the caller's.
        by_resource: bool,
    },
    /// To decide takes too long.
    TooCostly,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IdentityStatement {
    pub(super) policy: usize,
    pub(super) statement: usize,
}

impl Decision<'_> {
    pub(crate) fn is_allowed(&self) -> bool {
        self.outcome == Outcome::Allowed
    }

    /// Why not, in the words at the end of AWS's own errors.
    pub(crate) fn refusal(&self, request: &Request<'_>) -> String {
        let action = request.operation();
        match self.outcome {
            Outcome::Allowed => String::new(),
            Outcome::ExplicitlyDenied if self.key_statement.is_some() => {
                "with an explicit deny in a resource-based policy".into()
            }
            Outcome::ExplicitlyDenied => "with an explicit deny in an identity-based policy".into(),
            Outcome::Denied { by_resource: true } => {
                format!("no resource-based policy allows the kms:{action} action")
            }
            Outcome::Denied { by_resource: false } => {
                format!("no identity-based policy allows the kms:{action} action")
            }
            Outcome::TooCostly => "the policies take too long to compare".into(),
        }
    }
}

/// Decides on a call: with the policy of its key, if it has one, the policies of
/// the caller, and the id of a grant that allows the call, if one does.
pub(crate) fn evaluate<'a, P: Borrow<IdentityPolicy>>(
    key_policy: Option<&KeyPolicy>,
    identity: &[P],
    grant: Option<&'a str>,
    request: &Request<'_>,
) -> Decision<'a> {
    work::begin();
    let mut decision = Decision {
        outcome: Outcome::ExplicitlyDenied,
        key_statement: None,
        identity_statement: None,
        grant: None,
        is_root: false,
    };

    // The first statement that allows it by the caller's name, or by its account.
    let (mut direct, mut account) = (None, None);
    if let Some(policy) = key_policy {
        for (number, statement) in policy.document.statements.iter().enumerate() {
            if statement.effect == Effect::Allow && direct.is_some() {
                continue;
            }
            match (statement.applies(request), statement.effect) {
                (None, _) => {}
                (Some(_), Effect::Deny) => {
                    decision.key_statement = Some(number);
                    return decision;
                }
                (Some(Naming::Direct), Effect::Allow) => direct = Some(number),
                (Some(Naming::Account), Effect::Allow) => account = account.or(Some(number)),
            }
        }
    }
    let mut by_identity = None;
    for (policy, document) in identity.iter().enumerate() {
        let Document { statements, .. } = &document.borrow().document;
        for (statement, content) in statements.iter().enumerate() {
            if content.effect == Effect::Allow && by_identity.is_some()
                || content.applies(request).is_none()
            {
                continue;
            }
            let found = Some(IdentityStatement { policy, statement });
            if content.effect == Effect::Deny {
                decision.identity_statement = found;
                return decision;
            }
            by_identity = found;
        }
    }

    if work::is_over() {
        decision.outcome = Outcome::TooCostly;
        return decision;
    }
    let is_root = request.principal.kind() == PrincipalKind::Root;
    let is_own_account = request.principal.account() == request.resource_account;
    // What the caller's own account has to say.
    let is_identified = is_root || by_identity.is_some();
    let (by_key, needs_identity) = match (key_policy, is_own_account) {
        // Without a key, only the account's own.
        (None, true) => (true, true),
        (None, false) => (false, true),
        (Some(_), true) => {
            let is_named = direct.is_some() || grant.is_some();
            (is_named || account.is_some(), !is_named)
        }
        (Some(_), false) => {
            let is_named = direct.is_some() || account.is_some() || grant.is_some();
            (is_named, true)
        }
    };
    decision.outcome = if by_key && (is_identified || !needs_identity) {
        Outcome::Allowed
    } else {
        Outcome::Denied {
            by_resource: !by_key,
        }
    };
    decision.key_statement = direct;
    if direct.is_none() {
        decision.grant = grant;
        if grant.is_none() {
            decision.key_statement = account;
        }
    }
    if needs_identity {
        decision.is_root = is_root;
        decision.identity_statement = if is_root { None } else { by_identity };
    }
    decision
}
