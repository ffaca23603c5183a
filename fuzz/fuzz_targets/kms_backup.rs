//! Backups of the embedded KMS: as they are, changed, made up, and sealed as
//! they should be around what no export has written. A backup that is none
//! changes nothing; of one that is one, each record wins exactly where it is
//! newer than the store's, or where that is missing or damaged.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use waxseal::blocking::wait;
use waxseal::kms::store::check_name;
use waxseal::kms::{KmsError, LocalKms, RecordProblem};
use waxseal_fuzz::lying::LyingStore;
use waxseal_fuzz::sealed::{Backup, BackupRecord, Record, Root, seal_backup};
use waxseal_fuzz::splice::Splice;
use waxseal_fuzz::tape::{self, Coded, Tape};
use waxseal_fuzz::world::{BACKUP_KEY, ROOT_KEY, World, backup_key, clock, open, world};

#[derive(Default)]
struct Input {
    /// What the backup is: a real one, one that is sealed again with another
    /// plaintext, one made of parts, or the rest of the tape.
    source: u8,
    /// Which of the backups it is, or starts from.
    which: u8,
    splices: Vec<Splice>,
    parts: Vec<Part>,
    /// Bits: not sorted; another store's id inside; another outside; under
    /// another key.
    mistakes: u8,
    /// The store: one of the world's moments.
    moment: u8,
    /// Whether the handle has read all of it before.
    has_seen: bool,
    damages: Vec<Damage>,
    raw: Vec<u8>,
}

/// A record of the backup.
#[derive(Default)]
struct Part {
    name: u8,
    /// Whose payload it has: a name's, of some backup.
    base: u8,
    generation: u8,
    splices: Vec<Splice>,
}

/// What was done to the store before the import.
#[derive(Default)]
struct Damage {
    name: u8,
    what: u8,
    splice: Splice,
}

impl Coded for Part {
    fn code(&mut self, tape: &mut impl Tape) {
        tape.byte(&mut self.name);
        tape.byte(&mut self.base);
        tape.byte(&mut self.generation);
        tape.list(&mut self.splices, 2);
    }
}

impl Coded for Damage {
    fn code(&mut self, tape: &mut impl Tape) {
        tape.byte(&mut self.name);
        tape.byte(&mut self.what);
        self.splice.code(tape);
    }
}

impl Coded for Input {
    fn code(&mut self, tape: &mut impl Tape) {
        tape.byte(&mut self.source);
        tape.byte(&mut self.which);
        tape.byte(&mut self.mistakes);
        tape.byte(&mut self.moment);
        tape.flag(&mut self.has_seen);
        tape.list(&mut self.damages, 3);
        tape.list(&mut self.splices, 4);
        tape.list(&mut self.parts, 6);
        if self.source % 4 == 3 {
            tape.rest(&mut self.raw);
        }
    }
}

/// What is to become of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Restored,
    Unchanged,
    Older,
    Diverged,
    /// Restored or diverged: it is newer, and may hold less.
    Either,
    /// A newer version of the library wrote what is in the store.
    Newer,
}

