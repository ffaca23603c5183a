//! Exports and imports.

use super::faulty::Fate;
use super::provider::Remote;
use super::*;
use crate::kms::codec::encode;
use crate::kms::store::DirectoryStore;
use crate::kms::vault::ImportReport;
use crate::kms::vault::backup::{Backup, Entry};
use crate::kms::vault::envelope::{self, Content};
use crate::provider::ProviderErrorKind;

fn export(vault: &Vault) -> Vec<u8> {
    block_on(vault.export(&passphrase("backup"), &AnyKind)).unwrap()
}

fn try_import(vault: &Vault, backup: &[u8]) -> KmsResult<ImportReport> {
    block_on(vault.import(backup, &passphrase("backup"), &AnyKind))
}

/// Restored, unchanged, older, diverged.
fn import(vault: &Vault, backup: &[u8]) -> (u64, u64, u64, Vec<String>) {
    let report = try_import(vault, backup).unwrap();
    (
        report.restored,
        report.unchanged,
        report.older,
        report.diverged,
    )
}

#[track_caller]
fn reason<T>(result: KmsResult<T>) -> String {
    match result {
        Err(KmsError::Backup { reason }) => reason,
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("no error"),
    }
}

/// A vault with three records, and its store.
fn original() -> (Store, Vault) {
    let store = FaultyStore::new();
    let vault = open(&store);
    let first = create(&vault, "a", "1");
    write(&vault, "a", "2", Some(&first)).unwrap();
    create(&vault, "keys/b", "1");
    create(&vault, "keys", "1");
    (store, vault)
}

#[test]
fn into_an_empty_store_and_again() {
    let (store, vault) = original();
    let before = store.blobs();
    let backup = export(&vault);
    assert_eq!(store.blobs(), before);
    let empty = FaultyStore::new();
    let other = open_with(&empty, key(8), Creation::IfMissing).unwrap();
    assert_eq!(import(&other, &backup), (3, 0, 0, vec![]));
    let reopened = open_with(&empty, key(8), Creation::Never).unwrap();
    for vault in [&other, &reopened] {
        assert_eq!(text(vault, "a"), "2");
        assert_eq!(stamp(vault, "a").generation, 2);
        assert_eq!(text(vault, "keys/b"), "1");
    }
    for vault in [&vault, &other, &reopened] {
        let changes = store.changes() + empty.changes();
        assert_eq!(import(vault, &backup), (0, 3, 0, vec![]));
        assert_eq!(store.changes() + empty.changes(), changes);
    }
    // What was restored goes on as ever.
    let stamp = stamp(&other, "a");
    assert_eq!(write(&other, "a", "3", Some(&stamp)).unwrap().generation, 3);
}

#[test]
fn the_newer_generation_stays() {
    let (_, vault) = original();
    let backup = export(&vault);
    let (b, keys) = (stamp(&vault, "keys/b"), stamp(&vault, "keys"));
    write(&vault, "keys/b", "newer", Some(&b)).unwrap();
    block_on(vault.delete("keys", &keys)).unwrap();
    create(&vault, "new", "1");
    assert_eq!(import(&vault, &backup), (1, 1, 1, vec![]));
    assert_eq!(text(&vault, "keys/b"), "newer");
    assert_eq!(text(&vault, "keys"), "1");
    assert_eq!(text(&vault, "new"), "1");
}

#[test]
fn an_older_generation_is_replaced_and_a_diverged_one_is_reported() {
    let (store, vault) = original();
    let copy = store.copy();
    let b = stamp(&vault, "keys/b");
    write(&vault, "keys/b", "newer", Some(&b)).unwrap();
    let a = stamp(&vault, "a");
    write(&vault, "a", "one way", Some(&a)).unwrap();
    let backup = export(&vault);
    let other = open(&copy);
    let a = stamp(&other, "a");
    write(&other, "a", "another way", Some(&a)).unwrap();
    let expected = (1, 1, 0, vec!["a".to_owned()]);
    assert_eq!(import(&other, &backup), expected);
    assert_eq!(text(&other, "keys/b"), "newer");
    assert_eq!(text(&other, "a"), "another way");
}

