//! Stores that are damaged, not all there, or none.

use std::fs;

use serde_json::Value;
use waxseal::blocking::wait;
use waxseal::kms::store::{BlobStore, DirectoryStore, Expected};

use crate::local::says;
use crate::manage::{json, keys, with_store};
use crate::tool::Tool;

/// A record that is damaged is named, and the others are not concerned.
#[test]
fn damaged_stores() {
    let tool = Tool::new();
    tool.write("in", b"text");
    says(&tool, &["encrypt", "in", "--store", "s"], &["made"]);
    tool.works(["keys", "create", "--alias", "b", "--store", "s"]);
    let keyed = |command, alias: &str| {
        let spec = format!("local:s:alias/{alias}");
        [command, "in", "-o", "out", "--key", &spec].map(str::to_owned)
    };
    let id = |alias: &str| {
        let key = tool.works(["keys", "describe", alias, "--json", "--store", "s"]);
        let key: Value = serde_json::from_slice(&key).unwrap();
        key["id"].as_str().unwrap().to_owned()
    };
    let (default, other) = (id("alias/default"), format!("keys/{}", id("alias/b")));
    let file = |id: &str| format!("s/blobs/blob.keys.{id}");
    let good = tool.read(file(&default));
    let name = format!("keys/{default}");
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    tool.write(file(&default), &flipped);
    let check = || {
        let run = tool.run(keyed("encrypt", "default"));
        assert_eq!(run.code, Some(1));
        for word in [&name, "damaged", "import"] {
            assert!(run.stderr.contains(word), "{}", run.stderr);
        }
        let args = ["decrypt", "in.waxseal", "-o", "out", "--store", "s"];
        tool.fails(args, 1, &[&name, "damaged"]);
        let encrypt = keyed("encrypt", "b");
        says(
            &tool,
            &encrypt.each_ref().map(|arg| &**arg),
            &["warning", &name],
        );
        fs::remove_file(tool.path("out")).unwrap();
        let run = tool.run(["keys", "list", "--store", "s", "--json"]);
        run.failed(1, &[&name, "damaged"]);
        run.stdout
    };
    check();
    tool.write(file(&default), &good);
    // Another key's record in its place: the file is whole.
    let store = DirectoryStore::open(tool.path("s")).unwrap();
    let version = wait(store.read(&name)).unwrap().unwrap().version;
    let other = wait(store.read(&other)).unwrap().unwrap().bytes;
    wait(store.write(&name, &other, Expected::Version(&version))).unwrap();
    let listed: Value = serde_json::from_slice(&check()).unwrap();
    assert_eq!(listed["keys"].as_array().unwrap().len(), 1);
    assert_eq!(listed["keys"][0]["aliases"][0], "alias/b");
    assert!(listed["damaged"][0].as_str().unwrap().contains(&name));
    tool.write(file(&default), good);
    assert_eq!(
        tool.works(["decrypt", "in.waxseal", "-o", "-", "--store", "s"]),
        b"text"
    );

    // Without the root record nothing opens, and nothing is imported either.
    for is_there in [true, false] {
        match is_there {
            true => tool.write("s/blobs/blob.root", b"nonsense"),
            false => fs::remove_file(tool.path("s/blobs/blob.root")).unwrap(),
        }
        for command in ["list", "create"] {
            let run = tool.run(["keys", command, "--store", "s"]);
            let problem = ["missing", "damaged"][usize::from(is_there)];
            run.failed(
                1,
                &["'root'", problem, "copy of the store", "into a new one"],
            );
            assert!(!run.stderr.contains("not concerned"), "{}", run.stderr);
        }
    }
}

