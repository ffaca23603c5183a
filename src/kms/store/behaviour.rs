//! What every store must do, for those who write one.
//!
//! ```
//! use std::sync::Arc;
//! use waxseal::kms::store::{MemoryStore, behaviour};
//!
//! for behaviour in behaviour::all() {
//!     println!("{}", behaviour.name());
//!     behaviour.check(Arc::new(MemoryStore::new())); // an empty one for each
//! }
//! ```

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Waker};
use std::thread;

use super::{
    Blob, BlobEntry, BlobStore, BlobVersion, ChangeToken, Expected, StoreError, StoreFuture,
};
use crate::client::blocking::block_on;

type Store = Arc<dyn BlobStore>;

/// One thing that every store must do.
#[derive(Clone, Copy)]
pub struct Behaviour {
    name: &'static str,
    check: fn(Store),
}

impl Behaviour {
    /// What it is about, as a test's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Checks it on an empty store.
    ///
    /// # Panics
    /// Where the store does something else.
    pub fn check(&self, store: Arc<dyn BlobStore>) {
        (self.check)(store);
    }
}

/// All of them.
pub fn all() -> Vec<Behaviour> {
    macro_rules! behaviours {
        ($($name:ident),* $(,)?) => {
            vec![$(Behaviour { name: stringify!($name), check: $name }),*]
        };
    }
    behaviours![
        an_absent_blob,
        creating,
        replacing,
        deleting,
        deleting_and_creating_again,
        empty_blobs,
        any_bytes_and_lengths,
        names,
        names_of_all_shapes_at_once,
        listing,
        paging,
        listing_while_others_write,
        change_tokens,
        nothing_before_the_first_poll,
        one_of_several_creates,
        one_of_several_deletes,
        no_update_is_lost,
        readers_see_whole_blobs,
    ]
}

/// Several handles on one store, as several processes or machines have them,
/// as a store whose calls go to each handle in turn: it must behave as one
/// handle does.
///
/// # Panics
/// Where there is no handle.
pub fn in_turn(handles: Vec<Arc<dyn BlobStore>>) -> Arc<dyn BlobStore> {
    assert!(!handles.is_empty(), "no handle");
    Arc::new(InTurn {
        handles,
        calls: AtomicUsize::new(0),
    })
}

struct InTurn {
    handles: Vec<Store>,
    calls: AtomicUsize,
}

impl InTurn {
    fn next(&self) -> &dyn BlobStore {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        &*self.handles[call % self.handles.len()]
    }
}

impl BlobStore for InTurn {
    fn read<'a>(&'a self, name: &'a str) -> StoreFuture<'a, Option<Blob>> {
        self.next().read(name)
    }

    fn write<'a>(
        &'a self,
        name: &'a str,
        bytes: &'a [u8],
        expected: Expected<'a>,
    ) -> StoreFuture<'a, BlobVersion> {
        self.next().write(name, bytes, expected)
    }

    fn delete<'a>(&'a self, name: &'a str, expected: &'a BlobVersion) -> StoreFuture<'a, ()> {
        self.next().delete(name, expected)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<BlobEntry>> {
        self.next().list(prefix, after, limit)
    }

    fn change_token<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Option<ChangeToken>> {
        self.next().change_token(prefix)
    }
}

/// A store, its calls waited for.
struct Blocking<'a>(&'a dyn BlobStore);

impl Blocking<'_> {
    fn read(&self, name: &str) -> Option<Blob> {
        wait(self.0.read(name)).unwrap()
    }

    fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        self.read(name).map(|blob| blob.bytes)
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<BlobVersion, StoreError> {
        wait(self.0.write(name, bytes, Expected::Absent))
    }

    fn replace(
        &self,
        name: &str,
        bytes: &[u8],
        version: &BlobVersion,
    ) -> Result<BlobVersion, StoreError> {
        wait(self.0.write(name, bytes, Expected::Version(version)))
    }

    fn delete(&self, name: &str, version: &BlobVersion) -> Result<(), StoreError> {
        wait(self.0.delete(name, version))
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<BlobEntry> {
        wait(self.0.list(prefix, after, limit)).unwrap()
    }

    fn names(&self, prefix: &str) -> Vec<String> {
        let entries = self.list(prefix, None, usize::MAX);
        entries.into_iter().map(|entry| entry.name).collect()
    }
}