#[test]
fn damaged_records_are_restored() {
    let (store, vault) = original();
    let old = store.bytes("a");
    let a = stamp(&vault, "a");
    write(&vault, "a", "3", Some(&a)).unwrap();
    let backup = export(&vault);
    // Damaged, and an old copy.
    store.put("keys/b", b"\x01damaged");
    store.put("a", &old);
    assert!(read(&vault, "a").is_err());
    assert_eq!(import(&vault, &backup), (2, 1, 0, vec![]));
    assert_eq!(text(&vault, "keys/b"), "1");
    assert_eq!(text(&vault, "a"), "3");
    // An old copy, and a backup that is older than what was seen.
    let (a, old) = (stamp(&vault, "a"), store.bytes("a"));
    let backup_of_3 = backup;
    write(&vault, "a", "4", Some(&a)).unwrap();
    let backup_of_4 = export(&vault);
    store.put("a", &old);
    assert_eq!(import(&vault, &backup_of_3), (0, 2, 1, vec![]));
    assert_eq!(import(&vault, &backup_of_4), (1, 2, 0, vec![]));
    assert_eq!(text(&vault, "a"), "4");
    // One of a newer version is not overwritten.
    store.put("a", &[2]);
    assert!(matches!(
        problem(try_import(&vault, &backup_of_4), "a"),
        RecordProblem::NewerFormat { .. }
    ));
    assert_eq!(store.bytes("a"), [2]);
}

#[test]
fn damaged_files_are_restored() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path().join("store")).unwrap();
    let backend = CryptoBackend::default();
    let opened = Vault::open(Arc::new(store), key(7), backend, Creation::IfMissing);
    let vault = block_on(opened).unwrap();
    create(&vault, "record-a", "1");
    create(&vault, "record-b", "1");
    let backup = export(&vault);
    let mut files = vec![folder.path().to_owned()];
    let mut damaged = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(
                std::fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        if bytes.windows(8).any(|window| window == b"record-a") && bytes.starts_with(b"waxblob") {
            std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
            damaged += 1;
        }
    }
    assert_eq!(damaged, 1);
    let is_damaged =
        |error: KmsError| matches!(error, KmsError::Record { name, .. } if name == "record-a");
    assert!(is_damaged(
        read(&vault, "record-a").map(|_| ()).unwrap_err()
    ));
    assert!(is_damaged(
        block_on(vault.export(&key(1), &AnyKind)).unwrap_err()
    ));
    // All others are resealed.
    assert!(is_damaged(block_on(vault.rotate_store_key()).unwrap_err()));
    assert_eq!(block_on(vault.reseal()).map_err(is_damaged), Err(true));
    assert_eq!(import(&vault, &backup), (1, 1, 0, vec![]));
    assert_eq!(text(&vault, "record-a"), "1");
    assert_eq!(block_on(vault.reseal()).unwrap(), 0);
}

#[test]
fn nothing_is_exported_without_what_is_damaged() {
    let (store, vault) = original();
    store.put("keys", b"\x01damaged");
    let exported = block_on(vault.export(&key(1), &AnyKind));
    assert_eq!(problem(exported, "keys"), RecordProblem::Damaged);
}

#[test]
fn what_was_deleted_meanwhile_is_left_out() {
    let (store, vault) = original();
    store.before_read(|store| {
        let blob = block_on(store.read("a")).unwrap().unwrap();
        block_on(store.delete("a", &blob.version)).unwrap();
    });
    let backup = export(&vault);
    assert_eq!(
        import(&open(&FaultyStore::new()), &backup),
        (2, 0, 0, vec![])
    );
}

#[test]
fn a_restored_record_is_no_old_one_to_those_who_saw_a_newer() {
    let (store, vault) = original();
    let other = open(&store);
    let backup = export(&vault);
    let a = stamp(&vault, "a");
    let a = write(&vault, "a", "3", Some(&a)).unwrap();
    assert_eq!(text(&other, "a"), "3");
    block_on(vault.delete("a", &a)).unwrap();
    assert_eq!(import(&open(&store), &backup), (1, 2, 0, vec![]));
    for vault in [&vault, &other] {
        assert_eq!(text(vault, "a"), "2");
    }
}

#[test]
fn wrong_keys_say_so() {
    let (store, vault) = original();
    let remote = Remote::new(7);
    for (root, another, text) in [
        (key(1), key(2), "the key is another one"),
        (
            passphrase("p"),
            passphrase("q"),
            "the passphrase is another one",
        ),
        (
            RootKey::provider(remote.clone()),
            RootKey::provider(Remote::new(8)),
            "the provider does not have its key",
        ),
    ] {
        let backup = block_on(vault.export(&root, &AnyKind)).unwrap();
        let changes = store.changes();
        assert_eq!(
            reason(block_on(vault.import(&backup, &another, &AnyKind))),
            text
        );
        assert_eq!(store.changes(), changes);
        remote.calls();
        block_on(vault.import(&backup, &root, &AnyKind)).unwrap();
        assert!(remote.calls() <= 1);
    }
    let backup = block_on(vault.export(&key(1), &AnyKind)).unwrap();
    assert_eq!(
        reason(block_on(vault.import(&backup, &passphrase("p"), &AnyKind))),
        "it was sealed under a key, and a passphrase was given"
    );
    let root = RootKey::provider(remote.clone());
    let backup = block_on(vault.export(&root, &AnyKind)).unwrap();
    remote.fail(ProviderErrorKind::Unavailable);
    let failed = block_on(vault.import(&backup, &root, &AnyKind)).unwrap_err();
    assert!(matches!(failed, KmsError::Root(_)) && failed.is_retryable());
}

