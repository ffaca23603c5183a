//! `explain` says what calls do: over random policies, grants and callers.

use proptest::prelude::*;
use proptest::test_runner::Config;
use waxseal::EncryptionContext;
use waxseal::blocking::wait;
use waxseal::kms::policy::{DecidedBy, IdentityPolicy};
use waxseal::kms::{
    Caller, CreateGrant, DataKeySpec, GrantOperation, KmsResult, LocalKms, Operation, Principal,
};

use crate::scene::{ACCOUNT, OTHER_ACCOUNT, Scene, is_let_in, policy_with, statement, user};

pub(crate) const ACTIONS: &[&str] = &[
    "kms:*",
    "kms:*",
    "kms:*",
    "kms:*",
    "kms:*",
    "kms:Encrypt",
    "kms:Decrypt",
    "kms:GenerateDataKey*",
    "kms:DescribeKey",
    "kms:ReEncrypt*",
    "kms:ReEncryptTo",
    "kms:List*",
    "kms:?isableKey",
];

pub(crate) fn principals() -> Vec<Principal> {
    let mut all = vec![
        Principal::root(ACCOUNT).unwrap(),
        Principal::root(OTHER_ACCOUNT).unwrap(),
    ];
    for account in [ACCOUNT, OTHER_ACCOUNT] {
        all.push(Principal::user(account, "alice").unwrap());
        all.push(Principal::role(account, "app").unwrap());
    }
    all
}

pub(crate) fn contexts() -> Vec<EncryptionContext> {
    vec![
        EncryptionContext::new(),
        EncryptionContext::from([("tenant", "7")]),
        EncryptionContext::from([("tenant", "8")]),
        EncryptionContext::from([("tenant", "7"), ("purpose", "backup")]),
    ]
}

const CONDITIONS: &[&str] = &[
    "",
    "",
    "",
    "",
    "",
    r#", "Condition": {"StringEquals": {"kms:EncryptionContext:tenant": "7"}}"#,
    r#", "Condition": {"StringNotEquals": {"kms:EncryptionContext:tenant": "7"}}"#,
    r#", "Condition": {"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["tenant"]}}"#,
    r#", "Condition": {"StringEqualsIfExists": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}"#,
    r#", "Condition": {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/*"}}"#,
    r#", "Condition": {"Null": {"kms:EncryptionContext:purpose": "true"}}"#,
    r#", "Condition": {"StringEquals": {"kms:RequestAlias": "alias/key"}}"#,
];