fn wait<T>(future: StoreFuture<'_, T>) -> Result<T, StoreError> {
    block_on(future)
}

#[track_caller]
fn conflict<T>(result: Result<T, StoreError>, blob: &str) {
    match result {
        Err(StoreError::Conflict { name }) => assert_eq!(name, blob),
        Err(error) => panic!("not a conflict: {error}"),
        Ok(_) => panic!("not a conflict, but done"),
    }
}

fn an_absent_blob(store: Store) {
    let store = Blocking(&store);
    let foreign = BlobVersion::new("of no blob");
    assert_eq!(store.read("a"), None);
    conflict(store.replace("a", b"x", &foreign), "a");
    conflict(store.delete("a", &foreign), "a");
    assert_eq!(store.read("a"), None);
    assert_eq!(store.names(""), [""; 0]);
}

fn creating(store: Store) {
    let store = Blocking(&store);
    let version = store.create("a", b"first").unwrap();
    assert_eq!(
        store.read("a"),
        Some(Blob::new(b"first".to_vec(), version.clone()))
    );
    conflict(store.create("a", b"second"), "a");
    assert_eq!(store.read("a"), Some(Blob::new(b"first".to_vec(), version)));
}

fn replacing(store: Store) {
    let store = Blocking(&store);
    let first = store.create("a", b"first").unwrap();
    let second = store.replace("a", b"second", &first).unwrap();
    assert_eq!(
        store.read("a"),
        Some(Blob::new(b"second".to_vec(), second.clone()))
    );
    conflict(store.replace("a", b"third", &first), "a");
    assert_eq!(store.bytes("a").unwrap(), b"second");
    // The same bytes are another write.
    let third = store.replace("a", b"second", &second).unwrap();
    assert_ne!(second, third);
    conflict(store.replace("a", b"third", &second), "a");
    // One blob's version is not another's.
    let other = store.create("b", b"first").unwrap();
    conflict(store.replace("a", b"x", &other), "a");
    assert_eq!(store.bytes("a").unwrap(), b"second");
}

fn deleting(store: Store) {
    let store = Blocking(&store);
    let first = store.create("a", b"first").unwrap();
    let neighbour = store.create("b", b"neighbour").unwrap();
    let second = store.replace("a", b"second", &first).unwrap();
    conflict(store.delete("a", &first), "a");
    conflict(store.delete("a", &neighbour), "a");
    assert_eq!(store.bytes("a").unwrap(), b"second");
    store.delete("a", &second).unwrap();
    assert_eq!(store.read("a"), None);
    conflict(store.delete("a", &second), "a");
    conflict(store.replace("a", b"x", &second), "a");
    assert_eq!(store.names(""), ["b"]);
    assert_eq!(store.bytes("b").unwrap(), b"neighbour");
}

fn deleting_and_creating_again(store: Store) {
    let store = Blocking(&store);
    let mut versions = Vec::new();
    for _ in 0..5 {
        let version = store.create("a", b"the same").unwrap();
        for old in &versions {
            conflict(store.replace("a", b"x", old), "a");
            conflict(store.delete("a", old), "a");
        }
        assert_eq!(store.read("a").unwrap().version, version);
        store.delete("a", &version).unwrap();
        versions.push(version);
    }
    assert_eq!(store.read("a"), None);
}

