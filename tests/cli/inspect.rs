//! `inspect`: the header, without a key, as text and as JSON.

use std::io::Read;
use std::process::Stdio;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::tool::{KEY, Tool, with_key};

fn json_of(tool: &Tool, name: &str) -> Value {
    let out = tool.works(["inspect", name, "--json"]);
    serde_json::from_slice(&out).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn as_json() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    let context = ["--context", "tenant=7", "--context", "ключ=a=\"b\"\n"];
    let more = [&context[..], &KEY, &["--frame-length", "77"]].concat();
    tool.works(with_key(&[&["encrypt", "in"], &more[..]].concat()));
    let message = tool.read("in.waxseal");
    let header = waxseal::inspect(&message).unwrap();
    let edks: Vec<_> = header
        .encrypted_data_keys()
        .iter()
        .map(|edk| {
            json!({
                "provider_id": "ns",
                // A raw AES key's holds an IV: not text.
                "key_info": null,
                "key_info_hex": hex(edk.key_info()),
                "ciphertext_length": 48,
            })
        })
        .collect();
    assert_eq!(edks.len(), 2);
    let expected = json!({
        "verified": false,
        "suite": "0x0478",
        "suite_name": "AES_256_GCM_HKDF_SHA512_COMMIT_KEY",
        "message_version": 2,
        "message_id": hex(header.message_id()),
        "signed": false,
        "committing": true,
        "content_type": "framed",
        "frame_length": 77,
        "header_length": header.header_length(),
        "context": {"tenant": "7", "ключ": "a=\"b\"\n"},
        "encrypted_data_keys": edks,
    });
    assert_eq!(json_of(&tool, "in.waxseal"), expected);
    // The same from a pipe, and from a part that holds the header.
    for length in [header.header_length(), message.len()] {
        let out = tool
            .pipe(["inspect", "--json"], &message[..length])
            .worked();
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), expected);
    }
}

#[test]
fn suites_as_json() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    for suite in waxseal::AlgorithmSuite::ALL {
        let (id, commits) = (format!("0x{:04x}", suite.id()), suite.commits());
        let policy = if commits {
            "require-encrypt-require-decrypt"
        } else {
            "forbid-encrypt-allow-decrypt"
        };
        tool.run(with_key(&[
            "encrypt", "in", "--suite", &id, "--policy", policy,
        ]));
        let value = json_of(&tool, "in.waxseal");
        assert_eq!(value["suite"], id);
        assert_eq!(value["suite_name"], suite.name());
        assert_eq!(value["message_version"], if commits { 2 } else { 1 });
        assert_eq!(value["signed"], suite.is_signed());
        assert_eq!(value["committing"], commits);
        let id = value["message_id"].as_str().unwrap();
        assert_eq!(id.len(), if commits { 64 } else { 32 });
        // A signed message has its public key in the context.
        let context = value["context"].as_object().unwrap();
        assert_eq!(
            context.contains_key("aws-crypto-public-key"),
            suite.is_signed()
        );
    }
}

/// A version 1 header by hand: not framed, with a key info that is text.
#[test]
fn unframed_and_a_key_info_of_text() {
    let tool = Tool::new();
    let field = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
    let edks = [
        [
            field(b"aws-kms"),
            field("arn:aws:kms:x:1:key/ü".as_bytes()),
            field(&[1; 9]),
        ],
        [field(b""), field(b"a\x1b[31m"), field(b"")],
    ];
    let mut header = vec![1, 0x80, 0x01, 0x78];
    header.extend([9; 16]);
    header.extend([0, 0, 0, 2]);
    header.extend(edks.concat().concat());
    header.extend([1, 0, 0, 0, 0, 12, 0, 0, 0, 0]);
    header.extend([0; 12 + 16]);
    tool.write("message", &header);
    let value = json_of(&tool, "message");
    assert_eq!(value["content_type"], "unframed");
    assert_eq!(value["frame_length"], Value::Null);
    assert_eq!(value["context"], json!({}));
    assert_eq!(value["header_length"], header.len());
    let edks = value["encrypted_data_keys"].as_array().unwrap();
    assert_eq!(edks[0]["key_info"], "arn:aws:kms:x:1:key/ü");
    assert_eq!(edks[0]["ciphertext_length"], 9);
    assert_eq!(edks[1]["key_info"], Value::Null);
    assert_eq!(edks[1]["key_info_hex"], "611b5b33316d");
    let text = String::from_utf8(tool.works(["inspect", "message"])).unwrap();
    for word in [
        "not framed",
        "no encryption context",
        "arn:aws:kms",
        "611b5b33316d",
    ] {
        assert!(text.contains(word), "no {word:?} in {text}");
    }
}

#[test]
fn as_text() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    let context = [
        "--context",
        "tenant=seven",
        "--context",
        "\u{1b}[2J=\u{202e}\n",
    ];
    tool.works(with_key(
        &[&["encrypt", "in", "--suite", "0578"], &context[..]].concat(),
    ));
    let text = String::from_utf8(tool.works(["inspect", "in.waxseal"])).unwrap();
    for word in [
        "NOTHING HERE IS VERIFIED",
        "'in.waxseal'",
        "0x0578 (AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384)",
        "signed          yes",
        "4096",
        "\"tenant\" = \"seven\"",
        "\"ns\"",
        "\"key-1\"",
    ] {
        assert!(text.contains(word), "no {word:?} in {text}");
    }
    let hostile = |character: char| character.is_control() && character != '\n';
    assert!(
        !text.contains(hostile) && !text.contains('\u{202e}'),
        "{text:?}"
    );
}

#[test]
fn what_is_no_message() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    tool.works(with_key(&["encrypt", "in"]));
    let message = tool.read("in.waxseal");
    let header_length = waxseal::inspect(&message).unwrap().header_length();
    for args in [&["inspect"][..], &["inspect", "--json"]] {
        tool.pipe(args, b"").failed(1, &["ends early", "empty"]);
        tool.pipe(args, &message[..header_length - 1])
            .failed(1, &["ends early"]);
        tool.pipe(args, b"hello").failed(1, &["unknown version"]);
        let base64 = base64::engine::general_purpose::STANDARD.encode(&message);
        tool.pipe(args, base64.as_bytes()).failed(1, &["base64"]);
        let run = tool.pipe(args, b"hello");
        assert!(run.stdout.is_empty());
    }
}

/// It does not wait for the end of what may have none.
#[test]
fn of_a_pipe_without_end() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    tool.works(with_key(&["encrypt", "in"]));
    let mut command = tool.command(["inspect", "--json"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, &tool.read("in.waxseal")).unwrap();
    // Standard input is still open.
    let mut out = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(
        serde_json::from_slice::<Value>(&out).unwrap()["suite"],
        "0x0478"
    );
    drop(stdin);

    // A header that goes on and on is not followed for ever.
    let mut endless = vec![2, 4, 0x78];
    endless.extend([0; 32]);
    endless.extend([0, 0, 0xff, 0xff]);
    let mut edk = Vec::new();
    for _ in 0..3 {
        edk.extend([0xff, 0xff]);
        edk.extend([b'x'; 65_535]);
    }
    endless.extend(edk.repeat(60));
    tool.pipe(["inspect"], &endless)
        .failed(1, &["header is longer"]);
    // A long one is.
    let mut long = endless[..37].to_vec();
    long.extend([0, 16]);
    long.extend(edk.repeat(16));
    long.extend([2, 0, 0, 0, 1]);
    long.extend([0; 32 + 16]);
    let out = tool.pipe(["inspect", "--json"], &long).worked();
    let value: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(value["encrypted_data_keys"].as_array().unwrap().len(), 16);
}
