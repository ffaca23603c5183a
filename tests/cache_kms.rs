//! A data-key cache that follows the embedded KMS.

use std::time::Duration;

use waxseal::blocking::{Client, wait};
use waxseal::kms::store::MemoryStore;
use waxseal::kms::{CreateKey, LocalKms, RootKey};
use waxseal::test_util::ManualClock;
use waxseal::{CacheOutcome, Caching, DataKeyCache, EncryptionContext, SecretBytes};

const DAY: Duration = Duration::from_secs(86_400);

struct Case {
    kms: LocalKms,
    cache: DataKeyCache,
    client: Client,
    clock: ManualClock,
}

fn root() -> RootKey {
    RootKey::bytes(SecretBytes::copy_from(&[7; 32]))
}

fn open(store: &MemoryStore, clock: &ManualClock) -> LocalKms {
    let builder = LocalKms::builder(store.clone(), root()).clock(clock.clone());
    wait(builder.max_staleness(Duration::ZERO).open()).expect("opens")
}

impl Case {
    fn new(store: &MemoryStore) -> Self {
        let clock = ManualClock::default();
        let kms = open(store, &clock);
        for alias in ["alias/a", "alias/b"] {
            wait(kms.create_key(CreateKey::new().alias(alias))).expect("a key");
        }
        let cache = DataKeyCache::builder(100).clock(clock.clone()).build();
        cache.follow(&kms);
        let client = client(&kms, &cache, "alias/a");
        Case {
            kms,
            cache,
            client,
            clock,
        }
    }

    fn outcome(&self) -> Option<CacheOutcome> {
        let prepared = self.client.prepare(&EncryptionContext::new(), Some(16));
        prepared.expect("prepares").cache_outcome()
    }

    /// Caches a data key, sees that it hits, makes the change, and says how
    /// many entries are left.
    fn entries_after(&self, change: impl FnOnce(&LocalKms)) -> usize {
        self.outcome();
        assert_eq!(self.outcome(), Some(CacheOutcome::Hit));
        change(&self.kms);
        self.cache.statistics().entries
    }
}

fn client(kms: &LocalKms, cache: &DataKeyCache, key: &str) -> Client {
    let caching = Caching::new(cache, 365 * DAY);
    let builder = Client::builder(kms.provider(key)).caching(caching);
    builder.build().expect("good settings").blocking()
}

#[test]
fn the_first_data_key_under_a_key_is_cached() {
    let case = Case::new(&MemoryStore::new());
    assert_eq!(case.outcome(), Some(CacheOutcome::Miss));
    assert_eq!(case.outcome(), Some(CacheOutcome::Hit));
}

#[test]
fn a_rotation_is_followed() {
    let case = Case::new(&MemoryStore::new());
    let left = case.entries_after(|kms| {
        wait(kms.rotate("alias/a")).expect("rotates");
    });
    assert_eq!(left, 0);
    let context = EncryptionContext::new();
    let message = case.client.encrypt(b"", &context).expect("encrypts");
    let details = case
        .client
        .decrypt(&message, &context)
        .expect("decrypts")
        .details;
    assert_eq!(details.key_version.as_deref(), Some("2"));
}

#[test]
fn a_disabled_key_encrypts_and_decrypts_no_more() {
    let case = Case::new(&MemoryStore::new());
    let context = EncryptionContext::new();
    let message = case.client.encrypt(b"", &context).expect("encrypts");
    case.client.decrypt(&message, &context).expect("decrypts");
    wait(case.kms.disable_key("alias/a")).expect("disables");
    assert_eq!(case.cache.statistics().entries, 0);
    assert!(case.client.encrypt(b"", &context).is_err());
    assert!(case.client.decrypt(&message, &context).is_err());
    wait(case.kms.enable_key("alias/a")).expect("enables");
    assert!(case.client.decrypt(&message, &context).is_ok());
}

#[test]
fn a_key_to_be_deleted_is_followed() {
    let case = Case::new(&MemoryStore::new());
    let left = case.entries_after(|kms| {
        wait(kms.schedule_deletion("alias/a", Some(7))).expect("schedules");
    });
    assert_eq!(left, 0);
}

#[test]
fn what_is_due_is_followed() {
    let case = Case::new(&MemoryStore::new());
    wait(case.kms.enable_rotation("alias/a", Some(90))).expect("enables");
    let left = case.entries_after(|kms| {
        case.clock.advance(91 * DAY);
        wait(kms.run_due()).expect("runs");
    });
    assert_eq!(left, 0);
}

#[test]
fn a_disconnection_is_followed() {
    let case = Case::new(&MemoryStore::new());
    assert_eq!(
        case.entries_after(|kms| kms.disconnect().expect("its own")),
        0
    );
}

#[test]
fn other_keys_stay() {
    let case = Case::new(&MemoryStore::new());
    let other = client(&case.kms, &case.cache, "alias/b");
    other
        .encrypt(b"", &EncryptionContext::new())
        .expect("encrypts");
    let left = case.entries_after(|kms| wait(kms.disable_key("alias/a")).expect("disables"));
    assert_eq!(left, 1);
}

#[test]
fn a_change_by_another_process_is_met_when_the_key_is_looked_at() {
    let store = MemoryStore::new();
    let case = Case::new(&store);
    let left = case.entries_after(|kms| {
        let other = open(&store, &case.clock);
        wait(other.disable_key("alias/a")).expect("disables");
        assert_eq!(case.cache.statistics().entries, 1);
        wait(kms.run_due()).expect("runs");
    });
    assert_eq!(left, 0);
}

#[test]
fn a_cache_that_is_gone_is_not_told() {
    let case = Case::new(&MemoryStore::new());
    case.outcome();
    let Case {
        kms, cache, client, ..
    } = case;
    drop((cache, client));
    wait(kms.rotate("alias/a")).expect("rotates");
    wait(kms.rotate("alias/a")).expect("rotates");
}
