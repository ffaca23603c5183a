//! Root keys of each kind, right and wrong, and changing them.

use super::faulty::{Fate, put};
use super::provider::Remote;
use super::*;
use crate::provider::ProviderErrorKind;

fn remote(byte: u8) -> RootKey {
    RootKey::provider(Remote::new(byte))
}

/// Why a root key is a wrong one.
#[track_caller]
fn wrong<T>(result: KmsResult<T>) -> String {
    match result {
        Err(KmsError::WrongRoot { reason, .. }) => reason,
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it opens"),
    }
}

#[test]
fn each_kind_opens_what_it_sealed_and_nothing_else() {
    let kinds: [fn() -> RootKey; 3] = [|| key(7), || passphrase("p"), || remote(7)];
    let others: [fn() -> RootKey; 3] = [|| key(8), || passphrase("q"), || remote(8)];
    let another = [
        "the key is another one",
        "the passphrase is another one",
        "the provider does not have its key",
    ];
    let names = ["key", "passphrase", "provider"];
    for (index, kind) in kinds.iter().enumerate() {
        let store = FaultyStore::new();
        let vault = open_with(&store, kind(), Creation::IfMissing).unwrap();
        create(&vault, "a", "1");
        let again = open_with(&store, kind(), Creation::IfMissing).unwrap();
        assert_eq!(text(&again, "a"), "1");
        let before = store.blobs();
        let not = open_with(&store, others[index](), Creation::IfMissing);
        assert_eq!(wrong(not), another[index]);
        for (other, of_other) in kinds
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index)
        {
            let reason = wrong(open_with(&store, of_other(), Creation::IfMissing));
            let (was, given) = (names[index], names[other]);
            assert_eq!(
                reason,
                format!("it was sealed under a {was}, and a {given} was given")
            );
        }
        assert_eq!(store.blobs(), before);
    }
}

#[test]
fn root_keys_that_are_none() {
    let bytes = |length| RootKey::bytes(SecretBytes::from(vec![1; length]));
    let cost = |memory, passes, lanes| {
        let cost = PassphraseCost {
            memory,
            passes,
            lanes,
        };
        RootKey::passphrase_with_cost(SecretBytes::copy_from(b"p"), cost)
    };
    let store = FaultyStore::new();
    let (vault, of_passphrase) = (open(&store), FaultyStore::new());
    open_with(&of_passphrase, passphrase("p"), Creation::IfMissing).unwrap();
    let backup = block_on(vault.export(&passphrase("p"), &AnyKind)).unwrap();
    let invalid = |error| matches!(error, KmsError::InvalidArgument { .. });
    for root in [
        bytes(0),
        bytes(16),
        bytes(31),
        bytes(33),
        RootKey::passphrase(SecretBytes::from(vec![])),
        cost(7, 1, 1),
        cost(262_145, 1, 1),
        cost(8, 17, 1),
        cost(64, 1, 5),
    ] {
        let new = FaultyStore::new();
        let made = open_with(&new, root.clone(), Creation::IfMissing);
        assert!(invalid(made.unwrap_err()), "{root:?}");
        assert!(new.blobs().is_empty());
        assert!(invalid(
            block_on(vault.change_root(root.clone())).unwrap_err()
        ));
        assert!(invalid(
            block_on(vault.export(&root, &AnyKind)).unwrap_err()
        ));
    }
    for root in [bytes(31), RootKey::passphrase(SecretBytes::from(vec![]))] {
        for store in [&store, &of_passphrase] {
            let opened = open_with(store, root.clone(), Creation::Never);
            assert!(invalid(opened.unwrap_err()));
        }
        assert!(invalid(
            block_on(vault.import(&backup, &root, &AnyKind)).unwrap_err()
        ));
    }
    // What is there opens at its own cost.
    let root = cost(0, 0, 0);
    assert!(open_with(&of_passphrase, root.clone(), Creation::Never).is_ok());
    assert!(block_on(vault.import(&backup, &root, &AnyKind)).is_ok());
}

#[test]
fn opening_makes_one_call() {
    let (store, remote) = (FaultyStore::new(), Remote::new(7));
    let root = RootKey::provider(remote.clone());
    let vault = open_with(&store, root.clone(), Creation::IfMissing).unwrap();
    assert_eq!(remote.calls(), 1);
    for number in 0..50 {
        create(&vault, &format!("record-{number}"), "1");
    }
    assert_eq!(remote.calls(), 0);
    let vault = open_with(&store, root.clone(), Creation::IfMissing).unwrap();
    for number in 0..50 {
        assert_eq!(text(&vault, &format!("record-{number}")), "1");
    }
    assert_eq!(remote.calls(), 1);
    block_on(vault.contact_root()).unwrap();
    assert_eq!(remote.calls(), 1);
    block_on(vault.rotate_store_key()).unwrap();
    assert_eq!(remote.calls(), 1);
}

#[test]
fn a_provider_that_fails() {
    let (store, remote) = (FaultyStore::new(), Remote::new(7));
    let root = RootKey::provider(remote.clone());
    let open = || open_with(&store, root.clone(), Creation::IfMissing);
    let failed = |result: KmsResult<()>, retryable| match result {
        Err(error @ KmsError::Root(_)) => assert_eq!(error.is_retryable(), retryable),
        other => panic!("{other:?}"),
    };
    let kinds = [
        (ProviderErrorKind::Unavailable, true),
        (ProviderErrorKind::TimedOut, true),
        (ProviderErrorKind::AccessDenied, false),
        (ProviderErrorKind::KeyDisabled, false),
    ];
    for (kind, retryable) in kinds {
        remote.fail(kind);
        failed(open().map(|_| ()), retryable);
        assert!(store.blobs().is_empty());
    }
    remote.fail(None);
    let vault = open().unwrap();
    create(&vault, "a", "1");
    let before = store.blobs();
    for (kind, retryable) in kinds {
        remote.fail(kind);
        failed(open().map(|_| ()), retryable);
        failed(block_on(vault.contact_root()), retryable);
        failed(block_on(vault.change_root(root.clone())), retryable);
        failed(block_on(vault.rotate_store_key()).map(|_| ()), retryable);
        failed(
            block_on(vault.export(&root, &AnyKind)).map(|_| ()),
            retryable,
        );
    }
    remote.fail(ProviderErrorKind::NotConfigured);
    wrong(open());
    assert_eq!(store.blobs(), before);
    assert_eq!(text(&vault, "a"), "1");
}

