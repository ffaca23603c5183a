//! What was done to a simulated disk and when, and what may be there after.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::DirectoryStore;
use super::super::folder::Folder;
use super::super::lock::Gate;
use super::disk::{Disk, Fate, Op, Tree};
use crate::crypto::CryptoBackend;
use crate::kms::store::Expected;

pub(super) const STORE: &str = "/data/keys/store";
pub(super) const BLOBS: &str = "/data/keys/store/blobs";

/// Opens the store as a process does.
pub(super) fn open(disk: &Disk) -> Arc<Folder> {
    try_open(disk).unwrap()
}

pub(super) fn try_open(disk: &Disk) -> Result<Arc<Folder>, crate::kms::store::StoreError> {
    let mut builder = DirectoryStore::builder(STORE).lock_timeout(Duration::ZERO);
    builder.files = disk.files();
    builder.open().map(|store| store.0)
}

/// The store as a process has it that opened it earlier.
pub(super) fn opened_earlier(disk: &Disk) -> Folder {
    Folder {
        files: disk.files(),
        root: PathBuf::from(STORE),
        blobs: PathBuf::from(BLOBS),
        max_blob_length: 1 << 20,
        lock_timeout: Duration::ZERO,
        gate: Gate::default(),
        crypto: CryptoBackend::default(),
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Open,
    /// Writes, whatever is there.
    Write(&'static str),
    Delete(&'static str),
}

/// The `number`th content: it is searched for on the disk.
pub(super) fn content(number: usize) -> Vec<u8> {
    format!("<content {number:03}>").repeat(3).into_bytes()
}

/// One state of a blob: between which operations it came about.
#[derive(Clone, Debug)]
struct Version {
    content: Option<usize>,
    began: usize,
    /// When it was acknowledged.
    ended: Option<usize>,
}

/// Each blob's states in their order, and what was seen of them.
#[derive(Clone, Default)]
pub(super) struct History {
    blobs: BTreeMap<String, Vec<Version>>,
    /// After so many operations a reader saw this state of the blob.
    seen: Arc<Mutex<Vec<(usize, String, usize)>>>,
    contents: usize,
}

impl History {
    /// Runs the steps, with a reader beside that looks after each operation.
    pub(super) fn run(&mut self, disk: &Disk, store: Option<Arc<Folder>>, steps: &[Step]) {
        let mut store = store;
        for step in steps {
            match step {
                Step::Open => {}
                Step::Write(name) => self.watch(disk, name, Some(self.contents + 1)),
                Step::Delete(name) => self.watch(disk, name, None),
            }
            match step {
                Step::Open => {
                    store = Some(open(disk));
                }
                Step::Write(name) => {
                    self.contents += 1;
                    let content = self.contents;
                    self.change(disk, name, Some(content), store.as_ref().unwrap());
                }
                Step::Delete(name) => self.change(disk, name, None, store.as_ref().unwrap()),
            }
            disk.stop_observing();
        }
    }

    fn change(&mut self, disk: &Disk, name: &str, number: Option<usize>, store: &Folder) {
        let began = disk.operations();
        let version = Version {
            content: number,
            began,
            ended: None,
        };
        let current = store.read(name).unwrap();
        // A state that was not acknowledged may be the current one; now it is
        // seen.
        self.states(name);
        if let Some(at) = self.state_of(name, current.as_ref().map(|blob| &*blob.bytes)) {
            let seen = (disk.operations(), name.to_owned(), at);
            self.seen.lock().unwrap().push(seen);
        }
        if number.is_none() && current.is_none() {
            return;
        }
        self.states(name).push(version);
        match (number, &current) {
            (Some(number), None) => store
                .write(name, &content(number), Expected::Absent)
                .map(drop),
            (Some(number), Some(blob)) => store
                .write(name, &content(number), Expected::Version(&blob.version))
                .map(drop),
            (None, Some(blob)) => store.delete(name, &blob.version),
            (None, None) => Ok(()),
        }
        .unwrap();
        let ended = disk.operations();
        if let Some(last) = self.states(name).last_mut() {
            last.ended = Some(ended);
        }
    }

    fn states(&mut self, name: &str) -> &mut Vec<Version> {
        self.blobs.entry(name.to_owned()).or_insert_with(|| {
            vec![Version {
                content: None,
                began: 0,
                ended: Some(0),
            }]
        })
    }

    /// The last state that has this content.
    fn state_of(&self, name: &str, bytes: Option<&[u8]>) -> Option<usize> {
        let states = self.blobs.get(name)?;
        states
            .iter()
            .rposition(|state| state.content.map(content).as_deref() == bytes)
    }

    /// Has a reader look at each blob now.
    pub(super) fn look(&mut self, disk: &Disk) {
        let reader = opened_earlier(disk);
        for name in self.blobs.keys() {
            let found = reader.read(name).unwrap();
            let state = self.state_of(name, found.as_ref().map(|blob| &*blob.bytes));
            let seen = (disk.operations(), name.clone(), state.unwrap());
            self.seen.lock().unwrap().push(seen);
        }
    }

    /// Has a reader look at the blob while it becomes this.
    fn watch(&mut self, disk: &Disk, name: &'static str, next: Option<usize>) {
        let (before, seen) = (self.states(name).clone(), self.seen.clone());
        let reader = opened_earlier(disk);
        disk.observe(move |operations| {
            // While the writer is at it, the reader may find the lock taken.
            // What it may list, it has seen as well.
            let listed = reader.list(name, None, 1);
            let found = match (reader.read(name), listed) {
                (Ok(found), _) => found,
                (Err(_), Ok(_)) => reader.load(name).unwrap(),
                (Err(_), Err(_)) => return,
            };
            let bytes = found.map(|blob| blob.bytes);
            let state = if bytes == next.map(content) {
                before.len()
            } else {
                before
                    .iter()
                    .rposition(|state| state.content.map(content) == bytes)
                    .unwrap_or_else(|| panic!("a reader saw {bytes:?} as '{name}'"))
            };
            seen.lock()
                .unwrap()
                .push((operations, name.to_owned(), state));
        });
    }

    /// Forgets what was to happen after so many operations: the process was
    /// killed there.
    pub(super) fn killed(&self, operations: usize) -> Self {
        let mut history = self.clone();
        for states in history.blobs.values_mut() {
            states.retain(|state| state.began < operations || state.ended == Some(0));
            for state in states {
                state.ended = state.ended.filter(|ended| *ended <= operations);
            }
        }
        let seen = self.seen.lock().unwrap();
        let seen = seen.iter().filter(|(at, ..)| *at <= operations).cloned();
        history.seen = Arc::new(Mutex::new(seen.collect()));
        history
    }

    /// What goes on after a power cut: whatever is there is all that there is.
    pub(super) fn rebooted(&self, tree: &Tree) -> Self {
        let store = open(&Disk::rebooted(tree));
        let mut history = History {
            contents: self.contents,
            ..History::default()
        };
        for name in self.blobs.keys() {
            let found = store.read(name).unwrap().map(|blob| blob.bytes);
            let at = self.state_of(name, found.as_deref()).unwrap();
            history.states(name)[0].content = self.blobs[name][at].content;
        }
        history
    }

    /// What a blob may be after so many operations.
    fn allowed(&self, name: &str, operations: usize) -> Vec<Option<usize>> {
        let states = &self.blobs[name];
        let acknowledged = states
            .iter()
            .rposition(|state| state.ended.is_some_and(|ended| ended <= operations))
            .unwrap_or(0);
        let seen = self.seen.lock().unwrap();
        let seen = seen
            .iter()
            .filter(|(at, of, _)| *at <= operations && of == name)
            .map(|(_, _, state)| *state)
            .max()
            .unwrap_or(0);
        let (certain, possible) = states[acknowledged.max(seen)..].split_at(1);
        let begun = possible.iter().filter(|state| state.began < operations);
        certain
            .iter()
            .chain(begun)
            .map(|state| state.content)
            .collect()
    }

    /// Whether this state was acknowledged or seen.
    fn was_known(&self, name: &str, state: usize, operations: usize) -> bool {
        let ended = self.blobs[name][state].ended;
        let mut seen = self.seen.lock().unwrap().clone().into_iter();
        ended.is_some_and(|ended| ended <= operations)
            || seen.any(|(at, of, seen)| at <= operations && of == name && seen == state)
    }

    /// Checks what a power cut after so many operations has left.
    pub(super) fn check(&self, tree: &Tree, operations: usize) -> Result<(), String> {
        // What has been acknowledged as replaced or deleted is nowhere.
        for (name, states) in &self.blobs {
            for (at, state) in states.iter().enumerate() {
                let over = states[at + 1..]
                    .iter()
                    .filter(|next| next.ended.is_some_and(|ended| ended <= operations))
                    // A write leaves others' temporary files alone, which
                    // nobody has ever seen; a deletion does not.
                    .any(|next| next.content.is_none() || self.was_known(name, at, operations));
                if let Some(number) = state.content
                    && over
                    && tree.holds(&content(number))
                {
                    return Err(format!("old content of '{name}' is still on the disk"));
                }
            }
        }
        let disk = Disk::rebooted(tree);
        let store = try_open(&disk).map_err(|error| format!("opening: {error}"))?;
        let live = self.check_blobs(&store, operations)?;
        // The store goes on, and what the cut has left behind goes away.
        store
            .write("afterwards", b"x", Expected::Absent)
            .map_err(|error| format!("writing afterwards: {error}"))?;
        let files = disk.listing(BLOBS);
        if files.iter().any(|file| !file.starts_with("blob.")) {
            return Err(format!("there are leftovers: {files:?}"));
        }
        let tree = disk.power_cut(disk.operations(), |_, _| Fate::Lost);
        for number in 1..=self.contents {
            if !live.contains(&number) && tree.holds(&content(number)) {
                return Err(format!("content {number} is nobody's, and on the disk"));
            }
        }
        Ok(())
    }

    /// Checks each blob and the list, and gives back which contents there are.
    pub(super) fn check_blobs(
        &self,
        store: &Folder,
        operations: usize,
    ) -> Result<BTreeSet<usize>, String> {
        let mut live = BTreeSet::new();
        let mut entries = BTreeMap::new();
        for name in self.blobs.keys() {
            let found = store.read(name).map_err(|error| error.to_string())?;
            let allowed = self.allowed(name, operations);
            let number = allowed.iter().find(|state| {
                state.map(content).as_deref() == found.as_ref().map(|blob| &*blob.bytes)
            });
            match number {
                None => return Err(format!("'{name}' is {found:?} and not one of {allowed:?}")),
                Some(number) => live.extend(*number),
            }
            if let Some(blob) = found {
                entries.insert(name.clone(), blob.version);
            }
        }
        let listed = store
            .list("", None, 100)
            .map_err(|error| error.to_string())?;
        let listed: BTreeMap<_, _> = listed
            .into_iter()
            .map(|entry| (entry.name, entry.version))
            .collect();
        if listed != entries {
            return Err(format!("listed: {listed:?}, read: {entries:?}"));
        }
        Ok(live)
    }
}

/// Ways in which power is cut after so many operations: which of what was not
/// synced is there. `thorough` has many more.
pub(super) fn power_cuts(disk: &Disk, operations: usize, thorough: bool) -> Vec<Tree> {
    let mut waiting = Vec::new();
    disk.power_cut(operations, |_, op| {
        waiting.push(matches!(op, Op::Write(..)));
        Fate::Lost
    });
    let count = waiting.len();
    // All, none, and the same with the writes halved.
    let mut trees = vec![
        disk.power_cut(operations, |_, _| Fate::Lost),
        disk.power_cut(operations, |_, _| Fate::Kept),
        disk.power_cut(operations, |_, op| match op {
            Op::Write(..) => Fate::Lost,
            _ => Fate::Kept,
        }),
        disk.power_cut(operations, |_, op| match op {
            Op::Write(..) => Fate::FirstHalf,
            _ => Fate::Kept,
        }),
        disk.power_cut(operations, |_, op| match op {
            Op::Write(..) => Fate::SecondHalf,
            _ => Fate::Kept,
        }),
        disk.power_cut(operations, |_, op| match op {
            Op::Write(..) => Fate::Kept,
            _ => Fate::Lost,
        }),
    ];
    let recent = count.saturating_sub(if thorough { 12 } else { 5 });
    for chosen in recent..count {
        let alone = |number| number == chosen;
        let keep = |kept: bool| if kept { Fate::Kept } else { Fate::Lost };
        trees.push(disk.power_cut(operations, |number, _| keep(alone(number))));
        trees.push(disk.power_cut(operations, |number, _| keep(!alone(number))));
    }
    // And anything between: reordered and torn.
    let mut random = operations as u64 * 7919 + 1;
    for _ in 0..if thorough { 24 } else { 4 } {
        trees.push(disk.power_cut(operations, |_, op| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            match ((random >> 33) % 4, op) {
                (0 | 1, _) => Fate::Lost,
                (2, Op::Write(..)) => {
                    [Fate::FirstHalf, Fate::SecondHalf][(random >> 40) as usize & 1]
                }
                _ => Fate::Kept,
            }
        }));
    }
    trees
}
