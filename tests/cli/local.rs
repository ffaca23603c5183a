//! Local keys: the store that needs nothing set up, its root key, its KEYSPEC.

use std::fs;
use std::path::{Path, PathBuf};

use crate::keys::data_folder;
use crate::tool::{Run, Tool};

/// Where the store is that nobody named.
pub(crate) fn default_store(tool: &Tool) -> PathBuf {
    data_folder(tool).join("waxseal").join("store")
}

fn key_file(store: &Path) -> PathBuf {
    store.with_extension("key")
}

/// Runs it with a variable.
pub(crate) fn run_with(tool: &Tool, variable: &str, value: &str, args: &[&str]) -> Run {
    let mut command = tool.command(args);
    tool.finish(command.env(variable, value).output().unwrap())
}

/// Runs what must work and says something on standard error.
#[track_caller]
pub(crate) fn says(tool: &Tool, args: &[&str], words: &[&str]) {
    let run = tool.run(args);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    for word in words {
        assert!(run.stderr.contains(word), "no {word:?} in: {}", run.stderr);
    }
}

/// The first command needs nothing, and asks nothing.
#[test]
fn first_command() {
    let tool = Tool::new();
    tool.write("in", b"text");
    let store = default_store(&tool);
    let words = [
        &format!("'{}'", store.display()),
        &format!("'{}'", key_file(&store).display()),
        "whoever has both",
        "loses the data",
        "alias/default",
    ];
    says(&tool, &["encrypt", "in"], &words);
    assert_eq!(fs::read(key_file(&store)).unwrap().len(), 32);
    #[cfg(unix)]
    {
        assert_eq!(crate::files::mode(&tool, key_file(&store)), 0o600);
        assert_eq!(crate::files::mode(&tool, &store), 0o700);
        assert_eq!(crate::files::mode(&tool, store.parent().unwrap()), 0o700);
    }
    // The second one finds it, and has nothing to say.
    tool.works(["encrypt", "in", "-o", "second"]);
    for message in ["in.waxseal", "second"] {
        assert_eq!(tool.works(["decrypt", message, "-o", "-"]), b"text");
    }
    // As a KEYSPEC, and by name.
    let spec = format!("local:{}", store.display());
    let with_alias = format!("{spec}:alias/default");
    for key in [
        ["--key", &spec],
        ["--key", &with_alias],
        ["--store", store.to_str().unwrap()],
    ] {
        tool.works([&["encrypt", "in", "-o", "third"][..], &key].concat());
        assert_eq!(tool.works(["decrypt", "third", "-o", "-"]), b"text");
        let args = [&["decrypt", "second", "-o", "-"][..], &key].concat();
        assert_eq!(tool.works(args), b"text");
    }
    assert_eq!(names(&store.join("..")), ["store", "store.key"]);
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Decrypting makes nothing, nor does an encryption that fails.
#[test]
fn nothing_is_made_in_vain() {
    let tool = Tool::new();
    tool.write("in", b"text");
    let not_a_store = ["not a store", "waxseal encrypt"];
    tool.fails(["decrypt", "in", "-o", "out"], 3, &not_a_store);
    let args = ["decrypt", "in", "-o", "out", "--store", "store"];
    tool.fails(args, 3, &not_a_store);
    let args = ["decrypt", "in", "-o", "out", "--key", "local:store"];
    tool.fails(args, 3, &not_a_store);
    tool.fails(["encrypt", "missing"], 3, &["'missing'"]);
    tool.fails(
        ["encrypt", "in", "-o", "missing/out"],
        3,
        &["'missing/out'"],
    );
    tool.fails(["encrypt", "in", "--suite", "0x0178"], 2, &["0x0178"]);
    let args = ["encrypt", "in", "--context", "aws-crypto-x=1"];
    tool.fails(args, 2, &["aws-crypto-x"]);
    // An alias that is named must be there, and so must its store.
    let args = ["encrypt", "in", "--key", "local:store:alias/a"];
    tool.fails(args, 3, &not_a_store);
    // One passphrase, and it cannot be had.
    let args = ["encrypt", "in", "--passphrase"];
    tool.fails(
        args,
        2,
        &["no terminal", "--passphrase-file", "WAXSEAL_PASSPHRASE"],
    );
    let args = ["encrypt", "in", "--passphrase-file", "missing"];
    tool.fails(args, 3, &["'missing'"]);
    tool.write("empty", b"\n");
    let args = ["encrypt", "in", "--passphrase-file", "empty"];
    tool.fails(args, 2, &["'empty'", "is empty"]);
    tool.write("long", [b'x'; 65_537]);
    let args = ["encrypt", "in", "--passphrase-file", "long"];
    tool.fails(args, 1, &["'long'", "65536"]);
    // Somebody's folder is not made into a store.
    tool.write("folder.txt", b"");
    fs::create_dir(tool.path("folder")).unwrap();
    tool.write("folder/letter", b"dear");
    for key in [["--store", "folder"], ["--key", "local:folder"]] {
        let args = [&["encrypt", "in"][..], &key].concat();
        tool.fails(args, 3, &["'letter'", "not a store"]);
    }
    assert_eq!(names(&tool.path("folder")), ["letter"]);
    assert_eq!(
        tool.run(["encrypt", "in", "--store", "a", "--key", "local:b"])
            .code,
        Some(2)
    );
    assert_eq!(
        tool.names(),
        ["empty", "folder", "folder.txt", "in", "long"]
    );
}

#[test]
fn stores_elsewhere() {
    let tool = Tool::new();
    tool.write("in", b"text");
    let encrypt = ["encrypt", "in"];
    let decrypt = ["decrypt", "in.waxseal", "-o", "-"];
    let made = run_with(&tool, "WAXSEAL_STORE", "mine", &encrypt);
    assert_eq!(made.code, Some(0));
    assert!(made.stderr.contains("mine.key'"), "{}", made.stderr);
    assert_eq!(tool.read("mine.key").len(), 32);
    assert_eq!(
        run_with(&tool, "WAXSEAL_STORE", "mine", &decrypt).worked(),
        b"text"
    );
    let args = [&decrypt[..], &["--store", "mine"]].concat();
    // The option comes before the variable.
    assert_eq!(
        run_with(&tool, "WAXSEAL_STORE", "other", &args).worked(),
        b"text"
    );
    run_with(&tool, "WAXSEAL_STORE", "other", &decrypt).failed(3, &["other"]);
    assert_eq!(tool.names(), ["in", "in.waxseal", "mine", "mine.key"]);
    // Another store's keys do not open it.
    says(
        &tool,
        &["encrypt", "in", "-o", "x", "--store", "other"],
        &["made the store"],
    );
    let args = [&decrypt[..], &["--store", "other"]].concat();
    tool.fails(args, 1, &["no key", "another store"]);

    // An empty variable counts as not set.
    let made = run_with(&tool, "WAXSEAL_STORE", "", &encrypt);
    assert_eq!(made.code, Some(0));
    assert!(default_store(&tool).is_dir());
    if cfg!(all(unix, not(target_os = "macos"))) {
        let data = tool.path("data");
        let made = run_with(&tool, "XDG_DATA_HOME", data.to_str().unwrap(), &encrypt);
        assert_eq!(made.code, Some(0));
        assert_eq!(tool.read("data/waxseal/store.key").len(), 32);
        // Relative ones do not count (XDG Base Directory Specification).
        run_with(&tool, "XDG_DATA_HOME", "data2", &encrypt).worked();
        let mut homeless = tool.command(encrypt);
        let run = tool.finish(homeless.env_remove("HOME").output().unwrap());
        run.failed(2, &["home", "--store", "WAXSEAL_STORE"]);
    }
}

/// One key file, by whatever path a store is named.
#[cfg(unix)]
#[test]
fn paths_to_one_store() {
    let tool = Tool::new();
    tool.write("in", b"text");
    fs::create_dir_all(tool.path("a/b")).unwrap();
    says(
        &tool,
        &["encrypt", "in", "--store", "a/../store/"],
        &["made"],
    );
    std::os::unix::fs::symlink("store", tool.path("link")).unwrap();
    let absolute = tool.path("store");
    for store in [
        "store",
        "./store",
        "a/b/../../store",
        "link",
        absolute.to_str().unwrap(),
    ] {
        let args = ["decrypt", "in.waxseal", "-o", "-", "--store", store];
        assert_eq!(tool.works(args), b"text", "{store}");
    }
    let expected = ["a", "in", "in.waxseal", "link", "store", "store.key"];
    assert_eq!(tool.names(), expected);
}

/// DIR may hold colons: only an alias is split off.
#[test]
fn keyspecs() {
    let tool = Tool::new();
    tool.write("in", b"text");
    let folders = match cfg!(unix) {
        true => &["plain", "a:b::c", "a:b:alias", "x:", ":y", "alias:alias-1"][..],
        false => &["plain"],
    };
    for folder in folders {
        let spec = format!("local:{folder}");
        says(
            &tool,
            &["encrypt", "in", "--key", &spec],
            &["alias/default"],
        );
        assert!(tool.path(folder).is_dir(), "{folder}");
        tool.works(["keys", "create", "--alias", "a/b", "--store", folder]);
        let named = format!("{spec}:alias/a/b");
        tool.works(["encrypt", "in", "-o", "named", "--key", &named]);
        // Any key of the store decrypts, whichever was named.
        for (message, key) in [("in.waxseal", &named), ("named", &spec)] {
            let args = ["decrypt", message, "-o", "-", "--key", key];
            assert_eq!(tool.works(args), b"text");
        }
        let missing = format!("{spec}:alias/missing");
        let args = ["encrypt", "in", "-o", "out", "--key", &missing];
        tool.fails(args, 1, &["'alias/missing'", "keys list"]);
        assert!(!tool.exists("out"));
    }
    tool.works([
        "encrypt",
        "in",
        "-o",
        "named",
        "--key",
        "local:plain:alias/a/b",
    ]);
    let inspected = String::from_utf8(tool.works(["inspect", "named"])).unwrap();
    let key = tool.works([
        "keys",
        "describe",
        "alias/a/b",
        "--json",
        "--store",
        "plain",
    ]);
    let key: serde_json::Value = serde_json::from_slice(&key).unwrap();
    assert!(inspected.contains("local key"), "{inspected}");
    assert!(
        inspected.contains(key["arn"].as_str().unwrap()),
        "{inspected}"
    );
}

/// `local:DIR:NAME` is a folder; if DIR is a store, it was meant otherwise.
#[cfg(unix)]
#[test]
fn forgotten_prefix() {
    let tool = Tool::new();
    tool.write("in", b"text");
    says(
        &tool,
        &["keys", "create", "--alias", "k", "--store", "s"],
        &["made"],
    );
    let words = ["warning: s is a store", "local:s:alias/k", "folder s:k"];
    let encrypt = ["encrypt", "in", "--key", "local:s:k"];
    let run = tool.run(["decrypt", "in", "-o", "out", "--key", "local:s:k"]);
    assert_eq!(run.code, Some(3));
    for word in words {
        assert!(run.stderr.contains(word), "no {word:?} in {}", run.stderr);
    }
    says(&tool, &encrypt, &words);
    // From now on it is one.
    tool.works(encrypt);
}

/// What does not decrypt is said of the key that was named.
#[test]
fn errors_name_what_was_named() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    says(&tool, &["encrypt", "in", "--store", "s"], &["made"]);
    says(
        &tool,
        &["keys", "create", "--alias", "k", "--store", "t"],
        &["made"],
    );
    tool.works(["encrypt", "in", "-o", "raw", "--key", "raw-aes:ns:key-1:k"]);
    let folder = tool.path("t").canonicalize().unwrap();
    let folder = format!("local-kms '{}'", folder.display());
    for (key, label) in [
        (
            ["--key", "local:t:alias/k"],
            "local-kms 'alias/k' could not",
        ),
        (["--key", "local:t"], &*folder),
        (["--store", "t"], &*folder),
    ] {
        for (message, words) in [
            ("in.waxseal", ["no key", "another store than"]),
            ("raw", ["another key than", "waxseal inspect"]),
        ] {
            let run = tool.run([&["decrypt", message, "-o", "out"][..], &key].concat());
            run.failed(1, &[&[label], &words[..]].concat());
            for wrong in ["default", "give "] {
                assert!(!run.stderr.contains(wrong), "{}", run.stderr);
            }
        }
    }
    // Nobody named one.
    let run = run_with(
        &tool,
        "WAXSEAL_STORE",
        "t",
        &["decrypt", "in.waxseal", "-o", "out"],
    );
    run.failed(1, &["another store: give its --store or --key"]);
    let run = run_with(
        &tool,
        "WAXSEAL_STORE",
        "t",
        &["decrypt", "raw", "-o", "out"],
    );
    run.failed(1, &["give the --key or the --store"]);
}

