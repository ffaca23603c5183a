//! The provider against a double of the service: what it asks, what it makes
//! of the answers, and the behaviour that every provider has.

use std::sync::Arc;

use aws_sdk_kms::Client as SdkClient;
use waxseal::blocking::Client;
use waxseal::test_util::{Behaviour, CheckOptions, check_provider_blocking};
use waxseal::{
    AwsKmsProvider, AwsKmsProviderBuilder, CommitmentPolicy, EncryptionContext, Error,
    InvalidAwsKmsProvider, KeyProvider, MultiProvider, ProviderErrorKind, RetryPolicy, inspect,
};
use waxseal_interop_aws_kms::{ACCOUNT, Double, Fault, Proxy, REGION, arn, client, client_in};

fn builder(client: SdkClient) -> AwsKmsProviderBuilder {
    AwsKmsProvider::builder(client)
        .on_own_runtime()
        .retries(RetryPolicy::never())
}

fn strict(double: &Double, key: &str) -> AwsKmsProvider {
    let builder = builder(client_of(double, key));
    builder.generator(key).build().unwrap()
}

/// A client in the Region of this key, if it says one.
fn client_of(double: &Double, key: &str) -> SdkClient {
    let region = key.split(':').nth(3).unwrap_or(REGION);
    client_in(&double.endpoint(), region)
}

fn context() -> EncryptionContext {
    EncryptionContext::from([("tenant", "7"), ("ключ", "значение")])
}

/// The kind of each cause, by the message's encrypted data keys.
fn kinds(error: &Error) -> Vec<Vec<ProviderErrorKind>> {
    let Error::Unwrap(failures) = error else {
        panic!("{error}");
    };
    let kinds = failures.iter().map(|failure| {
        let kinds = failure.causes.iter().map(|cause| cause.kind());
        kinds.collect()
    });
    kinds.collect()
}

#[test]
fn shows_the_behaviour_of_a_provider() {
    let double = Double::start();
    let options = CheckOptions::new().wraps(true).most_calls(20).without(
        Behaviour::SurvivesFailingRandom,
        "the service draws its data keys",
    );
    let one = strict(&double, &arn("one"));
    check_provider_blocking(Arc::new(one), &options).unwrap();
    let several = builder(client(&double.endpoint()))
        .generator(arn("one"))
        .key(arn("two"))
        .build()
        .unwrap();
    check_provider_blocking(Arc::new(several), &options).unwrap();
}

#[test]
fn writes_what_the_keyring_writes() {
    let double = Double::start();
    let provider = builder(client(&double.endpoint()))
        .generator("alias/one")
        .key(arn("two"))
        .key("three")
        .build()
        .unwrap();
    let message = Client::new(provider).encrypt(b"text", &context()).unwrap();
    let header = inspect(&message).unwrap();
    let edks = header.encrypted_data_keys();
    let names = edks.iter().map(|edk| (edk.provider_id(), edk.key_info()));
    let expected = [arn("one"), arn("two"), arn("three")];
    let expected = expected.iter().map(|arn| ("aws-kms", arn.as_bytes()));
    assert!(names.eq(expected));
    for key in ["one", "two", "three"] {
        let reader = Client::new(strict(&double, &arn(key)));
        assert!(reader.decrypt(&message, &context()).is_ok());
        assert!(reader.decrypt(&message, &EncryptionContext::new()).is_ok());
    }
    // What an alias or a bare id stands for, a reader cannot know.
    let asked = double.requests();
    for key in ["alias/one", "one", &arn("four")] {
        let reader = Client::new(strict(&double, key));
        let error = reader.decrypt(&message, &context()).unwrap_err();
        assert_eq!(
            kinds(&error),
            vec![vec![ProviderErrorKind::NotConfigured]; 3]
        );
    }
    assert_eq!(double.requests(), asked);
}

#[test]
fn multi_region_keys() {
    let double = Double::start();
    let key = arn("mrk-one");
    let replica = key.replace("us-east-1", "eu-west-1");
    let writer = Client::new(strict(&double, &key));
    let message = writer.encrypt(b"text", &context()).unwrap();
    let reader = |multi_region: bool, key: &str| {
        let builder = builder(client_of(&double, key)).key(key);
        let builder = if multi_region {
            builder.multi_region()
        } else {
            builder
        };
        Client::new(builder.build().unwrap())
    };
    assert!(reader(true, &key).decrypt(&message, &context()).is_ok());
    let opened = reader(true, &replica)
        .decrypt(&message, &context())
        .unwrap();
    assert_eq!(opened.details.key, replica);
    for (multi_region, key) in [
        (false, &replica),
        (true, &arn("mrk-two")),
        (true, &arn("one")),
    ] {
        let error = reader(multi_region, key)
            .decrypt(&message, &context())
            .unwrap_err();
        assert_eq!(kinds(&error), [[ProviderErrorKind::NotConfigured]]);
    }
}

