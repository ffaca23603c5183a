//! A random source that fails: an error wherever it does, never a panic or a
//! weaker substitute. And with one that repeats, what is drawn afresh.

mod support;

use std::sync::Arc;

use support::providers::Fixed;
use support::{builder, context, plaintext, raw, ready};
use waxseal::test_util::{FailingRandom, SequentialRandom};
use waxseal::{
    AlgorithmSuite, Client, CryptoBackend, Error, KeyProvider, MultiProvider, ProviderErrorKind,
};

fn client(
    suite: AlgorithmSuite,
    random: FailingRandom,
    provider: impl KeyProvider + 'static,
) -> Client {
    builder(suite, provider)
        .backend(CryptoBackend::default().with_random(Arc::new(random)))
        .frame_length(16)
        .build()
        .unwrap()
}

#[track_caller]
fn is_random(error: &Error) {
    match error {
        Error::Random(_) => {}
        Error::Provider(error) if error.kind() == ProviderErrorKind::Random => {}
        other => panic!("{other:?}"),
    }
    assert!(
        error.to_string().contains("random source failed"),
        "{error}"
    );
    assert!(!error.is_retryable());
}

/// Lets one call more work each time, until all do.
#[track_caller]
fn fails_at_each_call(run: impl Fn(FailingRandom) -> Result<(), Error>) -> u64 {
    for calls in 0..100 {
        let random = FailingRandom::after(calls);
        match run(random.clone()) {
            Err(error) => {
                is_random(&error);
                assert_eq!(random.failures(), 1, "asked again after a failure");
            }
            Ok(()) => {
                assert_eq!(random.failures(), 0, "a failure was passed over");
                return calls;
            }
        }
    }
    panic!("it never works");
}

#[test]
fn encrypting() {
    for suite in AlgorithmSuite::ALL {
        // A signature needs its key and, once at least, randomness to sign.
        let least = if suite.is_signed() { 3 } else { 1 };
        let calls = fails_at_each_call(|random| {
            let client = client(suite, random, raw("key", 7));
            ready(client.encrypt(&plaintext(100), &context())).map(drop)
        });
        assert!(calls >= least, "{suite}: {calls}");
        fails_at_each_call(|random| {
            let client = client(suite, random, raw("key", 7));
            let mut buffer = vec![0; 2000];
            ready(client.encrypt_into(&plaintext(100), &context(), &mut buffer)).map(drop)
        });
        // What was drawn at first does not last for a nonce for each of many.
        let calls = fails_at_each_call(|random| {
            let several = (2..10).fold(MultiProvider::new(raw("1", 1)), |multi, byte| {
                multi.with(raw(&byte.to_string(), byte))
            });
            ready(client(suite, random, several).encrypt(b"", &context())).map(drop)
        });
        assert!(calls > least, "{suite}: {calls}");
    }
}

#[test]
fn encrypting_a_stream() {
    for suite in AlgorithmSuite::ALL {
        fails_at_each_call(|random| {
            let client = client(suite, random, raw("key", 7));
            let mut out = Vec::new();
            let mut encryptor = ready(client.encryptor(&context(), None))?;
            encryptor.update(&plaintext(100), &mut out)?;
            encryptor.finish(&mut out)
        });
        if !suite.is_signed() {
            continue;
        }
        // The key is there, and then the signature fails: no message is left.
        let mut failed = false;
        for calls in 0..10 {
            let random = FailingRandom::after(calls);
            let client = client(suite, random.clone(), Fixed);
            let Ok(mut encryptor) = ready(client.encryptor(&context(), None)) else {
                continue;
            };
            let mut out = Vec::new();
            encryptor.update(&plaintext(100), &mut out).unwrap();
            if let Err(error) = encryptor.finish(&mut out) {
                is_random(&error);
                random.allow(100);
                let decrypted = ready(client.decrypt(&out, &context()));
                assert!(matches!(decrypted, Err(Error::Truncated)));
                failed = true;
            }
        }
        assert!(failed, "{suite}: no signature ever failed");
    }
}

/// A client whose source recovers goes on.
#[test]
fn afterwards() {
    for suite in AlgorithmSuite::ALL {
        let random = FailingRandom::after(0);
        let client = client(suite, random.clone(), raw("key", 7));
        is_random(&ready(client.encrypt(b"text", &context())).unwrap_err());
        random.allow(100);
        let message = ready(client.encrypt(b"text", &context())).unwrap();
        // Reading needs none.
        random.allow(0);
        let decrypted = ready(client.decrypt(&message, &context())).unwrap();
        assert_eq!(decrypted.plaintext, b"text");
    }
}

/// All that differs between two messages of one plaintext is drawn: with a
/// source that repeats, they do not.
#[test]
fn nothing_else_is_random() {
    for suite in AlgorithmSuite::ALL {
        let message = || {
            let random = Arc::new(SequentialRandom::starting_at(1));
            let client = builder(suite, raw("key", 7))
                .backend(CryptoBackend::default().with_random(random))
                .build()
                .unwrap();
            ready(client.encrypt(&plaintext(100), &context())).unwrap()
        };
        assert_eq!(message(), message());
    }
}