/// Local and raw keys together: each alone opens the message.
#[test]
fn with_other_keys() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    let raw = "raw-aes:ns:key-1:k";
    let args = [
        "encrypt", "in", "--key", "local:a", "--key", raw, "--key", "local:b",
    ];
    says(&tool, &args, &["a.key'", "b.key'"]);
    for key in ["local:a", raw, "local:b"] {
        let args = ["decrypt", "in.waxseal", "-o", "-", "--key", key];
        assert_eq!(tool.works(args), b"text");
    }
    let run = tool.run(["decrypt", "in.waxseal", "-o", "-", "-v", "--key", raw]);
    assert!(
        run.stderr.contains("opened by the key 'key-1'"),
        "{}",
        run.stderr
    );
}

#[test]
fn passphrases() {
    let tool = Tool::new();
    tool.write("in", b"text");
    tool.write("pass", b"correct horse\n");
    let made = tool.run(["encrypt", "in", "--store", "s", "--passphrase-file", "pass"]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    assert!(made.stderr.contains("passphrase"), "{}", made.stderr);
    assert!(!made.stderr.contains(".key"), "{}", made.stderr);
    let decrypt = ["decrypt", "in.waxseal", "-o", "-", "--store", "s"];
    for (bytes, opens) in [
        (&b"correct horse"[..], true),
        (b"correct horse\r\n", true),
        // Only one newline is not part of it.
        (b"correct horse\n\n", false),
        (b" correct horse", false),
    ] {
        tool.write("other", bytes);
        let args = [&decrypt[..], &["--passphrase-file", "other"]].concat();
        match opens {
            true => assert_eq!(tool.works(args), b"text"),
            false => tool.fails(args, 1, &["passphrase is another one"]),
        }
    }
    let variable = "WAXSEAL_PASSPHRASE";
    assert_eq!(
        run_with(&tool, variable, "correct horse", &decrypt).worked(),
        b"text"
    );
    let wrong = run_with(&tool, variable, "wrong horse", &decrypt);
    wrong.failed(1, &["passphrase is another one", "--passphrase-file"]);
    assert!(!wrong.stderr.contains("horse"), "{}", wrong.stderr);
    // The option comes before the variable.
    let args = [&decrypt[..], &["--passphrase-file", "pass"]].concat();
    assert_eq!(
        run_with(&tool, variable, "wrong horse", &args).worked(),
        b"text"
    );
    tool.fails(decrypt, 3, &["s.key'", "--passphrase-file", variable]);
    let args = [&decrypt[..], &["--passphrase"]].concat();
    tool.fails(args, 2, &["no terminal"]);
    let both = [&decrypt[..], &["--passphrase", "--passphrase-file", "pass"]].concat();
    assert_eq!(tool.run(both).code, Some(2));
    // It is not written over.
    let args = [
        "decrypt",
        "in.waxseal",
        "-o",
        "pass",
        "--store",
        "s",
        "--passphrase-file",
        "pass",
    ];
    tool.fails(args, 2, &["'pass'"]);
    assert!(!tool.exists("s.key"));

    // A store with a key file takes no passphrase.
    says(&tool, &["encrypt", "in", "--store", "t"], &["made"]);
    let run = run_with(
        &tool,
        variable,
        "x",
        &["decrypt", "in.waxseal", "-o", "-", "--store", "t"],
    );
    run.failed(1, &["sealed under a key", "key file"]);
}

#[test]
fn key_files_of_stores() {
    let tool = Tool::new();
    tool.write("in", b"text");
    says(&tool, &["encrypt", "in", "--store", "s"], &["made"]);
    let key = tool.read("s.key");
    let check = |code, words: &[&str]| {
        for command in ["encrypt", "decrypt"] {
            let args = [command, "in.waxseal", "-o", "out", "--store", "s"];
            tool.fails(args, code, words);
        }
        tool.fails(["keys", "create", "--store", "s"], code, words);
        assert!(!tool.exists("out"));
    };
    fs::remove_file(tool.path("s.key")).unwrap();
    check(3, &["s.key'", "copy"]);
    assert!(!tool.exists("s.key"), "a new one opens nothing");
    for (length, words) in [(0, "empty"), (1, "1 byte"), (31, "31 bytes"), (33, "more")] {
        tool.write("s.key", vec![7; length]);
        check(1, &["s.key'", "32 bytes", words]);
    }
    tool.write("s.key", [7; 32]);
    check(1, &["the key is another one"]);
    tool.write("s.key", &key);
    assert_eq!(
        tool.works(["decrypt", "in.waxseal", "-o", "-", "--store", "s"]),
        b"text"
    );
    // It is not written over.
    let args = ["decrypt", "in.waxseal", "-o", "s.key", "--store", "s"];
    tool.fails(args, 2, &["key file"]);
    assert_eq!(tool.read("s.key"), key);
}

/// Of many first runs at once, one makes the store, one the key, and all use
/// them.
#[test]
fn made_once() {
    let tool = Tool::new();
    tool.write("in", b"text");
    let told = eight_at_once(&tool, "s");
    assert_eq!(told.matches("made the store").count(), 1, "{told}");
    // Where the store is there, they are at the key at the same time.
    for store in ["a", "b", "c", "d"] {
        let made = ["keys", "create", "--alias", "x", "--store", store];
        says(&tool, &made, &["made the store"]);
        tool.works(["keys", "schedule-deletion", "alias/x", "--store", store]);
        eight_at_once(&tool, store);
    }
}

/// Encrypts, decrypts, and finds one default key. Gives what was told.
fn eight_at_once(tool: &Tool, store: &str) -> String {
    let outs: Vec<_> = (0..8).map(|number| format!("out{number}")).collect();
    let children: Vec<_> = outs
        .iter()
        .map(|out| {
            let args = ["encrypt", "in", "-o", out, "--store", store];
            tool.command(args).spawn().unwrap()
        })
        .collect();
    let mut told = String::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        told.push_str(std::str::from_utf8(&output.stderr).unwrap());
    }
    assert_eq!(told.matches("made the key").count(), 1, "{told}");
    for out in outs {
        let args = ["decrypt", &out, "-o", "-", "--store", store];
        assert_eq!(tool.works(args), b"text");
    }
    let listed = tool.works(["keys", "list", "--store", store]);
    let listed = String::from_utf8(listed).unwrap();
    let enabled = listed.lines().filter(|line| line.contains("enabled"));
    assert_eq!(enabled.count(), 1, "{listed}");
    let key = tool.works([
        "keys",
        "describe",
        "alias/default",
        "--json",
        "--store",
        store,
    ]);
    let key: serde_json::Value = serde_json::from_slice(&key).unwrap();
    assert_eq!(key["backing_keys"][0]["wraps"], 8);
    assert_eq!(key["backing_keys"][0]["unwraps"], 8);
    told
}
