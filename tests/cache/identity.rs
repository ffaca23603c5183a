//! What an entry is found by: all that makes two requests differ, and nothing
//! that does not.

use waxseal::CacheOutcome::{Hit, Miss};
use waxseal::{
    AlgorithmSuite, Client, ClientBuilder, CommitmentPolicy, EncryptedDataKey, EncryptionContext,
    GenerateDataKey, GeneratedDataKey, KeyProvider, ProviderFuture, ProviderIdentity,
    UnwrapDataKey, UnwrapFailures, UnwrappedDataKey, inspect,
};

use crate::support::craft::{Craft, context_bytes};
use crate::support::providers::{Fixed, Spy};
use crate::support::{raw, ready};
use crate::world::{World, decrypt, encrypt, prepare, tenant, try_decrypt, two_keys};

/// Of clients of one partition that differ in this, none hits what another
/// has cached, and each hits its own.
#[track_caller]
fn all_apart(world: &World, clients: &[Client], context: &EncryptionContext) {
    for client in clients {
        assert_eq!(prepare(client, context, 1), Miss);
    }
    for client in clients {
        assert_eq!(prepare(client, context, 1), Hit);
    }
    let message = encrypt(&clients[0], context);
    let expected = |client: &Client| try_decrypt(client, &message, context);
    for client in clients {
        // Whatever it is, it is no hit: the message may be beyond it.
        assert!(!matches!(expected(client), Ok(Hit)));
    }
    assert_eq!(expected(&clients[0]).unwrap(), Hit);
    assert_eq!(world.statistics().misses, world.statistics().provider_calls);
}

fn clients<T>(
    world: &World,
    values: impl IntoIterator<Item = T>,
    set: impl Fn(ClientBuilder, T) -> ClientBuilder,
) -> Vec<Client> {
    let client = |value| set(world.builder().caching(world.caching()), value).build();
    values.into_iter().map(client).map(Result::unwrap).collect()
}

#[test]
fn contexts() {
    let world = World::new(100);
    let client = world.client();
    let contexts = [
        EncryptionContext::new(),
        EncryptionContext::from([("a", "b")]),
        EncryptionContext::from([("a", "c")]),
        EncryptionContext::from([("b", "b")]),
        EncryptionContext::from([("a", "")]),
        EncryptionContext::from([("", "a")]),
        EncryptionContext::from([("ab", "")]),
        EncryptionContext::from([("a", "b"), ("c", "d")]),
        EncryptionContext::from([("a", "b\0c"), ("d", "")]),
    ];
    let messages = contexts.each_ref().map(|context| encrypt(&client, context));
    assert_eq!(world.generated(), contexts.len() as u64);
    for (context, message) in contexts.iter().zip(&messages) {
        assert_eq!(prepare(&client, context, 1), Hit);
        assert_eq!(decrypt(&client, message), Miss);
    }
    for message in &messages {
        assert_eq!(decrypt(&client, message), Hit);
    }
    // The order in which they were given is no difference.
    let turned = EncryptionContext::from([("c", "d"), ("a", "b")]);
    assert_eq!(prepare(&client, &turned, 1), Hit);
}

#[test]
fn suites() {
    let world = World::new(100);
    let suites = AlgorithmSuite::ALL.into_iter();
    let suites = suites.filter(|suite| suite.derives_key() && !suite.commits());
    let clients = clients(&world, suites, |builder, suite| {
        builder
            .suite(suite)
            .commitment_policy(CommitmentPolicy::ForbidEncryptAllowDecrypt)
    });
    assert_eq!(clients.len(), 6);
    for client in &clients {
        assert_eq!(prepare(client, &tenant(0), 1), Miss);
    }
    let messages: Vec<_> = clients
        .iter()
        .map(|client| encrypt(client, &tenant(0)))
        .collect();
    assert_eq!(world.generated(), 6);
    for message in &messages {
        assert_eq!(decrypt(&clients[0], message), Miss);
        assert_eq!(decrypt(&clients[1], message), Hit);
    }
}

/// A message's suite, where all else is the same.
#[test]
fn suites_of_messages() {
    let world = World::with(100, Fixed, |cache| cache);
    let client = clients(&world, [()], |builder, ()| {
        builder.commitment_policy(CommitmentPolicy::ForbidEncryptAllowDecrypt)
    })
    .remove(0);
    for suite in [
        AlgorithmSuite::Aes128GcmHkdfSha256,
        AlgorithmSuite::Aes192GcmHkdfSha256,
        AlgorithmSuite::Aes256GcmHkdfSha256,
        AlgorithmSuite::Aes256GcmHkdfSha512CommitKey,
    ] {
        let message = Craft::new(suite).whole(b"text");
        assert_eq!(decrypt(&client, &message), Miss);
        assert_eq!(decrypt(&client, &message), Hit);
    }
}

