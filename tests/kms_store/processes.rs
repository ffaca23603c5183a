//! Several handles and processes on one folder.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use waxseal::kms::store::{BlobStore, DirectoryStore, Expected, StoreError};

use crate::{CHILD, bytes, crashes, folders, ready, system, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("processes::no_increment_is_lost", no_increment_is_lost),
        trial(
            "processes::all_at_once_make_one_store",
            all_at_once_make_one_store,
        ),
        trial("processes::a_lock_that_hangs", a_lock_that_hangs),
        trial(
            "processes::tokens_tell_of_other_handles",
            tokens_tell_of_other_handles,
        ),
    ]
}

/// A process that does some work on a folder: see [`child`].
pub(crate) fn start(work: &str, folder: &Path, argument: &str) -> Child {
    start_as(
        &mut Command::new(std::env::current_exe().unwrap()),
        work,
        folder,
        argument,
    )
}

pub(crate) fn start_as(command: &mut Command, work: &str, folder: &Path, argument: &str) -> Child {
    command
        .env(CHILD, format!("{work}|{}|{argument}", folder.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What the processes do that tests start.
pub(crate) fn child(work: &str) -> ExitCode {
    let mut parts = work.split('|');
    let mut part = || parts.next().unwrap();
    let (work, folder, argument) = (part(), Path::new(part()), part());
    match work {
        "increment" => increment(folder, argument.parse().unwrap()),
        "make" => make(folder, argument),
        "write" => crashes::write(folder, argument),
        "once" => system::work(folder),
        "read-only" => folders::use_read_only(folder),
        _ => panic!("no such work: {work}"),
    }
    ExitCode::SUCCESS
}

pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).unwrap();
}

fn no_increment_is_lost() {
    const PROCESSES: usize = 8;
    const INCREMENTS: usize = 25;
    let folder = tempfile::tempdir().unwrap();
    let children: Vec<Child> = (0..PROCESSES)
        .map(|_| start("increment", folder.path(), &INCREMENTS.to_string()))
        .collect();
    let mut all = Vec::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let counts: Vec<usize> = String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| line.parse().unwrap())
            .collect();
        assert!(counts.is_sorted());
        all.extend(counts);
    }
    // Each has written other numbers, and all of them.
    all.sort_unstable();
    assert!(
        all.iter().copied().eq(1..=PROCESSES * INCREMENTS),
        "{all:?}"
    );
    let store = DirectoryStore::open(folder.path()).unwrap();
    let count = bytes(&store, "counter").unwrap();
    assert_eq!(count, (PROCESSES * INCREMENTS).to_string().into_bytes());
}

fn increment(folder: &Path, times: usize) {
    let store = DirectoryStore::builder(folder)
        .lock_timeout(Duration::from_secs(120))
        .open()
        .unwrap();
    let mut done = 0;
    while done < times {
        let blob = ready(store.read("counter")).unwrap();
        let count: usize = blob.as_ref().map_or(0, |blob| {
            std::str::from_utf8(&blob.bytes).unwrap().parse().unwrap()
        });
        let next = (count + 1).to_string();
        let expected = match &blob {
            Some(blob) => Expected::Version(&blob.version),
            None => Expected::Absent,
        };
        match ready(store.write("counter", next.as_bytes(), expected)) {
            Ok(_) => {
                say(&next);
                done += 1;
            }
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn all_at_once_make_one_store() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("not/there/yet");
    let children: Vec<Child> = (0..8)
        .map(|number| start("make", &folder, &number.to_string()))
        .collect();
    for child in children {
        assert!(child.wait_with_output().unwrap().status.success());
    }
    let store = DirectoryStore::builder(&folder)
        .create(false)
        .open()
        .unwrap();
    for number in 0..8 {
        assert_eq!(bytes(&store, &format!("made/{number}")).unwrap(), b"x");
    }
}

fn make(folder: &Path, number: &str) {
    let store = DirectoryStore::open(folder).unwrap();
    ready(store.write(&format!("made/{number}"), b"x", Expected::Absent)).unwrap();
}

/// Somebody holds the lock and does nothing.
fn a_lock_that_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::builder(folder.path())
        .lock_timeout(Duration::from_millis(50))
        .open()
        .unwrap();
    let version = ready(store.write("a", b"x", Expected::Absent)).unwrap();
    let lock = std::fs::File::open(folder.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let began = Instant::now();
    let error = ready(store.delete("a", &version)).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    assert!(error.is_retryable());
    assert!(error.to_string().contains("lock"), "{error}");
    assert!(began.elapsed() >= Duration::from_millis(50));
    // Threads that queue behind one another give up too.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let error = ready(store.delete("a", &version)).unwrap_err();
                assert!(matches!(error, StoreError::Locked { .. }), "{error}");
            });
        }
    });
    // Others read, list and open.
    let other = DirectoryStore::open(folder.path()).unwrap();
    assert_eq!(bytes(&other, "a").unwrap(), b"x");
    assert_eq!(ready(other.list("", None, 10)).unwrap().len(), 1);
    drop(lock);
    ready(store.delete("a", &version)).unwrap();
}

fn tokens_tell_of_other_handles() {
    let folder = tempfile::tempdir().unwrap();
    let one = DirectoryStore::open(folder.path()).unwrap();
    let other = DirectoryStore::open(folder.path()).unwrap();
    let token = |prefix: &str| ready(one.change_token(prefix)).unwrap().unwrap();
    let (keys, usage, all) = (token("keys/"), token("usage/"), token(""));
    assert_eq!(token("keys/"), keys);
    let version = ready(other.write("keys/1", b"x", Expected::Absent)).unwrap();
    assert_ne!(token("keys/"), keys);
    assert_ne!(token(""), all);
    // These two prefixes do not share a slot.
    assert_eq!(token("usage/"), usage);
    let keys = token("keys/1");
    ready(other.delete("keys/1", &version)).unwrap();
    assert_ne!(token("keys/1"), keys);
    // Without the file, nothing is known to be the same.
    let keys = token("keys/");
    std::fs::remove_file(folder.path().join("changes")).unwrap();
    assert_ne!(token("keys/"), keys);
    assert_eq!(token("keys/"), token("keys/"));
}
