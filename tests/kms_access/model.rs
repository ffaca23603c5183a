//! Random callers, policies, grants and calls against a model that was written
//! apart: it knows what a call needs and what it changes, asks
//! [`simulate`] what policies come to, and judges grants by itself.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use waxseal::EncryptionContext;
use waxseal::blocking::wait;
use waxseal::kms::policy::{IdentityPolicy, KeyPolicy, PolicyRequest, simulate};
use waxseal::kms::{
    Caller, CreateGrant, CreateKey, GrantOperation, KmsError, KmsResult, LocalKms, Principal,
};

use crate::explained::{contexts, principals, random_statement};
use crate::scene::{Scene, admin, policy_with};

/// What a call comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Denied,
    Disabled,
    InvalidState,
    NotFound,
    Malformed,
    BadCiphertext,
}

fn outcome<T: std::fmt::Debug>(result: &KmsResult<T>) -> Outcome {
    match result {
        Ok(_) => Outcome::Done,
        Err(KmsError::AccessDenied { .. }) => Outcome::Denied,
        Err(KmsError::Disabled { .. }) => Outcome::Disabled,
        Err(KmsError::InvalidState { .. }) => Outcome::InvalidState,
        Err(KmsError::NotFound { .. }) => Outcome::NotFound,
        Err(KmsError::MalformedPolicy { .. }) => Outcome::Malformed,
        Err(KmsError::InvalidCiphertext) => Outcome::BadCiphertext,
        Err(error) => panic!("{error:?}"),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Enabled,
    Disabled,
    Leaving,
}

#[derive(Clone)]
struct ModelGrant {
    id: String,
    grantee: String,
    retiring: Option<String>,
    operations: Vec<GrantOperation>,
    /// The context, and whether all of it.
    constraint: Option<(EncryptionContext, bool)>,
}

impl ModelGrant {
    fn allows(&self, who: &str, operation: GrantOperation, context: &EncryptionContext) -> bool {
        let is_free = matches!(
            operation,
            GrantOperation::CreateGrant | GrantOperation::DescribeKey
        );
        let holds = match &self.constraint {
            None => true,
            Some((pairs, true)) => pairs == context,
            Some((pairs, false)) => is_part(pairs, context),
        };
        self.grantee == who && self.operations.contains(&operation) && (is_free || holds)
    }

    /// Whether a grant that this one's grantee makes is no wider.
    fn covers(&self, child: &ModelGrant) -> bool {
        let narrower = match (&self.constraint, &child.constraint) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some((mine, true)), Some((its, equals))) => *equals && mine == its,
            (Some((mine, false)), Some((its, _))) => is_part(mine, its),
        };
        let mut operations = child.operations.iter();
        narrower && operations.all(|operation| self.operations.contains(operation))
    }
}

fn is_part(some: &EncryptionContext, all: &EncryptionContext) -> bool {
    some.iter().all(|(key, value)| all.get(key) == Some(value))
}

struct ModelKey {
    id: String,
    arn: String,
    policy: KeyPolicy,
    grants: Vec<ModelGrant>,
    state: State,
}

struct Who {
    principal: Principal,
    policies: Vec<IdentityPolicy>,
    kms: LocalKms,
}

/// What is asked, besides who asks for what of which key.
#[derive(Clone, Default)]
struct Asked {
    context: Option<EncryptionContext>,
    grant_operations: Vec<&'static str>,
    grant: Option<String>,
}

impl ModelKey {
    fn by_policies(&self, policy: &KeyPolicy, who: &Who, action: &str, asked: &Asked) -> bool {
        // Managing does not cross accounts, whatever policies say.
        let manages = ["PutKeyPolicy", "EnableKey", "DisableKey"].contains(&action)
            || action.ends_with("KeyDeletion");
        if manages && who.principal.account() != crate::scene::ACCOUNT {
            return false;
        }
        let mut request =
            PolicyRequest::new(&who.principal, format!("kms:{action}"), self.arn.as_str());
        if let Some(context) = &asked.context {
            request = request.encryption_context(context.clone());
        }
        request = request.grant_operations(asked.grant_operations.iter().copied());
        if let Some(grant) = &asked.grant {
            request = request.grant(grant);
        }
        simulate(Some(policy), &who.policies, &request).is_allowed()
    }

    fn allows(&self, who: &Who, action: &str, asked: &Asked) -> bool {
        let empty = EncryptionContext::new();
        let context = asked.context.as_ref().unwrap_or(&empty);
        let arn = who.principal.arn();
        let grant = GrantOperation::from_name(action).and_then(|operation| {
            let mut grants = self.grants.iter();
            grants.find(|grant| grant.allows(arn, operation, context))
        });
        let asked = Asked {
            grant: grant.map(|grant| grant.id.clone()),
            ..asked.clone()
        };
        self.by_policies(&self.policy, who, action, &asked)
    }

