//! Which primitives run.

use std::fmt;
use std::sync::Arc;

use super::{
    Aead, AeadKey, Ecdsa, Hash, Hasher, HkdfOutput, InvalidKey, Kdf, RandomError, SecureRandom,
    SigningKey, VerifyingKey, random, rust_crypto,
};
use crate::suite::{Curve, HashAlgorithm};

/// A set of primitives.
///
/// The default one is pure Rust (`aes-gcm`, `hkdf`, `sha2`, `p256`, `p384`),
/// with randomness from the operating system.
#[derive(Clone)]
pub struct CryptoBackend {
    name: &'static str,
    aead: &'static dyn Aead,
    kdf: &'static dyn Kdf,
    hash: &'static dyn Hash,
    ecdsa: &'static dyn Ecdsa,
    pub(super) random: Arc<dyn SecureRandom>,
}

impl CryptoBackend {
    /// The pure-Rust back end.
    pub fn rust_crypto() -> Self {
        CryptoBackend {
            name: "rust-crypto",
            aead: &rust_crypto::RustCrypto,
            kdf: &rust_crypto::RustCrypto,
            hash: &rust_crypto::RustCrypto,
            ecdsa: &rust_crypto::RustCrypto,
            random: Arc::new(random::SystemRandom),
        }
    }

    /// `ring`'s AES-GCM. From the pure-Rust back end: AES-192, HKDF, hashes and
    /// ECDSA.
    #[cfg(feature = "ring")]
    pub fn ring() -> Self {
        CryptoBackend {
            name: "ring",
            aead: &super::ring::Ring,
            ..Self::rust_crypto()
        }
    }

    /// AWS-LC, by `aws-lc-rs`. From the pure-Rust back end: HKDF, hashes and
    /// ECDSA.
    #[cfg(feature = "aws-lc-rs")]
    pub fn aws_lc_rs() -> Self {
        CryptoBackend {
            name: "aws-lc-rs",
            aead: &super::aws_lc::AwsLc,
            ..Self::rust_crypto()
        }
    }

    /// `graviola`'s AES-GCM, or `None` where the CPU lacks what it needs. From
    /// the pure-Rust back end: AES-192, HKDF, hashes and ECDSA.
    #[cfg(feature = "graviola")]
    pub fn graviola() -> Option<Self> {
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        if super::graviola::is_supported() {
            return Some(CryptoBackend {
                name: "graviola",
                aead: &super::graviola::Graviola,
                ..Self::rust_crypto()
            });
        }
        None
    }

    /// Every back end that is compiled in and suited to this CPU, the fastest
    /// first.
    pub fn available() -> Vec<Self> {
        vec![
            #[cfg(feature = "aws-lc-rs")]
            Self::aws_lc_rs(),
            #[cfg(feature = "ring")]
            Self::ring(),
        ]
        .into_iter()
        .chain(
            #[cfg(feature = "graviola")]
            Self::graviola(),
            #[cfg(not(feature = "graviola"))]
            None,
        )
        .chain([Self::rust_crypto()])
        .collect()
    }

    /// What runs.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The same primitives with another random source. For tests only: a
    /// message made with predictable randomness protects nothing.
    #[cfg(feature = "test-util")]
    pub fn with_random(mut self, random: Arc<dyn SecureRandom>) -> Self {
        self.random = random;
        self
    }

    /// An AES-GCM key of 16, 24 or 32 bytes.
    pub(crate) fn aead_key(&self, key: &[u8]) -> Result<Box<dyn AeadKey>, InvalidKey> {
        self.aead.key(key)
    }

    /// HKDF (RFC 5869): one extract, and an expand for each output.
    pub(crate) fn hkdf(
        &self,
        hash: HashAlgorithm,
        salt: &[u8],
        secret: &[u8],
        outputs: &mut [HkdfOutput<'_>],
    ) -> Result<(), InvalidKey> {
        self.kdf.hkdf(hash, salt, secret, outputs)
    }

    pub(crate) fn hasher(&self, hash: HashAlgorithm) -> Box<dyn Hasher> {
        self.hash.hasher(hash)
    }

    pub(crate) fn signing_key(&self, curve: Curve) -> Result<Arc<dyn SigningKey>, RandomError> {
        self.ecdsa.signing_key(curve, &*self.random)
    }

    /// A signing key from its secret: a number below the curve's order and not
    /// zero, in big-endian bytes of the order's length.
    #[cfg(feature = "kms-policy")]
    pub(crate) fn signing_key_from(
        &self,
        curve: Curve,
        secret: &[u8],
    ) -> Result<Arc<dyn SigningKey>, InvalidKey> {
        self.ecdsa.signing_key_from(curve, secret)
    }

    /// A verification key from a compressed point.
    pub(crate) fn verifying_key(
        &self,
        curve: Curve,
        compressed: &[u8],
    ) -> Result<Arc<dyn VerifyingKey>, InvalidKey> {
        // The curves' crate also takes 05 and x, which is no form of SEC 1's.
        let is_compressed = matches!(compressed, [2 | 3, ..]);
        if !is_compressed || compressed.len() != curve.public_key_length() {
            return Err(InvalidKey);
        }
        self.ecdsa.verifying_key(curve, compressed)
    }

    pub(crate) fn random(&self) -> &Arc<dyn SecureRandom> {
        &self.random
    }
}

impl Default for CryptoBackend {
    fn default() -> Self {
        Self::rust_crypto()
    }
}

impl fmt::Debug for CryptoBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CryptoBackend").field(&self.name).finish()
    }
}
