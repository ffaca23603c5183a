//! Files that are not what was written.

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use waxseal::kms::store::{BlobStore, DirectoryStore, Expected, StoreError};

use crate::{bytes, ready, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("damage::every_bit_flipped", every_bit_flipped),
        trial("damage::every_truncation", every_truncation),
        trial(
            "damage::anything_else_in_its_place",
            anything_else_in_its_place,
        ),
        trial(
            "damage::repaired_by_writing_or_deleting",
            repaired_by_writing_or_deleting,
        ),
        trial("damage::longer_than_the_limit", longer_than_the_limit),
        trial("damage::of_the_changes", of_the_changes),
        trial("damage::of_the_marker", of_the_marker),
    ]
}

const CONTENT: &[u8] = b"sealed, and a little longer than a block of some cipher";

struct Fixture {
    folder: tempfile::TempDir,
    store: DirectoryStore,
    file: PathBuf,
    whole: Vec<u8>,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let builder = DirectoryStore::builder(folder.path()).without_sync();
        let store = builder.open().unwrap();
        ready(store.write("keys/1", CONTENT, Expected::Absent)).unwrap();
        ready(store.write("keys/2", b"neighbour", Expected::Absent)).unwrap();
        let file = folder.path().join("blobs/blob.keys.1");
        let whole = fs::read(&file).unwrap();
        Fixture {
            folder,
            store,
            file,
            whole,
        }
    }

    /// The blob is an error that names it, and all else is usable.
    fn expect_damage(&self, what: &str) {
        match ready(self.store.read("keys/1")) {
            Err(StoreError::Damaged { name, .. }) => assert_eq!(name, "keys/1", "{what}"),
            other => panic!("{what}: {other:?}"),
        }
        let listed = ready(self.store.list("keys/", None, 10)).unwrap();
        assert_eq!(listed.len(), 2, "{what}");
        assert_eq!(
            bytes(&self.store, "keys/2").unwrap(),
            b"neighbour",
            "{what}"
        );
    }
}

fn every_bit_flipped() {
    let fixture = Fixture::new();
    for bit in 0..fixture.whole.len() * 8 {
        let mut file = fixture.whole.clone();
        file[bit / 8] ^= 1 << (bit % 8);
        fs::write(&fixture.file, file).unwrap();
        fixture.expect_damage(&format!("bit {bit}"));
    }
    fs::write(&fixture.file, &fixture.whole).unwrap();
    assert_eq!(bytes(&fixture.store, "keys/1").unwrap(), CONTENT);
}

fn every_truncation() {
    let fixture = Fixture::new();
    for length in 0..fixture.whole.len() {
        fs::write(&fixture.file, &fixture.whole[..length]).unwrap();
        fixture.expect_damage(&format!("{length} bytes"));
        // As a disk leaves it that has the length and not the data.
        let mut zeros = fixture.whole[..length].to_vec();
        zeros.resize(fixture.whole.len(), 0);
        fs::write(&fixture.file, zeros).unwrap();
        if length + 1 < fixture.whole.len() {
            fixture.expect_damage(&format!("{length} bytes and zeros"));
        }
    }
    for more in [1, 100, 100_000] {
        let mut file = fixture.whole.clone();
        file.resize(file.len() + more, 0);
        fs::write(&fixture.file, file).unwrap();
        fixture.expect_damage(&format!("{more} bytes more"));
    }
}

fn anything_else_in_its_place() {
    let fixture = Fixture::new();
    let other = fs::read(fixture.folder.path().join("blobs/blob.keys.2")).unwrap();
    fs::write(&fixture.file, other).unwrap();
    fixture.expect_damage("another blob");
    let error = ready(fixture.store.read("keys/1")).unwrap_err().to_string();
    assert!(error.contains("keys/2"), "{error}");
    fs::write(&fixture.file, "notes").unwrap();
    fixture.expect_damage("a text");
    fs::remove_file(&fixture.file).unwrap();
    fs::create_dir(&fixture.file).unwrap();
    fixture.expect_damage("a folder");
    fs::remove_dir(&fixture.file).unwrap();
    #[cfg(unix)]
    {
        let target = fixture.folder.path().join("target");
        fs::write(&target, &fixture.whole).unwrap();
        std::os::unix::fs::symlink(&target, &fixture.file).unwrap();
        fixture.expect_damage("a link");
        let error = ready(fixture.store.read("keys/1")).unwrap_err().to_string();
        assert!(error.contains("symbolic link"), "{error}");
        // It is neither followed nor replaced.
        let entry = &ready(fixture.store.list("keys/1", None, 1)).unwrap()[0];
        let write = fixture
            .store
            .write("keys/1", b"x", Expected::Version(&entry.version));
        assert!(matches!(ready(write), Err(StoreError::Damaged { .. })));
        let create = fixture.store.write("keys/1", b"x", Expected::Absent);
        assert!(matches!(ready(create), Err(StoreError::Damaged { .. })));
        let delete = fixture.store.delete("keys/1", &entry.version);
        assert!(matches!(ready(delete), Err(StoreError::Damaged { .. })));
        assert_eq!(fs::read(&target).unwrap(), fixture.whole);
    }
}