    fn use_state(&self) -> Option<Outcome> {
        match self.state {
            State::Enabled => None,
            State::Disabled => Some(Outcome::Disabled),
            State::Leaving => Some(Outcome::InvalidState),
        }
    }
}

#[derive(Clone, Debug)]
enum Call {
    PutPolicy(Vec<String>),
    CreateGrant {
        grantee: usize,
        retiring: Option<usize>,
        operations: Vec<GrantOperation>,
        constraint: Option<(usize, bool)>,
    },
    /// A grant by its place, modulo how many there are.
    Retire(usize),
    Revoke(usize),
    Encrypt(usize),
    Decrypt(usize, usize),
    ReEncrypt(usize, usize),
    Describe,
    ListGrants,
    Enable(bool),
    Leave(bool),
}

fn calls() -> impl Strategy<Value = (usize, usize, Call)> {
    let operations: Vec<GrantOperation> = (GrantOperation::ALL.iter().copied())
        // It is allowed by the grant alone, and tested apart.
        .filter(|operation| *operation != GrantOperation::RetireGrant)
        .collect();
    let call = prop_oneof![
        1 => prop::collection::vec(random_statement(true), 1..4).prop_map(Call::PutPolicy),
        4 => (
            0..6usize,
            prop::option::of(0..6usize),
            prop::sample::subsequence(operations, 1..4),
            prop::option::of((1..4usize, any::<bool>())),
        )
            .prop_map(|(grantee, retiring, operations, constraint)| Call::CreateGrant {
                grantee,
                retiring,
                operations,
                constraint,
            }),
        1 => (0..8usize).prop_map(Call::Retire),
        1 => (0..8usize).prop_map(Call::Revoke),
        4 => (0..4usize).prop_map(Call::Encrypt),
        4 => (0..8usize, 0..4usize).prop_map(|(blob, context)| Call::Decrypt(blob, context)),
        3 => (0..8usize, 0..4usize).prop_map(|(blob, context)| Call::ReEncrypt(blob, context)),
        2 => Just(Call::Describe),
        1 => Just(Call::ListGrants),
        1 => any::<bool>().prop_map(Call::Enable),
        1 => any::<bool>().prop_map(Call::Leave),
    ];
    (0..6usize, 0..2usize, call)
}

struct Model {
    keys: Vec<ModelKey>,
    who: Vec<Who>,
    /// The key, the context and the ciphertext.
    blobs: Vec<(usize, EncryptionContext, Vec<u8>)>,
}

