//! How often each data key was used, counted from the messages themselves.

#[path = "support/watched.rs"]
mod watched;

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Builder;
use watched::watched;
use waxseal::test_util::{CountingProvider, Delay, DelayingProvider};
use waxseal::{
    Caching, Client, DataKeyCache, EncryptionContext, RawAesProvider, SecretBytes, inspect,
};

const THREADS: u64 = 8;
/// In all.
const MESSAGES: u64 = 1_000_000;
const LIMIT: u64 = 1_000;
const MAX_AGE: Duration = Duration::from_secs(1_000_000);

fn context() -> EncryptionContext {
    EncryptionContext::from([("tenant", "7")])
}

/// Messages and declared bytes by data key, as the messages' headers name it.
#[derive(Default)]
struct Ledger(HashMap<Vec<u8>, (u64, u64)>);

impl Ledger {
    fn count(&mut self, message: &[u8], declared: u64) {
        let header = inspect(message).expect("a header");
        let [edk] = header.encrypted_data_keys() else {
            panic!("one encrypted data key");
        };
        let (messages, bytes) = match self.0.get_mut(edk.ciphertext()) {
            Some(used) => used,
            None => self.0.entry(edk.ciphertext().to_vec()).or_default(),
        };
        *messages += 1;
        *bytes += declared;
    }

    fn add(&mut self, other: Ledger) {
        for (key, (messages, bytes)) in other.0 {
            let used = self.0.entry(key).or_default();
            *used = (used.0 + messages, used.1 + bytes);
        }
    }

    fn total(&self) -> (u64, u64) {
        let add = |sum: (u64, u64), used: &(u64, u64)| (sum.0 + used.0, sum.1 + used.1);
        self.0.values().fold((0, 0), add)
    }

    fn most(&self) -> (u64, u64) {
        let messages = self.0.values().map(|used| used.0).max();
        let bytes = self.0.values().map(|used| used.1).max();
        (messages.unwrap_or(0), bytes.unwrap_or(0))
    }
}

/// Which requests the threads make.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kinds {
    Blocking,
    Async,
    Both,
}

#[derive(Clone, Copy)]
struct Load {
    kinds: Kinds,
    messages: u64,
    /// Declared and sent lengths are below this.
    longest: u64,
    /// Of so many requests one is given up, after a poll or a few.
    gives_up: Option<u64>,
    /// What a call of the provider's takes.
    delay: Delay,
}

struct Ran {
    ledger: Ledger,
    gave_up: u64,
    /// Of the provider's, that ended well.
    calls: u64,
    refreshes: u64,
}

impl Load {
    fn run(self, change: impl FnOnce(Caching) -> Caching) -> Ran {
        let provider = RawAesProvider::new("ns", "key", &SecretBytes::from(vec![7; 32]));
        let provider = DelayingProvider::new(provider.expect("a key"), self.delay);
        let provider = CountingProvider::new(provider);
        let cache = DataKeyCache::new(10);
        let client = Client::builder(provider.clone())
            .caching(change(Caching::new(&cache, MAX_AGE)))
            .build()
            .expect("settings");
        let mut all = Ran {
            ledger: Ledger::default(),
            gave_up: 0,
            calls: 0,
            refreshes: 0,
        };
        std::thread::scope(|scope| {
            let spawn = |thread| {
                let client = &client;
                scope.spawn(move || self.run_thread(client, thread))
            };
            let threads: Vec<_> = (0..THREADS).map(spawn).collect();
            for thread in threads {
                let (ledger, gave_up) = thread.join().expect("no panic");
                all.ledger.add(ledger);
                all.gave_up += gave_up;
            }
        });
        let counts = provider.counts();
        assert_eq!(counts.total(), counts.generate.started);
        all.calls = counts.generate.succeeded;
        all.refreshes = cache.statistics().refreshed;
        assert_eq!(all.ledger.total().0 + all.gave_up, self.messages);
        all
    }

    fn run_thread(self, client: &Client, thread: u64) -> (Ledger, u64) {
        let is_async = match self.kinds {
            Kinds::Blocking => false,
            Kinds::Async => true,
            Kinds::Both => thread.is_multiple_of(2),
        };
        let (mut ledger, mut gave_up) = (Ledger::default(), 0);
        let mut seeded = Seeded(thread);
        let context = context();
        let plaintext = vec![7; usize::try_from(self.longest).expect("a length")];
        let mut next = || {
            let declared = seeded.below(self.longest + 1);
            let sent = seeded.below(declared + 1);
            let sent = &plaintext[..usize::try_from(sent).expect("a length")];
            let patience = match self.gives_up {
                Some(every) if seeded.below(every) == 0 => Some(seeded.below(4)),
                _ => None,
            };
            (declared, sent, patience)
        };
        let messages = self.messages / THREADS;
        if !is_async {
            let client = client.blocking();
            for _ in 0..messages {
                let (declared, sent, _) = next();
                let prepared = client.prepare(&context, Some(declared));
                let message = prepared.and_then(|prepared| prepared.encrypt(sent));
                ledger.count(&message.expect("a message"), declared);
            }
            return (ledger, gave_up);
        }
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            for number in 0..messages {
                let (declared, sent, patience) = next();
                let request = pin!(client.prepare(&context, Some(declared)));
                match at_most(patience.unwrap_or(u64::MAX), request).await {
                    Some(prepared) => {
                        let message = prepared.and_then(|prepared| prepared.encrypt(sent));
                        ledger.count(&message.expect("a message"), declared);
                    }
                    None => gave_up += 1,
                }
                // What runs in the background has its turn.
                if number % 16 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        });
        (ledger, gave_up)
    }
}

