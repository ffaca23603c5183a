//! Making a store, alone and with others at once.

use std::sync::Barrier;
use std::thread;

use super::faulty::Fate;
use super::*;

#[test]
fn a_store_is_made_once() {
    let store = FaultyStore::new();
    let none = open_with(&store, key(7), Creation::Never);
    assert!(matches!(none, Err(KmsError::NoKms)));
    assert!(store.blobs().is_empty());
    let vault = open(&store);
    assert!(vault.was_created());
    assert_eq!(store.blobs().len(), 1);
    let before = store.blobs();
    for create in [Creation::Never, Creation::IfMissing] {
        let again = open_with(&store, key(7), create).unwrap();
        assert!(!again.was_created());
        assert_eq!(again.store_id(), vault.store_id());
    }
    assert_eq!(store.blobs(), before);
    assert_ne!(open(&FaultyStore::new()).store_id(), vault.store_id());
}

#[test]
fn no_new_root_is_made_among_records() {
    let store = FaultyStore::new();
    create(&open(&store), "zzz", "");
    store.remove("root");
    let before = store.blobs();
    for create in [Creation::Never, Creation::IfMissing] {
        let lost = problem(open_with(&store, key(7), create), "root");
        assert_eq!(lost, RecordProblem::Missing);
    }
    assert_eq!(store.blobs(), before);
}

#[test]
fn a_root_that_is_lost_meanwhile() {
    let store = FaultyStore::new();
    let vault = open(&store);
    create(&vault, "a", "1");
    store.remove("root");
    assert_eq!(text(&vault, "a"), "1");
    for error in [
        block_on(vault.contact_root()),
        block_on(vault.change_root(key(8))),
        block_on(vault.rotate_store_key()).map(|_| ()),
    ] {
        assert_eq!(problem(error, "root"), RecordProblem::Missing);
    }
}

#[test]
fn a_neighbour_makes_it_first() {
    // Just before this one writes.
    let store = FaultyStore::new();
    store.before_change(|store| {
        create(&open(&FaultyStore::over(store.clone())), "a", "1");
    });
    let vault = open(&store);
    assert!(!vault.was_created());
    assert_eq!(text(&vault, "a"), "1");

    // Just after this one has seen nothing.
    let store = FaultyStore::new();
    store.after_read(|store| {
        create(&open(&FaultyStore::over(store.clone())), "a", "1");
    });
    let vault = open(&store);
    assert!(!vault.was_created());
    assert_eq!(text(&vault, "a"), "1");

    // With another root.
    let store = FaultyStore::new();
    store.before_change(|store| {
        open(&FaultyStore::over(store.clone()));
    });
    let other = open_with(&store, key(8), Creation::IfMissing);
    assert!(matches!(other, Err(KmsError::WrongRoot { .. })));
}

#[test]
fn many_at_once() {
    let store = FaultyStore::new();
    let barrier = Barrier::new(8);
    let vaults: Vec<Vault> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let (store, barrier) = (&store, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    let vault = open(store);
                    create(&vault, &format!("record-{number}"), "1");
                    vault
                })
            })
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join().unwrap());
        joined.collect()
    });
    let made = vaults.iter().filter(|vault| vault.was_created()).count();
    assert_eq!(made, 1);
    for vault in &vaults {
        assert_eq!(vault.store_id(), vaults[0].store_id());
        for number in 0..8 {
            assert_eq!(text(vault, &format!("record-{number}")), "1");
        }
    }
}

#[test]
fn a_first_write_that_fails() {
    for fate in [Fate::Fails, Fate::NotDoneUnknown] {
        let store = FaultyStore::new();
        store.fail(0, fate);
        let failed = open_with(&store, key(7), Creation::IfMissing);
        assert!(failed.unwrap_err().is_retryable());
        assert!(store.blobs().is_empty());
        assert!(open(&store).was_created());
    }
    let store = FaultyStore::new();
    store.fail(0, Fate::DoneUnknown);
    let vault = open(&store);
    assert!(vault.was_created());
    assert_eq!(open(&store).store_id(), vault.store_id());
}
