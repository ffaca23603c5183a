//! A store of the embedded KMS that somebody else changes, before it is opened
//! and while it is open: blobs are damaged, cut, replaced, swapped, renamed,
//! taken away and put back. What was encrypted decrypts to what it was or
//! fails, aliases name their keys or nothing, errors name what was changed,
//! and all that was not changed goes on working.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use waxseal::blocking::wait;
use waxseal::kms::{CreateKey, KmsError, KmsResult, LocalKms};
use waxseal::test_util::ManualClock;
use waxseal_fuzz::lying::LyingStore;
use waxseal_fuzz::splice::Splice;
use waxseal_fuzz::subject::{Subject, Touched, aliases};
use waxseal_fuzz::tape::{self, Coded, Tape};
use waxseal_fuzz::world::{
    DAY, Key, Known, Use, World, backup_key, clock, context, open, root_key, world,
};

/// So many things are done to one store.
const STEPS: usize = 10;

#[derive(Default)]
struct Input {
    moment: u8,
    steps: Vec<Step>,
}

/// Something that is done to the store, or with it: [`Run::step`] says what
/// the numbers mean.
#[derive(Debug, Default)]
struct Step {
    what: u8,
    name: u8,
    other: u8,
    splice: Splice,
}

impl Coded for Step {
    fn code(&mut self, tape: &mut impl Tape) {
        tape.byte(&mut self.what);
        tape.byte(&mut self.name);
        tape.byte(&mut self.other);
        if self.what % 32 < 2 {
            self.splice.code(tape);
        }
    }
}

impl Coded for Input {
    fn code(&mut self, tape: &mut impl Tape) {
        tape.byte(&mut self.moment);
        tape.list(&mut self.steps, STEPS);
    }
}

struct Run {
    world: &'static World,
    store: LyingStore,
    clock: ManualClock,
    /// None while the store does not open.
    kms: Option<LocalKms>,
    opened: u32,
    keys: Vec<Key>,
    known: Vec<Known>,
    aliases: BTreeMap<String, Vec<Option<usize>>>,
    touched: Touched,
}

fuzz_target!(|data: &[u8]| {
    let input: Input = tape::read(data);
    let world = world();
    let last = world.moments.last().expect("a moment");
    let mut run = Run {
        world,
        store: LyingStore::of(last),
        clock: clock(),
        kms: None,
        opened: 100,
        keys: world.keys.clone(),
        known: world.known.clone(),
        aliases: aliases(world),
        touched: Touched::default(),
    };
    if input.moment % 2 == 1 {
        run.open();
        // So that it has seen all.
        run.look();
    }
    for step in &input.steps {
        run.step(step);
    }
    if run.kms.is_some() {
        run.look();
    }
    run.open();
    run.look();
});

impl Run {
    fn open(&mut self) {
        // The one before writes what it has counted.
        self.kms = None;
        self.opened += 1;
        match open(self.store.clone(), self.opened, &self.clock) {
            Ok(kms) => self.kms = Some(kms),
            Err(error) => assert!(self.touched.is_the_stores(&error), "{error:?}"),
        }
    }

    fn look(&self) {
        if let Some(kms) = &self.kms {
            let subject = Subject {
                kms: kms.clone(),
                keys: &self.keys,
                known: &self.known,
                aliases: &self.aliases,
                touched: &self.touched,
            };
            subject.look();
        }
    }

    fn put(&mut self, name: &str, bytes: Option<&[u8]>) {
        self.store.put(name, bytes);
        self.touched.touch(name);
    }

