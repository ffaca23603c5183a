//! RSA for wrapped key material: how AWS KMS has it imported
//! (`GetParametersForImport`, `ImportKeyMaterial`). By `aws-lc-rs`, whose RSA
//! private-key operations are constant-time and blinded.
//!
//! # Padding oracles
//!
//! Whoever may send many ciphertexts must not learn why one does not unwrap,
//! nor from how long it took (Manger, CRYPTO 2001). AWS-LC checks OAEP's
//! padding in constant time, and [`WrappingKeyPair::unwrap`] has one error.
//!
//! # Memory
//!
//! Private keys and unwrapped material that are handed out are in
//! [`SecretBytes`]. On the way there, AWS-LC wipes what it allocated when it
//! frees it, and `aws-lc-rs` wipes its copy of an encoded private key. Not in
//! our hands: what AWS-LC leaves in registers and on the stack, an application
//! that replaces AWS-LC's allocator, and that a key which is in use has its
//! numbers in ordinary memory.
//!
//! # Randomness
//!
//! Keys and blinding are drawn from AWS-LC's own generator, which is seeded from
//! the operating system's and the processor's; a replaced random source
//! (feature `test-util`) does not reach it. It aborts the process when it
//! cannot be seeded.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey,
    PrivateDecryptingKey,
};

use super::{InvalidKey, RandomError, SecretBytes};
use crate::suite::UnknownName;

/// The size of the RSA key under which key material is wrapped for an import:
/// AWS KMS's `WrappingKeySpec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WrappingKeySpec {
    /// `RSA_2048`: 2,048 bits, so that wrapped material has 256 bytes.
    Rsa2048,
    /// `RSA_3072`: 3,072 bits, so that wrapped material has 384 bytes.
    Rsa3072,
    /// `RSA_4096`: 4,096 bits, so that wrapped material has 512 bytes.
    Rsa4096,
}

impl WrappingKeySpec {
    /// All specs, by size.
    pub const ALL: [WrappingKeySpec; 3] = [Self::Rsa2048, Self::Rsa3072, Self::Rsa4096];

    /// AWS KMS's name, `RSA_2048` for example.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rsa2048 => "RSA_2048",
            Self::Rsa3072 => "RSA_3072",
            Self::Rsa4096 => "RSA_4096",
        }
    }

    /// The length of the modulus in bits: 2,048, 3,072 or 4,096.
    pub const fn bits(self) -> usize {
        match self {
            Self::Rsa2048 => 2048,
            Self::Rsa3072 => 3072,
            Self::Rsa4096 => 4096,
        }
    }

    fn key_size(self) -> KeySize {
        match self {
            Self::Rsa2048 => KeySize::Rsa2048,
            Self::Rsa3072 => KeySize::Rsa3072,
            Self::Rsa4096 => KeySize::Rsa4096,
        }
    }
}

/// How key material is wrapped for an import: AWS KMS's `WrappingAlgorithm`,
/// those for symmetric keys. The label is empty, and MGF1 uses the same hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WrappingAlgorithm {
    /// `RSAES_OAEP_SHA_1`: RSA-OAEP (RFC 8017, 7.1) with SHA-1, for hardware
    /// that has nothing newer. OAEP does not need the hash to resist
    /// collisions.
    RsaesOaepSha1,
    /// `RSAES_OAEP_SHA_256`: RSA-OAEP (RFC 8017, 7.1) with SHA-256. Prefer it.
    RsaesOaepSha256,
}

impl WrappingAlgorithm {
    /// All algorithms.
    pub const ALL: [WrappingAlgorithm; 2] = [Self::RsaesOaepSha1, Self::RsaesOaepSha256];

    /// AWS KMS's name, `RSAES_OAEP_SHA_256` for example.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RsaesOaepSha1 => "RSAES_OAEP_SHA_1",
            Self::RsaesOaepSha256 => "RSAES_OAEP_SHA_256",
        }
    }

    fn oaep(self) -> &'static OaepAlgorithm {
        match self {
            Self::RsaesOaepSha1 => &OAEP_SHA1_MGF1SHA1,
            Self::RsaesOaepSha256 => &OAEP_SHA256_MGF1SHA256,
        }
    }
}

impl fmt::Display for WrappingKeySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for WrappingAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for WrappingKeySpec {
    type Err = UnknownName;

