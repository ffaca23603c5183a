//! Disks that fill up and fail.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::SystemTime;
use std::{fs, io};

use super::disk::Output;
use super::*;
use crate::crypto::SecretBytes;
use crate::kms::audit::{
    AuditEvent, AuditId, AuditNotice, AuditReport, AuditSettings, AuditVerifier, OnAuditFailure,
};

/// A disk whose room a test decides.
#[derive(Clone)]
struct Faulty(Arc<Faults>);

struct Faults {
    /// How many bytes still fit: a write beyond it writes what fits, and fails.
    room: AtomicI64,
    truncating_fails: AtomicBool,
    syncing_fails: AtomicBool,
    renaming_fails: AtomicBool,
    creating_fails: AtomicBool,
    syncs: AtomicU64,
}

impl Faulty {
    fn new() -> Self {
        Faulty(Arc::new(Faults {
            room: AtomicI64::new(i64::MAX),
            truncating_fails: AtomicBool::new(false),
            syncing_fails: AtomicBool::new(false),
            renaming_fails: AtomicBool::new(false),
            creating_fails: AtomicBool::new(false),
            syncs: AtomicU64::new(0),
        }))
    }

    fn has_room(&self, bytes: i64) {
        self.0.room.store(bytes, Ordering::Relaxed);
    }

    fn fail(&self, what: fn(&Faults) -> &AtomicBool, fails: bool) {
        what(&self.0).store(fails, Ordering::Relaxed);
    }

    fn check(&self, what: fn(&Faults) -> &AtomicBool) -> io::Result<()> {
        match what(&self.0).load(Ordering::Relaxed) {
            true => Err(io::Error::other("broken")),
            false => Ok(()),
        }
    }

    fn syncs(&self) -> u64 {
        self.0.syncs.load(Ordering::Relaxed)
    }
}

impl Disk for Faulty {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        self.check(|faults| &faults.creating_fails)?;
        Ok(Box::new(FaultyFile(SystemDisk.create(path)?, self.clone())))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        Ok(Box::new(FaultyFile(SystemDisk.open(path)?, self.clone())))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(|faults| &faults.renaming_fails)?;
        SystemDisk.rename(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        SystemDisk.sync_folder(folder)
    }
}

struct FaultyFile(Box<dyn Output>, Faulty);

impl Output for FaultyFile {
    fn length(&mut self) -> io::Result<u64> {
        self.0.length()
    }

    fn modified(&mut self) -> io::Result<SystemTime> {
        self.0.modified()
    }

    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, out)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let faults = &self.1.0;
        let room = faults.room.fetch_sub(bytes.len() as i64, Ordering::Relaxed);
        if room >= bytes.len() as i64 {
            return self.0.write_at(offset, bytes);
        }
        faults.room.store(0, Ordering::Relaxed);
        self.0.write_at(offset, &bytes[..room.max(0) as usize])?;
        Err(io::ErrorKind::StorageFull.into())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.1.check(|faults| &faults.truncating_fails)?;
        self.0.truncate(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.1.check(|faults| &faults.syncing_fails)?;
        self.1.0.syncs.fetch_add(1, Ordering::Relaxed);
        self.0.sync()
    }
}

fn key() -> AuditKey {
    AuditKey::new(&SecretBytes::from(vec![7; 48])).unwrap()
}

fn open(path: &Path, disk: &Faulty) -> AuditFile {
    AuditFile::builder(path, key())
        .disk(disk.clone())
        .open()
        .unwrap()
}

fn event() -> AuditEvent<'static> {
    AuditEvent::new(
        "Encrypt",
        SystemTime::UNIX_EPOCH,
        AuditId::from_bytes([5; 16]),
    )
}

fn report(path: &Path) -> AuditReport {
    let mut verifier = AuditVerifier::new().public_key(key().public_key());
    for file in AuditFile::files(path).unwrap() {
        verifier.file(file).unwrap();
    }
    verifier.finish()
}

fn notices(report: &AuditReport) -> Vec<AuditNotice> {
    report.notices.iter().map(|(_, notice)| *notice).collect()
}

