//! KEYSPECs, key files, the default key, `keygen`.

use std::fs;

use crate::tool::{KEY, Tool, with_key};

#[test]
fn keygen_makes_random_keys() {
    let tool = Tool::new();
    for (length, name) in [
        (None, "a"),
        (None, "b"),
        (Some("16"), "c"),
        (Some("24"), "d"),
    ] {
        let mut args = vec!["keygen", name];
        args.extend(length.into_iter().flat_map(|length| ["--length", length]));
        let run = tool.run(args);
        assert_eq!(run.code, Some(0));
        assert!(run.stderr.contains("loses the data"), "{}", run.stderr);
        assert!(run.stdout.is_empty());
        let expected: usize = length.unwrap_or("32").parse().unwrap();
        assert_eq!(tool.read(name).len(), expected);
        #[cfg(unix)]
        assert_eq!(crate::files::mode(&tool, name), 0o600);
    }
    assert_ne!(tool.read("a"), tool.read("b"));
    assert_eq!(tool.names(), ["a", "b", "c", "d"]);
}

#[test]
fn keygen_never_replaces() {
    let tool = Tool::new();
    tool.write("there", b"precious");
    tool.fails(["keygen", "there"], 3, &["'there'", "replaces none"]);
    assert_eq!(tool.read("there"), b"precious");
    fs::create_dir(tool.path("folder")).unwrap();
    tool.fails(["keygen", "folder"], 3, &["'folder'"]);
    #[cfg(unix)]
    {
        // Not through a link that leads nowhere either.
        std::os::unix::fs::symlink("elsewhere", tool.path("link")).unwrap();
        tool.fails(["keygen", "link"], 3, &["'link'"]);
        assert!(!tool.exists("elsewhere"));
    }
    tool.fails(["keygen", "missing/key"], 3, &["'missing/key'"]);
    tool.fails(["keygen", "-"], 2, &["standard output"]);
    assert!(!tool.exists("-"));
    assert_eq!(tool.run(["keygen", "x", "--length", "20"]).code, Some(2));
    assert!(!tool.exists("x"));
}

#[test]
fn keygen_then_encrypt() {
    let tool = Tool::new();
    tool.write("in", b"text");
    for length in ["16", "24", "32"] {
        let spec = format!("raw-aes:ns:n:{length}");
        assert_eq!(
            tool.run(["keygen", length, "--length", length]).code,
            Some(0)
        );
        tool.works(["encrypt", "in", "--key", &spec]);
        let args = ["decrypt", "in.waxseal", "-o", "-", "--key", &spec];
        assert_eq!(tool.works(args), b"text");
    }
}

/// The first generates, the others wrap too: each alone opens the message.
#[test]
fn several_keys() {
    let tool = Tool::new();
    tool.write("in", b"text");
    for (name, length) in [("a", 32), ("b", 16), ("c", 24), ("stranger", 32)] {
        tool.write(name, vec![length as u8; length]);
    }
    let spec = |name: &str| format!("raw-aes:ns:{name}:{name}");
    let (a, b, c, stranger) = (spec("a"), spec("b"), spec("c"), spec("stranger"));
    tool.works(["encrypt", "in", "--key", &a, "--key", &b, "--key", &c]);
    let header = waxseal::inspect(&tool.read("in.waxseal")).unwrap();
    let edks = header.encrypted_data_keys();
    let names: Vec<_> = edks.iter().map(|edk| edk.key_info()[0]).collect();
    assert_eq!(names, b"abc");
    for spec in [&a, &b, &c] {
        let args = ["decrypt", "in.waxseal", "-o", "-", "--key", spec];
        assert_eq!(tool.works(args), b"text");
    }
    // Any of those given that fits.
    let args = [
        "decrypt",
        "in.waxseal",
        "-o",
        "-",
        "--key",
        &stranger,
        "--key",
        &c,
    ];
    assert_eq!(tool.works(args), b"text");
    tool.fails(
        ["decrypt", "in.waxseal", "-o", "-", "--key", &stranger],
        1,
        &["#0", "#1", "#2", "'stranger'", "waxseal inspect"],
    );
}

#[test]
fn the_wrong_key() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    tool.write("other", [8; 32]);
    tool.works(with_key(&["encrypt", "in"]));
    let fails = |spec: &str, words: &[&str]| {
        let args = ["decrypt", "in.waxseal", "-o", "out", "--key", spec];
        tool.fails(args, 1, words);
        assert!(!tool.exists("out"));
    };
    // Of the same name; then of others.
    fails(
        "raw-aes:ns:key-1:other",
        &["key-1", "does not decrypt", "another"],
    );
    fails("raw-aes:ns:key-2:k", &["key-2", "no key that", "inspect"]);
    fails("raw-aes:sn:key-1:k", &["'sn'", "no key that", "inspect"]);
}

