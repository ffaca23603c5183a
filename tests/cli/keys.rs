//! KEYSPECs, key files, the default key of before, `keygen`.

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

/// A key that others may read is worth a warning, and no more.
#[cfg(unix)]
#[test]
fn key_files_for_everybody() {
    use crate::files::set_mode;
    let tool = Tool::with_key();
    tool.write("in", b"text");
    crate::local::says(&tool, &["encrypt", "in", "--store", "s"], &["made"]);
    let local = ["--store", "s"];
    for (file, key) in [("k", KEY), ("s.key", local)] {
        let encrypt = [&["encrypt", "in"][..], &key].concat();
        let decrypt = [&["decrypt", "in.waxseal", "-o", "-"][..], &key].concat();
        for (mode, shown) in [(0o640, "0640"), (0o604, "0604"), (0o644, "0644")] {
            set_mode(&tool, file, mode);
            for args in [&encrypt, &decrypt] {
                let words = ["warning", &format!("{file}'"), shown, "chmod 600"];
                crate::local::says(&tool, args, &words);
            }
        }
        for mode in [0o600, 0o400] {
            set_mode(&tool, file, mode);
            tool.works(&encrypt);
            assert_eq!(tool.works(&decrypt), b"text");
        }
    }
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
        ("local", "DIR is missing"),
        ("local:", "DIR is missing"),
        ("local::alias/a", "DIR is missing"),
        ("local:alias/a", "DIR is missing"),
        ("local:store:alias/", "no name"),
        ("local:/", "no name"),
        ("aws-kms", "KEY is missing"),
        ("aws-kms:", "KEY is missing"),
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

/// The key file of earlier versions: it decrypts, and is neither made nor used
/// to encrypt.
#[test]
fn default_key_of_before() {
    let tool = Tool::new();
    tool.write("in", b"text");
    let file = data_folder(&tool).join("waxseal").join("default.key");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    tool.write(&file, [7; 32]);
    let spec = format!("raw-aes:waxseal:default:{}", file.display());
    tool.works(["encrypt", "in", "-o", "old", "--key", &spec]);
    // Without a store, and with one.
    assert_eq!(tool.works(["decrypt", "old", "-o", "-"]), b"text");
    assert_eq!(tool.run(["encrypt", "in", "-o", "new"]).code, Some(0));
    assert_eq!(tool.works(["decrypt", "old", "-o", "-"]), b"text");
    assert_eq!(tool.works(["decrypt", "new", "-o", "-"]), b"text");
    tool.fails(
        ["decrypt", "new", "-o", "-", "--key", &spec],
        1,
        &["inspect"],
    );
    // It is not written over, and a store that was named is used alone.
    let path = file.to_str().unwrap();
    tool.fails(
        ["decrypt", "new", "-o", path],
        2,
        &["default.key", "key file"],
    );
    assert_eq!(fs::read(&file).unwrap(), [7; 32]);
    let store = data_folder(&tool).join("waxseal").join("store");
    let named = ["--store", store.to_str().unwrap()];
    tool.fails(
        [&["decrypt", "old", "-o", "-"], &named[..]].concat(),
        1,
        &["'waxseal'"],
    );
    assert_eq!(
        tool.works([&["decrypt", "new", "-o", "-"], &named[..]].concat()),
        b"text"
    );
    fs::remove_file(&file).unwrap();
    tool.fails(["decrypt", "old", "-o", "-"], 1, &["'waxseal'"]);
}

#[test]
fn default_key_elsewhere() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    tool.works([
        "encrypt",
        "in",
        "-o",
        "old",
        "--key",
        "raw-aes:waxseal:default:k",
    ]);
    let run = |value: &str, args: &[&str]| {
        let mut command = tool.command(args);
        tool.finish(command.env("WAXSEAL_DEFAULT_KEY", value).output().unwrap())
    };
    let decrypt = ["decrypt", "old", "-o", "-"];
    assert_eq!(run("k", &decrypt).worked(), b"text");
    run("missing", &decrypt).failed(3, &["'missing'"]);
    // Encrypting under it takes a KEYSPEC, and who names it is told which.
    let encrypted = run("k", &["encrypt", "in"]);
    assert_eq!(encrypted.code, Some(0));
    assert!(encrypted.stderr.contains("raw-aes:waxseal:default:k"));
    let header = waxseal::inspect(&tool.read("in.waxseal")).unwrap();
    let edk = &header.encrypted_data_keys()[0];
    assert_eq!(edk.provider_id(), waxseal::kms::LOCAL_KMS_PROVIDER_ID);
}

/// Where the tool keeps its things in the test's home.
pub(crate) fn data_folder(tool: &Tool) -> std::path::PathBuf {
    let home = tool.path("home");
    if cfg!(windows) {
        home
    } else if cfg!(target_os = "macos") {
        home.join("Library/Application Support")
    } else {
        home.join(".local/share")
    }
}
