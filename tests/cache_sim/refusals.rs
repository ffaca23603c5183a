//! Bad traces and bad arguments.

use crate::tool::{failed, run};

#[test]
fn bad_traces() {
    let fails = |trace: &str, words: &[&str]| {
        for json in [&["--json"][..], &[]] {
            let args = [&["--capacity", "1", "--max-age", "10"], json].concat();
            failed(&run(&args, trace.as_bytes()), 2, words);
        }
    };
    let good = r#"{"t": 5, "op": "encrypt", "bytes": 1}"#;
    let last = r#"{"t": 7, "op": "encrypt", "bytes": 1}"#;
    let after = |bad: &str, words: &[&str]| {
        let words = [&["standard input: line 2: "], words].concat();
        fails(&format!("{good}\n{bad}\n{last}"), &words);
    };
    fails("\n \n{\n", &["line 3: not a JSON object"]);
    after("nonsense", &["not a JSON object", "at column 2"]);
    after("[]", &["not a JSON object"]);
    after(r#"{"t": 6, "op": "encrypt"} {}"#, &["not a JSON object"]);
    after(r#"{"op": "encrypt"}"#, &["\"t\" is missing"]);
    after(r#"{"t": null, "op": "encrypt"}"#, &["\"t\" is missing"]);
    for t in ["\"6\"", "true", "{}"] {
        let line = format!(r#"{{"t": {t}, "op": "encrypt"}}"#);
        after(&line, &["\"t\" is not a number"]);
    }
    after(r#"{"t": -1, "op": "encrypt"}"#, &["\"t\" is below 0"]);
    for t in ["18446744073709551616", "1e20", "1e99999999999999999999"] {
        let line = format!(r#"{{"t": {t}, "op": "encrypt"}}"#);
        after(&line, &["\"t\" is more than"]);
    }
    after(
        r#"{"t": 4.999999999, "op": "encrypt"}"#,
        &["\"t\" goes back", "line 1"],
    );
    after(r#"{"t": 6}"#, &["\"op\" is missing"]);
    after(
        r#"{"t": 6, "op": "seal"}"#,
        &["neither \"encrypt\" nor \"decrypt\""],
    );
    after(r#"{"t": 6, "op": 7}"#, &["\"op\" is not a string"]);
    after(r#"{"t": 6, "op": "decrypt"}"#, &["\"of\" is missing"]);
    for of in ["1", "2", "18446744073709551615"] {
        let line = format!(r#"{{"t": 6, "op": "decrypt", "of": {of}}}"#);
        after(&line, &["\"of\" names line", of, "not before"]);
    }
    for of in ["-1", "0.0", "\"0\"", "18446744073709551616"] {
        let line = format!(r#"{{"t": 6, "op": "decrypt", "of": {of}}}"#);
        after(&line, &["\"of\" is not a whole number"]);
    }
    let decrypt = r#"{"t": 6, "op": "decrypt", "of": 0}"#;
    let decrypt_again = r#"{"t": 6, "op": "decrypt", "of": 1}"#;
    fails(
        &format!("{good}\n{decrypt}\n{decrypt_again}"),
        &["line 3: ", "encrypts nothing"],
    );
    for bytes in ["-1", "1.5", "\"1\"", "18446744073709551616"] {
        let line = format!(r#"{{"t": 6, "op": "encrypt", "bytes": {bytes}}}"#);
        after(&line, &["\"bytes\" is not a whole number"]);
    }
    after(
        r#"{"t": 6, "op": "encrypt", "bytes": 9223372036854775808}"#,
        &["\"bytes\" is more than 9223372036854775807"],
    );
    after(
        r#"{"t": 6, "op": "encrypt", "suite": "0x9999"}"#,
        &["\"suite\"", "0x0478"],
    );
    after(
        r#"{"t": 6, "op": "encrypt", "suite": 1144}"#,
        &["\"suite\" is not a string"],
    );
    after(
        r#"{"t": 6, "op": "encrypt", "partition": 1}"#,
        &["\"partition\" is not a string"],
    );
    for context in ["[]", "\"k\"", r#"{"k": 1}"#, r#"{"k": null}"#] {
        let line = format!(r#"{{"t": 6, "op": "encrypt", "context": {context}}}"#);
        after(&line, &["\"context\" is not an object of strings"]);
    }
    after(
        r#"{"t": 6, "op": "encrypt", "context": {"aws-crypto-x": "1"}}"#,
        &["aws-crypto-"],
    );
    let long = "x".repeat(70_000);
    let line = format!(r#"{{"t": 6, "op": "encrypt", "bytes": 1, "context": {{"k": "{long}"}}}}"#);
    after(&line, &["context"]);
    // Hostile texts do not reach the terminal as they are.
    after(
        r#"{"t": 6, "op": "encrypt", "suite": "\u001b[31m"}"#,
        &["\\u{1b}[31m"],
    );

    let output = run(&["--capacity", "1", "--max-age", "1"], b"{\"\xff\": 1}");
    failed(&output, 2, &["line 1: not UTF-8"]);
}

#[test]
fn bad_arguments() {
    let cases = [
        ("--capacity 1", "--max-age"),
        ("--max-age 1", "--capacity"),
        ("--capacity -1 --max-age 1", "-1"),
        ("--capacity x --max-age 1", "--capacity"),
        ("--capacity 1 --max-age 0", "max_age must be above 0"),
        ("--capacity 1 --max-age=-1", "below 0"),
        ("--capacity 1 --max-age nan", "not a number"),
        ("--capacity 1 --max-age .", "not a number"),
        ("--capacity 1 --max-age 1e", "not a number"),
        ("--capacity 1 --max-age 1e99", "more than"),
        (
            "--capacity 1 --max-age 1 --max-messages 0",
            "max_messages must be",
        ),
        (
            "--capacity 1 --max-age 1 --max-messages 4294967297",
            "max_messages must be",
        ),
        (
            "--capacity 1 --max-age 1 --max-bytes 9223372036854775808",
            "max_bytes must be",
        ),
        (
            "--capacity 1 --max-age 1 --refresh-after 0",
            "refresh_after must be",
        ),
        (
            "--capacity 1 --max-age 1 --refresh-after 1",
            "refresh_after must be",
        ),
        (
            "--capacity 1 --max-age 1 --refresh-after nan",
            "refresh_after must be",
        ),
        (
            "--capacity 1 --max-age 1 --provider-latency fast",
            "not a number",
        ),
        ("--capacity 1 --max-age 1 --price=-1", "not a price"),
        ("--capacity 1 --max-age 1 --price inf", "not a price"),
        ("--capacity 1 --max-age 1 --price x", "not a number"),
        ("--capacity 1 --max-age 1 --nonsense", "--nonsense"),
    ];
    for (args, word) in cases {
        let args: Vec<_> = args.split(' ').collect();
        let output = run(&args, b"");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(word), "{args:?}: {stderr}");
        assert!(output.stdout.is_empty());
    }
    let output = run(
        &["not-there.jsonl", "--capacity", "1", "--max-age", "1"],
        b"",
    );
    failed(&output, 3, &["cannot read not-there.jsonl: "]);
}
