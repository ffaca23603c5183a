//! `decrypt --range`: the bytes asked for, of what can be read in parts.

use crate::tool::{Tool, sample, with_key};

const LENGTH: usize = 100_000;

fn tool(encrypt: &[&str]) -> Tool {
    let tool = Tool::with_key();
    tool.write("m", sample(LENGTH));
    let args = [&["encrypt", "m"][..], encrypt].concat();
    tool.works(with_key(&args));
    std::fs::remove_file(tool.path("m")).unwrap();
    tool
}

#[test]
fn the_bytes_asked_for() {
    let tool = tool(&[]);
    let text = sample(LENGTH);
    for (range, expected) in [
        ("0..10", &text[..10]),
        ("..10", &text[..10]),
        ("4095..8193", &text[4095..8193]),
        ("99990..", &text[99_990..]),
        ("0..", &text[..]),
        ("..100000", &text[..]),
        ("500..500", &[]),
        // What there is.
        ("99990..200000", &text[99_990..]),
        ("100000..", &[]),
        ("0..18446744073709551615", &text[..]),
    ] {
        let args = ["decrypt", "m.waxseal", "-o", "-", "--range", range];
        assert!(tool.works(with_key(&args)) == expected, "{range}");
    }
    tool.works(with_key(&["decrypt", "m.waxseal", "--range", "5..9"]));
    assert_eq!(tool.read("m"), text[5..9]);
    // A redirected file is one.
    let file = std::fs::File::open(tool.path("m.waxseal")).unwrap();
    let mut command = tool.command(with_key(&["decrypt", "--range", "7..9"]));
    let output = command.stdin(file).output().unwrap();
    assert_eq!(tool.finish(output).worked(), text[7..9]);
}

#[test]
fn only_what_holds_them_is_read() {
    let tool = tool(&[]);
    let mut message = tool.read("m.waxseal");
    let header = message.len() - 100_000 - 24 * 32 - 40;
    // The third frame is damaged, and the end is missing.
    message[header + 2 * 4128 + 100] ^= 1;
    message.truncate(header + 10 * 4128 + 5);
    tool.write("m.waxseal", &message);
    let read = |range| with_key(&["decrypt", "m.waxseal", "-o", "-", "--range", range]);
    let text = sample(LENGTH);
    assert_eq!(tool.works(read("0..8192")), text[..8192]);
    assert_eq!(tool.works(read("12288..40960")), text[12_288..40_960]);
    tool.fails(
        read("8192..8193"),
        1,
        &["m.waxseal", "frame 3 is not authentic"],
    );
    tool.fails(read("40960.."), 1, &["m.waxseal", "ends early"]);
    tool.fails(
        with_key(&["decrypt", "m.waxseal", "--range", "8000..9000"]),
        1,
        &["frame 3 is not authentic"],
    );
    assert!(!tool.exists("m"));
}

#[test]
fn ranges_that_are_none() {
    let tool = tool(&[]);
    for range in [
        "", "..", "5", "9..5", "-1..5", "+1..5", "1..=5", "a..b", "1...5",
    ] {
        let option = format!("--range={range}");
        let run = tool.run(with_key(&["decrypt", "m.waxseal", &option]));
        assert_eq!(run.code, Some(2), "{range}: {}", run.stderr);
        assert!(!tool.exists("m"));
    }
    tool.fails(
        with_key(&["decrypt", "m.waxseal", "--range", "100001.."]),
        2,
        &["m.waxseal", "100000 bytes"],
    );
    assert!(!tool.exists("m"));
}

#[test]
fn a_pipe_is_refused() {
    let tool = tool(&[]);
    let message = tool.read("m.waxseal");
    tool.pipe(with_key(&["decrypt", "--range", "0..5"]), &message)
        .failed(2, &["--range", "standard input"]);
}

#[test]
fn signed_messages_need_a_word() {
    let tool = tool(&["--suite", "0x0578"]);
    let args = ["decrypt", "m.waxseal", "-o", "-", "--range", "50000..50010"];
    tool.fails(
        with_key(&args),
        1,
        &["cannot be verified", "--allow-unverified"],
    );
    let args = [&args[..], &["--allow-unverified"]].concat();
    assert_eq!(tool.works(with_key(&args)), sample(LENGTH)[50_000..50_010]);
}
