//! Sealing under a backing key: how every ciphertext, wrapped data key and
//! record of the KMS is made.
//!
//! # Construction
//!
//! A backing key never encrypts. From it (32 bytes) and a fresh 32-byte salt,
//! HKDF-SHA-512 (RFC 5869) gives a key that encrypts once, and a commitment:
//!
//! ```text
//! bound      = L("waxseal local-kms") ‖ L(purpose) ‖ L(format) ‖ L(key id) ‖ L(version)
//! key ‖ commitment = HKDF-Expand(HKDF-Extract(salt, backing key), bound, 32 + 32 bytes)
//! ciphertext ‖ tag = AES-256-GCM(key, IV = 0, AAD = bound ‖ L(context), plaintext)
//!
//! sealed     = format (1) ‖ length of key id (1) ‖ key id ‖ version (4) ‖
//!              salt (32) ‖ commitment (32) ‖ ciphertext ‖ tag (16)
//! ```
//!
//! `L(x)` is x's length in four bytes and x; integers are big-endian; `format`
//! is the byte 1, `version` the backing key's, in four bytes. `purpose` is
//! `ciphertext` for what leaves the KMS and `record` for what it stores.
//! `context` is the encryption context's canonical bytes, or a record's name
//! and generation.
//!
//! # Argument
//!
//! - *One key, one message.* The salt is drawn in here, for each call, so that
//!   no retry, clone or cache can use one twice: two seals share a derived key
//!   only if two of the 32-byte salts are equal (for 2^64 seals of one backing
//!   key, a chance below 2^-128). A key that encrypts once needs no IV, and
//!   AES-GCM's limits on messages for one key are never near, however often a
//!   backing key is used. This is AWS KMS's derived-key mode (Campagna and
//!   Gueron, "Key Management Systems at the Cloud Scale", Cryptography 2019,
//!   3(3), 23), which derives by the counter mode of NIST SP 800-108 with a
//!   128-bit nonce; HKDF's expand is that publication's feedback mode, and
//!   its extract makes imported material of less than full entropy harmless to
//!   the derivation's proof.
//! - *Separation.* All that tells two uses apart is in the derivation's info
//!   with its length before it, so that no two uses have the same info; the
//!   same bytes are AAD, with the context.
//! - *Commitment.* AES-GCM does not bind a ciphertext to one key: who knows two
//!   keys (whoever imported material does) can make one that opens under both.
//!   The commitment is an output of the same extract, so that to open one blob
//!   under two backing keys takes a collision of HKDF-SHA-512 in 32 bytes. It
//!   is compared first, in constant time.
//! - *No oracle.* What does not open gives one error, whichever check failed.

use crate::crypto::{
    CryptoBackend, Entropy, HkdfOutput, IV_LENGTH, RandomError, SecretBytes, TAG_LENGTH, Tag,
    constant_time_eq,
};
use crate::suite::HashAlgorithm;
use zeroize::{Zeroize, Zeroizing};

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
#[derive(Debug, thiserror::Error)]
pub(super) enum SealError {
    #[error(transparent)]
    Random(#[from] RandomError),
    /// A key id or a length that does not fit the format.
    #[error("it does not fit the sealed format")]
    TooLong,
}

/// The length of what is sealed, from those of the key's id and the plaintext.
pub(super) const fn sealed_length(key_id: usize, plaintext: usize) -> usize {
    2 + key_id + 4 + SALT_LENGTH + COMMITMENT_LENGTH + plaintext + TAG_LENGTH
}

/// Seals under a key that is derived for this call alone.
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
    let bound = Bound::new(purpose, key.id, key.version, context).ok_or(SealError::TooLong)?;
    let derived = derive(backend, &salt, key.material, &bound).ok_or(SealError::TooLong)?;

    let mut out = Vec::with_capacity(sealed_length(key.id.len(), plaintext.len()));
    out.extend_from_slice(&[FORMAT, id_length]);
    out.extend_from_slice(key.id.as_bytes());
    out.extend_from_slice(&key.version.to_be_bytes());
    out.extend_from_slice(&salt);
    out.extend_from_slice(&derived[KEY_LENGTH..]);
    let start = out.len();
    out.extend_from_slice(plaintext);
    let sealed = backend
        .aead_key(&derived[..KEY_LENGTH])
        .and_then(|aead| aead.seal(&ZERO_IV, bound.aad(), &mut out[start..]));
    let Ok(tag) = sealed else {
        out.zeroize();
        return Err(SealError::TooLong);
    };
    out.extend_from_slice(&tag);
    Ok(out)
}

/// Something sealed, taken apart. Nothing of it is authentic before it opens.
#[derive(Clone, Copy)]
pub(super) struct Sealed<'a> {
    pub(super) key_id: &'a str,
    pub(super) version: u32,
    salt: &'a [u8],
    commitment: &'a [u8],
    ciphertext: &'a [u8],
    tag: &'a Tag,
}

