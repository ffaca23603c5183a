//! The cache against a simple model of its rules, in thousands of random
//! operations: each request meets the same in both, under the same data key,
//! after the same calls.

use std::collections::HashMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use waxseal::{
    CacheEvictions, CacheOutcome, Caching, Client, EncryptionContext, ProviderErrorKind,
};

use crate::support::{raw, ready};
use crate::world::{World, data_key_of, tenant};

const PARTITIONS: [&str; 2] = ["p", "q"];
const KEYS: [&str; 2] = ["one", "two"];

/// What a client is told, in seconds, messages and bytes.
#[derive(Clone, Debug)]
struct Limits {
    partition: usize,
    key: usize,
    max_age: u64,
    max_messages: u64,
    max_bytes: u64,
}

#[derive(Clone, Debug)]
enum Operation {
    Encrypt {
        client: Index,
        tenant: usize,
        length: Option<u64>,
        fails: bool,
    },
    Decrypt {
        client: Index,
        message: Index,
        expects: bool,
        fails: bool,
    },
    Advance(u64),
    EvictAll,
    EvictPartition(usize),
    EvictKey(usize),
    EvictExpired,
}

fn limits() -> impl Strategy<Value = Limits> {
    let amounts = (prop_oneof![Just(1_u64), 2..40_u64], 1..8_u64, 0..120_u64);
    (0..2_usize, 0..2_usize, amounts).prop_map(|(partition, key, amounts)| Limits {
        partition,
        key,
        max_age: amounts.0,
        max_messages: amounts.1,
        max_bytes: amounts.2,
    })
}

fn operation(tenants: usize) -> impl Strategy<Value = Operation> {
    let fails = || prop::bool::weighted(0.05);
    let length = prop_oneof![
        10 => (0..60_u64).prop_map(Some),
        2 => (60..130_u64).prop_map(Some),
        1 => Just(None),
    ];
    let encrypt = (any::<Index>(), 0..tenants, length, fails()).prop_map(
        |(client, tenant, length, fails)| Operation::Encrypt {
            client,
            tenant,
            length,
            fails,
        },
    );
    let decrypt = (any::<Index>(), any::<Index>(), any::<bool>(), fails()).prop_map(
        |(client, message, expects, fails)| Operation::Decrypt {
            client,
            message,
            expects,
            fails,
        },
    );
    prop_oneof![
        50 => encrypt,
        40 => decrypt,
        15 => (0..12_u64).prop_map(Operation::Advance),
        1 => Just(Operation::EvictAll),
        1 => (0..2_usize).prop_map(Operation::EvictPartition),
        1 => (0..2_usize).prop_map(Operation::EvictKey),
        1 => Just(Operation::EvictExpired),
    ]
}

/// What two requests must have in common to share an entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Id {
    partition: usize,
    key: usize,
    tenant: usize,
    /// Which data key is read, and whether the caller expects the tenant.
    reading: Option<(usize, bool)>,
}

struct Entry {
    id: Id,
    /// The number of its data key.
    data_key: usize,
    created: u64,
    expires: u64,
    messages: u64,
    bytes: u64,
}

/// The rules, one after another over a list.
struct Model {
    capacity: usize,
    now: u64,
    /// The one that was used last stands last.
    entries: Vec<Entry>,
    data_keys: usize,
    calls: u64,
    evicted: CacheEvictions,
}

enum Met {
    Hit(usize),
    Miss(usize),
    Bypass(usize),
    Failed,
}

impl Model {
    fn call(&mut self, fails: bool) -> bool {
        self.calls += 1;
        !fails
    }

    fn new_data_key(&mut self) -> usize {
        self.data_keys += 1;
        self.data_keys - 1
    }

    fn encrypt(&mut self, limits: &Limits, tenant: usize, length: Option<u64>, fails: bool) -> Met {
        let Some(length) = length.filter(|length| *length <= limits.max_bytes) else {
            return match self.call(fails) {
                true => Met::Bypass(self.new_data_key()),
                false => Met::Failed,
            };
        };
        let id = Id {
            partition: limits.partition,
            key: limits.key,
            tenant,
            reading: None,
        };
        if let Some(entry) = self.look_up(&id, limits, Some(length)) {
            entry.messages += 1;
            entry.bytes += length;
            return Met::Hit(entry.data_key);
        }
        if !self.call(fails) {
            return Met::Failed;
        }
        let data_key = self.new_data_key();
        self.insert(id, limits, data_key, Some(length));
        Met::Miss(data_key)
    }

