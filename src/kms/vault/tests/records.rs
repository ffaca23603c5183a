//! Records: round trips, generations, conflicts, and writes whose outcome the
//! store does not know.

use super::faulty::Fate;
use super::*;
use crate::kms::codec::encode;
use crate::kms::seal::SealingKey;
use crate::kms::vault::record::seal_record;

#[test]
fn what_was_written_is_read() {
    let store = FaultyStore::new();
    let vault = open(&store);
    assert!(read(&vault, "keys/1").unwrap().is_none());
    let first = create(&vault, "keys/1", "one");
    assert_eq!(first.generation, 1);
    create(&vault, "keys", "another");
    let second = write(&vault, "keys/1", "two", Some(&first)).unwrap();
    assert_eq!(second.generation, 2);
    for vault in [&vault, &open(&store)] {
        let stored = read(vault, "keys/1").unwrap().unwrap();
        assert_eq!((stored.value, stored.stamp), (value("two"), second.clone()));
        assert_eq!(text(vault, "keys"), "another");
        assert_eq!(
            block_on(vault.list("", None, 9)).unwrap(),
            ["keys", "keys/1"]
        );
    }
    block_on(vault.delete("keys/1", &second)).unwrap();
    assert!(read(&vault, "keys/1").unwrap().is_none());
    // Names that come and go take no memory for ever.
    assert!(vault.seen.get("keys/1").is_none());
    assert_eq!(create(&vault, "keys/1", "three").generation, 1);
    assert_eq!(text(&vault, "keys/1"), "three");
}

#[test]
fn the_root_is_no_record() {
    let vault = open(&FaultyStore::new());
    let stamp = create(&vault, "a", "");
    let invalid = |result| matches!(result, Err(KmsError::InvalidArgument { .. }));
    assert!(invalid(read(&vault, "root").map(|_| ())));
    assert!(invalid(write(&vault, "root", "", None).map(|_| ())));
    assert!(invalid(write(&vault, "root", "", Some(&stamp)).map(|_| ())));
    assert!(invalid(block_on(vault.delete("root", &stamp))));
    let bad_name = write(&vault, "Root", "", None);
    assert!(matches!(
        bad_name,
        Err(KmsError::Store(StoreError::InvalidName { .. }))
    ));
}

#[test]
fn listing_leaves_the_root_out_and_nothing_else() {
    let vault = open(&FaultyStore::new());
    for name in ["a", "root-1", "rooq", "z"] {
        create(&vault, name, "");
    }
    let list = |prefix, after, limit| block_on(vault.list(prefix, after, limit)).unwrap();
    assert_eq!(list("", None, usize::MAX), ["a", "rooq", "root-1", "z"]);
    assert_eq!(list("", None, 2), ["a", "rooq"]);
    assert_eq!(list("", Some("rooq"), 1), ["root-1"]);
    assert_eq!(list("", Some("rooq"), 2), ["root-1", "z"]);
    assert_eq!(list("root", None, 1), ["root-1"]);
    assert_eq!(list("", None, 0), [""; 0]);
}

#[test]
fn change_tokens_are_the_stores() {
    let store = FaultyStore::new();
    let vault = open(&store);
    let token = || block_on(vault.change_token("")).unwrap().unwrap();
    let before = token();
    assert_eq!(token(), before);
    create(&vault, "a", "");
    assert_ne!(token(), before);
}

#[test]
fn the_faster_neighbour_wins() {
    let store = FaultyStore::new();
    let (one, other) = (open(&store), open(&store));
    let first = create(&one, "a", "1");
    assert!(is_conflict(&write(&other, "a", "2", None)));
    assert_eq!(text(&other, "a"), "1");
    let second = write(&other, "a", "2", Some(&first)).unwrap();
    assert!(is_conflict(&write(&one, "a", "3", Some(&first))));
    assert!(is_conflict(&block_on(one.delete("a", &first))));
    assert_eq!(text(&one, "a"), "2");
    block_on(one.delete("a", &second)).unwrap();
    assert!(is_conflict(&write(&other, "a", "3", Some(&second))));
    assert!(is_conflict(&block_on(other.delete("a", &second))));
}

#[test]
fn a_write_that_was_done_after_all() {
    let store = FaultyStore::new();
    let vault = open(&store);
    store.fail(0, Fate::DoneUnknown);
    let first = write(&vault, "a", "1", None).unwrap();
    store.fail(0, Fate::DoneUnknown);
    let second = write(&vault, "a", "2", Some(&first)).unwrap();
    assert_eq!(stamp(&vault, "a"), second);
    store.fail(0, Fate::DoneUnknown);
    block_on(vault.delete("a", &second)).unwrap();
    assert!(read(&vault, "a").unwrap().is_none());
}

