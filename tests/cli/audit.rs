//! `audit`: the head of a trail, and what the verifier says.

use crate::tool::Tool;

#[cfg(not(feature = "kms-policy"))]
#[test]
fn says_which_feature_it_needs() {
    let tool = Tool::new();
    for args in [&["audit"][..], &["audit", "verify", "x", "--json"]] {
        tool.fails(args, 2, &["--features kms-policy"]);
    }
}

#[cfg(feature = "kms-policy")]
mod trail {
    use std::time::SystemTime;

    use serde_json::{Value, json};
    use waxseal::SecretBytes;
    use waxseal::kms::audit::{AuditEvent, AuditFile, AuditId, AuditKey, AuditSink};

    use super::Tool;

    fn key() -> AuditKey {
        AuditKey::new(&SecretBytes::from(vec![7; 48])).unwrap()
    }

    /// Rotated once or more; the head, and the public key.
    fn write(tool: &Tool, is_closed: bool) -> (String, String) {
        let builder = AuditFile::builder(tool.path("audit"), key()).rotate_at_bytes(4000);
        let file = builder.open().unwrap();
        for number in 0..9 {
            let id = AuditId::from_bytes([number; 16]);
            let event = AuditEvent::new("Encrypt", SystemTime::UNIX_EPOCH, id);
            file.record(&event).unwrap();
        }
        let public_key = file.public_key().to_string();
        if is_closed {
            return (file.close().unwrap().to_string(), public_key);
        }
        let head = file.head().to_string();
        // As a crash leaves it.
        let bytes = tool.read("audit");
        drop(file);
        tool.write("audit", bytes);
        (head, public_key)
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    fn json_of(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn a_sound_trail() {
        let tool = Tool::new();
        let (head, public_key) = write(&tool, true);
        tool.write("audit.pub", format!("{public_key}\n"));
        assert_eq!(
            text(tool.works(["audit", "head", "audit"])),
            format!("{head}\n")
        );
        let out = tool.works(["audit", "head", "audit", "--json"]);
        assert_eq!(json_of(&out), json!({ "head": head }));

        let verify = ["audit", "verify", "audit"];
        let out = text(tool.works(verify));
        assert!(out.contains("9 events"), "{out}");
        assert!(out.contains(&format!("head: {head}\n")), "{out}");
        let unknown = format!("signed with, if that is the right key (--public-key): {public_key}");
        assert!(out.contains(&unknown), "{out}");
        for key in [public_key.as_str(), "audit.pub"] {
            let more = ["--head", &head, "--public-key", key];
            let out = text(tool.works([&verify[..], &more].concat()));
            assert!(out.contains(&format!("signed with: {public_key}")), "{out}");
            assert!(!out.contains("unanchored"), "{out}");
        }
        let out = json_of(&tool.works([&verify[..], &["--json"]].concat()));
        let files = tool
            .names()
            .iter()
            .filter(|name| name.starts_with("audit"))
            .count();
        assert_eq!(out["sound"], true);
        assert_eq!((&out["events"], &out["first"]), (&json!(9), &json!(1)));
        assert_eq!(out["files"], files - 2, "{:?}", tool.names());
        assert_eq!(out["head"], head);
        assert_eq!(out["unanchored"], 0);
        assert_eq!(out["public_keys"], json!([public_key]));
        assert_eq!(
            (&out["findings"], &out["notices"]),
            (&json!([]), &json!([]))
        );

        // The files one by one; and the last of them alone.
        let by_name = ["audit", "verify", "audit.000001", "audit", "--partial"];
        tool.run(by_name);
        let last = ["audit", "verify", "audit", "audit.000001"];
        assert_eq!(tool.run(last).code, Some(1));
        std::fs::remove_file(tool.path("audit.000001")).unwrap();
        let run = tool.run(verify);
        run.failed_with(&["line 1: lines are missing before this one: 1 to "]);
        let part = tool.works([&verify[..], &["--partial", "--head", &head]].concat());
        assert!(text(part).contains("head: "));
    }

    impl crate::tool::Run {
        /// Exit code 1, and these words in several lines.
        fn failed_with(&self, words: &[&str]) {
            assert_eq!(self.code, Some(1), "{}", self.stderr);
            for word in words {
                assert!(
                    self.stderr.contains(word),
                    "no {word:?} in: {}",
                    self.stderr
                );
            }
            assert!(
                self.stderr
                    .lines()
                    .all(|line| line.starts_with("waxseal: "))
            );
        }
    }

    #[test]
    fn a_trail_that_was_not_closed() {
        let tool = Tool::new();
        let (head, _) = write(&tool, false);
        let out = text(tool.works(["audit", "verify", "audit"]));
        assert!(
            out.contains("unanchored: nothing vouches for the last "),
            "{out}"
        );
        let out = text(tool.works(["audit", "verify", "audit", "--head", &head]));
        assert!(!out.contains("unanchored"), "{out}");
        // Torn, and gone on with.
        let mut bytes = tool.read("audit");
        bytes.truncate(bytes.len() - 10);
        tool.write("audit", bytes);
        tool.fails(["audit", "head", "audit"], 1, &["ends within a line"]);
        let run = tool.run(["audit", "verify", "audit"]);
        run.failed_with(&["the line has no end", "the trail is not sound: 1 findings"]);
        AuditFile::builder(tool.path("audit"), key())
            .open()
            .unwrap();
        let out = text(tool.works(["audit", "verify", "audit"]));
        assert!(out.contains("bytes without an end stood here"), "{out}");
        let out = json_of(&tool.works(["audit", "verify", "audit", "--json"]));
        assert_eq!(out["notices"][0]["notice"]["kind"], "torn");
    }

    #[test]
    fn what_is_wrong_and_where() {
        let tool = Tool::new();
        let (head, _) = write(&tool, true);
        let good = tool.read("audit.000001");
        let other = AuditKey::new(&SecretBytes::from(vec![8; 48]))
            .unwrap()
            .public_key();
        let other = other.to_string();
        let run = tool.run(["audit", "verify", "audit", "--public-key", &other]);
        run.failed_with(&["line 1: the checkpoint is signed with another key: "]);

        let mut changed = good.clone();
        let second = good.iter().position(|byte| *byte == b'\n').unwrap() + 200;
        changed[second] ^= 1;
        tool.write("audit.000001", &changed);
        let run = tool.run(["audit", "verify", "audit"]);
        run.failed_with(&["audit.000001, line 2: the line was changed"]);
        let run = tool.run(["audit", "verify", "audit", "--json"]);
        assert_eq!(run.code, Some(1));
        let out = json_of(&run.stdout);
        assert_eq!(
            (&out["sound"], &out["findings"][0]["line"]),
            (&json!(false), &json!(2))
        );

        tool.write("audit.000001", &good);
        tool.write("audit", b"");
        let run = tool.run(["audit", "verify", "audit", "--head", &head]);
        run.failed_with(&["the end was cut off"]);
        tool.write("audit", b"\x1b[2J\n");
        let run = tool.run(["audit", "verify", "audit"]);
        run.failed_with(&["audit, line 1: this is no line of a trail"]);
        assert!(!run.stderr.contains('\x1b'));
    }

    #[test]
    fn what_cannot_be_asked() {
        let tool = Tool::new();
        tool.fails(["audit", "head", "none"], 3, &["'none'"]);
        tool.fails(["audit", "verify", "none"], 3, &["'none'"]);
        tool.write("audit", b"");
        tool.fails(["audit", "head", "audit"], 1, &["has no line yet"]);
        let verify = ["audit", "verify", "audit"];
        for key in ["none", "audit"] {
            let code = if key == "none" { 3 } else { 2 };
            let args = [&verify[..], &["--public-key", key]].concat();
            tool.fails(args, code, &["cannot read the public key from"]);
        }
        let run = tool.run([&verify[..], &["--head", "1:00"]].concat());
        assert_eq!(run.code, Some(2));
        assert!(run.stderr.contains("a head is SEQ:HASH"), "{}", run.stderr);
        let run = tool.run(verify);
        run.failed_with(&["there is no line"]);
    }
}
