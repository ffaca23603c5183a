//! Calls that fail: who hears of it, and how the others go on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use waxseal::CacheOutcome::{Hit, Miss};
use waxseal::ProviderErrorKind::{AccessDenied, Unavailable};
use waxseal::{
    Error, GenerateDataKey, GeneratedDataKey, KeyProvider, ProviderErrorKind, ProviderFuture,
    ProviderIdentity, UnwrapDataKey, UnwrapFailures, UnwrappedDataKey,
};

use crate::support::providers::Yields;
use crate::support::raw;
use crate::tasks::{Outcome, Task, decryption, encryptions, outcomes, run, run_in_rounds};
use crate::world::{World, encrypt, prepare, tenant, try_decrypt, try_prepare};

fn kind(outcome: Outcome) -> ProviderErrorKind {
    match outcome.unwrap_err() {
        Error::Provider(error) => error.kind(),
        Error::Unwrap(failures) => failures.iter().next().unwrap().causes[0].kind(),
        other => panic!("{other}"),
    }
}

#[test]
fn the_starter_hears_of_it_and_the_others_go_on() {
    for failure in [Unavailable, AccessDenied] {
        let world = World::new(10);
        let client = world.client();
        world.hold();
        world.failing.fail_next(1, failure);
        let mut tasks = encryptions(&client, 10);
        run_in_rounds(&world, &mut tasks);
        assert_eq!(kind(tasks[0].result()), failure);
        assert_eq!(outcomes(&mut tasks[1..]), [1, 8, 0]);
        assert_eq!(world.generated(), 2);
        // Each is counted once, by what it met first.
        let statistics = world.statistics();
        assert_eq!((statistics.misses, statistics.coalesced), (1, 9));
    }
}

#[test]
fn reading_goes_on_too() {
    let world = World::new(10);
    let client = world.client();
    let message = encrypt(&client, &tenant(0));
    world.hold();
    world.failing.fail_next(1, Unavailable);
    let mut tasks: Vec<_> = (0..10).map(|_| decryption(&client, &message, 0)).collect();
    run_in_rounds(&world, &mut tasks);
    assert_eq!(kind(tasks[0].result()), Unavailable);
    assert_eq!(outcomes(&mut tasks[1..]), [1, 8, 0]);
    assert_eq!(world.unwrapped(), 2);
}

/// Where every call fails all hear of it, after three calls and not one each.
#[test]
fn no_more_than_three_calls() {
    let world = World::new(10);
    let client = world.client();
    world.hold();
    world.failing.fail(Unavailable);
    let mut tasks = encryptions(&client, 100);
    run_in_rounds(&world, &mut tasks);
    for task in &mut tasks {
        assert_eq!(kind(task.result()), Unavailable);
    }
    assert_eq!(world.generated(), 3);
    assert_eq!(world.statistics().provider_failures, 3);
}

/// Also where each fails at once, so that those who waited never meet.
#[test]
fn no_more_than_three_calls_that_fail_at_once() {
    let world = World::new(10);
    let client = world.client();
    world.hold();
    world.failing.fail(Unavailable);
    let mut tasks = encryptions(&client, 100);
    for task in &mut tasks {
        task.poll();
    }
    world.let_go();
    run(&mut tasks);
    for task in &mut tasks {
        assert_eq!(kind(task.result()), Unavailable);
    }
    assert_eq!(world.generated(), 3);
}

#[test]
fn an_error_is_not_cached() {
    let world = World::new(10);
    let client = world.client();
    let message = encrypt(&client, &tenant(1));
    for failure in [AccessDenied, Unavailable, ProviderErrorKind::NotFound] {
        world.failing.fail(failure);
        for _ in 0..2 {
            try_prepare(&client, &tenant(0), 1).unwrap_err();
            try_decrypt(&client, &message, &tenant(1)).unwrap_err();
        }
    }
    assert_eq!((world.generated(), world.unwrapped()), (7, 6));
    world.failing.recover();
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
    assert_eq!(try_decrypt(&client, &message, &tenant(1)).unwrap(), Miss);
}