#[test]
fn keyspecs_split_at_the_first_two_colons() {
    let tool = Tool::new();
    tool.write("in", b"text");
    tool.write("k", [1; 32]);
    for file in if cfg!(unix) {
        &["a:b::c", ":", "k"][..]
    } else {
        &["k"]
    } {
        tool.write(file, [1; 32]);
        let spec = format!("raw-aes:Schlüssel/日本:n 🔑=x:{file}");
        tool.works(["encrypt", "in", "--key", &spec]);
        let header = waxseal::inspect(&tool.read("in.waxseal")).unwrap();
        let edk = &header.encrypted_data_keys()[0];
        assert_eq!(edk.provider_id(), "Schlüssel/日本");
        assert!(edk.key_info().starts_with("n 🔑=x".as_bytes()));
        let args = ["decrypt", "in.waxseal", "-o", "-", "--key", &spec];
        assert_eq!(tool.works(args), b"text");
    }
}

#[test]
fn keyspecs_that_are_none() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    for (spec, word) in [
        ("", "raw-aes"),
        ("k", "raw-aes"),
        ("aes:ns:key-1:k", "raw-aes"),
        ("raw-aes", "NAMESPACE is missing"),
        ("raw-aes:", "NAMESPACE is missing"),
        ("raw-aes::key-1:k", "NAMESPACE is missing"),
        ("raw-aes:ns", "NAME is missing"),
        ("raw-aes:ns::k", "NAME is missing"),
        ("raw-aes:ns:key-1", "FILE is missing"),
        ("raw-aes:ns:key-1:", "FILE is missing"),
        ("raw-aes:aws-kms:key-1:k", "reserved"),
    ] {
        for command in ["encrypt", "decrypt"] {
            tool.fails([command, "in", "-o", "out", "--key", spec], 2, &[word]);
        }
    }
    assert_eq!(tool.names(), ["in", "k"]);
}

#[test]
fn key_files_that_are_none() {
    let tool = Tool::new();
    tool.write("in", b"text");
    fs::create_dir(tool.path("folder")).unwrap();
    for (bytes, words) in [
        (0, "is empty"),
        (1, "1 byte;"),
        (15, "15 bytes"),
        (17, "17 bytes"),
        (31, "31 bytes"),
        (33, "more than 32"),
        (100_000, "more than 32"),
    ] {
        tool.write("bad", vec![b'S'; bytes]);
        let args = ["encrypt", "in", "--key", "raw-aes:ns:n:bad"];
        tool.fails(args, 1, &["'bad'", words, "16, 24 or 32"]);
        assert!(!tool.run(args).stderr.contains("SS"));
    }
    for file in ["missing", "folder"] {
        for command in ["encrypt", "decrypt"] {
            let spec = format!("raw-aes:ns:n:{file}");
            let args = [command, "in", "-o", "out", "--key", &spec];
            tool.fails(args, 3, &[&format!("key file '{file}'")]);
        }
    }
    // One bad key of several is not passed over.
    tool.write("k", [7; 32]);
    let [key, good] = KEY;
    let args = ["encrypt", "in", key, good, key, "raw-aes:ns:n:missing"];
    tool.fails(args, 3, &["'missing'"]);
    assert_eq!(tool.names(), ["bad", "folder", "in", "k"]);
}

#[test]
fn more_keys_than_a_message_may_have() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    let many = |count| {
        let mut args = vec!["encrypt", "in"];
        args.extend(std::iter::repeat_n(KEY, count).flatten());
        args
    };
    tool.works(many(16));
    fs::remove_file(tool.path("in.waxseal")).unwrap();
    tool.fails(many(17), 2, &["17", "16"]);
    assert!(!tool.exists("in.waxseal"));
}

