//! The cache's two locks under thousands of orders of the threads that take
//! them, with calls that do what calls may do. Run by
//! `RUSTFLAGS='--cfg shuttle' cargo test --lib shuttle`.
//!
//! A request that is never woken is a deadlock, which the checker reports with
//! the order that led to it; so each test also says that every request ends.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::sync::Mutex;
use shuttle::{Config, Runner, future, thread};

use super::flight::Call;
use super::id::EntryId;
use super::{
    CacheOutcome, Caching, CachingMaterialsManager, DataKeyCache, DefaultMaterialsManager,
    Materials,
};
use crate::clock::Clock;
use crate::context::EncryptionContext;
use crate::crypto::{CryptoBackend, Entropy, SecretBytes};
use crate::error::{Error, Result};
use crate::materials::{Caller, EncryptionMaterials, EncryptionParts, EncryptionRequest};
use crate::message::EncryptedDataKey;
use crate::provider::{
    KeyProvider, ProviderError, ProviderErrorKind, ProviderOperation, RawAesProvider,
};
use crate::suite::CommitmentPolicy;

/// Of each scheduler.
const ORDERS: usize = 4_000;
const MAX_AGE: Duration = Duration::from_secs(100);

/// Runs this in many orders, the same ones each time; SHUTTLE_RANDOM_SEED is
/// for others.
fn check(run: fn()) {
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    let random = RandomScheduler::new_from_seed(6, ORDERS);
    Runner::new(random, config.clone()).run(run);
    // Of few switches, at the worst places.
    for depth in [2, 4] {
        let few = PctScheduler::new_from_seed(6, depth, ORDERS / 2);
        Runner::new(few, config.clone()).run(run);
    }
}

static PROVIDER: LazyLock<Arc<dyn KeyProvider>> = LazyLock::new(|| {
    let key = SecretBytes::from(vec![7; 32]);
    Arc::new(RawAesProvider::new("ns", "key", &key).expect("a key"))
});

/// Time that stands still until a test moves it.
#[derive(Clone, Default)]
struct Seconds(Arc<AtomicU64>);

impl Clock for Seconds {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

/// Where a call is not ready.
#[derive(Clone, Copy)]
enum Pause {
    /// It asks for the next poll within this one.
    WakesItself,
    /// Another thread wakes it, so often.
    WokenByThread(u32),
}

#[derive(Clone, Copy)]
enum End {
    Good,
    Fails(ProviderErrorKind),
    Panics,
}

/// What the threads of one order share.
struct World {
    manager: CachingMaterialsManager,
    ids: [EntryId; 2],
    cache: DataKeyCache,
    clock: Seconds,
    limits: (u64, u64),
    /// How the calls end, from the first on; those after them are good.
    ends: Vec<End>,
    counts: Arc<Counts>,
    /// Messages and bytes by data key. Of std, as the checker need not know it.
    used: std::sync::Mutex<HashMap<u64, (u64, u64)>>,
    background: Arc<std::sync::Mutex<Vec<thread::JoinHandle<()>>>>,
}

#[derive(Default)]
struct Counts {
    /// Calls that were polled.
    begun: AtomicU64,
    good: AtomicU64,
    failed: AtomicU64,
    /// Dropped before their end.
    abandoned: AtomicU64,
}

fn get(count: &AtomicU64) -> u64 {
    count.load(Ordering::SeqCst)
}

#[derive(Clone, Copy)]
struct Setting {
    capacity: usize,
    messages: u64,
    bytes: u64,
    refresh_after: Option<f64>,
}

const PLAIN: Setting = Setting {
    capacity: 2,
    messages: 1 << 32,
    bytes: 1 << 60,
    refresh_after: None,
};

impl World {
    fn new(setting: Setting, ends: &[End]) -> Arc<Self> {
        let clock = Seconds::default();
        let background: Arc<std::sync::Mutex<Vec<_>>> = Arc::default();
        let spawned = background.clone();
        let cache = DataKeyCache::builder(setting.capacity)
            .clock(clock.clone())
            .spawn_with(move |task| {
                let thread = thread::spawn(|| future::block_on(task));
                spawned.lock().unwrap().push(thread);
            })
            .build();
        let mut caching = Caching::new(&cache, MAX_AGE)
            .max_messages(setting.messages)
            .max_bytes(setting.bytes)
            .partition("p");
        if let Some(share) = setting.refresh_after {
            caching = caching.refresh_after(share);
        }
        let (provider, backend) = (PROVIDER.clone(), CryptoBackend::default());
        let identity = provider.identity();
        let inner = DefaultMaterialsManager::new(provider, backend.clone());
        let manager = CachingMaterialsManager::new(caching, inner, identity, backend).unwrap();
        let ids = ["a", "b"].map(|tenant| id(&manager, tenant));
        Arc::new(World {
            manager,
            ids,
            cache,
            clock,
            limits: (setting.messages, setting.bytes),
            ends: ends.to_vec(),
            counts: Arc::default(),
            used: std::sync::Mutex::default(),
            background,
        })
    }

