//! Writing a message, and providers: freed memory holds no data key, derived
//! key, signing key, wrapping key or plaintext, after success, failure, or
//! when it was given up.
#![allow(unsafe_code)] // reason: an allocator that keeps what is freed

#[path = "support/freed.rs"]
mod freed;
mod support;

use std::future::Future;
use std::io::{Read, Write};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use freed::{Freed, Keeping, Secrets, plaintext, watch};
use support::providers::{Answers, Fixed, Slow, Spy};
use support::{builder, ready};
use waxseal::{
    AlgorithmSuite, Client, EncryptionContext, Error, KeyProvider, MultiProvider, RawAesProvider,
    SecretBytes,
};

#[global_allocator]
static ALLOCATOR: Keeping = Keeping;

fn no_context() -> EncryptionContext {
    EncryptionContext::new()
}

/// Frames of a length that keeps the plaintext from being aligned with
/// anything.
fn client(suite: AlgorithmSuite, provider: impl KeyProvider + 'static) -> Client {
    builder(suite, provider).frame_length(101).build().unwrap()
}

/// Of a message, or of its start, under [`Fixed`]'s data key.
#[track_caller]
fn all_gone(suite: AlgorithmSuite, message: &[u8], freed: &Freed, what: &str) {
    let data_key = Fixed::data_key(suite.data_key_length());
    Secrets::of_plaintext()
        .and_keys(suite, &data_key, message)
        .are_gone(freed, what);
}

#[test]
fn after_encrypting_in_one_shot() {
    for suite in AlgorithmSuite::ALL {
        let text = plaintext(1077);
        let client = client(suite, Fixed);
        let (message, freed) = watch(|| ready(client.encrypt(&text, &no_context())).unwrap());
        all_gone(suite, &message, &freed, "encrypt");

        let mut buffer = vec![0; message.len()];
        let (_, freed) =
            watch(|| ready(client.encrypt_into(&text, &no_context(), &mut buffer)).unwrap());
        all_gone(suite, &buffer, &freed, "encrypt_into");
    }
}

#[test]
fn after_encrypting_a_stream() {
    for suite in AlgorithmSuite::ALL {
        let text = plaintext(1077);
        let client = client(suite, Fixed);
        for size in [1, 30, 101, 333, 1077] {
            let (message, freed) = watch(|| {
                let mut message = Vec::new();
                let mut encryptor = ready(client.encryptor(&no_context(), None)).unwrap();
                for piece in text.chunks(size) {
                    encryptor.update(piece, &mut message).unwrap();
                }
                encryptor.finish(&mut message).unwrap();
                message
            });
            all_gone(suite, &message, &freed, "an encryptor");
        }

        let blocking = client.blocking();
        let (message, freed) = watch(|| {
            let mut writer = blocking.encrypt_writer(Vec::new(), &no_context()).unwrap();
            writer.write_all(&text).unwrap();
            writer.finish().unwrap()
        });
        all_gone(suite, &message, &freed, "a writer");
        let (message, freed) = watch(|| {
            let mut message = Vec::new();
            let mut reader = blocking.encrypt_reader(&text[..], &no_context()).unwrap();
            reader.read_to_end(&mut message).unwrap();
            message
        });
        all_gone(suite, &message, &freed, "a reader");
    }
}

#[test]
fn when_a_stream_is_given_up() {
    for suite in AlgorithmSuite::ALL {
        let text = plaintext(250);
        let client = client(suite, Fixed);
        let (message, freed) = watch(|| {
            let mut message = Vec::new();
            let mut encryptor = ready(client.encryptor(&no_context(), None)).unwrap();
            encryptor.update(&text, &mut message).unwrap();
            message
        });
        all_gone(suite, &message, &freed, "an encryptor");

        let blocking = client.blocking();
        let mut message = Vec::new();
        let ((), freed) = watch(|| {
            let mut writer = blocking
                .encrypt_writer(&mut message, &no_context())
                .unwrap();
            writer.write_all(&text).unwrap();
        });
        all_gone(suite, &message, &freed, "a writer");

        let mut start = vec![0; 250];
        let ((), freed) = watch(|| {
            let mut reader = blocking.encrypt_reader(&text[..], &no_context()).unwrap();
            reader.read_exact(&mut start).unwrap();
        });
        all_gone(suite, &start, &freed, "a reader");
    }
}