impl Model {
    /// Makes a call; gives what it was to come to, and what it came to.
    fn step(&mut self, who: usize, key: usize, call: &Call) -> (Outcome, Outcome) {
        let Model {
            keys,
            who: all,
            blobs,
        } = self;
        let caller = &all[who];
        let kms = &caller.kms;
        let id = keys[key].id.clone();
        let nothing = Asked::default();
        match call {
            Call::PutPolicy(statements) => {
                let text = format!(
                    r#"{{"Version": "2012-10-17", "Statement": [{}]}}"#,
                    statements.join(",")
                );
                let policy = KeyPolicy::parse(&text).unwrap();
                let model = &mut keys[key];
                let expected = match model.allows(caller, "PutKeyPolicy", &nothing) {
                    false => Outcome::Denied,
                    true if !model.by_policies(&policy, caller, "PutKeyPolicy", &nothing) => {
                        Outcome::Malformed
                    }
                    true => {
                        model.policy = policy;
                        Outcome::Done
                    }
                };
                (expected, outcome(&wait(kms.put_key_policy(&id, &text))))
            }
            Call::CreateGrant {
                grantee,
                retiring,
                operations,
                constraint,
            } => {
                let constraint =
                    constraint.map(|(context, equals)| (contexts().swap_remove(context), equals));
                let has_context = operations.iter().any(|operation| {
                    !matches!(
                        operation,
                        GrantOperation::CreateGrant | GrantOperation::DescribeKey
                    )
                });
                let constraint = constraint.filter(|_| has_context);
                let grantee = &principals()[*grantee];
                let retiring = retiring.map(|retiring| principals().swap_remove(retiring));
                let mut request = CreateGrant::new(grantee.clone(), operations.iter().copied());
                if let Some(retiring) = &retiring {
                    request = request.retiring_principal(retiring.clone());
                }
                match &constraint {
                    Some((context, true)) => request = request.context_equals(context),
                    Some((context, false)) => request = request.context_subset(context),
                    None => {}
                }
                let made = wait(kms.create_grant(&id, request));
                let mut grant = ModelGrant {
                    id: String::new(),
                    grantee: grantee.arn().to_owned(),
                    retiring: retiring.map(|retiring| retiring.arn().to_owned()),
                    operations: operations.clone(),
                    constraint,
                };
                let asked = Asked {
                    grant_operations: operations.iter().map(|op| op.name()).collect(),
                    ..Asked::default()
                };
                let model = &mut keys[key];
                let by_policy = model.by_policies(&model.policy, caller, "CreateGrant", &asked);
                let parents = || {
                    let empty = EncryptionContext::new();
                    let arn = caller.principal.arn();
                    model.grants.iter().any(|parent| {
                        parent.allows(arn, GrantOperation::CreateGrant, &empty)
                            && parent.covers(&grant)
                    })
                };
                let expected = if !model.allows(caller, "CreateGrant", &asked) {
                    Outcome::Denied
                } else if let Some(refused) = model.use_state() {
                    refused
                } else if !by_policy && !parents() {
                    Outcome::Denied
                } else {
                    Outcome::Done
                };
                let came = outcome(&made);
                if let Ok(made) = made {
                    grant.id = made.id;
                    model.grants.push(grant);
                }
                (expected, came)
            }
            Call::Retire(place) | Call::Revoke(place) => {
                let model = &mut keys[key];
                let place = place % (model.grants.len() + 1);
                let grant = model.grants.get(place).cloned();
                let grant_id = grant
                    .as_ref()
                    .map_or_else(|| "0".repeat(64), |grant| grant.id.clone());
                let retires = matches!(call, Call::Retire(_));
                let (action, done) = match retires {
                    true => ("RetireGrant", wait(kms.retire_grant(&id, &grant_id))),
                    false => ("RevokeGrant", wait(kms.revoke_grant(&id, &grant_id))),
                };
                let own = grant.filter(|grant| {
                    retires && grant.retiring.as_deref() == Some(caller.principal.arn())
                });
                let asked = Asked {
                    grant: own.map(|grant| grant.id),
                    ..Asked::default()
                };
                let expected = if !model.by_policies(&model.policy, caller, action, &asked) {
                    Outcome::Denied
                } else if place == model.grants.len() {
                    Outcome::NotFound
                } else {
                    model.grants.remove(place);
                    Outcome::Done
                };
                (expected, outcome(&done))
            }
            Call::Encrypt(context) => {
                let context = contexts().swap_remove(*context);
                let sealed = wait(kms.encrypt(&id, b"text", &context));
                let expected = used(&keys[key], caller, "Encrypt", &context);
                let came = outcome(&sealed);
                if let Ok(sealed) = sealed {
                    blobs.push((key, context, sealed.blob));
                }
                (expected, came)
            }
            Call::Decrypt(blob, context) => {
                let (key, own, blob) = &blobs[blob % blobs.len()];
                let context = &contexts()[*context];
                let expected = match used(&keys[*key], caller, "Decrypt", context) {
                    Outcome::Done if context != own => Outcome::BadCiphertext,
                    expected => expected,
                };
                (expected, outcome(&wait(kms.decrypt(blob, None, context))))
            }
            Call::ReEncrypt(blob, context) => {
                let (from, own, blob) = blobs[blob % blobs.len()].clone();
                let context = contexts().swap_remove(*context);
                let moved = wait(kms.re_encrypt(&blob, None, &own, &id, &context));
                let expected = match used(&keys[from], caller, "ReEncryptFrom", &own) {
                    Outcome::Done => used(&keys[key], caller, "ReEncryptTo", &context),
                    refused => refused,
                };
                let came = outcome(&moved);
                if let Ok(moved) = moved {
                    blobs.push((key, context, moved.ciphertext.blob));
                }
                (expected, came)
            }
            Call::Describe => {
                let expected = match keys[key].allows(caller, "DescribeKey", &nothing) {
                    true => Outcome::Done,
                    false => Outcome::Denied,
                };
                (expected, outcome(&wait(kms.describe_key(&id))))
            }
            Call::ListGrants => {
                let listed = wait(kms.list_grants(&id));
                let model = &keys[key];
                let expected = match model.allows(caller, "ListGrants", &nothing) {
                    true => Outcome::Done,
                    false => Outcome::Denied,
                };
                if let Ok(listed) = &listed {
                    let ids: Vec<_> = listed.iter().map(|grant| &grant.id).collect();
                    let expected: Vec<_> = model.grants.iter().map(|grant| &grant.id).collect();
                    assert_eq!(ids, expected);
                }
                (expected, outcome(&listed))
            }
            Call::Enable(enable) => {
                let (action, done, to) = match enable {
                    true => ("EnableKey", wait(kms.enable_key(&id)), State::Enabled),
                    false => ("DisableKey", wait(kms.disable_key(&id)), State::Disabled),
                };
                let model = &mut keys[key];
                let expected = if !model.allows(caller, action, &nothing) {
                    Outcome::Denied
                } else if model.state == State::Leaving {
                    Outcome::InvalidState
                } else {
                    model.state = to;
                    Outcome::Done
                };
                (expected, outcome(&done))
            }
            Call::Leave(leave) => {
                let (action, done, to) = match leave {
                    true => (
                        "ScheduleKeyDeletion",
                        wait(kms.schedule_deletion(&id, None)).map(drop),
                        State::Leaving,
                    ),
                    false => (
                        "CancelKeyDeletion",
                        wait(kms.cancel_deletion(&id)),
                        State::Disabled,
                    ),
                };
                let model = &mut keys[key];
                let expected = if !model.allows(caller, action, &nothing) {
                    Outcome::Denied
                } else if (model.state == State::Leaving) == *leave {
                    Outcome::InvalidState
                } else {
                    model.state = to;
                    Outcome::Done
                };
                (expected, outcome(&done))
            }
        }
    }
}

