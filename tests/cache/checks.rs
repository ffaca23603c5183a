//! What is checked on a hit as it is on a miss, and what a hit says.

use waxseal::CacheOutcome::{Hit, Miss};
use waxseal::{
    AlgorithmSuite, Client, ClientBuilder, CommitmentPolicy, EncryptionContext, Error, inspect,
};

use crate::support::{raw, ready};
use crate::world::{World, decrypt, encrypt, prepare, tenant, try_decrypt, try_prepare, two_keys};

fn client_of(world: &World, more: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Client {
    let builder = world.builder().caching(world.caching());
    more(builder).build().unwrap()
}

#[test]
fn a_wrong_pair_fails_on_a_hit() {
    let world = World::new(10);
    let client = world.client();
    let message = encrypt(&client, &tenant(0));
    let wrong = tenant(1);
    let unknown = EncryptionContext::from([("tenant", "0"), ("more", "x")]);
    let fails = || {
        let before = world.statistics();
        let error = try_decrypt(&client, &message, &wrong).unwrap_err();
        assert!(matches!(error, Error::ContextMismatch { key } if key == "tenant"));
        let error = try_decrypt(&client, &message, &unknown).unwrap_err();
        assert!(matches!(error, Error::ContextKeyNotInMessage { key } if key == "more"));
        assert_eq!(world.statistics(), before, "the cache was asked");
    };
    fails();
    assert_eq!(decrypt(&client, &message), Miss);
    assert_eq!(try_decrypt(&client, &message, &tenant(0)).unwrap(), Miss);
    fails();
    assert_eq!(decrypt(&client, &message), Hit);
    assert_eq!(try_decrypt(&client, &message, &tenant(0)).unwrap(), Hit);
    assert_eq!(world.unwrapped(), 2);
}

#[test]
fn a_required_key_that_is_missing_fails_on_a_hit() {
    let world = World::new(10);
    let client = client_of(&world, |builder| builder.required_context_keys(["tenant"]));
    let both = EncryptionContext::from([("tenant", "0"), ("a", "b")]);
    let stored = EncryptionContext::from([("a", "b")]);
    let message = encrypt(&client, &both);
    assert_eq!(prepare(&client, &both, 1), Hit);
    assert_eq!(try_decrypt(&client, &message, &tenant(0)).unwrap(), Miss);
    assert_eq!(try_decrypt(&client, &message, &tenant(0)).unwrap(), Hit);

    let before = world.statistics();
    let missing =
        |error| matches!(error, Error::RequiredContextKeyMissing { key } if key == "tenant");
    assert!(missing(try_prepare(&client, &stored, 1).unwrap_err()));
    assert!(missing(
        try_decrypt(&client, &message, &stored).unwrap_err()
    ));
    assert_eq!(world.statistics(), before, "the cache was asked");

    // A wrong value is bound, so that the provider or the header says no.
    try_decrypt(&client, &message, &tenant(1)).unwrap_err();
    assert_eq!(try_decrypt(&client, &message, &tenant(0)).unwrap(), Hit);
    // Nor does it help that a client without the requirement has it cached.
    let lax = world.client();
    let open = encrypt(&lax, &both);
    assert_eq!(decrypt(&lax, &open), Miss);
    assert!(matches!(
        try_decrypt(&client, &open, &tenant(0)).unwrap_err(),
        Error::RequiredContextKeyInMessage { .. }
    ));
}

/// The values that are bound without being stored come out of a hit.
#[test]
fn what_is_only_bound_is_in_the_details() {
    let world = World::new(10);
    let client = client_of(&world, |builder| builder.required_context_keys(["tenant"]));
    let both = EncryptionContext::from([("tenant", "0"), ("a", "b")]);
    let message = encrypt(&client, &both);
    for expected in [Miss, Hit] {
        let decrypted = ready(client.decrypt(&message, &tenant(0))).unwrap();
        assert_eq!(decrypted.details.cache_outcome, Some(expected));
        assert_eq!(decrypted.details.context, both);
    }
}

#[test]
fn reserved_keys_are_refused_before_the_cache() {
    let world = World::new(10);
    let client = world.client();
    let before = world.statistics();
    let context = EncryptionContext::from([("aws-crypto-x", "y")]);
    assert!(matches!(
        try_prepare(&client, &context, 1).unwrap_err(),
        Error::ReservedContextKey { .. }
    ));
    assert_eq!(world.statistics(), before);
}

/// Whatever is cached by a client that allows it.
#[test]
fn a_policy_forbids_on_a_hit() {
    let world = World::new(10);
    let suite = AlgorithmSuite::Aes256GcmHkdfSha256;
    let lax = client_of(&world, |builder| {
        builder
            .commitment_policy(CommitmentPolicy::ForbidEncryptAllowDecrypt)
            .suite(suite)
    });
    let message = encrypt(&lax, &tenant(0));
    assert_eq!(decrypt(&lax, &message), Miss);
    assert_eq!(decrypt(&lax, &message), Hit);
    let strict = world.client();
    assert!(matches!(
        try_decrypt(&strict, &message, &tenant(0)).unwrap_err(),
        Error::SuiteForbidden { .. }
    ));
    let strict_writer = client_of(&world, |builder| builder.suite(suite));
    assert!(matches!(
        try_prepare(&strict_writer, &tenant(0), 1).unwrap_err(),
        Error::SuiteForbidden { .. }
    ));
    // What the policies agree on is still not shared.
    let committing = encrypt(&strict, &tenant(0));
    assert_eq!(decrypt(&lax, &committing), Miss);
    assert_eq!(decrypt(&strict, &committing), Miss);
}

#[test]
fn a_hit_says_what_a_miss_says() {
    let world = World::with(10, two_keys(), |cache| cache);
    let client = world.client();
    let message = encrypt(&client, &tenant(0));
    let details = |expected| {
        let decrypted = ready(client.decrypt(&message, &tenant(0))).unwrap();
        assert_eq!(decrypted.plaintext, b"text");
        assert_eq!(decrypted.details.cache_outcome, Some(expected));
        decrypted.details
    };
    let (miss, hit) = (details(Miss), details(Hit));
    assert_eq!(hit.key, "first");
    assert_eq!(hit.key, miss.key);
    assert_eq!(hit.key_version, miss.key_version);
    assert_eq!(hit.provider, miss.provider);
    assert_eq!(hit.encrypted_data_key, miss.encrypted_data_key);
    assert_eq!(hit.encrypted_data_key_index, miss.encrypted_data_key_index);
    assert_eq!((hit.suite, &hit.context), (miss.suite, &miss.context));
    assert_eq!(hit.message_id(), miss.message_id());
}

/// The second encrypted data key is the one that this reader opens.
#[test]
fn the_index_of_the_second() {
    let world = World::with(10, two_keys(), |cache| cache);
    let message = encrypt(&world.client(), &tenant(0));
    let reader = World::with(10, raw("second", 2), |cache| cache);
    let client = reader.client();
    for expected in [Miss, Hit, Hit] {
        let details = ready(client.decrypt(&message, &tenant(0))).unwrap().details;
        assert_eq!(details.cache_outcome, Some(expected));
        assert_eq!(details.encrypted_data_key_index, 1);
        assert_eq!(details.key, "second");
        let header = inspect(&message).unwrap();
        assert_eq!(details.encrypted_data_key, header.encrypted_data_keys()[1]);
    }
}

#[cfg(feature = "kms")]
#[test]
fn a_hit_names_the_version_of_the_key() {
    use waxseal::blocking::wait;
    use waxseal::kms::{CreateKey, LocalKms};

    let kms = LocalKms::in_memory().unwrap();
    let key = wait(kms.create_key(CreateKey::new())).unwrap();
    wait(kms.rotate(&key.id)).unwrap();
    let world = World::with(10, kms.provider(&key.id), |cache| cache);
    let client = world.client();
    let message = encrypt(&client, &tenant(0));
    let details = |expected| {
        let details = ready(client.decrypt(&message, &tenant(0))).unwrap().details;
        assert_eq!(details.cache_outcome, Some(expected));
        (details.key, details.key_version)
    };
    let miss = details(Miss);
    assert_eq!(miss.0, key.arn);
    assert!(miss.1.is_some());
    assert_eq!(details(Hit), miss);
}

/// What was cached opens what its message says, and only that: a message that
/// was damaged after its header fails on a hit.
#[test]
fn a_damaged_message_fails_on_a_hit() {
    let world = World::new(10);
    let client = world.client();
    let message = encrypt(&client, &tenant(0));
    assert_eq!(decrypt(&client, &message), Miss);
    let mut damaged = message.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(matches!(
        try_decrypt(&client, &damaged, &tenant(0)).unwrap_err(),
        Error::FrameAuthentication { .. }
    ));
    assert_eq!(decrypt(&client, &message), Hit);
}
