//! What goes in comes out: files, pipes, names, keys, suites, settings.

use waxseal::{
    AlgorithmSuite, CommitmentPolicy, ContentLayout, EncryptionContext, RawAesProvider,
    SecretBytes, blocking,
};

use crate::tool::{KEY, Tool, sample, with_key};

#[test]
fn by_file_with_default_names() {
    let tool = Tool::with_key();
    let plaintext = sample(10_000);
    tool.write("a file.txt", &plaintext);
    tool.works(with_key(&["encrypt", "a file.txt"]));
    assert_eq!(tool.read("a file.txt"), plaintext, "the input stays");
    std::fs::remove_file(tool.path("a file.txt")).unwrap();
    tool.works(with_key(&["decrypt", "a file.txt.waxseal"]));
    assert_eq!(tool.read("a file.txt"), plaintext);
    assert_eq!(tool.names(), ["a file.txt", "a file.txt.waxseal", "k"]);
}

#[test]
fn by_pipe() {
    let tool = Tool::with_key();
    for length in [0, 1, 4095, 4096, 4097, 200_000] {
        let plaintext = sample(length);
        // `-` is the default.
        let message = tool.pipe(with_key(&["encrypt"]), &plaintext).worked();
        assert_ne!(message, plaintext);
        let args = with_key(&["decrypt", "-"]);
        assert_eq!(tool.pipe(args, &message).worked(), plaintext);
    }
    assert_eq!(tool.names(), ["k"]);
}

#[test]
fn outputs_by_name() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    tool.works(with_key(&["encrypt", "in", "-o", "out"]));
    assert_eq!(
        tool.works(with_key(&["decrypt", "out", "-o", "-"])),
        b"text"
    );
    let message = tool.works(with_key(&["encrypt", "in", "-o", "-"]));
    let args = with_key(&["decrypt", "-", "-o", "from pipe"]);
    tool.pipe(args, &message).worked();
    assert_eq!(tool.read("from pipe"), b"text");
    assert_eq!(tool.names(), ["from pipe", "in", "k", "out"]);
}

#[test]
fn options_in_any_order() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    let [key, spec] = KEY;
    let context = ["--context", "a=1"];
    tool.works([&["encrypt", key, spec, "-o", "1"], &context[..], &["in"]].concat());
    tool.works([&["encrypt", "in"], &context[..], &["-o", "2", key, spec]].concat());
    tool.works([&["encrypt", "--output=3"], &context[..], &["in", key, spec]].concat());
    for message in ["1", "2", "3"] {
        let args = [&["decrypt", "-o", "-", key, spec, message], &context[..]].concat();
        assert_eq!(tool.works(args), b"text");
    }
}

/// The library, and so the SDKs, read what the tool writes.
#[test]
fn read_by_the_library() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    tool.works(with_key(&[
        "encrypt",
        "in",
        "--context",
        "tenant=7",
        "--context",
        "note=a=b=",
        "--context",
        "e=",
    ]));
    let key = SecretBytes::from(vec![7; 32]);
    let client = blocking::Client::new(RawAesProvider::new("ns", "key-1", &key).unwrap());
    let message = tool.read("in.waxseal");
    let decrypted = client.decrypt(&message, &EncryptionContext::new()).unwrap();
    assert_eq!(decrypted.plaintext, b"text");
    // `--context` splits at the first `=`.
    let context = EncryptionContext::from([("tenant", "7"), ("note", "a=b="), ("e", "")]);
    assert_eq!(decrypted.details.context, context);
    let layout = waxseal::inspect(&message).unwrap().layout();
    assert_eq!(layout, ContentLayout::Framed { frame_length: 4096 });
}