#[test]
fn a_write_that_was_not_done() {
    let store = FaultyStore::new();
    let vault = open(&store);
    let unavailable =
        |error: KmsError| matches!(error, KmsError::Store(StoreError::Unavailable { .. }));
    for fate in [Fate::NotDoneUnknown, Fate::Fails] {
        store.fail(0, fate);
        assert!(unavailable(write(&vault, "a", "1", None).unwrap_err()));
    }
    assert!(read(&vault, "a").unwrap().is_none());
    let first = create(&vault, "a", "1");
    for fate in [Fate::NotDoneUnknown, Fate::Fails] {
        store.fail(0, fate);
        assert!(unavailable(
            write(&vault, "a", "2", Some(&first)).unwrap_err()
        ));
        store.fail(0, fate);
        assert!(unavailable(
            block_on(vault.delete("a", &first)).unwrap_err()
        ));
    }
    assert_eq!(stamp(&vault, "a"), first);
}

#[test]
fn a_write_that_cannot_be_told() {
    let uncertain = |error| matches!(error, KmsError::Store(StoreError::Uncertain { .. }));
    let store = FaultyStore::new();
    let vault = open(&store);
    let first = create(&vault, "a", "1");
    // It cannot be read.
    store.fail_reads(true);
    store.fail(0, Fate::DoneUnknown);
    assert!(uncertain(
        write(&vault, "a", "2", Some(&first)).unwrap_err()
    ));
    let current = block_on(store.inner.read("a")).unwrap().unwrap().version;
    let second = Stamp {
        version: current,
        ..first
    };
    store.fail(0, Fate::NotDoneUnknown);
    assert!(uncertain(block_on(vault.delete("a", &second)).unwrap_err()));
    store.fail_reads(false);

    // A neighbour was faster: that is a conflict.
    let other = open(&store);
    let (of_other, stamp) = (stamp(&other, "a"), stamp(&vault, "a"));
    store.before_change(move |store| {
        let store = FaultyStore::over(store.clone());
        write(&open(&store), "a", "3", Some(&of_other)).unwrap();
    });
    store.fail(0, Fate::NotDoneUnknown);
    assert!(is_conflict(&write(&vault, "a", "4", Some(&stamp))));
    assert_eq!(text(&vault, "a"), "3");

    // A neighbour has written since, perhaps over it: that cannot be told.
    let stamp = super::stamp(&vault, "a");
    store.after_change(move |store| {
        let store = FaultyStore::over(store.clone());
        let other = open(&store);
        let theirs = super::stamp(&other, "a");
        write(&other, "a", "6", Some(&theirs)).unwrap();
    });
    store.fail(0, Fate::DoneUnknown);
    assert!(uncertain(
        write(&vault, "a", "5", Some(&stamp)).unwrap_err()
    ));
    assert_eq!(text(&vault, "a"), "6");

    // Deleted, and made anew by a neighbour.
    let stamp = super::stamp(&vault, "a");
    store.after_change(|store| {
        create(&open(&FaultyStore::over(store.clone())), "a", "7");
    });
    store.fail(0, Fate::DoneUnknown);
    assert!(is_conflict(&block_on(vault.delete("a", &stamp))));
}

#[test]
fn an_old_copy_is_noticed() {
    let store = FaultyStore::new();
    let (writer, reader) = (open(&store), open(&store));
    let first = create(&writer, "a", "1");
    let (old, old_root) = (store.bytes("a"), store.bytes("root"));
    write(&writer, "a", "2", Some(&first)).unwrap();
    assert_eq!(text(&reader, "a"), "2");
    let older = RecordProblem::OlderGeneration { found: 1, seen: 2 };

    let new = store.bytes("a");
    store.put("a", &old);
    for vault in [&writer, &reader] {
        assert_eq!(problem(read(vault, "a"), "a"), older);
    }
    // A new process cannot know.
    assert_eq!(text(&open(&store), "a"), "1");
    store.put("a", &new);
    assert_eq!(text(&reader, "a"), "2");

    block_on(writer.rotate_store_key()).unwrap();
    assert_eq!(text(&reader, "a"), "2");
    store.put("root", &old_root);
    let root = problem(block_on(reader.contact_root()), "root");
    assert_eq!(root, older);
}

#[test]
fn a_record_that_was_made_anew_is_no_old_one() {
    let store = FaultyStore::new();
    let (writer, reader) = (open(&store), open(&store));
    let first = create(&writer, "a", "1");
    let second = write(&writer, "a", "2", Some(&first)).unwrap();
    assert_eq!(text(&reader, "a"), "2");
    block_on(writer.delete("a", &second)).unwrap();
    // By a process that has never seen the one before.
    create(&open(&store), "a", "3");
    for vault in [&writer, &reader] {
        assert_eq!(text(vault, "a"), "3");
    }
}

