//! The back ends that are compiled in, against each other: with one source of
//! randomness they write the same messages, and each reads what the others wrote.

mod support;

use std::sync::Arc;

use support::{builder, context, plaintext, ready};
use waxseal::test_util::SequentialRandom;
use waxseal::{AlgorithmSuite, Client, CryptoBackend, RawAesProvider, SecretBytes};

/// Each alone, and what the default puts together of them.
fn backends() -> Vec<CryptoBackend> {
    let mut backends = CryptoBackend::available();
    backends.push(CryptoBackend::default());
    backends
}

fn client(suite: AlgorithmSuite, backend: &CryptoBackend) -> Client {
    let key = SecretBytes::from(vec![7; 32]);
    let provider = RawAesProvider::with_backend("ns", "key", &key, backend).unwrap();
    builder(suite, provider)
        .backend(backend.clone())
        .frame_length(4096)
        .build()
        .unwrap()
}

#[test]
fn the_same_messages() {
    for suite in AlgorithmSuite::ALL {
        for length in [0, 1, 4095, 4096, 70_001] {
            let text = plaintext(length);
            let mut expected = None;
            for backend in backends() {
                let named = format!("{suite}, {length} bytes, {backend:?}");
                // Two sources that begin alike: one shot and a stream.
                let client = || {
                    let random = Arc::new(SequentialRandom::starting_at(1));
                    client(suite, &backend.clone().with_random(random))
                };
                let message = ready(client().encrypt(&text, &context())).unwrap();
                let expected = expected.get_or_insert_with(|| message.clone());
                assert!(message == *expected, "one shot: {named}");

                let mut streamed = Vec::new();
                let mut encryptor = ready(client().encryptor(&context(), None)).unwrap();
                for piece in text.chunks(999) {
                    encryptor.update(piece, &mut streamed).unwrap();
                }
                encryptor.finish(&mut streamed).unwrap();
                assert!(streamed == *expected, "a stream: {named}");
            }
        }
    }
}

#[test]
fn each_reads_what_each_wrote() {
    for suite in AlgorithmSuite::ALL {
        for writer in backends() {
            let text = plaintext(10_000);
            let message = ready(client(suite, &writer).encrypt(&text, &context())).unwrap();
            for reader in backends() {
                let client = client(suite, &reader);
                let named = format!("{suite}: {writer:?}, read by {reader:?}");
                let decrypted = ready(client.decrypt(&message, &context()));
                assert!(decrypted.unwrap().plaintext == text, "{named}");

                // A bit of the last frame, or of the signature after it.
                let mut changed = message.clone();
                *changed.last_mut().unwrap() ^= 1;
                let refused = ready(client.decrypt(&changed, &context()));
                assert!(refused.is_err(), "{named}");
            }
        }
    }
}

/// With the source that each has by itself, nothing is drawn twice.
#[test]
fn each_draws_afresh() {
    for suite in AlgorithmSuite::ALL {
        for backend in backends() {
            let client = client(suite, &backend);
            let message = || ready(client.encrypt(b"text", &context())).unwrap();
            assert_ne!(message(), message(), "{suite}, {backend:?}");
        }
    }
}