fn repaired_by_writing_or_deleting() {
    for damage in [&b""[..], b"x", &[0; 500]] {
        for in_header in [true, false] {
            let fixture = Fixture::new();
            let mut file = damage.to_vec();
            if !in_header {
                // A whole header, and another content.
                file = fixture.whole.clone();
                *file.last_mut().unwrap() ^= 1;
            }
            fs::write(&fixture.file, &file).unwrap();
            fixture.expect_damage("damaged");
            let create = fixture.store.write("keys/1", b"x", Expected::Absent);
            assert!(matches!(ready(create), Err(StoreError::Conflict { .. })));
            let entry = &ready(fixture.store.list("keys/1", None, 1)).unwrap()[0];
            let write = fixture
                .store
                .write("keys/1", b"x", Expected::Version(&entry.version));
            ready(write).unwrap();
            assert_eq!(bytes(&fixture.store, "keys/1").unwrap(), b"x");
            fs::write(&fixture.file, &file).unwrap();
            let entry = &ready(fixture.store.list("keys/1", None, 1)).unwrap()[0];
            ready(fixture.store.delete("keys/1", &entry.version)).unwrap();
            assert_eq!(bytes(&fixture.store, "keys/1"), None);
        }
    }
}

fn longer_than_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path()).unwrap();
    let version = ready(store.write("a", &[7; 1001], Expected::Absent)).unwrap();
    let small = DirectoryStore::builder(folder.path())
        .max_blob_length(1000)
        .open()
        .unwrap();
    let too_large = |result: Result<(), StoreError>| match result {
        Err(StoreError::TooLarge {
            name,
            length,
            limit,
        }) => {
            assert_eq!((&*name, length, limit), ("a", 1001, 1000));
        }
        other => panic!("{other:?}"),
    };
    too_large(ready(small.read("a")).map(drop));
    too_large(ready(small.write("a", &[7; 1001], Expected::Version(&version))).map(drop));
    assert_eq!(ready(small.list("", None, 10)).unwrap()[0].version, version);
    let version = ready(small.write("a", &[7; 1000], Expected::Version(&version))).unwrap();
    assert_eq!(bytes(&small, "a").unwrap(), [7; 1000]);
    ready(small.delete("a", &version)).unwrap();
    let long = vec![0; (16 << 20) + 1];
    let write = ready(store.write("a", &long, Expected::Absent));
    assert!(matches!(write, Err(StoreError::TooLarge { .. })));
    ready(store.write("a", &long[1..], Expected::Absent)).unwrap();
    assert!(bytes(&store, "a").unwrap() == long[1..]);
}

/// The file `changes` may hold anything: it is mended.
fn of_the_changes() {
    let fixture = Fixture::new();
    let changes = fixture.folder.path().join("changes");
    let whole = fs::read(&changes).unwrap();
    let mut files: Vec<Vec<u8>> = (0..20 * 8)
        .map(|bit| {
            let mut file = whole.clone();
            file[bit / 8] ^= 1 << (bit % 8);
            file
        })
        .collect();
    files.extend(
        (0..whole.len())
            .step_by(13)
            .map(|length| whole[..length].to_vec()),
    );
    files.push([&whole[..], b"x"].concat());
    for file in files {
        fs::write(&changes, &file).unwrap();
        assert_eq!(bytes(&fixture.store, "keys/1").unwrap(), CONTENT);
        assert_eq!(ready(fixture.store.list("", None, 10)).unwrap().len(), 2);
        fs::write(&changes, &file).unwrap();
        let version = ready(fixture.store.write("c", b"x", Expected::Absent)).unwrap();
        assert_eq!(fs::read(&changes).unwrap().len(), whole.len());
        ready(fixture.store.delete("c", &version)).unwrap();
    }
    #[cfg(unix)]
    {
        let target = fixture.folder.path().join("target");
        fs::write(&target, &whole).unwrap();
        fs::remove_file(&changes).unwrap();
        std::os::unix::fs::symlink(&target, &changes).unwrap();
        ready(fixture.store.write("c", b"x", Expected::Absent)).unwrap();
        assert_eq!(fs::read(&target).unwrap(), whole);
        assert!(fs::symlink_metadata(&changes).unwrap().is_file());
    }
}

fn of_the_marker() {
    let fixture = Fixture::new();
    let marker = fixture.folder.path().join("waxseal-store");
    let whole = fs::read(&marker).unwrap();
    let open = || DirectoryStore::open(fixture.folder.path());
    let mut files: Vec<Vec<u8>> = (0..whole.len() * 8)
        .map(|bit| {
            let mut file = whole.clone();
            file[bit / 8] ^= 1 << (bit % 8);
            file
        })
        .collect();
    files.extend((0..whole.len()).map(|length| whole[..length].to_vec()));
    for file in files {
        fs::write(&marker, &file).unwrap();
        let error = open().unwrap_err();
        let clear = matches!(
            error,
            StoreError::NotAStore { .. } | StoreError::NewerFormat { .. }
        );
        assert!(clear, "{error}");
    }
    fs::write(&marker, "waxseal store, format 2\n").unwrap();
    match open() {
        Err(StoreError::NewerFormat {
            found: 2,
            supported: 1,
            location,
        }) => {
            let folder = fs::canonicalize(fixture.folder.path()).unwrap();
            assert_eq!(location, Path::new(&folder));
        }
        other => panic!("{other:?}"),
    }
    fs::remove_file(&marker).unwrap();
    let error = open().unwrap_err();
    assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
    assert!(error.to_string().contains("waxseal-store"), "{error}");
    fs::write(&marker, &whole).unwrap();
    assert_eq!(bytes(&open().unwrap(), "keys/1").unwrap(), CONTENT);
}
