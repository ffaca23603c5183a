//! The provider's keys on the server.

use std::sync::Arc;

use waxseal::blocking::Client;
use waxseal::test_util::{Behaviour, CheckOptions, check_provider_blocking};
use waxseal::{
    AlgorithmSuite, EncryptedDataKey, EncryptionContext, GenerateDataKey, GeneratedDataKey,
    KeyProvider, ProviderErrorKind, ProviderFuture, ProviderIdentity, UnwrapDataKey,
    UnwrapFailures, UnwrappedDataKey, inspect,
};

use crate::Test;
use crate::world::{World, account, client, context, id, kind};

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("keys::behaviour", behaviour),
    ("keys::each_suite", each_suite),
    ("keys::strict", strict),
    ("keys::by_alias", by_alias),
    ("keys::of_another_context", of_another_context),
    ("keys::disabled", disabled),
    ("keys::pending_deletion", pending_deletion),
    ("keys::missing", missing),
    ("keys::of_another_key", of_another_key),
    ("keys::garbage", garbage),
    ("keys::for_signing", for_signing),
    ("keys::discovery", discovery),
    ("keys::multi_region", multi_region),
    ("keys::multi_region_discovery", multi_region_discovery),
];

fn behaviour(world: &World) {
    // What a server does with the shorter data keys is a test of its own.
    let suites = AlgorithmSuite::ALL.into_iter();
    let suites = suites.filter(|suite| suite.data_key_length() == 32);
    let options = CheckOptions::new()
        .suites(suites)
        .without(Behaviour::GeneratesForEachSuite, "a test of its own")
        .without(
            Behaviour::SurvivesFailingRandom,
            "the service draws its data keys",
        );
    behaves(world, options);
}

fn each_suite(world: &World) {
    let options = CheckOptions::new().only(Behaviour::GeneratesForEachSuite);
    behaves(world, options);
}

fn behaves(world: &World, options: CheckOptions) {
    let provider = world
        .builder(&world.region)
        .generator(world.create_key())
        .key(world.create_key())
        .build()
        .unwrap();
    let options = options
        .wraps(true)
        .most_calls(5)
        // AWS KMS takes 8,192 characters in all.
        .max_context_length(4096);
    check_provider_blocking(Arc::new(provider), &options).unwrap();
}

fn strict(world: &World) {
    let (one, two) = (world.create_key(), world.create_key());
    let message = world
        .strict(&[&one, &two])
        .encrypt(b"text", &context())
        .unwrap();
    let header = inspect(&message).unwrap();
    let edks = header.encrypted_data_keys();
    let names = edks.iter().map(|edk| (edk.provider_id(), edk.key_info()));
    assert!(names.eq([("aws-kms", one.as_bytes()), ("aws-kms", two.as_bytes())]));
    for key in [&one, &two] {
        let decrypted = world.strict(&[key]).decrypt(&message, &context()).unwrap();
        assert_eq!(decrypted.plaintext, b"text");
        assert_eq!(decrypted.details.key, *key);
    }
    let another = world.strict(&[&world.create_key()]);
    let error = another.decrypt(&message, &context()).unwrap_err();
    assert_eq!(kind(&error), ProviderErrorKind::NotConfigured);
}

fn by_alias(world: &World) {
    let key = world.create_key();
    let id = id(&key);
    let alias = format!("alias/{id}");
    let create = world.sdk(&world.region).create_alias();
    let create = create.alias_name(&alias).target_key_id(id);
    world.runtime.block_on(create.send()).unwrap();
    let alias_arn = key.replace("key/", "alias/");
    for name in [&*alias, &alias_arn, id] {
        let writer = world.strict(&[name]);
        let message = writer.encrypt(b"text", &context()).unwrap();
        assert!(world.strict(&[&key]).decrypt(&message, &context()).is_ok());
        let error = writer.decrypt(&message, &context()).unwrap_err();
        assert_eq!(kind(&error), ProviderErrorKind::NotConfigured);
    }
}

/// In a message of one context, a data key that is bound to another.
fn of_another_context(world: &World) {
    let key = world.create_key();
    let other = EncryptionContext::from([("tenant", "8")]);
    let edk = edk(world, &key, &other);
    let error = refusal(world, &key, edk);
    assert_eq!(error, ProviderErrorKind::InvalidCiphertext);
}

fn edk(world: &World, key: &str, context: &EncryptionContext) -> EncryptedDataKey {
    let message = world.strict(&[key]).encrypt(b"text", context).unwrap();
    inspect(&message).unwrap().encrypted_data_keys()[0].clone()
}

/// Why the provider of this key does not unwrap it, in a message.
fn refusal(world: &World, key: &str, edk: EncryptedDataKey) -> ProviderErrorKind {
    let message = Client::new(Crafted(edk)).encrypt(b"text", &context());
    let error = world.strict(&[key]).decrypt(&message.unwrap(), &context());
    kind(&error.unwrap_err())
}

/// Puts this encrypted data key into a message.
struct Crafted(EncryptedDataKey);

