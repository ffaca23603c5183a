//! The encryption context: how long it may be, what is reserved, what is
//! expected of a message, and what is bound to one without being in it.

mod support;

use support::craft::{Craft, context_bytes};
use support::providers::Fixed;
use support::{
    MODES, builder, client, context, raw, ready, refuses_to_read, refuses_to_write, stream,
};
use waxseal::{
    AlgorithmSuite, Client, EncryptionContext, Error, ProviderErrorKind, RawAesProvider, inspect,
};

const SUITES: [AlgorithmSuite; 5] = [
    AlgorithmSuite::Aes256GcmNoKdf,
    AlgorithmSuite::Aes256GcmHkdfSha256,
    AlgorithmSuite::Aes128GcmHkdfSha256EcdsaP256,
    AlgorithmSuite::Aes256GcmHkdfSha512CommitKey,
    AlgorithmSuite::Aes256GcmHkdfSha512CommitKeyEcdsaP384,
];

fn with(suite: AlgorithmSuite, required: &[&str]) -> Client {
    required_by(suite, required, raw("key", 7))
}

fn required_by(suite: AlgorithmSuite, required: &[&str], provider: RawAesProvider) -> Client {
    builder(suite, provider)
        .required_context_keys(required.iter().copied())
        .build()
        .unwrap()
}

/// A context of so many canonical bytes.
fn of_length(length: usize) -> EncryptionContext {
    EncryptionContext::from([("k".to_owned(), "v".repeat(length - 7))])
}

/// Bytes that a signed message's public key takes of its context.
fn public_key_length(suite: AlgorithmSuite) -> usize {
    match suite.id() {
        0x0214 => 4 + 21 + 44,
        0x0346 | 0x0378 | 0x0578 => 4 + 21 + 68,
        _ => 0,
    }
}

#[test]
fn empty_and_longest() {
    for suite in AlgorithmSuite::ALL {
        let client = client(suite);
        let none = EncryptionContext::new();
        let longest = of_length(65_535 - public_key_length(suite));
        for context in [none, of_length(7), of_length(65_000), longest] {
            let message = ready(client.encrypt(b"text", &context)).unwrap();
            let decrypted = ready(client.decrypt(&message, &context)).unwrap();
            let mut found = decrypted.details.context;
            found.remove("aws-crypto-public-key");
            assert_eq!(found, context);
            for mode in MODES {
                let (released, outcome) = stream(&client, &context, &message, 1000, mode);
                outcome.unwrap();
                assert_eq!(released, b"text");
            }
        }
    }
}

#[test]
fn too_long() {
    for suite in AlgorithmSuite::ALL {
        let public_key = public_key_length(suite);
        for length in [65_536 - public_key, 65_536, 100_000] {
            let context = of_length(length);
            refuses_to_write(&client(suite), &context, |error| {
                assert!(
                    matches!(error, Error::ContextTooLong { length: found }
                        if *found == length + public_key),
                    "{error:?}"
                );
            });
            // Also where it is bound only.
            refuses_to_write(&with(suite, &["k"]), &context, |error| {
                assert!(matches!(error, Error::ContextTooLong { .. }), "{error:?}");
            });
        }
        // Many short pairs.
        let many = |count: usize| -> EncryptionContext {
            let key = |number: usize| format!("{number:05}");
            (0..count).map(|number| (key(number), "")).collect()
        };
        let fits = (65_535 - 2 - public_key) / 9;
        assert!(ready(client(suite).encrypt(b"", &many(fits))).is_ok());
        refuses_to_write(&client(suite), &many(fits + 1), |error| {
            assert!(matches!(error, Error::ContextTooLong { .. }), "{error:?}");
        });
    }
}

/// What is stored fits, what is bound fits, both together do not: the data key
/// is bound to both.
#[test]
fn too_long_together() {
    for suite in SUITES {
        let client = with(suite, &["bound"]);
        let context = EncryptionContext::from([
            ("bound", "v".repeat(40_000)),
            ("stored", "v".repeat(40_000)),
        ]);
        refuses_to_write(&client, &context, |error| {
            assert!(matches!(error, Error::ContextTooLong { .. }), "{error:?}");
        });
        let stored = EncryptionContext::from([("stored", "v".repeat(40_000))]);
        let message = ready(support::client(suite).encrypt(b"", &stored)).unwrap();
        refuses_to_read(&client, &context, &message, |error| {
            assert!(matches!(error, Error::ContextTooLong { .. }), "{error:?}");
        });
    }
}

#[test]
fn reserved_keys() {
    for suite in SUITES {
        for key in ["aws-crypto-public-key", "aws-crypto-", "aws-crypto-x"] {
            let context = EncryptionContext::from([("a", "b"), (key, "value-of-it")]);
            refuses_to_write(&client(suite), &context, |error| {
                assert!(
                    matches!(error, Error::ReservedContextKey { key: found } if found == key),
                    "{error:?}"
                );
            });
        }
        for key in ["aws-crypto", "Aws-crypto-x", "x-aws-crypto-", ""] {
            let context = EncryptionContext::from([(key, "b")]);
            assert!(ready(client(suite).encrypt(b"text", &context)).is_ok());
        }
    }
}

