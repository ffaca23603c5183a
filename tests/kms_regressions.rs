//! What fuzzing found in the embedded KMS, one test for each.

use waxseal::SecretBytes;
use waxseal::blocking::wait;
use waxseal::kms::store::{
    Blob, BlobEntry, BlobStore, BlobVersion, Expected, MemoryStore, StoreError, StoreFuture,
};
use waxseal::kms::{CreateKey, KmsError, LocalKms, RootKey};

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
