//! Who goes: the one that has not been used for longest, expired ones before
//! it, and whoever is told to.

use std::time::Duration;

use waxseal::CacheOutcome::{Coalesced, Hit, Miss};
use waxseal::{Caching, Client, DataKeyCache};

use crate::support::raw;
use crate::tasks::{encryption, encryptions, run};
use crate::world::{MAX_AGE, PARTITION, World, decrypt, encrypt, prepare, tenant, two_keys};

#[test]
fn the_least_recently_used_of_both_kinds() {
    let world = World::new(3);
    let client = world.client();
    let message = encrypt(&client, &tenant(0));
    assert_eq!(decrypt(&client, &message), Miss);
    assert_eq!(prepare(&client, &tenant(1), 1), Miss);
    assert_eq!(prepare(&client, &tenant(0), 1), Hit);
    // What is read was used before the others.
    assert_eq!(prepare(&client, &tenant(2), 1), Miss);
    assert_eq!(prepare(&client, &tenant(0), 1), Hit);
    assert_eq!(prepare(&client, &tenant(1), 1), Hit);
    assert_eq!(prepare(&client, &tenant(2), 1), Hit);
    assert_eq!(decrypt(&client, &message), Miss);
    // Now the first tenant's was.
    assert_eq!(prepare(&client, &tenant(1), 1), Hit);
    assert_eq!(prepare(&client, &tenant(2), 1), Hit);
    assert_eq!(decrypt(&client, &message), Hit);
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
    assert_eq!(world.statistics().evicted.capacity, 3);
}

fn with_age(world: &World, age: Duration) -> Client {
    let caching = Caching::new(&world.cache, age).partition(PARTITION);
    world.builder().caching(caching).build().unwrap()
}

#[test]
fn expired_ones_first() {
    let world = World::new(2);
    let [long, short] = [MAX_AGE, MAX_AGE / 2].map(|age| with_age(&world, age));
    assert_eq!(prepare(&long, &tenant(0), 1), Miss);
    assert_eq!(prepare(&short, &tenant(1), 1), Miss);
    world.advance(MAX_AGE / 2);
    assert_eq!(prepare(&long, &tenant(2), 1), Miss);
    assert_eq!(prepare(&long, &tenant(0), 1), Hit);
    let evicted = world.statistics().evicted;
    assert_eq!((evicted.expired, evicted.capacity), (1, 0));
}

/// Those too that expire while the call is under way.
#[test]
fn expired_meanwhile_first() {
    let world = World::new(2);
    let [long, short] = [MAX_AGE, MAX_AGE / 2].map(|age| with_age(&world, age));
    assert_eq!(prepare(&long, &tenant(1), 1), Miss);
    assert_eq!(prepare(&short, &tenant(2), 1), Miss);
    world.hold();
    let mut tasks = [encryption(&long)];
    run(&mut tasks);
    world.advance(MAX_AGE / 2);
    world.let_go();
    run(&mut tasks);
    assert_eq!(tasks[0].result().unwrap(), Miss);
    assert_eq!(prepare(&long, &tenant(1), 1), Hit);
    let evicted = world.statistics().evicted;
    assert_eq!((evicted.expired, evicted.capacity), (1, 0));
}

/// However many have expired at once, none of them serves, and each counts as
/// expired.
#[test]
fn many_expired_at_once() {
    let world = World::new(1000);
    let client = world.client();
    let fill = || {
        for number in 0..600 {
            assert_eq!(prepare(&client, &tenant(number), 1), Miss);
        }
    };
    fill();
    world.advance(MAX_AGE);
    assert_eq!(prepare(&client, &tenant(599), 1), Miss);
    world.cache.evict_expired();
    let statistics = world.statistics();
    assert_eq!(statistics.evicted.expired, 600);
    assert_eq!((statistics.evicted.total(), statistics.entries), (600, 1));

    assert_eq!(world.cache.clear(), 1);
    fill();
    assert_eq!(world.cache.evict_expired(), 0);
    world.advance(MAX_AGE - Duration::from_nanos(1));
    assert_eq!(world.cache.evict_expired(), 0);
    world.advance(Duration::from_nanos(1));
    assert_eq!(world.cache.evict_expired(), 600);
    assert_eq!(world.statistics().entries, 0);
}