    fn step(&mut self, step: &Step) {
        let world = self.world;
        let names = &world.names;
        let name = &names[usize::from(step.name) % names.len()];
        let other = &names[usize::from(step.other) % names.len()];
        let moment = &world.moments[usize::from(step.other) % world.moments.len()];
        match step.what % 32 {
            0 | 1 => {
                let mut bytes = self.store.get(name).unwrap_or_default();
                step.splice.apply(&mut bytes);
                self.put(name, Some(&bytes));
            }
            2 => {
                let mut bytes = self.store.get(name).unwrap_or_default();
                bytes.truncate(step.other.into());
                self.put(name, Some(&bytes));
            }
            3 => {
                let bytes = self.store.get(other);
                self.put(name, bytes.as_deref());
            }
            4 => {
                let (first, second) = (self.store.get(name), self.store.get(other));
                self.put(name, second.as_deref());
                self.put(other, first.as_deref());
            }
            5 => {
                let bytes = self.store.get(name);
                self.put(name, None);
                self.put(other, bytes.as_deref());
            }
            6 => self.put(name, None),
            7 => {
                let bytes = moment.get(name);
                self.put(name, bytes.map(Vec::as_slice));
            }
            8 => {
                let bytes = world.foreign.get(other).or(moment.get(other));
                self.put(name, bytes.map(Vec::as_slice));
            }
            9 => {
                for name in names {
                    let bytes = moment.get(name);
                    self.put(name, bytes.map(Vec::as_slice));
                }
            }
            10 => {
                self.store.damage(name);
                self.touched.touch(name);
            }
            11 => self.open(),
            12 => self.look(),
            _ => self.work(step),
        }
    }