#[test]
fn discovery_stays_in_its_filter() {
    let double = Double::start();
    let message = Client::new(strict(&double, &arn("one")))
        .encrypt(b"text", &context())
        .unwrap();
    let discovery = |partition: &str, accounts: &[&str]| {
        let builder = builder(client(&double.endpoint()));
        let builder = builder.discovery(partition, accounts.iter().copied());
        Client::new(builder.build().unwrap())
    };
    let reader = discovery("aws", &["444455556666", ACCOUNT]);
    let opened = reader.decrypt(&message, &context()).unwrap();
    assert_eq!(opened.details.key, arn("one"));
    let asked = double.requests();
    for reader in [
        discovery("aws-cn", &[ACCOUNT]),
        discovery("aws", &["444455556666"]),
        discovery("aws", &[&ACCOUNT[1..]]),
    ] {
        let error = reader.decrypt(&message, &context()).unwrap_err();
        assert_eq!(kinds(&error), [[ProviderErrorKind::NotConfigured]]);
    }
    assert_eq!(double.requests(), asked);
    let error = reader.encrypt(b"text", &context()).unwrap_err();
    let Error::Provider(error) = error else {
        panic!("{error}");
    };
    assert_eq!(error.kind(), ProviderErrorKind::Unsupported);
}

#[test]
fn discovery_in_another_region() {
    let double = Double::start();
    let abroad = |id: &str| arn(id).replace("us-east-1", "eu-west-1");
    let written = |key: &str| {
        let writer = Client::new(strict(&double, key));
        writer.encrypt(b"text", &context()).unwrap()
    };
    // The client's Region is us-east-1.
    let reader = builder(client(&double.endpoint())).discovery("aws", [ACCOUNT]);
    let reader = Client::new(reader.multi_region().build().unwrap());
    for (key, opens_with) in [
        (arn("mrk-one"), Some(arn("mrk-one"))),
        (abroad("mrk-one"), Some(arn("mrk-one"))),
        (arn("one"), Some(arn("one"))),
        (abroad("one"), None),
    ] {
        match (reader.decrypt(&written(&key), &context()), opens_with) {
            (Ok(opened), Some(arn)) => assert_eq!(opened.details.key, arn),
            (Err(error), None) => {
                assert_eq!(kinds(&error), [[ProviderErrorKind::NotConfigured]]);
            }
            (result, _) => panic!("{key}: {result:?}"),
        }
    }
}

#[test]
fn the_services_errors_are_told_apart() {
    let double = Double::start();
    for (id, kind) in [
        ("missing", ProviderErrorKind::NotFound),
        ("disabled", ProviderErrorKind::KeyDisabled),
        ("denied", ProviderErrorKind::AccessDenied),
    ] {
        let error = Client::new(strict(&double, &arn(id)))
            .encrypt(b"text", &context())
            .unwrap_err();
        let Error::Provider(error) = error else {
            panic!("{error}");
        };
        assert_eq!(error.kind(), kind);
        assert_eq!(error.key(), Some(&*arn(id)));
        assert!(
            error
                .request_id()
                .is_some_and(|id| id.starts_with("00000000-"))
        );
        assert!(error.to_string().contains("said the double"), "{error}");
    }
}

/// An answer that is another's, at each place where it matters.
#[test]
fn answers_are_checked() {
    let double = Double::start();
    let proxy = Proxy::before(&double.endpoint());
    let provider = || builder(client(&proxy.endpoint()));
    let rewrite = |from: &str, to: &str| Fault::Rewrite {
        from: from.to_owned(),
        to: to.to_owned(),
    };
    let message = Client::new(strict(&double, &arn("one")))
        .encrypt(b"text", &context())
        .unwrap();
    let encrypting = |builder: AwsKmsProviderBuilder| {
        let client = Client::new(builder.build().unwrap());
        let error = client.encrypt(b"text", &context()).unwrap_err();
        let Error::Provider(error) = error else {
            panic!("{error}");
        };
        assert!(error.request_id().is_some(), "{error}");
        error.kind()
    };
    let another = rewrite("key/one", "key/two");
    for (key, fault) in [
        (arn("one"), another.clone()),
        ("one".to_owned(), another.clone()),
        (arn("one"), rewrite("us-east-1", "eu-west-1")),
        (
            arn("one").replace("key/", "alias/"),
            rewrite("us-east-1", "eu-west-1"),
        ),
        (
            arn("one").replace("key/", "alias/"),
            rewrite(ACCOUNT, "444455556666"),
        ),
        ("alias/one".to_owned(), rewrite(":key/", ":alias/")),
        ("alias/one".to_owned(), rewrite("arn:aws:kms", "arn:aws:s3")),
        (arn("one"), rewrite("KeyId", "NoKeyId")),
        (arn("one"), rewrite("\"Plaintext\"", "\"NoPlaintext\"")),
        (
            arn("one"),
            rewrite("\"Plaintext\":\"", "\"Plaintext\":\"AAAA"),
        ),
        (arn("one"), rewrite("CiphertextBlob", "NoCiphertextBlob")),
    ] {
        proxy.set(fault.clone());
        let kind = encrypting(provider().generator(&key));
        assert_eq!(kind, ProviderErrorKind::InvalidResponse, "{key} {fault:?}");
    }
    // The answer to Encrypt too.
    for fault in [
        rewrite("key/two", "key/three"),
        rewrite("\"CiphertextBlob\":\"", "\"CiphertextBlob\":\"\",\"X\":\""),
    ] {
        proxy.set(fault);
        let kind = encrypting(provider().generator(arn("one")).key(arn("two")));
        assert_eq!(kind, ProviderErrorKind::InvalidResponse);
    }
    let readers = [
        provider().key(arn("one")),
        provider().discovery("aws", [ACCOUNT]),
        provider().discovery("aws", [ACCOUNT]).multi_region(),
    ];
    for reader in readers {
        let reader = Client::new(reader.build().unwrap());
        for fault in [
            another.clone(),
            rewrite("us-east-1", "eu-west-1"),
            rewrite("KeyId", "NoKeyId"),
            rewrite("\"Plaintext\":\"", "\"Plaintext\":\"AAAA"),
            rewrite("Plaintext", "NoPlaintext"),
        ] {
            proxy.set(fault.clone());
            let error = reader.decrypt(&message, &context()).unwrap_err();
            let expected = [[ProviderErrorKind::InvalidResponse]];
            assert_eq!(kinds(&error), expected, "{fault:?}");
        }
        proxy.set(Fault::None);
        assert!(reader.decrypt(&message, &context()).is_ok());
    }
}