/// What is there and is no store is told apart, each with what to do.
#[test]
fn hints_about_what_is_no_store() {
    let tool = Tool::new();
    tool.write("in", b"text");
    let check = |store: &str, words: &[&str]| {
        for args in [
            &["encrypt", "in", "-o", "out"][..],
            &["decrypt", "in.waxseal", "-o", "out"],
            &["keys", "list"],
            &["keys", "create"],
        ] {
            let run = tool.run([args, &["--store", store]].concat());
            run.failed(3, &[&["is not a store"], words].concat());
            assert!(!run.stderr.contains("keys create"), "{}", run.stderr);
        }
    };
    says(&tool, &["encrypt", "in", "--store", "s"], &["made"]);
    let marker = tool.read("s/waxseal-store");
    let bring_back = [
        "'waxseal-store'",
        "keys are there",
        "copy of this store",
        "any other",
    ];
    tool.write("s/waxseal-store", b"nonsense");
    check("s", &[&bring_back[..], &["damaged"]].concat());
    fs::remove_file(tool.path("s/waxseal-store")).unwrap();
    check("s", &[&bring_back[..], &["missing"]].concat());
    // As the hint has it.
    says(&tool, &["keys", "create", "--store", "other"], &["made"]);
    fs::copy(
        tool.path("other/waxseal-store"),
        tool.path("s/waxseal-store"),
    )
    .unwrap();
    assert_eq!(tool.read("s/waxseal-store"), marker);
    let decrypt = ["decrypt", "in.waxseal", "-o", "-", "--store", "s"];
    assert_eq!(tool.works(decrypt), b"text");
    fs::remove_dir_all(tool.path("s/blobs")).unwrap();
    check("s", &["'blobs' is missing", "keys", "gone", "copy"]);

    fs::create_dir(tool.path("folder")).unwrap();
    tool.write("folder/letter", b"dear");
    check("folder", &["'letter'", "something else", "empty"]);
    check("in", &["not a folder", "a store is a folder"]);
    assert!(!tool.exists("in.key") && !tool.exists("folder.key"));
    // An empty one can be made into one.
    fs::create_dir(tool.path("empty")).unwrap();
    let args = ["keys", "list", "--store", "empty"];
    tool.fails(args, 3, &["not a store", "`waxseal keys create` makes"]);
}

/// A usage record that is damaged hides no change that was made.
#[test]
fn damaged_usage() {
    let tool = with_store();
    let id = json(&tool, &["describe", "alias/default"])["id"].clone();
    let id = id.as_str().unwrap();
    tool.write(format!("s/blobs/blob.usage.{id}"), b"nonsense");
    let name = format!("usage/{id}");
    let unknown = |key: &Value| {
        assert!(key["usage_error"].as_str().unwrap().contains(&name));
        assert!(key["last_used_at"].is_null(), "{key}");
        for count in ["wraps", "unwraps", "messages", "last_wrap_at"] {
            assert!(key["backing_keys"][0][count].is_null(), "{key}");
        }
    };
    for (args, field, value) in [
        (&["rotate"][..], "current_version", Value::from(2)),
        (&["disable"], "state", "disabled".into()),
        (&["enable"], "state", "enabled".into()),
        (&["schedule-deletion"], "in_recent_use", Value::Null),
        (&["cancel-deletion"], "state", "disabled".into()),
    ] {
        let run = keys(&tool, &[args, &["alias/default", "--json"]].concat());
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        for word in ["waxseal: warning", &name, "damaged"] {
            assert!(run.stderr.contains(word), "no {word:?} in {}", run.stderr);
        }
        let cannot_tell = "WARNING: the key alias/default MAY BE IN USE: whether it is in use \
                           cannot be told";
        assert_eq!(
            run.stderr.contains(cannot_tell),
            args[0] == "schedule-deletion",
            "{}",
            run.stderr
        );
        let key: Value = serde_json::from_slice(&run.stdout).unwrap();
        assert_eq!(key[field], value, "{args:?}");
        assert_eq!(key["aliases"], serde_json::json!(["alias/default"]));
        unknown(&key);
    }

    // Whoever asks is told of it, and of the rest.
    let run = keys(&tool, &["describe", "alias/default", "--json"]);
    run.failed(1, &[&name, "damaged", "import"]);
    unknown(&serde_json::from_slice(&run.stdout).unwrap());
    let run = keys(&tool, &["describe", "alias/default"]);
    run.failed(1, &[&name]);
    let described = String::from_utf8(run.stdout).unwrap();
    assert!(described.contains("alias/default") && described.contains("2. of "));
    assert!(described.contains("cannot be told"), "{described}");
    assert!(!described.contains("encrypted"), "{described}");
    let run = keys(&tool, &["list", "--json"]);
    run.failed(1, &[&name, "damaged"]);
    let list: Value = serde_json::from_slice(&run.stdout).unwrap();
    unknown(&list["keys"][0]);
    assert!(list["damaged"][0].as_str().unwrap().contains(&name));
}
