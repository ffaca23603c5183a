//! AWS Encryption SDK messages from outside, each a test with its own name.
//!
//! The folder in `WAXSEAL_VECTORS`, else `../shared/vectors/esdk`, else (aloud)
//! none; always `../shared/vectors/esdk-disputed` and `esdk-parse-only` where
//! they are there, and the project's own in `tests/vectors`. Each case runs in
//! one shot and streamed in awkward pieces, in the blocking and the async
//! client, with the default back end; and in one shot and one stream with every
//! other that is compiled in.

mod common;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Vectors, hex, list, ready, shared, suite, text};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use waxseal::{Client, ContentLayout, CryptoBackend, EncryptionContext, inspect};

/// How a message is cut for streaming; 0 is all at once.
const PIECES: [usize; 5] = [0, 1, 7, 61, 4096];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // A line for each of thousands of tests only where it is asked for.
    arguments.quiet |= arguments.format.is_none() && std::env::var_os("WAXSEAL_VERBOSE").is_none();
    let failures = Arc::new(std::sync::Mutex::new(Vec::new()));
    let passed = Arc::new(AtomicUsize::new(0));
    let mut skipped = std::collections::BTreeMap::<String, usize>::new();
    let mut trials = Vec::new();

    let mut sets: Vec<(&str, Option<PathBuf>)> = vec![
        (
            "esdk",
            std::env::var_os("WAXSEAL_VECTORS")
                .map(PathBuf::from)
                .or_else(|| shared("esdk")),
        ),
        ("esdk-disputed", shared("esdk-disputed")),
        ("esdk-parse-only", shared("esdk-parse-only")),
    ];
    sets.push((
        "own",
        Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")),
    ));
    for (set, folder) in sets {
        let Some(folder) = folder else {
            println!("SKIPPED, NOT RUN: the vectors '{set}' are not there");
            *skipped.entry(format!("whole set {set}")).or_default() += 1;
            continue;
        };
        let vectors = Arc::new(Vectors::read(&folder));
        for case in vectors.cases.clone() {
            let id = text(&case["id"]).to_owned();
            let unsupported = match set {
                "esdk-parse-only" => None,
                _ => Vectors::unsupported(&case),
            };
            if let Some(kind) = &unsupported {
                *skipped.entry(format!("{set}: {kind}")).or_default() += 1;
            }
            let (vectors, failures, passed) = (vectors.clone(), failures.clone(), passed.clone());
            let name = format!("{set}::{id}");
            let trial = Trial::test(name.clone(), move || {
                let outcome = match set {
                    "esdk-parse-only" => parse(&vectors, &case),
                    _ => decrypt(&vectors, &case),
                };
                match outcome {
                    Ok(()) => {
                        passed.fetch_add(1, Ordering::Relaxed);
                        Ok(())
                    }
                    Err(reason) => {
                        failures.lock().unwrap().push(format!("{name}: {reason}"));
                        Err(Failed::from(reason))
                    }
                }
            });
            trials.push(trial.with_ignored_flag(unsupported.is_some()));
        }
    }

    let list_only = arguments.list;
    let conclusion = libtest_mimic::run(&arguments, trials);
    if list_only {
        return ExitCode::SUCCESS;
    }
    for (kind, count) in &skipped {
        println!("skipped: {count} of {kind}");
    }
    let mut failures = failures.lock().unwrap().clone();
    failures.sort();
    for failure in &failures {
        println!("FAILED {failure}");
    }
    println!("with {:?} and, shorter,", CryptoBackend::default());
    for backend in CryptoBackend::available() {
        println!("  {}: {}", backend.name(), backend.primitives());
    }
    println!(
        "{} passed, {} failed, {} skipped",
        passed.load(Ordering::Relaxed),
        conclusion.num_failed,
        skipped.values().sum::<usize>()
    );
    conclusion.exit_code()
}

