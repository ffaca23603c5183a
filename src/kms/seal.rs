//! Sealing under a backing key: how every ciphertext, wrapped data key and
//! record of the KMS is made.
//!
//! # Construction
//!
//! A backing key never encrypts. From it (32 bytes) and a fresh 32-byte salt,
//! HKDF-SHA-512 (RFC 5869) gives a key that encrypts once, and a commitment:
//!
//! ```text
//! bound      = L("waxseal local-kms") ‖ L(purpose) ‖ L(format) ‖
//!              L(key id) ‖ L(version) ‖ L(context)
//! key ‖ commitment = HKDF-Expand(HKDF-Extract(salt, backing key), bound, 32 + 32 bytes)
//! ciphertext ‖ tag = AES-256-GCM(key, IV = 0, AAD = bound, plaintext)
//!
//! sealed     = format (1) ‖ length of key id (1) ‖ key id ‖ version (4) ‖
//!              salt (32) ‖ commitment (32) ‖ ciphertext ‖ tag (16)
//! ```
//!
//! `L(x)` is x's length in four bytes and x; integers are big-endian; `format`
//! is the byte 1, `version` the backing key's, in four bytes. The IV is of 12
//! zero bytes. `purpose` is `ciphertext` for what leaves the KMS and `record`
//! for what it stores. `context` is the encryption context's canonical bytes,
//! or a record's name and generation. `key id` is UTF-8, of 1 to 255 bytes.
//!
//! Test vectors: `tests/vectors/kms/seal.json`, made by `seal.py` beside it.
//!
//! # Argument
//!
//! - *One key, one message.* The salt is drawn in here, for each call, so that
//!   no retry, clone or cache can use one twice. Among 2^64 seals under one
//!   backing key, two derived keys are equal with a probability below 2^-128
//!   (two salts may be, or two outputs). A key that encrypts once needs no IV,
//!   and AES-GCM's limits on the messages of one key are never near, however
//!   often a backing key is used. Where the random source repeats itself (a
//!   copied virtual machine), those seals may be read and forged; the backing
//!   key and all other seals are safe. This is AWS KMS's derived-key mode
//!   (Campagna and Gueron, "Key Management Systems at the Cloud Scale",
//!   Cryptography 2019, 3(3), 23), with HKDF for the counter mode of NIST
//!   SP 800-108. HKDF's expand is that publication's feedback mode, the counter
//!   last; here it is one block, HMAC-SHA-512's 64 bytes, and nothing is fed
//!   back. Imported material need not be uniform: HKDF's extract is made for
//!   that (Krawczyk, "Cryptographic Extraction and Key Derivation: The HKDF
//!   Scheme", CRYPTO 2010), but adds no entropy: a key that can be guessed
//!   stays one.
//! - *Separation.* All that tells two uses apart is in the derivation's info,
//!   each part with its length before it, so that two uses never have the same
//!   info. The same bytes are AAD: should the derivation ever lose one, the tag
//!   still has it.
//! - *Commitment.* AES-GCM binds a ciphertext neither to one key nor to one
//!   AAD: who knows the keys (as whoever imported them does) can make one that
//!   opens under two (Dodis, Grubbs, Ristenpart and Woodage, "Fast Message
//!   Franking: From Invisible Salamanders to Encryptment", CRYPTO 2018). The
//!   answer is that of Albertini and others, "How to Abuse and Fix
//!   Authenticated Encryption Without Key Commitment", USENIX Security 2022,
//!   and of the AWS Encryption SDK's committing suites: the key and a
//!   commitment are derived together by a collision-resistant function. To
//!   open one blob under two backing keys, purposes or contexts takes two
//!   inputs of HKDF-SHA-512 that agree in 32 bytes of output, about 2^128 work.
//!   (No two inputs are alike for HMAC, which pads its keys with zeros: both of
//!   its keys here, salt and extracted key, have a fixed length.) With the
//!   context in the info this is full commitment, CMT-4 of Bellare and Hoang,
//!   "Efficient Schemes for Committing Authenticated Encryption", EUROCRYPT
//!   2022. The commitment is compared first, in constant time.
//! - *No oracle.* What does not open gives one error, whichever check failed.
//!   The time may tell a wrong commitment from a wrong tag, which whoever made
//!   the blob knows already; and no blob opens under several keys, by which
//!   one could search for the right one (Len, Grubbs and Ristenpart,
//!   "Partitioning Oracle Attacks", USENIX Security 2021).