#[test]
fn a_short_suite_has_a_short_data_key() {
    let double = Double::start();
    let client = waxseal::Client::builder(strict(&double, &arn("one")))
        .commitment_policy(CommitmentPolicy::ForbidEncryptAllowDecrypt)
        .suite(waxseal::AlgorithmSuite::Aes128GcmHkdfSha256)
        .build()
        .unwrap();
    let client = client.blocking();
    let message = client.encrypt(b"text", &context()).unwrap();
    assert_eq!(
        client.decrypt(&message, &context()).unwrap().plaintext,
        b"text"
    );
}

#[test]
fn grant_tokens_are_sent() {
    let double = Double::start();
    let proxy = Proxy::before(&double.endpoint());
    let provider = builder(client(&proxy.endpoint()))
        .generator(arn("one"))
        .grant_tokens(["a token"]);
    let client = Client::new(provider.build().unwrap());
    let message = client.encrypt(b"text", &context()).unwrap();
    assert!(
        proxy
            .last_request()
            .contains(r#""GrantTokens":["a token"]"#)
    );
    client.decrypt(&message, &context()).unwrap();
    assert!(
        proxy
            .last_request()
            .contains(r#""GrantTokens":["a token"]"#)
    );
}

#[test]
fn settings_that_make_no_sense() {
    let double = Double::start();
    let builder = || builder(client(&double.endpoint()));
    let error = |builder: AwsKmsProviderBuilder| builder.build().err().unwrap();
    type E = InvalidAwsKmsProvider;
    assert!(matches!(error(builder()), E::Mode));
    let both = builder().key(arn("one")).discovery("aws", [ACCOUNT]);
    assert!(matches!(error(both), E::Mode));
    let two = builder().generator(arn("one")).generator(arn("two"));
    assert!(matches!(error(two), E::TwoGenerators));
    for key in ["", "alias/", "arn:aws:s3:us-east-1:111122223333:key/1"] {
        assert!(matches!(error(builder().key(key)), E::Key(_)));
        assert!(matches!(error(builder().generator(key)), E::Key(_)));
    }
    let none: [&str; 0] = [];
    for (partition, accounts) in [
        ("", &[ACCOUNT][..]),
        ("aws", &none),
        ("aws", &["", ACCOUNT]),
    ] {
        let builder = builder().discovery(partition, accounts.iter().copied());
        assert!(matches!(error(builder), E::DiscoveryFilter));
    }
    let nowhere = AwsKmsProvider::builder(client(&double.endpoint())).key(arn("one"));
    assert!(matches!(error(nowhere), E::NoRuntime));
}

#[test]
fn a_provider_shares_cached_data_keys_with_its_clones_alone() {
    let double = Double::start();
    let provider = strict(&double, &arn("one"));
    assert_eq!(provider.identity(), provider.clone().identity());
    assert_ne!(provider.identity(), strict(&double, &arn("one")).identity());
}

#[test]
fn stands_among_others() {
    let double = Double::start();
    let raw = {
        let key = waxseal::SecretBytes::from(vec![7; 32]);
        waxseal::RawAesProvider::new("namespace", "name", &key).unwrap()
    };
    let both = MultiProvider::new(raw).with(strict(&double, &arn("one")));
    let message = Client::new(both).encrypt(b"text", &context()).unwrap();
    let reader = Client::new(strict(&double, &arn("one")));
    assert!(reader.decrypt(&message, &context()).is_ok());
}
