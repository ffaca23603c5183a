//! Live interoperability: other implementations of the format decrypt what
//! this library encrypts, and the other way round.
//!
//! `interop/setup.sh DIR` installs them, and `WAXSEAL_INTEROP=DIR` has them
//! run. Where it is not set nothing runs, aloud; where it is set, a peer that
//! does not start is a failure.

#[path = "interop/exchange.rs"]
mod exchange;
#[path = "interop/peer.rs"]
mod peer;
#[path = "interop/refusals.rs"]
mod refusals;

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use exchange::{Exchange, Key, Pairs};
use libtest_mimic::{Arguments, Failed, Trial};
use peer::{Kind, Peer, Pool};
use waxseal::{AlgorithmSuite, CommitmentPolicy};

const MIB: usize = 1 << 20;
const FRAME: usize = 4096;

const AES_128: Key = Key::new("ns", "k128", 16, 0x11);
const AES_192: Key = Key::new("ns", "k192", 24, 0x22);
/// Named by code points of two, three and four bytes.
const AES_256: Key = Key::new("nämespace 名", "κλειδί \u{1f511}", 32, 0x33);
const CHILD: Key = Key::new("other", "child", 32, 0x44);
const GRANDCHILD: Key = Key::new("other", "grandchild", 16, 0x55);

const KEYS: [(&str, Key); 3] = [
    ("aes-128", AES_128),
    ("aes-192", AES_192),
    ("aes-256", AES_256),
];

const LENGTHS: [(&str, usize); 6] = [
    ("empty", 0),
    ("1-byte", 1),
    ("one-frame", FRAME),
    ("one-frame-plus-one", FRAME + 1),
    ("two-frames", 2 * FRAME),
    ("three-frames-and-more", 3 * FRAME + 1234),
];

