//! One call for all who want it, as few as the limits allow.

use waxseal::CacheOutcome::{Coalesced, Hit, Miss};
use waxseal::test_util::Delay;
use waxseal::{CacheOutcome, Client};

use crate::tasks::{
    PATIENCE, Threads, decryption, encryption, encryptions, outcomes, run, wait_for_coalesced,
};
use crate::world::{World, encrypt, prepare, tenant};

#[test]
fn one_call_for_encryption() {
    for capacity in [0, 10] {
        let world = World::new(capacity);
        let client = world.client();
        world.hold();
        let mut tasks = encryptions(&client, 10);
        run(&mut tasks);
        assert_eq!(world.delaying.held(), 1);
        world.let_go();
        run(&mut tasks);
        assert_eq!(outcomes(&mut tasks), [1, 9, 0]);
        assert_eq!(world.generated(), 1);
        let statistics = world.statistics();
        assert_eq!((statistics.misses, statistics.coalesced), (1, 9));
    }
}

#[test]
fn one_call_for_decryption() {
    let world = World::new(10);
    let client = world.client();
    let message = encrypt(&client, &tenant(0));
    world.hold();
    let mut tasks: Vec<_> = (0..10).map(|_| decryption(&client, &message, 0)).collect();
    run(&mut tasks);
    assert_eq!(world.delaying.held(), 1);
    world.let_go();
    run(&mut tasks);
    assert_eq!(outcomes(&mut tasks), [1, 9, 0]);
    assert_eq!(world.unwrapped(), 1);
}

/// Calls for others are not waited for.
#[test]
fn identifiers_do_not_wait_for_one_another() {
    let world = World::new(10);
    let client = world.client();
    let message = encrypt(&client, &tenant(1));
    world.hold();
    let mut tasks = [encryption(&client), decryption(&client, &message, 1)];
    run(&mut tasks[..1]);
    world.delaying.set(Delay::None);
    assert_eq!(prepare(&client, &tenant(2), 1), Miss);
    assert_eq!(prepare(&client, &tenant(1), 1), Hit);
    world.let_go();
    run(&mut tasks[..1]);
    assert_eq!(tasks[0].result().unwrap(), Miss);
}

#[test]
fn clients_that_share_wait_together() {
    let world = World::new(10);
    world.hold();
    let mut tasks = [encryption(&world.client()), encryption(&world.client())];
    run(&mut tasks);
    assert_eq!(world.delaying.held(), 1);
    world.let_go();
    run(&mut tasks);
    assert_eq!(outcomes(&mut tasks), [1, 1, 0]);
}

/// Runs this on so many threads, and lets the call go when all wait for it.
fn blocking(
    world: &World,
    threads: u64,
    request: impl Fn() -> Option<CacheOutcome> + Send + Sync + 'static,
) -> [usize; 2] {
    world.hold();
    let callers = Threads::start(threads, request);
    let all_wait =
        world.delaying.wait_for_held(1, PATIENCE) && wait_for_coalesced(world, threads - 1);
    world.let_go();
    assert!(all_wait);
    let outcomes: Vec<_> = (0..threads).map(|_| callers.outcome()).collect();
    [Miss, Coalesced].map(|outcome| outcomes.iter().filter(|found| **found == outcome).count())
}

#[test]
fn one_call_for_threads() {
    let world = World::new(10);
    let client = world.client().blocking();
    let counts = blocking(&world, 8, move || {
        let prepared = client.prepare(&tenant(0), Some(1)).unwrap();
        prepared.cache_outcome()
    });
    assert_eq!(counts, [1, 7]);
    assert_eq!(world.generated(), 1);
}

#[test]
fn one_call_for_threads_that_read() {
    let world = World::new(10);
    let client = world.client().blocking();
    let message = client.encrypt(b"text", &tenant(0)).unwrap();
    let counts = blocking(&world, 8, move || {
        let decrypted = client.decrypt(&message, &tenant(0)).unwrap();
        decrypted.details.cache_outcome
    });
    assert_eq!(counts, [1, 7]);
    assert_eq!(world.unwrapped(), 1);
}