    fn decrypt(
        &mut self,
        limits: &Limits,
        (data_key, key, tenant): (usize, usize, usize),
        expects: bool,
        fails: bool,
    ) -> Met {
        let id = Id {
            partition: limits.partition,
            key: limits.key,
            tenant,
            reading: Some((data_key, expects)),
        };
        if let Some(entry) = self.look_up(&id, limits, None) {
            return Met::Hit(entry.data_key);
        }
        // The other wrapping key does not open it.
        if !self.call(fails) || key != limits.key {
            return Met::Failed;
        }
        self.insert(id, limits, data_key, None);
        Met::Miss(data_key)
    }

    /// The entry, if it serves this message; it is then the one used last.
    /// (One that does not is looked at all the same: it makes way for another
    /// or, where the call for that fails, has been used last.)
    fn look_up(&mut self, id: &Id, limits: &Limits, length: Option<u64>) -> Option<&mut Entry> {
        let place = self.entries.iter().position(|entry| entry.id == *id)?;
        let entry = self.entries.remove(place);
        self.entries.push(entry);
        let entry = self.entries.last_mut()?;
        let is_young = self.now < entry.expires && self.now - entry.created < limits.max_age;
        let has_left = length.is_none_or(|length| {
            entry.messages < limits.max_messages && entry.bytes + length <= limits.max_bytes
        });
        (is_young && has_left).then_some(entry)
    }

    fn insert(&mut self, id: Id, limits: &Limits, data_key: usize, length: Option<u64>) {
        if let Some(place) = self.entries.iter().position(|entry| entry.id == id) {
            let old = self.entries.remove(place);
            *if self.now >= old.expires {
                &mut self.evicted.expired
            } else if self.now - old.created >= limits.max_age {
                &mut self.evicted.replaced
            } else {
                &mut self.evicted.exhausted
            } += 1;
        }
        if self.capacity == 0 {
            return;
        }
        if self.entries.len() == self.capacity {
            let now = self.now;
            self.evicted.expired += self.remove(|entry| entry.expires <= now);
        }
        if self.entries.len() == self.capacity {
            self.entries.remove(0);
            self.evicted.capacity += 1;
        }
        self.entries.push(Entry {
            id,
            data_key,
            created: self.now,
            expires: self.now + limits.max_age,
            messages: length.map_or(0, |_| 1),
            bytes: length.unwrap_or(0),
        });
    }

    fn remove(&mut self, chosen: impl Fn(&Entry) -> bool) -> u64 {
        let before = self.entries.len();
        self.entries.retain(|entry| !chosen(entry));
        (before - self.entries.len()) as u64
    }

    fn evict_expired(&mut self) {
        let now = self.now;
        self.evicted.expired += self.remove(|entry| entry.expires <= now);
    }

    fn evict(&mut self, chosen: impl Fn(&Entry) -> bool) -> u64 {
        let evicted = self.remove(chosen);
        self.evicted.demanded += evicted;
        evicted
    }
}

struct Message {
    bytes: Vec<u8>,
    data_key: usize,
    key: usize,
    tenant: usize,
}

struct Run {
    world: World,
    worlds: Vec<World>,
    clients: Vec<(Client, Limits)>,
    model: Model,
    messages: Vec<Message>,
    /// Which number a data key that came has, by how it is wrapped.
    numbers: HashMap<Vec<u8>, usize>,
}

impl Run {
    fn new(capacity: usize, limits: &[Limits]) -> Self {
        let world = World::new(capacity);
        // One provider for each key; the cache is the first world's.
        let worlds: Vec<_> = KEYS
            .iter()
            .zip(1..)
            .map(|(key, byte)| World::with(0, raw(key, byte), |cache| cache))
            .collect();
        let client = |limits: &Limits| {
            let caching = Caching::new(&world.cache, Duration::from_secs(limits.max_age))
                .max_messages(limits.max_messages)
                .max_bytes(limits.max_bytes)
                .partition(PARTITIONS[limits.partition]);
            let client = worlds[limits.key].builder().caching(caching).build();
            (client.unwrap(), limits.clone())
        };
        let clients = limits.iter().map(client).collect();
        Run {
            clients,
            world,
            worlds,
            model: Model {
                capacity,
                now: 0,
                entries: Vec::new(),
                data_keys: 0,
                calls: 0,
                evicted: CacheEvictions::default(),
            },
            messages: Vec::new(),
            numbers: HashMap::new(),
        }
    }