fuzz_target!(|data: &[u8]| {
    let input: Input = tape::read(data);
    let file = input.file();
    let world = world();
    let moment = usize::from(input.moment) % world.moments.len();
    let blobs = &world.moments[moment];
    let root = Root::open(&blobs["root"], &ROOT_KEY).expect("the root record");
    let store = LyingStore::of(blobs);
    let kms = open(store.clone(), 8, &clock()).expect("a store");
    let mut seen = BTreeMap::new();
    if input.has_seen {
        wait(kms.export(&backup_key())).expect("a whole store");
        for (name, blob) in blobs.iter().filter(|(name, _)| *name != "root") {
            let record = Record::open(&root, name, blob).expect("a record");
            seen.insert(name.clone(), record);
        }
    }
    let unreadable = input.damage(&store, world, moment);
    let before = store.blobs();

    let backup = Backup::open(&file, &BACKUP_KEY).filter(is_one);
    let Some(backup) = backup else {
        let error = wait(kms.import(&file, &backup_key())).expect_err("it is none");
        assert!(matches!(error, KmsError::Backup { .. }), "{error:?}");
        assert!(store.blobs() == before, "something was written");
        return;
    };
    let fates: Vec<_> = (backup.records.iter())
        .map(|record| {
            let blob = before
                .get(&record.name)
                .filter(|_| !unreadable.contains(&record.name));
            let known = before.contains_key(&record.name);
            fate(
                record,
                &root,
                known,
                blob.map(Vec::as_slice),
                seen.get(&record.name),
            )
        })
        .collect();
    let imported = wait(kms.import(&file, &backup_key()));
    let after = store.blobs();
    if let Err(KmsError::Backup { .. }) = imported {
        // Only of what no KMS has written.
        assert!(!backup.records.iter().all(is_original), "it was refused");
        assert!(after == before, "something was written");
        return;
    }
    let fates: Vec<_> = fates
        .into_iter()
        .zip(&backup.records)
        .map(|(fate, record)| match fate {
            Fate::Either if after.get(&record.name) == before.get(&record.name) => Fate::Diverged,
            Fate::Either => Fate::Restored,
            fate => fate,
        })
        .collect();
    let count = |wanted| fates.iter().filter(|fate| **fate == wanted).count() as u64;
    match imported {
        Ok(report) => {
            assert_eq!(count(Fate::Newer), 0);
            assert_eq!(report.restored, count(Fate::Restored));
            assert_eq!(report.unchanged, count(Fate::Unchanged));
            assert_eq!(report.older, count(Fate::Older));
            assert_eq!(report.diverged.len() as u64, count(Fate::Diverged));
        }
        Err(KmsError::Record { name, problem }) => {
            assert!(matches!(problem, RecordProblem::NewerFormat { .. }));
            let mut records = backup.records.iter().zip(&fates);
            let newer = records.find(|(_, fate)| **fate == Fate::Newer);
            assert_eq!(newer.map(|(record, _)| &record.name), Some(&name));
        }
        Err(error) => panic!("{error:?}"),
    }
    let mut expected = before;
    for (record, fate) in backup.records.iter().zip(&fates) {
        if *fate == Fate::Restored {
            let blob = &after[&record.name];
            let found = Record::open(&root, &record.name, blob).expect("it was written now");
            let is_last = is_tombstone(&record.name, &record.payload);
            assert!(found.generation == record.generation || is_last);
            assert!(found.generation >= record.generation);
            assert_eq!(found.plaintext[8..], record.payload);
            expected.insert(record.name.clone(), blob.clone());
        }
    }
    assert!(after == expected, "something else was changed");

    // The same again changes nothing, and what was written can be used or is
    // refused by its name.
    match wait(kms.import(&file, &backup_key())) {
        Ok(again) => assert_eq!(again.restored, 0),
        Err(error) => assert!(count(Fate::Newer) > 0, "{error:?}"),
    }
    assert!(store.blobs() == after);
    use_all(&kms);
    drop(kms);
    use_all(&open(store, 9, &clock()).expect("a store"));
});

fn use_all(kms: &LocalKms) {
    let page = wait(kms.list_keys(None, 100)).expect("the store lists");
    for keyring in &page.keyrings {
        waxseal_fuzz::subject::check(keyring);
    }
    for error in page.damaged {
        assert!(
            matches!(&error, KmsError::Record { .. } | KmsError::Store(_)),
            "{error:?}"
        );
    }
    for known in world().known.iter().step_by(3) {
        let context = waxseal_fuzz::world::context(known.context);
        if let Ok(found) = wait(kms.decrypt(&known.blob, None, &context)) {
            assert_eq!(found.plaintext.expose(), known.plaintext);
        }
    }
    // It names what is no alias, or comes off.
    let aliases = wait(kms.list_aliases(None));
    assert!(matches!(
        aliases,
        Ok(_) | Err(KmsError::Record { .. } | KmsError::Store(_))
    ));
}

/// Whether an export can have written this.
fn is_one(backup: &Backup) -> bool {
    let names = backup.records.iter().map(|record| &record.name);
    names.is_sorted_by(|a, b| a < b)
        && backup.records.iter().all(|record| {
            check_name(&record.name).is_ok()
                && record.name != "root"
                && record.generation > 0
                && record.payload.first() == Some(&1)
        })
}

/// Whether this is in one of the world's stores.
fn is_original(record: &BackupRecord) -> bool {
    static PAYLOADS: LazyLock<BTreeSet<(String, Vec<u8>)>> = LazyLock::new(|| {
        let mut payloads = BTreeSet::new();
        for blobs in &world().moments {
            let root = Root::open(&blobs["root"], &ROOT_KEY).expect("the root record");
            for (name, blob) in blobs.iter().filter(|(name, _)| *name != "root") {
                let record = Record::open(&root, name, blob).expect("a record");
                payloads.insert((name.clone(), record.plaintext[8..].to_vec()));
            }
        }
        payloads
    });
    record.generation <= 1 << 48
        && PAYLOADS.contains(&(record.name.clone(), record.payload.clone()))
}

/// Whether it says that a key was deleted: the second of its variants.
fn is_tombstone(name: &str, payload: &[u8]) -> bool {
    name.starts_with("keys/") && payload.get(1) == Some(&1)
}

