//! Small traces whose answers are worked out by hand, for each rule.

use crate::tool::works;

const A: &str = r#""t": 0, "op": "encrypt", "context": {"k": "a"}, "bytes": 1"#;
const B: &str = r#""t": 0, "op": "encrypt", "context": {"k": "b"}, "bytes": 1"#;
const C: &str = r#""t": 0, "op": "encrypt", "context": {"k": "c"}, "bytes": 1"#;

#[test]
fn the_least_recently_used_goes() {
    check(
        "--capacity 2 --max-age 100",
        &[
            (A, "miss"),
            (B, "miss"),
            (A, "hit"),
            (C, "miss"), // B goes
            (A, "hit"),
            (B, "miss"), // C goes
            (A, "hit"),
            (C, "miss"), // B goes
            (A, "hit"),
        ],
    );
}

#[test]
fn expired_ones_go_first() {
    // When C comes, B has just expired and A has not, though A was used longer
    // ago.
    check(
        "--capacity 2 --max-age 9",
        &[
            (
                r#""t": 0, "op": "encrypt", "context": {"k": "b"}, "bytes": 1"#,
                "miss",
            ),
            (
                r#""t": 2, "op": "encrypt", "context": {"k": "a"}, "bytes": 1"#,
                "miss",
            ),
            (
                r#""t": 8, "op": "encrypt", "context": {"k": "b"}, "bytes": 1"#,
                "hit",
            ),
            (
                r#""t": 9, "op": "encrypt", "context": {"k": "c"}, "bytes": 1"#,
                "miss",
            ),
            (
                r#""t": 9, "op": "encrypt", "context": {"k": "a"}, "bytes": 1"#,
                "hit",
            ),
        ],
    );
}