const CONTEXTS: [(&str, Pairs<'_>); 6] = [
    ("no-context", &[]),
    // A locale would sort these otherwise, and so would JavaScript's objects.
    (
        "ascii-context",
        &[("a", "2"), ("B", "1"), ("10", "x"), ("9", "y"), ("_", "z")],
    ),
    ("empty-value", &[("k", ""), ("l", "v")]),
    // A letter composed and decomposed, right-to-left, line ends, a NUL.
    (
        "non-ascii-context",
        &[
            ("\u{e9}", "ß"),
            ("e\u{301}", "ss"),
            ("ключ", "значение"),
            ("名前", "\u{2028}\r\n\u{0}"),
            ("שם", "\u{200f}א"),
        ],
    ),
    // UTF-16 sorts the surrogates of U+10000 and beyond before U+E000.
    (
        "utf16-order-context",
        &[
            ("\u{1f980}", "1"),
            ("\u{10ffff}", "2"),
            ("\u{e000}", "3"),
            ("\u{fffd}", "4"),
            ("\u{ffff}", "\u{10000}\u{ffff}"),
            ("k\u{10000}", "5"),
            ("k\u{ff61}", "6"),
        ],
    ),
    // One key is another's beginning.
    (
        "prefixes-context",
        &[
            ("", "0"),
            ("k", "1"),
            ("kk", ""),
            ("k\u{0}", "2"),
            ("k ", "k"),
            ("K", "3"),
        ],
    ),
];

/// The whole table.
fn table() -> Vec<Test> {
    let mut table = Vec::new();
    for kind in [Kind::Python, Kind::JavaScript] {
        for (index, suite) in AlgorithmSuite::ALL.into_iter().enumerate() {
            table.extend(keys_lengths_contexts(kind, suite, index));
            table.extend(five_mib(kind, suite, index));
            table.extend(frame_lengths(kind, suite));
            table.extend(several_keys(kind, suite));
            table.extend(longest_context(kind, suite));
            table.extend(refusals::keys_contexts_damage(kind, suite));
            table.extend(refusals::policies(kind, suite));
        }
        table.extend(default_suites(kind));
    }
    // What only the Python SDK has.
    for suite in AlgorithmSuite::ALL {
        table.extend(required_context_keys(suite));
        table.extend(refusals::required_context_keys(suite));
        table.extend(older_api(suite));
    }
    table
}

/// Each suite with each key and each length. The contexts go round, so that
/// each meets each suite, each key and each length.
fn keys_lengths_contexts(kind: Kind, suite: AlgorithmSuite, index: usize) -> Vec<Test> {
    let mut tests = Vec::new();
    for (k, (key_name, key)) in KEYS.into_iter().enumerate() {
        for (l, (length_name, length)) in LENGTHS.into_iter().enumerate() {
            let (context_name, context) = CONTEXTS[(index + k + l) % CONTEXTS.len()];
            let exchange = Exchange::new(suite, key).length(length).context(context);
            let what = format!("{key_name}::{length_name}::{context_name}");
            tests.extend(both_ways(kind, &what, exchange));
        }
    }
    tests
}

fn five_mib(kind: Kind, suite: AlgorithmSuite, index: usize) -> Vec<Test> {
    let chosen = match kind {
        Kind::Python => suite.derives_key(),
        Kind::JavaScript => suite.commits(),
    };
    if !chosen {
        return Vec::new();
    }
    let (key_name, key) = KEYS[index % KEYS.len()];
    let (context_name, context) = CONTEXTS[index % CONTEXTS.len()];
    let exchange = Exchange::new(suite, key).length(5 * MIB).context(context);
    let what = format!("{key_name}::5-mib::{context_name}");
    both_ways(kind, &what, exchange).into()
}

fn frame_lengths(kind: Kind, suite: AlgorithmSuite) -> Vec<Test> {
    let mut tests = Vec::new();
    for frame_length in [128, 4096, 65_536] {
        let exchange = Exchange::new(suite, AES_256)
            .frame_length(frame_length)
            .length(2 * frame_length as usize + 77);
        let what = format!("frame-length-{frame_length}");
        tests.extend(both_ways(kind, &what, exchange));
    }
    // Python writes only multiples of 128, and reads others.
    for frame_length in [1, 100, 4097] {
        let exchange = Exchange::new(suite, AES_256)
            .frame_length(frame_length)
            .length(3 * frame_length as usize);
        let what = format!("frame-length-{frame_length}");
        tests.push(we_encrypt(kind, &what, exchange));
    }
    tests
}

/// A generator and others that wrap: each alone opens the message, and several
/// in any order.
fn several_keys(kind: Kind, suite: AlgorithmSuite) -> Vec<Test> {
    let exchange = Exchange::new(suite, AES_256).context(&[("k", "v")]);
    let two = exchange.clone().keys(&[AES_256, CHILD]).readers(&[
        &[AES_256],
        &[CHILD],
        &[AES_256, CHILD],
    ]);
    let three = exchange.keys(&[AES_128, CHILD, GRANDCHILD]).readers(&[
        &[GRANDCHILD],
        &[AES_192, CHILD],
        &[GRANDCHILD, AES_128],
    ]);
    let mut tests = Vec::new();
    tests.extend(both_ways(kind, "generator-and-child", two));
    tests.extend(both_ways(kind, "generator-and-two-children", three));
    tests
}

/// 65,535 bytes, the most there can be; a public key would be too much.
fn longest_context(kind: Kind, suite: AlgorithmSuite) -> Vec<Test> {
    if suite.is_signed() {
        return Vec::new();
    }
    let value = "v".repeat(65_528);
    let exchange = Exchange::new(suite, AES_256).context(&[("k", &value)]);
    both_ways(kind, "longest-context", exchange).into()
}

/// Nobody names a suite.
fn default_suites(kind: Kind) -> Vec<Test> {
    use CommitmentPolicy::{ForbidEncryptAllowDecrypt, RequireEncryptRequireDecrypt};
    let mut tests = Vec::new();
    for (policy, signed) in [
        (RequireEncryptRequireDecrypt, false),
        (RequireEncryptRequireDecrypt, true),
        (ForbidEncryptAllowDecrypt, false),
        (ForbidEncryptAllowDecrypt, true),
    ] {
        let exchange = Exchange::new(policy.default_suite(signed), AES_256).default_suite();
        tests.push(we_encrypt(kind, "default-suite", exchange.clone()));
        if signed {
            // The SDKs sign where nothing else is said.
            tests.push(we_decrypt(kind, "default-suite", exchange));
        }
    }
    tests
}

/// Some or all of the context's keys are left out of the message; the reader
/// gives all of the context, or only what is left out.
fn required_context_keys(suite: AlgorithmSuite) -> Vec<Test> {
    let exchange = Exchange::new(suite, AES_192).context(&refusals::REQUIRED_CONTEXT);
    let some = exchange.clone().required(refusals::REQUIRED);
    let all = exchange.required(&refusals::REQUIRED_CONTEXT.map(|(key, _)| key));
    let mut tests = Vec::new();
    tests.extend(both_ways(Kind::Python, "some-keys-required", some.clone()));
    tests.extend(both_ways(Kind::Python, "all-keys-required", all));
    tests.extend(both_ways(
        Kind::Python,
        "some-keys-required-and-only-those-given",
        some.readers_give(refusals::REQUIRED),
    ));
    tests
}

/// Master key providers, and messages that are not framed, which this library
/// only reads.
fn older_api(suite: AlgorithmSuite) -> Vec<Test> {
    let exchange = Exchange::new(suite, AES_256)
        .context(CONTEXTS[4].1)
        .keys(&[AES_256, AES_128])
        .readers(&[&[AES_256], &[AES_128]]);
    let older = exchange.clone().older_api();
    let mut tests = Vec::new();
    tests.extend(both_ways(Kind::Python, "older-api", older.clone()));
    for length in [0, 1, 5000, MIB] {
        let unframed = older.clone().unframed().length(length);
        let what = format!("older-api::un-framed-{length}");
        tests.push(we_decrypt(Kind::Python, &what, unframed));
    }
    let unframed = exchange.unframed();
    tests.push(we_decrypt(Kind::Python, "un-framed", unframed));
    tests
}

/// One test with its name.
struct Test {
    kind: Kind,
    name: String,
    run: Run,
}

type Run = Box<dyn FnOnce(&mut Peer) -> Result<(), String> + Send>;

impl Test {
    fn new(
        kind: Kind,
        direction: &str,
        suite: AlgorithmSuite,
        what: &str,
        run: impl FnOnce(&mut Peer) -> Result<(), String> + Send + 'static,
    ) -> Self {
        Test {
            kind,
            name: format!("{}::{direction}::{:04x}::{what}", kind.name(), suite.id()),
            run: Box::new(run),
        }
    }
}

fn we_encrypt(kind: Kind, what: &str, exchange: Exchange) -> Test {
    Test::new(kind, "we-encrypt", exchange.suite, what, move |peer| {
        exchange.we_encrypt(peer)
    })
}

fn we_decrypt(kind: Kind, what: &str, exchange: Exchange) -> Test {
    Test::new(kind, "we-decrypt", exchange.suite, what, move |peer| {
        exchange.we_decrypt(peer)
    })
}

fn both_ways(kind: Kind, what: &str, exchange: Exchange) -> [Test; 2] {
    [
        we_encrypt(kind, what, exchange.clone()),
        we_decrypt(kind, what, exchange),
    ]
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // A line for each of a thousand tests only where it is asked for.
    arguments.quiet |= arguments.format.is_none() && std::env::var_os("WAXSEAL_VERBOSE").is_none();
    let home = std::env::var_os("WAXSEAL_INTEROP");
    let table = table();

    let mut pools = Vec::new();
    for kind in [Kind::Python, Kind::JavaScript] {
        let count = table.iter().filter(|test| test.kind == kind).count();
        let name = kind.name();
        match home.as_deref().filter(|_| !arguments.list) {
            None if arguments.list => {}
            None => println!("SKIPPED, NOT RUN: {count} {name} tests: WAXSEAL_INTEROP is not set"),
            Some(home) => match Pool::start(kind, Path::new(home)) {
                Ok(pool) => {
                    println!("{count} tests with {}", pool.sdk);
                    pools.push(Arc::new(pool));
                }
                Err(error) => {
                    println!("FAILED: the {name} peer does not start: {error}");
                    return ExitCode::FAILURE;
                }
            },
        }
    }
    if home.is_none() && !arguments.list {
        println!("0 passed, 0 failed, {} skipped", table.len());
        return ExitCode::SUCCESS;
    }

    let failures = Arc::new(Mutex::new(Vec::new()));
    let mut trials = Vec::new();
    for Test { kind, name, run } in table {
        let pool = pools.iter().find(|pool| pool.kind == kind).cloned();
        let failures = failures.clone();
        let trial = Trial::test(name.clone(), move || {
            let pool = pool.ok_or("no peer")?;
            pool.with(run).map_err(|reason| {
                failures.lock().unwrap().push(format!("{name}: {reason}"));
                Failed::from(reason)
            })
        });
        trials.push(trial.with_ignored_flag(home.is_none()));
    }
    let list_only = arguments.list;
    let conclusion = libtest_mimic::run(&arguments, trials);
    if list_only {
        return ExitCode::SUCCESS;
    }
    let mut failures = failures.lock().unwrap().clone();
    failures.sort();
    for failure in &failures {
        println!("FAILED {failure}");
    }
    println!(
        "{} passed, {} failed, {} skipped",
        conclusion.num_passed,
        conclusion.num_failed,
        conclusion.num_ignored + conclusion.num_filtered_out
    );
    conclusion.exit_code()
}