/// What is there and still good for others stays, where a call for a younger
/// one or a larger one fails.
#[test]
fn a_failure_leaves_the_entry() {
    let world = World::new(10);
    let client = world.client_with(|caching| caching.max_bytes(100));
    assert_eq!(prepare(&client, &tenant(0), 10), Miss);
    world.failing.fail_next(1, AccessDenied);
    try_prepare(&client, &tenant(0), 100).unwrap_err();
    assert_eq!(prepare(&client, &tenant(0), 10), Hit);
}

/// Panics in its first call, after so many polls.
struct Panics<P> {
    inner: P,
    calls: Arc<AtomicU64>,
    polls: usize,
}

impl<P> Panics<P> {
    async fn wait(&self) {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        Yields(self.polls).await;
        assert!(number > 0, "the first call");
    }
}

impl<P: KeyProvider> KeyProvider for Panics<P> {
    fn identity(&self) -> ProviderIdentity {
        self.inner.identity()
    }

    fn generate_data_key<'a>(
        &'a self,
        request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        Box::pin(async move {
            self.wait().await;
            self.inner.generate_data_key(request).await
        })
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        Box::pin(async move {
            self.wait().await;
            self.inner.unwrap_data_key(request).await
        })
    }
}

fn panics(polls: usize) -> World {
    let provider = Panics {
        inner: raw("key", 7),
        calls: Arc::default(),
        polls,
    };
    World::with(10, provider, |cache| cache)
}

/// Whoever polled the call gets the panic; the others go on with another.
#[test]
fn a_provider_that_panics() {
    for polls in [0, 1] {
        let world = panics(polls);
        let client = world.client();
        world.hold();
        let mut tasks = encryptions(&client, 5);
        run(&mut tasks);
        world.delaying.release_all();
        let panicked =
            |task: &mut Task<Outcome>| catch_unwind(AssertUnwindSafe(|| task.poll())).is_err();
        let found = (0..=polls).any(|_| panicked(&mut tasks[0]));
        assert!(found);
        tasks[0].cancel();
        run_in_rounds(&world, &mut tasks);
        assert_eq!(outcomes(&mut tasks[1..]), [1, 3, 0]);
        world.let_go();
        assert_eq!(world.generated(), 2);
        assert_eq!(prepare(&client, &tenant(0), 1), Hit);
    }
}

/// One who waits and polls: the starter hears that the call panicked.
#[test]
fn a_panic_at_another_than_the_starter() {
    let world = panics(0);
    let client = world.client();
    world.hold();
    let mut tasks = encryptions(&client, 3);
    run(&mut tasks);
    world.let_go();
    assert!(catch_unwind(AssertUnwindSafe(|| tasks[1].poll())).is_err());
    tasks[1].cancel();
    run(&mut tasks);
    let error = tasks[0].result().unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");
    assert_eq!(tasks[2].result().unwrap(), Miss);
    assert_eq!(world.statistics().provider_failures, 1);
}

#[test]
fn a_panic_alone() {
    let world = panics(0);
    let client = world.client();
    let panicked = catch_unwind(AssertUnwindSafe(|| prepare(&client, &tenant(0), 1)));
    assert!(panicked.is_err());
    assert_eq!(prepare(&client, &tenant(0), 1), Miss);
    assert_eq!(prepare(&client, &tenant(0), 1), Hit);
}

/// A call that fails after its starter has given up.
#[test]
fn a_failure_that_its_starter_does_not_see() {
    let world = World::new(10);
    let client = world.client();
    world.hold();
    world.failing.fail_next(1, Unavailable);
    let mut tasks = encryptions(&client, 3);
    run(&mut tasks);
    tasks[0].cancel();
    run_in_rounds(&world, &mut tasks);
    assert_eq!(outcomes(&mut tasks[1..]), [1, 1, 0]);
    assert_eq!(world.generated(), 2);
}