/// What has expired leaves as other requests come, hits too, so that a cache
/// in use keeps no key for long.
#[test]
fn expired_ones_leave_by_themselves() {
    let world = World::new(1000);
    let client = world.client();
    let lasting = with_age(&world, 10 * MAX_AGE);
    assert_eq!(prepare(&lasting, &tenant(1000), 1), Miss);
    for number in 0..100 {
        assert_eq!(prepare(&client, &tenant(number), 1), Miss);
    }
    world.advance(MAX_AGE);
    for _ in 0..100 {
        assert_eq!(prepare(&lasting, &tenant(1000), 1), Hit);
    }
    assert_eq!(world.statistics().entries, 1);
}

#[test]
fn everything() {
    let world = World::new(10);
    let client = world.client();
    let other = world.client_with(|caching| caching.partition("other"));
    let message = encrypt(&client, &tenant(0));
    assert_eq!(decrypt(&client, &message), Miss);
    assert_eq!(prepare(&other, &tenant(0), 1), Miss);
    assert_eq!(world.cache.clear(), 3);
    assert_eq!(world.cache.clear(), 0);
    let statistics = world.statistics();
    assert_eq!((statistics.entries, statistics.evicted.demanded), (0, 3));
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
    assert_eq!(decrypt(&client, &message), Miss);
    assert_eq!(prepare(&other, &tenant(0), 1), Miss);
}

#[test]
fn a_partition() {
    let world = World::new(10);
    let client = world.client();
    let other = world.client_with(|caching| caching.partition("partition2"));
    let message = encrypt(&client, &tenant(0));
    assert_eq!(decrypt(&client, &message), Miss);
    assert_eq!(decrypt(&other, &message), Miss);
    assert_eq!(prepare(&other, &tenant(0), 1), Miss);
    assert_eq!(world.cache.evict_partition("partitio"), 0);
    assert_eq!(world.cache.evict_partition("partition"), 2);
    assert_eq!(prepare(&other, &tenant(0), 1), Hit);
    assert_eq!(decrypt(&other, &message), Hit);
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
    assert_eq!(decrypt(&client, &message), Miss);
}

/// Of a random one it is the client that knows its name.
#[test]
fn a_random_partition() {
    let cache = DataKeyCache::new(10);
    let client = || {
        let caching = Caching::new(&cache, MAX_AGE);
        let builder = Client::builder(raw("key", 7)).caching(caching);
        builder.build().unwrap()
    };
    let [one, other] = [client(), client()];
    assert_eq!(prepare(&one, &tenant(0), 1), Miss);
    assert_eq!(prepare(&other, &tenant(0), 1), Miss);
    let partition = one.cache_partition().unwrap();
    assert_eq!(cache.evict_partition(partition), 1);
    assert_eq!(prepare(&other, &tenant(0), 1), Hit);
    assert_eq!(prepare(&one, &tenant(0), 1), Miss);
}

#[test]
fn a_raw_key_by_its_name() {
    let world = World::new(10);
    let client = |name| {
        let builder = Client::builder(raw(name, 7)).caching(world.caching());
        builder.build().unwrap()
    };
    let [one, longer] = ["key", "key2"].map(client);
    let [message, other] = [&one, &longer].map(|client| encrypt(client, &tenant(0)));
    assert_eq!(decrypt(&one, &message), Miss);
    assert_eq!(decrypt(&longer, &other), Miss);
    for nobody in ["", "ke", "ey", "ns", "key3", "key2\0"] {
        assert_eq!(world.cache.evict_key(nobody), 0, "{nobody}");
    }
    assert_eq!(world.cache.evict_key("key"), 2);
    assert_eq!(prepare(&longer, &tenant(0), 1), Hit);
    assert_eq!(decrypt(&longer, &other), Hit);
    assert_eq!(prepare(&one, &tenant(0), 1), Miss);
    assert_eq!(decrypt(&one, &message), Miss);
}

/// What is written under several keys goes with each of them; what was read,
/// with the one that it was unwrapped under.
#[test]
fn one_key_of_several() {
    let world = World::with(10, two_keys(), |cache| cache);
    let client = world.client();
    for (key, evicted) in [("first", 2), ("second", 1)] {
        let message = encrypt(&client, &tenant(0));
        assert_eq!(decrypt(&client, &message), Miss);
        assert_eq!(world.cache.evict_key(key), evicted, "{key}");
        world.cache.clear();
    }
}