    fn run(&mut self, operation: &Operation) {
        match operation {
            Operation::Encrypt {
                client,
                tenant,
                length,
                fails,
            } => self.encrypt(client, *tenant, *length, *fails),
            Operation::Decrypt {
                client,
                message,
                expects,
                fails,
            } => self.decrypt(client, message, *expects, *fails),
            Operation::Advance(seconds) => {
                self.world.advance(Duration::from_secs(*seconds));
                self.model.now += seconds;
            }
            Operation::EvictExpired => self.evict_expired(),
            Operation::EvictAll => {
                self.evict_expired();
                let evicted = self.world.cache.clear() as u64;
                assert_eq!(evicted, self.model.evict(|_| true));
            }
            Operation::EvictPartition(partition) => {
                self.evict_expired();
                let evicted = self.world.cache.evict_partition(PARTITIONS[*partition]) as u64;
                assert_eq!(
                    evicted,
                    self.model.evict(|entry| entry.id.partition == *partition)
                );
            }
            Operation::EvictKey(key) => {
                self.evict_expired();
                let evicted = self.world.cache.evict_key(KEYS[*key]) as u64;
                assert_eq!(evicted, self.model.evict(|entry| entry.id.key == *key));
            }
        }
        let calls = self
            .worlds
            .iter()
            .map(|world| world.provider.counts().total());
        assert_eq!(calls.sum::<u64>(), self.model.calls);
        assert!(self.world.statistics().entries <= self.model.capacity);
    }

    /// So that entries that are no longer good count alike on both sides: when
    /// they leave is the cache's to choose.
    fn evict_expired(&mut self) {
        self.world.cache.evict_expired();
        self.model.evict_expired();
        let statistics = self.world.statistics();
        assert_eq!(statistics.entries, self.model.entries.len());
        assert_eq!(statistics.evicted, self.model.evicted);
    }

    fn encrypt(&mut self, client: &Index, tenant_number: usize, length: Option<u64>, fails: bool) {
        let (client, limits) = client.get(&self.clients);
        let failing = &self.worlds[limits.key].failing;
        failing.script([fails.then_some(ProviderErrorKind::AccessDenied)]);
        let context = tenant(tenant_number);
        let prepared = ready(client.prepare(&context, length));
        failing.recover();
        let met = self.model.encrypt(limits, tenant_number, length, fails);
        let Ok(prepared) = prepared else {
            assert!(matches!(met, Met::Failed));
            return;
        };
        let outcome = prepared.cache_outcome().unwrap();
        let bytes = prepared
            .encrypt(&vec![0; length.unwrap_or(3) as usize])
            .unwrap();
        let data_key = expect(outcome, &met);
        let number = self.numbers.entry(data_key_of(&bytes)).or_insert(data_key);
        assert_eq!(*number, data_key, "another data key");
        self.messages.push(Message {
            bytes,
            data_key,
            key: limits.key,
            tenant: tenant_number,
        });
    }

    fn decrypt(&mut self, client: &Index, message: &Index, expects: bool, fails: bool) {
        if self.messages.is_empty() {
            return;
        }
        let (client, limits) = client.get(&self.clients);
        let message = message.get(&self.messages);
        let failing = &self.worlds[limits.key].failing;
        failing.script([fails.then_some(ProviderErrorKind::AccessDenied)]);
        let expected = match expects {
            true => tenant(message.tenant),
            false => EncryptionContext::new(),
        };
        let decrypted = ready(client.decrypt(&message.bytes, &expected));
        failing.recover();
        let of = (message.data_key, message.key, message.tenant);
        let met = self.model.decrypt(limits, of, expects, fails);
        match decrypted {
            Ok(decrypted) => {
                let outcome = decrypted.details.cache_outcome.unwrap();
                assert_eq!(expect(outcome, &met), message.data_key);
                assert_eq!(decrypted.details.key, KEYS[message.key]);
            }
            Err(_) => assert!(matches!(met, Met::Failed)),
        }
    }
}

/// The data key that the model has met in the same way.
#[track_caller]
fn expect(outcome: CacheOutcome, met: &Met) -> usize {
    let (expected, data_key) = match met {
        Met::Hit(data_key) => (CacheOutcome::Hit, *data_key),
        Met::Miss(data_key) => (CacheOutcome::Miss, *data_key),
        Met::Bypass(data_key) => (CacheOutcome::Bypass, *data_key),
        Met::Failed => panic!("{outcome} where a failure was to be met"),
    };
    assert_eq!(outcome, expected);
    data_key
}

fn check(capacity: usize, limits: &[Limits], operations: &[Operation]) {
    let mut run = Run::new(capacity, limits);
    for operation in operations {
        run.run(operation);
    }
    run.evict_expired();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn small_caches_do_as_the_model(
        capacity in 0..6_usize,
        limits in vec(limits(), 1..5),
        operations in vec(operation(4), 1..300),
    ) {
        check(capacity, &limits, &operations);
    }

    #[test]
    fn larger_caches_do_as_the_model(
        capacity in 6..60_usize,
        limits in vec(limits(), 1..4),
        operations in vec(operation(60), 1..600),
    ) {
        check(capacity, &limits, &operations);
    }
}
