//! Refreshes that fail: an unavailable provider is borne with while the data
//! key may serve, and a refusal is not.

use std::time::Duration;

use waxseal::CacheOutcome::{Hit, Miss, Refresh};
use waxseal::ProviderErrorKind::{
    AccessDenied, InvalidCiphertext, KeyDisabled, NotFound, Other, Throttled, TimedOut, Unavailable,
};
use waxseal::{Client, Error};

use crate::support::raw;
use crate::tasks::{encryptions, run};
use crate::world::{
    Background, Events, MAX_AGE, World, encrypt, prepare, tenant, try_decrypt, try_prepare,
};

const SECOND: Duration = Duration::from_secs(1);
/// With a share of 0.8 a data key is due from 80 s on, and a failure is left
/// alone for 2 s.
const DUE: Duration = Duration::from_secs(80);
const PAUSE: Duration = Duration::from_secs(2);

struct Setup {
    world: World,
    client: Client,
    background: Background,
    events: Events,
}

fn setup(in_background: bool) -> Setup {
    let (background, events) = (Background::default(), Events::default());
    let world = World::with(10, raw("key", 7), |cache| {
        let cache = events.on_event(cache);
        match in_background {
            true => background.spawn_with(cache),
            false => cache,
        }
    });
    let client = world.client_with(|caching| caching.refresh_after(0.8));
    Setup {
        world,
        client,
        background,
        events,
    }
}

#[test]
fn an_unavailable_provider_is_borne_with() {
    let retry_after = None;
    for kind in [Unavailable, TimedOut, Throttled { retry_after }] {
        for in_background in [false, true] {
            let setup = setup(in_background);
            let (world, client) = (&setup.world, &setup.client);
            assert_eq!(prepare(client, &tenant(0), 1), Miss);
            world.advance(DUE);
            world.failing.fail(kind);
            // Served by the old one, whoever made the call.
            assert_eq!(prepare(client, &tenant(0), 1), Hit);
            setup.background.run();
            assert_eq!(world.generated(), 2);
            assert_eq!(setup.events.take(), ["partition: stale for 20 s"]);
            assert_eq!(world.statistics().stale, 1);
            // Not asked again at once.
            world.advance(PAUSE - Duration::from_nanos(1));
            assert_eq!(prepare(client, &tenant(0), 1), Hit);
            setup.background.run();
            assert_eq!((world.generated(), setup.events.take().len()), (2, 0));
            world.advance(Duration::from_nanos(1));
            assert_eq!(prepare(client, &tenant(0), 1), Hit);
            setup.background.run();
            assert_eq!(world.generated(), 3);
            assert_eq!(setup.events.take(), ["partition: stale for 18 s"]);
            // And it recovers.
            world.failing.recover();
            world.advance(PAUSE);
            let refreshed = if in_background { Hit } else { Refresh };
            assert_eq!(prepare(client, &tenant(0), 1), refreshed);
            setup.background.run();
            assert_eq!(world.statistics().refreshed, 1);
            world.advance(MAX_AGE - DUE);
            assert_eq!(prepare(client, &tenant(0), 1), Hit);
        }
    }
}

/// And told of at most ten times, however many ask.
#[test]
fn no_more_than_ten_attempts_and_not_past_the_age() {
    for in_background in [false, true] {
        let setup = setup(in_background);
        let (world, client) = (&setup.world, &setup.client);
        assert_eq!(prepare(client, &tenant(0), 1), Miss);
        world.advance(DUE);
        world.failing.fail(Unavailable);
        for _ in 0..200 {
            assert_eq!(prepare(client, &tenant(0), 1), Hit);
            setup.background.run();
            world.advance(SECOND / 10);
        }
        assert_eq!(world.generated(), 11);
        assert_eq!(setup.events.take().len(), 10);
        let error = try_prepare(client, &tenant(0), 1).unwrap_err();
        assert!(error.is_retryable());
        assert_eq!(world.statistics().entries, 0);
        assert!(setup.events.take().is_empty());
    }
}

#[test]
fn reading_is_borne_with_too() {
    let setup = setup(false);
    let (world, client) = (&setup.world, &setup.client);
    let message = encrypt(client, &tenant(0));
    let outcome = || try_decrypt(client, &message, &tenant(0));
    assert_eq!(outcome().unwrap(), Miss);
    world.advance(DUE);
    world.failing.fail(Unavailable);
    for _ in 0..3 {
        assert_eq!(outcome().unwrap(), Hit);
    }
    assert_eq!(world.unwrapped(), 2);
    assert_eq!(setup.events.take(), ["partition: stale for 20 s"]);
    world.advance(MAX_AGE - DUE);
    assert!(outcome().unwrap_err().is_retryable());
}

#[test]
fn a_provider_says_how_long_to_leave_it_alone() {
    let setup = setup(false);
    let (world, client) = (&setup.world, &setup.client);
    let message = encrypt(client, &tenant(0));
    try_decrypt(client, &message, &tenant(0)).unwrap();
    world.advance(DUE);
    let retry_after = Some(7 * SECOND);
    world.failing.fail(Throttled { retry_after });
    for _ in 0..20 {
        assert_eq!(prepare(client, &tenant(0), 1), Hit);
        assert_eq!(try_decrypt(client, &message, &tenant(0)).unwrap(), Hit);
        world.advance(SECOND);
    }
    // At 80, 87 and 94 s.
    assert_eq!((world.generated(), world.unwrapped()), (4, 4));
}

