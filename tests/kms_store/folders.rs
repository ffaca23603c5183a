//! The folder: how it is made, what else may be in it, who may use it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use libtest_mimic::Trial;
use waxseal::kms::store::{BlobStore, DirectoryStore, Expected, StoreError};

use crate::{bytes, ready, trial};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial(
            "folders::made_where_there_is_none",
            made_where_there_is_none,
        ),
        trial("folders::not_made_unless_wanted", not_made_unless_wanted),
        trial(
            "folders::foreign_ones_are_left_alone",
            foreign_ones_are_left_alone,
        ),
        trial("folders::foreign_files_inside", foreign_files_inside),
        trial("folders::parts_that_are_missing", parts_that_are_missing),
        trial("folders::leftovers_are_removed", leftovers_are_removed),
        trial("folders::ten_thousand_blobs", ten_thousand_blobs),
        trial(
            "folders::debug_and_errors_read_well",
            debug_and_errors_read_well,
        ),
    ];
    if cfg!(unix) {
        trials.extend([
            trial("folders::nobody_else_may_enter", nobody_else_may_enter),
            trial("folders::links", links),
            trial(
                "folders::old_content_is_overwritten",
                old_content_is_overwritten,
            ),
            trial(
                "folders::backups_by_links_keep_theirs",
                backups_by_links_keep_theirs,
            ),
            trial("folders::read_only", read_only),
        ]);
    }
    trials
}

fn not_a_store(error: StoreError, about: &str) {
    let clear = matches!(error, StoreError::NotAStore { .. });
    assert!(clear && error.to_string().contains(about), "{error}");
}

fn write(store: &DirectoryStore, name: &str, bytes: &[u8]) {
    let current = ready(store.read(name)).unwrap();
    let expected = match &current {
        Some(blob) => Expected::Version(&blob.version),
        None => Expected::Absent,
    };
    ready(store.write(name, bytes, expected)).unwrap();
}

fn made_where_there_is_none() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("a/b/store");
    let store = DirectoryStore::open(&folder).unwrap();
    write(&store, "keys/1", b"x");
    assert_eq!(store.folder(), fs::canonicalize(&folder).unwrap());
    drop(store);
    let store = DirectoryStore::builder(&folder)
        .create(false)
        .open()
        .unwrap();
    assert_eq!(bytes(&store, "keys/1").unwrap(), b"x");
    // An empty folder, and one with what systems put into each.
    let folder = parent.path().join("empty");
    fs::create_dir(&folder).unwrap();
    fs::create_dir(folder.join("lost+found")).unwrap();
    fs::write(folder.join(".DS_Store"), "x").unwrap();
    write(&DirectoryStore::open(&folder).unwrap(), "a", b"x");
    assert_eq!(
        bytes(&DirectoryStore::open(&folder).unwrap(), "a").unwrap(),
        b"x"
    );
}

fn not_made_unless_wanted() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("store");
    let open = || DirectoryStore::builder(&folder).create(false).open();
    not_a_store(open().unwrap_err(), "no such folder");
    assert!(!folder.exists());
    fs::create_dir(&folder).unwrap();
    not_a_store(open().unwrap_err(), "waxseal-store");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

fn foreign_ones_are_left_alone() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("photos");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("holiday.jpg"), "x").unwrap();
    not_a_store(DirectoryStore::open(&folder).unwrap_err(), "holiday.jpg");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    let file = folder.join("holiday.jpg");
    not_a_store(DirectoryStore::open(&file).unwrap_err(), "not a folder");
    let below = DirectoryStore::open(file.join("store")).unwrap_err();
    assert!(matches!(below, StoreError::Io { .. }), "{below}");
}

fn foreign_files_inside() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path()).unwrap();
    write(&store, "a", b"x");
    let blobs = folder.path().join("blobs");
    for name in [
        ".DS_Store",
        "notes.txt",
        "blob.",
        "blob.A",
        "blob.a..b",
        "blob.a~",
        "blob",
    ] {
        fs::write(blobs.join(name), "x").unwrap();
    }
    fs::create_dir(blobs.join("folder")).unwrap();
    let store = DirectoryStore::open(folder.path()).unwrap();
    let listed = ready(store.list("", None, 100)).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].name, "a");
    ready(store.delete("a", &listed[0].version)).unwrap();
    assert_eq!(fs::read_dir(&blobs).unwrap().count(), 8);
}

