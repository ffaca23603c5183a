//! `--threads`.

use crate::tool::{Tool, sample, with_key};

#[test]
fn any_number_makes_and_reads_messages() {
    let tool = Tool::with_key();
    let text = sample(3_000_000);
    tool.write("in", &text);
    for suite in ["0x0478", "0x0578"] {
        for threads in ["0", "1", "2", "100"] {
            let args = [
                "encrypt",
                "in",
                "-o",
                "message",
                "--suite",
                suite,
                "--threads",
                threads,
            ];
            tool.works(with_key(&args));
            let args = ["decrypt", "message", "-o", "-", "--threads", "2"];
            assert!(tool.works(with_key(&args)) == text, "{suite}, {threads}");
            let args = ["decrypt", "message", "-o", "-"];
            assert!(tool.works(with_key(&args)) == text, "{suite}, {threads}");
        }
    }
}

#[test]
fn what_is_no_number() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    for threads in ["-1", "two", ""] {
        let threads = format!("--threads={threads}");
        let run = tool.run(with_key(&["encrypt", "in", "-o", "out", &threads]));
        assert_eq!(run.code, Some(2));
        assert!(run.stderr.contains("--threads"), "{}", run.stderr);
    }
    assert_eq!(tool.names(), ["in", "k"]);
}