impl KeyProvider for Crafted {
    fn identity(&self) -> ProviderIdentity {
        ProviderIdentity::new("crafted", &[])
    }

    fn generate_data_key<'a>(
        &'a self,
        mut request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        Box::pin(async move {
            let data_key = request.random_data_key().expect("randomness");
            Ok(GeneratedDataKey::new(data_key, vec![self.0.clone()]))
        })
    }

    fn unwrap_data_key<'a>(
        &'a self,
        _: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        Box::pin(async { Err(UnwrapFailures::new()) })
    }
}

fn disabled(world: &World) {
    let key = world.create_key();
    let client = world.strict(&[&key]);
    let message = client.encrypt(b"text", &context()).unwrap();
    let disable = world.sdk(&world.region).disable_key().key_id(id(&key));
    world.runtime.block_on(disable.send()).unwrap();
    let error = client.encrypt(b"text", &context()).unwrap_err();
    assert_eq!(kind(&error), ProviderErrorKind::KeyDisabled);
    let error = client.decrypt(&message, &context()).unwrap_err();
    assert_eq!(kind(&error), ProviderErrorKind::KeyDisabled);
}

fn pending_deletion(world: &World) {
    let key = world.create_key();
    let client = world.strict(&[&key]);
    let message = client.encrypt(b"text", &context()).unwrap();
    let delete = world.sdk(&world.region).schedule_key_deletion();
    let delete = delete.key_id(id(&key)).pending_window_in_days(7);
    world.runtime.block_on(delete.send()).unwrap();
    let error = client.encrypt(b"text", &context()).unwrap_err();
    assert_eq!(kind(&error), ProviderErrorKind::KeyDisabled);
    let error = client.decrypt(&message, &context()).unwrap_err();
    assert_eq!(kind(&error), ProviderErrorKind::KeyDisabled);
}

fn missing(world: &World) {
    let key = world.create_key();
    let id = "00000000-0000-4000-8000-000000000000";
    let missing = format!("{}/{id}", key.rsplit_once('/').unwrap().0);
    let error = world.strict(&[&missing]).encrypt(b"text", &context());
    let error = error.unwrap_err();
    assert_eq!(kind(&error), ProviderErrorKind::NotFound);
    let error = world
        .strict(&["alias/missing"])
        .encrypt(b"text", &context());
    assert_eq!(kind(&error.unwrap_err()), ProviderErrorKind::NotFound);
}

fn of_another_key(world: &World) {
    let (key, other) = (world.create_key(), world.create_key());
    let theirs = edk(world, &other, &context());
    let renamed = EncryptedDataKey::new("aws-kms", key.as_bytes(), theirs.ciphertext());
    let error = refusal(world, &key, renamed.unwrap());
    assert_eq!(error, ProviderErrorKind::InvalidCiphertext);
}

fn garbage(world: &World) {
    let key = world.create_key();
    let garbage = EncryptedDataKey::new("aws-kms", key.as_bytes(), [7; 150]).unwrap();
    let error = refusal(world, &key, garbage);
    assert_eq!(error, ProviderErrorKind::InvalidCiphertext);
}

fn for_signing(world: &World) {
    let client = world.strict(&[&world.create_signing_key()]);
    let error = client.encrypt(b"text", &context()).unwrap_err();
    assert_eq!(kind(&error), ProviderErrorKind::Unsupported);
}

fn discovery(world: &World) {
    let key = world.create_key();
    let message = world.strict(&[&key]).encrypt(b"text", &context()).unwrap();
    let reader = |account: &str| {
        let builder = world.builder(&world.region);
        client(builder.discovery("aws", [account]))
    };
    let decrypted = reader(account(&key)).decrypt(&message, &context()).unwrap();
    assert_eq!(decrypted.details.key, key);
    let error = reader("444455556666").decrypt(&message, &context());
    assert_eq!(kind(&error.unwrap_err()), ProviderErrorKind::NotConfigured);
}

fn multi_region(world: &World) {
    let (key, replica) = world.create_replicated_key();
    let here = || world.builder(&world.region).generator(&key);
    let there = || world.builder(world.other_region()).generator(&replica);
    for (writer, reader) in [(here(), there()), (there(), here())] {
        let message = client(writer).encrypt(b"text", &context()).unwrap();
        let decrypted = client(reader.multi_region()).decrypt(&message, &context());
        assert_eq!(decrypted.unwrap().plaintext, b"text");
    }
    let message = client(here()).encrypt(b"text", &context()).unwrap();
    let error = client(there()).decrypt(&message, &context()).unwrap_err();
    assert_eq!(kind(&error), ProviderErrorKind::NotConfigured);
}

fn multi_region_discovery(world: &World) {
    let (key, replica) = world.create_replicated_key();
    let message = world.strict(&[&key]).encrypt(b"text", &context()).unwrap();
    let reader = world
        .builder(world.other_region())
        .discovery("aws", [account(&key)]);
    let decrypted = client(reader.multi_region()).decrypt(&message, &context());
    assert_eq!(decrypted.unwrap().details.key, replica);
}
