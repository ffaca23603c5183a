//! Refreshed ahead: when, by whom, and never past the age.

use std::time::Duration;

use waxseal::CacheOutcome::{Coalesced, Hit, Miss, Refresh};
use waxseal::{CacheOutcome, Client};

use crate::support::{raw, ready};
use crate::tasks::{decryption, encryption, encryptions, outcomes, run};
use crate::world::{Background, MAX_AGE, World, decrypt, encrypt, prepare, tenant};

const NANOSECOND: Duration = Duration::from_nanos(1);
const SHARE: f64 = 0.75;
const DUE: Duration = Duration::from_secs(75);

fn refreshing(world: &World) -> Client {
    world.client_with(|caching| caching.refresh_after(SHARE))
}

fn in_background() -> (World, Background) {
    let background = Background::default();
    let world = World::with(10, raw("key", 7), |cache| background.spawn_with(cache));
    (world, background)
}

#[test]
fn not_unless_it_is_asked_for() {
    let world = World::new(10);
    let client = world.client_with(|caching| caching.max_messages(100));
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
    world.advance(MAX_AGE - NANOSECOND);
    for _ in 1..100 {
        assert_eq!(prepare(&client, &tenant(0), 1), Hit);
    }
}

#[test]
fn from_its_share_of_the_age_on() {
    let world = World::new(10);
    let client = refreshing(&world);
    let message = encrypt(&client, &tenant(0));
    assert_eq!(decrypt(&client, &message), Miss);
    world.advance(DUE - NANOSECOND);
    assert_eq!(prepare(&client, &tenant(0), 1), Hit);
    assert_eq!(decrypt(&client, &message), Hit);
    world.advance(NANOSECOND);
    // On the caller's way, where there is no other.
    assert_eq!(prepare(&client, &tenant(0), 1), Refresh);
    assert_eq!(decrypt(&client, &message), Refresh);
    assert_eq!(prepare(&client, &tenant(0), 1), Hit);
    assert_eq!(decrypt(&client, &message), Hit);
    let statistics = world.statistics();
    assert_eq!((statistics.refreshing, statistics.refreshed), (2, 2));
    assert_eq!(statistics.evicted.replaced, 2);
    assert_eq!(statistics.entries, 2);
    // The new one's age starts with it.
    world.advance(DUE - NANOSECOND);
    assert_eq!(prepare(&client, &tenant(0), 1), Hit);
    assert_eq!(decrypt(&client, &message), Hit);
    assert_eq!((world.generated(), world.unwrapped()), (2, 2));
}

#[test]
fn from_its_share_of_the_messages_on() {
    for (share, limit, first) in [(0.75, 8, 6), (0.8, 10, 8), (0.5, 3, 2), (0.9, 10, 9)] {
        let world = World::new(10);
        let client = world.client_with(|caching| caching.max_messages(limit).refresh_after(share));
        assert_eq!(prepare(&client, &tenant(0), 1), Miss);
        for round in 1..=2 {
            for _ in 1..first {
                assert_eq!(prepare(&client, &tenant(0), 1), Hit, "{share} of {limit}");
            }
            assert_eq!(
                prepare(&client, &tenant(0), 1),
                Refresh,
                "{share} of {limit}"
            );
            assert_eq!(world.generated(), round + 1);
        }
    }
}

/// One makes the call, and the others do not wait for it.
#[test]
fn one_refreshes_and_the_rest_go_on() {
    let world = World::new(10);
    let client = refreshing(&world);
    let message = encrypt(&client, &tenant(0));
    assert_eq!(
        ready(client.decrypt(&message, &tenant(0)))
            .unwrap()
            .details
            .cache_outcome,
        Some(Miss)
    );
    world.advance(DUE);
    world.hold();
    let mut tasks = [encryption(&client), decryption(&client, &message, 0)];
    run(&mut tasks);
    assert_eq!(world.delaying.held(), 2);
    for _ in 0..3 {
        let mut others = [encryption(&client), decryption(&client, &message, 0)];
        run(&mut others);
        assert_eq!(outcomes(&mut others), [0, 0, 2]);
    }
    let blocking = client.blocking();
    let prepared = blocking.prepare(&tenant(0), Some(1)).unwrap();
    assert_eq!(prepared.cache_outcome(), Some(Hit));
    world.let_go();
    run(&mut tasks);
    for task in &mut tasks {
        assert_eq!(task.result().unwrap(), Refresh);
    }
    assert_eq!((world.generated(), world.unwrapped()), (2, 2));
}

