//! `aws-lc-rs`: AWS-LC's AES-GCM.

use aws_lc_rs::aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::{Aead, AeadKey, InvalidKey, Iv, NotAuthentic, TAG_LENGTH, Tag};

pub(super) struct AwsLc;

impl Aead for AwsLc {
    fn key(&self, key: &[u8]) -> Result<Box<dyn AeadKey>, InvalidKey> {
        let algorithm = match key.len() {
            16 => &AES_128_GCM,
            24 => &AES_192_GCM,
            32 => &AES_256_GCM,
            _ => return Err(InvalidKey),
        };
        let key = UnboundKey::new(algorithm, key).map_err(|_| InvalidKey)?;
        Ok(Box::new(Key(LessSafeKey::new(key))))
    }
}

struct Key(LessSafeKey);

impl AeadKey for Key {
    fn seal(&self, iv: &Iv, aad: &[u8], data: &mut [u8]) -> Result<Tag, InvalidKey> {
        let nonce = Nonce::assume_unique_for_key(*iv);
        let mut tag = [0; TAG_LENGTH];
        self.0
            .seal_in_place_scatter(nonce, Aad::from(aad), data, &[], &mut tag)
            .map_err(|_| InvalidKey)?;
        Ok(tag)
    }

    fn open(&self, iv: &Iv, aad: &[u8], data: &mut [u8], tag: &Tag) -> Result<(), NotAuthentic> {
        let nonce = Nonce::assume_unique_for_key(*iv);
        let opened = self
            .0
            .open_in_place_separate_tag(nonce, Aad::from(aad), tag, data);
        opened.map(|_| ()).map_err(|_| NotAuthentic)
    }

    fn seal_to(
        &self,
        iv: &Iv,
        aad: &[u8],
        plaintext: &[u8],
        out: &mut [u8],
    ) -> Result<Tag, InvalidKey> {
        let nonce = Nonce::assume_unique_for_key(*iv);
        let mut tag = [0; TAG_LENGTH];
        self.0
            .seal_out_of_place_scatter(nonce, Aad::from(aad), plaintext, out, &[], &mut tag)
            .map_err(|_| InvalidKey)?;
        Ok(tag)
    }

    fn open_to(
        &self,
        iv: &Iv,
        aad: &[u8],
        ciphertext: &[u8],
        tag: &Tag,
        out: &mut [u8],
    ) -> Result<(), NotAuthentic> {
        let nonce = Nonce::assume_unique_for_key(*iv);
        self.0
            .open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, out)
            .map_err(|_| NotAuthentic)
    }
}
