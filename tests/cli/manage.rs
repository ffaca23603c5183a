//! `waxseal keys`: what each command does, says and prints.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use waxseal::SecretBytes;
use waxseal::blocking::wait;
use waxseal::kms::store::DirectoryStore;
use waxseal::kms::{CreateKey, LocalKms, RootKey};

use crate::local::says;
use crate::tool::{Run, Tool};

const DECRYPT: [&str; 6] = ["decrypt", "in.waxseal", "-o", "-", "--store", "s"];

/// A tool with a store in `s`, whose alias/default has encrypted `in`.
pub(crate) fn with_store() -> Tool {
    let tool = Tool::new();
    tool.write("in", b"text");
    says(
        &tool,
        &["encrypt", "in", "--store", "s"],
        &["made the store"],
    );
    tool
}

/// Runs `waxseal keys` on that store.
pub(crate) fn keys(tool: &Tool, args: &[&str]) -> Run {
    tool.run([&["keys"], args, &["--store", "s"]].concat())
}

/// What it prints, all being well.
#[track_caller]
fn text(tool: &Tool, args: &[&str]) -> String {
    String::from_utf8(keys(tool, args).worked()).unwrap()
}

/// What it prints with `--json`, all being well.
#[track_caller]
pub(crate) fn json(tool: &Tool, args: &[&str]) -> Value {
    let printed = keys(tool, &[args, &["--json"]].concat()).worked();
    assert_eq!(printed.iter().filter(|byte| **byte == b'\n').count(), 1);
    serde_json::from_slice(&printed).unwrap()
}

#[track_caller]
fn fails(tool: &Tool, args: &[&str], code: i32, words: &[&str]) {
    let run = keys(tool, args);
    assert!(run.stdout.is_empty());
    run.failed(code, words);
}

/// RFC 3339 in UTC, to the second.
fn is_date(value: &Value) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    value.as_str().is_some_and(|text| {
        text.len() == 20
            && ["-", "-", "T", ":", ":", "Z"]
                .into_iter()
                .zip([4, 7, 10, 13, 16, 19])
                .all(|(mark, place)| &text[place..place + 1] == mark)
            && digits(&text.replace(['-', 'T', ':', 'Z'], ""))
    })
}

#[test]
fn create_list_describe() {
    let tool = Tool::new();
    // The first one makes the store.
    let run = keys(
        &tool,
        &[
            "create",
            "--alias",
            "a",
            "--description",
            "for \u{1b}[1mtests",
        ],
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("made the store"), "{}", run.stderr);
    let created = String::from_utf8(run.stdout).unwrap();
    assert!(created.starts_with("created the key ") && created.ends_with(", alias/a\n"));
    assert_eq!(tool.names(), ["s", "s.key"]);

    let a = json(&tool, &["describe", "alias/a"]);
    let id = a["id"].as_str().unwrap();
    assert!(created.contains(id));
    assert!(a["arn"].as_str().unwrap().ends_with(id));
    for (name, expected) in [
        ("state", "enabled"),
        ("owner", "customer"),
        ("origin", "local"),
        ("description", "for \u{1b}[1mtests"),
    ] {
        assert_eq!(a[name], expected, "{name}");
    }
    assert_eq!(a["aliases"], serde_json::json!(["alias/a"]));
    assert_eq!(a["tags"], serde_json::json!({}));
    assert!(is_date(&a["created_at"]), "{a}");
    assert!(a["deletion_at"].is_null() && a["rotation"].is_null() && a["last_used_at"].is_null());
    assert_eq!(
        (&a["current_version"], &a["minimum_version"]),
        (&1.into(), &1.into())
    );
    let backing = &a["backing_keys"][0];
    assert!(is_date(&backing["created_at"]));
    assert_eq!(backing["cause"], "creation");
    assert_eq!(backing["present"], true);
    assert_eq!(backing["wraps"], 0);

    // By id, by ARN, and with the options in front.
    for key in [id, a["arn"].as_str().unwrap()] {
        assert_eq!(json(&tool, &["describe", key]), a);
    }
    let printed = tool.works(["keys", "--store", "s", "--json", "describe", id]);
    assert_eq!(serde_json::from_slice::<Value>(&printed).unwrap(), a);
    let described = text(&tool, &["describe", "alias/a"]);
    for word in [
        id,
        "alias/a",
        "enabled",
        "on demand only",
        "never",
        "1. of ",
        "by creation",
    ] {
        assert!(described.contains(word), "no {word:?} in {described}");
    }
    assert!(!described.contains('\u{1b}'), "{described}");

    let b = json(&tool, &["create", "--alias", "alias/b"]);
    let c = json(&tool, &["create"]);
    let listed = json(&tool, &["list"]);
    assert_eq!(listed["damaged"], serde_json::json!([]));
    let listed = listed["keys"].as_array().unwrap();
    assert_eq!(listed.len(), 3);
    assert!(listed.contains(&a) && listed.contains(&b) && listed.contains(&c));
    let lines = text(&tool, &["list"]);
    assert_eq!(lines.lines().count(), 3);
    assert!(
        lines.contains("alias/b") && lines.contains("none"),
        "{lines}"
    );

    fails(
        &tool,
        &["create", "--alias", "a"],
        2,
        &["'alias/a' exists", "keys alias"],
    );
    fails(&tool, &["create", "--alias", "a b"], 2, &["alias/a b"]);
    fails(&tool, &["create", "--alias", "aws/x"], 2, &["aws"]);
    assert_eq!(json(&tool, &["list"])["keys"].as_array().unwrap().len(), 3);
}

