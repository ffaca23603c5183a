//! A simulated disk: it records every operation, can be killed or lose power
//! after any of them, and fails or is full when told to.
//!
//! What is strict about it: a synced file has its content, and not its name; a
//! synced folder has its names, and not what the files hold; of all that is
//! not synced a power cut keeps any part. A rename is whole or not there.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::super::files::{Files, Kind, LockFile, LockMode, OpenFile, SyncPoint};

type Inode = usize;
const ROOT: Inode = 0;

/// Folders and files by their numbers.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Tree {
    folders: BTreeMap<Inode, BTreeMap<String, Inode>>,
    files: BTreeMap<Inode, Vec<u8>>,
}

#[derive(Clone, Debug)]
pub(super) enum Op {
    /// Names that change together.
    Names(Inode, Vec<(String, Option<Inode>)>),
    Write(Inode, usize, Vec<u8>),
    SyncFile(Inode),
    SyncFolder(Inode),
}

impl Op {
    fn syncs(&self, other: &Op) -> bool {
        match (self, other) {
            (Op::SyncFile(synced), Op::Write(file, ..)) => synced == file,
            (Op::SyncFolder(synced), Op::Names(folder, _)) => synced == folder,
            _ => false,
        }
    }
}

/// What becomes of an operation that was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Kept,
    Lost,
    /// The first half of a write.
    FirstHalf,
    /// The second half of a write, zeros where the first would be.
    SecondHalf,
}

impl Tree {
    fn names(&mut self, folder: Inode) -> &mut BTreeMap<String, Inode> {
        self.folders.entry(folder).or_default()
    }

    fn apply(&mut self, op: &Op, fate: Fate) {
        if fate == Fate::Lost {
            return;
        }
        match op {
            Op::Names(folder, changes) => {
                for (name, inode) in changes {
                    match inode {
                        Some(inode) => self.names(*folder).insert(name.clone(), *inode),
                        None => self.names(*folder).remove(name),
                    };
                }
            }
            Op::Write(file, offset, bytes) => {
                let half = bytes.len() / 2;
                let (from, to) = match fate {
                    Fate::FirstHalf => (0, half),
                    Fate::SecondHalf => (half, bytes.len()),
                    _ => (0, bytes.len()),
                };
                let content = self.files.entry(*file).or_default();
                if content.len() < offset + to {
                    content.resize(offset + to, 0);
                }
                content[offset + from..offset + to].copy_from_slice(&bytes[from..to]);
            }
            Op::SyncFile(_) | Op::SyncFolder(_) => {}
        }
    }

    fn look_up(&self, path: &Path) -> Option<Inode> {
        path.components().try_fold(ROOT, |folder, part| match part {
            Component::RootDir => Some(ROOT),
            Component::Normal(name) => self.folders.get(&folder)?.get(name.to_str()?).copied(),
            _ => None,
        })
    }

    fn links(&self, inode: Inode) -> usize {
        let names = self.folders.values().flat_map(BTreeMap::values);
        names.filter(|named| **named == inode).count()
    }

    /// Without what nothing leads to.
    pub(super) fn reachable(&self) -> Self {
        let mut tree = Tree::default();
        let mut left = vec![ROOT];
        while let Some(inode) = left.pop() {
            if let Some(names) = self.folders.get(&inode) {
                left.extend(names.values());
                tree.folders.insert(inode, names.clone());
            } else if let Some(content) = self.files.get(&inode) {
                tree.files.insert(inode, content.clone());
            }
        }
        tree
    }

    /// Whether any file, with a name or without, holds these bytes.
    pub(super) fn holds(&self, needle: &[u8]) -> bool {
        let found = |content: &Vec<u8>| content.windows(needle.len()).any(|part| part == needle);
        self.files.values().any(found)
    }

    /// A disk on which all of this is synced.
    pub(super) fn into_disk(self) -> Disk {
        let state = State {
            live: self.clone(),
            base: self,
            ..State::default()
        };
        Disk(Arc::new(Mutex::new(state)))
    }
}

/// How an operation goes wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// It does nothing and fails.
    Fails(io::ErrorKind),
    /// It does all, and says that it failed.
    Lies,
    /// A write does half of it; anything else nothing.
    Half,
    /// The disk is gone: it and all after it do nothing and fail.
    Gone,
}

