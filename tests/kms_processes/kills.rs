//! Writers that are killed (SIGKILL) at random, also while others write to
//! the same store. `WAXSEAL_KILLS` says how often, instead of 500 times.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;

use crate::child::{Child, Random};
use crate::model::{Model, WRITERS};
use crate::trial;

/// After so many kills a new store is begun, so that making it is hit too.
const KILLS_PER_STORE: usize = 20;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("kills::nothing_is_lost", nothing_is_lost)]
}

fn start(folder: &Path, slot: usize, random: &mut Random) -> Child {
    Child::start("write", folder, &format!("{slot} {}", random.next()))
}

fn nothing_is_lost() {
    let kills: usize = match std::env::var("WAXSEAL_KILLS") {
        Ok(kills) => kills.parse().expect("WAXSEAL_KILLS is not a number"),
        Err(_) => 500,
    };
    let mut random = Random(kills as u64);
    let (mut done, mut interrupted) = (0, BTreeMap::new());
    while done < kills {
        let count = KILLS_PER_STORE.min(kills - done);
        for (what, count) in one_store(count, &mut random) {
            *interrupted.entry(what).or_insert(0) += count;
        }
        done += count;
    }
    println!("{kills} kills; what they interrupted: {interrupted:?}");
    // Kills that hit nothing test little; and each kind of change is hit.
    let all: usize = interrupted.values().sum();
    let hits = all - interrupted.get("nothing").copied().unwrap_or(0);
    assert!(hits * 4 > all, "{hits} of {all}");
    if kills >= 500 {
        assert!(interrupted.len() > 10, "{interrupted:?}");
    }
}

fn one_store(kills: usize, random: &mut Random) -> BTreeMap<String, usize> {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Model::new(folder.path());
    let mut writers: Vec<Child> = (0..WRITERS)
        .map(|slot| start(folder.path(), slot, random))
        .collect();
    for _ in 0..kills {
        let slot = random.below(WRITERS);
        let writer = &mut writers[slot];
        // Mostly not while it opens the store.
        if random.below(8) > 0 {
            model.hear(slot, &[writer.line().expect("a writer has ended")]);
        }
        thread::sleep(Duration::from_micros(random.next() % 20_000));
        let rest = writer.kill();
        model.hear(slot, &rest);
        for other in (0..WRITERS).filter(|other| *other != slot) {
            model.hear(other, &writers[other].heard());
        }
        if let Some(kms) = model.open() {
            model.check_killed(slot, &kms);
        }
        writers[slot] = start(folder.path(), slot, random);
    }
    let rest: Vec<_> = writers.iter_mut().map(Child::kill).collect();
    for (slot, lines) in rest.iter().enumerate() {
        model.hear(slot, lines);
    }
    for slot in 0..WRITERS {
        if let Some(kms) = model.open() {
            model.check_killed(slot, &kms);
        }
    }
    model.check_all();
    model.interrupted
}
