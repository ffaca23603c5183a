//! Calls that fail, locks that are taken, disks that are full: each an error,
//! and a store that is as it was or as it was to become.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use super::super::files::LockMode;
use super::super::folder::Folder;
use super::disk::{Disk, Fate, Fault};
use super::history::{BLOBS, STORE, open, opened_earlier, power_cuts, try_open};
use crate::kms::store::{BlobVersion, Expected, StoreError};

const FAULTS: [Fault; 5] = [
    Fault::Fails(ErrorKind::Other),
    Fault::Fails(ErrorKind::StorageFull),
    Fault::Fails(ErrorKind::PermissionDenied),
    Fault::Lies,
    Fault::Half,
];

/// The numbers of calls, up to more than anything makes.
fn calls() -> impl Iterator<Item = usize> {
    let never = || panic!("no call was the last");
    (0..1000).chain(std::iter::once_with(never))
}

const LONG: &[u8] = &[7; 40_000];

/// A store with the blobs `a` and `b`.
fn store() -> (Disk, BlobVersion) {
    let disk = Disk::new();
    let store = open(&disk);
    let version = store.write("a", b"first", Expected::Absent).unwrap();
    store.write("b", b"neighbour", Expected::Absent).unwrap();
    (disk, version)
}

fn bytes(store: &Folder, name: &str) -> Option<Vec<u8>> {
    store.read(name).unwrap().map(|blob| blob.bytes)
}

type Change = fn(&Folder, &BlobVersion) -> Result<(), StoreError>;

/// Each change, the blob that it changes, and what that becomes.
const CHANGES: [(&str, Option<&[u8]>, Change); 3] = [
    ("c", Some(LONG), |store, _| {
        store.write("c", LONG, Expected::Absent).map(drop)
    }),
    ("a", Some(b"second"), |store, version| {
        store
            .write("a", b"second", Expected::Version(version))
            .map(drop)
    }),
    ("a", None, |store, version| store.delete("a", version)),
];

#[test]
fn every_call_of_a_change_may_fail() {
    let mut failed = BTreeSet::new();
    for (name, after, change) in CHANGES {
        for fault in FAULTS {
            for call in calls() {
                let (disk, version) = store();
                let store = opened_earlier(&disk);
                let before = bytes(&store, name);
                disk.fail(call, fault);
                let result = change(&store, &version);
                let Some(reached) = disk.failed_call() else {
                    result.unwrap();
                    break;
                };
                failed.insert(reached);
                let to = after.map_or("nothing".into(), |bytes| format!("{} bytes", bytes.len()));
                let what = format!("{reached}, call {call}, {fault:?}, of {name} to {to}");
                check_change(&disk, name, before.as_deref(), after, &result, &what);
                // A file system without hard links is no error.
                let tolerated = reached == "link" && format!("{fault:?}").contains("Permission");
                assert_eq!(result.is_ok(), tolerated, "{what}");
                // It can be done again, and nothing is left of the failure.
                match (after, store.read(name).unwrap()) {
                    (Some(bytes), None) => store.write(name, bytes, Expected::Absent).map(drop),
                    (Some(bytes), Some(blob)) => store
                        .write(name, bytes, Expected::Version(&blob.version))
                        .map(drop),
                    (None, Some(blob)) => store.delete(name, &blob.version),
                    (None, None) => Ok(()),
                }
                .unwrap_or_else(|error| panic!("{what}: {error}"));
                assert!(bytes(&store, name).as_deref() == after, "{what}");
                open(&disk);
                let files = disk.listing(BLOBS);
                let leftovers = files.iter().any(|file| !file.starts_with("blob."));
                assert!(!leftovers, "{what}: {files:?}");
            }
        }
    }
    let all = [
        "create",
        "kind",
        "link",
        "names",
        "open",
        "open_lock",
        "read",
        "remove",
        "rename",
        "sync",
        "sync_folder",
        "try_lock",
        "write",
    ];
    assert_eq!(failed.into_iter().collect::<Vec<_>>(), all);
}

