//! `graviola`: AES-GCM in Rust intrinsics, at hardware speed without a C
//! compiler.

use graviola::aead::AesGcm;

use super::rust_crypto::RustCrypto;
use super::{Aead, AeadKey, InvalidKey, Iv, NotAuthentic, TAG_LENGTH, Tag};

/// Only where [`is_supported`] says so: its functions panic elsewhere.
pub(super) struct Graviola;

/// Whether this CPU has what graviola needs.
pub(super) fn is_supported() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        // Its multiplications use BMI2 (mulx), which its own check leaves to
        // ADX having come later.
        graviola::util::is_cpu_supported() && std::arch::is_x86_feature_detected!("bmi2")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        graviola::util::is_cpu_supported()
    }
}

impl Aead for Graviola {
    fn key(&self, key: &[u8]) -> Result<Box<dyn AeadKey>, InvalidKey> {
        match key.len() {
            16 | 32 => Ok(Box::new(Key(AesGcm::new(key)))),
            // AES-192, which graviola has not (it panics), and what is no key.
            _ => RustCrypto.key(key),
        }
    }
}

struct Key(AesGcm);

impl AeadKey for Key {
    fn seal(&self, iv: &Iv, aad: &[u8], data: &mut [u8]) -> Result<Tag, InvalidKey> {
        check(aad, data)?;
        let mut tag = [0; TAG_LENGTH];
        self.0.encrypt(iv, aad, data, &mut tag);
        Ok(tag)
    }

    fn open(&self, iv: &Iv, aad: &[u8], data: &mut [u8], tag: &Tag) -> Result<(), NotAuthentic> {
        check(aad, data).map_err(|_| NotAuthentic)?;
        self.0.decrypt(iv, aad, data, tag).map_err(|_| NotAuthentic)
    }
}

/// NIST SP 800-38D's limits (5.2.1.1), which graviola leaves to its caller: a
/// longer text would wrap the counter.
fn check(aad: &[u8], data: &[u8]) -> Result<(), InvalidKey> {
    const LONGEST_TEXT: u64 = (1 << 36) - 32;
    const LONGEST_AAD: u64 = (1 << 61) - 1;
    if data.len() as u64 > LONGEST_TEXT || aad.len() as u64 > LONGEST_AAD {
        return Err(InvalidKey);
    }
    Ok(())
}
