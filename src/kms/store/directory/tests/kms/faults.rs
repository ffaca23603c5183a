//! Each file operation of each change of the KMS fails once, and the disk is
//! full: an error, an intact store, and a handle that goes on and shows
//! nothing that is not so.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use super::super::disk::{Disk, Fate, Fault};
use super::*;
use crate::kms::store::StoreError;

const FAULTS: [Fault; 6] = [
    Fault::Fails(ErrorKind::Other),
    Fault::Fails(ErrorKind::StorageFull),
    Fault::Fails(ErrorKind::PermissionDenied),
    Fault::Lies,
    Fault::Half,
    // Until the change is over.
    Fault::Gone,
];
/// More calls than any change makes.
const MANY: usize = 2000;

/// A store in which every change can be made, and what was encrypted in it.
struct Prepared {
    disk: Disk,
    clock: Still,
    sealed: Vec<Sealed>,
    backup: Vec<u8>,
}

impl Prepared {
    /// All that comes before this change.
    fn before(change: usize) -> Self {
        let (disk, clock, backup) = (Disk::new(), Still::new(), backup());
        let kms = open(&disk, &clock, 0).unwrap();
        let mut sealed = Vec::new();
        let changes = &CHANGES[..change];
        // The root stays, so that one root opens all stores here.
        let changes = changes
            .iter()
            .filter(|(what, _)| *what != "change the root");
        for (_, change) in BEFORE.iter().chain(changes) {
            change(&kms, &backup).unwrap();
            sealed.extend(seal(&kms, "alias/a"));
        }
        clock.advance(8 * DAY);
        drop(kms);
        let disk = Disk::rebooted(&disk.power_cut(disk.operations(), |_, _| Fate::Kept));
        Prepared {
            disk,
            clock,
            sealed,
            backup,
        }
    }

    fn open(&self, disk: &Disk) -> LocalKms {
        let opened = [0, 1].map(|number| open(disk, &self.clock, number));
        let mut opened: Vec<LocalKms> = opened.into_iter().filter_map(Result::ok).collect();
        assert_eq!(opened.len(), 1, "roots that open the store");
        opened.remove(0)
    }

    /// What the change makes of it.
    fn after(&self, change: Change) -> View {
        let disk = self.disk.copy();
        let kms = self.open(&disk);
        change.1(&kms, &self.backup).unwrap();
        View::of(&kms).unwrap()
    }

    /// Checks what a change that may have failed has left, by its own handle
    /// and by others, now and after a power cut.
    fn check(&self, disk: &Disk, kms: &LocalKms, result: &KmsResult<()>, states: [&View; 2]) {
        let [before, after] = states;
        let view = View::of(kms).unwrap();
        match result {
            Ok(()) => assert_eq!(view, *after),
            Err(_) => assert!(view.is_between(before, after), "{view:?}"),
        }
        let fresh = self.open(&disk.copy());
        assert_eq!(View::of(&fresh).unwrap(), view, "another handle's view");
        for kms in [kms, &fresh] {
            for sealed in &self.sealed {
                opens(kms, sealed).unwrap();
            }
        }
        for fate in [Fate::Lost, Fate::Kept] {
            let tree = disk.power_cut(disk.operations(), |_, _| fate);
            let rebooted = self.open(&Disk::rebooted(&tree));
            let found = View::of(&rebooted).unwrap();
            match result {
                Ok(()) => assert_eq!(found, *after, "after a power cut"),
                Err(_) => assert!(found.is_between(before, after), "after a power cut"),
            }
            for sealed in &self.sealed {
                opens(&rebooted, sealed).unwrap();
            }
        }
    }

    /// The change can be made now, by the handle that failed to.
    fn go_on(&self, change: Change, disk: &Disk, kms: &LocalKms, [before, after]: [&View; 2]) {
        let view = View::of(kms).unwrap();
        if view == *before || change.0 == "import a backup" {
            change.1(kms, &self.backup).unwrap();
            assert_eq!(View::of(kms).unwrap(), *after);
        }
        let version = ready(kms.rotate("alias/a")).unwrap();
        let sealed = seal(kms, "alias/a").unwrap();
        let fresh = self.open(&disk.copy());
        opens(&fresh, &sealed).unwrap();
        assert_eq!(View::of(&fresh).unwrap(), View::of(kms).unwrap());
        let keyring = ready(fresh.describe_key("alias/a")).unwrap();
        assert_eq!(keyring.current_version(), version);
    }
}

#[test]
fn every_file_operation_of_a_change_may_fail() {
    let mut failed = BTreeSet::new();
    for (number, change) in CHANGES.iter().enumerate() {
        let prepared = Prepared::before(number);
        let before = View::of(&prepared.open(&prepared.disk.copy())).unwrap();
        let after = prepared.after(*change);
        for fault in FAULTS {
            let mut call = 0;
            loop {
                let disk = prepared.disk.copy();
                let kms = prepared.open(&disk);
                // It knows all keys and aliases.
                assert_eq!(View::of(&kms).unwrap(), before);
                disk.fail(call, fault);
                let result = change.1(&kms, &prepared.backup);
                let Some(reached) = disk.failed_call() else {
                    result.unwrap();
                    break;
                };
                failed.insert(reached);
                println!(
                    "{}: {reached}, call {call}, {fault:?}: {result:?}",
                    change.0
                );
                prepared.check(&disk, &kms, &result, [&before, &after]);
                // These are several changes, and go on where they failed.
                let goes_on = ["import a backup", "make a service's key"].contains(&change.0);
                if let Err(error) = &result
                    && before != after
                    && !goes_on
                {
                    let uncertain = matches!(error, KmsError::Store(StoreError::Uncertain { .. }));
                    let was_done = View::of(&kms).unwrap() == after;
                    assert!(uncertain || !was_done, "it was done: {error}");
                }
                prepared.go_on(*change, &disk, &kms, [&before, &after]);
                call += 1;
                assert!(call < MANY, "no call was the last");
            }
        }
    }
    for call in [
        "create",
        "open_lock",
        "rename",
        "sync",
        "sync_folder",
        "try_lock",
        "write",
    ] {
        assert!(failed.contains(call), "{call} never failed: {failed:?}");
    }
}

#[test]
fn the_disk_is_full() {
    let mut fulls = 0;
    for (number, change) in CHANGES.iter().enumerate() {
        let prepared = Prepared::before(number);
        let before = View::of(&prepared.open(&prepared.disk.copy())).unwrap();
        let after = prepared.after(*change);
        for spare in (0..4000).step_by(61) {
            let disk = prepared.disk.copy();
            let kms = prepared.open(&disk);
            assert_eq!(View::of(&kms).unwrap(), before);
            disk.set_capacity(Some(disk.used() + spare));
            let result = change.1(&kms, &prepared.backup);
            if let Err(error) = &result {
                let full = matches!(error, KmsError::Store(StoreError::Full { .. }));
                assert!(full, "{}, {spare} bytes to spare: {error}", change.0);
                fulls += 1;
            }
            prepared.check(&disk, &kms, &result, [&before, &after]);
            // Using keys needs no room.
            let sealed = seal(&kms, "alias/a").unwrap();
            opens(&kms, &sealed).unwrap();
            disk.set_capacity(None);
            prepared.go_on(*change, &disk, &kms, [&before, &after]);
        }
    }
    assert!(fulls > 50, "{fulls}");
}
