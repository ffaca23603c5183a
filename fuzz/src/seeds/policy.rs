//! The first inputs of the target `policy_document`.

/// Policies, each with several calls.
pub(super) fn documents() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (number, text) in texts().into_iter().enumerate() {
        // Another caller, another action, with and without a context.
        for call in [0x00, 0x22, 0x65, 0x2a, 0x33, 0x1a] {
            all.push([vec![call ^ (number as u8 & 1)], text.clone().into_bytes()].concat());
        }
    }
    all
}

fn texts() -> Vec<String> {
    let policy = |statements: &str| {
        format!(r#"{{"Version":"2012-10-17","Id":"id","Statement":[{statements}]}}"#)
    };
    let statement = |principal: &str, rest: &str| {
        format!(
            r#"{{"Sid":"S","Effect":"Allow",{principal}"Action":["kms:*"],"Resource":"*"{rest}}}"#
        )
    };
    let everyone = r#""Principal":"*","#;
    let mut texts = vec![
        String::new(),
        "[[[[[[[[".into(),
        "{}".into(),
        r#"{"Statement":[]}"#.into(),
        policy(&statement(everyone, r#","Extra":1"#)),
        policy(
            r#"{"Effect":"Deny","NotPrincipal":{"AWS":["arn:aws:iam::111122223333:user/alice"],"Service":"s3.amazonaws.com"},"NotAction":"kms:De?rypt","NotResource":"arn:aws:kms:*:111122223333:key/1*"}"#,
        ),
        policy(
            r#"{"Effect":"Allow","Action":["kms:Decrypt","s3:*","kms:generate*"],"Resource":["arn:aws:kms:us-east-1:*:key/${aws:username, 'x''y'}","arn:aws:kms:us-east-1:111122223333:key/1234"]}"#,
        ),
        policy(r#"{"Effect":"Deny","Action":"*","Resource":"*"}"#),
    ];
    for principal in [
        r#""Principal":{"AWS":"111122223333"},"#,
        r#""Principal":{"AWS":["arn:aws:iam::444455556666:root","arn:aws:iam::111122223333:role/team/app"]},"#,
        r#""Principal":{"Federated":"x","CanonicalUser":"y"},"#,
        "",
    ] {
        texts.push(policy(&statement(principal, "")));
        texts.push(policy(&statement(principal, "")).replace("Allow", "Deny"));
    }
    for condition in [
        r#""StringEquals":{"kms:EncryptionContext:AppName":["ExampleApp","${aws:username}"]}"#,
        r#""StringNotEqualsIfExists":{"kms:ViaService":"x"}"#,
        r#""StringEqualsIgnoreCase":{"aws:username":"ALICE"}"#,
        r#""StringNotEqualsIgnoreCase":{"kms:encryptioncontext:appname":"x"}"#,
        r#""StringLike":{"kms:ViaService":"s3.*.amazon??s.com","aws:PrincipalType":"U*r"}"#,
        r#""StringNotLike":{"kms:EncryptionContext:ü*":"a${*}${?}${$}"}"#,
        r#""NumericLessThan":{"kms:ScheduleKeyDeletionPendingWindowInDays":7.5}"#,
        r#""NumericNotEquals":{"kms:EncryptionContext:Stage":"-5"}"#,
        r#""DateGreaterThanEquals":{"aws:CurrentTime":"2026-01-01T00:00:00.5+01:00"}"#,
        r#""DateNotEquals":{"aws:EpochTime":[1772366400,"2026-02"]}"#,
        r#""Bool":{"kms:GrantIsForAWSResource":true}"#,
        r#""Null":{"kms:EncryptionContextKeys":"false","kms:ViaService":false}"#,
        r#""ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/*"}"#,
        r#""ArnNotEquals":{"kms:GranteePrincipal":"arn:aws:iam::${aws:PrincipalAccount}:role/app"}"#,
        r#""ForAllValues:StringEquals":{"kms:GrantOperations":["Encrypt","Decrypt"]}"#,
        r#""ForAnyValue:StringNotLikeIfExists":{"kms:ResourceAliases":"alias/*"}"#,
        r#""ForAllValues:StringNotEquals":{"kms:EncryptionContextKeys":["Stage","ü*"]}"#,
        r#""ForAllValues:StringEquals":{"kms:EncryptionContext:a":"x"}"#,
        r#""StringEquals":{"aws:SourceIp":"x"}"#,
    ] {
        let rest = format!(r#","Condition":{{{condition}}}"#);
        texts.push(policy(&statement(everyone, &rest)));
        texts.push(policy(&statement("", &rest)));
        texts.push(policy(&statement(everyone, &rest)).replace("Allow", "Deny"));
    }
    texts
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::policy::{Came, check};

    /// The seeds go all ways.
    #[test]
    fn policies_come_to_every_verdict() {
        let mut found = [BTreeSet::new(), BTreeSet::new()];
        for seed in documents() {
            let (call, text) = seed.split_first().expect("a call");
            let came = check(*call, std::str::from_utf8(text).expect("text"));
            for (found, came) in found.iter_mut().zip(came) {
                found.insert(came);
            }
        }
        let all = [
            Came::Refused,
            Came::Allowed,
            Came::Denied,
            Came::ExplicitlyDenied,
        ];
        assert_eq!(found, [all.into(), all.into()]);
    }
}
