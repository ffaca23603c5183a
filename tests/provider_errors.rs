//! Several providers as one, who opened a message, why nobody could, and
//! providers that break their contract.

mod support;

use std::sync::Arc;

use support::providers::{Answers, Fixed};
use support::{
    MODES, builder, client, context, raw, ready, refuses_to_read, refuses_to_write, stream,
};
use waxseal::{
    AlgorithmSuite, Client, EncryptedDataKey, EncryptionContext, Error, GenerateDataKey,
    GeneratedDataKey, KeyProvider, MaterialsError, MultiProvider, ProviderError, ProviderErrorKind,
    ProviderFuture, ProviderIdentity, ProviderOperation, RawAesProvider, SecretBytes,
    UnwrapDataKey, UnwrapFailures, UnwrappedDataKey, inspect,
};

const V2: AlgorithmSuite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKey;

fn no_context() -> EncryptionContext {
    EncryptionContext::new()
}

fn three() -> MultiProvider {
    MultiProvider::new(raw("one", 1))
        .with(raw("two", 2))
        .with(raw("three", 3))
}

#[test]
fn each_of_several_opens_alone() {
    for suite in AlgorithmSuite::ALL {
        let writer = builder(suite, three()).build().unwrap();
        let message = ready(writer.encrypt(b"text", &context())).unwrap();
        let header = inspect(&message).unwrap();
        assert_eq!(header.encrypted_data_keys().len(), 3);
        for (index, (name, byte)) in [("one", 1), ("two", 2), ("three", 3)].iter().enumerate() {
            let provider = raw(name, *byte);
            let identity = provider.identity();
            let reader = builder(suite, provider).build().unwrap();
            let decrypted = ready(reader.decrypt(&message, &context())).unwrap();
            assert_eq!(decrypted.plaintext, b"text");
            let details = decrypted.details;
            assert_eq!(details.suite, suite);
            assert_eq!(details.provider, identity);
            assert_eq!(details.key, *name);
            assert_eq!(details.key_version, None);
            assert_eq!(details.encrypted_data_key_index, index);
            assert_eq!(
                details.encrypted_data_key,
                header.encrypted_data_keys()[index]
            );
            assert_eq!(details.message_id(), header.message_id());
        }
    }
}

/// The generator first, then the others in their order; not the message's.
#[test]
fn the_first_that_can_opens() {
    let message = ready(Client::new(three()).encrypt(b"text", &context())).unwrap();
    for (order, first, index) in [
        ([("one", 1), ("two", 2), ("three", 3)], "one", 0),
        ([("three", 3), ("two", 2), ("one", 1)], "three", 2),
        ([("stranger", 9), ("three", 3), ("two", 2)], "three", 2),
        ([("two", 9), ("stranger", 9), ("two", 2)], "two", 1),
    ] {
        let [a, b, c] = order.map(|(name, byte)| raw(name, byte));
        let decrypt_only = MultiProvider::decrypt_only()
            .with(raw(order[0].0, order[0].1))
            .with(raw(order[1].0, order[1].1))
            .with(raw(order[2].0, order[2].1));
        for provider in [MultiProvider::new(a).with(b).with(c), decrypt_only] {
            let client = Client::new(provider);
            let details = ready(client.decrypt(&message, &context())).unwrap().details;
            assert_eq!(details.key, first);
            assert_eq!(details.encrypted_data_key_index, index);
        }
    }
    // Also where they are nested.
    let nested = MultiProvider::decrypt_only()
        .with(raw("stranger", 9))
        .with(MultiProvider::decrypt_only().with(Arc::new(raw("three", 3))));
    let details = ready(Client::new(nested).decrypt(&message, &context()))
        .unwrap()
        .details;
    assert_eq!(details.provider.label(), raw("three", 3).identity().label());
}