fn empty_blobs(store: Store) {
    let store = Blocking(&store);
    let version = store.create("a", b"").unwrap();
    assert_eq!(
        store.read("a"),
        Some(Blob::new(Vec::new(), version.clone()))
    );
    conflict(store.create("a", b"x"), "a");
    assert_eq!(store.names(""), ["a"]);
    let version = store.replace("a", b"x", &version).unwrap();
    let version = store.replace("a", b"", &version).unwrap();
    assert_eq!(store.bytes("a").unwrap(), b"");
    store.delete("a", &version).unwrap();
    assert_eq!(store.read("a"), None);
}

fn any_bytes_and_lengths(store: Store) {
    let store = Blocking(&store);
    let mut version = store.create("a", b"").unwrap();
    for length in [1, 255, 256, 257, 4095, 4096, 65_537, 1 << 20, 100, 0] {
        let bytes: Vec<u8> = (0..length).map(|at: usize| (at * 7 % 251) as u8).collect();
        version = store.replace("a", &bytes, &version).unwrap();
        let read = store.read("a").unwrap();
        assert!(read.bytes == bytes, "{length} bytes");
        assert_eq!(read.version, version);
    }
}

fn names(store: Store) {
    let version = BlobVersion::new("x");
    let long = "n".repeat(201);
    let refused = [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        "A",
        "a.b",
        "a b",
        ".",
        "..",
        "a/../b",
        "a/b/c/d/e",
        "ä",
        "a\0",
        "a\n",
        "a\\b",
        "a:b",
        "~",
        "%61",
        "*",
        &long,
    ];
    for name in refused {
        let results = [
            wait(store.read(name)).map(drop),
            wait(store.write(name, b"x", Expected::Absent)).map(drop),
            wait(store.write(name, b"x", Expected::Version(&version))).map(drop),
            wait(store.delete(name, &version)),
        ];
        for result in results {
            let refused = matches!(result, Err(StoreError::InvalidName { .. }));
            assert!(refused, "{name:?}: {result:?}");
        }
    }
    let store = Blocking(&store);
    assert_eq!(store.names(""), [""; 0]);
    let long = "n".repeat(200);
    let deep = format!("{0}/{0}/{0}/{1}", "s".repeat(49), "t".repeat(50));
    let accepted = [
        "a", "0", "_", "-", "con", "nul/aux", "a-b_c/0", "a/b/c/d", &long, &deep,
    ];
    for name in accepted {
        let version = store.create(name, name.as_bytes()).unwrap();
        assert_eq!(store.bytes(name).unwrap(), name.as_bytes());
        assert_eq!(store.names(name), [name]);
        store.delete(name, &version).unwrap();
    }
}

fn names_of_all_shapes_at_once(store: Store) {
    let store = Blocking(&store);
    let names = [
        "a", "a-b", "a-b/c", "a/b", "a/b/c", "a/b/c/d", "a/bc", "a_b", "ab",
    ];
    let versions: Vec<_> = names
        .iter()
        .map(|name| store.create(name, name.as_bytes()).unwrap())
        .collect();
    for (name, version) in names.iter().zip(&versions) {
        let blob = Blob::new(name.as_bytes().to_vec(), version.clone());
        assert_eq!(store.read(name), Some(blob));
    }
    // Each goes without another.
    for (at, (name, version)) in names.iter().zip(&versions).enumerate() {
        store.delete(name, version).unwrap();
        assert_eq!(store.names(""), names[at + 1..]);
    }
}