/// No command but `create` and `import` makes a store, and none says 0 for a
/// key that is not there.
#[test]
fn what_is_not_there() {
    let tool = Tool::new();
    let on_a_key = [
        &["describe", "alias/x"][..],
        &["rotate", "alias/x"],
        &["enable", "alias/x"],
        &["disable", "alias/x"],
        &["schedule-deletion", "alias/x", "--days", "7"],
        &["cancel-deletion", "alias/x"],
        &["alias", "y", "alias/x"],
    ];
    for args in on_a_key
        .into_iter()
        .chain([&["list"][..], &["export", "backup"]])
    {
        fails(&tool, args, 3, &["not a store", "keys create"]);
    }
    assert!(tool.names().is_empty());
    says(&tool, &["keys", "create", "--store", "s"], &["made"]);
    for args in on_a_key {
        fails(&tool, args, 1, &["'alias/x'", "keys list"]);
    }
    fails(&tool, &["describe", "x"], 1, &["'x'", "alias/NAME"]);
    for args in [
        &[][..],
        &["frobnicate"],
        &["describe"],
        &["alias", "x"],
        &["schedule-deletion", "alias/x", "--days", "6"],
        &["schedule-deletion", "alias/x", "--days", "31"],
    ] {
        assert_eq!(keys(&tool, args).code, Some(2), "{args:?}");
    }
}

#[test]
fn rotate() {
    let tool = with_store();
    let rotated = text(&tool, &["rotate", "alias/default"]);
    assert!(rotated.contains("version 2"), "{rotated}");
    let key = json(&tool, &["rotate", "alias/default"]);
    assert_eq!(key["current_version"], 3);
    assert_eq!(key["backing_keys"][2]["cause"], "on_demand_rotation");
    // What was encrypted before still opens, and says by which version.
    tool.works(["encrypt", "in", "-o", "new", "--store", "s"]);
    for (message, version) in [("in.waxseal", "version 1"), ("new", "version 3")] {
        let run = tool.run(["decrypt", message, "-o", "-", "-v", "--store", "s"]);
        assert_eq!(run.stdout, b"text");
        for word in [key["arn"].as_str().unwrap(), version] {
            assert!(run.stderr.contains(word), "{}", run.stderr);
        }
    }
    // And each use is counted, in the store.
    let key = json(&tool, &["describe", "alias/default"]);
    let uses = |version: usize| {
        let backing = &key["backing_keys"][version - 1];
        (
            backing["wraps"].as_u64().unwrap(),
            backing["unwraps"].as_u64().unwrap(),
        )
    };
    assert_eq!([uses(1), uses(2), uses(3)], [(1, 1), (0, 0), (1, 1)]);
    assert!(is_date(&key["last_used_at"]) && is_date(&key["backing_keys"][0]["last_wrap_at"]));
}

/// A key that cannot be made leaves no store and no key file behind.
#[test]
fn create_makes_no_store_in_vain() {
    let tool = Tool::new();
    let long = "x".repeat(8193);
    for (args, words) in [
        (["--alias", "x y"], ["'alias/x y'", "A-Z"]),
        (["--alias", "aws/x"], ["'alias/aws/x'", "services"]),
        (["--alias", ""], ["'alias/'", "characters"]),
        (["--description", &long], ["description", "8192"]),
    ] {
        fails(&tool, &[&["create"][..], &args].concat(), 2, &words);
        assert!(tool.names().is_empty(), "{:?}", tool.names());
    }
}