#[test]
fn the_causes_are_listed_for_each_encrypted_data_key() {
    let mut provider = three()
        .with(RawAesProvider::new("elsewhere\n", "four", &SecretBytes::from(vec![4; 16])).unwrap());
    let message = ready(Client::new(provider).encrypt(b"text", &context())).unwrap();
    // One of the right name and another key, one that knows none of them, and
    // one that is not there.
    provider = MultiProvider::decrypt_only()
        .with(raw("two", 9))
        .with(raw("stranger", 9))
        .with(Answers::nothing());
    let reader = Client::new(provider);
    let is_explained = |error: &Error| {
        let Error::Unwrap(failures) = error else {
            panic!("{error:?}");
        };
        let failures: Vec<_> = failures.iter().collect();
        let indices: Vec<_> = failures.iter().map(|failure| failure.index).collect();
        assert_eq!(indices, [0, 1, 2, 3]);
        for failure in &failures {
            let kinds: Vec<_> = failure.causes.iter().map(|cause| cause.kind()).collect();
            let provider_id = if failure.index == 3 {
                "elsewhere\\n"
            } else {
                "ns"
            };
            assert_eq!(failure.provider_id, provider_id);
            if failure.index == 1 {
                assert!(failure.key_info.starts_with("two"), "{}", failure.key_info);
                let expected = [
                    ProviderErrorKind::InvalidCiphertext,
                    ProviderErrorKind::Unavailable,
                ];
                assert_eq!(kinds, expected);
                assert_eq!(failure.causes[0].key(), Some("two"));
                assert_eq!(failure.causes[0].operation(), ProviderOperation::Unwrap);
            } else {
                assert_eq!(kinds, [ProviderErrorKind::Unavailable]);
            }
        }
        let text = error.to_string();
        for part in [
            "#0",
            "#1",
            "#2",
            "#3",
            "under key 'two'",
            "raw-aes 'ns'",
            "elsewhere\\n",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(error.is_retryable());
    };
    refuses_to_read(&reader, &context(), &message, is_explained);

    // Where nobody knows any of them, one cause for each is enough.
    let strangers = MultiProvider::new(raw("s", 8)).with(raw("t", 9));
    refuses_to_read(&Client::new(strangers), &context(), &message, |error| {
        let Error::Unwrap(failures) = error else {
            panic!("{error:?}");
        };
        assert_eq!(failures.iter().count(), 4);
        for failure in failures.iter() {
            assert_eq!(failure.causes.len(), 1);
            assert_eq!(failure.causes[0].kind(), ProviderErrorKind::NotConfigured);
        }
        assert!(!error.is_retryable());
    });
}

/// A hostile message's texts are cut and escaped.
#[test]
fn long_and_strange_names_are_shortened() {
    let edk = EncryptedDataKey::new("\u{1b}[31m".repeat(1000), vec![0xff; 1000], *b"x").unwrap();
    let mut failures = UnwrapFailures::new();
    let cause = ProviderError::new(
        ProviderOperation::Unwrap,
        ProviderErrorKind::NotConfigured,
        "p",
    );
    failures.push(0, &edk, cause);
    let text = failures.to_string();
    assert!(text.len() < 2500, "{}", text.len());
    assert!(!text.contains('\u{1b}'));
    let failure = failures.iter().next().unwrap();
    assert!(failure.provider_id.starts_with("\\x1b[31m"));
    assert!(failure.key_info.starts_with("\\xff\\xff") && failure.key_info.ends_with('…'));
}

#[test]
fn without_a_generator_nothing_is_written() {
    let provider = MultiProvider::decrypt_only().with(raw("one", 1));
    refuses_to_write(&Client::new(provider), &context(), |error| {
        assert!(
            matches!(error, Error::Provider(error)
                if error.kind() == ProviderErrorKind::Unsupported
                    && error.operation() == ProviderOperation::Generate),
            "{error:?}"
        );
        assert!(error.to_string().contains("no generator"), "{error}");
    });
}

/// Writing needs all of them.
#[test]
fn one_that_fails_is_enough_to_fail() {
    for kind in [
        ProviderErrorKind::AccessDenied,
        ProviderErrorKind::KeyDisabled,
        ProviderErrorKind::Unavailable,
    ] {
        let as_other = three().with(Answers::kind(kind));
        refuses_to_write(&Client::new(as_other), &context(), |error| {
            assert!(
                matches!(error, Error::Provider(error)
                    if error.kind() == kind && error.operation() == ProviderOperation::Wrap),
                "{error:?}"
            );
            assert!(error.to_string().contains("under key 'its key'"), "{error}");
        });
        let as_generator = MultiProvider::new(Answers::kind(kind)).with(raw("one", 1));
        refuses_to_write(&Client::new(as_generator), &context(), |error| {
            assert!(
                matches!(error, Error::Provider(error)
                    if error.kind() == kind && error.operation() == ProviderOperation::Generate),
                "{error:?}"
            );
        });
    }
}

/// A provider that only generates and unwraps.
struct WrapsNothing(RawAesProvider);

impl KeyProvider for WrapsNothing {
    fn identity(&self) -> ProviderIdentity {
        self.0.identity()
    }

    fn generate_data_key<'a>(
        &'a self,
        request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        self.0.generate_data_key(request)
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        self.0.unwrap_data_key(request)
    }
}

#[test]
fn wrapping_is_unsupported_unless_it_is_there() {
    let alone = Client::new(WrapsNothing(raw("one", 1)));
    assert!(ready(alone.encrypt(b"text", &context())).is_ok());
    let second = three().with(WrapsNothing(raw("four", 4)));
    refuses_to_write(&Client::new(second), &context(), |error| {
        assert!(
            matches!(error, Error::Provider(error)
                if error.kind() == ProviderErrorKind::Unsupported
                    && error.operation() == ProviderOperation::Wrap),
            "{error:?}"
        );
    });
}

fn broken(materials: MaterialsError) -> impl Fn(&Error) {
    move |error| {
        assert!(
            matches!(error, Error::InvalidMaterials(found) if *found == materials),
            "{error:?}"
        );
        assert!(!error.is_retryable());
    }
}

