//! Suites, policies and settings that are refused: each with its own error, on
//! both sides, in one shot and streamed; and what an error says of itself.

mod support;

use std::error::Error as _;
use std::io::ErrorKind;
use std::time::Duration;

use support::craft::Craft;
use support::providers::{Answers, Fixed};
use support::{
    MODES, builder, client, plaintext, raw, ready, refuses_to_read, refuses_to_write, stream,
};
use waxseal::{
    AlgorithmSuite, Client, CommitmentPolicy, EncryptionContext, Error, ProviderErrorKind,
};

const V2: AlgorithmSuite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKey;

fn no_context() -> EncryptionContext {
    EncryptionContext::new()
}

#[test]
fn suites_outside_the_policy() {
    for policy in CommitmentPolicy::ALL {
        for suite in AlgorithmSuite::ALL {
            let client = Client::builder(Fixed)
                .commitment_policy(policy)
                .suite(suite)
                .allow_suites_without_key_derivation(true)
                .build()
                .unwrap();
            let is_forbidden = |error: &Error| {
                assert!(
                    matches!(error, Error::SuiteForbidden { suite: s, policy: p }
                        if (*s, *p) == (suite, policy)),
                    "{error:?}"
                );
                let text = error.to_string();
                assert!(text.contains(&suite.to_string()), "{text}");
                assert!(text.contains(&policy.to_string()), "{text}");
            };
            let commits = suite.id() >= 0x0400;
            let may_write = match policy {
                CommitmentPolicy::ForbidEncryptAllowDecrypt => !commits,
                _ => commits,
            };
            let lengths = [Fixed::encrypted_data_key().encoded_length()];
            let length = client.message_length(4, &no_context(), &lengths);
            if may_write {
                assert!(ready(client.encrypt(b"text", &no_context())).is_ok());
                assert!(length.is_ok());
            } else {
                refuses_to_write(&client, &no_context(), is_forbidden);
                is_forbidden(&length.unwrap_err());
            }

            let message = Craft::new(suite).whole(b"text");
            if commits || policy != CommitmentPolicy::RequireEncryptRequireDecrypt {
                let decrypted = ready(client.decrypt(&message, &no_context())).unwrap();
                assert_eq!(decrypted.plaintext, b"text");
            } else {
                refuses_to_read(&client, &no_context(), &message, is_forbidden);
            }
        }
    }
}

/// The policy comes before the provider is asked.
#[test]
fn a_forbidden_suite_asks_no_provider() {
    let broken = Client::new(Answers::nothing());
    let message = Craft::new(AlgorithmSuite::Aes256GcmHkdfSha256).whole(b"text");
    refuses_to_read(&broken, &no_context(), &message, |error| {
        assert!(matches!(error, Error::SuiteForbidden { .. }), "{error:?}");
    });
}

#[test]
fn suites_without_a_key_derivation() {
    for suite in AlgorithmSuite::ALL {
        let client = Client::builder(raw("key", 7))
            .commitment_policy(builder_policy(suite))
            .suite(suite)
            .build()
            .unwrap();
        let derives = suite.id() > 0x0100;
        assert_eq!(suite.derives_key(), derives);
        if derives {
            assert!(ready(client.encrypt(b"text", &no_context())).is_ok());
        } else {
            refuses_to_write(&client, &no_context(), |error| {
                assert!(
                    matches!(error, Error::SuiteWithoutKeyDerivation { suite: s } if *s == suite)
                );
            });
        }
        // Reading needs the policy only.
        let opted_in = support::client(suite);
        let message = ready(opted_in.encrypt(b"text", &no_context())).unwrap();
        assert!(ready(client.decrypt(&message, &no_context())).is_ok());
    }
}

fn builder_policy(suite: AlgorithmSuite) -> CommitmentPolicy {
    if suite.commits() {
        CommitmentPolicy::RequireEncryptRequireDecrypt
    } else {
        CommitmentPolicy::ForbidEncryptAllowDecrypt
    }
}

#[test]
fn unsigned_suites_where_signatures_are_required() {
    for suite in AlgorithmSuite::ALL {
        let client = builder(suite, Fixed).require_signed(true).build().unwrap();
        let is_refused = |error: &Error| {
            assert!(
                matches!(error, Error::UnsignedRefused { suite: s } if *s == suite),
                "{error:?}"
            );
        };
        let message = Craft::new(suite).whole(b"text");
        if suite.is_signed() {
            assert!(ready(client.encrypt(b"text", &no_context())).is_ok());
            assert!(ready(client.decrypt(&message, &no_context())).is_ok());
        } else {
            refuses_to_write(&client, &no_context(), is_refused);
            refuses_to_read(&client, &no_context(), &message, is_refused);
        }
    }
}

#[test]
fn signed_suites_where_streams_refuse_them() {
    for suite in AlgorithmSuite::ALL {
        let client = builder(suite, Fixed)
            .refuse_signed_streams(true)
            .build()
            .unwrap();
        let message = ready(client.encrypt(&plaintext(100), &no_context())).unwrap();
        for mode in MODES {
            for size in [1, usize::MAX] {
                let (released, outcome) = stream(&client, &no_context(), &message, size, mode);
                if suite.is_signed() {
                    assert!(released.is_empty());
                    assert!(
                        matches!(outcome, Err(Error::SignedStreamRefused { suite: s }) if s == suite)
                    );
                } else {
                    outcome.unwrap();
                    assert_eq!(released, plaintext(100));
                }
            }
        }
        // One-shot calls verify before they return anything.
        assert!(ready(client.decrypt(&message, &no_context())).is_ok());
    }
}

