//! What it prints, and where it reads from.

use crate::tool::{failed, feed, run, start, works};

#[test]
fn output() {
    let trace = [
        r#"{"t": 12.5, "op": "encrypt", "client": "a", "partition": "p", "context": {"tenant": "7"}, "suite": "0x0478", "bytes": 4096}"#,
        r#"{"t": 13.0, "op": "decrypt", "of": 0}"#,
        r#"{"t": 13.0, "op": "decrypt", "of": 0}"#,
        r#"{"t": 14, "op": "encrypt", "partition": "p", "context": {"tenant": "7"}, "bytes": null}"#,
        r#"{"t": 15, "op": "decrypt", "client": "b", "partition": "q", "of": 0}"#,
    ];
    let expected = r#"{"i": 0, "outcome": "miss", "provider_calls": 1}
{"i": 1, "outcome": "miss", "provider_calls": 1}
{"i": 2, "outcome": "hit", "provider_calls": 0}
{"i": 3, "outcome": "bypass", "provider_calls": 1}
{"i": 4, "outcome": "miss", "provider_calls": 1}
{"totals": {"hit": 1, "miss": 3, "bypass": 1, "coalesced": 0, "refresh": 0, "provider_calls": 4}}
"#;
    let args = ["--capacity", "10", "--max-age", "10", "--json"];
    assert_eq!(works(&args, &trace.join("\n")), expected);
    // With and without what is usual around lines.
    let spaced = format!("\n  {}\r\n\n\n", trace.join("\r\n \n"));
    assert_eq!(works(&args, &spaced), expected);
    assert_eq!(
        works(&args, ""),
        r#"{"totals": {"hit": 0, "miss": 0, "bypass": 0, "coalesced": 0, "refresh": 0, "provider_calls": 0}}
"#
    );
}

#[test]
fn report() {
    let trace = [
        r#"{"t": 10, "op": "encrypt", "context": {"k": "a"}, "bytes": 1}"#,
        r#"{"t": 10.005, "op": "encrypt", "context": {"k": "a"}, "bytes": 1}"#,
        r#"{"t": 11, "op": "encrypt", "context": {"k": "a"}, "bytes": 1}"#,
        r#"{"t": 12, "op": "encrypt", "context": {"k": "b"}, "bytes": 1}"#,
        r#"{"t": 13, "op": "encrypt", "context": {"k": "b"}, "bytes": null}"#,
        r#"{"t": 17.5, "op": "encrypt", "context": {"k": "b"}, "bytes": 1}"#,
        r#"{"t": 29, "op": "encrypt", "context": {"k": "a"}, "bytes": 1}"#,
        r#"{"t": 60, "op": "encrypt", "bytes": null}"#,
    ];
    let args =
        "--capacity 1 --max-age 10 --refresh-after 0.5 --provider-latency 20 --price 0.000003";
    let args: Vec<_> = args.split(' ').collect();
    let expected = "\
requests                   8  in 50 s
  hit                      1   12.5 %
  miss                     3   37.5 %
  bypass                   2   25.0 %
  coalesced                1   12.5 %
  refresh                  1   12.5 %
provider calls             6   25.0 % saved
evictions                  4
  expired                  2
  exhausted                0
  replaced                 1
  capacity                 1
entries left               0
latency in ms
  mean                16.875
  p50                 20.000
  p99                 20.000
  max                 20.000
cost                0.000018
  without cache     0.000024
";
    assert_eq!(works(&args, &trace.join("\n")), expected);
    let empty = works(&["--capacity", "1", "--max-age", "10", "--price", "1"], "");
    assert!(
        empty.contains("requests                   0  in 0 s"),
        "{empty}"
    );
    assert!(empty.contains("  mean                 0.000"), "{empty}");
    assert!(empty.contains("cost                    0.00\n"), "{empty}");
}

#[test]
fn a_file_and_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.jsonl");
    let trace = format!("{{{LINE}}}\n{{{LINE}}}\n");
    std::fs::write(&path, &trace).unwrap();
    let path = path.to_str().unwrap();
    let limits = ["--capacity", "1", "--max-age", "1", "--json"];
    let piped = works(&limits, &trace);
    assert!(piped.contains(r#""hit": 1, "miss": 1"#), "{piped}");
    assert_eq!(works(&[&["-"], &limits[..]].concat(), &trace), piped);
    assert_eq!(works(&[&[path], &limits[..]].concat(), ""), piped);
    let bad = format!("{trace}{{");
    std::fs::write(path, bad).unwrap();
    let output = run(&[&[path], &limits[..]].concat(), b"");
    failed(&output, 2, &["trace.jsonl: line 3: "]);
}

#[test]
fn whoever_reads_may_stop() {
    let mut child = start(&["--capacity", "1", "--max-age", "1", "--json"]);
    drop(child.stdout.take());
    let output = feed(child, format!("{{{LINE}}}\n").repeat(10_000).as_bytes());
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

const LINE: &str = r#""t": 0, "op": "encrypt", "context": {"k": "a"}, "bytes": 1"#;