#[test]
fn how_often() {
    let tool = with_store();
    for times in [
        "never decrypted",
        "decrypted once (2",
        "decrypted 2 times (last 2",
    ] {
        let described = text(&tool, &["describe", "alias/default"]);
        assert!(described.contains("; encrypted once (2"), "{described}");
        assert!(described.contains(times), "no {times:?} in {described}");
        tool.works(DECRYPT);
    }
}

#[test]
fn disable_and_enable() {
    let tool = with_store();
    for _ in 0..2 {
        let disabled = json(&tool, &["disable", "alias/default"]);
        assert_eq!(disabled["state"], "disabled");
    }
    tool.fails(DECRYPT, 1, &["is disabled", "keys enable"]);
    tool.fails(
        ["encrypt", "in", "--store", "s"],
        1,
        &["is disabled", "keys enable"],
    );
    fails(
        &tool,
        &["rotate", "alias/default"],
        1,
        &["is disabled", "keys enable"],
    );
    let enabled = text(&tool, &["enable", "alias/default"]);
    assert!(enabled.contains("enabled"), "{enabled}");
    assert_eq!(tool.works(DECRYPT), b"text");
}

#[test]
fn deletion() {
    let tool = with_store();
    let run = keys(
        &tool,
        &[
            "schedule-deletion",
            "alias/default",
            "--days",
            "7",
            "--json",
        ],
    );
    assert_eq!(run.code, Some(0));
    let key: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(key["state"], "pending_deletion");
    assert_eq!(key["in_recent_use"], true);
    let date = key["deletion_at"].as_str().unwrap();
    for word in ["WARNING", "IS IN USE", date, "cancel-deletion"] {
        assert!(run.stderr.contains(word), "no {word:?} in {}", run.stderr);
    }
    tool.fails(DECRYPT, 1, &["pending deletion", "cancel-deletion"]);
    tool.fails(["encrypt", "in", "--store", "s"], 1, &["pending deletion"]);
    fails(
        &tool,
        &["enable", "alias/default"],
        1,
        &["pending deletion"],
    );
    fails(
        &tool,
        &["alias", "x", "alias/default"],
        1,
        &["pending deletion"],
    );
    let kept = text(&tool, &["cancel-deletion", "alias/default"]);
    assert!(kept.contains("keys enable"), "{kept}");
    let key = json(&tool, &["describe", "alias/default"]);
    assert_eq!(key["state"], "disabled");
    assert!(key["deletion_at"].is_null());
    text(&tool, &["enable", "alias/default"]);
    assert_eq!(tool.works(DECRYPT), b"text");
    fails(
        &tool,
        &["cancel-deletion", "alias/default"],
        1,
        &["enabled"],
    );

    // Nobody has used this one.
    json(&tool, &["create", "--alias", "idle"]);
    let scheduled = text(&tool, &["schedule-deletion", "alias/idle"]);
    let key = json(&tool, &["describe", "alias/idle"]);
    let date = key["deletion_at"].as_str().unwrap();
    assert!(scheduled.contains(date), "{scheduled}");
}

/// An answer that cannot be written does not hide what was done.
#[cfg(target_os = "linux")]
#[test]
fn answers_to_a_full_disk() {
    let tool = with_store();
    let full = |args: &[&str]| {
        let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else {
            crate::tool::skipped("there is no /dev/full");
            return None;
        };
        let mut command = tool.command([&["keys"], args, &["--store", "s"]].concat());
        Some(tool.finish(command.stdout(full).output().unwrap()))
    };
    for args in [&["create", "--json"][..], &["create", "--alias", "x"]] {
        let before = json(&tool, &["list"]);
        let Some(run) = full(args) else { return };
        let after = json(&tool, &["list"]);
        let id = after["keys"].as_array().unwrap().iter().find_map(|key| {
            let is_old = before["keys"].as_array().unwrap().contains(key);
            (!is_old).then(|| key["id"].as_str().unwrap())
        });
        let words = [
            "cannot write standard output",
            "created the key",
            id.unwrap(),
        ];
        run.failed(3, &words);
    }
    let run = full(&["rotate", "alias/x", "--json"]).unwrap();
    run.failed(3, &["cannot write", "rotated: version 2"]);
    let run = full(&["list"]).unwrap();
    run.failed(3, &["cannot write"]);
    assert!(!run.stderr.contains("done"), "{}", run.stderr);
}

