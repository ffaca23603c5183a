//! Why a call may be made or not, in words.

use std::borrow::Borrow;
use std::fmt;

use super::context::{Request, Values};
use super::document::{Document, IdentityPolicy, KeyPolicy};
use super::evaluate::{Outcome, evaluate};
use super::statement::{Effect, Naming, Statement};
use crate::error::shown;
use crate::kms::access::PrincipalKind;

/// Why a call may be made or not: which statement or grant decided, or what
/// would have been needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    call: String,
    outcome: Outcome,
    decided_by: Vec<DecidedBy>,
    needed: Vec<String>,
}

/// What decided on a call, or took part in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecidedBy {
    /// A statement of the key's policy.
    #[non_exhaustive]
    KeyPolicy {
        /// Which one, from 0.
        statement: usize,
        /// Its `Sid`, if it has one.
        sid: Option<String>,
    },
    /// A statement of one of the caller's policies.
    #[non_exhaustive]
    IdentityPolicy {
        /// Which of the policies, from 0.
        policy: usize,
        /// Which of its statements, from 0.
        statement: usize,
        /// Its `Sid`, if it has one.
        sid: Option<String>,
    },
    /// A grant.
    #[non_exhaustive]
    Grant {
        /// Its id.
        id: String,
    },
    /// That the caller is the root of its account, which needs no identity
    /// policy.
    AccountRoot,
}

impl Explanation {
    /// Whether the call may be made.
    pub fn is_allowed(&self) -> bool {
        self.outcome == Outcome::Allowed
    }

    /// Whether a statement denies it, which no other can make up for.
    pub fn is_explicitly_denied(&self) -> bool {
        self.outcome == Outcome::ExplicitlyDenied
    }

    /// What decided: the statement that denies, or all that together allow. Of a
    /// call that nothing denies and too little allows: what does allow it.
    pub fn decided_by(&self) -> &[DecidedBy] {
        &self.decided_by
    }

    /// Of a call that is denied: what would allow it, each by itself.
    pub fn needed(&self) -> &[String] {
        &self.needed
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.outcome {
            Outcome::Allowed => "allowed",
            Outcome::ExplicitlyDenied => "denied explicitly",
            Outcome::Denied { .. } => "denied, because too little allows it",
            Outcome::TooCostly => "denied, because the policies take too long to compare",
        };
        write!(f, "{}: {verdict}", self.call)?;
        for (number, decider) in self.decided_by.iter().enumerate() {
            let word = match (number, self.outcome) {
                (0, Outcome::Denied { .. }) => "; only",
                (0, _) => " by",
                _ => " and",
            };
            write!(f, "{word} {decider}")?;
        }
        for (number, needed) in self.needed.iter().enumerate() {
            f.write_str(if number == 0 { "; needed: " } else { "; or: " })?;
            f.write_str(needed)?;
        }
        Ok(())
    }
}

impl fmt::Display for DecidedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecidedBy::KeyPolicy { statement, sid } => {
                write!(f, "{} of the key policy", name(*statement, sid.as_deref()))
            }
            DecidedBy::IdentityPolicy {
                policy,
                statement,
                sid,
            } => {
                let name = name(*statement, sid.as_deref());
                write!(f, "{name} of identity policy {policy}")
            }
            DecidedBy::Grant { id } => write!(f, "grant {id}"),
            DecidedBy::AccountRoot => f.write_str("being the root of its account"),
        }
    }
}

fn name(statement: usize, sid: Option<&str>) -> String {
    match sid {
        Some(sid) if !sid.is_empty() => format!("Statement[{statement}] ('{}')", shown(sid)),
        _ => format!("Statement[{statement}]"),
    }
}

