//! What the writers have said, and whether the store is so.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use waxseal::SystemClock;
use waxseal::blocking::wait;
use waxseal::kms::{KeyState, Keyring, KmsError, KmsResult, LocalKms};

use crate::child::{root, store, unhex};
use crate::writer::{ROOTS, SHARED, context, mark, open};

pub(crate) const WRITERS: usize = 3;

pub(crate) struct Model {
    folder: PathBuf,
    slots: Vec<Slot>,
    was_opened: bool,
    /// The shared key's id, and the service's key's.
    common: Option<(String, String)>,
    rotations: BTreeSet<u32>,
    /// Rotations of the shared key that may have happened.
    uncertain_rotations: usize,
    blobs: Vec<Blob>,
    wraps: BTreeMap<String, Wraps>,
    imported: Vec<Imported>,
    root: u8,
    /// What was under way when a writer was killed, and how often.
    pub(crate) interrupted: BTreeMap<String, usize>,
}

/// The KMS, opened again whenever a writer has changed the root.
pub(crate) struct Handle {
    folder: PathBuf,
    kms: RefCell<LocalKms>,
}

impl Handle {
    fn ask<T>(&self, what: impl AsyncFn(&LocalKms) -> KmsResult<T>) -> KmsResult<T> {
        loop {
            let kms = self.kms.borrow().clone();
            match wait(what(&kms)) {
                Err(KmsError::WrongRoot { .. }) => {
                    let (opened, _) = open(&self.folder, SystemClock, false).unwrap();
                    self.kms.replace(opened);
                }
                answer => return answer,
            }
        }
    }
}

#[derive(Default)]
struct Slot {
    keys: BTreeMap<String, Key>,
    aliases: BTreeMap<String, Option<String>>,
    /// What was begun: its words.
    pending: Vec<String>,
    /// Wraps by this process, by key, that no acknowledged flush has written.
    unflushed: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Key {
    description: String,
    versions: u32,
    has_next: bool,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Lives,
    /// A deletion has begun to be scheduled.
    MayBeDoomed,
    /// Scheduled; anybody may do it.
    Doomed,
    Gone,
}

struct Blob {
    key: String,
    version: u32,
    plaintext: Vec<u8>,
    bytes: Vec<u8>,
}

/// How often a key wrapped: at least what was acknowledged as written, at most
/// what was acknowledged as done.
#[derive(Default)]
struct Wraps {
    least: u64,
    most: u64,
}

struct Imported {
    id: String,
    alias: String,
    blob: Vec<u8>,
    is_certain: bool,
}

impl Model {
    pub(crate) fn new(folder: &Path) -> Self {
        Model {
            folder: folder.to_owned(),
            slots: (0..WRITERS).map(|_| Slot::default()).collect(),
            was_opened: false,
            common: None,
            rotations: BTreeSet::new(),
            uncertain_rotations: 0,
            blobs: Vec::new(),
            wraps: BTreeMap::new(),
            imported: Vec::new(),
            root: 0,
            interrupted: BTreeMap::new(),
        }
    }

    /// Takes note of what a writer says.
    pub(crate) fn hear(&mut self, slot: usize, lines: &[String]) {
        for line in lines {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            match &*words[0] {
                "open" => self.was_opened = true,
                "common" => {
                    let ids = (words[1].clone(), words[2].clone());
                    let known = self.common.get_or_insert_with(|| ids.clone());
                    assert_eq!(*known, ids, "two keys under one name");
                }
                "blob" => self.hear_blob(slot, &words),
                "begin" => self.begin(slot, words[1..].to_vec()),
                "done" => self.done(slot, words.get(1)),
                "failed" => self.failed(slot),
                _ => panic!("{line}"),
            }
        }
    }

    fn hear_blob(&mut self, slot: usize, words: &[String]) {
        let key = words[1].clone();
        self.wraps.entry(key.clone()).or_default().most += 1;
        *self.slots[slot].unflushed.entry(key.clone()).or_default() += 1;
        self.blobs.push(Blob {
            key,
            version: words[2].parse().unwrap(),
            plaintext: unhex(&words[3]),
            bytes: unhex(&words[4]),
        });
    }

    fn begin(&mut self, slot: usize, words: Vec<String>) {
        match &*words[0] {
            "delete" => self.key(slot, &words[1]).fate = Fate::MayBeDoomed,
            "import" => {
                for record in words[1..].chunks(3) {
                    self.imported.push(Imported {
                        id: record[0].clone(),
                        alias: record[1].clone(),
                        blob: unhex(&record[2]),
                        is_certain: false,
                    });
                }
            }
            _ => {}
        }
        self.slots[slot].pending = words;
    }

