//! What the operating system is really asked for. The simulated disks of the
//! library's own tests show that each sync is needed; this shows that it is
//! made. Needs strace.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use libtest_mimic::Trial;
use waxseal::kms::store::{BlobStore, DirectoryStore, Expected};

use crate::processes::start_as;
use crate::{ready, trial};

pub(crate) fn trials() -> Vec<Trial> {
    if cfg!(target_os = "linux") {
        vec![trial(
            "system::syncs_before_it_says_so",
            syncs_before_it_says_so,
        )]
    } else {
        Vec::new()
    }
}

/// The traced process.
pub(crate) fn work(folder: &Path) {
    let store = DirectoryStore::open(folder).unwrap();
    let version = ready(store.write("a", b"x", Expected::Absent)).unwrap();
    let version = ready(store.write("a", b"y", Expected::Version(&version))).unwrap();
    ready(store.delete("a", &version)).unwrap();
}

fn syncs_before_it_says_so() {
    let temporary = tempfile::tempdir().unwrap();
    let parent = std::fs::canonicalize(temporary.path()).unwrap();
    let folder = parent.join("store");
    let trace = parent.join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-e"]);
    strace.arg("trace=/^(f(data)?sync|rename.*|link(at)?|unlink(at)?|mkdir(at)?)$");
    strace
        .arg("-o")
        .arg(&trace)
        .arg(std::env::current_exe().unwrap());
    let found = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .status();
    if !found.is_ok_and(|status| status.success()) {
        let note =
            "SKIPPED, NOT RUN: strace cannot be used here, so nothing shows the real syncs\n";
        std::io::stderr().write_all(note.as_bytes()).unwrap();
        return;
    }
    let status = start_as(&mut strace, "once", &folder, "").wait().unwrap();
    assert!(status.success());
    let trace = std::fs::read_to_string(&trace).unwrap();
    let calls: Vec<String> = trace
        .lines()
        .filter_map(|line| call(line, &parent))
        .collect();
    let expected = [
        "mkdir store",
        "mkdir store/blobs",
        "fsync store",
        "fsync store/waxseal-store.new",
        "rename store/waxseal-store.new store/waxseal-store",
        "fsync store",
        "fsync ",
        "fsync store/blobs",
        // Creating.
        "fsync store/blobs/tmp",
        "rename store/blobs/tmp store/blobs/blob.a",
        "fsync store/blobs",
        // Replacing.
        "fsync store/blobs/tmp",
        "link store/blobs/blob.a store/blobs/old",
        "rename store/blobs/tmp store/blobs/blob.a",
        "fsync store/blobs",
        "fsync store/blobs/old",
        "unlink store/blobs/old",
        // Deleting.
        "rename store/blobs/blob.a store/blobs/old",
        "fsync store/blobs",
        "fsync store/blobs/old",
        "unlink store/blobs/old",
    ];
    assert_eq!(calls, expected, "{trace}");
}

/// A line of the trace: the call and its paths within the folder, without
/// those of folders above it.
fn call(line: &str, parent: &Path) -> Option<String> {
    let (_, call) = line.split_once(' ')?;
    let (name, arguments) = call.trim().split_once('(')?;
    assert!(line.ends_with("= 0"), "{line}");
    let name = name.trim_end_matches("at2").trim_end_matches("at");
    let paths: Vec<&str> = match name {
        "fsync" | "fdatasync" => vec![arguments.split(['<', '>']).nth(1)?],
        _ => arguments.split('"').skip(1).step_by(2).collect(),
    };
    let mut shown = name.to_owned();
    for path in paths {
        let path = Path::new(path).strip_prefix(parent).ok()?.to_str()?;
        let path = path
            .split_once("tmp.")
            .map_or(path.to_owned(), |(before, _)| format!("{before}tmp"));
        shown = format!("{shown} {path}");
    }
    Some(shown)
}
