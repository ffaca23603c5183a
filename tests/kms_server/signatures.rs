//! Whoever cannot sign gets nothing, and who can signs all that matters.

use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::client::{Request, hex};
use crate::server::{ALICE, OTHER, ROOT, Server};

const INVALID: &str = "InvalidSignatureException";
const INCOMPLETE: &str = "IncompleteSignatureException";

#[test]
fn who_signs_is_let_in() {
    let server = Server::start();
    for credential in [ROOT, OTHER] {
        let client = server.client(credential);
        let key = client.works("CreateKey", "{}");
        assert_eq!(key["KeyMetadata"]["AWSAccountId"], credential.account);
        // More headers than must be, signed or not.
        let request = client.request("ListKeys", "{}");
        let hash = hex(&Sha256::digest(b"{}"));
        let request = request.signed_header("x-amz-content-sha256", &hash);
        let request = request.signed_header("x-custom", "  a   b ");
        let answer = client.send(&request.header("x-other", "c").sign());
        // (The signer folds spaces, and these tests' does not.)
        answer.is(400, INVALID);
        let request = client.request("ListKeys", "{}");
        let request = request.signed_header("x-amz-content-sha256", &hash);
        let request = request.signed_header("x-custom", "a b");
        let answer = client.send(&request.header("x-other", "c").sign());
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}

#[test]
fn a_wrong_signature() {
    let server = Server::start();
    let client = server.client(ROOT);
    let forged = crate::client::Credential {
        secret: ALICE.secret,
        ..ROOT
    };
    server
        .client(forged)
        .call("ListKeys", "{}")
        .is(400, INVALID);
    // Each bit of it counts.
    let request = client.request("ListKeys", "{}");
    let authorization = request.authorization();
    for place in [1, 33, 64] {
        let mut changed = authorization.clone().into_bytes();
        let index = changed.len() - place;
        changed[index] = match changed[index] {
            b'0' => b'1',
            _ => b'0',
        };
        let changed = String::from_utf8(changed).unwrap();
        client
            .send(&request.clone().header("authorization", &changed))
            .is(400, INVALID);
    }
    for cut in [1, 63, 64] {
        let cut = &authorization[..authorization.len() - cut];
        let answer = client.send(&request.clone().header("authorization", cut));
        assert_eq!(answer.status, 400, "{}", answer.body);
    }
    let unknown = crate::client::Credential {
        id: "AKIANOBODY",
        ..ROOT
    };
    let answer = server.client(unknown).call("ListKeys", "{}");
    answer.is(400, "UnrecognizedClientException");
    let token = client
        .request("ListKeys", "{}")
        .signed_header("x-amz-security-token", "x");
    client
        .send(&token.sign())
        .is(400, "UnrecognizedClientException");
    server.goes_on();
}

/// What was signed cannot be used for anything else.
#[test]
fn a_captured_signature() {
    let server = Server::start();
    let client = server.client(ROOT);
    let key = client.create_key();
    let captured = client
        .request("DescribeKey", &format!(r#"{{"KeyId":"{key}"}}"#))
        .sign();
    let mut body = captured.clone();
    body.body = br#"{"KeyId":"alias/other"}"#.to_vec();
    client.send(&body).is(400, INVALID);
    let target = captured
        .clone()
        .change("x-amz-target", "TrentService.DisableKey");
    client.send(&target).is(400, INVALID);
    let host = captured
        .clone()
        .change("host", "kms.us-east-1.amazonaws.com");
    client.send(&host).is(400, INVALID);
    // Another hash, told or signed, makes no other body.
    let hash = hex(&Sha256::digest(b"{}"));
    let told = client
        .request("ListKeys", "")
        .signed_header("x-amz-content-sha256", &hash);
    client.send(&told.sign()).is(400, INVALID);
    let unsigned = client
        .request("ListKeys", "{}")
        .signed_header("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    client.send(&unsigned.sign()).is(400, INVALID);
    assert_eq!(client.send(&captured).status, 200);
    server.goes_on();
}

#[test]
fn a_stale_date() {
    let server = Server::start();
    let client = server.client(ROOT);
    let now = SystemTime::now();
    for (date, is_right) in [
        (now - Duration::from_secs(4 * 60), true),
        (now + Duration::from_secs(4 * 60), true),
        (now - Duration::from_secs(6 * 60), false),
        (now + Duration::from_secs(6 * 60), false),
        (now - Duration::from_secs(365 * 24 * 60 * 60), false),
    ] {
        let answer = client.send(&client.request_at("ListKeys", "{}", date).sign());
        match is_right {
            true => assert_eq!(answer.status, 200, "{}", answer.body),
            false => answer.is(400, INVALID),
        }
    }
    for date in [
        "",
        "20260101",
        "2026-01-01T00:00:00Z",
        "20261301T000000Z",
        "99999999T999999Z",
    ] {
        let request = client.request("ListKeys", "{}");
        client
            .send(&request.change("x-amz-date", date).sign())
            .is(400, INCOMPLETE);
    }
}

#[test]
fn a_header_that_is_not_signed() {
    let server = Server::start();
    let client = server.client(ROOT);
    for name in ["host", "x-amz-date", "x-amz-target"] {
        let request = client.request("ListKeys", "{}").unsigned(name);
        client.send(&request.sign()).is(400, INVALID);
    }
    let added = client
        .request("ListKeys", "{}")
        .sign()
        .header("x-amz-meta", "1");
    client.send(&added).is(400, INVALID);
    // One that is not the server's business.
    let type_unsigned = client.request("ListKeys", "{}").unsigned("content-type");
    assert_eq!(client.send(&type_unsigned.sign()).status, 200);
    // Signed, and not there.
    let mut missing = client.request("ListKeys", "{}");
    missing.signed.push("x-amz-missing".to_owned());
    client.send(&missing.sign()).is(400, INVALID);
    // Twice, and it would not be clear which one counts.
    for (name, value) in [
        ("x-amz-target", "TrentService.DisableKey"),
        ("host", "other"),
    ] {
        let twice = client.request("ListKeys", "{}").header(name, value);
        client.send(&twice.sign()).is(400, INVALID);
    }
}

#[test]
fn a_credential_of_another_scope() {
    let server = Server::start();
    let client = server.client(ROOT);
    for (part, other) in [
        (0, "20200101"),
        (0, "2020"),
        (1, "eu-west-1"),
        (2, "s3"),
        (3, "aws5_request"),
    ] {
        let mut request = client.request("ListKeys", "{}");
        request.scope[part] = other.to_owned();
        client.send(&request.sign()).is(400, INVALID);
    }
    let elsewhere = Server::with(["--region", "eu-central-1"]);
    elsewhere
        .client(ROOT)
        .call("ListKeys", "{}")
        .is(400, INVALID);
    let client = elsewhere.client(ROOT);
    let mut request = client.request("CreateKey", "{}");
    request.scope[1] = "eu-central-1".to_owned();
    let answer = client.send(&request.sign());
    let arn = answer.body["KeyMetadata"]["Arn"].as_str().unwrap();
    assert!(
        arn.starts_with("arn:aws:kms:eu-central-1:111122223333:key/"),
        "{arn}"
    );
}

#[test]
fn an_authorization_that_is_none() {
    let server = Server::start();
    let client = server.client(ROOT);
    let request = client.request("ListKeys", "{}");
    client
        .send(&request)
        .is(400, "MissingAuthenticationTokenException");
    let right = request.authorization();
    client
        .send(
            &request
                .clone()
                .header("authorization", &right)
                .header("authorization", &right),
        )
        .is(400, INCOMPLETE);
    for wrong in [
        "",
        "Basic QUtJQTpzZWNyZXQ=",
        "AWS4-HMAC-SHA256",
        &right.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        &right.replace("Signature=", "signature="),
        &right.replace(", SignedHeaders=", ", Credential="),
        &right.replace("/kms/", "/"),
        &right.replace("/kms/", "/kms/kms/"),
        &format!("{right}, Signature=0"),
        &format!("{right}, Other=0"),
        &right.replace(
            "SignedHeaders=",
            &format!("SignedHeaders={}", "a;".repeat(60)),
        ),
    ] {
        client
            .send(&request.clone().header("authorization", wrong))
            .is(400, INCOMPLETE);
    }
    // In the query instead, as for a link that is passed on.
    let mut presigned = request.clone();
    presigned.path = format!(
        "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Signature=0",
        ROOT.id
    );
    client.send(&presigned).is(400, INCOMPLETE);
    let with_query = Request {
        path: "/?a=b".into(),
        ..request.clone()
    };
    client.send(&with_query.sign()).is(400, INCOMPLETE);
    server.goes_on();
}

/// Also who signs rightly can ask for nothing that there is not.
#[test]
fn no_such_operation() {
    let server = Server::start();
    let client = server.client(ROOT);
    let unknown = "UnknownOperationException";
    for operation in ["Sign", "listKeys", "ListKeys2", ""] {
        client.call(operation, "{}").is(404, unknown);
    }
    let request = client.request("ListKeys", "{}");
    for target in ["ListKeys", "DynamoDB_20120810.ListTables", "TrentService."] {
        client
            .send(&request.clone().change("x-amz-target", target).sign())
            .is(404, unknown);
    }
    for (method, path) in [
        ("GET", "/"),
        ("PUT", "/"),
        ("POST", "/clock"),
        ("POST", "/x"),
    ] {
        let mut request = request.clone();
        (request.method, request.path) = (method.to_owned(), path.to_owned());
        client.send(&request.sign()).is(404, unknown);
    }
}
