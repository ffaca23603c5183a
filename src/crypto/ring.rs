//! `ring`: BoringSSL's AES-GCM.

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::rust_crypto::RustCrypto;
use super::{Aead, AeadKey, InvalidKey, Iv, NotAuthentic, Tag};

pub(super) struct Ring;

impl Aead for Ring {
    fn key(&self, key: &[u8]) -> Result<Box<dyn AeadKey>, InvalidKey> {
        let algorithm = match key.len() {
            16 => &AES_128_GCM,
            32 => &AES_256_GCM,
            // AES-192, which ring has not, and what is no key.
            _ => return RustCrypto.key(key),
        };
        let key = UnboundKey::new(algorithm, key).map_err(|_| InvalidKey)?;
        Ok(Box::new(Key(LessSafeKey::new(key))))
    }
}

struct Key(LessSafeKey);

impl AeadKey for Key {
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