/// What must come out: a plaintext, or an error.
fn expected(vectors: &Vectors, case: &Value) -> Option<Option<Vec<u8>>> {
    let expected = &case["expected"];
    match text(&expected["result"]) {
        "ok" => Some(Some(vectors.bytes(&expected["plaintext"]))),
        "error" => Some(None),
        "disputed" => match text(&expected["recommended"]) {
            "reject" => Some(None),
            // Which plaintext is not said: any, and the same each way.
            "accept" => None,
            other => panic!("unknown recommendation {other}"),
        },
        other => panic!("unknown result {other}"),
    }
}

fn decrypt(vectors: &Vectors, case: &Value) -> Result<(), String> {
    let mut wanted = expected(vectors, case);
    let client = vectors.client(case, CryptoBackend::default());
    let (client, context) = match (client, &wanted) {
        (Ok(client), _) => client,
        // A key that is refused decrypts nothing.
        (Err(_), Some(None)) => return Ok(()),
        (Err(error), _) => return Err(error),
    };
    let message = vectors.bytes(&case["ciphertext"]);
    let mut outcomes = ways(&client, &context, &message);
    for backend in CryptoBackend::available() {
        let name = backend.name();
        let (client, context) = vectors.client(case, backend)?;
        let blocking = client.blocking();
        let decrypted = blocking.decrypt(&message, &context);
        let decrypted = decrypted.map(|decrypted| decrypted.plaintext);
        outcomes.extend([
            (
                format!("{name}, one shot"),
                decrypted.map_err(|error| error.to_string()),
            ),
            (
                format!("{name}, pieces of 4096"),
                blocking_stream(&client, &context, &message, 4096),
            ),
        ]);
    }
    for (way, outcome) in outcomes {
        match (&wanted, &outcome) {
            (Some(Some(plaintext)), Ok(found)) if plaintext == found => {}
            (Some(None), Err(_)) => {}
            (None, Ok(found)) => wanted = Some(Some(found.clone())),
            (Some(Some(_)), Ok(_)) => return Err(format!("{way}: another plaintext")),
            (Some(None), Ok(_)) => return Err(format!("{way}: decrypted, must not")),
            (_, Err(error)) => return Err(format!("{way}: {error}")),
        }
    }
    header_fields(case, &message)
}

/// The message decrypted in every way there is.
fn ways(
    client: &Client,
    context: &EncryptionContext,
    message: &[u8],
) -> Vec<(String, Result<Vec<u8>, String>)> {
    let blocking = client.blocking();
    let mut ways = vec![
        (
            "one shot, async".to_owned(),
            ready(client.decrypt(message, context))
                .map(|decrypted| decrypted.plaintext)
                .map_err(|error| error.to_string()),
        ),
        (
            "one shot, blocking".to_owned(),
            blocking
                .decrypt(message, context)
                .map(|decrypted| decrypted.plaintext)
                .map_err(|error| error.to_string()),
        ),
        ("into a buffer".to_owned(), {
            let mut buffer = vec![0; message.len()];
            let decrypted = blocking.decrypt_into(message, context, &mut buffer);
            if decrypted.is_err() {
                assert!(
                    buffer.iter().all(|byte| *byte == 0),
                    "plaintext was left in the buffer"
                );
            }
            decrypted
                .map(|(length, _)| buffer[..length].to_vec())
                .map_err(|error| error.to_string())
        }),
    ];
    for size in PIECES {
        // In single bytes only where that ends soon.
        if size == 1 && message.len() > 100_000 {
            continue;
        }
        let size = if size == 0 {
            message.len().max(1)
        } else {
            size
        };
        ways.push((
            format!("async, pieces of {size}"),
            async_stream(client, context, message, size),
        ));
        ways.push((
            format!("blocking, pieces of {size}"),
            blocking_stream(client, context, message, size),
        ));
    }
    let mut read = Vec::new();
    let through_reader = blocking
        .decrypt_reader(Slow(message), context)
        .and_then(|mut reader| reader.read_to_end(&mut read));
    ways.push((
        "reader".to_owned(),
        through_reader
            .map(|_| read)
            .map_err(|error| error.to_string()),
    ));
    ways
}