#[test]
fn every_suite_under_every_policy() {
    let tool = Tool::with_key();
    let plaintext = sample(5000);
    tool.write("in", &plaintext);
    for policy in CommitmentPolicy::ALL {
        let policy_name = policy.to_string();
        for suite in AlgorithmSuite::ALL {
            let id = format!("0x{:04x}", suite.id());
            let args = ["encrypt", "in", "--suite", &id, "--policy", &policy_name];
            let run = tool.run(with_key(&args));
            if !policy.allows_encrypt(suite) {
                // The message names both, and what would do.
                run.failed(2, &[&id, suite.name(), &policy_name, "--policy"]);
                assert!(!tool.exists("in.waxseal"));
                continue;
            }
            if suite.derives_key() {
                run.worked();
            } else {
                // Naming it is the opt-in, with a warning.
                assert_eq!(run.code, Some(0), "{}", run.stderr);
                assert!(
                    run.stderr.starts_with("waxseal: warning: "),
                    "{}",
                    run.stderr
                );
                assert!(run.stderr.contains(&id), "{}", run.stderr);
            }
            let message = tool.read("in.waxseal");
            assert_eq!(waxseal::inspect(&message).unwrap().suite(), suite);
            for reader in CommitmentPolicy::ALL {
                let reader_name = reader.to_string();
                for out in ["out", "-"] {
                    let args = ["decrypt", "in.waxseal", "-o", out, "--policy", &reader_name];
                    let run = tool.run(with_key(&args));
                    if !reader.allows_decrypt(suite) {
                        run.failed(1, &[&id, &reader_name, "--policy"]);
                        continue;
                    }
                    let mut got = run.worked();
                    if out == "out" {
                        got = tool.read("out");
                        std::fs::remove_file(tool.path("out")).unwrap();
                    }
                    assert!(got == plaintext, "{id} {reader_name} {out}");
                }
            }
            std::fs::remove_file(tool.path("in.waxseal")).unwrap();
        }
    }
}

#[test]
fn default_suites() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    for (policy, id) in [
        (None, 0x0478),
        (Some("require-encrypt-require-decrypt"), 0x0478),
        (Some("require-encrypt-allow-decrypt"), 0x0478),
        (Some("forbid-encrypt-allow-decrypt"), 0x0178),
    ] {
        let mut args = with_key(&["encrypt", "in"]);
        args.extend(policy.into_iter().flat_map(|policy| ["--policy", policy]));
        tool.works(args);
        let header = waxseal::inspect(&tool.read("in.waxseal")).unwrap();
        assert_eq!(header.suite().id(), id);
    }
}

#[test]
fn suites_by_other_spellings() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    for suite in ["0578", "AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384"] {
        tool.works(with_key(&["encrypt", "in", "--suite", suite]));
        let header = waxseal::inspect(&tool.read("in.waxseal")).unwrap();
        assert_eq!(header.suite().id(), 0x0578);
    }
}

#[test]
fn frame_lengths() {
    let tool = Tool::with_key();
    let plaintext = sample(300);
    tool.write("in", &plaintext);
    for frame_length in ["1", "299", "300", "65536", "4294967295"] {
        tool.works(with_key(&["encrypt", "in", "--frame-length", frame_length]));
        let header = waxseal::inspect(&tool.read("in.waxseal")).unwrap();
        let frame_length = frame_length.parse().unwrap();
        assert_eq!(header.layout(), ContentLayout::Framed { frame_length });
        let args = with_key(&["decrypt", "in.waxseal", "-o", "-"]);
        assert!(tool.works(args) == plaintext);
    }
}

#[test]
fn contexts_are_what_the_reader_expects() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    tool.works(with_key(&[
        "encrypt",
        "in",
        "--context",
        "tenant=7",
        "--context",
        "größe=µ 🔒",
    ]));
    for context in [
        &[][..],
        &["--context", "tenant=7"],
        &["--context", "größe=µ 🔒"],
        &["--context", "größe=µ 🔒", "--context", "tenant=7"],
    ] {
        let args = with_key(&["decrypt", "in.waxseal", "-o", "-"]);
        assert_eq!(tool.works(args.iter().chain(context)), b"text");
    }
}
