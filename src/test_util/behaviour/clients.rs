//! The provider where it is used: in a client.

use std::fmt::Display;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;

use super::driving::in_thread;
use super::subject::{Outcome, Subject, ensure, fail, some_context};
use crate::client::{Client, ClientBuilder, DecryptionDetails, blocking};
use crate::context::EncryptionContext;
use crate::error::Error;
use crate::provider::KeyProvider;
use crate::suite::{AlgorithmSuite, CommitmentPolicy};

const FRAME_LENGTH: u32 = 1_024;
const PLAINTEXT: [u8; 3_000] = [0x5a; 3_000];
const REQUIRED: &str = "tenant";

/// A client to write with, and one to read with.
struct Pair {
    suite: AlgorithmSuite,
    writer: Client,
    reader: Client,
}

impl Pair {
    fn each(subject: &Subject<'_>) -> Result<Vec<Pair>, String> {
        let suites = subject.options.suites.iter();
        let deriving = suites.filter(|suite| suite.derives_key());
        deriving
            .map(|suite| Self::new(subject, *suite, |builder| builder))
            .collect()
    }

    fn new(
        subject: &Subject<'_>,
        suite: AlgorithmSuite,
        more: impl Fn(ClientBuilder) -> ClientBuilder,
    ) -> Result<Pair, String> {
        let policy = if suite.commits() {
            CommitmentPolicy::RequireEncryptRequireDecrypt
        } else {
            CommitmentPolicy::ForbidEncryptAllowDecrypt
        };
        let client = |provider: &Arc<dyn KeyProvider>| {
            let builder = Client::builder(provider.clone())
                .suite(suite)
                .commitment_policy(policy)
                .frame_length(FRAME_LENGTH)
                .max_encrypted_data_keys(None);
            more(builder).build().map_err(failed(suite, "building"))
        };
        Ok(Pair {
            suite,
            writer: client(subject.generator())?,
            reader: client(subject.provider)?,
        })
    }

    fn check(&self, plaintext: &[u8], details: &DecryptionDetails) -> Result<(), String> {
        let suite = self.suite;
        ensure!(plaintext == PLAINTEXT, "suite {suite}: another plaintext");
        ensure!(
            details.suite == suite,
            "suite {suite}: the details say {}",
            details.suite
        );
        ensure!(!details.key.is_empty(), "suite {suite}: no key is named");
        Ok(())
    }

    /// What the provider alone can refuse: another value for a key of the
    /// context that the message does not hold.
    fn refused<T>(&self, decrypted: Result<T, Error>) -> Result<(), String> {
        match decrypted {
            Err(Error::Unwrap(_)) => Ok(()),
            Err(error) => fail!(
                "suite {}: another context must not unwrap, and what happens is: {error}",
                self.suite
            ),
            Ok(_) => fail!("suite {}: it decrypts under another context", self.suite),
        }
    }
}

fn failed<E: Display>(suite: AlgorithmSuite, doing: &'static str) -> impl Fn(E) -> String {
    move |error| format!("suite {suite}, {doing}: {error}")
}

fn none_derives() -> Outcome {
    Ok(Some("none of its suites derives a key".to_owned()))
}

fn another_context() -> EncryptionContext {
    let mut context = some_context();
    context.insert(REQUIRED, "another");
    context
}