/// The public key of a signed message can be expected like any other value.
#[test]
fn reserved_keys_expected_of_a_message() {
    let suite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKeyEcdsaP384;
    let client = client(suite);
    let message = ready(client.encrypt(b"text", &context())).unwrap();
    let stored = inspect(&message).unwrap().context().clone();
    assert!(ready(client.decrypt(&message, &stored)).is_ok());
    let other = ready(client.encrypt(b"text", &context())).unwrap();
    refuses_to_read(&client, &stored, &other, |error| {
        assert!(
            matches!(error, Error::ContextMismatch { key } if key == "aws-crypto-public-key"),
            "{error:?}"
        );
    });
}

#[test]
fn expected_of_a_message() {
    for suite in SUITES {
        let client = client(suite);
        let message = ready(client.encrypt(b"text", &context())).unwrap();
        for fine in [
            EncryptionContext::new(),
            EncryptionContext::from([("tenant", "7")]),
            context(),
        ] {
            let decrypted = ready(client.decrypt(&message, &fine)).unwrap();
            assert_eq!(decrypted.details.context.get("purpose"), Some("test"));
        }
        for (key, value) in [("tenant", "8"), ("tenant", ""), ("purpose", "tes")] {
            let mut expected = context();
            expected.insert(key, value);
            refuses_to_read(&client, &expected, &message, |error| {
                assert!(
                    matches!(error, Error::ContextMismatch { key: k } if k == key),
                    "{error:?}"
                );
            });
        }
        for key in ["tenants", "Tenant", "", "tenan"] {
            let mut expected = context();
            expected.insert(key, "7");
            refuses_to_read(&client, &expected, &message, |error| {
                assert!(
                    matches!(error, Error::ContextKeyNotInMessage { key: k } if k == key),
                    "{error:?}"
                );
            });
        }
    }
}

/// The data key is bound to the context: whoever changes it in the header
/// cannot have it unwrapped.
#[test]
fn changed_in_the_header() {
    for suite in SUITES {
        let client = client(suite);
        let mut message = ready(client.encrypt(b"text", &context())).unwrap();
        let at = message
            .windows(7)
            .position(|window| window == b"tenant\0")
            .unwrap();
        assert_eq!(message[at + 8], b'7');
        message[at + 8] = b'8';
        let expected = EncryptionContext::from([("tenant", "8")]);
        refuses_to_read(&client, &expected, &message, |error| {
            assert!(
                matches!(error, Error::Unwrap(failures) if failures.iter().all(|failure| {
                    failure.causes[0].kind() == ProviderErrorKind::InvalidCiphertext
                })),
                "{error:?}"
            );
        });
    }
}

#[test]
fn required_keys_are_bound_and_not_stored() {
    for suite in AlgorithmSuite::ALL {
        for required in [&["tenant"][..], &["purpose"], &["purpose", "tenant"]] {
            let client = with(suite, required);
            let message = ready(client.encrypt(b"text", &context())).unwrap();
            let header = inspect(&message).unwrap();
            for (key, value) in &context() {
                let stored = (!required.contains(&key)).then_some(value);
                assert_eq!(header.context().get(key), stored);
            }
            // Nothing of a value that is not stored is in the message.
            if required.contains(&"purpose") {
                assert!(!message.windows(4).any(|window| window == b"test"));
            }
            let decrypted = ready(client.decrypt(&message, &context())).unwrap();
            assert_eq!(decrypted.plaintext, b"text");
            let mut found = decrypted.details.context;
            found.remove("aws-crypto-public-key");
            assert_eq!(found, context());
            for mode in MODES {
                let (released, outcome) = stream(&client, &context(), &message, 7, mode);
                outcome.unwrap();
                assert_eq!(released, b"text");
            }
            // The rest need not be expected.
            let only = context()
                .iter()
                .filter(|(key, _)| required.contains(key))
                .collect();
            assert!(ready(client.decrypt(&message, &only)).is_ok());
        }
    }
}

#[test]
fn required_keys_missing() {
    for suite in SUITES {
        let client = with(suite, &["region", "tenant"]);
        let is_missing = |error: &Error| {
            assert!(
                matches!(error, Error::RequiredContextKeyMissing { key } if key == "region"),
                "{error:?}"
            );
        };
        refuses_to_write(&client, &context(), is_missing);
        let mut whole = context();
        whole.insert("region", "eu");
        let message = ready(client.encrypt(b"text", &whole)).unwrap();
        refuses_to_read(&client, &context(), &message, is_missing);
        // The other one is missed too.
        refuses_to_read(&client, &EncryptionContext::new(), &message, |error| {
            assert!(matches!(error, Error::RequiredContextKeyMissing { .. }));
        });
    }
}