/// Denied, and not unavailable: the data key serves nobody any more.
#[test]
fn a_refusal_evicts_at_once() {
    for kind in [
        AccessDenied,
        KeyDisabled,
        NotFound,
        InvalidCiphertext,
        Other,
    ] {
        for in_background in [false, true] {
            let setup = setup(in_background);
            let (world, client) = (&setup.world, &setup.client);
            let message = encrypt(client, &tenant(0));
            try_decrypt(client, &message, &tenant(0)).unwrap();
            world.advance(DUE);
            world.failing.fail(kind);
            let served = [
                try_prepare(client, &tenant(0), 1),
                try_decrypt(client, &message, &tenant(0)),
            ];
            for served in served {
                match in_background {
                    true => assert_eq!(served.unwrap(), Hit),
                    false => assert!(!served.unwrap_err().is_retryable()),
                }
            }
            setup.background.run();
            assert_eq!(setup.events.take(), ["partition: denied"; 2]);
            let statistics = world.statistics();
            assert_eq!((statistics.entries, statistics.evicted.denied), (0, 2));
            assert_eq!(statistics.stale, 0);
            assert!(matches!(
                try_prepare(client, &tenant(0), 1).unwrap_err(),
                Error::Provider(_)
            ));
            assert!(matches!(
                try_decrypt(client, &message, &tenant(0)).unwrap_err(),
                Error::Unwrap(_)
            ));
            assert_eq!((world.generated(), world.unwrapped()), (3, 3));
        }
    }
}

/// A refresh that fails late has no say about what has come after its entry.
#[test]
fn a_late_failure_means_the_entry_of_its_time() {
    for kind in [AccessDenied, Unavailable] {
        let setup = setup(true);
        let (world, client) = (&setup.world, &setup.client);
        assert_eq!(prepare(client, &tenant(0), 1), Miss);
        world.advance(DUE);
        assert_eq!(prepare(client, &tenant(0), 1), Hit);
        world.cache.clear();
        assert_eq!(prepare(client, &tenant(0), 1), Miss);
        world.failing.fail(kind);
        setup.background.run();
        assert_eq!(world.generated(), 3);
        assert!(setup.events.take().is_empty());
        let statistics = world.statistics();
        assert_eq!((statistics.entries, statistics.stale), (1, 0));
        assert_eq!(prepare(client, &tenant(0), 1), Hit);
        // Nor does it put the new one's refresh off.
        world.failing.recover();
        world.advance(DUE);
        assert_eq!(prepare(client, &tenant(0), 1), Hit);
        assert_eq!(setup.background.len(), 1);
    }
}

/// The same where nothing was evicted: a thread, which waits for no future's
/// call, has put another data key there.
#[test]
fn a_late_failure_spares_the_next_entry() {
    for kind in [AccessDenied, Unavailable] {
        let setup = setup(true);
        let (world, client) = (&setup.world, &setup.client);
        assert_eq!(prepare(client, &tenant(0), 1), Miss);
        world.advance(DUE);
        assert_eq!(prepare(client, &tenant(0), 1), Hit);
        world.advance(MAX_AGE - DUE);
        let prepared = client.blocking().prepare(&tenant(0), Some(1)).unwrap();
        assert_eq!(prepared.cache_outcome(), Some(Miss));
        world.failing.fail(kind);
        setup.background.run();
        assert_eq!(world.generated(), 3);
        assert!(setup.events.take().is_empty());
        let statistics = world.statistics();
        assert_eq!((statistics.entries, statistics.stale), (1, 0));
        assert_eq!(prepare(client, &tenant(0), 1), Hit);
    }
}

/// Who refreshes on its own way, and finds the old one too old when the call
/// has failed, makes one more and hears of that one.
#[test]
fn an_entry_that_expires_during_its_refresh() {
    let setup = setup(false);
    let (world, client) = (&setup.world, &setup.client);
    assert_eq!(prepare(client, &tenant(0), 1), Miss);
    world.advance(DUE);
    world.hold();
    world.failing.fail(Unavailable);
    let mut tasks = encryptions(client, 1);
    run(&mut tasks);
    world.advance(MAX_AGE - DUE);
    world.let_go();
    run(&mut tasks);
    assert!(tasks[0].result().unwrap_err().is_retryable());
    assert_eq!(world.generated(), 3);
}

/// The cache may be asked from within.
#[test]
fn an_event_may_use_the_cache() {
    use std::sync::{Arc, OnceLock};
    use waxseal::DataKeyCache;

    let cache: Arc<OnceLock<DataKeyCache>> = Arc::default();
    let seen = cache.clone();
    let world = World::with(10, raw("key", 7), |builder| {
        builder.on_event(move |_| {
            seen.get().unwrap().clear();
        })
    });
    cache.set(world.cache.clone()).unwrap();
    let client = world.client_with(|caching| caching.refresh_after(0.8));
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
    world.advance(DUE);
    world.failing.fail_next(1, Unavailable);
    // It was evicted before it could serve.
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
    assert_eq!(world.statistics().evicted.demanded, 1);
}
