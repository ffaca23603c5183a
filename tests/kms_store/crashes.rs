//! Processes that write side by side and are killed (SIGKILL) at random.
//! `WAXSEAL_CRASHES` says how often, instead of 300 times.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;
use waxseal::kms::store::{BlobStore, DirectoryStore, Expected};

use crate::processes::{say, start};
use crate::{bytes, ready, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("crashes::killed_writers", killed_writers)]
}

const WRITERS: usize = 3;
const BLOBS: u64 = 3;

/// What a writer's n-th change is: of which blob, and its content or nothing.
fn change(writer: usize, number: u64) -> (String, Option<Vec<u8>>) {
    let random = scramble(number * 31 + writer as u64);
    let name = format!("writer-{writer}/{}", random % BLOBS);
    (
        name,
        (random >> 8 & 3 != 0).then(|| content(writer, number)),
    )
}

fn content(writer: usize, number: u64) -> Vec<u8> {
    let lengths = [0, 10, 300, 5_000, 60_000];
    let length = lengths[scramble(number) as usize % lengths.len()];
    let pattern = format!("<{writer}, {number}>");
    let pattern = pattern.bytes().cycle();
    // Empty ones too, which then are alike.
    pattern.take(length).collect()
}

fn scramble(number: u64) -> u64 {
    let mixed = (number ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 16
}

/// The writing process: says what it begins and what is done, until it is
/// killed.
pub(crate) fn write(folder: &Path, argument: &str) {
    let (writer, first) = argument.split_once(' ').unwrap();
    let (writer, first): (usize, u64) = (writer.parse().unwrap(), first.parse().unwrap());
    let store = DirectoryStore::builder(folder)
        .lock_timeout(Duration::from_secs(60))
        .open()
        .unwrap();
    for number in first.. {
        let (name, content) = change(writer, number);
        let current = ready(store.read(&name)).unwrap();
        say(&format!("begin {number}"));
        match (&content, &current) {
            (Some(bytes), None) => ready(store.write(&name, bytes, Expected::Absent)).map(drop),
            (Some(bytes), Some(blob)) => {
                ready(store.write(&name, bytes, Expected::Version(&blob.version))).map(drop)
            }
            (None, Some(blob)) => ready(store.delete(&name, &blob.version)),
            (None, None) => Ok(()),
        }
        .unwrap();
        say(&format!("done {number}"));
    }
}

struct Writer {
    number: usize,
    folder: PathBuf,
    process: Child,
    lines: Receiver<String>,
    next: u64,
    /// What is acknowledged.
    blobs: BTreeMap<String, Option<Vec<u8>>>,
}

impl Writer {
    fn start(number: usize, folder: &Path) -> Self {
        let blobs = (0..BLOBS).map(|blob| (format!("writer-{number}/{blob}"), None));
        let (process, lines) = run(number, folder, 0);
        Writer {
            number,
            folder: folder.to_owned(),
            process,
            lines,
            next: 0,
            blobs: blobs.collect(),
        }
    }

    /// Kills it in the midst of its work, and checks its blobs. Gives back
    /// whether it was killed before something begun was done.
    fn kill(&mut self, store: &DirectoryStore, after: Duration) -> bool {
        let first = self.lines.recv_timeout(Duration::from_secs(60));
        let first = first.expect("a writer says nothing");
        thread::sleep(after);
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let mut begun = None;
        for line in std::iter::once(first).chain(self.lines.iter()) {
            // The last line may be cut off.
            let Some((what, number)) = line.split_once(' ') else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            let (name, content) = change(self.number, number);
            match what {
                "begin" => begun = Some((number, name, content)),
                "done" => {
                    self.blobs.insert(name, content);
                    begun = None;
                }
                _ => panic!("{line}"),
            }
            self.next = number + 1;
        }
        let interrupted = begun.is_some();
        for (name, acknowledged) in &mut self.blobs {
            let found = bytes(store, name);
            if let Some((_, begun, new)) = &begun
                && begun == name
                && found == *new
            {
                *acknowledged = found;
            } else {
                let lengths = (
                    found.as_ref().map(Vec::len),
                    acknowledged.as_ref().map(Vec::len),
                );
                assert!(
                    found == *acknowledged,
                    "'{name}' is lost or torn: {lengths:?}"
                );
            }
        }
        interrupted
    }

    fn restart(&mut self) {
        (self.process, self.lines) = run(self.number, &self.folder, self.next);
    }
}

fn run(writer: usize, folder: &Path, first: u64) -> (Child, Receiver<String>) {
    let mut process = start("write", folder, &format!("{writer} {first}"));
    let out = BufReader::new(process.stdout.take().unwrap());
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    (process, lines)
}

fn killed_writers() {
    let kills: u64 = match std::env::var("WAXSEAL_CRASHES") {
        Ok(kills) => kills.parse().expect("WAXSEAL_CRASHES is not a number"),
        Err(_) => 300,
    };
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path()).unwrap();
    let mut writers: Vec<Writer> = (0..WRITERS)
        .map(|number| Writer::start(number, folder.path()))
        .collect();
    let mut interrupted = 0;
    for kill in 0..kills {
        let random = scramble(kill + 7);
        let after = Duration::from_micros(scramble(kill) % 8_000);
        let writer = &mut writers[random as usize % WRITERS];
        interrupted += u64::from(if kill % 8 == 7 {
            writer.kill(&DirectoryStore::open(folder.path()).unwrap(), after)
        } else {
            writer.kill(&store, after)
        });
        writer.restart();
    }
    for writer in &mut writers {
        writer.kill(&store, Duration::ZERO);
    }
    // Most kills hit a change, or this tests little.
    assert!(interrupted * 2 > kills, "{interrupted} of {kills}");
    // All is there at once, and nothing else.
    let store = DirectoryStore::open(folder.path()).unwrap();
    let blobs: Vec<_> = writers.iter().flat_map(|writer| &writer.blobs).collect();
    for (name, content) in &blobs {
        assert!(bytes(&store, name) == **content, "{name}");
    }
    let listed = ready(store.list("", None, 100)).unwrap();
    let there = blobs
        .iter()
        .filter(|(_, content)| content.is_some())
        .count();
    assert_eq!(listed.len(), there);
    let files = std::fs::read_dir(folder.path().join("blobs"))
        .unwrap()
        .count();
    assert_eq!(files, there, "temporary files are left");
    println!("{interrupted} of {kills} kills hit a change");
}
