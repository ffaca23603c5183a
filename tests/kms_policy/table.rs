//! The table.

use std::time::{Duration, SystemTime};

use waxseal::kms::Principal;
use waxseal::kms::policy::PolicyRequest;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed,
    ExplicitlyDenied,
    Denied,
}

use Verdict::{Allowed, Denied, ExplicitlyDenied};

type Call = (fn() -> PolicyRequest, Verdict);

pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The document, its section, and what it says where that is not the policy.
    pub(crate) source: &'static str,
    /// The statements of the key's policy, if there is a key.
    pub(crate) key_policy: Option<&'static str>,
    /// The statements of each of the caller's policies.
    pub(crate) identity: &'static [&'static str],
    pub(crate) calls: &'static [Call],
}

const KEY: &str = "arn:aws:kms:us-west-2:111122223333:key/1234abcd";
const ALL: &str = r#"{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}"#;
const ROOT: &str = r#"{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
    "Action": "kms:*", "Resource": "*"}"#;
const EVERYONE: &str =
    r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}"#;

/// A caller by what comes after `arn:aws:iam::`.
fn call(who: &str, action: &str) -> PolicyRequest {
    let principal: Principal = format!("arn:aws:iam::{who}").parse().expect("a principal");
    PolicyRequest::new(&principal, action, KEY)
}

fn alice(action: &str) -> PolicyRequest {
    call("111122223333:user/alice", action)
}

fn app(action: &str) -> PolicyRequest {
    call("111122223333:role/RoleForExampleApp", action)
}

/// Without a key.
fn keyless(who: &str, action: &str) -> PolicyRequest {
    let principal: Principal = format!("arn:aws:iam::{who}").parse().expect("a principal");
    PolicyRequest::new(&principal, action, "*")
}

const fn key_policy(
    name: &'static str,
    source: &'static str,
    statements: &'static str,
    calls: &'static [Call],
) -> Case {
    Case {
        name,
        source,
        key_policy: Some(statements),
        identity: &[],
        calls,
    }
}