/// Also where the new data key is used up by the message that needed it.
#[test]
fn a_data_key_that_cannot_take_a_message_is_replaced() {
    let of = |bytes: u32| format!(r#""t": 0, "op": "encrypt", "bytes": {bytes}"#);
    check(
        "--capacity 2 --max-age 9 --max-bytes 100",
        &[
            (&of(90), "miss"),
            (&of(100), "miss"),
            (&of(5), "miss"),
            (&of(5), "hit"),
        ],
    );
}

#[test]
fn an_age_of_max_age_is_too_old_and_use_does_not_extend_it() {
    let at = |t: &str| format!(r#""t": {t}, "op": "encrypt", "bytes": 1"#);
    let case = |max_age: &str, times: &[(&str, &'static str)]| {
        let lines: Vec<_> = times.iter().map(|(t, outcome)| (at(t), *outcome)).collect();
        check(&format!("--capacity 9 --max-age {max_age}"), &lines);
    };
    case(
        "10",
        &[
            ("0", "miss"),
            ("9", "hit"),
            ("9.999999999", "hit"),
            ("10", "miss"),
            ("19.999999999", "hit"),
            ("2e1", "miss"),
        ],
    );
    case(
        "0.5",
        &[("0.25", "miss"), ("0.749", "hit"), ("0.75", "miss")],
    );
    // More digits than a float holds.
    case(
        "10",
        &[
            ("1700000000.000000001", "miss"),
            ("1700000010.000000000", "hit"),
            ("1700000010.000000001", "miss"),
        ],
    );
    case(
        "1e-9",
        &[("0", "miss"), ("4e-10", "hit"), ("5.0E-10", "miss")],
    );
    case(
        "1000000000000",
        &[("0", "miss"), ("18446744073709551615", "miss")],
    );
}

#[test]
fn messages_are_counted() {
    check(
        "--capacity 9 --max-age 100 --max-messages 2",
        &[
            (A, "miss"),
            (A, "hit"),
            (A, "miss"),
            (B, "miss"),
            (A, "hit"),
            (A, "miss"),
        ],
    );
    check(
        "--capacity 9 --max-age 100 --max-messages 1",
        &[(A, "miss"), (A, "miss")],
    );
}

#[test]
fn bytes_are_counted() {
    let bytes = |bytes: u64| format!(r#""t": 0, "op": "encrypt", "bytes": {bytes}"#);
    let case = |args: &str, lines: &[(u64, &'static str)]| {
        let lines: Vec<_> = lines
            .iter()
            .map(|(n, outcome)| (bytes(*n), *outcome))
            .collect();
        check(&format!("--capacity 9 --max-age 100 {args}"), &lines);
    };
    case(
        "--max-bytes 100",
        &[
            (60, "miss"),
            (40, "hit"),
            (1, "miss"),
            (99, "hit"),
            (0, "hit"),
            (1, "miss"),
        ],
    );
    case(
        "",
        &[
            (i64::MAX as u64, "miss"),
            (0, "hit"),
            (1, "miss"),
            (i64::MAX as u64 - 1, "hit"),
        ],
    );
}

#[test]
fn bypasses_leave_the_entry_alone() {
    let bytes = |bytes: &str| format!(r#""t": 0, "op": "encrypt", "bytes": {bytes}"#);
    let of = |of: usize| format!(r#""t": 0, "op": "decrypt", "of": {of}"#);
    check(
        "--capacity 9 --max-age 100 --max-bytes 100 --max-messages 3",
        &[
            (bytes("50"), "miss"),
            (bytes("null"), "bypass"),
            (bytes("101"), "bypass"),
            (r#""t": 0, "op": "encrypt""#.to_owned(), "bypass"),
            (bytes("50"), "hit"),
            // Their messages are decrypted through the cache all the same.
            (of(1), "miss"),
            (of(1), "hit"),
            (of(2), "miss"),
            (bytes("0"), "hit"),
            (bytes("0"), "miss"),
        ],
    );
    for suite in ["0x0014", "0x0046", "0x0078"] {
        let encrypt = format!(r#""t": 0, "op": "encrypt", "suite": "{suite}", "bytes": 1"#);
        check(
            "--capacity 1 --max-age 100",
            &[
                (A.to_owned(), "miss"),
                (encrypt.clone(), "bypass"),
                (encrypt, "bypass"),
                (of(1), "bypass"),
                (of(1), "bypass"),
                (A.to_owned(), "hit"),
            ],
        );
    }
}

#[test]
fn a_suite_named_is_not_the_default() {
    let named = |suite: &str| format!(r#""t": 0, "op": "encrypt", "suite": {suite}, "bytes": 1"#);
    let mut lines = vec![
        (named("null"), "miss"),
        (named(r#""0x0478""#), "miss"),
        (r#""t": 0, "op": "encrypt", "bytes": 1"#.to_owned(), "hit"),
        (named(r#""0x0478""#), "hit"),
    ];
    for suite in [
        "0x0114", "0x0146", "0x0178", "0x0214", "0x0346", "0x0378", "0x0578",
    ] {
        let line = named(&format!("\"{suite}\""));
        let of = format!(r#""t": 0, "op": "decrypt", "of": {}"#, lines.len());
        let four = [
            (line.clone(), "miss"),
            (line, "hit"),
            (of.clone(), "miss"),
            (of, "hit"),
        ];
        lines.extend(four);
    }
    check("--capacity 99 --max-age 100", &lines);
}

#[test]
fn partitions_share_nothing() {
    let line = |rest: &str| format!(r#""t": 0, "op": "encrypt", "bytes": 1{rest}"#);
    check(
        "--capacity 9 --max-age 100",
        &[
            (line(""), "miss"),
            (line(r#", "partition": "p""#), "miss"),
            (line(r#", "partition": "q""#), "miss"),
            (line(r#", "partition": """#), "miss"),
            (line(r#", "partition": "common""#), "miss"),
            (line(r#", "partition": null, "client": "a""#), "hit"),
            (line(r#", "partition": "p", "client": "a""#), "hit"),
            (line(r#", "client": "b", "partition": "p""#), "hit"),
        ],
    );
}

#[test]
fn contexts_differ_by_pairs_not_by_order() {
    let line =
        |context: &str| format!(r#""t": 0, "op": "encrypt", "bytes": 1, "context": {context}"#);
    check(
        "--capacity 9 --max-age 100",
        &[
            (line(r#"{"a": "1", "b": "2"}"#), "miss"),
            (line(r#"{"b":"2","a":"\u0031"}"#), "hit"),
            (line(r#"{"a": "2", "b": "1"}"#), "miss"),
            (line("{}"), "miss"),
            (line("null"), "hit"),
        ],
    );
}

#[test]
fn decryptions_share_the_capacity() {
    let of = r#""t": 0, "op": "decrypt", "of": 0"#;
    check(
        "--capacity 2 --max-age 100",
        &[
            (A, "miss"),
            (of, "miss"),
            (B, "miss"), // A's encryption goes
            (of, "hit"),
            (A, "miss"), // B goes
            (B, "miss"), // A's decryption goes
            (of, "miss"),
        ],
    );
}

#[test]
fn decryptions_are_found_by_data_key() {
    let of = |rest: &str| format!(r#""t": 0, "op": "decrypt", "of": {rest}"#);
    let in_p = r#""t": 0, "op": "encrypt", "partition": "p", "bytes": 1"#;
    check(
        "--capacity 9 --max-age 100 --max-messages 2 --max-bytes 2",
        &[
            (A.to_owned(), "miss"),
            (A.to_owned(), "hit"),
            (of("0"), "miss"),
            (of("1"), "hit"),
            (of("0"), "hit"), // as often as one likes
            (of(r#"1, "client": "z""#), "hit"),
            (of(r#"1, "partition": "q""#), "miss"),
            (of(r#"0, "client": "z", "partition": "q""#), "hit"),
            (in_p.to_owned(), "miss"),
            (of("8"), "miss"),
            (of(r#"8, "partition": "p""#), "hit"),
            (of(r#"8, "partition": "q""#), "miss"),
        ],
    );
}

#[test]
fn refresh_by_age() {
    let at = |t: f64| format!(r#""t": {t}, "op": "encrypt", "bytes": 1"#);
    check(
        "--capacity 9 --max-age 10 --refresh-after 0.5",
        &[
            (at(0.0), "miss"),
            (r#""t": 0, "op": "decrypt", "of": 0"#.to_owned(), "miss"),
            (at(4.999), "hit"),
            (at(5.0), "refresh"),
            (r#""t": 5, "op": "decrypt", "of": 0"#.to_owned(), "refresh"),
            (at(9.999), "hit"),
            (at(10.0), "refresh"),
            (at(20.0), "miss"),
        ],
    );
}

#[test]
fn refresh_by_messages() {
    check(
        "--capacity 9 --max-age 100 --max-messages 4 --refresh-after 0.5",
        &[
            (A, "miss"),
            (A, "hit"),
            (A, "refresh"),
            (A, "hit"),
            (A, "refresh"),
        ],
    );
}

#[test]
fn a_call_under_way_serves_all_who_come() {
    let line = |t: &str, k: &str| {
        format!(r#""t": {t}, "op": "encrypt", "context": {{"k": "{k}"}}, "bytes": 1"#)
    };
    check(
        "--capacity 9 --max-age 10 --provider-latency 1000",
        &[
            (line("0", "a"), "miss"),
            (line("0", "a"), "coalesced"),
            (line("0.5", "a"), "coalesced"),
            (line("0.5", "b"), "miss"),
            (line("1", "a"), "hit"), // ended by then
            (line("1.499999999", "b"), "coalesced"),
            (line("1.5", "b"), "hit"),
            // Its age counts from when it was cached, at 1.
            (line("10.999", "a"), "hit"),
            (line("11", "a"), "miss"),
        ],
    );
    check(
        "--capacity 9 --max-age 10 --provider-latency 0.000001",
        &[
            (line("0", "a"), "miss"),
            (line("0", "a"), "coalesced"),
            (line("1e-9", "a"), "hit"),
        ],
    );
}

#[test]
fn a_call_serves_no_more_than_its_data_key_may() {
    check(
        "--capacity 9 --max-age 10 --max-messages 2 --provider-latency 500",
        &[
            (A, "miss"),
            (A, "coalesced"),
            (A, "miss"),
            (A, "coalesced"),
            (A, "miss"),
            // The third one's has one left.
            (
                r#""t": 2, "op": "encrypt", "context": {"k": "a"}, "bytes": 1"#,
                "hit",
            ),
            (
                r#""t": 2, "op": "encrypt", "context": {"k": "a"}, "bytes": 1"#,
                "miss",
            ),
        ],
    );
}

#[test]
fn the_old_data_key_serves_during_a_refresh() {
    let at = |t: f64| format!(r#""t": {t}, "op": "encrypt", "bytes": 1"#);
    check(
        "--capacity 9 --max-age 10 --refresh-after 0.5 --provider-latency 1000",
        &[
            (at(0.0), "miss"),
            (at(6.0), "refresh"),
            (at(6.5), "hit"),
            (at(7.0), "hit"), // the new one
            (at(11.999), "hit"),
            (at(12.0), "refresh"),
        ],
    );
    // It expires at 16, before the refresh has ended at 17.
    check(
        "--capacity 9 --max-age 10 --refresh-after 0.5 --provider-latency 6e3",
        &[
            (at(0.0), "miss"),
            (at(11.0), "refresh"),
            (at(15.999), "hit"),
            (at(16.0), "coalesced"),
            (at(17.0), "hit"),
        ],
    );
}

#[test]
fn no_capacity_caches_nothing() {
    check(
        "--capacity 0 --max-age 10",
        &[
            (A, "miss"),
            (A, "miss"),
            (r#""t": 0, "op": "decrypt", "of": 0"#, "miss"),
        ],
    );
    check(
        "--capacity 0 --max-age 10 --provider-latency 1",
        &[
            (A, "miss"),
            (A, "coalesced"),
            (
                r#""t": 1, "op": "encrypt", "context": {"k": "a"}, "bytes": 1"#,
                "miss",
            ),
        ],
    );
}

#[test]
fn a_decryption_waits_for_its_message() {
    let of = |t: f64, of: usize| format!(r#""t": {t}, "op": "decrypt", "of": {of}"#);
    check(
        "--capacity 9 --max-age 10 --provider-latency 1000",
        &[
            (A.to_owned(), "miss"),
            (of(0.5, 0), "miss"), // from 1 to 2
            (of(0.6, 0), "coalesced"),
            (of(1.0, 0), "coalesced"),
            (of(1.9, 0), "coalesced"),
            (of(2.0, 0), "hit"),
        ],
    );
    // At 1 both begin, in the order of their lines; so the one of line 3 is
    // cached last.
    check(
        "--capacity 1 --max-age 10 --provider-latency 1000",
        &[
            (A.to_owned(), "miss"),
            (B.to_owned(), "miss"),
            (of(0.0, 1), "miss"),
            (of(0.0, 0), "miss"),
            (of(2.0, 0), "hit"),
            (of(2.0, 1), "miss"),
        ],
    );
}

/// Replays these lines (without their braces), and compares their outcomes.
#[track_caller]
fn check(args: &str, lines: &[(impl AsRef<str>, &str)]) {
    let trace: String = lines
        .iter()
        .map(|(line, _)| format!("{{{}}}\n", line.as_ref()))
        .collect();
    let mut expected = String::new();
    for (i, (_, outcome)) in lines.iter().enumerate() {
        let calls = calls(outcome);
        expected +=
            &format!("{{\"i\": {i}, \"outcome\": \"{outcome}\", \"provider_calls\": {calls}}}\n");
    }
    expected += "{\"totals\": {";
    for name in ["hit", "miss", "bypass", "coalesced", "refresh"] {
        let count = lines.iter().filter(|(_, outcome)| *outcome == name).count();
        expected += &format!("\"{name}\": {count}, ");
    }
    let calls: u32 = lines.iter().map(|(_, outcome)| calls(outcome)).sum();
    expected += &format!("\"provider_calls\": {calls}}}}}\n");
    let args: Vec<_> = args.split_whitespace().chain(["--json"]).collect();
    assert_eq!(works(&args, &trace), expected, "{args:?}\n{trace}");
}

fn calls(outcome: &str) -> u32 {
    match outcome {
        "hit" | "coalesced" => 0,
        "miss" | "bypass" | "refresh" => 1,
        _ => panic!("no outcome: {outcome}"),
    }
}