#[test]
fn a_suite_that_is_named_and_the_same_by_default() {
    let world = World::new(100);
    let suite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKey;
    let clients = clients(&world, [true, false], |builder, named| {
        if named { builder.suite(suite) } else { builder }
    });
    assert_eq!(prepare(&clients[0], &tenant(0), 1), Miss);
    assert_eq!(prepare(&clients[1], &tenant(0), 1), Miss);
    // To a reader they are the same.
    let message = encrypt(&clients[0], &tenant(0));
    assert_eq!(decrypt(&clients[0], &message), Miss);
    assert_eq!(decrypt(&clients[1], &message), Hit);
}

#[test]
fn signed_and_not() {
    let world = World::new(100);
    let clients = clients(&world, [true, false], ClientBuilder::signed);
    all_apart_when_writing(&clients);
    let message = encrypt(&clients[0], &tenant(0));
    assert_eq!(decrypt(&clients[0], &message), Miss);
    // To a reader of either kind they are the same.
    assert_eq!(decrypt(&clients[1], &message), Hit);
}

#[track_caller]
fn all_apart_when_writing(clients: &[Client]) {
    for expected in [Miss, Hit] {
        for client in clients {
            assert_eq!(prepare(client, &tenant(0), 1), expected);
        }
    }
}

#[test]
fn commitment_policies() {
    let world = World::new(100);
    let policies = [
        CommitmentPolicy::RequireEncryptRequireDecrypt,
        CommitmentPolicy::RequireEncryptAllowDecrypt,
    ];
    let clients = clients(&world, policies, ClientBuilder::commitment_policy);
    all_apart(&world, &clients, &tenant(0));
}

#[test]
fn required_keys() {
    let world = World::new(100);
    let context = EncryptionContext::from([("a", "1"), ("ab", "1"), ("bc", "1"), ("c", "1")]);
    let sets = [
        vec![],
        vec!["a"],
        vec!["ab"],
        vec!["a", "bc"],
        vec!["ab", "c"],
        vec!["a", "ab", "bc", "c"],
    ];
    let clients = clients(&world, sets, ClientBuilder::required_context_keys);
    for expected in [Miss, Hit] {
        for client in &clients {
            assert_eq!(prepare(client, &context, 1), expected);
        }
    }
    for client in &clients {
        let message = encrypt(client, &context);
        assert_eq!(try_decrypt(client, &message, &context).unwrap(), Miss);
        assert_eq!(try_decrypt(client, &message, &context).unwrap(), Hit);
    }
}

/// Nor does a key that is merely required more share what is read.
#[test]
fn required_keys_that_the_message_does_not_have() {
    let world = World::new(100);
    let context = EncryptionContext::from([("a", "1"), ("b", "1")]);
    let clients = clients(&world, [vec!["a"], vec!["a", "b"]], |builder, keys| {
        builder.required_context_keys(keys)
    });
    let message = encrypt(&clients[0], &context);
    assert_eq!(try_decrypt(&clients[0], &message, &context).unwrap(), Miss);
    try_decrypt(&clients[1], &message, &context).unwrap_err();
}

/// Three providers: two under keys of one name, and two that are the same.
#[test]
fn providers() {
    let world = World::new(100);
    let client = |provider| {
        let builder = Client::builder(provider).caching(world.caching());
        builder.build().unwrap()
    };
    let [one, other, same] = [7, 8, 7].map(|byte| client(raw("key", byte)));
    assert_eq!(prepare(&one, &tenant(0), 1), Miss);
    assert_eq!(prepare(&other, &tenant(0), 1), Miss);
    assert_eq!(prepare(&same, &tenant(0), 1), Hit);
    let message = encrypt(&one, &tenant(0));
    assert_eq!(decrypt(&one, &message), Miss);
    try_decrypt(&other, &message, &tenant(0)).unwrap_err();
    assert_eq!(decrypt(&same, &message), Hit);
}

#[test]
fn expected_pairs() {
    let world = World::new(100);
    let client = world.client();
    // Cut elsewhere they read the same.
    let context = EncryptionContext::from([("a", "bc"), ("ab", "c")]);
    let message = encrypt(&client, &context);
    let all = [
        EncryptionContext::new(),
        EncryptionContext::from([("a", "bc")]),
        EncryptionContext::from([("ab", "c")]),
        context,
    ];
    for outcome in [Miss, Hit] {
        for expected in &all {
            assert_eq!(try_decrypt(&client, &message, expected).unwrap(), outcome);
        }
    }
}

#[test]
fn stored_pairs_of_messages() {
    let world = World::with(100, Fixed, |cache| cache);
    let client = world.client();
    for outcome in [Miss, Hit] {
        for pairs in [vec![], vec![("a", "b")], vec![("a", "c")], vec![("ab", "")]] {
            let mut craft = Craft::new(AlgorithmSuite::Aes256GcmHkdfSha512CommitKey);
            craft.context = context_bytes(&pairs);
            assert_eq!(decrypt(&client, &craft.whole(b"text")), outcome);
        }
    }
}