    /// Takes AWS KMS's names.
    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let spec = Self::ALL.into_iter().find(|spec| spec.name() == text);
        spec.ok_or_else(|| UnknownName::new(text, &Self::ALL.map(Self::name)))
    }
}

impl FromStr for WrappingAlgorithm {
    type Err = UnknownName;

    /// Takes AWS KMS's names.
    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let algorithm = Self::ALL.into_iter().find(|known| known.name() == text);
        algorithm.ok_or_else(|| UnknownName::new(text, &Self::ALL.map(Self::name)))
    }
}

/// An RSA key under which an importer wraps key material.
pub(crate) struct WrappingKeyPair {
    private: PrivateDecryptingKey,
    public_der: Vec<u8>,
}

/// It does not unwrap under this key and algorithm; which check failed is not
/// said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotUnwrapped;

impl WrappingKeyPair {
    /// A new key. Slow: finding primes takes from a tenth of a second to
    /// several seconds.
    pub(crate) fn generate(spec: WrappingKeySpec) -> Result<Self, RandomError> {
        let private = PrivateDecryptingKey::generate(spec.key_size()).ok();
        private
            .and_then(|private| Self::new(private).ok())
            .ok_or_else(|| RandomError::new("AWS-LC made no RSA key"))
    }

    /// Reads what [`private_key`](Self::private_key) gave. AWS-LC checks that
    /// the key's numbers fit each other.
    pub(crate) fn from_private_key(pkcs8: &SecretBytes) -> Result<Self, InvalidKey> {
        // The parser leaves alone what follows the outer sequence. Of these
        // sizes, that has a length of two bytes.
        let [0x30, 0x82, high, low, inner @ ..] = pkcs8.expose() else {
            return Err(InvalidKey);
        };
        if inner.len() != usize::from(u16::from_be_bytes([*high, *low])) {
            return Err(InvalidKey);
        }
        let private = PrivateDecryptingKey::from_pkcs8(pkcs8.expose()).map_err(|_| InvalidKey)?;
        let bits = private.key_size_bits();
        if !WrappingKeySpec::ALL.iter().any(|spec| spec.bits() == bits) {
            return Err(InvalidKey);
        }
        Self::new(private)
    }

    fn new(private: PrivateDecryptingKey) -> Result<Self, InvalidKey> {
        let public_der = private.public_key().as_der().map_err(|_| InvalidKey)?;
        Ok(WrappingKeyPair {
            private,
            public_der: public_der.as_ref().to_vec(),
        })
    }

    /// The public key, as AWS KMS hands it out: DER of an X.509
    /// SubjectPublicKeyInfo (RFC 5280, 4.1), of 294, 422 or 550 bytes.
    pub(crate) fn public_key_der(&self) -> &[u8] {
        &self.public_der
    }

    /// The private key as DER of PKCS#8 (RFC 5208), to be stored sealed: up to
    /// about 2,400 bytes.
    pub(crate) fn private_key(&self) -> Result<SecretBytes, InvalidKey> {
        let pkcs8 = self.private.as_der().map_err(|_| InvalidKey)?;
        Ok(SecretBytes::copy_from(pkcs8.as_ref()))
    }

    /// Unwraps material: of any length that OAEP takes, none included; what it
    /// must be is for the caller to say.
    pub(crate) fn unwrap(
        &self,
        algorithm: WrappingAlgorithm,
        wrapped: &[u8],
    ) -> Result<SecretBytes, NotUnwrapped> {
        // A clone is another reference to the same key.
        let key = OaepPrivateDecryptingKey::new(self.private.clone()).map_err(|_| NotUnwrapped)?;
        // AWS-LC takes wrapped material of exactly the modulus's length, and
        // wants as much room for what it holds. Dropping it wipes it.
        let mut room = SecretBytes::zeroed(key.min_output_size());
        let material = key.decrypt(algorithm.oaep(), wrapped, room.expose_mut(), None);
        Ok(SecretBytes::copy_from(material.map_err(|_| NotUnwrapped)?))
    }
}