#[test]
fn data_keys_of_another_length() {
    for suite in AlgorithmSuite::ALL {
        let expected = suite.data_key_length();
        let message = ready(
            builder(suite, Fixed)
                .build()
                .unwrap()
                .encrypt(b"", &no_context()),
        );
        let message = message.unwrap();
        for found in [0, 1, 15, 16, 17, 24, 32, 33, 64] {
            let client = builder(suite, Answers::data_key(Fixed::data_key(found)))
                .build()
                .unwrap();
            if found == expected {
                assert!(ready(client.encrypt(b"", &no_context())).is_ok());
                assert!(ready(client.decrypt(&message, &no_context())).is_ok());
                continue;
            }
            let wrong = MaterialsError::DataKeyLength { expected, found };
            refuses_to_write(&client, &no_context(), broken(wrong.clone()));
            refuses_to_read(&client, &no_context(), &message, broken(wrong));
        }
    }
}

#[test]
fn no_encrypted_data_keys() {
    for suite in AlgorithmSuite::ALL {
        let provider = Answers {
            encrypted_data_keys: Vec::new(),
            ..Answers::data_key(Fixed::data_key(suite.data_key_length()))
        };
        let client = builder(suite, provider).build().unwrap();
        let none = broken(MaterialsError::NoEncryptedDataKeys);
        refuses_to_write(&client, &no_context(), none);
    }
}

#[test]
fn an_encrypted_data_key_that_is_not_there() {
    for suite in AlgorithmSuite::ALL {
        let message = ready(client(suite).encrypt(b"text", &no_context())).unwrap();
        for index in [1, 2, 65_536, usize::MAX] {
            let provider = Answers {
                index,
                ..Answers::data_key(Fixed::data_key(suite.data_key_length()))
            };
            let client = builder(suite, provider).build().unwrap();
            let none = broken(MaterialsError::Index);
            refuses_to_read(&client, &no_context(), &message, none);
        }
    }
}

/// The data key of another message: the commitment tells, or the header's tag.
#[test]
fn another_data_key() {
    for suite in AlgorithmSuite::ALL {
        let message = ready(client(suite).encrypt(b"text", &no_context())).unwrap();
        let reader = builder(suite, Fixed).build().unwrap();
        refuses_to_read(&reader, &no_context(), &message, |error| {
            if suite.commits() {
                assert!(matches!(error, Error::Commitment), "{error:?}");
            } else {
                assert!(matches!(error, Error::HeaderAuthentication), "{error:?}");
            }
        });
    }
}

/// An unwrap that fails without saying why is still an error.
#[test]
fn no_reasons_given() {
    struct Silent;

    impl KeyProvider for Silent {
        fn identity(&self) -> ProviderIdentity {
            ProviderIdentity::new("silent", &[])
        }

        fn generate_data_key<'a>(
            &'a self,
            request: GenerateDataKey<'a>,
        ) -> ProviderFuture<'a, GeneratedDataKey> {
            Fixed.generate_data_key(request)
        }

        fn unwrap_data_key<'a>(
            &'a self,
            _request: UnwrapDataKey<'a>,
        ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
            Box::pin(std::future::ready(Err(UnwrapFailures::new())))
        }
    }

    let message = ready(client(V2).encrypt(b"text", &no_context())).unwrap();
    for provider in [
        Arc::new(Silent) as Arc<dyn KeyProvider>,
        Arc::new(MultiProvider::decrypt_only()),
        Arc::new(MultiProvider::decrypt_only().with(Silent)),
    ] {
        refuses_to_read(&Client::new(provider), &no_context(), &message, |error| {
            assert!(matches!(error, Error::Unwrap(_)), "{error:?}");
            assert!(!error.to_string().is_empty());
        });
    }
}

/// A key is the one named, in the namespace named, byte for byte.
#[test]
fn raw_aes_keys_open_only_their_own() {
    let key = SecretBytes::from(vec![7; 32]);
    let provider =
        |namespace: &str, name: &str| RawAesProvider::new(namespace, name, &key).unwrap();
    let message = ready(Client::new(provider("ns", "key")).encrypt(b"text", &context())).unwrap();
    for (namespace, name) in [
        ("ns", "ke"),
        ("ns", "key\0"),
        ("ns", "key\0\0\0\u{80}"),
        ("ns", "Key"),
        ("ns", ""),
        ("n", "key"),
        ("ns2", "key"),
        ("", "key"),
    ] {
        let reader = Client::new(provider(namespace, name));
        refuses_to_read(&reader, &context(), &message, |error| {
            assert!(
                matches!(error, Error::Unwrap(failures) if failures.iter().all(|failure| {
                    failure.causes[0].kind() == ProviderErrorKind::NotConfigured
                })),
                "{error:?}"
            );
        });
    }
}

/// Clients share a provider as `Arc<dyn KeyProvider>`.
#[test]
fn shared_providers() {
    let provider: Arc<dyn KeyProvider> = Arc::new(three());
    let writer = Client::new(provider.clone());
    let reader = Client::builder(provider.clone()).build().unwrap();
    assert_eq!(provider.identity(), three().identity());
    let message = ready(writer.clone().encrypt(b"text", &context())).unwrap();
    for mode in MODES {
        let (released, outcome) = stream(&reader, &context(), &message, 7, mode);
        outcome.unwrap();
        assert_eq!(released, b"text");
    }
}