#[test]
fn bytes_behind_the_end() {
    for suite in AlgorithmSuite::ALL {
        for craft in [Craft::new(suite), Craft::unframed_body(suite)] {
            let client = builder(suite, Fixed).build().unwrap();
            let message = craft.whole(b"text");
            for behind in [&[0][..], &message] {
                let longer = [&message, behind].concat();
                let refused = ready(client.decrypt(&longer, &no_context()));
                assert!(matches!(refused, Err(Error::TrailingBytes)));
                let mut buffer = vec![0; longer.len()];
                let refused = ready(client.decrypt_into(&longer, &no_context(), &mut buffer));
                assert!(matches!(refused, Err(Error::TrailingBytes)));
                assert!(buffer.iter().all(|byte| *byte == 0));
                let mut buffer = longer.clone();
                let refused = ready(client.decrypt_in_place(&mut buffer, &no_context()));
                assert!(matches!(refused, Err(Error::TrailingBytes)));
                assert!(buffer.is_empty());
                let (decrypted, rest) =
                    ready(client.decrypt_prefix(&longer, &no_context())).unwrap();
                assert_eq!((&decrypted.plaintext[..], rest), (&b"text"[..], behind));
                for mode in MODES {
                    for size in [1, message.len(), usize::MAX] {
                        let (released, outcome) =
                            stream(&client, &no_context(), &longer, size, mode);
                        assert!(matches!(outcome, Err(Error::TrailingBytes)));
                        // The message itself was authentic to its end.
                        assert_eq!(released, b"text");
                    }
                }
            }
        }
    }
}

/// What says at its end that all was well must be a whole message.
#[test]
fn pushing_nothing_behind_the_end_is_fine() {
    let client = client(V2);
    let message = ready(client.encrypt(b"text", &no_context())).unwrap();
    let mut decryptor = client.decryptor(&no_context());
    let mut out = Vec::new();
    for piece in [&b""[..], &message, b"", b""] {
        ready(decryptor.push(piece, &mut out)).unwrap();
    }
    assert_eq!(out, b"text");
    assert_eq!(decryptor.finish().unwrap().suite, V2);
}

#[test]
fn settings_that_make_no_sense() {
    let built = Client::builder(Fixed).frame_length(0).build();
    assert!(matches!(built, Err(Error::InvalidFrameLength)));
    for key in ["aws-crypto-", "aws-crypto-public-key", "aws-crypto-x"] {
        let built = Client::builder(Fixed)
            .required_context_keys(["fine", key])
            .build();
        assert!(matches!(built, Err(Error::ReservedContextKey { key: k }) if k == key));
    }
    let built = Client::builder(Fixed)
        .required_context_keys(["aws-crypto", "AWS-CRYPTO-x", ""])
        .build();
    assert!(built.is_ok());
}

#[test]
fn as_errors_of_the_system() {
    let kind = |error: Error| std::io::Error::from(error).kind();
    assert_eq!(kind(Error::Truncated), ErrorKind::UnexpectedEof);
    assert_eq!(kind(Error::StreamClosed), ErrorKind::Other);
    assert_eq!(kind(Error::TrailingBytes), ErrorKind::InvalidData);
    assert_eq!(kind(Error::Signature), ErrorKind::InvalidData);
    let failing = Client::new(Answers::nothing());
    let error = ready(failing.encrypt(b"", &no_context())).unwrap_err();
    assert_eq!(kind(error), ErrorKind::Other);
    let error = std::io::Error::from(Error::Commitment);
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    assert!(matches!(inner, Some(Error::Commitment)));
}

#[test]
fn whether_a_retry_makes_sense() {
    let message = ready(Client::new(Fixed).encrypt(b"", &no_context())).unwrap();
    for (kind, expected) in [
        (ProviderErrorKind::Unavailable, true),
        (ProviderErrorKind::TimedOut, true),
        (ProviderErrorKind::Throttled { retry_after: None }, true),
        (
            ProviderErrorKind::Throttled {
                retry_after: Some(Duration::from_millis(1500)),
            },
            true,
        ),
        (ProviderErrorKind::NotConfigured, false),
        (ProviderErrorKind::InvalidCiphertext, false),
        (ProviderErrorKind::Unsupported, false),
        (ProviderErrorKind::AccessDenied, false),
        (ProviderErrorKind::KeyDisabled, false),
        (ProviderErrorKind::NotFound, false),
        (ProviderErrorKind::InvalidResponse, false),
        (ProviderErrorKind::WouldBlock, false),
        (ProviderErrorKind::Random, false),
        (ProviderErrorKind::Other, false),
    ] {
        let client = Client::new(Answers::kind(kind));
        let error = ready(client.encrypt(b"", &no_context())).unwrap_err();
        assert_eq!(error.is_retryable(), expected, "{kind:?}");
        assert!(matches!(&error, Error::Provider(error) if error.kind() == kind));
        assert_eq!(
            error.to_string().contains("1500 ms"),
            format!("{kind:?}").contains("Some")
        );
        let error = ready(client.decrypt(&message, &no_context())).unwrap_err();
        assert_eq!(error.is_retryable(), expected, "{kind:?}");
        assert!(matches!(&error, Error::Unwrap(failures)
            if failures.iter().all(|failure| failure.causes[0].kind() == kind)));
        assert!(error.source().is_none(), "its text says all");
    }
    assert!(!Error::Truncated.is_retryable());
}
