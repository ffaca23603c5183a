//! The table of algorithm suites, and the policy that says which may be used.
//!
//! Specification: framework/algorithm-suites.md.

use std::fmt;
use std::str::FromStr;

/// An algorithm suite: which AEAD, key derivation, commitment and signature a
/// message uses. Each message names its own.
///
/// The names say what is in a suite; the number is its id on the wire
/// (framework/algorithm-suites.md, "Supported Algorithm Suites").
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum AlgorithmSuite {
    /// 0x0014. The data key encrypts the message itself. See
    /// [`derives_key`](Self::derives_key).
    Aes128GcmNoKdf,
    /// 0x0046. The data key encrypts the message itself.
    Aes192GcmNoKdf,
    /// 0x0078. The data key encrypts the message itself.
    Aes256GcmNoKdf,
    /// 0x0114.
    Aes128GcmHkdfSha256,
    /// 0x0146.
    Aes192GcmHkdfSha256,
    /// 0x0178.
    Aes256GcmHkdfSha256,
    /// 0x0214, signed.
    Aes128GcmHkdfSha256EcdsaP256,
    /// 0x0346, signed.
    Aes192GcmHkdfSha384EcdsaP384,
    /// 0x0378, signed.
    Aes256GcmHkdfSha384EcdsaP384,
    /// 0x0478, with key commitment: the default.
    Aes256GcmHkdfSha512CommitKey,
    /// 0x0578, with key commitment, signed.
    Aes256GcmHkdfSha512CommitKeyEcdsaP384,
}

/// A hash function, as key derivations and signatures use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HashAlgorithm {
    Sha256,
    Sha384,
    Sha512,
}

/// An elliptic curve for signatures; each has its hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
}

impl Curve {
    pub(crate) fn hash(self) -> HashAlgorithm {
        match self {
            Curve::P256 => HashAlgorithm::Sha256,
            Curve::P384 => HashAlgorithm::Sha384,
        }
    }

    /// The one length, in bytes, that writers bring a DER signature to, as
    /// AWS's do, so that a message's length is known before it is encrypted.
    pub(crate) fn signature_length(self) -> usize {
        match self {
            Curve::P256 => 71,
            Curve::P384 => 103,
        }
    }

    /// Bytes of a compressed point (SEC 1, 2.3.3).
    pub(crate) fn public_key_length(self) -> usize {
        match self {
            Curve::P256 => 33,
            Curve::P384 => 49,
        }
    }
}

struct Row {
    id: u16,
    name: &'static str,
    key_length: usize,
    kdf: Option<HashAlgorithm>,
    commits: bool,
    signature: Option<Curve>,
}

impl AlgorithmSuite {
    /// All eleven suites, by id.
    pub const ALL: [AlgorithmSuite; 11] = [
        AlgorithmSuite::Aes128GcmNoKdf,
        AlgorithmSuite::Aes192GcmNoKdf,
        AlgorithmSuite::Aes256GcmNoKdf,
        AlgorithmSuite::Aes128GcmHkdfSha256,
        AlgorithmSuite::Aes192GcmHkdfSha256,
        AlgorithmSuite::Aes256GcmHkdfSha256,
        AlgorithmSuite::Aes128GcmHkdfSha256EcdsaP256,
        AlgorithmSuite::Aes192GcmHkdfSha384EcdsaP384,
        AlgorithmSuite::Aes256GcmHkdfSha384EcdsaP384,
        AlgorithmSuite::Aes256GcmHkdfSha512CommitKey,
        AlgorithmSuite::Aes256GcmHkdfSha512CommitKeyEcdsaP384,
    ];