/// With a raw AES key the data key itself is bound to the value; with any
/// provider the header's tag is.
#[test]
fn required_keys_with_another_value() {
    for suite in SUITES {
        let mut other = context();
        other.insert("tenant", "8");
        let client = with(suite, &["tenant"]);
        let message = ready(client.encrypt(b"text", &context())).unwrap();
        refuses_to_read(&client, &other, &message, |error| {
            assert!(matches!(error, Error::Unwrap(_)), "{error:?}");
        });

        let client = builder(suite, Fixed)
            .required_context_keys(["tenant"])
            .build()
            .unwrap();
        let message = ready(client.encrypt(b"text", &context())).unwrap();
        assert!(ready(client.decrypt(&message, &context())).is_ok());
        refuses_to_read(&client, &other, &message, |error| {
            assert!(matches!(error, Error::HeaderAuthentication), "{error:?}");
        });
        // Nor does it pass where nobody requires it.
        let client = builder(suite, Fixed).build().unwrap();
        refuses_to_read(&client, &EncryptionContext::new(), &message, |error| {
            assert!(matches!(error, Error::HeaderAuthentication), "{error:?}");
        });
    }
}

#[test]
fn required_keys_that_the_message_stores() {
    for suite in SUITES {
        let message = ready(client(suite).encrypt(b"text", &context())).unwrap();
        refuses_to_read(&with(suite, &["tenant"]), &context(), &message, |error| {
            assert!(
                matches!(error, Error::RequiredContextKeyInMessage { key } if key == "tenant"),
                "{error:?}"
            );
        });
    }
}

/// The bound part alone, in canonical order, follows the header in what the
/// tag is over: as a writer apart from the library has it.
#[test]
fn required_keys_of_another_writer() {
    for suite in AlgorithmSuite::ALL {
        let pairs = [("\u{e000}", "1"), ("\u{1f512}", "2")];
        let craft = Craft {
            bound: context_bytes(&pairs),
            ..Craft::new(suite)
        };
        let message = craft.whole(b"text");
        let client = builder(suite, Fixed)
            .required_context_keys(pairs.map(|(key, _)| key))
            .build()
            .unwrap();
        let expected = EncryptionContext::from(pairs);
        let decrypted = ready(client.decrypt(&message, &expected)).unwrap();
        assert_eq!(decrypted.details.context.get("\u{1f512}"), Some("2"));
        assert_eq!(decrypted.details.context.get("a"), Some("b"));

        let craft = Craft {
            bound: context_bytes(&[pairs[1], pairs[0]]),
            ..Craft::new(suite)
        };
        let unsorted = craft.whole(b"text");
        refuses_to_read(&client, &expected, &unsorted, |error| {
            assert!(matches!(error, Error::HeaderAuthentication), "{error:?}");
        });
    }
}

/// Not a letter of a value in an error, however it is printed.
#[test]
fn errors_name_the_key_and_never_the_value() {
    const VALUE: &str = "VALUE-THAT-IS-NOT-FOR-LOGS";
    let suite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKeyEcdsaP384;
    let client = client(suite);
    let requiring = with(suite, &["key-name"]);
    let holds = EncryptionContext::from([("key-name", VALUE)]);
    let expects = EncryptionContext::from([("key-name", "OTHER-VALUE-NOT-FOR-LOGS")]);
    let none = EncryptionContext::new();
    let message = ready(client.encrypt(b"text", &holds)).unwrap();
    let bare = ready(client.encrypt(b"text", &none)).unwrap();
    let bound = ready(requiring.encrypt(b"text", &holds)).unwrap();
    let twice = Craft {
        context: context_bytes(&[("key-name", VALUE), ("key-name", VALUE)]),
        ..Craft::new(suite)
    };
    let reserved = EncryptionContext::from([("aws-crypto-key-name", VALUE)]);
    let strangers_key = required_by(suite, &[], raw("key", 9));
    let long = EncryptionContext::from([("key-name", VALUE.repeat(3000))]);
    let read = |client: &Client, message: &[u8], context: &EncryptionContext| {
        ready(client.decrypt(message, context)).unwrap_err()
    };
    let write = |client: &Client, context| ready(client.encrypt(b"text", context)).unwrap_err();
    let errors = [
        (read(&client, &message, &expects), true),
        (read(&client, &bare, &expects), true),
        (read(&requiring, &message, &expects), true),
        (read(&requiring, &bound, &none), true),
        (read(&requiring, &bound, &expects), false),
        (read(&client, &bound, &holds), true),
        (read(&client, &twice.whole(b"text"), &holds), true),
        (read(&strangers_key, &message, &holds), false),
        (write(&client, &reserved), true),
        (write(&requiring, &none), true),
        (write(&client, &long), false),
    ];
    for (error, names_the_key) in errors {
        let texts = [
            error.to_string(),
            format!("{error:?}"),
            format!("{error:#?}"),
        ];
        for text in texts {
            assert!(!text.contains("NOT-FOR-LOGS"), "{text}");
            assert!(!text.contains("THAT"), "{text}");
            assert_eq!(text.contains("key-name"), names_the_key, "{text}");
        }
    }
}