/// [`evaluate`], with its reasons.
pub(crate) fn explain<P: Borrow<IdentityPolicy>>(
    key_policy: Option<&KeyPolicy>,
    identity: &[P],
    grant: Option<&str>,
    request: &Request<'_>,
) -> Explanation {
    let decision = evaluate(key_policy, identity, grant, request);
    let identity: Vec<&Document> = identity
        .iter()
        .map(|policy| &policy.borrow().document)
        .collect();
    let key_policy = key_policy.map(|policy| &policy.document);

    let sid = |document: Option<&Document>, statement: usize| {
        let statement = document?.statements.get(statement)?;
        statement.sid.as_deref().map(str::to_owned)
    };
    let mut decided_by = Vec::new();
    if let Some(statement) = decision.key_statement {
        decided_by.push(DecidedBy::KeyPolicy {
            statement,
            sid: sid(key_policy, statement),
        });
    }
    if let Some(id) = decision.grant {
        decided_by.push(DecidedBy::Grant { id: id.to_owned() });
    }
    if let Some(found) = decision.identity_statement {
        decided_by.push(DecidedBy::IdentityPolicy {
            policy: found.policy,
            statement: found.statement,
            sid: sid(identity.get(found.policy).copied(), found.statement),
        });
    }
    if decision.is_root && decision.is_allowed() {
        decided_by.push(DecidedBy::AccountRoot);
    }

    let needed = match decision.outcome {
        Outcome::Allowed | Outcome::TooCostly => Vec::new(),
        Outcome::ExplicitlyDenied => decided_by
            .iter()
            .map(|decider| format!("that {decider} does not deny it"))
            .collect(),
        Outcome::Denied { by_resource } => {
            let mut needed = Vec::new();
            if let Some(document) = key_policy {
                needed.extend(near_misses(document, "the key policy", request));
            }
            for (number, document) in identity.iter().enumerate() {
                let whose = format!("identity policy {number}");
                needed.extend(near_misses(document, &whose, request));
            }
            let is_identified = decision.is_root || decision.identity_statement.is_some();
            needed.extend(missing(key_policy, by_resource, is_identified, request));
            needed
        }
    };
    Explanation {
        call: format!(
            "{}, kms:{} on {}",
            request.principal,
            shown(request.operation()),
            shown(request.resource)
        ),
        outcome: decision.outcome,
        decided_by,
        needed,
    }
}

/// What would allow a call, each by itself.
fn missing(
    key_policy: Option<&Document>,
    by_resource: bool,
    is_identified: bool,
    request: &Request<'_>,
) -> Vec<String> {
    let (who, action) = (request.principal, shown(request.operation()));
    let is_own_account = request.principal.account() == request.resource_account;
    let is_root = who.kind() == PrincipalKind::Root;
    let identity = format!(
        "an identity policy of {who} that allows kms:{action} on {}",
        shown(request.resource)
    );
    if key_policy.is_none() {
        return if is_own_account {
            vec![identity]
        } else {
            let account = shown(request.resource_account);
            vec![format!("a caller of account {account}")]
        };
    }
    let statement = format!("a statement of the key policy that allows kms:{action} to {who}");
    let grant = format!("a grant of {action} to {who}");
    let is_grantable = GRANTABLE.contains(&request.operation());
    let mut needed = vec![statement];
    needed.extend(is_grantable.then_some(grant));
    if is_own_account {
        if !is_root {
            needed.push(if by_resource {
                let account = who.account();
                let delegating = format!("one of the key policy to the root of {account}");
                if is_identified {
                    format!("beside the identity policy, {delegating}")
                } else {
                    format!("{identity}, and {delegating}")
                }
            } else {
                identity
            });
        }
        return needed;
    }
    if by_resource {
        needed.push(format!(
            "a statement of the key policy that allows kms:{action} to account {}",
            who.account()
        ));
        if !is_identified {
            for needed in &mut needed {
                *needed = format!("{needed}, and {identity}");
            }
        }
        needed
    } else {
        vec![identity]
    }
}

/// The operations that grants can be for.
const GRANTABLE: [&str; 9] = [
    "CreateGrant",
    "Decrypt",
    "DescribeKey",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
    "RetireGrant",
];

/// The statements that allow a call but for their conditions.
fn near_misses(document: &Document, whose: &str, request: &Request<'_>) -> Vec<String> {
    let statements = document.statements.iter().enumerate();
    statements
        .filter(|(_, statement)| statement.effect == Effect::Allow)
        .filter_map(|(number, statement)| {
            let naming = statement.concerns(request)?;
            let unmet = unmet(statement, request);
            if unmet.is_empty() {
                return None;
            }
            let name = name(number, statement.sid.as_deref());
            let unmet = unmet.join(", and ");
            let is_root = request.principal.kind() == PrincipalKind::Root;
            let besides = if naming == Naming::Account && !is_root {
                " (and an identity policy does too)"
            } else {
                ""
            };
            Some(format!(
                "for {name} of {whose} to allow it{besides}: {unmet}"
            ))
        })
        .collect()
}

fn unmet(statement: &Statement, request: &Request<'_>) -> Vec<String> {
    let conditions = statement.conditions.iter();
    conditions
        .filter(|condition| !condition.holds(request, statement.effect))
        .map(|condition| {
            let key = condition.key();
            let found = match request.values(key) {
                Values::Absent => "it is absent".into(),
                Values::One(value) => value.with_text(|text| format!("it is '{}'", shown(text))),
                Values::Many(values) => list(values.iter().copied()),
                Values::ContextKeys(context) => list(context.iter().map(|(key, _)| key)),
                Values::ContextPairs(context, key) => list(super::context::pairs(context, key)),
            };
            format!("{} ({found})", condition.source())
        })
        .collect()
}

fn list<'a>(values: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<_> = values.map(|value| format!("'{}'", shown(value))).collect();
    format!("they are {}", quoted.join(", "))
}
