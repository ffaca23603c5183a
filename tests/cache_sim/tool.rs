//! Runs the simulator.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use crate::example::example;

#[track_caller]
pub(crate) fn works(args: &[&str], trace: &str) -> String {
    let output = run(args, trace.as_bytes());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert_eq!(stderr, "");
    String::from_utf8(output.stdout).unwrap()
}

/// It failed with this exit code, and one line that has all these words.
#[track_caller]
pub(crate) fn failed(output: &Output, code: i32, words: &[&str]) {
    let line = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{line}");
    assert!(output.stdout.is_empty(), "wrote to standard output");
    assert!(line.starts_with("cache_sim: "), "{line}");
    assert_eq!(
        line.find('\n'),
        Some(line.len() - 1),
        "not one line: {line}"
    );
    for word in words {
        assert!(line.contains(word), "no {word:?} in: {line}");
    }
}

pub(crate) fn run(args: &[&str], input: &[u8]) -> Output {
    feed(start(args), input)
}

pub(crate) fn start(args: &[&str]) -> Child {
    Command::new(binary())
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

pub(crate) fn feed(mut child: Child, input: &[u8]) -> Output {
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // It may stop reading before all has been written.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    })
}

fn binary() -> PathBuf {
    example("cache_sim").unwrap_or_else(|why| panic!("{why}"))
}