/// The first command needs nothing: the default key is made.
#[test]
fn default_key() {
    let tool = Tool::new();
    tool.write("in", b"text");
    // Decrypting never makes it.
    tool.write("message", b"");
    tool.fails(
        ["decrypt", "message", "-o", "out"],
        3,
        &["default key", "--key"],
    );
    assert!(!tool.exists("home"));
    // Nor does an encryption that fails.
    tool.fails(["encrypt", "missing"], 3, &["'missing'"]);
    tool.fails(
        ["encrypt", "in", "-o", "missing/out"],
        3,
        &["'missing/out'"],
    );
    tool.fails(["encrypt", "in", "--suite", "0x0178"], 2, &["0x0178"]);
    tool.fails(
        ["encrypt", "in", "--context", "aws-crypto-x=1"],
        2,
        &["aws-crypto-x"],
    );
    assert!(!tool.exists("home"));

    let run = tool.run(["encrypt", "in"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let file = default_key_file(&tool);
    let words = [file.to_str().unwrap(), "loses the data"];
    assert!(
        words.iter().all(|word| run.stderr.contains(word)),
        "{}",
        run.stderr
    );
    assert_eq!(fs::read(&file).unwrap().len(), 32);
    #[cfg(unix)]
    {
        assert_eq!(crate::files::mode(&tool, &file), 0o600);
        assert_eq!(crate::files::mode(&tool, file.parent().unwrap()), 0o700);
    }
    // It is told once, and used by both.
    tool.works(["encrypt", "in", "-o", "second"]);
    assert_eq!(tool.works(["decrypt", "in.waxseal", "-o", "-"]), b"text");
    assert_eq!(tool.works(["decrypt", "second", "-o", "-"]), b"text");
    let spec = format!("raw-aes:waxseal:default:{}", file.display());
    assert_eq!(
        tool.works(["decrypt", "second", "-o", "-", "--key", &spec]),
        b"text"
    );
    // A key that was named is used alone.
    tool.write("k", [7; 32]);
    tool.fails(
        with_key(&["decrypt", "second", "-o", "-"]),
        1,
        &["'waxseal'"],
    );
}

fn default_key_file(tool: &Tool) -> std::path::PathBuf {
    let home = tool.path("home");
    let folder = if cfg!(windows) {
        home
    } else if cfg!(target_os = "macos") {
        home.join("Library/Application Support")
    } else {
        home.join(".local/share")
    };
    folder.join("waxseal").join("default.key")
}

#[test]
fn default_key_elsewhere() {
    let tool = Tool::new();
    tool.write("in", b"text");
    let run = |variable: &str, value: &str, args: &[&str]| {
        let output = tool.command(args).env(variable, value).output().unwrap();
        tool.finish(output)
    };
    let args = ["encrypt", "in"];
    let made = run("WAXSEAL_DEFAULT_KEY", "mine.key", &args);
    assert_eq!(made.code, Some(0));
    assert!(made.stderr.contains("'mine.key'"), "{}", made.stderr);
    assert_eq!(tool.read("mine.key").len(), 32);
    let back = ["decrypt", "in.waxseal", "-o", "-"];
    assert_eq!(
        run("WAXSEAL_DEFAULT_KEY", "mine.key", &back).worked(),
        b"text"
    );
    run("WAXSEAL_DEFAULT_KEY", "other.key", &back).failed(3, &["'other.key'"]);
    run("WAXSEAL_DEFAULT_KEY", "missing/key", &args).failed(3, &["'missing/key'"]);
    tool.write("bad.key", [1; 31]);
    run("WAXSEAL_DEFAULT_KEY", "bad.key", &args).failed(1, &["31 bytes"]);
    assert!(!tool.exists("home") && !tool.exists("other.key") && !tool.exists("missing"));

    if cfg!(all(unix, not(target_os = "macos"))) {
        let data = tool.path("data");
        let made = run("XDG_DATA_HOME", data.to_str().unwrap(), &args);
        assert_eq!(made.code, Some(0));
        assert_eq!(tool.read("data/waxseal/default.key").len(), 32);
        // Relative ones do not count (XDG Base Directory Specification).
        run("XDG_DATA_HOME", "data", &args);
        assert!(tool.exists("home/.local/share/waxseal/default.key"));
        let mut homeless = tool.command(args);
        let run = tool.finish(homeless.env_remove("HOME").output().unwrap());
        run.failed(2, &["home", "--key", "WAXSEAL_DEFAULT_KEY"]);
    }
}

/// Of many first runs at once, one makes the key and all use it.
#[test]
fn default_key_is_made_once() {
    let tool = Tool::new();
    tool.write("in", b"text");
    let outs: Vec<_> = (0..8).map(|number| format!("out{number}")).collect();
    let children: Vec<_> = outs
        .iter()
        .map(|out| tool.command(["encrypt", "in", "-o", out]).spawn().unwrap())
        .collect();
    let mut told = 0;
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        told += usize::from(!output.stderr.is_empty());
    }
    assert_eq!(told, 1);
    for out in outs {
        assert_eq!(tool.works(["decrypt", &out, "-o", "-"]), b"text");
    }
}
