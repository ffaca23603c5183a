//! The root record: the store's id and its store keys, under the root key.

use super::ROOT;
use super::envelope::{self, Content, NotOpened, SUPPORTED};
use super::root_key::{RootKey, Unlocked};
use super::store_key::StoreKeys;
use crate::crypto::{CryptoBackend, Entropy};
use crate::kms::alias::id_from;
use crate::kms::codec::{Codec, Reader, Writer, decode, encode};
use crate::kms::error::{KmsError, KmsResult, RecordProblem};
use crate::kms::store::{Blob, BlobVersion};

/// The root record, open.
pub(super) struct Root {
    /// The blob's version that it was read from or written as.
    pub(super) version: BlobVersion,
    pub(super) content: RootContent,
    pub(super) key: RootKey,
    pub(super) unlocked: Unlocked,
}

/// What the root record holds.
pub(super) struct RootContent {
    pub(super) store_id: String,
    pub(super) generation: u64,
    pub(super) store_keys: StoreKeys,
}

/// The root record's plaintext.
struct Plain<'a> {
    store_id: &'a str,
    generation: u64,
    current: u32,
    keys: Vec<(u32, &'a [u8])>,
}

impl<'a> Codec<'a> for Plain<'a> {
    fn write(&self, writer: &mut Writer) {
        writer.text(self.store_id);
        writer.u64(self.generation);
        writer.u32(self.current);
        writer.list(&self.keys);
    }

    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        Some(Plain {
            store_id: reader.text()?,
            generation: reader.u64()?,
            current: reader.u32()?,
            keys: reader.list()?,
        })
    }
}

impl<'a> Codec<'a> for (u32, &'a [u8]) {
    fn write(&self, writer: &mut Writer) {
        writer.u32(self.0);
        writer.bytes(self.1);
    }

    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        Some((reader.u32()?, reader.bytes()?))
    }
}

impl Root {
    /// Opens the root record with one call to the root key.
    pub(super) async fn open(
        blob: Blob,
        key: &RootKey,
        ready: Option<&Unlocked>,
        backend: &CryptoBackend,
    ) -> KmsResult<Root> {
        let opened = envelope::open(Content::Root, &blob.bytes, key, ready, backend).await;
        let opened = opened.map_err(|why| match why {
            NotOpened::Damaged => damaged(),
            NotOpened::NewerFormat { found } => KmsError::record(
                ROOT,
                RecordProblem::NewerFormat {
                    found,
                    supported: SUPPORTED,
                },
            ),
            NotOpened::WrongRoot { reason, source } => KmsError::WrongRoot { reason, source },
            NotOpened::Failed(error) => error,
        })?;
        let content = RootContent::decode(opened.plaintext.expose()).ok_or_else(damaged)?;
        let named = |key| opened.context.get(key);
        if named("store") != Some(&content.store_id)
            || named("generation") != Some(&content.generation.to_string())
        {
            return Err(damaged());
        }
        Ok(Root {
            version: blob.version,
            content,
            key: key.clone(),
            unlocked: opened.unlocked,
        })
    }
}

impl RootContent {
    /// Of a new store: a new id and a first store key.
    pub(super) fn new(backend: &CryptoBackend) -> KmsResult<Self> {
        let mut entropy = Entropy::draw(backend.random(), 16 + 32)?;
        let mut id = [0; 16];
        entropy.fill(&mut id)?;
        Ok(RootContent {
            store_id: id_from(id, 4),
            generation: 1,
            store_keys: StoreKeys::new(&mut entropy)?,
        })
    }

    /// The next generation, with these store keys.
    pub(super) fn next(&self, store_keys: StoreKeys) -> KmsResult<Self> {
        Ok(RootContent {
            store_id: self.store_id.clone(),
            generation: super::next_generation(self.generation)?,
            store_keys,
        })
    }

    /// The root record's blob.
    pub(super) async fn seal(
        &self,
        unlocked: &Unlocked,
        backend: &CryptoBackend,
    ) -> KmsResult<Vec<u8>> {
        let plain = encode(
            &[],
            &Plain {
                store_id: &self.store_id,
                generation: self.generation,
                current: self.store_keys.current().0,
                keys: self
                    .store_keys
                    .iter()
                    .map(|(version, key)| (version, key.expose()))
                    .collect(),
            },
        );
        let generation = self.generation.to_string();
        let pairs = [("store", &*self.store_id), ("generation", &generation)];
        envelope::seal(Content::Root, unlocked, backend, &pairs, plain.as_slice()).await
    }

    fn decode(plaintext: &[u8]) -> Option<Self> {
        let plain: Plain<'_> = decode(plaintext)?;
        if !(1..=255).contains(&plain.store_id.len()) || plain.generation == 0 {
            return None;
        }
        let keys = plain.keys.iter().map(|(version, key)| (*version, *key));
        Some(RootContent {
            store_id: plain.store_id.to_owned(),
            generation: plain.generation,
            store_keys: StoreKeys::from_parts(plain.current, keys)?,
        })
    }
}

fn damaged() -> KmsError {
    KmsError::record(ROOT, RecordProblem::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kms::codec::tests::assert_stored;

    #[test]
    fn the_root_at_rest() {
        let plain = Plain {
            store_id: "id",
            generation: 128,
            current: 2,
            keys: vec![(1, &[1; 32]), (u32::MAX, &[])],
        };
        assert_stored(
            &plain,
            &[
                b"\x02id",
                b"\x80\x01",
                b"\x02",
                b"\x02",
                b"\x01\x20",
                &[1; 32],
                b"\xff\xff\xff\xff\x0f\x00",
            ],
        );
    }

    #[test]
    fn what_the_root_holds_is_checked() {
        let plain = |store_id: &str, generation, current, keys: &[(u32, usize)]| {
            let key = [7; 64];
            let keys = keys.iter();
            let keys = keys.map(|(version, length)| (*version, &key[..*length]));
            let plain = Plain {
                store_id,
                generation,
                current,
                keys: keys.collect(),
            };
            RootContent::decode(encode(&[], &plain).as_slice()).is_some()
        };
        assert!(plain("id", 1, 1, &[(1, 32)]));
        assert!(plain("id", u64::MAX, 2, &[(1, 32), (2, 32), (9, 32)]));
        assert!(!plain("", 1, 1, &[(1, 32)]));
        assert!(!plain(&"x".repeat(256), 1, 1, &[(1, 32)]));
        assert!(!plain("id", 0, 1, &[(1, 32)]));
        assert!(!plain("id", 1, 1, &[]));
        assert!(!plain("id", 1, 2, &[(1, 32)]));
        assert!(!plain("id", 1, 1, &[(1, 31)]));
        assert!(!plain("id", 1, 1, &[(1, 33)]));
        assert!(!plain("id", 1, 0, &[(0, 32)]));
        assert!(!plain("id", 1, 1, &[(1, 32), (1, 32)]));
        assert!(!plain("id", 1, 1, &[(2, 32), (1, 32)]));
    }
}
