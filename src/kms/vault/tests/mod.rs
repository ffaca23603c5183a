//! The vault over stores in memory, whole, damaged and failing.

mod backups;
mod creation;
mod faulty;
mod hostile;
mod provider;
mod records;
mod roots;
mod rotation;

use std::sync::Arc;

use faulty::FaultyStore;

use super::{Creation, PassphraseCost, RootKey, Stamp, Stored, Vault};
use crate::client::blocking::block_on;
use crate::crypto::{CryptoBackend, SecretBytes};
use crate::kms::codec::{Codec, Reader, Writer};
use crate::kms::error::{KmsError, KmsResult, RecordProblem};
use crate::kms::store::{BlobStore, StoreError};

/// A value such as the KMS stores.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Value {
    text: String,
    number: u64,
}

impl Codec<'_> for Value {
    fn write(&self, writer: &mut Writer) {
        writer.text(&self.text);
        writer.u64(self.number);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Value {
            text: reader.string()?,
            number: reader.u64()?,
        })
    }
}

fn value(text: &str) -> Value {
    Value {
        text: text.to_owned(),
        number: u64::MAX,
    }
}

fn key(byte: u8) -> RootKey {
    RootKey::bytes(SecretBytes::from(vec![byte; 32]))
}

fn passphrase(text: &str) -> RootKey {
    let cost = PassphraseCost {
        memory: 8,
        passes: 1,
        lanes: 1,
    };
    RootKey::passphrase_with_cost(SecretBytes::copy_from(text.as_bytes()), cost)
}

/// A store, and what is done to its blobs behind the vault's back.
type Store = Arc<FaultyStore>;

fn open_with(store: &Store, root: RootKey, create: Creation) -> KmsResult<Vault> {
    block_on(Vault::open(
        store.clone(),
        root,
        CryptoBackend::default(),
        create,
    ))
}

fn open(store: &Store) -> Vault {
    open_with(store, key(7), Creation::IfMissing).unwrap()
}

fn read(vault: &Vault, name: &str) -> KmsResult<Option<Stored<Value>>> {
    block_on(vault.read(name))
}

fn text(vault: &Vault, name: &str) -> String {
    read(vault, name).unwrap().unwrap().value.text
}

fn stamp(vault: &Vault, name: &str) -> Stamp {
    read(vault, name).unwrap().unwrap().stamp
}

fn write(vault: &Vault, name: &str, text: &str, previous: Option<&Stamp>) -> KmsResult<Stamp> {
    block_on(vault.write(name, &value(text), previous))
}

fn create(vault: &Vault, name: &str, text: &str) -> Stamp {
    write(vault, name, text, None).unwrap()
}

/// The problem that an error has with this record.
#[track_caller]
fn problem<T>(result: KmsResult<T>, name: &str) -> RecordProblem {
    match result {
        Err(KmsError::Record {
            name: named,
            problem,
        }) if named == name => problem,
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("no error"),
    }
}

fn is_conflict<T>(result: &KmsResult<T>) -> bool {
    matches!(result, Err(KmsError::Store(StoreError::Conflict { .. })))
}

/// Records of texts: any may be, none is final, and each may be lost.
struct AnyKind;

impl super::Kinds for AnyKind {
    fn is_sound(&self, _: &str, _: &[u8]) -> bool {
        true
    }

    fn is_final(&self, _: &str, _: &[u8]) -> bool {
        false
    }

    fn keeps(&self, _: &str, _: &[u8], _: &[u8]) -> bool {
        true
    }
}