    fn call(&self) -> Call {
        Box::pin(FakeCall {
            number: None,
            pauses: pauses(),
            woken: None,
            ends: self.ends.clone(),
            counts: self.counts.clone(),
        })
    }

    /// One message; gives the number of its data key, and checks that this one
    /// still had a place for it.
    async fn message(&self, id: usize, caller: Caller, bytes: u64) -> Result<(u64, CacheOutcome)> {
        let id = self.ids[id];
        let call = || self.call();
        let obtained = self.manager.obtain(id, caller, Some(bytes), &call);
        let (materials, outcome) = obtained.await?;
        let Materials::Encryption(materials) = materials else {
            panic!("materials of the other kind");
        };
        let number = materials.parts().edks[0].ciphertext().try_into().unwrap();
        let number = u64::from_be_bytes(number);
        let mut used = self.used.lock().unwrap();
        let used = used.entry(number).or_default();
        *used = (used.0 + 1, used.1 + bytes);
        assert!(
            used.0 <= self.limits.0 && used.1 <= self.limits.1,
            "data key {number} has {used:?} of {:?}",
            self.limits
        );
        Ok((number, outcome))
    }

    /// A message on this thread.
    fn send(&self, bytes: u64) -> Result<u64> {
        self.send_as(0, Caller::Async, bytes).map(|(key, _)| key)
    }

    fn send_as(&self, id: usize, caller: Caller, bytes: u64) -> Result<(u64, CacheOutcome)> {
        future::block_on(self.message(id, caller, bytes))
    }

    /// One that is given up after so many polls, each followed by whatever the
    /// other threads do.
    fn send_or_give_up(&self, bytes: u64, polls: u32) -> Option<Result<u64>> {
        let message = self.message(0, Caller::Async, bytes);
        future::block_on(async {
            let mut message = pin!(message);
            for _ in 0..polls {
                if let Poll::Ready(ended) = poll_once(message.as_mut()).await {
                    return Some(ended.map(|(key, _)| key));
                }
                future::yield_now().await;
            }
            None
        })
    }

