//! Two handles of the KMS on one store, in one process: in memory, and on an
//! object store with conditional puts.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use waxseal::blocking::wait;
use waxseal::kms::store::{
    Blob, BlobEntry, BlobStore, BlobVersion, ChangeToken, Expected, MemoryStore, StoreError,
    StoreFuture,
};
use waxseal::kms::{CreateKey, DataKeySpec, KmsError, LocalKms, RootKey};
use waxseal::test_util::ManualClock;
use waxseal::{EncryptionContext, SecretBytes};

type Store = Arc<dyn BlobStore>;

/// Each call opens another handle on the same store.
type Open = Box<dyn Fn() -> Store>;

fn stores() -> Vec<Open> {
    let memory = MemoryStore::new();
    let in_memory: Open = Box::new(move || Arc::new(memory.clone()));
    #[cfg(not(feature = "object-store"))]
    return vec![in_memory];
    #[cfg(feature = "object-store")]
    {
        use waxseal::kms::store::ObjectBlobStore;
        let objects = Arc::new(object_store::memory::InMemory::new());
        let open = move || -> Store { Arc::new(ObjectBlobStore::new(objects.clone(), "kms")) };
        vec![in_memory, Box::new(open)]
    }
}

fn root() -> RootKey {
    RootKey::bytes(SecretBytes::from(vec![1; 32]))
}

fn kms(store: Store) -> LocalKms {
    wait(LocalKms::builder(store, root()).open()).unwrap()
}

fn context() -> EncryptionContext {
    EncryptionContext::from([("test", "handles")])
}

/// Does it with each of two handles at once.
fn at_once<T: Send>(handles: [LocalKms; 2], work: impl Fn(&LocalKms) -> T + Sync) -> [T; 2] {
    let start = Barrier::new(2);
    let (start, work) = (&start, &work);
    thread::scope(|scope| {
        let threads = handles.map(|kms| {
            scope.spawn(move || {
                start.wait();
                work(&kms)
            })
        });
        threads.map(|thread| thread.join().unwrap())
    })
}

#[test]
fn no_version_is_lost() {
    const ROUNDS: u32 = 40;
    for open in stores() {
        let handles = [kms(open()), kms(open())];
        wait(handles[0].create_key(CreateKey::new().alias("alias/all"))).unwrap();
        let worked = at_once(handles.clone(), |kms| {
            let rounds = (0..ROUNDS).map(|_| {
                let rotated = wait(kms.rotate("alias/all")).unwrap();
                let context = context();
                let key = kms.generate_data_key("alias/all", DataKeySpec::Aes256, &context);
                let key = wait(key).unwrap();
                assert!(key.ciphertext.key_version >= rotated);
                (rotated, key)
            });
            rounds.collect::<Vec<_>>()
        });
        let mut versions: Vec<u32> = worked
            .iter()
            .flatten()
            .map(|(rotated, _)| *rotated)
            .collect();
        versions.sort_unstable();
        // Every version was acknowledged once, and is there.
        let last = 1 + 2 * ROUNDS;
        assert!(versions.into_iter().eq(2..=last));
        for kms in handles.iter().chain([&kms(open())]) {
            for (_, key) in worked.iter().flatten() {
                let opened = wait(kms.decrypt(&key.ciphertext.blob, None, &context())).unwrap();
                assert_eq!(opened.plaintext.expose(), key.plaintext.expose());
            }
        }
        let fresh = wait(kms(open()).describe_key("alias/all")).unwrap();
        assert_eq!(fresh.current_version(), last);
    }
}

#[test]
fn one_alias_is_one_key() {
    const ROUNDS: usize = 40;
    for open in stores() {
        let handles = [kms(open()), kms(open())];
        let worked = at_once(handles, |kms| {
            let rounds = (0..ROUNDS).map(|round| {
                let request = CreateKey::new().alias(format!("alias/{round}"));
                let created = match wait(kms.create_key(request)) {
                    Ok(key) => Some(key.id),
                    Err(KmsError::AlreadyExists { .. }) => None,
                    Err(error) => panic!("{error}"),
                };
                let service = wait(kms.service_key(&format!("service-{round}"))).unwrap();
                let owned = wait(kms.owned_key(&format!("owned-{round}"))).unwrap();
                (created, service.id, owned)
            });
            rounds.collect::<Vec<_>>()
        });
        let kms = kms(open());
        let [ones, others] = worked;
        for (round, (one, other)) in ones.into_iter().zip(others).enumerate() {
            let mut winners = one.0.into_iter().chain(other.0);
            let winner = winners.next().expect("nobody has made the key");
            assert!(winners.next().is_none(), "two keys for one alias");
            let arn = wait(kms.resolve(&format!("alias/{round}"))).unwrap();
            assert!(arn.ends_with(&winner));
            assert_eq!((one.1, one.2), (other.1, other.2));
        }
        // Of the keys that did not get their alias nothing is left.
        let keys = wait(kms.list_keys(None, 1000)).unwrap().keyrings;
        assert_eq!(keys.len(), 2 * ROUNDS);
    }
}