#[test]
fn when_encrypting_fails() {
    for suite in AlgorithmSuite::ALL {
        let text = plaintext(250);
        let client = client(suite, Fixed);
        let data_key = Fixed::data_key(suite.data_key_length());
        let secrets = Secrets::of_plaintext().and("data key", &data_key);
        let ((), freed) = watch(|| {
            let mut message = Vec::new();
            let mut encryptor = ready(client.encryptor(&no_context(), Some(300))).unwrap();
            encryptor.update(&text, &mut message).unwrap();
            let refused = encryptor.update(&text, &mut message);
            assert!(matches!(
                refused,
                Err(Error::PlaintextBoundExceeded { bound: 300 })
            ));
        });
        secrets.are_gone(&freed, "an encryptor beyond its bound");

        let blocking = client.blocking();
        let ((), freed) = watch(|| {
            let mut full = [0; 10];
            let mut writer = blocking
                .encrypt_writer(&mut full[..], &no_context())
                .unwrap();
            writer.write_all(&text).unwrap_err();
        });
        secrets.are_gone(&freed, "a writer whose sink is full");

        let ((), freed) = watch(|| drop(ready(client.prepare(&no_context(), None)).unwrap()));
        secrets.are_gone(&freed, "a data key that was not used");

        let ((), freed) = watch(|| {
            let mut small = [0; 10];
            let refused = ready(client.encrypt_into(&text, &no_context(), &mut small));
            assert!(matches!(refused, Err(Error::OutputTooSmall { .. })));
        });
        secrets.are_gone(&freed, "a buffer too small");
    }
}

#[test]
fn when_a_provider_fails_or_is_given_up() {
    for suite in AlgorithmSuite::ALL {
        let data_key = Fixed::data_key(suite.data_key_length());
        let secrets = Secrets::none().and("data key", &data_key);
        let failing = client(suite, MultiProvider::new(Fixed).with(Answers::nothing()));
        let ((), freed) = watch(|| {
            let refused = ready(failing.encrypt(b"", &no_context()));
            assert!(matches!(refused, Err(Error::Provider(_))));
        });
        secrets.are_gone(&freed, "a second provider that fails");

        // The data key is there while the second provider is waited for.
        let slow = client(suite, MultiProvider::new(Fixed).with(Slow::new(Fixed, 3)));
        let ((), freed) = watch(|| {
            let none = no_context();
            let encrypting = slow.encrypt(b"", &none);
            let context = &mut Context::from_waker(Waker::noop());
            assert!(matches!(pin!(encrypting).poll(context), Poll::Pending));
        });
        secrets.are_gone(&freed, "a future that was dropped");

        // A data key of a wrong length is a secret too.
        let longer = Fixed::data_key(suite.data_key_length() + 1);
        let secrets = Secrets::none().and("data key", &longer);
        let message = ready(client(suite, Fixed).encrypt(b"", &no_context())).unwrap();
        let wrong = client(suite, Answers::data_key(longer));
        let ((), freed) = watch(|| {
            let refused = ready(wrong.encrypt(b"", &no_context()));
            assert!(matches!(refused, Err(Error::InvalidMaterials(_))));
            let refused = ready(wrong.decrypt(&message, &no_context()));
            assert!(matches!(refused, Err(Error::InvalidMaterials(_))));
        });
        secrets.are_gone(&freed, "a data key of the wrong length");
    }
}

