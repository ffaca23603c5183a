//! What the cache counts.

use std::time::Duration;

use waxseal::CacheOutcome::{Hit, Miss};
use waxseal::ProviderErrorKind::{AccessDenied, Unavailable};
use waxseal::{CacheOutcome, CacheStatistics};

use crate::support::ready;
use crate::tasks::{encryptions, run};
use crate::world::{World, encrypt, prepare, tenant, try_decrypt, try_prepare};

const SECOND: Duration = Duration::from_secs(1);

fn requests(statistics: &CacheStatistics) -> u64 {
    statistics.hits
        + statistics.misses
        + statistics.coalesced
        + statistics.bypassed
        + statistics.refreshing
        + statistics.refused
}

#[test]
fn nothing_yet() {
    let world = World::new(10);
    assert_eq!(world.statistics(), CacheStatistics::default());
    assert_eq!(world.statistics().provider_time_mean(), None);
}

/// Each request once, by what it met first; each entry comes once and goes
/// once.
#[test]
fn they_add_up() {
    let world = World::new(3);
    let client = world.client_with(|caching| {
        caching
            .max_messages(5)
            .refresh_after(0.6)
            .negative_ttl(SECOND)
    });
    let mut made = 0;
    let mut messages = Vec::new();
    for round in 0..400_usize {
        let context = tenant(round * round % 11 % 3);
        match round % 7 {
            0 => {
                messages.push((ready(client.encrypt(b"a", &context)), context));
                if messages.last().unwrap().0.is_err() {
                    messages.pop();
                }
            }
            1 => drop(ready(client.prepare(&context, None))),
            2 => {
                for _ in 0..3 {
                    drop(try_prepare(&client, &context, 1));
                }
                made += 3;
                world.failing.fail_next(1, AccessDenied);
                drop(try_prepare(&client, &context, 1));
            }
            3 => {
                world.failing.fail_next(1, Unavailable);
                drop(try_prepare(&client, &context, 1));
            }
            4 => world.advance(u32::try_from(round % 5).unwrap() * 17 * SECOND),
            5 => {
                world.hold();
                let mut tasks = encryptions(&client, 4);
                run(&mut tasks);
                if round % 2 == 0 {
                    tasks[0].cancel();
                }
                world.let_go();
                run(&mut tasks);
                made += 3;
            }
            _ => drop(try_prepare(&client, &context, 1)),
        }
        made += u64::from(round % 7 != 4);
        for (message, context) in messages.iter().rev().take(2) {
            let message = message.as_ref().unwrap();
            world.failing.recover();
            if round % 5 == 0 {
                world.failing.fail_next(1, AccessDenied);
            }
            drop(try_decrypt(&client, message, context));
            made += 1;
        }
        world.failing.recover();
        let statistics = world.statistics();
        assert_eq!(requests(&statistics), made, "round {round}");
        assert!(statistics.entries <= 3);
        let counts = world.provider.counts();
        let succeeded = counts.generate.succeeded + counts.unwrap.succeeded;
        let failed = counts.generate.failed + counts.unwrap.failed;
        assert_eq!(statistics.provider_calls, succeeded + failed);
        assert_eq!(statistics.provider_failures, failed);
        // What came for one message past the cache was never put in.
        let kept = statistics.entries as u64 + statistics.evicted.total();
        assert_eq!(kept + statistics.bypassed, succeeded, "round {round}");
    }
    let statistics = world.statistics();
    assert!(world.provider.counts().generate.abandoned > 0);
    for (what, count) in [
        ("hits", statistics.hits),
        ("misses", statistics.misses),
        ("coalesced", statistics.coalesced),
        ("bypassed", statistics.bypassed),
        ("refreshing", statistics.refreshing),
        ("refused", statistics.refused),
        ("refreshed", statistics.refreshed),
        ("stale", statistics.stale),
        ("expired", statistics.evicted.expired),
        ("exhausted", statistics.evicted.exhausted),
        ("replaced", statistics.evicted.replaced),
        ("capacity", statistics.evicted.capacity),
        ("denied", statistics.evicted.denied),
    ] {
        assert!(count > 0, "no {what}: this test does not test it");
    }
}

#[test]
fn how_long_a_provider_takes() {
    let world = World::new(10);
    let client = world.client();
    let call = |tenant_number: usize, took: Duration, bound: Option<u64>| {
        world.hold();
        let client = client.clone();
        let mut task = crate::tasks::Task::new(async move {
            let prepared = client.prepare(&tenant(tenant_number), bound).await;
            prepared.map(|prepared| prepared.cache_outcome().unwrap())
        });
        task.poll();
        world.advance(took);
        world.let_go();
        assert!(task.poll());
        task.result()
    };
    assert_eq!(call(0, 3 * SECOND, Some(1)).unwrap(), Miss);
    world.failing.fail_next(1, AccessDenied);
    call(2, 5 * SECOND, Some(1)).unwrap_err();
    assert_eq!(call(1, SECOND, None).unwrap(), CacheOutcome::Bypass);
    let statistics = world.statistics();
    assert_eq!(statistics.provider_time, 9 * SECOND);
    assert_eq!(statistics.provider_time_max, 5 * SECOND);
    assert_eq!(statistics.provider_time_mean(), Some(3 * SECOND));
    assert_eq!(statistics.provider_failures, 1);
    // A hit takes none.
    assert_eq!(prepare(&client, &tenant(0), 1), Hit);
    assert_eq!(world.statistics().provider_calls, 3);
}

/// The age of an entry counts from when the data key came.
#[test]
fn an_age_begins_when_the_call_ends() {
    let world = World::new(10);
    let client = world.client();
    world.hold();
    let mut tasks = encryptions(&client, 1);
    run(&mut tasks);
    world.advance(crate::world::MAX_AGE);
    world.let_go();
    run(&mut tasks);
    world.advance(crate::world::MAX_AGE - SECOND);
    assert_eq!(prepare(&client, &tenant(0), 1), Hit);
    world.advance(SECOND);
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
}

#[test]
fn a_clone_is_a_handle() {
    let world = World::new(10);
    let handle = world.cache.clone();
    let client = world.client();
    let message = encrypt(&client, &tenant(0));
    assert_eq!(handle.statistics(), world.statistics());
    try_decrypt(&client, &message, &tenant(0)).unwrap();
    assert_eq!(handle.clear(), 2);
    assert_eq!(world.statistics().entries, 0);
}
