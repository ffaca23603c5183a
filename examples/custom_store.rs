//! A store of your own for the embedded KMS: here the rows of a table, as a
//! database has them.
//!
//! A store keeps named blobs. What it must do is small: read one, write and
//! delete one *if it is still at the version that the caller knows*, and list
//! names. In SQL:
//!
//! ```sql
//! CREATE TABLE blobs (name TEXT PRIMARY KEY, version BIGINT, bytes BLOB);
//! INSERT INTO blobs VALUES (?, ?, ?);                                   -- Expected::Absent
//! UPDATE blobs SET version = ?, bytes = ? WHERE name = ? AND version = ?; -- Expected::Version
//! DELETE FROM blobs WHERE name = ? AND version = ?;
//! ```
//!
//! where no row was changed, that is a conflict. `cargo run --example
//! custom_store` uses it; `cargo test --example custom_store --features
//! test-util` checks that it does what every store must.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use waxseal::blocking::{self, Client};
use waxseal::kms::store::{
    Blob, BlobEntry, BlobStore, BlobVersion, Expected, StoreError, StoreFuture, check_length,
    check_name,
};
use waxseal::kms::{CreateKey, LocalKms, RootKey};
use waxseal::{EncryptionContext, SecretBytes};

const MAX_BLOB_LENGTH: usize = 16 << 20;

/// Stands for a connection to a database. Clones share the table.
#[derive(Clone, Default)]
struct TableStore(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    rows: BTreeMap<String, Row>,
    /// A version is never used twice, not even for a row that was deleted and
    /// made again.
    last_version: u64,
}

struct Row {
    version: u64,
    bytes: Vec<u8>,
}

impl Row {
    fn version(&self) -> BlobVersion {
        BlobVersion::new(self.version.to_string())
    }
}

impl TableStore {
    /// What a transaction is in a database: all of it, or nothing.
    fn transaction<T>(&self, work: impl FnOnce(&mut Table) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn conflict(name: &str) -> StoreError {
    StoreError::Conflict {
        name: name.to_owned(),
    }
}

impl BlobStore for TableStore {
    fn read<'a>(&'a self, name: &'a str) -> StoreFuture<'a, Option<Blob>> {
        Box::pin(async move {
            check_name(name)?;
            Ok(self.transaction(|table| {
                let row = table.rows.get(name)?;
                Some(Blob::new(row.bytes.clone(), row.version()))
            }))
        })
    }

    fn write<'a>(
        &'a self,
        name: &'a str,
        bytes: &'a [u8],
        expected: Expected<'a>,
    ) -> StoreFuture<'a, BlobVersion> {
        Box::pin(async move {
            check_name(name)?;
            check_length(name, bytes, MAX_BLOB_LENGTH)?;
            self.transaction(|table| {
                let current = table.rows.get(name).map(Row::version);
                if !expected.fits(current.as_ref()) {
                    return Err(conflict(name));
                }
                table.last_version += 1;
                let row = Row {
                    version: table.last_version,
                    bytes: bytes.to_vec(),
                };
                let version = row.version();
                table.rows.insert(name.to_owned(), row);
                // Return only once it is on the disk: commit, with a sync. If
                // the connection broke before the answer came, return
                // `StoreError::Uncertain`: the KMS then looks.
                Ok(version)
            })
        })
    }

    fn delete<'a>(&'a self, name: &'a str, expected: &'a BlobVersion) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            check_name(name)?;
            self.transaction(|table| {
                if table.rows.get(name).map(Row::version).as_ref() != Some(expected) {
                    return Err(conflict(name));
                }
                table.rows.remove(name);
                Ok(())
            })
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<BlobEntry>> {
        Box::pin(async move {
            Ok(self.transaction(|table| {
                let rows = table.rows.iter();
                let wanted = rows.filter(|(name, _)| {
                    name.starts_with(prefix) && after.is_none_or(|after| name.as_str() > after)
                });
                let entries = wanted.map(|(name, row)| BlobEntry::new(name, row.version()));
                entries.take(limit).collect()
            }))
        })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let table = TableStore::default();
    // Keep a root key where the table is not, or use a passphrase or a provider.
    let root = || RootKey::bytes(SecretBytes::from(vec![7; 32]));

    let kms = blocking::wait(LocalKms::builder(table.clone(), root()).open())?;
    blocking::wait(kms.create_key(CreateKey::new().alias("alias/app")))?;
    let context = EncryptionContext::from([("tenant", "7")]);
    let message = Client::new(kms.provider("alias/app")).encrypt(b"attack at dawn", &context)?;

    // Another process, so to say, on the same table.
    let other = blocking::wait(LocalKms::builder(table.clone(), root()).open())?;
    let opened = Client::new(other.provider("alias/app")).decrypt(&message, &context)?;
    assert_eq!(opened.plaintext, b"attack at dawn");

    table.transaction(|table| {
        for (name, row) in &table.rows {
            let (length, version) = (row.bytes.len(), row.version);
            println!("{name}: {length} sealed bytes, version {version}");
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "test-util")]
    #[test]
    fn does_what_every_store_does() {
        for behaviour in waxseal::kms::store::behaviour::all() {
            println!("{}", behaviour.name());
            behaviour.check(Arc::new(TableStore::default()));
        }
    }

    #[test]
    fn runs() {
        main().unwrap();
    }
}
