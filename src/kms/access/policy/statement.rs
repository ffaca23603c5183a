//! Statements, and whether they apply to a request.

use super::condition::{Condition, arn_matches};
use super::context::Request;
use super::pattern::{Case, Pattern};
use crate::kms::access::PrincipalKind;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

#[derive(Debug)]
pub(super) struct Statement {
    pub(super) sid: Option<Box<str>>,
    pub(super) effect: Effect,
    /// `None` in an identity policy.
    pub(super) principals: Option<Listed<Who>>,
    pub(super) actions: Listed<Action>,
    pub(super) resources: Listed<Resource>,
    pub(super) conditions: Vec<Condition>,
}

/// An element, or its `Not…`.
#[derive(Debug)]
pub(super) struct Listed<T> {
    pub(super) negated: bool,
    pub(super) list: Vec<T>,
}

/// A principal as policies name them.
#[derive(Debug)]
pub(super) enum Who {
    Everyone,
    /// The account, which is its root and all who are in it.
    Account(Box<str>),
    /// A user or a role.
    Arn(Box<str>),
    /// A service, a session, somebody from outside: nobody who calls this KMS.
    Foreign,
}

#[derive(Debug)]
pub(super) enum Action {
    Any,
    /// What comes after `kms:`.
    Kms(Pattern),
    /// Of another service.
    Foreign,
}

#[derive(Debug)]
pub(super) enum Resource {
    Any,
    Exact(Box<str>),
    Arn(Box<[Pattern; 6]>),
}

/// How a statement speaks of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// By name, or as everyone.
    Direct,
    /// By its account.
    Account,
}

impl Statement {
    /// How it names the caller, if it applies.
    pub(super) fn applies(&self, request: &Request<'_>) -> Option<Naming> {
        let naming = self.concerns(request)?;
        self.conditions
            .iter()
            .all(|condition| condition.holds(request, self.effect))
            .then_some(naming)
    }

    /// The same with its conditions left out.
    pub(super) fn concerns(&self, request: &Request<'_>) -> Option<Naming> {
        let operation = request.operation();
        if !self
            .actions
            .includes(|action| action.matches(operation, request))
        {
            return None;
        }
        let naming = self.naming(request)?;
        self.resources
            .includes(|resource| resource.matches(request))
            .then_some(naming)
    }

    pub(super) fn naming(&self, request: &Request<'_>) -> Option<Naming> {
        let Some(principals) = &self.principals else {
            return Some(Naming::Direct);
        };
        if principals.negated {
            // Exempt is who is named itself: of Bob and his account's root, "all
            // principals except the user named Bob are denied" (AWS JSON policy
            // elements: NotPrincipal).
            let is_root = request.principal.kind() == PrincipalKind::Root;
            let is_exempt = principals.list.iter().any(|who| match who.naming(request) {
                Some(Naming::Direct) => true,
                Some(Naming::Account) => is_root,
                None => false,
            });
            return (!is_exempt).then_some(Naming::Direct);
        }
        let mut found = None;
        for who in &principals.list {
            match who.naming(request) {
                Some(Naming::Direct) => return Some(Naming::Direct),
                Some(Naming::Account) => found = Some(Naming::Account),
                None => {}
            }
        }
        found
    }
}

impl<T> Listed<T> {
    fn includes(&self, matches: impl Fn(&T) -> bool) -> bool {
        self.list.iter().any(matches) != self.negated
    }
}

impl Who {
    fn naming(&self, request: &Request<'_>) -> Option<Naming> {
        match self {
            Who::Everyone => Some(Naming::Direct),
            Who::Account(account) => {
                (**account == *request.principal.account()).then_some(Naming::Account)
            }
            Who::Arn(arn) => (**arn == *request.principal.arn()).then_some(Naming::Direct),
            Who::Foreign => None,
        }
    }
}

impl Action {
    fn matches(&self, operation: &str, request: &Request<'_>) -> bool {
        match self {
            Action::Any => true,
            Action::Kms(pattern) => pattern.matches(operation, Case::Ignored, request),
            Action::Foreign => false,
        }
    }
}

impl Resource {
    fn matches(&self, request: &Request<'_>) -> bool {
        match self {
            Resource::Any => true,
            Resource::Exact(arn) => **arn == *request.resource,
            Resource::Arn(parts) => arn_matches(parts, request.resource, request),
        }
    }
}
