//! How often and how long one data key serves.

use std::time::Duration;

use waxseal::CacheOutcome::{Bypass, Hit, Miss};
use waxseal::{Caching, Client, Error};

use crate::support::{raw, ready};
use crate::world::{MAX_AGE, PARTITION, World, decrypt, encrypt, prepare, tenant};

const NANOSECOND: Duration = Duration::from_nanos(1);

#[test]
fn valid_while_under_its_age() {
    let world = World::new(10);
    let client = world.client();
    let message = encrypt(&client, &tenant(0));
    assert_eq!(decrypt(&client, &message), Miss);
    world.advance(MAX_AGE - NANOSECOND);
    assert_eq!(prepare(&client, &tenant(0), 1), Hit);
    assert_eq!(decrypt(&client, &message), Hit);
    world.advance(NANOSECOND);
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
    assert_eq!(decrypt(&client, &message), Miss);
    assert_eq!((world.generated(), world.unwrapped()), (2, 2));
}

#[test]
fn an_age_is_not_extended_by_use() {
    let world = World::new(10);
    let client = world.client();
    let message = encrypt(&client, &tenant(0));
    assert_eq!(decrypt(&client, &message), Miss);
    for _ in 0..9 {
        world.advance(MAX_AGE / 10);
        assert_eq!(prepare(&client, &tenant(0), 1), Hit);
        assert_eq!(decrypt(&client, &message), Hit);
    }
    world.advance(MAX_AGE / 10);
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
    assert_eq!(decrypt(&client, &message), Miss);
}

/// By the clock that never goes back, and from the landing of the call on.
#[test]
fn the_date_has_no_say() {
    let world = World::new(10);
    let client = world.client();
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
    world.clock.set(std::time::SystemTime::UNIX_EPOCH);
    assert_eq!(prepare(&client, &tenant(0), 1), Hit);
    world.advance(MAX_AGE);
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
}

#[test]
fn clients_of_different_ages_share_and_keep_to_their_own() {
    let world = World::new(10);
    let long = world.client();
    let short = world
        .builder()
        .caching(Caching::new(&world.cache, MAX_AGE / 2).partition(PARTITION))
        .build()
        .unwrap();
    assert_eq!(prepare(&long, &tenant(0), 1), Miss);
    world.advance(MAX_AGE / 2 - NANOSECOND);
    assert_eq!(prepare(&short, &tenant(0), 1), Hit);
    world.advance(NANOSECOND);
    assert_eq!(prepare(&long, &tenant(0), 1), Hit);
    // Too old for one, it makes way for a younger one.
    assert_eq!(prepare(&short, &tenant(0), 1), Miss);
    assert_eq!(world.statistics().evicted.replaced, 1);
    // And who made it says how long it is kept.
    world.advance(MAX_AGE / 2);
    assert_eq!(prepare(&long, &tenant(0), 1), Miss);
    assert_eq!(world.statistics().evicted.expired, 1);
}

/// Also where so many have expired that it is still there.
#[test]
fn who_made_it_says_how_long_it_is_kept() {
    let world = World::new(1000);
    let caching = Caching::new(&world.cache, MAX_AGE / 2).partition(PARTITION);
    let short = world.builder().caching(caching).build().unwrap();
    for number in 0..100 {
        assert_eq!(prepare(&short, &tenant(number), 1), Miss);
    }
    world.advance(MAX_AGE / 2);
    assert_eq!(prepare(&world.client(), &tenant(99), 1), Miss);
}

#[test]
fn so_many_messages_with_the_first() {
    for limit in [1, 2, 5] {
        let world = World::new(10);
        let client = world.client_with(|caching| caching.max_messages(limit));
        for round in 1..=3 {
            assert_eq!(prepare(&client, &tenant(0), 0), Miss);
            for _ in 1..limit {
                assert_eq!(prepare(&client, &tenant(0), 0), Hit);
            }
            assert_eq!(world.generated(), round);
        }
        assert_eq!(world.statistics().evicted.exhausted, 2);
        assert_eq!(world.statistics().entries, 1);
    }
}

#[test]
fn so_many_bytes_with_the_first() {
    let world = World::new(10);
    let client = world.client_with(|caching| caching.max_bytes(100));
    assert_eq!(prepare(&client, &tenant(0), 40), Miss);
    assert_eq!(prepare(&client, &tenant(0), 59), Hit);
    // One is left.
    assert_eq!(prepare(&client, &tenant(0), 1), Hit);
    assert_eq!(prepare(&client, &tenant(0), 0), Hit);
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
    assert_eq!(prepare(&client, &tenant(0), 99), Hit);
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
}