    /// Waits for what runs in the background, and says how many data keys there
    /// were.
    fn settle(&self) -> u64 {
        loop {
            let Some(thread) = self.background.lock().unwrap().pop() else {
                break;
            };
            thread.join().unwrap();
        }
        let counts = &self.counts;
        let ended = get(&counts.good) + get(&counts.failed) + get(&counts.abandoned);
        assert_eq!(get(&counts.begun), ended, "a call is still there");
        get(&counts.good)
    }
}

async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

fn id(manager: &CachingMaterialsManager, tenant: &str) -> EntryId {
    let backend = CryptoBackend::default();
    let policy = CommitmentPolicy::default();
    let request = EncryptionRequest {
        suite: policy.default_suite(false),
        suite_is_named: false,
        context: &EncryptionContext::from([("tenant", tenant)]),
        required: &Default::default(),
        policy,
        caller: Caller::Async,
        plaintext_bound: Some(0),
        entropy: &mut Entropy::draw(backend.random(), 0).unwrap(),
    };
    manager.prefix.of_encryption(&request).unwrap()
}

fn materials(number: u64) -> Materials {
    let edk = EncryptedDataKey::new("ns", *b"key", number.to_be_bytes());
    let parts = EncryptionParts {
        suite: CommitmentPolicy::default().default_suite(false),
        stored_context: Vec::new(),
        bound_context: Vec::new(),
        edks: edk.into_iter().collect(),
        data_key: SecretBytes::from(vec![0; 32]),
        signing_key: None,
    };
    match EncryptionMaterials::new(parts) {
        EncryptionMaterials::Reusable(materials) => Materials::Encryption(materials),
        EncryptionMaterials::SingleUse(_) => unreachable!("the suite derives keys"),
    }
}

/// At random, as all of a call's conduct.
fn pauses() -> Vec<Pause> {
    let one = |kind| match kind {
        0 => Pause::WakesItself,
        wakes => Pause::WokenByThread(wakes),
    };
    let mut random = thread_rng();
    let count = random.gen_range(0..3);
    (0..count).map(|_| one(random.gen_range(0..3))).collect()
}

struct FakeCall {
    /// From the first poll on.
    number: Option<u64>,
    pauses: Vec<Pause>,
    woken: Option<Arc<Signal>>,
    ends: Vec<End>,
    counts: Arc<Counts>,
}

impl Future for FakeCall {
    type Output = Result<Materials>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let counts = self.counts.clone();
        let begin = || counts.begun.fetch_add(1, Ordering::SeqCst);
        let number = *self.number.get_or_insert_with(begin);
        loop {
            if let Some(signal) = &self.woken
                && !signal.is_set(context.waker())
            {
                return Poll::Pending;
            }
            self.woken = None;
            match self.pauses.pop() {
                None => break,
                Some(Pause::WakesItself) => {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(Pause::WokenByThread(wakes)) => {
                    let signal = Arc::new(Signal::default());
                    self.woken = Some(signal.clone());
                    thread::spawn(move || signal.set(wakes));
                }
            }
        }
        let index = usize::try_from(number).unwrap();
        let end = self.ends.get(index).copied().unwrap_or(End::Good);
        // Dropping it counts no more.
        self.number = None;
        let count = match end {
            End::Good => &counts.good,
            End::Fails(_) | End::Panics => &counts.failed,
        };
        count.fetch_add(1, Ordering::SeqCst);
        match end {
            End::Good => Poll::Ready(Ok(materials(number))),
            End::Fails(kind) => Poll::Ready(Err(error(kind))),
            // Without the message that a panic prints.
            End::Panics => resume_unwind(Box::new("a call")),
        }
    }
}

impl Drop for FakeCall {
    fn drop(&mut self) {
        if self.number.is_some() {
            self.counts.abandoned.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn error(kind: ProviderErrorKind) -> Error {
    ProviderError::new(ProviderOperation::Generate, kind, "fake").into()
}

/// Something that a call waits for.
#[derive(Default)]
struct Signal(Mutex<(bool, Option<Waker>)>);

impl Signal {
    fn is_set(&self, waker: &Waker) -> bool {
        let mut state = self.0.lock().unwrap();
        state.1 = Some(waker.clone());
        state.0
    }

    fn set(&self, wakes: u32) {
        let waker = {
            let mut state = self.0.lock().unwrap();
            state.0 = true;
            state.1.take()
        };
        if let Some(waker) = waker {
            (0..wakes).for_each(|_| waker.wake_by_ref());
        }
    }
}

/// Runs these on a thread each, and says what each came to.
fn together<T: Send + 'static>(
    world: &Arc<World>,
    count: usize,
    run: impl Fn(&World, usize) -> T + Clone + Send + 'static,
) -> Vec<T> {
    let spawn = |index| {
        let (world, run) = (world.clone(), run.clone());
        thread::spawn(move || run(&world, index))
    };
    let threads: Vec<_> = (0..count).map(spawn).collect();
    let join = |thread: thread::JoinHandle<T>| thread.join().unwrap();
    threads.into_iter().map(join).collect()
}

/// Against all at once: several threads, lengths, requests given up, evictions
/// of each kind, two identifiers in a cache of one.
#[test]
fn no_data_key_is_used_beyond_its_limits() {
    check(|| {
        let setting = Setting {
            capacity: 1,
            messages: 3,
            bytes: 12,
            ..PLAIN
        };
        let world = World::new(setting, &[]);
        together(&world, 4, |world, index| {
            let mut random = thread_rng();
            for _ in 0..3 {
                let (bytes, what) = (random.gen_range(0..7), random.gen_range(0..8));
                match what {
                    0 | 1 => {
                        let polls = random.gen_range(0..4);
                        world.send_or_give_up(bytes, polls).map(Result::unwrap);
                    }
                    2 => drop(world.cache.clear()),
                    3 => drop(world.cache.evict_partition("p")),
                    4 => {
                        world.send_as(1, Caller::Async, bytes).unwrap();
                    }
                    _ => {
                        let caller = Caller::BOTH[index % 2];
                        world.send_as(0, caller, bytes).unwrap();
                    }
                }
            }
        });
        world.settle();
    });
}

#[test]
fn messages_make_as_few_calls_as_their_limit_allows() {
    check(|| {
        let world = World::new(
            Setting {
                messages: 3,
                ..PLAIN
            },
            &[],
        );
        together(&world, 4, |world, _| {
            world.send(1).unwrap();
            world.send(1).unwrap();
        });
        assert_eq!(world.settle(), 8_u64.div_ceil(3));
    });
}

/// Two data keys of which neither can take what the other holds have more than
/// the limit together, whichever of their calls lands first.
#[test]
fn bytes_waste_less_than_half() {
    check(|| {
        let world = World::new(Setting { bytes: 10, ..PLAIN }, &[]);
        let sent = together(&world, 4, |world, index| {
            let bytes = [[6, 1], [5, 2], [1, 1], [2, 2]][index];
            bytes.map(|bytes| {
                world.send(bytes).unwrap();
                bytes
            })
        });
        let sent: u64 = sent.iter().flatten().sum();
        assert_eq!(sent, 20);
        let keys = world.settle();
        assert!(keys <= 3, "{keys} data keys");
    });
}

/// The kinds' calls may land one upon the other: the data key that has more
/// left stays.
#[test]
fn of_two_data_keys_the_less_used_one_stays() {
    check(|| {
        let world = World::new(PLAIN, &[]);
        let sent = together(&world, 4, |world, index| {
            let caller = Caller::BOTH[index / 3];
            world.send_as(0, caller, 1).unwrap()
        });
        let used = world.used.lock().unwrap().clone();
        let kept = world.send(1).unwrap();
        // Else one of them has been used more since they landed.
        if sent
            .iter()
            .all(|(_, outcome)| *outcome != CacheOutcome::Hit)
        {
            assert_eq!(
                used.values().min(),
                used.get(&kept),
                "{used:?}, {kept} is kept"
            );
        }
        world.settle();
    });
}

#[test]
fn those_who_want_one_data_key_make_one_call() {
    check(|| {
        let world = World::new(PLAIN, &[]);
        let keys = together(&world, 3, |world, _| world.send(1).unwrap());
        assert_eq!((keys, world.settle()), (vec![0; 3], 1));
    });
}

/// The kinds do not wait for one another: each has its call.
#[test]
fn threads_that_sleep_have_calls_of_their_own() {
    check(|| {
        let world = World::new(PLAIN, &[]);
        together(&world, 4, |world, index| {
            world.send_as(0, Caller::BOTH[index % 2], 1).unwrap();
        });
        assert!(world.settle() <= 2);
    });
}

/// Whoever of them it is, and whenever: the others go on with the same call,
/// and another is made only when all had left.
#[test]
fn one_who_gives_up_takes_nothing_from_the_others() {
    check(|| {
        let world = World::new(PLAIN, &[]);
        let ended = together(&world, 3, |world, index| {
            let polls = thread_rng().gen_range(0..4);
            match index {
                0 => Some(world.send(1).unwrap()),
                _ => world.send_or_give_up(1, polls).map(Result::unwrap),
            }
        });
        let stayed = ended.iter().flatten().count();
        assert!(stayed > 0);
        let gave_up = (ended.len() - stayed) as u64;
        assert_eq!(world.settle(), 1);
        assert!(get(&world.counts.abandoned) <= gave_up);
    });
}

/// Before its call has landed: the next one takes it.
#[test]
fn a_place_given_up_is_free_again() {
    check(|| {
        let setting = Setting {
            messages: 3,
            ..PLAIN
        };
        let world = World::new(setting, &[]);
        future::block_on(async {
            let mut stays = pin!(world.message(0, Caller::Async, 1));
            let mut is_given_up = poll_once(stays.as_mut()).await.is_pending();
            let is_pending = is_given_up;
            if is_pending {
                let leaves = pin!(world.message(0, Caller::Async, 1));
                is_given_up = poll_once(leaves).await.is_pending();
            }
            together(&world, 2, |world, _| world.send(1).unwrap());
            if is_pending {
                stays.await.unwrap();
            }
            let calls = world.settle();
            assert!(calls == 1 || !is_given_up, "{calls} calls");
        });
    });
}

/// The last leaves, with the call, as another comes.
#[test]
fn the_last_leaves_while_another_joins() {
    check(|| {
        let world = World::new(PLAIN, &[]);
        let ended = together(&world, 2, |world, index| match index {
            0 => world.send_or_give_up(1, 1).map(Result::unwrap),
            _ => Some(world.send(1).unwrap()),
        });
        assert!(ended[1].is_some());
        world.settle();
        // Nothing is left in the air.
        let key = world.send(1).unwrap();
        assert_eq!(Some(key), ended[1]);
    });
}

/// It holds the call's only waker at times, and is there until all have ended.
#[test]
fn one_who_is_never_polled_again_holds_nobody_up() {
    check(|| {
        let world = World::new(PLAIN, &[]);
        let idle = thread_rng().gen_range(1..4);
        let keep = world.clone();
        future::block_on(async {
            let mut held = pin!(keep.message(0, Caller::Async, 1));
            for _ in 0..idle {
                if poll_once(held.as_mut()).await.is_ready() {
                    break;
                }
            }
            let keys = together(&world, 2, |world, _| world.send(1).unwrap());
            assert_eq!(keys, [0; 2]);
        });
        assert_eq!(world.settle(), 1);
    });
}

#[test]
fn a_call_that_fails_ends_for_all() {
    const FAILS: End = End::Fails(ProviderErrorKind::Unavailable);
    check(|| {
        let world = World::new(PLAIN, &[FAILS, FAILS]);
        let ended = together(&world, 4, |world, _| world.send(1).ok());
        let failed = ended.iter().filter(|ended| ended.is_none()).count() as u64;
        world.settle();
        // A call's error is its maker's, and the others try again.
        assert_eq!(failed, get(&world.counts.failed));
        assert_eq!(get(&world.counts.good), 1);
    });
    check(|| {
        let world = World::new(PLAIN, &[FAILS; 8]);
        let ended = together(&world, 4, |world, _| world.send(1));
        assert!(ended.iter().all(Result::is_err));
        world.settle();
        // Each made one, at most.
        assert!(get(&world.counts.begun) <= 4);
    });
}

/// The panic is whose poll it was; the others go on.
#[test]
fn a_call_that_panics_ends_for_all() {
    check(|| {
        let world = World::new(PLAIN, &[End::Panics]);
        let ended = together(&world, 3, |world, _| {
            catch_unwind(AssertUnwindSafe(|| world.send(1))).ok()
        });
        let panicked = ended.iter().filter(|ended| ended.is_none()).count();
        assert_eq!(panicked, 1);
        // Its maker, if another polled it, has the error.
        let failed = ended.iter().flatten().filter(|ended| ended.is_err());
        assert!(failed.count() <= 1);
        world.settle();
        assert_eq!(get(&world.counts.failed), 1);
    });
}

/// What was asked for before an eviction serves nobody who comes after it.
#[test]
fn an_eviction_meets_what_is_in_the_air() {
    check(|| {
        let world = World::new(PLAIN, &[]);
        together(&world, 3, |world, index| {
            if index == 0 {
                world.cache.clear();
                let begun = get(&world.counts.begun);
                let key = world.send(1).unwrap();
                assert!(key >= begun, "data key {key} of {begun} before");
            } else {
                world.send(1).unwrap();
            }
        });
        world.settle();
    });
}

/// At the age to refresh: one call, in the background, and nobody waits.
#[test]
fn one_refreshes_ahead_and_nobody_waits() {
    check(|| {
        let setting = Setting {
            refresh_after: Some(0.8),
            ..PLAIN
        };
        let world = World::new(setting, &[]);
        assert_eq!(world.send(1).unwrap(), 0);
        world.clock.0.store(80, Ordering::SeqCst);
        together(&world, 3, |world, _| {
            let (_, outcome) = world.send_as(0, Caller::Async, 1).unwrap();
            assert_eq!(outcome, CacheOutcome::Hit);
        });
        assert_eq!(world.settle(), 2);
        assert_eq!(world.send(1).unwrap(), 1);
        assert_eq!(world.settle(), 2);
    });
}

/// A provider that is down is asked once, and then left alone for a while.
#[test]
fn a_refresh_that_fails_is_not_repeated_at_once() {
    check(|| {
        let setting = Setting {
            refresh_after: Some(0.8),
            ..PLAIN
        };
        let fails = End::Fails(ProviderErrorKind::Unavailable);
        let world = World::new(setting, &[End::Good, fails]);
        world.send(1).unwrap();
        world.clock.0.store(80, Ordering::SeqCst);
        let keys = together(&world, 3, |world, _| {
            [world.send(1).unwrap(), world.send(1).unwrap()]
        });
        assert_eq!(keys, [[0; 2]; 3]);
        world.settle();
        assert_eq!(
            (get(&world.counts.begun), world.cache.statistics().stale),
            (2, 1)
        );
    });
}

/// With messages used up meanwhile, requests given up, and evictions.
#[test]
fn no_data_key_is_used_beyond_its_limits_while_it_is_refreshed() {
    check(|| {
        let setting = Setting {
            messages: 4,
            refresh_after: Some(0.5),
            ..PLAIN
        };
        let world = World::new(setting, &[]);
        together(&world, 3, |world, index| {
            for _ in 0..4 {
                let mut random = thread_rng();
                match random.gen_range(0..8) {
                    0 => drop(world.cache.clear()),
                    1 => {
                        let polls = random.gen_range(0..4);
                        world.send_or_give_up(1, polls).map(Result::unwrap);
                    }
                    _ => {
                        let caller = Caller::BOTH[index % 2];
                        world.send_as(0, caller, 1).unwrap();
                    }
                }
            }
        });
        world.settle();
    });
}