#[test]
fn in_the_background_nobody_waits() {
    let (world, background) = in_background();
    let client = refreshing(&world);
    let message = encrypt(&client, &tenant(0));
    assert_eq!(decrypt(&client, &message), Miss);
    world.advance(DUE);
    for _ in 0..3 {
        assert_eq!(prepare(&client, &tenant(0), 1), Hit);
        assert_eq!(decrypt(&client, &message), Hit);
    }
    assert_eq!(background.len(), 2);
    assert_eq!((world.generated(), world.unwrapped()), (1, 1));
    background.run();
    assert_eq!((world.generated(), world.unwrapped()), (2, 2));
    let statistics = world.statistics();
    assert_eq!((statistics.refreshing, statistics.refreshed), (0, 2));
    // So that none waits at the old one's expiry.
    world.advance(MAX_AGE - DUE);
    assert_eq!(prepare(&client, &tenant(0), 1), Hit);
    assert_eq!(decrypt(&client, &message), Hit);
    assert_eq!(background.len(), 0);
    assert_eq!((world.generated(), world.unwrapped()), (2, 2));
}

/// Nobody's message is charged to what comes in the background.
#[test]
fn in_the_background_by_messages() {
    let (world, background) = in_background();
    let client = world.client_with(|caching| caching.max_messages(8).refresh_after(SHARE));
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
    for _ in 1..6 {
        assert_eq!(prepare(&client, &tenant(0), 1), Hit);
    }
    assert_eq!(background.len(), 0);
    assert_eq!(prepare(&client, &tenant(0), 1), Hit);
    assert_eq!(background.len(), 1);
    background.run();
    for _ in 0..6 {
        assert_eq!(prepare(&client, &tenant(0), 1), Hit);
        assert_eq!(background.len(), 0);
    }
    assert_eq!(prepare(&client, &tenant(0), 1), Hit);
    assert_eq!(background.len(), 1);
    assert_eq!(world.generated(), 2);
}

/// A thread's request starts one too.
#[test]
fn in_the_background_of_a_thread() {
    let (world, background) = in_background();
    let client = refreshing(&world).blocking();
    let outcome = || {
        let prepared = client.prepare(&tenant(0), Some(1)).unwrap();
        prepared.cache_outcome().unwrap()
    };
    assert_eq!(outcome(), Miss);
    world.advance(DUE);
    assert_eq!(outcome(), Hit);
    background.run();
    world.advance(MAX_AGE - DUE);
    assert_eq!(outcome(), Hit);
    assert_eq!(world.generated(), 2);
}

/// A task that is never run: the old data key serves to its end and not
/// longer; then futures drive the call that is there, and threads make theirs.
#[test]
fn a_refresh_that_never_comes() {
    let (world, background) = in_background();
    let client = refreshing(&world);
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
    world.advance(DUE);
    assert_eq!(prepare(&client, &tenant(0), 1), Hit);
    world.advance(MAX_AGE - DUE - NANOSECOND);
    assert_eq!(prepare(&client, &tenant(0), 1), Hit);
    world.advance(NANOSECOND);
    assert_eq!(prepare(&client, &tenant(0), 1), Coalesced);
    assert_eq!(prepare(&client, &tenant(0), 1), Hit);
    assert_eq!((world.generated(), background.len()), (2, 1));
    background.run();
    assert_eq!(world.generated(), 2);

    let (world, background) = in_background();
    let client = refreshing(&world).blocking();
    let outcome = || {
        let prepared = client.prepare(&tenant(0), Some(1)).unwrap();
        prepared.cache_outcome().unwrap()
    };
    assert_eq!(outcome(), Miss);
    world.advance(DUE);
    assert_eq!(outcome(), Hit);
    world.advance(MAX_AGE - DUE);
    assert_eq!(outcome(), Miss);
    assert_eq!((world.generated(), background.len()), (2, 1));
}

/// A task that is thrown away does not keep others from trying.
#[test]
fn a_refresh_that_is_dropped() {
    let (world, background) = in_background();
    let client = refreshing(&world);
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
    world.advance(DUE);
    for _ in 0..3 {
        assert_eq!(prepare(&client, &tenant(0), 1), Hit);
        assert_eq!(background.take().len(), 1);
    }
    assert_eq!(prepare(&client, &tenant(0), 1), Hit);
    background.run();
    assert_eq!(world.generated(), 2);
}

#[test]
fn who_refreshes_and_gives_up_lets_another() {
    let world = World::new(10);
    let client = refreshing(&world);
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
    world.advance(DUE);
    world.hold();
    let mut tasks = encryptions(&client, 1);
    run(&mut tasks);
    tasks[0].cancel();
    world.let_go();
    assert_eq!(prepare(&client, &tenant(0), 1), Refresh);
    assert_eq!(prepare(&client, &tenant(0), 1), Hit);
}