/// As much as a data key may encrypt is cached, and then only empty messages
/// are left for it.
#[test]
fn the_most_bytes_at_once() {
    let world = World::new(10);
    let client = world.client_with(|caching| caching.max_bytes(100));
    assert_eq!(prepare(&client, &tenant(0), 100), Miss);
    assert_eq!(prepare(&client, &tenant(0), 0), Hit);
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
    assert_eq!(prepare(&client, &tenant(1), 101), Bypass);
}

/// A message that does not fit takes a new data key, which then is the one
/// that serves, as in the Encryption SDKs: even where it is used up and the
/// old one was not.
#[test]
fn what_does_not_fit_replaces() {
    let world = World::new(10);
    let client = world.client_with(|caching| caching.max_bytes(100));
    assert_eq!(prepare(&client, &tenant(0), 10), Miss);
    assert_eq!(prepare(&client, &tenant(0), 100), Miss);
    assert_eq!(prepare(&client, &tenant(0), 10), Miss);
    assert_eq!(prepare(&client, &tenant(0), 90), Hit);
    assert_eq!(world.statistics().evicted.exhausted, 2);
}

#[test]
fn the_greatest_limits() {
    let world = World::new(10);
    let client =
        world.client_with(|caching| caching.max_messages(1 << 32).max_bytes(i64::MAX as u64));
    let most = i64::MAX as u64;
    // More than the format allows of one message with frames of 4,096 bytes.
    assert!(matches!(
        ready(client.prepare(&tenant(0), Some(most))),
        Err(Error::TooManyFrames)
    ));
    let client = world
        .builder()
        .frame_length(u32::MAX)
        .caching(world.caching())
        .build()
        .unwrap();
    assert_eq!(prepare(&client, &tenant(0), most), Miss);
    assert_eq!(prepare(&client, &tenant(0), 0), Hit);
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
    assert_eq!(prepare(&client, &tenant(0), most), Miss);
    assert_eq!(prepare(&client, &tenant(1), most + 1), Bypass);
}

/// A data key is charged before it is handed out, so that what is done with it
/// does not matter.
#[test]
fn charged_beforehand() {
    let world = World::new(10);
    let client = world.client_with(|caching| caching.max_messages(3));
    for expected in [Miss, Hit, Hit] {
        let prepared = ready(client.prepare(&tenant(0), Some(1))).unwrap();
        assert_eq!(prepared.cache_outcome(), Some(expected));
        drop(prepared);
    }
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);

    // By the bound and not by what comes.
    let client = world.client_with(|caching| caching.max_bytes(100));
    let prepared = ready(client.prepare(&tenant(1), Some(60))).unwrap();
    prepared.encrypt(b"text").unwrap();
    assert_eq!(prepare(&client, &tenant(1), 41), Miss);
}

/// A limit is the client's: one client's messages count for all who share.
#[test]
fn clients_of_different_limits_share_and_keep_to_their_own() {
    let world = World::new(10);
    let many = world.client_with(|caching| caching.max_messages(5));
    let few = world.client_with(|caching| caching.max_messages(2));
    assert_eq!(prepare(&many, &tenant(0), 1), Miss);
    assert_eq!(prepare(&few, &tenant(0), 1), Hit);
    assert_eq!(prepare(&many, &tenant(0), 1), Hit);
    assert_eq!(prepare(&few, &tenant(0), 1), Miss);
    assert_eq!(prepare(&many, &tenant(0), 1), Hit);
    assert_eq!(prepare(&few, &tenant(0), 1), Miss);
    assert_eq!(world.generated(), 3);
}

#[test]
fn decryption_has_no_limit_but_age() {
    let world = World::new(10);
    let client = world.client_with(|caching| caching.max_messages(1).max_bytes(1));
    let message = ready(client.encrypt(b"a", &tenant(0))).unwrap();
    let long = ready(client.encrypt(b"more than one byte", &tenant(0))).unwrap();
    for message in [&message, &long] {
        assert_eq!(decrypt(&client, message), Miss);
        for _ in 0..5 {
            assert_eq!(decrypt(&client, message), Hit);
        }
    }
}

#[test]
fn capacity() {
    for capacity in [0, 1, 3] {
        let world = World::new(capacity);
        assert_eq!(world.cache.capacity(), capacity);
        let client = world.client();
        let mut messages = Vec::new();
        for number in 0..5 {
            messages.push(encrypt(&client, &tenant(number)));
            assert_eq!(world.statistics().entries, capacity.min(number + 1));
        }
        for number in (0..5).rev().take(capacity) {
            assert_eq!(prepare(&client, &tenant(number), 1), Hit);
        }
        assert_eq!(prepare(&client, &tenant(5 - capacity - 1), 1), Miss);
        // Both kinds count together.
        for message in &messages {
            assert_eq!(decrypt(&client, message), Miss);
            assert!(world.statistics().entries <= capacity);
        }
        let kept = if capacity > 0 { Hit } else { Miss };
        assert_eq!(decrypt(&client, &messages[4]), kept);
        assert_eq!(prepare(&client, &tenant(4), 1), Miss);
    }
}

