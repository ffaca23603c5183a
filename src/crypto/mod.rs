//! The one room that touches primitives.
//!
//! A [`CryptoBackend`] is a value: a few references to small traits, one for
//! each kind of primitive, so that an application picks a back end at run time,
//! each primitive can come from where it is fastest, and cargo features only
//! add. Nothing above this room knows which one runs.

mod fingerprint;
mod random;
#[cfg(feature = "aws-lc-rs")]
mod rsa;
mod rust_crypto;
mod secret;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wycheproof;

use std::fmt;
use std::sync::Arc;

pub(crate) use fingerprint::Fingerprint;
pub(crate) use random::Entropy;
pub use random::{RandomError, SecureRandom};
#[cfg(feature = "aws-lc-rs")]
pub(crate) use rsa::WrappingKeyPair;
#[cfg(feature = "aws-lc-rs")]
pub use rsa::{WrappingAlgorithm, WrappingKeySpec};
pub use secret::SecretBytes;
pub(crate) use secret::{
    CiphertextBuffer, ReusedBuffer, SecretBuffer, reserve_exact_wiping, reserve_wiping,
};

use crate::suite::{Curve, HashAlgorithm};

/// The length in bytes of an AES-GCM tag.
pub(crate) const TAG_LENGTH: usize = 16;
/// The length in bytes of an AES-GCM IV.
pub(crate) const IV_LENGTH: usize = 12;

pub(crate) type Iv = [u8; IV_LENGTH];
pub(crate) type Tag = [u8; TAG_LENGTH];

/// A set of primitives.
///
/// The default one is pure Rust (`aes-gcm`, `hkdf`, `sha2`, `p256`, `p384`),
/// with randomness from the operating system.
#[derive(Clone)]
pub struct CryptoBackend {
    name: &'static str,
    aead: &'static dyn Aead,
    kdf: &'static dyn Kdf,
    ecdsa: &'static dyn Ecdsa,
    random: Arc<dyn SecureRandom>,
}

impl CryptoBackend {
    /// The pure-Rust back end.
    pub fn rust_crypto() -> Self {
        CryptoBackend {
            name: "rust-crypto",
            aead: &rust_crypto::RustCrypto,
            kdf: &rust_crypto::RustCrypto,
            ecdsa: &rust_crypto::RustCrypto,
            random: Arc::new(random::SystemRandom),
        }
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
        self.ecdsa.hasher(hash)
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

/// A key, point or length that a primitive refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidKey;

/// A tag or signature that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAuthentic;

pub(crate) trait Aead: Send + Sync {
    /// A prepared AES-GCM key from 16, 24 or 32 bytes.
    fn key(&self, key: &[u8]) -> Result<Box<dyn AeadKey>, InvalidKey>;
}

/// An AES-GCM key, prepared.
pub(crate) trait AeadKey: Send + Sync {
    /// Encrypts in place. The caller answers for the IV being fresh.
    fn seal(&self, iv: &Iv, aad: &[u8], data: &mut [u8]) -> Result<Tag, InvalidKey>;

    /// Decrypts in place. After an error `data` may hold anything: the caller
    /// wipes it.
    fn open(&self, iv: &Iv, aad: &[u8], data: &mut [u8], tag: &Tag) -> Result<(), NotAuthentic>;

    /// Encrypts from one buffer into another of the same length.
    fn seal_to(
        &self,
        iv: &Iv,
        aad: &[u8],
        plaintext: &[u8],
        out: &mut [u8],
    ) -> Result<Tag, InvalidKey> {
        if plaintext.len() != out.len() {
            return Err(InvalidKey);
        }
        out.copy_from_slice(plaintext);
        self.seal(iv, aad, out)
    }

    /// Decrypts from one buffer into another of the same length. After an
    /// error `out` may hold anything: the caller wipes it.
    fn open_to(
        &self,
        iv: &Iv,
        aad: &[u8],
        ciphertext: &[u8],
        tag: &Tag,
        out: &mut [u8],
    ) -> Result<(), NotAuthentic> {
        if ciphertext.len() != out.len() {
            return Err(NotAuthentic);
        }
        out.copy_from_slice(ciphertext);
        self.open(iv, aad, out, tag)
    }
}

/// One expand of an HKDF.
pub(crate) struct HkdfOutput<'a> {
    /// The info, in parts.
    pub(crate) info: &'a [&'a [u8]],
    pub(crate) out: &'a mut [u8],
}

pub(crate) trait Kdf: Send + Sync {
    fn hkdf(
        &self,
        hash: HashAlgorithm,
        salt: &[u8],
        secret: &[u8],
        outputs: &mut [HkdfOutput<'_>],
    ) -> Result<(), InvalidKey>;
}

pub(crate) trait Ecdsa: Send + Sync {
    fn hasher(&self, hash: HashAlgorithm) -> Box<dyn Hasher>;
    fn signing_key(
        &self,
        curve: Curve,
        random: &dyn SecureRandom,
    ) -> Result<Arc<dyn SigningKey>, RandomError>;
    #[cfg(feature = "kms-policy")]
    fn signing_key_from(
        &self,
        curve: Curve,
        secret: &[u8],
    ) -> Result<Arc<dyn SigningKey>, InvalidKey>;
    fn verifying_key(
        &self,
        curve: Curve,
        compressed: &[u8],
    ) -> Result<Arc<dyn VerifyingKey>, InvalidKey>;
}

/// A running hash.
pub(crate) trait Hasher: Send + Sync {
    fn update(&mut self, data: &[u8]);
    fn finish(self: Box<Self>) -> Digest;
}

/// The result of a hash: up to 64 bytes.
pub(crate) struct Digest {
    bytes: [u8; 64],
    length: usize,
}

impl Digest {
    pub(crate) fn new(digest: &[u8]) -> Self {
        let length = digest.len().min(64);
        let mut bytes = [0; 64];
        bytes[..length].copy_from_slice(&digest[..length]);
        Digest { bytes, length }
    }
}

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// An ECDSA key that signs one message's digest.
pub(crate) trait SigningKey: Send + Sync {
    /// The public key as a compressed point (SEC 1, 2.3.3).
    fn public_key(&self) -> Vec<u8>;

    /// A DER signature of exactly the curve's
    /// [`signature_length`](Curve::signature_length).
    fn sign(&self, digest: &Digest, random: &dyn SecureRandom) -> Result<Vec<u8>, RandomError>;
}

pub(crate) trait VerifyingKey: Send + Sync {
    /// Verifies a DER signature; high-S is legal in this format.
    fn verify(&self, digest: &Digest, signature: &[u8]) -> Result<(), NotAuthentic>;
}

/// Compares in constant time; lengths are public.
pub(crate) fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    subtle::ConstantTimeEq::ct_eq(a, b).into()
}