use crate::crypto::{
    CryptoBackend, Entropy, HkdfOutput, IV_LENGTH, RandomError, SecretBytes, TAG_LENGTH, Tag,
    constant_time_eq,
};
use crate::suite::HashAlgorithm;
use zeroize::Zeroizing;

/// The format that is written, and the only one that is read.
pub(super) const FORMAT: u8 = 1;
/// The length in bytes of a backing key.
pub(super) const BACKING_KEY_LENGTH: usize = 32;

const LABEL: &[u8] = b"waxseal local-kms";
const SALT_LENGTH: usize = 32;
const KEY_LENGTH: usize = 32;
const COMMITMENT_LENGTH: usize = 32;
/// The derived key encrypts once: see the module's argument.
const ZERO_IV: [u8; IV_LENGTH] = [0; IV_LENGTH];

/// What something is sealed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// What leaves the KMS: ciphertexts, and data keys.
    Ciphertext,
    /// What the KMS stores.
    Record,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Purpose::Ciphertext => b"ciphertext",
            Purpose::Record => b"record",
        }
    }
}

/// A backing key, or a version of the store key.
#[derive(Clone, Copy)]
pub(super) struct SealingKey<'a> {
    /// The logical key's id, of 1 to 255 bytes.
    pub(super) id: &'a str,
    pub(super) version: u32,
    pub(super) material: &'a SecretBytes,
}

/// Why something could not be sealed.
#[derive(Debug)]
pub(super) enum SealError {
    Random(RandomError),
    /// A key id, a backing key, a context or a plaintext of a length that the
    /// format does not have.
    TooLong,
}

impl From<RandomError> for SealError {
    fn from(error: RandomError) -> Self {
        Self::Random(error)
    }
}

/// The length of what is sealed, from those of the key's id and the plaintext.
pub(super) const fn sealed_length(key_id: usize, plaintext: usize) -> usize {
    2 + key_id + 4 + SALT_LENGTH + COMMITMENT_LENGTH + plaintext + TAG_LENGTH
}

/// Seals under a key that is derived for this call alone.
///
/// # Errors
/// When the random source fails, or for a length that the format does not
/// have: see [`SealError`].
pub(super) fn seal(
    backend: &CryptoBackend,
    entropy: &mut Entropy,
    purpose: Purpose,
    key: SealingKey<'_>,
    context: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, SealError> {
    let id_length = match u8::try_from(key.id.len()) {
        Ok(length) if length > 0 => length,
        _ => return Err(SealError::TooLong),
    };
    let mut salt = [0; SALT_LENGTH];
    entropy.fill(&mut salt)?;
    let bound = bound(purpose, key.id, key.version, context).ok_or(SealError::TooLong)?;
    let derived = derive(backend, &salt, key.material, &bound).ok_or(SealError::TooLong)?;

    // It never grows, and after an error the plaintext in it is wiped.
    let length = sealed_length(key.id.len(), plaintext.len());
    let mut out = Zeroizing::new(Vec::with_capacity(length));
    out.extend_from_slice(&[FORMAT, id_length]);
    out.extend_from_slice(key.id.as_bytes());
    out.extend_from_slice(&key.version.to_be_bytes());
    out.extend_from_slice(&salt);
    out.extend_from_slice(derived.commitment());
    let start = out.len();
    out.extend_from_slice(plaintext);
    // AES-GCM takes up to 2^36 - 32 bytes (NIST SP 800-38D, 5.2.1.1).
    let tag = backend
        .aead_key(derived.key())
        .and_then(|aead| aead.seal(&ZERO_IV, &bound, &mut out[start..]))
        .map_err(|_| SealError::TooLong)?;
    out.extend_from_slice(&tag);
    Ok(std::mem::take(&mut out))
}

/// Something sealed, taken apart. Nothing of it is authentic before it opens.
#[derive(Clone, Copy)]
pub(crate) struct Sealed<'a> {
    pub(crate) key_id: &'a str,
    pub(crate) version: u32,
    salt: &'a [u8],
    commitment: &'a [u8],
    ciphertext: &'a [u8],
    tag: &'a Tag,
}

