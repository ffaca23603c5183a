//! What is refused, with which exit code, and in which words.

use base64::Engine as _;

use crate::tool::{Run, Tool, sample, with_key};

#[test]
fn usage_is_2() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    for args in [
        &[][..],
        &["frobnicate"],
        &["encrypt", "in", "--no-such-option"],
        &["encrypt", "in", "other"],
        &["encrypt", "in", "--suite", "0x9999"],
        &["encrypt", "in", "--suite", "0478", "--suite", "0578"],
        &["encrypt", "in", "--policy", "allow"],
        &["encrypt", "in", "--frame-length", "0"],
        &["encrypt", "in", "--frame-length", "4294967296"],
        &["encrypt", "in", "--frame-length", "-1"],
        &["encrypt", "in", "-o", ""],
        &["decrypt", "in", "--suite", "0x0478"],
        &["keygen"],
        &["inspect", "in", "-o", "out"],
    ] {
        let run = tool.run(args);
        assert_eq!(run.code, Some(2), "{args:?}");
        assert!(run.stdout.is_empty(), "{args:?}");
        assert!(run.stderr.contains("Usage:") || run.stderr.contains("--help"));
    }
    assert_eq!(tool.names(), ["in", "k"]);
}

#[test]
fn help_and_version() {
    let tool = Tool::new();
    let version = tool.works(["--version"]);
    let expected = format!("waxseal {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(version, expected.as_bytes());
    for (args, words) in [
        (
            &["--help"][..],
            &[
                "encrypt",
                "decrypt",
                "inspect",
                "keys",
                "keygen",
                "Exit codes",
                "LOSES",
            ][..],
        ),
        (&["-h"], &["encrypt", "Examples"]),
        (
            &["encrypt", "--help"],
            &[
                "KEYSPEC",
                "--context",
                "0x0478",
                "Examples",
                "-o FOLDER",
                "local:DIR",
                "HAS BOTH",
                "--passphrase-file",
                "WAXSEAL_STORE",
                "WAXSEAL_PASSPHRASE",
            ],
        ),
        (
            &["decrypt", "--help"],
            &["--allow-unverified", "--policy", "Examples", "-o FOLDER"],
        ),
        (&["inspect", "--help"], &["--json", "NOTHING"]),
        (
            &["keys", "--help"],
            &["schedule-deletion", "RFC 3339", "in_recent_use", "--json"],
        ),
        (
            &["keys", "export", "--help"],
            &["--export-passphrase-file", "--store", "never replaced"],
        ),
        (
            &["keygen", "--help"],
            &["never replaced", "LOSES", "--length"],
        ),
    ] {
        let help = String::from_utf8(tool.works(args)).unwrap();
        for word in words {
            assert!(help.contains(word), "no {word:?} in {args:?}");
        }
    }
}

/// Names the key of the context and never the value.
#[test]
fn contexts() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    tool.works(with_key(&["encrypt", "in", "--context", "tenant=Right"]));
    let fails = |command: &str, contexts: &[&str], code, words: &[&str]| {
        let mut args = with_key(&[command, "in.waxseal", "-o", "out"]);
        args.extend(contexts.iter().flat_map(|pair| ["--context", pair]));
        let run = tool.run(args);
        run.failed(code, words);
        assert!(!run.stderr.contains("Secret") && !run.stderr.contains("Right"));
        assert!(!tool.exists("out"));
    };
    fails(
        "decrypt",
        &["tenant=Secret"],
        1,
        &["'tenant'", "another value"],
    );
    fails(
        "decrypt",
        &["tenant=right"],
        1,
        &["'tenant'", "another value"],
    );
    fails("decrypt", &["tenant="], 1, &["'tenant'", "another value"]);
    fails(
        "decrypt",
        &["Tenant=Right"],
        1,
        &["'Tenant'", "not hold", "inspect"],
    );
    fails(
        "decrypt",
        &["tenant=Right", "more=Secret"],
        1,
        &["'more'", "not hold"],
    );
    for command in ["encrypt", "decrypt"] {
        fails(command, &["Secret"], 2, &["KEY=VALUE", "number 1"]);
        fails(command, &["a=1", "Secret"], 2, &["KEY=VALUE", "number 2"]);
        fails(command, &["=Secret"], 2, &["no key", "number 1"]);
        fails(
            command,
            &["a=Secret", "b=2", "a=Secret"],
            2,
            &["'a'", "twice"],
        );
        let long = format!("a={}", "Secret".repeat(11_000));
        fails(command, &[&long], 2, &["66007", "65535"]);
    }
    fails(
        "encrypt",
        &["aws-crypto-public-key=Secret"],
        2,
        &["aws-crypto-"],
    );
}

