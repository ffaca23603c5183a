//! Decryptions that failed, remembered for a short time where a client asks
//! for it.

use std::time::Duration;

use waxseal::CacheOutcome::{Hit, Miss};
use waxseal::ProviderErrorKind::{AccessDenied, Throttled, TimedOut, Unavailable};
use waxseal::{Client, Error};

use crate::tasks::{decryption, run};
use crate::world::{PARTITION, World, decrypt, encrypt, tenant, try_decrypt, try_prepare};

const TTL: Duration = Duration::from_secs(5);

fn client(world: &World) -> Client {
    world.client_with(|caching| caching.negative_ttl(TTL))
}

#[track_caller]
fn fails(client: &Client, message: &[u8]) {
    let error = try_decrypt(client, message, &tenant(0)).unwrap_err();
    assert!(matches!(error, Error::Unwrap(_)), "{error}");
}

#[test]
fn for_its_time_exactly() {
    let world = World::new(10);
    let client = client(&world);
    let message = encrypt(&client, &tenant(0));
    world.failing.fail(AccessDenied);
    fails(&client, &message);
    fails(&client, &message);
    world.advance(TTL - Duration::from_nanos(1));
    fails(&client, &message);
    assert_eq!(world.unwrapped(), 1);
    assert_eq!(world.statistics().refused, 2);
    // From the failure on, and not from when it was asked for last.
    world.advance(Duration::from_nanos(1));
    fails(&client, &message);
    assert_eq!(world.unwrapped(), 2);
    world.failing.recover();
    world.advance(TTL);
    assert_eq!(try_decrypt(&client, &message, &tenant(0)).unwrap(), Miss);
    assert_eq!(try_decrypt(&client, &message, &tenant(0)).unwrap(), Hit);
}

/// It is the same error.
#[test]
fn it_says_why() {
    let world = World::new(10);
    let client = client(&world);
    let message = encrypt(&client, &tenant(0));
    world.failing.fail(AccessDenied);
    let texts = [0, 1].map(|_| {
        let error = try_decrypt(&client, &message, &tenant(0)).unwrap_err();
        error.to_string()
    });
    assert_eq!(texts[0], texts[1]);
    assert_eq!(world.unwrapped(), 1);
}

#[test]
fn not_unless_it_is_set() {
    let world = World::new(10);
    let client = world.client();
    let message = encrypt(&client, &tenant(0));
    world.failing.fail(AccessDenied);
    fails(&client, &message);
    fails(&client, &message);
    assert_eq!(world.unwrapped(), 2);
    assert_eq!(world.statistics().refused, 0);
}

/// Clients that share keep to their own times, and one that succeeds ends it.
#[test]
fn not_for_a_client_that_has_not_set_it() {
    let world = World::new(10);
    let (longer, without) = (client(&world), world.client());
    let shorter = world.client_with(|caching| caching.negative_ttl(TTL / 5));
    let message = encrypt(&longer, &tenant(0));
    world.failing.fail(AccessDenied);
    fails(&longer, &message);
    fails(&shorter, &message);
    assert_eq!(world.unwrapped(), 1);
    fails(&without, &message);
    assert_eq!(world.unwrapped(), 2);
    world.advance(TTL / 5);
    fails(&longer, &message);
    assert_eq!(world.unwrapped(), 2);
    world.failing.recover();
    assert_eq!(try_decrypt(&shorter, &message, &tenant(0)).unwrap(), Miss);
    assert_eq!(try_decrypt(&longer, &message, &tenant(0)).unwrap(), Hit);
}

#[test]
fn not_what_a_retry_may_mend() {
    let retry_after = None;
    for kind in [Unavailable, TimedOut, Throttled { retry_after }] {
        let world = World::new(10);
        let client = client(&world);
        let message = encrypt(&client, &tenant(0));
        world.failing.fail_next(1, kind);
        fails(&client, &message);
        assert_eq!(try_decrypt(&client, &message, &tenant(0)).unwrap(), Miss);
    }
}

#[test]
fn not_encryption() {
    let world = World::new(10);
    let client = client(&world);
    world.failing.fail_next(1, AccessDenied);
    try_prepare(&client, &tenant(0), 1).unwrap_err();
    try_prepare(&client, &tenant(0), 1).unwrap();
}

/// Nor another message, nor another partition.
#[test]
fn only_the_same_request() {
    let world = World::new(10);
    let client = client(&world);
    let message = encrypt(&client, &tenant(0));
    world.failing.fail_next(1, AccessDenied);
    fails(&client, &message);
    assert_eq!(decrypt(&client, &message), Miss, "other expected pairs");
    let other = world.client_with(|caching| caching.partition("other").negative_ttl(TTL));
    assert_eq!(try_decrypt(&other, &message, &tenant(0)).unwrap(), Miss);
    fails(&client, &message);
}

#[test]
fn it_takes_no_entry() {
    let world = World::new(1);
    let client = client(&world);
    let message = encrypt(&client, &tenant(0));
    world.failing.fail(AccessDenied);
    fails(&client, &message);
    assert_eq!(world.statistics().entries, 1);
    assert_eq!(try_prepare(&client, &tenant(0), 1).unwrap(), Hit);
}

/// As many bad messages as there may be take no more than so much memory: the
/// oldest is forgotten.
#[test]
fn no_more_than_so_many() {
    let world = World::new(2000);
    let client = client(&world);
    let messages: Vec<_> = (0..1025)
        .map(|number| encrypt(&client, &tenant(number)))
        .collect();
    world.failing.fail(AccessDenied);
    let fails = |number: usize| {
        try_decrypt(&client, &messages[number], &tenant(number)).unwrap_err();
        world.unwrapped()
    };
    for number in 0..1024 {
        assert_eq!(fails(number), number as u64 + 1);
    }
    assert_eq!(fails(0), 1024);
    assert_eq!(fails(1024), 1025);
    assert_eq!(fails(0), 1025);
    assert_eq!(fails(1), 1026);
}

#[test]
fn an_eviction_forgets_it() {
    for evict in [
        |world: &World| world.cache.clear(),
        |world: &World| world.cache.evict_partition(PARTITION),
        |world: &World| world.cache.evict_key("key"),
    ] {
        let world = World::new(10);
        let client = client(&world);
        let message = encrypt(&client, &tenant(0));
        world.failing.fail_next(1, AccessDenied);
        fails(&client, &message);
        world.cache.evict_partition("another");
        fails(&client, &message);
        evict(&world);
        assert_eq!(try_decrypt(&client, &message, &tenant(0)).unwrap(), Miss);
    }
}

/// Those who wait for the call hear of it without another.
#[test]
fn for_those_who_wait_too() {
    let world = World::new(10);
    let client = client(&world);
    let message = encrypt(&client, &tenant(0));
    world.hold();
    world.failing.fail(AccessDenied);
    let mut tasks: Vec<_> = (0..10).map(|_| decryption(&client, &message, 0)).collect();
    run(&mut tasks);
    world.let_go();
    run(&mut tasks);
    for task in &mut tasks {
        task.result().unwrap_err();
    }
    assert_eq!(world.unwrapped(), 1);
    let statistics = world.statistics();
    // The message's own and the first of these.
    assert_eq!((statistics.misses, statistics.coalesced), (2, 9));
}