    #[rustfmt::skip]
    const fn row(self) -> &'static Row {
        use HashAlgorithm::{Sha256, Sha384, Sha512};
        match self {
            Self::Aes128GcmNoKdf => &Row { id: 0x0014, name: "AES_128_GCM_IV12_TAG16_NO_KDF", key_length: 16, kdf: None, commits: false, signature: None },
            Self::Aes192GcmNoKdf => &Row { id: 0x0046, name: "AES_192_GCM_IV12_TAG16_NO_KDF", key_length: 24, kdf: None, commits: false, signature: None },
            Self::Aes256GcmNoKdf => &Row { id: 0x0078, name: "AES_256_GCM_IV12_TAG16_NO_KDF", key_length: 32, kdf: None, commits: false, signature: None },
            Self::Aes128GcmHkdfSha256 => &Row { id: 0x0114, name: "AES_128_GCM_IV12_TAG16_HKDF_SHA256", key_length: 16, kdf: Some(Sha256), commits: false, signature: None },
            Self::Aes192GcmHkdfSha256 => &Row { id: 0x0146, name: "AES_192_GCM_IV12_TAG16_HKDF_SHA256", key_length: 24, kdf: Some(Sha256), commits: false, signature: None },
            Self::Aes256GcmHkdfSha256 => &Row { id: 0x0178, name: "AES_256_GCM_IV12_TAG16_HKDF_SHA256", key_length: 32, kdf: Some(Sha256), commits: false, signature: None },
            Self::Aes128GcmHkdfSha256EcdsaP256 => &Row { id: 0x0214, name: "AES_128_GCM_IV12_TAG16_HKDF_SHA256_ECDSA_P256", key_length: 16, kdf: Some(Sha256), commits: false, signature: Some(Curve::P256) },
            Self::Aes192GcmHkdfSha384EcdsaP384 => &Row { id: 0x0346, name: "AES_192_GCM_IV12_TAG16_HKDF_SHA384_ECDSA_P384", key_length: 24, kdf: Some(Sha384), commits: false, signature: Some(Curve::P384) },
            Self::Aes256GcmHkdfSha384EcdsaP384 => &Row { id: 0x0378, name: "AES_256_GCM_IV12_TAG16_HKDF_SHA384_ECDSA_P384", key_length: 32, kdf: Some(Sha384), commits: false, signature: Some(Curve::P384) },
            Self::Aes256GcmHkdfSha512CommitKey => &Row { id: 0x0478, name: "AES_256_GCM_HKDF_SHA512_COMMIT_KEY", key_length: 32, kdf: Some(Sha512), commits: true, signature: None },
            Self::Aes256GcmHkdfSha512CommitKeyEcdsaP384 => &Row { id: 0x0578, name: "AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384", key_length: 32, kdf: Some(Sha512), commits: true, signature: Some(Curve::P384) },
        }
    }

    /// The suite's id on the wire, 0x0478 for example.
    pub const fn id(self) -> u16 {
        self.row().id
    }

    /// The suite with this id, where there is one.
    pub fn from_id(id: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.id() == id)
    }

    /// The specification's name, `AES_256_GCM_HKDF_SHA512_COMMIT_KEY` for example.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The length of a data key in bytes: 16, 24 or 32.
    pub const fn data_key_length(self) -> usize {
        self.row().key_length
    }

    /// Whether a fresh key is derived from the data key for each message. The
    /// three suites that do not (0x0014, 0x0046, 0x0078) encrypt with the data
    /// key itself, so that one may serve a single message only.
    pub const fn derives_key(self) -> bool {
        self.row().kdf.is_some()
    }

    /// Whether the message commits to its data key: with any other suite,
    /// somebody who may choose data keys can make a message that decrypts to
    /// different plaintexts under different keys.
    pub const fn commits(self) -> bool {
        self.row().commits
    }

    /// Whether messages end with an ECDSA signature.
    pub const fn is_signed(self) -> bool {
        self.row().signature.is_some()
    }

    /// The version of the message format: 2 with key commitment, else 1.
    pub const fn message_version(self) -> u8 {
        if self.commits() { 2 } else { 1 }
    }

    pub(crate) const fn kdf(self) -> Option<HashAlgorithm> {
        self.row().kdf
    }

    pub(crate) const fn signature(self) -> Option<Curve> {
        self.row().signature
    }

    /// Bytes of a message id: 16 in version 1, 32 in version 2.
    pub(crate) const fn message_id_length(self) -> usize {
        if self.commits() { 32 } else { 16 }
    }
}

impl fmt::Debug for AlgorithmSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for AlgorithmSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:04x} ({})", self.id(), self.name())
    }
}

/// What [`AlgorithmSuite`], [`CommitmentPolicy`] and other types with fixed
/// names give for a text that they do not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName {
    text: String,
    known: String,
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is not one of: {}", self.text, self.known)
    }
}

impl std::error::Error for UnknownName {}

impl UnknownName {
    pub(crate) fn new(text: &str, known: &[&str]) -> Self {
        UnknownName {
            text: text.to_owned(),
            known: known.join(", "),
        }
    }
}

impl FromStr for AlgorithmSuite {
    type Err = UnknownName;

    /// Takes an id (`0x0478` or `0478`) or the specification's name.
    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let is_id = digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let by_id = is_id
            .then(|| u16::from_str_radix(digits, 16).ok())
            .flatten();
        by_id
            .and_then(Self::from_id)
            .or_else(|| Self::ALL.into_iter().find(|suite| suite.name() == text))
            .ok_or_else(|| UnknownName {
                text: text.to_owned(),
                known: Self::ALL
                    .map(|suite| format!("0x{:04x}", suite.id()))
                    .join(", "),
            })
    }
}

