//! Rotating the store key, interrupted and with others at once.

use std::collections::BTreeMap;
use std::thread;

use super::faulty::Fate;
use super::provider::Remote;
use super::*;
use crate::kms::vault::record::Record;

/// The version of the store key that each record is sealed under.
fn versions(store: &Store) -> BTreeMap<String, u32> {
    let blobs = store.blobs().into_iter().filter(|(name, _)| name != "root");
    blobs
        .map(|(name, blob)| (name, Record::parse(&blob).unwrap().sealed.version))
        .collect()
}

fn reseal(vault: &Vault) -> u64 {
    block_on(vault.reseal()).unwrap()
}

fn rotate(vault: &Vault) -> u64 {
    block_on(vault.rotate_store_key()).unwrap()
}

#[test]
fn records_follow() {
    let store = FaultyStore::new();
    let (vault, other) = (open(&store), open(&store));
    let first = create(&vault, "a", "1");
    let second = write(&vault, "a", "2", Some(&first)).unwrap();
    create(&vault, "b", "1");
    assert_eq!(rotate(&vault), 2);
    assert!(versions(&store).into_values().eq([2, 2]));
    assert_eq!(reseal(&vault), 0);

    // It has only the first version, writes under it, and learns of the next.
    create(&other, "c", "1");
    assert!(versions(&store).into_values().eq([2, 2, 1]));
    assert_eq!(text(&other, "a"), "2");
    assert_eq!(stamp(&other, "a").generation, second.generation);
    create(&other, "d", "1");
    assert!(versions(&store).into_values().eq([2, 2, 1, 2]));
    assert_eq!(text(&vault, "c"), "1");
    assert_eq!(reseal(&vault), 1);
    // A state from before is none to change from.
    assert!(is_conflict(&write(&vault, "a", "3", Some(&second))));
    write(&vault, "a", "3", Some(&stamp(&vault, "a"))).unwrap();

    // Resealing by who has not seen the newest version goes to it, too.
    let stale = open(&store);
    rotate(&vault);
    create(&other, "e", "1");
    assert_eq!(reseal(&stale), 1);
    assert!(versions(&store).into_values().all(|version| version == 3));
    assert_eq!(text(&open(&store), "a"), "3");

    // Also where no record is under it yet.
    block_on(vault.add_store_key()).unwrap();
    assert_eq!(reseal(&stale), 5);
    assert!(versions(&store).into_values().all(|version| version == 4));
}

#[test]
fn unknown_versions_ask_the_root_only_if_it_has_changed() {
    let (store, remote) = (FaultyStore::new(), Remote::new(7));
    let root = RootKey::provider(remote.clone());
    let vault = open_with(&store, root.clone(), Creation::IfMissing).unwrap();
    let other = open_with(&store, root, Creation::IfMissing).unwrap();
    create(&vault, "a", "1");
    let mut blob = store.bytes("a");
    let version = 1 + 8 + 2 + vault.store_id().len();
    blob[version] ^= 1;
    store.put("b", &blob);
    remote.calls();
    assert_eq!(problem(read(&vault, "b"), "b"), RecordProblem::Damaged);
    assert_eq!(remote.calls(), 0);
    block_on(vault.rotate_store_key()).unwrap_err();
    remote.calls();
    for _ in 0..2 {
        assert_eq!(text(&other, "a"), "1");
        assert_eq!(problem(read(&other, "b"), "b"), RecordProblem::Damaged);
    }
    assert_eq!(remote.calls(), 1);
}

#[test]
fn interrupted_anywhere_it_goes_on() {
    let original = FaultyStore::new();
    let vault = open(&original);
    let names = ["a", "b", "c", "d/e"];
    for name in names {
        create(&vault, name, name);
    }
    for fate in [Fate::Fails, Fate::NotDoneUnknown, Fate::DoneUnknown] {
        let mut interrupted = 0;
        for after in 0.. {
            let store = original.copy();
            let vault = open(&store);
            store.fail(after, fate);
            let rotated = block_on(vault.rotate_store_key());
            if store.has_failure_left() {
                break;
            }
            assert_eq!(rotated.is_ok(), fate == Fate::DoneUnknown);
            interrupted += 1;
            // By another process, and by the same one.
            for vault in [&open(&store), &vault] {
                for name in names {
                    assert_eq!(text(vault, name), name);
                }
            }
            let resumed = open(&store);
            let added = resumed.root().content.store_keys.current().0;
            assert_eq!(added, if after > 0 || rotated.is_ok() { 2 } else { 1 });
            reseal(&resumed);
            let sealed = versions(&store);
            assert!(sealed.values().all(|version| *version == added));
            for name in names {
                assert_eq!(text(&vault, name), name);
                assert_eq!(stamp(&vault, name).generation, 1);
            }
        }
        assert_eq!(interrupted, 1 + names.len());
    }
}

#[test]
fn a_record_that_changes_meanwhile_is_left_alone() {
    let store = FaultyStore::new();
    let vault = open(&store);
    let first = create(&vault, "a", "1");
    create(&vault, "b", "1");
    // As a process does that has not seen the newest version.
    let other = open(&store);
    block_on(vault.add_store_key()).unwrap();
    store.before_change(move |_| {
        write(&other, "a", "2", Some(&first)).unwrap();
    });
    assert_eq!(reseal(&vault), 1);
    assert!(versions(&store).into_values().eq([1, 2]));
    assert_eq!(text(&vault, "a"), "2");
    assert_eq!(reseal(&vault), 1);
    // Deleted meanwhile.
    block_on(vault.add_store_key()).unwrap();
    store.before_change(|store| {
        let blob = block_on(store.read("a")).unwrap().unwrap();
        block_on(store.delete("a", &blob.version)).unwrap();
    });
    assert_eq!(reseal(&vault), 1);
    assert_eq!(block_on(vault.list("", None, 9)).unwrap(), ["b"]);
}

#[test]
fn many_at_once() {
    let store = FaultyStore::new();
    let vault = open(&store);
    for number in 0..20 {
        create(&vault, &format!("r{number}"), "1");
    }
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| rotate(&open(&store)));
        }
        scope.spawn(|| {
            let vault = open(&store);
            for number in 0..20 {
                let name = format!("r{number}");
                while is_conflict(&write(&vault, &name, "2", Some(&stamp(&vault, &name)))) {}
            }
        });
    });
    reseal(&vault);
    for number in 0..20 {
        assert_eq!(text(&vault, &format!("r{number}")), "2");
    }
    assert!(versions(&store).into_values().all(|version| version == 5));
}

#[test]
fn a_damaged_record_is_named_after_the_others_are_done() {
    let store = FaultyStore::new();
    let vault = open(&store);
    for name in ["a", "b", "c"] {
        create(&vault, name, "1");
    }
    store.put("b", b"\x01damaged");
    let rotated = block_on(vault.rotate_store_key());
    assert_eq!(problem(rotated, "b"), RecordProblem::Damaged);
    store.remove("b");
    assert!(versions(&store).into_values().eq([2, 2]));
}

#[test]
fn a_store_of_many_records() {
    let store = FaultyStore::new();
    let vault = open(&store);
    for number in 0..2_500 {
        create(&vault, &format!("r{number}"), "1");
    }
    assert_eq!(rotate(&vault), 2_500);
    let empty = FaultyStore::new();
    let backup = block_on(vault.export(&key(9), &AnyKind)).unwrap();
    let report = block_on(open(&empty).import(&backup, &key(9), &AnyKind)).unwrap();
    assert_eq!(report.restored, 2_500);
}
