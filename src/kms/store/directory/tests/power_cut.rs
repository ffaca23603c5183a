//! Power cuts after every operation, of processes that run and of such as go
//! on where another was killed; and that every sync is needed.

use std::sync::Arc;

use super::super::files::SyncPoint;
use super::disk::Disk;
use super::history::{History, Step, open, opened_earlier, power_cuts};
use Step::{Delete, Open, Write};

/// Power is cut while one process works.
fn one_process(skipped: Option<SyncPoint>, thorough: bool) -> Result<usize, String> {
    let disk = Disk::new();
    disk.skip(skipped);
    let mut history = History::default();
    let steps = [
        Open,
        Write("keys/a"),
        Write("b"),
        Write("keys/a"),
        Delete("b"),
        Write("b"),
        Write("keys/c"),
        Delete("keys/a"),
        Write("keys/c"),
    ];
    history.run(&disk, None, &steps);
    let mut cuts = 0;
    for operations in 0..=disk.operations() {
        for tree in power_cuts(&disk, operations, thorough) {
            cuts += 1;
            history
                .check(&tree, operations)
                .map_err(|error| format!("after {operations} operations: {error}"))?;
        }
    }
    Ok(cuts)
}

/// A process is killed, another goes on, and power is cut while it does.
fn two_processes(
    first: (&[Step], &[Step]),
    second: &[Step],
    skipped: Option<SyncPoint>,
    thorough: bool,
) -> Result<usize, String> {
    let disk = Disk::new();
    disk.skip(skipped);
    let mut history = History::default();
    history.run(&disk, None, first.0);
    let before = disk.operations();
    let store = (!first.0.is_empty()).then(|| open(&disk));
    history.run(&disk, store, first.1);
    let mut cuts = 0;
    for killed in before..=disk.operations() {
        let disk = disk.killed(killed);
        let mut history = history.killed(killed);
        let store = match second.first() {
            Some(Open) => None,
            _ => Some(Arc::new(opened_earlier(&disk))),
        };
        history.run(&disk, store, second);
        for operations in killed..=disk.operations() {
            for tree in power_cuts(&disk, operations, thorough) {
                cuts += 1;
                history.check(&tree, operations).map_err(|error| {
                    format!("killed after {killed}, cut after {operations} operations: {error}")
                })?;
            }
        }
    }
    Ok(cuts)
}

fn killed_while_making(skipped: Option<SyncPoint>, thorough: bool) -> Result<usize, String> {
    let second = [Open, Write("b")];
    two_processes((&[], &[Open, Write("a")]), &second, skipped, thorough)
}

const BEFORE: [Step; 3] = [Open, Write("a"), Write("b")];
const KILLED_AT: [Step; 3] = [Write("a"), Delete("b"), Write("c")];

fn killed_then_opened(skipped: Option<SyncPoint>, thorough: bool) -> Result<usize, String> {
    let second = [Open, Write("d"), Write("a")];
    two_processes((&BEFORE, &KILLED_AT), &second, skipped, thorough)
}

fn killed_beside_another(skipped: Option<SyncPoint>, thorough: bool) -> Result<usize, String> {
    let second = [Write("d"), Delete("a"), Write("c")];
    two_processes((&BEFORE, &KILLED_AT), &second, skipped, thorough)
}

#[test]
fn power_cuts_lose_nothing_of_one_process() {
    let cuts = one_process(None, true).unwrap();
    assert!(cuts > 1000, "{cuts}");
}

#[test]
fn power_cuts_lose_nothing_after_a_kill_while_the_store_is_made() {
    let cuts = killed_while_making(None, false).unwrap();
    assert!(cuts > 1000, "{cuts}");
}

#[test]
fn power_cuts_lose_nothing_after_a_kill_and_an_opening() {
    let cuts = killed_then_opened(None, false).unwrap();
    assert!(cuts > 1000, "{cuts}");
}

#[test]
fn power_cuts_lose_nothing_after_a_kill_beside_another_process() {
    let cuts = killed_beside_another(None, false).unwrap();
    assert!(cuts > 1000, "{cuts}");
}