/// Which suites a client writes and reads, by whether they commit to the data
/// key (client-apis/client.md, "Commitment Policy").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CommitmentPolicy {
    /// Only suites with key commitment are written and read.
    #[default]
    RequireEncryptRequireDecrypt,
    /// Only suites with key commitment are written; all are read.
    RequireEncryptAllowDecrypt,
    /// Only suites without key commitment are written; all are read. For
    /// readers that do not know key commitment yet.
    ForbidEncryptAllowDecrypt,
}

impl CommitmentPolicy {
    /// All three policies.
    pub const ALL: [CommitmentPolicy; 3] = [
        CommitmentPolicy::RequireEncryptRequireDecrypt,
        CommitmentPolicy::RequireEncryptAllowDecrypt,
        CommitmentPolicy::ForbidEncryptAllowDecrypt,
    ];

    /// Whether a message of this suite may be written.
    pub const fn allows_encrypt(self, suite: AlgorithmSuite) -> bool {
        match self {
            Self::RequireEncryptRequireDecrypt | Self::RequireEncryptAllowDecrypt => {
                suite.commits()
            }
            Self::ForbidEncryptAllowDecrypt => !suite.commits(),
        }
    }

    /// Whether a message of this suite may be read.
    pub const fn allows_decrypt(self, suite: AlgorithmSuite) -> bool {
        match self {
            Self::RequireEncryptRequireDecrypt => suite.commits(),
            Self::RequireEncryptAllowDecrypt | Self::ForbidEncryptAllowDecrypt => true,
        }
    }

    /// The suite that a client of this policy writes when none is named.
    pub const fn default_suite(self, signed: bool) -> AlgorithmSuite {
        match (self, signed) {
            (Self::ForbidEncryptAllowDecrypt, false) => AlgorithmSuite::Aes256GcmHkdfSha256,
            (Self::ForbidEncryptAllowDecrypt, true) => AlgorithmSuite::Aes256GcmHkdfSha384EcdsaP384,
            (_, false) => AlgorithmSuite::Aes256GcmHkdfSha512CommitKey,
            (_, true) => AlgorithmSuite::Aes256GcmHkdfSha512CommitKeyEcdsaP384,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::RequireEncryptRequireDecrypt => "require-encrypt-require-decrypt",
            Self::RequireEncryptAllowDecrypt => "require-encrypt-allow-decrypt",
            Self::ForbidEncryptAllowDecrypt => "forbid-encrypt-allow-decrypt",
        }
    }
}

impl fmt::Display for CommitmentPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for CommitmentPolicy {
    type Err = UnknownName;

    /// Takes the names that [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .into_iter()
            .find(|policy| policy.name() == text)
            .ok_or_else(|| UnknownName::new(text, &Self::ALL.map(Self::name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_round_trip() {
        for suite in AlgorithmSuite::ALL {
            assert_eq!(AlgorithmSuite::from_id(suite.id()), Some(suite));
            assert_eq!(suite.name().parse(), Ok(suite));
            assert_eq!(format!("0x{:04x}", suite.id()).parse(), Ok(suite));
            assert_eq!(format!("{:04X}", suite.id()).parse(), Ok(suite));
        }
        assert_eq!(AlgorithmSuite::from_id(0), None);
        for text in ["0x478", "+478", "0x+478", "", "00478"] {
            assert!(text.parse::<AlgorithmSuite>().is_err(), "{text}");
        }
        assert_eq!(
            UnknownName::new("c", &["a", "b"]).to_string(),
            "'c' is not one of: a, b"
        );
    }

    #[test]
    fn policies_split_the_suites() {
        for suite in AlgorithmSuite::ALL {
            let commits = suite.id() >= 0x0400;
            assert_eq!(suite.commits(), commits);
            assert_eq!(suite.message_version(), if commits { 2 } else { 1 });
            let [strict, migrating, forbidding] = CommitmentPolicy::ALL;
            assert_eq!(strict.allows_encrypt(suite), commits);
            assert_eq!(strict.allows_decrypt(suite), commits);
            assert_eq!(migrating.allows_encrypt(suite), commits);
            assert_eq!(forbidding.allows_encrypt(suite), !commits);
            assert!(migrating.allows_decrypt(suite) && forbidding.allows_decrypt(suite));
        }
        for policy in CommitmentPolicy::ALL {
            for signed in [false, true] {
                let suite = policy.default_suite(signed);
                assert!(policy.allows_encrypt(suite) && suite.is_signed() == signed);
            }
        }
    }
}