#[test]
fn changing_the_root_rewrites_one_blob() {
    let store = FaultyStore::new();
    let mut root = key(7);
    let vault = open_with(&store, root.clone(), Creation::IfMissing).unwrap();
    for name in ["a", "b/c"] {
        create(&vault, name, "1");
    }
    for new in [key(8), passphrase("p"), passphrase("p"), remote(9), key(7)] {
        let (before, writes) = (store.blobs(), store.changes());
        block_on(vault.change_root(new.clone())).unwrap();
        assert_eq!(store.changes(), writes + 1);
        let after = store.blobs();
        assert_eq!(before.len(), after.len());
        for (name, bytes) in &after {
            assert_eq!(before[name] != *bytes, name == "root", "{name}");
        }
        let opened = open_with(&store, new.clone(), Creation::Never).unwrap();
        assert_eq!(text(&opened, "b/c"), "1");
        if format!("{root:?}") != format!("{new:?}") {
            wrong(open_with(&store, root, Creation::Never));
        }
        root = new;
    }
    wrong(open_with(&store, key(8), Creation::Never));
}

#[test]
fn others_go_on_after_a_change_of_root() {
    let store = FaultyStore::new();
    let (changer, other) = (open(&store), open(&store));
    let first = create(&changer, "a", "1");
    block_on(changer.change_root(key(8))).unwrap();
    assert_eq!(text(&other, "a"), "1");
    let second = write(&other, "a", "2", Some(&first)).unwrap();
    create(&other, "b", "1");
    assert_eq!(text(&changer, "a"), "2");
    wrong(block_on(other.contact_root()));
    wrong(block_on(other.rotate_store_key()));

    // What is sealed under a store key that it cannot know.
    block_on(changer.rotate_store_key()).unwrap();
    write(&changer, "a", "3", Some(&stamp(&changer, "a"))).unwrap();
    wrong(read(&other, "a"));
    assert!(is_conflict(&write(&other, "a", "4", Some(&second))));
    let reopened = open_with(&store, key(8), Creation::Never).unwrap();
    assert_eq!(text(&reopened, "a"), "3");
    // What it writes under the old one can be read by all.
    create(&other, "c", "1");
    assert_eq!(text(&changer, "c"), "1");
}

#[test]
fn the_same_passphrase_with_another_salt() {
    let store = FaultyStore::new();
    let vault = open_with(&store, passphrase("p"), Creation::IfMissing).unwrap();
    let other = open_with(&store, passphrase("p"), Creation::IfMissing).unwrap();
    block_on(other.change_root(passphrase("p"))).unwrap();
    block_on(other.rotate_store_key()).unwrap();
    create(&other, "a", "1");
    assert_eq!(text(&vault, "a"), "1");
}

#[test]
fn changes_of_the_root_at_once() {
    let store = FaultyStore::new();
    let vault = open(&store);
    create(&vault, "a", "1");
    store.before_change(|store| {
        let other = open(&FaultyStore::over(store.clone()));
        block_on(other.rotate_store_key()).unwrap();
    });
    block_on(vault.change_root(key(8))).unwrap();
    let reopened = open_with(&store, key(8), Creation::Never).unwrap();
    assert_eq!(text(&reopened, "a"), "1");
    assert_eq!(reopened.root().content.generation, 3);
    assert_eq!(reopened.root().content.store_keys.iter().count(), 2);
}

#[test]
fn others_change_the_root_all_the_time() {
    fn again(store: Store) {
        let next = store.clone();
        store.before_change(move |inner| {
            // The same bytes, as another version.
            let blob = block_on(inner.read("root")).unwrap().unwrap();
            put(inner, "root", &blob.bytes);
            again(next);
        });
    }
    let store = FaultyStore::new();
    let vault = open(&store);
    again(store.clone());
    for error in [
        block_on(vault.change_root(key(8))),
        block_on(vault.rotate_store_key()).map(|_| ()),
    ] {
        let error = error.unwrap_err();
        assert!(matches!(error, KmsError::Busy { .. }) && error.is_retryable());
    }
    store.before_change(|_| {});
    assert!(open_with(&store, key(7), Creation::Never).is_ok());
}

#[test]
fn a_change_of_root_that_fails() {
    for (fate, done) in [
        (Fate::Fails, false),
        (Fate::NotDoneUnknown, false),
        (Fate::DoneUnknown, true),
    ] {
        let store = FaultyStore::new();
        let vault = open(&store);
        create(&vault, "a", "1");
        store.fail(0, fate);
        assert_eq!(block_on(vault.change_root(key(8))).is_ok(), done);
        let root = key(if done { 8 } else { 7 });
        assert!(open_with(&store, root, Creation::Never).is_ok());
        assert!(open_with(&store, key(9), Creation::Never).is_err());
        block_on(vault.contact_root()).unwrap();
        block_on(vault.change_root(key(9))).unwrap();
        assert!(open_with(&store, key(9), Creation::Never).is_ok());
    }
}