fn parts_that_are_missing() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path()).unwrap();
    write(&store, "a", b"x");
    // These are made again.
    for file in ["lock", "changes"] {
        fs::remove_file(folder.path().join(file)).unwrap();
        assert_eq!(bytes(&store, "a").unwrap(), b"x");
        fs::remove_file(folder.path().join(file)).ok();
        write(&store, "a", b"x");
        fs::remove_file(folder.path().join(file)).unwrap();
        assert_eq!(ready(store.list("", None, 9)).unwrap().len(), 1);
        let store = DirectoryStore::open(folder.path()).unwrap();
        assert_eq!(bytes(&store, "a").unwrap(), b"x");
    }
    // These are not, and an error is not an absent blob.
    let away = folder.path().join("away");
    fs::rename(folder.path().join("blobs"), &away).unwrap();
    not_a_store(
        DirectoryStore::open(folder.path()).unwrap_err(),
        "'blobs' is missing",
    );
    assert!(ready(store.write("b", b"x", Expected::Absent)).is_err());
    assert!(ready(store.list("", None, 9)).is_err());
    fs::rename(&away, folder.path().join("blobs")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("moved");
    fs::rename(folder.path(), &moved).unwrap();
    assert!(ready(store.read("a")).is_err());
    assert!(ready(store.list("", None, 9)).is_err());
    assert!(ready(store.write("b", b"x", Expected::Absent)).is_err());
    assert_eq!(
        bytes(&DirectoryStore::open(&moved).unwrap(), "a").unwrap(),
        b"x"
    );
}

fn leftovers_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path()).unwrap();
    write(&store, "a", b"x");
    let blobs = folder.path().join("blobs");
    let names = || {
        let entries = fs::read_dir(&blobs)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    };
    fs::write(blobs.join("tmp.0123"), "half a blob").unwrap();
    fs::write(blobs.join("old"), "half overwritten").unwrap();
    DirectoryStore::open(folder.path()).unwrap();
    assert_eq!(names(), ["blob.a"]);
    // A second name of a blob that was not replaced after all.
    fs::hard_link(blobs.join("blob.a"), blobs.join("old")).unwrap();
    write(&store, "b", b"x");
    assert_eq!(names(), ["blob.a", "blob.b"]);
    assert_eq!(bytes(&store, "a").unwrap(), b"x");
    // Deleting removes what may be another copy.
    fs::write(blobs.join("tmp.0123"), "half a blob").unwrap();
    let version = ready(store.read("b")).unwrap().unwrap().version;
    ready(store.delete("b", &version)).unwrap();
    assert_eq!(names(), ["blob.a"]);
}

/// Listing and reading is for opening a KMS. How long it takes is said, not
/// asserted: it is the machine's too.
fn ten_thousand_blobs() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::builder(folder.path())
        .without_sync()
        .open()
        .unwrap();
    for number in 0..10_000 {
        let name = format!("keys/{number:05}");
        ready(store.write(&name, &[7; 400], Expected::Absent)).unwrap();
    }
    let began = Instant::now();
    let mut after = None;
    let mut read = 0;
    loop {
        let page = ready(store.list("keys/", after.as_deref(), 1000)).unwrap();
        let Some(last) = page.last() else {
            break;
        };
        after = Some(last.name.clone());
        for entry in &page {
            let blob = ready(store.read(&entry.name)).unwrap().unwrap();
            assert_eq!(blob.version, entry.version);
            read += blob.bytes.len() / 400;
        }
    }
    let took = began.elapsed();
    assert_eq!(read, 10_000);
    println!("10,000 blobs listed and read in {took:?}");
}

fn debug_and_errors_read_well() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path()).unwrap();
    assert!(format!("{store:?}").starts_with("DirectoryStore(\""));
    write(&store, "a", b"very secret");
    let blob = ready(store.read("a")).unwrap().unwrap();
    let shown = format!("{blob:?}");
    assert!(shown.starts_with("Blob(11 bytes, "), "{shown}");
    let error = ready(store.write("a", b"", Expected::Absent)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the blob 'a' is not at the expected version"
    );
    let error = ready(store.read("../\u{1b}[1mä")).unwrap_err().to_string();
    assert!(
        error.starts_with("'../\\u{1b}[1m\\u{e4}' is not a blob's name"),
        "{error}"
    );
}

#[cfg(unix)]
fn nobody_else_may_enter() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("a/store");
    let store = DirectoryStore::open(&folder).unwrap();
    write(&store, "keys/1", b"x");
    write(&store, "keys/1", b"y");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for path in ["a", "a/store", "a/store/blobs"] {
        assert_eq!(mode(&parent.path().join(path)), 0o700, "{path}");
    }
    for path in ["waxseal-store", "lock", "changes", "blobs/blob.keys.1"] {
        assert_eq!(mode(&folder.join(path)), 0o600, "{path}");
    }
}

#[cfg(unix)]
fn links() {
    use std::os::unix::fs::symlink;
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("store");
    let store = DirectoryStore::open(&folder).unwrap();
    write(&store, "a", b"x");
    // The folder itself may be reached by a link.
    let link = parent.path().join("link");
    symlink(&folder, &link).unwrap();
    let linked = DirectoryStore::open(&link).unwrap();
    assert_eq!(linked.folder(), store.folder());
    // Its parts may not.
    for part in ["waxseal-store", "lock", "blobs"] {
        let path = folder.join(part);
        let away = parent.path().join(part);
        fs::rename(&path, &away).unwrap();
        symlink(&away, &path).unwrap();
        let error = match part {
            // Opening does not need the lock.
            "lock" => ready(store.write("b", b"x", Expected::Absent)).unwrap_err(),
            _ => DirectoryStore::open(&folder).unwrap_err(),
        };
        not_a_store(error, part);
        fs::remove_file(&path).unwrap();
        fs::rename(&away, &path).unwrap();
    }
    assert_eq!(
        bytes(&DirectoryStore::open(&folder).unwrap(), "a").unwrap(),
        b"x"
    );
}

