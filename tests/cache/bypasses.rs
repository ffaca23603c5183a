//! What goes past the cache: nothing is looked up, stored or charged, and what
//! is there stays as it is.

use std::io::Read;

use waxseal::CacheOutcome::{Bypass, Hit, Miss};
use waxseal::{AlgorithmSuite, CacheOutcome, Client, CommitmentPolicy};

use crate::support::ready;
use crate::world::{World, decrypt, encrypt, prepare, tenant};

/// A cache of two with one entry that is at its last but one message, is next
/// to go, and must be after `bypass` what it was.
#[track_caller]
fn goes_past(bypass: impl Fn(&World, &Client) -> Option<CacheOutcome>) {
    let world = World::new(2);
    let client = world.client_with(|caching| caching.max_messages(2).max_bytes(100));
    assert_eq!(prepare(&client, &tenant(0), 10), Miss);
    assert_eq!(prepare(&client, &tenant(1), 10), Miss);
    let before = world.statistics();
    assert_eq!(bypass(&world, &client), Some(Bypass));
    let after = world.statistics();
    assert_eq!(after.bypassed, before.bypassed + 1);
    assert_eq!(after.provider_calls, before.provider_calls + 1);
    assert_eq!((after.entries, after.evicted.total()), (2, 0));
    assert_eq!(
        (after.hits, after.misses),
        (before.hits, before.misses),
        "it was looked up"
    );
    // Not charged: 90 bytes and a message are left.
    assert_eq!(prepare(&client, &tenant(0), 90), Hit);
    assert_eq!(prepare(&client, &tenant(1), 90), Hit);

    // Nor moved: the older one of the two is the next to go.
    let world = World::new(2);
    let client = world.client_with(|caching| caching.max_bytes(100));
    assert_eq!(prepare(&client, &tenant(0), 10), Miss);
    assert_eq!(prepare(&client, &tenant(1), 10), Miss);
    bypass(&world, &client);
    assert_eq!(prepare(&client, &tenant(2), 10), Miss);
    assert_eq!(prepare(&client, &tenant(1), 10), Hit);
    assert_eq!(prepare(&client, &tenant(0), 10), Miss);
}

#[test]
fn a_length_that_nobody_knows() {
    goes_past(|_, client| {
        let prepared = ready(client.prepare(&tenant(0), None)).unwrap();
        prepared.cache_outcome()
    });
    goes_past(|_, client| {
        let encryptor = ready(client.encryptor(&tenant(0), None)).unwrap();
        encryptor.finish(&mut Vec::new()).unwrap();
        Some(Bypass)
    });
    goes_past(|_, client| {
        let client = client.blocking();
        let mut reader = client.encrypt_reader(&b"text"[..], &tenant(0)).unwrap();
        reader.read_to_end(&mut Vec::new()).unwrap();
        Some(Bypass)
    });
    goes_past(|_, client| {
        let client = client.blocking();
        let writer = client.encrypt_writer(Vec::new(), &tenant(0)).unwrap();
        writer.finish().unwrap();
        Some(Bypass)
    });
}

#[test]
fn a_stream_with_a_bound_does_not() {
    let world = World::new(2);
    let client = world.client_with(|caching| caching.max_bytes(100));
    let mut message = Vec::new();
    let mut encryptor = ready(client.encryptor(&tenant(0), Some(60))).unwrap();
    encryptor.update(b"text", &mut message).unwrap();
    encryptor.finish(&mut message).unwrap();
    // By the bound.
    assert_eq!(prepare(&client, &tenant(0), 40), Hit);
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
    assert_eq!(world.statistics().bypassed, 0);
}

#[test]
fn more_than_a_data_key_may_encrypt() {
    goes_past(|_, client| {
        let prepared = ready(client.prepare(&tenant(0), Some(101))).unwrap();
        prepared.cache_outcome()
    });
}

/// A client of suites without a key derivation, in the same partition.
fn plain(world: &World, suite: AlgorithmSuite) -> Client {
    world
        .builder()
        .commitment_policy(CommitmentPolicy::ForbidEncryptAllowDecrypt)
        .suite(suite)
        .allow_suites_without_key_derivation(true)
        .caching(world.caching())
        .build()
        .unwrap()
}

#[test]
fn suites_without_key_derivation() {
    let suites = AlgorithmSuite::ALL.into_iter();
    for suite in suites.filter(|suite| !suite.derives_key()) {
        goes_past(|world, _| {
            let client = plain(world, suite);
            Some(prepare(&client, &tenant(0), 1))
        });
        let world = World::new(10);
        let client = plain(&world, suite);
        let messages = [encrypt(&client, &tenant(0)), encrypt(&client, &tenant(0))];
        assert_eq!(world.generated(), 2);
        for message in &messages {
            for _ in 0..2 {
                assert_eq!(decrypt(&client, message), Bypass);
            }
        }
        assert_eq!(world.unwrapped(), 4);
        let statistics = world.statistics();
        assert_eq!((statistics.entries, statistics.bypassed), (0, 6));
        assert_eq!(statistics.hits + statistics.misses, 0);
    }
}

#[test]
fn every_other_suite_is_cached() {
    let suites = AlgorithmSuite::ALL.into_iter();
    for suite in suites.filter(|suite| suite.derives_key()) {
        let world = World::new(10);
        let policy = match suite.commits() {
            true => CommitmentPolicy::RequireEncryptRequireDecrypt,
            false => CommitmentPolicy::ForbidEncryptAllowDecrypt,
        };
        let client = world
            .builder()
            .commitment_policy(policy)
            .suite(suite)
            .caching(world.caching())
            .build()
            .unwrap();
        let messages = [encrypt(&client, &tenant(0)), encrypt(&client, &tenant(0))];
        assert_eq!(world.generated(), 1, "{suite}");
        // One data key, and two ids: each message has a key of its own.
        let ids = messages.each_ref().map(|message| {
            let decrypted = ready(client.decrypt(message, &tenant(0))).unwrap();
            assert_eq!(decrypted.plaintext, b"text");
            decrypted.details.message_id().to_vec()
        });
        assert_ne!(ids[0], ids[1]);
        assert_eq!(world.unwrapped(), 1, "{suite}");
        assert_eq!(world.statistics().entries, 2);
    }
}

/// What fails past the cache leaves no trace in it either.
#[test]
fn a_failure() {
    let world = World::new(10);
    let client = world.client();
    world
        .failing
        .fail_next(1, waxseal::ProviderErrorKind::AccessDenied);
    ready(client.prepare(&tenant(0), None)).unwrap_err();
    let statistics = world.statistics();
    assert_eq!((statistics.bypassed, statistics.provider_failures), (1, 1));
    assert_eq!((statistics.entries, statistics.provider_calls), (0, 1));
}
