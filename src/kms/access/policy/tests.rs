//! What is refused, and who is let in. AWS's documented cases are in
//! `tests/kms_policy`, by the public interface.

use std::sync::Arc;

use super::*;
use crate::kms::access::Principal;

const ACCOUNT: &str = "111122223333";
const OTHER: &str = "444455556666";
const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd";

fn policy(statements: &str) -> String {
    format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#)
}

fn key_policy(statements: &str) -> KeyPolicy {
    KeyPolicy::parse(&policy(statements)).unwrap()
}

fn allow(principal: &str) -> String {
    format!(
        r#"{{"Sid": "S", "Effect": "Allow", "Principal": {principal}, "Action": "kms:*", "Resource": "*"}}"#
    )
}

fn request<'a>(principal: &'a Principal, action: &'a str) -> Request<'a> {
    Request {
        principal,
        action,
        resource: KEY,
        resource_account: ACCOUNT,
        context: ConditionContext::default(),
    }
}

const NONE: [Arc<IdentityPolicy>; 0] = [];

#[test]
fn what_is_refused() {
    let statement = |rest: &str| {
        let principal = r#""Principal": "*""#;
        let base = [
            ("Effect", r#""Effect": "Allow""#),
            ("Principal", principal),
            ("Action", r#""Action": "kms:Encrypt""#),
            ("Resource", r#""Resource": "*""#),
        ];
        let mut parts: Vec<_> = base
            .into_iter()
            .filter(|(name, _)| {
                let own = format!("\"{name}\"");
                let not = format!("\"Not{name}\"");
                let dropped = format!("-{name}");
                !rest.contains(&own) && !rest.contains(&not) && !rest.contains(&dropped)
            })
            .map(|(_, part)| part.to_owned())
            .collect();
        if !rest.starts_with('-') {
            parts.push(rest.to_owned());
        }
        policy(&format!("{{{}}}", parts.join(", ")))
    };
    KeyPolicy::parse(&statement(r#""Sid": "x""#)).unwrap();

    let long = format!(r#"{{"Id": "{}"}}"#, "x".repeat(MAX_POLICY_LENGTH));
    let deep = "[".repeat(20_000);
    let documents = [
        ("", "the document"),
        ("[]", "the document"),
        (&deep, "the document"),
        (&long, "the document"),
        ("{}", "Statement"),
        (r#"{"Statement": []}"#, "Statement"),
        (r#"{"Statement": 1}"#, "Statement"),
        (
            r#"{"Version": "2012-10-17", "Version": "2012-10-17"}"#,
            "Version",
        ),
        (r#"{"Version": "2012-10-18"}"#, "Version"),
        (r#"{"Version": 1}"#, "Version"),
        (r#"{"version": "2012-10-17"}"#, "version"),
        (r#"{"Id": 1, "Statement": []}"#, "Id"),
        (r#"{"Comment": ""}"#, "Comment"),
    ];
    for (text, element) in documents {
        let error = KeyPolicy::parse(text).unwrap_err();
        assert_eq!(error.element(), element, "{error}");
        assert_eq!(error.statement(), None, "{error}");
    }
    let error = KeyPolicy::parse(r#"{"Statement": [1]}"#).unwrap_err();
    assert_eq!((error.statement(), error.element()), (Some(0), "Statement"));
    let too_deep = KeyPolicy::parse(&deep).unwrap_err();
    assert!(too_deep.reason().contains("recursion"), "{too_deep}");

    let condition = |rest: &str| format!(r#""Condition": {{{rest}}}"#);
    let statements = [
        (r#""Extra": 1"#, "Extra"),
        (r#""condition": {}"#, "condition"),
        (r#""": 1"#, ""),
        (r#""Sid": 1"#, "Sid"),
        (r#""Sid": "a", "Sid": "b""#, "Sid"),
        ("-Effect", "Effect"),
        (r#""Effect": "allow""#, "Effect"),
        (r#""Effect": ["Allow"]"#, "Effect"),
        ("-Principal", "Principal"),
        (r#""Principal": "x""#, "Principal"),
        (r#""Principal": {}"#, "Principal"),
        (r#""Principal": ["*"]"#, "Principal"),
        (r#""Principal": {"aws": "*"}"#, "Principal.aws"),
        (r#""Principal": {"AWS": []}"#, "Principal.AWS"),
        (r#""Principal": {"AWS": 111122223333}"#, "Principal.AWS"),
        (r#""Principal": {"AWS": "1111"}"#, "Principal.AWS"),
        (r#""Principal": {"AWS": "*", "AWS": "*"}"#, "Principal.AWS"),
        (
            r#""Principal": {"AWS": "arn:aws:iam::111122223333:user/*"}"#,
            "Principal.AWS",
        ),
        (
            r#""Principal": {"AWS": "arn:aws:iam::*:root"}"#,
            "Principal.AWS",
        ),
        (
            r#""Principal": {"AWS": "arn:aws:iam::111122223333:group/a"}"#,
            "Principal.AWS",
        ),
        (
            r#""Principal": {"AWS": "arn:aws:sts::1:assumed-role/a/b"}"#,
            "Principal.AWS",
        ),
        (r#""Principal": {"Service": "*"}"#, "Principal.Service"),
        (r#""Principal": {"Federated": ""}"#, "Principal.Federated"),
        (r#""Principal": "*", "NotPrincipal": "*""#, "NotPrincipal"),
        (r#""NotPrincipal": "*""#, "NotPrincipal"),
        ("-Action", "Action"),
        (r#""Action": []"#, "Action"),
        (r#""Action": "Encrypt""#, "Action"),
        (r#""Action": "kms:""#, "Action"),
        (r#""Action": ":Encrypt""#, "Action"),
        (r#""Action": "k?s:Encrypt""#, "Action"),
        (r#""Action": "kms:${aws:username}""#, "Action"),
        (r#""Action": "kms:A", "NotAction": "kms:B""#, "NotAction"),
        (r#""NotAction": [1]"#, "NotAction"),
        ("-Resource", "Resource"),
        (r#""Resource": []"#, "Resource"),
        (r#""Resource": "key""#, "Resource"),
        (r#""Resource": "arn""#, "Resource"),
        (r#""Resource": "arn:aws:k*s:x""#, "Resource"),
        (
            r#""Resource": "arn:aws:kms:${aws:username}:1:key/a""#,
            "Resource",
        ),
        (
            r#""Resource": "arn:aws:kms:r:1:key/${aws:SourceIp}""#,
            "Resource",
        ),
        (r#""Resource": "*", "NotResource": "*""#, "NotResource"),
        (r#""Condition": []"#, "Condition"),
        (
            &condition(r#""StringEquals": []"#),
            "Condition.StringEquals",
        ),
        (
            &condition(r#""StringEquals": {}"#),
            "Condition.StringEquals",
        ),
        (
            &condition(r#""Bool": {"kms:KeySpec": true}, "bool": {"kms:KeyUsage": true}"#),
            "Condition.bool",
        ),
    ];
    for (rest, element) in statements {
        let error = KeyPolicy::parse(&statement(rest)).expect_err(rest);
        assert_eq!(
            (error.statement(), error.element()),
            (Some(0), element),
            "{error}"
        );
    }

    let conditions = [
        (
            r#""StringEquals": {"aws:SourceIp": "x"}"#,
            "no condition key",
        ),
        (
            r#""StringEquals": {"kms:EncryptionContext:": "x"}"#,
            "no condition key",
        ),
        (
            r#""IpAddress": {"kms:ViaService": "x"}"#,
            "no condition operator",
        ),
        (
            r#""BinaryEquals": {"kms:ViaService": "x"}"#,
            "no condition operator",
        ),
        (
            r#""NullIfExists": {"kms:ViaService": true}"#,
            "no condition operator",
        ),
        (
            r#""ForAnyValue:Null": {"kms:ViaService": true}"#,
            "no condition operator",
        ),
        (
            r#""ForSomeValues:Bool": {"kms:ViaService": true}"#,
            "no set operator",
        ),
        (
            r#""StringEquals": {"kms:EncryptionContextKeys": "x"}"#,
            "ForAllValues:",
        ),
        (
            r#""StringNotEquals": {"kms:GrantOperations": "x"}"#,
            "ForAllValues:",
        ),
        (
            r#""ForAllValues:StringEquals": {"kms:EncryptionContext:a": "x"}"#,
            "OverlyPermissiveCondition",
        ),
        (r#""StringEquals": {"kms:ViaService": []}"#, "no values"),
        (r#""StringEquals": {"kms:ViaService": null}"#, "no text"),
        (r#""StringEquals": {"kms:ViaService": [["x"]]}"#, "no text"),
        (
            r#""StringEquals": {"kms:ViaService": "x", "kms:viaservice": "y"}"#,
            "twice",
        ),
        (
            r#""StringEquals": {"kms:ViaService": "${aws:SourceIp}"}"#,
            "policy variable",
        ),
        (
            r#""NumericEquals": {"kms:EncryptionContext:a": "x"}"#,
            "no number",
        ),
        (
            r#""NumericEquals": {"kms:EncryptionContext:a": "${aws:EpochTime}"}"#,
            "no number",
        ),
        (r#""DateEquals": {"aws:CurrentTime": "soon"}"#, "no date"),
        (
            r#""Bool": {"kms:GrantIsForAWSResource": "yes"}"#,
            "'true' or 'false'",
        ),
        (
            r#""Null": {"kms:ViaService": "maybe"}"#,
            "'true' or 'false'",
        ),
        (r#""ArnLike": {"aws:PrincipalArn": "*"}"#, "six parts"),
    ];
    for (rest, reason) in conditions {
        let error = KeyPolicy::parse(&statement(&condition(rest))).expect_err(rest);
        assert!(error.element().starts_with("Condition."), "{error}");
        assert!(error.reason().contains(reason), "{error}");
    }
}

#[test]
fn an_error_names_its_statement() {
    let bad = allow("\"*\"")
        .replace("kms:*", "kms")
        .replace("\"S\"", "\"T\"");
    let error = KeyPolicy::parse(&policy(&format!("{}, {bad}", allow("\"*\"")))).unwrap_err();
    assert_eq!((error.statement(), error.sid()), (Some(1), Some("T")));
    assert_eq!(
        error.to_string(),
        "Statement[1] ('T'): Action: 'kms' is no action, as \"kms:Decrypt\" or \"*\""
    );
    let twice = format!("{}, {}", allow("\"*\""), allow("\"*\""));
    let error = KeyPolicy::parse(&policy(&twice)).unwrap_err();
    assert_eq!((error.statement(), error.element()), (Some(1), "Sid"));
}

#[test]
fn without_a_version_there_are_no_variables() {
    let with = |version: &str, rest: &str| {
        let text = format!(
            r#"{{{version} "Statement": {{"Effect": "Allow", "Action": "kms:*", {rest}}}}}"#
        );
        IdentityPolicy::parse(&text).map(|_| ())
    };
    let resource = r#""Resource": "arn:aws:kms:*:*:key/${aws:username}""#;
    let condition =
        r#""Resource": "*", "Condition": {"StringEquals": {"kms:KeySpec": "${aws:username}"}}"#;
    let arn = r#""Resource": "*", "Condition": {"ArnLike": {"aws:PrincipalArn": "a:a:a:a:a:${aws:username}"}}"#;
    for rest in [resource, condition, arn] {
        with(r#""Version": "2012-10-17","#, rest).unwrap();
        with("", rest).unwrap_err();
        with(r#""Version": "2008-10-17","#, rest).unwrap_err();
    }
}

#[test]
fn an_identity_policy_has_no_principal() {
    for element in ["Principal", "NotPrincipal"] {
        let text = policy(&allow("\"*\"")).replace("Principal", element);
        assert_eq!(IdentityPolicy::parse(&text).unwrap_err().element(), element);
    }
}

/// Of the four kinds of callers, which are let in.
#[test]
fn who_is_let_in() {
    let mine = Arc::new(
        IdentityPolicy::parse(&policy(
            r#"{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}"#,
        ))
        .unwrap(),
    );
    let callers = [
        Principal::root(ACCOUNT).unwrap(),
        Principal::user(ACCOUNT, "alice").unwrap(),
        Principal::root(OTHER).unwrap(),
        Principal::user(OTHER, "bob").unwrap(),
    ];
    // For each caller: without an identity policy, and with one.
    let cases = [
        (
            r#"{"AWS": "111122223333"}"#,
            None,
            [[true, true], [false, true], [false; 2], [false; 2]],
        ),
        (
            r#"{"AWS": "arn:aws:iam::111122223333:root"}"#,
            None,
            [[true, true], [false, true], [false; 2], [false; 2]],
        ),
        (
            r#"{"AWS": "arn:aws:iam::111122223333:user/alice"}"#,
            None,
            [[false; 2], [true, true], [false; 2], [false; 2]],
        ),
        (
            r#"{"AWS": "444455556666"}"#,
            None,
            [[false; 2], [false; 2], [true, true], [false, true]],
        ),
        (
            r#"{"AWS": "arn:aws:iam::444455556666:user/bob"}"#,
            None,
            [[false; 2], [false; 2], [false; 2], [false, true]],
        ),
        (
            "\"*\"",
            None,
            [[true, true], [true, true], [true, true], [false, true]],
        ),
        (
            r#"{"AWS": "*"}"#,
            None,
            [[true, true], [true, true], [true, true], [false, true]],
        ),
        (r#"{"Service": "x.amazonaws.com"}"#, None, [[false; 2]; 4]),
        (
            r#"{"Service": "x.amazonaws.com"}"#,
            Some("g"),
            [[true, true], [true, true], [true, true], [false, true]],
        ),
    ];
    for (principal, grant, expected) in cases {
        let policy = key_policy(&allow(principal));
        for (caller, expected) in callers.iter().zip(expected) {
            let request = request(caller, "Encrypt");
            let found =
                [&[][..], std::slice::from_ref(&mine)].map(|identity: &[Arc<IdentityPolicy>]| {
                    let decision = evaluate(Some(&policy), identity, grant, &request);
                    let explanation = explain(Some(&policy), identity, grant, &request);
                    assert_eq!(explanation.is_allowed(), decision.is_allowed());
                    assert_eq!(explanation.needed().is_empty(), decision.is_allowed());
                    decision.is_allowed()
                });
            assert_eq!(found, expected, "{principal} {caller} {grant:?}");
        }
    }

    // Without a key, the account's own.
    for (caller, expected) in
        callers
            .iter()
            .zip([[true, true], [false, true], [false; 2], [false; 2]])
    {
        let request = Request {
            resource: "*",
            ..request(caller, "CreateKey")
        };
        let found =
            [&[][..], std::slice::from_ref(&mine)].map(|identity: &[Arc<IdentityPolicy>]| {
                evaluate(None, identity, None, &request).is_allowed()
            });
        assert_eq!(found, expected, "{caller}");
    }
}

/// A deny wins over everything that allows, wherever it stands.
#[test]
fn deny_wins() {
    let alice = Principal::user(ACCOUNT, "alice").unwrap();
    let request = request(&alice, "kms:Encrypt");
    let deny =
        r#"{"Sid": "D", "Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}"#;
    let allowing = key_policy(&allow("\"*\""));
    let denying = key_policy(&format!("{}, {deny}", allow("\"*\"")));
    let own = Arc::new(
        IdentityPolicy::parse(&policy(
            r#"{"Effect": "Allow", "Action": "kms:*", "Resource": "*"},
               {"Effect": "Deny", "Action": "kms:E*", "Resource": "*"}"#,
        ))
        .unwrap(),
    );
    assert!(evaluate(Some(&allowing), &NONE, None, &request).is_allowed());
    let decision = evaluate(Some(&denying), &NONE, Some("g"), &request);
    assert!(!decision.is_allowed());
    assert_eq!(
        decision.refusal(&request),
        "with an explicit deny in a resource-based policy"
    );
    let decision = evaluate(
        Some(&allowing),
        std::slice::from_ref(&own),
        Some("g"),
        &request,
    );
    assert!(
        decision
            .refusal(&request)
            .ends_with("in an identity-based policy")
    );
    let explanation = explain(Some(&allowing), &[own], Some("g"), &request);
    assert!(explanation.is_explicitly_denied());
    assert_eq!(explanation.decided_by().len(), 1);
}