impl<'a> Sealed<'a> {
    /// Takes it apart; `None` for what is not of this format.
    pub(crate) fn parse(sealed: &'a [u8]) -> Option<Self> {
        let (&[format, id_length], rest) = sealed.split_first_chunk()?;
        if format != FORMAT || id_length == 0 {
            return None;
        }
        let (key_id, rest) = rest.split_at_checked(id_length.into())?;
        let (version, rest) = rest.split_first_chunk()?;
        let (salt, rest) = rest.split_at_checked(SALT_LENGTH)?;
        let (commitment, rest) = rest.split_at_checked(COMMITMENT_LENGTH)?;
        let (ciphertext, tag) = rest.split_last_chunk()?;
        Some(Sealed {
            key_id: std::str::from_utf8(key_id).ok()?,
            version: u32::from_be_bytes(*version),
            salt,
            commitment,
            ciphertext,
            tag,
        })
    }

    /// The plaintext's length.
    pub(crate) fn plaintext_length(&self) -> usize {
        self.ciphertext.len()
    }

    /// Opens it under the material of its key's version.
    ///
    /// # Errors
    /// [`NotOpened`] alone, whatever it is that does not fit.
    pub(super) fn open(
        &self,
        backend: &CryptoBackend,
        purpose: Purpose,
        material: &SecretBytes,
        context: &[u8],
    ) -> Result<SecretBytes, NotOpened> {
        let bound = bound(purpose, self.key_id, self.version, context).ok_or(NotOpened)?;
        let derived = derive(backend, self.salt, material, &bound).ok_or(NotOpened)?;
        if !constant_time_eq(derived.commitment(), self.commitment) {
            return Err(NotOpened);
        }
        let aead = backend.aead_key(derived.key()).map_err(|_| NotOpened)?;
        let mut plaintext = SecretBytes::copy_from(self.ciphertext);
        // Dropping wipes it, also after an error.
        aead.open(&ZERO_IV, &bound, plaintext.expose_mut(), self.tag)
            .map_err(|_| NotOpened)?;
        Ok(plaintext)
    }
}

/// It does not open under this material, purpose and context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotOpened;

/// What a seal is bound to: the derivation's info, and the AAD. `None` for a
/// context of 2^32 bytes or more.
fn bound(purpose: Purpose, key_id: &str, version: u32, context: &[u8]) -> Option<Vec<u8>> {
    let (id, version) = (key_id.as_bytes(), version.to_be_bytes());
    let parts = [LABEL, purpose.label(), &[FORMAT], id, &version, context];
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| 4 + part.len()).sum());
    for part in parts {
        bytes.extend_from_slice(&u32::try_from(part.len()).ok()?.to_be_bytes());
        bytes.extend_from_slice(part);
    }
    Some(bytes)
}

/// The single-use key, and the commitment after it: on the heap, so that
/// moving them leaves no copy behind.
struct Derived(SecretBytes);

impl Derived {
    fn key(&self) -> &[u8] {
        &self.0.expose()[..KEY_LENGTH]
    }

    fn commitment(&self) -> &[u8] {
        &self.0.expose()[KEY_LENGTH..]
    }
}

/// `None` for material that is no backing key.
fn derive(
    backend: &CryptoBackend,
    salt: &[u8],
    material: &SecretBytes,
    bound: &[u8],
) -> Option<Derived> {
    if material.len() != BACKING_KEY_LENGTH {
        return None;
    }
    let mut derived = SecretBytes::zeroed(KEY_LENGTH + COMMITMENT_LENGTH);
    let output = HkdfOutput {
        info: &[bound],
        out: derived.expose_mut(),
    };
    backend
        .hkdf(
            HashAlgorithm::Sha512,
            salt,
            material.expose(),
            &mut [output],
        )
        .ok()?;
    Some(Derived(derived))
}

#[cfg(test)]
mod tests;