fn fate(
    record: &BackupRecord,
    root: &Root,
    is_there: bool,
    blob: Option<&[u8]>,
    seen: Option<&Record>,
) -> Fate {
    if !is_there {
        return Fate::Restored;
    }
    let Some(blob) = blob else {
        return Fate::Restored;
    };
    if blob.first().is_some_and(|format| *format > 1) {
        return Fate::Newer;
    }
    let Some(found) = Record::open(root, &record.name, blob) else {
        return Fate::Restored;
    };
    // An old copy that was put back is not the store's newest.
    let seen = seen.filter(|seen| {
        seen.generation > found.generation && seen.plaintext[..8] == found.plaintext[..8]
    });
    if let Some(seen) = seen {
        return if seen.generation > record.generation
            && !is_tombstone(&record.name, &record.payload)
        {
            Fate::Older
        } else {
            Fate::Restored
        };
    }
    let ends = |payload: &[u8]| is_tombstone(&record.name, payload);
    match (ends(&found.plaintext[8..]), ends(&record.payload)) {
        (false, true) => return Fate::Restored,
        (true, false) => return Fate::Older,
        (true, true) => return Fate::Unchanged,
        (false, false) => {}
    }
    let may_hold_less = ["keys/", "aliases/"]
        .iter()
        .any(|kind| record.name.starts_with(kind));
    match found.generation.cmp(&record.generation) {
        std::cmp::Ordering::Less if may_hold_less => Fate::Either,
        std::cmp::Ordering::Less => Fate::Restored,
        std::cmp::Ordering::Greater => Fate::Older,
        std::cmp::Ordering::Equal if found.plaintext[8..] == record.payload => Fate::Unchanged,
        std::cmp::Ordering::Equal => Fate::Diverged,
    }
}

impl Input {
    /// Changes the store, and gives the names of blobs that cannot be read.
    fn damage(&self, store: &LyingStore, world: &World, moment: usize) -> Vec<String> {
        let mut unreadable = Vec::new();
        for damage in &self.damages {
            let name = &world.names[usize::from(damage.name) % world.names.len()];
            if name == "root" {
                continue;
            }
            unreadable.retain(|known| known != name);
            match damage.what % 4 {
                0 => {
                    let mut bytes = store.get(name).unwrap_or_default();
                    damage.splice.apply(&mut bytes);
                    store.put(name, Some(&bytes));
                }
                1 => store.put(name, None),
                2 => {
                    store.damage(name);
                    if store.get(name).is_some() {
                        unreadable.push(name.clone());
                    }
                }
                _ => {
                    let older = &world.moments[moment.saturating_sub(1)];
                    store.put(name, older.get(name).map(Vec::as_slice));
                }
            }
        }
        unreadable
    }

    fn file(&self) -> Vec<u8> {
        let world = world();
        let which = usize::from(self.which) % world.backups.len();
        let (real, plain) = (&world.backups[which], &plain()[which]);
        let splice = |mut bytes: Vec<u8>| {
            self.splices
                .iter()
                .for_each(|splice| splice.apply(&mut bytes));
            bytes
        };
        let plaintext = match self.source % 4 {
            0 => return splice(real.clone()),
            3 => return self.raw.clone(),
            1 => splice(plain.encode()),
            _ => splice(self.made(plain.clone()).encode()),
        };
        let key = if self.mistakes & 8 == 0 {
            BACKUP_KEY
        } else {
            ROOT_KEY
        };
        let mut store_id = plain.store_id.clone();
        if self.mistakes & 4 != 0 {
            store_id.push('0');
        }
        seal_backup(&key, &store_id, &plaintext)
    }

    fn made(&self, mut backup: Backup) -> Backup {
        let world = world();
        let all: Vec<_> = plain().iter().flat_map(|backup| &backup.records).collect();
        backup.records = (self.parts.iter())
            .map(|part| {
                let base = all[usize::from(part.base) % all.len()];
                let mut record = BackupRecord {
                    name: match part.name {
                        0 => base.name.clone(),
                        name => world.names[usize::from(name - 1) % world.names.len()].clone(),
                    },
                    generation: match part.generation {
                        0 => base.generation,
                        u8::MAX => u64::MAX,
                        254 => 0,
                        generation => generation.into(),
                    },
                    payload: base.payload.clone(),
                };
                part.splices
                    .iter()
                    .for_each(|splice| splice.apply(&mut record.payload));
                record
            })
            .collect();
        if self.mistakes & 1 == 0 {
            backup.records.sort_by(|a, b| a.name.cmp(&b.name));
            backup.records.dedup_by(|a, b| a.name == b.name);
        }
        if self.mistakes & 2 != 0 {
            backup.store_id.push('0');
        }
        backup
    }
}

/// The world's backups, open.
fn plain() -> &'static [Backup] {
    static PLAIN: LazyLock<Vec<Backup>> = LazyLock::new(|| {
        let open = |file: &Vec<u8>| Backup::open(file, &BACKUP_KEY).expect("a backup");
        world().backups.iter().map(open).collect()
    });
    &PLAIN
}