#[test]
fn a_change_is_seen_by_the_other_handle() {
    for open in stores() {
        let clock = ManualClock::default();
        let staleness = Duration::from_secs(5);
        let opened = |staleness| {
            let builder = LocalKms::builder(open(), root()).clock(clock.clone());
            wait(builder.max_staleness(staleness).open()).unwrap()
        };
        let [one, later, at_once] = [staleness, staleness, Duration::ZERO].map(opened);
        let key = wait(one.create_key(CreateKey::new().alias("alias/a"))).unwrap();
        let version = |kms: &LocalKms| match wait(kms.encrypt("alias/a", b"x", &context())) {
            Ok(sealed) => sealed.key_version,
            Err(KmsError::Disabled { .. }) => 0,
            Err(error) => panic!("{error}"),
        };
        let see = |before, after| {
            // By the one that made it, and by one that always asks.
            assert_eq!([version(&one), version(&at_once)], [after, after]);
            // The other may, and here does, work with what it has.
            assert_eq!(version(&later), before);
            clock.advance(staleness);
            assert_eq!(version(&later), after);
        };
        version(&later);
        wait(one.rotate(&key.id)).unwrap();
        see(1, 2);
        wait(one.disable_key(&key.id)).unwrap();
        see(2, 0);
    }
}

#[test]
fn a_restored_backup_is_seen() {
    for open in stores() {
        let clock = ManualClock::default();
        let opened = || {
            let builder = LocalKms::builder(open(), root()).clock(clock.clone());
            wait(builder.open()).unwrap()
        };
        let [kms, other] = [opened(), opened()];
        let key = wait(kms.create_key(CreateKey::new().alias("alias/a"))).unwrap();
        // Another machine goes on with a copy.
        let copy = MemoryStore::new();
        let backup = wait(kms.export(&root())).unwrap();
        let copy = wait(LocalKms::builder(copy, root()).open()).unwrap();
        wait(copy.import(&backup, &root())).unwrap();
        wait(copy.rotate(&key.id)).unwrap();
        let newer = wait(copy.export(&root())).unwrap();
        let version = |kms: &LocalKms| wait(kms.describe_key("alias/a")).unwrap().current_version();
        assert_eq!([version(&kms), version(&other)], [1, 1]);
        wait(kms.import(&newer, &root())).unwrap();
        assert_eq!(version(&kms), 2);
        clock.advance(Duration::from_secs(5));
        assert_eq!(version(&other), 2);
        // The record is damaged, and an older backup is all that there is.
        let name = format!("keys/{}", key.id);
        let store = open();
        let mut blob = wait(store.read(&name)).unwrap().unwrap();
        *blob.bytes.last_mut().unwrap() ^= 1;
        let damage = store.write(&name, &blob.bytes, Expected::Version(&blob.version));
        wait(damage).unwrap();
        let report = wait(kms.import(&backup, &root())).unwrap();
        assert_eq!(report.restored, 1);
        clock.advance(Duration::from_secs(5));
        // When it is read, and from what was kept of it.
        for _ in 0..2 {
            assert_eq!([version(&kms), version(&other)], [1, 1]);
        }
    }
}

/// A store that, when told to, writes an alias and loses the answer, and then
/// cannot be read for once.
#[derive(Default)]
struct LosesAnswers {
    inner: MemoryStore,
    is_lossy: AtomicBool,
    failing_reads: AtomicUsize,
}

impl BlobStore for LosesAnswers {
    fn read<'a>(&'a self, name: &'a str) -> StoreFuture<'a, Option<Blob>> {
        let failing = |left: usize| left.checked_sub(1);
        let fails = (self.failing_reads)
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, failing)
            .is_ok();
        Box::pin(async move {
            if fails {
                let source = "no answer".into();
                return Err(StoreError::Unavailable { source });
            }
            self.inner.read(name).await
        })
    }

    fn write<'a>(
        &'a self,
        name: &'a str,
        bytes: &'a [u8],
        expected: Expected<'a>,
    ) -> StoreFuture<'a, BlobVersion> {
        Box::pin(async move {
            let written = self.inner.write(name, bytes, expected).await?;
            if name.starts_with("aliases/") && self.is_lossy.swap(false, Ordering::SeqCst) {
                self.failing_reads.store(1, Ordering::SeqCst);
                return Err(StoreError::Uncertain {
                    name: name.to_owned(),
                    source: "no answer".into(),
                });
            }
            Ok(written)
        })
    }

    fn delete<'a>(&'a self, name: &'a str, expected: &'a BlobVersion) -> StoreFuture<'a, ()> {
        self.inner.delete(name, expected)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<BlobEntry>> {
        self.inner.list(prefix, after, limit)
    }

    fn change_token<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Option<ChangeToken>> {
        self.inner.change_token(prefix)
    }
}

/// Whoever has seen the alias may have encrypted with its key.
#[test]
fn a_key_stays_whose_alias_may_have_been_made() {
    let store = Arc::new(LosesAnswers::default());
    let [kms, other] = [kms(store.clone()), kms(store.clone())];
    store.is_lossy.store(true, Ordering::SeqCst);
    let error = wait(kms.create_key(CreateKey::new().alias("alias/a"))).unwrap_err();
    let uncertain = matches!(error, KmsError::Store(StoreError::Uncertain { .. }));
    assert!(uncertain, "{error}");
    let sealed = wait(other.encrypt("alias/a", b"x", &context())).unwrap();
    wait(kms.decrypt(&sealed.blob, Some("alias/a"), &context())).unwrap();
    let error = wait(kms.create_key(CreateKey::new().alias("alias/a"))).unwrap_err();
    assert!(matches!(error, KmsError::AlreadyExists { .. }), "{error}");
}