fn async_stream(
    client: &Client,
    context: &EncryptionContext,
    message: &[u8],
    size: usize,
) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut decryptor = client.decryptor_unverified(context);
    ready(async {
        for piece in message.chunks(size) {
            decryptor.push(piece, &mut out).await?;
        }
        decryptor.finish()
    })
    .map(|_| out)
    .map_err(|error| error.to_string())
}

fn blocking_stream(
    client: &Client,
    context: &EncryptionContext,
    message: &[u8],
    size: usize,
) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut decryptor = client.blocking().decryptor(context);
    message
        .chunks(size)
        .try_for_each(|piece| decryptor.push(piece, &mut out))
        .and_then(|()| decryptor.finish())
        .map(|_| out)
        .map_err(|error| error.to_string())
}

/// A source that gives a little at a time.
struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let length = out.len().min(self.0.len()).min(997);
        let (now, later) = self.0.split_at(length);
        out[..length].copy_from_slice(now);
        self.0 = later;
        Ok(length)
    }
}

/// What the manifest says of a header must be what `inspect` says.
fn header_fields(case: &Value, message: &[u8]) -> Result<(), String> {
    if case["suite_id"].is_null() || case["edks"].is_null() {
        return Ok(());
    }
    let header = match inspect(message) {
        Ok(header) => header,
        // The manifest's reader may be more lenient than a header may be.
        Err(_) if text(&case["expected"]["result"]) != "ok" => return Ok(()),
        Err(error) => return Err(format!("inspect: {error}")),
    };
    let same = |what: &str, same: bool| same.then_some(()).ok_or(format!("inspect: {what}"));
    same("suite", header.suite() == suite(&case["suite_id"]))?;
    let version = u64::from(header.suite().message_version());
    same("version", case["message_version"].as_u64() == Some(version))?;
    if !case["signed"].is_null() {
        same(
            "signed",
            case["signed"].as_bool() == Some(header.is_signed()),
        )?;
    }
    let (framed, frame_length) = match header.layout() {
        ContentLayout::Framed { frame_length } => (true, frame_length),
        _ => (false, 0),
    };
    same("framed", case["framed"].as_bool() == Some(framed))?;
    same(
        "frame length",
        case["frame_length"].as_u64().unwrap_or(0) == u64::from(frame_length),
    )?;
    let edks = list(&case["edks"]);
    same(
        "number of encrypted data keys",
        header.encrypted_data_keys().len() == edks.len(),
    )?;
    for (found, wanted) in header.encrypted_data_keys().iter().zip(edks) {
        same(
            "provider id",
            found.provider_id() == text(&wanted["provider_id"]),
        )?;
        same(
            "key info",
            hex(found.key_info()) == text(&wanted["key_info_hex"]),
        )?;
        let length = found.ciphertext().len() as u64;
        same(
            "ciphertext length",
            wanted["ciphertext_len"].as_u64() == Some(length),
        )?;
    }
    let pairs = list(&case["header_encryption_context"]);
    same("context length", header.context().len() == pairs.len())?;
    for pair in pairs {
        same(
            "context",
            header.context().get(text(&pair[0])) == Some(text(&pair[1])),
        )?;
    }
    if let Some(id) = case["known_answers"]["message_id_hex"].as_str() {
        same("message id", hex(header.message_id()) == id)?;
    }
    Ok(())
}

/// A message under a key that nobody here has.
fn parse(vectors: &Vectors, case: &Value) -> Result<(), String> {
    let message = vectors.bytes(&case["ciphertext"]);
    let mut case = case.clone();
    case["expected"] = serde_json::json!({ "result": "ok" });
    header_fields(&case, &message)?;
    let header = inspect(&message).map_err(|error| error.to_string())?;
    if case["header_len"].as_u64() != Some(header.header_length() as u64) {
        return Err("header length".to_owned());
    }
    if text(&case["message_id_hex"]) != hex(header.message_id()) {
        return Err("message id".to_owned());
    }
    for end in 0..header.header_length() {
        if inspect(&message[..end]).is_ok() {
            return Err(format!("a header of {end} bytes was read"));
        }
    }
    Ok(())
}
