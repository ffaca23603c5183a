//! What holds of every policy, and calls to try it with.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use waxseal::kms::Principal;
use waxseal::kms::policy::{
    Explanation, IdentityPolicy, KeyPolicy, PolicyError, PolicyRequest, simulate,
};

/// What a policy came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Came {
    Refused,
    Allowed,
    Denied,
    ExplicitlyDenied,
}

fn came(explanation: &Explanation) -> Came {
    // What it says never panics, and is of one piece.
    assert!(!explanation.to_string().is_empty());
    let is_denied = !explanation.is_allowed();
    assert_eq!(explanation.needed().is_empty(), explanation.is_allowed());
    assert!(is_denied || !explanation.decided_by().is_empty());
    if !is_denied {
        Came::Allowed
    } else if explanation.is_explicitly_denied() {
        Came::ExplicitlyDenied
    } else {
        Came::Denied
    }
}

const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234";

/// A call, by one byte.
fn request(call: u8) -> PolicyRequest {
    let account = ["111122223333", "444455556666"][usize::from(call & 1)];
    let principal = match call >> 1 & 3 {
        0 => Principal::root(account),
        1 => Principal::user(account, "alice"),
        2 => Principal::role(account, "team/app"),
        _ => Principal::user(account, "bob"),
    };
    let principal = principal.expect("a principal");
    let (action, resource) = match call >> 3 & 3 {
        0 => ("kms:Decrypt", KEY),
        1 => ("kms:GenerateDataKey", KEY),
        2 => ("kms:CreateGrant", KEY),
        _ => ("kms:ListKeys", "*"),
    };
    let request = PolicyRequest::new(&principal, action, resource);
    if call & 0x20 == 0 {
        return request;
    }
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_772_366_400);
    let request = request
        .encryption_context([("AppName", "ExampleApp"), ("Stage", "5"), ("ü*", "")])
        .via_service("s3.us-east-1.amazonaws.com")
        .grant_operations(["Encrypt", "Decrypt"])
        .resource_aliases(["alias/app"])
        .grantee_principal("arn:aws:iam::444455556666:role/app")
        .grant_is_for_aws_resource(true)
        .pending_window_days(7)
        .time(now);
    if call & 0x40 == 0 {
        request
    } else {
        request.encryption_context([("appname", "x"), ("AppName", "ExampleApp")])
    }
}

/// Reads a text as both kinds of policies, and says what they came to.
///
/// # Panics
/// When something does not hold.
pub fn check(call: u8, text: &str) -> [Came; 2] {
    let everything = r#"{"Statement": {"Effect": "EFFECT", "Action": "*", "Resource": "*"}}"#;
    let identity = |effect| {
        let text = everything.replace("EFFECT", effect);
        IdentityPolicy::parse(&text).expect("a policy")
    };
    let request = request(call);

    let by_key = |text: &str| -> Result<Came, PolicyError> {
        let policy = KeyPolicy::parse(text)?;
        assert_eq!(policy.as_str(), text);
        let own = [identity("Allow")];
        let found = came(&simulate(Some(&policy), &own, &request));
        let without = came(&simulate(Some(&policy), &[], &request));
        assert!(without != Came::Allowed || found == Came::Allowed);
        let denied = came(&simulate(Some(&policy), &[identity("Deny")], &request));
        assert_eq!(denied, Came::ExplicitlyDenied);
        let granted = came(&simulate(Some(&policy), &own, &request.clone().grant("g")));
        let is_denied = found == Came::ExplicitlyDenied;
        assert_eq!(granted == Came::Allowed, !is_denied);
        Ok(found)
    };
    let by_identity = |text: &str| -> Result<Came, PolicyError> {
        let policy = IdentityPolicy::parse(text)?;
        assert_eq!(policy.as_str(), text);
        let default = KeyPolicy::default_for("111122223333").expect("an account");
        let own = [policy, identity("Deny")];
        let found = came(&simulate(Some(&default), &own[..1], &request));
        let denied = came(&simulate(Some(&default), &own, &request));
        assert_eq!(denied, Came::ExplicitlyDenied);
        Ok(found)
    };
    [rewritten(text, by_key), rewritten(text, by_identity)]
}

/// Reads a text, and again as a serialiser writes it: other spaces, other
/// escapes, another order of the elements.
fn rewritten(text: &str, read: impl Fn(&str) -> Result<Came, PolicyError>) -> Came {
    match read(text) {
        Ok(came) => {
            let json: Value = serde_json::from_str(text).expect("it was read");
            for other in [json.to_string(), format!(" {text}\n")] {
                // It may have become longer than a policy may be.
                if other.len() <= waxseal::kms::policy::MAX_POLICY_LENGTH {
                    assert_eq!(read(&other), Ok(came), "{other}");
                }
            }
            came
        }
        Err(error) => {
            assert!(!error.to_string().is_empty() && !error.reason().is_empty());
            if let Some(number) = error.statement() {
                // A statement is named only where there are statements.
                let json: Value = serde_json::from_str(text).expect("JSON");
                if let Value::Array(statements) = &json["Statement"] {
                    assert!(number < statements.len(), "{error}");
                }
            }
            Came::Refused
        }
    }
}
