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
        ("0..0", &[]),
        ("100000..100000", &[]),
        // What there is.
        ("99990..200000", &text[99_990..]),
        ("100000..", &[]),
        ("0..18446744073709551615", &text[..]),
    ] {
        let args = ["decrypt", "m.waxseal", "-o", "-", "--range", range];
        assert!(tool.works(with_key(&args)) == expected, "{range}");
    }
    let part = ["decrypt", "m.waxseal", "-o", "part", "--range", "5..9"];
    tool.works(with_key(&part));
    assert_eq!(tool.read("part"), text[5..9]);
    assert!(!tool.exists("m"));
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
        with_key(&["decrypt", "m.waxseal", "-o", "m", "--range", "8000..9000"]),
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
        let run = tool.run(with_key(&["decrypt", "m.waxseal", "-o", "m", &option]));
        assert_eq!(run.code, Some(2), "{range}: {}", run.stderr);
        assert!(!tool.exists("m"));
    }
    for behind in ["100001..", "9000000..9000000", "100001..100001"] {
        for out in ["m", "-"] {
            tool.fails(
                with_key(&["decrypt", "m.waxseal", "-o", out, "--range", behind]),
                2,
                &["m.waxseal", "100000 bytes"],
            );
            assert!(!tool.exists("m"));
        }
    }
}

/// A part does not take the place of the whole.
#[test]
fn an_output_must_be_named() {
    let tool = tool(&[]);
    tool.write("m", "the whole");
    tool.fails(
        with_key(&["decrypt", "m.waxseal", "--range", "5..9"]),
        2,
        &["--range", "-o"],
    );
    assert_eq!(tool.read("m"), b"the whole");
    let named = ["decrypt", "m.waxseal", "-o", "m", "--range", "5..9"];
    tool.works(with_key(&named));
    assert_eq!(tool.read("m"), sample(LENGTH)[5..9]);
}

#[test]
fn threads_are_not_in_its_way() {
    let tool = tool(&[]);
    let args = [
        "decrypt",
        "m.waxseal",
        "-o",
        "-",
        "--range",
        "50000..",
        "--threads",
        "2",
    ];
    assert!(tool.works(with_key(&args)) == sample(LENGTH)[50_000..]);
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
    let to_file = [
        "decrypt",
        "m.waxseal",
        "-o",
        "part",
        "--range",
        "50000..50010",
    ];
    tool.fails(with_key(&to_file), 1, &["--allow-unverified"]);
    assert!(!tool.exists("part"));
    let warning = "warning: the signature is not verified";
    for args in [args, to_file] {
        let args = [&args[..], &["--allow-unverified"]].concat();
        let run = tool.run(with_key(&args));
        assert!(run.stderr.contains(warning), "{}", run.stderr);
        assert_eq!(run.code, Some(0));
        let found = match args.contains(&"part") {
            true => tool.read("part"),
            false => run.stdout,
        };
        assert_eq!(found, sample(LENGTH)[50_000..50_010]);
    }
}

/// An unsigned message has no signature to warn of.
#[test]
fn nothing_is_said_of_unsigned_messages() {
    let tool = tool(&[]);
    let args = [
        "decrypt",
        "m.waxseal",
        "-o",
        "-",
        "--range",
        "5..9",
        "--allow-unverified",
    ];
    let run = tool.run(with_key(&args));
    assert!(!run.stderr.contains("signature"), "{}", run.stderr);
    assert_eq!(run.worked(), sample(LENGTH)[5..9]);
}