type Hook = Box<dyn FnMut(usize) + Send>;
type Meanwhile = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    /// What was synced at first.
    base: Tree,
    /// What processes see.
    live: Tree,
    log: Vec<Op>,
    locked: BTreeSet<Inode>,
    /// The syncs of this point are left out.
    skipped: Option<SyncPoint>,
    hook: Option<Hook>,
    meanwhile: Option<Meanwhile>,
    calls: Vec<&'static str>,
    fault: Option<(usize, Fault)>,
    /// How many bytes fit.
    capacity: Option<usize>,
    /// Whether nobody may change anything.
    read_only: bool,
}

/// A simulated disk. Clones are the same disk.
#[derive(Clone)]
pub(super) struct Disk(Arc<Mutex<State>>);

impl Disk {
    /// A disk with one folder, `/data`.
    pub(super) fn new() -> Self {
        let mut tree = Tree::default();
        tree.names(ROOT).insert("data".into(), 1);
        tree.names(1);
        tree.into_disk()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(super) fn files(&self) -> Box<dyn Files> {
        Box::new(self.clone())
    }

    pub(super) fn skip(&self, point: Option<SyncPoint>) {
        self.state().skipped = point;
    }

    /// Calls this after each recorded operation, with how many there are.
    pub(super) fn observe(&self, hook: impl FnMut(usize) + Send + 'static) {
        self.state().hook = Some(Box::new(hook));
    }

    pub(super) fn stop_observing(&self) {
        self.state().hook = None;
    }

    /// Does this when a blob's file is opened next, before it is read.
    pub(super) fn meanwhile(&self, work: impl FnOnce() + Send + 'static) {
        self.state().meanwhile = Some(Box::new(work));
    }

    /// How many operations are recorded.
    pub(super) fn operations(&self) -> usize {
        self.state().log.len()
    }

    /// Makes the n-th call from now on go wrong.
    pub(super) fn fail(&self, call: usize, fault: Fault) {
        let mut state = self.state();
        state.calls.clear();
        state.fault = Some((call, fault));
    }

    /// Which call went wrong, if it was reached.
    pub(super) fn failed_call(&self) -> Option<&'static str> {
        let mut state = self.state();
        let (call, _) = state.fault.take()?;
        state.calls.get(call).copied()
    }

    pub(super) fn set_capacity(&self, capacity: Option<usize>) {
        self.state().capacity = capacity;
    }

    pub(super) fn set_read_only(&self, read_only: bool) {
        self.state().read_only = read_only;
    }

    pub(super) fn used(&self) -> usize {
        self.state().used()
    }

    /// A copy of the disk with what is synced and what is not.
    pub(super) fn copy(&self) -> Self {
        self.killed(self.operations())
    }

    /// The disk if all processes are killed after so many operations: all is
    /// there, and what was not synced still is not.
    pub(super) fn killed(&self, operations: usize) -> Self {
        let state = self.state();
        let log = state.log[..operations].to_vec();
        let mut live = state.base.clone();
        for op in &log {
            live.apply(op, Fate::Kept);
        }
        let state = State {
            base: state.base.clone(),
            live,
            log,
            skipped: state.skipped,
            ..State::default()
        };
        Disk(Arc::new(Mutex::new(state)))
    }

    /// What is on the disk if power is cut after so many operations. Asks for
    /// the fate of each that was not synced: its number among those, and
    /// itself.
    pub(super) fn power_cut(
        &self,
        operations: usize,
        mut fate: impl FnMut(usize, &Op) -> Fate,
    ) -> Tree {
        let state = self.state();
        let mut tree = state.base.clone();
        let mut waiting: Vec<&Op> = Vec::new();
        for op in &state.log[..operations] {
            if !matches!(op, Op::SyncFile(_) | Op::SyncFolder(_)) {
                waiting.push(op);
                continue;
            }
            waiting.retain(|waits| {
                let synced = op.syncs(waits);
                if synced {
                    tree.apply(waits, Fate::Kept);
                }
                !synced
            });
        }
        for (number, op) in waiting.into_iter().enumerate() {
            tree.apply(op, fate(number, op));
        }
        tree
    }

    /// The disk after the power has come back.
    pub(super) fn rebooted(tree: &Tree) -> Self {
        tree.reachable().into_disk()
    }