#[test]
fn aliases() {
    let tool = with_store();
    let default = json(&tool, &["describe", "alias/default"]);
    let other = json(&tool, &["create"]);
    let id = other["id"].as_str().unwrap();
    let made = json(&tool, &["alias", "app", id]);
    assert_eq!(made["alias"], "alias/app");
    assert_eq!(made["created"], true);
    assert_eq!(made["key_id"], other["id"]);
    assert!(made["moved_from"].is_null());
    assert!(text(&tool, &["alias", "alias/app", id]).contains("already"));
    let moved = json(&tool, &["alias", "app", "alias/default"]);
    assert_eq!(moved["created"], false);
    assert_eq!(moved["moved_from"], other["arn"]);
    let default = json(&tool, &["describe", default["id"].as_str().unwrap()]);
    assert_eq!(
        default["aliases"],
        serde_json::json!(["alias/app", "alias/default"])
    );
    let said = text(&tool, &["alias", "app", id]);
    assert!(said.contains("no longer"), "{said}");
    // A new default encrypts, and what the old one has encrypted still opens.
    text(&tool, &["alias", "default", id]);
    tool.works(["encrypt", "in", "-o", "new", "--store", "s"]);
    assert_eq!(tool.works(DECRYPT), b"text");
    let run = tool.run(["decrypt", "new", "-o", "-", "-v", "--store", "s"]);
    assert!(run.stderr.contains(id), "{}", run.stderr);
    fails(&tool, &["alias", "a b", id], 2, &["alias/a b"]);
    fails(&tool, &["alias", "aws/x", id], 2, &["aws"]);
}

#[test]
fn export_and_import() {
    let tool = with_store();
    tool.write("pass", b"of the backup\n");
    tool.write("wrong", b"of another\n");
    let pass = ["--export-passphrase-file", "pass"];
    let exported = json(&tool, &[&["export", "backup"], &pass[..]].concat());
    assert_eq!(exported["file"], "backup");
    assert_eq!(exported["length"], tool.read("backup").len());
    #[cfg(unix)]
    assert_eq!(crate::files::mode(&tool, "backup"), 0o600);
    // No file is replaced, and nobody is there to ask.
    let again = [&["export", "backup"], &pass[..]].concat();
    fails(&tool, &again, 3, &["'backup'", "replaces none"]);
    fails(&tool, &["export", "-"], 2, &["standard output"]);
    let no_terminal = ["no terminal", "--export-passphrase-file"];
    fails(&tool, &["export", "other"], 2, &no_terminal);
    fails(&tool, &["import", "backup"], 2, &no_terminal);

    // Into a new store; what does not open makes none.
    let import = |store: &str, file: &str, passphrase: &str| {
        let args = ["keys", "import", file, "--store", store, "--json"];
        tool.run([&args[..], &["--export-passphrase-file", passphrase]].concat())
    };
    import("t", "backup", "wrong").failed(1, &["'backup'", "passphrase is another one"]);
    import("t", "missing", "pass").failed(3, &["'missing'"]);
    let mut damaged = tool.read("backup");
    damaged[100] ^= 1;
    tool.write("damaged", damaged);
    for file in ["damaged", "in"] {
        import("t", file, "pass").failed(1, &[&format!("'{file}'"), "damaged"]);
    }
    assert!(!tool.exists("t") && !tool.exists("t.key"));
    let run = import("t", "backup", "pass");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("made the store"), "{}", run.stderr);
    let report: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert!(report["restored"].as_u64().unwrap() >= 2, "{report}");
    assert_eq!(report["diverged"], serde_json::json!([]));
    assert_ne!(tool.read("s.key"), tool.read("t.key"));
    let args = ["decrypt", "in.waxseal", "-o", "-", "--store", "t"];
    assert_eq!(tool.works(args), b"text");

    // An old backup takes nothing back.
    text(&tool, &["rotate", "alias/default"]);
    let report: Value = serde_json::from_slice(&import("s", "backup", "pass").worked()).unwrap();
    assert_eq!(report["restored"], 0, "{report}");
    assert!(report["older"].as_u64().unwrap() >= 1, "{report}");
    assert_eq!(
        json(&tool, &["describe", "alias/default"])["current_version"],
        2
    );
}