pub(super) async fn works_in_client(subject: &Subject<'_>) -> Outcome {
    let (context, another) = (some_context(), another_context());
    let pairs = Pair::each(subject)?;
    if pairs.is_empty() {
        return none_derives();
    }
    for pair in pairs {
        let (suite, writer, reader) = (pair.suite, &pair.writer, &pair.reader);
        let encrypting = failed(suite, "encrypting");
        let message = writer.encrypt(&PLAINTEXT, &context).await;
        let message = message.map_err(&encrypting)?;
        let decrypted = reader.decrypt(&message, &context).await;
        let decrypted = decrypted.map_err(failed(suite, "decrypting"))?;
        pair.check(&decrypted.plaintext, &decrypted.details)?;

        let mut damaged = message.clone();
        *damaged.last_mut().expect("a message") ^= 1;
        ensure!(
            reader.decrypt(&damaged, &context).await.is_err(),
            "suite {suite}: a damaged message decrypts"
        );

        let encryptor = writer.encryptor(&context, None).await;
        let mut encryptor = encryptor.map_err(&encrypting)?;
        let mut message = Vec::new();
        for piece in PLAINTEXT.chunks(700) {
            encryptor.update(piece, &mut message).map_err(&encrypting)?;
        }
        encryptor.finish(&mut message).map_err(&encrypting)?;
        let (mut decryptor, mut plaintext) = (reader.decryptor(&context), Vec::new());
        for piece in message.chunks(700) {
            let pushed = decryptor.push(piece, &mut plaintext).await;
            pushed.map_err(failed(suite, "decrypting a stream"))?;
        }
        let details = decryptor.finish();
        let details = details.map_err(failed(suite, "decrypting a stream"))?;
        pair.check(&plaintext, &details)?;

        let bound = Pair::new(subject, suite, |b| b.required_context_keys([REQUIRED]))?;
        let message = bound.writer.encrypt(&PLAINTEXT, &context).await;
        let message = message.map_err(&encrypting)?;
        let decrypted = bound.reader.decrypt(&message, &context).await;
        let decrypted = decrypted.map_err(failed(suite, "decrypting with a bound key"))?;
        pair.check(&decrypted.plaintext, &decrypted.details)?;
        pair.refused(bound.reader.decrypt(&message, &another).await)?;
    }
    Ok(None)
}

pub(super) async fn works_in_blocking_client(subject: &Subject<'_>) -> Outcome {
    let (provider, options) = (subject.provider.clone(), subject.options.clone());
    in_thread(move || blocking_client(&Subject::new(&provider, &options))).await
}

fn blocking_client(subject: &Subject<'_>) -> Outcome {
    let (context, another) = (some_context(), another_context());
    let pairs = Pair::each(subject)?;
    if pairs.is_empty() {
        return none_derives();
    }
    for pair in pairs {
        let suite = pair.suite;
        let (writer, reader) = (pair.writer.blocking(), pair.reader.blocking());
        let message = writer.encrypt(&PLAINTEXT, &context);
        let message = message.map_err(failed(suite, "encrypting"))?;
        let decrypted = reader.decrypt(&message, &context);
        let decrypted = decrypted.map_err(failed(suite, "decrypting"))?;
        pair.check(&decrypted.plaintext, &decrypted.details)?;

        let message = write_stream(&writer, &context);
        let message = message.map_err(failed(suite, "encrypting a stream"))?;
        let read = read_stream(&reader, &message, &context);
        let (plaintext, details) = read.map_err(failed(suite, "decrypting a stream"))?;
        pair.check(&plaintext, &details)?;

        let bound = Pair::new(subject, suite, |b| b.required_context_keys([REQUIRED]))?;
        let message = bound.writer.blocking().encrypt(&PLAINTEXT, &context);
        let message = message.map_err(failed(suite, "encrypting"))?;
        pair.refused(bound.reader.blocking().decrypt(&message, &another))?;
    }
    Ok(None)
}

fn write_stream(client: &blocking::Client, context: &EncryptionContext) -> io::Result<Vec<u8>> {
    let mut writer = client.encrypt_writer(Vec::new(), context)?;
    writer.write_all(&PLAINTEXT)?;
    writer.finish()
}

fn read_stream(
    client: &blocking::Client,
    message: &[u8],
    context: &EncryptionContext,
) -> io::Result<(Vec<u8>, DecryptionDetails)> {
    let mut reader = client.decrypt_reader(message, context)?;
    let mut plaintext = Vec::new();
    reader.read_to_end(&mut plaintext)?;
    let details = reader.details().cloned();
    Ok((plaintext, details.ok_or(Error::Truncated)?))
}