/// Random data keys, wrapped by the library's own provider: which they were is
/// seen when they are unwrapped.
#[test]
fn of_raw_aes_providers() {
    let key: Vec<u8> = (0..32u8).map(|at| 0x90 ^ at.wrapping_mul(31)).collect();
    let provider = || RawAesProvider::new("ns", "key", &SecretBytes::copy_from(&key)).unwrap();
    for suite in AlgorithmSuite::ALL {
        let several = MultiProvider::new(provider())
            .with(provider())
            .with(provider());
        let text = plaintext(250);
        let (message, freed) = watch(|| {
            let client = client(suite, several);
            ready(client.encrypt(&text, &no_context())).unwrap()
        });
        let spy = Spy::new(provider());
        let seen = spy.data_key.clone();
        let reading = client(suite, spy);
        assert_eq!(
            ready(reading.decrypt(&message, &no_context()))
                .unwrap()
                .plaintext,
            text
        );
        let data_key = seen.lock().unwrap().clone();
        Secrets::of_plaintext()
            .and_keys(suite, &data_key, &message)
            .and("wrapping key", &key)
            .are_gone(&freed, "encrypting");

        let mut damaged = message.clone();
        *damaged.last_mut().unwrap() ^= 1;
        let ((), freed) = watch(|| {
            let client = client(suite, provider());
            ready(client.decrypt(&damaged, &no_context()))
                .map(drop)
                .unwrap_err();
        });
        Secrets::of_plaintext()
            .and_keys(suite, &data_key, &message)
            .and("wrapping key", &key)
            .are_gone(&freed, "decrypting");
    }
}

/// The key that signs a message: what was drawn for it, in either byte order.
#[cfg(feature = "test-util")]
#[test]
fn of_signing_keys() {
    use std::sync::{Arc, Mutex};

    use waxseal::{CryptoBackend, RandomError, SecureRandom};

    /// The system's randomness, noted in the order in which it was drawn.
    struct Noting(Mutex<Vec<Vec<u8>>>);

    impl SecureRandom for Noting {
        fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
            out.copy_from_slice(SecretBytes::random(out.len())?.expose());
            self.0.lock().unwrap().push(out.to_vec());
            Ok(())
        }
    }

    for (suite, length) in [
        (AlgorithmSuite::Aes128GcmHkdfSha256EcdsaP256, 32),
        (AlgorithmSuite::Aes256GcmHkdfSha384EcdsaP384, 48),
        (AlgorithmSuite::Aes256GcmHkdfSha512CommitKeyEcdsaP384, 48),
    ] {
        let random = Arc::new(Noting(Mutex::new(Vec::with_capacity(100))));
        let backend = CryptoBackend::default().with_random(random.clone());
        let client = builder(suite, Fixed).backend(backend).build().unwrap();
        let ((), freed) = watch(|| {
            drop(ready(client.prepare(&no_context(), None)).unwrap());
            ready(client.encrypt(b"", &no_context())).unwrap();
        });
        let drawn = random.0.lock().unwrap();
        let keys: Vec<_> = drawn.iter().filter(|drawn| drawn.len() == length).collect();
        assert!(keys.len() >= 2, "no signing key was drawn");
        let mut secrets = Secrets::none();
        for key in keys {
            let reversed: Vec<u8> = key.iter().rev().copied().collect();
            secrets = secrets
                .and("signing key", key)
                .and("signing key", &reversed);
        }
        secrets.are_gone(&freed, "signing");
    }
}

#[cfg(feature = "tokio")]
#[test]
fn in_asynchronous_adapters() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for suite in AlgorithmSuite::ALL {
        let text = plaintext(250);
        let client = client(suite, Fixed);
        for is_finished in [false, true] {
            let mut message = Vec::with_capacity(2000);
            let ((), freed) = watch(|| {
                runtime.block_on(async {
                    let writer = client.encrypt_writer(&mut message, &no_context()).await;
                    let mut writer = writer.unwrap();
                    writer.write_all(&text).await.unwrap();
                    if is_finished {
                        writer.finish().await.unwrap();
                    } else {
                        writer.flush().await.unwrap();
                    }
                });
            });
            all_gone(suite, &message, &freed, "a writer");

            let mut start = vec![0; 250];
            let mut rest = Vec::with_capacity(2000);
            let ((), freed) = watch(|| {
                runtime.block_on(async {
                    let reader = client.encrypt_reader(&text[..], &no_context()).await;
                    let mut reader = reader.unwrap();
                    reader.read_exact(&mut start).await.unwrap();
                    if is_finished {
                        reader.read_to_end(&mut rest).await.unwrap();
                    }
                });
            });
            all_gone(suite, &start, &freed, "a reader");
        }
    }
}