impl fmt::Debug for WrappingKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrappingKeyPair").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use aws_lc_rs::rsa::{OaepPublicEncryptingKey, PublicEncryptingKey};
    use serde_json::Value;

    use super::WrappingAlgorithm::{RsaesOaepSha1, RsaesOaepSha256};
    use super::*;

    /// The vectors, which Python's `cryptography` made.
    fn vectors() -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/kms/rsa_oaep.json");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    fn bytes(value: &Value) -> Vec<u8> {
        let pairs = value.as_str().unwrap().as_bytes().chunks(2);
        pairs
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    fn key(vectors: &Value, spec: WrappingKeySpec) -> WrappingKeyPair {
        let pkcs8 = bytes(&vectors["keys"][spec.name()]["private_key"]);
        WrappingKeyPair::from_private_key(&SecretBytes::from(pkcs8)).unwrap()
    }

    /// 32 bytes of material, wrapped.
    fn wrapped(vectors: &Value, spec: WrappingKeySpec, algorithm: WrappingAlgorithm) -> Vec<u8> {
        let cases = vectors["keys"][spec.name()]["cases"].as_array().unwrap();
        let case = cases.iter().find(|case| {
            case["algorithm"] == algorithm.name() && bytes(&case["material"]).len() == 32
        });
        bytes(&case.unwrap()["wrapped"])
    }

    fn wrap(public_der: &[u8], algorithm: WrappingAlgorithm, material: &[u8]) -> Vec<u8> {
        let key = PublicEncryptingKey::from_der(public_der).unwrap();
        let key = OaepPublicEncryptingKey::new(key).unwrap();
        let mut out = vec![0; key.ciphertext_size()];
        let wrapped = key.encrypt(algorithm.oaep(), material, &mut out, None);
        wrapped.unwrap().to_vec()
    }

    #[test]
    fn unwraps_what_another_implementation_wrapped() {
        let vectors = vectors();
        for spec in WrappingKeySpec::ALL {
            let key = key(&vectors, spec);
            let vectors = &vectors["keys"][spec.name()];
            assert_eq!(key.public_key_der(), bytes(&vectors["public_key"]));
            let private = key.private_key().unwrap();
            assert_eq!(private.expose(), bytes(&vectors["private_key"]));

            let cases = vectors["cases"].as_array().unwrap();
            assert_eq!(cases.len(), 14);
            for case in cases {
                let algorithm: WrappingAlgorithm =
                    case["algorithm"].as_str().unwrap().parse().unwrap();
                let material = bytes(&case["material"]);
                let wrapped = bytes(&case["wrapped"]);
                let unwrapped = key.unwrap(algorithm, &wrapped).unwrap();
                assert_eq!(unwrapped.expose(), material, "{spec} {algorithm}");
                for other in WrappingAlgorithm::ALL {
                    let opens = key.unwrap(other, &wrapped).is_ok();
                    assert_eq!(opens, other == algorithm, "{spec} {algorithm} {other}");
                }
            }
        }
    }

    #[test]
    fn new_keys() {
        for spec in WrappingKeySpec::ALL {
            let key = WrappingKeyPair::generate(spec).unwrap();
            assert_eq!(key.private.key_size_bits(), spec.bits());
            assert_eq!(key.public_key_der().len(), spec.bits() / 8 + 38);
            assert!(key.public_key_der().ends_with(&[2, 3, 1, 0, 1]), "65537");
            let again = WrappingKeyPair::from_private_key(&key.private_key().unwrap()).unwrap();
            assert_eq!(again.public_key_der(), key.public_key_der());
            for algorithm in WrappingAlgorithm::ALL {
                let wrapped = wrap(key.public_key_der(), algorithm, &[7; 32]);
                assert_eq!(wrapped.len(), spec.bits() / 8);
                for key in [&key, &again] {
                    assert_eq!(key.unwrap(algorithm, &wrapped).unwrap().expose(), [7; 32]);
                }
            }
        }
    }

    #[test]
    fn new_keys_differ() {
        let [one, other] =
            [(); 2].map(|()| WrappingKeyPair::generate(WrappingKeySpec::Rsa2048).unwrap());
        assert_ne!(one.public_key_der(), other.public_key_der());
        let wrapped = wrap(one.public_key_der(), RsaesOaepSha256, &[7; 32]);
        assert_eq!(
            other.unwrap(RsaesOaepSha256, &wrapped).err(),
            Some(NotUnwrapped)
        );
    }

    #[test]
    fn wrapped_material_that_was_changed() {
        let vectors = vectors();
        for spec in WrappingKeySpec::ALL {
            let key = key(&vectors, spec);
            for algorithm in WrappingAlgorithm::ALL {
                let wrapped = wrapped(&vectors, spec, algorithm);
                let refused = |wrapped: &[u8]| {
                    let unwrapped = key.unwrap(algorithm, wrapped);
                    assert_eq!(unwrapped.err(), Some(NotUnwrapped), "{spec} {algorithm}");
                };
                assert!(key.unwrap(algorithm, &wrapped).is_ok());
                // A private operation takes milliseconds: every byte of the
                // smallest key, some of the others.
                for at in (0..wrapped.len()).step_by(1 + 31 * usize::from(spec.bits() > 2048)) {
                    let mut other = wrapped.clone();
                    other[at] ^= 1 << (at % 8);
                    refused(&other);
                }
                for cut in (0..wrapped.len()).rev() {
                    refused(&wrapped[..cut]);
                    refused(&wrapped[wrapped.len() - cut..]);
                }
                for more in [1, 64, wrapped.len(), 100_000] {
                    refused(&[&wrapped[..], &vec![0; more]].concat());
                    refused(&[&vec![0; more], &wrapped[..]].concat());
                }
                // 0, 1, and what is not below the modulus.
                let mut number = vec![0; wrapped.len()];
                refused(&number);
                number[wrapped.len() - 1] = 1;
                refused(&number);
                refused(&vec![0xff; wrapped.len()]);
            }
        }
    }

    /// An importer's label would be another message's.
    #[test]
    fn labels_are_refused() {
        let vectors = vectors();
        let pair = key(&vectors, WrappingKeySpec::Rsa2048);
        let public = PublicEncryptingKey::from_der(pair.public_key_der()).unwrap();
        let public = OaepPublicEncryptingKey::new(public).unwrap();
        for algorithm in WrappingAlgorithm::ALL {
            let mut out = vec![0; 256];
            let wrapped = public
                .encrypt(algorithm.oaep(), &[7; 32], &mut out, Some(b"a label"))
                .unwrap();
            assert_eq!(pair.unwrap(algorithm, wrapped).err(), Some(NotUnwrapped));
        }
    }

    #[test]
    fn private_keys_that_are_none() {
        let refused = |pkcs8: &[u8]| {
            let key = WrappingKeyPair::from_private_key(&SecretBytes::copy_from(pkcs8));
            assert_eq!(key.err(), Some(InvalidKey));
        };
        let vectors = vectors();
        for bits in ["1024", "2056", "5120"] {
            refused(&bytes(&vectors["other_sizes"][bits]));
        }
        let vectors = &vectors["keys"]["RSA_2048"];
        refused(&bytes(&vectors["public_key"]));
        let pkcs8 = bytes(&vectors["private_key"]);
        refused(&[&pkcs8[..], &[0]].concat());
        for cut in 0..pkcs8.len() {
            refused(&pkcs8[..cut]);
        }
        // Inside a number it is another number, which does not fit the others.
        for at in (0..pkcs8.len()).step_by(7) {
            let mut other = pkcs8.clone();
            other[at] ^= 1 << (at % 8);
            refused(&other);
        }
    }

    #[test]
    fn names() {
        for spec in WrappingKeySpec::ALL {
            assert_eq!(spec.to_string().parse(), Ok(spec));
            assert_eq!(spec.name(), format!("RSA_{}", spec.bits()));
        }
        for algorithm in WrappingAlgorithm::ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
        assert_eq!("RSAES_OAEP_SHA_1".parse(), Ok(RsaesOaepSha1));
        assert_eq!("RSAES_OAEP_SHA_256".parse(), Ok(RsaesOaepSha256));
        let error = "RSA_1024".parse::<WrappingKeySpec>().unwrap_err();
        let known = "RSA_2048, RSA_3072, RSA_4096";
        assert_eq!(
            error.to_string(),
            format!("'RSA_1024' is not one of: {known}")
        );
        assert!("RSAES_PKCS1_V1_5".parse::<WrappingAlgorithm>().is_err());
    }

    #[test]
    fn prints_nothing() {
        let key = key(&vectors(), WrappingKeySpec::Rsa2048);
        assert_eq!(format!("{key:?}"), "WrappingKeyPair { .. }");
    }
}