/// Polls so often at most.
async fn at_most<F: Future>(mut polls: u64, mut request: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|context| {
        if polls > 0
            && let Poll::Ready(ended) = request.as_mut().poll(context)
        {
            return Poll::Ready(Some(ended));
        }
        polls = polls.saturating_sub(1);
        if polls == 0 {
            return Poll::Ready(None);
        }
        Poll::Pending
    })
    .await
}

/// Numbers that are the same in each run.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, end: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

const PLAIN: Load = Load {
    kinds: Kinds::Both,
    messages: MESSAGES / 5,
    longest: 0,
    gives_up: None,
    delay: Delay::None,
};

/// The two kinds wait for no call of the other's, so that each may make one
/// when a data key is used up: of two data keys that came from that, one stays
/// until it is used up as well.
#[test]
fn a_million_messages() {
    watched(|| {
        let load = Load {
            messages: MESSAGES,
            ..PLAIN
        };
        let ran = load.run(|caching| caching.max_messages(LIMIT));
        assert_eq!(ran.ledger.most().0, LIMIT);
        let least = MESSAGES / LIMIT;
        let bound = least..=2 * least + 2;
        assert!(bound.contains(&ran.calls), "{} calls", ran.calls);
        assert_eq!(ran.ledger.0.len() as u64, ran.calls);
    });
}

/// Not one call more than the limit asks for, and each data key is full.
#[test]
fn one_kind_makes_as_few_calls_as_the_limit_allows() {
    watched(|| {
        for kinds in [Kinds::Async, Kinds::Blocking] {
            for delay in [Delay::None, Delay::Polls(3)] {
                let load = Load {
                    kinds,
                    delay,
                    messages: MESSAGES / 10,
                    ..PLAIN
                };
                let ran = load.run(|caching| caching.max_messages(LIMIT));
                let least = load.messages / LIMIT;
                assert_eq!((ran.ledger.0.len() as u64, ran.calls), (least, least));
                assert!(ran.ledger.0.values().all(|used| used.0 == LIMIT));
            }
        }
    });
}

/// Who gives up may have had a place, which is lost when the call has landed;
/// and two calls that lost some at once may each bring a data key of which one
/// takes the other's place.
#[test]
fn messages_while_many_give_up() {
    watched(|| {
        for delay in [Delay::None, Delay::Polls(3)] {
            let load = Load {
                gives_up: Some(10),
                delay,
                ..PLAIN
            };
            let ran = load.run(|caching| caching.max_messages(LIMIT));
            assert!(ran.ledger.most().0 <= LIMIT, "{:?}", ran.ledger.most());
            assert!(ran.gave_up > 0);
            let bound = 2 * (load.messages / LIMIT) + 2 + ran.gave_up;
            assert!(ran.calls <= bound, "{} calls of {bound}", ran.calls);
        }
    });
}

/// A data key is left at the share that is set, or later.
#[test]
fn messages_while_data_keys_are_refreshed() {
    watched(|| {
        for delay in [Delay::None, Delay::For(Duration::from_millis(1))] {
            let load = Load {
                gives_up: Some(10),
                delay,
                ..PLAIN
            };
            let ran = load.run(|caching| caching.max_messages(LIMIT).refresh_after(0.8));
            assert!(ran.ledger.most().0 <= LIMIT, "{:?}", ran.ledger.most());
            assert!(ran.refreshes > 0);
            // Each that was not refreshed may have had a call of each kind.
            let bound = 3 * (load.messages / (LIMIT * 8 / 10)) + 3 + ran.gave_up;
            assert!(ran.calls <= bound, "{} calls of {bound}", ran.calls);
        }
    });
}

/// By what the messages declare: the length is less, at times.
#[test]
fn bytes() {
    const BYTES: u64 = 20_000;
    watched(|| {
        for (kinds, gives_up) in [
            (Kinds::Blocking, None),
            (Kinds::Async, None),
            (Kinds::Both, Some(10)),
        ] {
            for delay in [Delay::None, Delay::Polls(3)] {
                let load = Load {
                    kinds,
                    messages: MESSAGES / 10,
                    longest: 500,
                    gives_up,
                    delay,
                };
                let ran = load.run(|caching| caching.max_bytes(BYTES));
                let (most, total) = (ran.ledger.most().1, ran.ledger.total().1);
                assert!(most <= BYTES, "{most} bytes under one data key");
                // A data key is left when a message does not fit, and what does
                // not fit into one of two makes more than one full.
                let bound = 2 * total / BYTES + 2 + ran.gave_up;
                let bound = bound.max(2 * bound * u64::from(kinds == Kinds::Both));
                assert!(ran.calls <= bound, "{} calls of {bound}", ran.calls);
            }
        }
    });
}

/// A message of the whole limit has a data key to itself; the next byte is one
/// too many.
#[test]
fn the_last_message_and_the_last_byte() {
    watched(|| {
        let load = Load {
            messages: 80,
            ..PLAIN
        };
        let ran = load.run(|caching| caching.max_messages(1));
        assert_eq!((ran.calls, ran.ledger.most().0), (80, 1));
    });
}