/// Who may only read sees what stays, too.
#[test]
fn power_cuts_lose_nothing_that_a_read_only_process_saw_after_a_kill() {
    let disk = Disk::new();
    let mut history = History::default();
    history.run(&disk, None, &BEFORE);
    let before = disk.operations();
    history.run(&disk, Some(open(&disk)), &KILLED_AT);
    for killed in before..=disk.operations() {
        let disk = disk.killed(killed);
        let mut history = history.killed(killed);
        disk.set_read_only(true);
        history.look(&disk);
        disk.set_read_only(false);
        for tree in power_cuts(&disk, disk.operations(), true) {
            let checked = history.check(&tree, disk.operations());
            checked.unwrap_or_else(|error| panic!("killed after {killed}: {error}"));
        }
    }
}

/// Kills and power cuts in any order, one after another. `WAXSEAL_HISTORIES`
/// says how many such histories, instead of 150.
#[test]
fn random_histories() {
    let histories = std::env::var("WAXSEAL_HISTORIES").map_or(150, |count| count.parse().unwrap());
    for seed in 0..histories {
        random_history(seed).unwrap_or_else(|error| panic!("history {seed}: {error}"));
    }
}

fn random_history(seed: u64) -> Result<(), String> {
    let mut random = seed * 2 + 1;
    let mut below = |limit: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(99);
        (random >> 33) as usize % limit
    };
    let mut disk = Disk::new();
    let mut history = History::default();
    let mut begun = false;
    for _ in 0..6 {
        let mut steps = vec![];
        let open_first = !begun || below(2) == 0;
        if open_first {
            steps.push(Open);
        }
        for _ in 0..=below(3) {
            let name = ["a", "b", "c/d"][below(3)];
            steps.push(if below(3) == 0 {
                Delete(name)
            } else {
                Write(name)
            });
        }
        let before = disk.operations();
        let store = (!open_first).then(|| Arc::new(opened_earlier(&disk)));
        history.run(&disk, store, &steps);
        let operations = before + below(disk.operations() - before + 1);
        let cuts = power_cuts(&disk, operations, false);
        for tree in &cuts {
            history.check(tree, operations)?;
        }
        if below(2) == 0 {
            disk = disk.killed(operations);
            history = history.killed(operations);
            // The store may not have been made yet.
            begun = begun || operations > before && !open_first;
        } else {
            let tree = &cuts[below(cuts.len())];
            history = history.rebooted(tree);
            disk = Disk::rebooted(tree);
            begun = false;
        }
    }
    Ok(())
}

/// Leaves out the syncs of one point: some power cut must lose something.
#[test]
fn every_sync_is_needed() {
    let points = [
        SyncPoint::Content,
        SyncPoint::Name,
        SyncPoint::Absence,
        SyncPoint::Zeros,
        SyncPoint::Leftover,
        SyncPoint::Blobs,
        SyncPoint::Marker,
        SyncPoint::MarkerName,
        SyncPoint::Folders,
    ];
    for point in points {
        let found = [
            one_process,
            killed_then_opened,
            killed_beside_another,
            killed_while_making,
        ]
        .iter()
        .find_map(|scenario| scenario(Some(point), false).err());
        let found = found.unwrap_or_else(|| panic!("nothing is lost without {point:?}"));
        println!("without {point:?}: {found}");
    }
}

/// The list above is whole, and each point is one place of the code.
#[test]
fn every_sync_has_a_point_of_its_own() {
    let code = concat!(include_str!("../folder.rs"), include_str!("../open.rs"));
    let used: Vec<_> = code
        .split("SyncPoint::")
        .skip(1)
        .map(|rest| {
            rest.split(|c: char| !c.is_alphanumeric())
                .next()
                .unwrap_or("")
        })
        .collect();
    let mut points = used.clone();
    points.sort_unstable();
    points.dedup();
    assert_eq!((points.len(), used.len()), (9, 9), "{used:?}");
}