#[test]
fn every_bit_and_every_length_counts() {
    let (_, vault) = original();
    let backup = export(&vault);
    let empty = FaultyStore::new();
    let vault = open(&empty);
    let before = empty.blobs();
    for bit in 0..backup.len() * 8 {
        let mut changed = backup.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        reason(try_import(&vault, &changed));
    }
    for length in 0..backup.len() {
        reason(try_import(&vault, &backup[..length]));
    }
    reason(try_import(&vault, &[&backup[..], &[0]].concat()));
    // A root record is no backup, under whatever key.
    let root = empty.bytes("root");
    reason(block_on(vault.import(&root, &key(7), &AnyKind)));
    assert_eq!(empty.blobs(), before);
    let mut newer = backup;
    newer[8] = 2;
    assert_eq!(
        reason(try_import(&vault, &newer)),
        "it has format 2; this version reads up to 1"
    );
}

#[test]
fn whoever_has_the_key_cannot_smuggle_anything_in() {
    let store = FaultyStore::new();
    let vault = open(&store);
    let changes = store.changes();
    let backend = CryptoBackend::default();
    let root = passphrase("backup");
    let unlocked = root.unlock_new(&backend).unwrap();
    let forge = |id: &str, plaintext: &[u8]| {
        let pairs = [("store", id)];
        let sealed = envelope::seal(Content::Backup, &unlocked, &backend, &pairs, plaintext);
        try_import(&vault, &block_on(sealed).unwrap())
    };
    let plaintext = |entries: &[(&str, u64, &[u8])]| {
        let records = entries.iter().map(|(name, generation, payload)| Entry {
            name,
            generation: *generation,
            payload,
        });
        let backup = Backup {
            store_id: "id",
            records: records.collect(),
        };
        encode(&[], &backup).as_slice().to_vec()
    };
    let good: (&str, u64, &[u8]) = ("a", 1, &[1]);
    for bad in [
        ("root", 1, &[1][..]),
        ("", 1, &[1]),
        ("B", 1, &[1]),
        ("../b", 1, &[1]),
        ("a", 1, &[1]),
        ("0", 1, &[1]),
        ("b", 0, &[1]),
        ("b", 1, &[]),
        ("b", 1, &[0]),
    ] {
        let text = reason(forge("id", &plaintext(&[good, bad])));
        assert_eq!(text, "it is damaged, or is not a backup", "{bad:?}");
    }
    assert_eq!(
        reason(forge("id", &plaintext(&[good, ("b", 1, &[2])]))),
        "its record 'b' has format 2; this version reads up to 1"
    );
    let whole = plaintext(&[good]);
    reason(forge("another", &whole));
    reason(forge("id", &[&whole[..], &[0]].concat()));
    for length in 0..whole.len() {
        reason(forge("id", &whole[..length]));
    }
    // Lengths that nothing stands behind.
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    reason(forge("id", &huge));
    reason(forge("id", &[&[2, b'i', b'd'], &huge[..]].concat()));
    assert_eq!(store.changes(), changes);
    assert_eq!(forge("id", &whole).unwrap().restored, 1);
}

#[test]
fn interrupted_anywhere_it_goes_on() {
    let (_, vault) = original();
    let backup = export(&vault);
    for fate in [Fate::Fails, Fate::NotDoneUnknown, Fate::DoneUnknown] {
        for after in 0..3 {
            let store = FaultyStore::new();
            let other = open(&store);
            store.fail(after, fate);
            let done = try_import(&other, &backup);
            assert!(!store.has_failure_left());
            if fate == Fate::DoneUnknown {
                assert_eq!(done.unwrap().restored, 3);
            } else {
                assert!(done.is_err());
                assert_eq!(import(&other, &backup), (3 - after, after, 0, vec![]));
            }
            assert_eq!(text(&open(&store), "a"), "2");
        }
    }
}

#[test]
fn a_neighbour_changes_a_record_meanwhile() {
    let (store, vault) = original();
    let backup = export(&vault);
    let a = stamp(&vault, "a");
    block_on(vault.delete("a", &a)).unwrap();
    store.before_change(|store| {
        let other = open(&FaultyStore::over(store.clone()));
        let mut stamp = create(&other, "a", "n");
        for _ in 0..4 {
            stamp = write(&other, "a", "n", Some(&stamp)).unwrap();
        }
    });
    assert_eq!(import(&vault, &backup), (0, 2, 1, vec![]));
    assert_eq!(text(&vault, "a"), "n");
}
