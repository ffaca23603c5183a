//! The file tool with keys of AWS KMS.

use std::path::Path;
use std::process::{Command, Output};

use waxseal_interop_aws_kms::{Double, Fault, Proxy, arn};

struct Tool<'a> {
    folder: &'a Path,
    endpoint: String,
}

impl Tool<'_> {
    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_waxseal"))
            .args(arguments)
            .args(["--endpoint", &self.endpoint])
            .current_dir(self.folder)
            .env_clear()
            .env("HOME", self.folder)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .output()
            .unwrap()
    }

    fn works(&self, arguments: &[&str]) {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }

    fn fails(&self, arguments: &[&str], code: i32, words: &[&str]) {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{arguments:?}: no {word:?}: {said}");
        }
    }
}

#[test]
fn encrypts_and_decrypts() {
    let folder = tempfile::tempdir().unwrap();
    let double = Double::start();
    let proxy = Proxy::before(&double.endpoint());
    let tool = Tool {
        folder: folder.path(),
        endpoint: proxy.endpoint(),
    };
    std::fs::write(folder.path().join("in"), "text").unwrap();
    let key = |id: &str| format!("aws-kms:{}", arn(id));
    let alias = "aws-kms:alias/one";

    // Two keys: each opens it.
    tool.works(&["encrypt", "in", "--key", &key("one"), "--key", &key("two")]);
    for key in [key("one"), key("two")] {
        tool.works(&["decrypt", "in.waxseal", "-o", "out", "--key", &key]);
        let out = std::fs::read(folder.path().join("out")).unwrap();
        assert_eq!(out, b"text");
    }
    let decrypt = |key: &str| {
        let words = ["decrypt", "in.waxseal", "-o", "out2", "--key", key];
        words.map(str::to_owned)
    };
    let fails = |key: &str, code: i32, words: &[&str]| {
        let arguments = decrypt(key);
        let arguments: Vec<_> = arguments.iter().map(|word| &**word).collect();
        tool.fails(&arguments, code, words);
    };
    fails(&key("three"), 1, &["no key that", "inspect"]);
    fails(alias, 1, &["no key that"]);
    fails("aws-kms:arn:aws:s3:a:b:key/c", 2, &["no ARN, id or alias"]);
    fails("aws-kms:", 2, &["KEY is missing"]);
    proxy.set(Fault::Answer {
        status: 400,
        headers: vec![("x-amzn-requestid", "request-7")],
        body: r#"{"__type":"AccessDeniedException","message":"not you"}"#,
    });
    fails(&key("one"), 1, &["access denied", "not you", "request-7"]);
    proxy.set(Fault::Answer {
        status: 503,
        headers: Vec::new(),
        body: "",
    });
    fails(&key("one"), 3, &["unavailable", "after 4 attempts"]);
    proxy.set(Fault::None);

    // An alias is in the environment's Region, and an ARN in its own.
    tool.works(&["encrypt", "in", "-o", "abroad", "--key", alias]);
    let abroad = key("one").replace("us-east-1", "eu-west-1");
    tool.works(&["decrypt", "abroad", "-o", "out3", "--key", &abroad]);
}