    pub(super) fn listing(&self, folder: &str) -> Vec<String> {
        let names = self.files().names(Path::new(folder)).unwrap();
        names
            .into_iter()
            .map(|name| name.into_string().unwrap())
            .collect()
    }

    fn call<T>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut State, bool) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.state();
        state.calls.push(name);
        let number = state.calls.len() - 1;
        let fault = state
            .fault
            .filter(|(at, fault)| match fault {
                Fault::Gone => *at <= number,
                _ => *at == number,
            })
            .map(|(_, fault)| fault);
        let before = state.log.len();
        let changes = [
            "create_folder",
            "create",
            "open",
            "rename",
            "link",
            "remove",
        ];
        let result = match fault {
            _ if state.read_only && changes.contains(&name) => {
                Err(io::ErrorKind::PermissionDenied.into())
            }
            None => work(&mut state, false),
            Some(Fault::Fails(kind)) => Err(kind.into()),
            Some(Fault::Lies) => {
                // The error of what it did, if it has one, comes first.
                work(&mut state, false).and_then(|_| Err(disk_error()))
            }
            Some(Fault::Half) if name == "write" => {
                work(&mut state, true).and_then(|_| Err(disk_error()))
            }
            Some(Fault::Half | Fault::Gone) => Err(disk_error()),
        };
        let after = state.log.len();
        if after > before
            && let Some(mut hook) = state.hook.take()
        {
            drop(state);
            hook(after);
            self.state().hook = Some(hook);
        }
        result
    }
}