    fn done(&mut self, slot: usize, result: Option<&String>) {
        let words = std::mem::take(&mut self.slots[slot].pending);
        let number = || result.unwrap().parse().unwrap();
        match &*words[0] {
            "create" => self.add_key(slot, &words, result.unwrap(), true),
            "rotate" => {
                let key = self.key(slot, &words[1]);
                key.versions += 1;
                key.has_next = false;
                assert_eq!(key.versions, number());
            }
            "rotate-shared" => assert!(self.rotations.insert(number()), "a version twice"),
            "material" => self.key(slot, &words[1]).add_material(),
            "alias" => self.slots[slot].set_alias(&words),
            "delete" => self.key(slot, &words[1]).fate = Fate::Doomed,
            "purge" => {
                for key in self.slots[slot].keys.values_mut() {
                    if key.fate == Fate::Doomed {
                        key.fate = Fate::Gone;
                    }
                }
            }
            "flush" => {
                for (key, wraps) in std::mem::take(&mut self.slots[slot].unflushed) {
                    self.wraps.entry(key).or_default().least += wraps;
                }
            }
            "store-key" => {}
            "root" => self.root = words[1].parse().unwrap(),
            "import" => {
                let ids: Vec<&String> = words[1..].iter().step_by(3).collect();
                for imported in &mut self.imported {
                    imported.is_certain |= ids.contains(&&imported.id);
                }
            }
            _ => panic!("{words:?}"),
        }
    }

    /// It gave an error: nothing of one key was changed.
    fn failed(&mut self, slot: usize) {
        let words = std::mem::take(&mut self.slots[slot].pending);
        if words.first().is_some_and(|what| what == "delete") {
            self.key(slot, &words[1]).fate = Fate::Lives;
        }
        // Its handle is opened again, and what it had counted may be lost.
        self.slots[slot].unflushed.clear();
    }

    fn key(&mut self, slot: usize, id: &str) -> &mut Key {
        self.slots[slot].keys.get_mut(id).unwrap()
    }

    fn add_key(&mut self, slot: usize, words: &[String], id: &str, with_alias: bool) {
        let [_, description, alias, kind] = words else {
            panic!("{words:?}");
        };
        let slot = &mut self.slots[slot];
        let key = Key {
            description: description.clone(),
            versions: u32::from(kind == "local"),
            has_next: false,
            fate: Fate::Lives,
        };
        slot.keys.insert(id.to_owned(), key);
        if with_alias && alias != "-" {
            slot.aliases.insert(alias.clone(), Some(id.to_owned()));
        }
    }

    /// Opens the store with the one root that opens it; `None` while nobody
    /// has said that it is there.
    pub(crate) fn open(&self) -> Option<Handle> {
        let opened = open(&self.folder, SystemClock, false);
        assert!(opened.is_some() || !self.was_opened, "the KMS is gone");
        opened.map(|(kms, _)| Handle {
            folder: self.folder.clone(),
            kms: RefCell::new(kms),
        })
    }

    /// Checks all that a writer has said, once it has been killed. The others
    /// may be at work.
    pub(crate) fn check_killed(&mut self, slot: usize, kms: &Handle) {
        let pending = std::mem::take(&mut self.slots[slot].pending);
        let what = pending.first().map_or("nothing", String::as_str);
        *self.interrupted.entry(what.to_owned()).or_default() += 1;
        self.slots[slot].unflushed.clear();
        match what {
            "rotate-shared" => self.uncertain_rotations += 1,
            "alias" => {
                let name = &pending[1];
                if resolve(kms, name) == target(&pending[2]) {
                    self.slots[slot].set_alias(&pending);
                }
            }
            "create" => self.check_creation(slot, &pending, kms),
            _ => {}
        }
        if slot == 0 {
            self.check_root(&pending);
        }
        self.check_keys(slot, &pending, kms);
        self.check_aliases(slot, kms);
        self.check_blobs(Some(slot), kms);
    }