/// With room for each number of bytes: an error, whole lines, and when there is
/// room again the trail goes on, and says how many are missing.
#[test]
fn a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    for part in 0..20 {
        let path = folder.path().join(part.to_string());
        let disk = Faulty::new();
        let file = open(&path, &disk);
        file.record(&event()).unwrap();
        let before = fs::read(&path).unwrap();
        let line = before.split_inclusive(|byte| *byte == b'\n').next_back();
        let room = line.unwrap().len() as i64 * part / 20;
        disk.has_room(room);
        for _ in 0..3 {
            let error = file.record(&event()).unwrap_err();
            assert!(error.to_string().contains("cannot be written"), "{error}");
            assert!(matches!(error, AuditError::Io { source, .. }
                if source.kind() == io::ErrorKind::StorageFull));
            assert!(fs::read(&path).unwrap() == before);
            file.ready().unwrap_err();
            assert!(fs::read(&path).unwrap() == before);
            disk.has_room(room);
        }
        disk.has_room(i64::MAX);
        file.ready().unwrap();
        file.record(&event()).unwrap();
        file.close().unwrap();
        let report = report(&path);
        assert!(report.is_sound(), "{:?}", report.findings);
        assert_eq!(report.events, 2);
        assert_eq!(notices(&report), [AuditNotice::Lost { events: 3 }]);
    }
}

/// The partial line cannot be taken away at once.
#[test]
fn a_full_disk_that_does_not_truncate() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let disk = Faulty::new();
    let file = open(&path, &disk);
    let before = fs::read(&path).unwrap();
    disk.has_room(100);
    disk.fail(|faults| &faults.truncating_fails, true);
    file.record(&event()).unwrap_err();
    assert_eq!(fs::read(&path).unwrap().len(), before.len() + 100);
    disk.has_room(i64::MAX);
    file.record(&event()).unwrap_err();
    file.ready().unwrap_err();
    disk.fail(|faults| &faults.truncating_fails, false);
    file.record(&event()).unwrap();
    file.close().unwrap();
    let report = report(&path);
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!(notices(&report), [AuditNotice::Lost { events: 2 }]);
}

/// A checkpoint that does not fit is no error of the event before it, and is
/// written before the next.
#[test]
fn a_checkpoint_that_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let disk = Faulty::new();
    let builder = AuditFile::builder(&path, key()).disk(disk.clone());
    let file = builder.checkpoint_every(1).open().unwrap();
    let before = fs::read(&path).unwrap().len();
    file.record(&event()).unwrap();
    let with_checkpoint = fs::read(&path).unwrap().len() - before;
    disk.has_room(with_checkpoint as i64 - 1);
    file.record(&event()).unwrap();
    file.record(&event()).unwrap_err();
    disk.has_room(i64::MAX);
    file.record(&event()).unwrap();
    drop(file);
    let report = report(&path);
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!((report.events, report.unanchored), (3, 0));
    assert_eq!(notices(&report), [AuditNotice::Lost { events: 1 }]);
}

#[test]
fn synced_as_it_was_set() {
    let folder = tempfile::tempdir().unwrap();
    for (sync, expected) in [
        (AuditSync::Never, [0, 0, 0, 0]),
        (AuditSync::AtCheckpoints, [1, 1, 2, 2]),
        (AuditSync::EveryEvent, [1, 2, 4, 5]),
    ] {
        let path = folder.path().join(format!("{sync:?}"));
        let disk = Faulty::new();
        let builder = AuditFile::builder(&path, key()).disk(disk.clone());
        let file = builder.sync(sync).checkpoint_every(2).open().unwrap();
        let mut syncs = vec![disk.syncs()];
        for _ in 0..3 {
            file.record(&event()).unwrap();
            syncs.push(disk.syncs());
        }
        assert_eq!(syncs, expected, "{sync:?}");
    }
}

/// An event that may not be on the disk is an error, though its line stays.
#[test]
fn a_sync_that_fails() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let disk = Faulty::new();
    let builder = AuditFile::builder(&path, key()).disk(disk.clone());
    let file = builder.sync(AuditSync::EveryEvent).open().unwrap();
    disk.fail(|faults| &faults.syncing_fails, true);
    file.record(&event()).unwrap_err();
    file.checkpoint().unwrap_err();
    disk.fail(|faults| &faults.syncing_fails, false);
    file.record(&event()).unwrap();
    file.close().unwrap();
    let report = report(&path);
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!((report.events, notices(&report)), (2, vec![]));
}

