//! `ring`: AES-GCM and hashes.
//!
//! # Memory
//!
//! ring wipes nothing. A key schedule is overwritten here, when it is dropped,
//! with that of a key without a secret; copies that ring left on the stack while
//! it made it stay there, and so does what the bytes of the key that it does not
//! use took over from the stack.

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};
use ring::digest;

use super::rust_crypto::RustCrypto;
use super::{Aead, AeadKey, Digest, Hash, Hasher, InvalidKey, Iv, NotAuthentic, Tag};
use crate::suite::HashAlgorithm;

pub(super) struct Ring;

impl Aead for Ring {
    fn key(&self, key: &[u8]) -> Result<Box<dyn AeadKey>, InvalidKey> {
        let algorithm = match key.len() {
            16 => &AES_128_GCM,
            32 => &AES_256_GCM,
            // AES-192, which ring has not, and what is no key.
            _ => return RustCrypto.key(key),
        };
        Ok(Box::new(GcmKey(prepare(algorithm, key)?)))
    }
}

fn prepare(algorithm: &'static Algorithm, key: &[u8]) -> Result<LessSafeKey, InvalidKey> {
    let key = UnboundKey::new(algorithm, key).map_err(|_| InvalidKey)?;
    Ok(LessSafeKey::new(key))
}

struct GcmKey(LessSafeKey);

impl Drop for GcmKey {
    fn drop(&mut self) {
        // Only where the compiler sees it used is this write not left out.
        let algorithm = self.0.algorithm();
        if let Ok(no_secret) = prepare(algorithm, &[0; 32][..algorithm.key_len()]) {
            self.0 = no_secret;
            std::hint::black_box(&self.0);
        }
    }
}

impl AeadKey for GcmKey {
    fn seal(&self, iv: &Iv, aad: &[u8], data: &mut [u8]) -> Result<Tag, InvalidKey> {
        let nonce = Nonce::assume_unique_for_key(*iv);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(aad), data)
            .map_err(|_| InvalidKey)?;
        tag.as_ref().try_into().map_err(|_| InvalidKey)
    }

    fn open(&self, iv: &Iv, aad: &[u8], data: &mut [u8], tag: &Tag) -> Result<(), NotAuthentic> {
        let nonce = Nonce::assume_unique_for_key(*iv);
        let opened =
            self.0
                .open_in_place_separate_tag(nonce, Aad::from(aad), (*tag).into(), data, 0..);
        opened.map(|_| ()).map_err(|_| NotAuthentic)
    }
}

impl Hash for Ring {
    fn hasher(&self, hash: HashAlgorithm) -> Box<dyn Hasher> {
        let algorithm = match hash {
            HashAlgorithm::Sha256 => &digest::SHA256,
            HashAlgorithm::Sha384 => &digest::SHA384,
            HashAlgorithm::Sha512 => &digest::SHA512,
        };
        Box::new(Running(digest::Context::new(algorithm)))
    }
}

struct Running(digest::Context);

impl Hasher for Running {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finish(self: Box<Self>) -> Digest {
        Digest::new(self.0.finish().as_ref())
    }
}