/// Two copies of a store that were changed each on its own do not become one.
#[test]
fn import_of_what_has_diverged() {
    let tool = with_store();
    tool.write("pass", b"of the backup\n");
    let pass = ["--export-passphrase-file", "pass"];
    let other = |args: &[&str]| tool.run([&["keys"], args, &["--store", "t"]].concat());
    text(&tool, &[&["export", "first"], &pass[..]].concat());
    let run = other(&[&["import", "first"], &pass[..]].concat());
    assert_eq!(run.code, Some(0), "{}", run.stderr);

    // One and the other rotate; only the other has a second key.
    let id = json(&tool, &["rotate", "alias/default"])["id"].clone();
    let name = format!("keys/{}", id.as_str().unwrap());
    other(&["rotate", "alias/default"]).worked();
    other(&["create", "--alias", "second"]).worked();
    tool.works([
        "encrypt",
        "in",
        "-o",
        "theirs",
        "--key",
        "local:t:alias/default",
    ]);
    other(&[&["export", "backup"], &pass[..]].concat()).worked();
    let import = [&["import", "backup", "--json"], &pass[..]].concat();
    let run = keys(&tool, &import);
    run.failed(
        1,
        &[
            "did not restore",
            "'backup'",
            &name,
            "does not decrypt",
            "new one",
        ],
    );
    let report: Value = serde_json::from_slice(&run.stdout).unwrap();
    let diverged = report["diverged"].as_array().unwrap();
    assert!(diverged.contains(&name.into()), "{report}");
    let count = match diverged.len() {
        1 => "restore 1 record of".to_owned(),
        count => format!("restore {count} records of"),
    };
    assert!(run.stderr.contains(&count), "{}", run.stderr);
    // The rest is there.
    assert_eq!(
        json(&tool, &["describe", "alias/second"])["current_version"],
        1
    );
    tool.fails(
        ["decrypt", "theirs", "-o", "out", "--store", "s"],
        1,
        &["theirs"],
    );
    let help = String::from_utf8(tool.works(["keys", "import", "--help"])).unwrap();
    assert!(help.contains("the exit code is 1"), "{help}");
}

/// A clock that is some days behind.
struct Behind(u64);

impl waxseal::Clock for Behind {
    fn now(&self) -> SystemTime {
        SystemTime::now() - Duration::from_secs(self.0 * 24 * 60 * 60)
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

/// The store in `s`, as it is opened on a day before.
fn days_ago(tool: &Tool, days: u64) -> LocalKms {
    let root = RootKey::bytes(SecretBytes::from(tool.read("s.key")));
    let store = DirectoryStore::open(tool.path("s")).unwrap();
    wait(LocalKms::builder(store, root).clock(Behind(days)).open()).unwrap()
}

/// What has become due is done once, by `encrypt` and by what changes a key.
#[test]
fn what_is_due() {
    let tool = with_store();
    let id = |alias: &str| json(&tool, &["describe", alias])["id"].clone();
    let default = id("alias/default");
    let kms = days_ago(&tool, 1000);
    wait(kms.enable_rotation("alias/default", Some(90))).unwrap();
    let old = wait(kms.create_key(CreateKey::new().alias("alias/old"))).unwrap();
    wait(kms.schedule_deletion(&old.id, Some(7))).unwrap();
    drop(kms);
    // Looking changes nothing.
    assert_eq!(
        json(&tool, &["describe", "alias/default"])["current_version"],
        1
    );
    assert_eq!(tool.works(DECRYPT), b"text");
    let words = [
        "rotated",
        default.as_str().unwrap(),
        "2 now",
        "deleted",
        &old.id,
    ];
    says(&tool, &["encrypt", "in", "--store", "s"], &words);
    let key = json(&tool, &["describe", "alias/default"]);
    assert_eq!(key["current_version"], 2);
    assert_eq!(key["backing_keys"][1]["cause"], "automatic_rotation");
    assert_eq!(key["rotation"]["days"], 90);
    assert!(is_date(&key["rotation"]["next_at"]));
    fails(&tool, &["describe", &old.id], 1, &["no key"]);
    tool.works(["encrypt", "in", "--store", "s"]);

    let kms = days_ago(&tool, 8);
    let old = wait(kms.create_key(CreateKey::new())).unwrap();
    wait(kms.schedule_deletion(&old.id, Some(7))).unwrap();
    drop(kms);
    says(
        &tool,
        &["keys", "create", "--store", "s"],
        &["deleted", &old.id],
    );
}