fn listing(store: Store) {
    let store = Blocking(&store);
    let mut expected = Vec::new();
    for name in [
        "keys/b",
        "aliases/a",
        "keys/a",
        "keys",
        "keys/a/x",
        "keysize/a",
        "zz",
    ] {
        let version = store.create(name, b"x").unwrap();
        expected.push(BlobEntry::new(name, version));
    }
    expected.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(store.list("", None, 100), expected);
    assert_eq!(store.names("keys/"), ["keys/a", "keys/a/x", "keys/b"]);
    assert_eq!(
        store.names("keys"),
        ["keys", "keys/a", "keys/a/x", "keys/b", "keysize/a"]
    );
    assert_eq!(store.names("keys/a"), ["keys/a", "keys/a/x"]);
    assert_eq!(store.names("k").len(), 5);
    assert_eq!(store.names("keys/c"), [""; 0]);
    assert_eq!(store.names("KEYS"), [""; 0]);
    assert_eq!(store.names("zzz"), [""; 0]);
    // A listing has the versions of now.
    let version = store
        .replace("zz", b"y", &expected.last().unwrap().version)
        .unwrap();
    assert_eq!(store.list("zz", None, 1), [BlobEntry::new("zz", version)]);
}

fn paging(store: Store) {
    let store = Blocking(&store);
    let mut names: Vec<String> = (0..25).map(|n| format!("p/{}", n * 37 % 100)).collect();
    for name in &names {
        store.create(name, b"x").unwrap();
    }
    store.create("q", b"x").unwrap();
    names.sort();
    for limit in [1, 2, 7, 24, 25, 26] {
        let mut found = Vec::new();
        loop {
            let after = found.last().cloned();
            let page = store.list("p/", after.as_deref(), limit);
            let last = page.len() < limit;
            found.extend(page.into_iter().map(|entry| entry.name));
            if last {
                break;
            }
        }
        assert_eq!(found, names, "{limit} at a time");
    }
    assert_eq!(store.list("p/", None, 0), []);
    // What comes after need not be there, nor have the prefix.
    let names_after = |after: &str| -> Vec<String> {
        let entries = store.list("p/", Some(after), 100);
        entries.into_iter().map(|entry| entry.name).collect()
    };
    assert_eq!(names_after(""), names);
    assert_eq!(names_after("a"), names);
    assert_eq!(names_after("p/"), names);
    assert_eq!(names_after(&format!("{}0", names[3])), names[4..]);
    assert_eq!(names_after(&names[24]), [""; 0]);
    assert_eq!(names_after("q"), [""; 0]);
}

fn listing_while_others_write(store: Store) {
    let store = Blocking(&store);
    let kept: BTreeSet<String> = (0..20).map(|n| format!("kept/{n}")).collect();
    for name in &kept {
        store.create(name, b"x").unwrap();
    }
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _over = SetOnDrop(&over);
            for round in 0..10 {
                let name = format!("kept/passing-{round}");
                let version = store.create(&name, b"x").unwrap();
                store.delete(&name, &version).unwrap();
                let blob = store.read("kept/7").unwrap();
                store.replace("kept/7", b"y", &blob.version).unwrap();
            }
        });
        while !over.load(Ordering::Acquire) {
            let names = store.names("kept/");
            assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
            let found = names.iter().filter(|name| kept.contains(*name)).count();
            assert_eq!(found, kept.len(), "{names:?}");
        }
    });
    assert_eq!(store.names("kept/").len(), kept.len());
}

fn change_tokens(store: Store) {
    let token = |prefix: &str| wait(store.change_token(prefix)).unwrap();
    let Some(first) = token("keys/") else {
        // A store that cannot tell says so always.
        assert_eq!(token(""), None);
        return;
    };
    let blocking = Blocking(&store);
    let mut seen = vec![(first, token("").unwrap(), token("ke").unwrap())];
    let mut look = || {
        let now = (
            token("keys/").unwrap(),
            token("").unwrap(),
            token("ke").unwrap(),
        );
        for before in &seen {
            assert!(before.0 != now.0 && before.1 != now.1 && before.2 != now.2);
        }
        seen.push(now);
    };
    let version = blocking.create("keys/a", b"x").unwrap();
    look();
    let version = blocking.replace("keys/a", b"x", &version).unwrap();
    look();
    blocking.delete("keys/a", &version).unwrap();
    look();
}