#[test]
fn what_is_written_during_a_read_makes_it_no_older() {
    let store = FaultyStore::new();
    let vault = Arc::new(open(&store));
    let first = create(&vault, "a", "1");
    let writer = vault.clone();
    store.after_read(move |_| {
        write(&writer, "a", "2", Some(&first)).unwrap();
    });
    assert_eq!(text(&vault, "a"), "1");
    assert_eq!(text(&vault, "a"), "2");
}

#[test]
fn generations_end() {
    let store = FaultyStore::new();
    let vault = open(&store);
    let last = Stamp {
        generation: u64::MAX,
        ..create(&vault, "a", "1")
    };
    assert!(matches!(
        write(&vault, "a", "2", Some(&last)),
        Err(KmsError::LimitExceeded { .. })
    ));
}

/// Puts a record there whose payload is this, sealed as it should be.
fn put_payload(store: &Store, vault: &Vault, name: &str, payload: &[u8]) {
    put_generation(store, vault, name, 1, payload);
}

fn put_generation(store: &Store, vault: &Vault, name: &str, generation: u64, payload: &[u8]) {
    let backend = CryptoBackend::default();
    let mut entropy = crate::crypto::Entropy::draw(backend.random(), 32).unwrap();
    let root = vault.root();
    let key: SealingKey<'_> = root.sealing_key();
    let birth = [0; 8];
    let blob = seal_record(
        &backend,
        &mut entropy,
        key,
        name,
        generation,
        &birth,
        payload,
    );
    store.put(name, &blob.unwrap());
}

/// Generations start at 1; a backup with such a record would be none.
#[test]
fn no_generation_0() {
    let store = FaultyStore::new();
    let vault = open(&store);
    let good = encode(&[1], &value("a"));
    put_generation(&store, &vault, "a", 0, good.as_slice());
    assert_eq!(problem(read(&vault, "a"), "a"), RecordProblem::Damaged);
}

/// No import would take such a backup.
#[test]
fn no_export_of_a_record_without_a_schema() {
    let store = FaultyStore::new();
    let vault = open(&store);
    for payload in [&[][..], &[0, 1]] {
        put_payload(&store, &vault, "a", payload);
        let exported = block_on(vault.export(&key(8), &AnyKind));
        assert_eq!(problem(exported, "a"), RecordProblem::Damaged);
    }
    // What a newer version wrote is there for that.
    put_payload(&store, &vault, "a", &[2, 1]);
    block_on(vault.export(&key(8), &AnyKind)).unwrap();
}

#[test]
fn payloads_of_another_form() {
    let store = FaultyStore::new();
    let vault = open(&store);
    let good = encode(&[1], &value("a")).as_slice().to_vec();
    put_payload(&store, &vault, "a", &good);
    assert_eq!(text(&vault, "a"), "a");

    let damaged = RecordProblem::Damaged;
    let longer = [&good[..], &[0]].concat();
    let shorter = &good[..good.len() - 1];
    let schema_0 = [&[0], &good[1..]].concat();
    for payload in [&longer, shorter, &schema_0, &[], &[1]] {
        put_payload(&store, &vault, "a", payload);
        assert_eq!(problem(read(&vault, "a"), "a"), damaged, "{payload:?}");
    }
    put_payload(&store, &vault, "a", &[&[2], &good[1..]].concat());
    let newer = RecordProblem::NewerFormat {
        found: 2,
        supported: 1,
    };
    assert_eq!(problem(read(&vault, "a"), "a"), newer);
    // A length that nothing stands behind.
    let length = [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    put_payload(&store, &vault, "a", &length);
    assert_eq!(problem(read(&vault, "a"), "a"), damaged);
}

#[test]
fn futures_are_send_and_nothing_prints_secrets() {
    fn send<T: Send>(value: T) -> T {
        value
    }
    fn shared<T: Send + Sync>(_: &T) {}
    let store = FaultyStore::new();
    let vault = open(&store);
    shared(&vault);
    let (key, first) = (key(7), create(&vault, "a", "secret"));
    drop(send(vault.read::<Value>("a")));
    drop(send(vault.write("a", &value("1"), None)));
    drop(send(vault.delete("a", &first)));
    drop(send(vault.list("", None, 1)));
    drop(send(vault.change_root(key.clone())));
    drop(send(vault.rotate_store_key()));
    drop(send(vault.contact_root()));
    drop(send(vault.export(&key, &AnyKind)));
    drop(send(vault.import(&[], &key, &AnyKind)));

    let id = vault.store_id();
    assert_eq!(
        format!("{vault:?}"),
        format!("Vault {{ store_id: {id:?}, .. }}")
    );
    assert_eq!(format!("{key:?}"), "RootKey(key)");
    assert_eq!(
        format!("{:?}", passphrase("hunter2")),
        "RootKey(passphrase)"
    );
}