/// A thread that waits for an async call might be the one that would have
/// driven it.
#[test]
fn a_thread_does_not_wait_for_a_future() {
    let world = World::new(10);
    let (client, blocking) = (world.client(), world.client().blocking());
    let message = encrypt(&client, &tenant(1));

    world.hold();
    let mut task = encryption(&client);
    task.poll();
    let writer = blocking.clone();
    let caller = Threads::start(1, move || {
        let prepared = writer.prepare(&tenant(0), Some(1)).unwrap();
        prepared.cache_outcome()
    });
    let came = world.delaying.wait_for_held(2, PATIENCE);
    world.let_go();
    assert!(came, "it waits for the future's call");
    // While the future is not polled.
    assert_eq!(caller.outcome(), Miss);
    assert!(task.poll());
    assert_eq!(task.result().unwrap(), Miss);

    world.hold();
    let mut task = decryption(&client, &message, 1);
    task.poll();
    let caller = Threads::start(1, move || {
        let decrypted = blocking.decrypt(&message, &tenant(1)).unwrap();
        decrypted.details.cache_outcome
    });
    let came = world.delaying.wait_for_held(2, PATIENCE);
    world.let_go();
    assert!(came, "it waits for the future's call");
    assert_eq!(caller.outcome(), Miss);
    assert!(task.poll());
    assert_eq!(task.result().unwrap(), Miss);
    assert_eq!((world.generated(), world.unwrapped()), (3, 2));
}

/// And the other way round.
#[test]
fn a_future_does_not_wait_for_a_thread() {
    let world = World::new(10);
    let client = world.client();
    let blocking = client.blocking();
    world.hold();
    let caller = Threads::start(1, move || {
        let prepared = blocking.prepare(&tenant(0), Some(1)).unwrap();
        prepared.cache_outcome()
    });
    let came = world.delaying.wait_for_held(1, PATIENCE);
    world.delaying.set(Delay::None);
    let mut task = encryption(&client);
    let ended = task.poll();
    world.let_go();
    assert!(came && ended, "it waits for the thread's call");
    assert_eq!(task.result().unwrap(), Miss);
    assert_eq!(caller.outcome(), Miss);
    assert_eq!(world.generated(), 2);
}

/// Whoever waits drives the call: it is nobody's own.
#[test]
fn a_starter_that_is_never_polled_again() {
    let world = World::new(10);
    let client = world.client();
    world.hold();
    let mut tasks = encryptions(&client, 4);
    tasks[0].poll();
    run(&mut tasks[1..]);
    world.let_go();
    run(&mut tasks[1..]);
    assert_eq!(outcomes(&mut tasks[1..]), [0, 3, 0]);
    assert!(tasks[0].poll());
    assert_eq!(tasks[0].result().unwrap(), Miss);
    assert_eq!(world.generated(), 1);
}

/// Nor any other that was woken and does not come.
#[test]
fn no_waiter_is_relied_on() {
    for polled in 0..4 {
        let world = World::new(10);
        let client = world.client();
        world.delaying.set(Delay::UntilReleased);
        let mut tasks = encryptions(&client, 4);
        run(&mut tasks);
        world.let_go();
        run(&mut tasks[polled..=polled]);
        tasks[polled].result().unwrap();
    }
}

/// A call that asks for several polls gets them, whoever is there.
#[test]
fn a_call_of_many_polls() {
    let world = World::new(10);
    let client = world.client();
    world.delaying.set(Delay::Polls(5));
    let mut tasks = encryptions(&client, 3);
    for task in &mut tasks {
        assert!(!task.poll());
    }
    run(&mut tasks);
    assert_eq!(outcomes(&mut tasks), [1, 2, 0]);
    // Each poll by another.
    let mut tasks = encryptions(&world.client_with(|caching| caching.partition("b")), 6);
    for task in &mut tasks[..5] {
        assert!(!task.poll());
        assert!(task.is_woken());
    }
    assert!(tasks[5].poll());
    run(&mut tasks);
    assert_eq!(world.generated(), 2);
}

#[test]
fn a_starter_that_gives_up() {
    let world = World::new(10);
    let client = world.client();
    world.hold();
    let mut tasks = encryptions(&client, 3);
    run(&mut tasks);
    tasks[0].cancel();
    world.let_go();
    run(&mut tasks);
    assert_eq!(outcomes(&mut tasks[1..]), [0, 2, 0]);
    // The same call: nothing was asked twice.
    let counts = world.provider.counts().generate;
    assert_eq!(
        (counts.started, counts.succeeded, counts.abandoned),
        (1, 1, 0)
    );
    assert_eq!(prepare(&client, &tenant(0), 1), Hit);
}