fn disk_error() -> io::Error {
    io::Error::other("injected")
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl State {
    fn record(&mut self, op: Op) {
        self.live.apply(&op, Fate::Kept);
        self.log.push(op);
    }

    fn new_inode(&self) -> Inode {
        // Numbers are not used twice: a killed or rebooted disk goes on after
        // the highest that it knows of.
        let named = self.log.iter().filter_map(|op| match op {
            Op::Names(_, changes) => changes.iter().filter_map(|(_, inode)| *inode).max(),
            _ => None,
        });
        let known = self
            .base
            .folders
            .keys()
            .chain(self.base.files.keys())
            .copied();
        named.chain(known).max().unwrap_or(ROOT) + 1
    }

    fn look_up(&self, path: &Path) -> io::Result<Inode> {
        self.live.look_up(path).ok_or_else(not_found)
    }

    /// A path's folder and its last part.
    fn place(&self, path: &Path) -> io::Result<(Inode, String)> {
        let folder = self.look_up(path.parent().ok_or_else(not_found)?)?;
        let name = path.file_name().and_then(|name| name.to_str());
        Ok((folder, name.ok_or_else(not_found)?.to_owned()))
    }

    fn used(&self) -> usize {
        let tree = self.live.reachable();
        let names: usize = tree.folders.values().map(BTreeMap::len).sum();
        names * 32 + tree.files.values().map(Vec::len).sum::<usize>()
    }

    fn make_room(&self, bytes: usize) -> io::Result<()> {
        match self.capacity {
            Some(capacity) if self.used() + bytes > capacity => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    fn new_name(&mut self, path: &Path, inode: Inode) -> io::Result<()> {
        let (folder, name) = self.place(path)?;
        if self.live.names(folder).contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.make_room(32)?;
        self.record(Op::Names(folder, vec![(name, Some(inode))]));
        Ok(())
    }
}

impl Files for Disk {
    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.call("canonical", |state, _| {
            state.look_up(path).map(|_| path.to_owned())
        })
    }

    fn kind(&self, path: &Path) -> io::Result<Kind> {
        self.call("kind", |state, _| {
            let Some(inode) = state.live.look_up(path) else {
                return Ok(Kind::Absent);
            };
            if state.live.folders.contains_key(&inode) {
                return Ok(Kind::Folder);
            }
            Ok(Kind::File {
                length: state.live.files.get(&inode).map_or(0, Vec::len) as u64,
                links: Some(state.live.links(inode) as u64),
            })
        })
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        self.call("names", |state, _| {
            let folder = state.look_up(folder)?;
            let names = state.live.folders.get(&folder).ok_or_else(not_found)?;
            Ok(names.keys().map(OsString::from).collect())
        })
    }

    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let file = self.call("read", |state, _| state.look_up(path))?;
        if path.to_string_lossy().contains("blob.")
            && let Some(work) = { self.state().meanwhile.take() }
        {
            work();
        }
        // The file is open now, whatever has become of its name.
        let state = self.state();
        let mut content = state.live.files.get(&file).cloned().unwrap_or_default();
        content.truncate(limit);
        Ok(content)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.call("create_folder", |state, _| {
            let inode = state.new_inode();
            state.new_name(path, inode)?;
            // An empty folder is known as one, whatever becomes of its name.
            state.live.names(inode);
            state.base.names(inode);
            Ok(())
        })
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        self.call("create", |state, _| {
            let inode = state.new_inode();
            state.new_name(path, inode)?;
            state.live.files.entry(inode).or_default();
            state.base.files.entry(inode).or_default();
            Ok(Box::new(SimulatedFile(self.clone(), inode)) as Box<dyn OpenFile>)
        })
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        self.call("open", |state, _| {
            let inode = state.look_up(path)?;
            Ok(Box::new(SimulatedFile(self.clone(), inode)) as Box<dyn OpenFile>)
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call("rename", |state, _| {
            let inode = state.look_up(from)?;
            let ((folder, old), (to_folder, new)) = (state.place(from)?, state.place(to)?);
            assert_eq!(folder, to_folder, "a rename is atomic within a folder only");
            state.record(Op::Names(folder, vec![(old, None), (new, Some(inode))]));
            Ok(())
        })
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call("link", |state, _| {
            let inode = state.look_up(from)?;
            state.new_name(to, inode)
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call("remove", |state, _| {
            state.look_up(path)?;
            let (folder, name) = state.place(path)?;
            state.record(Op::Names(folder, vec![(name, None)]));
            Ok(())
        })
    }

    fn sync_folder(&self, folder: &Path, point: SyncPoint) -> io::Result<()> {
        self.call("sync_folder", |state, _| {
            let folder = state.look_up(folder)?;
            if state.skipped != Some(point) {
                state.record(Op::SyncFolder(folder));
            }
            Ok(())
        })
    }

    fn open_lock(&self, path: &Path, mode: LockMode) -> io::Result<Box<dyn LockFile>> {
        self.call("open_lock", |state, _| {
            if mode == LockMode::Exclusive && state.read_only {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            if mode == LockMode::Exclusive && state.live.look_up(path).is_none() {
                let inode = state.new_inode();
                state.new_name(path, inode)?;
                state.live.files.entry(inode).or_default();
                state.base.files.entry(inode).or_default();
            }
            let inode = state.look_up(path)?;
            Ok(Box::new(SimulatedLock(self.clone(), inode, false)) as Box<dyn LockFile>)
        })
    }
}

struct SimulatedFile(Disk, Inode);

impl OpenFile for SimulatedFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (file, offset) = (self.1, offset as usize);
        self.0.call("write", |state, half| {
            let bytes = if half {
                &bytes[..bytes.len() / 2]
            } else {
                bytes
            };
            let length = state.live.files.get(&file).map_or(0, Vec::len);
            let growth = (offset + bytes.len()).saturating_sub(length);
            if let Err(full) = state.make_room(growth) {
                let some = bytes[..bytes.len() / 2].to_vec();
                if state
                    .make_room(growth.saturating_sub(bytes.len() - some.len()))
                    .is_ok()
                {
                    state.record(Op::Write(file, offset, some));
                }
                return Err(full);
            }
            state.record(Op::Write(file, offset, bytes.to_vec()));
            Ok(())
        })
    }

    fn sync(&mut self, point: SyncPoint) -> io::Result<()> {
        let file = self.1;
        self.0.call("sync", |state, _| {
            if state.skipped != Some(point) {
                state.record(Op::SyncFile(file));
            }
            Ok(())
        })
    }
}

struct SimulatedLock(Disk, Inode, bool);

impl LockFile for SimulatedLock {
    fn try_lock(&mut self) -> io::Result<bool> {
        let (inode, locked) = (self.1, &mut self.2);
        self.0.call("try_lock", |state, _| {
            *locked = state.locked.insert(inode);
            Ok(*locked)
        })
    }
}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        if self.2 {
            self.0.state().locked.remove(&self.1);
        }
    }
}