fn used(key: &ModelKey, who: &Who, action: &str, context: &EncryptionContext) -> Outcome {
    let asked = Asked {
        context: Some(context.clone()),
        ..Asked::default()
    };
    match key.allows(who, action, &asked) {
        false => Outcome::Denied,
        true => key.use_state().unwrap_or(Outcome::Done),
    }
}

#[test]
fn random_calls_come_to_what_the_model_says() {
    let config = Config {
        cases: 250,
        failure_persistence: None,
        ..Config::default()
    };
    let identities = prop::collection::vec(
        prop::collection::vec(random_statement(false), 0..3),
        principals().len(),
    );
    let plan = (identities, prop::collection::vec(calls(), 1..60));
    let counts = std::cell::RefCell::new([0u32; 7]);
    let run = TestRunner::new(config).run(&plan, |(identities, calls)| {
        let scene = Scene::new();
        let who = principals()
            .into_iter()
            .zip(&identities)
            .map(|(principal, statements)| {
                let text = format!(
                    r#"{{"Version": "2012-10-17", "Statement": [{}]}}"#,
                    statements.join(",")
                );
                let parse = || IdentityPolicy::parse(&text).unwrap();
                let has_policy = !statements.is_empty();
                let mut caller = Caller::new(principal.clone());
                if has_policy {
                    caller = caller.identity_policy(parse());
                }
                Who {
                    principal,
                    policies: has_policy.then(parse).into_iter().collect(),
                    kms: scene.acting(caller),
                }
            });
        let who: Vec<Who> = who.collect();
        let policy = || KeyPolicy::parse(&policy_with("")).unwrap();
        let mut blobs = Vec::new();
        let keys = (0..2).map(|number| {
            let request = CreateKey::new().policy(policy_with(""));
            let key = wait(scene.acting(admin("maker")).create_key(request)).unwrap();
            for context in contexts() {
                let sealed = wait(scene.kms.encrypt(&key.id, b"text", &context)).unwrap();
                blobs.push((number, context, sealed.blob));
            }
            ModelKey {
                id: key.id,
                arn: key.arn,
                policy: policy(),
                grants: Vec::new(),
                state: State::Enabled,
            }
        });
        let keys = keys.collect();
        let mut model = Model { keys, who, blobs };
        scene.trail.take_lines();
        for (who, key, call) in &calls {
            let (expected, came) = model.step(*who, *key, call);
            let at = format!("{call:?} by {}", model.who[*who].principal);
            prop_assert_eq!(came, expected, "{}", at);
            let events = scene.trail.take();
            prop_assert_eq!(events.len(), 1, "{}", at);
            let is_denied = events[0]["errorCode"] == "AccessDenied";
            prop_assert_eq!(is_denied, expected == Outcome::Denied, "{}", at);
            prop_assert_eq!(events[0]["errorCode"].is_null(), expected == Outcome::Done);
            counts.borrow_mut()[expected as usize] += 1;
        }
        Ok(())
    });
    run.unwrap();
    // Each outcome came up.
    let counts = counts.into_inner();
    assert!(counts.iter().all(|count| *count > 5), "{counts:?}");
}