#[test]
fn all_give_up() {
    let world = World::new(10);
    let client = world.client();
    world.hold();
    let mut tasks = encryptions(&client, 3);
    run(&mut tasks);
    tasks.iter_mut().for_each(crate::tasks::Task::cancel);
    assert_eq!(world.provider.counts().generate.abandoned, 1);
    world.let_go();
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
    assert_eq!(world.generated(), 2);
}

fn limited(world: &World, messages: u64) -> Client {
    world.client_with(|caching| caching.max_messages(messages))
}

/// Each who waits has a message's place in the data key that comes.
#[test]
fn as_few_calls_as_the_limits_allow() {
    for (waiting, limit, calls) in [(10, 3, 4), (9, 3, 3), (5, 1, 5), (10, 100, 1)] {
        for by_bytes in [false, true] {
            let world = World::new(10);
            let client = world.client_with(|caching| match by_bytes {
                false => caching.max_messages(limit),
                true => caching.max_bytes(limit),
            });
            world.hold();
            let mut tasks = encryptions(&client, waiting);
            run(&mut tasks);
            assert_eq!(world.delaying.held(), calls);
            world.let_go();
            run(&mut tasks);
            assert_eq!(outcomes(&mut tasks), [calls, waiting - calls, 0]);
            assert_eq!(world.generated(), calls as u64);
        }
    }
}

/// Of the data keys that come, the one with something left stays, in whatever
/// order they come.
#[test]
fn what_has_something_left_stays() {
    for last_first in [false, true] {
        let world = World::new(10);
        let client = limited(&world, 3);
        world.hold();
        let mut tasks = encryptions(&client, 7);
        run(&mut tasks);
        world.let_go();
        if last_first {
            tasks[6].poll();
        }
        run(&mut tasks);
        outcomes(&mut tasks);
        assert_eq!(world.generated(), 3);
        assert_eq!(prepare(&client, &tenant(0), 1), Hit);
        assert_eq!(prepare(&client, &tenant(0), 1), Hit);
        assert_eq!(prepare(&client, &tenant(0), 1), Miss);
    }
}

#[test]
fn a_place_that_is_given_up_is_free_again() {
    let world = World::new(10);
    let client = limited(&world, 2);
    world.hold();
    let mut tasks = encryptions(&client, 3);
    run(&mut tasks[..2]);
    tasks[1].cancel();
    run(&mut tasks[2..]);
    assert_eq!(world.delaying.held(), 1);
    world.let_go();
    run(&mut tasks);
    assert_eq!(tasks[0].result().unwrap(), Miss);
    assert_eq!(tasks[2].result().unwrap(), Coalesced);
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
}

/// Until the data key is there: then it is charged, whoever goes.
#[test]
fn a_place_that_is_given_up_late_stays_charged() {
    let world = World::new(10);
    let client = limited(&world, 3);
    world.hold();
    let mut tasks = encryptions(&client, 2);
    run(&mut tasks);
    world.let_go();
    assert!(tasks[0].poll());
    tasks[1].cancel();
    assert_eq!(prepare(&client, &tenant(0), 1), Hit);
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
}

/// Who joins keeps to its own limits.
#[test]
fn a_stricter_client_does_not_join_a_full_call() {
    let world = World::new(10);
    let (many, one) = (limited(&world, 10), limited(&world, 1));
    world.hold();
    let mut tasks = [encryption(&many), encryption(&one), encryption(&many)];
    run(&mut tasks);
    assert_eq!(world.delaying.held(), 2);
    world.let_go();
    run(&mut tasks);
    assert_eq!(outcomes(&mut tasks), [2, 1, 0]);
}

/// An entry that is used up by those who come while its successor is called
/// for lets them wait for it.
#[test]
fn the_successor_is_called_for_once() {
    let world = World::new(10);
    let client = limited(&world, 5);
    for expected in [Miss, Hit, Hit, Hit, Hit] {
        assert_eq!(prepare(&client, &tenant(0), 1), expected);
    }
    world.hold();
    let mut tasks = encryptions(&client, 5);
    run(&mut tasks);
    world.let_go();
    run(&mut tasks);
    assert_eq!(outcomes(&mut tasks), [1, 4, 0]);
    assert_eq!(world.generated(), 2);
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
}