#[test]
fn encrypted_data_keys() {
    let world = World::with(100, Fixed, |cache| cache);
    let client = world.client();
    let lists: [&[[&[u8]; 3]]; 9] = [
        &[[b"a", b"b", b"c"]],
        &[[b"x", b"b", b"c"]],
        &[[b"a", b"x", b"c"]],
        &[[b"a", b"b", b"x"]],
        &[[b"ab", b"", b"c"]],
        &[[b"a", b"bc", b""]],
        &[[b"a", b"b", b"c"], [b"a", b"b", b"c"]],
        &[[b"a", b"b", b"c"], [b"d", b"e", b"f"]],
        &[[b"a", b"b", b"cd"], [b"", b"e", b"f"]],
    ];
    for outcome in [Miss, Hit] {
        for list in lists {
            let mut craft = Craft::new(AlgorithmSuite::Aes256GcmHkdfSha512CommitKey);
            craft.edks = list
                .iter()
                .map(|fields| fields.map(<[u8]>::to_vec))
                .collect();
            assert_eq!(decrypt(&client, &craft.whole(b"text")), outcome, "{list:?}");
        }
    }
}

/// Two messages with the same encrypted data keys, in one order and the other.
#[test]
fn the_order_of_encrypted_data_keys_is_no_difference() {
    let spy = Spy::new(two_keys());
    let data_key = spy.data_key.clone();
    let world = World::with(100, spy, |cache| cache);
    let client = world.client();
    let context = EncryptionContext::from([("a", "b")]);
    let message = encrypt(&client, &context);
    let original = ready(client.decrypt(&message, &context)).unwrap();
    assert_eq!(original.details.encrypted_data_key_index, 0);

    let header = inspect(&message).unwrap();
    let fields = |edk: &EncryptedDataKey| {
        [
            edk.provider_id().as_bytes().to_vec(),
            edk.key_info().to_vec(),
            edk.ciphertext().to_vec(),
        ]
    };
    let mut craft = Craft::new(AlgorithmSuite::Aes256GcmHkdfSha512CommitKey);
    craft.data_key = data_key.lock().unwrap().clone();
    craft.edks = header.encrypted_data_keys().iter().map(fields).collect();
    craft.edks.reverse();
    let turned = craft.whole(b"turned");

    let decrypted = ready(client.decrypt(&turned, &context)).unwrap();
    assert_eq!(decrypted.plaintext, b"turned");
    let details = decrypted.details;
    assert_eq!(details.cache_outcome, Some(Hit));
    assert_eq!(details.encrypted_data_key_index, 1);
    assert_eq!(
        details.encrypted_data_key,
        original.details.encrypted_data_key
    );
    assert_eq!(details.key, "first");
    // As it is without the cache.
    let uncached = ready(Client::new(two_keys()).decrypt(&turned, &context)).unwrap();
    assert_eq!(uncached.details.encrypted_data_key_index, 1);
}

/// A provider with an identity that a test makes up.
struct Called(ProviderIdentity);

impl KeyProvider for Called {
    fn identity(&self) -> ProviderIdentity {
        self.0.clone()
    }

    fn generate_data_key<'a>(
        &'a self,
        request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        Fixed.generate_data_key(request)
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        Fixed.unwrap_data_key(request)
    }
}

/// A partition's name ends where it ends: it and the provider's identity after
/// it, one after the other or with zero bytes between them, are the same bytes
/// in both.
#[test]
fn where_a_partition_ends() {
    let world = World::new(100);
    let client = |partition: &str, identity| {
        Client::builder(Called(identity))
            .caching(world.caching().partition(partition))
            .build()
            .unwrap()
    };
    let one = client("a", ProviderIdentity::new("", &[b"x"]));
    let other = client(
        &format!("a{}", "\0".repeat(8)),
        ProviderIdentity::new("x", &[]),
    );
    assert_eq!(prepare(&one, &tenant(0), 1), Miss);
    assert_eq!(prepare(&other, &tenant(0), 1), Miss);
    let message = encrypt(&one, &tenant(0));
    assert_eq!(decrypt(&one, &message), Miss);
    assert_eq!(decrypt(&other, &message), Miss);
}

/// Both kinds of materials of one context are there at once.
#[test]
fn writing_and_reading() {
    let world = World::new(100);
    let client = world.client();
    let message = encrypt(&client, &tenant(0));
    assert_eq!(decrypt(&client, &message), Miss);
    assert_eq!(prepare(&client, &tenant(0), 1), Hit);
    assert_eq!(decrypt(&client, &message), Hit);
    assert_eq!(world.statistics().entries, 2);
}

/// The materials of a data key that was made here are not what it is read
/// with: reading asks the provider, who may forbid it.
#[test]
fn writing_does_not_permit_reading() {
    let world = World::new(100);
    let client = world.client();
    let message = encrypt(&client, &tenant(0));
    world.failing.fail(waxseal::ProviderErrorKind::AccessDenied);
    try_decrypt(&client, &message, &tenant(0)).unwrap_err();
    assert_eq!(prepare(&client, &tenant(0), 1), Hit);
}