impl<'a> Sealed<'a> {
    /// Takes it apart; `None` for what is not of this format.
    pub(super) fn parse(sealed: &'a [u8]) -> Option<Self> {
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
    pub(super) fn plaintext_length(&self) -> usize {
        self.ciphertext.len()
    }

    /// Opens it under the material of its key's version.
    pub(super) fn open(
        &self,
        backend: &CryptoBackend,
        purpose: Purpose,
        material: &SecretBytes,
        context: &[u8],
    ) -> Result<SecretBytes, NotOpened> {
        let bound = Bound::new(purpose, self.key_id, self.version, context).ok_or(NotOpened)?;
        let derived = derive(backend, self.salt, material, &bound).ok_or(NotOpened)?;
        if !constant_time_eq(&derived[KEY_LENGTH..], self.commitment) {
            return Err(NotOpened);
        }
        let aead = backend.aead_key(&derived[..KEY_LENGTH]);
        let aead = aead.map_err(|_| NotOpened)?;
        let mut plaintext = SecretBytes::copy_from(self.ciphertext);
        // Dropping wipes it, also after an error.
        aead.open(&ZERO_IV, bound.aad(), plaintext.expose_mut(), self.tag)
            .map_err(|_| NotOpened)?;
        Ok(plaintext)
    }
}

/// It does not open under this material, purpose and context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotOpened;

/// The info of the derivation, and after it the context: together the AAD.
struct Bound {
    bytes: Vec<u8>,
    info_length: usize,
}

impl Bound {
    fn new(purpose: Purpose, key_id: &str, version: u32, context: &[u8]) -> Option<Self> {
        let version = version.to_be_bytes();
        let info = [
            LABEL,
            purpose.label(),
            &[FORMAT],
            key_id.as_bytes(),
            &version,
        ];
        let length: usize = info.iter().map(|part| 4 + part.len()).sum();
        let mut bytes = Vec::with_capacity(length + 4 + context.len());
        for part in info.into_iter().chain([context]) {
            bytes.extend_from_slice(&u32::try_from(part.len()).ok()?.to_be_bytes());
            bytes.extend_from_slice(part);
        }
        Some(Bound {
            bytes,
            info_length: length,
        })
    }

    fn info(&self) -> &[u8] {
        &self.bytes[..self.info_length]
    }

    fn aad(&self) -> &[u8] {
        &self.bytes
    }
}

/// The single-use key, and the commitment after it.
fn derive(
    backend: &CryptoBackend,
    salt: &[u8],
    material: &SecretBytes,
    bound: &Bound,
) -> Option<Zeroizing<[u8; KEY_LENGTH + COMMITMENT_LENGTH]>> {
    let mut derived = Zeroizing::new([0; KEY_LENGTH + COMMITMENT_LENGTH]);
    let output = HkdfOutput {
        info: &[bound.info()],
        out: &mut derived[..],
    };
    backend
        .hkdf(
            HashAlgorithm::Sha512,
            salt,
            material.expose(),
            &mut [output],
        )
        .ok()?;
    Some(derived)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn material(byte: u8) -> SecretBytes {
        SecretBytes::from(vec![byte; BACKING_KEY_LENGTH])
    }

    fn sealed(purpose: Purpose, id: &str, version: u32, context: &[u8], text: &[u8]) -> Vec<u8> {
        let backend = CryptoBackend::default();
        let mut entropy = Entropy::draw(backend.random(), SALT_LENGTH).unwrap();
        let material = material(7);
        let key = SealingKey {
            id,
            version,
            material: &material,
        };
        let sealed = seal(&backend, &mut entropy, purpose, key, context, text).unwrap();
        assert_eq!(sealed.len(), sealed_length(id.len(), text.len()));
        sealed
    }

    fn opened(sealed: &[u8], purpose: Purpose, byte: u8, context: &[u8]) -> Option<Vec<u8>> {
        let backend = CryptoBackend::default();
        let parsed = Sealed::parse(sealed)?;
        let opened = parsed
            .open(&backend, purpose, &material(byte), context)
            .ok()?;
        assert_eq!(opened.len(), parsed.plaintext_length());
        Some(opened.expose().to_vec())
    }

    #[test]
    fn opens_under_the_same_and_nothing_else() {
        let blob = sealed(Purpose::Ciphertext, "id", 3, b"context", b"text");
        assert_eq!(
            opened(&blob, Purpose::Ciphertext, 7, b"context").as_deref(),
            Some(&b"text"[..])
        );
        assert_eq!(opened(&blob, Purpose::Record, 7, b"context"), None);
        assert_eq!(opened(&blob, Purpose::Ciphertext, 8, b"context"), None);
        assert_eq!(opened(&blob, Purpose::Ciphertext, 7, b"contexu"), None);
        assert_eq!(opened(&blob, Purpose::Ciphertext, 7, b""), None);
    }

    #[test]
    fn every_bit_and_every_length_counts() {
        let blob = sealed(Purpose::Record, "id", 1, b"c", b"text");
        for bit in 0..blob.len() * 8 {
            let mut changed = blob.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                opened(&changed, Purpose::Record, 7, b"c"),
                None,
                "bit {bit}"
            );
        }
        for length in 0..blob.len() {
            assert_eq!(opened(&blob[..length], Purpose::Record, 7, b"c"), None);
        }
        let longer = [&blob[..], &[0]].concat();
        assert_eq!(opened(&longer, Purpose::Record, 7, b"c"), None);
    }

    #[test]
    fn no_salt_twice() {
        let blobs: Vec<_> = (0..100)
            .map(|_| sealed(Purpose::Ciphertext, "id", 1, b"", b""))
            .collect();
        let salts: std::collections::BTreeSet<_> = blobs
            .iter()
            .map(|blob| Sealed::parse(blob).unwrap().salt)
            .collect();
        assert_eq!(salts.len(), 100);
    }

    #[test]
    fn ids_have_one_to_255_bytes() {
        let backend = CryptoBackend::default();
        let material = material(7);
        for (length, fits) in [(0, false), (1, true), (255, true), (256, false)] {
            let mut entropy = Entropy::draw(backend.random(), SALT_LENGTH).unwrap();
            let key = SealingKey {
                id: &"x".repeat(length),
                version: 1,
                material: &material,
            };
            let purpose = Purpose::Ciphertext;
            let sealed = seal(&backend, &mut entropy, purpose, key, b"", b"");
            assert_eq!(sealed.is_ok(), fits, "{length}");
        }
    }
}