    /// A key whose creation was not acknowledged is whole or absent.
    fn check_creation(&mut self, slot: usize, pending: &[String], kms: &Handle) {
        let page = kms
            .ask(async |kms| kms.list_keys(None, 1000).await)
            .unwrap();
        let mut found = page
            .keyrings
            .iter()
            .filter(|key| key.description == pending[1]);
        let alias = (pending[2] != "-").then(|| resolve(kms, &pending[2]));
        let alias = alias.flatten();
        match found.next() {
            None => assert_eq!(alias, None, "an alias without its key"),
            Some(key) => {
                assert!(alias.is_none() || alias.as_deref() == Some(&key.id));
                self.add_key(slot, pending, &key.id, alias.is_some());
            }
        }
        assert!(found.next().is_none(), "a key twice");
    }

    /// Exactly one root opens the store: the last one, or the one that it was
    /// being changed to.
    fn check_root(&mut self, pending: &[String]) {
        let opening: Vec<u8> = (0..ROOTS)
            .filter(|number| {
                let builder = LocalKms::builder(store(&self.folder), root(*number)).create(false);
                match wait(builder.open()) {
                    Ok(_) => true,
                    Err(KmsError::WrongRoot { .. }) => false,
                    Err(error) => panic!("{error}"),
                }
            })
            .collect();
        let [now] = opening[..] else {
            panic!("roots that open the store: {opening:?}");
        };
        let began = pending.first().is_some_and(|what| what == "root");
        let next = began.then(|| pending[1].parse().unwrap());
        let allowed = now == self.root || Some(now) == next;
        assert!(allowed, "root {now}, not {} or {next:?}", self.root);
        self.root = now;
    }

    fn check_keys(&mut self, slot: usize, pending: &[String], kms: &Handle) {
        for (id, key) in &mut self.slots[slot].keys {
            let is_pending = pending.get(1) == Some(id);
            let what = is_pending.then(|| &*pending[0]);
            match kms.ask(async |kms| kms.describe_key(id).await) {
                Ok(found) => key.check(&found, what),
                Err(KmsError::NotFound { .. }) => {
                    let may_be = key.fate != Fate::Lives;
                    let is_tombstone =
                        matches!(kms.ask(async |kms| kms.deleted_key(id).await), Ok(Some(_)));
                    assert!(may_be && is_tombstone, "{id} is lost: {key:?}");
                    key.fate = Fate::Gone;
                }
                Err(error) => panic!("{id}: {error}"),
            }
            if key.fate == Fate::Lives {
                let usage = kms.ask(async |kms| kms.usage(id).await).unwrap();
                let wraps: u64 = usage.versions.values().map(|version| version.wraps).sum();
                let expected = self.wraps.entry(id.clone()).or_default();
                let allowed = expected.least..=expected.most;
                assert!(allowed.contains(&wraps), "{wraps} wraps, not {allowed:?}");
            }
        }
        // And no others: what gave an error was not done.
        let page = kms
            .ask(async |kms| kms.list_keys(None, 1000).await)
            .unwrap();
        assert!(page.damaged.is_empty(), "{:?}", page.damaged);
        for key in &page.keyrings {
            let own = key.description.starts_with(&mark(slot));
            let known = self.slots[slot].keys.get(&key.id);
            let known = known.is_some_and(|known| known.description == key.description);
            assert!(!own || known, "nobody made {}", key.description);
        }
    }

    fn check_aliases(&self, slot: usize, kms: &Handle) {
        let slot = &self.slots[slot];
        for (alias, target) in &slot.aliases {
            let found = resolve(kms, alias);
            let lives = |id: &String| slot.keys[id].fate == Fate::Lives;
            match target {
                Some(id) if lives(id) => assert_eq!(found.as_ref(), Some(id), "{alias}"),
                // The name goes with the key.
                Some(id) => assert!(found.is_none() || found.as_ref() == Some(id), "{alias}"),
                None => assert_eq!(found, None, "{alias}"),
            }
        }
    }