#[test]
fn a_partition_of_its_own_by_default() {
    let world = World::new(10);
    let client = || {
        let caching = Caching::new(&world.cache, MAX_AGE);
        world.builder().caching(caching).build().unwrap()
    };
    let (one, other) = (client(), client());
    assert_ne!(one.cache_partition(), other.cache_partition());
    assert_eq!(prepare(&one, &tenant(0), 1), Miss);
    assert_eq!(prepare(&other, &tenant(0), 1), Miss);
    // A client's clones and its blocking twin share it.
    assert_eq!(prepare(&one.clone(), &tenant(0), 1), Hit);
    let blocking = one.blocking();
    assert_eq!(blocking.cache_partition(), one.cache_partition());
    let prepared = blocking.prepare(&tenant(0), Some(1)).unwrap();
    assert_eq!(prepared.cache_outcome(), Some(Hit));

    let message = encrypt(&one, &tenant(0));
    assert_eq!(decrypt(&one, &message), Miss);
    assert_eq!(decrypt(&other, &message), Miss);
}

#[test]
fn a_named_partition_is_shared() {
    let world = World::new(10);
    let [one, other] = [world.client(), world.client()];
    assert_eq!(one.cache_partition(), Some("partition"));
    let message = encrypt(&one, &tenant(0));
    assert_eq!(prepare(&other, &tenant(0), 1), Hit);
    assert_eq!(decrypt(&other, &message), Miss);
    assert_eq!(decrypt(&one, &message), Hit);
    let third = world.client_with(|caching| caching.partition("another"));
    assert_eq!(prepare(&third, &tenant(0), 1), Miss);
    assert_eq!(decrypt(&third, &message), Miss);
}

#[test]
fn a_client_without_a_cache_has_no_outcome() {
    let client = Client::new(raw("key", 7));
    assert_eq!(client.cache_partition(), None);
    let prepared = ready(client.prepare(&tenant(0), Some(1))).unwrap();
    assert_eq!(prepared.cache_outcome(), None);
    let message = prepared.encrypt(b"a").unwrap();
    let decrypted = ready(client.decrypt(&message, &tenant(0))).unwrap();
    assert_eq!(decrypted.details.cache_outcome, None);
}

#[test]
fn settings_that_cannot_be() {
    let world = World::new(10);
    let build = |caching: Caching| {
        let client = world.builder().caching(caching).build();
        match client {
            Ok(_) => None,
            Err(Error::InvalidCacheSetting { setting }) => {
                Some(setting.split(' ').next().unwrap().to_owned())
            }
            Err(other) => panic!("{other}"),
        }
    };
    let refused = |caching| build(caching).expect("refused");
    let caching = || world.caching();
    for messages in [1, 1 << 32] {
        assert_eq!(build(caching().max_messages(messages)), None);
    }
    for messages in [0, (1 << 32) + 1, u64::MAX] {
        assert_eq!(refused(caching().max_messages(messages)), "max_messages");
    }
    for bytes in [0, 1, (1 << 63) - 1] {
        assert_eq!(build(caching().max_bytes(bytes)), None);
    }
    for bytes in [1 << 63, u64::MAX] {
        assert_eq!(refused(caching().max_bytes(bytes)), "max_bytes");
    }
    assert_eq!(build(Caching::new(&world.cache, NANOSECOND)), None);
    assert_eq!(build(Caching::new(&world.cache, Duration::MAX)), None);
    assert_eq!(
        refused(Caching::new(&world.cache, Duration::ZERO)),
        "max_age"
    );
    for share in [f64::MIN_POSITIVE, 0.5, 1.0 - f64::EPSILON] {
        assert_eq!(build(caching().refresh_after(share)), None);
    }
    for share in [0.0, -0.1, 1.0, 2.0, f64::NAN, f64::INFINITY] {
        assert_eq!(refused(caching().refresh_after(share)), "refresh_after");
    }
}

/// With nothing to charge by, only empty messages are cached.
#[test]
fn no_bytes_at_all() {
    let world = World::new(10);
    let client = world.client_with(|caching| caching.max_bytes(0));
    assert_eq!(prepare(&client, &tenant(0), 0), Miss);
    assert_eq!(prepare(&client, &tenant(0), 0), Hit);
    assert_eq!(prepare(&client, &tenant(0), 1), Bypass);
}

#[test]
fn an_age_without_end() {
    let world = World::new(10);
    let caching = Caching::new(&world.cache, Duration::MAX).refresh_after(0.5);
    let client = world.builder().caching(caching).build().unwrap();
    assert_eq!(prepare(&client, &tenant(0), 0), Miss);
    world.advance(Duration::from_secs(1 << 30));
    assert_eq!(prepare(&client, &tenant(0), 0), Hit);
}
