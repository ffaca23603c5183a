//! Power is cut after each file operation of a run of the KMS, with what was
//! not synced lost, kept, torn or reordered.

use std::sync::{Arc, Mutex};

use super::super::super::files::SyncPoint;
use super::super::disk::{Disk, Tree};
use super::super::history::power_cuts;
use super::*;

/// What the KMS was once a change was acknowledged.
struct Acknowledged {
    what: &'static str,
    /// After so many file operations.
    at: usize,
    view: View,
    root: u8,
    now: SystemTime,
}

/// A run of the KMS on a disk.
struct Run {
    disk: Disk,
    history: Vec<Acknowledged>,
    /// What was encrypted, and after how many file operations: by the process
    /// that changes things, and by one that looks on.
    sealed: Arc<Mutex<Vec<(usize, Sealed)>>>,
    /// Those that look on. One that is dropped writes its usage, which is not
    /// to happen in the midst of something.
    onlookers: Vec<LocalKms>,
}

/// Does all of it, as one process; another uses the keys meanwhile.
fn run(skipped: Option<SyncPoint>) -> Run {
    let disk = Disk::new();
    disk.skip(skipped);
    let clock = Still::new();
    let (kms, backup) = (open(&disk, &clock, 0).unwrap(), backup());
    let mut run = Run {
        disk,
        history: Vec::new(),
        sealed: Arc::default(),
        onlookers: Vec::new(),
    };
    run.note("make the store", &kms, 0, &clock);
    let changes = BEFORE.iter().chain(CHANGES);
    for (what, change) in changes {
        if *what == "delete what is due" {
            clock.advance(8 * DAY);
            run.note("wait", &kms, run.root(), &clock);
        }
        run.look_on(&clock);
        change(&kms, &backup).unwrap_or_else(|error| panic!("{what}: {error}"));
        run.disk.stop_observing();
        let root = match *what {
            "change the root" => 1,
            _ => run.root(),
        };
        run.note(what, &kms, root, &clock);
        for key in ["alias/a", "alias/external"] {
            if let Ok(sealed) = seal(&kms, key) {
                let now = run.disk.operations();
                run.sealed.lock().unwrap().push((now, sealed));
            }
        }
    }
    run
}

impl Run {
    fn root(&self) -> u8 {
        self.history.last().map_or(0, |last| last.root)
    }

    fn note(&mut self, what: &'static str, kms: &LocalKms, root: u8, clock: &Still) {
        self.history.push(Acknowledged {
            what,
            at: self.disk.operations(),
            view: View::of(kms).unwrap(),
            root,
            now: clock.now(),
        });
    }

    /// Has another process encrypt after each file operation, with whatever it
    /// sees: it must see nothing that a power cut takes back.
    fn look_on(&mut self, clock: &Still) {
        let builder = builder(&self.disk, clock, self.root()).unwrap();
        let other = ready(builder.max_staleness(Duration::ZERO).open()).unwrap();
        self.onlookers.push(other.clone());
        let sealed = self.sealed.clone();
        self.disk.observe(move |operations| {
            // Where the one that changes things has the lock, it waits.
            for key in ["alias/a", "alias/external", "alias/new"] {
                if let Ok(blob) = seal(&other, key) {
                    sealed.lock().unwrap().push((operations, blob));
                }
            }
        });
    }

    /// Checks what a power cut after so many file operations has left.
    fn check(&self, tree: &Tree, operations: usize) -> Result<(), String> {
        let acknowledged = self.history.iter().rposition(|done| done.at <= operations);
        let begun = acknowledged.map_or(0, |at| at + 1);
        let begun = self.history.get(begun).or(self.history.last()).unwrap();
        let Some(acknowledged) = acknowledged.map(|at| &self.history[at]) else {
            // The store is being made. Whatever is there, it opens.
            let kms = self.open(tree, begun, &[0])?;
            return match View::of(&kms) {
                Ok(view) if view == View::default() => Ok(()),
                other => Err(format!("a new store holds {other:?}")),
            };
        };
        let kms = self.open(tree, acknowledged, &[acknowledged.root, begun.root])?;
        let view = View::of(&kms).map_err(|error| error.to_string())?;
        if !view.is_between(&acknowledged.view, &begun.view) {
            return Err(format!(
                "{view:?}; acknowledged were {:?} and not {:?}",
                acknowledged.view, begun.view
            ));
        }
        let external = view.keys.get("external").map(|(state, ..)| *state);
        for (at, sealed) in self.sealed.lock().unwrap().iter() {
            let is_usable = sealed.key != "alias/external" || external == Some(KeyState::Enabled);
            if *at <= operations && is_usable {
                opens(&kms, sealed)?;
            }
        }
        // And it goes on.
        ready(kms.rotate("alias/a"))
            .map(drop)
            .or_else(|error| match error {
                KmsError::NotFound { .. } if !view.aliases.contains_key("alias/a") => Ok(()),
                error => Err(format!("going on: {error}")),
            })
    }

    /// Opens what is there with the one root of these that opens it.
    fn open(&self, tree: &Tree, at: &Acknowledged, roots: &[u8]) -> Result<LocalKms, String> {
        let disk = Disk::rebooted(tree);
        let clock = Still(Arc::new(Mutex::new(at.now)));
        let mut opened = Vec::new();
        for number in 0..ROOTS {
            match open(&disk, &clock, number) {
                Ok(kms) => opened.push((number, kms)),
                Err(KmsError::WrongRoot { .. }) => {}
                Err(error) => return Err(format!("opening: {error}")),
            }
        }
        match opened.pop() {
            Some((number, kms)) if opened.is_empty() && roots.contains(&number) => Ok(kms),
            Some((number, _)) => Err(format!("root {number} opens it, besides {opened:?}")),
            None => Err("no root opens it".to_owned()),
        }
    }
}

fn cut_everywhere(skipped: Option<SyncPoint>) -> Result<usize, String> {
    let run = run(skipped);
    let mut cuts = 0;
    for operations in 0..=run.disk.operations() {
        let mut checked: Vec<Tree> = Vec::new();
        for tree in power_cuts(&run.disk, operations, false) {
            let tree = tree.reachable();
            if checked.contains(&tree) {
                continue;
            }
            cuts += 1;
            run.check(&tree, operations).map_err(|error| {
                let after = run.history.iter().rfind(|done| done.at <= operations);
                let after = after.map_or("nothing", |done| done.what);
                format!("after {operations} operations, after '{after}': {error}")
            })?;
            checked.push(tree);
        }
    }
    Ok(cuts)
}

#[test]
fn power_cuts_lose_nothing_of_the_kms() {
    let cuts = cut_everywhere(None).unwrap();
    assert!(cuts > 500, "{cuts}");
    println!("{cuts} power cuts");
}

/// The syncs that keep what was acknowledged. The others keep old content from
/// staying on the disk, which the tests of the blobs look for.
#[test]
fn every_sync_that_keeps_something_is_needed_by_the_kms() {
    for point in [
        SyncPoint::Content,
        SyncPoint::Name,
        SyncPoint::Blobs,
        SyncPoint::Marker,
        SyncPoint::MarkerName,
        SyncPoint::Folders,
    ] {
        let lost = cut_everywhere(Some(point));
        let lost = lost.expect_err("a sync that is not needed");
        println!("without {point:?}: {lost}");
    }
}
