//! What fuzzing found in the embedded KMS, one test for each.

use waxseal::blocking::wait;
use waxseal::kms::store::{
    Blob, BlobEntry, BlobStore, BlobVersion, Expected, MemoryStore, StoreError, StoreFuture,
};
use waxseal::kms::{CreateKey, KmsError, LocalKms, RootKey};
use waxseal::{EncryptionContext, SecretBytes};

fn root() -> RootKey {
    RootKey::bytes(SecretBytes::from(vec![9; 32]))
}

fn open(store: impl BlobStore + 'static) -> LocalKms {
    wait(LocalKms::builder(store, root()).open()).unwrap()
}

/// Damages one blob as a file system can: it is listed, and cannot be read.
#[derive(Clone)]
struct Damaged(MemoryStore, String);

impl BlobStore for Damaged {
    fn read<'a>(&'a self, name: &'a str) -> StoreFuture<'a, Option<Blob>> {
        if name == self.1 {
            let (name, reason) = (name.to_owned(), "a bad sector".to_owned());
            let error = StoreError::Damaged { name, reason };
            return Box::pin(std::future::ready(Err(error)));
        }
        self.0.read(name)
    }

    fn write<'a>(
        &'a self,
        name: &'a str,
        bytes: &'a [u8],
        expected: Expected<'a>,
    ) -> StoreFuture<'a, BlobVersion> {
        self.0.write(name, bytes, expected)
    }

    fn delete<'a>(&'a self, name: &'a str, expected: &'a BlobVersion) -> StoreFuture<'a, ()> {
        self.0.delete(name, expected)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<BlobEntry>> {
        self.0.list(prefix, after, limit)
    }
}

/// A key's blob that the store itself finds damaged: it was no part of the
/// page, and the listing failed.
#[test]
fn a_damaged_blob_hides_no_other_key() {
    let store = MemoryStore::new();
    let kms = open(store.clone());
    let one = wait(kms.create_key(CreateKey::new().alias("alias/one"))).unwrap();
    let two = wait(kms.create_key(CreateKey::new())).unwrap();

    let name = format!("keys/{}", one.id);
    let kms = open(Damaged(store, name.clone()));
    let page = wait(kms.list_keys(None, 10)).unwrap();
    let ids: Vec<_> = page.keyrings.iter().map(|key| &key.id).collect();
    assert_eq!(ids, [&two.id]);
    match &page.damaged[..] {
        [KmsError::Record { name: named, .. }] => assert_eq!(*named, name),
        other => panic!("{other:?}"),
    }
    // Its aliases are not free for that.
    let aliases = wait(kms.list_aliases(None)).unwrap();
    assert_eq!(aliases.aliases.len(), 1);
    let taken = wait(kms.create_alias("alias/one", &two.id));
    assert!(matches!(taken, Err(KmsError::AlreadyExists { .. })));
}

fn put(store: &MemoryStore, name: &str, bytes: &[u8]) {
    let old = wait(store.read(name)).unwrap();
    let expected = match &old {
        Some(blob) => Expected::Version(&blob.version),
        None => Expected::Absent,
    };
    wait(store.write(name, bytes, expected)).unwrap();
}

/// A foreign blob whose name holds a key's twice: its key was listed again, and
/// pages of one went in a circle.
#[test]
fn a_foreign_name_is_no_key() {
    let store = MemoryStore::new();
    let kms = open(store.clone());
    let key = wait(kms.create_key(CreateKey::new())).unwrap();
    put(&store, &format!("keys/keys/{}", key.id), b"foreign");
    let page = wait(kms.list_keys(None, 10)).unwrap();
    // It is told of, as something that belongs to no key.
    assert_eq!((page.keyrings.len(), page.damaged.len()), (1, 1));
    let page = wait(kms.list_keys(None, 1)).unwrap();
    let page = wait(kms.list_keys(page.next.as_deref(), 1)).unwrap();
    assert!(page.keyrings.is_empty());
    assert_eq!(page.next, None);
    assert!(wait(kms.run_due()).unwrap().is_empty());
}

/// A backup that is older than what the process has read, imported over a
/// damaged record: the process went on with the backing keys that it
/// remembered, and what it encrypted with them nobody could decrypt after it.
#[test]
fn an_import_over_a_damaged_record_is_seen() {
    let store = MemoryStore::new();
    let kms = open(store.clone());
    let under = RootKey::bytes(SecretBytes::from(vec![8; 32]));
    let key = wait(kms.create_key(CreateKey::new())).unwrap();
    let backup = wait(kms.export(&under)).unwrap();
    assert_eq!(wait(kms.rotate(&key.id)).unwrap(), 2);

    put(&store, &format!("keys/{}", key.id), &[1]);
    assert_eq!(wait(kms.import(&backup, &under)).unwrap().restored, 1);
    let seen = wait(kms.describe_key(&key.id)).unwrap();
    assert_eq!(seen.current_version(), 1);
    let context = EncryptionContext::new();
    let sealed = wait(kms.encrypt(&key.id, b"x", &context)).unwrap();
    let again = open(store);
    let opened = wait(again.decrypt(&sealed.blob, None, &context)).unwrap();
    assert_eq!(opened.plaintext.expose(), b"x");
}

/// A damaged record that looks as if a newer version had written it: it ended
/// the import, and the records after it were not restored.
#[test]
fn an_import_goes_on_after_a_newer_record() {
    let store = MemoryStore::new();
    let kms = open(store.clone());
    let under = RootKey::bytes(SecretBytes::from(vec![8; 32]));
    let keys = [(); 2].map(|()| wait(kms.create_key(CreateKey::new())).unwrap());
    let mut names = keys.map(|key| format!("keys/{}", key.id));
    names.sort_unstable();
    let backup = wait(kms.export(&under)).unwrap();
    put(&store, &names[0], &[2]);
    put(&store, &names[1], &[1]);
    let newer = |result| match result {
        Err(KmsError::Record { name, .. }) => assert_eq!(name, names[0]),
        other => panic!("{other:?}"),
    };
    newer(wait(kms.import(&backup, &under)).map(drop));
    let page = wait(kms.list_keys(None, 10)).unwrap();
    assert_eq!((page.keyrings.len(), page.damaged.len()), (1, 1));
    // It is not overwritten, this time neither.
    newer(wait(kms.import(&backup, &under)).map(drop));
}