    /// The value of a call that must come off wherever these records and the
    /// root are as they were.
    fn done<T>(&self, records: &[&str], result: KmsResult<T>) -> Option<T> {
        let is_whole = !records.iter().any(|name| self.touched.concerns(name));
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.touched.is_the_stores(&error);
                assert!(!is_whole || self.touched.is_later, "{error:?}");
                None
            }
        }
    }

    /// Sees to it that an error is one that such a store may lead to.
    fn noted<T>(&self, result: KmsResult<T>) -> KmsResult<T> {
        if let Err(error) = &result {
            self.touched.is_the_stores(error);
        }
        result
    }

    fn work(&mut self, step: &Step) {
        let Some(kms) = self.kms.clone() else {
            return;
        };
        let number = usize::from(step.name);
        let which = number % self.keys.len();
        let key = self.keys[which].clone();
        let record = key.record();
        let all: Vec<&str> = self.world.names.iter().map(String::as_str).collect();
        let is_usable = key.usable == Use::Allowed;
        match step.what % 32 {
            13 | 14 => {
                let result = wait(kms.rotate(&key.id));
                // The others' material is not the KMS's, or not managed.
                if is_usable && matches!(which, 0 | 2) {
                    if let Some(version) = self.done(&[&record], result) {
                        self.keys[which].current = version;
                    }
                } else if let Ok(version) = self.noted(result) {
                    self.keys[which].current = version;
                }
            }
            15 | 16 => {
                let text = [step.name, step.other, step.what];
                let which_context = step.other % 3;
                let result = wait(kms.encrypt(&key.id, &text, &context(which_context)));
                match result {
                    Ok(sealed) => {
                        assert_eq!(sealed.key_arn, key.arn());
                        let known = Known {
                            blob: sealed.blob,
                            key: which,
                            version: sealed.key_version,
                            context: which_context,
                            plaintext: text.to_vec(),
                        };
                        self.check_new(&kms, &known);
                        self.known.push(known);
                    }
                    Err(error) => {
                        let is_the_stores = self.touched.is_the_stores(&error);
                        let is_whole = !self.touched.concerns(&record) && !self.touched.is_later;
                        assert!(!is_whole || !(is_usable || is_the_stores), "{error:?}");
                    }
                }
            }
            17 => {
                let alias = ["alias/new", "alias/one"][usize::from(step.other) % 2];
                if self.noted(wait(kms.create_alias(alias, &key.id))).is_ok() {
                    self.names(alias, Some(which));
                }
            }
            18 | 19 => {
                let alias = ["alias/moved", "alias/one", "alias/new"][usize::from(step.other) % 3];
                let target = (step.what % 32 == 18).then_some(which);
                let result = match target {
                    Some(_) => wait(kms.update_alias(alias, &key.id)),
                    None => wait(kms.delete_alias(alias)),
                };
                if self.noted(result).is_ok() {
                    self.names(alias, target);
                }
            }
            20 => {
                self.clock.advance(DAY * u32::from(step.name));
                self.touched.is_later |= step.name > 0;
                if let Some(report) = self.done(&[], wait(kms.run_due())) {
                    for error in &report.failed {
                        let is_the_stores = self.touched.is_the_stores(error);
                        assert!(is_the_stores, "{error:?}");
                    }
                }
            }
            21 => {
                let backup = self.done(&all, wait(kms.export(&backup_key())));
                if let Some(backup) = backup {
                    let report = wait(kms.import(&backup, &backup_key()));
                    let report = report.expect("it was exported now");
                    assert_eq!((report.restored, report.older), (0, 0));
                    assert!(report.diverged.is_empty());
                }
            }
            22 => {
                let _ = self.done(&all, wait(kms.rotate_store_key()));
            }
            23 => {
                let backups = &self.world.backups[..3];
                let backup = &backups[number % backups.len()];
                let _ = self.done(&all, wait(kms.import(backup, &backup_key())));
            }
            24 => {
                let _ = self.done(&all, wait(kms.flush_usage()));
            }
            25 => {
                let mut request = CreateKey::new();
                if step.other & 1 == 1 {
                    request = request.alias("alias/made");
                }
                match wait(kms.create_key(request)) {
                    Ok(keyring) => {
                        self.keys.push(Key {
                            id: keyring.id,
                            usable: Use::Allowed,
                            minimum: 1,
                            current: 1,
                            is_owned: false,
                        });
                        if step.other & 1 == 1 {
                            self.names("alias/made", Some(self.keys.len() - 1));
                        }
                    }
                    Err(KmsError::AlreadyExists { .. }) => {}
                    Err(error) => assert!(self.touched.is_the_stores(&error), "{error:?}"),
                }
            }
            26 => {
                let minimum = u32::from(step.other) % 4;
                if self
                    .noted(wait(kms.set_minimum_version(&key.id, minimum)))
                    .is_ok()
                {
                    self.keys[which].minimum = minimum;
                }
            }
            27 => {
                if self.noted(wait(kms.disable_key(&key.id))).is_ok() {
                    self.keys[which].usable = Use::Disabled;
                }
            }
            28 => {
                if self.noted(wait(kms.enable_key(&key.id))).is_ok() {
                    self.keys[which].usable = Use::Allowed;
                }
            }
            29 => {
                let _ = self.done(&["root"], wait(kms.change_root(root_key())));
            }
            30 => {
                let _ = self.noted(wait(kms.service_key("s3")));
                let _ = self.noted(wait(kms.owned_key("app")));
            }
            _ => {
                let days = Some(u16::from(step.other) % 40);
                if self
                    .noted(wait(kms.schedule_deletion(&key.id, days)))
                    .is_ok()
                {
                    self.keys[which].usable = Use::InvalidState;
                } else if self.noted(wait(kms.cancel_deletion(&key.id))).is_ok()
                    // That one has no material.
                    && which != self.world.emptied
                {
                    self.keys[which].usable = Use::Disabled;
                }
            }
        }
    }

    /// What was encrypted just now decrypts, here and wherever the store is
    /// opened: no key is used that is not in the store.
    fn check_new(&self, kms: &LocalKms, known: &Known) {
        let context = context(known.context);
        let here = wait(kms.decrypt(&known.blob, None, &context));
        let there = open(self.store.clone(), 7, &self.clock)
            .and_then(|kms| wait(kms.decrypt(&known.blob, None, &context)));
        for (place, found) in [("here", Some(here)), ("there", self.openable(there))] {
            match found {
                Some(Ok(found)) => assert_eq!(found.plaintext.expose(), known.plaintext),
                Some(Err(error)) => {
                    let is_cut_off = matches!(error, KmsError::VersionCutOff { .. });
                    assert!(is_cut_off, "it does not decrypt {place}: {error:?}");
                }
                None => {}
            }
        }
    }

    /// Another root than that of the open handle may be in the store.
    fn openable<T>(&self, result: KmsResult<T>) -> Option<KmsResult<T>> {
        match result {
            Err(_) if self.touched.names.contains("root") => None,
            result => Some(result),
        }
    }

    /// An alias was moved, or taken away.
    fn names(&mut self, alias: &str, target: Option<usize>) {
        let targets = self.aliases.entry(alias.to_owned()).or_default();
        targets.push(target);
    }
}
