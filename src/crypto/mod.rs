//! The one room that touches primitives.
//!
//! A [`CryptoBackend`] is a value: a few references to small traits, one for
//! each kind of primitive, so that an application picks a back end at run time,
//! each primitive can come from where it is fastest, and cargo features only
//! add. Nothing above this room knows which one runs.

#[cfg(feature = "aws-lc-rs")]
mod aws_lc;
mod backend;
#[cfg(test)]
mod backends_tests;
mod fingerprint;
#[cfg(all(
    feature = "graviola",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod graviola;
mod random;
#[cfg(feature = "ring")]
mod ring;
#[cfg(all(feature = "aws-lc-rs", feature = "kms"))]
mod rsa;
mod rust_crypto;
mod secret;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wycheproof;

use std::sync::Arc;

pub use backend::{CryptoBackend, Primitives};
pub(crate) use fingerprint::Fingerprint;
pub(crate) use random::Entropy;
pub use random::{RandomError, SecureRandom};
#[cfg(all(feature = "aws-lc-rs", feature = "kms"))]
pub(crate) use rsa::WrappingKeyPair;
#[cfg(all(feature = "aws-lc-rs", feature = "kms"))]
pub use rsa::{WrappingAlgorithm, WrappingKeySpec};
pub use secret::SecretBytes;
pub(crate) use secret::{
    CiphertextBuffer, ReusedBuffer, SecretBuffer, reserve_exact_wiping, reserve_wiping,
};

use subtle::ConstantTimeEq as _;

use crate::suite::{Curve, HashAlgorithm};

/// The length in bytes of an AES-GCM tag.
pub(crate) const TAG_LENGTH: usize = 16;
/// The length in bytes of an AES-GCM IV.
pub(crate) const IV_LENGTH: usize = 12;

pub(crate) type Iv = [u8; IV_LENGTH];
pub(crate) type Tag = [u8; TAG_LENGTH];

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

    /// Whether the cipher itself goes from one buffer to another, so that no
    /// copy is made first.
    fn is_direct(&self) -> bool {
        false
    }

    /// Encrypts into `out`, which has the plaintext's length; another length is
    /// an error. After an error `out` may hold anything, plaintext too: the
    /// caller wipes it. The caller answers for the IV being fresh.
    fn seal_to(
        &self,
        iv: &Iv,
        aad: &[u8],
        plaintext: &[u8],
        out: &mut [u8],
    ) -> Result<Tag, InvalidKey> {
        if out.len() != plaintext.len() {
            return Err(InvalidKey);
        }
        out.copy_from_slice(plaintext);
        self.seal(iv, aad, out)
    }

    /// Decrypts into `out`, which has the ciphertext's length; another length is
    /// an error. After an error `out` may hold anything: the caller wipes it.
    fn open_to(
        &self,
        iv: &Iv,
        aad: &[u8],
        ciphertext: &[u8],
        tag: &Tag,
        out: &mut [u8],
    ) -> Result<(), NotAuthentic> {
        if out.len() != ciphertext.len() {
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

pub(crate) trait Hash: Send + Sync {
    fn hasher(&self, hash: HashAlgorithm) -> Box<dyn Hasher>;
}

pub(crate) trait Ecdsa: Send + Sync {
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

/// Compares in constant time; lengths are public. By words, since each step of
/// it takes as long for a byte.
pub(crate) fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    let (a_words, a_rest) = a.as_chunks();
    let (b_words, b_rest) = b.as_chunks();
    let words = a_words.iter().zip(b_words).map(|(a, b)| {
        let [a, b] = [a, b].map(|word| u64::from_ne_bytes(*word));
        a.ct_eq(&b)
    });
    let equal = words.fold(a_rest.ct_eq(b_rest), |equal, word| equal & word);
    a.len() == b.len() && bool::from(equal)
}