/// Checks what is there after a change that may have failed, seen by this and
/// other processes, and after a power cut.
fn check_change(
    disk: &Disk,
    name: &str,
    before: Option<&[u8]>,
    after: Option<&[u8]>,
    result: &Result<(), StoreError>,
    what: &str,
) {
    let may_be: Vec<Option<&[u8]>> = match result {
        Ok(()) => vec![after],
        Err(StoreError::Uncertain { .. }) => vec![before, after],
        Err(_) => vec![before],
    };
    let mut disks = vec![disk.copy()];
    let cuts = power_cuts(disk, disk.operations(), false);
    disks.extend(cuts.iter().map(Disk::rebooted));
    for disk in disks {
        for open_first in [false, true] {
            if open_first {
                open(&disk);
            }
            let store = opened_earlier(&disk);
            let found = bytes(&store, name);
            let as_expected = may_be.contains(&found.as_deref());
            assert!(as_expected, "{what}: {:?}", found.map(|bytes| bytes.len()));
            assert_eq!(
                bytes(&store, "b").as_deref(),
                Some(&b"neighbour"[..]),
                "{what}"
            );
        }
    }
}

#[test]
fn every_call_of_a_reader_may_fail() {
    for fault in FAULTS {
        for call in calls() {
            let (disk, version) = store();
            let store = opened_earlier(&disk);
            disk.fail(call, fault);
            let found = store.read("a");
            let listed = store.list("", None, 10);
            let token = store.change_token("a");
            if disk.failed_call().is_none() {
                assert!(found.is_ok() && listed.is_ok() && token.is_ok());
                break;
            }
            // Either an error or the truth.
            if let Ok(found) = found {
                assert_eq!(found.unwrap().bytes, b"first");
            }
            if let Ok(listed) = listed {
                assert_eq!(listed[0].version, version);
                assert_eq!(listed.len(), 2);
            }
            assert_eq!(bytes(&store, "a").unwrap(), b"first");
        }
    }
}

/// A reader has the file open while its content is overwritten.
#[test]
fn a_reader_that_is_overtaken() {
    let replace: Change = |store, version| {
        let write = store.write("a", b"second", Expected::Version(version));
        write.map(drop)
    };
    let delete: Change = |store, version| store.delete("a", version);
    for (change, after) in [(replace, Some(&b"second"[..])), (delete, None)] {
        let (disk, version) = store();
        let (reader, writer) = (opened_earlier(&disk), opened_earlier(&disk));
        let overtake = |version: &BlobVersion| {
            let (version, writer) = (version.clone(), opened_earlier(&disk));
            disk.meanwhile(move || change(&writer, &version).unwrap());
        };
        overtake(&version);
        assert_eq!(bytes(&reader, "a").as_deref(), after);
        let version = match writer.read("a").unwrap() {
            Some(blob) => blob.version,
            None => writer.write("a", b"first", Expected::Absent).unwrap(),
        };
        overtake(&version);
        let listed = reader.list("", None, 10).unwrap();
        let expected = writer.read("a").unwrap().map(|blob| blob.version);
        let found = listed.iter().find(|entry| entry.name == "a");
        assert_eq!(found.map(|entry| &entry.version), expected.as_ref());
    }
}

#[test]
fn every_call_of_making_a_store_may_fail() {
    for fault in FAULTS {
        for call in calls() {
            let disk = Disk::new();
            disk.fail(call, fault);
            let opened = try_open(&disk);
            let Some(reached) = disk.failed_call() else {
                opened.unwrap();
                break;
            };
            if let Ok(store) = opened {
                store.write("a", b"x", Expected::Absent).unwrap();
            }
            let store = open(&disk);
            let _ = store.write("a", b"x", Expected::Absent);
            assert_eq!(bytes(&store, "a").unwrap(), b"x");
            // A folder that may not be opened is taken for an old one.
            let denied = matches!(fault, Fault::Fails(ErrorKind::PermissionDenied));
            if !(denied && reached == "sync_folder") {
                let tree = disk.power_cut(disk.operations(), |_, _| Fate::Lost);
                assert_eq!(bytes(&open(&Disk::rebooted(&tree)), "a").unwrap(), b"x");
            }
        }
    }
}

#[test]
fn every_call_of_opening_a_store_may_fail() {
    for fault in FAULTS {
        for call in calls() {
            let (disk, _) = store();
            disk.fail(call, fault);
            let opened = try_open(&disk);
            if disk.failed_call().is_none() {
                opened.unwrap();
                break;
            }
            if let Ok(store) = opened {
                assert_eq!(bytes(&store, "a").unwrap(), b"first");
            }
            assert_eq!(bytes(&open(&disk), "a").unwrap(), b"first");
        }
    }
}

