//! AWS's documented cases of policy evaluation, each under the title and section
//! of the document that it is from, by the public interface; and what
//! explanations say.

mod table;

use table::{CASES, Verdict};
use waxseal::kms::Principal;
use waxseal::kms::policy::{
    DecidedBy, IdentityPolicy, KeyPolicy, MAX_POLICY_LENGTH, PolicyRequest, simulate,
};

const KEY: &str = "arn:aws:kms:us-west-2:111122223333:key/1234abcd";
const ALLOW_ALL: &str = r#"{"Effect": "Allow", "Action": "*", "Resource": "*"}"#;

fn document(statements: &str) -> String {
    format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#)
}

#[test]
fn documented_cases() {
    let mut failures = Vec::new();
    let mut names = std::collections::BTreeSet::new();
    for case in CASES {
        assert!(names.insert(case.name), "two cases named {}", case.name);
        let key_policy = case.key_policy.map(|statements| {
            KeyPolicy::parse(&document(statements))
                .unwrap_or_else(|error| panic!("{}: {error}", case.name))
        });
        let identity: Vec<_> = case
            .identity
            .iter()
            .map(|statements| {
                IdentityPolicy::parse(&document(statements))
                    .unwrap_or_else(|error| panic!("{}: {error}", case.name))
            })
            .collect();
        for (call, expected) in case.calls {
            let explanation = simulate(key_policy.as_ref(), &identity, &call());
            let found = if explanation.is_allowed() {
                Verdict::Allowed
            } else if explanation.is_explicitly_denied() {
                Verdict::ExplicitlyDenied
            } else {
                Verdict::Denied
            };
            if found != *expected {
                failures.push(format!(
                    "{}: {expected:?} expected, but {explanation}\n    by {}",
                    case.name, case.source
                ));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Policies that AWS KMS refuses.
#[test]
fn documented_refusals() {
    for (source, statements, reason) in [
        (
            "AWS KMS developer guide, \"AWS KMS condition keys\", \"Using set operators with \
             condition keys\"",
            r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*",
                "Condition": {"ForAllValues:StringEquals": {"kms:EncryptionContext:Department": "IT"}}}"#,
            "OverlyPermissiveCondition",
        ),
        (
            "AWS KMS developer guide, \"AWS KMS condition keys\": \"Multi-valued condition keys \
             require a set operator\"",
            r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*",
                "Condition": {"StringEquals": {"kms:EncryptionContextKeys": "IT"}}}"#,
            "ForAllValues:",
        ),
        (
            "AWS IAM user guide, \"AWS JSON policy elements: Principal\": \"You cannot use a \
             wildcard to match part of a principal name or ARN\"",
            r#"{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:user/*"},
                "Action": "kms:Decrypt", "Resource": "*"}"#,
            "wildcard",
        ),
        (
            "AWS IAM user guide, \"AWS JSON policy elements: NotPrincipal\": \"NotPrincipal must be \
             used with Effect: Deny\"",
            r#"{"Effect": "Allow", "NotPrincipal": {"AWS": "444455556666"}, "Action": "kms:Decrypt",
                "Resource": "*"}"#,
            "Deny",
        ),
        (
            "AWS IAM user guide, \"IAM policy elements: Variables and tags\": \"You can't use a \
             policy variable with other operators, such as Numeric, Date\"",
            r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*",
                "Condition": {"DateLessThan": {"aws:CurrentTime": "${aws:EpochTime}"}}}"#,
            "no date",
        ),
        (
            "AWS IAM user guide, \"IAM policy elements: Variables and tags\", \"Resource element\": \
             \"only in the resource portion of the ARN\"",
            r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:Decrypt",
                "Resource": "arn:aws:kms:us-west-2:${aws:PrincipalAccount}:key/x"}"#,
            "last part",
        ),
    ] {
        let error = KeyPolicy::parse(&document(statements)).expect_err(source);
        assert!(error.reason().contains(reason), "{source}: {error}");
    }
}

fn alice() -> Principal {
    Principal::user("111122223333", "alice").unwrap()
}

#[test]
fn explanations_of_what_is_allowed() {
    let delegating = KeyPolicy::default_for("111122223333").unwrap();
    let own = IdentityPolicy::parse(&document(ALLOW_ALL)).unwrap();
    let request = PolicyRequest::new(&alice(), "kms:Decrypt", KEY);
    let explanation = simulate(Some(&delegating), &[own], &request);
    assert!(matches!(
        explanation.decided_by(),
        [
            DecidedBy::KeyPolicy { statement: 0, sid: Some(sid), .. },
            DecidedBy::IdentityPolicy { policy: 0, statement: 0, sid: None, .. },
        ] if sid == "Enable IAM User Permissions"
    ));
    assert!(explanation.needed().is_empty());

    let explanation = simulate(Some(&delegating), &[], &request.clone().grant("g-1"));
    assert!(matches!(explanation.decided_by(), [DecidedBy::Grant { id, .. }] if id == "g-1"));

    let root = Principal::root("111122223333").unwrap();
    let create = PolicyRequest::new(&root, "kms:CreateKey", "*");
    let explanation = simulate(None, &[], &create);
    assert_eq!(explanation.decided_by(), [DecidedBy::AccountRoot]);
    assert_eq!(
        explanation.to_string(),
        "arn:aws:iam::111122223333:root, kms:CreateKey on *: allowed by being the root of its account"
    );
}

