//! A data-key cache between callers.

use waxseal::blocking::{Client, wait};
use waxseal::kms::{Caller, LocalKms};
use waxseal::{CacheOutcome, Caching, DataKeyCache};

use crate::scene::{DAY, Scene, admin, context, policy_with, statement, user};

fn client(kms: &LocalKms, cache: &DataKeyCache) -> Client {
    let caching = Caching::new(cache, DAY).partition("shared");
    let builder = Client::builder(kms.provider("alias/key")).caching(caching);
    builder.build().expect("good settings").blocking()
}

/// Two clients that share a cache and its partition, of two callers: what one of
/// them was given is not the other's.
#[test]
fn callers_share_no_data_key() {
    let scene = Scene::new();
    let cache = DataKeyCache::builder(100)
        .clock(scene.clock.clone())
        .build();
    let alice = client(&scene.acting(admin("alice")), &cache);
    let message = alice.encrypt(b"text", &context()).unwrap();
    alice.decrypt(&message, &context()).unwrap();
    let prepared = alice.prepare(&context(), Some(4)).unwrap();
    assert_eq!(prepared.cache_outcome(), Some(CacheOutcome::Hit));

    let others = [
        Caller::new(user("bob")),
        // The same principal without its policies, and asking only.
        Caller::new(user("alice")),
        admin("alice").dry_run(true),
        admin("alice").identity_policy(crate::scene::identity("Deny", "kms:*", "*")),
    ];
    for other in others {
        let client = client(&scene.acting(other.clone()), &cache);
        client.encrypt(b"text", &context()).unwrap_err();
        client.prepare(&context(), Some(4)).unwrap_err();
        client.decrypt(&message, &context()).unwrap_err();
    }
    let alice = scene.acting(admin("alice")).acting_as(admin("alice"));
    client(&alice, &cache)
        .encrypt(b"text", &context())
        .unwrap_err();
    // One that may has a data key of its own.
    let carol = client(&scene.acting(admin("carol")), &cache);
    let prepared = carol.prepare(&context(), Some(4)).unwrap();
    assert_eq!(prepared.cache_outcome(), Some(CacheOutcome::Miss));
    carol.decrypt(&message, &context()).unwrap();
}

/// A policy that changes is a key that changes: what is cached is not used on.
#[test]
fn a_policy_that_changes_empties_the_cache() {
    let scene = Scene::new();
    let cache = DataKeyCache::builder(100)
        .clock(scene.clock.clone())
        .build();
    cache.follow(&scene.kms);
    let alice = client(&scene.acting(admin("alice")), &cache);
    let message = alice.encrypt(b"text", &context()).unwrap();
    alice.decrypt(&message, &context()).unwrap();
    let denied = statement("Deny", user("alice").arn(), "kms:*");
    wait(
        scene
            .kms
            .put_key_policy(&scene.key.id, &policy_with(&denied)),
    )
    .unwrap();
    alice.encrypt(b"text", &context()).unwrap_err();
    alice.decrypt(&message, &context()).unwrap_err();
}