fn nothing_before_the_first_poll(store: Store) {
    let blocking = Blocking(&store);
    let version = blocking.create("a", b"first").unwrap();
    let futures = (
        store.write("a", b"second", Expected::Version(&version)),
        store.write("b", b"x", Expected::Absent),
        store.delete("a", &version),
    );
    assert_eq!(blocking.bytes("a").unwrap(), b"first");
    drop(futures);
    assert_eq!(blocking.bytes("a").unwrap(), b"first");
    assert_eq!(blocking.names(""), ["a"]);
    // One that was begun and dropped has happened or not.
    let mut future = store.write("a", b"second", Expected::Version(&version));
    let _ = future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    drop(future);
    let bytes = blocking.bytes("a").unwrap();
    assert!(bytes == b"first" || bytes == b"second", "{bytes:?}");
}

/// Ends others' loops, also where its thread has panicked.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

const THREADS: usize = 4;

/// Runs this on several threads at once, and gives back what each said.
fn race<T: Send>(work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let (barrier, work) = (&barrier, &work);
                scope.spawn(move || {
                    barrier.wait();
                    work(number)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

fn one_of_several_creates(store: Store) {
    for round in 0..10 {
        let name = format!("race/{round}");
        let results = race(|number| {
            let store = Blocking(&store);
            store.create(&name, &[number as u8])
        });
        let mut winner = None;
        for (number, result) in results.into_iter().enumerate() {
            match result {
                Ok(version) => {
                    assert!(winner.is_none(), "two have created '{name}'");
                    winner = Some(Blob::new(vec![number as u8], version));
                }
                lost => conflict(lost, &name),
            }
        }
        assert!(winner.is_some());
        assert_eq!(Blocking(&store).read(&name), winner);
    }
}

fn one_of_several_deletes(store: Store) {
    for _ in 0..10 {
        let version = Blocking(&store).create("a", b"x").unwrap();
        // Deletions and a write race for one version.
        let results = race(|number| {
            let store = Blocking(&store);
            match number {
                0 => store.replace("a", b"y", &version).map(Some),
                _ => store.delete("a", &version).map(|()| None),
            }
        });
        let done = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(done, 1);
        for result in results {
            match result {
                Ok(Some(version)) => Blocking(&store).delete("a", &version).unwrap(),
                Ok(None) => {}
                lost => conflict(lost, "a"),
            }
        }
        assert_eq!(Blocking(&store).read("a"), None);
    }
}

fn no_update_is_lost(store: Store) {
    const UPDATES: usize = 10;
    Blocking(&store).create("counter", b"0").unwrap();
    race(|_| {
        let store = Blocking(&store);
        for _ in 0..UPDATES {
            loop {
                let blob = store.read("counter").unwrap();
                let count: usize = String::from_utf8(blob.bytes).unwrap().parse().unwrap();
                let next = (count + 1).to_string();
                match store.replace("counter", next.as_bytes(), &blob.version) {
                    Ok(_) => break,
                    lost => conflict(lost, "counter"),
                }
            }
        }
    });
    let count = Blocking(&store).bytes("counter").unwrap();
    assert_eq!(count, (THREADS * UPDATES).to_string().into_bytes());
}

fn readers_see_whole_blobs(store: Store) {
    let over = AtomicBool::new(false);
    race(|number| {
        let store = Blocking(&store);
        if number > 0 {
            while !over.load(Ordering::Acquire) {
                let Some(bytes) = store.bytes("a") else {
                    continue;
                };
                assert!(bytes.len() > 1000 && bytes.iter().all(|byte| *byte == bytes[0]));
            }
            return;
        }
        let _over = SetOnDrop(&over);
        for round in 0..10_u8 {
            let version = store.create("a", &vec![round; 3000]).unwrap();
            let version = store
                .replace("a", &vec![100 + round; 70_000], &version)
                .unwrap();
            store.delete("a", &version).unwrap();
        }
    });
}