#[test]
fn explanations_of_what_is_denied() {
    let policy = KeyPolicy::parse(&document(
        r#"{"Sid": "Tenant", "Effect": "Allow", "Principal": {"AWS": "111122223333"},
            "Action": "kms:Decrypt", "Resource": "*",
            "Condition": {"StringEquals": {"kms:EncryptionContext:tenant": ["7", "8"]},
                          "Bool": {"kms:GrantIsForAWSResource": true}}}"#,
    ))
    .unwrap();
    let request =
        PolicyRequest::new(&alice(), "kms:Decrypt", KEY).encryption_context([("tenant", "9")]);
    let explanation = simulate(Some(&policy), &[], &request);
    assert!(explanation.decided_by().is_empty());
    assert_eq!(
        explanation.to_string(),
        "arn:aws:iam::111122223333:user/alice, kms:Decrypt on \
         arn:aws:kms:us-west-2:111122223333:key/1234abcd: denied, because too little allows it; \
         needed: for Statement[0] ('Tenant') of the key policy to allow it (and an identity policy \
         does too): StringEquals kms:EncryptionContext:tenant '7', '8' (it is '9'), and \
         Bool kms:GrantIsForAWSResource 'true' (it is absent); \
         or: a statement of the key policy that allows kms:Decrypt to \
         arn:aws:iam::111122223333:user/alice; \
         or: a grant of Decrypt to arn:aws:iam::111122223333:user/alice; \
         or: an identity policy of arn:aws:iam::111122223333:user/alice that allows kms:Decrypt on \
         arn:aws:kms:us-west-2:111122223333:key/1234abcd, and one of the key policy to the root of \
         111122223333"
    );

    // From outside, both sides are missing; then only the caller's.
    let bob = Principal::user("444455556666", "bob").unwrap();
    let request = PolicyRequest::new(&bob, "kms:PutKeyPolicy", KEY);
    let explanation = simulate(Some(&policy), &[], &request);
    let identity = format!("an identity policy of {bob} that allows kms:PutKeyPolicy on {KEY}");
    assert_eq!(
        explanation.needed(),
        [
            format!(
                "a statement of the key policy that allows kms:PutKeyPolicy to {bob}, and {identity}"
            ),
            format!(
                "a statement of the key policy that allows kms:PutKeyPolicy to account \
                 444455556666, and {identity}"
            ),
        ]
    );
    let everyone = KeyPolicy::parse(&document(
        r#"{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}"#,
    ))
    .unwrap();
    let explanation = simulate(Some(&everyone), &[], &request);
    assert_eq!(explanation.needed(), [identity]);
    assert!(matches!(
        explanation.decided_by(),
        [DecidedBy::KeyPolicy {
            statement: 0,
            sid: None,
            ..
        }]
    ));
    assert!(
        explanation
            .to_string()
            .contains("; only Statement[0] of the key policy; needed: ")
    );

    let denying = IdentityPolicy::parse(&document(&format!(
        r#"{ALLOW_ALL}, {{"Sid": "No", "Effect": "Deny", "Action": "kms:Put*", "Resource": "*"}}"#
    )))
    .unwrap();
    let explanation = simulate(Some(&everyone), &[denying], &request);
    assert!(explanation.is_explicitly_denied());
    assert_eq!(
        explanation.needed(),
        ["that Statement[1] ('No') of identity policy 0 does not deny it"]
    );
}

#[test]
fn a_policy_keeps_its_text() {
    let text = format!("  {}\n", document(ALLOW_ALL));
    let policy = IdentityPolicy::parse(&text).unwrap();
    assert_eq!(
        (policy.as_str(), policy.to_string()),
        (&*text, text.clone())
    );
    assert_eq!(text.parse::<IdentityPolicy>().unwrap(), policy);
    assert_ne!(IdentityPolicy::parse(text.trim()).unwrap(), policy);

    KeyPolicy::default_for("1").unwrap_err();
    let default = KeyPolicy::default_for("111122223333").unwrap();
    let fill = |length: usize| {
        let padding = " ".repeat(length - default.as_str().len());
        KeyPolicy::parse(&format!("{default}{padding}"))
    };
    fill(MAX_POLICY_LENGTH).unwrap();
    fill(MAX_POLICY_LENGTH + 1).unwrap_err();
}