/// Seen through names that the test adds while the store is at it, which is
/// why the content is looked for where the second name leads.
#[cfg(unix)]
fn old_content_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path()).unwrap();
    let file = folder.path().join("blobs/blob.a");
    // An open file is not a name: through it the content can be seen after.
    let read = |mut file: fs::File| {
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut file, &mut content).unwrap();
        content
    };
    write(&store, "a", b"first content");
    let opened = fs::File::open(&file).unwrap();
    write(&store, "a", b"second content");
    let left = read(opened);
    assert!(
        left.len() > 100 && left.iter().all(|byte| *byte == 0),
        "{left:?}"
    );
    let opened = fs::File::open(&file).unwrap();
    let version = ready(store.read("a")).unwrap().unwrap().version;
    ready(store.delete("a", &version)).unwrap();
    let left = read(opened);
    assert!(
        left.len() > 100 && left.iter().all(|byte| *byte == 0),
        "{left:?}"
    );
}

#[cfg(unix)]
fn backups_by_links_keep_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path()).unwrap();
    write(&store, "a", b"content");
    let backup = folder.path().join("backup");
    fs::hard_link(folder.path().join("blobs/blob.a"), &backup).unwrap();
    write(&store, "a", b"new content");
    let kept = fs::read(&backup).unwrap();
    assert!(kept.ends_with(b"content"), "{kept:?}");
    assert_eq!(
        fs::read_dir(folder.path().join("blobs")).unwrap().count(),
        1
    );
}

/// As a user who may only read. The superuser may do anything, so that where
/// the tests are run by it, another process is somebody else.
#[cfg(unix)]
fn read_only() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65534;
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("store");
    let store = DirectoryStore::open(&folder).unwrap();
    write(&store, "a", b"x");
    let superuser = fs::metadata(&folder).unwrap().uid() == 0;
    let mut paths: Vec<PathBuf> = [
        "waxseal-store",
        "lock",
        "changes",
        "blobs/blob.a",
        "blobs",
        "",
    ]
    .map(|path| folder.join(path))
    .to_vec();
    let set_modes = |paths: &[PathBuf], file: u32, folder: u32| {
        for path in paths {
            let mode = if path.is_dir() { folder } else { file };
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            if superuser {
                chown(path, Some(NOBODY), None).unwrap();
            }
        }
    };
    // With a settled store, without what is needed to know that, and as if a
    // writer had been killed.
    for state in ["settled", "killed", "no changes", "no lock"] {
        set_modes(&paths, 0o400, 0o500);
        if superuser {
            let program = parent.path().join("program");
            fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
            set_modes(&[parent.path().to_owned()], 0, 0o755);
            set_modes(std::slice::from_ref(&program), 0o755, 0);
            let mut command = std::process::Command::new(&program);
            command
                .uid(NOBODY)
                .env(crate::CHILD, format!("read-only|{}|", folder.display()));
            match command.status() {
                Ok(status) => assert!(status.success(), "{state}"),
                Err(error) => {
                    let note = format!("SKIPPED, NOT RUN: read-only as another user: {error}\n");
                    std::io::stderr().write_all(note.as_bytes()).unwrap();
                }
            }
        } else {
            use_read_only(&folder);
        }
        set_modes(&paths, 0o600, 0o700);
        match state {
            "settled" => {
                let changes = folder.join("changes");
                let mut content = fs::read(&changes).unwrap();
                content[15] = b'1';
                fs::write(&changes, content).unwrap();
            }
            "killed" => {
                fs::remove_file(folder.join("changes")).unwrap();
                paths.retain(|path| !path.ends_with("changes"));
            }
            _ if folder.join("lock").exists() => {
                fs::remove_file(folder.join("lock")).unwrap();
                paths.retain(|path| !path.ends_with("lock"));
            }
            _ => {}
        }
    }
}

pub(crate) fn use_read_only(folder: &Path) {
    let store = DirectoryStore::open(folder).unwrap();
    assert_eq!(bytes(&store, "a").unwrap(), b"x");
    assert_eq!(bytes(&store, "b"), None);
    let listed = ready(store.list("", None, 10)).unwrap();
    assert_eq!(listed.len(), 1);
    ready(store.change_token("a")).unwrap().unwrap();
    let version = &listed[0].version;
    let errors = [
        ready(store.write("b", b"x", Expected::Absent)).unwrap_err(),
        ready(store.write("a", b"x", Expected::Version(version))).unwrap_err(),
        ready(store.delete("a", version)).unwrap_err(),
        DirectoryStore::open(folder.join("blobs/new")).unwrap_err(),
    ];
    for error in errors {
        let clear = matches!(error, StoreError::AccessDenied { .. });
        assert!(clear, "{error}");
    }
    assert_eq!(bytes(&store, "a").unwrap(), b"x");
}