/// When the old one is used up or too old before the new one has come, requests
/// wait for it and make no call of their own.
#[test]
fn who_can_go_on_no_more_waits_for_it() {
    for by_age in [false, true] {
        let world = World::new(10);
        let client = world.client_with(|caching| caching.max_messages(4).refresh_after(SHARE));
        for expected in [Miss, Hit, Hit] {
            assert_eq!(prepare(&client, &tenant(0), 1), expected);
        }
        world.hold();
        let mut tasks = encryptions(&client, 3);
        tasks[0].poll();
        if by_age {
            world.advance(MAX_AGE);
        } else {
            assert_eq!(prepare(&client, &tenant(0), 1), Hit);
        }
        run(&mut tasks);
        assert_eq!(world.delaying.held(), 1);
        world.let_go();
        run(&mut tasks);
        let outcomes: Vec<CacheOutcome> = tasks
            .iter_mut()
            .map(|task| task.result().unwrap())
            .collect();
        assert_eq!(outcomes, [Refresh, Coalesced, Coalesced]);
        assert_eq!(world.generated(), 2);
    }
}

/// Never past the age, however it is refreshed.
#[test]
fn an_old_one_never_serves_past_its_age() {
    let world = World::new(10);
    let client = refreshing(&world);
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
    world.advance(DUE);
    world.hold();
    let mut refresh = encryptions(&client, 1);
    run(&mut refresh);
    world.advance(MAX_AGE - DUE - NANOSECOND);
    assert_eq!(prepare(&client, &tenant(0), 1), Hit);
    world.advance(NANOSECOND);
    let mut late = encryptions(&client, 1);
    run(&mut late);
    assert!(!late[0].is_woken() && world.delaying.held() == 1);
    world.let_go();
    run(&mut late);
    assert_eq!(late[0].result().unwrap(), Coalesced);
}

/// What comes for one that has expired meanwhile was no refresh ahead.
#[test]
fn one_that_comes_too_late() {
    let world = World::new(10);
    let client = refreshing(&world);
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
    world.advance(DUE);
    world.hold();
    let mut tasks = encryptions(&client, 1);
    run(&mut tasks);
    world.advance(MAX_AGE - DUE);
    world.let_go();
    run(&mut tasks);
    assert_eq!(tasks[0].result().unwrap(), Refresh);
    let statistics = world.statistics();
    assert_eq!((statistics.refreshing, statistics.refreshed), (1, 0));
    let evicted = statistics.evicted;
    assert_eq!((evicted.expired, evicted.total()), (1, 1));
}

/// A client that asks for none leaves it to those who do.
#[test]
fn by_the_client_that_wants_it() {
    let world = World::new(10);
    let (eager, calm) = (refreshing(&world), world.client());
    assert_eq!(prepare(&calm, &tenant(0), 1), Miss);
    world.advance(DUE);
    assert_eq!(prepare(&calm, &tenant(0), 1), Hit);
    assert_eq!(prepare(&eager, &tenant(0), 1), Refresh);
}

/// An eviction while it is under way: what comes is not kept.
#[test]
fn an_eviction_meets_a_refresh() {
    let (world, background) = in_background();
    let client = refreshing(&world);
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
    world.advance(DUE);
    assert_eq!(prepare(&client, &tenant(0), 1), Hit);
    assert_eq!(world.cache.clear(), 1);
    background.run();
    let statistics = world.statistics();
    assert_eq!((statistics.entries, statistics.refreshed), (0, 0));
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
    assert_eq!(world.generated(), 3);
}

/// In the runtime that the request runs in; without one, on its way.
#[cfg(feature = "tokio")]
#[test]
fn in_the_background_of_tokio() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let world = World::new(10);
    let client = refreshing(&world);
    let outcome = async || {
        let prepared = client.prepare(&tenant(0), Some(1)).await.unwrap();
        prepared.cache_outcome().unwrap()
    };
    runtime.block_on(async {
        assert_eq!(outcome().await, Miss);
        world.advance(DUE);
        assert_eq!(outcome().await, Hit);
        assert_eq!(world.generated(), 1);
        tokio::task::yield_now().await;
        assert_eq!(world.generated(), 2);
        world.advance(MAX_AGE - DUE);
        assert_eq!(outcome().await, Hit);
    });
    world.advance(DUE - (MAX_AGE - DUE));
    assert_eq!(ready(outcome()), Refresh);
}

/// What the application gives comes first.
#[cfg(feature = "tokio")]
#[test]
fn not_in_tokio_where_another_way_is_given() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let (world, background) = in_background();
    let client = refreshing(&world);
    runtime.block_on(async {
        client.prepare(&tenant(0), Some(1)).await.unwrap();
        world.advance(DUE);
        client.prepare(&tenant(0), Some(1)).await.unwrap();
        tokio::task::yield_now().await;
    });
    assert_eq!((world.generated(), background.len()), (1, 1));
}