#[test]
fn input_that_is_no_message() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    tool.works(with_key(&["encrypt", "in"]));
    let message = tool.read("in.waxseal");
    let check = |input: &[u8], words: &[&str]| {
        tool.write("bad", input);
        for out in ["out", "-"] {
            let run = tool.run(with_key(&["decrypt", "bad", "-o", out]));
            run.failed(1, words);
            tool.pipe(with_key(&["decrypt", "-", "-o", out]), input)
                .failed(1, words);
            assert!(!tool.exists("out"));
        }
    };
    check(b"", &["ends early", "empty"]);
    check(&message[..1], &["ends early"]);
    check(&message[..50], &["ends early"]);
    check(&message[..message.len() - 1], &["ends early"]);
    check(b"hello", &["unknown version"]);
    let base64 = base64::engine::general_purpose::STANDARD.encode(&message);
    check(base64.as_bytes(), &["base64", "decode"]);
    check(&[&message[..], b"\n"].concat(), &["after the end"]);
    check(&[&message[..], &message].concat(), &["after the end"]);
    let mut damaged = message.clone();
    damaged[150] ^= 1;
    check(&damaged, &["cannot decrypt"]);
}

/// Damage anywhere: exit code 1, and the file that was there stays.
#[test]
fn every_kind_of_damage() {
    let tool = Tool::with_key();
    tool.write("in", sample(10_000));
    tool.write("out", b"old");
    for suite in ["0x0478", "0x0578"] {
        tool.works(with_key(&["encrypt", "in", "--suite", suite]));
        let message = tool.read("in.waxseal");
        let positions = [
            0,
            2,
            40,
            80,
            170,
            1000,
            5000,
            message.len() - 40,
            message.len() - 1,
        ];
        for position in positions {
            let mut damaged = message.clone();
            damaged[position] ^= 0x10;
            tool.write("damaged", &damaged);
            let args = with_key(&["decrypt", "damaged", "-o", "out"]);
            tool.fails(args, 1, &["cannot decrypt 'damaged'"]);
            assert_eq!(tool.read("out"), b"old");
        }
    }
}

#[test]
fn files_are_3() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    std::fs::create_dir(tool.path("folder")).unwrap();
    for command in ["encrypt", "decrypt", "inspect"] {
        let keyed = |args: &[&'static str]| {
            let mut args = [&[command], args].concat();
            args.extend(if command == "inspect" {
                &[][..]
            } else {
                &crate::tool::KEY
            });
            args
        };
        tool.fails(
            keyed(&["missing.waxseal"]),
            3,
            &["cannot read 'missing.waxseal'"],
        );
        tool.fails(keyed(&["folder"]), 3, &["cannot read 'folder'"]);
        if command != "inspect" {
            tool.fails(keyed(&["in", "-o", "missing/out"]), 3, &["'missing/out'"]);
            tool.fails(keyed(&["in", "-o", "in/out"]), 3, &["'in/out'"]);
        }
    }
    assert_eq!(tool.names(), ["folder", "in", "k"]);
}

#[test]
fn names_without_the_extension() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    tool.works(with_key(&["encrypt", "in", "-o", "message"]));
    for name in [
        "message",
        "in.waxsea",
        "in.waxseal.txt",
        ".waxseal",
        "waxseal",
    ] {
        tool.write(name, tool.read("message"));
        tool.fails(with_key(&["decrypt", name]), 2, &[name, "-o"]);
    }
}

#[test]
fn nothing_hostile_reaches_the_terminal() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    let context = "\u{1b}[31mkey\nline=value";
    tool.works(with_key(&["encrypt", "in", "--context", context]));
    let run: Run = tool.run(with_key(&[
        "decrypt",
        "in.waxseal",
        "-o",
        "-",
        "--context",
        "\u{1b}[31mkey\nline=other",
    ]));
    run.failed(1, &["\\u{1b}[31mkey\\nline"]);
    assert!(!run.stderr.contains('\u{1b}'));
}