    /// Whatever was encrypted decrypts: by this writer's keys (or all) and the
    /// common ones.
    fn check_blobs(&self, slot: Option<usize>, kms: &Handle) {
        let shared = self.common.as_ref().map(|(shared, _)| shared);
        for blob in &self.blobs {
            let owner = (self.slots.iter()).position(|slot| slot.keys.contains_key(&blob.key));
            match owner {
                None => assert_eq!(Some(&blob.key), shared, "nobody's key"),
                Some(owner) if slot.is_some_and(|slot| slot != owner) => continue,
                Some(owner) if self.slots[owner].keys[&blob.key].fate != Fate::Lives => continue,
                Some(_) => {}
            }
            let opened = kms
                .ask(async |kms| kms.decrypt(&blob.bytes, Some(&blob.key), &context()).await)
                .unwrap_or_else(|error| panic!("version {} is lost: {error}", blob.version));
            assert_eq!(opened.plaintext.expose(), blob.plaintext);
            assert_eq!(opened.key_version, blob.version);
        }
        for imported in &self.imported {
            let id = &imported.id;
            match kms.ask(async |kms| kms.decrypt(&imported.blob, Some(id), &context()).await) {
                Ok(opened) => assert_eq!(opened.plaintext.expose(), b"imported"),
                Err(KmsError::NotFound { .. }) if !imported.is_certain => {}
                Err(error) => panic!("imported {id}: {error}"),
            }
            let target = resolve(kms, &imported.alias);
            let absent = target.is_none() && !imported.is_certain;
            assert!(absent || target.as_ref() == Some(id));
        }
        if let Some((shared, service)) = &self.common {
            assert_eq!(resolve(kms, SHARED).as_ref(), Some(shared));
            assert_eq!(resolve(kms, "alias/aws/kills").as_ref(), Some(service));
            let version = kms
                .ask(async |kms| kms.describe_key(shared).await)
                .unwrap()
                .current_version();
            assert!(
                version as usize > self.rotations.len(),
                "a rotation is lost"
            );
        }
    }

    /// Checks all of it, once all writers have been killed and checked.
    pub(crate) fn check_all(&mut self) {
        self.check_root(&[]);
        let Some(kms) = self.open() else { return };
        for slot in 0..WRITERS {
            self.check_keys(slot, &[], &kms);
            self.check_aliases(slot, &kms);
        }
        self.check_blobs(None, &kms);
        if let Some((shared, _)) = &self.common {
            let versions = kms
                .ask(async |kms| kms.describe_key(shared).await)
                .unwrap()
                .current_version();
            let least = 1 + self.rotations.len();
            let allowed = least..=least + self.uncertain_rotations;
            assert!(allowed.contains(&(versions as usize)), "{allowed:?}");
            let usage = kms.ask(async |kms| kms.usage(shared).await).unwrap();
            let wraps: u64 = usage.versions.values().map(|version| version.wraps).sum();
            let expected = self.wraps.entry(shared.clone()).or_default();
            assert!((expected.least..=expected.most).contains(&wraps));
        }
        // All of it can be read.
        kms.ask(async |kms| kms.rotate_store_key().await).unwrap();
        kms.ask(async |kms| kms.export(&root(100)).await).unwrap();
    }
}

impl Slot {
    fn set_alias(&mut self, words: &[String]) {
        self.aliases.insert(words[1].clone(), target(&words[2]));
    }
}

fn target(word: &str) -> Option<String> {
    (word != "-").then(|| word.to_owned())
}

fn resolve(kms: &Handle, alias: &str) -> Option<String> {
    match kms.ask(async |kms| kms.resolve(alias).await) {
        Ok(arn) => arn.rsplit('/').next().map(str::to_owned),
        Err(KmsError::NotFound { .. }) => None,
        Err(error) => panic!("{alias}: {error}"),
    }
}

impl Key {
    fn add_material(&mut self) {
        match self.versions {
            0 => self.versions = 1,
            _ => self.has_next = true,
        }
    }

    /// Checks the key as it was found, and what was under way takes effect if
    /// it did.
    fn check(&mut self, found: &Keyring, pending: Option<&str>) {
        let now = (found.current_version(), found.next.is_some());
        let before = (self.versions, self.has_next);
        let after = match pending {
            Some("rotate") => (self.versions + 1, false),
            Some("material") if self.versions == 0 => (1, false),
            Some("material") => (self.versions, true),
            _ => before,
        };
        assert!(now == before || now == after, "{now:?}: {self:?}");
        (self.versions, self.has_next) = now;
        assert!(found.backing_keys.iter().all(|key| key.is_present));
        let usable = match self.versions {
            0 => KeyState::PendingImport,
            _ => KeyState::Enabled,
        };
        self.fate = match (self.fate, found.state) {
            (Fate::Lives | Fate::MayBeDoomed, state) if state == usable => Fate::Lives,
            (Fate::MayBeDoomed | Fate::Doomed, KeyState::PendingDeletion) => Fate::Doomed,
            (_, state) => panic!("{state}: {self:?}"),
        };
        assert_eq!(found.description, self.description);
    }
}