pub(crate) const CASES: &[Case] = &[
    // Who is let in.
    key_policy(
        "everything is denied unless it is allowed",
        "AWS IAM user guide, \"Policy evaluation logic\": \"By default, all requests are implicitly \
         denied\"",
        r#"{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:user/bob"},
            "Action": "kms:*", "Resource": "*"}"#,
        &[(|| alice("kms:Encrypt"), Denied)],
    ),
    key_policy(
        "the default policy gives the root full access",
        "AWS KMS developer guide, \"Default key policy\", \"Allows access to the AWS account and \
         enables IAM policies\"",
        ROOT,
        &[
            (|| call("111122223333:root", "kms:Encrypt"), Allowed),
            (|| call("111122223333:root", "kms:PutKeyPolicy"), Allowed),
            (|| call("444455556666:root", "kms:Encrypt"), Denied),
        ],
    ),
    key_policy(
        "the default policy admits no user by itself",
        "AWS KMS developer guide, \"Default key policy\": \"the policy statement doesn't \
         give any IAM users or roles permission to use the KMS key\"",
        ROOT,
        &[
            (|| alice("kms:Encrypt"), Denied),
            (|| app("kms:Encrypt"), Denied),
        ],
    ),
    Case {
        name: "the default policy has identity policies decide",
        source: "AWS KMS developer guide, \"Default key policy\"",
        key_policy: Some(ROOT),
        identity: &[r#"{"Effect": "Allow", "Action": "kms:Encrypt",
            "Resource": "arn:aws:kms:us-west-2:111122223333:key/*"}"#],
        calls: &[
            (|| alice("kms:Encrypt"), Allowed),
            (|| alice("kms:Decrypt"), Denied),
        ],
    },
    Case {
        name: "without the key policy, identity policies have no effect",
        source: "AWS KMS developer guide, \"Default key policy\": \"Without this permission, IAM \
         policies that allow access to the key are ineffective\", and of the root: \"To \
         give permission to any principal, including the account principal, you must use a \
         key policy statement that provides the permission explicitly\"",
        key_policy: Some(
            r#"{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:user/bob"},
                "Action": "kms:*", "Resource": "*"}"#,
        ),
        identity: &[ALL],
        calls: &[
            (|| alice("kms:Encrypt"), Denied),
            // The root has no way past it either.
            (|| call("111122223333:root", "kms:Encrypt"), Denied),
        ],
    },
    key_policy(
        "who is named in the key policy needs nothing else",
        "AWS KMS developer guide, \"Default key policy\", \"Allows key users to use the KMS \
         key\"",
        r#"{"Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam::111122223333:user/alice",
            "arn:aws:iam::111122223333:role/RoleForExampleApp"]},
            "Action": ["kms:Encrypt", "kms:Decrypt"], "Resource": "*"}"#,
        &[
            (|| alice("kms:Encrypt"), Allowed),
            (|| app("kms:Decrypt"), Allowed),
            (|| alice("kms:DescribeKey"), Denied),
            (|| call("111122223333:user/Alice", "kms:Encrypt"), Denied),
            (
                || call("111122223333:user/team/alice", "kms:Encrypt"),
                Denied,
            ),
        ],
    ),
    key_policy(
        "the account by its id means its root's ARN",
        "AWS IAM user guide, \"AWS JSON policy elements: Principal\", \"AWS account principals\": \
         \"The account ARN and the shortened account ID behave the same way\"",
        r#"{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "kms:*",
            "Resource": "*"}"#,
        &[
            (|| call("111122223333:root", "kms:Encrypt"), Allowed),
            (|| alice("kms:Encrypt"), Denied),
        ],
    ),
    key_policy(
        "everyone of the account by a condition",
        "AWS KMS developer guide, \"kms:CallerAccount\"",
        r#"{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": ["kms:Encrypt", "kms:ReEncrypt*"],
            "Resource": "*", "Condition": {"StringEquals": {"kms:CallerAccount": "111122223333",
            "kms:ViaService": "ec2.us-west-2.amazonaws.com"}}}"#,
        &[
            (
                || alice("kms:Encrypt").via_service("ec2.us-west-2.amazonaws.com"),
                Allowed,
            ),
            (
                || alice("kms:ReEncryptFrom").via_service("ec2.us-west-2.amazonaws.com"),
                Allowed,
            ),
            (
                || alice("kms:Encrypt").via_service("s3.us-west-2.amazonaws.com"),
                Denied,
            ),
            (|| alice("kms:Encrypt"), Denied),
            (
                || {
                    call("444455556666:user/bob", "kms:Encrypt")
                        .via_service("ec2.us-west-2.amazonaws.com")
                },
                Denied,
            ),
        ],
    ),
    Case {
        name: "across accounts both sides have to allow",
        source: "AWS KMS developer guide, \"Allowing users in other accounts to use a KMS key\"",
        key_policy: Some(
            r#"{"Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam::444455556666:root",
                "arn:aws:iam::777788889999:user/carol"]}, "Action": "kms:*", "Resource": "*"}"#,
        ),
        identity: &[r#"{"Effect": "Allow", "Action": "kms:Decrypt",
            "Resource": "arn:aws:kms:us-west-2:111122223333:key/1234abcd"}"#],
        calls: &[
            (|| call("444455556666:user/bob", "kms:Decrypt"), Allowed),
            (|| call("444455556666:user/bob", "kms:Encrypt"), Denied),
            (|| call("777788889999:user/carol", "kms:Decrypt"), Allowed),
            (|| call("777788889999:user/dave", "kms:Decrypt"), Denied),
            (|| call("444455556666:root", "kms:Encrypt"), Allowed),
        ],
    },
    Case {
        name: "a grant is one side of two across accounts",
        source: "AWS KMS developer guide, \"Grants in AWS KMS\" and \"Allowing users in other \
         accounts to use a KMS key\"",
        key_policy: Some(ROOT),
        identity: &[r#"{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"}"#],
        calls: &[
            (
                || call("444455556666:user/bob", "kms:Decrypt").grant("g"),
                Allowed,
            ),
            (
                || call("444455556666:user/bob", "kms:Encrypt").grant("g"),
                Denied,
            ),
            (|| alice("kms:Encrypt").grant("g"), Allowed),
        ],
    },
    Case {
        name: "everyone, across accounts",
        source: "AWS IAM user guide, \"Cross-account policy evaluation logic\"",
        key_policy: Some(EVERYONE),
        identity: &[],
        calls: &[
            (|| alice("kms:Encrypt"), Allowed),
            (|| call("444455556666:user/bob", "kms:Encrypt"), Denied),
            (|| call("444455556666:root", "kms:Encrypt"), Allowed),
        ],
    },
    Case {
        name: "actions without a key are for identity policies",
        source: "AWS KMS developer guide, \"Allowing a user to create KMS keys\"",
        key_policy: None,
        identity: &[r#"{"Effect": "Allow", "Action": "kms:CreateKey", "Resource": "*"}"#],
        calls: &[
            (
                || keyless("111122223333:user/alice", "kms:CreateKey"),
                Allowed,
            ),
            (
                || keyless("111122223333:user/alice", "kms:ListKeys"),
                Denied,
            ),
            (|| keyless("111122223333:root", "kms:ListKeys"), Allowed),
        ],
    },
    Case {
        name: "actions without a key need the resource *",
        source: "AWS service authorization reference, \"The actions table\": \"If there is no value \
         for this column, you must specify all resources (\"*\") to which the policy \
         applies in the Resource element\"",
        key_policy: None,
        identity: &[r#"{"Effect": "Allow", "Action": "kms:CreateKey",
            "Resource": "arn:aws:kms:us-west-2:111122223333:key/*"}"#],
        calls: &[(
            || keyless("111122223333:user/alice", "kms:CreateKey"),
            Denied,
        )],
    },
    // Denying.
    Case {
        name: "a deny in the key policy wins",
        source: "AWS IAM user guide, \"Policy evaluation logic\": \"An explicit deny in any policy \
                 overrides any allows\"",
        key_policy: Some(
            r#"{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"},
               {"Effect": "Deny", "Principal": {"AWS": "arn:aws:iam::111122223333:user/alice"},
                "Action": "kms:Decrypt", "Resource": "*"}"#,
        ),
        identity: &[ALL],
        calls: &[
            (|| alice("kms:Decrypt"), ExplicitlyDenied),
            (|| alice("kms:Decrypt").grant("g"), ExplicitlyDenied),
            (|| alice("kms:Encrypt"), Allowed),
            (|| app("kms:Decrypt"), Allowed),
        ],
    },
    Case {
        name: "a deny in an identity policy wins",
        source: "AWS IAM user guide, \"Policy evaluation logic\"",
        key_policy: Some(EVERYONE),
        identity: &[
            ALL,
            r#"{"Effect": "Deny", "Action": "kms:ScheduleKeyDeletion", "Resource": "*"}"#,
        ],
        calls: &[
            (|| alice("kms:ScheduleKeyDeletion"), ExplicitlyDenied),
            (|| alice("kms:Encrypt"), Allowed),
        ],
    },
    key_policy(
        "a deny of the account denies all of it",
        "AWS IAM user guide, \"AWS JSON policy elements: Principal\": \"Using the account ARN ... \
         does not limit permissions to only the root user\"",
        r#"{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"},
           {"Effect": "Deny", "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
            "Action": "kms:Decrypt", "Resource": "*"}"#,
        &[
            (|| alice("kms:Decrypt"), ExplicitlyDenied),
            (
                || call("111122223333:root", "kms:Decrypt"),
                ExplicitlyDenied,
            ),
            (|| call("444455556666:root", "kms:Decrypt"), Allowed),
        ],
    ),
    key_policy(
        "NotPrincipal with Deny exempts who is named",
        "AWS IAM user guide, \"AWS JSON policy elements: NotPrincipal\", \"IAM user in the same or a \
         different account\"",
        r#"{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"},
           {"Effect": "Deny", "NotPrincipal": {"AWS": ["arn:aws:iam::444455556666:user/Bob",
            "arn:aws:iam::444455556666:root"]}, "Action": "kms:*", "Resource": "*"}"#,
        &[
            (|| call("444455556666:root", "kms:Decrypt"), Allowed),
            (|| call("444455556666:user/Bob", "kms:Decrypt"), Denied),
            (
                || call("444455556666:user/Alice", "kms:Decrypt"),
                ExplicitlyDenied,
            ),
            (
                || call("111122223333:root", "kms:Decrypt"),
                ExplicitlyDenied,
            ),
        ],
    ),
    Case {
        name: "who NotPrincipal exempts still has to be allowed",
        source: "AWS IAM user guide, \"AWS JSON policy elements: NotPrincipal\": \"This example by \
                 itself does not grant access to Bob\"",
        key_policy: Some(
            r#"{"Effect": "Deny", "NotPrincipal": {"AWS": ["arn:aws:iam::111122223333:user/alice",
                "arn:aws:iam::111122223333:root"]}, "Action": "kms:*", "Resource": "*"}"#,
        ),
        identity: &[ALL],
        calls: &[
            (|| alice("kms:Decrypt"), Denied),
            (|| app("kms:Decrypt"), ExplicitlyDenied),
        ],
    },
    // Actions and resources.
    key_policy(
        "action names are not case-sensitive and take wildcards",
        "AWS IAM user guide, \"IAM JSON policy elements: Action\"",
        r#"{"Effect": "Allow", "Principal": "*", "Action": ["KMS:generatedatakey*", "kms:?ncrypt"],
            "Resource": "*"}"#,
        &[
            (|| alice("kms:GenerateDataKey"), Allowed),
            (|| alice("kms:GenerateDataKeyWithoutPlaintext"), Allowed),
            (|| alice("kms:Encrypt"), Allowed),
            (|| alice("kms:ReEncryptFrom"), Denied),
            (|| alice("kms:GenerateRandom"), Denied),
        ],
    ),
    key_policy(
        "NotAction matches everything else",
        "AWS IAM user guide, \"IAM JSON policy elements: NotAction\"",
        r#"{"Effect": "Allow", "Principal": "*", "NotAction": ["kms:Decrypt", "kms:Put*", "s3:*"],
            "Resource": "*"}"#,
        &[
            (|| alice("kms:Encrypt"), Allowed),
            (|| alice("kms:Decrypt"), Denied),
            (|| alice("kms:PutKeyPolicy"), Denied),
        ],
    ),
    Case {
        name: "resources with wildcards, part by part",
        source: "Amazon S3 user guide, \"Policy resources for Amazon S3\": \"You can use multiple * \
         or ? characters in each segment, but a wildcard cannot span segments\"; AWS IAM \
         user guide, \"IAM JSON policy elements: Resource\", on incomplete ARNs",
        key_policy: Some(ROOT),
        identity: &[
            r#"{"Effect": "Allow", "Action": "kms:Encrypt",
                "Resource": "arn:aws:kms:*:111122223333:key/1234*"}"#,
            r#"{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "arn:aws:kms:*:key/1234abcd"}"#,
            r#"{"Effect": "Allow", "Action": "kms:DescribeKey", "Resource": "arn:aws:kms:us-west-2"}"#,
        ],
        calls: &[
            (|| alice("kms:Encrypt"), Allowed),
            (|| alice("kms:Decrypt"), Denied),
            // Of an ARN that is cut short, the rest may be anything.
            (|| alice("kms:DescribeKey"), Allowed),
        ],
    },
    Case {
        name: "NotResource matches everything else",
        source: "AWS IAM user guide, \"IAM JSON policy elements: NotResource\"",
        key_policy: Some(ROOT),
        identity: &[
            r#"{"Effect": "Allow", "Action": "kms:Encrypt",
                "NotResource": "arn:aws:kms:us-west-2:111122223333:key/1234abcd"}"#,
            r#"{"Effect": "Allow", "Action": "kms:Decrypt",
                "NotResource": "arn:aws:kms:us-west-2:111122223333:key/5678"}"#,
        ],
        calls: &[
            (|| alice("kms:Encrypt"), Denied),
            (|| alice("kms:Decrypt"), Allowed),
        ],
    },
    Case {
        name: "a variable in a resource",
        source: "AWS IAM user guide, \"IAM policy elements: Variables and tags\", \"Resource element\" \
                 and \"Policy variables with no value\"",
        key_policy: Some(ROOT),
        identity: &[
            r#"{"Effect": "Allow", "Action": "kms:Encrypt",
                "Resource": "arn:aws:kms:us-west-2:111122223333:key/${aws:username}"}"#,
            r#"{"Effect": "Deny", "Action": "kms:Decrypt",
                "NotResource": "arn:aws:kms:us-west-2:111122223333:key/${aws:username}"}"#,
        ],
        calls: &[
            (
                || call("111122223333:user/1234abcd", "kms:Encrypt"),
                Allowed,
            ),
            (|| call("111122223333:user/1234abcd", "kms:Decrypt"), Denied),
            (|| alice("kms:Encrypt"), Denied),
            (|| alice("kms:Decrypt"), ExplicitlyDenied),
            // A role has no user name: the variable matches no resource.
            (|| call("111122223333:role/1234abcd", "kms:Encrypt"), Denied),
            (
                || call("111122223333:role/1234abcd", "kms:Decrypt"),
                ExplicitlyDenied,
            ),
        ],
    },
    // The encryption context.
    key_policy(
        "a pair of the encryption context is required",
        "AWS KMS developer guide, \"kms:EncryptionContext:context-key\"",
        r#"{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/RoleForExampleApp"},
            "Action": "kms:GenerateDataKey", "Resource": "*",
            "Condition": {"StringEquals": {"kms:EncryptionContext:AppName": "ExampleApp"}}}"#,
        &[
            (
                || app("kms:GenerateDataKey").encryption_context([("AppName", "ExampleApp")]),
                Allowed,
            ),
            (
                || {
                    app("kms:GenerateDataKey")
                        .encryption_context([("AppName", "ExampleApp"), ("Stage", "Test")])
                },
                Allowed,
            ),
            (
                || app("kms:GenerateDataKey").encryption_context([("AppName", "exampleapp")]),
                Denied,
            ),
            (
                || app("kms:GenerateDataKey").encryption_context([("Stage", "ExampleApp")]),
                Denied,
            ),
            (|| app("kms:GenerateDataKey"), Denied),
        ],
    ),
    key_policy(
        "the case of a condition's context key does not matter",
        "AWS KMS developer guide, \"Case sensitivity of the encryption context condition\"",
        r#"{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/RoleForExampleApp"},
            "Action": "kms:Decrypt", "Resource": "*",
            "Condition": {"StringEquals": {"kms:EncryptionContext:Appname": "ExampleApp"}}}"#,
        &[
            (
                || app("kms:Decrypt").encryption_context([("AppName", "ExampleApp")]),
                Allowed,
            ),
            (
                || app("kms:Decrypt").encryption_context([("APPNAME", "ExampleApp")]),
                Allowed,
            ),
            (
                || app("kms:Decrypt").encryption_context([("AppName", "ExampleAPP")]),
                Denied,
            ),
        ],
    ),
    key_policy(
        "but that of kms:EncryptionContextKeys does",
        "AWS KMS developer guide, \"Case sensitivity of the encryption context condition\", on \
         requiring a case-sensitive key",
        r#"{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/RoleForExampleApp"},
            "Action": "kms:GenerateDataKey", "Resource": "*",
            "Condition": {"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": "AppName"}}}"#,
        &[
            (
                || app("kms:GenerateDataKey").encryption_context([("AppName", "x")]),
                Allowed,
            ),
            (
                || app("kms:GenerateDataKey").encryption_context([("appname", "x")]),
                Denied,
            ),
        ],
    ),
    key_policy(
        "a pair, and no other key",
        "AWS KMS developer guide, \"kms:EncryptionContext:context-key\", on forbidding all other pairs",
        r#"{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:user/alice"},
            "Action": "kms:GenerateDataKey", "Resource": "*",
            "Condition": {"StringEquals": {"kms:EncryptionContext:AppName": "ExampleApp"},
                "ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["AppName"]}}}"#,
        &[
            (
                || alice("kms:GenerateDataKey").encryption_context([("AppName", "ExampleApp")]),
                Allowed,
            ),
            (
                || {
                    alice("kms:GenerateDataKey")
                        .encryption_context([("AppName", "ExampleApp"), ("Stage", "Test")])
                },
                Denied,
            ),
            (|| alice("kms:GenerateDataKey"), Denied),
        ],
    ),
    key_policy(
        "two pairs are both required",
        "AWS KMS developer guide, \"Using multiple encryption context pairs\": \"implicitly connected \
         by an AND operator\"",
        r#"{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/RoleForExampleApp"},
            "Action": "kms:Decrypt", "Resource": "*",
            "Condition": {"StringEquals": {"kms:EncryptionContext:Department": "IT",
                "kms:EncryptionContext:Project": "Alpha"}}}"#,
        &[
            (
                || {
                    app("kms:Decrypt")
                        .encryption_context([("Department", "IT"), ("Project", "Alpha")])
                },
                Allowed,
            ),
            (
                || app("kms:Decrypt").encryption_context([("Department", "IT")]),
                Denied,
            ),
            (
                || app("kms:Decrypt").encryption_context([("Project", "Alpha")]),
                Denied,
            ),
        ],
    ),
    key_policy(
        "several values are connected by OR",
        "AWS KMS developer guide, \"Using multiple encryption context pairs\", on Stage=Restricted or \
         Stage=Production",
        r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"},
           {"Effect": "Deny", "Principal": {"AWS": "arn:aws:iam::111122223333:role/RoleForExampleApp"},
            "Action": "kms:GenerateDataKey", "Resource": "*",
            "Condition": {"StringEquals": {"kms:EncryptionContext:Stage": ["Restricted", "Production"]}}}"#,
        &[
            (
                || app("kms:GenerateDataKey").encryption_context([("Stage", "Restricted")]),
                ExplicitlyDenied,
            ),
            (
                || app("kms:GenerateDataKey").encryption_context([("Stage", "Production")]),
                ExplicitlyDenied,
            ),
            (
                || app("kms:GenerateDataKey").encryption_context([("Stage", "Test")]),
                Allowed,
            ),
            (|| app("kms:GenerateDataKey"), Allowed),
        ],
    ),
    key_policy(
        "several values under a negated operator are connected by NOR",
        "AWS IAM user guide, \"Conditions with multiple context keys or values\", \"Evaluation logic \
         for multiple values in negated matching condition operators\"",
        r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*",
            "Condition": {"StringNotEquals": {"kms:EncryptionContext:Stage": ["Restricted", "Production"]}}}"#,
        &[
            (
                || alice("kms:Encrypt").encryption_context([("Stage", "Restricted")]),
                Denied,
            ),
            (
                || alice("kms:Encrypt").encryption_context([("Stage", "Production")]),
                Denied,
            ),
            (
                || alice("kms:Encrypt").encryption_context([("Stage", "Test")]),
                Allowed,
            ),
        ],
    ),
    key_policy(
        "an encryption context is required, whatever it is",
        "AWS KMS developer guide, \"kms:EncryptionContextKeys\", on the Null condition operator",
        r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*",
            "Condition": {"Null": {"kms:EncryptionContextKeys": false}}}"#,
        &[
            (
                || alice("kms:Encrypt").encryption_context([("a", "b")]),
                Allowed,
            ),
            (|| alice("kms:Encrypt"), Denied),
            (
                || alice("kms:Encrypt").encryption_context(<[(&str, &str); 0]>::default()),
                Denied,
            ),
        ],
    ),
    // Keys that are absent.
    key_policy(
        "an absent key does not match",
        "AWS IAM user guide, \"IAM JSON policy elements: Condition operators\": \"If the key that you \
         specify in a policy condition is not present in the request context, the values do not match\"",
        r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*",
            "Condition": {"StringEquals": {"kms:ViaService": "s3"}}},
           {"Effect": "Allow", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*",
            "Condition": {"StringLike": {"kms:ViaService": "*"}}},
           {"Effect": "Allow", "Principal": "*", "Action": "kms:DescribeKey", "Resource": "*",
            "Condition": {"Bool": {"kms:GrantIsForAWSResource": "false"}}},
           {"Effect": "Allow", "Principal": "*", "Action": "kms:EnableKey", "Resource": "*",
            "Condition": {"NumericLessThan": {"kms:RotationPeriodInDays": 999}}}"#,
        &[
            (|| alice("kms:Encrypt"), Denied),
            (|| alice("kms:Decrypt"), Denied),
            (|| alice("kms:Decrypt").via_service(""), Allowed),
            (|| alice("kms:DescribeKey"), Denied),
            (|| alice("kms:EnableKey"), Denied),
        ],
    ),
    key_policy(
        "an absent key matches a negated operator",
        "AWS IAM user guide, \"IAM JSON policy elements: Condition operators\": \"If the policy \
         condition requires that the key is not matched ... and the right key is not present, the \
         condition is true\"",
        r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*",
            "Condition": {"StringNotEquals": {"kms:ViaService": "s3"},
                "StringNotLike": {"kms:ViaService": "*"}, "StringNotEqualsIgnoreCase": {"kms:ViaService": "S3"},
                "ArnNotLike": {"kms:GranteePrincipal": "arn:aws:iam::*:*"},
                "ArnNotEquals": {"kms:RetiringPrincipal": "arn:aws:iam::*:*"},
                "NumericNotEquals": {"kms:RotationPeriodInDays": 1},
                "DateNotEquals": {"aws:CurrentTime": "2026-01-01"}}}"#,
        &[
            (|| alice("kms:Encrypt"), Allowed),
            (|| alice("kms:Encrypt").via_service("x"), Denied),
        ],
    ),
    key_policy(
        "with IfExists, an absent key makes the condition true",
        "AWS IAM user guide, \"...IfExists condition operators\"",
        r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*",
            "Condition": {"StringLikeIfExists": {"kms:ViaService": ["s3.*", "ec2.*"]}}}"#,
        &[
            (|| alice("kms:Encrypt"), Allowed),
            (
                || alice("kms:Encrypt").via_service("s3.us-west-2.amazonaws.com"),
                Allowed,
            ),
            (
                || alice("kms:Encrypt").via_service("sqs.us-west-2.amazonaws.com"),
                Denied,
            ),
        ],
    ),
    key_policy(
        "a deny with a negated IfExists still denies when the key is missing",
        "AWS IAM user guide, \"...IfExists condition operators\": \"the request is still denied even if \
         the tag is missing\"",
        r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"},
           {"Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*",
            "Condition": {"StringNotEqualsIfExists": {"kms:ViaService": "s3"}}}"#,
        &[
            (|| alice("kms:Encrypt"), ExplicitlyDenied),
            (|| alice("kms:Encrypt").via_service("s3"), Allowed),
        ],
    ),
    key_policy(
        "Null tells whether a key is absent",
        "AWS IAM user guide, \"Condition operator to check existence of condition keys\"; AWS KMS \
         developer guide, \"kms:BypassPolicyLockoutSafetyCheck\"",
        r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:PutKeyPolicy", "Resource": "*",
            "Condition": {"Null": {"kms:BypassPolicyLockoutSafetyCheck": true}}},
           {"Effect": "Allow", "Principal": "*", "Action": "kms:CreateGrant", "Resource": "*",
            "Condition": {"Null": {"kms:GranteePrincipal": "false"}}}"#,
        &[
            (|| alice("kms:PutKeyPolicy"), Allowed),
            (
                || alice("kms:PutKeyPolicy").bypass_lockout_check(false),
                Denied,
            ),
            (|| alice("kms:CreateGrant"), Denied),
            (
                || alice("kms:CreateGrant").grantee_principal("arn:aws:iam::111122223333:root"),
                Allowed,
            ),
        ],
    ),
    // Keys with several values.
    key_policy(
        "ForAllValues: each value has to match one",
        "AWS KMS developer guide, \"kms:GrantOperations\"",
        r#"{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:user/alice"},
            "Action": "kms:CreateGrant", "Resource": "*",
            "Condition": {"ForAllValues:StringEquals": {"kms:GrantOperations": ["Encrypt", "Decrypt"]}}}"#,
        &[
            (
                || alice("kms:CreateGrant").grant_operations(["Encrypt"]),
                Allowed,
            ),
            (
                || alice("kms:CreateGrant").grant_operations(["Encrypt", "Decrypt"]),
                Allowed,
            ),
            (
                || alice("kms:CreateGrant").grant_operations(["Encrypt", "GenerateDataKey"]),
                Denied,
            ),
        ],
    ),
    key_policy(
        "ForAllValues is true when there are no values",
        "AWS IAM user guide, \"Set operators for multivalued context keys\": \"It also returns true if \
         there are no context keys in the request\"",
        r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*",
            "Condition": {"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": "AppName"}}}"#,
        &[
            (|| alice("kms:Encrypt"), Allowed),
            (
                || alice("kms:Encrypt").encryption_context(<[(&str, &str); 0]>::default()),
                Allowed,
            ),
            (
                || alice("kms:Encrypt").encryption_context([("Stage", "x")]),
                Denied,
            ),
        ],
    ),
    key_policy(
        "ForAnyValue: one value has to match, and there has to be one",
        "AWS IAM user guide, \"Set operators for multivalued context keys\", of ForAnyValue",
        r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*",
            "Condition": {"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/ExampleAlias"}}}"#,
        &[
            (
                || alice("kms:Encrypt").resource_aliases(["alias/other", "alias/ExampleAlias"]),
                Allowed,
            ),
            (
                || alice("kms:Encrypt").resource_aliases(["alias/other"]),
                Denied,
            ),
            (|| alice("kms:Encrypt"), Denied),
        ],
    ),
    key_policy(
        "set operators with negated matching",
        "AWS IAM user guide, \"Single-valued vs. multivalued context keys\", \"Set \
         operators for multivalued context keys\"",
        r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"},
           {"Effect": "Deny", "Principal": "*", "Action": "kms:CreateGrant", "Resource": "*",
            "Condition": {"ForAnyValue:StringNotEquals": {"kms:GrantOperations": ["Encrypt", "Decrypt"]}}},
           {"Effect": "Deny", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*",
            "Condition": {"ForAllValues:StringNotEquals": {"kms:EncryptionContextKeys": ["AppName"]}}}"#,
        &[
            (
                || alice("kms:CreateGrant").grant_operations(["Encrypt", "Decrypt"]),
                Allowed,
            ),
            (
                || alice("kms:CreateGrant").grant_operations(["Encrypt", "ReEncryptTo"]),
                ExplicitlyDenied,
            ),
            (|| alice("kms:CreateGrant"), Allowed),
            (
                || alice("kms:Encrypt").encryption_context([("AppName", "x"), ("Stage", "y")]),
                Allowed,
            ),
            (
                || alice("kms:Encrypt").encryption_context([("Stage", "y")]),
                ExplicitlyDenied,
            ),
            (|| alice("kms:Encrypt"), ExplicitlyDenied),
        ],
    ),
    // The other kinds of operators.
    key_policy(
        "numbers",
        "AWS KMS developer guide, \"kms:ScheduleKeyDeletionPendingWindowInDays\"",
        r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"},
           {"Effect": "Deny", "Principal": "*", "Action": "kms:ScheduleKeyDeletion", "Resource": "*",
            "Condition": {"NumericLessThan": {"kms:ScheduleKeyDeletionPendingWindowInDays": "21"}}}"#,
        &[
            (
                || alice("kms:ScheduleKeyDeletion").pending_window_days(20),
                ExplicitlyDenied,
            ),
            (
                || alice("kms:ScheduleKeyDeletion").pending_window_days(21),
                Allowed,
            ),
            (
                || alice("kms:ScheduleKeyDeletion").pending_window_days(30),
                Allowed,
            ),
        ],
    ),
    key_policy(
        "what is no number equals none",
        "AWS IAM user guide, \"Numeric condition operators\": comparing \"to an integer or decimal \
         value\"; \"Negated matching\"",
        r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*",
            "Condition": {"NumericGreaterThan": {"kms:EncryptionContext:level": "2"}}},
           {"Effect": "Allow", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*",
            "Condition": {"NumericNotEquals": {"kms:EncryptionContext:level": "2"}}}"#,
        &[
            (
                || alice("kms:Encrypt").encryption_context([("level", "2.5")]),
                Allowed,
            ),
            (
                || alice("kms:Encrypt").encryption_context([("level", "10")]),
                Allowed,
            ),
            (
                || alice("kms:Encrypt").encryption_context([("level", "3x")]),
                Denied,
            ),
            (
                || alice("kms:Decrypt").encryption_context([("level", "2.0")]),
                Denied,
            ),
            (
                || alice("kms:Decrypt").encryption_context([("level", "2x")]),
                Allowed,
            ),
        ],
    ),
    key_policy(
        "dates, in ISO 8601 and in epoch time",
        "AWS IAM user guide, \"Date condition operators\"",
        r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*",
            "Condition": {"DateGreaterThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"},
                "DateLessThan": {"aws:EpochTime": 1767225700}}},
           {"Effect": "Allow", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*",
            "Condition": {"DateEquals": {"aws:CurrentTime": "2026-01-01T01:00:00+01:00"}}}"#,
        &[
            (|| alice("kms:Encrypt").time(at(1)), Allowed),
            (|| alice("kms:Encrypt").time(at(0)), Denied),
            (|| alice("kms:Encrypt").time(at(100)), Denied),
            (|| alice("kms:Decrypt").time(at(0)), Allowed),
            (|| alice("kms:Decrypt").time(at(1)), Denied),
        ],
    ),
    key_policy(
        "truth values",
        "AWS KMS developer guide, \"kms:GrantIsForAWSResource\"",
        r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:CreateGrant", "Resource": "*",
            "Condition": {"Bool": {"kms:GrantIsForAWSResource": true}}},
           {"Effect": "Allow", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*",
            "Condition": {"Bool": {"kms:EncryptionContext:x": "True"}}}"#,
        &[
            (
                || alice("kms:CreateGrant").grant_is_for_aws_resource(true),
                Allowed,
            ),
            (
                || alice("kms:CreateGrant").grant_is_for_aws_resource(false),
                Denied,
            ),
            (
                || alice("kms:Encrypt").encryption_context([("x", "TRUE")]),
                Allowed,
            ),
            (
                || alice("kms:Encrypt").encryption_context([("x", "1")]),
                Denied,
            ),
        ],
    ),
    key_policy(
        "ARNs match part by part, strings do not",
        "AWS IAM user guide, \"Amazon Resource Name (ARN) condition operators\", the example of \
         StringLike and ArnLike",
        r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*",
            "Condition": {"StringLike": {"kms:EncryptionContext:a": "arn:aws:someservice:*:111122223333:finance/*"}}},
           {"Effect": "Allow", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*",
            "Condition": {"ArnLike": {"kms:EncryptionContext:a": "arn:aws:someservice:*:111122223333:finance/*"}}},
           {"Effect": "Allow", "Principal": "*", "Action": "kms:DescribeKey", "Resource": "*",
            "Condition": {"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::*:role/team/*"}}}"#,
        &[
            (
                || alice("kms:Encrypt").encryption_context([("a", LONG_ARN)]),
                Allowed,
            ),
            (
                || alice("kms:Decrypt").encryption_context([("a", LONG_ARN)]),
                Denied,
            ),
            (
                || {
                    alice("kms:Decrypt").encryption_context([(
                        "a",
                        "arn:aws:someservice:us-east-2:111122223333:finance/document.txt",
                    )])
                },
                Allowed,
            ),
            (
                || call("111122223333:role/team/app", "kms:DescribeKey"),
                Allowed,
            ),
            (|| call("111122223333:role/app", "kms:DescribeKey"), Denied),
        ],
    ),
    key_policy(
        "strings in any case",
        "AWS IAM user guide, \"String condition operators\"",
        r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*",
            "Condition": {"StringEqualsIgnoreCase": {"aws:username": "ALICE"}}},
           {"Effect": "Allow", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*",
            "Condition": {"StringEquals": {"AWS:UserName": "ALICE"}}}"#,
        &[
            (|| alice("kms:Encrypt"), Allowed),
            (|| alice("kms:Decrypt"), Denied),
        ],
    ),
    // Variables.
    key_policy(
        "a variable in a condition",
        "AWS IAM user guide, \"IAM policy elements: Variables and tags\", \"Condition element\" and \
         \"Specifying default values\"",
        r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*",
            "Condition": {"StringLike": {"kms:EncryptionContext:home": "home/${aws:username, 'all'}/*"}}}"#,
        &[
            (
                || alice("kms:Encrypt").encryption_context([("home", "home/alice/x")]),
                Allowed,
            ),
            (
                || alice("kms:Encrypt").encryption_context([("home", "home/bob/x")]),
                Denied,
            ),
            (
                || app("kms:Encrypt").encryption_context([("home", "home/all/x")]),
                Allowed,
            ),
        ],
    ),
    key_policy(
        "a variable without a value matches nothing, and so a negated operator",
        "AWS IAM user guide, \"IAM policy elements: Variables and tags\", \"Policy variables with no \
         value\"",
        r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*",
            "Condition": {"StringEquals": {"kms:EncryptionContext:owner": "${aws:username}"}}},
           {"Effect": "Deny", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*",
            "Condition": {"StringNotEquals": {"kms:EncryptionContext:owner": "${aws:username}"}}}"#,
        &[
            (
                || alice("kms:Encrypt").encryption_context([("owner", "alice")]),
                Allowed,
            ),
            (
                || app("kms:Encrypt").encryption_context([("owner", "alice")]),
                Denied,
            ),
            (
                || alice("kms:Decrypt").encryption_context([("owner", "alice")]),
                Denied,
            ),
            (
                || app("kms:Decrypt").encryption_context([("owner", "alice")]),
                ExplicitlyDenied,
            ),
        ],
    ),
    key_policy(
        "special characters, taken as they are",
        "AWS IAM user guide, \"IAM policy elements: Variables and tags\", \"Special characters\"",
        r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*",
            "Condition": {"StringLike": {"kms:EncryptionContext:a": "x${*}y${?}z${$}"}}}"#,
        &[
            (
                || alice("kms:Encrypt").encryption_context([("a", "x*y?z$")]),
                Allowed,
            ),
            (
                || alice("kms:Encrypt").encryption_context([("a", "xxyyz$")]),
                Denied,
            ),
        ],
    ),
    // Where AWS says nothing.
    key_policy(
        "ForAnyValue is false of an absent key, with IfExists too",
        "AWS IAM user guide, \"Set operators for multivalued context keys\", of ForAnyValue; that \
         IfExists changes nothing about it is the finding of the evaluator that \
         tests/policy_differential asks, and the stricter reading",
        r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*",
            "Condition": {"ForAnyValue:StringEqualsIfExists": {"kms:GrantOperations": "Encrypt"}}}"#,
        &[
            (|| alice("kms:CreateGrant"), Denied),
            (
                || alice("kms:CreateGrant").grant_operations(["Encrypt"]),
                Allowed,
            ),
        ],
    ),
    key_policy(
        "context keys that differ only in case get around no policy",
        "None: AWS KMS API reference, \"GrantConstraints\", asks to not use such keys",
        r#"{"Effect": "Allow", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*",
            "Condition": {"StringEquals": {"kms:EncryptionContext:tenant": "7"}}},
           {"Effect": "Allow", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*"},
           {"Effect": "Deny", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*",
            "Condition": {"StringEquals": {"kms:EncryptionContext:stage": "Restricted"}}}"#,
        &[
            (
                || alice("kms:Encrypt").encryption_context([("tenant", "7"), ("Tenant", "7")]),
                Allowed,
            ),
            (
                || alice("kms:Encrypt").encryption_context([("tenant", "7"), ("Tenant", "8")]),
                Denied,
            ),
            (
                || {
                    alice("kms:Decrypt")
                        .encryption_context([("stage", "x"), ("STAGE", "Restricted")])
                },
                ExplicitlyDenied,
            ),
            (
                || alice("kms:Decrypt").encryption_context([("stage", "x"), ("STAGE", "y")]),
                Allowed,
            ),
        ],
    ),
];

const LONG_ARN: &str =
    "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt";

/// Seconds after 2026-01-01T00:00:00Z.
fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600 + seconds)
}