#[cfg(feature = "kms")]
#[test]
fn a_local_key_by_its_arn() {
    use waxseal::Error;
    use waxseal::ProviderErrorKind::KeyDisabled;
    use waxseal::blocking::wait;
    use waxseal::kms::{CreateKey, LocalKms};

    let kms = LocalKms::in_memory().unwrap();
    let key = wait(kms.create_key(CreateKey::new().alias("alias/a"))).unwrap();
    let other = wait(kms.create_key(CreateKey::new())).unwrap();
    let world = World::new(10);
    let client = |name: &str| {
        let builder = Client::builder(kms.provider(name)).caching(world.caching());
        builder.build().unwrap()
    };
    let (one, two) = (client("alias/a"), client(&other.id));
    let message = encrypt(&one, &tenant(0));
    assert_eq!(decrypt(&one, &message), Miss);
    assert_eq!(prepare(&two, &tenant(0), 1), Miss);

    wait(kms.disable_key(&key.id)).unwrap();
    assert_eq!(prepare(&one, &tenant(0), 1), Hit);
    assert_eq!(decrypt(&one, &message), Hit);
    assert_eq!(world.cache.evict_key(&key.arn), 2);
    let disabled = |error: Error| match error {
        Error::Provider(error) => error.kind() == KeyDisabled,
        Error::Unwrap(failures) => {
            let mut causes = failures.iter().flat_map(|failure| &failure.causes);
            causes.all(|cause| cause.kind() == KeyDisabled)
        }
        _ => false,
    };
    assert!(disabled(
        crate::world::try_prepare(&one, &tenant(0), 1).unwrap_err()
    ));
    assert!(disabled(
        crate::world::try_decrypt(&one, &message, &tenant(0)).unwrap_err()
    ));
    assert_eq!(prepare(&two, &tenant(0), 1), Hit);
}

type Evict = fn(&DataKeyCache) -> usize;

const WAYS: [(&str, Evict); 3] = [
    ("all", DataKeyCache::clear),
    ("partition", |cache| cache.evict_partition(PARTITION)),
    ("key", |cache| cache.evict_key("key")),
];

/// A data key that is asked for at an eviction may be of before it: it serves
/// those who wait for it, and nobody after.
#[test]
fn what_is_under_way_is_not_kept() {
    for (what, evict) in WAYS {
        let world = World::new(10);
        let client = world.client();
        world.hold();
        let mut tasks = encryptions(&client, 2);
        run(&mut tasks);
        assert_eq!(evict(&world.cache), 0);
        world.let_go();
        run(&mut tasks);
        assert_eq!(tasks[0].result().unwrap(), Miss);
        assert_eq!(tasks[1].result().unwrap(), Coalesced);
        assert_eq!(world.statistics().entries, 0, "{what}");
        assert_eq!(prepare(&client, &tenant(0), 1), Miss, "{what}");
    }
}

#[test]
fn who_comes_later_does_not_join() {
    for (what, evict) in WAYS {
        let world = World::new(10);
        let client = world.client();
        world.hold();
        let mut tasks = encryptions(&client, 2);
        tasks[0].poll();
        evict(&world.cache);
        tasks[1].poll();
        assert_eq!(world.delaying.held(), 2, "{what}");
        // The later one first, whose data key the earlier one's must not
        // replace.
        world.let_go();
        tasks[1].poll();
        assert_eq!(tasks[1].result().unwrap(), Miss);
        let before = world.statistics();
        tasks[0].poll();
        assert_eq!(tasks[0].result().unwrap(), Miss);
        assert_eq!(world.statistics().evicted, before.evicted);
        assert_eq!(prepare(&client, &tenant(0), 1), Hit);
        assert_eq!(world.generated(), 2);
    }
}

#[test]
fn another_partition_goes_on() {
    let world = World::new(10);
    let client = world.client();
    world.hold();
    let mut tasks = encryptions(&client, 1);
    run(&mut tasks);
    world.cache.evict_partition("another");
    world.cache.evict_expired();
    world.let_go();
    run(&mut tasks);
    assert_eq!(prepare(&client, &tenant(0), 1), Hit);
}