/// A statement of a key policy (with a principal) or an identity policy.
pub(crate) fn random_statement(of_key: bool) -> impl Strategy<Value = String> {
    let who = prop::sample::select(vec![
        "*".to_owned(),
        ACCOUNT.to_owned(),
        format!("arn:aws:iam::{OTHER_ACCOUNT}:root"),
        format!("arn:aws:iam::{ACCOUNT}:user/alice"),
        format!("arn:aws:iam::{OTHER_ACCOUNT}:user/alice"),
        format!("arn:aws:iam::{ACCOUNT}:role/app"),
    ]);
    let effect = prop::sample::select(vec!["Allow", "Allow", "Allow", "Allow", "Allow", "Deny"]);
    let action = prop::sample::select(ACTIONS);
    let condition = prop::sample::select(CONDITIONS);
    (effect, who, action, condition).prop_map(move |(effect, who, action, condition)| {
        let who = match of_key {
            true => format!(r#""Principal": {{"AWS": "{who}"}}, "#),
            false => String::new(),
        };
        format!(
            r#"{{"Effect": "{effect}", {who}"Action": "{action}", "Resource": "*"{condition}}}"#
        )
    })
}

fn document(statements: &[String]) -> String {
    format!(
        r#"{{"Version": "2012-10-17", "Statement": [{}]}}"#,
        statements.join(", ")
    )
}

#[derive(Clone, Debug)]
struct World {
    key_policy: Vec<String>,
    identity: Vec<String>,
    grants: Vec<(usize, Vec<GrantOperation>, Option<usize>, bool)>,
    caller: usize,
    via: bool,
    context: usize,
    by_alias: bool,
}

fn world() -> impl Strategy<Value = World> {
    let grant = (
        0..6usize,
        prop::sample::subsequence(GrantOperation::ALL, 1..4),
        prop::option::of(1..4usize),
        any::<bool>(),
    );
    (
        prop::collection::vec(random_statement(true), 1..4),
        prop::collection::vec(random_statement(false), 0..3),
        prop::collection::vec(grant, 0..3),
        0..6usize,
        any::<bool>(),
        0..4usize,
        any::<bool>(),
    )
        .prop_map(
            |(key_policy, identity, grants, caller, via, context, by_alias)| World {
                key_policy,
                identity,
                grants,
                caller,
                via,
                context,
                by_alias,
            },
        )
}

/// Calls that need no more than their own permission of one key.
fn call(
    kms: &LocalKms,
    operation: Operation,
    key: &str,
    context: &EncryptionContext,
) -> Option<KmsResult<()>> {
    let spec = DataKeySpec::Aes256;
    Some(match operation {
        Operation::Encrypt => wait(kms.encrypt(key, b"", context)).map(drop),
        Operation::GenerateDataKey => wait(kms.generate_data_key(key, spec, context)).map(drop),
        Operation::GenerateDataKeyWithoutPlaintext => {
            wait(kms.generate_data_key_without_plaintext(key, spec, context)).map(drop)
        }
        Operation::DescribeKey => wait(kms.describe_key(key)).map(drop),
        Operation::DisableKey => wait(kms.disable_key(key)),
        Operation::EnableKey => wait(kms.enable_key(key)),
        Operation::ListGrants => wait(kms.list_grants(key)).map(drop),
        Operation::ListKeyPolicies => wait(kms.list_key_policies(key)).map(drop),
        Operation::RotateKeyOnDemand => wait(kms.rotate(key)).map(drop),
        _ => return None,
    })
}

#[test]
fn explain_agrees_with_what_calls_do() {
    let config = Config {
        cases: 400,
        failure_persistence: None,
        ..Config::default()
    };
    let mut allowed = 0;
    let mut denied = 0;
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let counts = std::cell::RefCell::new((&mut allowed, &mut denied));
    let run = runner.run(&world(), |world| {
        let scene = Scene::new();
        let principals = principals();
        for (grantee, operations, constraint, equals) in &world.grants {
            let request = CreateGrant::new(principals[*grantee].clone(), operations.clone());
            let constraint = constraint.map(|constraint| contexts().swap_remove(constraint));
            let request = match (constraint, equals) {
                (None, _) => request,
                (Some(context), true) => request.context_equals(&context),
                (Some(context), false) => request.context_subset(&context),
            };
            // Without an operation that has a context, it has no constraint.
            let _ = wait(scene.kms.create_grant(&scene.key.id, request));
        }
        scene.put_policy(&document(&world.key_policy));
        let mut caller = Caller::new(principals[world.caller].clone());
        if !world.identity.is_empty() {
            let policy = IdentityPolicy::parse(&document(&world.identity)).unwrap();
            caller = caller.identity_policy(policy);
        }
        if world.via {
            caller = caller.via_service("s3.us-east-1.amazonaws.com");
        }
        let kms = scene.acting(caller);
        let key = if world.by_alias {
            "alias/key"
        } else {
            &scene.key.id
        };
        let context = &contexts()[world.context];
        for operation in Operation::ALL {
            // Conditions on the context see none where the call has none.
            let with_context = matches!(
                operation,
                Operation::Encrypt
                    | Operation::GenerateDataKey
                    | Operation::GenerateDataKeyWithoutPlaintext
            );
            let none = EncryptionContext::new();
            let seen = if with_context { context } else { &none };
            let Some(done) = call(&kms, *operation, key, context) else {
                continue;
            };
            let explained = match wait(kms.explain(*operation, key, seen)) {
                Ok(explained) => explained,
                // Another account's, for which no policy can let it.
                Err(_) => {
                    prop_assert_ne!(principals[world.caller].account(), ACCOUNT);
                    prop_assert!(!is_let_in(&done), "{:?}", done);
                    continue;
                }
            };
            prop_assert_eq!(
                explained.is_allowed(),
                is_let_in(&done),
                "{}: {:?}",
                explained,
                done
            );
            if explained.is_allowed() {
                prop_assert!(!explained.decided_by().is_empty(), "{}", explained);
                prop_assert!(explained.needed().is_empty(), "{}", explained);
                *counts.borrow_mut().0 += 1;
            } else {
                prop_assert!(
                    explained.is_explicitly_denied() || !explained.needed().is_empty(),
                    "{}",
                    explained
                );
                *counts.borrow_mut().1 += 1;
            }
        }
        Ok(())
    });
    run.unwrap();
    // Both kinds came up often enough to mean something.
    assert!(
        allowed > 300 && denied > 300,
        "{allowed} allowed, {denied} denied"
    );
}

#[test]
fn it_names_what_decides() {
    let scene = Scene::new();
    let context = EncryptionContext::new();
    let explain =
        |kms: &LocalKms, operation| wait(kms.explain(operation, &scene.key.id, &context)).unwrap();
    let bob = scene.plain("bob");
    let root = explain(&scene.kms, Operation::Encrypt);
    assert!(matches!(
        root.decided_by(),
        [
            DecidedBy::KeyPolicy { statement: 0, .. },
            DecidedBy::AccountRoot
        ]
    ));
    let denied = explain(&bob, Operation::Encrypt);
    assert!(!denied.is_allowed() && !denied.is_explicitly_denied());
    assert!(
        denied
            .needed()
            .iter()
            .any(|needed| needed.contains("identity policy"))
    );

    let grant = scene.grant(CreateGrant::new(user("bob"), [GrantOperation::Encrypt]));
    let granted = explain(&bob, Operation::Encrypt);
    match granted.decided_by() {
        [DecidedBy::Grant { id, .. }] => assert_eq!(*id, grant.id),
        other => panic!("{other:?}"),
    }
    let named = statement("Allow", user("bob").arn(), "kms:ReEncryptTo");
    let forbidden = statement("Deny", user("bob").arn(), "kms:Decrypt");
    scene.put_policy(&policy_with(&format!("{named}, {forbidden}")));
    let explained = explain(&bob, Operation::Decrypt);
    assert!(explained.is_explicitly_denied());
    assert!(matches!(
        explained.decided_by(),
        [DecidedBy::KeyPolicy { statement: 2, .. }]
    ));
    // Of two keys, it is about the one that it comes under.
    assert!(explain(&bob, Operation::ReEncrypt).is_allowed());
    // It is no call: the trail does not tell of it.
    scene.trail.take();
    explain(&bob, Operation::Decrypt);
    assert!(scene.trail.take().is_empty());
}