#[test]
fn a_full_disk() {
    let mut fulls = 0;
    for (name, after, change) in CHANGES {
        for spare in (0..400).step_by(3).chain((400..41_000).step_by(997)) {
            let (disk, version) = store();
            let store = opened_earlier(&disk);
            let before = bytes(&store, name);
            disk.set_capacity(Some(disk.used() + spare));
            let result = change(&store, &version);
            match &result {
                Ok(()) => {}
                Err(StoreError::Full { .. }) => fulls += 1,
                Err(error) => panic!("{name}, {spare} bytes: {error}"),
            }
            let what = format!("{spare} bytes to spare");
            check_change(&disk, name, before.as_deref(), after, &result, &what);
            // Reading, opening and deleting need no room.
            let store = open(&disk);
            assert!(store.list("", None, 10).unwrap().len() >= 2 - usize::from(after.is_none()));
            let blob = store.read("b").unwrap().unwrap();
            store.delete("b", &blob.version).unwrap();
            disk.set_capacity(None);
            if result.is_err() {
                change(&store, &version).unwrap();
            }
            assert!(bytes(&store, name).as_deref() == after);
        }
    }
    assert!(fulls > 50, "{fulls}");
}

#[test]
fn a_store_is_read_though_the_disk_is_full_and_the_changes_are_lost() {
    let (disk, _) = store();
    disk.files()
        .remove(&Path::new(STORE).join("changes"))
        .unwrap();
    disk.set_capacity(Some(0));
    let store = open(&disk);
    assert_eq!(bytes(&store, "a").unwrap(), b"first");
    assert_eq!(store.list("", None, 10).unwrap().len(), 2);
    let full = store.write("c", b"x", Expected::Absent).unwrap_err();
    assert!(matches!(full, StoreError::Full { .. }), "{full}");
}

#[test]
fn a_lock_that_another_holds() {
    let (disk, version) = store();
    let files = disk.files();
    let lock = Path::new(STORE).join("lock");
    let mut held = files.open_lock(&lock, LockMode::Exclusive).unwrap();
    assert!(held.try_lock().unwrap());
    // Opening and reading need no lock.
    let store = open(&disk);
    assert_eq!(bytes(&store, "a").unwrap(), b"first");
    assert_eq!(store.list("", None, 10).unwrap().len(), 2);
    let errors = [
        store.write("c", b"x", Expected::Absent).unwrap_err(),
        store
            .write("a", b"x", Expected::Version(&version))
            .unwrap_err(),
        store.delete("a", &version).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, StoreError::Locked { .. }), "{error}");
        assert!(error.is_retryable());
    }
    drop(held);
    store.delete("a", &version).unwrap();
}

/// What cannot be overwritten is reported once, and then does not block.
#[test]
fn a_disk_that_cannot_overwrite() {
    let (disk, version) = store();
    let store = opened_earlier(&disk);
    let overwriting = calls()
        .find(|call| {
            let disk = disk.copy();
            disk.fail(*call, Fault::Fails(ErrorKind::Other));
            let result = opened_earlier(&disk).write("a", b"second", Expected::Version(&version));
            matches!(result, Err(StoreError::Uncertain { source, .. })
                if source.to_string().contains("zeros"))
        })
        .unwrap();
    disk.fail(overwriting, Fault::Fails(ErrorKind::Other));
    let error = store
        .write("a", b"second", Expected::Version(&version))
        .unwrap_err();
    assert!(matches!(error, StoreError::Uncertain { .. }), "{error}");
    assert!(disk.listing(BLOBS).contains(&"old".to_owned()));
    let current = store.read("a").unwrap().unwrap();
    assert_eq!(current.bytes, b"second");
    let failing = calls()
        .find(|call| {
            let disk = disk.copy();
            disk.fail(*call, Fault::Fails(ErrorKind::Other));
            let result = opened_earlier(&disk).write("c", b"x", Expected::Absent);
            result.is_ok() && disk.failed_call() == Some("open")
        })
        .unwrap();
    disk.fail(failing, Fault::Fails(ErrorKind::Other));
    store.write("c", b"x", Expected::Absent).unwrap();
    assert!(!disk.listing(BLOBS).contains(&"old".to_owned()));
}