#[test]
fn a_rotation_that_fails() {
    let folder = tempfile::tempdir().unwrap();
    for what in [
        |faults: &Faults| &faults.renaming_fails,
        |faults: &Faults| &faults.creating_fails,
    ] as [fn(&Faults) -> &AtomicBool; 2]
    {
        let path = folder.path().join(format!("{what:?}"));
        let disk = Faulty::new();
        let builder = AuditFile::builder(&path, key()).disk(disk.clone());
        let file = builder.rotate_at_bytes(1).open().unwrap();
        file.record(&event()).unwrap();
        disk.fail(what, true);
        for _ in 0..2 {
            file.record(&event()).unwrap_err();
        }
        disk.fail(what, false);
        file.record(&event()).unwrap();
        file.close().unwrap();
        let report = report(&path);
        assert!(report.is_sound(), "{:?}", report.findings);
        assert_eq!(report.events, 2);
        assert_eq!(notices(&report), [AuditNotice::Lost { events: 2 }]);
    }
}

/// What was torn is kept until its notice is whole.
#[test]
fn a_recovery_that_fails() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Faulty::new();
    let good = {
        let path = folder.path().join("good");
        let file = open(&path, &disk);
        file.record(&event()).unwrap();
        drop(file);
        fs::read(path).unwrap()
    };
    let whole = good[..good.len() - 1]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .unwrap()
        + 1;
    let torn = &good[..good.len() - 100];
    for room in (0..1500).step_by(97) {
        let path = folder.path().join(room.to_string());
        fs::write(&path, torn).unwrap();
        disk.has_room(room);
        let opened = AuditFile::builder(&path, key()).disk(disk.clone()).open();
        disk.has_room(i64::MAX);
        drop(opened);
        let found = fs::read(&path).unwrap();
        assert!(found.starts_with(&good[..whole]));
        let has_notice = found[whole..]
            .windows(6)
            .any(|window| window == b"\"torn\"");
        assert!(has_notice || found.len() >= torn.len(), "{room}");
        drop(open(&path, &disk));
        let report = report(&path);
        assert!(report.is_sound(), "{:?}", report.findings);
        assert!(
            notices(&report)
                .iter()
                .any(|notice| matches!(notice, AuditNotice::Torn { .. }))
        );
    }
}

#[test]
fn what_the_settings_make_of_it() {
    let folder = tempfile::tempdir().unwrap();
    for on_failure in [OnAuditFailure::Refuse, OnAuditFailure::CountAndContinue] {
        let path = folder.path().join(format!("{on_failure:?}"));
        let disk = Faulty::new();
        let settings = AuditSettings::new(open(&path, &disk)).on_failure(on_failure);
        disk.has_room(10);
        let refuses = on_failure == OnAuditFailure::Refuse;
        assert_eq!(settings.record(&event()).is_err(), refuses);
        assert_eq!(settings.ready().is_err(), refuses);
        assert_eq!(settings.unrecorded(), 1);
        disk.has_room(i64::MAX);
        settings.ready().unwrap();
        settings.record(&event()).unwrap();
        assert_eq!(settings.unrecorded(), 1);
    }
}

/// The longest events make lines that the verifier reads.
#[test]
fn the_longest_event() {
    use crate::kms::audit::Parameter;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let file = open(&path, &Faulty::new());
    let long = "\0".repeat(1 << 20);
    let parameters = [("keyId", Parameter::Text(&long)); 3];
    let resources = vec![long.as_str(); 100];
    let mut event = event()
        .with_parameters(&parameters)
        .with_response(&parameters)
        .with_error(&long, &long)
        .with_user_agent(&long)
        .with_resources(&resources);
    event.details = &parameters;
    event.key_material_id = Some(&long);
    file.record(&event).unwrap();
    file.close().unwrap();
    assert!(report(&path).is_sound());
    assert!(fs::metadata(&path).unwrap().len() > 300_000);
}
