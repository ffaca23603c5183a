//! What the tests of hostile input, errors, settings and secrets share.
#![allow(dead_code, unreachable_pub)] // reason: each test file uses a part

pub mod craft;
pub mod map;
pub mod providers;

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use waxseal::{
    AlgorithmSuite, Client, ClientBuilder, CommitmentPolicy, EncryptionContext, Error, KeyProvider,
    RawAesProvider, SecretBytes,
};

/// Drives a future that is ready at its first poll.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the future was not ready at its first poll"),
    }
}

/// A raw AES key; the byte tells keys apart, the name says which it claims to be.
pub fn raw(name: &str, byte: u8) -> RawAesProvider {
    RawAesProvider::new("ns", name, &SecretBytes::from(vec![byte; 32])).expect("a key")
}

/// A builder that writes and reads this suite.
pub fn builder(suite: AlgorithmSuite, provider: impl KeyProvider + 'static) -> ClientBuilder {
    let policy = if suite.commits() {
        CommitmentPolicy::RequireEncryptAllowDecrypt
    } else {
        CommitmentPolicy::ForbidEncryptAllowDecrypt
    };
    Client::builder(provider)
        .suite(suite)
        .commitment_policy(policy)
        .allow_suites_without_key_derivation(true)
}

/// A client that writes and reads this suite under one raw AES key.
pub fn client(suite: AlgorithmSuite) -> Client {
    builder(suite, raw("key", 7)).build().expect("settings")
}

/// Two pairs.
pub fn context() -> EncryptionContext {
    EncryptionContext::from([("tenant", "7"), ("purpose", "test")])
}

/// Bytes that do not repeat within 251.
pub fn plaintext(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 % 251) as u8).collect()
}

/// How a stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Authenticated,
    Unverified,
}

pub const MODES: [Mode; 2] = [Mode::Authenticated, Mode::Unverified];

/// Reads a message in pieces of this size, and says what was released and how
/// it ended. After an error nothing may come any more.
pub fn stream(
    client: &Client,
    context: &EncryptionContext,
    message: &[u8],
    size: usize,
    mode: Mode,
) -> (Vec<u8>, Result<(), Error>) {
    match mode {
        Mode::Authenticated => run(client.decryptor(context), message, size),
        Mode::Unverified => run(client.decryptor_unverified(context), message, size),
    }
}

fn run<M>(
    mut decryptor: waxseal::Decryptor<M>,
    message: &[u8],
    size: usize,
) -> (Vec<u8>, Result<(), Error>)
where
    waxseal::Decryptor<M>: Pushes,
{
    let mut out = Vec::new();
    let mut error = None;
    for piece in message.chunks(size) {
        let before = out.len();
        let pushed = decryptor.push_now(piece, &mut out);
        match (&error, pushed) {
            (None, Ok(())) => {}
            (None, Err(first)) => error = Some(first),
            (Some(_), Err(Error::StreamClosed)) => {
                assert_eq!(out.len(), before, "plaintext after an error");
            }
            (Some(_), after) => panic!("{after:?} after an error"),
        }
    }
    let finished = decryptor.finish_now();
    match error {
        None => (out, finished),
        Some(error) => {
            assert!(matches!(finished, Err(Error::StreamClosed)), "{finished:?}");
            (out, Err(error))
        }
    }
}

/// The two modes of a decryptor as one.
pub trait Pushes {
    fn push_now(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), Error>;
    fn finish_now(self) -> Result<(), Error>;
}

macro_rules! pushes {
    ($mode:ident) => {
        impl Pushes for waxseal::Decryptor<waxseal::$mode> {
            fn push_now(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
                ready(self.push(piece, out))
            }

            fn finish_now(self) -> Result<(), Error> {
                self.finish().map(drop)
            }
        }
    };
}

pushes!(Authenticated);
pushes!(Unverified);

/// Every way to write refuses for this reason.
#[track_caller]
pub fn refuses_to_write(client: &Client, context: &EncryptionContext, expected: impl Fn(&Error)) {
    expected(&ready(client.encrypt(b"text", context)).unwrap_err());
    expected(&ready(client.encrypt_into(b"text", context, &mut [0; 2000])).unwrap_err());
    expected(&ready(client.prepare(context, None)).unwrap_err());
    expected(&ready(client.encryptor(context, None)).unwrap_err());
    let blocking = client.blocking();
    expected(&blocking.encrypt(b"text", context).unwrap_err());
    expected(
        &blocking
            .encrypt_writer(Vec::new(), context)
            .map(drop)
            .unwrap_err(),
    );
}

/// Every way to read refuses for this reason, releasing nothing.
#[track_caller]
pub fn refuses_to_read(
    client: &Client,
    context: &EncryptionContext,
    message: &[u8],
    expected: impl Fn(&Error),
) {
    expected(&ready(client.decrypt(message, context)).unwrap_err());
    expected(&ready(client.decrypt_prefix(message, context)).unwrap_err());
    let mut buffer = vec![0; message.len()];
    expected(&ready(client.decrypt_into(message, context, &mut buffer)).unwrap_err());
    assert!(buffer.iter().all(|byte| *byte == 0));
    for mode in MODES {
        for size in [1, 7, usize::MAX] {
            let (released, outcome) = stream(client, context, message, size, mode);
            assert!(released.is_empty());
            expected(&outcome.unwrap_err());
        }
    }
    let reader = client.blocking().decrypt_reader(message, context);
    let error = reader.map(drop).unwrap_err();
    expected(&error.downcast().expect("the library's error"));
}

/// A case of the project's own vectors: client, message and plaintext (none
/// where it must not decrypt).
pub struct Vector {
    pub client: Client,
    pub context: EncryptionContext,
    pub message: Vec<u8>,
    pub plaintext: Option<Vec<u8>>,
}

/// Reads the case of this name from `tests/vectors`.
pub fn vector(id: &str) -> Vector {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let read = |name: &str| std::fs::read(folder.join(name)).expect("a file of tests/vectors");
    let json = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&read(name)).expect("a manifest")
    };
    let (manifest, keys) = (json("manifest.json"), json("keys.json"));
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let cases = manifest["cases"].as_array().expect("cases");
    let case = cases
        .iter()
        .find(|case| case["id"] == id)
        .unwrap_or_else(|| panic!("no case {id}"));
    let keyring = &case["keyrings"][0];
    let hex = text(&keys["keys"][text(&keyring["key"])]["material_hex"]);
    let key: Vec<u8> = (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex"))
        .collect();
    let (namespace, name) = (text(&keyring["provider_id"]), text(&keyring["key_name"]));
    let provider = RawAesProvider::new(namespace, name, &SecretBytes::from(key)).expect("a key");
    let required = case["required_encryption_context_keys"].as_array();
    let client = Client::builder(provider)
        .commitment_policy(text(&case["commitment_policy"]).parse().expect("a policy"))
        .max_encrypted_data_keys(None)
        .required_context_keys(required.into_iter().flatten().map(text))
        .build()
        .expect("settings");
    let context = case["reproduced_encryption_context"].as_object();
    Vector {
        client,
        context: context
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), text(value)))
            .collect(),
        message: read(&text(&case["ciphertext"])),
        plaintext: case["expected"]["plaintext"].as_str().map(read),
    }
}
