//! `--backend`.

use waxseal::CryptoBackend;

use crate::tool::{Tool, sample, with_key};

fn names() -> Vec<&'static str> {
    let available = CryptoBackend::available();
    available.iter().map(CryptoBackend::name).collect()
}

#[test]
fn what_one_encrypts_each_decrypts() {
    let tool = Tool::with_key();
    let text = sample(70_000);
    tool.write("in", &text);
    let suites = ["0x0478", "0x0578"];
    for (encrypting, suite) in names().into_iter().zip(suites.iter().cycle()) {
        tool.works(with_key(&[
            "encrypt",
            "in",
            "-o",
            "message",
            "--suite",
            suite,
            "--backend",
            encrypting,
        ]));
        for decrypting in names() {
            let args = ["decrypt", "message", "-o", "-", "--backend", decrypting];
            assert!(tool.works(with_key(&args)) == text, "{decrypting}");
        }
        assert!(tool.works(with_key(&["decrypt", "message", "-o", "-"])) == text);
    }
}

#[test]
fn unknown_ones() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    for command in ["encrypt", "decrypt"] {
        for unknown in ["openssl", "Ring", "rust_crypto"] {
            let args = [command, "in", "-o", "out", "--backend", unknown];
            let run = tool.run(with_key(&args));
            assert_eq!(run.code, Some(2), "{args:?}");
            for name in names() {
                assert!(run.stderr.contains(name), "{}", run.stderr);
            }
        }
        let help = String::from_utf8(tool.works([command, "--help"])).unwrap();
        for name in names() {
            assert!(help.contains(&format!("- {name}:")), "{help}");
        }
    }
    assert_eq!(tool.names(), ["in", "k"]);
}
